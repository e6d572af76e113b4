//! Numbered rotation: whatever the limit, the events and the restarts, the files one behind the other
//! have every line once, and no file has more than it may.

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use rollway::appender::File;
use rollway::clock::{SystemUtc, UtcClock};
use rollway::layout::Pattern;
use rollway::{Builder, Guard};
#[cfg(feature = "crash-points")]
use support::child;
use support::{PATIENCE, lines, message_file, watchdog};

/// The full files of `text` in the order of their numbers, and the one that is written.
fn files(text: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}.", text.file_name().unwrap().to_str().unwrap());
    let mut numbered: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(text.parent().unwrap()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if let Some(Ok(number)) = name.strip_prefix(&prefix).map(str::parse) {
            numbered.push((number, entry.path()));
        }
    }
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).chain([text.to_owned()]).collect()
}

/// All lines, from the oldest file to the newest.
fn all_lines(text: &Path) -> Vec<String> {
    files(text).iter().flat_map(|file| lines(file)).collect()
}

fn builder(dir: &Path, in_directory: bool) -> Builder {
    match in_directory {
        true => rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings")),
        false => rollway::builder(),
    }
}

fn start(dir: &Path, in_directory: bool, file: File) -> Guard {
    builder(dir, in_directory).appender("file", file).start().unwrap()
}

/// The sizes of the files that a naive writer leaves: a line goes where it fits, or into a new file.
fn naive_sizes(lines: &[String], limit: u64) -> Vec<u64> {
    let mut sizes = vec![0];
    for line in lines {
        let len = line.len() as u64 + 1;
        let last = sizes.last_mut().unwrap();
        if *last > 0 && *last + len > limit {
            sizes.push(len);
        } else {
            *last += len;
        }
    }
    sizes
}

/// A file of lines that begin with the time of their event.
fn timed_file(text: &Path) -> File {
    File::new(text).layout(Pattern::parse("%d{EPOCH_NS} %m%n").unwrap())
}

/// The files that a naive writer leaves which looks at the age of a file, too, before it leaves it.
fn naive_files(lines: &[String], limit: u64, interval: Duration) -> Vec<Vec<String>> {
    let time = |line: &str| line.split(' ').next().unwrap().parse::<i64>().unwrap();
    let bytes = |file: &[String]| file.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
    let mut files = vec![Vec::<String>::new()];
    for line in lines {
        let last = files.last_mut().unwrap();
        let is_full = bytes(last) + bytes(std::slice::from_ref(line)) > limit;
        let is_old =
            |first: &String| u128::from(time(line).abs_diff(time(first))) >= interval.as_nanos();
        match is_full && last.first().is_some_and(is_old) {
            true => files.push(vec![line.clone()]),
            false => last.push(line.clone()),
        }
    }
    files
}

/// A clock that is ahead of the system's.
struct Ahead(Duration);

impl UtcClock for Ahead {
    fn utc_ns(&self) -> i64 {
        SystemUtc.utc_ns() + i64::try_from(self.0.as_nanos()).unwrap()
    }
}

fn check_spacing(text: &Path, limit: u64, interval: Duration) {
    let found: Vec<_> = files(text).iter().map(|file| lines(file)).collect();
    assert_eq!(found, naive_files(&all_lines(text), limit, interval));
}

fn sizes(text: &Path) -> Vec<u64> {
    files(text).iter().map(|file| fs::metadata(file).unwrap().len()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn files_of_one_run_are_cut_as_a_naive_writer_cuts_them(
        lengths in prop::collection::vec(0..120_usize, 0..200),
        limit in 1..400_u64,
        in_directory: bool,
    ) {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("app.log");
        let file = message_file(&text).rotate_at_bytes(limit);
        let guard = start(dir.path(), in_directory, file);
        let mut expected = Vec::new();
        for (number, length) in lengths.into_iter().enumerate() {
            expected.push(format!("{number} {}", "x".repeat(length)));
            rollway::info!(logger: guard.logger(), "{}", expected[number]);
        }
        prop_assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        prop_assert_eq!(all_lines(&text), expected.clone());
        prop_assert_eq!(sizes(&text), naive_sizes(&expected, limit));
    }

    #[test]
    fn full_files_are_rolled_when_they_are_old_enough_whatever_the_restarts(
        runs in prop::collection::vec(
            prop::collection::vec((0..60_usize, 0..1500_u64), 0..25), 1..4,
        ),
        limit in 1..300_u64,
        interval_us in prop::option::of(1..6000_u64),
    ) {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("app.log");
        let interval = Duration::from_micros(interval_us.unwrap_or(0));
        for run in runs {
            let file = timed_file(&text).rotate_at_bytes(limit).min_roll_interval(interval);
            let guard = start(dir.path(), true, file);
            for (length, pause_us) in run {
                rollway::info!(logger: guard.logger(), "{}", "x".repeat(length));
                std::thread::sleep(Duration::from_micros(pause_us));
            }
            prop_assert_eq!(guard.shutdown(PATIENCE).left(), 0);
            if text.exists() {
                check_spacing(&text, limit, interval);
            }
        }
    }

    #[test]
    fn restarts_with_other_limits_lose_and_double_nothing(
        runs in prop::collection::vec(
            (prop::collection::vec(0..120_usize, 0..40), prop::option::of(1..600_u64)),
            1..5,
        ),
        in_directory: bool,
    ) {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("app.log");
        let mut expected = Vec::new();
        for (lengths, limit) in runs {
            let file = message_file(&text);
            let file = match limit {
                Some(limit) => file.rotate_at_bytes(limit),
                None => file,
            };
            let guard = start(dir.path(), in_directory, file);
            for length in lengths {
                let line = format!("{} {}", expected.len(), "x".repeat(length));
                rollway::info!(logger: guard.logger(), "{line}");
                expected.push(line);
            }
            prop_assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        }
        prop_assert_eq!(all_lines(&text), expected);
    }
}

#[test]
fn the_bytes_that_are_in_a_file_count_towards_its_bound() {
    let _watchdog = watchdog();
    for in_directory in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("app.log");
        fs::write(&text, "theirs, of 20 bytes\n").unwrap();
        let guard = start(dir.path(), in_directory, message_file(&text).rotate_at_bytes(25));
        for message in ["1234", "5678"] {
            rollway::info!(logger: guard.logger(), "{message}");
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let found: Vec<_> = files(&text).iter().map(|file| lines(file)).collect();
        assert_eq!(found, [vec!["theirs, of 20 bytes", "1234"], vec!["5678"]]);
    }
}

#[test]
fn no_number_is_used_twice_although_the_full_files_are_taken_away() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let mut seen = HashSet::new();
    for run in 0..3 {
        let guard = start(dir.path(), true, message_file(&text).rotate_at_bytes(10));
        for number in 0..5 {
            rollway::info!(logger: guard.logger(), "{run} {number} filler");
        }
        drop(guard);
        let (_, full) =
            files(&text).split_last().map(|(last, full)| (last.clone(), full.to_vec())).unwrap();
        for file in full {
            fs::remove_file(&file).unwrap();
            assert!(seen.insert(file.clone()), "{file:?} was there before");
        }
    }
    assert_eq!(seen.len(), 14);
}

#[test]
fn as_many_full_files_stay_as_were_asked_for() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let foreign = ["app.log.old", "app.log.1.gz", "other.log.1"].map(|name| dir.path().join(name));
    foreign.iter().for_each(|path| fs::write(path, "theirs").unwrap());
    let rotated = || message_file(&text).rotate_at_bytes(8);
    let log = |guard: &Guard| {
        (0..10).for_each(|number| rollway::info!(logger: guard.logger(), "event {number}"));
        guard.flush().unwrap();
    };
    let guard = start(dir.path(), true, rotated().keep(3));
    log(&guard);
    drop(guard);
    let names = |numbers: &[u64]| -> Vec<PathBuf> {
        let full = numbers.iter().map(|number| dir.path().join(format!("app.log.{number}")));
        full.chain([text.clone()]).collect()
    };
    assert_eq!(all_lines(&text), ["event 6", "event 7", "event 8", "event 9"]);
    let kept = |numbers: &[u64]| {
        let mut found = files(&text);
        found.retain(|path| !foreign.contains(path));
        assert_eq!(found, names(numbers));
    };
    kept(&[7, 8, 9]);
    // A start keeps to the number, too.
    drop(start(dir.path(), true, rotated().keep(1)));
    kept(&[9]);
    assert!(foreign.iter().all(|path| fs::read_to_string(path).unwrap() == "theirs"));
}

#[test]
fn a_link_stays_and_its_file_is_rotated() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.log"), dir.path().join("link.log"));
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let guard = start(dir.path(), true, message_file(&link).rotate_at_bytes(8));
    (0..3).for_each(|number| rollway::info!(logger: guard.logger(), "event {number}"));
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(lines(&link), ["event 2"]);
    assert_eq!(all_lines(&real), ["event 0", "event 1", "event 2"]);
}

/// Sixty-four threads and some thousand files.
#[test]
fn many_threads_and_many_rotations_deliver_each_event_once() {
    const THREADS: usize = 64;
    const EVENTS: usize = 500;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let guard = start(dir.path(), false, message_file(&text).rotate_at_bytes(256));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let logger = guard.logger();
            scope.spawn(move || {
                for number in 0..EVENTS {
                    rollway::info!(logger: logger, "{thread} {number}");
                }
            });
        }
    });
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let found = all_lines(&text);
    let mut next = [0; THREADS];
    for line in &found {
        let (thread, number) = line.split_once(' ').unwrap();
        let next = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *next, "of thread {thread}");
        *next += 1;
    }
    assert_eq!(next, [EVENTS; THREADS]);
    assert!(sizes(&text).iter().all(|size| *size <= 256));
}

/// The points of a rotation, in their order.
#[cfg(feature = "crash-points")]
const POINTS: [&str; 8] = [
    "file.text",
    "file.full_slot",
    "file.synced",
    "file.renamed",
    "file.directory",
    "file.created",
    "file.new_slot",
    "journal.commit",
];

/// A child logs and is killed at a point of a rotation, once or several times in a row; the last
/// one goes on to the end. Each start logs what the journal does not have yet: its messages carry
/// their number.
#[cfg(feature = "crash-points")]
#[test]
fn a_kill_between_any_two_steps_of_a_rotation_loses_and_doubles_nothing() {
    const TEST: &str = "a_kill_between_any_two_steps_of_a_rotation_loses_and_doubles_nothing";
    if child::part().is_some() {
        return rotate_and_die();
    }
    let _watchdog = watchdog();
    for (point, reboots) in POINTS.iter().flat_map(|point| [(point, false), (point, true)]) {
        for (times, limits) in
            [(1, [40, 40, 40]), (1, [40, 25, 90]), (3, [30, 35, 20]), (4, [9, 9, 9])]
        {
            let case = format!("{point}:{times}, {limits:?}, reboots: {reboots}");
            let dir = tempfile::tempdir().unwrap();
            let run = |limit: u64, at: Option<&str>, number: usize| {
                let mut command = child::command(TEST, "rotate");
                command.env("DIR", dir.path()).env("LIMIT", limit.to_string());
                command.env("RUN", number.to_string());
                if let Some(at) = at {
                    command.env("ROLLWAY_CRASH_AT", at);
                }
                command.status().unwrap()
            };
            for (number, limit) in limits[..2].iter().enumerate() {
                let status = run(*limit, Some(&format!("{point}:{times}")), number);
                assert!(!status.success(), "it was not reached: {case}");
                if reboots {
                    forget_what_was_not_synced(dir.path());
                }
            }
            let status = run(limits[2], None, 2);
            assert!(status.success(), "{case}: {status}");
            let found = all_lines(&dir.path().join("app.log"));
            let journal = support::journal::messages(&dir.path().join("journal"));
            assert_eq!(found, journal, "{case}");
            let most = *limits.iter().max().unwrap();
            let sizes = sizes(&dir.path().join("app.log"));
            assert!(sizes.iter().all(|size| *size <= most), "{case}: {sizes:?}");
            let last: Vec<_> = (0..30).map(|number| format!("2 {number}")).collect();
            assert!(found.ends_with(&last), "{case}: {found:?}");
        }
    }
}

#[test]
fn a_file_that_was_emptied_between_two_runs_is_as_old_as_its_next_event() {
    const LIMIT: u64 = 40;
    const INTERVAL: Duration = Duration::from_secs(600);
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let begins = || timed_file(&text).rotate_at_bytes(LIMIT).min_roll_interval(INTERVAL);
    let run = |messages: &[&str], ahead: Duration| {
        let guard = builder(dir.path(), true)
            .clock(Ahead(ahead))
            .appender("file", begins())
            .start()
            .unwrap();
        for message in messages {
            rollway::info!(logger: guard.logger(), "{message}");
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    };
    run(&["one"], Duration::ZERO);
    fs::write(&text, "").unwrap();
    // More than the interval behind the event that is gone.
    run(&["two", "three", "four"], 2 * INTERVAL);
    assert_eq!(files(&text).len(), 1, "{:?}", all_lines(&text));
    assert_eq!(all_lines(&text).len(), 3);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_kill_between_any_two_steps_leaves_the_files_that_the_least_time_between_rolls_wants() {
    const TEST: &str =
        "a_kill_between_any_two_steps_leaves_the_files_that_the_least_time_between_rolls_wants";
    const LIMIT: u64 = 60;
    const INTERVAL: Duration = Duration::from_millis(3);
    if child::part().is_some() {
        let text = PathBuf::from(child::variable("DIR")).join("app.log");
        let file = timed_file(&text).rotate_at_bytes(LIMIT).min_roll_interval(INTERVAL);
        let guard = start(text.parent().unwrap(), true, file);
        for number in 0..30 {
            rollway::info!(logger: guard.logger(), "{number}");
            std::thread::sleep(Duration::from_micros(500));
            if number % 7 == 6 {
                guard.flush().unwrap();
            }
        }
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        return;
    }
    let _watchdog = watchdog();
    for point in POINTS {
        for times in [1, 3] {
            let dir = tempfile::tempdir().unwrap();
            let mut command = child::command(TEST, "rotate");
            command.env("DIR", dir.path());
            for _ in 0..2 {
                let at = format!("{point}:{times}");
                let status = command.env("ROLLWAY_CRASH_AT", &at).status().unwrap();
                assert!(!status.success(), "it was not reached: {at}");
            }
            assert!(command.env_remove("ROLLWAY_CRASH_AT").status().unwrap().success());
            let text = dir.path().join("app.log");
            let lines = all_lines(&text);
            let messages: Vec<_> =
                lines.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
            let journal = support::journal::messages(&dir.path().join("journal"));
            assert_eq!(messages, journal, "{point}:{times}");
            check_spacing(&text, LIMIT, INTERVAL);
        }
    }
}

/// After a reboot the slot `written` is of another boot.
#[cfg(feature = "crash-points")]
fn forget_what_was_not_synced(dir: &Path) {
    let slots = dir.join("journal/cursors/file.cursor");
    // A kill in the first block of the journal comes before the file is opened.
    let Ok(mut bytes) = fs::read(&slots) else { return };
    bytes[..128].fill(0);
    fs::write(slots, bytes).unwrap();
}

#[cfg(feature = "crash-points")]
fn rotate_and_die() {
    let dir = PathBuf::from(child::variable("DIR"));
    let limit = child::variable("LIMIT").parse().unwrap();
    let run = child::variable("RUN");
    let file = message_file(&dir.join("app.log")).rotate_at_bytes(limit);
    let guard = start(&dir, true, file);
    for number in 0..30 {
        rollway::info!(logger: guard.logger(), "{run} {number}");
        if number % 7 == 6 {
            guard.flush().unwrap();
        }
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}
