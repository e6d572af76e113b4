//! The files of the rings are cut or removed under a running program: it lives on, and says what that
//! has cost.
#![allow(unsafe_code, reason = "a touch of a page that is gone")]

mod support;

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollway::{Durability, Guard, Logger, info};
use support::destination::{Collected, Collector};
use support::{PATIENCE, child, wait_until, watchdog};

/// A record of two whole numbers: 24 bytes and 8 for each.
const RECORD_BYTES: u64 = 40;
const THREADS: u64 = 4;

fn start(dir: &Path) -> (Guard, Collected) {
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("memory", collector)
        .require(Durability::L1)
        .start()
        .unwrap();
    (guard, collected)
}

/// The directory of the rings of the one engine that has them there.
fn rings_dir(dir: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(dir.join("rings")).unwrap();
    entries.next().unwrap().unwrap().path()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Threads log `thread/number` at a pace; in the middle `meanwhile` is called.
fn log_and(logger: &Logger, events: u64, meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..events {
                    info!(logger: logger, "{}/{}", thread, number);
                    if number % 50 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(20));
        meanwhile();
    });
}

/// Checks each thread's order and end; the number of events that are missing.
fn missing(messages: &[String], events: u64) -> u64 {
    let mut next = HashMap::new();
    let mut missing = 0;
    for message in messages {
        let mut parts = message.split('/').map(str::parse::<u64>);
        let (Some(Ok(thread)), Some(Ok(number))) = (parts.next(), parts.next()) else { continue };
        let next = next.entry(thread).or_insert(0);
        assert!(number >= *next, "{message} comes again, or late");
        missing += number - *next;
        *next = number + 1;
    }
    for thread in 0..THREADS {
        assert_eq!(next[&thread], events, "the last event of thread {thread} is there");
    }
    missing
}

#[test]
fn whoever_cuts_the_files_of_rings_costs_what_was_unread_and_nothing_else() {
    let _watchdog = watchdog();
    for round in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let (guard, collected) = start(dir.path());
        log_and(guard.logger(), 3000, || {
            for path in files(&rings_dir(dir.path())) {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                // To nothing, and to half of a page.
                file.set_len(round * 1000).unwrap();
            }
        });
        guard.flush().unwrap();
        wait_until("the loss is told", || {
            collected.messages().iter().any(|line| line.contains("bytes of events are lost"))
        });
        let stats = guard.stats();
        assert!(stats.lost_rings >= 1, "{stats:?}");
        assert_eq!(stats.durability, Durability::L0, "what lies beside the rings is lost as well");
        let report = guard.shutdown(PATIENCE);
        assert_eq!(report.left(), 0, "{report:?}");
        let missing = missing(&collected.messages(), 3000);
        assert_eq!(report.lost_ring_bytes, missing * RECORD_BYTES, "{report:?}");
        // Nothing of it holds up the next start.
        let (guard, _) = start(dir.path());
        drop(guard);
    }
}

#[test]
fn only_the_record_that_meets_the_cut_is_lost_with_what_was_unread() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, collected) = Collector::new();
    let mut guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .wait(rollway::WaitStrategy::Manual)
        .linger(Duration::ZERO)
        .appender("memory", collector)
        .start()
        .unwrap();
    let logger = guard.logger().clone();
    let log = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            info!(logger: logger, "{}/{}", 0_u64, number);
        }
    };
    log(0..10);
    while guard.poll() {}
    log(10..15);
    for path in files(&rings_dir(dir.path())) {
        std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    // Nobody but the thread itself has noticed when it logs on.
    log(15..40);
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.lost_ring_bytes, 6 * RECORD_BYTES, "{report:?}");
    let kept = (0..10).chain(16..40).map(|number| format!("0/{number}"));
    let messages = collected.messages();
    let messages = messages.iter().filter(|message| message.starts_with("0/"));
    assert!(messages.eq(&kept.collect::<Vec<_>>()), "{:?}", collected.messages());
}

#[test]
fn events_go_on_without_loss_when_the_directory_of_the_rings_is_removed() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (guard, collected) = start(dir.path());
    assert_eq!((guard.stats().durability, guard.stats().heap_rings), (Durability::L1, 0));
    log_and(guard.logger(), 3000, || std::fs::remove_dir_all(dir.path().join("rings")).unwrap());
    info!(logger: guard.logger(), "one more thread");
    wait_until("the removal is noticed", || guard.stats().durability == Durability::L0);
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.lost_ring_bytes), (0, 0), "{report:?}");
    assert_eq!(missing(&collected.messages(), 3000), 0);
}

#[test]
fn records_that_are_overwritten_with_zeros_are_counted_as_damage_and_later_ones_arrive() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, collected) = Collector::new();
    let mut guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .wait(rollway::WaitStrategy::Manual)
        .linger(Duration::ZERO)
        .appender("memory", collector)
        .start()
        .unwrap();
    let logger = guard.logger().clone();
    for _ in 0..10 {
        info!(logger: logger, "overwritten");
    }
    for path in files(&rings_dir(dir.path())) {
        if path.file_name().unwrap().to_string_lossy().starts_with("ring-") {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            // The header stays, and says that there are records.
            std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 4096).unwrap();
        }
    }
    while guard.poll() {}
    info!(logger: logger, "later");
    drop(logger);
    guard.flush().unwrap();
    let stats = guard.stats();
    assert!(stats.appenders[0].damaged > 0, "{stats:?}");
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.left_in_rings_bytes), (0, 0), "{report:?}");
    assert_eq!(collected.messages(), ["later"]);
    let (guard, _) = start(dir.path());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn a_ring_that_is_overwritten_with_zeros_stops_nobody() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (guard, collected) = start(dir.path());
    let logger = guard.logger();
    for thread in 0..1_u64 {
        // Past the first lap, so that a head of 0 lies far behind.
        for number in 0..40_000_u64 {
            info!(logger: logger, "{}/{}", thread, number);
        }
    }
    guard.flush().unwrap();
    for path in files(&rings_dir(dir.path())) {
        if path.file_name().unwrap().to_string_lossy().starts_with("ring-") {
            let len = std::fs::metadata(&path).unwrap().len();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            // Page by page, without a moment at which it is short.
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; len as usize], 0).unwrap();
        }
    }
    for number in 0..40_000_u64 {
        info!(logger: logger, "later/{}", number);
    }
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.left_in_rings_bytes), (0, 0), "{report:?}");
    let messages = collected.messages();
    assert_eq!(messages.last().map(String::as_str), Some("later/39999"));
}

#[test]
fn without_the_guard_or_outside_of_it_a_cut_mapping_ends_the_process_as_ever() {
    const TEST: &str = "without_the_guard_or_outside_of_it_a_cut_mapping_ends_the_process_as_ever";
    if let Some(part) = child::part() {
        return touch_a_cut_mapping(&part);
    }
    let _watchdog = watchdog();
    let play = |part| {
        let dir = tempfile::tempdir().unwrap();
        child::command(TEST, part).env("CUT_DIR", dir.path()).status().unwrap()
    };
    for part in ["unguarded", "foreign", "foreign by default", "sent", "sent by default"] {
        let status = play(part);
        assert_eq!(status.signal(), Some(SIGBUS), "{part}: {status}");
    }
    for part in ["foreign and handled", "sent and handled"] {
        assert_eq!(play(part).code(), Some(HANDLED), "{part}");
    }
}

const SIGBUS: i32 = 7;
/// What the host's own handler ends the process with.
const HANDLED: i32 = 42;

unsafe extern "C" {
    fn signal(signal: i32, handler: usize) -> usize;
    fn _exit(status: i32) -> !;
}

extern "C" fn handle(_signal: i32) {
    // SAFETY: ends the process.
    unsafe { _exit(HANDLED) }
}

/// The child: touches a page that is gone, or is sent the signal of one.
fn touch_a_cut_mapping(part: &str) {
    let dir = PathBuf::from(child::variable("CUT_DIR"));
    // Before rollway comes, as the host's own start would.
    let (part, action) = part.split_once(' ').unwrap_or((part, ""));
    let handler = match action {
        "by default" => Some(0),
        "and handled" => Some(handle as *const () as usize),
        _ => None,
    };
    if let Some(handler) = handler {
        // SAFETY: the default action, or a handler that does what a handler may.
        unsafe { signal(SIGBUS, handler) };
    }
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .guard_mappings(part != "unguarded")
        .wait(rollway::WaitStrategy::Manual)
        .start()
        .unwrap();
    info!(logger: guard.logger(), "before");
    match part {
        "unguarded" => {
            for path in files(&rings_dir(&dir)) {
                std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
            }
            info!(logger: guard.logger(), "this touches the ring");
        }
        "foreign" => {
            let path = dir.join("foreign");
            std::fs::write(&path, [1; 4096]).unwrap();
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            let map = memmap2::MmapRaw::map_raw(&file).unwrap();
            file.set_len(0).unwrap();
            // SAFETY: the address is mapped; that its page is gone is what this is about.
            let byte = unsafe { map.as_ptr().read_volatile() };
            panic!("{byte} was read");
        }
        _ => {
            let signal = rustix::process::Signal::BUS;
            // The standard library's handler, which was there before, takes one that is no fault for
            // the last that it sees; and the signal may go to any thread.
            wait_until("the signal ends the process", || {
                rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
                false
            });
        }
    }
}
