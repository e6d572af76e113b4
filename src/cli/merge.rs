//! Many runs of many journals as one stream of lines in order of time.
//!
//! A run is the blocks of one (journal, source, epoch). Its blocks follow each other in time, but
//! for those that were recovered from the rings of a dead process, which overlap. So the next block
//! is opened before the first line of the newest open one is given out.
//!
//! Memory is bounded: a block is rendered a piece at a time, only runs that have begun and have not
//! ended hold pieces, and a run holds at most [`OPEN_BLOCKS_MAX`] blocks open. It knows the definitions
//! of the segments that these lie in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use rkyv::util::AlignedVec;

use super::filter::Filter;
use super::index::{BlockPlace, JournalIndex, Run, SegmentFile};
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::block::{Dictionary, EventsBlock};
use crate::journal::{Damage, GAPS_MAX, Gaps, Seen, whole};
use crate::layout::{Layout, Page};

/// Text of all open blocks, as far as pieces of [`PIECE_BYTES_MIN`] allow.
const TEXT_BYTES: usize = 64 << 20;
const PIECE_BYTES_MIN: usize = 64 << 10;
const PIECE_BYTES_MAX: usize = 1 << 20;
/// Blocks of one run that are open at once: as many rings as a dead process may have left, within
/// reason. Beyond it lines are not in order of time any more, but none is lost.
const OPEN_BLOCKS_MAX: usize = 256;

/// What could not be shown.
#[derive(Debug)]
pub(super) enum Loss {
    /// Bytes that are no block.
    Damage(Damage),
    /// Events that a valid block has and that cannot be shown.
    Events { segment: String, offset: u64, bytes: u32, events: u64, what: &'static str },
    /// Blocks that are not in the journal though their neighbours are.
    Gap { segment: String, offset: u64, blocks: u64 },
    /// A block that the operating system did not deliver.
    Unreadable { segment: String, offset: u64, bytes: u32, error: io::Error },
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Loss::Damage(damage) => damage.fmt(f),
            Loss::Events { segment, offset, bytes, events, what } => write!(
                f,
                "{segment}: {events} events of the {bytes} bytes from byte {offset} on were left out: {what}"
            ),
            Loss::Gap { segment, offset, blocks } => write!(
                f,
                "{segment}: {blocks} blocks are missing in front of the one at byte {offset}"
            ),
            Loss::Unreadable { segment, offset, bytes, error } => {
                write!(f, "{segment}: {bytes} bytes from byte {offset} on cannot be read: {error}")
            }
        }
    }
}

/// Counts of a merge.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Totals {
    /// Events that could be read, shown or not.
    pub(super) readable: u64,
    /// Events that were given out, or left out because of [`Merge::skip`].
    pub(super) shown: u64,
}

/// The merge of some journals.
pub(super) struct Merge<'a> {
    filter: &'a Filter,
    layout: Box<dyn Layout>,
    piece_bytes: usize,
    runs: Vec<OpenRun<'a>>,
    /// The block that is rendered, and buffers of a piece that was given out.
    buffer: AlignedVec<16>,
    spare: (Page, Vec<(i64, u32)>),
    /// What comes next of each open block, and when each run begins.
    waiting: BinaryHeap<Reverse<(i64, usize, u64)>>,
    pub(super) totals: Totals,
    /// So many of the events to show are left out first.
    pub(super) skip: u64,
}

/// A run on its way through the merge.
struct OpenRun<'a> {
    segments: &'a [SegmentFile],
    blocks: &'a [BlockPlace],
    /// The next block to open.
    next: usize,
    /// Told at the end of the run: before, blocks may come late.
    gaps: Gaps<BlockPlace>,
    /// The blocks that were opened. One that was lost and came again stands behind later ones.
    seen: Seen,
    /// What is said in the segment of the newest block, and which that is.
    dictionary: Dictionary,
    segment: Option<u32>,
    /// The same of segments before it, as long as a block of theirs is not rendered to its end.
    earlier: Vec<(u32, Dictionary)>,
    /// A part of the run was damaged: definitions may be missing.
    is_damaged: bool,
    /// The segment in the rest of which they were looked for.
    looked_ahead: Option<u32>,
    open: Vec<OpenBlock>,
    /// Blocks opened so far; the newest one has this number. 0 stands for the run that waits to
    /// begin.
    opened: u64,
}

/// An events block of which a piece is rendered.
struct OpenBlock {
    number: u64,
    place: BlockPlace,
    text: Page,
    /// Time and end of each line in `text`; no time is earlier than the one in front of it.
    lines: Vec<(i64, u32)>,
    at: usize,
    /// Events of the block behind which the next piece begins; `None` when this is the last.
    resume: Option<usize>,
    /// Whether the block behind this one has been opened.
    is_followed: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        journals: &'a [JournalIndex],
        filter: &'a Filter,
        layout: Box<dyn Layout>,
        losses: &mut Vec<Loss>,
    ) -> Merge<'a> {
        let mut runs = Vec::new();
        for journal in journals {
            let is_damaged = !journal.damage.is_empty();
            let open = |run| OpenRun::new(&journal.segments, run, is_damaged);
            runs.extend(journal.runs.iter().map(open));
            losses.extend(journal.damage.iter().cloned().map(Loss::Damage));
        }
        let piece_bytes =
            (TEXT_BYTES / (2 * runs.len().max(1))).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        let mut waiting = BinaryHeap::new();
        for (at, run) in runs.iter().enumerate() {
            waiting.extend(run.begin().map(|time| Reverse((time, at, 0))));
        }
        Merge {
            filter,
            layout,
            piece_bytes,
            runs,
            buffer: AlignedVec::new(),
            spare: Default::default(),
            waiting,
            totals: Totals::default(),
            skip: 0,
        }
    }

    /// Appends the next lines to `out`, and what cannot be shown to `losses`. `false` at the end.
    pub(super) fn next(&mut self, out: &mut Page, losses: &mut Vec<Loss>) -> bool {
        let Some(Reverse((_, run, number))) = self.waiting.pop() else { return false };
        if number == 0 {
            self.open_next(run, losses);
            return true;
        }
        let Some(at) = self.runs[run].open.iter().position(|block| block.number == number) else {
            return true;
        };
        let is_newest = self.runs[run].opened == number;
        if is_newest && !self.runs[run].open[at].is_followed {
            self.runs[run].open[at].is_followed = true;
            if self.runs[run].open.len() < OPEN_BLOCKS_MAX {
                self.open_next(run, losses);
            }
        }
        let limit = self.waiting.peek().map(|Reverse(limit)| *limit);
        let block = &mut self.runs[run].open[at];
        self.totals.shown += block.give(run, limit, &mut self.skip, out);
        if block.at == block.lines.len() {
            let (place, resume) = (block.place, block.resume);
            self.spare = (std::mem::take(&mut block.text), std::mem::take(&mut block.lines));
            let piece = resume.and_then(|skip| self.render(run, place, skip, losses));
            match piece {
                Some(piece) => {
                    let block = &mut self.runs[run].open[at];
                    (block.text, block.lines, block.resume) = piece;
                    block.at = 0;
                }
                None => {
                    self.runs[run].open.swap_remove(at);
                    if self.runs[run].open.is_empty() {
                        self.open_next(run, losses);
                    }
                    self.runs[run].forget();
                    return true;
                }
            }
        }
        let block = &self.runs[run].open[at];
        self.waiting.push(Reverse((block.next_time(), run, number)));
        true
    }

    /// Opens the next block of a run that has anything to show.
    fn open_next(&mut self, run: usize, losses: &mut Vec<Loss>) {
        while let Some(place) = self.runs[run].blocks.get(self.runs[run].next).copied() {
            self.runs[run].next += 1;
            if let Some((text, lines, resume)) = self.render(run, place, 0, losses) {
                let run_at = run;
                let run = &mut self.runs[run_at];
                run.opened += 1;
                let number = run.opened;
                let block =
                    OpenBlock { number, place, text, lines, at: 0, resume, is_followed: false };
                self.waiting.push(Reverse((block.next_time(), run_at, number)));
                run.open.push(block);
                return;
            }
        }
        let run = &mut self.runs[run];
        run.forget();
        let gaps = run.gaps.end().into_iter();
        losses.extend(gaps.map(|gap| run.gap(gap)));
    }

    /// Takes in a define block, or renders an events block from its event `skip` on. `None` when
    /// that shows nothing.
    fn render(
        &mut self,
        run: usize,
        place: BlockPlace,
        mut skip: usize,
        losses: &mut Vec<Loss>,
    ) -> Option<Piece> {
        let run = &mut self.runs[run];
        let buffer = &mut self.buffer;
        if skip == 0 {
            run.enter(place.segment, buffer);
        }
        let header = run.read(place, buffer, losses)?;
        if header.kind == BlockKind::Define {
            let body = buffer.get(HEADER_BYTES..).unwrap_or(&[]);
            if let Err(error) = run.dictionary.define(&header, body) {
                run.is_damaged = true;
                losses.push(run.damage(place, error));
            }
            return None;
        }
        let block = match EventsBlock::open(header, buffer) {
            Ok(block) => block,
            Err(error) => {
                losses.push(run.damage(place, error));
                return None;
            }
        };
        if skip == 0 {
            if !run.seen.insert(header.sequence) {
                let what = "its number in its run was there before";
                losses.push(run.damage(place, BlockError::Malformed { what }));
                return None;
            }
            let gap = run.gaps.meet(header.sequence, place);
            losses.extend(gap.map(|gap| run.gap(gap)));
        }
        let dictionary = run.known_in(place.segment);
        if run.is_damaged && !block.has_contexts(dictionary) {
            let (segment, offset, bytes) = (run.segment_name(place), place.offset, place.bytes);
            let (events, what) = (block.count(), "a context of theirs is not defined");
            losses.push(Loss::Events { segment, offset, bytes, events, what });
            return None;
        }
        let (mut text, mut lines) = std::mem::take(&mut self.spare);
        text.clear();
        lines.clear();
        let (mut left_out, mut why) = (0, "");
        let mut events = block.events(dictionary);
        let mut seen = 0;
        let mut resume = None;
        let mut latest = i64::MIN;
        while let Some(event) = events.next() {
            seen += 1;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            match event
                .map_err(|damaged| damaged.what)
                .and_then(|event| whole(event, run.is_damaged))
            {
                Ok(event) => {
                    self.totals.readable += 1;
                    if !self.filter.takes(&event) {
                        continue;
                    }
                    self.layout.write_page(&event, &mut text);
                    latest = latest.max(event.time_ns);
                    lines.push((latest, text.len() as u32));
                    if text.len() >= self.piece_bytes {
                        resume = Some(seen);
                        break;
                    }
                }
                Err(what) => {
                    left_out += 1;
                    why = what;
                }
            }
        }
        if left_out > 0 {
            let segment = run.segment_name(place);
            let (offset, bytes) = (place.offset, place.bytes);
            losses.push(Loss::Events { segment, offset, bytes, events: left_out, what: why });
        }
        (!lines.is_empty()).then_some((text, lines, resume))
    }
}

/// Text, the lines in it, and where the next piece begins.
type Piece = (Page, Vec<(i64, u32)>, Option<usize>);

impl<'a> OpenRun<'a> {
    fn new(segments: &'a [SegmentFile], run: &'a Run, is_damaged: bool) -> OpenRun<'a> {
        OpenRun {
            segments,
            blocks: &run.blocks,
            next: 0,
            gaps: Gaps::remembering(GAPS_MAX),
            seen: Seen::default(),
            dictionary: Dictionary::new(),
            segment: None,
            earlier: Vec::new(),
            is_damaged,
            looked_ahead: None,
            open: Vec::new(),
            opened: 0,
        }
    }

    /// When the first event happened, shown or not; `None` without any. Before all others where
    /// that cannot be read: then the run begins at once, and says why.
    fn begin(&self) -> Option<i64> {
        let mut dictionary = Dictionary::new();
        let mut buffer = AlignedVec::<16>::new();
        for place in self.blocks {
            let Ok(Ok(header)) = self.load(*place, &mut buffer) else { return Some(i64::MIN) };
            if header.kind == BlockKind::Define {
                // What is wrong with it is said when the run begins.
                let _ = dictionary.define(&header, buffer.get(HEADER_BYTES..).unwrap_or(&[]));
                continue;
            }
            let Ok(block) = EventsBlock::open(header, &buffer) else { return Some(i64::MIN) };
            match block.events(&dictionary).next() {
                Some(Ok(event)) => return Some(event.time_ns),
                Some(Err(_)) => return Some(i64::MIN),
                None => {}
            }
        }
        (!self.blocks.is_empty()).then_some(i64::MIN)
    }

    /// Comes to the next block, which lies in `segment`. There all is said anew that events refer to.
    fn enter(&mut self, segment: u32, buffer: &mut AlignedVec<16>) {
        if self.segment != Some(segment) {
            if let Some(last) = self.segment.filter(|last| self.is_to_render(*last)) {
                self.earlier.push((last, std::mem::take(&mut self.dictionary)));
            }
            self.segment = Some(segment);
            self.dictionary.begin_segment();
        }
        if self.is_damaged && self.looked_ahead != Some(segment) {
            self.look_ahead(segment, buffer);
        }
    }

    /// What is said in a segment of which a block is rendered.
    fn known_in(&self, segment: u32) -> &Dictionary {
        let earlier = self.earlier.iter().find(|(earlier, _)| *earlier == segment);
        earlier.map_or(&self.dictionary, |(_, known)| known)
    }

    /// Forgets definitions that nothing refers to any more.
    fn forget(&mut self) {
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.retain(|(segment, _)| self.is_to_render(*segment));
        self.earlier = earlier;
        let is_over = self.next == self.blocks.len();
        if is_over && !self.segment.is_some_and(|segment| self.is_to_render(segment)) {
            self.dictionary = Dictionary::new();
        }
    }

    /// Whether an open block of a segment has events that are not rendered yet.
    fn is_to_render(&self, segment: u32) -> bool {
        let mut open = self.open.iter();
        open.any(|block| block.resume.is_some() && block.place.segment == segment)
    }

    /// Takes the definitions in the rest of a segment for those that damage may have cost.
    fn look_ahead(&mut self, segment: u32, buffer: &mut AlignedVec<16>) {
        self.looked_ahead = Some(segment);
        let rest = self.blocks.get(self.next..).unwrap_or(&[]);
        for place in rest.iter().take_while(|place| place.segment == segment) {
            // What is wrong with a block is told when its turn comes.
            if let Ok(Ok(header)) = self.load(*place, buffer)
                && header.kind == BlockKind::Define
            {
                let body = buffer.get(HEADER_BYTES..).unwrap_or(&[]);
                let _ = self.dictionary.define_ahead(&header, body);
            }
        }
    }

    /// Reads and checks a block into `buffer`.
    fn read(
        &mut self,
        place: BlockPlace,
        buffer: &mut AlignedVec<16>,
        losses: &mut Vec<Loss>,
    ) -> Option<BlockHeader> {
        match self.load(place, buffer) {
            Ok(Ok(header)) => return Some(header),
            Ok(Err(error)) => losses.push(self.damage(place, error)),
            Err(error) => {
                let (offset, bytes) = (place.offset, place.bytes);
                let segment = self.segment_name(place);
                losses.push(Loss::Unreadable { segment, offset, bytes, error });
            }
        }
        self.is_damaged = true;
        None
    }

    fn load(
        &self,
        place: BlockPlace,
        buffer: &mut AlignedVec<16>,
    ) -> io::Result<Result<BlockHeader, BlockError>> {
        buffer.resize(place.bytes as usize, 0);
        let segment = &self.segments[place.segment as usize];
        let read = segment.read_at(buffer, place.offset)?;
        Ok(header::verify(&buffer[..read]))
    }

    fn gap(&self, (place, blocks): (BlockPlace, u64)) -> Loss {
        Loss::Gap { segment: self.segment_name(place), offset: place.offset, blocks }
    }

    fn damage(&self, place: BlockPlace, error: BlockError) -> Loss {
        let path = self.segments[place.segment as usize].path.clone();
        let (offset, bytes) = (place.offset, u64::from(place.bytes));
        Loss::Damage(Damage { path, offset, bytes, error })
    }

    fn segment_name(&self, place: BlockPlace) -> String {
        self.segments[place.segment as usize].path.display().to_string()
    }
}

impl OpenBlock {
    fn next_time(&self) -> i64 {
        self.lines.get(self.at).map_or(i64::MAX, |(time, _)| *time)
    }

    /// Gives out the lines up to `limit`, what comes next elsewhere, but for the first `skip` ones.
    /// Yields how many there were.
    fn give(
        &mut self,
        run: usize,
        limit: Option<(i64, usize, u64)>,
        skip: &mut u64,
        out: &mut Page,
    ) -> u64 {
        let rest = &self.lines[self.at..];
        let is_before =
            |(time, _): &(i64, u32)| limit.is_none_or(|limit| (*time, run, self.number) <= limit);
        let count = match rest.last() {
            Some(last) if is_before(last) => rest.len(),
            _ => rest.partition_point(is_before),
        };
        let skipped = (*skip).min(count as u64);
        *skip -= skipped;
        let begin = (self.at + skipped as usize).checked_sub(1);
        let begin = begin.map_or(0, |last| self.lines[last].1);
        self.at += count;
        let end = self.at.checked_sub(1).map_or(0, |last| self.lines[last].1);
        if out.is_empty() && begin == 0 && self.at == self.lines.len() {
            std::mem::swap(out, &mut self.text);
        } else {
            out.push_bytes(&self.text.as_bytes()[begin as usize..end as usize]);
        }
        count as u64
    }
}
