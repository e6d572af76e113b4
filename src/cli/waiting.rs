//! What a killed process left in its rings, beside its journal.
//!
//! It gets into the journal when the service starts again. Until then `cat` does not show it, and says
//! so. The lock that proves a death is only looked at: to take it could keep a service from starting.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::recover::Manifest;
use crate::ring;

/// Rings of a dead process.
pub(super) struct Waiting {
    pub(super) rings: PathBuf,
    /// Of records that are not known to be in the journal.
    pub(super) bytes: u64,
}

/// What waits beside a journal directory; `None` when nothing does, or its process lives.
pub(super) fn beside(journal: &Path) -> Option<Waiting> {
    let rings = Manifest::read(journal).ok()??.rings?;
    if is_locked(&rings.join("lock"))? {
        return None;
    }
    let mut bytes = 0;
    for entry in fs::read_dir(&rings).ok()?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ring-")
            && let Ok(ring) = ring::read_dead(&entry.path())
        {
            bytes += ring.tail - ring.head;
        }
    }
    (bytes > 0).then_some(Waiting { rings, bytes })
}

/// Whether some process has locked the file; `None` where that cannot be found out.
fn is_locked(path: &Path) -> Option<bool> {
    let file = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    Some(locks.lines().any(|lock| lock.split_whitespace().any(|word| word == place)))
}
