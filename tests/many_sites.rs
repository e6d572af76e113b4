//! More call sites at once than the table beside the rings has room for at first.

mod support;

use std::time::Duration;

use rollway::site;
use support::{lines, message_file, watchdog};

macro_rules! twelve {
    ($($what:tt)*) => {
        $($what)* $($what)* $($what)* $($what)* $($what)* $($what)*
        $($what)* $($what)* $($what)* $($what)* $($what)* $($what)*
    };
}

const SITES: u32 = 12 * 12 * 12;

#[test]
fn sites_that_find_no_room_at_once_keep_their_one_id() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("file", message_file(&path))
        .init()
        .unwrap();
    const ROUNDS: u64 = 20;
    for round in 0..ROUNDS {
        let mut place = 0_u64;
        twelve! { twelve! { twelve! {
            rollway::info!("{round} {place}");
            place += 1;
        }}}
        assert_eq!(place, u64::from(SITES));
    }
    let ids = site::next_id() - site::FIRST_SITE_ID;
    assert!(ids <= SITES + 16, "{ids} ids were drawn for {SITES} sites");
    let report = guard.shutdown(Duration::from_secs(20));
    assert_eq!(report.delivered(), u64::from(SITES) * ROUNDS);
    let expected = (0..ROUNDS).flat_map(|r| (0..SITES).map(move |p| format!("{r} {p}")));
    assert!(lines(&path).into_iter().eq(expected));
}
