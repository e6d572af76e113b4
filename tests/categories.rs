//! Categories and levels, through an engine to its appenders.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rollway::level::{Colour, Levels, TooManyCategories};
use rollway::{Category, Directives, Guard, InitError, Level, LevelFilter, Logger, log};
use support::destination::{Collected, Collector};
use support::{PATIENCE, child, lines, message_file, watchdog};

/// An engine with collecting appenders of these names, beside the process's logger.
fn start<const N: usize>(
    names: [&str; N],
    describe: impl FnOnce(rollway::Builder) -> rollway::Builder,
) -> (Guard, [Collected; N]) {
    let collectors = names.map(|_| Collector::new());
    let mut builder = rollway::builder();
    for (name, (collector, _)) in names.iter().zip(&collectors) {
        builder = builder.appender(*name, collector.clone());
    }
    (describe(builder).start().unwrap(), collectors.map(|(_, collected)| collected))
}

/// What an appender has got after everything logged so far has arrived.
fn got(guard: &Guard, collected: &Collected) -> Vec<String> {
    guard.flush().unwrap();
    collected.messages()
}

/// There is one logger of the process: tests that start it come one after the other.
fn process_logger() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs one event of each level under a target.
fn log_all(logger: &Logger, target: &str) {
    for level in Level::ALL {
        log!(logger: logger, target: target, level, "{target} {level}");
    }
}

#[test]
fn the_level_of_a_category_is_its_own_or_that_of_the_nearest_above() {
    let _watchdog = watchdog();
    let (guard, [all]) = start(["all"], |builder| {
        builder
            .level(Level::ERROR)
            .category(Category::new("shop").level(Level::WARN))
            .category(Category::new("shop.db").level(LevelFilter::OFF))
    });
    for target in ["shop::till", "shop::db::pool", "shopping"] {
        log_all(guard.logger(), target);
    }
    let expected = [
        "shop::till WARN",
        "shop::till ERROR",
        "shop::till FATAL",
        "shopping ERROR",
        "shopping FATAL",
    ];
    assert_eq!(got(&guard, &all), expected);
}

#[test]
fn the_level_of_the_events_category_decides_for_the_appenders_above_it_too() {
    let _watchdog = watchdog();
    let (guard, [root, own]) = start(["root", "own"], |builder| {
        builder
            .category(Category::root().level(Level::ERROR).appenders(["root"]))
            .category(Category::new("x.y").level(Level::DEBUG).appenders(["own"]))
    });
    let logger = guard.logger();
    rollway::debug!(logger: logger, target: "x::y", "m");
    rollway::debug!(logger: logger, target: "q", "n");
    rollway::error!(logger: logger, target: "q", "o");
    assert_eq!(got(&guard, &root), ["m", "o"]);
    assert_eq!(got(&guard, &own), ["m"]);
}

#[test]
fn a_category_that_is_not_additive_keeps_its_events_from_the_appenders_above() {
    let _watchdog = watchdog();
    let (guard, [root, own]) = start(["root", "own"], |builder| {
        builder
            .category(Category::root().appenders(["root"]))
            .category(Category::new("x.y").appenders(["own"]).additive(false))
    });
    let logger = guard.logger();
    rollway::info!(logger: logger, target: "x::y::z", "m");
    rollway::info!(logger: logger, target: "x", "n");
    assert_eq!(got(&guard, &root), ["n"]);
    assert_eq!(got(&guard, &own), ["m"]);
}

#[test]
fn an_appender_attached_to_parent_and_child_gets_an_event_once() {
    let _watchdog = watchdog();
    let (guard, [a]) = start(["a"], |builder| {
        builder
            .category(Category::root().appenders(["a"]))
            .category(Category::new("p").appenders(["a"]))
    });
    rollway::info!(logger: guard.logger(), target: "p::q", "m");
    assert_eq!(got(&guard, &a), ["m"]);
}

#[test]
fn levels_and_appenders_come_from_above_also_where_a_category_is_not_named() {
    let _watchdog = watchdog();
    let (guard, [one, two, three]) = start(["s1", "s2", "s3"], |builder| {
        builder
            .category(Category::new("a").level(Level::INFO).appenders(["s1"]))
            // Nobody names `a.b`.
            .category(Category::new("a.b.debug").level(Level::DEBUG))
            .category(Category::new("a.b.both").appenders(["s2"]))
            .category(Category::new("a.b.own").appenders(["s3"]).additive(false))
    });
    for target in ["a.b", "a.b.debug", "a.b.both", "a.b.own.below"] {
        for level in [Level::DEBUG, Level::INFO] {
            log!(logger: guard.logger(), target: target, level, "{target} {level}");
        }
    }
    let expected = ["a.b INFO", "a.b.debug DEBUG", "a.b.debug INFO", "a.b.both INFO"];
    assert_eq!(got(&guard, &one), expected);
    assert_eq!(got(&guard, &two), ["a.b.both INFO"]);
    assert_eq!(got(&guard, &three), ["a.b.own.below INFO"]);
}

#[test]
fn an_unknown_appender_is_refused_with_the_nearest_name() {
    let _watchdog = watchdog();
    let (collector, _) = Collector::new();
    let builder = rollway::builder().appender("screen", collector);
    let error = builder
        .category(Category::new("shop").appenders(["scren"]))
        .start()
        .unwrap_err()
        .to_string();
    let expected =
        "category `shop` names appender `scren`, which there is not; did you mean `screen`?";
    assert_eq!(error, expected);
}

#[test]
fn a_threshold_raises_the_levels_of_all_categories_and_lowers_none() {
    let _watchdog = watchdog();
    let (guard, [all]) = start(["all"], |builder| {
        builder
            .level(Level::DEBUG)
            .category(Category::new("strict").level(Level::FATAL))
            .threshold(Level::ERROR)
    });
    log_all(guard.logger(), "lax");
    log_all(guard.logger(), "strict");
    assert_eq!(got(&guard, &all), ["lax ERROR", "lax FATAL", "strict FATAL"]);
}

#[test]
fn levels_change_at_run_time_for_calls_that_have_logged_before() {
    let _watchdog = watchdog();
    let _turn = process_logger();
    let (collector, all) = Collector::new();
    let guard = rollway::builder().appender("all", collector).init().unwrap();
    let logger = guard.logger();
    let say = |word: &str| {
        rollway::debug!(target: "shop::till", "{word}: lean");
        rollway::debug!(target: format!("shop::{}", "till"), "{word}: target");
        log!(target: "shop::till", Level::DEBUG, "{word}: level");
        rollway::debug!(logger: logger, target: "shop::till", "{word}: logger");
        let asked = [
            rollway::enabled!(target: "shop::till", Level::DEBUG),
            rollway::enabled!(target: format!("shop::{}", "till"), Level::DEBUG),
            rollway::enabled!(logger: logger, target: "shop::till", Level::DEBUG),
        ];
        assert_eq!(asked, [asked[0]; 3]);
        (asked[0], rollway::enabled!(Level::DEBUG))
    };

    assert_eq!(say("at first"), (false, false));
    logger.set_category_level("shop", Some(Level::DEBUG.into())).unwrap();
    assert_eq!(say("shop"), (true, false));
    logger.set_category_level("shop.till", Some(Level::INFO.into())).unwrap();
    assert_eq!(say("till"), (false, false));
    logger.set_level(Level::TRACE);
    assert_eq!(say("root"), (false, true));
    logger.set_category_level("shop::till", None).unwrap();
    assert_eq!(say("shop again"), (true, true));
    logger.apply_directives(&Directives::parse("warn,shop=off")).unwrap();
    assert_eq!(say("directives"), (false, false));

    let expected: Vec<_> = ["shop", "shop again"]
        .iter()
        .flat_map(|word| {
            ["lean", "target", "level", "logger"].map(|call| format!("{word}: {call}"))
        })
        .collect();
    assert_eq!(got(&guard, &all), expected);
}

#[test]
fn a_call_that_ran_before_the_start_follows_the_levels_of_the_start() {
    let _watchdog = watchdog();
    let _turn = process_logger();
    let say = |word: &str| {
        rollway::debug!(target: "early", "{word}");
        rollway::enabled!(target: "early", Level::DEBUG)
    };
    assert!(!say("before"));
    let (collector, all) = Collector::new();
    let builder = rollway::builder().category(Category::new("early").level(Level::DEBUG));
    let guard = builder.appender("all", collector).init().unwrap();
    assert!(say("while"));
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert!(!say("after"));
    assert_eq!(all.messages(), ["while"]);
}

#[test]
fn what_counts_where_can_be_asked_for() {
    let _watchdog = watchdog();
    let (guard, []) = start([], |builder| {
        builder.level(Level::WARN).directives(&Directives::parse("a=debug,b=off"))
    });
    let logger = guard.logger().clone();
    let levels = logger.levels();
    assert_eq!(levels.root(), Level::WARN.into());
    let categories: Vec<_> = levels.categories().collect();
    assert_eq!(categories, [("a", Level::DEBUG.into()), ("b", LevelFilter::OFF)]);
    assert_eq!(logger.level(), Level::WARN.into());
    assert!(logger.is_enabled(Level::WARN) && !logger.is_enabled(Level::INFO));
    drop(guard);
    assert_eq!(logger.levels(), Levels::new(LevelFilter::OFF));
}

#[test]
fn more_and_less_logging_step_through_the_levels() {
    let _watchdog = watchdog();
    let (guard, [all]) = start(["all"], |builder| builder.level(Level::FATAL));
    let logger = guard.logger();
    let say = |word: &str| {
        // Between them no other test names a level.
        for level in [Level::WARN, Level::ERROR] {
            log!(logger: logger, target: "a", level, "{word} {level}");
        }
    };
    say("first");
    logger.more_logging("a", 2).unwrap();
    say("more");
    logger.less_logging("a", 1).unwrap();
    say("less");
    assert_eq!(got(&guard, &all), ["more WARN", "more ERROR", "less ERROR"]);
}

#[test]
fn too_many_categories_are_refused_and_change_nothing() {
    let _watchdog = watchdog();
    let many: Vec<_> = (0..rollway::level::CATEGORIES_MAX).map(|n| format!("c{n:04}")).collect();
    let mut levels = Levels::new(Level::INFO);
    for category in &many {
        levels.set(category, Some(Level::WARN.into())).unwrap();
    }
    let mut builder = rollway::builder();
    for category in &many {
        builder = builder.category(Category::new(category).level(Level::WARN));
    }
    let guard = builder.clone().start().unwrap();
    let late = Some(Level::DEBUG.into());
    let error = guard.logger().set_category_level("late", late).unwrap_err();
    assert_eq!(error, TooManyCategories { category: "late".to_owned() });
    assert_eq!(guard.logger().levels(), levels);
    let error = builder.category(Category::new("late").level(Level::DEBUG)).start().unwrap_err();
    assert!(matches!(error, InitError::Categories(_)), "{error}");
}

#[test]
fn a_level_of_the_programs_own_is_logged_filtered_and_shown_by_its_name() {
    const NOTICE: Level = Level::from_number(10).unwrap();
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let layout = rollway::layout::Pattern::parse("%p %m%n").unwrap();
    let file = rollway::appender::File::new(&path).layout(layout);
    let builder = rollway::builder().custom_level("notice", 10, Colour::Blue);
    let guard = builder
        .directives(&Directives::parse("notice,below=info"))
        .appender("file", file)
        .start()
        .unwrap();
    let logger = guard.logger();
    for target in ["here", "below"] {
        for level in [Level::INFO, NOTICE, Level::WARN] {
            log!(logger: logger, target: target, level, "{target}");
        }
    }
    assert!(!rollway::enabled!(logger: logger, target: "here", Level::INFO));
    assert!(guard.shutdown(PATIENCE).left() == 0);
    assert_eq!(
        lines(&path),
        ["NOTICE here", "WARN here", "INFO below", "NOTICE below", "WARN below"]
    );
}

#[test]
fn a_level_that_cannot_be_named_is_an_error_of_the_start() {
    let builder = rollway::builder().custom_level("info", 10, Colour::Red).level(Level::DEBUG);
    let error = builder.start().unwrap_err().to_string();
    assert_eq!(error, "level `info` with number 10: the name is reserved; choose another");
}

#[test]
fn a_loggers_threads_see_a_change_of_levels_while_they_log() {
    let _watchdog = watchdog();
    let _turn = process_logger();
    let (collector, all) = Collector::new();
    let guard = rollway::builder().appender("all", collector).init().unwrap();
    let logger = guard.logger();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..2000 {
                    rollway::debug!(target: "busy", "{n}");
                    log!(target: "busy", Level::DEBUG, "{n}");
                }
            });
        }
        scope.spawn(|| {
            for n in 0..200 {
                let level = if n % 2 == 0 { Level::DEBUG } else { Level::ERROR };
                logger.set_category_level("busy", Some(level.into())).unwrap();
            }
        });
    });
    // The last change was to ERROR.
    let before = got(&guard, &all).len();
    rollway::debug!(target: "busy", "late");
    assert!(!rollway::enabled!(target: "busy", Level::DEBUG));
    assert_eq!(got(&guard, &all).len(), before);
}

/// What a child that called `rollway::init` and logged has written to standard error.
fn init_in_child(test: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = child::command(test, "init");
    for variable in ["ROLLWAY_LOG", "RUST_LOG", "ROLLWAY_CONFIG", "CLICOLOR_FORCE", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    // The event without its time, and lines of the self-log.
    let line = |line: &str| match line.strip_prefix("rollway: ") {
        Some(warning) => warning.to_owned(),
        None => line.split_once(' ').unwrap_or(("", "")).1.to_owned(),
    };
    text.lines().map(line).collect()
}

/// The child: the process's logger as it comes, and an event of each level under two targets.
fn play_init() {
    let guard = rollway::init().unwrap();
    for level in [Level::DEBUG, Level::INFO, Level::ERROR] {
        log!(target: "shop::db", level, "x");
        log!(target: "other", level, "x");
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn init_takes_its_levels_from_the_environment() {
    if child::part().is_some() {
        return play_init();
    }
    let _watchdog = watchdog();
    let run = |environment: &[(&str, &str)]| {
        init_in_child("init_takes_its_levels_from_the_environment", environment)
    };
    let (info, error) = (["INFO", "ERROR"], ["ERROR"]);
    let of = |target: &str, levels: &[&str]| -> Vec<String> {
        levels.iter().map(|level| format!("[{level}] {target} - x")).collect()
    };
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let both =
        |db: &[&str], other: &[&str]| sorted([of("shop::db", db), of("other", other)].concat());

    assert_eq!(sorted(run(&[])), both(&info, &info));
    assert_eq!(sorted(run(&[("RUST_LOG", "error")])), both(&error, &error));
    let first = [("ROLLWAY_LOG", "info"), ("RUST_LOG", "off")];
    assert_eq!(sorted(run(&first)), both(&info, &info));
    let empty = [("ROLLWAY_LOG", ""), ("RUST_LOG", "error,shop=debug")];
    assert_eq!(sorted(run(&empty)), both(&["DEBUG", "INFO", "ERROR"], &error));
    // As others do: what no directive names is off.
    assert_eq!(sorted(run(&[("RUST_LOG", "shop::db=info")])), both(&info, &[]));

    let lines = run(&[("RUST_LOG", "shop::db=eror,other=error")]);
    let warning = "RUST_LOG: `shop::db=eror` at character 1: unknown level; did you mean `error`?";
    assert_eq!(lines[0], warning);
    assert_eq!(sorted(lines[1..].to_vec()), both(&info, &error));

    let coloured = run(&[("RUST_LOG", "error"), ("CLICOLOR_FORCE", "1")]);
    assert!(coloured.iter().all(|line| line.contains("\x1b[39m")), "{coloured:?}");
}

#[cfg(feature = "config")]
#[test]
fn init_takes_its_configuration_from_the_file_that_the_environment_names() {
    if child::part().is_some() {
        return play_init();
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("rollway.toml"), dir.path().join("log"));
    let text = format!(
        "level = \"error\"\ncategories.shop.level = \"info\"\n\
         [appenders.file]\ntype = \"file\"\npath = {:?}\nlayout = \"brief\"\n",
        log.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let test = "init_takes_its_configuration_from_the_file_that_the_environment_names";
    let said = init_in_child(test, &[("ROLLWAY_CONFIG", config.to_str().unwrap())]);
    assert_eq!(said, [""; 0]);
    let mut found = lines(&log);
    found.sort();
    assert_eq!(found, ["ERROR - x", "ERROR - x", "INFO - x"]);
}

#[test]
fn routes_and_files_follow_categories_of_either_spelling() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let guard = rollway::builder()
        .appender("all", message_file(&path("all")))
        .appender("till", message_file(&path("till")))
        .category(Category::root().appenders(["all"]))
        .category(Category::new("shop.till").appenders(["till"]))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), target: "shop::till::drawer", "coins");
    rollway::info!(logger: guard.logger(), target: "shop.till", "notes");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&path("till")), ["coins", "notes"]);
    assert_eq!(lines(&path("all")), ["coins", "notes"]);
}

/// A case of Log4perl's: what appenders A and B have got, as `A: INFO - m|ERROR - e`.
fn case<const N: usize>(
    thresholds: [(&str, LevelFilter); N],
    describe: impl FnOnce(rollway::Builder) -> rollway::Builder,
    calls: impl FnOnce(&Logger),
) -> [String; N] {
    let collectors = thresholds.map(|(name, threshold)| (name, threshold, Collector::new()));
    let mut builder = rollway::builder();
    for (name, threshold, (collector, _)) in &collectors {
        let gated = rollway::appender::with(collector.clone()).threshold(*threshold);
        builder = builder.appender(*name, gated);
    }
    let guard = describe(builder).start().unwrap();
    calls(guard.logger());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    collectors.map(|(name, _, (_, got))| format!("{name}: {}", got.messages().join("|")))
}

fn say(logger: &Logger, target: &str, level: Level, message: &str) {
    log!(logger: logger, target: target, level, "{level} - {message}");
}

#[test]
fn thresholds_and_additivity_come_out_as_with_log4perl() {
    let _watchdog = watchdog();
    let (all, error) = (LevelFilter::ALL, LevelFilter::from(Level::ERROR));
    let (a, b) = (("A", all), ("B", all));
    let at = |name, level: Level, appender| Category::new(name).level(level).appenders([appender]);
    let root = |level: Level| Category::root().level(level).appenders(["A"]);

    let got = case(
        [a, b],
        |builder| builder.category(root(Level::DEBUG)).category(at("x.y", Level::DEBUG, "B")),
        |logger| say(logger, "x.y", Level::INFO, "m"),
    );
    assert_eq!(got, ["A: INFO - m", "B: INFO - m"]);

    let got = case(
        [a, b],
        |builder| builder.category(root(Level::ERROR)).category(at("x.y", Level::DEBUG, "B")),
        |logger| {
            say(logger, "x.y", Level::DEBUG, "m");
            say(logger, "q", Level::DEBUG, "n");
        },
    );
    assert_eq!(got, ["A: DEBUG - m", "B: DEBUG - m"]);

    let got = case(
        [a, b],
        |builder| {
            let child = at("x.y", Level::DEBUG, "B").additive(false);
            builder.category(root(Level::DEBUG)).category(child)
        },
        |logger| {
            say(logger, "x.y", Level::INFO, "m");
            say(logger, "x", Level::INFO, "n");
        },
    );
    assert_eq!(got, ["A: INFO - n", "B: INFO - m"]);

    for (once, expected) in [(false, "A: INFO - m|INFO - m"), (true, "A: INFO - m")] {
        let got = case(
            [a],
            |builder| {
                let builder = builder.one_message_per_appender(once);
                builder.category(root(Level::DEBUG)).category(at("p", Level::DEBUG, "A"))
            },
            |logger| say(logger, "p.q", Level::INFO, "m"),
        );
        assert_eq!(got, [expected]);
    }

    let both = |level: Level| Category::root().level(level).appenders(["A", "B"]);
    let got = case(
        [("A", error), b],
        |builder| builder.category(both(Level::DEBUG)),
        |logger| {
            say(logger, "", Level::INFO, "i");
            say(logger, "", Level::ERROR, "e");
        },
    );
    assert_eq!(got, ["A: ERROR - e", "B: INFO - i|ERROR - e"]);

    let got = case(
        [("A", Level::DEBUG.into()), ("B", error)],
        |builder| builder.threshold(Level::WARN).category(both(Level::DEBUG)),
        |logger| {
            for level in [Level::INFO, Level::WARN, Level::ERROR] {
                say(logger, "", level, "m");
            }
        },
    );
    assert_eq!(got, ["A: WARN - m|ERROR - m", "B: ERROR - m"]);
}

#[test]
fn levels_of_ones_own_come_out_as_with_log4perl() {
    let _watchdog = watchdog();
    let (guard, [all]) = start(["all"], |builder| {
        let builder = builder.custom_level("CONFIG", 7, Colour::White);
        let builder = builder.custom_level("NOTIFY", 11, Colour::White);
        builder.level("config".parse::<Level>().unwrap())
    });
    let logger = guard.logger();
    let words = ["trace", "debug", "config", "info", "notify", "warn", "error", "fatal"];
    let levels = words.map(|word| word.parse::<Level>().unwrap());
    assert!(levels.is_sorted());
    for (word, level) in words.iter().zip(levels) {
        say(logger, "", level, word);
        assert_eq!(rollway::enabled!(logger: logger, level), level >= levels[2], "{word}");
    }
    let expected = [
        "CONFIG - config",
        "INFO - info",
        "NOTIFY - notify",
        "WARN - warn",
        "ERROR - error",
        "FATAL - fatal",
    ];
    assert_eq!(got(&guard, &all), expected);
}
