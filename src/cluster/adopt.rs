//! Dead members that nobody restarts: what they left is delivered, then it is removed.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::try_claim;
use super::outlets::Opening;
use crate::engine::group::Description;
use crate::engine::outlet::Outlet;
use crate::engine::outlets::{Described, Runs};
use crate::engine::{Dropped, selflog};
use crate::journal::{Journal, JournalOptions, Position, RingEnds, Scan, segment_paths};
use crate::recover::{self, Manifest, RecoverError};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::boot_id;
use crate::sys::lock::FileLock;

/// How long a shipper that has shipped everything may take to end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Members whose locks were found free.
#[derive(Default)]
pub(super) struct Orphans {
    since: HashMap<PathBuf, Instant>,
}

impl Orphans {
    /// The members whose locks have been free for `after`, with their locks, but for those that are
    /// `known`.
    pub(super) fn find(
        &mut self,
        members: &[PathBuf],
        after: Duration,
        known: impl Fn(&Path) -> bool,
    ) -> Vec<(PathBuf, FileLock)> {
        self.since.retain(|dir, _| members.contains(dir));
        let mut found = Vec::new();
        for dir in members.iter().filter(|dir| !known(dir)) {
            let Ok(Some(lock)) = try_claim(dir) else {
                self.since.remove(dir);
                continue;
            };
            let since = *self.since.entry(dir.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= after {
                self.since.remove(dir);
                found.push((dir.clone(), lock));
            }
        }
        found
    }
}

/// A dead member whose directory this process has taken.
pub(super) struct Adopted {
    dir: PathBuf,
    source: Option<u128>,
    journal: Journal,
    shippers: Vec<Arc<Outlet>>,
    /// Something that nobody can read is left; the directory stays.
    is_kept: bool,
    lock: FileLock,
}

impl Adopted {
    /// Moves what the member's rings hold to its journal, as its restart would, and ships its blocks.
    ///
    /// # Errors
    /// What could not be opened or read; it can be tried again.
    pub(super) fn open(
        dir: &Path,
        lock: FileLock,
        description: &Description,
        described: &Described,
        member_bytes: u64,
        term: u64,
    ) -> Result<Adopted, Box<dyn Error>> {
        let manifest = Manifest::read(dir)?;
        let (scan, ends) = match &manifest {
            Some(manifest) => Scan::of_run(dir, manifest.source, manifest.epoch)?,
            None => (Scan::of_directory(dir)?, RingEnds::default()),
        };
        let options = JournalOptions::directory(dir).max_bytes(member_bytes);
        let (journal, mut writer) = Journal::in_directory(options, scan)?;
        let (mut is_kept, mut run) = (false, (0, 0));
        if let Some(manifest) = manifest {
            run = (manifest.source, manifest.epoch);
            if crash::is_swapped(CrashPoint::AdoptDrained) {
                Manifest { rings: None, ..manifest.clone() }.write(dir)?;
                crash::reached(CrashPoint::AdoptDrained);
            }
            let boot_id = u128::from_be_bytes(boot_id());
            let end = |ring| ends.get(&ring).copied().unwrap_or(0);
            match recover::drain(&mut writer, &manifest, boot_id, end) {
                Ok(recovered) => {
                    let place = dir.display();
                    for reason in &recovered.unreadable {
                        is_kept = true;
                        selflog::warn(&format!("{place}: a ring was left behind: {reason}"));
                    }
                    let dropped = Dropped::unreported(&recovered.drops);
                    if dropped.total() > 0 {
                        let total = dropped.total();
                        selflog::warn(&format!("{place}: {total} events were dropped: {dropped}"));
                    }
                }
                Err(error @ (RecoverError::Rebooted { .. } | RecoverError::Gone { .. })) => {
                    selflog::warn(&error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
            crash::reached(CrashPoint::AdoptDrained);
            if !is_kept {
                Manifest { rings: None, ..manifest }.write(dir)?;
            }
        }
        let source = (run.0 != 0).then_some(run.0);
        let (journal_of, runs) = (&journal, Runs::Shipping);
        let opening = Opening { description, described, journal: journal_of, runs, run, term };
        let shippers = match source {
            Some(_) => opening.outlets()?.close(Instant::now()),
            None => Vec::new(),
        };
        Ok(Adopted { dir: dir.to_owned(), source, journal, shippers, is_kept, lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its journal ends.
    pub(super) fn end(&self) -> Position {
        self.journal.end()
    }

    /// Whether its blocks have arrived wherever they are shipped to, and nothing else is left.
    pub(super) fn is_shipped(&self) -> bool {
        let end = self.end();
        !self.is_kept && self.shippers.iter().all(|shipper| shipper.reached() >= end)
    }

    /// Tells the shippers to end.
    pub(super) fn stop(&self, deadline: Instant) {
        self.shippers.iter().for_each(|shipper| shipper.stop(deadline));
    }

    /// Waits for their end.
    pub(super) fn join(&self, deadline: Instant) {
        for shipper in &self.shippers {
            shipper.join(deadline);
        }
    }

    /// Removes the directory, from which everything was delivered: the cursors first, since they must
    /// not outlive the segments they stand in, then the segments, the lock last.
    /// The member's source, of which no block will come any more.
    ///
    /// # Errors
    /// What could not be removed; whoever takes the directory next goes on.
    pub(super) fn remove(self) -> io::Result<Option<u128>> {
        crash::reached(CrashPoint::AdoptDelivered);
        let deadline = Instant::now() + LAST_WAIT;
        self.stop(deadline);
        self.join(deadline);
        match std::fs::remove_dir_all(self.dir.join("cursors")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => crash::reached(CrashPoint::AdoptRemoving),
        }
        for (_, path) in segment_paths(&self.dir)? {
            std::fs::remove_file(path)?;
            crash::reached(CrashPoint::AdoptRemoving);
        }
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path)?;
            } else if path.file_name().is_some_and(|name| name != "lock") {
                std::fs::remove_file(path)?;
            }
        }
        crash::reached(CrashPoint::AdoptRemoved);
        std::fs::remove_file(self.dir.join("lock"))?;
        // Whoever made a lock there meanwhile goes on in it.
        let _ = std::fs::remove_dir(&self.dir);
        drop(self.lock);
        Ok(self.source)
    }
}
