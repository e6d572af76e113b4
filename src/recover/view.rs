//! A journal directory and the rings beside it as one journal, none of them touched.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{Leftovers, Manifest, Owner, RecoverError, Recovered, copy};
use crate::journal::{Journal, JournalError, JournalWriter, Scan};

/// The journal of another process, with what its rings hold beyond it in memory.
pub(crate) struct View {
    pub(crate) journal: Journal,
    pub(crate) leftovers: Leftovers,
    /// What was taken out of the rings.
    pub(crate) recovered: Recovered,
    /// The greatest sequence of each run that the journal has, the rings included, by source and
    /// epoch.
    pub(crate) marks: BTreeMap<(u128, u64), u64>,
    /// The journal's marks and its memory live as long as their writer.
    _writer: JournalWriter,
}

impl View {
    /// Looks at a directory.
    ///
    /// # Errors
    /// [`RecoverError`] when the directory or the rings cannot be read.
    pub(crate) fn of(dir: &Path) -> Result<View, RecoverError> {
        let manifest = Manifest::read(dir)
            .map_err(|source| RecoverError::Io { path: dir.join("manifest"), source })?;
        let (scan, ends) = scan_of(dir, manifest.as_ref()).map_err(RecoverError::Journal)?;
        let ring_end = |ring: u32| ends.get(&ring).copied().unwrap_or(0);
        let leftovers = Leftovers::beside(dir, ring_end)
            .map_err(|source| RecoverError::Io { path: dir.to_owned(), source })?;
        let (journal, mut writer) =
            Journal::over_directory(dir, scan).map_err(RecoverError::Journal)?;
        let recovered = match &leftovers.manifest {
            Some(manifest) if leftovers.owner == Owner::Killed => {
                copy(&mut writer, manifest, ring_end)?
            }
            _ => Recovered::default(),
        };
        let marks = writer.marks().iter();
        let marks = marks.map(|(source, epoch, sequence)| ((source, epoch), sequence)).collect();
        Ok(View { journal, leftovers, recovered, marks, _writer: writer })
    }
}

/// Scans a journal for what is to be known of the run that its manifest names, and of its rings.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub(crate) fn scan_of(
    dir: &Path,
    manifest: Option<&Manifest>,
) -> Result<(Scan, HashMap<u32, u64>), JournalError> {
    let Some(manifest) = manifest else { return Ok((Scan::of_directory(dir)?, HashMap::new())) };
    Scan::of_run(dir, manifest.source, manifest.epoch)
}
