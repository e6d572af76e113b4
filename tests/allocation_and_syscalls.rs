//! In the steady state a log call neither allocates nor calls the system.
#![allow(unsafe_code, reason = "an allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rollway::{Logger, WaitStrategy};
use support::{PATIENCE, child, message_file, watchdog};

struct Counting;

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Without its thread-local the thread is ending, and no test measures that.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract for both.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rendered at the call.
struct Point(i32, i32);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.0, self.1)
    }
}

/// Every kind of call, through the process's logger.
fn log_one_of_each(number: usize) {
    rollway::info!("plain");
    rollway::info!("{number} {} {}", -7, u128::MAX);
    rollway::info!("{} {:?} {}", "text", 'c', true);
    rollway::info!("{:.3} {}", 0.125, f32::MIN_POSITIVE);
    rollway::info!("at {} and {:?}", Point(3, number as i32), Some(Duration::from_millis(7)));
    rollway::info!(number, kind = "pair"; "with key-values {:>10}", number);
    rollway::debug!("{}", format!("{number} is not evaluated"));
}

fn log_one_of_each_to(logger: &Logger, number: usize) {
    rollway::info!(logger: logger, "{number} {} {:.3}", "text", 0.125);
    rollway::info!(logger: logger, "at {}", Point(3, number as i32));
}

/// Below half of a ring of 1 MiB; the rounds together go around it more than once.
const CALLS: usize = 500;

#[test]
fn a_log_call_does_not_allocate() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .appender("file", message_file(&dir.path().join("app.log")))
        .init()
        .unwrap();
    let other = rollway::builder().start().unwrap();
    let mut allocations = 0;
    for round in 0..8 {
        guard.flush().unwrap();
        other.flush().unwrap();
        let before = ALLOCATIONS.get();
        for number in 0..CALLS {
            log_one_of_each(number);
            log_one_of_each_to(other.logger(), number);
        }
        // The first round defines the call sites and gets the thread its rings.
        if round > 0 {
            allocations += ALLOCATIONS.get() - before;
        } else {
            assert!(ALLOCATIONS.get() > before, "the allocator does not count");
        }
    }
    assert_eq!(allocations, 0);
    assert_eq!(guard.shutdown(PATIENCE).dropped.total(), 0);
}

/// The child: warms up, and logs between two calls that a trace shows.
fn log_between_markers() {
    // Without a thread of its own the writer does not matter to the trace of this one.
    let mut guard = rollway::builder().wait(WaitStrategy::Manual).init().unwrap();
    log_one_of_each(0);
    while guard.poll() {}
    mark("before");
    for number in 0..CALLS {
        log_one_of_each(number);
    }
    mark("after");
    while guard.poll() {}
    guard.shutdown(PATIENCE);
}

/// A system call that nobody else makes.
fn mark(name: &str) {
    assert!(!Path::new(&format!("/rollway-marker-{name}")).exists());
}

#[test]
fn a_log_call_makes_no_system_call() {
    const TEST: &str = "a_log_call_makes_no_system_call";
    if child::part().is_some() {
        return log_between_markers();
    }
    let _watchdog = watchdog();
    let mut probe = Command::new("strace");
    probe.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("skipped: strace is not here, or may not trace");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let child = child::command(TEST, "log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&trace).arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(strace.stdout(Stdio::null()).status().unwrap().success());

    let trace = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let position = |name: &str| lines.iter().position(|line| line.contains(name));
    let before = position("/rollway-marker-before").expect("the child has not begun");
    let after = position("/rollway-marker-after").expect("the child has not ended");
    let thread = lines[before].split_whitespace().next().unwrap();
    let calls: Vec<_> = lines[before + 1..after]
        .iter()
        .filter(|line| line.split_whitespace().next() == Some(thread))
        .filter(|line| !line.contains("resumed>") && !line.contains("---"))
        .collect();
    assert!(calls.is_empty(), "{} system calls: {:?}", calls.len(), &calls[..calls.len().min(5)]);
}
