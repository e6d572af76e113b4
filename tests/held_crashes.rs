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
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

const TEST: &str = "what_a_composite_hands_on_is_written_once_wherever_the_program_ends";
const EVENTS: u64 = 60;
/// Fewer than a limit hands on.
const FEW: u64 = 5;
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

/// Plays `part` with a composite, and ends when it passes `point` for so many times. The steps
/// beside the point may have changed places.
fn play(
    dir: &Path,
    part: &str,
    composite: &str,
    point: Option<(&str, u64)>,
    swap: bool,
) -> ExitStatus {
    let mut command = child::command(TEST, part);
    command.env("HELD_DIR", dir).env("HELD_COMPOSITE", composite).stderr(Stdio::null());
    if let Some((point, passing)) = point {
        command.env("ROLLWAY_CRASH_AT", format!("{point}:{passing}"));
        if swap {
            command.env("ROLLWAY_CRASH_SWAP", point);
        }
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
    if part == "release" {
        (0..FEW).for_each(|number| rollway::info!(logger: guard.logger(), "{number}"));
    }
    guard.logger().release("hold").unwrap();
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// Ends a program at a point, the next one there again, and compares what a third one completes with
/// what was logged. Whether the point was reached, and what is wrong.
fn play_point(composite: &str, point: &str, passing: u64, swap: bool) -> (bool, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut ended, mut wrong) = (0, Vec::new());
    for passing in [passing, 1] {
        let status = play(dir, "log", composite, Some((point, passing)), swap);
        ended += u64::from(status.signal() == Some(SIGKILL));
    }
    play(dir, "log", composite, None, false);
    if !play(dir, "end", composite, None, false).success() {
        wrong.push("the last start failed".to_owned());
    }
    let logged = Ledger::open(&dir.join("ledger")).counts(1)[0];
    assert!(logged >= EVENTS, "{logged} logged");
    let (mut next, mut again) = (0, 0);
    for line in lines(&dir.join("log")) {
        match line.parse::<u64>().unwrap() {
            number if number == next => next += 1,
            // The call that was under way at the end of a run: the next one logs it again.
            number if number + 1 == next => again += 1,
            number => {
                wrong.push(format!("{number} comes for {next}"));
                next = number + 1;
            }
        }
    }
    if !(logged..=logged + 1).contains(&next) || again > ended {
        wrong.push(format!("{next} of {logged}, {again} again"));
    }
    (ended > 0, wrong)
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
                let (is_reached, wrong) = play_point(composite, point, passing, false);
                let case = format!("{composite}, {point}:{passing}");
                assert!(is_reached, "{case} was not reached");
                assert!(wrong.is_empty(), "{case}: {wrong:?}");
            }
        }
    }
}

#[test]
fn a_place_that_is_stored_before_its_text_is_found_out() {
    let _watchdog = watchdog();
    for composite in ["buffer", "limit"] {
        let (is_reached, wrong) = play_point(composite, "file.text", 2, true);
        assert!(is_reached && !wrong.is_empty(), "{composite}");
    }
}

#[test]
fn what_was_released_before_the_program_ended_is_handed_on_by_the_next_one() {
    for composite in ["buffer", "limit"] {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        let (dir, log) = (dir.path(), dir.path().join("log"));
        let status = play(dir, "release", composite, Some(("hold.released", 1)), false);
        assert_eq!(status.signal(), Some(SIGKILL));
        assert!(lines(&log).len() < FEW as usize, "{composite}: {:?}", lines(&log));
        let guard = start(dir, composite);
        wait_until("what was released", || lines(&log).len() == FEW as usize);
        // Nothing triggers that, and its period is not over.
        rollway::info!(logger: guard.logger(), "held");
        guard.flush().unwrap();
        let expected: Vec<_> = (0..FEW).map(|number| number.to_string()).collect();
        assert_eq!(lines(&log), expected, "{composite}");
        guard.shutdown(PATIENCE);
    }
}
