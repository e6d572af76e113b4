//! What becomes of locks and held events where a process, or an appender, does not get to its end.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;
#[cfg(feature = "crash-points")]
use rollway::route::composite::Buffer;
use rollway::route::composite::Synchronized;
use rollway::{Builder, Guard};

use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

fn builder() -> Builder {
    rollway::builder().flush_timeout(PATIENCE)
}

/// What never comes back from its first batch: it stays in there, or panics.
struct Stuck {
    panics: bool,
    settled: Position,
    /// Made when it is in there.
    entered: std::path::PathBuf,
}

impl Open for Stuck {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let (entered, panics, settled) = (self.entered.clone(), self.panics, place.begin);
        Ok(Opened::Events(Box::new(Stuck { panics, settled, entered })))
    }
}

impl Appender for Stuck {
    fn append(&mut self, _: &Batch<'_>) -> Result<(), AppendError> {
        std::fs::write(&self.entered, "").unwrap();
        assert!(!self.panics, "under the lock");
        loop {
            std::thread::sleep(PATIENCE);
        }
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

/// An engine whose appender takes the lock and does not give it back by itself.
fn hold_lock(dir: &Path, panics: bool) -> Guard {
    let stuck = Stuck { panics, settled: Position::default(), entered: dir.join("entered") };
    let lock = Synchronized::new(["stuck"]).lock_file(dir.join("lock"));
    let guard = builder().appender("stuck", stuck).composite("one", lock).start().unwrap();
    rollway::info!(logger: guard.logger(), "held");
    guard
}

/// An engine that needs the lock for its file.
fn want_lock(dir: &Path) -> Guard {
    let lock = Synchronized::new(["file"]).lock_file(dir.join("lock"));
    let lock = lock.wait(Duration::from_millis(10));
    let file = message_file(&dir.join("log"));
    let guard = builder().appender("file", file).composite("one", lock).start().unwrap();
    rollway::info!(logger: guard.logger(), "wanted");
    guard
}

#[test]
fn a_lock_whose_holder_is_killed_is_free_again() {
    const TEST: &str = "a_lock_whose_holder_is_killed_is_free_again";
    if child::part().is_some() {
        let _guard = hold_lock(Path::new(&child::variable("DIR")), false);
        loop {
            std::thread::sleep(PATIENCE);
        }
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let mut holder = child::command(TEST, "hold").env("DIR", dir.path()).spawn().unwrap();
    wait_until("the other has the lock", || dir.path().join("entered").exists());
    let guard = want_lock(dir.path());
    wait_until("it waits for the lock", || {
        let failing = guard.stats().appenders.remove(0).failing;
        failing.is_some_and(|why| why.contains("somebody holds the lock"))
    });
    assert!(lines(&dir.path().join("log")).is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    guard.flush().unwrap();
    assert_eq!(lines(&dir.path().join("log")), ["wanted"]);
}

#[test]
fn a_lock_under_which_an_appender_panicked_is_free_again() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let _panicked = hold_lock(dir.path(), true);
    wait_until("it panics", || dir.path().join("entered").exists());
    let guard = want_lock(dir.path());
    guard.flush().unwrap();
    assert_eq!(lines(&dir.path().join("log")), ["wanted"]);
}

/// Events that a buffer holds until the end.
#[cfg(feature = "crash-points")]
const EVENTS: usize = 200;

/// A run that logs `EVENTS` events where the journal has none, has a buffer hold them, and ends.
#[cfg(feature = "crash-points")]
fn hold_to_the_end() {
    let dir = child::variable("DIR");
    let dir = Path::new(&dir);
    let guard = builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("file", message_file(&dir.join("log")))
        .composite("buffer", Buffer::new(["file"]))
        .start()
        .unwrap();
    if !dir.join("logged").exists() {
        for number in 0..EVENTS {
            rollway::info!(logger: guard.logger(), "{number}");
            if number % 50 == 49 {
                guard.flush().unwrap();
            }
        }
        assert!(lines(&dir.join("log")).is_empty());
        // The points that were passed so far.
        let passed = std::fs::read(dir.join("trace")).unwrap_or_default();
        std::fs::write(dir.join("logged"), passed).unwrap();
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_kill_while_the_end_hands_on_what_was_held_loses_and_doubles_nothing() {
    const TEST: &str = "a_kill_while_the_end_hands_on_what_was_held_loses_and_doubles_nothing";
    if child::part().is_some() {
        return hold_to_the_end();
    }
    let _watchdog = watchdog();
    let run = |dir: &Path, variable: Option<(&str, &str)>| {
        child::command(TEST, "hold").env("DIR", dir).envs(variable).status().unwrap().success()
    };
    let all: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
    // A run that is not killed says which points the end passes.
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    assert!(run(dir.path(), Some(("ROLLWAY_CRASH_TRACE", trace.to_str().unwrap()))));
    assert_eq!(lines(&dir.path().join("log")), all);
    let (whole, before) = (lines(&trace), lines(&dir.path().join("logged")));
    let mut points: Vec<_> = whole[before.len()..].to_vec();
    points.sort();
    points.dedup();
    assert!(points.iter().any(|point| point == "file.text"), "{points:?}");
    for point in points {
        let times = |of: &[String]| of.iter().filter(|passed| **passed == point).count();
        let (first, last) = (times(&before) + 1, times(&whole));
        for time in [first, (first + last) / 2, last] {
            let (dir, at) = (tempfile::tempdir().unwrap(), format!("{point}:{time}"));
            let ended = run(dir.path(), Some(("ROLLWAY_CRASH_AT", &at)));
            let was_at_end = dir.path().join("logged").exists();
            // Blocks are not cut alike in each run: this one may come earlier, or not at all.
            if point == "file.text" && time == first {
                assert!(was_at_end && !ended, "{at} was not reached at the end");
            }
            if !was_at_end {
                continue;
            }
            assert!(run(dir.path(), None), "{at}");
            assert_eq!(lines(&dir.path().join("log")), all, "{at}");
        }
    }
}
