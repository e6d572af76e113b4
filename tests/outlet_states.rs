//! What an operator sees of an appender whose destination fails or is too slow, and how it goes on.

mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rollway::appender::{
    AppendError, Appender, Batch, Console, File, Open, OpenError, Opened, Place, mandatory,
    optional,
};
use rollway::journal::Position;
use rollway::{Builder, Guard, OutletState, OutletStats, OverflowPolicy, WaitStrategy};
use support::destination::{Collector, Gate};
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

fn builder(dir: &Path) -> Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

fn log(guard: &Guard, messages: &[&str]) {
    messages.iter().for_each(|message| rollway::info!(logger: guard.logger(), "{message}"));
}

fn stats(guard: &Guard) -> OutletStats {
    guard.stats().appenders.remove(0)
}

/// Fails as long as it is told to.
#[derive(Clone, Default)]
struct Moody {
    fails: Arc<AtomicBool>,
    tries: Arc<AtomicU64>,
    settled: Position,
}

impl Open for Moody {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Moody { settled: place.begin, ..self.clone() })))
    }
}

impl Appender for Moody {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err(AppendError::Unavailable { source: io::Error::other("out of order") });
        }
        batch.count();
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
fn a_failing_destination_is_shown_with_its_tries_and_their_times_until_it_takes_events_again() {
    let _watchdog = watchdog();
    let moody = Moody::default();
    let (fails, tries) = (Arc::clone(&moody.fails), Arc::clone(&moody.tries));
    let guard = rollway::builder().appender("moody", moody).start().unwrap();
    assert_eq!(stats(&guard).state, OutletState::Running);
    fails.store(true, Ordering::Relaxed);
    let began = SystemTime::now();
    log(&guard, &["a"]);
    wait_until("it was tried three times", || {
        matches!(stats(&guard).state, OutletState::Retrying { attempts: 3.., .. })
    });
    let shown = stats(&guard);
    let OutletState::Retrying { attempts, since, next } = shown.state else {
        panic!("{:?}", shown.state);
    };
    assert!(shown.errors >= 3 && attempts <= shown.errors && since >= began && next >= since);
    assert_eq!(shown.failing.as_deref(), Some("the destination is not available: out of order"));
    fails.store(false, Ordering::Relaxed);
    guard.flush().unwrap();
    wait_until("it runs", || stats(&guard).state == OutletState::Running);
    let shown = stats(&guard);
    assert_eq!((shown.failing, shown.delivered), (None, 1));
    assert_eq!(shown.errors + 1, tries.load(Ordering::Relaxed));
}

#[test]
fn an_episode_of_failure_makes_two_lines_on_standard_error() {
    const TEST: &str = "an_episode_of_failure_makes_two_lines_on_standard_error";
    if child::part().is_some() {
        let moody = Moody::default();
        let fails = Arc::clone(&moody.fails);
        fails.store(true, Ordering::Relaxed);
        let guard = rollway::builder().appender("moody", moody).start().unwrap();
        log(&guard, &["a"]);
        wait_until("it fails", || {
            matches!(stats(&guard).state, OutletState::Retrying { attempts: 4.., .. })
        });
        fails.store(false, Ordering::Relaxed);
        drop(guard);
        return;
    }
    let _watchdog = watchdog();
    let output = child::command(TEST, "fail").output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("`moody`")).collect();
    let [failed, recovered] = lines[..] else { panic!("{said}") };
    assert_eq!(failed, "rollway: appender `moody`: the destination is not available: out of order");
    assert!(recovered.starts_with("rollway: appender `moody`: it goes on, after "), "{recovered}");
    assert!(recovered.ends_with(" tries that failed"), "{recovered}");
}

#[test]
fn an_appender_that_ended_says_so() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, _) = Collector::new();
    let guard = builder(dir.path()).appender("memory", collector).start().unwrap();
    assert_eq!(stats(&guard).state, OutletState::Running);
    let logger = guard.logger().clone();
    drop(guard);
    assert!(logger.stats().appenders.is_empty());
}

#[test]
fn whoever_is_optional_is_said_so_by_the_host() {
    assert!(File::new("x").is_mandatory() && !File::new("x").mandatory(false).is_mandatory());
    assert!(!Console::stderr().is_mandatory() && Console::stdout().mandatory(true).is_mandatory());
    assert!(
        !optional(File::new("x")).is_mandatory() && mandatory(Console::stdout()).is_mandatory()
    );
    let master = optional(Forwarder::new("localhost:1"));
    assert!(master.ships_blocks() && !optional(File::new("x")).ships_blocks());
}

/// Logs events of 10 kB until the journal has gone over its bound a few times.
fn log_too_many(guard: &Guard) -> u64 {
    let filler = "x".repeat(10_000);
    let mut number = 0;
    while guard.stats().end.generation < 12 {
        rollway::info!(logger: guard.logger(), "{number} {filler}");
        number += 1;
    }
    guard.flush().unwrap();
    number
}

#[test]
fn an_optional_appender_that_is_overtaken_says_what_it_skipped_and_goes_on_in_order() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let (slow, collected) = Collector::new();
    let guard = rollway::builder()
        .journal_max_bytes(32 << 20)
        .overflow(OverflowPolicy::Block)
        .appender("slow", optional(slow.behind(&gate)))
        .start()
        .unwrap();
    let logged = log_too_many(&guard);
    gate.open();
    wait_until("it has caught up", || stats(&guard).settled >= guard.stats().end);
    let shown = stats(&guard);
    assert!(shown.overtaken_segments > 0 && shown.overtaken_blocks > 0, "{shown:?}");
    assert_eq!(shown.delivered + skipped_events(&collected.messages(), &shown), logged);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// Looks for what was said; the number of events that are missing there.
fn skipped_events(messages: &[String], shown: &OutletStats) -> u64 {
    let number = |message: &String| message.split(' ').next()?.parse::<u64>().ok();
    let said: Vec<_> =
        messages.iter().enumerate().filter(|(_, message)| number(message).is_none()).collect();
    let blocks: u64 = said
        .iter()
        .map(|(_, said)| {
            let said = said.strip_prefix("events were skipped here: ").unwrap();
            said.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(blocks, shown.overtaken_blocks, "{said:?}");
    let gaps: Vec<_> = said
        .iter()
        .map(|(at, _)| number(&messages[at + 1]).unwrap() - number(&messages[at - 1]).unwrap() - 1)
        .collect();
    let numbers: Vec<_> = messages.iter().filter_map(number).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]));
    gaps.iter().sum()
}

#[test]
fn a_slow_optional_appender_holds_nobody_up() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (stuck, _) = Collector::new();
    let text = dir.path().join("app.log");
    let guard = rollway::builder()
        .journal_max_bytes(32 << 20)
        .appender("stuck", optional(stuck.behind(&gate)))
        .appender("file", message_file(&text))
        .start()
        .unwrap();
    let logged = log_too_many(&guard);
    assert_eq!(lines(&text).len() as u64, logged);
    gate.open();
}

/// Makes the file fail at its next rotation, says what it must say, and mends it.
struct Trouble {
    spoil: fn(&Path),
    mend: fn(&Path),
    says: &'static [&'static str],
}

#[test]
fn a_place_that_is_spoilt_at_run_time_is_named_and_used_again_when_it_is_mended() {
    let _watchdog = watchdog();
    let troubles = [
        // Somebody removed the directory with all that is in it, and a file stands there.
        Trouble {
            spoil: |dir| {
                fs::rename(dir, dir.with_extension("away")).unwrap();
                fs::write(dir, "in the way").unwrap();
            },
            mend: |dir| fs::remove_file(dir).unwrap(),
            says: &["logs", "move it away"],
        },
        // A directory stands in the place of the file.
        Trouble {
            spoil: |dir| {
                fs::rename(dir.join("app.log"), dir.join("elsewhere.log")).unwrap();
                fs::create_dir(dir.join("app.log")).unwrap();
            },
            mend: |dir| fs::remove_dir(dir.join("app.log")).unwrap(),
            says: &["app.log", "Is a directory", "move it away"],
        },
    ];
    for trouble in troubles {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("logs");
        let text = dir.join("app.log");
        let guard = builder(root.path())
            .appender("file", message_file(&text).rotate_at_bytes(10))
            .start()
            .unwrap();
        log(&guard, &["event 1"]);
        guard.flush().unwrap();
        (trouble.spoil)(&dir);
        log(&guard, &["event 2", "event 3"]);
        wait_until("it fails", || stats(&guard).failing.is_some());
        let failing = stats(&guard).failing.unwrap();
        assert!(trouble.says.iter().all(|words| failing.contains(words)), "{failing}");
        (trouble.mend)(&dir);
        wait_until("it goes on", || guard.flush().is_ok());
        assert_eq!(stats(&guard).state, OutletState::Running);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let mut found = Vec::new();
        for place in [dir, root.path().join("logs.away")] {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                found.extend(lines(&entry.path()));
            }
        }
        found.sort();
        assert_eq!(found, ["event 1", "event 2", "event 3"]);
    }
}

#[test]
fn a_directory_that_was_removed_is_made_again_with_the_next_file() {
    let _watchdog = watchdog();
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("logs");
    let text = dir.join("app.log");
    let guard = builder(root.path())
        .appender("file", message_file(&text).rotate_at_bytes(10))
        .start()
        .unwrap();
    log(&guard, &["event 1"]);
    guard.flush().unwrap();
    fs::remove_dir_all(&dir).unwrap();
    log(&guard, &["event 2"]);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&text), ["event 2"]);
}

#[test]
fn a_shutdown_reports_what_is_left_of_a_batch_that_was_delivered_in_part() {
    let _watchdog = watchdog();
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("app.log");
    let mut guard = rollway::builder()
        .wait(WaitStrategy::Manual)
        .appender("file", message_file(&text).rotate_at_bytes(20))
        .start()
        .unwrap();
    fs::rename(&text, root.path().join("elsewhere.log")).unwrap();
    fs::create_dir(&text).unwrap();
    log(&guard, &["event 1", "event 2", "event 3", "event 4"]);
    wait_until("it fails", || {
        guard.poll();
        stats(&guard).failing.is_some()
    });
    assert_eq!(stats(&guard).settled.index, 2);
    let report = guard.shutdown(Duration::from_millis(300));
    let of_file = &report.appenders[0];
    assert_eq!(of_file.delivered, 2);
    assert!(of_file.left == 2 || of_file.left_is_bound && of_file.left < 2, "{of_file:?}");
    assert_eq!(lines(&root.path().join("elsewhere.log")), ["event 1", "event 2"]);
}

/// A process has few descriptors left when its file is full.
#[test]
fn a_limit_of_open_files_is_named_and_nothing_is_lost() {
    const TEST: &str = "a_limit_of_open_files_is_named_and_nothing_is_lost";
    if child::part().is_some() {
        return run_out_of_files();
    }
    let _watchdog = watchdog();
    let output = child::command(TEST, "few").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn run_out_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("app.log");
    let guard = rollway::builder()
        .appender("file", message_file(&text).rotate_at_bytes(20))
        .start()
        .unwrap();
    log(&guard, &["event 1"]);
    guard.flush().unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
    log(&guard, &["event 2", "event 3"]);
    wait_until("it fails", || stats(&guard).failing.is_some());
    let failing = stats(&guard).failing.unwrap();
    assert!(failing.contains("raise the process's limit of open files"), "{failing}");
    assert!(failing.contains(text.to_str().unwrap()), "{failing}");
    // What is in the full file is delivered, although its batch is not.
    assert_eq!(stats(&guard).delivered, 2);
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&root.path().join("app.log.1")), ["event 1", "event 2"]);
    assert_eq!(lines(&text), ["event 3"]);
}
