//! A journal with a huge backlog: a start looks at its newest segments, and reading opens one at a time.

mod support;

use std::fs;
use std::path::Path;

use rollway::block::header::{self, HEADER_BYTES};
use rollway::journal::{Journal, JournalOptions, Position, Scan, ScannedBlocks, segment_paths};
use support::watchdog;

const SEGMENTS: u64 = 20_000;
/// The same in a long run.
const SEGMENTS_LONG: u64 = 100_000;
/// What a start may have open.
const DESCRIPTORS_MAX: usize = 32;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Copies the only segment of `dir` until there are `segments`.
fn multiply(dir: &Path, segments: u64) {
    let (_, first) = segment_paths(dir).unwrap().pop().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    let mut blocks = ScannedBlocks::open(&first).unwrap();
    let mut offsets = Vec::new();
    while let Some(block) = blocks.next() {
        offsets.push(block.unwrap().position.offset as usize);
    }
    for generation in 2..=segments {
        for offset in &offsets {
            header::set_generation(&mut bytes[*offset..][..HEADER_BYTES], generation);
        }
        fs::write(dir.join(format!("segment-{generation:016x}.rwj")), &bytes).unwrap();
    }
}

#[test]
fn a_backlog_of_many_segments_is_read_with_few_descriptors() {
    let _watchdog = watchdog();
    let segments = if support::is_long_run() { SEGMENTS_LONG } else { SEGMENTS };
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let start = || {
        let builder = rollway::builder().journal_dir(&journal).journal_max_bytes(1 << 40);
        builder.rings_dir(dir.path().join("rings")).start().unwrap()
    };
    let guard = start();
    rollway::info!(logger: guard.logger(), "an event");
    drop(guard);
    multiply(&journal, segments);
    let before = descriptors();

    let guard = start();
    rollway::info!(logger: guard.logger(), "one more");
    guard.flush().unwrap();
    assert_eq!(guard.stats().end.generation, segments + 1);
    assert!(descriptors() <= before + DESCRIPTORS_MAX, "{} descriptors", descriptors());
    drop(guard);

    let scan = Scan::of_directory(&journal).unwrap();
    assert_eq!(scan.damage, []);
    let options = JournalOptions::directory(&journal);
    let (journal, _writer) = Journal::in_directory(options, scan).unwrap();
    let mut reader = journal.reader(Position::default());
    let mut blocks = 0;
    while reader.next().unwrap().is_some() {
        blocks += 1;
        if blocks % 1000 == 0 {
            assert!(descriptors() <= before + DESCRIPTORS_MAX, "{} descriptors", descriptors());
        }
    }
    assert_eq!((blocks, reader.overtaken_segments()), (segments + 1, 0));
}
