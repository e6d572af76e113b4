//! A program ends between two steps of making, leaving, draining or sweeping rings, once and twice in a
//! row: every event is delivered once, and nothing stays that grows.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use rollway::{Durability, Guard, info};
use support::ledger::Ledger;
use support::{PATIENCE, child, lines, watchdog};

const TEST: &str = "a_program_that_ends_between_two_steps_has_each_event_delivered_once";
/// The areas whose points are played here.
const AREAS: [&str; 5] = ["ring.", "replace.", "home.", "recover.", "writer."];
const EVENTS: u64 = 300;
const SIGKILL: i32 = 9;

fn start(dir: &Path, journal: &str, linger: Duration) -> Guard {
    rollway::builder()
        .linger(linger)
        .journal_dir(dir.join(journal))
        .rings_dir(dir.join("rings"))
        .require(Durability::L1)
        .appender("file", support::message_file(&dir.join(format!("{journal}.log"))))
        .start()
        .unwrap()
}

/// Plays `part` for the journal `a` or `b`, with or without a crash point, whose
/// neighbouring steps may have changed places.
fn play(dir: &Path, part: &str, journal: &str, point: Option<&str>, swap: bool) -> ExitStatus {
    let mut command: Command = child::command(TEST, part);
    command.env("CRASH_DIR", dir).env("CRASH_JOURNAL", journal).stderr(Stdio::null());
    if let Some(point) = point {
        command.env("ROLLWAY_CRASH_AT", point);
        if swap {
            command.env("ROLLWAY_CRASH_SWAP", point);
        }
    }
    command.status().unwrap()
}

/// The child. What it has logged is what its ledger says.
fn take_part(part: &str) {
    let dir = PathBuf::from(child::variable("CRASH_DIR"));
    let journal = child::variable("CRASH_JOURNAL");
    // What both threads log lies in their rings when the writer first comes to the point.
    let linger = if part == "two rings" { PATIENCE } else { Duration::from_millis(2) };
    let guard = start(&dir, &journal, linger);
    if part == "two rings" {
        for number in 0..EVENTS {
            info!(logger: guard.logger(), "main/{number}");
        }
        std::thread::scope(|scope| {
            let (said, heard) = mpsc::channel();
            // It ends when the writer comes to the point.
            let guard = &guard;
            scope.spawn(move || {
                (0..u64::MAX).for_each(|number| {
                    info!(logger: guard.logger(), "other/{number}");
                    if number == EVENTS {
                        let _ = said.send(());
                    }
                });
            });
            heard.recv().unwrap();
            guard.flush()
        })
        .unwrap();
    }
    if part == "log" {
        let ledger = Ledger::open(&dir.join("ledger"));
        let first = ledger.slot(0).load(Ordering::Acquire);
        for number in 0..EVENTS {
            info!(logger: guard.logger(), "{}", first + number);
            ledger.slot(0).store(first + number + 1, Ordering::Release);
            if number == EVENTS / 2 {
                guard.flush().unwrap();
            }
        }
        // Not by the signal of a crash point.
        std::process::abort();
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// What became of one case.
#[derive(Default, Debug)]
struct Outcome {
    /// Starts that ended at the point.
    reached: usize,
    /// What is wrong, each with its place.
    wrong: Vec<String>,
}

/// The program logs and dies, at the point or behind its last event; is started again by itself or,
/// `by_sweep`, has its rings swept by another's start; and that ends at the point `times` times.
fn play_point(point: &str, times: usize, by_sweep: bool, swap: bool) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let starter = if by_sweep { "b" } else { "a" };
    let mut outcome = Outcome::default();
    let mut armed = |part, journal| {
        let status = play(dir, part, journal, Some(point), swap);
        outcome.reached += usize::from(status.signal() == Some(SIGKILL));
    };
    for _ in 0..times {
        armed("log", "a");
    }
    play(dir, "log", "a", None, false);
    for _ in 0..times {
        armed("end", starter);
    }
    for journal in [starter, "a"] {
        let status = play(dir, "end", journal, None, false);
        assert!(status.success(), "{point}: the last start ended with {status}");
    }

    let logged = Ledger::open(&dir.join("ledger")).counts(1)[0];
    assert!(logged >= EVENTS);
    let of_journal = support::journal::messages(&dir.join("a"));
    for (place, messages) in [("journal", of_journal), ("file", lines(&dir.join("a.log")))] {
        let (mut next, mut again) = (0, 0);
        for message in &messages {
            let number: u64 = message.parse().unwrap();
            if number + 1 == next {
                // The call that was under way at the end of a run: the next one logs it again.
                again += 1;
            } else if number == next {
                next += 1;
            } else {
                outcome.wrong.push(format!("{number} comes for {next} in the {place}"));
                next = number + 1;
            }
        }
        if !(logged..=logged + 1).contains(&next) || again > times {
            let what = format!("{next} of {logged}, {again} again, in the {place}");
            outcome.wrong.push(what);
        }
    }
    let stay = std::fs::read_dir(dir.join("rings")).unwrap().count();
    if stay > 0 {
        outcome.wrong.push(format!("{stay} directories of rings stay"));
    }
    outcome
}

#[test]
fn a_program_that_ends_between_two_steps_has_each_event_delivered_once() {
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    let points = rollway::CRASH_POINTS.iter();
    let points = points.filter(|point| AREAS.iter().any(|area| point.starts_with(area)));
    let mut played = 0;
    for point in points {
        let mut reached = 0;
        for times in [1, 2] {
            let _watchdog = watchdog();
            for by_sweep in [false, true] {
                let outcome = play_point(point, times, by_sweep, false);
                let case = format!("{point}, {times} times, by a sweep: {by_sweep}");
                assert!(outcome.wrong.is_empty(), "{case}: {:?}", outcome.wrong);
                reached += outcome.reached;
            }
        }
        assert!(reached > 0, "no program came to {point}");
        played += 1;
    }
    assert!(played >= 14, "{played} points");
}

#[test]
fn heads_that_move_before_the_journal_has_their_records_are_found_out() {
    let _watchdog = watchdog();
    let outcome = play_point("recover.append", 1, false, true);
    assert!(outcome.reached > 0 && !outcome.wrong.is_empty(), "{outcome:?}");
}

#[test]
fn a_ring_that_the_journal_has_is_not_taken_again_when_the_recovery_of_another_one_is_cut_off() {
    for point in ["drain.known", "recover.append", "recover.head", "recover.done"] {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let status = play(dir, "two rings", "a", Some("writer.head"), false);
        assert_eq!(status.signal(), Some(SIGKILL));
        play(dir, "end", "a", Some(point), false);
        assert!(play(dir, "end", "a", None, false).success(), "{point}");
        let messages = support::journal::messages(&dir.join("a"));
        for (of, least) in [("main/", EVENTS as usize), ("other/", 0)] {
            let numbers: Vec<_> =
                messages.iter().filter_map(|line| line.strip_prefix(of)).collect();
            let expected: Vec<_> = (0..numbers.len()).map(|number| number.to_string()).collect();
            assert_eq!(numbers, expected, "{point}: each event of {of} once, in its order");
            assert!(numbers.len() >= least, "{point}: {} of {of}", numbers.len());
        }
    }
}
