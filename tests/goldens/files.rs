//! Text files: how they are opened, made and named.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rollway::config::Config;
use rollway::{Level, Logger};

use crate::golden::{Golden, shown, trapped};
use crate::running::{Dir, file, say};
use crate::support::{PATIENCE, watchdog};

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

#[test]
fn a_file_has_its_header_its_permissions_and_its_place() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("18-file-appender") else { return };
    let config = |keys| format!("level = \"info\"\n{}", file("F", keys));
    let info = |message: &'static str| move |logger: &Logger| say(logger, "", Level::INFO, message);
    let mut outcomes = Vec::new();

    let dir = Dir::new();
    let headed = config("header = \"HEADER\"\nheader_at_every_open = true");
    dir.run(&headed, info("one"));
    outcomes.push(shown("header_text", &dir.text("F")));
    dir.run(&headed, info("two"));
    outcomes.push(shown("header again on re-open in append mode", &dir.text("F")));

    let moved = [
        ("check_moved_every = \"0ms\"", "recreate: old", "recreate: new"),
        ("check_moved = false", "no recreate: old gets both", "no recreate: new"),
    ];
    for (keys, old, new) in moved {
        let dir = Dir::new();
        dir.run(&config(keys), |logger| {
            info("one")(logger);
            logger.flush().unwrap();
            fs::rename(dir.path("F"), dir.path("moved")).unwrap();
            info("two")(logger);
        });
        outcomes.push(shown(old, &dir.text("moved")));
        outcomes.push(shown(new, &dir.text("F")));
    }

    let dir = Dir::new();
    let mut before = "";
    dir.run(&config(""), |logger| {
        before = if dir.path("F").exists() { "exists" } else { "missing" };
        info("x")(logger);
    });
    outcomes.push(shown("create_at_logtime before", before));
    outcomes.push(shown("create_at_logtime after", &dir.text("F")));

    let dir = Dir::new();
    dir.run(&config("mode = \"0640\""), info("x"));
    let mode = fs::metadata(dir.path("F")).unwrap().permissions().mode() & 0o7777;
    outcomes.push(shown("umask 0027", &format!("{mode:04o}")));
    outcomes.push(shown("syswrite", &dir.text("F")));

    let dir = Dir::new();
    let started = dir.builder(&config("").replace("DIR/F", "DIR/d/e/x.log")).start();
    started.iter().for_each(|guard| info("x")(guard.logger()));
    outcomes.push(trapped("missing directory", started.as_ref()));
    outcomes.push(trapped("mkpath", started.as_ref()));
    drop(started);
    outcomes.push(shown("mkpath file", &dir.text("d/e/x.log")));

    let dir = Dir::new();
    let guard = dir.builder(&config("")).start().unwrap();
    guard.logger().reload(dir.builder(&config("").replace("DIR/F", "DIR/file2"))).unwrap();
    info("switched")(guard.logger());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let old = if dir.text("F").is_empty() { "old empty" } else { "old has data" };
    outcomes.push(shown("file_switch", &format!("{}/{old}", dir.text("file2"))));
    golden.compare(outcomes);
}
