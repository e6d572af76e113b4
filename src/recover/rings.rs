//! Draining the rings of a dead process.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::contexts::context_at;
use super::manifest::is_other_boot;
use super::{Manifest, ProcessFile};
use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::define::Definitions;
use crate::block::dictionary::CONTEXTS_MAX;
use crate::clock::Timeline;
use crate::context;
use crate::event::{ContextInfo, SourceInfo, ThreadInfo};
use crate::journal::{JournalError, JournalWriter};
use crate::record::{self, Damaged, Records};
use crate::ring::{self, DeadRing};
use crate::site::FIRST_SITE_ID;
use crate::sys::crash::{self, CrashPoint, is_swapped};
use crate::sys::dead::DeadFile;
use crate::sys::lock::FileLock;
use crate::sys::{table, words};

/// Bytes of records in one recovered block.
const BLOCK_BYTES: usize = 2 << 20;
/// Numbers of recovered contexts begin behind those that a process gives in its life.
pub(super) const FIRST_CONTEXT: u32 = CONTEXTS_MAX + 1;

/// The files beside the rings and their contexts, but for the lock.
const BESIDE: [&str; 3] = ["sites", "drops", "process"];

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
    /// The rings' directory is not there any more, though nobody drained it.
    Gone { rings: PathBuf },
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
            RecoverError::Gone { rings } => {
                write!(f, "the rings {} are gone: what was still in them is lost", rings.display())
            }
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
    if is_other_boot(manifest.boot_id, boot_id) {
        return Err(RecoverError::Rebooted { rings: rings_dir.clone() });
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RecoverError::Io { path, source }
    };
    if !rings_dir.try_exists().map_err(io(rings_dir))? {
        return Err(RecoverError::Gone { rings: rings_dir.clone() });
    }
    let lock = FileLock::try_acquire(&rings_dir.join("lock")).map_err(io(rings_dir))?;
    let Some(_lock) = lock else {
        return Err(RecoverError::Alive { rings: rings_dir.clone() });
    };

    drain_locked(writer, manifest, rings_dir, ring_end)
}

/// The same for whoever holds the lock of the rings, too.
pub(super) fn drain_locked(
    writer: &mut JournalWriter,
    manifest: &Manifest,
    rings_dir: &Path,
    ring_end: impl Fn(u32) -> u64,
) -> Result<Recovered, RecoverError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RecoverError::Io { path, source }
    };
    let recovered = append_rings(writer, manifest, rings_dir, ring_end, Heads::Move)?;
    if recovered.unreadable.is_empty() {
        crash::reached(CrashPoint::RecoverDone);
        if let Some(dir) = writer.journal().dir() {
            Manifest { rings: None, ..manifest.clone() }.write(dir).map_err(io(dir))?;
        }
        crash::reached(CrashPoint::RecoverManifest);
        remove_rings(rings_dir).map_err(io(rings_dir))?;
    }
    Ok(recovered)
}

/// The same, but the rings' directory stays, with nothing in the rings that the journal lacks: what
/// lies beside them is for the process's next start to tell and to remove.
///
/// # Errors
/// [`RecoverError`].
#[cfg(feature = "cli")]
pub(super) fn drain_and_keep(
    writer: &mut JournalWriter,
    manifest: &Manifest,
    rings_dir: &Path,
    ring_end: impl Fn(u32) -> u64,
) -> Result<Recovered, RecoverError> {
    let lock = FileLock::try_acquire(&rings_dir.join("lock"))
        .map_err(|source| RecoverError::Io { path: rings_dir.to_owned(), source })?;
    let Some(_lock) = lock else {
        return Err(RecoverError::Alive { rings: rings_dir.to_owned() });
    };
    append_rings(writer, manifest, rings_dir, ring_end, Heads::Move)
}

/// The same blocks for a journal that is not the process's own; its rings stay as they are. A drain
/// at the next start makes the same blocks once more, with the same numbers.
///
/// The caller knows that the process is dead, of this boot, and that its rings are there.
///
/// # Errors
/// [`RecoverError`].
#[cfg(feature = "cli")]
pub(crate) fn copy(
    writer: &mut JournalWriter,
    manifest: &Manifest,
    ring_end: impl Fn(u32) -> u64,
) -> Result<Recovered, RecoverError> {
    let Some(rings_dir) = &manifest.rings else { return Ok(Recovered::default()) };
    append_rings(writer, manifest, rings_dir, ring_end, Heads::Stay)
}

/// What becomes of a ring's head when the journal has what lies before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heads {
    Move,
    #[cfg(feature = "cli")]
    Stay,
}

fn append_rings(
    writer: &mut JournalWriter,
    manifest: &Manifest,
    rings_dir: &Path,
    ring_end: impl Fn(u32) -> u64,
    heads: Heads,
) -> Result<Recovered, RecoverError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RecoverError::Io { path, source }
    };
    let mut recovered = Recovered::default();
    let rings = read_rings(rings_dir, &mut recovered.unreadable).map_err(io(rings_dir))?;
    recovered.drops = words::read_dead(&rings_dir.join("drops")).unwrap_or_default();
    // What the journal had before its owner died is behind no head yet. That comes first: a block
    // below may begin a newer segment, and from then on only the heads say what was drained.
    for ring in rings.values().filter(|_| heads == Heads::Move) {
        let end = ring_end(ring.id).min(ring.tail);
        if end > ring.head {
            let path = rings_dir.join(format!("ring-{}", ring.id));
            ring::move_head(&path, end).map_err(io(&path))?;
            crash::reached(CrashPoint::RecoverKnown);
        }
    }
    let has_records = |ring: &&DeadRing| ring_end(ring.id).max(ring.head) < ring.tail;
    let unread: Vec<_> = rings.values().filter(has_records).collect();
    if !unread.is_empty() {
        match Blocks::begin(writer, manifest, rings_dir, heads) {
            Ok(mut blocks) => {
                recovered.record_bytes =
                    blocks.append(&unread, &ring_end, &mut recovered.unreadable)?;
            }
            // Without names and times the records mean nothing; they stay for whoever can mend it.
            Err(error) => recovered.unreadable.push(error.to_string()),
        }
    }
    Ok(recovered)
}

/// The blocks that recovered records become.
struct Blocks<'a> {
    rings_dir: &'a Path,
    /// That of the last block.
    head: EventsHead,
    definitions: Definitions,
    writer: &'a mut JournalWriter,
    buffer: AlignedVec,
    contexts: u32,
    heads: Heads,
}

impl<'a> Blocks<'a> {
    /// Reads what lies beside the rings: who logged, when, and from where.
    fn begin(
        writer: &'a mut JournalWriter,
        manifest: &Manifest,
        rings_dir: &'a Path,
        heads: Heads,
    ) -> io::Result<Blocks<'a>> {
        let (source, epoch) = (manifest.source, manifest.epoch);
        let facts = ProcessFile::read_dead(rings_dir)?;
        let (service, host) = (facts.service.into(), facts.host.into());
        let info = SourceInfo { source, epoch, pid: facts.pid, service, host };
        let mut definitions = Definitions::new(info);
        for (slot, definition) in table::read_dead(&rings_dir.join("sites"))? {
            definitions.set_site(slot + FIRST_SITE_ID, &definition);
        }
        // The blocks of a copy came with others of the same run.
        writer.forget_definitions(source, epoch);
        let (before, after) = (facts.anchor, facts.anchor);
        let timeline = Timeline { before, after, nanos_per_tick: facts.nanos_per_tick };
        let head =
            EventsHead { source, epoch, sequence: writer.marks().get(source, epoch), timeline };
        let (buffer, contexts) = (AlignedVec::new(), FIRST_CONTEXT);
        Ok(Blocks { rings_dir, head, definitions, writer, buffer, contexts, heads })
    }

    /// Appends what the rings hold beyond the journal, as few blocks as may be, so that readers
    /// merge the rings by time. What is damaged stays in its ring, and is told.
    fn append(
        &mut self,
        rings: &[&DeadRing],
        ring_end: impl Fn(u32) -> u64,
        unreadable: &mut Vec<String>,
    ) -> Result<u64, RecoverError> {
        let (mut chunks, mut chunk_bytes, mut record_bytes) = (Vec::new(), 0, 0);
        for ring in rings {
            // The thread numbers of the dead process are not known here; a ring has one thread.
            let thread = u32::MAX - ring.id;
            let (os_id, name) = (u64::from(ring.os_thread_id), ring.thread_name.as_str().into());
            self.definitions.set_thread(thread, ThreadInfo { os_id, name });
            let mut from = ring_end(ring.id).max(ring.head);
            let mut context = self.context(context_at(self.rings_dir, ring.id, from));
            let (whole, damage) = undamaged(ring::bytes_from(ring, from));
            unreadable.extend(damage.map(|damage| format!("ring {}: {damage}", ring.id)));
            for stretch in context::stretches(whole) {
                if let Some(info) = stretch.context {
                    context = self.context(info);
                }
                let mut bytes = stretch.bytes;
                while !bytes.is_empty() {
                    let (run, rest) = bytes.split_at(record::border(bytes, BLOCK_BYTES));
                    if chunk_bytes + run.len() > BLOCK_BYTES {
                        self.close(&mut chunks)?;
                        chunk_bytes = 0;
                    }
                    let (to, runs) = (from + run.len() as u64, [run, &[]]);
                    chunks.push(ChunkSource { ring: ring.id, thread, context, from, to, runs });
                    (chunk_bytes, from, bytes) = (chunk_bytes + run.len(), to, rest);
                    record_bytes += run.len() as u64;
                }
            }
        }
        self.close(&mut chunks)?;
        Ok(record_bytes)
    }

    /// The number of a context; that of the empty one is 0.
    fn context(&mut self, info: ContextInfo) -> u32 {
        if info.pairs.is_empty() {
            return 0;
        }
        self.contexts += 1;
        self.definitions.set_context(self.contexts, info);
        self.contexts
    }

    fn close(&mut self, chunks: &mut Vec<ChunkSource<'_>>) -> Result<(), RecoverError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.head.sequence += 1;
        build::events(&mut self.buffer, &self.head, chunks);
        let ends: Vec<_> = chunks.drain(..).map(|chunk| (chunk.ring, chunk.to)).collect();
        // As a living writer does: whoever recovers after a crash in here finds the heads behind
        // all blocks but the last one, which is in the newest segment that has blocks.
        if is_swapped(CrashPoint::RecoverAppend) {
            self.move_heads(&ends)?;
            crash::reached(CrashPoint::RecoverAppend);
            self.commit()?;
        } else {
            self.commit()?;
            crash::reached(CrashPoint::RecoverAppend);
            self.move_heads(&ends)?;
        }
        crash::reached(CrashPoint::RecoverHead);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RecoverError> {
        let appended = self.writer.append_events(&mut self.buffer, &self.definitions);
        appended.map(drop).map_err(RecoverError::Journal)
    }

    fn move_heads(&self, ends: &[(u32, u64)]) -> Result<(), RecoverError> {
        if self.heads != Heads::Move {
            return Ok(());
        }
        ends.iter().try_for_each(|(ring, to)| {
            let path = self.rings_dir.join(format!("ring-{ring}"));
            ring::move_head(&path, *to).map_err(|source| RecoverError::Io { path, source })
        })
    }
}

/// The records before the first damaged one, and what is wrong with that.
fn undamaged(bytes: &[u8]) -> (&[u8], Option<Damaged>) {
    match Records::new(bytes).find_map(Result::err) {
        Some(damage) => (&bytes[..damage.offset], Some(damage)),
        None => (bytes, None),
    }
}

/// Events that a dead process dropped or cut, and did not tell.
pub(super) fn untold_drops(rings_dir: &Path) -> u64 {
    let words = words::read_dead(&rings_dir.join("drops")).unwrap_or_default();
    // A counter for each reason, and then how much of it was told.
    let (counts, told) = words.split_at(words.len() / 2);
    let untold = counts.iter().zip(told).map(|(count, told)| count.saturating_sub(*told));
    untold.fold(0, u64::saturating_add)
}

/// The rings in a directory by their ids.
pub(super) fn read_rings(
    dir: &Path,
    unreadable: &mut Vec<String>,
) -> io::Result<BTreeMap<u32, DeadRing>> {
    let mut rings = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("ring-") {
            continue;
        }
        match ring::read_dead(&path) {
            // Whoever moves its head finds it by this name.
            Ok(ring) if name == format!("ring-{}", ring.id) => {
                rings.insert(ring.id, ring);
            }
            Ok(ring) => unreadable.push(format!("{}: it is ring {}", path.display(), ring.id)),
            Err(_) if is_unfinished(&path) => {}
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    Ok(rings)
}

/// Whether the process died while it made this ring: no thread has had it. Its header, with the
/// magic number in front, is written once all its memory is there.
fn is_unfinished(path: &Path) -> bool {
    let magic = DeadFile::open(path).and_then(|mut file| file.read(0, file.len().min(8) as usize));
    magic.is_ok_and(|magic| magic.iter().all(|byte| *byte == 0))
}

/// Removes a directory of rings, the rings first and the lock last; what rollway did not make there
/// stays, and the directory with it. What somebody else removes at the same time is no error.
pub(crate) fn remove_rings(dir: &Path) -> io::Result<()> {
    let remove = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let mut others = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("ring-") {
            remove(&path)?;
            crash::reached(CrashPoint::RecoverFile);
        } else if name.starts_with("context-") || BESIDE.contains(&&*name) {
            others.push(path);
        }
    }
    others.iter().try_for_each(|path| remove(path))?;
    crash::reached(CrashPoint::RecoverEmpty);
    remove(&dir.join("lock"))?;
    match std::fs::remove_dir(dir) {
        // Something foreign lies there; or another sweep has found it, and does the rest.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
