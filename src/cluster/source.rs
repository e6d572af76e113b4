//! One member's journal on its way into that of the cluster.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use super::follow::open_cursor;
use crate::block::{BlockHeader, BlockKind};
use crate::engine::selflog;
use crate::event::SourceInfo;
use crate::journal::{
    CursorFile, Follower, Found, JournalError, JournalWriter, Position, Scan, TextFileMark,
    segment_paths,
};
use crate::recover::Manifest;
use crate::store::Run;
use crate::sys::crash::{self, CrashPoint};

/// Blocks of one member that are stored before it is the next one's turn.
const TURN_BLOCKS: usize = 64;
/// Runs of one member whose definitions are kept: the last ones.
const RUNS_MAX: usize = 4;
/// Positions that are remembered between storing and delivery. Beyond it they become coarser.
const PENDING_MAX: usize = 4096;

/// The journal of a member, living or dead, as the elected process reads it.
pub(super) struct Source {
    dir: PathBuf,
    follower: Follower,
    /// What was said of its runs, by source and epoch.
    runs: BTreeMap<(u64, u128), Run>,
    cursor: CursorFile,
    /// What the member's cursor says was delivered.
    stored: Position,
    /// What it says survives a power failure in the cluster's journal.
    synced: Position,
    /// Ends of blocks, in the cluster's journal and in the member's, that wait for delivery.
    pending: VecDeque<(Position, Position)>,
    /// The same of those that are delivered, and wait for a sync.
    unsynced: VecDeque<(Position, Position)>,
    is_at_end: bool,
    /// Events that were taken from it.
    pub(super) events: u64,
}

/// Why a turn ended early.
#[derive(Debug)]
pub(super) enum Held {
    /// The cluster's journal takes nothing right now.
    Journal(JournalError),
    /// The member's journal cannot be read right now.
    Io(io::Error),
}

impl Source {
    /// Begins where the member's cursor stands. What the cluster has beyond it is passed over by the
    /// marks.
    ///
    /// # Errors
    /// When the cursor cannot be opened.
    pub(super) fn open(dir: &Path, writer: &mut JournalWriter) -> io::Result<Source> {
        forget_runs(dir, writer)?;
        let cursor = open_cursor(dir)?;
        let stored = cursor.resume().map(|slot| slot.position).unwrap_or_default();
        let synced = cursor.synced().map(|slot| slot.position).unwrap_or_default();
        // Nobody knows what the process before had synced of it.
        let unsynced = [(writer.journal().end(), stored)].into_iter().collect();
        Ok(Source {
            dir: dir.to_owned(),
            // From the head of the segment: the definitions stand there.
            follower: Follower::new(dir.to_owned(), stored.generation),
            runs: BTreeMap::new(),
            cursor,
            stored,
            synced,
            pending: VecDeque::new(),
            unsynced,
            is_at_end: false,
            events: 0,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether everything up to `end`, and all that is there, was read, stored, delivered and synced,
    /// and its cursor says so.
    pub(super) fn is_done(&self, end: Position) -> bool {
        let position = self.follower.position();
        let is_read = self.is_at_end && position >= end;
        let is_delivered = self.pending.is_empty() && self.stored == position;
        is_read && is_delivered && self.unsynced.is_empty() && self.synced >= position
    }

    /// Whether a segment of the member's, or all that a dead one left, waits for a sync of the
    /// cluster's journal.
    pub(super) fn wants_sync(&self, is_dead: bool) -> bool {
        let has_segment = self.stored.generation > self.synced.generation;
        (is_dead || has_segment) && !self.unsynced.is_empty()
    }

    /// Whether something was stored that is not delivered.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Stores some of the blocks that the cluster does not have. How many it looked at.
    ///
    /// # Errors
    /// [`Held`]; then it goes on at the same block the next time.
    pub(super) fn turn(&mut self, writer: &mut JournalWriter) -> Result<usize, Held> {
        for looked in 0..TURN_BLOCKS {
            self.is_at_end = false;
            match self.follower.look().map_err(Held::Io)? {
                Found::End => {
                    self.is_at_end = true;
                    return Ok(looked);
                }
                Found::Damage(position, error) => {
                    let dir = self.dir.display();
                    selflog::warn(&format!("{dir}: damage at {position} is passed over: {error}"));
                    continue;
                }
                Found::Block(header) => match header.kind {
                    BlockKind::Define => self.define(writer, &header),
                    BlockKind::Events => self.events(writer, &header)?,
                    BlockKind::Segment | BlockKind::Other(_) => {}
                },
            }
            self.follower.pass();
            self.note(writer.journal().end());
        }
        Ok(TURN_BLOCKS)
    }

    fn define(&mut self, writer: &mut JournalWriter, header: &BlockHeader) {
        let key = (header.epoch, header.source);
        if !self.runs.contains_key(&key) {
            writer.forget_definitions(header.source, header.epoch);
            if self.runs.len() >= RUNS_MAX {
                self.runs.pop_first();
            }
            let (source, epoch) = (header.source, header.epoch);
            self.runs.insert(key, Run::new(SourceInfo { source, epoch, ..SourceInfo::default() }));
        }
        let defined = self.runs.get_mut(&key).map(|run| run.define(self.follower.block()));
        if let Some(Err(error)) = defined {
            self.unfit(&error);
        }
    }

    /// Stores an events block, unless the cluster has it.
    fn events(&mut self, writer: &mut JournalWriter, header: &BlockHeader) -> Result<(), Held> {
        let (source, epoch, sequence) = (header.source, header.epoch, header.sequence);
        if writer.has(source, epoch, sequence) {
            return Ok(());
        }
        let mark = writer.marks().get(source, epoch);
        let Some(run) = self.runs.get_mut(&(epoch, source)) else {
            self.unfit(&"nothing was said of its run");
            return Ok(());
        };
        let block = self.follower.block();
        let events = match run.check(header, block) {
            Ok(events) => events,
            Err(error) => {
                self.unfit(&error);
                return Ok(());
            }
        };
        match run.append(writer, block) {
            Ok(_) => {}
            Err(error @ JournalError::TooLarge { .. }) => {
                self.unfit(&error);
                return Ok(());
            }
            Err(error) => return Err(Held::Journal(error)),
        }
        crash::reached(CrashPoint::ClusterBlock);
        self.events += events;
        let missing = (sequence - 1).saturating_sub(mark);
        if missing > 0 {
            let dir = self.dir.display();
            selflog::warn(&format!("{dir}: {missing} blocks are missing before block {sequence}"));
        }
        Ok(())
    }

    fn unfit(&self, error: &dyn std::fmt::Display) {
        let (dir, position) = (self.dir.display(), self.follower.position());
        selflog::warn(&format!("{dir}: the block at {position} is not stored: {error}"));
    }

    /// Remembers that what was read so far is delivered when the cluster's journal is, up to `end`.
    fn note(&mut self, end: Position) {
        remember(&mut self.pending, end, self.follower.position());
    }

    /// The cluster has delivered everything up to `delivered` of its journal, and what is before
    /// `synced` survives a power failure: lets the member know.
    ///
    /// # Errors
    /// When its cursor cannot be stored; the next call tries again.
    pub(super) fn delivered(&mut self, delivered: Position, synced: Position) -> io::Result<()> {
        let mut position = self.stored;
        while let Some((end, at)) = self.pending.front().copied()
            && end <= delivered
        {
            position = at;
            self.pending.pop_front();
            remember(&mut self.unsynced, end, at);
        }
        if self.pending.is_empty() && self.is_at_end {
            position = self.follower.position();
        }
        if position > self.stored {
            crash::reached(CrashPoint::ClusterDelivered);
            self.cursor.store_written(position, TextFileMark::default())?;
            self.stored = position;
            crash::reached(CrashPoint::ClusterCursor);
        }
        let mut position = self.synced;
        while let Some((end, at)) = self.unsynced.front()
            && *end <= synced
        {
            position = *at;
            self.unsynced.pop_front();
        }
        if self.unsynced.is_empty() {
            position = self.stored;
        }
        if position > self.synced {
            self.cursor.store_synced(position, TextFileMark::default())?;
            self.synced = position;
        }
        Ok(())
    }
}

/// Remembers that `at` is reached when the cluster's journal is at `end`.
fn remember(places: &mut VecDeque<(Position, Position)>, end: Position, at: Position) {
    let is_full = places.len() >= PENDING_MAX;
    match places.back_mut() {
        Some(last) if last.0 == end || is_full => *last = (end, at),
        _ => places.push_back((end, at)),
    }
}

/// Forgets the marks of runs whose last blocks the member's journal has let go.
fn forget_runs(dir: &Path, writer: &mut JournalWriter) -> io::Result<()> {
    let Some((_, oldest)) = segment_paths(dir)?.into_iter().next() else { return Ok(()) };
    let Some(manifest) = Manifest::read(dir)? else { return Ok(()) };
    // In front of a journal's oldest segment stands what came before it: no run older than the
    // newest of these comes again.
    let before = Scan::marks_before(&oldest)?;
    let of_member = before.filter(|(source, ..)| *source == manifest.source);
    if let Some(newest) = of_member.map(|(_, epoch, _)| epoch).max() {
        writer.forget_marks(|source, epoch| source == manifest.source && epoch < newest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::follow::Follow;
    use super::*;
    use crate::journal::{Journal, JournalOptions};

    #[test]
    fn a_member_keeps_what_is_delivered_until_the_journal_of_the_cluster_is_synced() {
        let (dir, cluster) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let member = Journal::with_three_events(dir.path());
        let options = JournalOptions::directory(cluster.path());
        let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
        let mut source = Source::open(dir.path(), &mut writer).unwrap();
        while source.turn(&mut writer).unwrap() > 0 {}
        assert_eq!(source.events, 3);

        source.delivered(journal.end(), journal.synced()).unwrap();
        let cursor = open_cursor(dir.path()).unwrap();
        assert_eq!(cursor.resume().unwrap().position, member.end(), "a flush need not wait");
        assert_eq!(cursor.synced(), None);
        assert!(!source.is_done(member.end()) && source.wants_sync(true));
        let kept = || Follow::open(dir.path(), &member).unwrap().kept();
        assert_eq!(kept(), Position::default());

        journal.sync().unwrap();
        source.delivered(journal.end(), journal.synced()).unwrap();
        assert_eq!(kept(), member.end());
        assert!(source.is_done(member.end()) && !source.wants_sync(true));
    }
}
