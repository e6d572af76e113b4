//! Draining the rings of a dead process.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::{Manifest, ProcessFile};
use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::define::Definitions;
use crate::clock::Timeline;
use crate::event::{SourceInfo, ThreadInfo};
use crate::journal::{JournalError, JournalWriter};
use crate::record;
use crate::ring::{self, DeadRing};
use crate::site::FIRST_SITE_ID;
use crate::sys::lock::FileLock;
use crate::sys::{table, words};

/// Bytes of records in one recovered block.
const BLOCK_BYTES: usize = 2 << 20;

/// What was drained.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of records that were appended to the journal.
    pub record_bytes: u64,
    /// Rings that could not be read, and why. They are left where they are.
    pub unreadable: Vec<String>,
    /// The dead process's counters of dropped events.
    pub drops: Vec<u64>,
}

/// Why nothing was drained.
#[derive(Debug)]
#[allow(missing_docs, reason = "field names say it")]
pub enum RecoverError {
    /// The process still lives: its lock is held.
    Alive { rings: PathBuf },
    /// The rings were made by another boot of the machine, and are lost.
    Rebooted { rings: PathBuf },
    /// The rings' directory cannot be read.
    Io { path: PathBuf, source: io::Error },
    /// The journal does not take the blocks. Nothing was lost; the next start tries again.
    Journal(JournalError),
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoverError::Alive { rings } => {
                write!(f, "the process with the rings {} still runs", rings.display())
            }
            RecoverError::Rebooted { rings } => write!(
                f,
                "the machine was restarted: what was still in the rings {} is lost",
                rings.display()
            ),
            RecoverError::Io { path, .. } => write!(f, "cannot read {}", path.display()),
            RecoverError::Journal(_) => write!(f, "cannot append recovered events to the journal"),
        }
    }
}

impl std::error::Error for RecoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecoverError::Io { source, .. } => Some(source),
            RecoverError::Journal(source) => Some(source),
            _ => None,
        }
    }
}

/// Appends what the rings of a dead process hold beyond the journal, and removes the rings.
///
/// The caller holds the lock of the journal directory that `manifest` is from. `ring_end` says up
/// to which position the journal has a ring of that run.
///
/// # Errors
/// [`RecoverError`]; then it can be tried again, and nothing is lost or doubled by it.
pub fn drain(
    writer: &mut JournalWriter,
    manifest: &Manifest,
    boot_id: u128,
    ring_end: impl Fn(u32) -> u64,
) -> Result<Recovered, RecoverError> {
    let Some(rings_dir) = &manifest.rings else { return Ok(Recovered::default()) };
    if manifest.boot_id != boot_id {
        return Err(RecoverError::Rebooted { rings: rings_dir.clone() });
    }
    if !rings_dir.exists() {
        return Ok(Recovered::default());
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RecoverError::Io { path, source }
    };
    let lock = FileLock::try_acquire(&rings_dir.join("lock")).map_err(io(rings_dir))?;
    let Some(_lock) = lock else {
        return Err(RecoverError::Alive { rings: rings_dir.clone() });
    };

    let mut recovered = Recovered::default();
    let rings = read_rings(rings_dir, &mut recovered.unreadable).map_err(io(rings_dir))?;
    recovered.drops = words::read_dead(&rings_dir.join("drops")).unwrap_or_default();
    let has_records = |ring: &&DeadRing| ring_end(ring.id) < ring.tail;
    if rings.values().any(|ring| has_records(&ring)) {
        let facts = ProcessFile::read_dead(rings_dir).map_err(io(rings_dir))?;
        let mut definitions = Definitions::new(SourceInfo {
            source: manifest.source,
            epoch: manifest.epoch,
            pid: facts.pid,
            service: facts.service.into(),
            host: facts.host.into(),
        });
        for (slot, definition) in
            table::read_dead(&rings_dir.join("sites")).map_err(io(rings_dir))?
        {
            definitions.set_site(slot + FIRST_SITE_ID, &definition);
        }
        let timeline = Timeline {
            before: facts.anchor,
            after: facts.anchor,
            nanos_per_tick: facts.nanos_per_tick,
        };
        let mut sequence = writer.marks().get(manifest.source, manifest.epoch);
        let mut buffer = AlignedVec::new();
        for ring in rings.values().filter(has_records) {
            // The thread numbers of the dead process are not known here; a ring has one thread.
            let thread = u32::MAX - ring.id;
            let (os_id, name) = (u64::from(ring.os_thread_id), ring.thread_name.as_str().into());
            definitions.set_thread(thread, ThreadInfo { os_id, name });
            let mut from = ring_end(ring.id).max(ring.head);
            let mut bytes = ring::bytes_from(ring, from);
            while !bytes.is_empty() {
                let len = record::border(bytes, BLOCK_BYTES);
                let (run, rest) = bytes.split_at(len);
                sequence += 1;
                let (source, epoch) = (manifest.source, manifest.epoch);
                let head = EventsHead { source, epoch, sequence, timeline };
                let to = from + len as u64;
                let runs = [run, &[]];
                let chunk = ChunkSource { ring: ring.id, thread, context: 0, from, to, runs };
                build::events(&mut buffer, &head, &[chunk]);
                writer.append_events(&mut buffer, &definitions).map_err(RecoverError::Journal)?;
                recovered.record_bytes += len as u64;
                (from, bytes) = (to, rest);
            }
        }
    }
    if recovered.unreadable.is_empty() {
        remove_rings(rings_dir).map_err(io(rings_dir))?;
    }
    Ok(recovered)
}

/// The rings in a directory by their ids.
fn read_rings(dir: &Path, unreadable: &mut Vec<String>) -> io::Result<BTreeMap<u32, DeadRing>> {
    let mut rings = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("ring-") {
            continue;
        }
        match ring::read_dead(&path) {
            Ok(ring) => {
                rings.insert(ring.id, ring);
            }
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    Ok(rings)
}

/// Removes a directory of rings, the rings first.
pub(crate) fn remove_rings(dir: &Path) -> io::Result<()> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ring-")) {
            std::fs::remove_file(path)?;
        } else {
            others.push(path);
        }
    }
    others.iter().try_for_each(std::fs::remove_file)?;
    std::fs::remove_dir(dir)
}

/// Removes what earlier runs of `source` left below `base` beside `kept`: directories that were
/// drained, or whose process died before its manifest named them. Best effort.
pub fn sweep(base: &Path, source: u128, kept: Option<&Path>) {
    let prefix = format!("{source:032x}-");
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(&prefix);
        if ours
            && Some(&*path) != kept
            && let Ok(Some(_lock)) = FileLock::try_acquire(&path.join("lock"))
        {
            let _ = remove_rings(&path);
        }
    }
}
