use std::cell::Cell;
use std::io::Write;
use std::path::Path;

use super::*;
use crate::appender::OwnedPlace;
use crate::appender::file::rotation::Rules;
use crate::event::Event;
use crate::journal::Journal;

/// A line of so many bytes for each event.
#[derive(Clone)]
struct Wide(usize);

impl Layout for Wide {
    fn write(&mut self, _event: &Event<'_>, out: &mut String) {
        out.push_str(&"x".repeat(self.0 - 1));
        out.push('\n');
    }

    fn hash(&self) -> u64 {
        0
    }
}

fn open(dir: &Path, journal: &Journal, line_bytes: usize) -> TextFile {
    open_rolled(dir, journal, line_bytes, None)
}

fn open_rolled(dir: &Path, journal: &Journal, line_bytes: usize, rules: Option<Rules>) -> TextFile {
    let place = OwnedPlace::in_test(Some(dir));
    let place = place.of("file", journal.start_position());
    let path = dir.join("app.log");
    let making =
        Making { mode: 0o600, dir_mode: None, owner: None, group: None, is_confined: false };
    let mut file = TextFile::new(Parts {
        target: Target::Locked(making.open_locked(&path).unwrap().unwrap()),
        rotation: rules
            .map(|rules| Rotation::new(rules.clone(), rules.names(&path), &path).unwrap()),
        path,
        making,
        header: "".into(),
        header_at_every_open: false,
        check_every: None,
        rolls_at_start: false,
        output: place.outputs.open(),
        layout: Box::new(Wide(line_bytes)),
        cursor: place.cursor().unwrap(),
        begin: place.begin,
    });
    file.resume(false, place.segments().unwrap()).unwrap();
    file
}

/// Hands over the block behind what is settled.
fn append_next(file: &mut TextFile, journal: &Journal) -> Result<(), AppendError> {
    let mut reader = journal.reader(file.settled());
    let block = reader.next().unwrap().unwrap();
    file.append(&Batch::new(&block, &Cell::default(), None))
}

fn length(dir: &Path) -> u64 {
    fs::metadata(dir.join("app.log")).unwrap().len()
}

#[test]
fn a_cursor_that_cannot_be_stored_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open(dir.path(), &journal, 10);
    append_next(&mut file, &journal).unwrap();
    for lines in [2, 3] {
        file.cursor.as_mut().unwrap().set_writable(false);
        for _ in 0..3 {
            assert!(append_next(&mut file, &journal).is_err());
            assert_eq!(length(dir.path()), lines * 10);
        }
        file.cursor.as_mut().unwrap().set_writable(true);
        append_next(&mut file, &journal).unwrap();
        assert_eq!(length(dir.path()), lines * 10);
    }
}

#[test]
fn a_shared_file_is_written_in_whole_lines() {
    let long = [b'x'; SHARED_WRITE_BYTES + 7];
    let lines: Vec<_> =
        [20_000, 40_000, 30_000, 3].map(|len| [&long[..len], b"\n"].concat()).into();
    let mut lines = lines;
    lines.push([&long[..], b"\n"].concat());
    lines.push(b"no end".to_vec());
    let text = lines.concat();
    let pieces: Vec<_> = whole_lines(&text).collect();
    assert_eq!(pieces.concat(), text);
    let expected = [60_002, 30_005, long.len() + 1, 6];
    assert!(pieces.iter().map(|piece| piece.len()).eq(expected), "{pieces:?}");
}

#[test]
fn a_sync_that_failed_is_never_taken_for_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open(dir.path(), &journal, 10);
    let begun = file.settled();
    append_next(&mut file, &journal).unwrap();
    assert_eq!(file.keeps_from(), begun);
    file.sync(Instant::now()).unwrap();
    assert_eq!(file.keeps_from(), file.settled());
    append_next(&mut file, &journal).unwrap();
    assert!(file.sync_with(|_| Err(io::Error::other("the disk is ill"))).is_err());
    assert!(file.sync(Instant::now()).is_err());
    // What cannot be synced does not hold the journal for ever.
    assert_eq!(file.keeps_from(), file.settled());
}

#[test]
fn a_command_begins_a_new_file_if_something_is_in_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open_rolled(dir.path(), &journal, 10, Some(Rules::default()));
    let lengths = || {
        let numbered = |number| fs::metadata(dir.path().join(format!("app.log.{number}")));
        (length(dir.path()), [1, 2].map(|number| numbered(number).ok().map(|found| found.len())))
    };
    file.rotate().unwrap();
    assert_eq!(lengths(), (0, [None, None]));
    append_next(&mut file, &journal).unwrap();
    file.rotate().unwrap();
    file.rotate().unwrap();
    assert_eq!(lengths(), (0, [Some(10), None]));
    append_next(&mut file, &journal).unwrap();
    append_next(&mut file, &journal).unwrap();
    file.rotate().unwrap();
    assert_eq!(lengths(), (0, [Some(10), Some(20)]));
    // One that is not rolled stays as it is.
    let mut file = {
        drop(file);
        open(dir.path(), &journal, 10)
    };
    file.rotate().unwrap();
    assert_eq!(lengths(), (0, [Some(10), Some(20)]));
}

#[test]
fn a_command_turns_to_the_file_in_the_place_of_a_moved_one_and_closes_that() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open(dir.path(), &journal, 10);
    append_next(&mut file, &journal).unwrap();
    file.reopen().unwrap();
    let moved = dir.path().join("moved");
    fs::rename(dir.path().join("app.log"), &moved).unwrap();
    // Nobody looks of its own accord.
    append_next(&mut file, &journal).unwrap();
    assert_eq!(fs::metadata(&moved).unwrap().len(), 20);
    file.reopen().unwrap();
    append_next(&mut file, &journal).unwrap();
    assert_eq!((fs::metadata(&moved).unwrap().len(), length(dir.path())), (20, 10));
    assert!(crate::sys::lock::FileLock::try_acquire(&moved).unwrap().is_some(), "it is closed");
}

#[test]
fn a_command_that_comes_while_a_batch_has_failed_is_done_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open_rolled(dir.path(), &journal, 10, Some(Rules::default()));
    append_next(&mut file, &journal).unwrap();
    file.cursor.as_mut().unwrap().set_writable(false);
    assert!(append_next(&mut file, &journal).is_err());
    file.rotate().unwrap();
    file.reopen().unwrap();
    file.cursor.as_mut().unwrap().set_writable(true);
    append_next(&mut file, &journal).unwrap();
    append_next(&mut file, &journal).unwrap();
    let rolled = fs::metadata(dir.path().join("app.log.1")).unwrap().len();
    assert_eq!((rolled, length(dir.path())), (20, 10));
}

#[test]
fn rolled_files_that_are_too_many_go_once_the_last_event_of_a_killed_run_was_compared() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let rules = || Some(Rules { keep: Some(1), ..Rules::default() });
    let mut file = open_rolled(dir.path(), &journal, 10, rules());
    append_next(&mut file, &journal).unwrap();
    file.cursor.as_mut().unwrap().set_writable(false);
    assert!(append_next(&mut file, &journal).is_err());
    let written = fs::read(dir.path().join("app.log")).unwrap();
    drop((file, journal));
    // A kill takes nothing back.
    fs::write(dir.path().join("app.log"), written).unwrap();
    let journal = Journal::of_next_run(dir.path());
    let rolled = [1, 2].map(|number| dir.path().join(format!("app.log.{number}")));
    rolled.iter().for_each(|path| fs::write(path, "of an earlier time\n").unwrap());
    let mut file = open_rolled(dir.path(), &journal, 10, rules());
    assert!(rolled[0].exists(), "one of them may have what is compared");
    append_next(&mut file, &journal).unwrap();
    assert_eq!(rolled.map(|path| path.exists()), [false, true]);
    assert_eq!(length(dir.path()), 20);
}

#[test]
fn rolled_files_that_are_too_many_go_where_the_journal_has_no_more_of_a_killed_run() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let rules = || Some(Rules { keep: Some(1), ..Rules::default() });
    let mut file = open_rolled(dir.path(), &journal, 10, rules());
    append_next(&mut file, &journal).unwrap();
    drop((file, journal));
    // As if the journal had lost it with the power.
    let path = dir.path().join("app.log");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"of no event\n").unwrap();
    let journal = Journal::of_next_run(dir.path());
    let rolled = [1, 2].map(|number| dir.path().join(format!("app.log.{number}")));
    rolled.iter().for_each(|path| fs::write(path, "of an earlier time\n").unwrap());
    let mut file = open_rolled(dir.path(), &journal, 10, rules());
    assert!(rolled[0].exists(), "one of them may have what is compared");
    file.pass(journal.end()).unwrap();
    assert_eq!(rolled.map(|path| path.exists()), [false, true]);
    assert_eq!(length(dir.path()), 22, "nobody knows whose it is");
}

#[test]
fn what_was_written_of_a_batch_that_failed_is_taken_back_for_whoever_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let mut file = open(dir.path(), &journal, 10);
    append_next(&mut file, &journal).unwrap();
    file.cursor.as_mut().unwrap().set_writable(false);
    assert!(append_next(&mut file, &journal).is_err());
    assert_eq!(length(dir.path()), 20);
    drop(file);
    assert_eq!(length(dir.path()), 10);
    // In the same run, as after a reload.
    let mut file = open(dir.path(), &journal, 10);
    append_next(&mut file, &journal).unwrap();
    assert_eq!(length(dir.path()), 20);
}

/// The inode that the slot `synced` names.
fn synced_inode(dir: &Path) -> Option<u64> {
    let cursor = CursorFile::open(dir, "file").unwrap();
    cursor.synced().map(|slot| slot.file.inode)
}

#[test]
fn a_start_after_a_power_failure_knows_the_file_from_its_first_byte_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let inode = || Some(fs::metadata(&path).unwrap().ino());
    let journal = Journal::with_three_events(dir.path());
    let mut file = open_rolled(dir.path(), &journal, 10, Some(Rules::default()));
    assert_eq!(synced_inode(dir.path()), inode(), "at the start");
    append_next(&mut file, &journal).unwrap();
    file.rotate().unwrap();
    assert_eq!(synced_inode(dir.path()), inode(), "after a roll");
    append_next(&mut file, &journal).unwrap();
    drop(file);
    // What is in it is not synced.
    fs::rename(&path, dir.path().join("moved")).unwrap();
    let file = open(dir.path(), &journal, 10);
    assert_eq!(synced_inode(dir.path()), inode(), "after it was moved");
    assert_eq!(file.keeps_from(), file.settled());
    drop(file);
    // Its last run was killed before the slot `synced` was stored.
    let cursor = CursorFile::open(dir.path(), "file").unwrap();
    let slot = cursor.synced().unwrap();
    let mark = TextFileMark { inode: slot.file.inode + 1, ..slot.file };
    cursor.store_synced(slot.position, mark).unwrap();
    drop(open(dir.path(), &journal, 10));
    assert_eq!(synced_inode(dir.path()), inode(), "after a kill");
}
