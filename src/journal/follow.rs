//! Reading the journal of another process, which may be writing it.
//!
//! A [`Follower`] needs nothing but the files. Zeroes where a header could be are the end, as long as
//! the next segment has not begun; so is a header or a block that does not read well, for a moment:
//! it may be half written. Only when it stays so, or when the writer has gone on to the next
//! segment, is it damage.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;

use super::segment::Segment;
use super::writer::segment_name;
use super::{Position, segment_paths};
use crate::block::header::{self, BlockError, BlockHeader, HEADER_BYTES};

/// What does not read well for this long is damage.
const DOUBT: Duration = Duration::from_millis(500);
/// Segments are looked for by name; a gap between the names is noticed after this time.
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
        let mut has_next = false;
        loop {
            match self.read()? {
                Ok(header) => {
                    (self.header, self.doubt) = (Some(header), None);
                    return Ok(Found::Block(header));
                }
                Err(BlockError::Empty | BlockError::Short) => {
                    // What was written before the next segment began is seen in the second look.
                    match self.next()? {
                        Some(next) if has_next => self.enter(next),
                        Some(_) => has_next = true,
                        None => return Ok(Found::End),
                    }
                }
                Err(error) => {
                    let at = self.position;
                    let since = match self.doubt {
                        Some((position, since)) if position == at => since,
                        _ => self.doubt.insert((at, Instant::now())).1,
                    };
                    match self.next()? {
                        Some(_) if !has_next => has_next = true,
                        None if since.elapsed() < DOUBT => return Ok(Found::End),
                        _ => {
                            self.position.offset += HEADER_BYTES as u64;
                            self.doubt = None;
                            return Ok(Found::Damage(at, error));
                        }
                    }
                }
            }
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

    /// The segment behind this one, if its first block is there.
    fn next(&mut self) -> io::Result<Option<Segment>> {
        let generation = self.position.generation + 1;
        let mut path = self.dir.join(segment_name(generation));
        let mut next = Segment::open(&path, generation, None);
        if next.as_ref().is_err_and(is_missing)
            && self.listed.is_none_or(|listed| listed.elapsed() >= LIST_EVERY)
        {
            self.listed = Some(Instant::now());
            let mut behind = segment_paths(&self.dir)?.into_iter();
            if let Some((found, at)) = behind.find(|(found, _)| *found >= generation) {
                path = at;
                next = Segment::open(&path, found, None);
            }
        }
        let next = match next {
            Ok(next) => next,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A segment without its head may yet be removed: its disk was full.
        let front = next.read(0, HEADER_BYTES, &mut self.buffer)?;
        Ok(BlockHeader::decode(front).is_ok().then_some(next))
    }

    fn enter(&mut self, segment: Segment) {
        self.position = Position { generation: segment.generation(), ..Position::default() };
        self.segment = Some(segment);
        self.doubt = None;
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

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
}
