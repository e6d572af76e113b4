//! Where the blocks of each run lie in a journal that somebody else may own.
//!
//! A quick walk from header to header finds the events without reading them; they are checked when
//! they are read. Where the headers do not lead from one to the next, or a definition is damaged, the
//! segment is searched for blocks instead, and each stretch between them is reported.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use crate::block::EventsBlock;
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::clock::Timeline;
use crate::journal::{Damage, Position, Sift, generation_of, segment_paths};

/// Segments that are held open, so that an owner who removes them takes nothing from us.
const OPEN_SEGMENTS_MAX: usize = 512;
/// Bytes read at once while walking over headers.
const WINDOW_BYTES: usize = 8 << 10;

/// By so much a clock may have been set back within a run: a minute.
const CLOCK_SLACK_NS: i64 = 60_000_000_000;

/// The blocks of one journal.
#[derive(Default)]
pub(super) struct JournalIndex {
    pub(super) segments: Vec<SegmentFile>,
    /// In the order in which they begin.
    pub(super) runs: Vec<Run>,
    pub(super) damage: Vec<Damage>,
    /// Where the newest segment ends: what is written from now on begins there.
    pub(super) end: Position,
}

/// A segment of a journal.
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    /// `None` beyond [`OPEN_SEGMENTS_MAX`]: opened for each read.
    file: Option<File>,
}

/// The define and events blocks of one (source, epoch), in the order of the journal.
pub(super) struct Run {
    pub(super) blocks: Vec<BlockPlace>,
    source: u128,
    epoch: u64,
    /// Of its last events block.
    sequence: u64,
}

/// Where a block lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct BlockPlace {
    pub(super) offset: u64,
    /// Index into [`JournalIndex::segments`].
    pub(super) segment: u32,
    /// Header and archive.
    pub(super) bytes: u32,
}

/// What a walk over one segment found.
type Blocks = Vec<(BlockHeader, u64)>;

impl JournalIndex {
    /// Indexes a journal directory, or a single segment file. A path without any segment yields an
    /// index without segments.
    pub(super) fn of(path: &Path) -> io::Result<JournalIndex> {
        let paths = if path.is_dir() {
            segment_paths(path)?.into_iter().map(|(_, path)| path).collect()
        } else {
            vec![path.to_owned()]
        };
        let mut index = JournalIndex::default();
        let mut runs = HashMap::new();
        for path in paths {
            match index.add_segment(&path, &mut runs) {
                // Its owner has just recycled it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(index)
    }

    /// Forgets blocks that have no event between two moments.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub(super) fn keep_between(
        &mut self,
        since_ns: Option<i64>,
        until_ns: Option<i64>,
    ) -> io::Result<()> {
        if self.damage.is_empty() && (since_ns.is_some() || until_ns.is_some()) {
            for run in &mut self.runs {
                run.keep_between(&self.segments, since_ns, until_ns)?;
            }
        }
        Ok(())
    }

    /// Indexes the newest `segments` of a directory, and of each run no more blocks than hold its
    /// last `events`. Yields whether that is all there is.
    pub(super) fn newest(
        dir: &Path,
        segments: usize,
        events: u64,
    ) -> io::Result<(JournalIndex, bool)> {
        let paths = segment_paths(dir)?;
        let skipped = paths.len().saturating_sub(segments);
        let mut index = JournalIndex::default();
        let mut runs = HashMap::new();
        for (_, path) in paths.into_iter().skip(skipped) {
            match index.add_segment(&path, &mut runs) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        let mut is_all = skipped == 0;
        for run in &mut index.runs {
            is_all &= !run.keep_last(&index.segments, events)?;
        }
        Ok((index, is_all))
    }

    /// The last events block of each run, by source and epoch.
    pub(super) fn sequences(&self) -> HashMap<(u128, u64), u64> {
        let with_events = self.runs.iter().filter(|run| run.sequence > 0);
        with_events.map(|run| ((run.source, run.epoch), run.sequence)).collect()
    }

    fn add_segment(
        &mut self,
        path: &Path,
        runs: &mut HashMap<(u128, u64), usize>,
    ) -> io::Result<()> {
        let file = File::open(path)?;
        let blocks = match walk(&file, path)? {
            Some(blocks) => blocks,
            None => search(path, &mut self.damage)?,
        };
        let segment = self.segments.len() as u32;
        let file = (self.segments.len() < OPEN_SEGMENTS_MAX).then_some(file);
        self.segments.push(SegmentFile { path: path.to_owned(), file });
        let generation = generation_of(path).unwrap_or(0);
        let end = |(header, offset): &(BlockHeader, u64)| offset + header.padded_bytes() as u64;
        self.end = Position { generation, offset: blocks.last().map_or(0, end), index: 0 };
        for (header, offset) in blocks {
            if matches!(header.kind, BlockKind::Define | BlockKind::Events) {
                let run = *runs.entry((header.source, header.epoch)).or_insert_with(|| {
                    let (source, epoch) = (header.source, header.epoch);
                    self.runs.push(Run { blocks: Vec::new(), source, epoch, sequence: 0 });
                    self.runs.len() - 1
                });
                let bytes = header.bytes() as u32;
                let run = &mut self.runs[run];
                run.sequence = header.sequence.max(run.sequence);
                run.blocks.push(BlockPlace { offset, segment, bytes });
            }
        }
        Ok(())
    }
}

impl Run {
    /// Forgets blocks in front of those that hold the last `events`, but not the definitions that
    /// these need. Yields whether there were any.
    fn keep_last(&mut self, segments: &[SegmentFile], events: u64) -> io::Result<bool> {
        let mut buffer = AlignedVec::<16>::new();
        let mut left = events;
        let mut first = self.blocks.len();
        while let Some(at) = first.checked_sub(1).filter(|_| left > 0) {
            first = at;
            let place = self.blocks[at];
            buffer.resize(place.bytes as usize, 0);
            let read = segments[place.segment as usize].read_at(&mut buffer, place.offset)?;
            let block = BlockHeader::decode(&buffer[..read])
                .ok()
                .filter(|header| header.kind == BlockKind::Events)
                .and_then(|header| EventsBlock::open(header, &buffer[..read]).ok());
            left = left.saturating_sub(block.map_or(0, |block| block.count()));
        }
        self.keep_from(first, segments)
    }

    /// Forgets blocks that have no event between two moments, by the clocks of their process and with
    /// [`CLOCK_SLACK_NS`] on either side. Definitions that the others need are kept.
    fn keep_between(
        &mut self,
        segments: &[SegmentFile],
        since_ns: Option<i64>,
        until_ns: Option<i64>,
    ) -> io::Result<()> {
        let mut search = Search { segments, blocks: &self.blocks, buffer: AlignedVec::new() };
        let end = until_ns.map_or(self.blocks.len(), |until| {
            let limit = until.saturating_add(CLOCK_SLACK_NS);
            search.first(|timeline| timeline.before.utc_ns >= limit)
        });
        let begin = since_ns.map_or(0, |since| {
            let limit = since.saturating_sub(CLOCK_SLACK_NS);
            search.first(|timeline| timeline.after.utc_ns >= limit)
        });
        self.blocks.truncate(end);
        self.keep_from(begin.min(end), segments).map(|_| ())
    }

    /// Forgets the blocks in front of `first`, but not the definitions that it needs. Yields whether
    /// there were any.
    fn keep_from(&mut self, first: usize, segments: &[SegmentFile]) -> io::Result<bool> {
        if first == 0 {
            return Ok(false);
        }
        let segment = self.blocks.get(first).map(|place| place.segment);
        let (mut at, mut is_shorter) = (0, false);
        let mut error = None;
        self.blocks.retain(|place| {
            at += 1;
            let is_kept = at > first
                || Some(place.segment) == segment
                    && is_define(segments, place).unwrap_or_else(|why| {
                        error = Some(why);
                        true
                    });
            is_shorter |= !is_kept;
            is_kept
        });
        error.map_or(Ok(is_shorter), Err)
    }
}

/// A search by time in the blocks of a run, which follow each other in time.
struct Search<'a> {
    segments: &'a [SegmentFile],
    blocks: &'a [BlockPlace],
    buffer: AlignedVec<16>,
}

impl Search<'_> {
    /// The first block with events that `is_reached` says so of, by halving. What cannot be read
    /// counts as reached: it is told when it is shown.
    fn first(&mut self, is_reached: impl Fn(&Timeline) -> bool) -> usize {
        let (mut low, mut high) = (0, self.blocks.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.timeline(middle) {
                Some((at, timeline)) if !is_reached(&timeline) => low = at + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// The times of the first events block from `from` on, and which that is.
    fn timeline(&mut self, from: usize) -> Option<(usize, Timeline)> {
        for (at, place) in self.blocks.iter().enumerate().skip(from) {
            self.buffer.resize(place.bytes as usize, 0);
            let segment = &self.segments[place.segment as usize];
            let read = segment.read_at(&mut self.buffer, place.offset).ok()?;
            let header = header::verify(&self.buffer[..read]).ok()?;
            if header.kind == BlockKind::Events {
                let block = EventsBlock::open(header, &self.buffer[..read]).ok()?;
                return Some((at, block.timeline()));
            }
        }
        None
    }
}

fn is_define(segments: &[SegmentFile], place: &BlockPlace) -> io::Result<bool> {
    let mut front = [0; HEADER_BYTES];
    let read = segments[place.segment as usize].read_at(&mut front, place.offset)?;
    Ok(BlockHeader::decode(&front[..read]).is_ok_and(|header| header.kind == BlockKind::Define))
}

impl SegmentFile {
    /// Reads into the whole of `buffer`, unless the file ends before. Returns the bytes read.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.file {
            Some(file) => read_full(file, buffer, offset),
            None => read_full(&File::open(&self.path)?, buffer, offset),
        }
    }
}

/// The blocks by their headers alone; `None` where a header is not where it should be.
fn walk(file: &File, path: &Path) -> io::Result<Option<Blocks>> {
    let mut blocks = Blocks::new();
    let mut sequences = HashMap::new();
    let mut generation = None;
    let (mut window, mut window_at, mut window_len) = (vec![0; WINDOW_BYTES], 0, 0);
    let mut offset = 0;
    let mut step = 0;
    loop {
        if offset + HEADER_BYTES as u64 > window_at + window_len as u64 {
            // Behind a large block another one is likely, and a window would have but one header.
            let wanted = if step > WINDOW_BYTES { HEADER_BYTES } else { WINDOW_BYTES };
            window_len = read_full(file, &mut window[..wanted], offset)?;
            window_at = offset;
        }
        let from = (offset - window_at) as usize;
        let front = window.get(from..window_len).unwrap_or(&[]);
        let header = match BlockHeader::decode(front) {
            Ok(header) => header,
            // A length that is wrong may lead beyond the blocks that follow, to the end.
            Err(BlockError::Empty) => match what_follows(path, offset)? {
                Follows::Nothing => return ends_well(file, blocks),
                Follows::Block => {
                    window_len = 0;
                    continue;
                }
                Follows::Something => return Ok(None),
            },
            Err(BlockError::Short) if front.is_empty() => return ends_well(file, blocks),
            Err(_) => return Ok(None),
        };
        // One journal, one generation a segment, no gap in a run: else a header is not to be
        // believed.
        let run = (header.source, header.epoch);
        let is_next = header.kind != BlockKind::Events
            || sequences
                .insert(run, header.sequence)
                .is_none_or(|last: u64| last.checked_add(1) == Some(header.sequence));
        // Events are checked when they are read. What is missing of the rest could make them wrong.
        let is_events = header.kind == BlockKind::Events;
        if *generation.get_or_insert(header.generation) != header.generation
            || !is_next
            || !(is_events || is_whole(file, &header, offset)?)
        {
            return Ok(None);
        }
        blocks.push((header, offset));
        step = header.padded_bytes();
        offset += step as u64;
    }
}

fn ends_well(file: &File, blocks: Blocks) -> io::Result<Option<Blocks>> {
    match blocks.last() {
        Some((header, offset)) if !is_whole(file, header, *offset)? => Ok(None),
        _ => Ok(Some(blocks)),
    }
}

/// What stands where a walk found zeroes.
enum Follows {
    /// Nothing up to the end of the file.
    Nothing,
    /// A block, which was written meanwhile.
    Block,
    /// Damage, and blocks behind it.
    Something,
}

fn what_follows(path: &Path, offset: u64) -> io::Result<Follows> {
    let mut rest = Sift::segment(path)?;
    rest.seek(offset);
    Ok(match rest.next() {
        None => Follows::Nothing,
        Some(Ok(block)) if block.offset == offset => Follows::Block,
        Some(_) => Follows::Something,
    })
}

fn is_whole(file: &File, header: &BlockHeader, offset: u64) -> io::Result<bool> {
    let mut block = vec![0; header.bytes()];
    let read = read_full(file, &mut block, offset)?;
    Ok(header::verify(&block[..read]).is_ok())
}

/// The blocks of a segment whose headers cannot be followed.
fn search(path: &Path, damage: &mut Vec<Damage>) -> io::Result<Blocks> {
    let mut found = Blocks::new();
    let mut blocks = Sift::segment(path)?;
    while let Some(block) = blocks.next() {
        match block {
            Ok(block) => found.push((block.header, block.offset)),
            Err(stretch) => damage.push(stretch),
        }
    }
    Ok(found)
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::build::{self, ChunkSource, EventsHead};
    use crate::block::define::Definitions;
    use crate::capture;
    use crate::clock::Anchor;
    use crate::event::{SourceInfo, ThreadInfo};
    use crate::journal::{Journal, JournalOptions, Scan};
    use crate::level::Level;
    use crate::site::{Definition, Names};

    const SITE: Definition<'static> = Definition {
        level: Level::INFO,
        line: 1,
        column: 1,
        target: "test",
        module: "test",
        file: "test.rs",
        template: "{}",
        names: Names::Listed(&["0"]),
    };
    const STEP_NS: i64 = 10_000_000_000;

    /// A journal with an event, and a block, each 10 s from 1970 on, `runs` runs in turns.
    fn journal(dir: &Path, events: i64, runs: u64) {
        let options = JournalOptions { segment_bytes: 8 << 20, ..JournalOptions::directory(dir) };
        let (_journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
        let mut all: Vec<_> = (0..runs)
            .map(|epoch| {
                let info = SourceInfo { source: 7, epoch, ..SourceInfo::default() };
                let mut definitions = Definitions::new(info);
                definitions.set_thread(1, ThreadInfo { os_id: 1, name: "main".into() });
                definitions
            })
            .collect();
        let mut buffer = AlignedVec::new();
        for n in 0..events {
            let ticks = (n * STEP_NS) as u64;
            let record =
                capture::encode_record(&SITE, None, Level::INFO, None, ticks, 1 << 16, (n, ()));
            let record = record.unwrap();
            let anchor = |ticks: u64| Anchor { ticks, utc_ns: ticks as i64 };
            let (before, after) = (anchor(ticks.saturating_sub(5)), anchor(ticks + 5));
            let timeline = Timeline { before, after, nanos_per_tick: 1.0 };
            let epoch = n as u64 % runs;
            let sequence = n as u64 / runs + 1;
            let head = EventsHead { source: 7, epoch, sequence, timeline };
            let (to, chunk) = (record.len() as u64, [&record[..], &[]]);
            let chunk = ChunkSource { ring: 3, thread: 1, context: 0, from: 0, to, runs: chunk };
            build::events(&mut buffer, &head, &[chunk]);
            writer.append_events(&mut buffer, &all[epoch as usize]).unwrap();
            // A context more now and then, so that definitions stand between the events.
            if n % 50 == 0 {
                all[epoch as usize].set_context(n as u32 + 1, Default::default());
            }
        }
    }

    #[test]
    fn what_lies_outside_of_the_time_is_not_read_and_nothing_inside_is_missing() {
        for runs in [1, 3] {
            let dir = tempfile::tempdir().unwrap();
            journal(dir.path(), 1000, runs);
            for (since, until) in
                [(0, 1000), (500, 1000), (0, 300), (300, 310), (999, 1000), (2000, 3000)]
            {
                let at = |n: i64| Some(n * STEP_NS);
                let mut index = JournalIndex::of(dir.path()).unwrap();
                index.keep_between(at(since), at(until)).unwrap();
                let kept: usize = index.runs.iter().map(|run| run.blocks.len()).sum();
                // A minute of slack is six events on either side; the rest are definitions.
                let wanted = (until.min(1000) - since).max(0) as usize;
                assert!(kept <= wanted + 14 * runs as usize + 30, "{since} to {until}: {kept}");

                let time = |n: i64| jiff::Timestamp::from_second(n * 10).unwrap().to_string();
                let (mut out, mut err) = (Vec::new(), Vec::new());
                let path = dir.path().to_str().unwrap();
                let (since_at, until_at) = (time(since), time(until));
                let args = [
                    "rollway",
                    "cat",
                    "--pattern",
                    "%m%n",
                    "--since",
                    &since_at,
                    "--until",
                    &until_at,
                    path,
                ];
                crate::cli::run(args, &mut out, &mut err);
                let expected: String = (since..until.min(1000)).map(|n| format!("{n}\n")).collect();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
                assert_eq!(String::from_utf8(err).unwrap(), "");
            }
        }
    }

    #[test]
    fn the_last_events_of_a_run_keep_the_definitions_that_they_need() {
        let dir = tempfile::tempdir().unwrap();
        journal(dir.path(), 1000, 1);
        let (index, is_all) = JournalIndex::newest(dir.path(), 1, 7).unwrap();
        assert!(!is_all);
        assert!(index.runs[0].blocks.len() <= 7 + 30, "{}", index.runs[0].blocks.len());
        let (index, is_all) = JournalIndex::newest(dir.path(), 1, 5000).unwrap();
        assert!(is_all && index.runs[0].blocks.len() >= 1000);
    }
}
