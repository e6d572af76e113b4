//! The loop of an outlet whose appender takes events.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Side;
use super::episode::Backoff;
use super::hand::{Hand, Outcome, is_within};
use super::skipped;
use crate::appender::{AppendError, OutletSide};
use crate::engine::selflog;
use crate::journal::{Position, ReadError, Reader};

/// How often an idle outlet looks whether its appender has settled what it took, and how long it
/// leaves a sync alone that failed.
const LOOK: Duration = Duration::from_secs(1);
/// How long an idle outlet sleeps with nothing to do, if nobody wakes it.
const IDLE: Duration = Duration::from_secs(3600);
/// What an appender has settled is synced at least this often, if the journal outlives the process.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How long a sync may take.
const SYNC_WAIT: Duration = Duration::from_secs(5);
/// Runs of processes whose last block is remembered.
const RUNS_MAX: usize = 65_536;

/// The loop of an appender that takes events.
pub(super) struct Run {
    side: Side,
    reader: Reader,
    hand: Hand,
    /// Where the last batch ended that the appender took.
    taken: Position,
    backoff: Backoff,
    /// What had settled when the last sync was tried, and when that was.
    sync_tried: (Position, Instant),
    /// The last sync failed.
    is_sync_failing: bool,
    /// The last block of each run that was delivered.
    sequences: HashMap<(u128, u64), u64>,
    /// Overtaken segments that the output has been told of.
    told_segments: u64,
}

/// Whether there was something to do.
enum Progress {
    Appended,
    Damaged,
    Overtaken { position: Position, blocks: u64 },
    AtEnd,
}

impl Run {
    pub(super) fn new(side: Side, hand: Hand) -> Run {
        let taken = hand.appender.settled();
        let reader = side.journal.reader(taken);
        Run {
            backoff: Backoff::new(hand.appender.retry_pause_max()),
            told_segments: reader.overtaken_segments(),
            side,
            reader,
            hand,
            taken,
            sync_tried: (taken, Instant::now()),
            is_sync_failing: false,
            sequences: HashMap::new(),
        }
    }

    pub(super) fn run(&mut self) {
        self.tell_of_a_gap();
        self.tell_of_a_notice();
        let mut is_at_end = false;
        while !is_at_end && !self.past_deadline() {
            self.obey();
            match self.step() {
                Ok(Progress::Appended) => self.delivered(),
                Ok(Progress::Overtaken { position, blocks }) => {
                    if let Err(error) = self.tell_of_overtaking(position, blocks) {
                        self.failed(&error);
                    }
                }
                Ok(Progress::Damaged) => self.side.shared.state().damaged += 1,
                Ok(Progress::AtEnd) if self.side.is_stopping() => is_at_end = true,
                Ok(Progress::AtEnd) => {
                    if let Err(error) = self.idle() {
                        self.failed(&error);
                    }
                }
                Err(error) => self.failed(&*error),
            }
            if self.is_sync_due()
                && let Err(error) = self.sync()
            {
                self.failed(&error);
            }
        }
        let deadline = self.side.deadline().unwrap_or_else(Instant::now);
        let flushed = self.hand.appender.flush(deadline);
        self.settle(self.hand.appender.settled(), 0);
        let ended = flushed.and_then(|()| match is_at_end && self.is_unsynced() {
            true => self.sync(),
            false => Ok(()),
        });
        if let Err(error) = ended {
            self.side.failed(&selflog::chain(&error));
        }
    }

    /// At the start: says and counts that the journal has lost what the appender did not settle.
    fn tell_of_a_gap(&self) {
        let gone = self.reader.overtaken_segments();
        if gone > 0 {
            let (name, taken) = (&self.side.shared.name, self.taken);
            selflog::warn(&format!(
                "appender `{name}`: the journal has no block at {taken} any more; it goes on at the \
                 oldest one: events are missing or come twice"
            ));
            self.side.shared.state().overtaken_segments = gone;
        }
    }

    /// Says and counts what went wrong in the appender and holds nothing up.
    fn tell_of_a_notice(&mut self) {
        if let Some(notice) = self.hand.appender.take_notice() {
            let name = &self.side.shared.name;
            selflog::warn(&format!("appender `{name}`: {notice}"));
            self.side.shared.state().errors += 1;
        }
    }

    /// Does what somebody wants of the outlet or of its appender.
    fn obey(&mut self) {
        self.side.shared.learn(&mut self.hand.routes);
        while let Some(pending) = self.side.shared.next_command() {
            pending.carry_out(&mut *self.hand.appender);
        }
    }

    /// Hands one block to the appender.
    fn step(&mut self) -> Result<Progress, Box<dyn Error>> {
        let block = match self.reader.next() {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(Progress::AtEnd),
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            Err(error @ ReadError::Damaged { .. }) => {
                let name = &self.side.shared.name;
                selflog::warn(&format!("appender `{name}` passes over {}", selflog::chain(&error)));
                return Ok(Progress::Damaged);
            }
        };
        // What counts from a position on was said before a block came behind it.
        self.side.shared.learn(&mut self.hand.routes);
        let header = block.events.header();
        let last = self.sequences.get(&(header.source, header.epoch)).copied();
        let skipped = last.map_or(0, |last| header.sequence.saturating_sub(last + 1));
        // Only over the end of a segment can the reader have been overtaken.
        if self.taken.generation > 0 && block.position.generation > self.taken.generation + 1 {
            return Ok(Progress::Overtaken { position: block.position, blocks: skipped });
        }
        let from = if is_within(self.taken, block.position) { self.taken.index } else { 0 };
        let mut outcome = Outcome::default();
        let delivered = self.hand.deliver(&block, from, &mut outcome);
        if delivered.is_ok() {
            self.taken = block.next;
            if self.sequences.len() >= RUNS_MAX {
                self.sequences.clear();
            }
            self.sequences.insert((header.source, header.epoch), header.sequence);
        }
        self.count(&outcome);
        delivered.map(|()| Progress::Appended)
    }

    fn count(&self, outcome: &Outcome) {
        let shared = &self.side.shared;
        shared.delivered.fetch_add(outcome.counts.events, Ordering::Relaxed);
        let mut state = shared.state();
        state.damaged += outcome.counts.damaged;
        state.dead_letters += outcome.dead_letters;
        state.oversized += outcome.oversized;
        state.overtaken_segments = self.reader.overtaken_segments();
    }

    fn delivered(&mut self) {
        self.backoff.reset();
        if !self.is_sync_failing {
            self.side.recovered();
        }
        self.tell_of_a_notice();
        self.settle(self.hand.appender.settled(), 0);
    }

    /// The next block is that at `position`, segments behind the last one. Says so in the output if
    /// events went with them.
    fn tell_of_overtaking(&mut self, position: Position, blocks: u64) -> Result<(), AppendError> {
        let gone = self.reader.overtaken_segments();
        let segments = gone.saturating_sub(self.told_segments);
        // The block that was looked at is read again, unless it goes meanwhile.
        self.reader.seek(position);
        if segments > 0 {
            skipped::say(&mut self.hand, position, blocks, segments)?;
            self.told_segments = gone;
            let name = &self.side.shared.name;
            selflog::warn(&format!(
                "appender `{name}` was overtaken: it skips {blocks} blocks of events in {segments} segments"
            ));
            let mut state = self.side.shared.state();
            state.overtaken_segments = gone;
            state.overtaken_blocks += blocks;
        }
        self.taken = position;
        Ok(())
    }

    /// Publishes what has settled, and lets go of what the appender needs no more.
    fn settle(&self, position: Position, events: u64) {
        self.side.shared.settle(position, events);
        let keeps_from = self.hand.appender.keeps_from();
        // Between the appender's settled position and `position` lie no events.
        let is_settled = keeps_from >= self.hand.appender.settled();
        self.side.cursor.settle(if is_settled { position } else { keeps_from });
    }

    /// At the end of the journal: waits for a block, the end, or somebody who wants a sync.
    fn idle(&mut self) -> Result<(), AppendError> {
        let settled = self.settle_passed()?;
        let pause = match (settled < self.taken, self.is_unsynced()) {
            (true, _) => LOOK,
            (false, true) => SYNC_EVERY,
            (false, false) => IDLE,
        };
        let (position, shared) = (self.reader.position(), &self.side.shared);
        self.side.journal.wait_until(pause, |end, _| {
            let state = shared.state();
            let is_asked = state.is_asked() || state.is_sync_wanted(settled);
            end > position || shared.is_stopping() || is_asked
        });
        Ok(())
    }

    /// Whether somebody waits for a sync, or enough has settled since the last one. A segment is
    /// enough: the journal may need its room.
    fn is_sync_due(&self) -> bool {
        let (tried, at) = self.sync_tried;
        let (settled, is_wanted) = {
            let state = self.side.shared.state();
            (state.settled, state.is_sync_wanted(state.settled))
        };
        if self.is_sync_failing && at.elapsed() < LOOK {
            return false;
        }
        let is_enough = settled.generation > tried.generation || at.elapsed() >= SYNC_EVERY;
        is_wanted || is_enough && self.is_unsynced()
    }

    /// Whether a power failure could take what has settled away from a journal that stays.
    fn is_unsynced(&self) -> bool {
        let state = self.side.shared.state();
        self.side.journal.dir().is_some() && state.settled > state.synced
    }

    fn sync(&mut self) -> Result<(), AppendError> {
        let settled = self.side.shared.state().settled;
        let result = self.hand.sync(Instant::now() + SYNC_WAIT);
        self.sync_tried = (settled, Instant::now());
        self.is_sync_failing = result.is_err();
        if result.is_ok() {
            self.side.synced(settled);
            self.settle(settled, 0);
        }
        result
    }

    /// At the end of the journal: what lies behind the last batch holds no events. Once that batch
    /// is settled, so is everything, and a flush need not wait for events that never come. The appender
    /// stores it before the segment of its stored position may go.
    fn settle_passed(&mut self) -> Result<Position, AppendError> {
        let settled = self.hand.appender.settled();
        let end = self.reader.position();
        if settled < self.taken || end <= settled {
            return Ok(settled);
        }
        if self.side.shared.state().settled < end {
            if end.generation > settled.generation {
                self.hand.appender.pass(end)?;
                self.taken = self.taken.max(self.hand.appender.settled());
                if !self.is_sync_failing {
                    self.backoff.reset();
                    self.side.recovered();
                }
            }
            self.settle(end, 0);
        }
        Ok(end)
    }

    /// Counts the failure, pauses, and goes back to the settled position.
    fn failed(&mut self, error: &dyn Error) {
        // A batch that was delivered in part is settled so far; nothing is taken back.
        self.taken = self.hand.appender.settled();
        if self.taken > self.side.shared.state().settled {
            self.settle(self.taken, 0);
        }
        self.side.failed(&selflog::chain(error));
        let pause = self.backoff.next();
        self.side.pause(pause);
        self.reader.seek(self.taken);
    }

    fn past_deadline(&self) -> bool {
        self.side.is_stopping() && self.side.deadline().is_some_and(|at| Instant::now() >= at)
    }
}
