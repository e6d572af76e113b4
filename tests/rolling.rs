//! Files rolled by time, by command and at a start; their names, their headers and what becomes of
//! them: whatever the clock, the kill or the restart, every line is there once.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use rollway::appender::File;
use rollway::appender::file::{Compression, RollBy};
use rollway::clock::{SystemUtc, UtcClock};
use rollway::layout::Pattern;
use rollway::{Builder, Category, Guard, InitError};
#[cfg(feature = "crash-points")]
use support::child;
use support::{PATIENCE, lines, message_file, wait_until, watchdog};

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// The present of these tests: 2021-11-21, 09:00 UTC, before any file on this machine was written.
const NOW_NS: i64 = 1_637_485_200 * SECOND_NS;

/// A clock that goes on from a time that the test sets.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn at(time_ns: i64) -> Clock {
        let clock = Clock(Arc::default());
        clock.set(time_ns);
        clock
    }

    fn set(&self, time_ns: i64) {
        self.0.store(time_ns - SystemUtc.utc_ns(), Ordering::Relaxed);
    }
}

impl UtcClock for Clock {
    fn utc_ns(&self) -> i64 {
        SystemUtc.utc_ns() + self.0.load(Ordering::Relaxed)
    }
}

fn by(pattern: &str) -> RollBy {
    RollBy::parse(pattern).unwrap().zone("UTC").unwrap()
}

fn builder(dir: &Path, clock: &Clock) -> Builder {
    let builder = rollway::builder().clock(clock.clone());
    builder.journal_dir(dir.join("journal")).rings_dir(dir.join("rings"))
}

fn start(dir: &Path, time_ns: i64, file: File) -> Guard {
    builder(dir, &Clock::at(time_ns)).appender("file", file).start().unwrap()
}

fn log(guard: &Guard, messages: &[&str]) {
    messages.iter().for_each(|message| rollway::info!(logger: guard.logger(), "{message}"));
}

/// A run that logs at a time and ends.
fn run(dir: &Path, time_ns: i64, file: File, messages: &[&str]) {
    let guard = start(dir, time_ns, file);
    log(&guard, messages);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

/// The names of the files in a directory, and what is in them.
fn texts(dir: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(dir).unwrap().flatten();
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let mut texts: Vec<_> = files
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    texts.sort();
    texts
}

fn expect(dir: &Path, expected: &[(&str, &str)]) {
    let found = texts(dir);
    let found: Vec<_> = found.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(found, expected);
}

/// A directory, and the path of its text file.
fn scene() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    (dir, text)
}

#[test]
fn the_first_event_of_a_new_day_begins_a_new_file_also_after_a_restart() {
    let _watchdog = watchdog();
    for (keep_extension, names) in [
        (false, ["app.log", "app.log.2021-11-21", "app.log.2021-11-23"]),
        (true, ["app.2021-11-21.log", "app.2021-11-23.log", "app.log"]),
    ] {
        let (dir, text) = scene();
        let file = || message_file(&text).roll_by(by("yyyy-MM-dd")).keep_extension(keep_extension);
        run(dir.path(), NOW_NS, file(), &["a"]);
        run(dir.path(), NOW_NS + SECOND_NS, file(), &["b"]);
        // A day without an event has no file.
        run(dir.path(), NOW_NS + 2 * DAY_NS, file(), &["c"]);
        let clock = Clock::at(NOW_NS + 2 * DAY_NS + SECOND_NS);
        let guard = builder(dir.path(), &clock).appender("file", file()).start().unwrap();
        log(&guard, &["d"]);
        guard.flush().unwrap();
        clock.set(NOW_NS + 5 * DAY_NS);
        // What is logged around the step has a time of either day, or one between them.
        std::thread::sleep(Duration::from_millis(20));
        log(&guard, &["e"]);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let mut expected = [(names[0], ""), (names[1], ""), (names[2], "")];
        for (name, text) in &mut expected {
            *text = match *name {
                "app.log" => "e\n",
                name if name.contains("11-21") => "a\nb\n",
                _ => "c\nd\n",
            };
        }
        expect(dir.path(), &expected);
    }
}

#[test]
fn an_event_older_than_the_files_day_stays_in_the_file() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = || message_file(&text).roll_by(by("daily"));
    run(dir.path(), NOW_NS, file(), &["a"]);
    run(dir.path(), NOW_NS - 3 * DAY_NS, file(), &["older"]);
    run(dir.path(), NOW_NS + SECOND_NS, file(), &["b"]);
    expect(dir.path(), &[("app.log", "a\nolder\nb\n")]);
}

#[test]
fn a_file_of_an_earlier_time_that_no_slot_tells_of_is_rolled_at_the_first_event() {
    let _watchdog = watchdog();
    for in_directory in [false, true] {
        let (dir, text) = scene();
        fs::write(&text, "theirs\n").unwrap();
        let before = SystemTime::UNIX_EPOCH + Duration::from_nanos((NOW_NS - DAY_NS) as u64);
        fs::File::options().write(true).open(&text).unwrap().set_modified(before).unwrap();
        let clock = Clock::at(NOW_NS);
        let builder = match in_directory {
            true => builder(dir.path(), &clock),
            false => rollway::builder().clock(clock),
        };
        let file = message_file(&text).roll_by(by("daily"));
        let guard = builder.appender("file", file).start().unwrap();
        log(&guard, &["ours"]);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        expect(dir.path(), &[("app.log", "ours\n"), ("app.log.2021-11-20", "theirs\n")]);
    }
}

#[test]
fn files_of_one_day_that_are_full_are_numbered_and_no_name_is_given_twice() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = || message_file(&text).roll_by(by("daily")).rotate_at_bytes(4);
    run(dir.path(), NOW_NS, file(), &["a", "b", "c", "d", "e"]);
    fs::remove_file(dir.path().join("app.log.2021-11-21.2")).unwrap();
    run(dir.path(), NOW_NS + SECOND_NS, file(), &["f", "g"]);
    run(dir.path(), NOW_NS + DAY_NS, file(), &["h"]);
    expect(
        dir.path(),
        &[
            ("app.log", "h\n"),
            ("app.log.2021-11-21", "a\nb\n"),
            ("app.log.2021-11-21.3", "e\nf\n"),
            ("app.log.2021-11-21.4", "g\n"),
        ],
    );
}

#[test]
fn a_file_whose_name_has_the_date_is_appended_to_and_followed_by_that_of_the_next_day() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    // The file that is begun has the date of the machine, as nothing is known of the events.
    let today = by("daily");
    let file = || message_file(&text).roll_by(today.clone()).always_include_pattern(true);
    run(dir.path(), NOW_NS + 40_000 * DAY_NS, file(), &["a"]);
    let date_of_a = texts(dir.path())[0].0.clone();
    assert!(date_of_a.starts_with("app.log.2") && texts(dir.path()).len() == 1, "{date_of_a}");
    run(dir.path(), NOW_NS + 40_000 * DAY_NS, file(), &["b"]);
    run(dir.path(), NOW_NS + 40_001 * DAY_NS, file(), &["c"]);
    let full = message_file(&text).roll_by(by("daily")).always_include_pattern(true);
    run(dir.path(), NOW_NS + 40_001 * DAY_NS, full.rotate_at_bytes(2), &["d", "e"]);
    let found = texts(dir.path());
    let found: Vec<_> = found.iter().map(|(name, text)| (&name[8..], &**text)).collect();
    let [first, second] = ["2131-05-29", "2131-05-30"];
    let numbered = [1, 2].map(|number| format!("{second}.{number}"));
    let expected =
        [(first, "a\nb\n"), (second, "e\n"), (&*numbered[0], "c\n"), (&*numbered[1], "d\n")];
    assert_eq!(found, expected);
}

#[test]
fn a_dated_file_that_is_there_keeps_what_is_in_it() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = message_file(&text).roll_by(by("yyyy")).always_include_pattern(true);
    let year = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year();
    let dated = dir.path().join(format!("app.log.{year}"));
    fs::write(&dated, "theirs\n").unwrap();
    run(dir.path(), SystemUtc.utc_ns(), file, &["ours"]);
    assert_eq!(fs::read_to_string(dated).unwrap(), "theirs\nours\n");
}

#[test]
fn a_start_rolls_what_is_there_if_it_shall() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = || message_file(&text).roll_at_start(true);
    run(dir.path(), NOW_NS, file(), &["a"]);
    run(dir.path(), NOW_NS, file(), &[]);
    run(dir.path(), NOW_NS, file(), &["b"]);
    run(dir.path(), NOW_NS, file(), &["c"]);
    expect(dir.path(), &[("app.log", "c\n"), ("app.log.1", "a\n"), ("app.log.2", "b\n")]);
}

/// Full files that are not kept leave the last one alone.
#[test]
fn with_no_file_to_keep_only_the_one_that_is_written_stays() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = message_file(&text).rotate_at_bytes(100).keep(0);
    let message = |at: u32| format!("{at} {}", "x".repeat(60));
    let messages: Vec<_> = (0..3).map(message).collect();
    run(dir.path(), NOW_NS, file, &messages.iter().map(|it| &**it).collect::<Vec<_>>());
    expect(dir.path(), &[("app.log", &format!("{}\n", message(2)))]);
}

#[test]
fn every_new_file_begins_with_the_header_and_it_counts_among_its_bytes() {
    let _watchdog = watchdog();
    for in_directory in [false, true] {
        let (dir, text) = scene();
        let file = message_file(&text).header("HEADER").rotate_at_bytes(7 + 4).keep_extension(true);
        let clock = Clock::at(NOW_NS);
        let builder = match in_directory {
            true => builder(dir.path(), &clock),
            false => rollway::builder(),
        };
        let guard = builder.appender("file", file).start().unwrap();
        log(&guard, &["a", "b", "c", "longer than all", "d"]);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        expect(
            dir.path(),
            &[
                ("app.1.log", "HEADER\na\nb\n"),
                ("app.2.log", "HEADER\nc\n"),
                ("app.3.log", "HEADER\nlonger than all\n"),
                ("app.log", "HEADER\nd\n"),
            ],
        );
    }
}

#[test]
fn the_header_comes_again_at_an_open_where_that_is_wanted() {
    let _watchdog = watchdog();
    for (again, expected) in [(true, "HEADER\none\nHEADER\ntwo\n"), (false, "HEADER\none\ntwo\n")] {
        let (dir, text) = scene();
        let file = || message_file(&text).header("HEADER\n").header_at_every_open(again);
        run(dir.path(), NOW_NS, file(), &["one"]);
        run(dir.path(), NOW_NS, file(), &[]);
        run(dir.path(), NOW_NS, file(), &["two"]);
        expect(dir.path(), &[("app.log", expected)]);
    }
}

/// The slot is put back and the file is cut: as if the process had been killed while it wrote.
#[test]
fn a_header_that_was_torn_or_is_there_already_is_written_once() {
    let _watchdog = watchdog();
    for (again, settled) in [(false, false), (true, false), (true, true)] {
        for torn in 0..="HEADER\na\nb\n".len() as u64 {
            let (dir, text) = scene();
            let file = || message_file(&text).header("HEADER").header_at_every_open(again);
            if settled {
                run(dir.path(), NOW_NS, file(), &["before"]);
            }
            let slots = dir.path().join("journal/cursors/file.cursor");
            let guard = start(dir.path(), NOW_NS, file());
            guard.flush().unwrap();
            let (stored, length) = (fs::read(&slots).unwrap(), fs::metadata(&text).unwrap().len());
            log(&guard, &["a", "b"]);
            assert_eq!(guard.shutdown(PATIENCE).left(), 0);
            fs::write(&slots, stored).unwrap();
            fs::File::options().write(true).open(&text).unwrap().set_len(length + torn).unwrap();
            run(dir.path(), NOW_NS, file(), &["c"]);
            let found = lines(&text);
            let events: Vec<_> = found.iter().filter(|line| *line != "HEADER").collect();
            let expected = if settled { &["before", "a", "b", "c"][..] } else { &["a", "b", "c"] };
            assert_eq!(events, expected, "torn at {torn}");
            assert_eq!(found[0], "HEADER");
            if !again {
                assert_eq!(found.len(), 4, "torn at {torn}: {found:?}");
            }
        }
    }
}

#[test]
fn copies_of_an_event_stay_in_one_file() {
    let _watchdog = watchdog();
    let (dir, path) = scene();
    let file = message_file(&path).rotate_at_bytes(1);
    let guard = builder(dir.path(), &Clock::at(NOW_NS))
        .one_message_per_appender(false)
        .appender("file", file)
        .category(Category::root().appenders(["file"]))
        .category(Category::new("shop").appenders(["file"]))
        .start()
        .unwrap();
    for n in 0..3 {
        rollway::info!(logger: guard.logger(), target: "shop", "{n}");
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    expect(dir.path(), &[("app.log", "2\n2\n"), ("app.log.1", "0\n0\n"), ("app.log.2", "1\n1\n")]);
}

#[test]
fn a_new_file_has_the_permissions_that_were_asked_for() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("logs/deep/app.log");
    let own = fs::metadata(dir.path()).unwrap();
    let (user, group) = (own.uid().to_string(), own.gid().to_string());
    let file = message_file(&text).mode(0o666).dir_mode(0o750).owner(user).group(group);
    run(dir.path(), NOW_NS, file.rotate_at_bytes(1), &["a", "b"]);
    for name in ["app.log", "app.log.1"] {
        let found = fs::metadata(text.with_file_name(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o666, "{name}");
    }
    let deep = fs::metadata(text.parent().unwrap()).unwrap();
    assert_eq!(deep.permissions().mode() & 0o777, 0o750);
    run(dir.path(), NOW_NS, message_file(&dir.path().join("own.log")), &["a"]);
    let own = fs::metadata(dir.path().join("own.log")).unwrap();
    assert_eq!(own.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_is_refused_with_its_remedy() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let told = |file: File| match rollway::builder().appender("file", file).start() {
        Err(InitError::Appender(error)) => error.to_string(),
        other => panic!("{:?}", other.err()),
    };
    let source = |file: File| {
        let error = rollway::builder().appender("file", file).start().err().unwrap();
        let mut text = String::new();
        let mut cause = Some(&error as &dyn std::error::Error);
        while let Some(error) = cause {
            text.push_str(&format!("{error}: "));
            cause = error.source();
        }
        text
    };
    assert!(told(File::new("")).contains("no path"));
    assert!(told(File::new(dir.path().join("logs/"))).contains("ends in `/`"));
    assert!(told(File::new(&text).always_include_pattern(true)).contains("roll_by"));
    assert!(told(File::new(&text).shared(true).header("x")).contains("shared"));
    let spaced = File::new(&text).min_roll_interval(Duration::from_secs(1));
    assert!(told(spaced).contains("add `rotate_at_bytes`"));
    assert!(
        source(File::new(&text).owner("nobody-has-this-name")).contains("nobody-has-this-name")
    );
    assert!(source(File::new(dir.path())).contains("directory"));
    expect(dir.path(), &[]);
}

#[test]
fn a_tilde_is_the_home_directory() {
    let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) else {
        return eprintln!("skipped: there is no home directory");
    };
    let _watchdog = watchdog();
    let Ok(dir) = tempfile::Builder::new().prefix(".rollway-test-").tempdir_in(&home) else {
        return eprintln!("skipped: {} cannot be written", home.display());
    };
    let below = Path::new("~").join(dir.path().file_name().unwrap()).join("app.log");
    let guard = rollway::builder().appender("file", message_file(&below)).start().unwrap();
    log(&guard, &["a"]);
    drop(guard);
    assert_eq!(lines(&dir.path().join("app.log")), ["a"]);
}

/// Log4perl's script 03: what is in the file before, and what the mode makes of it.
#[test]
fn golden_03_append_keeps_and_write_clobbers_what_is_there() {
    let _watchdog = watchdog();
    for (append, expected) in [
        (None, "existing line\nINFO - new message\n"),
        (Some(true), "existing line\nINFO - new message\n"),
        (Some(false), "INFO - new message\n"),
    ] {
        let (dir, text) = scene();
        fs::write(&text, "existing line\n").unwrap();
        let mut file = File::new(&text).layout(Pattern::parse("%p - %m%n").unwrap());
        if let Some(append) = append {
            file = file.append(append);
        }
        let guard = rollway::builder().appender("file", file).start().unwrap();
        rollway::info!(logger: guard.logger(), "new message");
        drop(guard);
        expect(dir.path(), &[("app.log", expected)]);
    }
}

/// Log4perl's script 18, as far as it is about files: `recreate` and its absence.
#[test]
fn golden_18_a_file_that_was_moved_is_made_anew_unless_nobody_looks() {
    let _watchdog = watchdog();
    for (looks, expected) in [
        (true, vec![("app.log", "two\n"), ("file2.tmp", "one\n")]),
        (false, vec![("file2.tmp", "one\ntwo\n")]),
    ] {
        for in_directory in [false, true] {
            let (dir, text) = scene();
            let file = message_file(&text).check_moved_every_ms(0).check_moved(looks);
            let clock = Clock::at(NOW_NS);
            let builder = match in_directory {
                true => builder(dir.path(), &clock),
                false => rollway::builder(),
            };
            let guard = builder.appender("file", file).start().unwrap();
            log(&guard, &["one"]);
            guard.flush().unwrap();
            fs::rename(&text, dir.path().join("file2.tmp")).unwrap();
            log(&guard, &["two"]);
            assert_eq!(guard.shutdown(PATIENCE).left(), 0);
            expect(dir.path(), &expected);
        }
    }
}

#[test]
fn a_file_that_was_replaced_or_removed_is_noticed_and_what_is_gone_is_counted() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    let file = message_file(&text).check_moved_every_ms(0).header("HEADER");
    let guard = builder(dir.path(), &Clock::at(NOW_NS)).appender("file", file).start().unwrap();
    log(&guard, &["gone"]);
    guard.flush().unwrap();
    assert_eq!(guard.stats().appenders[0].errors, 0);
    fs::remove_file(&text).unwrap();
    log(&guard, &["two"]);
    guard.flush().unwrap();
    wait_until("the loss is counted", || guard.stats().appenders[0].errors == 1);
    assert_eq!(lines(&text), ["HEADER", "two"]);
    fs::rename(&text, dir.path().join("old")).unwrap();
    fs::write(&text, "theirs\n").unwrap();
    log(&guard, &["three"]);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    expect(dir.path(), &[("app.log", "theirs\nthree\n"), ("old", "HEADER\ntwo\n")]);
}

#[test]
fn a_hundred_events_before_the_end_are_all_in_the_file() {
    let _watchdog = watchdog();
    for roll in [false, true] {
        let (dir, text) = scene();
        let file = message_file(&text);
        let file = if roll { file.roll_by(by("daily")) } else { file };
        let messages: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        run(dir.path(), NOW_NS, file, &messages.iter().map(|it| &**it).collect::<Vec<_>>());
        assert_eq!(lines(&text), messages);
    }
}

#[test]
fn a_coloured_layout_writes_a_plain_file_where_that_is_wanted() {
    let _watchdog = watchdog();
    for (removes, expected) in [(true, "red\n"), (false, "\x1b[31mred\x1b[0m\n")] {
        let (dir, text) = scene();
        let coloured = Pattern::parse("\x1b[31m%m\x1b[0m%n").unwrap();
        run(dir.path(), NOW_NS, File::new(&text).layout(coloured).remove_colour(removes), &["red"]);
        expect(dir.path(), &[("app.log", expected)]);
    }
}

/// The open files of this process that lie below a directory.
fn open_files(dir: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|it| fs::read_link(it.path()).is_ok_and(|to| to.starts_with(dir))).count()
}

#[test]
fn twenty_starts_leave_no_file_open() {
    let _watchdog = watchdog();
    let (dir, text) = scene();
    for _ in 0..20 {
        let file = message_file(&text).roll_by(by("daily")).compress(Compression::Gzip);
        run(dir.path(), NOW_NS, file.roll_at_start(true), &["a"]);
        assert_eq!(open_files(dir.path()), 0);
    }
}

#[test]
fn processes_that_share_a_file_leave_each_line_whole_and_once() {
    const WRITERS: usize = 3;
    const EVENTS: usize = 2_000;

    let _watchdog = watchdog();
    let (dir, text) = scene();
    let guards: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let builder =
                rollway::builder().journal_dir(dir.path().join(format!("journal-{writer}")));
            let builder = builder.rings_dir(dir.path().join("rings"));
            builder.appender("file", message_file(&text).shared(true)).start().unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for (writer, guard) in guards.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..EVENTS {
                    let message = format!("{writer} {number} {}", "x".repeat(number % 200));
                    rollway::info!(logger: guard.logger(), "{message}");
                }
            });
        }
    });
    for guard in guards {
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    }
    let mut next = [0; WRITERS];
    for line in lines(&text) {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<usize>().unwrap();
        let (writer, number) = (number(), number());
        assert_eq!(number, next[writer], "of {writer}");
        assert_eq!(words.next().unwrap().len(), number % 200);
        next[writer] += 1;
    }
    assert_eq!(next, [EVENTS; WRITERS]);
}

/// The text of a file that may be compressed.
fn text_of(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
        "zst" => zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
        _ => { file }.read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn rolled_files_are_compressed_and_count_for_retention_in_either_form() {
    let _watchdog = watchdog();
    for (how, end) in [(Compression::Gzip, ".gz"), (Compression::Zstd, ".zst")] {
        let (dir, text) = scene();
        let file = message_file(&text).rotate_at_bytes(8).keep(3).compress(how);
        let guard = builder(dir.path(), &Clock::at(NOW_NS)).appender("file", file).start().unwrap();
        for number in 0..10 {
            log(&guard, &[&format!("event {number}")]);
            guard.flush().unwrap();
        }
        let expected: Vec<_> = [7, 8, 9].map(|number| format!("app.log.{number}{end}")).into();
        let names = || -> Vec<String> {
            let entries = fs::read_dir(dir.path()).unwrap().flatten();
            let mut names: Vec<_> =
                entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.retain(|name| name.starts_with("app.log."));
            names.sort();
            names
        };
        wait_until("all are compressed", || names() == expected);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        for (name, number) in expected.iter().zip(6..) {
            assert_eq!(text_of(&dir.path().join(name)), format!("event {number}\n"));
        }
        assert_eq!(lines(&text), ["event 9"]);
    }
}

/// The points of rolling by time, and of compressing.
#[cfg(feature = "crash-points")]
const POINTS: [&str; 11] = [
    "file.text",
    "file.full_slot",
    "file.synced",
    "file.renamed",
    "file.directory",
    "file.created",
    "file.new_slot",
    "pack.written",
    "pack.synced",
    "pack.renamed",
    "pack.directory",
];

/// All lines below a directory, in the order of their files' ages.
#[cfg(feature = "crash-points")]
fn all_lines(dir: &Path, is_dated: bool) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().flatten();
    let mut files: Vec<_> = files
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let rest = name.strip_prefix("app.log")?.to_owned();
            let rest = rest.trim_end_matches(".gz").trim_end_matches(".zst");
            assert!(!rest.ends_with(".tmp"), "{name} is left");
            let (stamp, number) = match rest.strip_prefix('.') {
                // The file that is written comes last.
                None => ("~", 0),
                Some(rest) => rest
                    .split_once('.')
                    .map_or((rest, 1), |(stamp, number)| (stamp, number.parse().unwrap())),
            };
            let number =
                if is_dated && number == 1 && !rest[1..].contains('.') { u64::MAX } else { number };
            Some((stamp.to_owned(), number, entry.path()))
        })
        .collect();
    files.sort();
    files.dedup_by(|one, other| (&one.0, one.1) == (&other.0, other.1));
    files
        .iter()
        .flat_map(|(_, _, path)| text_of(path).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[cfg(feature = "crash-points")]
#[test]
fn a_kill_between_any_two_steps_of_rolling_by_time_loses_and_doubles_nothing() {
    const TEST: &str = "a_kill_between_any_two_steps_of_rolling_by_time_loses_and_doubles_nothing";
    if child::part().is_some() {
        return roll_and_die();
    }
    let _watchdog = watchdog();
    for point in POINTS {
        for (kind, times) in [("plain", 1), ("plain", 3), ("both", 2), ("dated", 1), ("dated", 2)] {
            let packs = point.starts_with("pack.");
            let kind = if packs { format!("{kind} packed") } else { kind.to_owned() };
            let case = format!("{point}:{times}, {kind}");
            let dir = tempfile::tempdir().unwrap();
            let run = |at: Option<&str>, number: usize| {
                let mut command = child::command(TEST, "roll");
                command.env("DIR", dir.path()).env("KIND", &kind).env("RUN", number.to_string());
                if let Some(at) = at {
                    command.env("ROLLWAY_CRASH_AT", at);
                }
                command.status().unwrap()
            };
            for number in 0..2 {
                let status = run(Some(&format!("{point}:{times}")), number);
                assert!(!status.success(), "it was not reached: {case}");
            }
            let status = run(None, 2);
            assert!(status.success(), "{case}: {status}");
            let found = all_lines(dir.path(), kind.starts_with("dated"));
            let journal = support::journal::messages(&dir.path().join("journal"));
            assert_eq!(found, journal, "{case}");
            let last: Vec<_> = (0..30).map(|number| format!("2 {number}")).collect();
            assert!(found.ends_with(&last), "{case}: {found:?}");
        }
    }
}

#[cfg(feature = "crash-points")]
fn roll_and_die() {
    let dir = PathBuf::from(child::variable("DIR"));
    let (run, kind) = (child::variable("RUN"), child::variable("KIND"));
    let mut file = message_file(&dir.join("app.log")).roll_by(by("minutely"));
    if kind.starts_with("both") {
        file = file.rotate_at_bytes(20);
    }
    if kind.starts_with("dated") {
        file = file.always_include_pattern(true);
    }
    if kind.ends_with("packed") {
        file = file.compress(Compression::Gzip);
    }
    let first_ns = NOW_NS + 40_000 * DAY_NS + run.parse::<i64>().unwrap() * 10 * MINUTE_NS;
    let clock = Clock::at(first_ns);
    let guard = builder(&dir, &clock).appender("file", file).start().unwrap();
    for number in 0..30 {
        clock.set(first_ns + number / 5 * MINUTE_NS);
        rollway::info!(logger: guard.logger(), "{run} {number}");
        if number % 7 == 6 {
            guard.flush().unwrap();
        }
    }
    guard.flush().unwrap();
    if kind.ends_with("packed") {
        // The kill comes while it is compressed, or all is.
        wait_until("all are compressed", || {
            let names = fs::read_dir(&dir).unwrap().flatten();
            let names = names.map(|entry| entry.file_name().into_string().unwrap());
            let mut rolled: Vec<_> = names.filter(|name| name.starts_with("app.log.")).collect();
            rolled.sort();
            let written = rolled.pop_if(|_| kind.starts_with("dated"));
            rolled.retain(|name| !name.ends_with(".gz"));
            rolled.is_empty() && written.is_none_or(|name| !name.ends_with(".gz"))
        });
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}
