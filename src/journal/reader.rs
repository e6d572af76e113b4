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
    /// Blocks before it are read for their definitions only.
    from: Position,
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

/// A block as bytes, for whoever passes it on.
pub struct RawBlock<'a> {
    /// Where it begins.
    pub position: Position,
    /// Its header.
    pub header: BlockHeader,
    /// Header and archive. The checksum is compared if the block comes from a file; one from memory
    /// may have none yet.
    pub bytes: &'a [u8],
}

/// Why a place of the journal could not be read.
#[derive(Debug)]
#[allow(missing_docs, reason = "field names say it")]
pub enum ReadError {
    /// The bytes are not what was written. The reader stands behind them and can go on.
    Damaged { position: Position, source: BlockError },
    /// The operating system refused. The reader stays where it is and can try again; it may fail
    /// for ever.
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
    Block(BlockHeader),
    /// The rest of a segment, which was passed over.
    Passed,
    End,
}

impl Reader {
    pub(super) fn new(journal: Journal, position: Position) -> Reader {
        let mut reader = Reader {
            journal,
            segment: None,
            position: Position::default(),
            from: Position::default(),
            buffer: AlignedVec::new(),
            dictionary: Dictionary::new(),
            overtaken_segments: 0,
        };
        reader.seek(position);
        if position.generation > 0 {
            let found = reader.position.generation;
            reader.overtaken_segments = found.saturating_sub(position.generation);
        }
        reader
    }

    /// The position of the next block.
    pub fn position(&self) -> Position {
        self.position.max(self.from)
    }

    /// Segments that went before this reader reached their end, that of its first position included.
    pub fn overtaken_segments(&self) -> u64 {
        self.overtaken_segments
    }

    /// Moves to the block at `position`, or to the first one behind it. Reads nothing yet: the
    /// definitions of its segment are read again with the next block.
    pub fn seek(&mut self, position: Position) {
        let state = self.journal.state();
        let segment =
            state.segments.iter().find(|segment| segment.generation() >= position.generation);
        self.segment = segment.cloned();
        drop(state);
        let found = self.segment.as_ref().map(|segment| segment.generation());
        let is_there = found == Some(position.generation);
        let generation = found.unwrap_or(position.generation);
        self.position = Position { generation, ..Position::default() };
        self.from = if is_there { Position { index: 0, ..position } } else { self.position };
        self.dictionary.begin_segment();
    }

    /// The next events block, `None` at the end of the journal.
    ///
    /// # Errors
    /// [`ReadError`], whose variant says where the reader stands.
    #[allow(clippy::should_implement_trait, reason = "a block borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        let header = loop {
            let is_before = self.position < self.from;
            let passed = match self.step() {
                Ok(Step::Block(header)) if header.kind == BlockKind::Events && !is_before => {
                    break header;
                }
                Ok(Step::Block(header)) => self.pass(&header),
                Ok(Step::Passed) => Ok(()),
                Ok(Step::End) => return Ok(None),
                Err(error) => Err(error),
            };
            match passed {
                // It was told to whoever came by here.
                Err(ReadError::Damaged { .. }) if is_before => {}
                passed => passed?,
            }
        };
        let (position, next) = (self.position, self.behind(&header));
        let Some(segment) = &self.segment else { return Ok(None) };
        let bytes = read(segment, &mut self.position, &header, &mut self.buffer)?;
        let events = EventsBlock::open(header, bytes)
            .map_err(|source| ReadError::Damaged { position, source })?;
        Ok(Some(Block { position, next, events, dictionary: &self.dictionary, bytes }))
    }

    /// The next block of any kind whose header is `wanted`, as bytes; `None` at the end of the
    /// journal. Of the others only the header is read. Nothing is taken into the dictionary: a
    /// reader is used with this or with [`Reader::next`], not with both.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn next_raw(
        &mut self,
        mut wanted: impl FnMut(Position, &BlockHeader) -> bool,
    ) -> Result<Option<RawBlock<'_>>, ReadError> {
        let header = loop {
            match self.step()? {
                Step::Block(header)
                    if self.position >= self.from && wanted(self.position, &header) =>
                {
                    break header;
                }
                Step::Block(header) => self.position = self.behind(&header),
                Step::Passed => {}
                Step::End => return Ok(None),
            }
        };
        let position = self.position;
        let Some(segment) = &self.segment else { return Ok(None) };
        let bytes = read(segment, &mut self.position, &header, &mut self.buffer)?;
        Ok(Some(RawBlock { position, header, bytes }))
    }

    /// Looks at the header at the position. The position moves over the end of a segment and over
    /// what is no header, not over a block.
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
        let front = segment
            .read(position.offset, HEADER_BYTES, &mut self.buffer)
            .map_err(|source| ReadError::Io { position, source })?;
        match BlockHeader::decode(front) {
            Ok(header) if header.generation == segment.generation() => Ok(Step::Block(header)),
            Err(BlockError::Empty | BlockError::Short) if position.generation < end.generation => {
                self.next_segment();
                Ok(Step::Passed)
            }
            found => {
                self.position.offset += HEADER_BYTES as u64;
                let stale = BlockError::Malformed { what: "it belongs to another segment" };
                Err(ReadError::Damaged { position, source: found.err().unwrap_or(stale) })
            }
        }
    }

    /// Moves behind the block at the position, and takes it in if it is a define block.
    fn pass(&mut self, header: &BlockHeader) -> Result<(), ReadError> {
        let position = self.position;
        let Some(segment) = &self.segment else { return Ok(()) };
        if header.kind != BlockKind::Define {
            self.position = self.behind(header);
            return Ok(());
        }
        let bytes = read(segment, &mut self.position, header, &mut self.buffer)?;
        let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        let defined = self.dictionary.define(header, body);
        defined.map_err(|source| ReadError::Damaged { position, source })
    }

    /// The position behind the block at the position.
    fn behind(&self, header: &BlockHeader) -> Position {
        Position { offset: self.position.offset + header.padded_bytes() as u64, ..self.position }
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
        self.from = self.position;
        self.segment = Some(next);
        self.dictionary.begin_segment();
    }
}

/// The block at `position`, its checksum compared if it comes from a file. The position moves behind
/// it, damaged or not, unless the operating system refused.
fn read<'a>(
    segment: &'a Segment,
    position: &mut Position,
    header: &BlockHeader,
    buffer: &'a mut AlignedVec,
) -> Result<&'a [u8], ReadError> {
    let at = *position;
    let bytes = segment
        .read(at.offset, header.bytes(), buffer)
        .map_err(|source| ReadError::Io { position: at, source })?;
    position.offset += header.padded_bytes() as u64;
    if !segment.is_memory() {
        header::verify(bytes).map_err(|source| ReadError::Damaged { position: at, source })?;
    }
    Ok(bytes)
}
