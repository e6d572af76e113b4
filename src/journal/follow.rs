//! Reading the journal of another process, which may be writing it.
//!
//! A [`Follower`] needs nothing but the files. Zeroes where a header could be are the end, as long as
//! the next segment has not begun; so is a header or a block that does not read well, for a moment:
//! it may be half written. Only when it stays so, or when the writer has gone on to the next
//! segment, is it damage, and ends at the next header.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;

use super::segment::Segment;
use super::writer::segment_name;
use super::{Position, segment_paths};
use crate::block::header::{self, BlockError, BlockHeader, HEADER_BYTES};

/// What does not read well for this long is damage.
const DOUBT: Duration = Duration::from_millis(500);
/// Segments are looked for by name; a gap between those that have blocks is noticed after this time.
const LIST_EVERY: Duration = Duration::from_secs(1);

/// Reads the blocks of a journal directory, one after the other, while they come.
pub(crate) struct Follower {
    dir: PathBuf,
    segment: Option<Segment>,
    position: Position,
    /// The block at the position, or its header.
    buffer: AlignedVec,
    /// What stands at the position, if it is known.
    header: Option<BlockHeader>,
    /// A place that does not read well, and since when.
    doubt: Option<(Position, Instant)>,
    listed: Option<Instant>,
}

/// What stands at a follower's position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole block whose checksum is right.
    Block(BlockHeader),
    /// Nothing yet.
    End,
    /// Bytes that were passed over.
    Damage(Position, BlockError),
}

impl Follower {
    /// Begins at the start of segment `generation`, or of the oldest one behind it.
    pub(crate) fn new(dir: PathBuf, generation: u64) -> Follower {
        let position = Position { generation: generation.saturating_sub(1), ..Position::default() };
        let (buffer, header, doubt, listed) = (AlignedVec::new(), None, None, None);
        Follower { dir, segment: None, position, buffer, header, doubt, listed }
    }

    /// Where the next block begins.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The bytes of the block that [`Follower::look`] has found.
    pub(crate) fn block(&mut self) -> &mut AlignedVec {
        &mut self.buffer
    }

    /// Looks at what stands at the position, and stays there if it is a block.
    ///
    /// # Errors
    /// The system's; then it can be tried again.
    pub(crate) fn look(&mut self) -> io::Result<Found> {
        let mut next = None;
        loop {
            let error = match self.read()? {
                Ok(header) => {
                    (self.header, self.doubt) = (Some(header), None);
                    return Ok(Found::Block(header));
                }
                Err(error) => error,
            };
            let is_empty = matches!(error, BlockError::Empty | BlockError::Short);
            if next.is_none() {
                next = self.next()?;
                if next.is_some() {
                    // What was written before the next segment began is seen in the second look.
                    continue;
                }
                if is_empty || self.is_in_doubt() {
                    return Ok(Found::End);
                }
            }
            let at = self.position;
            self.doubt = None;
            match (self.header_behind()?, next.take()) {
                (Some(offset), _) => self.position.offset = offset,
                (None, Some(next)) => {
                    self.enter(next);
                    if is_empty {
                        continue;
                    }
                }
                // The next block will show where the damage ends.
                (None, None) => return Ok(Found::End),
            }
            return Ok(Found::Damage(at, error));
        }
    }

    /// Moves behind the block that [`Follower::look`] has found.
    pub(crate) fn pass(&mut self) {
        if let Some(header) = self.header.take() {
            self.position.offset += header.padded_bytes() as u64;
        }
    }

    /// Reads the block at the position.
    fn read(&mut self) -> io::Result<Result<BlockHeader, BlockError>> {
        let Some(segment) = &self.segment else { return Ok(Err(BlockError::Empty)) };
        let front = segment.read(self.position.offset, HEADER_BYTES, &mut self.buffer)?;
        let header = match BlockHeader::decode(front) {
            Ok(header) if header.generation == segment.generation() => header,
            Ok(_) => {
                let what = "it belongs to another segment";
                return Ok(Err(BlockError::Malformed { what }));
            }
            Err(error) => return Ok(Err(error)),
        };
        let block = segment.read(self.position.offset, header.bytes(), &mut self.buffer)?;
        Ok(header::verify(block))
    }

    /// Whether the position may still come to read well.
    fn is_in_doubt(&mut self) -> bool {
        let since = match self.doubt {
            Some((position, since)) if position == self.position => since,
            _ => self.doubt.insert((self.position, Instant::now())).1,
        };
        since.elapsed() < DOUBT
    }

    /// Where a header stands behind the position, in the same segment.
    fn header_behind(&mut self) -> io::Result<Option<u64>> {
        let Some(segment) = &self.segment else { return Ok(None) };
        let from = self.position.offset + HEADER_BYTES as u64;
        first_header(segment, from, &mut self.buffer)
    }

    /// The segment behind this one that has blocks. One without may yet be removed, since its disk was
    /// full, or its owner was killed before the first one: then there are blocks in a later one.
    fn next(&mut self) -> io::Result<Option<Segment>> {
        let generation = self.position.generation + 1;
        let path = self.dir.join(segment_name(generation));
        if let Some(next) = open(&path, generation)? {
            let front = next.read(0, HEADER_BYTES, &mut self.buffer)?;
            if !matches!(BlockHeader::decode(front), Err(BlockError::Empty | BlockError::Short)) {
                return Ok(Some(next));
            }
        }
        if self.listed.is_some_and(|listed| listed.elapsed() < LIST_EVERY) {
            return Ok(None);
        }
        self.listed = Some(Instant::now());
        let mut next = None;
        // Backwards: what stands in front of a segment with blocks is as it will stay.
        let behind = segment_paths(&self.dir)?.into_iter().rev();
        for (generation, path) in behind.take_while(|(found, _)| *found >= generation) {
            if let Some(segment) = open(&path, generation)?
                && first_header(&segment, 0, &mut self.buffer)?.is_some()
            {
                next = Some(segment);
            }
        }
        Ok(next)
    }

    fn enter(&mut self, segment: Segment) {
        self.position = Position { generation: segment.generation(), ..Position::default() };
        self.segment = Some(segment);
        self.doubt = None;
    }
}

/// A segment; `None` if it is not there.
fn open(path: &Path, generation: u64) -> io::Result<Option<Segment>> {
    match Segment::open(path, generation, None) {
        Ok(segment) => Ok(Some(segment)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the first header of the segment stands, from `from` on.
fn first_header(segment: &Segment, from: u64, buffer: &mut AlignedVec) -> io::Result<Option<u64>> {
    let at = segment.next_header(from, None, buffer)?;
    let front = segment.read(at, HEADER_BYTES, buffer)?;
    Ok(BlockHeader::decode(front).is_ok().then_some(at))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::super::{Journal, JournalOptions, Scan};
    use super::*;
    use crate::block::BlockKind;

    /// What comes up to the end.
    fn kinds(follower: &mut Follower) -> Vec<BlockKind> {
        let mut kinds = Vec::new();
        while let Found::Block(header) = follower.look().unwrap() {
            assert_eq!(follower.block().len(), header.bytes());
            kinds.push(header.kind);
            follower.pass();
        }
        kinds
    }

    fn begin_segment(dir: &Path) {
        let scan = Scan::of_directory(dir).unwrap();
        Journal::in_directory(JournalOptions::directory(dir), scan).unwrap();
    }

    #[test]
    fn blocks_are_read_as_they_come_from_segment_to_segment() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        assert_eq!(follower.look().unwrap(), Found::End);
        let journal = Journal::with_three_events(dir.path());
        // The directory was listed a moment ago: the first segment is found by its name.
        let read = kinds(&mut follower);
        assert_eq!(read.iter().filter(|kind| **kind == BlockKind::Events).count(), 3);
        assert_eq!((read[0], follower.position()), (BlockKind::Segment, journal.end()));
        begin_segment(dir.path());
        assert_eq!(kinds(&mut follower), [BlockKind::Segment]);
        let mut late = Follower::new(dir.path().to_owned(), 2);
        assert_eq!(kinds(&mut late), [BlockKind::Segment]);
    }

    #[test]
    fn what_is_half_written_is_the_end_until_the_next_segment_begins() {
        let dir = tempfile::tempdir().unwrap();
        let end = Journal::with_three_events(dir.path()).end();
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        kinds(&mut follower);
        let path = dir.path().join(segment_name(end.generation));
        let file = File::options().write(true).open(path).unwrap();
        // Its owner was killed: the segment still has the room that was reserved.
        file.set_len(end.offset + 4096).unwrap();
        file.write_all_at(b"RWB1 and nothing else", end.offset).unwrap();
        // The first look only begins to doubt.
        let found = follower.look().unwrap();
        assert_eq!((found, follower.position()), (Found::End, end));
        begin_segment(dir.path());
        assert!(matches!(follower.look().unwrap(), Found::Damage(at, _) if at == end));
        assert_eq!(kinds(&mut follower), [BlockKind::Segment]);
    }

    #[test]
    fn a_segment_that_has_no_head_yet_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let end = Journal::with_three_events(dir.path()).end();
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        kinds(&mut follower);
        let next = dir.path().join(segment_name(end.generation + 1));
        std::fs::write(&next, [0; 4096]).unwrap();
        assert_eq!((follower.look().unwrap(), follower.position()), (Found::End, end));
    }
    #[test]
    fn a_segment_whose_owner_was_killed_before_its_head_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let end = Journal::with_three_events(dir.path()).end();
        for length in [0, 4096] {
            let mut follower = Follower::new(dir.path().to_owned(), 0);
            kinds(&mut follower);
            let newest = segment_paths(dir.path()).unwrap().last().unwrap().0;
            let killed = dir.path().join(segment_name(newest + 1));
            std::fs::write(&killed, vec![0; length]).unwrap();
            begin_segment(dir.path());
            follower.listed = None;
            assert_eq!(kinds(&mut follower), [BlockKind::Segment], "behind {length} bytes");
            assert_eq!(follower.position().generation, newest + 2);
        }
        assert_eq!(end.generation, 1);
    }

    #[test]
    fn segments_that_somebody_removed_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let end = Journal::with_three_events(dir.path()).end();
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        kinds(&mut follower);
        begin_segment(dir.path());
        begin_segment(dir.path());
        std::fs::remove_file(dir.path().join(segment_name(end.generation + 1))).unwrap();
        follower.listed = None;
        assert_eq!(kinds(&mut follower), [BlockKind::Segment]);
        assert_eq!(follower.position().generation, end.generation + 2);
    }

    /// Overwrites the first block of events, and says where it stands and what comes behind it.
    fn damage(dir: &Path, bytes: &dyn Fn(usize) -> Vec<u8>) -> (Position, Vec<BlockKind>) {
        let mut follower = Follower::new(dir.to_owned(), 0);
        let (at, header) = loop {
            match follower.look().unwrap() {
                Found::Block(header) if header.kind == BlockKind::Events => {
                    break (follower.position(), header);
                }
                Found::Block(_) => follower.pass(),
                found => panic!("{found:?}"),
            }
        };
        follower.pass();
        let path = dir.join(segment_name(at.generation));
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&bytes(header.padded_bytes()), at.offset).unwrap();
        (at, kinds(&mut follower))
    }

    #[test]
    fn damage_in_the_newest_segment_is_passed_over_at_once_up_to_the_next_block() {
        let dir = tempfile::tempdir().unwrap();
        let _journal = Journal::with_three_events(dir.path());
        let (at, behind) = damage(dir.path(), &|bytes| vec![7; bytes]);
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        kinds(&mut follower);
        assert_eq!(follower.position(), at);
        // The doubt is over.
        follower.doubt = Some((at, Instant::now() - DOUBT));
        assert!(matches!(follower.look().unwrap(), Found::Damage(found, _) if found == at));
        assert_eq!(kinds(&mut follower), behind);
    }

    #[test]
    fn blocks_behind_zeroes_are_read_before_the_next_segment_is_entered() {
        let dir = tempfile::tempdir().unwrap();
        let _journal = Journal::with_three_events(dir.path());
        let (at, behind) = damage(dir.path(), &|bytes| vec![0; bytes]);
        let mut follower = Follower::new(dir.path().to_owned(), 0);
        kinds(&mut follower);
        assert_eq!((follower.look().unwrap(), follower.position()), (Found::End, at));
        begin_segment(dir.path());
        assert_eq!(follower.look().unwrap(), Found::Damage(at, BlockError::Empty));
        assert_eq!(kinds(&mut follower), [&behind[..], &[BlockKind::Segment]].concat());
    }
}
