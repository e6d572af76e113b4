//! The journal: the only queue in the system.
//!
//! The writer thread appends blocks, appenders read them through a [`Reader`] each, at their own
//! pace. A journal lives in memory (bounded, its segments recycled) or in a directory, where it
//! outlives the process; see `docs/format.md`.
//!
//! Invariants:
//! 1. One [`JournalWriter`] appends; what lies before [`Journal::end`] never changes.
//! 2. A block exists once its header is written: the archive goes first, header and commit word
//!    after it, then `end` moves.
//! 3. Each segment is self-contained: it begins with a snapshot of the marks, and define blocks
//!    precede the first use of what they define.
//! 4. A segment goes only when every mandatory cursor is past it, and only when the room is needed.
//!    Until [`Journal::keep_to_bound`] says that all cursors are registered, none goes.
//! 5. A block is called synced only after a successful sync of its segment, and of the directory
//!    since the segment got its name. A sync that failed is never made good by a later one.
//! 6. All segments but the newest are closed: cut to their end. A start closes the newest one of a
//!    dead owner before it begins its own.

mod cursor;
mod follow;
mod gaps;
mod holes;
mod reader;
mod room;
mod scan;
mod seen;
mod segment;
mod sift;
mod survey;
mod syncs;
mod tail;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use cursor::{CursorFile, CursorSlot, StoredCursor, TextFileMark, stored_cursors};
pub(crate) use cursor::{cursor_path, file_name};
pub(crate) use follow::{Follower, Found};
#[cfg(feature = "cli")]
pub(crate) use gaps::{GAPS_MAX, Gaps};
pub use reader::{Block, RawBlock, ReadError, Reader};
#[cfg(feature = "cli")]
pub(crate) use scan::generation_of;
pub use scan::{Damage, RingEnds, Scan, ScannedBlock, ScannedBlocks, segment_paths};
#[cfg(feature = "cli")]
pub(crate) use seen::Seen;
pub use sift::{Sift, SiftedBlock};
#[cfg(feature = "cli")]
pub(crate) use survey::whole;
pub use survey::{Finding, Reads, SegmentSummary, Survey, SurveyedBlock};
pub use tail::{JournalTail, Tailed};
pub use writer::{JournalWriter, Marks};

use segment::Segment;
pub(crate) use syncs::SyncWait;
use syncs::Syncs;
use writer::segment_name;

use crate::sys;
use crate::sys::crash::{self, CrashPoint};

/// A place in a journal. Positions order as their events do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Position {
    /// The segment.
    pub generation: u64,
    /// Where the block begins, in bytes from the start of the segment.
    pub offset: u64,
    /// The event within the block, in the order of [`crate::block::Events`].
    pub index: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.generation, self.offset, self.index)
    }
}

/// Where a journal lives and how large it may grow.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The directory; `None` keeps the journal in memory.
    pub dir: Option<PathBuf>,
    /// Bytes of all segments. The oldest make room when more is needed.
    pub max_bytes: u64,
    /// Bytes of one segment. Smaller ones are begun, of 5 MiB at least, while the disk is short.
    pub segment_bytes: u64,
    /// Bytes of the file system that stay free for others; `None` for a twentieth of it, 1 GiB at
    /// the most. Looked at when a segment is begun.
    pub keep_free_bytes: Option<u64>,
}

impl JournalOptions {
    /// Room for one block of the greatest size beside the head of the segment and its definitions.
    pub const MIN_SEGMENT_BYTES: u64 = 8 << 20;

    /// In memory: 64 MiB in segments of 8 MiB.
    pub fn memory() -> JournalOptions {
        let (max_bytes, segment_bytes) = (64 << 20, 8 << 20);
        JournalOptions { dir: None, max_bytes, segment_bytes, keep_free_bytes: None }
    }

    /// In `dir`: 1 GiB in segments of 64 MiB.
    pub fn directory(dir: impl Into<PathBuf>) -> JournalOptions {
        let (max_bytes, segment_bytes) = (1 << 30, 64 << 20);
        JournalOptions { dir: Some(dir.into()), max_bytes, segment_bytes, keep_free_bytes: None }
    }

    /// The same, which leaves this much of its file system to others.
    #[must_use]
    pub fn keep_free_bytes(self, bytes: u64) -> JournalOptions {
        JournalOptions { keep_free_bytes: Some(bytes), ..self }
    }

    /// The same with another bound. Segments shrink with it, so that at least four fit.
    #[must_use]
    pub fn max_bytes(self, max_bytes: u64) -> JournalOptions {
        let quarter = (max_bytes / 4).next_multiple_of(1 << 20);
        let segment_bytes = self.segment_bytes.min(quarter.max(Self::MIN_SEGMENT_BYTES));
        JournalOptions { max_bytes: max_bytes.max(2 * segment_bytes), segment_bytes, ..self }
    }
}

/// Why a block was not appended. Variants differ where the writer's reaction differs.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names carry their units")]
pub enum JournalError {
    /// The journal is at its bound and a mandatory cursor holds its oldest segment.
    Full { max_bytes: u64, held_by: String },
    /// The file system has not the room for another segment, and nothing of the journal may go.
    NoSpace { dir: PathBuf, segment_bytes: u64, keep_free_bytes: u64, held_by: Option<String> },
    /// The operating system refused. Nothing was appended; the same block can be tried again.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The block can never fit.
    TooLarge { block_bytes: usize, limit_bytes: usize },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Full { max_bytes, held_by } => {
                write!(f, "the journal is full: {max_bytes} bytes, held by `{held_by}`")
            }
            JournalError::NoSpace { dir, segment_bytes, keep_free_bytes, held_by } => {
                let dir = dir.display();
                write!(
                    f,
                    "No space left on the disk of {dir}: a segment needs {segment_bytes} bytes"
                )?;
                write!(f, " beside {keep_free_bytes} that stay free (journal_keep_free)")?;
                match held_by {
                    Some(name) => write!(f, "; `{name}` holds the journal: make room on the disk"),
                    None => write!(f, "; make room on the disk"),
                }
            }
            JournalError::Io { doing, path, .. } => {
                write!(f, "cannot {doing} {}", path.display())
            }
            JournalError::TooLarge { block_bytes, limit_bytes } => {
                write!(f, "a block of {block_bytes} bytes exceeds the limit of {limit_bytes}")
            }
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A handle to a journal, to read it, to wait for it, and to hold its segments back.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    /// Where this handle has it end, if it ends earlier for whoever reads by it.
    limit: Option<Arc<Limit>>,
    /// For whoever reads by this handle it ends where no sync is to come any more.
    ends_synced: bool,
}

/// Where a journal ends for those who read it by one handle: see [`Journal::limited`].
#[derive(Debug, Default)]
pub(crate) struct Limit(Mutex<Option<Position>>);

impl Limit {
    /// Has the journal end at `position`.
    pub(crate) fn set(&self, position: Position) {
        *lock(&self.0) = Some(position);
    }

    /// Lets them read on. To be followed by [`Journal::wake`].
    pub(crate) fn lift(&self) {
        *lock(&self.0) = None;
    }

    fn of(&self, end: Position) -> Position {
        lock(&self.0).map_or(end, |limit| limit.min(end))
    }
}

struct Shared {
    options: JournalOptions,
    /// Where the segments are that were there before a journal in memory.
    shown: Option<PathBuf>,
    state: Mutex<State>,
    changed: Condvar,
    /// Something is to be synced, or was.
    sync_changed: Condvar,
    /// Held during a sync: there is one at a time.
    syncing: Mutex<()>,
    /// Nothing more is appended to this segment and those before it.
    given_up: AtomicU64,
}

#[derive(Default)]
struct State {
    segments: VecDeque<Entry>,
    /// The place behind the last block.
    end: Position,
    cursors: Vec<Arc<CursorState>>,
    /// No block will come any more.
    closed: bool,
    /// The oldest segments make room: whoever holds some is registered.
    is_bounded: bool,
    syncs: Syncs,
    losses: Losses,
}

/// What others took from the journal while it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Losses {
    /// Segments that were cut or removed under the writer, who went on in others.
    pub segments: u64,
    /// Blocks of events that went with them, delivered before or not.
    pub blocks: u64,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "somebody cut or removed the segment that was written: {} blocks are lost, and another \
             segment was begun",
            self.blocks
        )
    }
}

/// A segment that there is. Its file is opened when somebody reads it.
struct Entry {
    generation: u64,
    /// The bytes that it takes; `None` until somebody asks.
    bytes: Option<u64>,
    /// This process closed it: it ends where its bytes do.
    is_closed: bool,
    /// Memory, and a file that is written or cannot be opened again.
    held: Option<Arc<Segment>>,
    /// A file that readers have open.
    lent: Weak<Segment>,
}

impl Entry {
    fn written(segment: &Arc<Segment>, bytes: u64) -> Entry {
        let (generation, bytes) = (segment.generation(), Some(bytes));
        let held = Some(Arc::clone(segment));
        Entry { generation, bytes, is_closed: false, held, lent: Weak::new() }
    }

    fn found(generation: u64) -> Entry {
        Entry { generation, bytes: None, is_closed: false, held: None, lent: Weak::new() }
    }
}

/// How far one appender is, as the journal sees it.
#[derive(Debug)]
struct CursorState {
    name: String,
    mandatory: bool,
    settled: Mutex<Position>,
}

/// Holds back the segments that an appender has not settled. Dropping it lets them go.
#[derive(Debug)]
pub struct Cursor {
    state: Arc<CursorState>,
}

impl Cursor {
    /// Everything before `position` has reached its destination.
    pub fn settle(&self, position: Position) {
        *lock(&self.state.settled) = position;
    }

    /// The position last settled.
    pub fn settled(&self) -> Position {
        *lock(&self.state.settled)
    }
}

impl Journal {
    /// Makes an empty journal in memory.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the first segment cannot be mapped.
    pub fn in_memory(options: JournalOptions) -> Result<(Journal, JournalWriter), JournalError> {
        let started = Self::start(JournalOptions { dir: None, ..options }, Scan::default())?;
        // Without a past there is nothing that somebody could hold before registering.
        started.0.keep_to_bound();
        Ok(started)
    }

    /// Continues the journal in a directory that was scanned before. A new segment is begun: what a
    /// dead owner left half written stays behind it. The journal may exceed its bound until
    /// [`Journal::keep_to_bound`] is called.
    ///
    /// The caller holds the directory's lock.
    ///
    /// # Errors
    /// [`JournalError::Io`] when a segment cannot be created, for instance on a full disk.
    pub fn in_directory(
        options: JournalOptions,
        scan: Scan,
    ) -> Result<(Journal, JournalWriter), JournalError> {
        Self::start(options, scan)
    }

    /// Shows a directory that was scanned before, and leaves it as it is: what is appended goes behind
    /// its segments, to memory. For whoever reads the journal of another process.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the first segment in memory cannot be mapped.
    #[cfg(feature = "cli")]
    pub(crate) fn over_directory(
        dir: &Path,
        scan: Scan,
    ) -> Result<(Journal, JournalWriter), JournalError> {
        Self::start_over(JournalOptions::memory(), Some(dir.to_owned()), scan)
    }

    fn start(
        options: JournalOptions,
        scan: Scan,
    ) -> Result<(Journal, JournalWriter), JournalError> {
        Self::start_over(options, None, scan)
    }

    fn start_over(
        options: JournalOptions,
        shown: Option<PathBuf>,
        scan: Scan,
    ) -> Result<(Journal, JournalWriter), JournalError> {
        let newest = scan.newest();
        let state = State {
            segments: scan.generations.iter().copied().map(Entry::found).collect(),
            end: Position { generation: newest, ..Position::default() },
            ..State::default()
        };
        let shared = Shared {
            options,
            shown,
            state: Mutex::new(state),
            changed: Condvar::new(),
            sync_changed: Condvar::new(),
            syncing: Mutex::new(()),
            given_up: AtomicU64::new(0),
        };
        let journal = Journal { shared: Arc::new(shared), limit: None, ends_synced: false };
        journal.take_over(&scan.generations, &scan.ends)?;
        let mut writer = JournalWriter::new(journal.clone(), Marks::from(scan.marks), scan.holes);
        writer.begin_segment()?;
        Ok((journal, writer))
    }

    /// Closes the segments that a dead owner may not have closed, given by generation and end, and
    /// remembers of as many of the newest as one leaves unsynced that nobody knows whether they are.
    fn take_over(&self, generations: &[u64], ends: &[(u64, u64)]) -> Result<(), JournalError> {
        if self.shared.shown.is_some() {
            // It is another process's.
            return Ok(());
        }
        let newest = generations.len().saturating_sub(syncs::UNSYNCED_SEGMENTS_MAX);
        for generation in &generations[newest..] {
            let Some(path) = self.path(*generation) else { continue };
            if let Some((_, end)) = ends.iter().find(|(read, _)| read == generation) {
                // What stays reserved takes room, nothing else; the next start tries again.
                let _ = sys::file::give_back_behind(&path, *end);
                crash::reached(CrashPoint::SegmentShrunk);
            }
            let segment = Segment::open(&path, *generation, None);
            let segment = segment.map_err(|source| JournalError::Io {
                doing: "open the segment",
                path,
                source,
            })?;
            self.state().syncs.written(Arc::new(segment));
        }
        Ok(())
    }

    /// A handle by which the journal ends where the limit says; without one it is a handle as any
    /// other.
    pub(crate) fn limited(&self) -> (Journal, Arc<Limit>) {
        let limit = Arc::<Limit>::default();
        (Journal { limit: Some(Arc::clone(&limit)), ..self.clone() }, limit)
    }

    /// A handle by which the journal ends where the last sync came: whoever reads by it is never ahead
    /// of what a power failure leaves. What a sync failed to cover is read all the same: no later one
    /// would make it certain.
    #[cfg(feature = "master")]
    pub(crate) fn synced_only(&self) -> Journal {
        Journal { ends_synced: true, ..self.clone() }
    }

    /// Has the journal end here, where it ends now, for all whose limits these are. No block comes in
    /// between, so that nobody has read beyond it.
    pub(crate) fn hold<'a>(&self, limits: impl Iterator<Item = &'a Limit>) -> Position {
        let state = self.state();
        let end = self.end_in(&state);
        limits.for_each(|limit| limit.set(end));
        end
    }

    /// The position behind the last block.
    pub fn end(&self) -> Position {
        self.end_in(&self.state())
    }

    /// The end as this handle has it.
    fn end_in(&self, state: &State) -> Position {
        let end = if self.ends_synced { state.syncs.tried() } else { state.end };
        self.limit.as_ref().map_or(end, |limit| limit.of(end))
    }

    /// The position of the oldest block.
    pub fn start_position(&self) -> Position {
        let state = self.state();
        let generation = state.segments.front().map_or(0, |segment| segment.generation);
        Position { generation, ..Position::default() }
    }

    /// The directory, if it has one.
    pub fn dir(&self) -> Option<&Path> {
        self.shared.options.dir.as_deref()
    }

    /// Bytes of all segments, of the newest one what is reserved. Asks the file system for the sizes
    /// of what earlier runs left, once.
    pub fn bytes(&self) -> u64 {
        self.count_bytes();
        self.state().bytes()
    }

    /// What others took from the journal while it was written.
    pub fn losses(&self) -> Losses {
        self.state().losses
    }

    fn path(&self, generation: u64) -> Option<PathBuf> {
        self.dir().map(|dir| dir.join(segment_name(generation)))
    }

    /// The segment, opened if need be. `None` where it was recycled.
    fn segment(&self, generation: u64) -> io::Result<Option<Arc<Segment>>> {
        let end = {
            let mut state = self.state();
            let Some(entry) = state.entry(generation) else { return Ok(None) };
            if let Some(segment) = entry.held.clone().or_else(|| entry.lent.upgrade()) {
                return Ok(Some(segment));
            }
            entry.bytes.filter(|_| entry.is_closed)
        };
        let shown = self.shared.shown.as_ref().map(|dir| dir.join(segment_name(generation)));
        let Some(path) = shown.or_else(|| self.path(generation)) else { return Ok(None) };
        let opened = Segment::open(&path, generation, end).map(Arc::new);
        let mut state = self.state();
        // It may have been recycled meanwhile, and is not there for that reason.
        let Some(entry) = state.entry(generation) else { return Ok(None) };
        let opened = opened?;
        entry.lent = Arc::downgrade(&opened);
        Ok(Some(opened))
    }

    /// The mandatory appender that keeps the oldest segment, when that would have to go for another
    /// one.
    pub fn held_by(&self) -> Option<String> {
        let (state, options) = (self.state(), &self.shared.options);
        let is_full = state.bytes() + options.segment_bytes > options.max_bytes;
        let holder = state.holder(|cursor| cursor.mandatory);
        let holder = holder.filter(|_| is_full && state.is_bounded);
        holder.map(|holder| holder.name.clone())
    }

    /// Registers an appender. A mandatory one is never overtaken: segments that it has not settled
    /// stay, and the journal may become full. An optional one may find its place gone.
    pub fn register(&self, name: &str, mandatory: bool, settled: Position) -> Cursor {
        let (name, settled) = (name.to_owned(), Mutex::new(settled));
        let cursor = Arc::new(CursorState { name, mandatory, settled });
        self.state().cursors.push(Arc::clone(&cursor));
        Cursor { state: cursor }
    }

    /// Lets the oldest segments make room from now on. To be called once every appender that may hold
    /// some of them is registered.
    pub fn keep_to_bound(&self) {
        self.state().is_bounded = true;
    }

    /// A reader that stands at `position`, or at the oldest block if that is later; segments that lie
    /// between are counted as overtaken. Generation 0 stands for the oldest block.
    pub fn reader(&self, position: Position) -> Reader {
        Reader::new(self.clone(), position)
    }

    /// Blocks until the end is past `position`, the journal is closed, or `timeout` is over.
    pub fn wait(&self, position: Position, timeout: Duration) {
        self.wait_until(timeout, |end, is_closed| end > position || is_closed);
    }

    /// Blocks until `reached` says so of the end and of whether the journal is closed, or `timeout`
    /// is over. It is asked at first, after each block and sync, and after each [`Journal::wake`]; what it
    /// looks at besides must be changed before the wake. It must not touch the journal.
    pub fn wait_until(&self, timeout: Duration, reached: impl Fn(Position, bool) -> bool) {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while !reached(self.end_in(&state), state.closed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes everybody who waits, so that they look again.
    pub fn wake(&self) {
        let _state = self.state();
        self.shared.changed.notify_all();
    }

    /// Says that no block will come any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.changed.notify_all();
        self.shared.sync_changed.notify_all();
    }

    /// Whether [`Journal::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl State {
    fn entry(&mut self, generation: u64) -> Option<&mut Entry> {
        let at = self.segments.partition_point(|entry| entry.generation < generation);
        self.segments.get_mut(at).filter(|entry| entry.generation == generation)
    }

    /// The first segment of this generation or a later one.
    fn first_from(&self, generation: u64) -> Option<u64> {
        let at = self.segments.partition_point(|entry| entry.generation < generation);
        self.segments.get(at).map(|entry| entry.generation)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // The journal forgets a cursor whose handle is gone at its next rotation: marking it far
        // ahead lets go of every segment.
        *lock(&self.state.settled) = Position { generation: u64::MAX, ..Position::default() };
    }
}

/// Locks, whoever panicked meanwhile: the data of this module is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
