//! Looks ahead of an appender whose events a composite holds back.
//!
//! The scout reads the journal and has the appender's [`Hold`] decide. The outlet follows behind it, as
//! far as everything is decided, and delivers what the hold has ready: what is held lies between the
//! two, in the journal, and before it the appender's settled position stays. See *Composites* in
//! `docs/composites.md`.

use std::cell::RefCell;
use std::io;

use super::checkpoint::{Checkpoint, CheckpointFile};
use crate::engine::selflog;
use crate::journal::{Journal, Position, ReadError, Reader};
use crate::route::composite::{HELD_MAX, Hold};
use crate::route::{Fate, Share};
use crate::sys::crash::{self, CrashPoint};

/// Events that are delivered, and not yet settled by the destination. At so many the scout waits.
const READY_MAX: usize = 2 * HELD_MAX;

/// Reads ahead of one appender.
pub(super) struct Scout {
    reader: Reader,
    /// Events before it are not looked at.
    from: Position,
    /// `None` for a journal in memory, which no restart finds.
    file: Option<CheckpointFile>,
    /// What the file says.
    stored: Checkpoint,
    filtered: u64,
}

/// What the hold of an appender has done.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct HoldCounts {
    pub(super) held: u64,
    pub(super) filtered: u64,
    pub(super) suppressed: u64,
}

impl Scout {
    /// Begins where a restart must, so that everything behind `settled` is decided as before. `None`
    /// without a composite that holds.
    pub(super) fn new(
        journal: &Journal,
        name: &str,
        share: Option<&RefCell<Share>>,
        settled: Position,
    ) -> Option<Scout> {
        let mut share = share?.borrow_mut();
        let hold = share.hold()?;
        let opened = journal.dir().map(|dir| CheckpointFile::open(dir, name)).transpose();
        let opened = opened.unwrap_or_else(|error| {
            selflog::warn(&format!(
                "appender `{name}`: what a composite held cannot be stored: {error}; a restart decides \
                 anew what is held"
            ));
            None
        });
        let (file, stored) = opened.map_or((None, None), |(file, stored)| (Some(file), stored));
        let stored = stored.unwrap_or_default();
        let is_known = hold.is_persistent()
            && stored.base <= settled
            && stored.base.generation >= journal.start_position().generation
            && stored.base.generation > 0;
        let (from, period_start_ns) = match is_known {
            true => (stored.base, stored.period_start_ns),
            false => (settled, None),
        };
        hold.resume(settled, period_start_ns);
        let stored = Checkpoint { base: from, period_start_ns, ..stored };
        Some(Scout { reader: journal.reader(from), from, file, stored, filtered: 0 })
    }

    /// From where on the journal must keep its blocks, beside those that are not settled.
    pub(super) fn keeps_from(&self, hold: &Hold) -> Option<Position> {
        (self.file.is_some() && hold.is_persistent()).then_some(self.stored.base)
    }

    /// Where the next block begins.
    pub(super) fn position(&self) -> Position {
        self.reader.position()
    }

    /// Up to where everything is decided.
    pub(super) fn frontier(&self, hold: &Hold) -> Position {
        hold.first_held().unwrap_or(self.position())
    }

    /// Whether too much waits for the destination to look further.
    pub(super) fn is_full(&self, hold: &Hold) -> bool {
        hold.ready() >= READY_MAX
    }

    /// Has the hold see the next block; `false` at the end of the journal.
    ///
    /// # Errors
    /// [`ReadError::Io`]. Damage is passed over; the outlet counts it when it comes there.
    pub(super) fn look(&mut self, share: &RefCell<Share>) -> Result<bool, ReadError> {
        let block = match self.reader.next() {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(false),
            Err(ReadError::Damaged { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut share = share.borrow_mut();
        let mut events = block.events.events(block.dictionary);
        let mut at = block.position;
        while let Some(event) = events.next() {
            let here = at;
            at.index += 1;
            let (Ok(event), true) = (event, here >= self.from) else { continue };
            let fate = share.judge(&event);
            let Some(hold) = share.hold() else { break };
            if here >= self.stored.released_to {
                Self::release_once(&mut self.stored, hold);
            }
            match fate {
                Fate::Taken(times) => hold.offer(here, times, &event),
                Fate::Filtered => self.filtered += 1,
                Fate::Foreign => {}
            }
        }
        let next = block.next;
        if let Some(hold) = share.hold()
            && next >= self.stored.released_to
        {
            Self::release_once(&mut self.stored, hold);
        }
        Ok(true)
    }

    /// What was released on demand before a restart is released again, at the same place.
    fn release_once(stored: &mut Checkpoint, hold: &mut Hold) {
        if stored.released_to > Position::default() {
            hold.release();
            stored.released_to = Position::default();
        }
    }

    /// Releases what is held, so that a restart does so too.
    ///
    /// # Errors
    /// When that cannot be stored; then it is held as before.
    pub(super) fn release(&mut self, hold: &mut Hold) -> io::Result<()> {
        let released_to = self.position();
        if let Some(file) = &mut self.file {
            file.store(Checkpoint { released_to, ..self.stored })?;
            crash::reached(CrashPoint::HoldReleased);
        }
        hold.release();
        Ok(())
    }

    /// Stores that everything decided is delivered. The journal need not keep what lies before.
    ///
    /// # Errors
    /// When it cannot be stored; then the journal keeps more.
    pub(super) fn store(&mut self, hold: &Hold, settled: Position) -> io::Result<()> {
        let checkpoint = Checkpoint {
            base: settled,
            period_start_ns: hold.period_start_ns(),
            released_to: Position::default(),
        };
        let is_due = hold.is_persistent() && settled == self.frontier(hold);
        if let Some(file) = self.file.as_mut().filter(|_| is_due && checkpoint != self.stored) {
            file.store(checkpoint)?;
            crash::reached(CrashPoint::HoldStored);
            self.stored = checkpoint;
        }
        Ok(())
    }

    /// What was done since the start.
    pub(super) fn counts(&self, hold: &Hold) -> HoldCounts {
        HoldCounts { held: hold.held(), filtered: self.filtered, suppressed: hold.suppressed() }
    }
}
