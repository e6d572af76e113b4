//! The open text file: what stands in it, what is settled, and what is written next.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use super::past::{Past, tail};
use super::rotation::{Rotation, number_of};
use super::{IN_USE, open_locked, told};
use crate::appender::{AppendError, Appender, Batch, WRITE_BYTES};
use crate::event::Event;
use crate::journal::{CursorFile, Position, TextFileMark};
use crate::layout::{Layout, Page};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::{boot_id, parent, reserve_ahead, sync_dir};
use crate::sys::lock::FileLock;
use crate::sys::output::Output;

/// Disk space reserved behind the end of the file at a time.
const RESERVE_BYTES: u64 = 64 << 20;

/// The appender behind [`File`](super::File).
pub(super) struct TextFile {
    path: PathBuf,
    mode: u32,
    target: Target,
    rotation: Option<Rotation>,
    stage: Stage,
    output: Output,
    layout: Box<dyn Layout>,
    cursor: Option<CursorFile>,
    /// The position of the slot that a reboot falls back to.
    synced: Option<Position>,
    /// Bytes may be lost that no later sync knows of: none is believed any more.
    has_sync_failed: bool,
    /// Text that is not written yet.
    text: Page,
    /// Up to this length the text fits the file.
    room: u64,
    settled: Position,
    /// The file, its own or a renamed one, and the length up to which it holds everything before
    /// `settled`.
    mark: TextFileMark,
    /// Where the next bytes go, and up to where space is reserved.
    end: u64,
    reserved_to: u64,
    /// Bytes behind the settled position that were written before.
    past: Option<Past>,
    /// The last batch failed: what was written of it is to be found out.
    is_torn: bool,
    /// What went wrong and holds nothing up.
    notice: Option<io::Error>,
}

/// What a text file begins with.
pub(super) struct Parts {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) target: Target,
    pub(super) rotation: Option<Rotation>,
    pub(super) output: Output,
    pub(super) layout: Box<dyn Layout>,
    pub(super) cursor: Option<CursorFile>,
    pub(super) begin: Position,
}

/// The open file.
pub(super) enum Target {
    /// A regular file that no other process writes.
    Locked(FileLock),
    /// A pipe, a terminal, a device: without a length, so nothing is compared.
    Special(fs::File),
}

/// How far a rotation is. It is finished before anything else is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// None is under way.
    Writing,
    /// The full file has its number, and is still the target.
    Renamed,
    /// The target is the new file, the slot is that of the full one.
    Created,
}

impl Target {
    fn file(&self) -> &fs::File {
        match self {
            Target::Locked(lock) => lock.file(),
            Target::Special(file) => file,
        }
    }
}

impl TextFile {
    /// Nothing is looked at yet: see [`TextFile::resume`].
    pub(super) fn new(parts: Parts) -> TextFile {
        TextFile {
            path: parts.path,
            mode: parts.mode,
            target: parts.target,
            rotation: parts.rotation,
            stage: Stage::Writing,
            output: parts.output,
            layout: parts.layout,
            cursor: parts.cursor,
            synced: None,
            has_sync_failed: false,
            text: Page::new(),
            room: u64::MAX,
            settled: parts.begin,
            mark: TextFileMark::default(),
            end: 0,
            reserved_to: 0,
            past: None,
            is_torn: false,
            notice: None,
        }
    }

    /// Finds out where the last run stopped. `kept` is the range of segments that the journal has.
    pub(super) fn resume(
        &mut self,
        truncate: bool,
        kept: Option<RangeInclusive<u64>>,
    ) -> io::Result<()> {
        if truncate && let Target::Locked(lock) = &self.target {
            lock.file().set_len(0)?;
        }
        let slot = self.cursor.as_ref().and_then(CursorFile::resume);
        let (Some(slot), Some(kept)) = (slot, kept) else { return self.begin(self.settled) };
        (self.settled, self.mark) = (slot.position, slot.file);
        if let Some(rotation) = &mut self.rotation {
            rotation.remember(slot.file.rotated);
        }
        let mut past = self.find_past(*kept.end())?;
        if slot.boot_id != boot_id() {
            // Before a slot of this boot is stored: a kill in between cuts it at the next start.
            self.cut_unwritten(&mut past)?;
        }
        if slot.position.generation < *kept.start() {
            // Which of its bytes the journal can still tell is unknown: all of them stay.
            self.begin(Position { generation: *kept.start(), ..Position::default() })?;
            // The outlet sees the gap, and tells of it.
            self.settled = slot.position;
            return Ok(());
        }
        self.synced = self.cursor.as_ref().and_then(CursorFile::synced).map(|slot| slot.position);
        self.past = past;
        self.settle(self.settled)?;
        self.retain();
        Ok(())
    }

    /// Goes on at the end of the file, whatever is in it, and at `position` of the journal.
    fn begin(&mut self, position: Position) -> io::Result<()> {
        self.settle(position)?;
        if let Some(cursor) = &self.cursor {
            cursor.store_synced(position, self.mark)?;
            // A slot that is lost with the power leaves a file that nobody knows for ours.
            cursor.sync()?;
        }
        self.synced = Some(position);
        Ok(())
    }

    /// What was written behind the settled position, by an earlier run or by a write that failed.
    ///
    /// A file shorter than its mark was cut by somebody else: its events were delivered, and none
    /// is replayed. One with other bytes before the mark is not ours, or not any more.
    fn find_past(&mut self, until: u64) -> io::Result<Option<Past>> {
        let (mark, now) = (self.mark, self.measure()?);
        let mut is_full = false;
        let (renamed, to) = if (mark.device, mark.inode) == (now.device, now.inode) {
            (None, now.length)
        } else {
            match self.find_renamed(&mark) {
                Some((file, length, number)) => {
                    let newest = self.rotation.as_ref().map(Rotation::last);
                    is_full = length == mark.length && number.is_some() && number == newest;
                    (Some(file), length)
                }
                None => return Ok(None),
            }
        };
        if is_full {
            // It was full, and the new file was begun behind it; after a reboot the slot may be
            // older than that.
            let past = Past { renamed: None, from: 0, to: now.length, until, is_certain: false };
            self.mark = TextFileMark { length: 0, tail: tail(self.target.file(), 0)?, ..now };
            return Ok(past.is_open().then_some(past));
        }
        let is_certain = renamed.is_none();
        let past = Past { renamed, from: mark.length, to, until, is_certain };
        let is_ours = past.is_open() && tail(self.file_of(&past), mark.length)? == mark.tail;
        Ok(is_ours.then_some(past))
    }

    /// After a reboot: cuts what is neither a whole line nor anybody's text, and tells of it.
    fn cut_unwritten(&mut self, past: &mut Option<Past>) -> io::Result<()> {
        let Some(found) = past else { return Ok(()) };
        let cut = found.cut_unwritten(self.target.file())?;
        if cut > 0 {
            let (path, to) = (self.path.display(), found.to);
            self.notice = Some(io::Error::other(format!(
                "the machine went down before {path} was on its disk: {cut} bytes that were no whole \
                 lines are cut from it, at byte {to}"
            )));
        }
        past.take_if(|past| !past.is_open());
        Ok(())
    }

    /// The file of the slot under the name that it has now, with its length and, if it is a full
    /// one, its number.
    fn find_renamed(&self, mark: &TextFileMark) -> Option<(fs::File, u64, Option<u64>)> {
        for entry in fs::read_dir(parent(&self.path)).ok()?.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let is_it = (found.dev(), found.ino()) == (mark.device, mark.inode);
            if found.is_file() && is_it {
                let file =
                    fs::OpenOptions::new().read(true).append(true).open(entry.path()).ok()?;
                return Some((file, found.len(), number_of(&self.path, &entry.path())));
            }
        }
        None
    }

    /// The file that the bytes stand in.
    fn file_of<'a>(&'a self, past: &'a Past) -> &'a fs::File {
        past.renamed.as_ref().unwrap_or(self.target.file())
    }

    fn measure(&self) -> io::Result<TextFileMark> {
        let Target::Locked(lock) = &self.target else { return Ok(TextFileMark::default()) };
        let found = lock.file().metadata()?;
        let (device, inode, length) = (found.dev(), found.ino(), found.len());
        let tail = tail(lock.file(), length)?;
        let rotated = self.rotation.as_ref().map_or(self.mark.rotated, Rotation::last);
        Ok(TextFileMark { device, inode, length, tail, layout: self.layout.hash(), rotated })
    }

    /// Sees to it that the next bytes can go where they belong: finishes a rotation, and settles the
    /// past, as far as `batch` cannot stand there or the last one failed.
    fn prepare(&mut self, batch: &Batch<'_>) -> io::Result<()> {
        if self.stage != Stage::Writing {
            self.finish_rotation()?;
            (self.past, self.is_torn) = (None, false);
        }
        if self.is_torn {
            match self.is_gone()? {
                true => self.reopen()?,
                false => self.past = self.find_past(u64::MAX)?,
            }
            self.is_torn = false;
        }
        if let Some(past) = &mut self.past
            && batch.position().generation >= past.until
        {
            // What is left of it was written by somebody else, and stays.
            past.to = past.from;
            self.settle(self.settled)?;
        }
        self.measure_room();
        Ok(())
    }

    /// Whether somebody removed the file.
    fn is_gone(&self) -> io::Result<bool> {
        match &self.target {
            Target::Locked(lock) => Ok(lock.file().metadata()?.nlink() == 0),
            Target::Special(_) => Ok(false),
        }
    }

    /// Makes the file again that somebody removed, and begins it with a slot.
    fn reopen(&mut self) -> io::Result<()> {
        self.open_new()?;
        self.past = None;
        self.settle(self.settled)
    }

    /// Opens what stands at the path, or makes it, its directory included.
    fn open_new(&mut self) -> io::Result<()> {
        let dir = parent(&self.path);
        fs::create_dir_all(dir).map_err(|error| told("make", dir, error))?;
        let opened = open_locked(&self.path, self.mode);
        let Some(lock) = opened.map_err(|error| told("open", &self.path, error))? else {
            return Err(told("open", &self.path, io::Error::other(IN_USE)));
        };
        self.target = Target::Locked(lock);
        (self.end, self.reserved_to) = (0, 0);
        Ok(())
    }

    /// Adds an event to the text, and begins a new file for it if this one is full.
    #[inline]
    fn add(&mut self, at: Position, event: &Event<'_>) -> io::Result<()> {
        let before = self.text.len();
        self.layout.write_page(event, &mut self.text);
        let len = self.text.len();
        if len as u64 > self.room {
            self.overflow(at, before)?;
        }
        if len >= WRITE_BYTES { self.write(self.text.len()) } else { Ok(()) }
    }

    /// The text does not fit the file with its last event, which begins at `before` and stands at
    /// `at`.
    #[cold]
    fn overflow(&mut self, at: Position, before: usize) -> io::Result<()> {
        if self.past.is_some() {
            // What was written stays where it is: the file is full when all of it is compared.
            return self.write(self.text.len());
        }
        if self.end + before as u64 > 0 {
            self.write(before)?;
            self.rotate(at)?;
        }
        Ok(())
    }

    fn measure_room(&mut self) {
        self.room = match (&self.rotation, &self.past) {
            (None, _) => u64::MAX,
            (Some(_), Some(_)) => 0,
            (Some(rotation), None) => rotation.limit.saturating_sub(self.end),
        };
    }

    /// Puts the first bytes of the text into the file, except for what stands there already.
    fn write(&mut self, bytes: usize) -> io::Result<()> {
        let text = &self.text.as_bytes()[..bytes];
        let mut past = self.past.take();
        if let Some(found) = &past
            && found.is_foreign(self.target.file(), text)?
        {
            past = None;
        }
        if let Some(mut past) = past {
            let written = past.write(self.target.file(), text);
            let is_over = past.renamed.is_none() && !past.is_open();
            if written.is_ok() && is_over {
                self.end = past.from;
            } else {
                self.past = Some(past);
            }
            written.map_err(|error| told("write", &self.path, error))?;
        } else {
            if self.end + bytes as u64 > self.reserved_to {
                let ahead = self.rotation.as_ref().map_or(u64::MAX, |rotation| rotation.limit);
                let ahead = ahead.saturating_sub(self.end).min(RESERVE_BYTES);
                if ahead > 0 {
                    reserve_ahead(self.target.file(), self.end, ahead);
                    self.reserved_to = self.end + ahead;
                }
            }
            let written = self.output.append(self.target.file(), text);
            written.map_err(|error| told("write", &self.path, error))?;
            self.end += bytes as u64;
        }
        self.text.remove_front(bytes);
        self.measure_room();
        Ok(())
    }

    /// Gives the full file its number and begins a new one. The event at `at` is its first.
    fn rotate(&mut self, at: Position) -> io::Result<()> {
        crash::reached(CrashPoint::FileText);
        self.settle(at)?;
        crash::reached(CrashPoint::FileFullSlot);
        self.give_back();
        if self.cursor.is_some() {
            // The slots leave the file: no later sync would reach it. A sync that fails holds
            // nothing up, and none is believed after it.
            if !self.has_sync_failed
                && let Err(error) = self.sync_with(fs::File::sync_data)
            {
                self.notice = Some(told("sync", &self.path, error));
            }
            self.cursor.as_ref().map_or(Ok(()), CursorFile::sync)?;
            crash::reached(CrashPoint::FileSynced);
        }
        if self.is_at_path()?
            && let Some(rotation) = &mut self.rotation
        {
            rotation.rename()?;
        }
        self.stage = Stage::Renamed;
        crash::reached(CrashPoint::FileRenamed);
        self.finish_rotation()
    }

    /// Whether the path still leads to the file: somebody may have renamed or removed it.
    fn is_at_path(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (self.mark.device, self.mark.inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(told("find", &self.path, error)),
        }
    }

    /// Begins the new file, from whatever stage on.
    fn finish_rotation(&mut self) -> io::Result<()> {
        if self.stage == Stage::Renamed {
            let dir = parent(&self.path);
            if self.cursor.is_some() && dir.exists() {
                sync_dir(dir).map_err(|error| told("sync", dir, error))?;
                crash::reached(CrashPoint::FileDirectory);
            }
            self.open_new()?;
            self.stage = Stage::Created;
            crash::reached(CrashPoint::FileCreated);
        }
        self.settle(self.settled)?;
        if let Some(cursor) = self.cursor.as_ref().filter(|_| !self.has_sync_failed) {
            cursor.store_synced(self.settled, self.mark)?;
        }
        crash::reached(CrashPoint::FileNewSlot);
        self.stage = Stage::Writing;
        self.measure_room();
        self.retain();
        Ok(())
    }

    /// Removes the full files that are too many. What cannot be removed holds nothing up.
    fn retain(&mut self) {
        let retained = self.rotation.as_mut().map_or(Ok(()), Rotation::retain);
        if let Err(error) = retained {
            self.notice.get_or_insert(error);
        }
    }

    /// Gives back what was reserved behind the end.
    fn give_back(&mut self) {
        if let Target::Locked(lock) = &self.target
            && self.reserved_to > self.end
            && let Ok(found) = lock.file().metadata()
        {
            // Best effort: what cannot be given back is given back when the file is removed.
            let _ = lock.file().set_len(found.len());
            self.reserved_to = 0;
        }
    }

    /// Stores the new slot: everything before `position` is settled.
    fn settle(&mut self, position: Position) -> io::Result<()> {
        let mark = match &self.past {
            Some(past) if past.from < past.to => {
                // The part of the past that was compared holds everything before `position`.
                let tail = tail(self.file_of(past), past.from)?;
                TextFileMark { length: past.from, tail, ..self.mark }
            }
            Some(Past { renamed: Some(renamed), .. }) if self.cursor.is_some() => {
                // The slots leave it: no later sync would reach it.
                renamed.sync_data()?;
                self.measure()?
            }
            _ => self.measure()?,
        };
        if let Some(cursor) = &self.cursor {
            let stored = cursor.store_written(position, mark);
            stored.map_err(|error| told("store its position in", cursor.path(), error))?;
        }
        (self.settled, self.mark, self.end) = (position, mark, mark.length);
        self.past.take_if(|past| past.from == past.to);
        Ok(())
    }

    /// Brings everything settled to the disk with `sync_data`, then stores the slot for it.
    fn sync_with(&mut self, sync_data: impl Fn(&fs::File) -> io::Result<()>) -> io::Result<()> {
        if self.has_sync_failed {
            return Err(io::Error::other(
                "an earlier sync failed, and what was written before it may be lost with the power",
            ));
        }
        let renamed = self.past.as_ref().and_then(|past| past.renamed.as_ref());
        let own = match &self.target {
            Target::Locked(lock) => Some(lock.file()),
            Target::Special(_) => None,
        };
        let synced = own.into_iter().chain(renamed).try_for_each(sync_data);
        self.has_sync_failed = synced.is_err();
        synced?;
        if let Some(cursor) = &self.cursor {
            cursor.store_synced(self.settled, self.mark)?;
            // Before the journal lets go of what only an older slot needs.
            cursor.sync()?;
        }
        self.synced = Some(self.settled);
        Ok(())
    }
}

impl Appender for TextFile {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.text.clear();
        let mut written = self.prepare(batch);
        batch.for_each_at(|at, event| {
            if written.is_ok() {
                written = self.add(at, event);
            }
        });
        if crash::is_swapped(CrashPoint::FileText) {
            written = written.and_then(|()| self.settle(batch.next()));
            crash::reached(CrashPoint::FileText);
        }
        let written = written.and_then(|()| self.write(self.text.len()));
        crash::reached(CrashPoint::FileText);
        written.and_then(|()| self.settle(batch.next())).map_err(|source| {
            // What was written of the batch is compared when the batch comes again.
            self.is_torn = true;
            AppendError::Unavailable { source }
        })
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        // What was written of a batch that failed is not known, and no slot can say it.
        if self.is_torn {
            return Ok(());
        }
        self.settle(position).map_err(|source| AppendError::Unavailable { source })
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }

    /// What was not synced is needed again after a power failure.
    fn keeps_from(&self) -> Position {
        let synced = self.synced.filter(|_| self.cursor.is_some() && !self.has_sync_failed);
        synced.map_or(self.settled, |synced| synced.min(self.settled))
    }

    fn sync(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        let synced = self.sync_with(fs::File::sync_data);
        synced.map_err(|source| AppendError::Unavailable { source })
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        self.notice.take()
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::appender::Place;
    use crate::event::Event;
    use crate::journal::Journal;
    use crate::sys::output::{IoMethod, Outputs};

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
        let place = Place {
            source: 7,
            epoch: 1,
            service: "",
            name: "file",
            journal_dir: Some(dir),
            begin: journal.start_position(),
            term: 0,
            outputs: &Outputs::new(IoMethod::Write, |_| {}),
        };
        let path = dir.join("app.log");
        let mut file = TextFile::new(Parts {
            target: Target::Locked(open_locked(&path, 0o600).unwrap().unwrap()),
            path,
            mode: 0o600,
            rotation: None,
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
}
