//! A program ends in the middle of what a composite hands on: each event is written once, in its order.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollway::route::composite::{Buffer, Limit};
use rollway::{Durability, Guard, Level};
use support::ledger::Ledger;
use support::{PATIENCE, child, lines, message_file, watchdog};

const TEST: &str = "what_a_composite_hands_on_is_written_once_wherever_the_program_ends";
const EVENTS: u64 = 60;
const SIGKILL: i32 = 9;
/// Each with the composites that come there.
const POINTS: [(&str, &[&str]); 4] = [
    ("file.text", &["buffer", "limit"]),
    ("hold.delivered", &["buffer", "limit"]),
    ("hold.released", &["buffer", "limit"]),
    ("hold.stored", &["limit"]),
];

fn start(dir: &Path, composite: &str) -> Guard {
    let builder = rollway::builder()
        .linger(Duration::from_millis(1))
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .require(Durability::L1)
        .flush_timeout(PATIENCE)
        .appender("file", message_file(&dir.join("log")));
    let builder = match composite {
        "buffer" => builder.composite("hold", Buffer::new(["file"]).trigger_level(Level::ERROR)),
        _ => builder.composite("hold", Limit::new(["file"]).max_until_flushed(7)),
    };
    builder.start().unwrap()
}

/// Plays `part` with a composite, and ends when it passes `point` for so many times.
fn play(dir: &Path, part: &str, composite: &str, point: Option<String>) -> ExitStatus {
    let mut command = child::command(TEST, part);
    command.env("HELD_DIR", dir).env("HELD_COMPOSITE", composite).stderr(Stdio::null());
    if let Some(point) = point {
        command.env("ROLLWAY_CRASH_AT", point);
    }
    command.status().unwrap()
}

/// The child. What it has logged is what its ledger says.
fn take_part(part: &str) {
    let dir = PathBuf::from(child::variable("HELD_DIR"));
    let guard = start(&dir, &child::variable("HELD_COMPOSITE"));
    if part == "log" {
        let ledger = Ledger::open(&dir.join("ledger"));
        let first = ledger.slot(0).load(Ordering::Acquire);
        for number in first..first + EVENTS {
            let level = if number % 10 == 9 { Level::ERROR } else { Level::INFO };
            rollway::log!(logger: guard.logger(), level, "{number}");
            ledger.slot(0).store(number + 1, Ordering::Release);
            match number % 15 {
                5 => guard.flush().unwrap(),
                12 => guard.logger().release("hold").unwrap(),
                _ => {}
            }
        }
        // What is held then waits for the next start.
        std::process::abort();
    }
    guard.logger().release("hold").unwrap();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn what_a_composite_hands_on_is_written_once_wherever_the_program_ends() {
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    for (point, composites) in POINTS {
        for composite in composites {
            for passing in [1, 2, 4] {
                let _watchdog = watchdog();
                let dir = tempfile::tempdir().unwrap();
                let dir = dir.path();
                let case = format!("{composite}, {point}:{passing}");
                let mut ended = 0;
                for passing in [passing, 1] {
                    let status = play(dir, "log", composite, Some(format!("{point}:{passing}")));
                    ended += u64::from(status.signal() == Some(SIGKILL));
                }
                assert!(ended > 0, "{case} was not reached");
                play(dir, "log", composite, None);
                assert!(play(dir, "end", composite, None).success(), "{case}");

                let logged = Ledger::open(&dir.join("ledger")).counts(1)[0];
                assert!(logged >= EVENTS, "{case}: {logged} logged");
                let (mut next, mut again) = (0, 0);
                for line in lines(&dir.join("log")) {
                    match line.parse::<u64>().unwrap() {
                        number if number == next => next += 1,
                        // The call that was under way at the end of a run: the next one logs it again.
                        number if number + 1 == next => again += 1,
                        number => panic!("{case}: {number} comes for {next}"),
                    }
                }
                assert!((logged..=logged + 1).contains(&next), "{case}: {next} of {logged}");
                assert!(again <= ended, "{case}: {again} come again");
            }
        }
    }
}
