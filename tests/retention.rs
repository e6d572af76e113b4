//! The journal keeps what a mandatory appender has not settled, over restarts too.

mod support;

use std::path::Path;
use std::time::Duration;

use rollway::{Builder, OverflowPolicy};
use support::destination::{Collector, Gate};
use support::{PATIENCE, watchdog};

fn builder(dir: &Path) -> Builder {
    rollway::builder()
        .journal_dir(dir.join("journal"))
        .journal_max_bytes(32 << 20)
        .rings_dir(dir.join("rings"))
}

#[test]
fn restarts_lose_nothing_that_a_mandatory_appender_has_not_taken() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (stalled, _) = Collector::new();
    let guard = builder(dir.path())
        .overflow(OverflowPolicy::Drop)
        .appender("slow", stalled.behind(&gate))
        .start()
        .unwrap();
    let filler = "x".repeat(10_000);
    let mut emitted = 0;
    while guard.stats().journal_error.is_none() {
        rollway::info!(logger: guard.logger(), "{emitted} {filler}");
        emitted += 1;
    }
    let dropped = guard.stats().dropped.total();
    // Nothing is delivered: the thread stays at the gate, which opens when the engine is gone.
    let report = guard.shutdown(Duration::from_millis(200));
    assert_eq!(report.appenders[0].delivered, 0);
    gate.open();
    for _ in 0..3 {
        // The collector begins where an appender without a cursor does.
        let (idle, _) = Collector::new();
        assert_eq!(
            builder(dir.path()).appender("slow", idle).start().unwrap().shutdown(PATIENCE).left(),
            0
        );
    }
    let found = support::journal::messages(&dir.path().join("journal"));
    // The log itself reports the dropped ones.
    let events = found.iter().filter(|message| message.ends_with(&filler)).count();
    assert_eq!(events as u64, emitted - dropped, "of {emitted}, {dropped} were dropped");
}
