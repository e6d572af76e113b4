//! The places of one engine: its journal directory and the directory of its rings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Durability;
use super::drops::DropCounters;
use crate::recover::{Manifest, ProcessFacts, ProcessFile};
use crate::ring::{self, Ring, RingOptions};
use crate::site;
use crate::sys;
use crate::sys::crash::{self, CrashPoint};
use crate::sys::lock::FileLock;
use crate::sys::table::SharedTable;

/// Where rings go that shall survive their process.
const SHM_MOUNT: &str = "/dev/shm";
/// Bytes for the definitions of call sites.
const SITES_BYTES: usize = 16 << 20;
/// How long a start waits for the lock of its journal directory: a sweep of another start may have it.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How often a new directory for rings is tried: a sweep may find it before it is locked.
const DIR_TRIES: u32 = 20;
/// A pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Holds the locks of an engine's directories while the engine lives.
#[derive(Debug)]
pub(super) struct Home {
    journal: Option<(PathBuf, FileLock)>,
    rings: Option<(PathBuf, FileLock)>,
    is_guarded: bool,
    /// What lies beside the rings was removed or cut: nobody could read them after a kill.
    is_lost: AtomicBool,
    /// Rings that were made on the heap because their directory did not take them.
    heap_rings: AtomicU64,
    /// Why, the last time that it did not.
    refusal: Mutex<Option<String>>,
}

/// What lies beside the rings, or on the heap where they do.
pub(super) struct Beside {
    pub(super) sites: SharedTable,
    pub(super) drops: DropCounters,
    pub(super) process_file: Option<ProcessFile>,
}

impl Home {
    /// An engine without directories: everything on the heap.
    pub(super) fn on_heap() -> Home {
        Home {
            journal: None,
            rings: None,
            is_guarded: false,
            is_lost: AtomicBool::new(false),
            heap_rings: AtomicU64::new(0),
            refusal: Mutex::new(None),
        }
    }

    /// An engine with a locked journal directory, whose rings are still on the heap. With `guarded`
    /// the process survives that somebody cuts their files.
    pub(super) fn new(journal_dir: &Path, lock: FileLock, guarded: bool) -> Home {
        let journal = Some((journal_dir.to_owned(), lock));
        Home { journal, is_guarded: guarded, ..Home::on_heap() }
    }

    /// Makes the directory of the rings below `base`, locks it and keeps it.
    ///
    /// # Errors
    /// When a directory on the way cannot be made, is not ours, or is a symlink.
    pub(super) fn create_rings_dir(&mut self, base: &Path, name: &str) -> io::Result<PathBuf> {
        sys::file::create_owned_dir(base)?;
        let dir = base.join(name);
        let mut tries = 1;
        let lock = loop {
            match create_locked(&dir) {
                Ok(lock) => break lock,
                Err(error) if tries >= DIR_TRIES => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
            }
            tries += 1;
        };
        crash::reached(CrashPoint::HomeDir);
        self.rings = Some((dir.clone(), lock));
        Ok(dir)
    }

    pub(super) fn rings_dir(&self) -> Option<&Path> {
        self.rings.as_ref().map(|(dir, _)| &**dir)
    }

    /// What an event survives when its log call returns, if its thread has a ring in the directory.
    pub(super) fn durability(&self) -> Durability {
        if self.rings.is_some() && !self.is_lost() { Durability::L1 } else { Durability::L0 }
    }

    /// Makes a ring with populated memory: in the directory of the rings, or on the heap where there
    /// is none, or no room in it. That is counted and kept for [`Home::take_refusal`].
    pub(super) fn create_ring(&self, id: u32, capacity_bytes: usize) -> io::Result<Ring> {
        let on_heap = RingOptions { capacity_bytes, id, path: None };
        let Some(dir) = self.rings_dir() else { return ring::create(on_heap) };
        let in_dir = || {
            if self.is_lost() {
                return Err(io::Error::other("what lies beside the rings is lost"));
            }
            let path = Some(dir.join(format!("ring-{id}")));
            let mut ring = ring::create(RingOptions { path, ..on_heap.clone() })?;
            if self.is_guarded {
                ring.guard().inspect_err(|_| ring.shared().remove_file())?;
            }
            Ok(ring)
        };
        in_dir().or_else(|error: io::Error| {
            self.heap_rings.fetch_add(1, Ordering::Relaxed);
            let refusal = format!("{}: {error}", dir.display());
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            ring::create(on_heap)
        })
    }

    /// Rings that were made on the heap although there is a directory for them.
    pub(super) fn heap_rings(&self) -> u64 {
        self.heap_rings.load(Ordering::Relaxed)
    }

    /// Why the directory of the rings refused one since this was last asked.
    pub(super) fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether what lies beside the rings was found removed or cut.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Nobody could read the rings after a kill: further ones lie on the heap.
    pub(super) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// Whether the lock that proves this process to live is still found. One system call.
    pub(super) fn is_lock_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let lock = self.rings.as_ref().map(|(_, lock)| lock.file().metadata());
        lock.is_none_or(|found| found.is_ok_and(|found| found.nlink() > 0))
    }

    /// Makes what lies beside the rings. Where their directory refuses it, that is given up, and
    /// everything lies on the heap; the error is the reason.
    ///
    /// # Errors
    /// When there is no memory either.
    pub(super) fn create_beside(
        &mut self,
        facts: impl Fn() -> ProcessFacts,
    ) -> io::Result<(Beside, Option<io::Error>)> {
        let Some(dir) = self.rings_dir().map(Path::to_owned) else {
            return Ok((Beside::create(None, self.is_guarded, &facts)?, None));
        };
        match Beside::create(Some(&dir), self.is_guarded, &facts) {
            Ok(beside) => Ok((beside, None)),
            Err(error) => {
                self.leave()?;
                self.rings = None;
                Ok((Beside::create(None, false, &facts)?, Some(error)))
            }
        }
    }

    /// After everything was drained: says so in the manifest and removes the rings.
    pub(super) fn leave(&self) -> io::Result<()> {
        if let (Some((journal, _)), Some((rings, _))) = (&self.journal, &self.rings) {
            if let Some(manifest) = Manifest::read(journal)? {
                Manifest { rings: None, ..manifest }.write(journal)?;
            }
            crash::reached(CrashPoint::HomeLeft);
            match crate::recover::remove_rings(rings) {
                // Somebody else has removed them.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

impl Beside {
    fn create(
        dir: Option<&Path>,
        guarded: bool,
        facts: impl Fn() -> ProcessFacts,
    ) -> io::Result<Beside> {
        let beside = |name: &str| dir.map(|dir| dir.join(name));
        let mut sites =
            SharedTable::create(beside("sites").as_deref(), site::MAX_SITES, SITES_BYTES)?;
        let mut drops = DropCounters::create(beside("drops").as_deref())?;
        if guarded {
            sites.guard()?;
            drops.guard()?;
        }
        let process_file = dir.map(|dir| ProcessFile::create(dir, facts())).transpose()?;
        Ok(Beside { sites, drops, process_file })
    }
}

/// Takes the lock of a journal directory. A sweep may have it for a moment; `None` when it is another
/// process's for longer.
///
/// # Errors
/// When the lock's file cannot be opened.
pub(super) fn lock_journal(dir: &Path) -> io::Result<Option<FileLock>> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let lock = FileLock::try_acquire(&dir.join("lock"))?;
        if lock.is_some() || Instant::now() >= deadline {
            return Ok(lock);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes a directory and locks it; an error where somebody else was first, or has removed it since.
fn create_locked(dir: &Path) -> io::Result<FileLock> {
    use std::os::unix::fs::MetadataExt as _;
    sys::file::create_owned_dir(dir)?;
    let lock = FileLock::try_acquire(&dir.join("lock"))?;
    let lock = lock.ok_or_else(|| io::Error::other("another process has locked it"))?;
    match lock.file().metadata()?.nlink() {
        0 => Err(io::Error::other("another process has removed it")),
        _ => Ok(lock),
    }
}

/// The default base of rings: a directory of the user on the shm mount.
pub(super) fn default_rings_base() -> PathBuf {
    Path::new(SHM_MOUNT).join(format!("rollway-{}", rustix::process::geteuid().as_raw()))
}
