//! What configurations make of a program when it runs.

use std::fs;
use std::path::Path;

use rollway::config::Config;
use rollway::{Guard, Logger};

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
