//! Where a text file goes on: after a start, a kill, a reboot, a rename, a write that failed.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use super::{Target, TextFile};
use crate::appender::file::past::{Past, tail};
use crate::appender::file::period::Period;
use crate::appender::file::rotation::Rotation;
use crate::appender::file::told;
use crate::journal::{CursorFile, CursorSlot, Position, TextFileMark};
use crate::sys::file::{boot_id, parent};

impl TextFile {
    /// Finds out where the last run stopped. `kept` is the range of segments that the journal has.
    pub(in crate::appender::file) fn resume(
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
        self.period = self.stored_period();
        self.begun_ns = self.stored_begin();
        if let Some(rotation) = &mut self.rotation {
            rotation.remember(self.period, slot.file.rotated);
        }
        let mut past = self.find_past(*kept.end())?;
        if past.is_none() && self.period.is_none() {
            self.period = self.found_period()?;
        }
        if past.is_none() && self.target.file().metadata()?.len() == 0 {
            // Somebody has emptied it: it begins with the next event.
            self.begun_ns = None;
        }
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
        // A renamed file that is complete is settled at once, and what comes after it secured.
        let is_renamed = past.as_ref().is_some_and(|past| !past.is_open());
        self.past = past;
        self.settle(self.settled)?;
        if !is_renamed {
            self.secure_what_came(slot)?;
        }
        match self.past {
            Some(_) => self.owes_retain = true,
            None => self.retain(),
        }
        Ok(())
    }

    /// Secures the file where the slot `synced` does not know it: somebody took the one before away,
    /// or the last run was killed before it came to that.
    fn secure_what_came(&mut self, slot: CursorSlot) -> io::Result<()> {
        let is_of_target = |slot: CursorSlot| {
            (slot.file.device, slot.file.inode) == (self.mark.device, self.mark.inode)
        };
        let synced = self.cursor.as_ref().and_then(CursorFile::synced);
        if synced.is_some_and(is_of_target) {
            return Ok(());
        }
        if self.synced != Some(self.settled) {
            if !is_of_target(slot) {
                // What is behind the slot `synced` is in a file that is not here any more.
                return Ok(());
            }
            self.target.file().sync_data()?;
        }
        self.secure()
    }

    /// Goes on at the end of the file, whatever is in it, and at `position` of the journal.
    fn begin(&mut self, position: Position) -> io::Result<()> {
        (self.period, self.begun_ns) = (self.found_period()?, None);
        self.settle(position)?;
        self.secure()?;
        self.retain();
        Ok(())
    }

    /// The period that the slot says.
    fn stored_period(&self) -> Option<Period> {
        let rotation = self.rotation.as_ref().filter(|_| self.mark.period_ns != 0)?;
        rotation.period_of(self.mark.period_ns)
    }

    /// The time of the file's first event, as the slot says it, where rolls need to know it.
    fn stored_begin(&self) -> Option<i64> {
        let is_spaced = self.rotation.as_ref().is_some_and(Rotation::is_spaced);
        Some(self.mark.begun_ns).filter(|begun_ns| is_spaced && *begun_ns != 0)
    }

    /// The period of a file that no slot tells of: that of its name, or of its last change. One that
    /// is empty has none before its first event.
    pub(super) fn found_period(&self) -> io::Result<Option<Period>> {
        let Some(rotation) = self.rotation.as_ref().filter(|it| it.is_by_time()) else {
            return Ok(None);
        };
        if let Some(period) = rotation.period_in(&self.path) {
            return Ok(Some(period));
        }
        let found = self.target.file().metadata()?;
        if found.len() == 0 {
            return Ok(None);
        }
        let age = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(rotation.period_of(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// What was written behind the settled position, by an earlier run or by a write that failed.
    ///
    /// A file shorter than its mark was cut by somebody else: its events were delivered, and none
    /// is replayed. One with other bytes before the mark is not ours, or not any more.
    pub(super) fn find_past(&mut self, until: u64) -> io::Result<Option<Past>> {
        if let Target::Shared(_) = self.target {
            // What others wrote is not ours to compare.
            return Ok(None);
        }
        let (mark, now) = (self.mark, self.measure()?);
        let mut is_full = false;
        let (renamed, to) = if (mark.device, mark.inode) == (now.device, now.inode) {
            (None, now.length)
        } else {
            match self.find_renamed(&mark)? {
                Some((file, length, is_newest)) => {
                    is_full = length == mark.length && is_newest;
                    (Some(file), length)
                }
                None => {
                    (self.period, self.begun_ns) = (self.found_period()?, None);
                    return Ok(None);
                }
            }
        };
        if is_full {
            // It was full, and the new file was begun behind it; after a reboot the slot may be
            // older than that.
            let past = Past { renamed: None, from: 0, to: now.length, until, is_certain: false };
            self.period =
                self.rotation.as_ref().and_then(|rotation| rotation.period_in(&self.path));
            self.begun_ns = None;
            let tail = tail(self.target.file(), 0)?;
            self.mark = TextFileMark { length: 0, tail, period_ns: 0, begun_ns: 0, ..now };
            return Ok(past.is_open().then_some(past));
        }
        let is_certain = renamed.is_none();
        let past = Past { renamed, from: mark.length, to, until, is_certain };
        let may_be_ours = past.is_open() || past.renamed.is_some();
        let is_ours = may_be_ours && tail(self.file_of(&past), mark.length)? == mark.tail;
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

    /// The file of the slot under the name that it has now, with its length and whether that is the
    /// newest of those that were given here.
    fn find_renamed(&self, mark: &TextFileMark) -> io::Result<Option<(fs::File, u64, bool)>> {
        let dir = parent(&self.path);
        let entries = match fs::read_dir(dir) {
            // Who may not list it does not find it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            entries => entries.map_err(|error| told("list", dir, error))?,
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let is_it = (found.dev(), found.ino()) == (mark.device, mark.inode);
            if found.is_file() && is_it {
                let path = entry.path();
                let file = match fs::OpenOptions::new().read(true).append(true).open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        return Ok(None);
                    }
                    file => file.map_err(|error| told("open", &path, error))?,
                };
                let rotation = self.rotation.as_ref();
                let is_newest = rotation.is_some_and(|it| it.is_newest(&path));
                return Ok(Some((file, found.len(), is_newest)));
            }
        }
        Ok(None)
    }
}
