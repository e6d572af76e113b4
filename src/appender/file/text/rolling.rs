//! From a full file to a new one, and from a file that somebody took away to the one in its place.

use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::{Target, TextFile};
use crate::appender::file::period::Period;
use crate::appender::file::rotation::Rotation;
use crate::appender::file::{IN_USE, told};
use crate::journal::{CursorFile, Position};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::parent;

/// How far a rotation is. It is finished before anything else is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// None is under way.
    Writing,
    /// The full file has its number, and is still the target.
    Renamed,
    /// The target is the new file, the slot is that of the full one.
    Created,
}

impl TextFile {
    /// The event that begins at `before` in the text and at `at` in the journal does not fit the file:
    /// there is no room for it, or it happened after the file's time.
    #[cold]
    pub(super) fn overflow(&mut self, at: Position, before: usize, time_ns: i64) -> io::Result<()> {
        let Some(rotation) = &self.rotation else { return Ok(()) };
        let period = rotation.period_of(time_ns);
        let is_spaced = rotation.is_spaced();
        let begins_period = self.period.is_none() && period.is_some();
        let begins_file = is_spaced && self.begun_ns.is_none();
        if begins_period || begins_file {
            self.period = self.period.or(period);
            self.begun_ns = self.begun_ns.or(is_spaced.then_some(time_ns));
            self.measure_room();
        }
        if self.past.is_some() {
            // What was written stays where it is: the file is full when all of it is compared.
            return self.write(self.text.len());
        }
        let is_late = time_ns >= self.until_ns;
        let is_full = self.text.len() as u64 > self.room && self.is_old_enough(time_ns);
        // A slot cannot stand between two copies of an event: they stay in one file.
        if !is_late && !is_full || at == self.last {
            return Ok(());
        }
        let next = if is_late { period } else { self.period };
        if self.end > 0 || before > self.header_bytes {
            self.write(before)?;
            self.roll(at, next)?;
            self.begun_ns = is_spaced.then_some(time_ns);
            self.put_header_in_front();
        } else if is_late {
            // Nothing is in it yet: it is the file of this event, unless its name says another date.
            match self.is_dated() {
                true => {
                    self.roll(at, next)?;
                    self.begun_ns = is_spaced.then_some(time_ns);
                }
                false => self.period = next,
            }
        }
        self.measure_room();
        Ok(())
    }

    fn is_old_enough(&self, time_ns: i64) -> bool {
        self.rotation.as_ref().is_some_and(|it| it.is_old_enough(self.begun_ns, time_ns))
    }

    /// Gives the full file its name and begins a new one. The event at `at`, of the period `next` if
    /// that is known, is its first.
    pub(super) fn roll(&mut self, at: Position, next: Option<Period>) -> io::Result<()> {
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
        self.take_away(next)?;
        (self.stage, self.next_period) = (Stage::Renamed, next);
        crash::reached(CrashPoint::FileRenamed);
        self.finish_rotation()
    }

    /// Gives the file another name, or turns to the name of the next one.
    fn take_away(&mut self, next: Option<Period>) -> io::Result<()> {
        let is_at_path = self.is_at_path()?;
        let Some(rotation) = &mut self.rotation else { return Ok(()) };
        let dated = next.and_then(|next| rotation.dated_path(next));
        match dated.filter(|path| *path != self.path) {
            Some(path) => {
                match is_at_path && self.mark.length == 0 {
                    // Best effort: an empty file takes no room.
                    true => drop(fs::remove_file(&self.path)),
                    false => rotation.leave(&self.path),
                }
                self.path = path;
                Ok(())
            }
            None if is_at_path => rotation.rename(&self.path, self.period),
            None => Ok(()),
        }
    }

    fn is_dated(&self) -> bool {
        self.rotation.as_ref().is_some_and(|rotation| rotation.period_in(&self.path).is_some())
    }

    /// Begins the new file, from whatever stage on.
    pub(super) fn finish_rotation(&mut self) -> io::Result<()> {
        if self.stage == Stage::Renamed {
            self.open_new()?;
            self.stage = Stage::Created;
            crash::reached(CrashPoint::FileCreated);
        }
        self.period = match self.next_period {
            Some(next) => Some(next),
            None => self.found_period()?,
        };
        self.begun_ns = None;
        self.settle(self.settled)?;
        self.secure()?;
        crash::reached(CrashPoint::FileNewSlot);
        self.stage = Stage::Writing;
        self.measure_room();
        self.retain();
        Ok(())
    }

    /// Between two batches: turns to the file that stands in the place of ours, begins a new one if
    /// somebody wants it, and removes what is too old.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        if self.past.is_some() || self.is_torn || self.stage != Stage::Writing {
            // The next batch sees to what is not finished, and then comes here.
            return Ok(());
        }
        if self.is_check_due() {
            if !self.is_at_path()? {
                self.tell_if_removed()?;
                self.roll(self.settled, None)?;
            }
            self.next_check = self.check_every.and_then(|every| Instant::now().checked_add(every));
        }
        if self.wants_roll && self.rotation.is_some() && self.end > 0 {
            self.roll(self.settled, None)?;
        }
        self.wants_roll = false;
        self.retain_if_owed();
        Ok(())
    }

    fn is_check_due(&self) -> bool {
        let is_file = !matches!(self.target, Target::Special(_));
        is_file && self.next_check.is_some_and(|due| Instant::now() >= due)
    }

    /// Whether the path still leads to the file: somebody may have renamed or removed it.
    fn is_at_path(&self) -> io::Result<bool> {
        let own = self.target.file().metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(told("find", &self.path, error)),
        }
    }

    /// What was in a file that somebody removed is gone.
    fn tell_if_removed(&mut self) -> io::Result<()> {
        let found = self.target.file().metadata()?;
        if found.nlink() == 0 && found.len() > 0 {
            let (path, bytes) = (self.path.display(), found.len());
            self.notice = Some(io::Error::other(format!(
                "somebody removed {path} with {bytes} bytes of delivered lines; it is made again"
            )));
        }
        Ok(())
    }

    /// Whether somebody removed the file.
    pub(super) fn is_gone(&self) -> io::Result<bool> {
        match &self.target {
            Target::Special(_) => Ok(false),
            _ => Ok(self.target.file().metadata()?.nlink() == 0),
        }
    }

    /// Makes the file again that somebody removed, and begins it with a slot.
    pub(super) fn make_again(&mut self) -> io::Result<()> {
        self.open_new()?;
        self.past = None;
        (self.period, self.begun_ns) = (self.found_period()?, None);
        self.settle(self.settled)?;
        self.secure()
    }

    /// Opens what stands at the path, or makes it, its directory included.
    fn open_new(&mut self) -> io::Result<()> {
        let path: &Path = &self.path;
        let made = self.making.directories(path);
        made.map_err(|error| told("make", parent(path), error))?;
        let failed = |error| told("open", path, error);
        self.target = match &self.target {
            Target::Shared(_) => Target::Shared(self.making.open(path).map_err(failed)?),
            _ => match self.making.open_locked(path).map_err(failed)? {
                Some(lock) => Target::Locked(lock),
                None => return Err(told("open", path, io::Error::other(IN_USE))),
            },
        };
        (self.end, self.reserved_to) = (0, 0);
        self.is_header_due = self.header_at_every_open;
        Ok(())
    }

    /// Removes the rolled files that are too many, and lets the others be compressed. What cannot be
    /// removed holds nothing up.
    pub(super) fn retain(&mut self) {
        let retained = self.rotation.as_mut().map_or(Ok(()), Rotation::retain);
        if let Err(error) = retained {
            self.notice.get_or_insert(error);
        }
    }

    /// The same, where it had to wait until the past was settled.
    pub(super) fn retain_if_owed(&mut self) {
        if self.past.is_none() && mem::take(&mut self.owes_retain) {
            self.retain();
        }
    }

    /// Takes back what was written of a batch that failed: whoever goes on with the file, after a reload
    /// or at the next start, writes it anew.
    pub(super) fn take_back(&mut self) {
        if let Target::Locked(lock) = &self.target
            && self.is_torn
            && self.past.is_none()
            && self.stage == Stage::Writing
            && lock.file().metadata().is_ok_and(|found| found.len() > self.mark.length)
        {
            // Best effort: what stays is compared at the next start.
            let _ = lock.file().set_len(self.mark.length);
        }
    }

    /// Gives back what was reserved behind the end.
    pub(super) fn give_back(&mut self) {
        if let Target::Locked(lock) = &self.target
            && self.reserved_to > self.end
            && let Ok(found) = lock.file().metadata()
        {
            // Best effort: what cannot be given back is given back when the file is removed.
            let _ = lock.file().set_len(found.len());
            self.reserved_to = 0;
        }
    }
}
