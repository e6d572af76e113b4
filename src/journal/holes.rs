//! Blocks that a journal has lost, though it has later ones of their run.
//!
//! The mark of a run says that everything up to it is stored. After a power failure that need not be
//! so: of the blocks that no sync has covered, any one may be damaged while a later one is whole, and
//! the head of a segment may name what the segment before has lost. Whoever ships the run still has
//! what was not acknowledged, and would be told to pass over it.
//!
//! So the first start after a boot looks through the newest segments. A block counts as lost if
//! - damage lies between the last block of its run in front of it and the next one behind it, or
//! - the head of a segment has a mark that no block before it accounts for.
//!
//! Numbers that are missing for any other reason were never stored here, and are no holes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;

use super::JournalError;
use super::scan::{READ_MAX, ScannedBlocks, marks_in, segment_paths};
use crate::block::header::{BlockHeader, BlockKind};
use crate::sys;

/// The file that names the boot in which the journal was found to be without holes.
const BOOT: &str = "boot";

/// First and last sequence of blocks that are missing.
type Range = (u64, u64);

/// The blocks that are lost, by run. See the [module's documentation](self).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holes {
    /// Of each (source, epoch): ascending, with something between any two.
    runs: HashMap<(u128, u64), Vec<Range>>,
}

impl Holes {
    /// What a power failure has taken from the journal in `dir`. Reads nothing if a start has looked
    /// since the machine was booted and found none. To be called by the directory's owner.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory or a segment cannot be read.
    pub(super) fn since_boot(dir: &Path) -> Result<Holes, JournalError> {
        Self::since(dir, u128::from_be_bytes(sys::file::boot_id()))
    }

    fn since(dir: &Path, boot: u128) -> Result<Holes, JournalError> {
        let (note, this) = (dir.join(BOOT), format!("{boot:032x}\n"));
        // A boot that the system does not tell may be any.
        if boot != 0 && std::fs::read_to_string(&note).is_ok_and(|known| known == this) {
            return Ok(Holes::default());
        }
        let holes = Self::of_directory(dir)?;
        if holes.is_empty() {
            // Without the note the next start looks again, and that is all.
            let _ = sys::file::exchange(&note, this.as_bytes());
        }
        Ok(holes)
    }

    fn of_directory(dir: &Path) -> Result<Holes, JournalError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let segments = segment_paths(dir).map_err(io("list the segments of", dir))?;
        let mut look = Look::default();
        for (_, path) in &segments[segments.len().saturating_sub(READ_MAX)..] {
            look.segment(path).map_err(io("read the segment", path))?;
        }
        Ok(look.holes)
    }

    /// Whether nothing is lost.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many blocks of which run are lost: source, epoch, number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, u64, u64)> {
        self.runs.iter().map(|((source, epoch), ranges)| {
            let blocks = ranges.iter().fold(0_u64, |blocks, (first, last)| {
                blocks.saturating_add(last - first).saturating_add(1)
            });
            (*source, *epoch, blocks)
        })
    }

    /// The greatest sequence up to which nothing of this run is lost, `mark` at the most.
    pub(super) fn mark_before(&self, source: u128, epoch: u64, mark: u64) -> u64 {
        let first = self.runs.get(&(source, epoch)).and_then(|ranges| ranges.first());
        first.map_or(mark, |(first, _)| mark.min(first - 1))
    }

    /// Whether this block is lost.
    pub(super) fn has(&self, source: u128, epoch: u64, sequence: u64) -> bool {
        let ranges = self.runs.get(&(source, epoch)).map_or(&[][..], |ranges| ranges);
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
    }

    /// Gives up what is missing up to this block: it came again, or does not come any more.
    pub(super) fn close_to(&mut self, source: u128, epoch: u64, sequence: u64) {
        if self.is_empty() {
            return;
        }
        let Entry::Occupied(mut run) = self.runs.entry((source, epoch)) else { return };
        let ranges = run.get_mut();
        let behind = ranges.partition_point(|(_, last)| *last <= sequence);
        ranges.drain(..behind);
        match ranges.first_mut() {
            // It ends behind the sequence, so that there is a next one.
            Some((first, _)) => *first = (sequence + 1).max(*first),
            None => _ = run.remove(),
        }
    }

    /// Forgets the runs, given by source and epoch, that `forget` says so of.
    pub(super) fn forget(&mut self, mut forget: impl FnMut(u128, u64) -> bool) {
        self.runs.retain(|(source, epoch), _| !forget(*source, *epoch));
    }

    fn open(&mut self, run: (u128, u64), first: u64, last: u64) {
        self.runs.entry(run).or_default().push((first, last));
    }

    /// Takes out a block that came later.
    fn fill(&mut self, run: (u128, u64), sequence: u64) {
        let Entry::Occupied(mut found) = self.runs.entry(run) else { return };
        let ranges = found.get_mut();
        let at = ranges.partition_point(|(_, last)| *last < sequence);
        let Some((first, last)) = ranges.get(at).copied().filter(|range| range.0 <= sequence)
        else {
            return;
        };
        // Both are within u64: the range has more than the block on that side.
        let before = (first < sequence).then(|| (first, sequence - 1));
        let behind = (sequence < last).then(|| (sequence + 1, last));
        ranges.splice(at..=at, before.into_iter().chain(behind));
        if ranges.is_empty() {
            found.remove();
        }
    }
}

/// The newest segments on their way through, the oldest of them first.
#[derive(Default)]
struct Look {
    holes: Holes,
    /// Of each run: its greatest sequence so far, and how much damage lay before that block.
    reached: HashMap<(u128, u64), (u64, u64)>,
    /// Stretches of damage so far.
    damage: u64,
    /// A head has told of all runs that lie before.
    knows_all: bool,
}

impl Look {
    fn segment(&mut self, path: &Path) -> io::Result<()> {
        let mut blocks = ScannedBlocks::open(path)?;
        while let Some(block) = blocks.next() {
            match block {
                Err(_) => self.damage += 1,
                Ok(block) => match block.header.kind {
                    BlockKind::Segment => self.head(marks_in(block.bytes)),
                    BlockKind::Events => self.events(&block.header),
                    BlockKind::Define | BlockKind::Other(_) => {}
                },
            }
        }
        Ok(())
    }

    fn head(&mut self, marks: Option<Vec<(u128, u64, u64)>>) {
        let Some(marks) = marks else { return };
        for (source, epoch, mark) in marks {
            self.reach((source, epoch), mark, mark.checked_add(1), true);
        }
        self.knows_all = true;
    }

    fn events(&mut self, header: &BlockHeader) {
        let run = (header.source, header.epoch);
        let damage_before = self.reached.get(&run).map_or(0, |(_, damage)| *damage);
        let is_behind_damage = self.damage > damage_before;
        self.reach(run, header.sequence, Some(header.sequence), is_behind_damage);
    }

    /// A run is stored up to `to`. What lies between what was reached and `behind` is lost, if
    /// something `is_lost`.
    fn reach(&mut self, run: (u128, u64), to: u64, behind: Option<u64>, is_lost: bool) {
        let reached = match self.reached.get(&run) {
            Some((sequence, _)) => Some(*sequence),
            None => self.knows_all.then_some(0),
        };
        if let (Some(reached), Some(behind)) = (reached, behind) {
            if to <= reached {
                if behind == to {
                    self.holes.fill(run, to);
                }
                return;
            }
            if is_lost && behind - reached > 1 {
                self.holes.open(run, reached + 1, behind - 1);
            }
        }
        self.reached.insert(run, (to, self.damage));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::super::tests::Source;
    use super::super::writer::segment_name;
    use super::super::{Journal, JournalOptions, JournalWriter, Position, Scan};
    use super::*;

    const RUN: (u128, u64) = (7, 1);

    /// The journal in `dir` with another segment, whatever is wrong with those before.
    fn open(dir: &Path) -> (Journal, JournalWriter) {
        let scan = Scan::of_directory(dir).unwrap();
        Journal::in_directory(JournalOptions::directory(dir), scan).unwrap()
    }

    fn append(writer: &mut JournalWriter, sequence: u64) -> Position {
        let mut source = Source::new();
        source.sequence = sequence - 1;
        source.append(writer, sequence, 10).unwrap()
    }

    fn file(dir: &Path, at: Position) -> File {
        let path = dir.join(segment_name(at.generation));
        File::options().write(true).open(path).unwrap()
    }

    fn damage(dir: &Path, at: Position) {
        file(dir, at).write_all_at(b"?", at.offset + 80).unwrap();
    }

    fn lost(holes: &Holes) -> Vec<u64> {
        let ranges = holes.runs.get(&RUN).into_iter().flatten();
        ranges.flat_map(|(first, last)| *first..=*last).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_block_is_lost_if_one_behind_it_or_a_mark_says_that_it_was_stored(
            segments in prop::collection::vec((0_u64..6, prop::collection::vec(any::<bool>(), 6), 0_usize..6), 1..6),
            again in prop::collection::vec(any::<bool>(), 40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut sequence, mut places) = (0, Vec::new());
            for (blocks, _, _) in &segments {
                let (_, mut writer) = open(dir.path());
                places.push((0..*blocks).map(|n| (sequence + n + 1, append(&mut writer, sequence + n + 1))).collect::<Vec<_>>());
                sequence += blocks;
            }
            let (mut missing, mut newest, mut before) = (BTreeSet::new(), 0, 0);
            for (places, (blocks, damaged, cut)) in places.iter().zip(&segments) {
                // The head names everything before its segment.
                newest = before;
                before += blocks;
                for (n, (sequence, at)) in places.iter().enumerate() {
                    let is_cut = n >= 6 - cut;
                    if is_cut || damaged[n] {
                        missing.insert(*sequence);
                    } else {
                        newest = *sequence;
                    }
                    match is_cut {
                        true => file(dir.path(), *at).set_len(at.offset).unwrap(),
                        false if damaged[n] => damage(dir.path(), *at),
                        false => {}
                    }
                    if is_cut {
                        missing.extend(places[n..].iter().map(|(sequence, _)| *sequence));
                        break;
                    }
                }
            }
            let mut expected: BTreeSet<_> = missing.range(..=newest).copied().collect();
            let holes = Holes::of_directory(dir.path()).unwrap();
            prop_assert_eq!(lost(&holes), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(holes.iter().map(|(.., blocks)| blocks).sum::<u64>(), expected.len() as u64);

            // What came again is not lost any more, in whatever order it came.
            let (_, mut writer) = open(dir.path());
            for (sequence, _) in expected.clone().into_iter().zip(again).filter(|(_, again)| *again) {
                append(&mut writer, sequence);
                expected.remove(&sequence);
            }
            drop(writer);
            let holes = Holes::of_directory(dir.path()).unwrap();
            prop_assert_eq!(lost(&holes), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn what_the_sender_has_passed_is_given_up(
            first in prop::collection::btree_set(1_u64..60, 0..20), steps in prop::collection::vec(0_u64..62, 0..20),
        ) {
            let (mut holes, mut model) = (Holes::default(), first);
            let mut ranges: Vec<Range> = Vec::new();
            for sequence in &model {
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == *sequence => *last = *sequence,
                    _ => ranges.push((*sequence, *sequence)),
                }
            }
            ranges.into_iter().for_each(|(first, last)| holes.open(RUN, first, last));
            for step in steps {
                let is_below = model.first().map_or(100, |first| first - 1);
                prop_assert_eq!(holes.mark_before(RUN.0, RUN.1, 100), is_below);
                prop_assert_eq!(holes.has(RUN.0, RUN.1, step), model.contains(&step));
                holes.close_to(RUN.0, RUN.1, step);
                model.retain(|sequence| *sequence > step);
                prop_assert_eq!(lost(&holes), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(holes.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn numbers_that_were_never_here_are_no_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut writer) = open(dir.path());
        for sequence in [40, 41, 50, 51] {
            append(&mut writer, sequence);
        }
        assert!(Holes::of_directory(dir.path()).unwrap().is_empty());
        // Where a head cannot be read, what stood before its segment is not known.
        let last = {
            let (_, mut writer) = open(dir.path());
            [append(&mut writer, 52), append(&mut writer, 53)]
        };
        std::fs::remove_file(dir.path().join(segment_name(1))).unwrap();
        damage(dir.path(), Position { offset: 0, ..last[0] });
        assert!(Holes::of_directory(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn the_segments_are_read_once_for_each_boot_as_long_as_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let at = {
            let (_, mut writer) = open(dir.path());
            let at = append(&mut writer, 1);
            append(&mut writer, 2);
            at
        };
        let since = |boot| lost(&Holes::since(dir.path(), boot).unwrap());
        assert!(since(5).is_empty());
        damage(dir.path(), at);
        assert!(since(5).is_empty());
        assert_eq!((since(6), since(6)), (vec![1], vec![1]));
        let again = append(&mut open(dir.path()).1, 1);
        assert!(since(6).is_empty());
        damage(dir.path(), again);
        assert!(since(6).is_empty());
        // A boot that is not known may be any.
        assert_eq!((since(0), since(6).len()), (vec![1], 0));
    }
}
