//! What a start does about a killed predecessor, without the start.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::rings::drain_and_keep;
use super::{Leftovers, Manifest, Owner, RecoverError, Recovered, scan_of};
use crate::journal::{Journal, JournalError, JournalOptions};
use crate::sys::lock::FileLock;

/// Why a directory was not repaired.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub(crate) enum RepairError {
    /// Its process lives.
    InUse { dir: PathBuf },
    /// It is a copy, and the rings are those of the original.
    Copied { rings: PathBuf, original: PathBuf },
    /// The system refused.
    Io { path: PathBuf, source: io::Error },
    /// The journal cannot be continued.
    Journal(JournalError),
    /// The rings cannot be drained.
    Recover(RecoverError),
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::InUse { dir } => {
                write!(f, "{} belongs to a running process, which needs no repair", dir.display())
            }
            RepairError::Copied { rings, original } => write!(
                f,
                "the rings {} belong to {}: repair that one, or start its service; --out and \
                 --send take a copy of what is in them",
                rings.display(),
                original.display()
            ),
            RepairError::Io { path, .. } => write!(f, "{} cannot be used", path.display()),
            RepairError::Journal(_) => write!(f, "the journal cannot be continued"),
            RepairError::Recover(_) => write!(f, "the rings cannot be drained"),
        }
    }
}

impl std::error::Error for RepairError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RepairError::InUse { .. } | RepairError::Copied { .. } => None,
            RepairError::Io { source, .. } => Some(source),
            RepairError::Journal(source) => Some(source),
            RepairError::Recover(source) => Some(source),
        }
    }
}

/// Drains the rings of a killed process into its journal, under the lock of the directory. What
/// cannot be read stays where it is, and so do the counters beside the rings, which the next start
/// of the service tells. Nothing to do where nothing waits. Repeatable after a crash at any step.
///
/// The rings of a directory that was copied stay with the original, which they would be missing from.
///
/// # Errors
/// [`RepairError`]; then nothing is lost, and it can be tried again.
pub(crate) fn repair(dir: &Path) -> Result<Recovered, RepairError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RepairError::Io { path, source }
    };
    let lock = FileLock::try_acquire(&dir.join("lock")).map_err(io(dir))?;
    let Some(_lock) = lock else { return Err(RepairError::InUse { dir: dir.to_owned() }) };
    let Some(manifest) = Manifest::read(dir).map_err(io(dir))? else {
        return Ok(Recovered::default());
    };
    let Some(rings_dir) = &manifest.rings else { return Ok(Recovered::default()) };
    let (scan, ends) = scan_of(dir, Some(&manifest)).map_err(RepairError::Journal)?;
    let ring_end = |ring: u32| ends.get(&ring).copied().unwrap_or(0);
    let left = Leftovers::of_rings(manifest.clone(), ring_end).map_err(io(rings_dir))?;
    if left.owner != Owner::Killed || left.bytes() == 0 {
        return Ok(Recovered { unreadable: left.unreadable, ..Recovered::default() });
    }
    if let Some(process) = &left.process
        && Manifest::naming(rings_dir, process).map_err(io(&process.journal_dir))?.is_some()
        && !is_same_file(dir, &process.journal_dir).map_err(io(&process.journal_dir))?
    {
        let (rings, original) = (rings_dir.clone(), process.journal_dir.clone());
        return Err(RepairError::Copied { rings, original });
    }
    // Its bound is the service's: nothing makes room here.
    let options = JournalOptions { max_bytes: u64::MAX, ..JournalOptions::directory(dir) };
    let (journal, mut writer) =
        Journal::in_directory(options, scan).map_err(RepairError::Journal)?;
    let recovered = drain_and_keep(&mut writer, &manifest, rings_dir, ring_end)
        .map_err(RepairError::Recover)?;
    journal.sync().map_err(RepairError::Journal)?;
    Ok(recovered)
}

/// Whether two paths lead to the same place.
fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}
