//! Reading a journal block by block, with the definitions met on the way.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rkyv::util::AlignedVec;

use super::seen::Seen;
use super::segment::Segment;
use super::{Journal, Position};
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{Dictionary, EventsBlock};

/// The blocks of so many runs are remembered.
const RUNS_MAX: usize = 65_536;

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
    /// Some of the segment is damaged, so that definitions may be missing.
    is_damaged: bool,
    /// They were looked for in the rest of it.
    has_looked_ahead: bool,
    /// The blocks of each run since the reader was moved, by source and epoch: a page that stands
    /// there twice must not deliver its blocks twice.
    seen: HashMap<(u128, u64), Seen>,
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

/// Whether nothing was written here.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
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
            is_damaged: false,
            has_looked_ahead: false,
            seen: HashMap::new(),
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
        // A journal that ends before the position is another one, and read from its start.
        let found = state.first_from(position.generation).or_else(|| state.first_from(0));
        drop(state);
        self.segment = None;
        let is_there = found == Some(position.generation);
        let generation = found.unwrap_or(position.generation);
        self.position = Position { generation, ..Position::default() };
        self.from = if is_there { Position { index: 0, ..position } } else { self.position };
        self.begin_segment();
        self.seen.clear();
    }

    /// The next events block, `None` at the end of the journal.
    ///
    /// # Errors
    /// [`ReadError`], whose variant says where the reader stands.
    #[allow(clippy::should_implement_trait, reason = "a block borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        let header = loop {
            if self.is_damaged && !self.has_looked_ahead {
                self.look_ahead();
            }
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
            self.is_damaged |= matches!(passed, Err(ReadError::Damaged { .. }));
            match passed {
                // It was told to whoever came by here.
                Err(ReadError::Damaged { .. }) if is_before => {}
                passed => passed?,
            }
        };
        let (position, next) = (self.position, self.behind(&header));
        let Some(segment) = &self.segment else { return Ok(None) };
        // What has become of a define block may call itself one of events.
        let end = self.known_end(segment);
        let bytes = read(segment, &mut self.position, &header, end, &mut self.buffer)
            .inspect_err(|_| self.is_damaged = true)?;
        let events = EventsBlock::open(header, bytes)
            .map_err(|source| ReadError::Damaged { position, source })?;
        let run = (header.source, header.epoch);
        if self.seen.len() >= RUNS_MAX && !self.seen.contains_key(&run) {
            self.seen.clear();
        }
        let seen = self.seen.entry(run).or_default();
        if !seen.insert(header.sequence) {
            self.is_damaged = true;
            let source = BlockError::Malformed { what: "it stands here for the second time" };
            return Err(ReadError::Damaged { position, source });
        }
        Ok(Some(Block { position, next, events, dictionary: &self.dictionary, bytes }))
    }

    /// Moves back to the block that was read last, at `position`: it comes again next.
    pub(crate) fn step_back(&mut self, position: Position, header: &BlockHeader) {
        if position.generation == self.position.generation {
            self.position = Position { index: 0, ..position };
            if let Some(seen) = self.seen.get_mut(&(header.source, header.epoch)) {
                seen.remove(header.sequence);
            }
        } else {
            self.seek(position);
        }
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
        let end = self.known_end(segment);
        let bytes = read(segment, &mut self.position, &header, end, &mut self.buffer)?;
        Ok(Some(RawBlock { position, header, bytes }))
    }

    /// Looks at the header at the position. The position moves over the end of a segment and over
    /// what is no header, not over a block.
    fn step(&mut self) -> Result<Step, ReadError> {
        let end = self.journal.end();
        let position = self.position;
        if position >= end {
            return Ok(Step::End);
        }
        let Some(segment) = self.open()? else {
            self.overtaken_segments += 1;
            return Ok(self.next_segment());
        };
        let known_end = self.known_end(&segment);
        if known_end.is_some_and(|end| position.offset >= end) {
            return Ok(self.next_segment());
        }
        let io = |source| ReadError::Io { position, source };
        let front = segment.read(position.offset, HEADER_BYTES, &mut self.buffer).map_err(io)?;
        let source = match BlockHeader::decode(front) {
            Ok(header) if header.generation == segment.generation() => {
                return Ok(Step::Block(header));
            }
            Err(BlockError::Short) if known_end.is_none() && is_zero(front) => {
                return Ok(self.next_segment());
            }
            Err(BlockError::Empty) if known_end.is_none() => {
                if !segment
                    .has_blocks_behind_zeroes(position.offset, &mut self.buffer)
                    .map_err(io)?
                {
                    return Ok(self.next_segment());
                }
                BlockError::Malformed { what: "zeroes stand in front of other blocks" }
            }
            Ok(_) => BlockError::Malformed { what: "it belongs to another segment" },
            Err(BlockError::Empty | BlockError::Short) => {
                BlockError::Malformed { what: "somebody cut or emptied it" }
            }
            Err(source) => source,
        };
        let next = position.offset + HEADER_BYTES as u64;
        let next = segment.next_header(next, known_end, &mut self.buffer).map_err(io)?;
        self.position.offset = next;
        Err(ReadError::Damaged { position, source })
    }

    /// The segment of the position; `None` if it was recycled before it was opened.
    fn open(&mut self) -> Result<Option<Arc<Segment>>, ReadError> {
        if self.segment.is_none() {
            let position = self.position;
            match self.journal.segment(position.generation) {
                Ok(segment) => self.segment = segment,
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                    self.next_segment();
                    let source = BlockError::Malformed { what: "somebody removed its segment" };
                    return Err(ReadError::Damaged { position, source });
                }
                Err(source) => return Err(ReadError::Io { position, source }),
            }
        }
        Ok(self.segment.clone())
    }

    /// Moves behind the block at the position, and takes it in if it is a define block.
    fn pass(&mut self, header: &BlockHeader) -> Result<(), ReadError> {
        let position = self.position;
        let Some(segment) = &self.segment else { return Ok(()) };
        if header.kind != BlockKind::Define {
            self.position = self.behind(header);
            return Ok(());
        }
        let end = self.known_end(segment);
        let bytes = read(segment, &mut self.position, header, end, &mut self.buffer)?;
        let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        let defined = self.dictionary.define(header, body);
        defined.map_err(|source| ReadError::Damaged { position, source })
    }

    fn begin_segment(&mut self) {
        self.dictionary.begin_segment();
        (self.is_damaged, self.has_looked_ahead) = (false, false);
    }

    /// Takes the definitions in the rest of the segment for those that the damage may have cost. What
    /// is wrong there is told when the reader comes to it.
    fn look_ahead(&mut self) {
        self.has_looked_ahead = true;
        let Ok(Some(segment)) = self.open() else { return };
        let known_end = self.known_end(&segment);
        let (mut position, buffer) = (self.position, &mut self.buffer);
        while known_end.is_none_or(|end| position.offset < end) {
            let Ok(front) = segment.read(position.offset, HEADER_BYTES, buffer) else { return };
            match BlockHeader::decode(front) {
                Ok(header) if header.generation != segment.generation() => {}
                Ok(header) if header.kind == BlockKind::Define => {
                    if let Ok(bytes) = read(&segment, &mut position, &header, known_end, buffer) {
                        let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
                        let _ = self.dictionary.define_ahead(&header, body);
                        continue;
                    }
                }
                Ok(header) => {
                    position.offset += header.padded_bytes() as u64;
                    continue;
                }
                Err(BlockError::Short) if known_end.is_none() => return,
                Err(_) => {}
            }
            let next = position.offset + HEADER_BYTES as u64;
            let Ok(next) = segment.next_header(next, known_end, buffer) else { return };
            position.offset = next;
        }
    }

    /// Where the segment of the position ends; `None` where the one who wrote it is dead: it ends where
    /// its blocks do.
    fn known_end(&self, segment: &Segment) -> Option<u64> {
        let end = self.journal.end();
        let is_newest = self.position.generation >= end.generation;
        if is_newest { Some(end.offset) } else { segment.end() }
    }

    /// The position behind the block at the position.
    fn behind(&self, header: &BlockHeader) -> Position {
        Position { offset: self.position.offset + header.padded_bytes() as u64, ..self.position }
    }

    /// Goes to the start of the next segment that exists.
    fn next_segment(&mut self) -> Step {
        let found = self.journal.state().first_from(self.position.generation + 1);
        let Some(generation) = found else { return Step::End };
        self.overtaken_segments += generation - (self.position.generation + 1);
        self.position = Position { generation, ..Position::default() };
        self.from = self.position;
        self.segment = None;
        self.begin_segment();
        Step::Passed
    }
}

/// The block at `position`, its checksum compared if it comes from a file. The position moves behind
/// it, or to where one may stand behind what is damaged, unless the operating system refused. The
/// segment ends at `end`, if that is known.
fn read<'a>(
    segment: &'a Segment,
    position: &mut Position,
    header: &BlockHeader,
    end: Option<u64>,
    buffer: &'a mut AlignedVec,
) -> Result<&'a [u8], ReadError> {
    let at = *position;
    let bytes = segment
        .read(at.offset, header.bytes(), buffer)
        .map_err(|source| ReadError::Io { position: at, source })?;
    if !segment.is_memory()
        && let Err(source) = header::verify(bytes)
    {
        position.offset = segment.behind_damaged(at.offset, header, end);
        return Err(ReadError::Damaged { position: at, source });
    }
    position.offset += header.padded_bytes() as u64;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::super::tests::{Source, numbers, open};
    use super::super::{Losses, segment_paths};
    use super::*;

    /// How many blocks can be read from the start, and which places are damaged.
    fn read_all(journal: &Journal) -> (usize, Vec<Position>) {
        let mut reader = journal.reader(Position::default());
        let (mut blocks, mut damaged) = (0, Vec::new());
        loop {
            match reader.next() {
                Ok(Some(_)) => blocks += 1,
                Ok(None) => return (blocks, damaged),
                Err(ReadError::Damaged { position, .. }) => damaged.push(position),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn cut(path: &Path, bytes: u64) {
        std::fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn a_block_that_stands_there_twice_is_delivered_once() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        let places: Vec<_> = (0..4).map(|n| source.append(&mut writer, n, 100).unwrap()).collect();
        let path = journal.path(places[0].generation).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut block = vec![0; (places[2].offset - places[1].offset) as usize];
        file.read_exact_at(&mut block, places[1].offset).unwrap();
        file.write_all_at(&block, places[2].offset).unwrap();
        assert_eq!(read_all(&journal), (3, vec![places[2]]));
        // Who goes back for a block gets it again.
        let mut reader = journal.reader(Position::default());
        for _ in 0..2 {
            reader.seek(places[1]);
            assert_eq!(reader.next().unwrap().unwrap().position, places[1]);
        }
    }

    #[test]
    fn a_page_of_zeroes_does_not_hide_the_blocks_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        let places: Vec<_> = (0..9).map(|n| source.append(&mut writer, n, 3800).unwrap()).collect();
        let path = journal.path(places[0].generation).unwrap();
        // Its owner is killed, and a page is lost that begins with a header.
        std::mem::forget(writer);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let page_end = (places[5].offset + 1).next_multiple_of(4096);
        let zeroes = vec![0; (page_end - places[5].offset) as usize];
        file.write_all_at(&zeroes, places[5].offset).unwrap();

        let (journal, _writer) = {
            let scan = super::super::Scan::of_directory(dir.path()).unwrap();
            let options = super::super::JournalOptions::directory(dir.path());
            Journal::in_directory(options, scan).unwrap()
        };
        assert_eq!(read_all(&journal), (8, vec![places[5]]));
        assert_eq!(numbers(&journal, places[6]), [6, 7, 8]);
    }

    #[test]
    fn a_segment_that_somebody_cuts_is_damaged_once_and_left_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        let places: Vec<_> = (0..10).map(|n| source.append(&mut writer, n, 100).unwrap()).collect();
        let path = journal.path(places[4].generation).unwrap();
        cut(&path, places[4].offset);
        assert_eq!(read_all(&journal), (4, vec![places[4]]));

        // The writer may not have looked: what it appends lies behind a hole.
        source.append(&mut writer, 10, 100).unwrap();
        assert_eq!(read_all(&journal), (5, vec![places[4]]));
        writer.look_at_once();
        let next = source.append(&mut writer, 11, 100).unwrap();
        assert_eq!(next.generation, places[4].generation + 1);
        let lost = Losses { segments: 1, blocks: 6 };
        assert_eq!((journal.losses(), writer.take_losses()), (lost, Some(lost)));
        assert_eq!(writer.take_losses(), None);
        assert_eq!(read_all(&journal), (6, vec![places[4]]));
        // The next owner finds what is left.
        drop(writer);
        let scan = super::super::Scan::of_directory(dir.path()).unwrap();
        let options = super::super::JournalOptions::directory(dir.path());
        let (journal, _writer) = Journal::in_directory(options, scan).unwrap();
        assert!(read_all(&journal).0 >= 5);
    }

    #[test]
    fn a_cut_in_the_middle_of_a_block_is_damage_and_never_a_loop() {
        for bytes in [0, 1, 63, 64, 100, 500] {
            let dir = tempfile::tempdir().unwrap();
            let (journal, mut writer) = open(dir.path());
            let mut source = Source::new();
            let first = source.append(&mut writer, 0, 1000).unwrap();
            cut(&journal.path(first.generation).unwrap(), bytes);
            let (blocks, damaged) = read_all(&journal);
            assert!(blocks == 0 && (1..=3).contains(&damaged.len()), "{bytes}: {damaged:?}");
            drop(writer);
            for (_, path) in segment_paths(dir.path()).unwrap() {
                let mut blocks = super::super::ScannedBlocks::open(&path).unwrap();
                while let Some(block) = blocks.next() {
                    let _ = block.map(|block| block.position);
                }
            }
            let (journal, mut writer) = {
                let scan = super::super::Scan::of_directory(dir.path()).unwrap();
                let options = super::super::JournalOptions::directory(dir.path());
                Journal::in_directory(options, scan).unwrap()
            };
            source.append(&mut writer, 1, 10).unwrap();
            assert_eq!(read_all(&journal).0, 1, "{bytes}");
        }
    }

    #[test]
    fn a_segment_that_somebody_removes_is_read_to_its_end_while_the_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        for number in 0..3 {
            source.append(&mut writer, number, 100).unwrap();
        }
        std::fs::remove_file(journal.path(journal.end().generation).unwrap()).unwrap();
        writer.look_at_once();
        for number in 3..6 {
            source.append(&mut writer, number, 100).unwrap();
        }
        assert_eq!(journal.losses(), Losses { segments: 1, blocks: 0 });
        assert_eq!(numbers(&journal, Position::default()), (0..6).collect::<Vec<_>>());
    }

    #[test]
    fn a_segment_of_an_earlier_run_that_is_gone_is_damage_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Source::new();
        for number in 0..3 {
            let (_, mut writer) = open(dir.path());
            source.append(&mut writer, number, 10).unwrap();
        }
        let (journal, _writer) = open(dir.path());
        let gone = Position { generation: 2, ..Position::default() };
        std::fs::remove_file(journal.path(gone.generation).unwrap()).unwrap();
        assert_eq!(read_all(&journal), (2, vec![gone]));
    }
}
