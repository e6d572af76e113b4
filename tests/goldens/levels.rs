//! Levels, thresholds, and which appenders get an event.

use rollway::level::Colour;
use rollway::{Level, LevelFilter, Logger, enabled};

use crate::golden::{Golden, shown};
use crate::running::{Dir, file, say};
use crate::support::watchdog;

#[test]
fn thresholds_and_additivity_decide_which_appenders_get_an_event() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("10-thresholds-additivity") else { return };
    let root = |level: &str, appenders: &str| {
        format!("[categories.root]\nlevel = \"{level}\"\nappenders = [{appenders}]\n")
    };
    let both = || file("A", "") + &file("B", "");
    let category = |name: &str, appenders: &str, keys: &str| {
        format!("[categories.\"{name}\"]\nlevel = \"debug\"\nappenders = [{appenders}]\n{keys}\n")
    };
    let mut outcomes = Vec::new();
    let mut go = |title: &str, names: &[&str], config: String, calls: &dyn Fn(&Logger)| {
        let dir = Dir::new();
        dir.run(&config, calls);
        outcomes.push(ab(title, names, &dir));
    };

    go(
        "additive: child and root appender both fire",
        &["A", "B"],
        root("debug", "\"A\"") + &category("x.y", "\"B\"", "") + &both(),
        &|logger| say(logger, "x.y", Level::INFO, "m"),
    );
    go(
        "child level decides, parents appenders ignore their loggers level",
        &["A", "B"],
        root("error", "\"A\"") + &category("x.y", "\"B\"", "") + &both(),
        &|logger| {
            say(logger, "x.y", Level::DEBUG, "m");
            say(logger, "q", Level::DEBUG, "n");
        },
    );
    go(
        "additivity=0",
        &["A", "B"],
        root("debug", "\"A\"") + &category("x.y", "\"B\"", "additive = false") + &both(),
        &|logger| {
            say(logger, "x.y", Level::INFO, "m");
            say(logger, "x", Level::INFO, "n");
        },
    );
    let twice = || root("debug", "\"A\"") + &category("p", "\"A\"", "") + &file("A", "");
    go(
        "same appender at two levels: message twice",
        &["A"],
        format!("one_message_per_appender = false\n{}", twice()),
        &|logger| say(logger, "p.q", Level::INFO, "m"),
    );
    go(
        "additivity=0 of the earlier case survives a new init: x.y has no appender left",
        &["A"],
        root("debug", "\"A\"") + &file("A", ""),
        &|logger| say(logger, "x.y", Level::INFO, "m"),
    );
    go("oneMessagePerAppender=1: once", &["A"], twice(), &|logger| {
        say(logger, "p.q", Level::INFO, "m");
    });
    let thresholds = |a: &str, b: &str| file("A", a) + &file("B", b);
    go(
        "appender Threshold",
        &["A", "B"],
        root("debug", "\"A\", \"B\"") + &thresholds("threshold = \"error\"", ""),
        &|logger| {
            say(logger, "", Level::INFO, "i");
            say(logger, "", Level::ERROR, "e");
        },
    );
    go(
        "system-wide threshold",
        &["A", "B"],
        "threshold = \"warn\"\n".to_owned()
            + &root("debug", "\"A\", \"B\"")
            + &thresholds("threshold = \"debug\"", "threshold = \"error\""),
        &|logger| {
            for level in [Level::INFO, Level::WARN, Level::ERROR] {
                say(logger, "", level, "m");
            }
        },
    );
    go(
        "return value: number of appenders that took it",
        &["A", "B"],
        root("debug", "\"A\", \"B\"") + &thresholds("threshold = \"error\"", ""),
        &|logger| {
            for level in [Level::TRACE, Level::INFO, Level::ERROR] {
                say(logger, "", level, "z");
            }
        },
    );
    go("lower-case threshold key", &["A"], file("A", "threshold = \"error\""), &|logger| {
        say(logger, "", Level::ERROR, "m");
    });
    golden.compare(outcomes);
}

#[test]
fn levels_of_ones_own_stand_between_the_built_in_ones() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("14-levels") else { return };
    let built_in = Level::ALL.map(|level| format!("{} {}", level.name(), level.number()));
    let dir = Dir::new();
    let config = format!(
        "level = \"config\"\n[levels.notify]\nvalue = 10\n[levels.config]\nvalue = 7\n{}",
        file("A", "")
    );
    let (mut enabled_at, mut is_warn) = (Vec::new(), false);
    let mut before = String::new();
    let mut own = Vec::new();
    dir.run(&config, |logger| {
        let level = |name: &str| name.parse::<Level>().unwrap();
        own.extend(
            ["notify", "config"]
                .map(|name| format!("{} {}", level(name).name(), level(name).number())),
        );
        for name in ["debug", "config", "info", "notify", "warn", "error"] {
            say(logger, "", level(name), name);
        }
        for name in ["trace", "debug", "config", "info", "notify", "warn", "error", "fatal"] {
            let taken = enabled!(logger: logger, level(name));
            enabled_at.push(format!("{name}={}", u8::from(taken)));
        }
        is_warn = enabled!(logger: logger, Level::WARN);
        logger.flush().unwrap();
        before = dir.text("A");
        say(logger, "", Level::INFO, "via log()");
    });
    let late = Level::register("late", 11, Colour::Blue).unwrap();
    golden.compare([
        shown("built-in levels: name value log-dispatch syslog", &built_in.join("\n")),
        shown("after create_custom_level(NOTIFY, WARN) and (CONFIG, INFO, 5, 2)", &own.join("\n")),
        shown("threshold CONFIG", &before),
        shown("is_*", &enabled_at.join(" ")),
        shown("isWarnEnabled", &u8::from(is_warn).to_string()),
        shown("custom level after init", late.name()),
        shown("log()", &dir.text("A")),
        shown(
            "invalid level in logger line",
            &"LOUD".parse::<LevelFilter>().unwrap_err().to_string(),
        ),
    ]);
}

/// What the appenders A and B wrote, as the script prints it.
fn ab(title: &str, names: &[&str], dir: &Dir) -> (String, String) {
    let line = |name: &&str| {
        let text = dir.text(name);
        format!("{name}: {}\n", text.lines().collect::<Vec<_>>().join("|"))
    };
    shown(title, &names.iter().map(line).collect::<String>())
}
