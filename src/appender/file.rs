//! Text into a file: every event once, even when the process was killed between any two steps.
//!
//! The appender keeps a slot {device, inode, length, position, hash of the layout} in its cursor
//! file, stored after each batch. Whatever the file has beyond the stored length was written from
//! that position on: it is rendered again and compared, equal bytes are skipped, a torn line is
//! completed, and the file is cut only where the bytes differ. The same way leads on after a write
//! that failed half-way. See `docs/delivery.md`.
//!
//! With a journal in memory nothing is stored: there is no past to go on from.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use crate::journal::{CursorFile, Position, TextFileMark};
use crate::layout::{Layout, Pattern};
use crate::sys::file::reserve_ahead;
use crate::sys::lock::FileLock;

/// Disk space reserved behind the end of the file at a time.
const RESERVE_BYTES: u64 = 64 << 20;
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
    fn open(self: Box<Self>, place: &Place<'_>) -> Result<Opened, OpenError> {
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
            path: self.path.clone(),
            target,
            layout: self.layout,
            text: String::new(),
            settled: place.begin,
            mark: TextFileMark::default(),
            reserved_to: 0,
            past: None,
        };
        appender.resume(self.truncate).map_err(|source| OpenError {
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
    layout: Box<dyn Layout>,
    cursor: Option<CursorFile>,
    /// The text of one batch.
    text: String,
    settled: Position,
    /// The file, its own or a renamed one, and the length up to which it holds everything before
    /// `settled`.
    mark: TextFileMark,
    reserved_to: u64,
    /// Bytes behind the settled position that were written before.
    past: Option<Past>,
}

/// Bytes of an earlier run, or of a write that failed, still to be compared.
struct Past {
    /// The renamed file they stand in; `None` for the file itself.
    renamed: Option<fs::File>,
    from: u64,
    to: u64,
}

impl TextFile {
    /// Finds out where the last run stopped.
    fn resume(&mut self, truncate: bool) -> io::Result<()> {
        if truncate && let Target::Locked(lock) = &self.target {
            lock.file().set_len(0)?;
        }
        let stored = self.cursor.as_ref().and_then(CursorFile::resume);
        if let Some(slot) = stored {
            (self.settled, self.mark) = (slot.position, slot.file);
            self.past = self.find_past()?;
        }
        self.settle(self.settled)?;
        match &self.cursor {
            Some(cursor) if stored.is_none() => cursor.store_synced(self.settled, self.mark),
            _ => Ok(()),
        }
    }

    /// What was written behind the settled position, by an earlier run or by a write that failed.
    ///
    /// A file shorter than its mark was cut by somebody else: its events were delivered, and none
    /// is replayed.
    fn find_past(&self) -> io::Result<Option<Past>> {
        let (mark, now) = (&self.mark, self.measure()?);
        let (renamed, length) = if (mark.device, mark.inode) == (now.device, now.inode) {
            (None, now.length)
        } else {
            match self.find_renamed(mark) {
                Some((file, length)) => (Some(file), length),
                None => return Ok(None),
            }
        };
        Ok((length > mark.length).then_some(Past { renamed, from: mark.length, to: length }))
    }

    /// The file of the slot under the name that somebody gave it, with its length.
    fn find_renamed(&self, mark: &TextFileMark) -> Option<(fs::File, u64)> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        for entry in fs::read_dir(parent.unwrap_or(Path::new("."))).ok()?.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_file() && (found.dev(), found.ino()) == (mark.device, mark.inode) {
                let file =
                    fs::OpenOptions::new().read(true).append(true).open(entry.path()).ok()?;
                return Some((file, found.len()));
            }
        }
        None
    }

    fn measure(&self) -> io::Result<TextFileMark> {
        let Target::Locked(lock) = &self.target else { return Ok(TextFileMark::default()) };
        let found = lock.file().metadata()?;
        let (device, inode, length) = (found.dev(), found.ino(), found.len());
        Ok(TextFileMark { device, inode, length, layout: self.layout.hash() })
    }

    /// Puts the text of a batch into the file, except for what stands there already.
    fn write(&mut self) -> io::Result<()> {
        let skipped = self.skip_past()?;
        let text = &self.text.as_bytes()[skipped..];
        if text.is_empty() {
            return Ok(());
        }
        if self.mark.length + text.len() as u64 > self.reserved_to {
            reserve_ahead(self.target.file(), self.mark.length, RESERVE_BYTES);
            self.reserved_to = self.mark.length + RESERVE_BYTES;
        }
        io::Write::write_all(&mut self.target.file(), text)
    }

    /// Compares the text with the past and returns how many bytes of it stand there already.
    fn skip_past(&mut self) -> io::Result<usize> {
        let Some(mut past) = self.past.take() else { return Ok(0) };
        let text = self.text.as_bytes();
        let file = past.renamed.as_ref().unwrap_or(self.target.file());
        let equal = equal_bytes(file, past.from, past.to, text)?;
        past.from += equal as u64;
        if equal == text.len() {
            if past.from < past.to {
                self.past = Some(past);
            }
            return Ok(equal);
        }
        if past.from < past.to {
            // The bytes differ: everything from here on is rendered anew.
            file.set_len(past.from)?;
        }
        let Some(mut renamed) = past.renamed else { return Ok(equal) };
        // A batch that was begun in a renamed file is finished there: a kill before the slot is
        // stored finds all of it in one file, and the new one without any of it.
        io::Write::write_all(&mut renamed, &text[equal..])?;
        Ok(text.len())
    }

    /// Stores the new slot: everything before `position` is settled.
    fn settle(&mut self, position: Position) -> io::Result<()> {
        match &self.past {
            // The part of the past that was compared holds everything before `position`.
            Some(past) => self.mark.length = past.from,
            None => self.mark = self.measure()?,
        }
        if let Some(cursor) = &self.cursor {
            cursor.store_written(position, self.mark)?;
        }
        self.settled = position;
        Ok(())
    }
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
        let (layout, text) = (&mut self.layout, &mut self.text);
        batch.for_each(|event| layout.write(event, text));
        self.write().and_then(|()| self.settle(batch.next())).map_err(|source| {
            // What was written of the batch is compared when the batch comes again.
            self.past = self.find_past().unwrap_or(None);
            AppendError::Unavailable { source }
        })
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }

    fn sync(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        let sync = || {
            if let Target::Locked(lock) = &self.target {
                lock.file().sync_data()?;
            }
            match &self.cursor {
                Some(cursor) => cursor.store_synced(self.settled, self.mark),
                None => Ok(()),
            }
        };
        sync().map_err(|source| AppendError::Unavailable { source })
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
