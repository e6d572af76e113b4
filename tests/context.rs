//! The context of an event is that of its call, whatever happens on the way.

mod support;

use std::time::Duration;

use rollway::appender::File;
use rollway::layout::Pattern;
use support::{child, lines, watchdog};

#[test]
fn a_context_for_each_event_fits_into_blocks_whatever_has_piled_up() {
    const EVENTS: u64 = 20_000;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let file = File::new(&path).layout(Pattern::parse("%m %X{request}%n").unwrap());
    let mut guard = rollway::builder()
        .wait(rollway::WaitStrategy::Manual)
        .ring_bytes(8 << 20)
        .appender("file", file)
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let logger = guard.logger();
            scope.spawn(move || {
                for n in 0..EVENTS {
                    let _request = rollway::mdc("request", n);
                    rollway::info!(logger: logger, "{thread} {n}");
                }
            });
        }
    });
    // Nothing has moved to the journal so far: more than one block takes.
    while guard.poll() {}
    assert!(guard.stats().journal_error.is_none(), "{:?}", guard.stats());
    let report = guard.shutdown(Duration::from_secs(20));
    assert_eq!((report.delivered(), report.left()), (3 * EVENTS, 0));
    for line in lines(&path) {
        let mut words = line.split(' ');
        let (_, n, request) = (words.next(), words.next(), words.next());
        assert_eq!(n, request, "{line}");
    }
}

const KILLED: &str = "a_killed_program_keeps_the_context_of_each_event";
const DIR: &str = "ROLLWAY_TEST_DIR";

/// Logs events whose context changes every few events, until it is killed.
fn log_until_killed(dir: &std::path::Path) -> ! {
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("file", context_file(dir))
        .start()
        .unwrap();
    let mut n = 0_u64;
    loop {
        let _tens = rollway::mdc("tens", n / 10);
        for _ in 0..10 {
            rollway::info!(logger: guard.logger(), "{n}");
            n += 1;
        }
        // Some changes share a block, some do not.
        if n.is_multiple_of(700) {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

fn context_file(dir: &std::path::Path) -> File {
    File::new(dir.join("app.log")).layout(Pattern::parse("%m %X{tens}%n").unwrap())
}

#[test]
fn a_killed_program_keeps_the_context_of_each_event() {
    if child::part().is_some() {
        log_until_killed(std::path::Path::new(&child::variable(DIR)));
    }
    let _watchdog = watchdog();
    for round in 0..8_u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut program = child::command(KILLED, "program").env(DIR, dir.path()).spawn().unwrap();
        support::wait_until("the program has logged", || dir.path().join("app.log").exists());
        std::thread::sleep(Duration::from_micros(7_300 * (round + 1)));
        program.kill().unwrap();
        program.wait().unwrap();

        let guard = rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .appender("file", context_file(dir.path()))
            .start()
            .unwrap();
        assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);
        for (n, line) in lines(&dir.path().join("app.log")).iter().enumerate() {
            assert_eq!(*line, format!("{n} {}", n / 10));
        }
    }
}
