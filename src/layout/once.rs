//! Lines that several appenders write with the same layout: each is rendered once.
//!
//! The appenders of a journal that have layouts with one [number](Layout::hash) share their newest
//! lines, by the events' places in the journal. Whoever comes to an event first renders it, the
//! others copy. One that is further behind than that renders for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Layout, Page};
use crate::event::Event;

/// Blocks whose lines are kept, for each layout.
const BLOCKS_MAX: usize = 4;
/// Bytes of lines that are kept of one block; the rest of it is rendered by each appender.
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// The lines that the appenders of one journal share.
#[derive(Debug, Default)]
pub(crate) struct SharedLines {
    layouts: Mutex<HashMap<u64, Weak<Lines>>>,
}

/// The newest lines of one layout.
#[derive(Debug, Default)]
struct Lines {
    /// More than one appender has had it.
    is_shared: AtomicBool,
    blocks: Mutex<Blocks>,
}

/// The block that was met last is the last one.
#[derive(Debug, Default)]
struct Blocks(VecDeque<BlockLines>);

/// The lines of one block.
#[derive(Debug)]
struct BlockLines {
    /// Generation and offset of the block.
    at: (u64, u64),
    text: Vec<u8>,
    /// Index of the event, and its range of the text; ascending.
    lines: Vec<(u32, usize, usize)>,
}

impl SharedLines {
    /// The layout of one more appender.
    pub(crate) fn of(&self, layout: &dyn Layout) -> Box<dyn Layout> {
        let own = layout.clone_layout();
        if !layout.is_shareable() {
            return own;
        }
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.retain(|_, lines| lines.strong_count() > 0);
        let lines = layouts.get(&layout.hash()).and_then(Weak::upgrade);
        if let Some(lines) = &lines {
            // Relaxed: whoever does not see it yet renders for himself.
            lines.is_shared.store(true, Ordering::Relaxed);
        }
        let lines = lines.unwrap_or_else(|| {
            let lines = Arc::default();
            layouts.insert(layout.hash(), Arc::downgrade(&lines));
            lines
        });
        Box::new(Once { layout: own, lines })
    }
}

/// A layout that takes a line from others who have it.
#[derive(Clone)]
struct Once {
    layout: Box<dyn Layout>,
    lines: Arc<Lines>,
}

impl Layout for Once {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        if self.lines.is_shared() {
            self.write_shared(event, out);
        } else {
            self.layout.write(event, out);
        }
    }

    fn write_page(&mut self, event: &Event<'_>, page: &mut Page) {
        if self.lines.is_shared() {
            self.write_page_shared(event, page);
        } else {
            self.layout.write_page(event, page);
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
    fn write_shared(&mut self, event: &Event<'_>, out: &mut String) {
        let Some(at) = event.place else { return self.layout.write(event, out) };
        let mut blocks = self.lines.lock();
        let block = blocks.block((at.generation, at.offset));
        if let Some(Ok(line)) = block.line(at.index).map(str::from_utf8) {
            return out.push_str(line);
        }
        let begin = out.len();
        self.layout.write(event, out);
        block.keep(at.index, &out.as_bytes()[begin..]);
    }

    #[inline(never)]
    fn write_page_shared(&mut self, event: &Event<'_>, page: &mut Page) {
        let Some(at) = event.place else { return self.layout.write_page(event, page) };
        let mut blocks = self.lines.lock();
        let block = blocks.block((at.generation, at.offset));
        if let Some(line) = block.line(at.index) {
            return page.push_bytes(line);
        }
        let begin = page.len();
        self.layout.write_page(event, page);
        block.keep(at.index, &page.as_bytes()[begin..]);
    }
}

impl Lines {
    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// The lines of a block, in the place of those of the oldest one if it has none yet.
    fn block(&mut self, at: (u64, u64)) -> &mut BlockLines {
        let found = self.0.iter().rposition(|block| block.at == at);
        let found = found.unwrap_or_else(|| {
            let kept = if self.0.len() < BLOCKS_MAX { None } else { self.0.pop_front() };
            let mut block = kept.unwrap_or(BlockLines { at, text: Vec::new(), lines: Vec::new() });
            block.at = at;
            block.text.clear();
            block.lines.clear();
            self.0.push_back(block);
            self.0.len() - 1
        });
        &mut self.0[found]
    }
}

impl BlockLines {
    fn line(&self, index: u32) -> Option<&[u8]> {
        let found = self.lines.binary_search_by_key(&index, |line| line.0).ok()?;
        let (_, begin, end) = self.lines[found];
        self.text.get(begin..end)
    }

    fn keep(&mut self, index: u32, line: &[u8]) {
        if self.text.len() + line.len() > BLOCK_BYTES_MAX {
            return;
        }
        let place = self.lines.partition_point(|kept| kept.0 < index);
        let begin = self.text.len();
        self.text.extend_from_slice(line);
        self.lines.insert(place, (index, begin, self.text.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::event::EventPlace;
    use crate::layout::fixture::Fixture;

    /// Says how often it was asked.
    #[derive(Clone)]
    struct Counting(Arc<AtomicU64>, u64);

    impl Layout for Counting {
        fn write(&mut self, _: &Event<'_>, out: &mut String) {
            out.push_str(&format!("{}\n", self.0.fetch_add(1, Ordering::Relaxed)));
        }

        fn hash(&self) -> u64 {
            self.1
        }

        fn is_shareable(&self) -> bool {
            true
        }
    }

    fn line(layout: &mut dyn Layout, offset: u64, index: u32) -> Vec<u8> {
        let mut fixture = Fixture::saying("m");
        fixture.place = Some(EventPlace { generation: 1, offset, index });
        let mut page = Page::new();
        layout.write_page(&fixture.event(), &mut page);
        page.as_bytes().to_vec()
    }

    #[test]
    fn an_event_is_rendered_once_for_appenders_with_the_same_layout() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut layouts = [5, 5, 6].map(|hash| shared.of(&Counting(Arc::clone(&asked), hash)));
        let [one, two, other] = &mut layouts;
        assert_eq!(line(&mut **one, 0, 0), b"0\n");
        assert_eq!(line(&mut **two, 0, 1), b"1\n", "an event that the first one did not get");
        assert_eq!(line(&mut **two, 0, 0), b"0\n");
        assert_eq!(line(&mut **one, 0, 1), b"1\n");
        assert_eq!(line(&mut **other, 0, 0), b"2\n", "another layout");
        // Whoever is left behind renders for himself.
        for block in 1..=BLOCKS_MAX as u64 {
            line(&mut **one, 64 * block, 0);
        }
        assert_eq!(line(&mut **two, 0, 0), format!("{}\n", 3 + BLOCKS_MAX).as_bytes());
    }

    #[test]
    fn an_appender_alone_keeps_no_lines() {
        let (shared, asked) = (SharedLines::default(), Arc::new(AtomicU64::new(0)));
        let mut one = shared.of(&Counting(Arc::clone(&asked), 5));
        let _other = shared.of(&Counting(Arc::clone(&asked), 6));
        assert_eq!([line(&mut *one, 0, 0), line(&mut *one, 0, 0)], [b"0\n", b"1\n"]);
    }
}
