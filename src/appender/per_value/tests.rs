//! What the files owe the disk, by hand, and what an extension may be.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::files::Files;
use super::*;
use crate::appender::{AppendError, Appender, Batch, OwnedPlace};
use crate::journal::{Journal, Position, stored_cursors};
use crate::sys::lock::FileLock;

/// The files of the categories of a journal with three events, one block each.
fn open(dir: &Path, journal: &Journal) -> Files {
    let place = OwnedPlace::in_test(Some(dir));
    let values = PerValue::new(dir.join("values"), Key::Category);
    values.open_files(&place.of("values", journal.start_position())).unwrap()
}

/// Hands over the block behind what is settled.
fn append_next(files: &mut Files, journal: &Journal) -> Result<(), AppendError> {
    let mut reader = journal.reader(files.settled());
    let block = reader.next().unwrap().unwrap();
    files.append(&Batch::new(&block, &Cell::default(), None))
}

/// How far each of the cursors is synced.
fn synced(dir: &Path) -> Vec<Position> {
    let cursors = stored_cursors(dir).unwrap();
    cursors.iter().map(|cursor| cursor.synced.unwrap().position).collect()
}

#[test]
fn what_a_killed_run_wrote_is_synced_before_anything_counts_as_synced() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut killed = open(dir.path(), &journal);
    append_next(&mut killed, &journal).unwrap();
    append_next(&mut killed, &journal).unwrap();
    let settled = killed.settled();
    drop(killed);
    assert!(synced(dir.path()).iter().all(|at| *at < settled), "nobody has synced it");
    // No event comes for the file.
    let mut files = open(dir.path(), &journal);
    assert!(files.keeps_from() < settled);
    files.sync(Instant::now()).unwrap();
    assert_eq!((synced(dir.path()), files.keeps_from()), (vec![settled; 2], settled));
    append_next(&mut files, &journal).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("values")).unwrap().count(), 1);
}

#[test]
fn what_a_killed_run_wrote_and_cannot_be_synced_never_counts_as_synced() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut killed = open(dir.path(), &journal);
    append_next(&mut killed, &journal).unwrap();
    let settled = killed.settled();
    drop(killed);
    // Another process has it open.
    let path =
        std::fs::read_dir(dir.path().join("values")).unwrap().next().unwrap().unwrap().path();
    let other = FileLock::try_acquire(&path).unwrap().unwrap();
    let mut files = open(dir.path(), &journal);
    assert!(files.sync(Instant::now()).is_err());
    drop(other);
    assert!(files.sync(Instant::now()).is_err());
    assert_eq!(files.keeps_from(), settled, "the journal is not kept for it");
    assert!(synced(dir.path()).iter().all(|at| *at < settled));
}

#[test]
fn a_sync_of_one_file_that_failed_holds_no_journal_and_is_never_taken_for_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut files = open(dir.path(), &journal);
    append_next(&mut files, &journal).unwrap();
    let before = synced(dir.path());
    files.fail_syncs();
    assert!(files.sync(Instant::now()).is_err());
    append_next(&mut files, &journal).unwrap();
    assert_eq!(files.keeps_from(), files.settled());
    // Neither when the file is closed and opened once more.
    files.close_all();
    assert!(files.sync(Instant::now()).is_err());
    append_next(&mut files, &journal).unwrap();
    assert!(files.sync(Instant::now()).is_err());
    assert_eq!((synced(dir.path())[0], files.keeps_from()), (before[0], files.settled()));
}

#[test]
fn a_file_whose_sync_fails_as_it_is_closed_never_counts_as_synced() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut files = open(dir.path(), &journal);
    append_next(&mut files, &journal).unwrap();
    files.fail_syncs();
    files.close_all();
    assert!(files.sync(Instant::now()).is_err());
    assert!(files.take_notice().is_some());
    assert_eq!(files.keeps_from(), files.settled());
}

#[test]
fn an_extension_is_a_plain_word() {
    for good in ["", "log", "json-lines", "L_1"] {
        assert!(is_extension(good), "{good}");
    }
    for bad in ["1", "../x", "a.b", "a b", &"x".repeat(33)] {
        assert!(!is_extension(bad), "{bad}");
    }
}

impl Files {
    /// A sync of each open file fails.
    fn fail_syncs(&mut self) {
        for text in self.open_texts() {
            let failed = text.sync_with(|_| Err(io::Error::other("the disk is gone")));
            assert!(failed.is_err());
        }
    }
}
