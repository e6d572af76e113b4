//! The one who appends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;

use super::holes::Holes;
use super::segment::Segment;
use super::{Entry, Journal, JournalError, Losses, Position};
use crate::block::build;
use crate::block::define::Definitions;
use crate::block::header::{self, BlockHeader, HEADER_BYTES, MAX_BLOCK_BYTES};
use crate::block::schema::ArchivedMark;
use crate::sys;
use crate::sys::append::{AppendBuffer, AppendWriter};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::output::Output;

/// Definitions are said anew after this many bytes of a segment, and then after twice as many as
/// before: damage to one block of them is made good by the next.
const RESTATE_BYTES_MIN: u64 = 64 << 10;
/// After this many bytes at the latest.
const RESTATE_BYTES_MAX: u64 = 4 << 20;
/// But not before this many times their own size: with many sources they would fill the journal.
const RESTATE_FACTOR: u64 = 8;
/// More than the head of a segment takes beside its marks, and the last define block.
const FRONT_BLOCKS_BYTES: usize = 4096;
/// How often the writer looks whether somebody cut or removed the file it writes, while it writes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The greatest stored sequence of each (source, epoch): what a master acknowledges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    marks: HashMap<(u128, u64), u64>,
}

impl From<HashMap<(u128, u64), u64>> for Marks {
    fn from(marks: HashMap<(u128, u64), u64>) -> Marks {
        Marks { marks }
    }
}

impl Marks {
    /// The greatest stored sequence; 0 where nothing is stored.
    pub fn get(&self, source: u128, epoch: u64) -> u64 {
        self.marks.get(&(source, epoch)).copied().unwrap_or(0)
    }

    /// All runs of one source with their marks, the oldest first.
    pub fn of_source(&self, source: u128) -> Vec<(u64, u64)> {
        let mut marks: Vec<_> = self
            .marks
            .iter()
            .filter(|((of, _), _)| *of == source)
            .map(|((_, epoch), sequence)| (*epoch, *sequence))
            .collect();
        marks.sort_unstable();
        marks
    }

    /// How many (source, epoch) pairs are known.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(super) fn raise(&mut self, source: u128, epoch: u64, sequence: u64) {
        let mark = self.marks.entry((source, epoch)).or_default();
        *mark = sequence.max(*mark);
    }

    /// All marks as (source, epoch, sequence), in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u64, u64)> {
        self.marks.iter().map(|((source, epoch), sequence)| (*source, *epoch, *sequence))
    }
}

/// Appends blocks to a journal. There is one for each journal.
pub struct JournalWriter {
    journal: Journal,
    marks: Marks,
    /// What is lost below the marks and may come again.
    holes: Holes,
    target: Target,
    output: Output,
    /// The segment that is written.
    segment: Option<Arc<Segment>>,
    generation: u64,
    offset: u64,
    /// Bytes of the segment; what is behind its end once it is closed, none.
    limit: u64,
    /// Blocks of events in it.
    events_blocks: u64,
    /// When its file was last looked at.
    looked_at: Instant,
    /// What somebody took that nobody was told of yet.
    lost: Option<Losses>,
    /// The revision of its definitions that this segment has, by (source, epoch).
    written: HashMap<(u128, u64), u64>,
    /// Where definitions were last said anew.
    restated_at: u64,
    /// After how many bytes they are said anew.
    restate_bytes: u64,
    /// Bytes of define blocks since then.
    defined_bytes: u64,
    define_buffer: AlignedVec,
    /// Memory segments that readers still hold.
    retired: Vec<AppendWriter>,
}

enum Target {
    None,
    Memory(AppendWriter),
    File,
}

impl JournalWriter {
    pub(super) fn new(journal: Journal, marks: Marks, holes: Holes) -> JournalWriter {
        let generation = journal.end().generation;
        JournalWriter {
            journal,
            marks,
            holes,
            target: Target::None,
            output: Output::by_calls(),
            segment: None,
            generation,
            offset: 0,
            limit: 0,
            events_blocks: 0,
            looked_at: Instant::now(),
            lost: None,
            written: HashMap::new(),
            restated_at: 0,
            restate_bytes: RESTATE_BYTES_MIN,
            defined_bytes: 0,
            define_buffer: AlignedVec::new(),
            retired: Vec::new(),
        }
    }

    /// Chooses how files are written from now on; at first by system calls.
    pub(crate) fn set_output(&mut self, output: Output) {
        self.output = output;
    }

    /// The journal that is written.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What is stored of each source.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Whether this block is stored: the mark of its run is as high, and no power failure took it.
    pub fn has(&self, source: u128, epoch: u64, sequence: u64) -> bool {
        sequence <= self.marks.get(source, epoch) && !self.holes.has(source, epoch, sequence)
    }

    /// Everything of the run up to this sequence is stored, as far as it was ever: its mark, or less
    /// where a power failure took blocks below it that may come again.
    pub fn stored_to(&self, source: u128, epoch: u64) -> u64 {
        self.holes.mark_before(source, epoch, self.marks.get(source, epoch))
    }

    /// Whoever sends the run stands at this block: what is lost below it does not come any more.
    pub fn has_come_to(&mut self, source: u128, epoch: u64, sequence: u64) {
        self.holes.close_to(source, epoch, sequence);
    }

    /// What others took from the journal since the last call, if they did.
    pub fn take_losses(&mut self) -> Option<Losses> {
        self.lost.take()
    }

    /// Appends an events block (header and archive), after whatever of `definitions` the segment
    /// does not have yet, and returns its position. Begins a new segment when this one is full.
    ///
    /// May block for the time of the writes; allocates a segment now and then.
    ///
    /// # Errors
    /// See [`JournalError`]. The block was not appended, and may be tried again unchanged.
    pub fn append_events(
        &mut self,
        block: &mut AlignedVec,
        definitions: &Definitions,
    ) -> Result<Position, JournalError> {
        let header = BlockHeader::decode(block).map_err(|_| JournalError::TooLarge {
            block_bytes: block.len(),
            limit_bytes: MAX_BLOCK_BYTES,
        })?;
        let key = (header.source, header.epoch);
        let following_bytes = header.padded_bytes() as u64;
        if self.is_given_up() || self.offset + following_bytes > self.limit {
            self.begin_segment_for(definitions, following_bytes)?;
        }
        let distance = self.restate_bytes.max(RESTATE_FACTOR * self.defined_bytes);
        if self.offset >= self.restated_at + distance {
            self.written.clear();
            (self.restated_at, self.defined_bytes) = (self.offset, 0);
            self.restate_bytes = (2 * self.restate_bytes).min(RESTATE_BYTES_MAX);
        }
        let written = self.written.get(&key).copied().unwrap_or(0);
        if written < definitions.revision() {
            self.define(definitions, written, following_bytes)?;
            self.written.insert(key, definitions.revision());
        }
        let position = self.append(block, &header)?;
        self.events_blocks += 1;
        crash::reached(CrashPoint::JournalEnd);
        self.marks.raise(header.source, header.epoch, header.sequence);
        self.has_come_to(header.source, header.epoch, header.sequence);
        Ok(position)
    }

    /// Forgets which definitions of a run the segment has. Needed before the run's next block comes
    /// with [`Definitions`] that were begun anew.
    pub fn forget_definitions(&mut self, source: u128, epoch: u64) {
        self.written.remove(&(source, epoch));
    }

    /// Forgets the marks of the runs, given by source and epoch, that `forget` says so of: those
    /// whose blocks can never come again.
    pub fn forget_marks(&mut self, mut forget: impl FnMut(u128, u64) -> bool) {
        self.marks.marks.retain(|(source, epoch), _| !forget(*source, *epoch));
        self.holes.forget(forget);
    }

    /// Writes the definitions since revision `written`; in a segment that has no room for them and
    /// `following_bytes`, all of them in a new one.
    fn define(
        &mut self,
        definitions: &Definitions,
        written: u64,
        following_bytes: u64,
    ) -> Result<(), JournalError> {
        let mut buffer = std::mem::take(&mut self.define_buffer);
        let begun_with = self.generation;
        let append = |writer: &mut JournalWriter, written, buffer: &mut AlignedVec| {
            definitions.write_since(written, buffer, |block| {
                writer.append_define(block, definitions, following_bytes)
            })
        };
        let mut result = append(self, written, &mut buffer);
        if result.is_ok() && self.offset + following_bytes > self.limit {
            result = self.begin_segment_for(definitions, following_bytes);
        }
        if result.is_ok() && self.generation != begun_with {
            // The segment changed on the way: the new one needs everything.
            result = append(self, 0, &mut buffer);
        }
        self.define_buffer = buffer;
        result
    }

    fn append_define(
        &mut self,
        block: &mut AlignedVec,
        definitions: &Definitions,
        following_bytes: u64,
    ) -> Result<(), JournalError> {
        let Ok(header) = BlockHeader::decode(block) else { return Ok(()) };
        if self.offset + header.padded_bytes() as u64 > self.limit {
            self.begin_segment_for(definitions, following_bytes)?;
        }
        self.defined_bytes += header.padded_bytes() as u64;
        self.append(block, &header).map(|_| ())
    }

    /// Whether nothing more may be appended to the segment: a sync of it failed, or somebody cut or
    /// removed its file.
    fn is_given_up(&mut self) -> bool {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked_at) >= LOOK_EVERY {
            self.looked_at = now;
            if self.segment.as_ref().is_some_and(|segment| !segment.is_intact()) {
                return true;
            }
        }
        self.journal.shared.given_up.load(Ordering::Relaxed) >= self.generation
    }

    /// Writes one block at the end of the segment and moves the journal's end behind it.
    fn append(
        &mut self,
        block: &mut AlignedVec,
        header: &BlockHeader,
    ) -> Result<Position, JournalError> {
        let padded_bytes = header.padded_bytes();
        let limit_bytes = MAX_BLOCK_BYTES + header.envelope_bytes as usize;
        let limit_bytes = limit_bytes.min(self.limit as usize);
        if padded_bytes > limit_bytes || self.offset + padded_bytes as u64 > self.limit {
            return Err(JournalError::TooLarge { block_bytes: padded_bytes, limit_bytes });
        }
        self.write(block, padded_bytes)?;
        crash::reached(CrashPoint::JournalCommit);
        let position = Position { generation: self.generation, offset: self.offset, index: 0 };
        self.offset += padded_bytes as u64;
        let mut state = self.journal.state();
        state.end.offset = self.offset;
        let is_first_unsynced = state.syncs.appended();
        drop(state);
        self.journal.shared.changed.notify_all();
        if is_first_unsynced {
            self.journal.shared.sync_changed.notify_all();
        }
        Ok(position)
    }

    /// Writes one block, which fits, at the end of the segment.
    fn write(&mut self, block: &mut AlignedVec, padded_bytes: usize) -> Result<(), JournalError> {
        header::set_generation(block, self.generation);
        match &mut self.target {
            Target::Memory(writer) => {
                let space = writer.space();
                space[..block.len()].copy_from_slice(block);
                space[block.len()..padded_bytes].fill(0);
                writer.commit(padded_bytes);
                Ok(())
            }
            Target::File => {
                let file = self.segment.as_ref().and_then(|segment| segment.file());
                let Some((file, path)) = file else { return Err(nowhere(padded_bytes)) };
                header::seal(block);
                let (header, archive) = block.split_at(HEADER_BYTES);
                // The archive first: without a header the block does not exist (invariant 2).
                let archive = (archive, self.offset + HEADER_BYTES as u64);
                let written = self.output.write_in_order(file, archive, (header, self.offset));
                written.map_err(|source| JournalError::Io {
                    doing: "write the segment",
                    path: path.to_owned(),
                    source,
                })
            }
            Target::None => Err(nowhere(padded_bytes)),
        }
    }

    /// Begins a segment that can have all these definitions and the block behind them: on a short disk
    /// a smaller one would be begun for nothing.
    fn begin_segment_for(
        &mut self,
        definitions: &Definitions,
        following_bytes: u64,
    ) -> Result<(), JournalError> {
        let head_bytes = self.marks.len() * size_of::<ArchivedMark>();
        // With the headers of their blocks, the rounding of each, and the root of its archive.
        let definitions_bytes = definitions.bytes() + definitions.bytes() / 16;
        let front_bytes = head_bytes + definitions_bytes + FRONT_BLOCKS_BYTES;
        self.begin(front_bytes as u64 + following_bytes)
    }

    /// Begins a segment of whatever size.
    pub(super) fn begin_segment(&mut self) -> Result<(), JournalError> {
        self.begin(0)
    }

    /// Closes the segment, makes room, then begins the next one with a snapshot of the marks.
    fn begin(&mut self, needed_bytes: u64) -> Result<(), JournalError> {
        // Before room is made: the end of what was reserved is room, too.
        self.close();
        let generation = self.generation.max(self.journal.end().generation) + 1;
        let (target, segment, bytes) = match self.journal.path(generation) {
            None => {
                let bytes = self.journal.make_room(needed_bytes, &mut { u64::MAX })?;
                let (target, segment) = self.memory_segment(generation)?;
                (target, segment, bytes)
            }
            Some(path) => {
                let (segment, bytes) = self.file_segment(generation, path, needed_bytes)?;
                (Target::File, segment, bytes)
            }
        };
        let segment = Arc::new(segment);
        if let Target::Memory(full) = std::mem::replace(&mut self.target, target) {
            self.retired.push(full);
        }
        crash::reached(CrashPoint::SegmentReserved);
        self.segment = Some(Arc::clone(&segment));
        (self.generation, self.offset, self.limit) = (generation, 0, bytes);
        self.events_blocks = 0;
        self.written.clear();
        (self.restated_at, self.defined_bytes) = (0, 0);
        self.restate_bytes = RESTATE_BYTES_MIN;
        if let Err(error) = self.write_head() {
            // A segment without its head would be one without its marks.
            self.segment = None;
            (self.target, self.limit) = (Target::None, 0);
            let _ = self.journal.path(generation).map(std::fs::remove_file);
            return Err(error);
        }
        crash::reached(CrashPoint::SegmentBegun);
        {
            let mut state = self.journal.state();
            state.segments.push_back(Entry::written(&segment, bytes));
            state.end = Position { generation, offset: self.offset, index: 0 };
            if !segment.is_memory() {
                state.syncs.written(segment);
            }
        }
        self.journal.shared.changed.notify_all();
        self.journal.shared.sync_changed.notify_all();
        Ok(())
    }

    fn write_head(&mut self) -> Result<(), JournalError> {
        let mut block = std::mem::take(&mut self.define_buffer);
        build::segment(&mut block, self.marks.iter());
        let padded_bytes = block.len().next_multiple_of(HEADER_BYTES);
        let result = match padded_bytes as u64 <= self.limit {
            true => self.write(&mut block, padded_bytes),
            false => Err(JournalError::TooLarge {
                block_bytes: padded_bytes,
                limit_bytes: self.limit as usize,
            }),
        };
        self.define_buffer = block;
        self.offset = padded_bytes as u64;
        result
    }

    /// Ends the segment behind its last block: the rest of what was reserved is given back, and a loss
    /// that somebody else caused is counted.
    fn close(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        self.limit = self.offset;
        let is_intact = segment.is_intact();
        segment.close(self.offset);
        let blocks = match is_intact {
            true => 0,
            false => self.events_blocks.saturating_sub(segment.events_blocks(self.offset)),
        };
        let mut state = self.journal.state();
        if let Some(entry) = state.entry(self.generation) {
            (entry.bytes, entry.is_closed) = (Some(self.offset), true);
            if is_intact && !segment.is_memory() {
                entry.held = None;
                entry.lent = Arc::downgrade(&segment);
            }
        }
        if !is_intact {
            let lost = self.lost.get_or_insert_default();
            for losses in [lost, &mut state.losses] {
                losses.segments += 1;
                losses.blocks += blocks;
            }
        }
        drop(state);
        crash::reached(CrashPoint::SegmentClosed);
    }

    /// A segment file, as large as the disk allows.
    fn file_segment(
        &self,
        generation: u64,
        path: PathBuf,
        needed_bytes: u64,
    ) -> Result<(Segment, u64), JournalError> {
        let mut disk_bytes = u64::MAX;
        loop {
            let bytes = self.journal.make_room(needed_bytes, &mut disk_bytes)?;
            match Segment::create(&path, generation, bytes) {
                Ok(segment) => return Ok((segment, bytes)),
                Err(source) => {
                    // Half a segment would be taken for an empty one at the next start.
                    let _ = std::fs::remove_file(&path);
                    if !sys::file::is_disk_full(&source) {
                        return Err(JournalError::Io { doing: "create the segment", path, source });
                    }
                    // Less than was said to be free.
                    disk_bytes = bytes - 1;
                }
            }
        }
    }

    /// A memory segment: one that readers have let go, or a new one.
    fn memory_segment(&mut self, generation: u64) -> Result<(Target, Segment), JournalError> {
        // The one that was retired first is let go first, as a rule.
        for at in 0..self.retired.len() {
            match self.retired.remove(at).try_recycle() {
                Ok((writer, reader)) => {
                    let segment = Segment::in_memory(generation, reader);
                    return Ok((Target::Memory(writer), segment));
                }
                Err(held) => self.retired.insert(at, held),
            }
        }
        let (writer, reader) = AppendBuffer::new(
            self.journal.shared.options.segment_bytes as usize,
        )
        .map_err(|source| JournalError::Io {
            doing: "map memory for",
            path: PathBuf::from("a segment"),
            source,
        })?;
        Ok((Target::Memory(writer), Segment::in_memory(generation, reader)))
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// There is no segment that takes a block.
fn nowhere(block_bytes: usize) -> JournalError {
    JournalError::TooLarge { block_bytes, limit_bytes: 0 }
}

/// The file name of a segment.
pub(super) fn segment_name(generation: u64) -> String {
    format!("segment-{generation:016x}.rwj")
}

#[cfg(test)]
impl JournalWriter {
    /// Lets the next block find whatever happened to the file.
    pub(super) fn look_at_once(&mut self) {
        self.looked_at -= LOOK_EVERY;
    }
}
