//! Reading a journal block by block, with the definitions met on the way.

use std::fmt;
use std::sync::Arc;

use rkyv::util::AlignedVec;

use super::segment::Segment;
use super::{Journal, Position};
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{Dictionary, EventsBlock};

/// Reads the blocks of a journal in order. Each appender has one.
///
/// Blocks of kind *segment* and *define* are taken in on the way; [`Reader::next`] yields events
/// blocks. Damage is passed over and counted.
pub struct Reader {
    journal: Journal,
    segment: Option<Arc<Segment>>,
    position: Position,
    buffer: AlignedVec,
    dictionary: Dictionary,
    overtaken_segments: u64,
}

/// An events block as it lies in the journal.
pub struct Block<'a> {
    /// Where it begins.
    pub position: Position,
    /// Where the next one begins.
    pub next: Position,
    /// Its checked archive.
    pub events: EventsBlock<'a>,
    /// What its events refer to.
    pub dictionary: &'a Dictionary,
    /// Header and archive.
    pub bytes: &'a [u8],
}

/// Why a place of the journal could not be read. The reader stands behind it.
#[derive(Debug)]
#[allow(missing_docs, reason = "field names say it")]
pub enum ReadError {
    /// The bytes are not what was written.
    Damaged { position: Position, source: BlockError },
    /// The operating system refused.
    Io { position: Position, source: std::io::Error },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Damaged { position, .. } => write!(f, "damage at {position}"),
            ReadError::Io { position, .. } => write!(f, "cannot read at {position}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Damaged { source, .. } => Some(source),
            ReadError::Io { source, .. } => Some(source),
        }
    }
}

/// What stands at the reader's position.
enum Step {
    /// An events block of this many padded bytes.
    Events(BlockHeader),
    /// Something that was taken in or passed over.
    Passed,
    End,
}

impl Reader {
    pub(super) fn new(journal: Journal, position: Position) -> Reader {
        let mut reader = Reader {
            journal,
            segment: None,
            position: Position::default(),
            buffer: AlignedVec::new(),
            dictionary: Dictionary::new(),
            overtaken_segments: 0,
        };
        reader.seek(position);
        reader
    }

    /// The position of the next block.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Segments that went before this reader reached them.
    pub fn overtaken_segments(&self) -> u64 {
        self.overtaken_segments
    }

    /// Moves to the block at `position`, or to the first one behind it. The definitions of its
    /// segment are read again up to there.
    pub fn seek(&mut self, position: Position) {
        let state = self.journal.state();
        let segment =
            state.segments.iter().find(|segment| segment.generation() >= position.generation);
        self.segment = segment.cloned();
        drop(state);
        let generation =
            self.segment.as_ref().map_or(position.generation, |segment| segment.generation());
        self.position = Position { generation, ..Position::default() };
        self.dictionary.begin_segment();
        if generation == position.generation {
            while self.position < (Position { index: 0, ..position }) {
                match self.step() {
                    Ok(Step::Events(header)) => {
                        self.position.offset += header.padded_bytes() as u64
                    }
                    Ok(Step::Passed) | Err(_) => {}
                    Ok(Step::End) => break,
                }
            }
        }
    }

    #[allow(clippy::should_implement_trait, reason = "a block borrows from the reader")]
    /// The next events block, `None` at the end of the journal.
    ///
    /// # Errors
    /// [`ReadError`] for damage; the reader stands behind it and can go on.
    pub fn next(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        let header = loop {
            match self.step()? {
                Step::Events(header) => break header,
                Step::Passed => {}
                Step::End => return Ok(None),
            }
        };
        let position = self.position;
        self.position.offset += header.padded_bytes() as u64;
        let Some(segment) = &self.segment else { return Ok(None) };
        let damaged = |source| ReadError::Damaged { position, source };
        let bytes = segment
            .read(position.offset, header.bytes(), &mut self.buffer)
            .map_err(|source| ReadError::Io { position, source })?;
        if !segment.is_memory() {
            header::verify(bytes).map_err(damaged)?;
        }
        let events = EventsBlock::open(header, bytes).map_err(damaged)?;
        Ok(Some(Block {
            position,
            next: self.position,
            events,
            dictionary: &self.dictionary,
            bytes,
        }))
    }

    /// Looks at the block at the position; passes over everything but events.
    fn step(&mut self) -> Result<Step, ReadError> {
        let end = self.journal.end();
        if self.segment.is_none() {
            self.next_segment();
        }
        let Some(segment) = &self.segment else { return Ok(Step::End) };
        let position = self.position;
        if position >= end {
            return Ok(Step::End);
        }
        let damaged = |source| ReadError::Damaged { position, source };
        let io = |source| ReadError::Io { position, source };
        let front = segment.read(position.offset, HEADER_BYTES, &mut self.buffer).map_err(io)?;
        let header = match BlockHeader::decode(front) {
            Ok(header) if header.generation == segment.generation() => header,
            Err(BlockError::Empty | BlockError::Short) if position.generation < end.generation => {
                self.next_segment();
                return Ok(Step::Passed);
            }
            found => {
                self.position.offset += HEADER_BYTES as u64;
                let stale = BlockError::Malformed { what: "it belongs to another segment" };
                return Err(damaged(found.err().unwrap_or(stale)));
            }
        };
        if header.kind == BlockKind::Events {
            return Ok(Step::Events(header));
        }
        self.position.offset += header.padded_bytes() as u64;
        if header.kind == BlockKind::Define {
            let bytes =
                segment.read(position.offset, header.bytes(), &mut self.buffer).map_err(io)?;
            if !segment.is_memory() {
                header::verify(bytes).map_err(damaged)?;
            }
            let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
            self.dictionary.define(&header, body).map_err(damaged)?;
        }
        Ok(Step::Passed)
    }

    /// Goes to the start of the next segment that exists.
    fn next_segment(&mut self) {
        let state = self.journal.state();
        let next =
            state.segments.iter().find(|segment| segment.generation() > self.position.generation);
        let Some(next) = next.or(state.segments.front()).cloned() else { return };
        drop(state);
        if next.generation() <= self.position.generation && self.segment.is_some() {
            return;
        }
        let skipped = next.generation().saturating_sub(self.position.generation + 1);
        if self.segment.is_some() {
            self.overtaken_segments += skipped;
        }
        self.position = Position { generation: next.generation(), ..Position::default() };
        self.segment = Some(next);
        self.dictionary.begin_segment();
    }
}
