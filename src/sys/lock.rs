//! Record locks: what proves that a process lives.
//!
//! The kernel releases them when their process ends, however it ends, and a forked child does not
//! inherit them. They do not exclude the same process, so a table does that.

#![allow(unsafe_code, reason = "the lock's file is closed at an exact moment")]

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType};

use super::file::{open_private, open_read};
use super::per_process::PerProcess;

/// An exclusive lock on a file, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct FileLock {
    /// Closing any descriptor of the file releases a record lock: nobody else in this process may
    /// open it. Dropped in `drop` and nowhere else.
    file: ManuallyDrop<File>,
    identity: (u64, u64),
}

/// The locked files of this process, by device and inode. A forked child inherits no lock.
static HELD: PerProcess<Mutex<HashSet<(u64, u64)>>> = PerProcess::new(Mutex::default);

impl FileLock {
    /// Takes the lock on the file at `path`, which is made if it is missing. `None` when another
    /// process, or this one, holds it. Does not wait.
    ///
    /// # Errors
    /// When the file cannot be opened or the file system has no locks.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<FileLock>> {
        FileLock::try_open(path, open_private)
    }

    /// The same for a file that is opened, for writing, by `open`.
    ///
    /// # Errors
    /// Those of `open`, or when the file system has no locks.
    pub(crate) fn try_open(
        path: &Path,
        open: impl FnOnce(&Path) -> io::Result<File>,
    ) -> io::Result<Option<FileLock>> {
        // Held throughout, so that no second descriptor of a locked file is opened and closed.
        let mut held = HELD.get().lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(found) = std::fs::metadata(path)
            && held.contains(&(found.dev(), found.ino()))
        {
            return Ok(None);
        }
        let file = open(path)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let found = file.metadata()?;
        let identity = (found.dev(), found.ino());
        held.insert(identity);
        Ok(Some(FileLock { file: ManuallyDrop::new(file), identity }))
    }

    /// The locked file. Any other descriptor of it must not be closed while the lock is held.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Whether a process, this one included, holds the lock on the file at `path`. Takes nothing, changes
/// nothing and does not wait.
///
/// # Errors
/// When the file cannot be opened or the file system has no locks.
pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
    // Held throughout: closing a second descriptor of a file that is locked here would release it.
    let held = HELD.get().lock().unwrap_or_else(PoisonError::into_inner);
    let found = std::fs::metadata(path)?;
    if held.contains(&(found.dev(), found.ino())) {
        return Ok(true);
    }
    let file = open_read(path)?;
    let wanted = Flock::from(FlockType::WriteLock);
    Ok(rustix::process::fcntl_getlk(&file, &wanted)?.is_some())
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut held = HELD.get().lock().unwrap_or_else(PoisonError::into_inner);
        // Closed while the table is locked: a close after the next owner's open would release his
        // lock as well.
        // SAFETY: `file` is dropped here alone, and `drop` runs once (see the field).
        unsafe { ManuallyDrop::drop(&mut self.file) };
        held.remove(&self.identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = FileLock::try_acquire(&path).unwrap();
        assert!(first.is_some());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        assert!(is_held(&path).unwrap());
        // To look at it does not release it.
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(!is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }
}
