//! A journal with a huge backlog: a start looks at its newest segments, and reading opens one at a
//! time.

mod support;

use std::fs;
use std::path::Path;

use rollway::block::header::{self, BlockKind};
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

/// Where flags and sequence stand in a header, see `docs/format.md`.
const FLAGS: usize = 6;
const SEQUENCE: std::ops::Range<usize> = 32..40;

/// Copies the only segment of `dir` until there are `segments`, each with the next events block.
fn multiply(dir: &Path, segments: u64) {
    let (_, first) = segment_paths(dir).unwrap().pop().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    let mut blocks = ScannedBlocks::open(&first).unwrap();
    let mut offsets = Vec::new();
    while let Some(block) = blocks.next() {
        let block = block.unwrap();
        let at = block.position.offset as usize;
        offsets.push((at..at + block.bytes.len(), block.header.kind));
    }
    for generation in 2..=segments {
        for (place, kind) in &offsets {
            let block = &mut bytes[place.clone()];
            header::set_generation(block, generation);
            if *kind == BlockKind::Events {
                block[SEQUENCE].copy_from_slice(&generation.to_le_bytes());
                block[FLAGS] = 0;
                header::seal(block);
            }
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
