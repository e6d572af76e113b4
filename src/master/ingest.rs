//! The one thread that stores what workers send.
//!
//! Invariants:
//! 1. A block is appended only if the journal does not have it: its sequence is above the mark of its
//!    run, or a power failure took it. No block is stored twice.
//! 2. A mark is acknowledged, or named in a welcome, only after the blocks up to it are in the
//!    journal, at the level promised or with a lower one said.
//! 3. Frames of a connection that does not own its source are dropped: definitions and blocks of a
//!    run come from one connection at a time.
//! 4. While a block that was lost below a mark may still come, nothing beyond it is named or
//!    acknowledged. A worker sends a run in order: what comes behind the block says that it will not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;

use super::buffers::Buffers;
use super::connection::Connection;
use super::inbox::{Inbox, Message};
use super::stats::{Counters, count};
use crate::block::{BlockError, BlockHeader, BlockKind, envelope, header};
use crate::engine::selflog;
use crate::event::{Receipt, SourceInfo};
use crate::journal::{JournalError, JournalWriter};
use crate::net::{AckLevel, Farewell, Hello, Reason, Welcome, frame};
use crate::store::{Run, Unfit};
use crate::sys::crash::{self, CrashPoint};

/// Between two tries to store a block.
const RETRY: Duration = Duration::from_millis(20);
/// Between two tries to sync.
const SYNC_RETRY: Duration = Duration::from_secs(1);
/// Runs that a master has marks of.
const MAX_RUNS: usize = 65_536;
/// Runs that are forgotten together when there is no room for another one.
const FORGOTTEN_RUNS: usize = MAX_RUNS / 8;
/// Sources whose owners a master remembers.
const MAX_SOURCES: usize = 65_536;
/// Runs of one connection whose definitions are kept at a time.
const MAX_RUNS_OF_CONNECTION: usize = 16;
/// Bytes of the definitions of one connection.
const MAX_DEFINITIONS_BYTES: usize = 64 << 20;
/// Bytes of all definitions.
const MAX_ALL_DEFINITIONS_BYTES: usize = 1 << 30;

/// The thread's state.
pub(super) struct Ingest {
    pub(super) inbox: Arc<Inbox>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) writer: JournalWriter,
    pub(super) counters: Arc<Counters>,
    pub(super) level: AckLevel,
    pub(super) window_bytes: u64,
    /// When the master has to end, once it should.
    pub(super) deadline: Arc<Mutex<Option<Instant>>>,
    pub(super) owners: HashMap<u128, Owner>,
    /// The block at hand, aligned.
    pub(super) block: AlignedVec,
    /// How its frame came.
    pub(super) receipt: Receipt,
    /// What is stored and not acknowledged.
    pub(super) unacknowledged: BTreeMap<u64, Unacknowledged>,
    /// A sync has failed since the last acknowledgement.
    pub(super) sync_failed: bool,
    /// Bytes of all definitions.
    pub(super) definitions_bytes: usize,
}

/// Who may ship a source.
pub(super) struct Owner {
    epoch: u64,
    term: u64,
    /// `None` when it has gone; nobody older may come for all that.
    connection: Option<Arc<Connection>>,
    info: SourceInfo,
    runs: BTreeMap<u64, Run>,
}

/// The runs of a connection that wait for an acknowledgement.
pub(super) struct Unacknowledged {
    connection: Arc<Connection>,
    source: u128,
    epochs: BTreeSet<u64>,
}

/// Why a frame was not stored as a whole.
enum Fault {
    /// The connection is at fault, and is told.
    Refused(Farewell),
    /// A newer connection took over meanwhile; the blocks come again on that one.
    Superseded,
    /// The master has to end.
    Late,
}

impl From<BlockError> for Fault {
    fn from(error: BlockError) -> Fault {
        Fault::Refused(Farewell::new(Reason::Damaged, error))
    }
}

impl From<Unfit> for Fault {
    fn from(error: Unfit) -> Fault {
        damaged(error)
    }
}

fn damaged(words: impl std::fmt::Display) -> Fault {
    Fault::Refused(Farewell::new(Reason::Damaged, words))
}

fn limits(words: impl std::fmt::Display) -> Fault {
    Fault::Refused(Farewell::new(Reason::Limits, words))
}

impl Ingest {
    /// Stores and acknowledges until the inbox is closed and empty, or the master has no more time.
    pub(super) fn run(&mut self) {
        self.serve();
        // Whoever delivers what is synced ends there.
        if self.owes_sync() {
            self.sync();
        }
    }

    fn serve(&mut self) {
        // What the last run did not sync waits for it, and the appenders do.
        let mut retry_sync_at = self.owes_sync().then(Instant::now);
        while let Some(messages) = self.inbox.take(retry_sync_at) {
            let mut leaving = Vec::new();
            for message in messages {
                match message {
                    Message::Hello { connection, version, hello } => {
                        self.hello(connection, version, hello);
                    }
                    Message::Blocks { connection, source, body, receipt, room } => {
                        self.receipt = receipt;
                        if self.blocks(&connection, source, body).is_err() {
                            return;
                        }
                        drop(room);
                    }
                    Message::Leave { connection, reason, .. } => leaving.push((connection, reason)),
                    Message::Gone { connection, source } => self.gone(&connection, source),
                }
            }
            self.acknowledge();
            let is_owed = !self.unacknowledged.is_empty() || self.owes_sync();
            retry_sync_at = is_owed.then(|| Instant::now() + SYNC_RETRY);
            for (connection, reason) in leaving {
                let words = match reason {
                    Reason::Done => "everything was stored",
                    _ => "the master shuts down",
                };
                connection.bye(Farewell::new(reason, words));
            }
        }
    }

    /// Welcomes or refuses a worker.
    fn hello(&mut self, connection: Arc<Connection>, version: u8, hello: Hello) {
        if let Err(farewell) = self.admit(&connection, &hello) {
            return self.refuse(&connection, farewell);
        }
        // What a welcome names counts as acknowledged: it is synced first (invariant 2).
        let promises_sync = self.level == AckLevel::Synced;
        let is_proved = promises_sync
            && self.sync()
            && !self.sync_failed
            && self.writer.journal().unproved().is_empty();
        let mut marks = self.writer.marks().of_source(hello.source);
        for (epoch, mark) in &mut marks {
            *mark = self.writer.stored_to(hello.source, *epoch);
        }
        let welcome = Welcome {
            version,
            level: self.level,
            window_bytes: self.window_bytes.min(hello.window_bytes),
            marks: marks.clone(),
        };
        connection.welcome(welcome);
        if promises_sync && !marks.is_empty() {
            let level = if is_proved { AckLevel::Synced } else { AckLevel::Committed };
            connection.acknowledge(level, marks.into_iter());
        }
    }

    /// Makes the connection the owner of its source.
    fn admit(&mut self, connection: &Arc<Connection>, hello: &Hello) -> Result<(), Farewell> {
        let source = hello.source;
        if let Some(owner) = self.owners.get(&source)
            && (hello.epoch, hello.term) < (owner.epoch, owner.term)
        {
            let words = format!(
                "epoch {}, term {} came after epoch {}, term {} of the same source",
                hello.epoch, hello.term, owner.epoch, owner.term
            );
            return Err(Farewell::new(Reason::Fenced, words));
        }
        let newer = |owner: &Owner| {
            let is_same = (hello.epoch, hello.term) == (owner.epoch, owner.term);
            is_same && owner.connection.as_ref().is_some_and(|newer| newer.id > connection.id)
        };
        if self.owners.get(&source).is_some_and(newer) {
            // Its hello waited while the newer one was welcomed.
            let words = "a newer connection of the same source took over";
            return Err(Farewell::new(Reason::Superseded, words));
        }
        self.writer.forget_marks(|of, epoch| of == source && epoch < hello.oldest_epoch);
        self.make_room_for_run(source, hello.epoch)?;
        if self.owners.len() >= MAX_SOURCES && !self.owners.contains_key(&source) {
            self.owners.retain(|_, owner| owner.connection.is_some());
        }
        self.leave(source);
        let info = SourceInfo {
            source,
            epoch: hello.epoch,
            pid: hello.pid,
            service: hello.service.as_str().into(),
            host: hello.host.as_str().into(),
        };
        let owner = Owner {
            epoch: hello.epoch,
            term: hello.term,
            connection: Some(Arc::clone(connection)),
            info,
            runs: BTreeMap::new(),
        };
        let before = self.owners.insert(source, owner).and_then(|owner| owner.connection);
        if let Some(before) = before {
            self.counters.refused(Reason::Superseded);
            let words = "a newer connection of the same source took over";
            before.bye(Farewell::new(Reason::Superseded, words));
        }
        Ok(())
    }

    /// Sees to it that a run can have a mark, if need be by forgetting the oldest runs whose workers
    /// are not connected.
    fn make_room_for_run(&mut self, source: u128, epoch: u64) -> Result<(), Farewell> {
        let marks = self.writer.marks();
        if marks.len() < MAX_RUNS || marks.get(source, epoch) > 0 {
            return Ok(());
        }
        let owners = &self.owners;
        let is_gone =
            |source: &u128| owners.get(source).is_none_or(|owner| owner.connection.is_none());
        let runs = marks.iter().map(|(source, epoch, _)| (epoch, source));
        let mut gone: Vec<_> = runs.filter(|(_, source)| is_gone(source)).collect();
        gone.sort_unstable();
        gone.truncate(FORGOTTEN_RUNS);
        count(&self.counters.forgotten_runs, gone.len() as u64);
        let gone: HashSet<_> = gone.into_iter().collect();
        self.writer.forget_marks(|source, epoch| gone.contains(&(epoch, source)));
        if gone.is_empty() {
            let words = format!("this master knows {MAX_RUNS} runs and takes no further one");
            return Err(Farewell::new(Reason::Limits, words));
        }
        Ok(())
    }

    /// Forgets the definitions that the owner of a source has sent.
    fn leave(&mut self, source: u128) {
        let Some(owner) = self.owners.get_mut(&source) else { return };
        for (epoch, run) in std::mem::take(&mut owner.runs) {
            self.definitions_bytes -= run.bytes();
            self.writer.forget_definitions(source, epoch);
        }
    }

    fn gone(&mut self, connection: &Connection, source: u128) {
        self.unacknowledged.remove(&connection.id);
        if self.is_owner(connection, source) {
            self.leave(source);
            self.owners.entry(source).and_modify(|owner| owner.connection = None);
        }
    }

    fn is_owner(&self, connection: &Connection, source: u128) -> bool {
        let owner = self.owners.get(&source).and_then(|owner| owner.connection.as_ref());
        owner.is_some_and(|owner| owner.id == connection.id)
    }

    fn refuse(&mut self, connection: &Connection, farewell: Farewell) {
        selflog::warn(&format!("connection from {}: {farewell}", connection.peer));
        self.counters.refused(farewell.reason);
        connection.refuse(farewell);
    }

    /// Stores the blocks of one frame. `Err` when there is no more time.
    fn blocks(
        &mut self,
        connection: &Arc<Connection>,
        source: u128,
        mut body: AlignedVec,
    ) -> Result<(), ()> {
        let stored = if !self.is_owner(connection, source) {
            Err(Fault::Superseded)
        } else if let Some(header) = only_block(&body) {
            // It is aligned, and stored where it lies.
            std::mem::swap(&mut self.block, &mut body);
            let stored = self.store(connection, source, &header);
            std::mem::swap(&mut self.block, &mut body);
            stored
        } else {
            frame::blocks(&body).try_for_each(|block| {
                let (header, bytes) = block?;
                self.block.clear();
                self.block.extend_from_slice(bytes);
                self.store(connection, source, &header)
            })
        };
        self.buffers.give(body);
        match stored {
            Ok(()) => {}
            Err(Fault::Late) => return Err(()),
            Err(Fault::Superseded) => count(&self.counters.superseded_frames, 1),
            Err(Fault::Refused(farewell)) => {
                // Nothing more is taken from it; what was stored before stands.
                self.refuse(connection, farewell);
                self.gone(connection, source);
            }
        }
        Ok(())
    }

    /// Checks the block at hand and stores it.
    fn store(
        &mut self,
        connection: &Arc<Connection>,
        source: u128,
        header: &BlockHeader,
    ) -> Result<(), Fault> {
        header::verify(&self.block)?;
        let newest = self.owners.get(&source).map_or(0, |owner| owner.epoch);
        if header.source != source || header.epoch > newest {
            return Err(damaged("a block of another source, or of an epoch after the hello"));
        }
        match header.kind {
            BlockKind::Define => self.define(header),
            BlockKind::Events => {
                let header = envelope::wrap(&mut self.block, &self.receipt)?;
                self.events(connection, &header)
            }
            BlockKind::Segment | BlockKind::Other(_) => {
                Err(damaged(format_args!("a block of kind {:?}", header.kind)))
            }
        }
    }

    /// The definitions of the run of a block.
    fn run_of(&mut self, header: &BlockHeader) -> Result<&mut Run, Fault> {
        let key = (header.source, header.epoch);
        // Nobody but an owner comes here.
        let Some(owner) = self.owners.get_mut(&key.0) else { return Err(damaged("no owner")) };
        if !owner.runs.contains_key(&key.1) {
            self.writer.forget_definitions(key.0, key.1);
            if owner.runs.len() >= MAX_RUNS_OF_CONNECTION
                && let Some((oldest, run)) = owner.runs.pop_first()
            {
                self.definitions_bytes -= run.bytes();
                self.writer.forget_definitions(key.0, oldest);
            }
        }
        let info = || SourceInfo { epoch: header.epoch, ..owner.info.clone() };
        Ok(owner.runs.entry(key.1).or_insert_with(|| Run::new(info())))
    }

    /// Takes in a define block; it is written in front of the next events block.
    fn define(&mut self, header: &BlockHeader) -> Result<(), Fault> {
        let block = std::mem::take(&mut self.block);
        let run = self.run_of(header)?;
        let before = run.bytes();
        let defined = run.define(&block);
        let after = run.bytes();
        self.block = block;
        defined?;
        self.definitions_bytes = self.definitions_bytes - before + after;
        if !self.has_room_for_definitions(header.source) {
            self.measure();
            if !self.has_room_for_definitions(header.source) {
                let bytes = self.definitions_bytes_of(header.source);
                return Err(limits(format_args!("{bytes} bytes of definitions")));
            }
        }
        Ok(())
    }

    fn has_room_for_definitions(&self, source: u128) -> bool {
        self.definitions_bytes_of(source) <= MAX_DEFINITIONS_BYTES
            && self.definitions_bytes <= MAX_ALL_DEFINITIONS_BYTES
    }

    fn definitions_bytes_of(&self, source: u128) -> usize {
        let runs = self.owners.get(&source).map(|owner| &owner.runs);
        runs.into_iter().flatten().map(|(_, run)| run.bytes()).sum()
    }

    /// Measures all definitions anew: what was said again, or forgotten, takes no room.
    fn measure(&mut self) {
        self.definitions_bytes = 0;
        for run in self.owners.values_mut().flat_map(|owner| owner.runs.values_mut()) {
            self.definitions_bytes += run.measure();
        }
    }

    /// Stores an events block, unless it is stored already.
    fn events(&mut self, connection: &Arc<Connection>, header: &BlockHeader) -> Result<(), Fault> {
        let (source, epoch, sequence) = (header.source, header.epoch, header.sequence);
        if sequence == 0 {
            return Err(damaged("an events block without a sequence"));
        }
        self.make_room_for_run(source, epoch).map_err(Fault::Refused)?;
        if self.writer.has(source, epoch, sequence) {
            self.writer.has_come_to(source, epoch, sequence);
            count(&self.counters.duplicates, 1);
            self.owe(connection, source, epoch);
            return Ok(());
        }
        let mark = self.writer.marks().get(source, epoch);
        let block = std::mem::take(&mut self.block);
        let checked = self.run_of(header).map(|run| run.check(header, &block));
        self.block = block;
        let events = checked??;
        if crash::is_swapped(CrashPoint::MasterAckSent) {
            connection.acknowledge(self.level, std::iter::once((epoch, sequence)));
            // The kernel gets it meanwhile, and there the process ends.
            std::thread::sleep(SYNC_RETRY);
        }
        self.append(header)?;
        // Only now: while the block waited for room, others were acknowledged.
        self.owe(connection, source, epoch);
        count(&self.counters.missing_blocks, (sequence - 1).saturating_sub(mark));
        count(&self.counters.blocks, 1);
        count(&self.counters.bytes, header.bytes() as u64);
        count(&self.counters.events, events);
        Ok(())
    }

    /// Remembers that the worker is to hear how far this run is stored.
    fn owe(&mut self, connection: &Arc<Connection>, source: u128, epoch: u64) {
        crash::reached(CrashPoint::MasterStored);
        let waiting = self.unacknowledged.entry(connection.id).or_insert_with(|| Unacknowledged {
            connection: Arc::clone(connection),
            source,
            epochs: BTreeSet::new(),
        });
        waiting.epochs.insert(epoch);
    }

    /// Appends the block at hand, however long that takes.
    fn append(&mut self, header: &BlockHeader) -> Result<(), Fault> {
        loop {
            let owner = self.owners.get(&header.source);
            let Some(run) = owner.and_then(|owner| owner.runs.get(&header.epoch)) else {
                return Err(Fault::Superseded);
            };
            let appended = run.append(&mut self.writer, &mut self.block);
            if let Some(lost) = self.writer.take_losses() {
                selflog::warn(&format!("journal: {lost}"));
            }
            match appended {
                Ok(_) => return Ok(()),
                Err(error @ JournalError::TooLarge { .. }) => return Err(limits(error)),
                Err(error @ JournalError::Full { .. }) => {
                    count(&self.counters.journal_full, 1);
                    selflog::warn(&format!("the master waits: {error}"));
                }
                Err(error) => {
                    count(&self.counters.journal_errors, 1);
                    selflog::warn(&format!("the master waits: {}", selflog::chain(&error)));
                }
            }
            if self.is_late() {
                return Err(Fault::Late);
            }
            // What is stored is told, and who comes is welcomed: only blocks have to wait.
            self.acknowledge();
            std::thread::sleep(RETRY);
            for message in self.inbox.take_hellos() {
                if let Message::Hello { connection, version, hello } = message {
                    self.hello(connection, version, hello);
                }
            }
        }
    }

    fn is_late(&self) -> bool {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Acknowledges what is stored, after a sync if that is promised. When the sync fails nothing is
    /// acknowledged, and afterwards at the level that can be proved.
    fn acknowledge(&mut self) {
        let is_synced = !self.owes_sync() || self.sync();
        if !is_synced || self.unacknowledged.is_empty() {
            return;
        }
        let mut level = self.level;
        if level == AckLevel::Synced && std::mem::take(&mut self.sync_failed) {
            level = AckLevel::Committed;
            selflog::warn("a sync failed before: blocks are acknowledged at level 1 this once");
        }
        crash::reached(CrashPoint::MasterOwed);
        for waiting in std::mem::take(&mut self.unacknowledged).into_values() {
            let writer = &self.writer;
            let mark = |epoch: u64| (epoch, writer.stored_to(waiting.source, epoch));
            waiting.connection.acknowledge(level, waiting.epochs.into_iter().map(mark));
        }
        crash::reached(CrashPoint::MasterAcknowledged);
    }

    /// Whether something is stored that is to be synced before it is acknowledged or delivered.
    fn owes_sync(&self) -> bool {
        self.level == AckLevel::Synced && self.writer.journal().owes_sync()
    }

    /// Syncs what is stored; `false` when that failed.
    fn sync(&mut self) -> bool {
        let Err(error) = self.writer.journal().sync() else { return true };
        self.sync_failed = true;
        count(&self.counters.sync_errors, 1);
        selflog::warn(&format!("nothing is acknowledged: {}", selflog::chain(&error)));
        false
    }
}

/// The header of the block that is the whole body, if it is one block.
fn only_block(body: &[u8]) -> Option<BlockHeader> {
    let (header, block) = frame::blocks(body).next()?.ok()?;
    (block.len() == body.len()).then_some(header)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::block::build;
    use crate::clock::{Anchor, Timeline};
    use crate::journal::{Journal, JournalOptions, Scan, ScannedBlocks, segment_paths};

    const SOURCE: u128 = 7;

    /// The thread's state at a master that syncs before it acknowledges.
    fn syncing(dir: &std::path::Path) -> Ingest {
        let options = JournalOptions::directory(dir);
        let scan = Scan::of_received(dir).unwrap();
        let (journal, writer) = Journal::in_directory(options, scan).unwrap();
        journal.keep_to_bound();
        let peer = ([127, 0, 0, 1], 1).into();
        Ingest {
            inbox: Arc::default(),
            buffers: Arc::default(),
            writer,
            counters: Arc::default(),
            level: AckLevel::Synced,
            window_bytes: 1 << 20,
            deadline: Arc::default(),
            owners: HashMap::new(),
            block: AlignedVec::new(),
            receipt: Receipt { received_ns: 0, peer, is_elsewhere: false },
            unacknowledged: BTreeMap::new(),
            sync_failed: false,
            definitions_bytes: 0,
        }
    }

    /// A worker says hello as the connection `id`.
    fn welcomed(ingest: &mut Ingest, id: u64) -> Arc<Connection> {
        let connection = Connection::new(id, ([127, 0, 0, 1], 1).into());
        let hello = Hello {
            source: SOURCE,
            epoch: 1,
            oldest_epoch: 1,
            term: 0,
            window_bytes: 1 << 20,
            pid: 1,
            service: String::new(),
            host: String::new(),
        };
        ingest.hello(Arc::clone(&connection), 1, hello);
        connection
    }

    fn events(sequence: u64) -> AlignedVec {
        let anchor = Anchor { ticks: 0, utc_ns: 0 };
        let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
        let head = build::EventsHead { source: SOURCE, epoch: 1, sequence, timeline };
        let mut block = AlignedVec::new();
        build::events(&mut block, &head, &[]);
        header::seal(&mut block);
        block
    }

    #[test]
    fn a_hello_that_waited_does_not_take_over_from_a_newer_connection() {
        let dir = tempfile::tempdir().unwrap();
        let mut ingest = syncing(dir.path());
        let newer = welcomed(&mut ingest, 2);
        let older = welcomed(&mut ingest, 1);
        assert_eq!(older.said().0, None);
        ingest.blocks(&newer, SOURCE, events(1)).unwrap();
        ingest.acknowledge();
        assert_eq!(newer.said().2, [(1, 1)]);
    }

    #[test]
    fn a_welcome_names_as_synced_what_is_synced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut ingest = syncing(dir.path());
        let journal = ingest.writer.journal().clone();
        let first = welcomed(&mut ingest, 1);
        assert_eq!(first.said(), (Some(vec![]), AckLevel::default(), vec![]));

        // The connection ends between storing and acknowledging.
        ingest.blocks(&first, SOURCE, events(1)).unwrap();
        assert!(journal.synced() < journal.end());
        ingest.gone(&first, SOURCE);
        let second = welcomed(&mut ingest, 2);
        assert_eq!(journal.synced(), journal.end());
        assert_eq!(second.said(), (Some(vec![(1, 1)]), AckLevel::Synced, vec![(1, 1)]));

        // The same, and the disk fails.
        ingest.blocks(&second, SOURCE, events(2)).unwrap();
        journal.break_unsynced();
        ingest.acknowledge();
        ingest.gone(&second, SOURCE);
        let third = welcomed(&mut ingest, 3);
        assert_eq!(third.said(), (Some(vec![(1, 2)]), AckLevel::Committed, vec![(1, 2)]));

        // It fails in the welcome itself, and the next acknowledgement comes before it is written.
        ingest.blocks(&third, SOURCE, events(3)).unwrap();
        journal.break_unsynced();
        let fourth = welcomed(&mut ingest, 4);
        ingest.blocks(&fourth, SOURCE, events(4)).unwrap();
        ingest.acknowledge();
        ingest.blocks(&fourth, SOURCE, events(5)).unwrap();
        ingest.acknowledge();
        assert_eq!(fourth.said(), (Some(vec![(1, 3)]), AckLevel::Committed, vec![(1, 5)]));
    }

    /// Damages the block with this sequence, and has the machine booted since.
    fn lose(dir: &std::path::Path, sequence: u64) {
        for (_, path) in segment_paths(dir).unwrap() {
            let mut blocks = ScannedBlocks::open(&path).unwrap();
            while let Some(block) = blocks.next() {
                if let Ok(block) = block
                    && block.header.sequence == sequence
                {
                    let file = std::fs::File::options().write(true).open(&path).unwrap();
                    file.write_all_at(b"?", block.position.offset + 70).unwrap();
                }
            }
        }
        std::fs::write(dir.join("boot"), "boot_id = 1\n").unwrap();
    }

    #[test]
    fn a_block_that_a_power_failure_took_is_taken_once_more_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut ingest = syncing(dir.path());
            let connection = welcomed(&mut ingest, 1);
            (1..=6).for_each(|n| ingest.blocks(&connection, SOURCE, events(n)).unwrap());
            ingest.acknowledge();
            assert_eq!(connection.said().2, [(1, 6)]);
        }
        lose(dir.path(), 3);
        lose(dir.path(), 5);
        let mut ingest = syncing(dir.path());
        let first = welcomed(&mut ingest, 1);
        assert_eq!(first.said(), (Some(vec![(1, 2)]), AckLevel::Synced, vec![(1, 2)]));
        ingest.blocks(&first, SOURCE, events(3)).unwrap();
        ingest.acknowledge();
        assert_eq!(first.said().2, [(1, 4)]);

        // The next connection goes on there. What its worker does not have any more, it passes over.
        let second = welcomed(&mut ingest, 2);
        assert_eq!(second.said().0, Some(vec![(1, 4)]));
        ingest.blocks(&second, SOURCE, events(6)).unwrap();
        ingest.acknowledge();
        assert_eq!(second.said().2, [(1, 6)]);
        ingest.blocks(&second, SOURCE, events(5)).unwrap();
        ingest.blocks(&second, SOURCE, events(7)).unwrap();
        let stored =
            |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        let counters = &ingest.counters;
        assert_eq!((stored(&counters.blocks), stored(&counters.duplicates)), (2, 2));
        assert_eq!(stored(&counters.missing_blocks), 0);

        let journal = ingest.writer.journal().clone();
        let mut reader = journal.reader(journal.start_position());
        let mut sequences = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(block)) => sequences.push(block.events.header().sequence),
                Ok(None) => break,
                Err(_) => sequences.push(0),
            }
        }
        assert_eq!(sequences, [1, 2, 0, 4, 0, 6, 3, 7]);
    }

    #[test]
    fn who_reads_what_is_synced_sees_a_block_after_its_sync_and_after_one_that_failed() {
        let dir = tempfile::tempdir().unwrap();
        let mut ingest = syncing(dir.path());
        let journal = ingest.writer.journal().clone();
        let delivered = journal.synced_only();
        let connection = welcomed(&mut ingest, 1);
        ingest.blocks(&connection, SOURCE, events(1)).unwrap();
        assert!(delivered.end() < journal.end() && delivered.limited().0.end() < journal.end());
        // Nor does a reload begin or end anybody further on.
        assert_eq!(delivered.hold(std::iter::empty()), delivered.end());
        // Its connection ends before it is acknowledged; it is synced all the same.
        ingest.gone(&connection, SOURCE);
        ingest.acknowledge();
        assert_eq!(delivered.end(), journal.end());

        let connection = welcomed(&mut ingest, 2);
        ingest.blocks(&connection, SOURCE, events(2)).unwrap();
        journal.break_unsynced();
        ingest.acknowledge();
        assert_eq!((connection.said().2, delivered.end()), (vec![(1, 1)], journal.end()));
        assert!(journal.synced() < journal.end());
    }
}
