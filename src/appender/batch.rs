//! What an appender is handed: the events of a block, as far as they are its own.

use std::cell::{Cell, RefCell};

use crate::event::{Event, EventPlace};
use crate::journal::{Block, Position};
use crate::layout::Drafts;
use crate::route::{Fate, Share};

/// One block of the journal, or a run of its events, on its way into an appender.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    block: &'a Block<'a>,
    counts: &'a Cell<Counts>,
    /// What the appender gets of the events; `None` is everything.
    share: Option<&'a RefCell<Share>>,
    /// The events of the block that the batch has, by their index.
    part: Part,
    /// The events are passed over: the appender sees none.
    is_passed: bool,
    /// Which of them the appender behind an appender gets, by their place; `None` is all.
    choice: Option<&'a dyn Fn(Position) -> bool>,
    /// The block lies in the journal, at its position.
    is_of_journal: bool,
    /// What the layouts of the appender make of it, for others to take.
    drafts: Option<&'a Drafts>,
}

/// A run of the events of a block, by their index: those that are damaged or go elsewhere count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u32,
    /// [`Part::END`] and beyond is the end of the block.
    pub(crate) to: u32,
}

/// What came out of a batch.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) damaged: u64,
    /// Events that a threshold or a filter refused.
    pub(crate) filtered: u64,
}

impl Part {
    /// No block has so many events.
    pub(crate) const END: u32 = u32::MAX;
    /// All events of a block.
    pub(crate) const ALL: Part = Part { from: 0, to: Part::END };
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        block: &'a Block<'a>,
        counts: &'a Cell<Counts>,
        share: Option<&'a RefCell<Share>>,
    ) -> Batch<'a> {
        counts.set(Counts::default());
        let (part, is_passed, choice, is_of_journal) = (Part::ALL, false, None, true);
        Batch { block, counts, share, part, is_passed, choice, is_of_journal, drafts: None }
    }

    /// The same, whose lines others may take as soon as all its events have been shown.
    pub(crate) fn drafting(self, drafts: &'a Drafts) -> Batch<'a> {
        Batch { drafts: Some(drafts), ..self }
    }

    /// A block of rollway's own, which goes to every appender at some position of the journal and does
    /// not lie there.
    pub(crate) fn own(block: &'a Block<'a>, counts: &'a Cell<Counts>) -> Batch<'a> {
        Batch { is_of_journal: false, ..Batch::new(block, counts, None) }
    }

    /// A part of the same block.
    pub(crate) fn part(self, part: Part) -> Batch<'a> {
        self.counts.set(Counts::default());
        Batch { part, ..self }
    }

    /// The same place without its events.
    pub(crate) fn passed(self) -> Batch<'a> {
        self.counts.set(Counts::default());
        Batch { is_passed: true, ..self }
    }

    /// Those of the events whose place `choice` has, for an appender behind an appender. What comes
    /// out of it is counted in `counts`.
    pub(crate) fn chosen<'b>(
        &self,
        counts: &'b Cell<Counts>,
        choice: &'b dyn Fn(Position) -> bool,
    ) -> Batch<'b>
    where
        'a: 'b,
    {
        counts.set(Counts::default());
        Batch { counts, choice: Some(choice), ..*self }
    }

    /// Calls `each` with every event that is the appender's, in delivery order. What cannot be read is
    /// passed over and counted in the statistics of the outlet.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(&Event<'_>)) {
        self.for_each_at(|_, event| each(event));
    }

    /// The same with the place of each event in the journal: once all before it have arrived, that
    /// is a position to settle.
    #[inline]
    pub fn for_each_at(&self, each: impl FnMut(Position, &Event<'_>)) {
        if self.is_passed {
            return;
        }
        let is_whole = self.share.is_none() && self.choice.is_none() && self.part == Part::ALL;
        self.counts.set(if is_whole { self.each_of_all(each) } else { self.each_of_some(each) });
        if let Some(drafts) = self.drafts {
            drafts.show();
        }
    }

    /// The events of a batch that has its whole block, as most have: a loop that asks nothing.
    #[inline]
    fn each_of_all(&self, mut each: impl FnMut(Position, &Event<'_>)) -> Counts {
        let mut counts = Counts::default();
        let mut events = self.block.events.events(self.block.dictionary);
        let mut at = self.block.position;
        loop {
            // It stays where it was made: an event is so large that moving it shows.
            let mut next = events.next();
            match &mut next {
                None => return counts,
                Some(Ok(event)) => {
                    counts.events += 1;
                    event.place = self.place(at);
                    each(at, event);
                }
                Some(Err(_)) => counts.damaged += 1,
            }
            at.index += 1;
        }
    }

    fn each_of_some(&self, mut each: impl FnMut(Position, &Event<'_>)) -> Counts {
        let shown = self.share.and_then(|share| share.borrow().shown());
        let mut counts = Counts::default();
        let mut events = self.block.events.events(self.block.dictionary);
        let mut position = self.block.position;
        while position.index < self.part.to {
            let mut next = events.next();
            let Some(next) = &mut next else { break };
            let at = position;
            position.index += 1;
            if at.index < self.part.from {
                continue;
            }
            let Ok(event) = next else {
                counts.damaged += 1;
                continue;
            };
            let times = match self.share.map(|share| share.borrow_mut().fate(at, event)) {
                None => 1,
                Some(Fate::Taken(times)) => times,
                Some(Fate::Filtered) => {
                    counts.filtered += 1;
                    continue;
                }
                Some(Fate::Foreign) => continue,
            };
            if self.choice.is_some_and(|choice| !choice(at)) {
                continue;
            }
            for _ in 0..times {
                counts.events += 1;
                match &shown {
                    None => {
                        event.place = self.place(at);
                        each(at, event);
                    }
                    Some(shown) => shown.with(event, |event| each(at, event)),
                }
            }
        }
        counts
    }

    /// Where an event lies for whoever remembers its text.
    #[inline]
    fn place(&self, at: Position) -> Option<EventPlace> {
        let Position { generation, offset, index } = at;
        self.is_of_journal.then_some(EventPlace { generation, offset, index })
    }

    /// How many events are the appender's, without looking into them where it gets all.
    /// They count as delivered.
    pub fn count(&self) -> u64 {
        if self.share.is_some() || self.part != Part::ALL || self.is_passed || self.choice.is_some()
        {
            self.for_each(|_| {});
        } else {
            let events = self.block.events.count();
            self.counts.set(Counts { events, ..Counts::default() });
        }
        self.counts.get().events
    }

    /// Where the batch begins in the journal.
    pub fn position(&self) -> Position {
        Position { index: self.part.from, ..self.block.position }
    }

    /// Where the next batch begins: the position to settle once this one has arrived.
    pub fn next(&self) -> Position {
        match self.part.to {
            Part::END => self.block.next,
            index => Position { index, ..self.block.position },
        }
    }
}
