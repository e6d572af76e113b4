//! `rollway verify`: every byte of a journal, checked.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rollway::cli::Exit;
use rollway::journal::segment_paths;
use support::PATIENCE;
use support::command::ran;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Logs 20 events, a block for each, to a journal and a text file.
fn log(journal: &Path) {
    let guard = rollway::builder()
        .journal_dir(journal)
        .journal_max_bytes(32 << 20)
        .appender("file", support::message_file(&journal.join("text.log")))
        .start()
        .unwrap();
    for n in 0..20 {
        let _context = rollway::mdc("request", n / 4);
        rollway::info!(logger: guard.logger(), "event {n}");
        guard.flush().unwrap();
    }
    guard.shutdown(PATIENCE);
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    segment_paths(journal).unwrap().into_iter().map(|(_, path)| path).collect()
}

fn used(segment: &Path) -> usize {
    let bytes = fs::read(segment).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_journal_in_order_is_right_whether_its_process_runs_or_not() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    log(dir.path());
    let ended = ran(["verify", text(dir.path())]);
    assert_eq!((ended.exit, &*ended.err), (Exit::Ok, ""));
    assert!(ended.out.contains("40 events in 40 blocks, 2 segments, 2 runs"), "{}", ended.out);
    assert!(ended.out.contains("everything is right"), "{}", ended.out);

    let guard = rollway::builder().journal_dir(dir.path()).start().unwrap();
    rollway::info!(logger: guard.logger(), "one more");
    guard.flush().unwrap();
    let running = ran(["verify", "--json", text(dir.path())]);
    assert_eq!((running.exit, &*running.err), (Exit::Ok, ""));
    let object: serde_json::Value = serde_json::from_str(&running.out).unwrap();
    assert_eq!((&object["events"], &object["faults"]), (&41.into(), &0.into()));
    drop(guard);
}

#[test]
fn a_journal_that_is_written_meanwhile_is_never_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let guard = rollway::builder().journal_dir(dir.path()).start().unwrap();
    let logger = guard.logger().clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) && n < 300_000 {
            rollway::info!(logger: logger, "event {n}");
            n += 1;
        }
    });
    for _ in 0..8 {
        let ran = ran(["verify", text(dir.path())]);
        assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    drop(guard);
}

#[test]
fn a_flipped_bit_anywhere_in_what_was_written_is_found() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let segment = &segments(dir.path())[0];
    let file = fs::File::options().read(true).write(true).open(segment).unwrap();
    for at in (0..used(segment)).step_by(61) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
        let ran = ran(["verify", text(dir.path())]);
        file.write_all_at(&byte, at as u64).unwrap();
        // Padding behind an archive is no part of anything.
        assert!(ran.exit == Exit::Loss || (ran.exit == Exit::Ok && byte == [0]), "byte {at}");
        if ran.exit == Exit::Loss {
            assert!(ran.err.contains("segment-") && ran.out.contains("faults"), "{ran:?}");
        }
    }
    assert_eq!(ran(["verify", text(dir.path())]).exit, Exit::Ok);
}

#[test]
fn a_page_of_zeroes_is_no_end_of_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let segment = &segments(dir.path())[0];
    let file = fs::File::options().write(true).open(segment).unwrap();
    assert!(used(segment) > 3 * 1024);
    file.write_all_at(&[0; 1024], 1024).unwrap();
    let ran = ran(["verify", text(dir.path())]);
    assert_eq!(ran.exit, Exit::Loss);
    assert!(ran.err.contains("blocks of run") && ran.err.contains("are missing"), "{}", ran.err);
}

#[test]
fn a_segment_without_blocks_and_a_file_of_zeroes_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let next = dir.path().join("segment-0000000000000002.rwj");
    for content in [Vec::new(), vec![0; 1 << 20]] {
        fs::write(&next, content).unwrap();
        let ran = ran(["verify", "-v", text(dir.path())]);
        assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""));
        assert!(ran.out.contains("segment-0000000000000002.rwj: 0 events"), "{}", ran.out);
    }
}

#[test]
fn a_cursor_that_points_into_a_block_is_found() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let cursors = dir.path().join("cursors");
    let cursor = fs::read_dir(&cursors).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&cursor).unwrap();
    let offset = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    bytes[16..24].copy_from_slice(&(offset - 64 * 3 + 8).to_le_bytes());
    let checksum = crc32c(&bytes[8..128]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&cursor, bytes).unwrap();
    let ran = ran(["verify", text(dir.path())]);
    assert_eq!(ran.exit, Exit::Loss);
    assert!(ran.err.contains("where no block begins"), "{}", ran.err);
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
        crc
    })
}

#[test]
fn a_missing_segment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    log(dir.path());
    log(dir.path());
    fs::remove_file(&segments(dir.path())[1]).unwrap();
    let ran = ran(["verify", text(dir.path())]);
    assert_eq!(ran.exit, Exit::Loss);
    assert!(ran.err.contains("1 segments are missing in front of it"), "{}", ran.err);
}

#[test]
fn what_is_no_journal_is_refused_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ran(["verify", "/no/such/journal"]).exit, Exit::NoInput);
    assert_eq!(ran(["verify", text(dir.path())]).exit, Exit::NoInput);
    let garbage = dir.path().join("notes.txt");
    fs::write(&garbage, "this is not a journal\n".repeat(100)).unwrap();
    assert_eq!(ran(["verify", text(&garbage)]).exit, Exit::Damaged);
}
