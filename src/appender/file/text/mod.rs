//! The open text file: what stands in it, what is settled, and what is written next.

mod header;
mod resume;
mod rolling;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::making::Making;
use super::past::{Past, tail};
use super::period::Period;
use super::rotation::Rotation;
use super::told;
use crate::appender::{AppendError, Appender, Batch, WRITE_BYTES};
use crate::event::Event;
use crate::journal::{CursorFile, Position, TextFileMark};
use crate::layout::{Layout, Page};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::{parent, reserve_ahead, sync_names};
use crate::sys::lock::FileLock;
use crate::sys::output::Output;
use rolling::Stage;

/// Disk space reserved behind the end of the file at a time.
const RESERVE_BYTES: u64 = 64 << 20;
/// Bytes that are written at once to a file that others write as well, unless one line has more.
const SHARED_WRITE_BYTES: usize = 64 << 10;

/// The appender behind [`File`](super::File).
pub(in crate::appender) struct TextFile {
    /// Where the file is that is written.
    path: PathBuf,
    making: Making,
    target: Target,
    rotation: Option<Rotation>,
    stage: Stage,
    /// The period of the file; `None` where it is not rolled by time, or has no event yet.
    period: Option<Period>,
    /// That of the file which a rotation begins, if it is known.
    next_period: Option<Period>,
    /// When the first event of the file was logged; `None` where rolls need not know it, or there is
    /// none yet.
    begun_ns: Option<i64>,
    header: Box<str>,
    header_at_every_open: bool,
    /// The file was opened with something in it, and has no header since.
    is_header_due: bool,
    /// Bytes of the header at the beginning of the text.
    header_bytes: usize,
    /// How often it is looked whether the path leads to another file; `None` for never.
    check_every: Option<Duration>,
    next_check: Option<Instant>,
    /// A new file shall be begun, if this one has something in it.
    wants_roll: bool,
    /// Rolled files are looked at once the past is settled.
    owes_retain: bool,
    /// The name and the slots of the file are brought to the disk before anything else is done.
    owes_secure: bool,
    output: Output,
    layout: Box<dyn Layout>,
    cursor: Option<CursorFile>,
    /// The position of the slot that a reboot falls back to.
    synced: Option<Position>,
    /// Bytes may be lost that no later sync knows of: none is believed any more.
    has_sync_failed: bool,
    /// Text that is not written yet.
    text: Page,
    /// The last event of the batch that was rendered.
    last: Position,
    /// Up to this length the text fits the file.
    room: u64,
    /// Events from this time on do not belong into the file.
    until_ns: i64,
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
    pub(super) making: Making,
    pub(super) target: Target,
    pub(super) rotation: Option<Rotation>,
    pub(super) header: Box<str>,
    pub(super) header_at_every_open: bool,
    pub(super) check_every: Option<Duration>,
    pub(super) rolls_at_start: bool,
    pub(super) output: Output,
    pub(super) layout: Box<dyn Layout>,
    pub(super) cursor: Option<CursorFile>,
    pub(super) begin: Position,
}

/// The open file.
pub(super) enum Target {
    /// A regular file that no other process writes.
    Locked(FileLock),
    /// A regular file that other processes append to.
    Shared(fs::File),
    /// A pipe, a terminal, a device: without a length, so nothing is compared.
    Special(fs::File),
}

impl Target {
    fn file(&self) -> &fs::File {
        match self {
            Target::Locked(lock) => lock.file(),
            Target::Shared(file) | Target::Special(file) => file,
        }
    }
}

impl TextFile {
    /// Nothing is looked at yet: see [`TextFile::resume`].
    pub(super) fn new(parts: Parts) -> TextFile {
        TextFile {
            path: parts.path,
            making: parts.making,
            target: parts.target,
            rotation: parts.rotation,
            stage: Stage::Writing,
            period: None,
            next_period: None,
            begun_ns: None,
            header: parts.header,
            header_at_every_open: parts.header_at_every_open,
            is_header_due: parts.header_at_every_open,
            header_bytes: 0,
            check_every: parts.check_every,
            next_check: parts.check_every.and_then(|every| Instant::now().checked_add(every)),
            wants_roll: parts.rolls_at_start,
            owes_retain: false,
            owes_secure: false,
            output: parts.output,
            layout: parts.layout,
            cursor: parts.cursor,
            synced: None,
            has_sync_failed: false,
            text: Page::new(),
            last: Position::default(),
            room: u64::MAX,
            until_ns: i64::MAX,
            settled: parts.begin,
            mark: TextFileMark::default(),
            end: 0,
            reserved_to: 0,
            past: None,
            is_torn: false,
            notice: None,
        }
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
        let rotation = self.rotation.as_ref();
        let rotated = rotation.map_or(self.mark.rotated, |rotation| rotation.last(self.period));
        let period_ns = self.period.map_or(0, |period| period.begin_ns);
        let (layout, begun_ns) = (self.layout.hash(), self.begun_ns.unwrap_or(0));
        Ok(TextFileMark { device, inode, length, tail, layout, rotated, period_ns, begun_ns })
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
                true => self.make_again()?,
                false => self.past = self.find_past(u64::MAX)?.filter(Past::is_open),
            }
            self.is_torn = false;
        }
        if self.owes_secure {
            self.secure()?;
        }
        if self.leaves_past(batch.position()) {
            self.settle(self.settled)?;
        }
        self.turn()?;
        self.measure_room();
        self.put_header();
        Ok(())
    }

    /// Adds an event to the text, and begins a new file for it if this one is full.
    #[inline]
    fn add(&mut self, at: Position, event: &Event<'_>) -> io::Result<()> {
        let before = self.text.len();
        self.layout.write_page(event, &mut self.text);
        let len = self.text.len();
        if len as u64 > self.room || event.time_ns >= self.until_ns {
            self.overflow(at, before, event.time_ns)?;
        }
        self.last = at;
        if len >= WRITE_BYTES { self.write(self.text.len()) } else { Ok(()) }
    }

    fn measure_room(&mut self) {
        (self.room, self.until_ns) = match (&self.rotation, &self.past) {
            (None, _) => (u64::MAX, i64::MAX),
            (Some(_), Some(_)) => (0, i64::MAX),
            (Some(rotation), None) => {
                // The first event says whose time it is, and when the file was begun.
                let is_begun = self.begun_ns.is_some() || !rotation.is_spaced();
                let until_ns = match self.period {
                    Some(period) if is_begun => period.end_ns,
                    None if is_begun && !rotation.is_by_time() => i64::MAX,
                    _ => i64::MIN,
                };
                (rotation.limit_bytes().saturating_sub(self.end), until_ns)
            }
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
            self.reserve(bytes as u64);
            let written = match &self.target {
                Target::Shared(file) => whole_lines(&self.text.as_bytes()[..bytes])
                    .try_for_each(|lines| self.output.append(file, lines)),
                own => self.output.append(own.file(), &self.text.as_bytes()[..bytes]),
            };
            written.map_err(|error| told("write", &self.path, error))?;
            self.end += bytes as u64;
        }
        if self.header_bytes > 0 && bytes > 0 {
            (self.header_bytes, self.is_header_due) = (0, false);
        }
        self.text.remove_front(bytes);
        self.measure_room();
        Ok(())
    }

    /// Reserves space behind the end of the file before so many bytes go there.
    fn reserve(&mut self, bytes: u64) {
        let Target::Locked(lock) = &self.target else { return };
        // For one of many it would add up.
        if self.end + bytes > self.reserved_to && !self.making.is_confined {
            let ahead = self.rotation.as_ref().map_or(u64::MAX, Rotation::limit_bytes);
            let ahead = ahead.saturating_sub(self.end).min(RESERVE_BYTES);
            if ahead > 0 {
                reserve_ahead(lock.file(), self.end, ahead);
                self.reserved_to = self.end + ahead;
            }
        }
    }

    /// Ends the past where this run's journal begins: what is left of it then was written by somebody
    /// else, or the journal has lost it. It stays. Whether there was one to end.
    fn leaves_past(&mut self, at: Position) -> bool {
        let Some(past) = self.past.as_mut().filter(|past| at.generation >= past.until) else {
            return false;
        };
        past.to = past.from;
        true
    }

    /// Stores the new slot: everything before `position` is settled.
    fn settle(&mut self, position: Position) -> io::Result<()> {
        let mut is_begun = false;
        let mark = match &self.past {
            Some(past) if past.from < past.to => {
                // The part of the past that was compared holds everything before `position`.
                let tail = tail(self.file_of(past), past.from)?;
                let period_ns = self.period.map_or(0, |period| period.begin_ns);
                let begun_ns = self.begun_ns.unwrap_or(0);
                TextFileMark { length: past.from, tail, period_ns, begun_ns, ..self.mark }
            }
            Some(Past { renamed: Some(renamed), .. }) if self.cursor.is_some() => {
                // The slots leave it: no later sync would reach it. One that fails holds nothing up.
                if let Err(error) = renamed.sync_data() {
                    self.has_sync_failed = true;
                    self.notice = Some(told("sync what was", &self.path, error));
                }
                (self.period, self.begun_ns) = (self.found_period()?, None);
                is_begun = true;
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
        if is_begun { self.secure() } else { Ok(()) }
    }

    /// Brings the name of a file that is begun, and both slots for it, to the disk; what was written
    /// before is there. Nothing is written to the file before that: a power failure would leave bytes
    /// of which no slot tells whose they are. A sync that fails holds nothing up, and none is believed
    /// after it; with any other error it is tried again.
    fn secure(&mut self) -> io::Result<()> {
        self.owes_secure = true;
        if let Some(cursor) = self.cursor.as_ref().filter(|_| !self.has_sync_failed) {
            let dir = self.directory()?;
            let synced = dir.map_or(Ok(()), |dir| sync_names(&dir)).and_then(|()| {
                crash::reached(CrashPoint::FileDirectory);
                cursor.store_synced(self.settled, self.mark)?;
                cursor.sync()
            });
            match synced {
                Ok(()) => self.synced = Some(self.settled),
                Err(error) => {
                    self.has_sync_failed = true;
                    self.notice = Some(told("sync", &self.path, error));
                }
            }
        }
        self.owes_secure = false;
        Ok(())
    }

    /// The directory of the file, if it has to be synced and can be. Who may not read a directory
    /// cannot sync it; most file systems bring the name with the bytes.
    fn directory(&self) -> io::Result<Option<fs::File>> {
        if let Target::Special(_) = self.target {
            return Ok(None);
        }
        let dir = parent(&self.path);
        match fs::File::open(dir) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(told("open", dir, error)),
        }
    }

    /// Whether bytes may be lost that no later sync knows of.
    pub(in crate::appender) fn has_sync_failed(&self) -> bool {
        self.has_sync_failed
    }

    /// Brings everything settled to the disk with `sync_data`, then stores the slot for it.
    pub(in crate::appender) fn sync_with(
        &mut self,
        sync_data: impl Fn(&fs::File) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.has_sync_failed {
            return Err(an_earlier_sync_failed());
        }
        let renamed = self.past.as_ref().and_then(|past| past.renamed.as_ref());
        let own = match &self.target {
            Target::Special(_) => None,
            file => Some(file.file()),
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
        self.last = Position::default();
        let mut written = self.prepare(batch);
        batch.for_each_at(|at, event| {
            if written.is_ok() {
                written = self.add(at, event);
            }
        });
        self.drop_lone_header();
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
        })?;
        self.retain_if_owed();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        // What was written of a batch that failed is not known, and no slot can say it.
        if self.is_torn {
            return Ok(());
        }
        self.leaves_past(position);
        self.settle(position).map_err(|source| AppendError::Unavailable { source })?;
        self.retain_if_owed();
        Ok(())
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

    fn reopen(&mut self) -> Result<(), AppendError> {
        // Also where it is never looked otherwise.
        self.next_check = Some(Instant::now());
        self.turn().map_err(|source| AppendError::Unavailable { source })
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.wants_roll = true;
        self.turn().map_err(|source| AppendError::Unavailable { source })
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        let of_rotation = || self.rotation.as_mut().and_then(Rotation::take_notice);
        self.notice.take().or_else(of_rotation)
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        self.take_back();
        self.give_back();
    }
}

/// Why no sync is believed any more.
pub(in crate::appender) fn an_earlier_sync_failed() -> io::Error {
    io::Error::other(
        "an earlier sync failed, and what was written before it may be lost with the power",
    )
}

/// The text in pieces that end where lines do and have no more than [`SHARED_WRITE_BYTES`], if the
/// lines have not.
fn whole_lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (front, behind) = text.split_at(text.len().min(SHARED_WRITE_BYTES));
        let end = match front.iter().rposition(|byte| *byte == b'\n') {
            _ if behind.is_empty() => front.len(),
            Some(last) => last + 1,
            None => behind
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(text.len(), |at| front.len() + at + 1),
        };
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests;
