//! A journal written anew from every block of another one that can be read.
//!
//! Blocks keep their bytes, and with them source, epoch, sequence and times: a master that has some
//! of them takes only the others. They are read twice: first to know which there are, so that blocks
//! that lie in the wrong place, or twice, come to stand in the order of their run; then to be written.
//!
//! Nothing smaller than a block is taken out of damage: only the checksum of a block proves what is
//! in it. Call sites and threads never change within a run, so a definition that is damaged in one
//! segment is taken from another. Contexts are taken from the rest of the same segment, and those of
//! recovered events not even from there: a process that was recovered more than once may have given
//! a number twice. A block whose threads or contexts are not defined is left out, because
//! its events would be shown as if they had none.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::{Leftovers, Manifest, Owner, RecoverError, Recovered, copy, scan_of};
use crate::block::EventsBlock;
use crate::block::define::Definitions;
use crate::block::dictionary::{self, CONTEXTS_MAX};
use crate::block::header::{self, BlockHeader, BlockKind, HEADER_BYTES};
use crate::event::{ContextInfo, SourceInfo, ThreadInfo};
use crate::journal::{
    Damage, Finding, Journal, JournalError, JournalOptions, JournalWriter, Reads, Sift,
    segment_paths,
};
use crate::sys::file::create_private_dir;
use crate::sys::lock::FileLock;

/// Threads of one run that are remembered for segments in which their definitions are damaged.
const THREADS_MAX: usize = 65_536;

/// Contexts of one run that are remembered of the rest of a damaged segment.
const CONTEXTS_KEPT: usize = 65_536;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Blocks of events from files.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Blocks that were there more than once.
    pub(crate) repeated: u64,
    /// What came out of the rings of a killed process.
    pub(crate) recovered: Recovered,
}

/// Why there is no copy.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub(crate) enum CopyError {
    /// The directory to write to has something in it, or is in use.
    Occupied { path: PathBuf },
    /// The system refused.
    Io { path: PathBuf, source: io::Error },
    /// The new journal does not take a block.
    Journal(JournalError),
    /// The rings cannot be read.
    Recover(RecoverError),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyError::Occupied { path } => {
                write!(
                    f,
                    "{} has a journal in it; name an empty or a new directory",
                    path.display()
                )
            }
            CopyError::Io { path, .. } => write!(f, "{} cannot be used", path.display()),
            CopyError::Journal(_) => write!(f, "the copy cannot be written"),
            CopyError::Recover(_) => write!(f, "the rings cannot be read"),
        }
    }
}

impl std::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CopyError::Occupied { .. } => None,
            CopyError::Io { source, .. } => Some(source),
            CopyError::Journal(source) => Some(source),
            CopyError::Recover(source) => Some(source),
        }
    }
}

/// Writes what can be read of `files` to a new journal in `to`, and what the rings beside `past`, the
/// directory that they are from, hold beyond it. With `any`, blocks count whatever segment they were
/// written to. The originals stay as they are.
///
/// # Errors
/// [`CopyError`]; then the copy is not complete.
pub(crate) fn copy_journal(
    files: &[PathBuf],
    any: bool,
    past: Option<&Path>,
    to: &Path,
    reads: &mut dyn Reads,
) -> Result<Copied, CopyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| CopyError::Io { path, source }
    };
    create_private_dir(to).map_err(io(to))?;
    let lock = FileLock::try_acquire(&to.join("lock")).map_err(io(to))?;
    let is_empty = segment_paths(to).map_err(io(to))?.is_empty() && !to.join("manifest").exists();
    let Some(_lock) = lock.filter(|_| is_empty) else {
        return Err(CopyError::Occupied { path: to.to_owned() });
    };

    let found = Found::look(files, any, reads)?;
    let manifest = past.map(Manifest::read).transpose().map_err(io(past.unwrap_or(to)))?.flatten();
    let scanned = past.map(|past| scan_of(past, manifest.as_ref())).transpose();
    let (scan, ends) = scanned.map_err(CopyError::Journal)?.unwrap_or_default();
    let ring_end = |ring: u32| ends.get(&ring).copied().unwrap_or(0);

    let options = JournalOptions { max_bytes: u64::MAX, ..JournalOptions::directory(to) };
    let (_journal, writer) =
        Journal::in_directory(options, scan.marks_alone()).map_err(CopyError::Journal)?;
    let mut copy_of = Copy { writer, found: &found, current: HashMap::new() };
    let mut copied = copy_of.blocks(reads)?;
    copied.repeated = found.repeated;
    if let (Some(manifest), Some(past)) = (&manifest, past) {
        let left = Leftovers::beside(past, ring_end).map_err(io(past))?;
        if left.owner == Owner::Killed {
            copied.recovered =
                copy(&mut copy_of.writer, manifest, ring_end).map_err(CopyError::Recover)?;
        }
        Manifest { rings: None, ..manifest.clone() }.write(to).map_err(io(to))?;
    }
    copy_of.writer.journal().sync().map_err(CopyError::Journal)?;
    Ok(copied)
}

/// The blocks that there are, in the order in which they will be written.
struct Found {
    files: Vec<PathBuf>,
    runs: Vec<(u128, u64)>,
    places: Vec<Place>,
    /// The definitions of call sites, by run and id.
    sites: HashMap<u32, BTreeMap<u32, Box<[u8]>>>,
    threads: HashMap<u32, BTreeMap<u32, ThreadInfo>>,
    /// Those that are said behind damage, by run and segment.
    contexts: HashMap<(u32, u64), BTreeMap<u32, ContextInfo>>,
    infos: HashMap<u32, SourceInfo>,
    repeated: u64,
}

/// Where a define or an events block lies.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    /// 0 for a define block.
    sequence: u64,
    file: u32,
    run: u32,
    /// Header and archive.
    bytes: u32,
}

impl Found {
    fn look(files: &[PathBuf], any: bool, reads: &mut dyn Reads) -> Result<Found, CopyError> {
        let mut found = Found {
            files: files.to_vec(),
            runs: Vec::new(),
            places: Vec::new(),
            sites: HashMap::new(),
            threads: HashMap::new(),
            contexts: HashMap::new(),
            infos: HashMap::new(),
            repeated: 0,
        };
        let mut numbers = HashMap::new();
        for (file, path) in files.iter().enumerate() {
            let opened = if any { Sift::everything(path) } else { Sift::segment(path) };
            let mut sift = opened.map_err(|source| CopyError::Io { path: path.clone(), source })?;
            let (mut seen, mut is_damaged) = (0, false);
            while let Some(block) = sift.next() {
                match block {
                    Ok(block) => {
                        let (header, offset) = (block.header, block.offset);
                        if matches!(header.kind, BlockKind::Define | BlockKind::Events) {
                            let run = *numbers.entry((header.source, header.epoch)).or_insert_with(
                                || {
                                    found.runs.push((header.source, header.epoch));
                                    (found.runs.len() - 1) as u32
                                },
                            );
                            let (sequence, bytes) = (header.sequence, header.bytes() as u32);
                            let file = file as u32;
                            found.places.push(Place { offset, sequence, file, run, bytes });
                            if header.kind == BlockKind::Define {
                                found.learn(run, &header, block.bytes, is_damaged);
                            }
                        }
                    }
                    Err(damage) => {
                        is_damaged = true;
                        reads.finding(Finding::Damage(damage));
                    }
                }
                reads.progress(sift.offset().saturating_sub(seen));
                seen = seen.max(sift.offset());
            }
        }
        found.put_in_order();
        found.tell_of_gaps(reads);
        Ok(found)
    }

    /// Takes in what never changes within a run, and within a segment.
    fn learn(&mut self, run: u32, header: &BlockHeader, block: &[u8], behind_damage: bool) {
        let Ok(body) = dictionary::open(block.get(HEADER_BYTES..).unwrap_or(&[])) else { return };
        for source in body.sources.iter() {
            let (source_id, epoch) = (header.source, header.epoch);
            self.infos.insert(
                run,
                SourceInfo {
                    source: source_id,
                    epoch,
                    pid: source.pid.to_native(),
                    service: source.service.as_str().into(),
                    host: source.host.as_str().into(),
                },
            );
        }
        let sites = self.sites.entry(run).or_default();
        for site in body.sites.iter() {
            sites.entry(site.id.to_native()).or_insert_with(|| site.definition.to_vec().into());
        }
        let threads = self.threads.entry(run).or_default();
        for thread in body.threads.iter() {
            if threads.len() < THREADS_MAX {
                threads.entry(thread.id.to_native()).or_insert_with(|| thread.into());
            }
        }
        if behind_damage {
            let contexts = self.contexts.entry((run, header.generation)).or_default();
            for context in body.contexts.iter() {
                let id = context.id.to_native();
                if id <= CONTEXTS_MAX && contexts.len() < CONTEXTS_KEPT {
                    contexts.entry(id).or_insert_with(|| context.into());
                }
            }
        }
    }

    /// Puts the blocks of each run into the order of their numbers, each once, in the places that the
    /// run has.
    fn put_in_order(&mut self) {
        let mut places_of: HashMap<u32, Vec<usize>> = HashMap::new();
        let mut last: HashMap<u32, u64> = HashMap::new();
        let is_events = |place: &Place| place.sequence > 0;
        for place in self.places.iter().filter(|place| is_events(place)) {
            let last = last.entry(place.run).or_default();
            if place.sequence <= *last {
                places_of.insert(place.run, Vec::new());
            }
            *last = place.sequence.max(*last);
        }
        for (at, place) in self.places.iter().enumerate().filter(|(_, place)| is_events(place)) {
            if let Some(places) = places_of.get_mut(&place.run) {
                places.push(at);
            }
        }
        let mut left_over = vec![];
        for places in places_of.values() {
            let mut blocks: Vec<Place> = places.iter().map(|at| self.places[*at]).collect();
            blocks.sort_by_key(|place| place.sequence);
            blocks.dedup_by_key(|place| place.sequence);
            for (at, block) in places.iter().zip(&blocks) {
                self.places[*at] = *block;
            }
            left_over.extend_from_slice(&places[blocks.len()..]);
        }
        self.repeated = left_over.len() as u64;
        left_over.sort_unstable();
        let mut at = 0;
        self.places.retain(|_| {
            at += 1;
            left_over.binary_search(&(at - 1)).is_err()
        });
    }

    fn tell_of_gaps(&self, reads: &mut dyn Reads) {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for place in self.places.iter().filter(|place| place.sequence > 0) {
            let before = last.insert(place.run, place.sequence);
            let missing = before.map_or(0, |before| place.sequence - before - 1);
            if missing > 0 {
                let (source, epoch) = self.runs[place.run as usize];
                let (path, offset) = (self.files[place.file as usize].clone(), place.offset);
                reads.finding(Finding::Gap { path, offset, source, epoch, blocks: missing });
            }
        }
    }
}

/// The second reading.
struct Copy<'a> {
    writer: JournalWriter,
    found: &'a Found,
    /// What the blocks of each run refer to, and in which segment that was said.
    current: HashMap<u32, (u64, Definitions)>,
}

impl Copy<'_> {
    fn blocks(&mut self, reads: &mut dyn Reads) -> Result<Copied, CopyError> {
        let mut copied = Copied::default();
        let mut block = AlignedVec::new();
        let mut open: Option<(u32, File)> = None;
        for place in &self.found.places {
            let path = &self.found.files[place.file as usize];
            if open.as_ref().is_none_or(|(file, _)| *file != place.file) {
                let file = crate::sys::file::open_read(path)
                    .map_err(|source| CopyError::Io { path: path.clone(), source })?;
                open = Some((place.file, file));
            }
            let Some((_, file)) = &open else { continue };
            block.resize(place.bytes as usize, 0);
            file.read_exact_at(&mut block, place.offset)
                .map_err(|source| CopyError::Io { path: path.clone(), source })?;
            reads.progress(u64::from(place.bytes));
            let header = match header::verify(&block) {
                Ok(header) => header,
                Err(error) => {
                    // It was whole a moment ago.
                    let (offset, bytes) = (place.offset, u64::from(place.bytes));
                    let damage = Damage { path: path.clone(), offset, bytes, error };
                    reads.finding(Finding::Damage(damage));
                    continue;
                }
            };
            if header.kind == BlockKind::Define {
                self.define(place.run, &header, &block);
                continue;
            }
            match self.events(place.run, &header, &mut block)? {
                Ok(events) => {
                    copied.blocks += 1;
                    copied.events += events;
                    copied.bytes += block.len() as u64;
                }
                Err((events, what)) => reads.finding(Finding::Events {
                    path: path.clone(),
                    offset: place.offset,
                    bytes: u64::from(place.bytes),
                    events,
                    what,
                }),
            }
        }
        Ok(copied)
    }

    fn define(&mut self, run: u32, header: &BlockHeader, block: &[u8]) {
        let body = block.get(HEADER_BYTES..).unwrap_or(&[]);
        if let Ok(body) = dictionary::open(body) {
            self.definitions(run, header).absorb_in_disorder(body);
        }
    }

    /// Writes an events block. Yields its events, or why they were left out.
    fn events(
        &mut self,
        run: u32,
        header: &BlockHeader,
        block: &mut AlignedVec,
    ) -> Result<Result<u64, (u64, &'static str)>, CopyError> {
        let (events, origins) = match EventsBlock::open(*header, block) {
            Ok(opened) => match opened.check() {
                Ok(events) => (events, opened.origins().collect::<Vec<_>>()),
                Err(damaged) => return Ok(Err((opened.count(), damaged.what))),
            },
            Err(_) => return Ok(Err((0, "its archive does not validate"))),
        };
        let is_elsewhere = self.current.get(&run).is_some_and(|(at, _)| *at != header.generation);
        if is_elsewhere && origins.iter().any(|origin| origin.context > CONTEXTS_MAX) {
            return Ok(Err((events, "it lies in another segment than what its contexts mean")));
        }
        let found = self.found;
        let definitions = self.definitions(run, header);
        let threads = found.threads.get(&run);
        let contexts = found.contexts.get(&(run, header.generation));
        // What damage has cost may be said elsewhere.
        for origin in &origins {
            if let Some(thread) = threads.and_then(|threads| threads.get(&origin.thread)) {
                definitions.hear_thread(origin.thread, thread.clone());
            }
            if let Some(context) = contexts.and_then(|contexts| contexts.get(&origin.context)) {
                definitions.hear_context(origin.context, context.clone());
            }
        }
        definitions.ask(&origins);
        let Some((_, definitions)) = self.current.get(&run) else { return Ok(Ok(0)) };
        if !definitions.knows(&origins) {
            return Ok(Err((events, "a thread or a context of theirs is not defined")));
        }
        self.writer.append_events(block, definitions).map_err(CopyError::Journal)?;
        Ok(Ok(events))
    }

    /// The definitions of a run, begun anew with each segment.
    fn definitions(&mut self, run: u32, header: &BlockHeader) -> &mut Definitions {
        let is_new = self.current.get(&run).is_none_or(|(at, _)| *at != header.generation);
        if is_new {
            let (source, epoch) = (header.source, header.epoch);
            self.writer.forget_definitions(source, epoch);
            let info = SourceInfo { source, epoch, ..SourceInfo::default() };
            let info = self.found.infos.get(&run).cloned().unwrap_or(info);
            let mut definitions = Definitions::new(info);
            for (id, definition) in self.found.sites.get(&run).into_iter().flatten() {
                definitions.set_site(*id, definition);
            }
            self.current.insert(run, (header.generation, definitions));
        }
        &mut self.current.entry(run).or_default().1
    }
}
