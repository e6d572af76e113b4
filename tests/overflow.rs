//! A destination stands still until the journal and the rings are full: then the overflow policy
//! decides, what it drops is counted, and the log itself says so.
//!
//! Every test ends with the identity: emitted = delivered + dropped, by the test's own ledger.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollway::{Builder, Guard, Level, Logger, OverflowPolicy, ShutdownReport};
use support::destination::{Collected, Collector, Gate};
use support::{PATIENCE, wait_until, watchdog};

/// What the journal can hold: two segments of 8 MiB.
const JOURNAL_BYTES: u64 = 16 << 20;
const RING_BYTES: usize = 256 << 10;
/// Bytes of ballast in each event, so that few of them fill the journal.
const BALLAST_BYTES: usize = 3000;
/// So many events are more than the journal and a ring hold.
const TOO_MANY: u64 = 8000;

struct Stalled {
    guard: Guard,
    gate: Gate,
    collected: Collected,
}

/// An engine whose only appender, a mandatory one, takes nothing until the gate opens.
fn stalled(policy: OverflowPolicy) -> Stalled {
    let gate = Gate::default();
    let (collector, collected) = Collector::new();
    let guard = builder().overflow(policy).appender("stalled", collector.behind(&gate)).start();
    Stalled { guard: guard.unwrap(), gate, collected }
}

fn builder() -> Builder {
    rollway::builder().level(Level::TRACE).ring_bytes(RING_BYTES).journal_max_bytes(JOURNAL_BYTES)
}

fn log(logger: &Logger, level: Level, number: u64, ballast: &str) {
    rollway::log!(logger: logger, level, "{number} {} {ballast}", level.name());
}

impl Stalled {
    /// Logs until journal and ring are full, then some more. Says how many events that were.
    fn flood(&self, level: Level) -> u64 {
        let ballast = "x".repeat(BALLAST_BYTES);
        let mut emitted = 0;
        let mut log_some = |events| {
            let numbers = emitted..emitted + events;
            numbers.for_each(|number| log(self.guard.logger(), level, number, &ballast));
            emitted += events;
        };
        wait_until("the journal is full", || {
            log_some(64);
            self.guard.stats().journal_error.is_some()
        });
        log_some(100);
        emitted
    }

    /// Opens the gate and ends.
    fn finish(self) -> (Vec<(u64, String)>, Vec<String>, ShutdownReport) {
        self.gate.open();
        let report = self.guard.shutdown(PATIENCE);
        let is_report = |message: &String| message.contains("events were dropped");
        let (reports, events): (Vec<_>, Vec<_>) =
            self.collected.messages().into_iter().partition(is_report);
        let events = events.iter().map(|message| {
            let mut words = message.split(' ');
            (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
        });
        (events.collect(), reports, report)
    }
}

/// The sum of what the reports in the log itself say.
fn reported(reports: &[String]) -> u64 {
    reports.iter().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn assert_identity(emitted: u64, events: &[(u64, String)], report: &ShutdownReport) {
    let delivered = events.iter().collect::<HashSet<_>>().len();
    assert_eq!(delivered, events.len(), "delivered twice");
    assert_eq!(emitted, delivered as u64 + report.dropped.total(), "{report:?}");
    assert_eq!((report.left(), report.left_in_rings_bytes), (0, 0), "{report:?}");
}

#[test]
fn drop_loses_what_does_not_fit_and_says_how_much() {
    let _watchdog = watchdog();
    let engine = stalled(OverflowPolicy::Drop);
    let emitted = engine.flood(Level::INFO);
    let (events, reports, report) = engine.finish();
    assert_identity(emitted, &events, &report);
    assert!(report.dropped.total() > 0, "nothing overflowed");
    let reasons: Vec<_> = report.dropped.reasons().collect();
    assert_eq!(reasons, [("ring full", report.dropped.total())]);
    assert_eq!(reported(&reports), report.dropped.total(), "{reports:?}");
    assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0), "the order is broken");
}

#[test]
fn block_waits_until_there_is_room_and_loses_nothing() {
    let _watchdog = watchdog();
    let engine = stalled(OverflowPolicy::Block);
    let logged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ballast = "x".repeat(BALLAST_BYTES);
            for number in 0..TOO_MANY {
                log(engine.guard.logger(), Level::INFO, number, &ballast);
                logged.store(number + 1, Ordering::Release);
            }
        });
        wait_until("the journal is full", || engine.guard.stats().journal_error.is_some());
        // Whatever still fits into the ring is logged; then the thread stands still.
        let mut before = u64::MAX;
        wait_until("the thread stands still", || {
            std::thread::sleep(Duration::from_millis(50));
            let now = logged.load(Ordering::Acquire);
            std::mem::replace(&mut before, now) == now
        });
        assert!(before < TOO_MANY, "nothing overflowed");
        engine.gate.open();
    });
    let (events, reports, report) = engine.finish();
    assert_identity(TOO_MANY, &events, &report);
    assert_eq!((report.dropped.total(), reports.len()), (0, 0));
    let numbers: Vec<_> = events.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..TOO_MANY).collect::<Vec<_>>());
}

#[test]
fn block_for_a_time_waits_that_long_then_drops() {
    let _watchdog = watchdog();
    let engine = stalled(OverflowPolicy::BlockFor(Duration::from_millis(20)));
    let ballast = "x".repeat(BALLAST_BYTES);
    let mut emitted = 0;
    let dropped = || engine.guard.stats().dropped.total();
    let mut longest = Duration::ZERO;
    while dropped() < 5 {
        let began = Instant::now();
        log(engine.guard.logger(), Level::INFO, emitted, &ballast);
        longest = longest.max(began.elapsed());
        emitted += 1;
        assert!(emitted < TOO_MANY, "nothing was dropped");
    }
    assert!(longest >= Duration::from_millis(20), "it did not wait: {longest:?}");
    let (events, reports, report) = engine.finish();
    assert_identity(emitted, &events, &report);
    assert_eq!(reported(&reports), report.dropped.total(), "{reports:?}");
}

#[test]
fn drop_below_a_level_keeps_errors_and_drops_the_rest() {
    let _watchdog = watchdog();
    let engine = stalled(OverflowPolicy::DropBelow(Level::WARN));
    let emitted = engine.flood(Level::DEBUG);
    assert!(engine.guard.stats().dropped.total() > 0, "nothing overflowed");
    const ERRORS: u64 = 50;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ballast = "x".repeat(BALLAST_BYTES);
            for number in 0..ERRORS {
                log(engine.guard.logger(), Level::ERROR, number, &ballast);
                log(engine.guard.logger(), Level::DEBUG, emitted + number, &ballast);
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        engine.gate.open();
    });
    let (events, reports, report) = engine.finish();
    assert_identity(emitted + 2 * ERRORS, &events, &report);
    let errors = events.iter().filter(|(_, level)| *level == Level::ERROR.name());
    assert_eq!(errors.count() as u64, ERRORS);
    assert_eq!(reported(&reports), report.dropped.total(), "{reports:?}");
}

#[test]
fn an_optional_appender_is_overtaken_and_holds_nobody_up() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let (collector, collected) = Collector::new();
    let (quick, quickly_collected) = Collector::new();
    let guard = builder()
        .appender("optional", collector.optional().behind(&gate))
        .appender("quick", quick)
        .start()
        .unwrap();
    // The segment where it stands is kept for it, and two more are the journal's.
    const EVENTS: u64 = 2 * TOO_MANY;
    let ballast = "x".repeat(BALLAST_BYTES);
    (0..EVENTS).for_each(|number| log(guard.logger(), Level::INFO, number, &ballast));
    guard.flush().unwrap();
    assert_eq!(quickly_collected.len() as u64, EVENTS);
    gate.open();
    let passed_over = || guard.stats().appenders[0].overtaken_segments;
    wait_until("the optional appender has gone on", || passed_over() > 0);
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    assert!((collected.len() as u64) < EVENTS);
}

#[test]
fn a_shutdown_before_a_stalled_appender_keeps_to_its_deadline() {
    let _watchdog = watchdog();
    let engine = stalled(OverflowPolicy::Drop);
    engine.flood(Level::INFO);
    let began = Instant::now();
    let report = engine.guard.shutdown(Duration::from_millis(300));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(report.delivered(), 0, "{report:?}");
    assert!(report.left() > 0 && report.left_in_rings_bytes > 0, "{report:?}");
    assert!(report.dropped.total() > 0, "{report:?}");
    engine.gate.open();
}
