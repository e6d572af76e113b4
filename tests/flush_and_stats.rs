//! Flushes, shutdowns, wait strategies and the statistics: what a host program steers by.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rollway::{Durability, InitError, Level, OverflowPolicy, WaitStrategy};
use support::destination::{Collector, Gate};
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

/// What a call may take that has a deadline of a fraction of a second, on any machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_flush_returns_when_every_mandatory_appender_has_everything() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let (collector, collected) = Collector::new();
    let (optional, _) = Collector::new();
    let gate = Gate::default();
    let guard = rollway::builder()
        .appender("file", message_file(&text))
        .appender("memory", collector.slow(Duration::from_millis(20)))
        .appender("optional", optional.optional().behind(&gate))
        .start()
        .unwrap();
    for round in 1..=5 {
        for number in 0..100 {
            rollway::info!(logger: guard.logger(), "{round} {number}");
        }
        guard.flush().unwrap();
        assert_eq!((lines(&text).len(), collected.len()), (round * 100, round * 100));
    }
    let stats = guard.stats();
    let delivered: Vec<_> = stats.appenders.iter().map(|appender| appender.delivered).collect();
    assert_eq!(delivered, [500, 500, 0]);
    assert_eq!(stats.appenders[0].name, "file");
    assert_eq!(stats.appenders[0].settled, stats.end);
    assert!(stats.blocks >= 5 && stats.record_bytes > 500 && stats.rings == 1, "{stats:?}");
    assert_eq!(stats.durability, Durability::L0);
    gate.open();
}

#[test]
fn a_flush_names_who_is_late() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .flush_timeout(Duration::from_millis(100))
        .appender("late", collector.behind(&gate))
        .start()
        .unwrap();
    guard.flush().unwrap();
    rollway::info!(logger: guard.logger(), "event");
    let began = Instant::now();
    let late = guard.flush().unwrap_err();
    assert!(began.elapsed() < SOON);
    assert_eq!(late.to_string(), "flush: appender `late` did not finish in time");
    gate.open();
    wait_until("the event arrives", || guard.flush().is_ok());
    assert_eq!(collected.messages(), ["event"]);
}

#[test]
fn a_flush_to_the_disk_stores_the_synced_slot() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("file", message_file(&text))
        .start()
        .unwrap();
    let synced_slot = || {
        let slots = fs::read(dir.path().join("journal/cursors/file.cursor")).unwrap();
        slots[128..256].to_vec()
    };
    let at_first = synced_slot();
    rollway::info!(logger: guard.logger(), "written");
    guard.flush().unwrap();
    assert_eq!(synced_slot(), at_first, "a flush is no sync");
    guard.flush_to(Durability::L2).unwrap();
    assert_ne!(synced_slot(), at_first);
    assert_eq!(lines(&text), ["written"]);
    // With nothing new it returns as well.
    guard.flush_to(Durability::L2).unwrap();
    assert_eq!(guard.stats().durability, Durability::L1);
}

#[test]
fn a_shutdown_reports_what_a_stalled_appender_has_left() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let (stalled, in_stalled) = Collector::new();
    let (quick, in_quick) = Collector::new();
    let guard = rollway::builder()
        .appender("stalled", stalled.behind(&gate))
        .appender("quick", quick)
        .start()
        .unwrap();
    for number in 0..1000 {
        rollway::info!(logger: guard.logger(), "{number}");
    }
    let began = Instant::now();
    let report = guard.shutdown(Duration::from_millis(200));
    assert!(began.elapsed() < SOON);
    let told: Vec<_> = report
        .appenders
        .iter()
        .map(|appender| (appender.name.as_str(), appender.delivered, appender.left))
        .collect();
    assert_eq!(told, [("stalled", 0, 1000), ("quick", 1000, 0)]);
    assert_eq!((report.delivered(), report.left(), report.left_in_rings_bytes), (0, 1000, 0));
    assert_eq!((in_stalled.len(), in_quick.len()), (0, 1000));
    gate.open();
}

#[test]
fn what_one_run_left_the_next_one_delivers() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let start = |collector| {
        rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .appender("file", message_file(&dir.path().join("app.log")))
            .appender("late", collector)
            .start()
    };
    let gate = Gate::default();
    let (collector, _) = Collector::new();
    let guard = start(collector.behind(&gate)).unwrap();
    for number in 0..100 {
        rollway::info!(logger: guard.logger(), "{number}");
    }
    assert_eq!(guard.shutdown(Duration::from_millis(100)).left(), 100);
    gate.open();
    for _ in 0..2 {
        let (collector, _) = Collector::new();
        let guard = start(collector).unwrap();
        // Also where there is nothing to deliver.
        guard.flush().unwrap();
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    }
    assert_eq!(lines(&dir.path().join("app.log")).len(), 100);
}

#[test]
fn a_host_that_polls_is_the_writer() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let mut guard = rollway::builder()
        .wait(WaitStrategy::Manual)
        .overflow(OverflowPolicy::Drop)
        .linger(Duration::ZERO)
        .appender("memory", collector)
        .start()
        .unwrap();
    assert!(!guard.poll());
    rollway::info!(logger: guard.logger(), "first");
    assert!(guard.poll());
    assert!(!guard.poll());
    wait_until("the event arrives", || collected.messages() == ["first"]);
    rollway::info!(logger: guard.logger(), "second");
    // Nobody else polls: the flush does it.
    guard.flush().unwrap();
    assert_eq!(collected.messages(), ["first", "second"]);
    rollway::info!(logger: guard.logger(), "third");
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.delivered(), report.left()), (3, 0));
}

#[test]
fn every_wait_strategy_delivers() {
    let _watchdog = watchdog();
    let pause = WaitStrategy::Sleep(Duration::from_millis(3));
    for strategy in [WaitStrategy::Adaptive, WaitStrategy::Spin, pause] {
        let (collector, collected) = Collector::new();
        let guard =
            rollway::builder().wait(strategy).appender("memory", collector).start().unwrap();
        for number in 0..100 {
            rollway::info!(logger: guard.logger(), "{number}");
        }
        // Without a flush: it must come by itself.
        wait_until("the events arrive", || collected.len() == 100);
        assert_eq!(guard.shutdown(PATIENCE).delivered(), 100, "{strategy:?}");
    }
}

#[test]
fn a_prepared_thread_has_its_ring_before_it_logs() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().appender("memory", collector).start().unwrap();
    guard.logger().prepare_thread();
    guard.logger().prepare_thread();
    wait_until("the writer knows the ring", || guard.stats().rings == 1);
    rollway::info!(logger: guard.logger(), "event");
    guard.flush().unwrap();
    assert_eq!((guard.stats().rings, collected.len()), (1, 1));
}

#[test]
fn a_level_can_be_changed_while_the_program_runs() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().appender("memory", collector).start().unwrap();
    let logger = guard.logger();
    rollway::debug!(logger: logger, "1");
    logger.set_level(Level::DEBUG);
    rollway::debug!(logger: logger, "2");
    logger.set_level(Level::ERROR);
    rollway::warn!(logger: logger, "3");
    rollway::error!(logger: logger, "4");
    guard.flush().unwrap();
    assert_eq!(collected.messages(), ["2", "4"]);
}

/// Runs `part` of the calling test in a child and returns what it wrote to standard error.
fn said_by(test: &str, part: &str, dir: &Path) -> String {
    let mut command = child::command(test, part);
    let output = command.env("DIR", dir).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    said
}

#[test]
fn a_cpu_that_is_not_there_is_a_warning() {
    if child::part().is_some() {
        let (collector, collected) = Collector::new();
        let guard =
            rollway::builder().pin_writer(4095).appender("memory", collector).start().unwrap();
        rollway::info!(logger: guard.logger(), "event");
        drop(guard);
        return assert_eq!(collected.messages(), ["event"]);
    }
    let _watchdog = watchdog();
    let said = said_by("a_cpu_that_is_not_there_is_a_warning", "pin", Path::new("/"));
    assert!(said.contains("the writer cannot be pinned to CPU 4095"), "{said}");
}

#[test]
fn a_writer_may_be_pinned() {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder().pin_writer(0).appender("memory", collector).start().unwrap();
    rollway::info!(logger: guard.logger(), "event");
    guard.flush().unwrap();
    assert_eq!(collected.len(), 1);
}

#[test]
fn a_required_durability_that_is_not_reached_is_an_error() {
    let _watchdog = watchdog();
    let refused = |builder: rollway::Builder| builder.start().expect_err("it started").to_string();
    let said = refused(rollway::builder().require(Durability::L1));
    assert!(said.starts_with("L1 is required and L0 reached"), "{said}");
    assert!(said.contains("set journal_dir"), "{said}");
    // A directory for the journal, and no place for the rings.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rings"), "a file").unwrap();
    let without_rings = || {
        rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
    };
    let said = refused(without_rings().require(Durability::L1));
    assert!(said.starts_with("L1 is required and L0 reached"), "{said}");
    assert_eq!(without_rings().start().unwrap().stats().durability, Durability::L0);
    let with_rings =
        rollway::builder().journal_dir(dir.path().join("journal")).require(Durability::L1);
    assert_eq!(with_rings.start().unwrap().stats().durability, Durability::L1);
}

#[test]
fn a_journal_directory_in_use_is_refused() {
    const TEST: &str = "a_journal_directory_in_use_is_refused";
    let refused = |journal: &Path| {
        let error = rollway::builder().journal_dir(journal).start().expect_err("it started");
        assert!(matches!(error, InitError::InUse { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(journal.to_str().unwrap()), "{said}");
        assert!(said.contains("give each process its own"), "{said}");
    };
    if child::part().is_some() {
        return refused(&PathBuf::from(child::variable("DIR")));
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let start =
        || rollway::builder().journal_dir(&journal).rings_dir(dir.path().join("rings")).start();
    let guard = start().unwrap();
    refused(&journal);
    said_by(TEST, "second", &journal);
    // The refused ones have not taken the first one's lock away.
    said_by(TEST, "third", &journal);
    drop(guard);
    drop(start().unwrap());
}

#[test]
fn options_out_of_range_are_refused_with_the_range() {
    let _watchdog = watchdog();
    let said = |builder: rollway::Builder| builder.start().expect_err("it started").to_string();
    let odd = said(rollway::builder().ring_bytes(50_000));
    assert_eq!(odd, "ring_bytes is 50000; use a power of two from 16 KiB to 64 MiB");
    let little = said(rollway::builder().ring_memory_bytes(1));
    assert_eq!(little, "ring_memory_bytes is 1; use at least ring_bytes");
    let short = said(rollway::builder().record_bytes_max(1));
    assert!(short.starts_with("record_bytes_max is 1; use 256 bytes to 1 MiB"), "{short}");
    let (one, _) = Collector::new();
    let (two, _) = Collector::new();
    let twice = said(rollway::builder().appender("a", one).appender("a", two));
    assert!(twice.contains("two appenders are named `a`"), "{twice}");
}

/// Needs a mount namespace of its own, so it runs in a child of `unshare`.
#[test]
fn a_journal_on_a_full_disk_is_an_error_and_goes_on_when_there_is_room() {
    const TEST: &str = "a_journal_on_a_full_disk_is_an_error_and_goes_on_when_there_is_room";
    if child::part().is_some() {
        return fill_the_disk_of_the_journal();
    }
    let _watchdog = watchdog();
    let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: no mount namespace may be made here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let child = child::command(TEST, "fill");
    let mut unshare = Command::new("unshare");
    let script = "mount -t tmpfs -o size=20m none \"$SMALL\" && exec \"$@\"";
    unshare.args(["-rm", "sh", "-c", script, "sh"]);
    unshare.arg(child.get_program()).args(child.get_args()).env("SMALL", dir.path());
    unshare.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = unshare.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("mount:") {
        println!("skipped: nothing may be mounted here: {said}");
        return;
    }
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("No space left"), "{said}");
}

fn fill_the_disk_of_the_journal() {
    const EVENTS: usize = 3000;

    let small = PathBuf::from(child::variable("SMALL"));
    let dir = tempfile::tempdir().unwrap();
    let start = |max_bytes| {
        let (collector, collected) = Collector::new();
        let builder = rollway::builder()
            .journal_dir(small.join("journal"))
            .journal_max_bytes(max_bytes)
            .rings_dir(dir.path().join("rings"))
            .appender("memory", collector);
        (builder.start(), collected)
    };
    // No room for the first segment: an error with path and cause, not a signal.
    fs::write(small.join("ballast"), vec![1; 16 << 20]).unwrap();
    let (refused, _) = start(32 << 20);
    let error = refused.expect_err("it started");
    let cause = std::error::Error::source(&error).expect("it has a cause");
    assert!(cause.to_string().contains("segment"), "{cause}");

    // Room for the first segment and not for the next one.
    fs::write(small.join("ballast"), vec![1; 9 << 20]).unwrap();
    let (guard, collected) = start(32 << 20);
    let guard = guard.unwrap();
    let ballast = "x".repeat(4000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..EVENTS {
                rollway::info!(logger: guard.logger(), "{number} {ballast}");
            }
        });
        wait_until("the disk is full", || guard.stats().journal_error.is_some());
        let error = guard.stats().journal_error.unwrap();
        assert!(error.contains("segment") && error.contains("No space left"), "{error}");
        fs::remove_file(small.join("ballast")).unwrap();
    });
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    let expected: Vec<_> = (0..EVENTS).map(|number| format!("{number} {ballast}")).collect();
    assert!(collected.messages() == expected, "events are lost, doubled or out of order");
}
