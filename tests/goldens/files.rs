//! Text files: how they are opened, made and named.

use std::fs;

use rollway::Level;
use rollway::config::Config;

use crate::golden::{Golden, shown};
use crate::running::{Dir, file, say};
use crate::support::watchdog;

#[test]
fn a_file_is_appended_to_or_begun_anew_as_configured() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("03-append-vs-write") else { return };
    let titles = [
        ("Log::Dispatch::File, no mode -> append", ""),
        ("Log::Dispatch::File, mode=write", "append = false"),
        ("Log::Dispatch::File, mode=append", "append = true"),
        ("Appender::File, no mode -> append", ""),
        ("Appender::File, mode=append", "append = true"),
        ("Appender::File, mode=write", "append = false"),
        ("Appender::File, mode=clobber", "truncate = true"),
    ];
    let mut outcomes = Vec::new();
    for (title, keys) in titles {
        let dir = Dir::new();
        fs::write(dir.path("F"), "existing line\n").unwrap();
        dir.run(&format!("level = \"info\"\n{}", file("F", keys)), |logger| {
            say(logger, "x.y", Level::INFO, "new message");
            say(logger, "x.y", Level::DEBUG, "below level");
        });
        outcomes.push(shown(title, &dir.text("F")));
    }
    let nonsense = file("F", "append = \"nonsense\"");
    let refused = Config::parse_toml(&nonsense).unwrap_err().to_string();
    outcomes.push(shown("Appender::File, mode=nonsense (treated as truncate)", &refused));
    golden.compare(outcomes);
}
