//! A forked child inherits a logger whose threads live in its parent.
#![allow(unsafe_code, reason = "a raw fork, as a host's library may do it")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rollway::ClusterRole;
use rollway::cluster::Cluster;
use support::destination::Collector;
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

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

const EVENTS_OF_CHILD: u32 = 2_000;
const IN_CLUSTER: &str = "a_forked_child_in_a_cluster_logs_with_an_engine_of_its_own";
const ORPHANED: &str = "a_forked_child_goes_on_when_its_parent_has_ended";

fn start_in_cluster(dir: &Path) -> rollway::Guard {
    let cluster = Cluster::new(dir.join("cluster")).adopt_after(Duration::from_millis(100));
    rollway::builder()
        .cluster(cluster)
        .rings_dir(dir.join("rings"))
        .require(rollway::Durability::L1)
        .flush_timeout(PATIENCE)
        .appender("file", message_file(&dir.join("app.log")))
        .init()
        .unwrap()
}

fn say(who: &str) {
    for number in 0..EVENTS_OF_CHILD {
        rollway::info!("{who}/{number}");
    }
}

/// Runs the calling test in a process of its own, which plays `part` in `dir`.
fn play(test: &str, part: &str, dir: &Path) -> std::process::Child {
    child::command(test, part).env("FORK_DIR", dir).spawn().unwrap()
}

/// Each of `who` said everything once, in order.
fn check(dir: &Path, who: &[&str]) {
    let lines = lines(&dir.join("app.log"));
    for name in who {
        let of_it = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix('/'));
        let expected = (0..EVENTS_OF_CHILD).map(|number| number.to_string());
        assert!(of_it.eq(expected), "{name}");
    }
    assert_eq!(lines.len(), who.len() * EVENTS_OF_CHILD as usize);
}

/// A pre-fork server: children of all kinds, one after the other and at once.
fn prefork(dir: &Path) {
    let guard = start_in_cluster(dir);
    // One that never logs starts nothing.
    assert_eq!(in_forked_child(|| 0), 0);
    assert_eq!(guard.stats().cluster.unwrap().members, 1);
    say("parent");
    let first = in_forked_child(|| {
        say("child");
        // Its own engine, and its own identity.
        i32::from(rollway::stats().is_none_or(|stats| stats.dropped.total() > 0))
    });
    let second = in_forked_child(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| say("thread 1"));
            scope.spawn(|| say("thread 2"));
        });
        in_forked_child(|| {
            say("grandchild");
            0
        })
    });
    let third = in_forked_child(|| {
        say("flushing");
        i32::from(rollway::flush().is_err())
    });
    guard.logger().set_level(rollway::Level::DEBUG);
    let fourth = in_forked_child(|| {
        (0..EVENTS_OF_CHILD).for_each(|number| rollway::debug!("with the new level/{number}"));
        0
    });
    guard.logger().apply_directives(&rollway::Directives::parse("info,loud=trace")).unwrap();
    let fifth = in_forked_child(|| {
        for number in 0..EVENTS_OF_CHILD {
            rollway::trace!(target: "loud::part", "with a category's level/{number}");
            rollway::debug!("below the level");
        }
        0
    });
    assert_eq!((first, second, third, fourth, fifth), (0, 0, 0, 0, 0));
    wait_until("the children are adopted", || guard.stats().cluster.unwrap().members == 1);
    assert_eq!(guard.stats().dropped.total(), 0);
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
}

#[test]
fn a_forked_child_in_a_cluster_logs_with_an_engine_of_its_own() {
    if child::part().is_some() {
        return prefork(Path::new(&child::variable("FORK_DIR")));
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    assert!(play(IN_CLUSTER, "prefork", dir.path()).wait().unwrap().success());
    let who = ["parent", "child", "thread 1", "thread 2", "grandchild", "flushing"];
    let who = [&who[..], &["with the new level", "with a category's level"]].concat();
    check(dir.path(), &who);
}

/// A parent that is gone while its child logs, is elected, and ends in order.
fn orphan(dir: &Path) {
    let guard = start_in_cluster(dir);
    say("parent");
    // SAFETY: the child calls only what this test is about, and `_exit`.
    if unsafe { fork() } == 0 {
        say("child");
        wait_until("the child is elected", || {
            let cluster = rollway::stats().and_then(|stats| stats.cluster);
            cluster.is_some_and(|cluster| cluster.role == ClusterRole::Elected)
        });
        say("elected child");
        wait_until("the parent is adopted", || {
            let cluster = rollway::stats().and_then(|stats| stats.cluster);
            cluster.is_some_and(|cluster| cluster.members == 1)
        });
        // The guard is the child's by now.
        let report = guard.shutdown(PATIENCE);
        std::fs::write(dir.join("left"), report.left().to_string()).unwrap();
        std::fs::rename(dir.join("left"), dir.join("done")).unwrap();
    }
    // SAFETY: ends the process as a kill would: nothing is dropped.
    unsafe { _exit(0) };
}

#[test]
fn a_forked_child_goes_on_when_its_parent_has_ended() {
    if child::part().is_some() {
        return orphan(Path::new(&child::variable("FORK_DIR")));
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    assert!(play(ORPHANED, "orphan", dir.path()).wait().unwrap().success());
    wait_until("the child ends", || dir.path().join("done").exists());
    assert_eq!(std::fs::read_to_string(dir.path().join("done")).unwrap(), "0");
    check(dir.path(), &["parent", "child", "elected child"]);
}

const BUSY: &str = "children_of_a_busy_parent_never_hang_and_lose_nothing_uncounted";
const CHILDREN: u64 = 20;
const EVENTS_OF_EACH: u64 = 50;

/// Forks while other threads log, flush and look at the statistics.
fn busy(dir: &Path) {
    let guard = start_in_cluster(dir);
    let is_over = AtomicBool::new(false);
    let go_on = || !is_over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while go_on() {
                    rollway::info!("parent");
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
        }
        scope.spawn(|| {
            while go_on() {
                let _ = rollway::flush();
                let _ = rollway::stats();
            }
        });
        for child in 0..CHILDREN {
            let status = in_forked_child(|| {
                (0..EVENTS_OF_EACH).for_each(|number| rollway::info!("{child}/{number}"));
                0
            });
            assert_eq!(status, 0);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    wait_until("the children are adopted", || guard.stats().cluster.unwrap().members == 1);
    let dropped = guard.stats().dropped.total();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    std::fs::write(dir.join("dropped"), dropped.to_string()).unwrap();
}

#[test]
fn children_of_a_busy_parent_never_hang_and_lose_nothing_uncounted() {
    if child::part().is_some() {
        return busy(Path::new(&child::variable("FORK_DIR")));
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    assert!(play(BUSY, "busy", dir.path()).wait().unwrap().success());
    let lines = lines(&dir.path().join("app.log"));
    let told_in = |line: &String| line.split_once(" events were dropped: ")?.0.parse::<u64>().ok();
    // The log itself tells of what was dropped, now and then.
    let told: u64 = lines.iter().filter_map(told_in).sum();
    let is_of_child = |line: &String| line != "parent" && told_in(line).is_none();
    let mut of_children: Vec<_> = lines.into_iter().filter(is_of_child).collect();
    let dropped = std::fs::read_to_string(dir.path().join("dropped")).unwrap();
    let dropped: u64 = dropped.parse().unwrap();
    let delivered = of_children.len() as u64;
    assert_eq!(delivered + dropped, CHILDREN * EVENTS_OF_EACH);
    assert_eq!(told, dropped, "what was dropped is told");
    of_children.sort_unstable();
    of_children.dedup();
    assert_eq!(of_children.len() as u64, delivered, "each once");
}

const PANICKING: &str = "a_forked_child_whose_first_event_is_a_panic_logs_it";

fn panicking(dir: &Path) {
    let guard = rollway::builder()
        .cluster(Cluster::new(dir.join("cluster")).adopt_after(Duration::from_millis(100)))
        .rings_dir(dir.join("rings"))
        .appender("file", message_file(&dir.join("app.log")))
        .log_panics(true)
        .init()
        .unwrap();
    let status = in_forked_child(|| {
        let panicked = std::panic::catch_unwind(|| panic!("in the child"));
        i32::from(panicked.is_ok())
    });
    assert_eq!(status, 0);
    wait_until("the child is adopted", || guard.stats().cluster.unwrap().members == 1);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn a_forked_child_whose_first_event_is_a_panic_logs_it() {
    if child::part().is_some() {
        return panicking(Path::new(&child::variable("FORK_DIR")));
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    assert!(play(PANICKING, "panicking", dir.path()).wait().unwrap().success());
    let lines = lines(&dir.path().join("app.log"));
    assert!(matches!(&*lines, [line] if line.contains("panicked: in the child")), "{lines:?}");
}
