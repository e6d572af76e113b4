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
