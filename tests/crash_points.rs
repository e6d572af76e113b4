//! A program ends between two steps of making, leaving, draining or sweeping rings, once and twice in a
//! row: every event is delivered once, and nothing stays that grows.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rollway::{Durability, Guard, info};
use support::{PATIENCE, child, watchdog};

const TEST: &str = "a_program_that_ends_between_two_steps_has_each_event_delivered_once";
/// The areas whose points are played here.
const AREAS: [&str; 5] = ["ring.", "replace.", "home.", "recover.", "writer."];
const EVENTS: usize = 300;
const SIGKILL: i32 = 9;

fn start(dir: &Path, journal: &str) -> Guard {
    rollway::builder()
        .journal_dir(dir.join(journal))
        .rings_dir(dir.join("rings"))
        .require(Durability::L1)
        .appender("file", support::message_file(&dir.join(format!("{journal}.log"))))
        .start()
        .unwrap()
}

/// Plays `part` for the journal `a` or `b`, with or without a crash point.
fn play(dir: &Path, part: &str, journal: &str, point: Option<&str>) -> ExitStatus {
    let mut command: Command = child::command(TEST, part);
    command.env("CRASH_DIR", dir).env("CRASH_JOURNAL", journal).stderr(Stdio::null());
    if let Some(point) = point {
        command.env("ROLLWAY_CRASH_AT", point);
    }
    command.status().unwrap()
}

/// The child. What it has logged is what its ledger, a file of the numbers, says.
fn take_part(part: &str) {
    let dir = PathBuf::from(child::variable("CRASH_DIR"));
    let journal = child::variable("CRASH_JOURNAL");
    let guard = start(&dir, &journal);
    if part == "log" {
        let ledger = support::ledger::Ledger::open(&dir.join("ledger"));
        let first = ledger.slot(0).load(std::sync::atomic::Ordering::Acquire);
        for number in 0..EVENTS as u64 {
            info!(logger: guard.logger(), "{}", first + number);
            ledger.slot(0).store(first + number + 1, std::sync::atomic::Ordering::Release);
            if number == EVENTS as u64 / 2 {
                guard.flush().unwrap();
            }
        }
        // Not by the signal of a crash point.
        std::process::abort();
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// The program logs and dies, at the point or behind its last event; is started again by itself or,
/// `by_sweep`, by the sweep of another; and ends at the point `times` times. Whether it came there.
fn play_point(point: &str, times: usize, by_sweep: bool) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let starter = if by_sweep { "b" } else { "a" };
    let mut reached = 0;
    let mut count = |status: ExitStatus| reached += usize::from(status.signal() == Some(SIGKILL));
    // A killed start of the logging program must not be the end of the case: it is started again.
    for at in 0..times {
        count(play(dir.path(), "log", "a", Some(point)));
        if at > 0 {
            play(dir.path(), "log", "a", None);
        }
    }
    play(dir.path(), "log", "a", None);
    for _ in 0..times {
        count(play(dir.path(), "end", starter, Some(point)));
    }
    for journal in [starter, "a"] {
        let status = play(dir.path(), "end", journal, None);
        assert!(status.success(), "{point}: the last start ended with {status}");
    }
    let logged = support::ledger::Ledger::open(&dir.path().join("ledger")).counts(1)[0];
    assert!(logged >= EVENTS as u64);
    let places = [
        ("the journal", support::journal::messages(&dir.path().join("a"))),
        ("the file", support::lines(&dir.path().join("a.log"))),
    ];
    for (place, messages) in places {
        // The call that was under way may be there, with the number that the next run begins with.
        let numbers = messages.iter().map(|message| message.parse::<u64>().unwrap());
        let mut next = 0;
        let mut under_way = 0;
        for number in numbers {
            if number + 1 == next {
                under_way += 1;
                continue;
            }
            assert_eq!(number, next, "{point} {times} times, sweep {by_sweep}: in {place}");
            next += 1;
        }
        assert!(next == logged || next == logged + 1, "{point}: {next} of {logged} in {place}");
        assert!(under_way <= times, "{point} {times} times: {under_way} come twice in {place}");
    }
    let stays = std::fs::read_dir(dir.path().join("rings")).unwrap().count();
    assert_eq!(stays, 0, "{point}: directories of rings stay");
    reached > 0
}

#[test]
fn a_program_that_ends_between_two_steps_has_each_event_delivered_once() {
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    let points = rollway::CRASH_POINTS.iter();
    let points: Vec<_> =
        points.filter(|point| AREAS.iter().any(|area| point.starts_with(area))).collect();
    assert!(points.len() >= 14, "{points:?}");
    for point in points {
        let mut reached = false;
        for times in [1, 2] {
            let _watchdog = watchdog();
            for by_sweep in [false, true] {
                reached |= play_point(point, times, by_sweep);
            }
        }
        assert!(reached, "no program came to {point}");
    }
}
