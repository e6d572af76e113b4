//! Syncs, short disks and files that others cut: what a journal in a directory stands.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rkyv::util::AlignedVec;
use rollway::block::BlockHeader;
use rollway::block::build::{self, ChunkSource, EventsHead};
use rollway::block::define::Definitions;
use rollway::clock::{Anchor, Timeline};
use rollway::event::{ContextInfo, SourceInfo};
use rollway::journal::{Journal, JournalOptions, Position, Scan, segment_paths};
use rollway::{Builder, Durability, Guard, Level, SyncPolicy};
use support::destination::{Collector, Gate};
use support::{PATIENCE, child, wait_until, watchdog};

fn builder(dir: &Path) -> Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

fn is_synced(guard: &Guard) -> bool {
    let stats = guard.stats();
    stats.synced == stats.end && stats.end > Position::default()
}

#[test]
fn what_is_logged_is_synced_after_a_while() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let policy = SyncPolicy::Every(Duration::from_millis(10));
    let guard = builder(dir.path()).sync(policy).start().unwrap();
    for number in 0..3 {
        rollway::info!(logger: guard.logger(), "{number}");
        guard.flush().unwrap();
        wait_until("it is synced", || is_synced(&guard));
    }
    assert_eq!(guard.stats().sync_errors, 0);
}

#[test]
fn without_a_policy_only_a_flush_to_the_disk_syncs() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = builder(dir.path()).sync(SyncPolicy::Never).start().unwrap();
    for number in 0..3 {
        let synced = guard.stats().synced;
        rollway::info!(logger: guard.logger(), "{number}");
        guard.flush().unwrap();
        assert_eq!(guard.stats().synced, synced, "a flush is no sync");
        guard.flush_to(Durability::L2).unwrap();
        assert!(is_synced(&guard));
    }
}

#[test]
fn events_from_a_level_up_are_synced_at_once() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard =
        builder(dir.path()).sync(SyncPolicy::Never).sync_from(Level::ERROR).start().unwrap();
    rollway::warn!(logger: guard.logger(), "below");
    guard.flush().unwrap();
    assert_eq!(guard.stats().synced, Position::default());
    rollway::error!(logger: guard.logger(), "it");
    rollway::warn!(logger: guard.logger(), "below again");
    wait_until("the error is synced", || guard.stats().synced > Position::default());
}

#[test]
fn an_idle_journal_wakes_nobody_to_sync() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let policy = SyncPolicy::Every(Duration::from_millis(1));
    let guard = builder(dir.path()).sync(policy).start().unwrap();
    rollway::info!(logger: guard.logger(), "the last event for a while");
    guard.flush().unwrap();
    wait_until("it is synced", || is_synced(&guard));
    // The threads of this process that sync: other tests have theirs.
    let wakes = || {
        let of = |path: &Path| {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt"));
            (name.trim() == "rollway-sync").then(|| line.unwrap_or_default().to_owned())
        };
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let tasks = tasks.map(|task| task.unwrap().path());
        tasks.filter_map(|task| of(&task).map(|wakes| (task, wakes))).collect::<Vec<_>>()
    };
    // Some thread slept through it all: with this policy it could have woken hundreds of times.
    wait_until("somebody sleeps", || {
        let before = wakes();
        std::thread::sleep(Duration::from_millis(500));
        let after = wakes();
        !before.is_empty() && before.iter().any(|thread| after.contains(thread))
    });
}

#[test]
fn a_segment_that_somebody_cuts_costs_its_own_events_alone() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, collected) = Collector::new();
    let guard = builder(dir.path()).appender("memory", collector).start().unwrap();
    let newest = || segment_paths(&dir.path().join("journal")).unwrap().pop().unwrap();
    let mut number = 0;
    let mut log = || {
        number += 1;
        rollway::info!(logger: guard.logger(), "{number}");
        guard.flush().unwrap();
        number
    };
    for _ in 0..10 {
        log();
    }
    let (generation, path) = newest();
    fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    wait_until("the writer turns to another segment", || {
        log();
        newest().0 > generation
    });
    let last = log();
    let losses = guard.stats().losses;
    assert!(losses.segments == 1 && losses.blocks >= 10, "{losses:?}");
    // All of it was delivered before, or lies in the new segment: nothing of it comes twice.
    let messages = collected.messages();
    let expected: Vec<_> = (1..=last).map(|number| number.to_string()).collect();
    assert_eq!(messages, expected);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn a_journal_forgets_the_runs_that_it_has_nothing_of_any_more() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    for _ in 0..10 {
        let guard = builder(dir.path()).journal_max_bytes(32 << 20).start().unwrap();
        // More than a segment; the journal has room for some of them.
        log_much(&guard, 3000);
        guard.flush().unwrap();
    }
    let scan = Scan::of_directory(&journal_dir).unwrap();
    let (journal, writer) =
        Journal::in_directory(JournalOptions::directory(&journal_dir), scan).unwrap();
    let mut held = std::collections::BTreeSet::new();
    let mut reader = journal.reader(Position::default());
    while let Some(block) = reader.next().unwrap() {
        held.insert(BlockHeader::decode(block.bytes).unwrap().epoch);
    }
    let known = writer.marks().len();
    // Beside these the last one before the oldest segment, and one more that the last start found.
    assert!((held.len()..=held.len() + 2).contains(&known), "{known} of {}", held.len());
    assert!(held.len() + 2 < 10, "{}", held.len());
}

/// Runs `part` of a test in a mount namespace of its own, with a small file system at `SMALL`.
/// `false` where that may not be done.
fn on_a_small_disk(test: &str, part: &str, mib: u64) -> bool {
    let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: no mount namespace may be made here");
        return false;
    }
    let dir = tempfile::tempdir().unwrap();
    let child = child::command(test, part);
    let mut unshare = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={mib}m none \"$SMALL\" && exec \"$@\"");
    unshare.args(["-rm", "sh", "-c", &script, "sh"]);
    unshare.arg(child.get_program()).args(child.get_args()).env("SMALL", dir.path());
    unshare.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = unshare.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("mount:") {
        println!("skipped: nothing may be mounted here: {said}");
        return false;
    }
    assert!(output.status.success(), "{}: {said}", output.status);
    true
}

fn log_much(guard: &Guard, events: usize) -> Vec<String> {
    let filler = "x".repeat(4000);
    for number in 0..events {
        rollway::info!(logger: guard.logger(), "{number} {filler}");
    }
    (0..events).map(|number| format!("{number} {filler}")).collect()
}

#[test]
fn a_small_disk_is_used_again_and_again() {
    const TEST: &str = "a_small_disk_is_used_again_and_again";
    let _watchdog = watchdog();
    if child::part().is_none() {
        on_a_small_disk(TEST, "log", 17);
        return;
    }
    let (small, dir) = (PathBuf::from(child::variable("SMALL")), tempfile::tempdir().unwrap());
    let (collector, collected) = Collector::new();
    let (idle, _) = Collector::new();
    let gate = Gate::default();
    let guard = rollway::builder()
        .journal_dir(small.join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("memory", collector)
        .appender("optional", idle.optional().behind(&gate))
        .start()
        .unwrap();
    // Several times the disk.
    let expected = log_much(&guard, 15_000);
    guard.flush().unwrap();
    assert!(collected.messages() == expected, "events are lost, doubled or out of order");
    gate.open();
    wait_until("the optional one sees what it missed", || {
        guard.stats().appenders[1].overtaken_segments > 0
    });
    assert_eq!(guard.shutdown(PATIENCE).dropped.total(), 0);
}

#[test]
fn a_great_block_and_its_definitions_find_a_segment_on_a_short_disk() {
    const TEST: &str = "a_great_block_and_its_definitions_find_a_segment_on_a_short_disk";
    let _watchdog = watchdog();
    if child::part().is_none() {
        on_a_small_disk(TEST, "append", 10);
        return;
    }
    let journal_dir = PathBuf::from(child::variable("SMALL")).join("journal");
    fs::create_dir(&journal_dir).unwrap();
    let options = JournalOptions::directory(&journal_dir).keep_free_bytes(0);
    let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
    journal.keep_to_bound();
    let info = SourceInfo { source: 7, epoch: 1, ..SourceInfo::default() };
    let mut definitions = Definitions::new(info);
    for id in 1..=128 {
        let value = "x".repeat(16 << 10).into_boxed_str();
        let pairs = [("key".into(), value)].into();
        definitions.set_context(id, ContextInfo { pairs, ..ContextInfo::default() });
    }
    let anchor = Anchor { ticks: 0, utc_ns: 0 };
    let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
    let head = EventsHead { source: 7, epoch: 1, sequence: 1, timeline };
    let records = vec![0; 7 << 19];
    let to = records.len() as u64;
    let chunk = ChunkSource { ring: 1, thread: 1, context: 0, from: 0, to, runs: [&records, &[]] };
    let mut block = AlignedVec::new();
    build::events(&mut block, &head, &[chunk]);
    // 2 MiB and 3.5 MiB, which the least segment has not.
    let position = writer.append_events(&mut block, &definitions).unwrap();
    assert_eq!(position.generation, journal.start_position().generation + 1);
}

#[test]
fn many_starts_do_not_eat_the_disk() {
    const TEST: &str = "many_starts_do_not_eat_the_disk";
    let _watchdog = watchdog();
    if child::part().is_none() {
        on_a_small_disk(TEST, "start", 17);
        return;
    }
    let (small, dir) = (PathBuf::from(child::variable("SMALL")), tempfile::tempdir().unwrap());
    for start in 0..30 {
        let guard = rollway::builder()
            .journal_dir(small.join("journal"))
            .rings_dir(dir.path().join("rings"))
            .start()
            .unwrap();
        rollway::info!(logger: guard.logger(), "start {start}");
        guard.flush_to(Durability::L2).unwrap();
    }
    let found = support::journal::messages(&small.join("journal"));
    assert_eq!(found, (0..30).map(|start| format!("start {start}")).collect::<Vec<_>>());
}
