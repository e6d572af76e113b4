//! Relays of a fail-over stand in for one another, and each event is in one of them.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollway::appender::{
    self, AppendError, Appender, Batch, FailOver, Forwarder, Open, OpenError, Opened, Place,
};
use rollway::journal::Position;
use rollway::route::filter::Text;
use rollway::warp::Warp;
use rollway::{Guard, Level, Mask};

use support::{PATIENCE, Random, lines, message_file, wait_until, watchdog};

/// A destination in memory that can fail.
#[derive(Clone, Default)]
struct Failing {
    messages: Arc<Mutex<Vec<String>>>,
    /// So many events are taken before it fails; a failure within a batch leaves its first part.
    left: Arc<AtomicU64>,
    tries: Arc<AtomicU32>,
    settled: Position,
}

impl Failing {
    fn new(left: u64) -> Failing {
        let failing = Failing::default();
        failing.left.store(left, Ordering::SeqCst);
        failing
    }

    fn set_left(&self, left: u64) {
        self.left.store(left, Ordering::SeqCst);
    }

    fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

impl Open for Failing {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Failing { settled: place.begin, ..self.clone() })))
    }
}

impl Appender for Failing {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let (mut failed, mut settled) = (false, None);
        batch.for_each_at(|at, event| {
            failed |= self.left.load(Ordering::SeqCst) == 0;
            if failed {
                settled.get_or_insert(at);
                return;
            }
            self.left.fetch_sub(1, Ordering::SeqCst);
            let mut message = String::new();
            event.message(&mut message);
            self.messages.lock().unwrap().push(message);
        });
        self.settled = self.settled.max(settled.unwrap_or(batch.next()));
        match failed {
            true => Err(AppendError::Unavailable { source: std::io::Error::other("it is away") }),
            false => Ok(()),
        }
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

fn start(appender: FailOver, dir: Option<&Path>) -> Guard {
    let builder = rollway::builder().level(Level::TRACE).flush_timeout(PATIENCE);
    let builder = match dir {
        Some(dir) => builder.journal_dir(dir),
        None => builder,
    };
    builder.appender("both", appender).start().unwrap()
}

fn log(guard: &Guard, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| rollway::info!(logger: guard.logger(), "{number}"));
    guard.flush().unwrap();
}

#[test]
fn the_next_relay_takes_what_the_first_cannot_and_gives_it_back() {
    let _watchdog = watchdog();
    let (first, second) = (Failing::new(3), Failing::new(u64::MAX));
    let both = FailOver::new().relay("first", first.clone()).relay("second", second.clone());
    let guard = start(both.retry_after(Duration::ZERO), None);
    log(&guard, 0..10);
    assert_eq!(first.messages(), ["0", "1", "2"]);
    assert_eq!(second.messages(), ["3", "4", "5", "6", "7", "8", "9"]);
    first.set_left(u64::MAX);
    log(&guard, 10..12);
    assert_eq!(first.messages()[3..], ["10", "11"]);
    assert_eq!(second.messages().len(), 7);
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, &stats.failing), (12, &None));
    // The switches were told.
    assert!(stats.errors >= 2, "{stats:?}");
}

#[test]
fn a_relay_that_failed_is_left_alone_for_a_while() {
    let _watchdog = watchdog();
    let (first, second) = (Failing::new(0), Failing::new(u64::MAX));
    let both = FailOver::new().relay("first", first.clone()).relay("second", second.clone());
    let guard = start(both.retry_after(Duration::from_secs(3600)), None);
    for number in 0..5 {
        log(&guard, number..number + 1);
    }
    assert_eq!(second.messages().len(), 5);
    assert_eq!(first.tries.load(Ordering::SeqCst), 1);
}

#[test]
fn nothing_is_lost_or_doubled_while_relays_come_and_go() {
    let _watchdog = watchdog();
    let relays = [Failing::new(0), Failing::new(0), Failing::new(0)];
    let names = ["a", "b", "c"];
    let all = names
        .into_iter()
        .zip(&relays)
        .fold(FailOver::new(), |all, (name, relay)| all.relay(name, relay.clone()));
    let guard = start(all.retry_after(Duration::ZERO), None);
    let mut random = Random(7);
    for number in 0..2000_u64 {
        rollway::info!(logger: guard.logger(), "{number}");
        if number % 50 == 0 {
            let relay = &relays[random.below(3) as usize];
            relay.set_left(random.below(100));
            std::thread::sleep(Duration::from_micros(random.below(3000)));
        }
    }
    relays[2].set_left(u64::MAX);
    guard.flush().unwrap();
    let mut numbers: Vec<u64> = Vec::new();
    for relay in &relays {
        let messages = relay.messages();
        let own: Vec<u64> = messages.iter().map(|message| message.parse().unwrap()).collect();
        assert!(own.is_sorted(), "{own:?}");
        numbers.extend(own);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
}

#[test]
fn where_no_relay_is_there_the_journal_keeps_everything() {
    let _watchdog = watchdog();
    let (first, second) = (Failing::new(0), Failing::new(0));
    let both = FailOver::new().relay("first", first.clone()).relay("second", second.clone());
    let guard = start(both, None);
    rollway::info!(logger: guard.logger(), "kept");
    wait_until("it fails", || guard.stats().appenders[0].failing.is_some());
    second.set_left(1);
    guard.flush().unwrap();
    assert_eq!(second.messages(), ["kept"]);
}

#[test]
fn a_restart_goes_on_behind_what_some_relay_has() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let path = dir.path().join("second");
    let both = |first: &Failing| {
        FailOver::new().relay("first", first.clone()).relay("second", message_file(&path))
    };
    let first = Failing::new(2);
    let guard = start(both(&first), Some(&journal));
    log(&guard, 0..5);
    guard.shutdown(PATIENCE);
    assert_eq!(first.messages(), ["0", "1"]);
    assert_eq!(lines(&path), ["2", "3", "4"]);
    first.set_left(u64::MAX);
    let guard = start(both(&first), Some(&journal));
    log(&guard, 5..7);
    guard.shutdown(PATIENCE);
    assert_eq!(first.messages(), ["0", "1", "5", "6"]);
    assert_eq!(lines(&path), ["2", "3", "4"]);
}

#[test]
fn a_relay_that_cannot_be_opened_at_the_start_is_opened_when_it_can_be() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    // A file stands where its directory is to be.
    let (mount, second) = (dir.path().join("mount"), dir.path().join("second"));
    std::fs::write(&mount, "").unwrap();
    let first = mount.join("first");
    let both = || {
        let both = FailOver::new().relay("first", message_file(&first));
        both.relay("second", message_file(&second)).retry_after(Duration::ZERO)
    };
    let guard = start(both(), Some(&dir.path().join("journal")));
    log(&guard, 0..3);
    assert_eq!(lines(&second), ["0", "1", "2"]);
    assert!(guard.stats().appenders[0].errors > 0, "it is told");
    std::fs::remove_file(&mount).unwrap();
    log(&guard, 3..5);
    assert_eq!(lines(&first), ["3", "4"]);
    guard.shutdown(PATIENCE);
    let guard = start(both(), Some(&dir.path().join("journal")));
    log(&guard, 5..6);
    assert_eq!((lines(&first).len(), lines(&second).len()), (3, 3));
    drop(guard);
}

#[test]
fn where_no_relay_can_be_opened_the_start_fails_with_the_reason() {
    let away = |name: &str| message_file(&Path::new("/dev/null").join(name));
    let both = FailOver::new().relay("first", away("a")).relay("second", away("b"));
    let error = rollway::builder().appender("both", both).start().unwrap_err().to_string();
    assert!(error.contains("`both.first`") && error.contains("/dev/null/a"), "{error}");
}

#[test]
fn what_cannot_be_a_relay_is_refused() {
    let refused = |appender: FailOver| {
        rollway::builder().appender("both", appender).start().unwrap_err().to_string()
    };
    let error = refused(FailOver::new());
    assert!(error.contains("appender `both`: it has no relays"), "{error}");
    let one = || Failing::new(0);
    let error = refused(FailOver::new().relay("a", one()).relay("a", one()));
    assert!(error.contains("`both.a`: another relay"), "{error}");
    let gates = [
        appender::with(one()).threshold(Level::WARN),
        appender::with(one()).filter(Text::new(["x"])),
        appender::with(one()).mask(Mask::new().key("password")),
        appender::with(one()).warp(Warp::join("|")),
    ];
    for gated in gates {
        let error = refused(FailOver::new().relay("a", gated));
        assert_eq!(
            error,
            "appender `both.a`: a relay has no threshold, filter, mask or warp of its own; put it \
             before the whole appender"
        );
    }
    let error = refused(FailOver::new().relay("m", Forwarder::new("localhost:1")));
    assert!(error.contains("ships whole blocks"), "{error}");
}
