//! A forked child inherits a logger whose threads live in its parent.
#![allow(unsafe_code, reason = "a raw fork, as a host's library may do it")]

mod support;

use std::time::{Duration, Instant};

use support::destination::Collector;
use support::{PATIENCE, watchdog};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

/// Runs `child` in a forked child, which then exits at once. Its status.
fn in_forked_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls only what this test is about, and `_exit`.
    let pid = unsafe { fork() };
    if pid == 0 {
        let status = child();
        // SAFETY: ends the child without running what belongs to its parent.
        unsafe { _exit(status) };
    }
    let deadline = Instant::now() + PATIENCE;
    let mut status = 0;
    loop {
        const NO_HANG: i32 = 1;
        // SAFETY: `status` outlives the call.
        let ended = unsafe { waitpid(pid, &raw mut status, NO_HANG) };
        if ended == pid {
            return status;
        }
        assert!(Instant::now() < deadline, "the forked child hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_forked_child_counts_its_events_and_leaves_its_parents_alone() {
    const EVENTS: usize = 20_000;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("memory", collector)
        .init()
        .unwrap();
    for number in 0..10 {
        rollway::info!("parent {number}");
    }
    // More than a ring holds: a child that waited for its parent's writer would wait for ever.
    let status = in_forked_child(|| {
        for number in 0..EVENTS {
            rollway::info!(
                "child {number} {}",
                "of a parent with a ring of one mebibyte for this thread"
            );
        }
        0
    });
    assert_eq!(status, 0);
    for number in 10..20 {
        rollway::info!("parent {number}");
    }
    // The counters lie where both processes see them.
    let dropped: Vec<_> = guard.stats().dropped.reasons().collect();
    assert_eq!(dropped, [("in a forked child", EVENTS as u64)]);
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
    let messages = collected.messages();
    let of_parent: Vec<_> = messages.iter().filter(|line| line.starts_with("parent")).collect();
    let expected: Vec<_> = (0..20).map(|number| format!("parent {number}")).collect();
    assert!(of_parent.into_iter().eq(&expected), "{messages:?}");
    assert!(!messages.iter().any(|line| line.starts_with("child")), "{messages:?}");
}
