//! Lines that several appenders write with the same layout: each is rendered once.
//!
//! The appenders of a journal that have layouts with one [number](Layout::hash) share the lines of
//! the newest blocks. Whoever comes to a block first claims it, renders its events into a draft of
//! his own and shows the others the whole of it at the end of the batch, before it is written. Who
//! comes later waits for that and copies: a lock for each block and not for each line. What the
//! first one did not get of the block is claimed in the same way by the first who needs it. One
//! that is left further behind renders for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Layout, Page};
use crate::event::{Event, EventPlace};

/// Blocks whose lines are kept, for each layout.
const BLOCKS_MAX: usize = 4;
/// Bytes of lines that an appender keeps of one block; the rest of it is rendered by each.
const BLOCK_BYTES_MAX: usize = 4 << 20;
/// Drafts of one block: more than one where appenders get different events of it.
const DRAFTS_MAX: usize = 8;
/// Drafts that wait to be written over.
const SPARE_MAX: usize = 2;
/// How long a claim is respected. Who keeps the others waiting longer claims nothing for a while, so
/// that an appender that hangs in the middle of a block seldom stops the others.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long that lasts.
const SLOW_FOR: Duration = Duration::from_secs(60);

/// The lines that the appenders of one journal share.
#[derive(Debug)]
pub(crate) struct SharedLines {
    layouts: Mutex<HashMap<u64, Weak<Lines>>>,
    patience: Duration,
}

/// What the layouts of one appender have rendered of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drafts {
    drafts: Arc<Mutex<Vec<Weak<Draft>>>>,
}

/// The newest lines of one layout.
#[derive(Debug)]
struct Lines {
    patience: Duration,
    /// The appenders that have the layout.
    users: AtomicUsize,
    /// Gives them numbers.
    drawn: AtomicU64,
    blocks: Mutex<Blocks>,
    shown: Condvar,
}

/// The blocks by their place, the newest one last.
#[derive(Debug, Default)]
struct Blocks {
    blocks: VecDeque<BlockLines>,
    spare: Vec<LinesOfOne>,
    /// Who kept others waiting, and until when he claims nothing.
    slow: HashMap<u64, Instant>,
    waiting: usize,
}

/// What is known of a block.
#[derive(Debug)]
struct BlockLines {
    /// Generation and offset of the block.
    at: (u64, u64),
    shown: Vec<Arc<LinesOfOne>>,
    /// Who renders what is missing.
    claimed_by: Option<u64>,
}

/// The lines that one appender has rendered of a block.
#[derive(Debug, Default)]
struct LinesOfOne {
    text: Vec<u8>,
    /// Index of the event, and its range of the text; ascending.
    lines: Vec<(u32, usize, usize)>,
}

/// A layout of one appender on its way through a block.
#[derive(Debug)]
struct Draft {
    number: u64,
    lines: Arc<Lines>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    at: Option<(u64, u64)>,
    /// What others have shown of the block, and itself earlier.
    shown: Vec<Arc<LinesOfOne>>,
    /// What it renders, while it has claimed the block.
    own: Option<LinesOfOne>,
    /// Nothing can be claimed in this block.
    is_alone: bool,
    /// Where the last line was found: the next one mostly lies behind it.
    last: (usize, usize),
}

impl Default for SharedLines {
    fn default() -> SharedLines {
        SharedLines { layouts: Mutex::default(), patience: PATIENCE }
    }
}

impl SharedLines {
    /// The layout of one more appender, whose drafts are `drafts`.
    pub(crate) fn of(&self, layout: &dyn Layout, drafts: &Drafts) -> Box<dyn Layout> {
        let own = layout.clone_layout();
        if !layout.is_shareable() {
            return own;
        }
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.retain(|_, lines| lines.strong_count() > 0);
        let lines = layouts.get(&layout.hash()).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lines = Arc::new(Lines::new(self.patience));
            layouts.insert(layout.hash(), Arc::downgrade(&lines));
            lines
        });
        let draft = Arc::new(Draft::new(lines));
        drafts.add(&draft);
        Box::new(Once { layout: own, draft })
    }
}

impl Drafts {
    /// Shows the others what was rendered of a batch.
    pub(crate) fn show(&self) {
        for draft in self.lock().iter().filter_map(Weak::upgrade) {
            draft.work().show(&draft);
        }
    }

    fn add(&self, draft: &Arc<Draft>) {
        let mut drafts = self.lock();
        drafts.retain(|draft| draft.strong_count() > 0);
        drafts.push(Arc::downgrade(draft));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Draft>>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A layout that takes a line from others who have it.
#[derive(Clone)]
struct Once {
    layout: Box<dyn Layout>,
    draft: Arc<Draft>,
}

impl Layout for Once {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        match event.place {
            Some(at) if self.draft.lines.is_shared() => self.write_shared(at, event, out),
            _ => self.layout.write(event, out),
        }
    }

    fn write_page(&mut self, event: &Event<'_>, page: &mut Page) {
        match event.place {
            Some(at) if self.draft.lines.is_shared() => self.write_page_shared(at, event, page),
            _ => self.layout.write_page(event, page),
        }
    }

    fn hash(&self) -> u64 {
        self.layout.hash()
    }

    fn takes_chunks(&self) -> bool {
        self.layout.takes_chunks()
    }
}

// Apart, so that whoever shares with nobody does not even save registers for it.
impl Once {
    #[inline(never)]
    fn write_shared(&mut self, at: EventPlace, event: &Event<'_>, out: &mut String) {
        let mut work = self.draft.work();
        if let Some(Ok(line)) = work.line(&self.draft, at).map(str::from_utf8) {
            return out.push_str(line);
        }
        let begin = out.len();
        self.layout.write(event, out);
        work.keep(at.index, &out.as_bytes()[begin..]);
    }

    #[inline(never)]
    fn write_page_shared(&mut self, at: EventPlace, event: &Event<'_>, page: &mut Page) {
        let mut work = self.draft.work();
        if let Some(line) = work.line(&self.draft, at) {
            return page.push_bytes(line);
        }
        let begin = page.len();
        self.layout.write_page(event, page);
        work.keep(at.index, &page.as_bytes()[begin..]);
    }
}

impl Draft {
    fn new(lines: Arc<Lines>) -> Draft {
        // Relaxed, all of them: whoever does not see it yet renders for himself.
        lines.users.fetch_add(1, Ordering::Relaxed);
        let number = lines.drawn.fetch_add(1, Ordering::Relaxed);
        Draft { number, lines, work: Mutex::default() }
    }

    /// Locked by the thread of its appender alone.
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.lines.users.fetch_sub(1, Ordering::Relaxed);
        let mut blocks = self.lines.lock();
        blocks.slow.remove(&self.number);
        for block in &mut blocks.blocks {
            block.claimed_by.take_if(|number| *number == self.number);
        }
        self.lines.shown.notify_all();
    }
}

impl Work {
    /// The line of an event where somebody has shown it. Where nobody has, it is claimed.
    fn line(&mut self, draft: &Draft, at: EventPlace) -> Option<&[u8]> {
        let block = Some((at.generation, at.offset));
        if self.at != block {
            self.show(draft);
            (self.at, self.is_alone) = (block, false);
            self.shown.clear();
        }
        let mut found = self.find(at.index);
        if found.is_none() && self.own.is_none() && !self.is_alone {
            self.join(draft, (at.generation, at.offset), at.index);
            found = self.find(at.index);
        }
        let (of, line) = found?;
        self.last = (of, line);
        let of = &self.shown[of];
        let (_, begin, end) = of.lines[line];
        of.text.get(begin..end)
    }

    /// Whose line is that of an event, and which one there.
    fn find(&self, index: u32) -> Option<(usize, usize)> {
        let (of, last) = self.last;
        let is_it =
            |lines: &Arc<LinesOfOne>| lines.lines.get(last + 1).is_some_and(|line| line.0 == index);
        if self.shown.get(of).is_some_and(is_it) {
            return Some((of, last + 1));
        }
        self.shown.iter().enumerate().find_map(|(of, lines)| {
            let line = lines.lines.binary_search_by_key(&index, |line| line.0).ok()?;
            Some((of, line))
        })
    }

    /// Takes what others have shown of the block, and claims it where this event is not among it.
    fn join(&mut self, draft: &Draft, at: (u64, u64), index: u32) {
        let lines = &*draft.lines;
        let mut blocks = lines.lock();
        let mut waits_for = None;
        loop {
            let Some(block) = blocks.block(at) else {
                self.is_alone = true;
                return;
            };
            let Some(other) = block.claimed_by.filter(|number| *number != draft.number) else {
                self.shown.clone_from(&block.shown);
                let is_full = block.shown.len() >= DRAFTS_MAX;
                if self.find(index).is_some() {
                    return;
                }
                if is_full || blocks.is_slow(draft.number) {
                    self.is_alone = true;
                } else {
                    self.own = Some(blocks.claim(at, draft.number));
                }
                return;
            };
            let now = Instant::now();
            // Each claim has its own time.
            let until = match waits_for {
                Some((number, until)) if number == other => until,
                _ => now + lines.patience,
            };
            waits_for = Some((other, until));
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                block.claimed_by = None;
                blocks.slow.insert(other, now + SLOW_FOR);
                continue;
            }
            blocks.waiting += 1;
            let waited = lines.shown.wait_timeout(blocks, left);
            blocks = waited.unwrap_or_else(PoisonError::into_inner).0;
            blocks.waiting -= 1;
        }
    }

    /// Keeps a line that was rendered.
    fn keep(&mut self, index: u32, line: &[u8]) {
        let Some(own) = self.own.as_mut() else { return };
        let begin = own.text.len();
        let is_behind = own.lines.last().is_none_or(|last| last.0 < index);
        if is_behind && begin + line.len() <= BLOCK_BYTES_MAX {
            own.text.extend_from_slice(line);
            own.lines.push((index, begin, own.text.len()));
        }
    }

    /// Shows the others what was rendered.
    fn show(&mut self, draft: &Draft) {
        let Some((own, at)) = self.own.take().zip(self.at) else { return };
        let mut blocks = draft.lines.lock();
        if let Some(shown) = blocks.show(at, draft.number, own) {
            self.shown.push(shown);
        }
        if blocks.waiting > 0 {
            draft.lines.shown.notify_all();
        }
    }
}

impl Lines {
    fn new(patience: Duration) -> Lines {
        let (users, drawn) = (AtomicUsize::new(0), AtomicU64::new(0));
        Lines { patience, users, drawn, blocks: Mutex::default(), shown: Condvar::new() }
    }

    fn is_shared(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 1
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// The lines of a block, in the place of those of the oldest one if it has none yet; `None` where
    /// that one is newer.
    fn block(&mut self, at: (u64, u64)) -> Option<&mut BlockLines> {
        let mut place = self.blocks.partition_point(|block| block.at < at);
        if self.blocks.get(place).is_none_or(|block| block.at != at) {
            if self.blocks.len() == BLOCKS_MAX {
                // The first one that is not older is itself the oldest.
                place = place.checked_sub(1)?;
                let oldest = self.blocks.pop_front()?;
                self.spare.extend(oldest.shown.into_iter().filter_map(Arc::into_inner));
                self.spare.truncate(SPARE_MAX);
            }
            self.blocks.insert(place, BlockLines { at, shown: Vec::new(), claimed_by: None });
        }
        self.blocks.get_mut(place)
    }

    /// Whether a draft kept others waiting not long ago.
    fn is_slow(&mut self, number: u64) -> bool {
        let Some(until) = self.slow.get(&number) else { return false };
        let is_slow = Instant::now() < *until;
        if !is_slow {
            self.slow.remove(&number);
        }
        is_slow
    }

    /// Claims a block that is there. Returns what to render into.
    fn claim(&mut self, at: (u64, u64), number: u64) -> LinesOfOne {
        if let Some(block) = self.blocks.iter_mut().find(|block| block.at == at) {
            block.claimed_by = Some(number);
        }
        let mut lines = self.spare.pop().unwrap_or_default();
        lines.text.clear();
        lines.lines.clear();
        lines
    }

    /// Ends a claim; `None` where it was lost.
    fn show(&mut self, at: (u64, u64), number: u64, lines: LinesOfOne) -> Option<Arc<LinesOfOne>> {
        let block = self.blocks.iter_mut().find(|block| block.at == at)?;
        block.claimed_by.take_if(|claimed_by| *claimed_by == number)?;
        let lines = Arc::new(lines);
        block.shown.push(Arc::clone(&lines));
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::layout::fixture::Fixture;

    /// Says how often it was asked.
    #[derive(Clone)]
    struct Counting(Arc<AtomicU64>, u64);

    impl Layout for Counting {
        fn write(&mut self, event: &Event<'_>, out: &mut String) {
            let at = event.place.map_or((0, 0), |at| (at.offset, at.index));
            out.push_str(&format!("{at:?}: {}\n", self.0.fetch_add(1, Ordering::Relaxed)));
        }

        fn hash(&self) -> u64 {
            self.1
        }

        fn is_shareable(&self) -> bool {
            true
        }
    }

    /// An appender as far as lines go.
    struct Reader {
        layout: Box<dyn Layout>,
        drafts: Drafts,
    }

    impl Reader {
        fn new(shared: &SharedLines, asked: &Arc<AtomicU64>, hash: u64) -> Reader {
            let drafts = Drafts::default();
            let layout = shared.of(&Counting(Arc::clone(asked), hash), &drafts);
            Reader { layout, drafts }
        }

        /// One line of a batch.
        fn line(&mut self, offset: u64, index: u32) -> String {
            let mut fixture = Fixture::saying("m");
            fixture.place = Some(EventPlace { generation: 1, offset, index });
            let mut page = Page::new();
            self.layout.write_page(&fixture.event(), &mut page);
            String::from_utf8(page.as_bytes().to_vec()).unwrap()
        }

        /// A batch.
        fn lines(&mut self, offset: u64, indices: &[u32]) -> String {
            let lines = indices.iter().map(|index| self.line(offset, *index)).collect();
            self.drafts.show();
            lines
        }
    }

    #[test]
    fn an_event_is_rendered_once_for_appenders_with_the_same_layout() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut readers = [5, 5, 6, 5].map(|hash| Reader::new(&shared, &asked, hash));
        let [one, two, other, late] = &mut readers;
        assert_eq!(one.lines(0, &[0]), "(0, 0): 0\n");
        assert_eq!(two.lines(0, &[0, 1]), "(0, 0): 0\n(0, 1): 1\n", "the first has one of two");
        assert_eq!(one.lines(0, &[1, 2]), "(0, 1): 1\n(0, 2): 2\n");
        assert_eq!(two.lines(0, &[0, 1, 2]), "(0, 0): 0\n(0, 1): 1\n(0, 2): 2\n");
        assert_eq!(other.lines(0, &[0]), "(0, 0): 3\n", "another layout");
        // Whoever is left behind renders for himself.
        for block in 1..=BLOCKS_MAX as u64 {
            one.lines(64 * block, &[0]);
        }
        assert_eq!(late.lines(0, &[0]), format!("(0, 0): {}\n", 4 + BLOCKS_MAX));
        assert_eq!(late.lines(64, &[0]), "(64, 0): 4\n");
    }

    #[test]
    fn an_appender_alone_keeps_no_lines() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut one = Reader::new(&shared, &asked, 5);
        let other = Reader::new(&shared, &asked, 6);
        let gone = Reader::new(&shared, &asked, 5);
        drop(gone);
        assert_eq!([one.lines(0, &[0]), one.lines(0, &[0])], ["(0, 0): 0\n", "(0, 0): 1\n"]);
        drop(other);
    }

    #[test]
    fn who_hangs_in_the_middle_of_a_block_holds_the_others_up_but_once() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut readers = [5, 5].map(|hash| Reader::new(&shared, &asked, hash));
        let [hanging, other] = &mut readers;
        assert_eq!(hanging.line(0, 0), "(0, 0): 0\n");
        assert_eq!(other.lines(0, &[0, 1]), "(0, 0): 1\n(0, 1): 2\n");
        // It came too late for its lines to be of use.
        hanging.drafts.show();
        assert_eq!(hanging.line(0, 1), "(0, 1): 2\n");
        assert_eq!(hanging.line(64, 0), "(64, 0): 3\n");
        assert_eq!(other.lines(64, &[0]), "(64, 0): 4\n", "nothing was claimed");
        assert_eq!(other.lines(128, &[0]), "(128, 0): 5\n");
        assert_eq!(hanging.lines(128, &[0]), "(128, 0): 5\n", "it still copies from others");
    }

    #[test]
    fn who_goes_away_in_the_middle_of_a_block_holds_nobody_up() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut readers = [5, 5, 5].map(|hash| Reader::new(&shared, &asked, hash));
        assert_eq!(readers[0].line(0, 0), "(0, 0): 0\n");
        let [gone, mut other, third] = readers;
        drop(gone);
        assert_eq!(other.lines(0, &[0]), "(0, 0): 1\n");
        drop(third);
    }

    #[test]
    fn threads_that_get_different_events_render_each_of_them_once() {
        const BLOCKS: u64 = 400;
        const EVENTS: u32 = 40;
        // So long that no thread loses a claim because it does not get to run.
        let shared = SharedLines { patience: Duration::from_secs(600), ..SharedLines::default() };
        let asked = Arc::new(AtomicU64::new(0));
        let in_step = Barrier::new(3);
        // All, every second and every third event.
        let readers = [1, 2, 3].map(|step| (step, Reader::new(&shared, &asked, 5)));
        thread::scope(|scope| {
            let run = readers.map(|(step, mut reader)| {
                let in_step = &in_step;
                scope.spawn(move || {
                    for block in 0..BLOCKS {
                        if block.is_multiple_of(BLOCKS_MAX as u64) {
                            in_step.wait();
                        }
                        let indices: Vec<_> = (0..EVENTS).step_by(step).collect();
                        let text = reader.lines(block, &indices);
                        for (line, index) in text.lines().zip(&indices) {
                            let expected = format!("({block}, {index}): ");
                            assert!(line.starts_with(&expected), "{line} is not {expected}");
                        }
                        assert_eq!(text.lines().count(), indices.len());
                    }
                    reader
                })
            });
            // One that is gone shares no more.
            let _readers = run.map(|thread| thread.join().unwrap());
        });
        assert_eq!(asked.load(Ordering::Relaxed), BLOCKS * u64::from(EVENTS));
    }
}
