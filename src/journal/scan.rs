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

use super::cursor::stored_cursors;
use super::holes::Holes;
use super::segment::Segment;
use super::writer::segment_name;
use super::{JournalError, Position};
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{EventsBlock, schema};

/// So many of the newest segments may have been left open by their owner: one, and what crashes of
/// later starts left.
pub(super) const READ_MAX: usize = 16;
/// So many segments may have lost their names to a power failure, and far more: names are synced before
/// this many are begun.
const NAMED_MAX: u64 = 1 << 16;

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

/// Positions in rings, by the rings' numbers.
pub type RingEnds = HashMap<u32, u64>;

/// What a journal directory holds, as far as its owner needs to know.
///
/// A journal may be large, and a start shall not wait for its size. So a scan lists the directory
/// once, keeps eight bytes for each segment, and reads from the newest one backwards until it knows:
///
/// - the *marks*: the newest segment with a readable head has those of all before it in that head;
/// - of a run to be recovered, the *ends of its rings*. Whoever writes moves the heads of the rings
///   behind a block before it appends the next one. So every block but the run's last one lies before
///   the heads, and only the last one is looked for. It is in the newest segment that has a block of
///   the run; those behind it have none, and no mark of a run says that there is none at all.
#[derive(Default)]
pub struct Scan {
    /// All segments, the oldest first.
    pub(super) generations: Vec<u64>,
    /// The newest one that a stored position names: a power failure may have taken its name from the
    /// directory. What comes goes behind it, or readers would take it for read.
    pub(super) named: u64,
    pub(super) marks: HashMap<(u128, u64), u64>,
    /// What is lost below the marks, if somebody has it and wants to know.
    pub(super) holes: Holes,
    /// Generation and end of the segments that were read: their owner may not have closed them.
    pub(super) ends: Vec<(u64, u64)>,
    tails: HashMap<(u128, u64, u32), u64>,
    /// What could not be read in the newest segments.
    pub damage: Vec<Damage>,
}

impl Scan {
    /// Scans a directory for its marks.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory or a segment cannot be read.
    pub fn of_directory(dir: &Path) -> Result<Scan, JournalError> {
        Self::back_to(dir, |_| true)
    }

    /// Scans a directory for its marks, and for what a power failure took below them: for an owner who
    /// can have blocks again from those whom he got them from. The first start after a boot reads up
    /// to 16 segments for that, and later ones only if something was lost.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory or a segment cannot be read.
    pub fn of_received(dir: &Path) -> Result<Scan, JournalError> {
        Ok(Scan { holes: Holes::since_boot(dir)?, ..Self::of_directory(dir)? })
    }

    /// What is wrong with the newest segments, a line each: damage, and blocks that are lost.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        let holes = self.holes.iter().map(|(source, epoch, blocks)| {
            format!(
                "{blocks} blocks of run {source:032x}/{epoch} were stored here and are lost; they are asked for once more"
            )
        });
        self.damage.iter().map(Damage::to_string).chain(holes)
    }

    /// Scans a directory for its marks, and for one run: up to where the journal has each of its
    /// rings, of those that the run's last block has. The heads of the others say it themselves.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory or a segment cannot be read.
    pub fn of_run(dir: &Path, source: u128, epoch: u64) -> Result<(Scan, RingEnds), JournalError> {
        let scan = Self::back_to(dir, |scan| {
            scan.sequence(source, epoch) == 0 || !scan.ring_ends(source, epoch).is_empty()
        })?;
        let ends = scan.ring_ends(source, epoch);
        Ok((scan, ends))
    }

    /// The segment behind which the next one comes.
    pub(super) fn newest(&self) -> u64 {
        let there = self.generations.last().copied().unwrap_or(0);
        // Further away it is no segment whose name was lost.
        if self.named <= there + NAMED_MAX { self.named.max(there) } else { there }
    }

    /// Has the next segment come behind this one, too, which some stored position names.
    pub fn goes_behind(&mut self, generation: u64) {
        self.named = self.named.max(generation);
    }

    /// Reads segments, the newest first, until one had a head and `is_enough` says so.
    fn back_to(dir: &Path, is_enough: impl Fn(&Scan) -> bool) -> Result<Scan, JournalError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let mut scan = Scan {
            generations: generations(dir).map_err(io("list the segments of", dir))?,
            ..Scan::default()
        };
        for cursor in stored_cursors(dir).map_err(io("read the cursors of", dir))? {
            for slot in cursor.written.iter().chain(&cursor.synced) {
                scan.goes_behind(slot.position.generation);
            }
        }
        let mut has_marks = false;
        for generation in scan.generations.clone().into_iter().rev() {
            let path = dir.join(segment_name(generation));
            has_marks |= scan.blocks(&path, generation).map_err(io("read the segment", &path))?;
            if has_marks && is_enough(&scan) {
                break;
            }
        }
        scan.ends.truncate(READ_MAX);
        scan.ends.reverse();
        Ok(scan)
    }

    fn ring_ends(&self, source: u128, epoch: u64) -> RingEnds {
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

    /// Takes in one segment. `true` if it has a head, with the marks of all before it.
    fn blocks(&mut self, path: &Path, generation: u64) -> io::Result<bool> {
        let mut blocks = ScannedBlocks::open(path)?;
        let mut has_head = false;
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
                    let Some(marks) = marks_in(block.bytes) else { continue };
                    has_head = true;
                    for (source, epoch, sequence) in marks {
                        self.raise(source, epoch, sequence);
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
        self.ends.push((generation, blocks.offset));
        Ok(has_head)
    }

    /// The marks with which a segment begins; none where its head cannot be read.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn marks_before(path: &Path) -> io::Result<impl Iterator<Item = (u128, u64, u64)>> {
        let mut blocks = ScannedBlocks::open(path)?;
        let marks: Vec<_> = match blocks.next() {
            Some(Ok(block)) if block.header.kind == BlockKind::Segment => {
                marks_in(block.bytes).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Ok(marks.into_iter())
    }

    fn raise(&mut self, source: u128, epoch: u64, sequence: u64) {
        let mark = self.marks.entry((source, epoch)).or_default();
        *mark = sequence.max(*mark);
    }
}

/// The marks in a segment block, header and body: source, epoch, sequence. `None` where it is damaged.
pub(super) fn marks_in(block: &[u8]) -> Option<Vec<(u128, u64, u64)>> {
    let body = block.get(HEADER_BYTES..)?;
    let body = rkyv::access::<schema::ArchivedSegmentBody, Failure>(body).ok()?;
    let mark = |mark: &schema::ArchivedMark| {
        let (high, low) = (mark.source_high.to_native(), mark.source_low.to_native());
        let source = u128::from(high) << 64 | u128::from(low);
        (source, mark.epoch.to_native(), mark.sequence.to_native())
    };
    Some(body.marks.iter().map(mark).collect())
}

/// The segment files of a directory with their generations, the oldest first.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segment_paths(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let with_path = |generation| (generation, dir.join(segment_name(generation)));
    Ok(generations(dir)?.into_iter().map(with_path).collect())
}

/// The generations of the segment files of a directory, the oldest first.
fn generations(dir: &Path) -> io::Result<Vec<u64>> {
    let mut generations = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        generations.extend(generation_of(Path::new(&entry?.file_name())));
    }
    generations.sort_unstable();
    Ok(generations)
}

/// The generation in the name of a file; `None` where [`segment_name`] gives no such name.
pub(crate) fn generation_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix("segment-")?.strip_suffix(".rwj")?;
    let generation = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(generation) == name).then_some(generation)
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
    /// The length of the file when it was opened.
    length: u64,
    /// The system refuses to read what follows.
    is_unreadable: bool,
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
        let mut segment = Segment::open(path, generation_of(path).unwrap_or(0), None)?;
        let mut buffer = AlignedVec::new();
        if generation_of(path).is_none() {
            let front = segment.read(0, HEADER_BYTES, &mut buffer)?;
            let generation = BlockHeader::decode(front).map_or(0, |header| header.generation);
            segment = Segment::open(path, generation, None)?;
        }
        let (path, length) = (path.to_owned(), Segment::bytes_of(path));
        let (offset, is_unreadable, damaged) = (0, false, None);
        Ok(ScannedBlocks { segment, path, offset, length, is_unreadable, buffer, damaged })
    }

    /// The next block, or a stretch of damage in front of it. `None` at the end.
    ///
    /// Damage that reaches to the end of what was written is reported, too.
    #[allow(clippy::should_implement_trait, reason = "a block borrows from the iterator")]
    pub fn next(&mut self) -> Option<Result<ScannedBlock<'_>, Damage>> {
        while !self.is_unreadable {
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
                    let next = self.offset + HEADER_BYTES as u64;
                    match self.segment.next_header(next, None, &mut self.buffer) {
                        Ok(found) => self.offset = found,
                        // What cannot be read is passed step by step, to the end of the file.
                        Err(_) if next < self.length => self.offset = next,
                        Err(_) => {
                            (self.offset, self.is_unreadable) = (self.length, true);
                            return self.end_of_damage().map(Err);
                        }
                    }
                }
            }
        }
        None
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

#[cfg(test)]
mod tests {
    use super::super::tests::{Source, open};
    use super::*;

    /// A directory in the place of a segment: whoever reads it fails.
    fn make_unreadable(dir: &Path, generation: u64) {
        let path = dir.join(segment_name(generation));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(path).unwrap();
    }

    #[test]
    fn a_start_reads_the_newest_segment_alone_however_many_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Source::new();
        for number in 0..30 {
            let (_, mut writer) = open(dir.path());
            source.append(&mut writer, number, 10).unwrap();
        }
        for generation in 1..30 {
            make_unreadable(dir.path(), generation);
        }
        let (of_run, ends) = Scan::of_run(dir.path(), 7, 1).unwrap();
        assert_eq!(ends.len(), 1);
        for scan in [Scan::of_directory(dir.path()).unwrap(), of_run] {
            assert_eq!((scan.sequence(7, 1), &scan.damage[..]), (30, &[][..]));
            assert_eq!(scan.generations, (1..=30).collect::<Vec<_>>());
        }
        // Of a run that has no block, nothing is looked for.
        let (scan, ends) = Scan::of_run(dir.path(), 8, 1).unwrap();
        assert_eq!((scan.sequence(8, 1), ends.len()), (0, 0));
    }

    #[test]
    fn the_ends_of_the_rings_are_found_behind_segments_without_events() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (_, mut writer) = open(dir.path());
            Source::new().append(&mut writer, 0, 10).unwrap();
        }
        let (_, found) = Scan::of_run(dir.path(), 7, 1).unwrap();
        assert_eq!(found.len(), 1);
        for _ in 0..20 {
            drop(open(dir.path()));
        }
        let (scan, ends) = Scan::of_run(dir.path(), 7, 1).unwrap();
        assert_eq!(ends, found);
        assert_eq!(scan.ends.len(), READ_MAX, "so many are looked at by the new owner");
        assert_eq!(Scan::of_directory(dir.path()).unwrap().ends.len(), 1);
    }

    #[test]
    fn a_segment_without_a_head_leaves_the_marks_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (_, mut writer) = open(dir.path());
            Source::new().append(&mut writer, 0, 10).unwrap();
        }
        for (generation, bytes) in [(2, &[0; 0][..]), (3, &[0; 1 << 20])] {
            std::fs::write(dir.path().join(segment_name(generation)), bytes).unwrap();
        }
        let scan = Scan::of_directory(dir.path()).unwrap();
        assert_eq!((scan.sequence(7, 1), &scan.damage[..]), (1, &[][..]));
        let (journal, _writer) = open(dir.path());
        assert_eq!(journal.end().generation, 4);
    }

    #[test]
    fn a_file_that_cannot_be_read_ends_its_scan() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(segment_name(1))).unwrap();
        let mut blocks = ScannedBlocks::open(&dir.path().join(segment_name(1))).unwrap();
        let damage = blocks.next().unwrap().err().unwrap();
        assert_eq!(damage.error, BlockError::Malformed { what: "it cannot be read" });
        assert!(blocks.next().is_none());
    }
}
