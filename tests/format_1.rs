//! A journal of format version 1, written once, is read for ever.
//!
//! `tests/fixtures/format-1/` has two runs of one source: every kind of value, absent ones, sites
//! inside their records, contexts, threads, several blocks. `expected.jsonl` is what they said on
//! the day they were written. Neither is ever written again: a build that reads something else is
//! wrong.

use std::path::{Path, PathBuf};

use rollway::block::header::{BlockKind, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::journal::{Journal, JournalOptions, Position, Scan, ScannedBlocks, segment_paths};
use rollway::layout::{Json, Layout};

const SEGMENTS: usize = 2;
const EVENTS: usize = 68;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

fn expected() -> String {
    std::fs::read_to_string(fixture().join("expected.jsonl")).unwrap()
}

/// A copy, for whoever may write: reading leaves the fixture alone.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (_, path) in segment_paths(&fixture()).unwrap() {
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn lines<'a>(block: &EventsBlock<'a>, dictionary: &'a Dictionary, out: &mut String) {
    let mut layout = Json::full();
    let mut events = block.events(dictionary);
    while let Some(event) = events.next() {
        layout.write(&event.unwrap(), out);
    }
}

#[test]
fn its_files_are_scanned_block_by_block() {
    let (mut text, mut dictionary) = (String::new(), Dictionary::new());
    let paths = segment_paths(&fixture()).unwrap();
    assert_eq!(paths.len(), SEGMENTS);
    for (generation, path) in paths {
        dictionary.begin_segment();
        let mut blocks = ScannedBlocks::open(&path).unwrap();
        while let Some(block) = blocks.next() {
            let block = block.unwrap();
            assert_eq!(block.header.generation, generation);
            match block.header.kind {
                BlockKind::Define => {
                    dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]).unwrap();
                }
                BlockKind::Events => {
                    let events = EventsBlock::open(block.header, block.bytes).unwrap();
                    lines(&events, &dictionary, &mut text);
                }
                BlockKind::Segment => assert_eq!(block.position.offset, 0),
                BlockKind::Other(kind) => panic!("a block of kind {kind}"),
            }
        }
    }
    assert!(text == expected(), "{text}");
    assert_eq!(text.lines().count(), EVENTS);
}

#[test]
fn its_journal_is_gone_on_with() {
    let dir = copy();
    let scan = Scan::of_directory(dir.path()).unwrap();
    assert_eq!(scan.damage, []);
    let options = JournalOptions::directory(dir.path()).max_bytes(32 << 20);
    let (journal, writer) = Journal::in_directory(options, scan).unwrap();
    assert_eq!(journal.end().generation, SEGMENTS as u64 + 1);
    // Two runs of one source, and what each has stored.
    let marks: Vec<_> = writer.marks().iter().collect();
    assert!(marks.len() == 2 && marks[0].0 == marks[1].0 && marks[0].1 != marks[1].1, "{marks:?}");
    assert!(marks.iter().all(|(_, _, sequence)| *sequence > 0), "{marks:?}");

    let mut reader = journal.reader(Position::default());
    let mut text = String::new();
    while let Some(block) = reader.next().unwrap() {
        lines(&block.events, block.dictionary, &mut text);
    }
    assert!(text == expected(), "{text}");
    assert_eq!(reader.overtaken_segments(), 0);
}

#[cfg(feature = "cli")]
#[test]
fn the_command_reads_it() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["cat", "--json"])
        .arg(fixture())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let messages = |text: &str| -> Vec<(String, String)> {
        let field = |line: &serde_json::Value, name| line[name].as_str().unwrap().to_owned();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.map(|line| (field(&line, "time"), field(&line, "message"))).collect()
    };
    let found = messages(std::str::from_utf8(&output.stdout).unwrap());
    // The command merges by time, and so does the expected text within its blocks.
    let mut expected = messages(&expected());
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, expected);
}

/// What the fixture was made with. It stays to tell what is in there, and to make the one of the
/// next version; run by hand with `FIXTURE` naming a new directory.
#[test]
#[ignore = "the fixture is written once"]
fn the_fixture_is_written() {
    let to = PathBuf::from(std::env::var_os("FIXTURE").expect("FIXTURE names a new directory"));
    let dir = tempfile::tempdir().unwrap();
    for run in 1..=2 {
        let guard = rollway::builder()
            .service("shop")
            .level(rollway::Level::TRACE)
            .wait(rollway::WaitStrategy::Manual)
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .start()
            .unwrap();
        let logger = guard.logger().clone();
        log_everything(&logger, run, || guard.flush().unwrap());
        assert_eq!(guard.shutdown(std::time::Duration::from_secs(20)).left_in_rings_bytes, 0);
    }
    std::fs::create_dir(&to).unwrap();
    let mut text = String::new();
    let mut dictionary = Dictionary::new();
    for (_, path) in segment_paths(&dir.path().join("journal")).unwrap() {
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        dictionary.begin_segment();
        let mut blocks = ScannedBlocks::open(&path).unwrap();
        while let Some(block) = blocks.next() {
            let block = block.unwrap();
            if block.header.kind == BlockKind::Define {
                dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]).unwrap();
            } else if block.header.kind == BlockKind::Events {
                let events = EventsBlock::open(block.header, block.bytes).unwrap();
                lines(&events, &dictionary, &mut text);
            }
        }
    }
    std::fs::write(to.join("expected.jsonl"), text).unwrap();
}

fn log_everything(logger: &rollway::Logger, run: u32, flush: impl Fn()) {
    struct Shown;
    impl std::fmt::Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("rendered at the call")
        }
    }

    rollway::info!(logger: logger, "run {run}");
    rollway::info!(logger: logger, "unsigned {} {} {} {} {} {}",
        u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX);
    rollway::info!(logger: logger, "signed {} {} {} {} {} {}",
        i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN);
    rollway::info!(logger: logger, "floats {} {} {:?} {:e} {}", 1.5_f32, -2.25_f64, f64::NAN, 1e300, f32::INFINITY);
    rollway::info!(logger: logger, "bool {} char {} {:?}", true, 'ß', '\n');
    rollway::info!(logger: logger, "strings {} {:?} {:>8}|", "plain", "a \"quoted\"\tone\u{1b}[0m", "right");
    rollway::info!(logger: logger, "rendered {} {:?}", Shown, [1, 2, 3]);
    rollway::info!(logger: logger, bytes = &b"\0\xffraw"[..], some = Some(7_u64), none = None::<u64>; "fields");
    rollway::info!(logger: logger, some = Some("text"), absent = None::<&str>, flag = Some(false); "options");
    rollway::info!(logger: logger, "eleven {} {} {} {} {} {} {} {} {} {} {}", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, "11");
    rollway::info!(logger: logger, "{0} {0} {name:#06x} {:<5}|{:+.3}", 1, 2.0, name = 255);
    let target = format!("shop::run{run}");
    rollway::warn!(logger: logger, target: &target, "a category of run time");
    rollway::trace!(logger: logger, "trace");
    rollway::debug!(logger: logger, "debug");
    rollway::error!(logger: logger, "error");
    flush();
    {
        let _user = rollway::mdc("user", "Ada");
        rollway::info!(logger: logger, "with a context");
        let _request = rollway::mdc("request", 42);
        rollway::info!(logger: logger, "with two");
    }
    rollway::info!(logger: logger, "without");
    for thread in 0..4 {
        let name = format!("worker-{thread}");
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name(name);
            let work = || {
                let _thread = rollway::mdc("thread", thread);
                for number in 0..4 {
                    rollway::info!(logger: logger, number, thread; "{number} of thread {thread}");
                }
            };
            worker.spawn_scoped(scope, work).unwrap();
        });
        flush();
    }
}
