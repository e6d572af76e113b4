//! Reading a journal that another process writes, as it grows.
//!
//! A tail outlives segments that are recycled and processes that are started again in the same
//! directory. What went before it was read shows in the numbers of the blocks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::scan::segment_paths;
use super::sift::Sift;
use super::writer::segment_name;
use super::{Damage, Position};
use crate::block::header::{BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{Dictionary, EventsBlock};

/// Follows the journal in a directory.
pub struct JournalTail {
    dir: PathBuf,
    segment: Option<(u64, Sift)>,
    /// Blocks in front of it are read for their definitions alone.
    from: Position,
    dictionary: Dictionary,
    /// The last block of each run.
    sequences: HashMap<(u128, u64), u64>,
    /// Definitions may be missing.
    is_damaged: bool,
}

/// What a tail comes to.
pub enum Tailed<'a> {
    /// A block of events and what they refer to, and whether some of that may be missing.
    Block(EventsBlock<'a>, &'a Dictionary, bool),
    /// Bytes that are no block.
    Damage(Damage),
    /// So many blocks of a run went before they were read.
    Missed(u64),
}

impl JournalTail {
    /// Follows the journal in `dir` from `from` on, or from its beginning where it does not have that
    /// segment. The directory need not be there yet. The segment is opened here, so that a journal is
    /// told from one that is begun in its place. `sequences` are those of the last events blocks in front of it, by source and epoch, as far as they are
    /// known: what goes before it is read is counted from there.
    pub fn new(dir: &Path, from: Position, sequences: HashMap<(u128, u64), u64>) -> JournalTail {
        let segment = Sift::segment(&dir.join(segment_name(from.generation))).ok();
        let mut dictionary = Dictionary::new();
        dictionary.begin_segment();
        JournalTail {
            dir: dir.to_owned(),
            from: if segment.is_some() { from } else { Position::default() },
            segment: segment.map(|sift| (from.generation, sift)),
            dictionary,
            sequences,
            is_damaged: false,
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Hands to `each` what has come since the last time. Does not wait. A block that is being
    /// written comes when it is whole.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read; `NotFound` while there is no directory.
    pub fn poll(&mut self, each: &mut dyn FnMut(Tailed<'_>)) -> io::Result<()> {
        if self.segment.is_none() && !self.go_on()? {
            return Ok(());
        }
        loop {
            self.read(each, false);
            if !self.has_next()? {
                return Ok(());
            }
            // Whoever has begun the next segment had written the last block of this one.
            self.read(each, true);
            if !self.go_on()? {
                return Ok(());
            }
        }
    }

    /// Reads what stands at the offset; with `whole` everything up to the end of the segment.
    fn read(&mut self, each: &mut dyn FnMut(Tailed<'_>), whole: bool) {
        if let Some((_, sift)) = &mut self.segment {
            sift.look_anew();
        }
        while let Some((generation, sift)) = &mut self.segment
            && (whole || sift.is_written())
        {
            let generation = *generation;
            let is_new =
                |offset: u64| (generation, offset) >= (self.from.generation, self.from.offset);
            let (offset, header, bytes) = match sift.next() {
                None => return,
                Some(Err(damage)) => {
                    self.is_damaged = true;
                    if is_new(damage.offset) {
                        each(Tailed::Damage(damage));
                    }
                    continue;
                }
                Some(Ok(block)) => (block.offset, block.header, block.bytes),
            };
            match header.kind {
                BlockKind::Define => {
                    let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
                    self.is_damaged |= self.dictionary.define(&header, body).is_err();
                }
                BlockKind::Events => {
                    let missed = missed(&mut self.sequences, &header);
                    if missed > 0 && is_new(offset) {
                        each(Tailed::Missed(missed));
                    }
                    if is_new(offset)
                        && let Ok(events) = EventsBlock::open(header, bytes)
                    {
                        each(Tailed::Block(events, &self.dictionary, self.is_damaged));
                    }
                }
                BlockKind::Segment | BlockKind::Other(_) => {}
            }
        }
    }

    fn has_next(&self) -> io::Result<bool> {
        Ok(self.next_segment()?.is_some())
    }

    /// Opens the next segment. `false` where there is none.
    fn go_on(&mut self) -> io::Result<bool> {
        while let Some((generation, path)) = self.next_segment()? {
            match Sift::segment(&path) {
                Ok(sift) => {
                    let last = self.segment.replace((generation, sift));
                    if last.is_some_and(|(last, _)| generation <= last) {
                        // The journal was begun anew: all of it is.
                        self.from = Position::default();
                    }
                    self.dictionary.begin_segment();
                    return Ok(true);
                }
                // Recycled before it was opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn next_segment(&self) -> io::Result<Option<(u64, PathBuf)>> {
        let paths = segment_paths(&self.dir)?;
        let Some((generation, sift)) = &self.segment else {
            let is_at_or_behind = |(generation, _): &(u64, _)| *generation >= self.from.generation;
            return Ok(paths.into_iter().find(is_at_or_behind));
        };
        if sift.is_removed() && paths.iter().all(|(other, _)| other <= generation) {
            // Not recycled: somebody has begun the journal anew.
            return Ok(paths.into_iter().next());
        }
        Ok(paths.into_iter().find(|(other, _)| other > generation))
    }
}

/// Notes the number of a block. Yields how many are missing in front of it.
fn missed(sequences: &mut HashMap<(u128, u64), u64>, header: &BlockHeader) -> u64 {
    let last = sequences.entry((header.source, header.epoch)).or_insert(header.sequence);
    let missed = header.sequence.saturating_sub(last.saturating_add(1));
    *last = header.sequence.max(*last);
    missed
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Source, open};
    use super::*;

    /// Hands on the number of a block.
    fn sequence_into(sequences: &mut Vec<u64>) -> impl FnMut(Tailed<'_>) {
        move |tailed| match tailed {
            Tailed::Block(block, ..) => sequences.push(block.header().sequence),
            Tailed::Damage(damage) => panic!("{damage}"),
            Tailed::Missed(blocks) => panic!("{blocks} blocks"),
        }
    }

    #[test]
    fn what_was_written_is_there_at_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let (_journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        let mut tail = JournalTail::new(dir.path(), Position::default(), HashMap::new());
        let mut sequences = Vec::new();
        for number in 1..5 {
            source.append(&mut writer, number, 10).unwrap();
            tail.poll(&mut sequence_into(&mut sequences)).unwrap();
            assert_eq!(sequences.last(), Some(&number));
        }
    }

    #[test]
    fn a_block_that_comes_between_a_look_and_the_next_segment_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Source::new();
        let mut sequences = Vec::new();
        let (first, mut writer) = open(dir.path());
        source.append(&mut writer, 1, 10).unwrap();
        let mut tail = JournalTail::new(dir.path(), Position::default(), HashMap::new());
        assert!(tail.go_on().unwrap());
        tail.read(&mut sequence_into(&mut sequences), false);

        source.append(&mut writer, 2, 10).unwrap();
        drop((first, writer));
        let (_second, mut writer) = open(dir.path());
        source.append(&mut writer, 3, 10).unwrap();
        assert!(tail.has_next().unwrap());
        tail.read(&mut sequence_into(&mut sequences), true);
        assert!(tail.go_on().unwrap());
        tail.read(&mut sequence_into(&mut sequences), false);
        assert_eq!(sequences, [1, 2, 3]);
    }
}
