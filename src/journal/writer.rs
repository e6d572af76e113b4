//! The one who appends.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rkyv::util::AlignedVec;

use super::segment::Segment;
use super::{Journal, JournalError, Position, lock};
use crate::block::build;
use crate::block::define::Definitions;
use crate::block::header::{self, BlockHeader, BlockKind, HEADER_BYTES, MAX_BLOCK_BYTES};
use crate::sys;
use crate::sys::append::{AppendBuffer, AppendWriter};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::output::Output;

/// Definitions are said anew after this many bytes, so that damage to one block of them costs
/// little.
const RESTATE_BYTES: u64 = 4 << 20;
/// But not before this many times their own size: with many sources they would fill the journal.
const RESTATE_FACTOR: u64 = 8;

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
    target: Target,
    output: Output,
    generation: u64,
    offset: u64,
    /// The revision of its definitions that this segment has, by (source, epoch).
    written: HashMap<(u128, u64), u64>,
    /// Where definitions were last said anew.
    restated_at: u64,
    /// Bytes of define blocks since then.
    defined_bytes: u64,
    define_buffer: AlignedVec,
    /// Memory segments that readers still hold.
    retired: Vec<AppendWriter>,
}

enum Target {
    None,
    Memory(AppendWriter),
    File { file: File, path: PathBuf },
}

impl JournalWriter {
    pub(super) fn new(journal: Journal, marks: Marks) -> JournalWriter {
        let generation = journal.end().generation;
        JournalWriter {
            journal,
            marks,
            target: Target::None,
            output: Output::by_calls(),
            generation,
            offset: 0,
            written: HashMap::new(),
            restated_at: 0,
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
        if self.offset + header.padded_bytes() as u64 > self.segment_bytes() {
            self.begin_segment()?;
        }
        let distance = RESTATE_BYTES.max(RESTATE_FACTOR * self.defined_bytes);
        if self.offset >= self.restated_at + distance {
            self.written.clear();
            (self.restated_at, self.defined_bytes) = (self.offset, 0);
        }
        let written = self.written.get(&key).copied().unwrap_or(0);
        if written < definitions.revision() {
            self.define(definitions, written, header.padded_bytes() as u64)?;
            self.written.insert(key, definitions.revision());
        }
        let position = self.append(block, &header)?;
        self.marks.raise(header.source, header.epoch, header.sequence);
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
        let mut result =
            definitions.write_since(written, &mut buffer, |block| self.append_define(block));
        if result.is_ok() && self.offset + following_bytes > self.segment_bytes() {
            result = self.begin_segment();
        }
        if result.is_ok() && self.generation != begun_with {
            // The segment changed on the way: the new one needs everything.
            result = definitions.write_since(0, &mut buffer, |block| self.append_define(block));
        }
        self.define_buffer = buffer;
        result
    }

    fn append_define(&mut self, block: &mut AlignedVec) -> Result<(), JournalError> {
        let Ok(header) = BlockHeader::decode(block) else { return Ok(()) };
        if self.offset + header.padded_bytes() as u64 > self.segment_bytes() {
            self.begin_segment()?;
        }
        self.defined_bytes += header.padded_bytes() as u64;
        self.append(block, &header).map(|_| ())
    }

    fn segment_bytes(&self) -> u64 {
        self.journal.shared.options.segment_bytes
    }

    /// Writes one block at the end of the segment and moves the journal's end behind it.
    fn append(
        &mut self,
        block: &mut AlignedVec,
        header: &BlockHeader,
    ) -> Result<Position, JournalError> {
        let padded_bytes = header.padded_bytes();
        let limit_bytes = MAX_BLOCK_BYTES + header.envelope_bytes as usize;
        let limit_bytes = limit_bytes.min(self.segment_bytes() as usize);
        if padded_bytes > limit_bytes || self.offset + padded_bytes as u64 > self.segment_bytes() {
            return Err(JournalError::TooLarge { block_bytes: padded_bytes, limit_bytes });
        }
        header::set_generation(block, self.generation);
        match &mut self.target {
            Target::Memory(writer) => {
                let space = writer.space();
                space[..block.len()].copy_from_slice(block);
                space[block.len()..padded_bytes].fill(0);
                writer.commit(padded_bytes);
            }
            Target::File { file, path } => {
                header::seal(block);
                let (header, archive) = block.split_at(HEADER_BYTES);
                // The archive first: without a header the block does not exist (invariant 2).
                let archive = (archive, self.offset + HEADER_BYTES as u64);
                let written = self.output.write_in_order(file, archive, (header, self.offset));
                written.map_err(|source| JournalError::Io {
                    doing: "write the segment",
                    path: path.clone(),
                    source,
                })?;
            }
            Target::None => {
                return Err(JournalError::TooLarge { block_bytes: padded_bytes, limit_bytes: 0 });
            }
        }
        crash::reached(CrashPoint::JournalCommit);
        let position = Position { generation: self.generation, offset: self.offset, index: 0 };
        self.offset += padded_bytes as u64;
        self.journal.state().end_offset = self.offset;
        self.journal.shared.changed.notify_all();
        Ok(position)
    }

    /// Makes room, then begins the next segment with a snapshot of the marks.
    pub(super) fn begin_segment(&mut self) -> Result<(), JournalError> {
        self.make_room()?;
        let generation = self.generation.max(self.journal.end().generation) + 1;
        let (target, segment) = match &self.journal.shared.options.dir {
            None => self.memory_segment(generation)?,
            Some(dir) => {
                let path = dir.join(segment_name(generation));
                let create = || -> std::io::Result<(File, File)> {
                    let file = sys::file::create_reserved(&path, self.segment_bytes())?;
                    let reader = sys::file::open_read(&path)?;
                    Ok((file, reader))
                };
                let (file, reader) = create().map_err(|source| {
                    // Half a segment would be taken for an empty one at the next start.
                    let _ = std::fs::remove_file(&path);
                    let path = path.clone();
                    JournalError::Io { doing: "create the segment", path, source }
                })?;
                let segment = Segment::in_file(generation, reader, path.clone());
                (Target::File { file, path }, segment)
            }
        };
        if let Target::Memory(full) = std::mem::replace(&mut self.target, target) {
            self.retired.push(full);
        }
        self.generation = generation;
        self.offset = 0;
        self.written.clear();
        (self.restated_at, self.defined_bytes) = (0, 0);
        {
            let mut state = self.journal.state();
            state.segments.push_back(Arc::new(segment));
            state.end_offset = 0;
        }
        let mut block = std::mem::take(&mut self.define_buffer);
        build::segment(&mut block, self.marks.iter());
        let result = match BlockHeader::decode(&block) {
            Ok(header) if header.kind == BlockKind::Segment => {
                self.append(&mut block, &header).map(|_| ())
            }
            _ => Ok(()),
        };
        self.define_buffer = block;
        result
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
        let (writer, reader) =
            AppendBuffer::new(self.segment_bytes() as usize).map_err(|source| {
                JournalError::Io {
                    doing: "map memory for",
                    path: PathBuf::from("a segment"),
                    source,
                }
            })?;
        Ok((Target::Memory(writer), Segment::in_memory(generation, reader)))
    }

    /// Removes the oldest segments until one more fits; none before all cursors are registered.
    fn make_room(&mut self) -> Result<(), JournalError> {
        let options = &self.journal.shared.options;
        let mut state = self.journal.state();
        if !state.is_bounded {
            return Ok(());
        }
        state.cursors.retain(|cursor| lock(&cursor.settled).generation != u64::MAX);
        while (state.segments.len() as u64 + 1) * options.segment_bytes > options.max_bytes {
            if let Some(holder) = state.holder() {
                let held_by = holder.name.clone();
                return Err(JournalError::Full { max_bytes: options.max_bytes, held_by });
            }
            match state.segments.pop_front() {
                Some(segment) => segment.remove(),
                None => break,
            }
        }
        Ok(())
    }
}

/// The file name of a segment.
pub(super) fn segment_name(generation: u64) -> String {
    format!("segment-{generation:016x}.rwj")
}
