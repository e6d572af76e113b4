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

mod owners;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;

use self::owners::Owner;
use super::buffers::Buffers;
use super::connection::Connection;
use super::inbox::{Inbox, Message};
use super::stats::{Counters, count};
use crate::block::{BlockError, BlockHeader, BlockKind, envelope, header};
use crate::engine::selflog;
use crate::event::{Receipt, SourceInfo};
use crate::journal::{JournalError, JournalWriter};
use crate::net::{AckLevel, Farewell, Reason, frame};
use crate::store::{Run, Unfit};
use crate::sys::crash::{self, CrashPoint};

/// Between two tries to store a block.
const RETRY: Duration = Duration::from_millis(20);
/// Between two tries to sync.
const SYNC_RETRY: Duration = Duration::from_secs(1);
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
mod tests;
