//! Many reloads under load, in a process of their own: what is open and what runs is counted.

mod support;

use std::path::Path;

use rollway::{Builder, Guard};
use support::load::{Load, assert_each_once, described_file};
use support::{PATIENCE, is_long_run, lines, watchdog};

fn directory(dir: &Path) -> Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

fn count_of(dir: &str) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// Reloads under load, every tenth of them wrong. What is open, and what runs, does not grow.
fn reload_often(dir: &Path, times: usize) {
    let path = |name: &str| dir.join(name);
    // Three files in turn behind one name, one that comes and goes, one that stays.
    let described = |at: usize| {
        let builder = directory(dir).appender("all", described_file(&path("all")));
        let builder = builder.appender("turn", described_file(&path(&format!("turn{}", at % 3))));
        if at.is_multiple_of(2) {
            builder.appender("odd", described_file(&path("odd")))
        } else {
            builder
        }
    };
    let guard: Guard = described(0).start().unwrap();
    let load = Load::start(guard.logger(), 3);
    let logger = guard.logger();
    let mut before = None;
    for at in 1..=times {
        if at.is_multiple_of(10) {
            let wrong = described(at).appender("wrong", described_file(Path::new("/dev/null/x")));
            logger.reload(wrong).unwrap_err();
        } else {
            let reloaded = logger.reload(described(at)).unwrap();
            assert!(reloaded.undrained.is_empty(), "{reloaded:?}");
        }
        // The same configuration each time it is looked at.
        if at % 6 == 1 {
            let now = (count_of("/proc/self/fd"), count_of("/proc/self/task"));
            let (descriptors, threads) = *before.get_or_insert(now);
            // A sync may be under way, and the test harness has threads of its own.
            assert!(now.0 <= descriptors + 8, "{} descriptors, {descriptors} before", now.0);
            assert!(now.1 <= threads + 4, "{} threads, {threads} before", now.1);
        }
    }
    let stats = logger.stats().reloads;
    assert_eq!((stats.done + stats.failed, stats.failed), (times as u64, times as u64 / 10));
    let counts = load.stop();
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0));
    assert_each_once(&lines(&path("all")), &counts);
    let turns: Vec<_> = (0..3).flat_map(|at| lines(&path(&format!("turn{at}")))).collect();
    assert_each_once(&turns, &counts);
}

#[test]
fn many_reloads_under_load_lose_nothing_and_leak_nothing() {
    let _watch = watchdog();
    let dir = tempfile::tempdir().unwrap();
    reload_often(dir.path(), if is_long_run() { 1000 } else { 50 });
}
