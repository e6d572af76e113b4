//! The time of day is set while events flow.

mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::clock::{SystemUtc, UtcClock};
use rollway::info;
use rollway::journal::Position;
use support::{PATIENCE, watchdog};

const HOUR_NS: i64 = 3600 * 1_000_000_000;
const THREADS: u64 = 3;
const EVENTS: u64 = 2000;

/// The system's time and an offset that tests set.
#[derive(Clone, Default)]
struct Stepped(Arc<AtomicI64>);

impl UtcClock for Stepped {
    fn utc_ns(&self) -> i64 {
        SystemUtc.utc_ns() + self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the time and the message of each event.
#[derive(Clone, Default)]
struct Recorder {
    events: Arc<Mutex<Vec<(i64, String)>>>,
    settled: Position,
}

impl Open for Recorder {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Recorder { settled: place.begin, ..self.clone() })))
    }
}

impl Appender for Recorder {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        let mut events = self.events.lock().unwrap();
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            events.push((event.time_ns, message));
        });
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
fn a_clock_that_is_set_while_events_flow_loses_none_and_keeps_each_threads_order() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    for (steps, journal) in
        [(vec![HOUR_NS], false), (vec![-HOUR_NS], true), (vec![-HOUR_NS, 0, HOUR_NS, 0], true)]
    {
        let (clock, recorder) = (Stepped::default(), Recorder::default());
        let mut builder =
            rollway::builder().clock(clock.clone()).appender("record", recorder.clone());
        if journal {
            builder =
                builder.journal_dir(dir.path().join("journal")).rings_dir(dir.path().join("rings"));
        }
        let guard = builder.start().unwrap();
        let logger = guard.logger();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for number in 0..EVENTS {
                        info!(logger: logger, "{thread}/{number}");
                        if number % 20 == 0 {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
            for step in &steps {
                std::thread::sleep(Duration::from_millis(15));
                clock.0.store(*step, Ordering::Relaxed);
            }
        });
        guard.flush().unwrap();
        info!(logger: logger, "after the steps");
        let report = guard.shutdown(PATIENCE);
        assert_eq!((report.left(), report.dropped.total()), (0, 0), "{steps:?}: {report:?}");

        let events = recorder.events.lock().unwrap();
        let mut next = [0; THREADS as usize];
        for (_, message) in &events[..events.len() - 1] {
            let (thread, number) = message.split_once('/').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*next), "{steps:?}: {message}");
            *next += 1;
        }
        assert_eq!(next, [EVENTS; THREADS as usize]);
        let (time_ns, message) = events.last().unwrap();
        assert_eq!(message, "after the steps");
        assert!(time_ns.abs_diff(clock.utc_ns()) < HOUR_NS as u64 / 2, "{steps:?}: {time_ns}");
    }
}

#[test]
fn a_program_that_starts_before_its_predecessors_time_goes_on_behind_it() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let mut delivered = Vec::new();
    for (run, step) in [HOUR_NS, -HOUR_NS, -2 * HOUR_NS, i64::MIN / 4].into_iter().enumerate() {
        let (clock, recorder) = (Stepped::default(), Recorder::default());
        clock.0.store(step, Ordering::Relaxed);
        let guard = rollway::builder()
            .clock(clock)
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .appender("record", recorder.clone())
            .start()
            .unwrap();
        info!(logger: guard.logger(), "run {run}");
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        delivered
            .extend(recorder.events.lock().unwrap().iter().map(|(_, message)| message.clone()));
    }
    assert_eq!(delivered, ["run 0", "run 1", "run 2", "run 3"]);
    assert_eq!(support::journal::messages(&dir.path().join("journal")), delivered);
}
