//! Text into a file: every event once, even when the process was killed between any two steps.
//!
//! The appender keeps a slot {device, inode, length, hash of the last bytes, position, hash of the
//! layout} in its cursor file, stored after each batch; a second one after each sync. Whatever the file has beyond the stored length was written from
//! that position on: it is rendered again and compared, equal bytes are skipped, a torn line is
//! completed, and the file is cut only where the bytes differ. The same way leads on after a write
//! that failed half-way. Nothing is cut from a file whose bytes before the stored length are others
//! than ours, nor what was added to it when everything had been settled. See `docs/delivery.md`.
//!
//! With a journal in memory nothing is stored: there is no past to go on from.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{AppendError, Appender, Batch, Open, OpenError, Opened, Place, WRITE_BYTES};
use crate::journal::{CursorFile, Position, TextFileMark};
use crate::layout::{Layout, Page, Pattern};
use crate::sys::file::reserve_ahead;
use crate::sys::lock::FileLock;
use crate::sys::output::Output;

/// Disk space reserved behind the end of the file at a time.
const RESERVE_BYTES: u64 = 64 << 20;
/// Bytes before the stored length that tell our file from another one with its number.
const TAIL_BYTES: u64 = 256;
/// Bytes compared at once with what a file already has.
const COMPARE_BYTES: usize = 64 << 10;

/// A text file, before it is opened.
///
/// # Examples
/// ```
/// use rollway::appender::File;
/// use rollway::layout::Pattern;
///
/// let file = File::new("app.log").layout(Pattern::parse("%d %p %m%n")?).truncate();
/// # Ok::<(), rollway::layout::PatternError>(())
/// ```
pub struct File {
    path: PathBuf,
    layout: Box<dyn Layout>,
    truncate: bool,
    mode: u32,
}

impl File {
    /// Appends to the file at `path`, which is made with mode 0600 if it is missing. Missing
    /// directories are made, too.
    pub fn new(path: impl Into<PathBuf>) -> File {
        File {
            path: path.into(),
            layout: Box::new(Pattern::simple()),
            truncate: false,
            mode: 0o600,
        }
    }

    /// How events become text; by default [`Pattern::simple`].
    #[must_use]
    pub fn layout(mut self, layout: impl Layout + 'static) -> File {
        self.layout = Box::new(layout);
        self
    }

    /// How events become text, chosen at run time.
    #[must_use]
    pub fn boxed_layout(mut self, layout: Box<dyn Layout>) -> File {
        self.layout = layout;
        self
    }

    /// Empties the file when it is opened.
    #[must_use]
    pub fn truncate(mut self) -> File {
        self.truncate = true;
        self
    }

    /// The permissions of a file that is made.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> File {
        self.mode = mode;
        self
    }
}

impl Open for File {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let failed = |what| {
            let (name, path) = (place.name.to_owned(), Some(self.path.clone()));
            move |source| OpenError { name, path, what, source }
        };
        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|source| {
                failed("its directory cannot be made; check the path and its permissions")(Some(
                    source,
                ))
            })?;
        }
        let unusable = "it cannot be opened for writing; check the path and its permissions";
        let is_special = fs::metadata(&self.path).is_ok_and(|found| !found.is_file());
        let target = if is_special {
            let file = fs::OpenOptions::new().write(true).open(&self.path);
            Target::Special(file.map_err(|source| failed(unusable)(Some(source)))?)
        } else {
            let open = |path: &Path| {
                let mut options = fs::OpenOptions::new();
                options.read(true).append(true).create(true).mode(self.mode).open(path)
            };
            match FileLock::try_open(&self.path, open) {
                Ok(Some(lock)) => Target::Locked(lock),
                Ok(None) => {
                    let what = "another appender or process writes to it; give each its own file";
                    return Err(failed(what)(None));
                }
                Err(source) => return Err(failed(unusable)(Some(source))),
            }
        };
        let path = self.path.clone();
        let mut appender = TextFile {
            cursor: place.cursor()?,
            synced: None,
            has_sync_failed: false,
            path: self.path.clone(),
            target,
            output: place.outputs.open(),
            layout: self.layout.clone(),
            text: Page::new(),
            settled: place.begin,
            mark: TextFileMark::default(),
            end: 0,
            reserved_to: 0,
            past: None,
            is_torn: false,
        };
        let resumed = place.segments().and_then(|kept| appender.resume(self.truncate, kept));
        resumed.map_err(|source| OpenError {
            name: place.name.to_owned(),
            path: Some(path),
            what: "it cannot be continued; check the file, its directory and the cursor's directory",
            source: Some(source),
        })?;
        Ok(Opened::Events(Box::new(appender)))
    }
}

/// The open file.
enum Target {
    /// A regular file that no other process writes.
    Locked(FileLock),
    /// A pipe, a terminal, a device: without a length, so nothing is compared.
    Special(fs::File),
}

impl Target {
    fn file(&self) -> &fs::File {
        match self {
            Target::Locked(lock) => lock.file(),
            Target::Special(file) => file,
        }
    }
}

/// The appender behind [`File`].
struct TextFile {
    path: PathBuf,
    target: Target,
    output: Output,
    layout: Box<dyn Layout>,
    cursor: Option<CursorFile>,
    /// The position of the slot that a reboot falls back to.
    synced: Option<Position>,
    /// Bytes may be lost that no later sync knows of: none is believed any more.
    has_sync_failed: bool,
    /// Text that is not written yet.
    text: Page,
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
}

/// Bytes of an earlier run, or of a write that failed, still to be compared; none are left once
/// `from` is `to`. It lasts to the end of a batch.
struct Past {
    /// The renamed file they stand in; `None` for the file itself.
    renamed: Option<fs::File>,
    from: u64,
    to: u64,
    /// Batches of this segment and later ones cannot stand there.
    until: u64,
}

impl TextFile {
    /// Finds out where the last run stopped. `kept` is the range of segments that the journal has.
    fn resume(&mut self, truncate: bool, kept: Option<RangeInclusive<u64>>) -> io::Result<()> {
        if truncate && let Target::Locked(lock) = &self.target {
            lock.file().set_len(0)?;
        }
        let slot = self.cursor.as_ref().and_then(CursorFile::resume);
        let (Some(slot), Some(kept)) = (slot, kept) else { return self.begin(self.settled) };
        if slot.position.generation < *kept.start() {
            // Which of its bytes the journal can still tell is unknown: all of them stay.
            self.begin(Position { generation: *kept.start(), ..Position::default() })?;
            // The outlet sees the gap, and tells of it.
            self.settled = slot.position;
            return Ok(());
        }
        self.synced = self.cursor.as_ref().and_then(CursorFile::synced).map(|slot| slot.position);
        (self.settled, self.mark) = (slot.position, slot.file);
        self.past = self.find_past(*kept.end())?;
        self.settle(self.settled)
    }

    /// Goes on at the end of the file, whatever is in it, and at `position` of the journal.
    fn begin(&mut self, position: Position) -> io::Result<()> {
        self.settle(position)?;
        self.synced = Some(position);
        self.cursor.as_ref().map_or(Ok(()), |cursor| cursor.store_synced(position, self.mark))
    }

    /// What was written behind the settled position, by an earlier run or by a write that failed.
    ///
    /// A file shorter than its mark was cut by somebody else: its events were delivered, and none
    /// is replayed. One with other bytes before the mark is not ours, or not any more.
    fn find_past(&self, until: u64) -> io::Result<Option<Past>> {
        let (mark, now) = (&self.mark, self.measure()?);
        let (renamed, to) = if (mark.device, mark.inode) == (now.device, now.inode) {
            (None, now.length)
        } else {
            match self.find_renamed(mark) {
                Some((file, length)) => (Some(file), length),
                None => return Ok(None),
            }
        };
        let past = Past { renamed, from: mark.length, to, until };
        let is_ours = to > mark.length && tail(self.file_of(&past), mark.length)? == mark.tail;
        Ok(is_ours.then_some(past))
    }

    /// The file of the slot under the name that somebody gave it, with its length.
    fn find_renamed(&self, mark: &TextFileMark) -> Option<(fs::File, u64)> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        for entry in fs::read_dir(parent.unwrap_or(Path::new("."))).ok()?.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let is_it = (found.dev(), found.ino()) == (mark.device, mark.inode);
            if found.is_file() && is_it {
                let file =
                    fs::OpenOptions::new().read(true).append(true).open(entry.path()).ok()?;
                return Some((file, found.len()));
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
        Ok(TextFileMark { device, inode, length, tail, layout: self.layout.hash() })
    }

    /// Settles the past, as far as `batch` cannot stand there or the last one failed.
    fn prepare(&mut self, batch: &Batch<'_>) -> io::Result<()> {
        if self.is_torn {
            self.past = self.find_past(u64::MAX)?;
            self.is_torn = false;
        }
        if let Some(past) = &mut self.past
            && batch.position().generation >= past.until
        {
            // What is left of it was written by somebody else, and stays.
            past.to = past.from;
            self.settle(self.settled)?;
        }
        Ok(())
    }

    /// Puts the text into the file, except for what stands there already.
    fn write(&mut self) -> io::Result<()> {
        let text = self.text.as_bytes();
        let mut past = self.past.take();
        if let Some(found) = &past
            && found.is_foreign(text)?
        {
            past = None;
        }
        if let Some(mut past) = past {
            let written = past.write(self.target.file(), text);
            self.past = Some(past);
            written?;
        } else {
            if self.end + text.len() as u64 > self.reserved_to {
                reserve_ahead(self.target.file(), self.end, RESERVE_BYTES);
                self.reserved_to = self.end + RESERVE_BYTES;
            }
            self.output.append(self.target.file(), text)?;
            self.end += text.len() as u64;
        }
        self.text.clear();
        Ok(())
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
            cursor.store_written(position, mark)?;
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
        }
        self.synced = Some(self.settled);
        Ok(())
    }
}

impl Past {
    /// Whether a renamed file is another one under the inode of ours. The hash before the mark
    /// tells it where there is one; an empty mark leaves the bytes behind it.
    fn is_foreign(&self, text: &[u8]) -> io::Result<bool> {
        let Some(renamed) = self.renamed.as_ref().filter(|_| self.from == 0) else {
            return Ok(false);
        };
        let both = text.len().min(self.to as usize);
        Ok(equal_bytes(renamed, 0, self.to, text)? < both)
    }

    /// Compares the text with the bytes and writes what is not there. A batch that was begun in a
    /// renamed file is finished there: a kill before the slot is stored finds all of it in one file,
    /// and the new one without any of it.
    fn write(&mut self, own: &fs::File, text: &[u8]) -> io::Result<()> {
        let mut file = self.renamed.as_ref().unwrap_or(own);
        let equal = equal_bytes(file, self.from, self.to, text)?;
        self.from += equal as u64;
        let rest = &text[equal..];
        if rest.is_empty() {
            return Ok(());
        }
        if self.from < self.to {
            // The bytes differ: everything from here on is rendered anew.
            file.set_len(self.from)?;
        }
        io::Write::write_all(&mut file, rest)?;
        self.from += rest.len() as u64;
        self.to = self.from;
        Ok(())
    }
}

/// A hash of the last bytes before `end`.
fn tail(file: &fs::File, end: u64) -> io::Result<u32> {
    let mut buffer = [0; TAIL_BYTES as usize];
    let bytes = &mut buffer[..end.min(TAIL_BYTES) as usize];
    // Somebody may cut the file meanwhile: then it hashes what is there.
    let read = file.read_at(bytes, end - bytes.len() as u64)?;
    Ok(crc32c::crc32c(&bytes[..read]))
}

/// How many bytes of `text` stand in the file from `from` on, before `to`.
fn equal_bytes(file: &fs::File, from: u64, to: u64, text: &[u8]) -> io::Result<usize> {
    let mut buffer = [0; COMPARE_BYTES];
    let len = text.len().min((to - from) as usize);
    let mut equal = 0;
    while equal < len {
        let chunk = &mut buffer[..COMPARE_BYTES.min(len - equal)];
        let read = file.read_at(chunk, from + equal as u64)?;
        let same = chunk[..read].iter().zip(&text[equal..]).take_while(|(a, b)| a == b).count();
        equal += same;
        if same < read || read == 0 {
            break;
        }
    }
    Ok(equal)
}

impl Appender for TextFile {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.text.clear();
        let mut written = self.prepare(batch);
        batch.for_each(|event| {
            if written.is_ok() {
                self.layout.write_page(event, &mut self.text);
                if self.text.len() >= WRITE_BYTES {
                    written = self.write();
                }
            }
        });
        let settled = written.and_then(|()| self.write()).and_then(|()| self.settle(batch.next()));
        settled.map_err(|source| {
            // What was written of the batch is compared when the batch comes again.
            self.is_torn = true;
            AppendError::Unavailable { source }
        })
    }

    fn settled(&self) -> Position {
        self.settled
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
}

impl Drop for TextFile {
    fn drop(&mut self) {
        // Gives back what was reserved behind the end.
        if let Target::Locked(lock) = &self.target
            && let Ok(found) = lock.file().metadata()
        {
            let _ = lock.file().set_len(found.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
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
        let lock = FileLock::try_open(&path, |path: &Path| {
            fs::OpenOptions::new().read(true).append(true).create(true).open(path)
        });
        let mut file = TextFile {
            path,
            target: Target::Locked(lock.unwrap().unwrap()),
            output: place.outputs.open(),
            layout: Box::new(Wide(line_bytes)),
            cursor: place.cursor().unwrap(),
            synced: None,
            has_sync_failed: false,
            text: Page::new(),
            settled: place.begin,
            mark: TextFileMark::default(),
            end: 0,
            reserved_to: 0,
            past: None,
            is_torn: false,
        };
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
