//! The place of the rings has too little room.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rollway::{Durability, InitError, info};
use support::destination::Collector;
use support::{PATIENCE, child, watchdog};

/// Plays `part` of `test` in a namespace where `dir/rings` is a memory file system of `size`. `false`,
/// with the reason on standard output, where this machine has no such namespaces.
fn in_small_place(test: &str, part: &str, size: &str, dir: &Path) -> bool {
    let rings = dir.join("rings");
    std::fs::create_dir(&rings).unwrap();
    let mount = format!("mount -t tmpfs -o size={size},mode=0700 none {}", rings.display());
    let isolated = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).stdin(Stdio::null());
        command
    };
    let can = isolated(&mount).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: this machine does not let us mount in a namespace of our own");
        return false;
    }
    let played = child::command(test, part);
    let arguments: Vec<_> = played.get_args().map(|part| part.to_str().unwrap()).collect();
    let program = played.get_program().to_str().unwrap();
    let script = format!("{mount} && exec '{program}' {}", arguments.join(" "));
    let mut command = isolated(&script);
    for (name, value) in played.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.env("SMALL_DIR", dir).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    true
}

fn dir_of_child() -> PathBuf {
    PathBuf::from(child::variable("SMALL_DIR"))
}

#[test]
fn threads_that_find_no_room_for_their_ring_log_from_the_heap_and_are_counted() {
    const TEST: &str = "threads_that_find_no_room_for_their_ring_log_from_the_heap_and_are_counted";
    const THREADS: usize = 8;
    if child::part().is_none() {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        in_small_place(TEST, "crowd", "4m", dir.path());
        return;
    }
    let dir = dir_of_child();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .require(Durability::L1)
        .appender("memory", collector)
        .init()
        .unwrap();
    assert_eq!(guard.stats().durability, Durability::L1);
    let barrier = std::sync::Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                for number in 0..2000 {
                    info!("{thread}/{number}");
                }
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        guard.flush().unwrap();
        let stats = guard.stats();
        barrier.wait();
        assert_eq!(stats.rings, THREADS);
        assert!((1..THREADS).contains(&stats.heap_rings), "{stats:?}");
        assert_eq!(stats.durability, Durability::L0);
    });
    let report = guard.shutdown(PATIENCE);
    assert!(report.heap_rings >= 5, "{report:?}");
    assert_eq!((report.left(), report.dropped.total()), (0, 0));
    assert_eq!(collected.len(), THREADS * 2000);
}

#[test]
fn a_start_that_requires_room_for_rings_fails_without_and_another_goes_on_on_the_heap() {
    const TEST: &str =
        "a_start_that_requires_room_for_rings_fails_without_and_another_goes_on_on_the_heap";
    if child::part().is_none() {
        let _watchdog = watchdog();
        // Not even what lies beside the rings fits; that fits, and a ring does not.
        for size in ["8k", "512k"] {
            let dir = tempfile::tempdir().unwrap();
            in_small_place(TEST, "start", size, dir.path());
        }
        return;
    }
    let dir = dir_of_child();
    let builder =
        || rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"));
    let refused = builder().require(Durability::L1).start().map(drop).unwrap_err();
    assert!(
        matches!(refused, InitError::Durability { required: Durability::L1, .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("rings_dir"), "{refused}");
    let (collector, collected) = Collector::new();
    let guard = builder().appender("memory", collector).start().unwrap();
    info!(logger: guard.logger(), "from the heap");
    guard.flush().unwrap();
    assert_eq!((guard.stats().durability, guard.stats().heap_rings), (Durability::L0, 1));
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(collected.messages(), ["from the heap"]);
}
