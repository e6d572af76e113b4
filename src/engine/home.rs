//! The places of one engine: its journal directory and the directory of its rings.

use std::io;
use std::path::{Path, PathBuf};

use super::Durability;
use crate::recover::{Manifest, ProcessFile};
use crate::ring::{self, Ring, RingOptions};
use crate::sys;
use crate::sys::lock::FileLock;

/// Where rings go that shall survive their process.
const SHM_MOUNT: &str = "/dev/shm";

/// Holds the locks of an engine's directories while the engine lives.
#[derive(Debug)]
pub(super) struct Home {
    journal: Option<(PathBuf, FileLock)>,
    rings: Option<(PathBuf, FileLock)>,
}

impl Home {
    /// An engine without directories: everything on the heap.
    pub(super) fn on_heap() -> Home {
        Home { journal: None, rings: None }
    }

    /// An engine with a locked journal directory, whose rings are still on the heap.
    pub(super) fn new(journal_dir: &Path, lock: FileLock) -> Home {
        Home { journal: Some((journal_dir.to_owned(), lock)), rings: None }
    }

    /// Makes the directory of the rings below `base`, locks it and keeps it.
    ///
    /// # Errors
    /// When a directory on the way cannot be made, is not ours, or is a symlink.
    pub(super) fn create_rings_dir(&mut self, base: &Path, name: &str) -> io::Result<PathBuf> {
        sys::file::create_owned_dir(base)?;
        let dir = base.join(name);
        sys::file::create_owned_dir(&dir)?;
        let lock = FileLock::try_acquire(&dir.join("lock"))?;
        let lock = lock.ok_or_else(|| io::Error::other("another process has locked it"))?;
        self.rings = Some((dir.clone(), lock));
        Ok(dir)
    }

    pub(super) fn rings_dir(&self) -> Option<&Path> {
        self.rings.as_ref().map(|(dir, _)| &**dir)
    }

    /// What an event survives when its log call returns.
    pub(super) fn durability(&self) -> Durability {
        if self.rings.is_some() { Durability::L1 } else { Durability::L0 }
    }

    /// Makes a ring with populated memory.
    pub(super) fn create_ring(&self, id: u32, capacity_bytes: usize) -> io::Result<Ring> {
        let path = self.rings_dir().map(|dir| dir.join(format!("ring-{id}")));
        ring::create(RingOptions { capacity_bytes, id, path })
    }

    /// After everything was drained: removes the rings and says so in the manifest.
    pub(super) fn leave(&self) -> io::Result<()> {
        if let (Some((journal, _)), Some((rings, _))) = (&self.journal, &self.rings) {
            if let Some(manifest) = Manifest::read(journal)? {
                Manifest { rings: None, ..manifest }.write(journal)?;
            }
            crate::recover::remove_rings(rings)?;
        }
        Ok(())
    }
}

/// The default base of rings: a directory of the user on the shm mount.
pub(super) fn default_rings_base() -> PathBuf {
    Path::new(SHM_MOUNT).join(format!("rollway-{}", rustix::process::geteuid().as_raw()))
}

/// Makes the `process` file beside the rings.
pub(super) fn process_file(rings_dir: &Path, service: &str) -> io::Result<ProcessFile> {
    ProcessFile::create(rings_dir, service, &sys::file::host_name())
}
