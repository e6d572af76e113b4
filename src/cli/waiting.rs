//! What a killed process left in its rings, beside its journal.
//!
//! It gets into the journal when the service starts again, or by `rollway recover`. Until then `cat`
//! does not show it, and says so.

use std::path::{Path, PathBuf};

use crate::recover::{Leftovers, Manifest, scan_of};

/// Rings of a dead process.
pub(super) struct Waiting {
    pub(super) rings: PathBuf,
    pub(super) events: u64,
}

/// What waits beside a journal directory; `None` when nothing does, or its process lives.
pub(super) fn beside(journal: &Path) -> Option<Waiting> {
    // Cheap where nothing waits: only then the journal need be asked what it has.
    if Leftovers::beside(journal, |_| 0).ok()?.bytes() == 0 {
        return None;
    }
    let manifest = Manifest::read(journal).ok()??;
    let (_, ends) = scan_of(journal, Some(&manifest)).ok()?;
    let left = Leftovers::beside(journal, |ring| ends.get(&ring).copied().unwrap_or(0)).ok()?;
    let rings = left.rings_dir()?.clone();
    let events = left.events();
    (events > 0).then_some(Waiting { rings, events })
}
