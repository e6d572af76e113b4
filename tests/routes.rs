//! Events go to the appenders of their category.

mod support;

use std::time::Duration;

use support::{lines, message_file, watchdog};

#[test]
fn events_go_to_the_appenders_of_their_nearest_category() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let guard = rollway::builder()
        .appender("all", message_file(&path("all")))
        .appender("shop", message_file(&path("shop")))
        .route("", ["all"])
        .route("shop", ["shop", "all"])
        .route("shop::secret", ["shop"])
        .start()
        .unwrap();
    let logger = guard.logger();
    rollway::info!(logger: logger, target: "shop::till", "sold");
    rollway::info!(logger: logger, target: "shop::secret::code", "1234");
    rollway::info!(logger: logger, target: "shopping", "bought");
    let report = guard.shutdown(Duration::from_secs(10));
    assert_eq!(lines(&path("all")), ["sold", "bought"]);
    assert_eq!(lines(&path("shop")), ["sold", "1234"]);
    assert_eq!(report.left(), 0);
}

#[test]
fn a_route_to_an_unknown_appender_is_refused_by_name() {
    let error = rollway::builder().route("shop", ["shpo"]).start().unwrap_err();
    assert!(error.to_string().contains("`shpo`"), "{error}");
}
