//! Reading segment files that nobody is known to have left in order.
//!
//! Used at the start of a journal and by the command line. Every header, checksum and archive is
//! checked. Damage is reported with its place; the scan goes on at the next valid header.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;

use super::segment::Segment;
use super::{JournalError, Position};
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{EventsBlock, schema};

/// A part of a segment file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// From which byte.
    pub offset: u64,
    /// How many bytes were passed over.
    pub bytes: u64,
    /// What is wrong at the first of them.
    pub error: BlockError,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset, bytes) = (self.path.display(), self.offset, self.bytes);
        write!(f, "{path}: {bytes} bytes from byte {offset} on were passed over: {}", self.error)
    }
}

/// What a journal directory holds, as far as its owner needs to know.
#[derive(Default)]
pub struct Scan {
    pub(super) segments: Vec<Segment>,
    pub(super) marks: HashMap<(u128, u64), u64>,
    tails: HashMap<(u128, u64, u32), u64>,
    /// What could not be read in the newest segments.
    pub damage: Vec<Damage>,
}

impl Scan {
    /// Scans the segments of a directory. The newest one with a readable head tells the marks of
    /// all before it; it and what follows are read block by block.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory or a segment cannot be opened.
    pub fn of_directory(dir: &Path) -> Result<Scan, JournalError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let paths = segment_paths(dir).map_err(io("list the segments of", dir))?;
        let mut scan = Scan::default();
        // The head of a segment tells the marks of all before it. The last block of a ring whose
        // head may not have moved yet is in the newest segment that has events.
        let mut first = paths.len().saturating_sub(1);
        while first > 0 && !has(&paths[first].1, BlockKind::Segment) {
            first -= 1;
        }
        while first > 0 && !paths[first..].iter().any(|(_, path)| has(path, BlockKind::Events)) {
            first -= 1;
        }
        for (_, path) in paths.iter().skip(first) {
            scan.blocks(path).map_err(io("read the segment", path))?;
        }
        for (generation, path) in paths {
            let segment =
                Segment::open(&path, generation).map_err(io("open the segment", &path))?;
            scan.segments.push(segment);
        }
        Ok(scan)
    }

    /// The greatest position of each ring of this run that the journal holds.
    pub fn ring_ends(&self, source: u128, epoch: u64) -> HashMap<u32, u64> {
        let of_run = self.tails.iter().filter(|((of, run, _), _)| (*of, *run) == (source, epoch));
        of_run.map(|((_, _, ring), end)| (*ring, *end)).collect()
    }

    /// The greatest stored sequence of this run; 0 if none.
    pub fn sequence(&self, source: u128, epoch: u64) -> u64 {
        self.marks.get(&(source, epoch)).copied().unwrap_or(0)
    }

    /// What is stored of each run, without the segments that say so: for a copy of the journal.
    #[cfg(feature = "cli")]
    pub(crate) fn marks_alone(self) -> Scan {
        Scan { marks: self.marks, ..Scan::default() }
    }

    fn blocks(&mut self, path: &Path) -> io::Result<()> {
        let mut blocks = ScannedBlocks::open(path)?;
        while let Some(block) = blocks.next() {
            let block = match block {
                Ok(block) => block,
                Err(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            let header = block.header;
            match header.kind {
                BlockKind::Segment => {
                    let Some(body) = block.bytes.get(HEADER_BYTES..) else { continue };
                    let Ok(body) = rkyv::access::<schema::ArchivedSegmentBody, Failure>(body)
                    else {
                        continue;
                    };
                    for mark in body.marks.iter() {
                        let source = u128::from(mark.source_high.to_native()) << 64
                            | u128::from(mark.source_low.to_native());
                        self.raise(source, mark.epoch.to_native(), mark.sequence.to_native());
                    }
                }
                BlockKind::Events => {
                    let Ok(events) = EventsBlock::open(header, block.bytes) else { continue };
                    for span in events.spans() {
                        let key = (header.source, header.epoch, span.ring);
                        let tail = self.tails.entry(key).or_default();
                        *tail = span.to.max(*tail);
                    }
                    self.raise(header.source, header.epoch, header.sequence);
                }
                BlockKind::Define | BlockKind::Other(_) => {}
            }
        }
        Ok(())
    }

    fn raise(&mut self, source: u128, epoch: u64, sequence: u64) {
        let mark = self.marks.entry((source, epoch)).or_default();
        *mark = sequence.max(*mark);
    }
}

/// The segment files of a directory with their generations, the oldest first.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segment_paths(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some(generation) = generation_of(&path) {
            paths.push((generation, path));
        }
    }
    paths.sort();
    Ok(paths)
}

/// The generation that the name of a segment file says.
pub(crate) fn generation_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix("segment-")?.strip_suffix(".rwj")?;
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
}

/// Whether the file has a valid block of this kind; one of kind *segment* only counts in front.
fn has(path: &Path, kind: BlockKind) -> bool {
    let Ok(mut blocks) = ScannedBlocks::open(path) else { return false };
    while let Some(block) = blocks.next() {
        match block {
            Ok(block) if block.header.kind == kind => return true,
            _ if kind == BlockKind::Segment => return false,
            _ => {}
        }
    }
    false
}

/// A checked block of a segment file.
pub struct ScannedBlock<'a> {
    /// Where it begins.
    pub position: Position,
    /// Its header.
    pub header: BlockHeader,
    /// Header and archive.
    pub bytes: &'a [u8],
}

/// The blocks of one segment file.
pub struct ScannedBlocks {
    segment: Segment,
    path: PathBuf,
    offset: u64,
    buffer: AlignedVec,
    /// The beginning of damage that is being passed over.
    damaged: Option<(u64, BlockError)>,
}

impl ScannedBlocks {
    /// Opens a segment file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<ScannedBlocks> {
        // A file under another name keeps the generation of its first block.
        let mut segment = Segment::open(path, generation_of(path).unwrap_or(0))?;
        let mut buffer = AlignedVec::new();
        if generation_of(path).is_none() {
            let front = segment.read(0, HEADER_BYTES, &mut buffer)?;
            let generation = BlockHeader::decode(front).map_or(0, |header| header.generation);
            segment = Segment::open(path, generation)?;
        }
        Ok(ScannedBlocks { segment, path: path.to_owned(), offset: 0, buffer, damaged: None })
    }

    /// The next block, or a stretch of damage in front of it. `None` at the end.
    ///
    /// Damage that reaches to the end of what was written is reported, too.
    #[allow(clippy::should_implement_trait, reason = "a block borrows from the iterator")]
    pub fn next(&mut self) -> Option<Result<ScannedBlock<'_>, Damage>> {
        loop {
            match self.look() {
                Ok(header) => {
                    if let Some(damage) = self.end_of_damage() {
                        return Some(Err(damage));
                    }
                    let offset = self.offset;
                    self.offset += header.padded_bytes() as u64;
                    let generation = self.segment.generation();
                    let position = Position { generation, offset, index: 0 };
                    // `look` has just read and checked these bytes.
                    let bytes = self.buffer.get(..header.bytes()).unwrap_or(&[]);
                    return Some(Ok(ScannedBlock { position, header, bytes }));
                }
                Err(BlockError::Empty) if self.damaged.is_none() => return None,
                Err(BlockError::Short) => return self.end_of_damage().map(Err),
                Err(error) => {
                    self.damaged.get_or_insert((self.offset, error));
                    self.offset += HEADER_BYTES as u64;
                }
            }
        }
    }

    /// Reads and checks the block at the offset; it is in the buffer afterwards.
    fn look(&mut self) -> Result<BlockHeader, BlockError> {
        let unreadable = |_| BlockError::Malformed { what: "it cannot be read" };
        let front = self.segment.read(self.offset, HEADER_BYTES, &mut self.buffer);
        let header = BlockHeader::decode(front.map_err(unreadable)?)?;
        if header.generation != self.segment.generation() {
            return Err(BlockError::Malformed { what: "it belongs to another segment" });
        }
        let block = self.segment.read(self.offset, header.bytes(), &mut self.buffer);
        header::verify(block.map_err(unreadable)?)
    }

    fn end_of_damage(&mut self) -> Option<Damage> {
        let (offset, error) = self.damaged.take()?;
        Some(Damage { path: self.path.clone(), offset, bytes: self.offset - offset, error })
    }
}
