//! Blocks that a journal has lost, though it has later ones of their run.
//!
//! The mark of a run says that everything up to it is stored. After a power failure that need not be
//! so: of the blocks that no sync has covered, any one may be damaged while a later one is whole, and
//! the head of a segment may name what the segment before has lost. Whoever ships the run still has
//! what was not acknowledged, and would be told to pass over it.
//!
//! So the first start after a boot looks through the newest segments, from where every appender has
//! settled: what lies before was delivered, whatever became of it since. A block counts as lost if
//! - damage lies between the last block of its run in front of it and the next one behind it, or
//! - the head of a segment has a mark that no block before it accounts for.
//!
//! Numbers that are missing for any other reason were never stored here, and are no holes.
//!
//! A block that came again stands behind later ones, where an appender reads it after those. So as long as
//! something is lost, later starts look from the same place as the first one: it is in the file `boot`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;

use super::scan::{READ_MAX, marks_in, segment_paths};
use super::sift::Sift;
use super::{JournalError, Position, stored_cursors};
use crate::block::header::{BlockHeader, BlockKind};
use crate::sys;

/// First and last sequence of blocks that are missing.
type Range = (u64, u64);

/// The blocks that are lost, by run. See the [module's documentation](self).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holes {
    /// Of each (source, epoch): ascending, and no two overlap.
    runs: HashMap<(u128, u64), Vec<Range>>,
}

impl Holes {
    /// What a power failure has taken from the journal in `dir`. Reads nothing if a start has looked
    /// since the machine was booted and found nothing lost. To be called by the directory's owner.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory, a cursor or a segment cannot be read.
    pub(super) fn since_boot(dir: &Path) -> Result<Holes, JournalError> {
        Self::since(dir, u128::from_be_bytes(sys::file::boot_id()))
    }

    fn since(dir: &Path, boot: u128) -> Result<Holes, JournalError> {
        let before = Note::read(dir);
        // A boot that the system does not tell may be any.
        let of_this_boot = before.filter(|note| boot != 0 && note.boot == boot);
        let from = match (of_this_boot, before) {
            (Some(Note { from: None, .. }), _) => return Ok(Holes::default()),
            (Some(Note { from: Some(from), .. }), _) => from,
            (None, Some(Note { from: Some(from), .. })) => from.min(settled(dir)?),
            (None, _) => settled(dir)?,
        };
        let holes = Self::of_directory(dir, from)?;
        let note = Note { boot, from: (!holes.is_empty()).then_some(from) };
        if before != Some(note) {
            // Where it cannot be written, a later start looks again.
            let _ = note.write(dir);
        }
        Ok(holes)
    }

    /// What is lost behind `from`.
    fn of_directory(dir: &Path, from: Position) -> Result<Holes, JournalError> {
        let segments = segment_paths(dir).map_err(io("list the segments of", dir))?;
        // The last one that begins in front of it tells what was reached there.
        let first = segments.partition_point(|(generation, _)| *generation <= from.generation);
        let first = first.saturating_sub(1).max(segments.len().saturating_sub(READ_MAX));
        let mut look = Look { from, ..Look::default() };
        for (generation, path) in &segments[first..] {
            look.segment(*generation, path).map_err(io("read the segment", path))?;
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

/// The file `boot`: what the last look through the journal has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Note {
    /// The boot in which that was.
    boot: u128,
    /// Where it began, if something was lost.
    from: Option<Position>,
}

impl Note {
    /// `None` where there is none, or none that can be read: then nobody has looked.
    fn read(dir: &Path) -> Option<Note> {
        let mut note = Note::default();
        for line in std::fs::read_to_string(dir.join("boot")).ok()?.lines() {
            match line.split_once(" = ")? {
                ("boot_id", boot) => note.boot = u128::from_str_radix(boot, 16).ok()?,
                ("lost_behind", place) => {
                    let (generation, offset) = place.split_once(':')?;
                    let (generation, offset) = (generation.parse().ok()?, offset.parse().ok()?);
                    note.from = Some(Position { generation, offset, index: 0 });
                }
                _ => return None,
            }
        }
        Some(note)
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = format!("boot_id = {:032x}\n", self.boot);
        if let Some(Position { generation, offset, .. }) = self.from {
            text += &format!("lost_behind = {generation}:{offset}\n");
        }
        sys::file::exchange(&dir.join("boot"), text.as_bytes())
    }
}

/// The position up to which every appender has settled; the beginning where one does not say.
fn settled(dir: &Path) -> Result<Position, JournalError> {
    let cursors = stored_cursors(dir).map_err(io("read the cursors of", dir))?;
    let settled = cursors.iter().map(|cursor| {
        let position = cursor.resume().map_or(Position::default(), |slot| slot.position);
        // What is left of a block that was delivered in part comes with all of it.
        Position { index: 0, ..position }
    });
    Ok(settled.min().unwrap_or_default())
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { doing, path, source }
}

/// The newest segments on their way through, the oldest of them first.
#[derive(Default)]
struct Look {
    holes: Holes,
    /// What lies before it was delivered.
    from: Position,
    /// Of each run: its greatest sequence so far, and how much damage lay before that was said.
    reached: HashMap<(u128, u64), (u64, u64)>,
    /// Stretches of damage so far.
    damage: u64,
    /// A head has told of all runs that lie before.
    knows_all: bool,
}

impl Look {
    fn segment(&mut self, generation: u64, path: &Path) -> io::Result<()> {
        let is_behind = Position { generation, ..Position::default() } > self.from;
        // Blocks behind zeroes, too: readers find them.
        let mut sift = Sift::segment(path)?;
        while let Some(found) = sift.next() {
            match found {
                Err(damage) => {
                    let end =
                        Position { generation, offset: damage.offset + damage.bytes, index: 0 };
                    self.damage += u64::from(end > self.from);
                }
                Ok(block) => match block.header.kind {
                    BlockKind::Segment => self.head(marks_in(block.bytes), is_behind),
                    BlockKind::Events => self.events(&block.header),
                    BlockKind::Define | BlockKind::Other(_) => {}
                },
            }
        }
        Ok(())
    }

    /// A head says up to where each run was stored before its segment.
    fn head(&mut self, marks: Option<Vec<(u128, u64, u64)>>, is_behind: bool) {
        for (source, epoch, mark) in marks.iter().flatten().copied() {
            let run = (source, epoch);
            if let Some(reached) = self.reached(run).filter(|reached| *reached < mark && is_behind)
            {
                self.holes.open(run, reached + 1, mark);
            }
            let mark = mark.max(self.reached(run).unwrap_or(0));
            self.reached.insert(run, (mark, self.damage));
        }
        self.knows_all |= marks.is_some();
    }

    fn events(&mut self, header: &BlockHeader) {
        let (run, sequence) = ((header.source, header.epoch), header.sequence);
        let damage_before = self.reached.get(&run).map_or(0, |(_, damage)| *damage);
        match self.reached(run) {
            // It came later.
            Some(reached) if sequence <= reached => return self.holes.fill(run, sequence),
            Some(reached) if sequence - reached > 1 && self.damage > damage_before => {
                self.holes.open(run, reached + 1, sequence - 1);
            }
            _ => {}
        }
        self.reached.insert(run, (sequence, self.damage));
    }

    /// The greatest sequence of a run so far. `None` where nobody has said what lay before.
    fn reached(&self, run: (u128, u64)) -> Option<u64> {
        let reached = self.reached.get(&run).map(|(sequence, _)| *sequence);
        reached.or(self.knows_all.then_some(0))
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
    use super::super::{CursorFile, Journal, JournalOptions, JournalWriter, Scan, TextFileMark};
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

    /// Leaves zeroes where a block was.
    fn zero(dir: &Path, at: Position, end: u64) {
        file(dir, at).write_all_at(&vec![0; (end - at.offset) as usize], at.offset).unwrap();
    }

    fn lost(holes: &Holes) -> Vec<u64> {
        let ranges = holes.runs.get(&RUN).into_iter().flatten();
        ranges.flat_map(|(first, last)| *first..=*last).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_block_is_lost_if_one_behind_it_or_a_mark_says_that_it_was_stored(
            segments in prop::collection::vec((0_u64..6, prop::collection::vec(0_u8..4, 6), 0_usize..6), 1..6),
            again in prop::collection::vec(any::<bool>(), 40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut sequence, mut places) = (0, Vec::new());
            for (blocks, _, _) in &segments {
                let (_, mut writer) = open(dir.path());
                places.push(Vec::new());
                for n in 1..=*blocks {
                    let at = append(&mut writer, sequence + n);
                    let place = (sequence + n, at, writer.journal().end().offset);
                    places.last_mut().unwrap().push(place);
                }
                sequence += blocks;
            }
            let (mut missing, mut newest, mut before) = (BTreeSet::new(), 0, 0);
            for (places, (blocks, fates, cut)) in places.iter().zip(&segments) {
                // The head names everything before its segment.
                newest = before;
                before += blocks;
                for (n, (sequence, at, end)) in places.iter().enumerate() {
                    match fates[n] {
                        _ if n >= 6 - cut => {
                            file(dir.path(), *at).set_len(at.offset).unwrap();
                            missing.extend(places[n..].iter().map(|(sequence, ..)| *sequence));
                            break;
                        }
                        0 => damage(dir.path(), *at),
                        1 => zero(dir.path(), *at, *end),
                        _ => {
                            newest = *sequence;
                            continue;
                        }
                    }
                    missing.insert(*sequence);
                }
            }
            let mut expected: BTreeSet<_> = missing.range(..=newest).copied().collect();
            let holes = Holes::of_directory(dir.path(), Position::default()).unwrap();
            prop_assert_eq!(lost(&holes), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(holes.iter().map(|(.., blocks)| blocks).sum::<u64>(), expected.len() as u64);

            // What came again is not lost any more, in whatever order it came.
            let (_, mut writer) = open(dir.path());
            for (sequence, _) in expected.clone().into_iter().zip(again).filter(|(_, again)| *again) {
                append(&mut writer, sequence);
                expected.remove(&sequence);
            }
            drop(writer);
            let holes = Holes::of_directory(dir.path(), Position::default()).unwrap();
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
        assert!(Holes::of_directory(dir.path(), Position::default()).unwrap().is_empty());
        // Where a head cannot be read, what stood before its segment is not known.
        let last = {
            let (_, mut writer) = open(dir.path());
            [append(&mut writer, 52), append(&mut writer, 53)]
        };
        std::fs::remove_file(dir.path().join(segment_name(1))).unwrap();
        damage(dir.path(), Position { offset: 0, ..last[0] });
        assert!(Holes::of_directory(dir.path(), Position::default()).unwrap().is_empty());
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
        assert_eq!((since(0), since(0)), (vec![1], vec![1]));
    }

    #[test]
    fn what_every_appender_had_when_a_look_first_found_something_lost_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut writer) = open(dir.path());
        let at: Vec<_> = (1..=6).map(|sequence| append(&mut writer, sequence)).collect();
        let store = |name: &str, position| {
            let cursor = CursorFile::open(dir.path(), name).unwrap();
            cursor.store_written(position, TextFileMark::default()).unwrap();
        };
        store("quick", at[5]);
        store("slow", Position { index: 1, ..at[2] });
        [0, 1, 2, 4].into_iter().for_each(|n| damage(dir.path(), at[n]));
        let since = |boot| lost(&Holes::since(dir.path(), boot).unwrap());
        assert_eq!(since(5), [1, 2, 3, 5], "the stretch of damage reaches behind what is settled");
        // It reads on, and the block that comes again will stand behind the others.
        store("slow", at[5]);
        assert_eq!((since(5), since(6)), (vec![1, 2, 3, 5], vec![1, 2, 3, 5]));
        std::fs::remove_file(dir.path().join("boot")).unwrap();
        assert!(since(6).is_empty());
    }
}
