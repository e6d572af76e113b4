//! Events that a destination refuses for their content go among the dead letters, and everything
//! else goes on.

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::{CursorFile, Position, TextFileMark};
use rollway::{Builder, Guard, OutletState, WaitStrategy};
#[cfg(feature = "crash-points")]
use support::child;
use support::{PATIENCE, Random, lines, wait_until, watchdog};

/// Keeps messages in a file and knows its place. Refuses what has one of some words in it.
#[derive(Clone)]
struct Picky {
    path: PathBuf,
    /// Takes no more than this at once.
    batch_bytes_max: usize,
    is_deaf: Arc<AtomicBool>,
    appends: Arc<AtomicU64>,
}

impl Picky {
    fn new(dir: &Path) -> Picky {
        Picky {
            path: dir.join("taken"),
            batch_bytes_max: usize::MAX,
            is_deaf: Arc::default(),
            appends: Arc::default(),
        }
    }
}

struct OpenPicky {
    picky: Picky,
    cursor: Option<CursorFile>,
    settled: Position,
}

impl Open for Picky {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let cursor = place.cursor()?;
        let stored = cursor.as_ref().and_then(CursorFile::resume);
        let settled = stored.map_or(place.begin, |slot| slot.position);
        Ok(Opened::Events(Box::new(OpenPicky { picky: self.clone(), cursor, settled })))
    }
}

impl Appender for OpenPicky {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.picky.appends.fetch_add(1, Ordering::Relaxed);
        let (mut text, mut refused) = (String::new(), None);
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            if message.contains("poison") || self.picky.is_deaf.load(Ordering::Relaxed) {
                refused.get_or_insert(format!("`{message}` is not wanted"));
            }
            text.push_str(&message);
            text.push('\n');
        });
        if let Some(reason) = refused {
            return Err(AppendError::Rejected { source: reason.into() });
        }
        let limit_bytes = self.picky.batch_bytes_max;
        if text.len() > limit_bytes {
            return Err(AppendError::TooLarge { batch_bytes: text.len(), limit_bytes });
        }
        let unavailable = |source: io::Error| AppendError::Unavailable { source };
        let file = fs::File::options().append(true).create(true).open(&self.picky.path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(unavailable)?;
        if let Some(cursor) = &self.cursor {
            let stored = cursor.store_written(batch.next(), TextFileMark::default());
            stored.map_err(unavailable)?;
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

fn builder(dir: &Path) -> Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

fn log(guard: &Guard, messages: &[String]) {
    messages.iter().for_each(|message| rollway::info!(logger: guard.logger(), "{message}"));
}

/// The letters of the appender: what is said about each, and the event.
fn letters(dir: &Path) -> Vec<(String, String)> {
    let dir = dir.join("journal/dead-letters/picky");
    if !dir.exists() {
        return Vec::new();
    }
    let messages = support::journal::messages(&dir);
    messages.chunks(2).map(|two| (two[0].clone(), two[1].clone())).collect()
}

#[test]
fn every_refused_event_is_found_in_any_batch_and_the_others_arrive_in_order() {
    let _watchdog = watchdog();
    let mut random = Random(7);
    for round in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let count = 1 + random.below(60);
        let share = 1 + random.below(6);
        let messages: Vec<_> = (0..count)
            .map(|number| match random.below(share) {
                0 => format!("poison {number}"),
                _ => format!("good {number}"),
            })
            .collect();
        // One batch for all: the host writes the journal when it shuts down.
        let guard = builder(dir.path())
            .wait(WaitStrategy::Manual)
            .appender("picky", Picky::new(dir.path()))
            .start()
            .unwrap();
        log(&guard, &messages);
        let report = guard.shutdown(PATIENCE);
        let (poison, good): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.starts_with("poison"));
        assert_eq!((report.delivered(), report.left()), (good.len() as u64, 0), "round {round}");
        let taken = if good.is_empty() { Vec::new() } else { lines(&dir.path().join("taken")) };
        assert_eq!(taken, good, "round {round}");
        let letters = letters(dir.path());
        assert_eq!(
            letters.iter().map(|letter| &letter.1).collect::<Vec<_>>(),
            poison.iter().collect::<Vec<_>>()
        );
        for (said, message) in &letters {
            let reason = format!("`{message}` is not wanted");
            assert!(
                said.starts_with("appender `picky` was refused") && said.contains(&reason),
                "{said}"
            );
        }
    }
}

#[test]
fn dead_letters_are_counted_and_the_appender_runs() {
    let _watchdog = watchdog();
    for in_directory in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let builder = if in_directory { builder(dir.path()) } else { rollway::builder() };
        let guard = builder.appender("picky", Picky::new(dir.path())).start().unwrap();
        log(&guard, &["a", "poison", "b"].map(str::to_owned));
        guard.flush().unwrap();
        let stats = guard.stats().appenders.remove(0);
        assert_eq!((stats.delivered, stats.dead_letters, stats.errors), (2, 1, 0), "{stats:?}");
        assert_eq!((stats.failing, stats.state), (None, OutletState::Running));
        drop(guard);
        assert_eq!(letters(dir.path()).len(), usize::from(in_directory));
        assert_eq!(lines(&dir.path().join("taken")), ["a", "b"]);
    }
}

#[test]
fn a_batch_that_is_too_large_is_delivered_in_parts_and_an_event_that_is_becomes_a_dead_letter() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let picky = Picky { batch_bytes_max: 20, ..Picky::new(dir.path()) };
    let mut guard =
        builder(dir.path()).wait(WaitStrategy::Manual).appender("picky", picky).start().unwrap();
    let mut messages: Vec<_> = (0..30).map(|number| format!("event {number}")).collect();
    messages[17] = "x".repeat(100);
    log(&guard, &messages);
    wait_until("it is taken", || {
        guard.poll();
        guard.stats().appenders[0].delivered == 29
    });
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, stats.dead_letters, stats.oversized), (29, 1, 1));
    drop(guard);
    let (said, long) = letters(dir.path()).remove(0);
    assert!(said.contains("a batch of 101 bytes exceeds the limit of 20"), "{said}");
    assert_eq!(long, messages.remove(17));
    assert_eq!(lines(&dir.path().join("taken")), messages);
}

#[test]
fn a_destination_that_refuses_everything_is_taken_to_be_broken() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let picky = Picky::new(dir.path());
    let (is_deaf, appends) = (Arc::clone(&picky.is_deaf), Arc::clone(&picky.appends));
    is_deaf.store(true, Ordering::Relaxed);
    let guard = builder(dir.path()).appender("picky", picky).start().unwrap();
    let messages: Vec<_> = (0..150).map(|number| format!("event {number}")).collect();
    log(&guard, &messages);
    let stats = || guard.stats().appenders.remove(0);
    wait_until("the circuit is open", || {
        matches!(stats().state, OutletState::Retrying { attempts: 2.., .. })
    });
    let failing = stats().failing.unwrap();
    assert!(failing.starts_with("100 events in a row were refused"), "{failing}");
    assert!(failing.contains("is not wanted"), "{failing}");
    assert_eq!((stats().dead_letters, stats().delivered), (100, 0));
    assert_eq!(letters(dir.path()).len(), 100);
    let tries = appends.load(Ordering::Relaxed);
    is_deaf.store(false, Ordering::Relaxed);
    wait_until("it goes on", || stats().delivered == 50);
    assert_eq!((stats().state, stats().dead_letters), (OutletState::Running, 100));
    assert!(appends.load(Ordering::Relaxed) > tries);
    drop(guard);
    assert_eq!(lines(&dir.path().join("taken")), messages[100..]);
}

#[test]
fn a_letter_keeps_what_was_known_of_its_event() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = builder(dir.path())
        .service("shop")
        .appender("picky", Picky::new(dir.path()))
        .start()
        .unwrap();
    std::thread::Builder::new()
        .name("till-7".to_owned())
        .spawn({
            let logger = guard.logger();
            let logger = logger.clone();
            move || {
                let _customer = rollway::mdc("customer", "42");
                rollway::warn!(logger: &logger, target: "shop::till", code = 9; "poison {}", 5);
            }
        })
        .unwrap()
        .join()
        .unwrap();
    drop(guard);
    let mut found = Vec::new();
    support::journal::for_each(&dir.path().join("journal/dead-letters/picky"), |event| {
        let customer = event.context.get("customer").map(str::to_owned);
        let pairs: Vec<_> = event.pairs().map(|(name, _)| name.to_owned()).collect();
        found.push((
            event.site.category.to_string(),
            event.thread.name.to_string(),
            event.source.service.to_string(),
            customer,
            pairs,
            event.level,
        ));
    });
    let (category, thread, service) = ("shop::till".into(), "till-7".into(), "shop".into());
    let expected = (
        category,
        thread,
        service,
        Some("42".to_owned()),
        vec!["code".to_owned()],
        rollway::Level::WARN,
    );
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], expected);
    assert_eq!(found[0].0, "rollway.dead_letter");
    if let Some(rollway) = option_env!("CARGO_BIN_EXE_rollway") {
        let letters = dir.path().join("journal/dead-letters/picky");
        let shown = Command::new(rollway).arg("cat").arg(letters).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout);
        let [said, event] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(shown.status.success() && shown.stderr.is_empty(), "{shown:?}");
        assert!(said.contains("appender `picky` was refused the next event"), "{said}");
        assert!(event.contains("shop::till") && event.contains("poison 5"), "{event}");
    }
}

#[test]
fn dead_letters_keep_to_their_bound_and_the_newest_stay() {
    const LETTERS: usize = 1200;
    const BOUND_BYTES: u64 = 64 << 20;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = builder(dir.path()).appender("picky", Picky::new(dir.path())).start().unwrap();
    let filler = "x".repeat(60_000);
    for number in 0..LETTERS {
        rollway::info!(logger: guard.logger(), "poison {number} {filler}");
        rollway::info!(logger: guard.logger(), "good {number}");
    }
    wait_until("all are refused or taken", || guard.flush().is_ok());
    assert_eq!(guard.stats().appenders[0].dead_letters, LETTERS as u64);
    drop(guard);
    let directory = dir.path().join("journal/dead-letters/picky");
    let segments = fs::read_dir(directory).unwrap().flatten();
    let bytes: u64 = segments.map(|segment| segment.metadata().unwrap().len()).sum();
    assert!((BOUND_BYTES / 2..=BOUND_BYTES).contains(&bytes), "{bytes} bytes");
    let letters = letters(dir.path());
    let first = LETTERS - letters.len();
    assert!(first > 0);
    for (number, (_, letter)) in (first..).zip(&letters) {
        assert!(letter.starts_with(&format!("poison {number} x")), "{number}: {}", &letter[..20]);
    }
}

/// A child is killed between the letter and the settled position, twice in a row.
#[cfg(feature = "crash-points")]
#[test]
fn a_kill_at_any_step_of_a_refusal_keeps_one_letter() {
    const TEST: &str = "a_kill_at_any_step_of_a_refusal_keeps_one_letter";
    if child::part().is_some() {
        let dir = PathBuf::from(child::variable("DIR"));
        let guard = builder(&dir).appender("picky", Picky::new(&dir)).start().unwrap();
        if child::variable("RUN") == "0" {
            log(&guard, &["a", "poison 1", "b", "poison 2", "c"].map(str::to_owned));
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        return;
    }
    let _watchdog = watchdog();
    for at in ["outlet.dead_letter:1", "outlet.dead_letter:2"] {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..3 {
            let mut command = child::command(TEST, "refuse");
            command.env("DIR", dir.path()).env("RUN", run.to_string());
            // The second kill is at the first letter that the run comes to.
            match run {
                0 => drop(command.env("ROLLWAY_CRASH_AT", at)),
                1 => drop(command.env("ROLLWAY_CRASH_AT", "outlet.dead_letter:1")),
                _ => {}
            }
            let status = command.status().unwrap();
            assert_eq!(status.success(), run == 2, "{at}, run {run}: {status}");
        }
        let letters: Vec<_> = letters(dir.path()).into_iter().map(|letter| letter.1).collect();
        assert_eq!(letters, ["poison 1", "poison 2"], "{at}");
        assert_eq!(lines(&dir.path().join("taken")), ["a", "b", "c"], "{at}");
    }
}

/// Fails for a while after each letter: the letter must not come twice within a run either.
#[test]
fn a_destination_that_fails_behind_a_refused_event_gets_no_second_letter() {
    struct Failing(OpenPicky, Arc<Mutex<u32>>);
    #[derive(Clone)]
    struct OpenFailing(Picky, Arc<Mutex<u32>>);
    impl Open for OpenFailing {
        fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
            let (picky, settled) = (self.0.clone(), place.begin);
            let open = OpenPicky { picky, cursor: None, settled };
            Ok(Opened::Events(Box::new(Failing(open, Arc::clone(&self.1)))))
        }
    }
    impl Appender for Failing {
        fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
            // A batch without events: the place of the letter.
            let mut left = self.1.lock().unwrap();
            if batch.count() == 0 && *left > 0 {
                *left -= 1;
                return Err(AppendError::Unavailable { source: io::Error::other("not now") });
            }
            self.0.append(batch)
        }
        fn settled(&self) -> Position {
            self.0.settled()
        }
        fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
            self.0.flush(deadline)
        }
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let failures = Arc::new(Mutex::new(3));
    let appender = OpenFailing(Picky::new(dir.path()), Arc::clone(&failures));
    let guard = builder(dir.path()).appender("picky", appender).start().unwrap();
    log(&guard, &["a", "poison", "b"].map(str::to_owned));
    wait_until("it goes on", || guard.flush().is_ok());
    let stats = guard.stats().appenders.remove(0);
    assert_eq!((stats.delivered, stats.dead_letters, stats.errors), (2, 1, 3));
    drop(guard);
    assert_eq!((letters(dir.path()).len(), *failures.lock().unwrap()), (1, 0));
    assert_eq!(lines(&dir.path().join("taken")), ["a", "b"]);
}
