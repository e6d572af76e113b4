//! How a block is handed to an appender: whole, and where it is refused, in parts.
//!
//! A refused run is halved until the one event is found that the destination does not want. That
//! goes among the dead letters, and the appender gets its place without the event, so that it
//! settles behind it. In this order: a kill in between finds the letter there already.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Instant;

use super::letters::DeadLetters;
use super::routes::Routes;
use crate::appender::{AppendError, Appender, Batch, Counts, Part};
use crate::engine::selflog;
use crate::journal::{Block, Position};
use crate::layout::Drafts;
use crate::route::composite::Hold;
use crate::sys::crash::{self, CrashPoint};

/// So many events refused one after the other speak against the destination and not against them.
const REFUSED_IN_ROW_MAX: u32 = 100;

/// The appender with what it takes to hand something to it.
pub(super) struct Hand {
    pub(super) appender: Box<dyn Appender>,
    pub(super) routes: Routes,
    drafts: Drafts,
    counts: Cell<Counts>,
    letters: DeadLetters,
    refused_in_row: u32,
}

/// What became of a block, or of a part of it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) dead_letters: u64,
    /// Those of them that are too long for the destination.
    pub(super) oversized: u64,
}

/// The destination refuses everything.
#[derive(Debug)]
struct RefusesAll {
    source: AppendError,
}

impl fmt::Display for RefusesAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{REFUSED_IN_ROW_MAX} events in a row were refused, so it is tried again and again with \
             the next one; check what the destination expects"
        )
    }
}

impl Error for RefusesAll {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl Hand {
    pub(super) fn new(
        appender: Box<dyn Appender>,
        routes: Routes,
        drafts: Drafts,
        letters: DeadLetters,
    ) -> Hand {
        Hand { appender, routes, drafts, counts: Cell::default(), letters, refused_in_row: 0 }
    }

    /// Asks what a composite holds of the appender's events; `None` where none does.
    pub(super) fn hold<R>(&self, ask: impl FnOnce(&mut Hold) -> R) -> Option<R> {
        self.routes.last()?.borrow_mut().hold().map(ask)
    }

    /// Hands over the events of a block from index `from` on and before `end`. What became of those
    /// before a failure is in `outcome`.
    pub(super) fn deliver<'b>(
        &'b mut self,
        block: &'b Block<'b>,
        mut from: u32,
        end: u32,
        outcome: &mut Outcome,
    ) -> Result<(), Box<dyn Error>> {
        let whole =
            Batch::new(block, &self.counts, self.routes.at(block.position)).drafting(&self.drafts);
        // The ends of the runs to hand over, the next one last; behind them all is `end`.
        let mut ends = Vec::new();
        if self.refused_in_row >= REFUSED_IN_ROW_MAX {
            // A destination that refuses everything is tried with one event.
            ends.push(from + 1);
        }
        loop {
            let to = ends.last().copied().unwrap_or(end);
            let Err(error) = self.appender.append(&whole.part(Part { from, to })) else {
                let counts = self.counts.get();
                outcome.add(counts);
                if counts.events > 0 {
                    self.refused_in_row = 0;
                }
                if to == end {
                    return Ok(());
                }
                from = to;
                ends.pop();
                continue;
            };
            // What lies before its settled position has arrived all the same.
            let settled = self.appender.settled();
            if is_within(settled, block.position) && settled.index > from {
                whole.part(Part { from, to: settled.index }).for_each(|_| {});
                outcome.add(self.counts.get());
                from = settled.index;
            }
            let is_refused =
                matches!(error, AppendError::Rejected { .. } | AppendError::TooLarge { .. });
            if !is_refused || whole.part(Part { from, to }).count() == 0 {
                return Err(error.into());
            }
            let left = to.min(items(block)).saturating_sub(from);
            if left > 1 {
                ends.push(from + left / 2);
                continue;
            }
            if self.refused_in_row >= REFUSED_IN_ROW_MAX {
                return Err(RefusesAll { source: error }.into());
            }
            self.letters.put(block, from, &selflog::chain(&error))?;
            crash::reached(CrashPoint::DeadLetter);
            self.appender.append(&whole.part(Part { from, to }).passed())?;
            self.refused_in_row += 1;
            outcome.dead_letters += 1;
            outcome.oversized += u64::from(matches!(error, AppendError::TooLarge { .. }));
            if to == end {
                return Ok(());
            }
            from = to;
            ends.pop();
        }
    }

    /// Returns once everything taken survives a power failure, the dead letters before the position
    /// that lies behind them.
    pub(super) fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        let synced = self.letters.sync();
        synced.map_err(|error| AppendError::Unavailable { source: io::Error::other(error) })?;
        self.appender.sync(deadline)
    }

    /// Hands over a block of rollway's own, which counts nowhere and passes every route.
    pub(super) fn say<'b>(&'b mut self, block: &'b Block<'b>) -> Result<(), AppendError> {
        self.appender.append(&Batch::own(block, &self.counts))
    }
}

impl Outcome {
    fn add(&mut self, counts: Counts) {
        self.counts.events += counts.events;
        self.counts.damaged += counts.damaged;
        self.counts.filtered += counts.filtered;
    }
}

/// Whether a position is one of the block that begins at `block`.
pub(super) fn is_within(position: Position, block: Position) -> bool {
    (position.generation, position.offset) == (block.generation, block.offset)
}

/// The events of a block, the damaged ones included.
fn items(block: &Block<'_>) -> u32 {
    let mut events = block.events.events(block.dictionary);
    let mut count = 0;
    while events.next().is_some() {
        count += 1;
    }
    count
}
