//! Reading a journal from outside, block by block and event by event, with a note of everything that
//! is not as it should be.
//!
//! For the commands that check, count and copy. Memory is bounded by the definitions of the runs in
//! one segment and by the number of runs, not by the length of the journal.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rkyv::rancor::Failure;

use super::gaps::{GAPS_MAX, Gaps};
use super::scan::generation_of;
use super::seen::Seen;
use super::sift::Sift;
use super::{Damage, Position};
use crate::block::header::{BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{Dictionary, EventsBlock, schema};
use crate::event::{Event, ThreadInfo};

/// What is wrong with a journal, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names carry their units; the text of each says the rest")]
pub enum Finding {
    /// Bytes that are no block.
    Damage(Damage),
    /// Events that a valid block has and that cannot be shown.
    Events { path: PathBuf, offset: u64, bytes: u64, events: u64, what: &'static str },
    /// Blocks that are not there though their neighbours are.
    Gap { path: PathBuf, offset: u64, source: u128, epoch: u64, blocks: u64 },
    /// A block whose number in its run was there before.
    Repeated { path: PathBuf, offset: u64, source: u128, epoch: u64, sequence: u64 },
    /// Segments between others that are not there.
    Segments { path: PathBuf, segments: u64 },
    /// The first block of a segment is not its head, or contradicts what lies before it.
    Head { path: PathBuf, what: &'static str },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Damage(damage) => damage.fmt(f),
            Finding::Events { path, offset, bytes, events, what } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: {events} events of the {bytes} bytes from byte {offset} on cannot be shown: {what}"
                )
            }
            Finding::Gap { path, offset, source, epoch, blocks } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: {blocks} blocks of run {source:032x}/{epoch} are missing in front of the one at byte {offset}"
                )
            }
            Finding::Repeated { path, offset, source, epoch, sequence } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: the block at byte {offset} is number {sequence} of run {source:032x}/{epoch}, which was there before"
                )
            }
            Finding::Segments { path, segments } => {
                write!(f, "{}: {segments} segments are missing in front of it", path.display())
            }
            Finding::Head { path, what } => write!(f, "{}: {what}", path.display()),
        }
    }
}

/// An events block that was read.
pub struct SurveyedBlock<'a> {
    /// Where it begins.
    pub position: Position,
    /// Its header.
    pub header: BlockHeader,
    /// Its archive.
    pub events: EventsBlock<'a>,
    /// What its events refer to.
    pub dictionary: &'a Dictionary,
    /// Its readable events.
    pub count: u64,
}

/// What becomes of what a [`Survey`] reads.
pub trait Reads {
    /// An event that is whole. Those of a block come in order of time, before the block.
    fn event(&mut self, event: &Event<'_>) {
        let _ = event;
    }

    /// An events block, after its events.
    fn block(&mut self, block: &SurveyedBlock<'_>) {
        let _ = block;
    }

    /// A block of any kind begins here.
    fn begins(&mut self, generation: u64, offset: u64) {
        let _ = (generation, offset);
    }

    /// Something that is not as it should be.
    fn finding(&mut self, finding: Finding);

    /// Bytes that were looked at since the last time.
    fn progress(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

/// What one segment holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "field names carry their units")]
pub struct SegmentSummary {
    pub path: PathBuf,
    /// From the head of the segment, or its name.
    pub generation: u64,
    pub file_bytes: u64,
    /// Up to the end of the last block.
    pub used_bytes: u64,
    pub events_blocks: u64,
    pub define_blocks: u64,
    /// Blocks of kinds that this build does not know.
    pub other_blocks: u64,
    pub events: u64,
    /// The runs that its head has marks of.
    pub marks: u64,
    /// Nanoseconds since 1970-01-01 UTC, of the earliest and the latest event.
    pub first_ns: Option<i64>,
    pub last_ns: Option<i64>,
    pub findings: u64,
    pub damaged_bytes: u64,
}

/// A journal on its way through the hands of a reader.
#[derive(Default)]
pub struct Survey {
    dictionary: Dictionary,
    runs: HashMap<(u128, u64), Run>,
    generation: Option<u64>,
    /// Some of it was damaged: definitions may be missing.
    is_damaged: bool,
    /// They were looked for in the rest of the segment.
    has_looked_ahead: bool,
}

/// Which blocks of a run were there.
struct Run {
    seen: Seen,
    gaps: Gaps<(PathBuf, u64)>,
}

impl Survey {
    /// Of a journal of which nothing was read yet. Gaps are told by [`Survey::end`], and only those
    /// whose blocks did not come later: what a power failure took and what came again stands behind
    /// other blocks. Of a run with more than 1,024 gaps the lowest are told before.
    pub fn new() -> Survey {
        Survey::default()
    }

    /// The greatest sequence of each run, by source and epoch.
    pub fn sequences(&self) -> impl Iterator<Item = ((u128, u64), u64)> {
        self.runs.iter().filter_map(|(run, blocks)| Some((*run, blocks.gaps.last()?)))
    }

    /// Tells which blocks are missing, and counts that in the summaries of their segments. To be called
    /// behind the last segment.
    pub fn end(&mut self, summaries: &mut [SegmentSummary], reads: &mut dyn Reads) {
        let mut missing = Vec::new();
        for (run, blocks) in &mut self.runs {
            let gaps = blocks.gaps.end().into_iter();
            missing.extend(gaps.map(|(place, blocks)| (place, *run, blocks)));
        }
        missing.sort();
        for ((path, offset), (source, epoch), blocks) in missing {
            if let Some(summary) = summaries.iter_mut().find(|summary| summary.path == path) {
                summary.findings += 1;
            }
            reads.finding(Finding::Gap { path, offset, source, epoch, blocks });
        }
    }

    /// Reads a segment: the next one of its journal, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn segment(&mut self, path: &Path, reads: &mut dyn Reads) -> io::Result<SegmentSummary> {
        let mut sift = Sift::segment(path)?;
        let file_bytes = std::fs::metadata(path).map_or(0, |found| found.len());
        let mut summary = SegmentSummary {
            path: path.to_owned(),
            generation: generation_of(path).unwrap_or(0),
            file_bytes,
            ..SegmentSummary::default()
        };
        self.dictionary.begin_segment();
        self.has_looked_ahead = false;
        let mut is_first = true;
        let mut seen = 0;
        while let Some(found) = sift.next() {
            match found {
                Err(damage) => {
                    self.is_damaged = true;
                    self.look_ahead(path, damage.offset + damage.bytes)?;
                    summary.damaged_bytes += damage.bytes;
                    is_first = false;
                    summary.tell(reads, Finding::Damage(damage));
                }
                Ok(block) => {
                    let (offset, header) = (block.offset, block.header);
                    if std::mem::take(&mut is_first) {
                        self.head(&mut summary, &header, block.bytes, reads);
                    }
                    reads.begins(summary.generation, offset);
                    match header.kind {
                        BlockKind::Segment => {}
                        BlockKind::Define => {
                            self.define(&mut summary, offset, &header, block.bytes, reads);
                        }
                        BlockKind::Events => {
                            self.events(&mut summary, offset, &header, block.bytes, reads);
                        }
                        BlockKind::Other(_) => summary.other_blocks += 1,
                    }
                    summary.used_bytes = offset + header.padded_bytes() as u64;
                }
            }
            reads.progress(sift.offset().saturating_sub(seen));
            seen = seen.max(sift.offset());
        }
        reads.progress(file_bytes.saturating_sub(seen));
        Ok(summary)
    }

    fn head(
        &mut self,
        summary: &mut SegmentSummary,
        header: &BlockHeader,
        bytes: &[u8],
        reads: &mut dyn Reads,
    ) {
        summary.generation = header.generation;
        let last = self.generation.replace(header.generation);
        if let Some(last) = last
            && header.generation > last + 1
        {
            let segments = header.generation - last - 1;
            summary.tell(reads, Finding::Segments { path: summary.path.clone(), segments });
        }
        let mut wrong =
            |what| summary.tell(reads, Finding::Head { path: summary.path.clone(), what });
        if header.kind != BlockKind::Segment {
            return wrong("it does not begin with the head of a segment");
        }
        let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        let Ok(body) = rkyv::access::<schema::ArchivedSegmentBody, Failure>(body) else {
            return wrong("the archive of its head does not validate");
        };
        summary.marks = body.marks.len() as u64;
        let marks: HashMap<_, _> = body
            .marks
            .iter()
            .map(|mark| {
                let source = u128::from(mark.source_high.to_native()) << 64
                    | u128::from(mark.source_low.to_native());
                ((source, mark.epoch.to_native()), mark.sequence.to_native())
            })
            .collect();
        let is_below = |(run, sequence)| marks.get(&run).is_some_and(|mark| *mark < sequence);
        if self.sequences().any(is_below) {
            summary.tell(
                reads,
                Finding::Head {
                    path: summary.path.clone(),
                    what: "a mark of its head is below a block that lies before it",
                },
            );
        }
    }

    fn define(
        &mut self,
        summary: &mut SegmentSummary,
        offset: u64,
        header: &BlockHeader,
        bytes: &[u8],
        reads: &mut dyn Reads,
    ) {
        summary.define_blocks += 1;
        let body = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        if let Err(error) = self.dictionary.define(header, body) {
            self.is_damaged = true;
            summary.damaged(reads, offset, bytes, error);
        }
    }

    /// Takes the definitions behind damage for those that it may have cost, once in each segment.
    fn look_ahead(&mut self, path: &Path, offset: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.has_looked_ahead, true) {
            return Ok(());
        }
        let mut sift = Sift::segment(path)?;
        sift.seek(offset.next_multiple_of(HEADER_BYTES as u64));
        while let Some(found) = sift.next() {
            if let Ok(block) = found
                && block.header.kind == BlockKind::Define
            {
                let body = block.bytes.get(HEADER_BYTES..).unwrap_or(&[]);
                // What is wrong with it is found when the survey comes there.
                let _ = self.dictionary.define_ahead(&block.header, body);
            }
        }
        Ok(())
    }

    fn events(
        &mut self,
        summary: &mut SegmentSummary,
        offset: u64,
        header: &BlockHeader,
        bytes: &[u8],
        reads: &mut dyn Reads,
    ) {
        let (source, epoch, sequence) = (header.source, header.epoch, header.sequence);
        let path = summary.path.clone();
        let run = (source, epoch);
        if self.runs.get(&run).is_some_and(|blocks| blocks.seen.has(sequence)) {
            let finding = Finding::Repeated { path, offset, source, epoch, sequence };
            return summary.tell(reads, finding);
        }
        let events = match EventsBlock::open(*header, bytes) {
            Ok(events) => events,
            Err(error) => return summary.damaged(reads, offset, bytes, error),
        };
        let new = || Run { seen: Seen::default(), gaps: Gaps::remembering(GAPS_MAX) };
        let blocks = self.runs.entry(run).or_insert_with(new);
        blocks.seen.insert(sequence);
        // Their definitions are missing as well, wherever they are.
        self.is_damaged |= blocks.gaps.last().is_some_and(|last| sequence > last.saturating_add(1));
        if let Some(((path, offset), blocks)) = blocks.gaps.meet(sequence, (path, offset)) {
            summary.tell(reads, Finding::Gap { path, offset, source, epoch, blocks });
        }
        summary.events_blocks += 1;
        if self.is_damaged && !events.has_contexts(&self.dictionary) {
            let what = "a context of theirs is not defined";
            return summary.left_out(reads, offset, bytes, events.count(), what);
        }
        let (mut count, mut left_out, mut why) = (0, 0, "");
        let mut walk = events.events(&self.dictionary);
        while let Some(event) = walk.next() {
            match event
                .map_err(|damaged| damaged.what)
                .and_then(|event| whole(event, self.is_damaged))
            {
                Ok(event) => {
                    count += 1;
                    let time = event.time_ns;
                    summary.first_ns = Some(summary.first_ns.map_or(time, |first| first.min(time)));
                    summary.last_ns = Some(summary.last_ns.map_or(time, |last| last.max(time)));
                    reads.event(&event);
                }
                Err(what) => (left_out, why) = (left_out + 1, what),
            }
        }
        summary.events += count;
        if left_out > 0 {
            summary.left_out(reads, offset, bytes, left_out, why);
        }
        let position = Position { generation: summary.generation, offset, index: 0 };
        let (header, dictionary) = (*header, &self.dictionary);
        reads.block(&SurveyedBlock { position, header, events, dictionary, count });
    }
}

impl SegmentSummary {
    fn tell(&mut self, reads: &mut dyn Reads, finding: Finding) {
        self.findings += 1;
        reads.finding(finding);
    }

    fn damaged(&mut self, reads: &mut dyn Reads, offset: u64, bytes: &[u8], error: BlockError) {
        let (path, bytes) = (self.path.clone(), bytes.len() as u64);
        self.damaged_bytes += bytes;
        self.tell(reads, Finding::Damage(Damage { path, offset, bytes, error }));
    }

    fn left_out(
        &mut self,
        reads: &mut dyn Reads,
        offset: u64,
        bytes: &[u8],
        events: u64,
        what: &'static str,
    ) {
        let (path, bytes) = (self.path.clone(), bytes.len() as u64);
        self.tell(reads, Finding::Events { path, offset, bytes, events, what });
    }
}

/// The event, unless a part of it is missing: then what is shown of it would be wrong.
///
/// # Errors
/// What is missing.
pub(crate) fn whole(event: Event<'_>, after_damage: bool) -> Result<Event<'_>, &'static str> {
    let mut values = event.values;
    let count = values.by_ref().count();
    let slots = event.site.template.slots();
    if values.is_damaged() || (slots != usize::MAX && count < slots) {
        return Err("its values are not readable");
    }
    if after_damage && (*event.thread == ThreadInfo::default() || event.source.pid == 0) {
        return Err("its thread or process is not defined");
    }
    Ok(event)
}
