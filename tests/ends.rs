//! A program ends otherwise than by returning from `main`: what its log calls took is delivered by the
//! next start, and nobody's signals are changed.
#![allow(unsafe_code, reason = "the ways of a program to end")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rollway::{Durability, Guard, error, info};
use support::destination::Collector;
use support::{PATIENCE, child, watchdog};

const THREADS: usize = 4;
/// Together they are less than a block: they stay in the rings for the linger time.
const EVENTS: usize = 200;
const SIGABRT: i32 = 6;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;

unsafe extern "C" {
    fn _exit(status: i32) -> !;
    fn raise(signal: i32) -> i32;
}

fn builder(dir: &Path) -> rollway::Builder {
    rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

/// Plays `part` of `test`: its status, and what the next start delivers.
fn end(test: &str, part: &str) -> (ExitStatus, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut command: Command = child::command(test, part);
    let status = command.env("END_DIR", dir.path()).stderr(Stdio::null()).status().unwrap();
    let (collector, collected) = Collector::new();
    // Beside the process's logger: the tests of this file share a process.
    let guard = builder(dir.path()).appender("memory", collector).start().unwrap();
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
    (status, collected.messages())
}

/// The child: logs from several threads.
fn log() -> Guard {
    let guard = builder(&PathBuf::from(child::variable("END_DIR")))
        .require(Durability::L1)
        .log_panics(true)
        // What was logged last is still in the rings when the end comes.
        .linger(PATIENCE)
        .init()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..EVENTS {
                    info!("{thread}/{number}");
                }
            });
        }
    });
    error!("the end");
    guard
}

/// Every event once, the last one last in its thread.
fn assert_all(messages: &[String], what: &str) {
    let mut expected: Vec<_> = (0..THREADS)
        .flat_map(|thread| (0..EVENTS).map(move |number| format!("{thread}/{number}")))
        .collect();
    expected.push("the end".to_owned());
    expected.sort();
    let mut messages = messages.to_vec();
    messages.sort();
    assert!(messages == expected, "{what}: {} of {}", messages.len(), expected.len());
}

#[test]
fn what_was_logged_before_an_exit_without_the_guard_is_delivered_by_the_next_start() {
    const TEST: &str =
        "what_was_logged_before_an_exit_without_the_guard_is_delivered_by_the_next_start";
    if let Some(part) = child::part() {
        std::mem::forget(log());
        match part.as_str() {
            "exit" => std::process::exit(3),
            "abort" => std::process::abort(),
            // SAFETY: ends the process.
            _ => unsafe { _exit(4) },
        }
    }
    let _watchdog = watchdog();
    for (part, code) in [("exit", Some(3)), ("_exit", Some(4)), ("abort", None)] {
        let (status, messages) = end(TEST, part);
        assert_eq!(status.code(), code, "{part}: {status}");
        assert_all(&messages, part);
    }
}

#[test]
fn a_crash_keeps_its_signal_and_loses_nothing_that_was_logged_before() {
    const TEST: &str = "a_crash_keeps_its_signal_and_loses_nothing_that_was_logged_before";
    if let Some(part) = child::part() {
        let guard = log();
        crash(&part);
        drop(guard);
        return;
    }
    let _watchdog = watchdog();
    let crashes = [
        ("null pointer", SIGSEGV),
        ("abort", SIGABRT),
        ("SIGFPE", SIGFPE),
        // The standard library says so, and aborts.
        ("stack overflow", SIGABRT),
    ];
    for (part, signal) in crashes {
        let (status, messages) = end(TEST, part);
        assert_eq!(status.signal(), Some(signal), "{part}: {status}");
        assert_all(&messages, part);
    }
}

fn crash(part: &str) {
    match part {
        "null pointer" => {
            let nowhere = std::hint::black_box(std::ptr::without_provenance::<u8>(8));
            // SAFETY: none; the fault is what this is about.
            unsafe { nowhere.read_volatile() };
        }
        "stack overflow" => {
            std::hint::black_box(deeper(std::hint::black_box(1)));
        }
        part => {
            let signal = if part == "abort" { SIGABRT } else { SIGFPE };
            // SAFETY: a signal with its default action.
            unsafe { raise(signal) };
        }
    }
}

#[allow(unconditional_recursion, reason = "it ends with the stack")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deeper(depth ^ frame[3]).wrapping_add(frame[5])
}

#[test]
fn a_panic_is_in_the_log_even_if_it_ends_the_process() {
    const TEST: &str = "a_panic_is_in_the_log_even_if_it_ends_the_process";
    if child::part().is_some() {
        // As a program with `panic = "abort"`: the hook before rollway's ends it.
        std::panic::set_hook(Box::new(|_| std::process::abort()));
        let guard = log();
        let thread = std::thread::Builder::new().name("baker".to_owned());
        let _ = thread.spawn(|| panic!("no {}", "flour")).unwrap().join();
        drop(guard);
        return;
    }
    let _watchdog = watchdog();
    let (status, mut messages) = end(TEST, "panic");
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    let panic = "thread `baker` panicked: no flour".to_owned();
    let at = messages.iter().position(|message| *message == panic).expect("the panic is logged");
    messages.remove(at);
    assert_all(&messages, "panic");
}

#[test]
fn a_panic_has_its_own_place_and_level_and_the_hook_before_is_called() {
    const TEST: &str = "a_panic_has_its_own_place_and_level_and_the_hook_before_is_called";
    use rollway::appender::File;
    use rollway::layout::Pattern;
    if child::part().is_some() {
        let dir = PathBuf::from(child::variable("END_DIR"));
        let called = dir.join("called");
        std::panic::set_hook(Box::new(move |_| std::fs::write(&called, "").unwrap()));
        let layout = Pattern::parse("%p %c %F %m%n").unwrap();
        let guard = rollway::builder()
            .appender("file", File::new(dir.join("log")).layout(layout))
            .log_panics(true)
            .init()
            .unwrap();
        let caught = std::panic::catch_unwind(|| panic!("caught"));
        assert!(caught.is_err());
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        // Without a logger the hook before is all there is.
        assert!(std::panic::catch_unwind(|| panic!("later")).is_err());
        return;
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let mut command = child::command(TEST, "panic");
    assert!(command.env("END_DIR", dir.path()).status().unwrap().success());
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let line = format!("ERROR panic {} thread `", file!());
    assert!(log.starts_with(&line) && log.trim_end().ends_with("panicked: caught"), "{log}");
    assert!(dir.path().join("called").exists());
}
