//! What configurations make of a program when it runs.

mod support;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rollway::config::{Config, Sources};
use rollway::{Guard, Level, Logger};
use support::{wait_until, watchdog};

/// Starts what a text says, with `DIR` as the directory of the test.
fn started(dir: &Path, text: &str) -> (Guard, Logger) {
    let text = text.replace("DIR", dir.to_str().unwrap());
    let config = Config::parse_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    let guard = config.builder().unwrap().start().unwrap();
    let logger = guard.logger().clone();
    (guard, logger)
}

fn text_of(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn a_mask_hides_values_from_all_and_that_of_an_appender_from_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (guard, logger) = started(
        dir.path(),
        "[mask]\nkeys = ['password']\n[layouts.m]\ntype = 'pattern'\npattern = '%m%n'\n\
         [appenders.all]\ntype = 'file'\npath = 'DIR/all.log'\nlayout = 'm'\n\
         [appenders.less]\ntype = 'file'\npath = 'DIR/less.log'\nlayout = 'm'\n\
         mask = { key_patterns = 'user*' }\n",
    );
    let (password, user_id) = ("hunter2", 7);
    rollway::info!(logger: logger, "{user_id} with {password}");
    drop((guard, logger));
    assert_eq!(text_of(dir.path(), "all.log"), "7 with [masked]\n");
    assert_eq!(text_of(dir.path(), "less.log"), "[masked] with [masked]\n");
}

#[test]
fn a_warp_changes_the_messages_of_its_appender_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (guard, logger) = started(
        dir.path(),
        "[layouts.m]\ntype = 'pattern'\npattern = '%m%n'\n\
         [appenders.all]\ntype = 'file'\npath = 'DIR/all.log'\nlayout = 'm'\n\
         [appenders.joined]\ntype = 'file'\npath = 'DIR/joined.log'\nlayout = 'm'\nwarp = 'join:|'\n",
    );
    rollway::info!(logger: logger, "a{}b{}", 1, 2);
    drop((guard, logger));
    assert_eq!(text_of(dir.path(), "all.log"), "a1b2\n");
    assert_eq!(text_of(dir.path(), "joined.log"), "a|1|b|2\n");
}

#[test]
fn a_reload_from_a_file_leaves_alone_what_is_described_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollway.toml");
    let describe = |pattern: &str, keep: u32| {
        let text = "[layouts.a]\ntype = 'pattern'\npattern = 'A %m%n'\n\
             [layouts.b]\ntype = 'pattern'\npattern = 'PATTERN'\n\
             [appenders.a]\ntype = 'file'\npath = 'DIR/a.log'\nlayout = 'a'\n\
             [appenders.b]\ntype = 'file'\npath = 'DIR/b.log'\nlayout = 'b'\n\
             [appenders.c]\ntype = 'file'\npath = 'DIR/c.log'\nrotate_bytes = '1MiB'\nkeep = KEEP\n";
        let text = text.replace("DIR", dir.path().to_str().unwrap()).replace("PATTERN", pattern);
        fs::write(&path, text.replace("KEEP", &keep.to_string())).unwrap();
    };
    let sources = Sources::new().file(&path);
    let described = move || Config::load(&sources).and_then(|config| config.builder());
    describe("B %m%n", 1);
    let guard = described().unwrap().reload_from(described).start().unwrap();
    let logger = guard.logger().clone();
    let reloaded = logger.reload_from_source().unwrap();
    assert_eq!(reloaded.unchanged, ["a", "b", "c"]);
    describe("new %m%n", 1);
    let reloaded = logger.reload_from_source().unwrap();
    assert_eq!(
        (&*reloaded.unchanged, &*reloaded.changed),
        (&["a", "c"].map(str::to_owned)[..], &["b".to_owned()][..])
    );
    describe("new %m%n", 2);
    assert_eq!(logger.reload_from_source().unwrap().changed, ["c"]);
    describe("%", 2);
    assert!(logger.reload_from_source().is_err());
    rollway::info!(logger: logger, "said");
    drop((guard, logger));
    assert_eq!(text_of(dir.path(), "b.log"), "new said\n");
}

#[test]
fn files_that_change_are_taken_while_the_program_runs() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollway.toml");
    let describe = |level: &str| {
        fs::write(&path, format!("level = '{level}'\nreload_every = '10ms'\n")).unwrap();
    };
    describe("warn");
    let sources = Sources::new().file(&path);
    let described = move || Config::load(&sources).and_then(|config| config.builder());
    let guard = described().unwrap().reload_from(described).start().unwrap();
    assert!(!guard.logger().is_enabled(Level::DEBUG));
    describe("debug");
    wait_until("the new level", || guard.logger().is_enabled(Level::DEBUG));
}

#[test]
fn a_control_socket_is_where_the_section_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control");
    let (guard, _) = started(dir.path(), "[control]\npath = 'DIR/control'\n");
    UnixStream::connect(&path).unwrap();
    drop(guard);
    let (_guard, _) = started(dir.path(), "[control]\nenabled = false\npath = 'DIR/control'\n");
    assert!(!path.exists());
}

#[test]
fn a_master_has_a_control_socket_in_its_journal_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let start = |journal: &str, more: &str| {
        let dir = dir.path().display();
        let text = format!("[master]\nlisten = 'localhost:0'\njournal = '{dir}/{journal}'\n{more}");
        Config::parse_toml(&text).unwrap().master().unwrap().builder.start().unwrap()
    };
    let one = start("one", "");
    UnixStream::connect(dir.path().join("one/control")).unwrap();
    let two = start("two", "[control]\nenabled = false\n");
    assert!(!dir.path().join("two/control").exists());
    // Too long for a socket: the master does without.
    let name = "x".repeat(120);
    let three = start(&name, "");
    assert!(!dir.path().join(name).join("control").exists());
    drop((one, two, three));
}

#[test]
fn directives_in_the_environment_lie_on_top_of_categories_in_a_file() {
    let sources = Sources::new()
        .toml("level = 'error'\n[categories.\"shop::db\"]\nlevel = 'warn'\nadditive = false\n")
        .variables([("ROLLWAY_LOG", "info,shop::db=debug,noisy=off,shop::till=dbug")]);
    let shown = Config::load(&sources).unwrap().show();
    let of = |line: &str| {
        let found = shown.lines().filter(|found| found.starts_with(line)).collect::<Vec<_>>();
        found.join("\n")
    };
    assert!(of("level = \"info\"").ends_with("ROLLWAY_LOG in the environment"), "{shown}");
    assert!(of("level = \"debug\"").ends_with("ROLLWAY_LOG in the environment"), "{shown}");
    assert!(of("additive = false").ends_with("line 4, column 12"), "{shown}");
    assert!(shown.contains("[categories.noisy]\nlevel = \"off\""), "{shown}");
    assert!(!shown.contains("till"), "{shown}");
}

/// A layout of messages alone, and the beginning of a file appender with it.
const FILES: &str = "[layouts.m]\ntype = 'pattern'\npattern = '%m%n'\n";

fn file(name: &str) -> String {
    format!("[appenders.{name}]\ntype = 'file'\npath = 'DIR/{name}.log'\nlayout = 'm'\n")
}

#[test]
fn filters_of_a_configuration_decide_what_an_appender_gets() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{FILES}[filters.grave]\ntype = 'level_range'\nmin = 'warn'\n\
         [filters.slow]\ntype = 'regex'\nregex = 'took \\\\d{{4,}} ms'\n\
         [filters.joe]\ntype = 'key_value'\nkey = 'user'\nequals = 'joe'\n\
         [filters.told]\ntype = 'boolean'\nexpression = '(grave || slow) && !joe'\n\
         {}filter = 'told'\n{}filter = [{{ type = 'text', contains = 'TOOK', ignore_case = true, on_mismatch = 'neutral' }}, 'grave']\n",
        file("told").replace("\\\\", "\\"),
        file("chain"),
    )
    .replace("\\\\d", "\\d");
    let (guard, logger) = started(dir.path(), &text);
    rollway::info!(logger: logger, "took 12 ms");
    rollway::info!(logger: logger, "took 1234 ms");
    rollway::warn!(logger: logger, "no room");
    rollway::warn!(logger: logger, user = "joe"; "no room for joe");
    drop((guard, logger));
    assert_eq!(text_of(dir.path(), "told.log"), "took 1234 ms\nno room\n");
    assert_eq!(
        text_of(dir.path(), "chain.log"),
        "took 12 ms\ntook 1234 ms\nno room\nno room for joe\n"
    );
}

#[test]
fn composites_of_a_configuration_stand_before_their_relays() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{FILES}{}{}[appenders.held]\ntype = 'buffer'\nrelays = 'all'\nmax_events = 2\n\
         trigger_level = 'error'\nflush_at_shutdown = false\n\
         [appenders.grave]\ntype = 'filtered'\nrelays = ['few']\nthreshold = 'warn'\n",
        file("all"),
        file("few"),
    );
    let (guard, logger) = started(dir.path(), &text);
    for n in 1..=4 {
        rollway::info!(logger: logger, "{n}");
    }
    rollway::error!(logger: logger, "broken");
    rollway::info!(logger: logger, "5");
    drop((guard, logger));
    let all = text_of(dir.path(), "all.log");
    assert!(all.ends_with("4\nbroken\n") && !all.contains('1'), "{all}");
    assert_eq!(text_of(dir.path(), "few.log"), "broken\n");
}

#[test]
fn categories_of_a_configuration_have_levels_and_appenders() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "level = 'warn'\n{FILES}{}{}[categories.root]\nappenders = 'all'\n\
         [categories.\"shop.till\"]\nlevel = 'debug'\nappenders = 'till'\nadditive = false\n",
        file("all"),
        file("till"),
    );
    let (guard, logger) = started(dir.path(), &text);
    rollway::debug!(logger: logger, target: "shop::till::drawer", "open");
    rollway::info!(logger: logger, target: "shop", "unheard");
    rollway::warn!(logger: logger, target: "shop", "full");
    drop((guard, logger));
    assert_eq!(text_of(dir.path(), "till.log"), "open\n");
    assert_eq!(text_of(dir.path(), "all.log"), "full\n");
}

#[test]
fn files_of_a_configuration_are_one_for_each_value_and_are_rolled() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{FILES}[appenders.tenants]\ntype = 'per_value'\ndirectory = 'DIR/tenants'\nby = 'pair:tenant'\n\
         extension = 'txt'\nmissing = 'drop'\nlayout = 'm'\n\
         {}rotate_bytes = 4\nkeep = 1\nkeep_extension = true\n\
         [appenders.plain]\ntype = 'file'\npath = 'DIR/plain.log'\nremove_colour = true\n\
         layout = {{ type = 'pattern', pattern = '%[%p%] %m%n' }}\n",
        file("rolled"),
    );
    let (guard, logger) = started(dir.path(), &text);
    rollway::info!(logger: logger, tenant = "../up"; "one");
    rollway::info!(logger: logger, tenant = "b"; "two");
    rollway::info!(logger: logger, "six");
    drop((guard, logger));
    let mut names: Vec<_> = fs::read_dir(dir.path().join("tenants")).unwrap().collect();
    assert_eq!(names.len(), 2);
    names.retain(|entry| entry.as_ref().unwrap().file_name() == "b.txt");
    assert_eq!(fs::read_to_string(names[0].as_ref().unwrap().path()).unwrap(), "two\n");
    assert_eq!(text_of(dir.path(), "rolled.log"), "six\n");
    assert_eq!(text_of(dir.path(), "rolled.2.log"), "two\n");
    assert!(!dir.path().join("rolled.1.log").exists());
    assert_eq!(text_of(dir.path(), "plain.log"), "INFO one\nINFO two\nINFO six\n");
}

#[test]
fn a_fail_over_of_a_configuration_goes_on_with_its_next_relay() {
    let dir = tempfile::tempdir().unwrap();
    let describe = |pattern: &str| {
        let text = format!(
            "[layouts.m]\ntype = 'pattern'\npattern = '{pattern}'\n\
             [appenders.log]\ntype = 'fail_over'\nrelays = ['full', 'local']\nretry_after = '1h'\n\
             [appenders.full]\ntype = 'file'\npath = '/dev/full'\n{}",
            file("local"),
        );
        text.replace("DIR", dir.path().to_str().unwrap())
    };
    let config = |pattern: &str| Config::parse_toml(&describe(pattern)).unwrap();
    assert_eq!(config("%m%n").summary()[0], "appenders: log");
    let guard = config("%m%n").builder().unwrap().start().unwrap();
    let logger = guard.logger().clone();
    rollway::info!(logger: logger, "sold");
    guard.flush().unwrap();
    assert_eq!(text_of(dir.path(), "local.log"), "sold\n");
    // A relay's layout is a part of the appender.
    let reload = |pattern| logger.reload(config(pattern).builder().unwrap()).unwrap();
    assert_eq!(reload("%m%n").unchanged, ["log"]);
    assert_eq!(reload("- %m%n").changed, ["log"]);
}

#[test]
fn the_environment_names_the_file_of_a_program_that_says_nothing() {
    use support::child;
    const NAME: &str = "the_environment_names_the_file_of_a_program_that_says_nothing";
    if child::part().is_some() {
        match rollway::init() {
            Ok(guard) => {
                rollway::info!("sold");
                drop(guard);
            }
            Err(error) => {
                let mut told = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    told = format!("{told}: {error}");
                    cause = error.source();
                }
                fs::write(child::variable("TOLD"), told).unwrap();
            }
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollway.toml");
    let text = format!("level = 'error'\n{FILES}{}", file("all"));
    fs::write(&path, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let told = dir.path().join("told");
    let run = |config: &Path, variables: &[(&str, &str)]| {
        let _ = fs::remove_file(&told);
        let mut command = child::command(NAME, "program");
        command.env("ROLLWAY_CONFIG", config).env("TOLD", &told).envs(variables.iter().copied());
        assert!(command.status().unwrap().success());
        fs::read_to_string(&told).unwrap_or_default()
    };
    assert_eq!(run(&path, &[("ROLLWAY__LEVEL", "info")]), "");
    assert_eq!(text_of(dir.path(), "all.log"), "sold\n");
    let other = dir.path().join("other.log");
    assert_eq!(
        run(
            &path,
            &[("ROLLWAY_LOG", "debug"), ("ROLLWAY__APPENDERS__ALL__PATH", other.to_str().unwrap())]
        ),
        ""
    );
    assert_eq!(text_of(dir.path(), "other.log"), "sold\n");
    let wrong = run(&path, &[("ROLLWAY__APPENDERS__ALL__MODE", "0999")]);
    assert!(
        wrong.contains("ROLLWAY__APPENDERS__ALL__MODE in the environment: `mode` is \"0999\""),
        "{wrong}"
    );
    let missing = run(&dir.path().join("missing.toml"), &[]);
    assert!(missing.contains("missing.toml: the configuration cannot be read: "), "{missing}");
}

#[test]
fn a_master_that_names_a_composite_has_its_relays_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[master]\nlisten = 'localhost:0'\nappender = 'grave'\n{FILES}{}{}\
         [appenders.grave]\ntype = 'filtered'\nrelays = 'wanted'\nthreshold = 'error'\n\
         [appenders.held]\ntype = 'buffer'\nrelays = 'other'\n",
        file("wanted"),
        file("other"),
    );
    let text = text.replace("DIR", dir.path().to_str().unwrap());
    let master = Config::parse_toml(&text).unwrap().master().unwrap().builder.start().unwrap();
    assert!(dir.path().join("wanted.log").exists());
    assert!(!dir.path().join("other.log").exists());
    drop(master);
}

#[test]
fn a_reload_names_the_key_that_only_a_restart_takes() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let of = |keys: &str| {
        let socket = dir.path().join("socket");
        let text = format!("{keys}\n[appenders.none]\ntype = 'null'\n[control]\npath = {socket:?}");
        Config::parse_toml(&text).unwrap().builder().unwrap()
    };
    let guard = of("reload_every = '1min'").start().unwrap();
    for (keys, key) in [
        ("reload_every = '1min'\nsignals = true", "signals"),
        ("reload_every = '2min'", "reload_every"),
        ("", "reload_every"),
    ] {
        let refused = guard.logger().reload(of(keys)).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("{key} cannot change while the process runs; restart it for that")
        );
    }
    let without = Config::parse_toml("reload_every = '1min'\n[appenders.none]\ntype = 'null'");
    let refused = guard.logger().reload(without.unwrap().builder().unwrap()).unwrap_err();
    assert!(refused.to_string().starts_with("control cannot change"), "{refused}");
    guard.logger().reload(of("level = 'debug'\nreload_every = '1min'")).unwrap();
    // In code one says what one likes: it counts for nothing.
    guard.logger().reload(rollway::builder().signals(true)).unwrap();
}
