//! Log calls at the worst of times: none hangs, none panics, each has a defined result.

mod support;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;
use rollway::{Guard, InitError, Level, Logger};
use support::destination::{Collected, Collector};
use support::{PATIENCE, child, watchdog};

fn engine() -> (Guard, Collected) {
    let (collector, collected) = Collector::new();
    (rollway::builder().appender("memory", collector).start().unwrap(), collected)
}

/// Ends the engine; nothing was dropped. The messages.
fn end(guard: Guard, collected: &Collected) -> Vec<String> {
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    collected.messages()
}

/// Does what its function does when it is displayed.
struct Displayed<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Displayed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

#[test]
fn a_display_that_panics_is_a_placeholder_and_its_neighbours_arrive() {
    let _watchdog = watchdog();
    let (guard, collected) = engine();
    let logger = guard.logger();
    let panicking = Displayed(|_: &mut fmt::Formatter<'_>| panic!("in Display"));
    for number in 0..100 {
        rollway::info!(logger: logger, "before {number}");
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            rollway::info!(logger: logger, "bad {number} {panicking}");
        }));
        assert!(outcome.is_ok(), "the log call panicked");
        rollway::info!(logger: logger, "after {number}");
    }
    let messages = end(guard, &collected);
    let expected = (0..100).flat_map(|n| {
        let bad = format!("bad {n} <formatting panicked>");
        [format!("before {n}"), bad, format!("after {n}")]
    });
    assert_eq!(messages, expected.collect::<Vec<_>>());
}

#[test]
fn a_display_that_fails_is_a_placeholder_and_its_neighbours_arrive() {
    let _watchdog = watchdog();
    let (guard, collected) = engine();
    let failing = Displayed(|f: &mut fmt::Formatter<'_>| {
        f.write_str("half")?;
        Err(fmt::Error)
    });
    rollway::info!(logger: guard.logger(), "value {} end {}", failing, 7);
    rollway::info!(logger: guard.logger(), "next");
    let messages = end(guard, &collected);
    assert_eq!(messages, ["value <formatting failed> end 7", "next"]);
}

/// Logs itself, one level less deep, before it is displayed.
struct Nested<'a> {
    logger: Option<&'a Logger>,
    depth: usize,
}

impl fmt::Display for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth > 0 {
            let inner = Nested { depth: self.depth - 1, ..*self };
            match self.logger {
                Some(logger) => rollway::info!(logger: logger, "inner {inner}"),
                None => rollway::info!("inner {inner}"),
            }
        }
        write!(f, "{}", self.depth)
    }
}

#[test]
fn a_display_that_logs_delivers_the_inner_events_and_the_outer_one() {
    let _watchdog = watchdog();
    for depth in [1, 10] {
        let (guard, collected) = engine();
        let nested = Nested { logger: Some(guard.logger()), depth };
        rollway::info!(logger: guard.logger(), "outer {nested}");
        let messages = end(guard, &collected);
        let mut expected: Vec<_> = (0..depth).map(|inner| format!("inner {inner}")).collect();
        expected.push(format!("outer {depth}"));
        assert_eq!(messages, expected);
    }
}

#[test]
fn ten_mebibytes_are_cut_with_a_marker_and_counted() {
    let _watchdog = watchdog();
    let (guard, collected) = engine();
    let flood = Displayed(|f: &mut fmt::Formatter<'_>| {
        (0..10 << 10).try_for_each(|_| f.write_str(&"x".repeat(1024)))
    });
    rollway::info!(logger: guard.logger(), "begin {flood} end");
    let text = "ü".repeat(5 << 20);
    rollway::info!(logger: guard.logger(), "begin {text} end");
    rollway::info!(logger: guard.logger(), "next");
    assert_eq!(guard.stats().dropped.cut(), 2);
    let messages = end(guard, &collected);
    assert_eq!(messages.len(), 3);
    for message in &messages[..2] {
        assert!(message.len() <= 64 << 10, "{} bytes", message.len());
        assert!(message.starts_with("begin ") && message.ends_with("bytes cut] end"));
    }
    assert_eq!(messages[2], "next");
}

#[test]
fn the_longest_record_is_the_same_for_every_call() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard =
        rollway::builder().record_bytes_max(4096).appender("memory", collector).start().unwrap();
    let text = "x".repeat(10_000);
    for _ in 0..3 {
        rollway::info!(logger: guard.logger(), "{text}");
    }
    assert_eq!(guard.stats().dropped.cut(), 3);
    let messages = end(guard, &collected);
    assert!(messages.iter().all(|message| message.len() <= 4096), "{:?}", messages[1].len());
    assert_eq!(messages.len(), 3);
}

#[test]
fn an_event_that_fits_no_record_is_counted() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard =
        rollway::builder().record_bytes_max(256).appender("memory", collector).start().unwrap();
    let (a, b, c, d) = (u128::MAX, u128::MAX, u128::MAX, u128::MAX);
    // 16 numbers of 16 bytes each.
    rollway::info!(
        logger: guard.logger(),
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
        a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d
    );
    rollway::info!(logger: guard.logger(), "next");
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.dropped.reasons().collect::<Vec<_>>(), [("too long", 1)]);
    let messages = collected.messages();
    assert!(messages.iter().any(|message| message == "next"), "{messages:?}");
    let says = "1 events were dropped: 1 too long";
    assert!(messages.iter().any(|message| message == says), "{messages:?}");
    assert_eq!(messages.len(), 2);
}

struct LogsWhenDropped(Logger, &'static str);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        rollway::info!(logger: self.0, "{}", self.1);
    }
}

#[test]
fn destructors_of_thread_locals_and_of_unwinding_log() {
    thread_local!(static LATE: RefCell<Vec<LogsWhenDropped>> = const { RefCell::new(Vec::new()) });

    let _watchdog = watchdog();
    let (guard, collected) = engine();
    for _ in 0..20 {
        let logger = guard.logger().clone();
        let ended = std::thread::spawn(move || {
            LATE.with_borrow_mut(|late| late.push(LogsWhenDropped(logger.clone(), "late")));
            rollway::info!(logger: logger, "first");
            LATE.with_borrow_mut(|late| late.push(LogsWhenDropped(logger.clone(), "late")));
            let _unwinding = LogsWhenDropped(logger, "unwinding");
            std::panic::resume_unwind(Box::new("as if it had panicked"));
        });
        assert!(ended.join().is_err());
    }
    let messages = end(guard, &collected);
    let count = |text: &str| messages.iter().filter(|message| *message == text).count();
    assert_eq!((count("first"), count("unwinding"), count("late")), (20, 20, 40));
}

#[test]
fn after_the_shutdown_a_call_is_counted_and_returns() {
    let _watchdog = watchdog();
    let (guard, collected) = engine();
    let logger = guard.logger().clone();
    rollway::info!(logger: logger, "before");
    assert_eq!(end(guard, &collected), ["before"]);
    // The level is off from now on: the call ends at its first branch.
    assert!(!logger.is_enabled(Level::FATAL));
    for _ in 0..1000 {
        rollway::fatal!(logger: logger, "after");
    }
    assert!(logger.flush().is_err() || logger.flush().is_ok());
    // Somebody turns it on again: then the events are counted.
    logger.set_level(Level::INFO);
    for _ in 0..1000 {
        rollway::info!(logger: logger, "after");
    }
    let dropped = logger.stats().dropped;
    assert_eq!(dropped.reasons().collect::<Vec<_>>(), [("after shutdown", 1000)]);
    assert_eq!(collected.messages(), ["before"]);
}

/// An appender that logs each batch it gets, to its own engine.
#[derive(Clone)]
struct Echo {
    logger: std::sync::Arc<std::sync::OnceLock<Logger>>,
    settled: Position,
}

impl Open for Echo {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Echo { settled: place.begin, ..self.clone() })))
    }
}

impl Appender for Echo {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        let mut from_outside = 0;
        batch.for_each(|event| from_outside += usize::from(&*event.site.category != "echo"));
        if let Some(logger) = self.logger.get().filter(|_| from_outside > 0) {
            // More than the rings hold: a thread of rollway's own must not wait for room, which
            // nobody makes while it waits.
            for _ in 0..10_000 {
                rollway::info!(target: "echo", logger: logger, "{}", "x".repeat(500));
            }
        }
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

#[test]
fn an_appender_that_logs_to_its_own_engine_never_waits() {
    let _watchdog = watchdog();
    let logger = std::sync::Arc::default();
    let echo = Echo { logger: std::sync::Arc::clone(&logger), settled: Position::default() };
    let guard = rollway::builder().ring_bytes(16 << 10).appender("echo", echo).start().unwrap();
    logger.set(guard.logger().clone()).unwrap();
    rollway::info!(logger: guard.logger(), "go");
    guard.flush().unwrap();
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
    // One report of drops at a time may be among the delivered ones.
    let own = report.delivered() + report.dropped.total();
    assert!(own >= 10_001, "{report:?}");
}

#[test]
fn two_engines_of_one_process_keep_their_events_apart() {
    let _watchdog = watchdog();
    let (first, in_first) = engine();
    let (second, in_second) = engine();
    for number in 0..100 {
        rollway::info!(logger: first.logger(), "first {number}");
        rollway::info!(logger: second.logger(), "second {number}");
    }
    assert_eq!(end(first, &in_first), (0..100).map(|n| format!("first {n}")).collect::<Vec<_>>());
    rollway::info!(logger: second.logger(), "still there");
    let messages = end(second, &in_second);
    assert_eq!(messages.len(), 101);
    assert!(messages[..100].iter().all(|message| message.starts_with("second")));
}

/// The process's logger is one for the process: these take turns in a child.
#[test]
fn the_logger_of_the_process_has_a_beginning_and_an_end() {
    if child::part().is_some() {
        return live_and_die();
    }
    let _watchdog = watchdog();
    let test = "the_logger_of_the_process_has_a_beginning_and_an_end";
    let output =
        child::command(test, "live").stderr(std::process::Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn live_and_die() {
    thread_local!(static LATE: Cell<Option<LogsAnywhere>> = const { Cell::new(None) });
    struct LogsAnywhere;
    impl Drop for LogsAnywhere {
        fn drop(&mut self) {
            rollway::info!("late");
        }
    }

    let _watchdog = watchdog();
    rollway::info!("before init, nobody listens");
    assert!(rollway::logger().is_none());
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().appender("memory", collector).init().unwrap();
    assert!(matches!(rollway::builder().init(), Err(InitError::AlreadyInitialised)));
    let refused = rollway::builder().init().unwrap_err().to_string();
    assert!(refused.contains("`start`"), "{refused}");

    rollway::info!("outer {}", Nested { logger: None, depth: 3 });
    std::panic::set_hook(Box::new(|info| {
        rollway::error!("hook: {}", info.payload_as_str().unwrap_or_default());
    }));
    let panicking = Displayed(|_: &mut fmt::Formatter<'_>| panic!("in Display"));
    assert!(catch_unwind(|| panic!("at large")).is_err());
    let outcome = catch_unwind(AssertUnwindSafe(|| rollway::info!("{panicking}")));
    drop(std::panic::take_hook());
    assert!(outcome.is_ok(), "the log call panicked");
    std::thread::spawn(|| {
        LATE.set(Some(LogsAnywhere));
        rollway::info!("thread");
    })
    .join()
    .unwrap();
    let report = guard.shutdown(Duration::from_secs(30));
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    let messages = collected.messages();
    let count = |text: &str| messages.iter().filter(|message| message.as_str() == text).count();
    for text in ["inner 0", "inner 1", "inner 2", "outer 3", "hook: at large", "thread", "late"] {
        assert_eq!(count(text), 1, "{text:?} in {messages:?}");
    }
    assert_eq!(count("hook: in Display"), 1, "{messages:?}");

    rollway::info!("after shutdown, nobody listens");
    // Another one may follow.
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().appender("memory", collector).init().unwrap();
    rollway::info!("again");
    drop(guard);
    assert_eq!(collected.messages(), ["again"]);
}
