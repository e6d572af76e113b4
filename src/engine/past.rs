//! Reading what an earlier run left: its journal, its rings, its identity.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::InitError;
use super::drops::Dropped;
use super::group::Seat;
use super::home::{self, Home};
use super::outlet::checkpoint;
use super::selflog;
use crate::journal::{
    Journal, JournalOptions, JournalWriter, Position, RingEnds, Scan, segment_paths,
};
use crate::recover::{self, Manifest};
use crate::sys;
use crate::sys::crash::{self, CrashPoint};

/// Where an engine looks.
pub(super) struct Places<'a> {
    /// Its journal, where it has no seat.
    pub(super) journal: &'a JournalOptions,
    pub(super) rings_dir: Option<&'a Path>,
    pub(super) guards_mappings: bool,
    /// The time of its start.
    pub(super) now_ns: i64,
}

/// What an engine finds at its start.
pub(super) struct Past {
    pub(super) home: Home,
    pub(super) writer: JournalWriter,
    pub(super) source: u128,
    pub(super) epoch: u64,
    /// Where an appender begins that has no cursor yet: before the recovered events.
    pub(super) begin: Position,
    pub(super) boot_id: u128,
    /// Where the rings of this user lie.
    pub(super) base: PathBuf,
    /// Whether to look there for rings that nobody has.
    pub(super) sweeps: bool,
    /// What a killed predecessor dropped and could not tell.
    pub(super) dropped_before: Dropped,
}

impl Past {
    /// Reads it, and takes over what a dead predecessor left.
    ///
    /// # Errors
    /// [`InitError`], when the journal cannot be used.
    pub(super) fn open(places: Places<'_>, seat: Option<Seat>) -> Result<Past, InitError> {
        let now_ns = places.now_ns.max(0).unsigned_abs();
        let (options, lock) = match seat {
            Some(seat) => {
                let keep_free_bytes = places.journal.keep_free_bytes;
                (JournalOptions { keep_free_bytes, ..seat.journal }, Some(seat.lock))
            }
            None => (places.journal.clone(), None),
        };
        let Some(dir) = &options.dir else {
            let (journal, writer) =
                Journal::in_memory(options.clone()).map_err(InitError::Journal)?;
            let begin = journal.start_position();
            let (source, epoch) = (random_source(), now_ns);
            let (home, dropped_before) = (Home::on_heap(), Dropped::default());
            return Ok(Past {
                home,
                writer,
                source,
                epoch,
                begin,
                boot_id: 0,
                base: PathBuf::new(),
                sweeps: false,
                dropped_before,
            });
        };

        let unusable = |source| InitError::Directory { path: dir.clone(), source };
        sys::file::create_private_dir(dir).map_err(unusable)?;
        let lock = match lock {
            Some(lock) => Some(lock),
            None => home::lock_journal(dir).map_err(unusable)?,
        };
        let Some(lock) = lock else { return Err(InitError::InUse { path: dir.clone() }) };
        let mut home = Home::new(dir, lock, places.guards_mappings);
        let manifest = Manifest::read(dir).map_err(unusable)?;
        let scan = match &manifest {
            Some(manifest) => Scan::of_run(dir, manifest.source, manifest.epoch),
            None => Scan::of_directory(dir).map(|scan| (scan, RingEnds::default())),
        };
        let (mut scan, ring_ends) = scan.map_err(InitError::Journal)?;
        scan.goes_behind(checkpoint::newest_generation(dir).map_err(unusable)?);
        for damage in &scan.damage {
            selflog::warn(&format!("journal: {damage}"));
        }
        let (journal, mut writer) =
            Journal::in_directory(options.clone(), scan).map_err(InitError::Journal)?;
        let begin = journal.end();
        let boot_id = u128::from_be_bytes(sys::file::boot_id());
        let mut dropped_before = Dropped::default();
        if let Some(manifest) = &manifest {
            let ring_end = |ring| ring_ends.get(&ring).copied().unwrap_or(0);
            match recover::drain(&mut writer, manifest, boot_id, ring_end) {
                Ok(recovered) => {
                    dropped_before = Dropped::unreported(&recovered.drops);
                    for reason in &recovered.unreadable {
                        selflog::warn(&format!("a ring was left behind: {reason}"));
                    }
                }
                Err(
                    error @ (recover::RecoverError::Rebooted { .. }
                    | recover::RecoverError::Gone { .. }),
                ) => selflog::warn(&error.to_string()),
                Err(error) => return Err(InitError::Recover(error)),
            }
            forget_runs(dir, &mut writer, manifest.source).map_err(unusable)?;
        }

        let source = manifest.as_ref().map_or_else(random_source, |manifest| manifest.source);
        let stored_epoch = manifest.as_ref().map_or(0, |manifest| manifest.epoch);
        let epoch = stored_epoch.saturating_add(1).max(now_ns);
        let base = places.rings_dir.map(Path::to_owned).unwrap_or_else(home::default_rings_base);
        // The manifest is read by whoever starts somewhere else.
        let base = std::path::absolute(&base).unwrap_or(base);
        let rings = match home.create_rings_dir(&base, &format!("{source:032x}-{epoch}")) {
            Ok(rings) => Some(rings),
            Err(error) => {
                let base = base.display();
                selflog::warn(&format!(
                    "no rings below {base}: {error}; a killed process loses what is in its rings"
                ));
                None
            }
        };
        // Nothing is removed where this user's rings may not lie.
        let sweeps = rings.is_some();
        Manifest { source, epoch, boot_id, rings }.write(dir).map_err(unusable)?;
        crash::reached(CrashPoint::HomeManifest);
        Ok(Past { home, writer, source, epoch, begin, boot_id, base, sweeps, dropped_before })
    }
}

/// Forgets the marks of own runs whose blocks are all recycled: each start would add one to the head of
/// every segment.
fn forget_runs(dir: &Path, writer: &mut JournalWriter, own: u128) -> io::Result<()> {
    let Some((_, oldest)) = segment_paths(dir)?.into_iter().next() else { return Ok(()) };
    // Epochs never decrease in a journal: the newest before the oldest segment may go on in it.
    let before = Scan::marks_before(&oldest)?;
    let newest = before.filter(|(source, ..)| *source == own).map(|(_, epoch, _)| epoch).max();
    writer
        .forget_marks(|source, epoch| source == own && newest.is_some_and(|newest| epoch < newest));
    Ok(())
}

pub(super) fn random_source() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_le_bytes(bytes),
        // Without a source of randomness the time and the process are as different as can be.
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
            now << 32 | u128::from(std::process::id())
        }
    }
}
