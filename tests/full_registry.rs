//! More call sites than can have an id.

mod support;

use rollway::Level;
use rollway::site::{Definition, MAX_SITES, Names, Site};
use support::destination::Collector;
use support::{PATIENCE, watchdog};

const DEFINITION: Definition<'static> = Definition {
    level: Level::INFO,
    line: 1,
    column: 1,
    target: "many",
    module: "many",
    file: "many.rs",
    template: "",
    names: Names::Listed(&[]),
};

fn say(word: &str) {
    rollway::debug!("{word}");
}

#[test]
fn a_call_beyond_the_last_id_follows_the_levels_as_others_do() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().appender("memory", collector).init().unwrap();
    let sites: Vec<Site> = (0..MAX_SITES).map(|_| Site::new(DEFINITION)).collect();
    // They are registered for as long as the process lives.
    let sites: &'static [Site] = sites.leak();
    sites.iter().for_each(|site| assert!(site.is_enabled()));

    say("disabled");
    guard.logger().set_level(Level::DEBUG);
    say("enabled");
    guard.logger().set_level(Level::INFO);
    say("disabled again");
    guard.logger().set_category_level(module_path!(), Some(Level::DEBUG.into())).unwrap();
    say("enabled again");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(collected.messages(), ["enabled", "enabled again"]);
}
