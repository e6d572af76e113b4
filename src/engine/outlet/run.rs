//! The loop of an outlet whose appender takes events.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Side;
use super::episode::Backoff;
use super::hand::{Hand, Outcome, is_within};
use super::scout::Scout;
use super::skipped;
use crate::appender::{AppendError, OutletSide, Part};
use crate::engine::selflog;
use crate::journal::{Position, ReadError, Reader};
use crate::route::composite::Hold;
use crate::sys::crash::{self, CrashPoint};

/// How often an idle outlet looks whether its appender has settled what it took, and how long it
/// leaves a sync alone that failed.
const LOOK: Duration = Duration::from_secs(1);
/// How long an idle outlet sleeps with nothing to do, if nobody wakes it.
const IDLE: Duration = Duration::from_secs(3600);
/// What an appender has settled is synced at least this often, if the journal outlives the process.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How long a sync may take.
const SYNC_WAIT: Duration = Duration::from_secs(5);
/// Behind every position.
const EVERYTHING: Position = Position { generation: u64::MAX, offset: 0, index: 0 };
/// How long an outlet sleeps while too much waits for its appender to settle it.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// Runs of processes whose last block is remembered.
const RUNS_MAX: usize = 65_536;

/// The loop of an appender that takes events.
pub(super) struct Run {
    side: Side,
    reader: Reader,
    hand: Hand,
    /// Looks ahead, where a composite holds events back.
    scout: Option<Scout>,
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
    Overtaken {
        position: Position,
        blocks: u64,
    },
    /// Of the next block something is held back.
    Held,
    AtEnd,
}

impl Run {
    pub(super) fn new(side: Side, hand: Hand, scout: Option<Scout>) -> Run {
        let taken = hand.appender.settled();
        let reader = side.journal.reader(taken);
        Run {
            backoff: Backoff::new(hand.appender.retry_pause_max()),
            told_segments: reader.overtaken_segments(),
            side,
            reader,
            hand,
            scout,
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
            // Before the look: only then has whoever is told to stop, and is at the end, everything.
            let is_stopping = self.side.is_stopping();
            match self.step() {
                Ok(Progress::Appended) => self.delivered(),
                Ok(Progress::Overtaken { position, blocks }) => {
                    if let Err(error) = self.tell_of_overtaking(position, blocks) {
                        self.failed(&error);
                    }
                }
                Ok(Progress::Damaged) => self.side.shared.state().damaged += 1,
                Ok(Progress::Held) => {}
                Ok(Progress::AtEnd) if is_stopping => match self.release_at_end() {
                    Ok(is_released) => is_at_end = !is_released,
                    Err(error) => self.failed(&error),
                },
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

    /// Hands one block to the appender, or as much of it as is decided.
    fn step(&mut self) -> Result<Progress, Box<dyn Error>> {
        let Some(frontier) = self.look_ahead()? else { return Ok(Progress::Held) };
        if self.delivered_to() >= frontier {
            return Ok(Progress::AtEnd);
        }
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
        if block.position >= frontier {
            let (position, header) = (block.position, *header);
            self.reader.step_back(position, &header);
            // What was held before it is gone with its segment.
            self.hand.hold(|hold| hold.forget_before(position));
            return Ok(Progress::Held);
        }
        let last = self.sequences.get(&(header.source, header.epoch)).copied();
        let skipped = last.map_or(0, |last| header.sequence.saturating_sub(last.saturating_add(1)));
        // Only over the end of a segment can the reader have been overtaken.
        if self.taken.generation > 0 && block.position.generation > self.taken.generation + 1 {
            return Ok(Progress::Overtaken { position: block.position, blocks: skipped });
        }
        let from = if is_within(self.taken, block.position) { self.taken.index } else { 0 };
        let end = if is_within(frontier, block.position) { frontier.index } else { Part::END };
        let mut outcome = Outcome::default();
        let delivered = self.hand.deliver(&block, from, end, &mut outcome);
        if delivered.is_ok() {
            self.taken = if end == Part::END { block.next } else { frontier };
            if self.sequences.len() >= RUNS_MAX {
                self.sequences.clear();
            }
            let last = self.sequences.entry((header.source, header.epoch)).or_default();
            *last = header.sequence.max(*last);
            if end != Part::END {
                let (position, header) = (block.position, *header);
                self.reader.step_back(position, &header);
            }
        }
        self.count(&outcome);
        delivered.map(|()| Progress::Appended)
    }

    fn count(&self, outcome: &Outcome) {
        let shared = &self.side.shared;
        shared.delivered.fetch_add(outcome.counts.events, Ordering::Relaxed);
        let mut state = shared.state();
        state.damaged += outcome.counts.damaged;
        state.filtered += outcome.counts.filtered;
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
        if self.scout.is_some() {
            crash::reached(CrashPoint::HoldDelivered);
        }
        self.settle_held();
        self.settle(self.hand.appender.settled(), 0);
    }

    /// Up to where everything is decided; everything there is, where nothing is ever held back. `None`
    /// when another look is due.
    fn look_ahead(&mut self) -> Result<Option<Position>, Box<dyn Error>> {
        self.release_on_demand()?;
        let delivered_to = self.delivered_to();
        let Some(scout) = &mut self.scout else { return Ok(Some(EVERYTHING)) };
        let looked = self.hand.hold(|hold| (scout.frontier(hold), scout.is_full(hold)));
        let Some((frontier, is_full)) = looked else { return Ok(Some(EVERYTHING)) };
        if frontier > delivered_to {
            return Ok(Some(frontier));
        }
        if is_full {
            self.side.pause(FULL_PAUSE);
            self.settle_held();
            return Ok(None);
        }
        let is_looked = self.hand.routes.last().map_or(Ok(false), |share| scout.look(share))?;
        self.count_held();
        Ok((!is_looked).then_some(frontier))
    }

    /// Up to where there is nothing to deliver any more.
    fn delivered_to(&self) -> Position {
        self.taken.max(self.reader.position())
    }

    /// Hands on what a composite holds, if somebody asked for that or the journal needs the room. One
    /// release is delivered and settled before the next one: a restart knows of the last one.
    fn release_on_demand(&mut self) -> Result<(), AppendError> {
        let Some(scout) = &mut self.scout else { return Ok(()) };
        let held = self.hand.hold(|hold| (hold.ready() == 0).then(|| hold.first_held()));
        let Some(first) = held.flatten() else { return Ok(()) };
        let wanted = {
            let mut state = self.side.shared.state();
            let is_wanted = state.release_wanted > state.released;
            if is_wanted && first.is_none() {
                state.released = state.release_wanted;
                self.side.shared.changed.notify_all();
            }
            is_wanted
        };
        let Some(first) = first else { return Ok(()) };
        let is_room_needed = self.side.journal.needs_room_of(first.generation);
        if wanted || is_room_needed {
            let released = self.hand.hold(|hold| scout.release(hold)).unwrap_or(Ok(()));
            released.map_err(|source| AppendError::Unavailable { source })?;
            self.side.shared.state().released_early += u64::from(is_room_needed);
        }
        Ok(())
    }

    /// At the end: hands on what a composite holds, unless that is to wait for the next start. Whether
    /// there is something to deliver.
    fn release_at_end(&mut self) -> Result<bool, AppendError> {
        let outlives = self.side.journal.dir().is_some();
        let is_due = |hold: &mut Hold| hold.first_held().is_some() && hold.ends_empty(outlives);
        if self.hand.hold(is_due) != Some(true) {
            return Ok(false);
        }
        // Behind what was handed on before.
        let deadline = self.side.deadline().unwrap_or_else(Instant::now);
        self.hand.appender.flush(deadline)?;
        self.settle_held();
        let Some(scout) = &mut self.scout else { return Ok(false) };
        let released = self.hand.hold(|hold| scout.release(hold)).unwrap_or(Ok(()));
        released.map_err(|source| AppendError::Unavailable { source })?;
        Ok(true)
    }

    /// What the appender has settled is no business of a composite any more.
    fn settle_held(&mut self) {
        let settled = self.hand.appender.settled();
        let Some(scout) = &mut self.scout else { return };
        let stored = self.hand.hold(|hold| {
            hold.settle(settled);
            scout.store(hold, settled)
        });
        if let Some(Err(error)) = stored {
            self.side.failed(&error.to_string());
        }
        self.count_held();
    }

    fn count_held(&self) {
        let Some(scout) = &self.scout else { return };
        if let Some(counts) = self.hand.hold(|hold| scout.counts(hold)) {
            self.side.shared.state().counts = counts;
        }
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
        self.hand.hold(|hold| hold.forget_before(position));
        Ok(())
    }

    /// Publishes what has settled, and lets go of what the appender needs no more.
    fn settle(&self, position: Position, events: u64) {
        self.side.shared.settle(position, events);
        let keeps_from = self.hand.appender.keeps_from();
        // Between the appender's settled position and `position` lie no events.
        let is_settled = keeps_from >= self.hand.appender.settled();
        let keeps_from = if is_settled { position } else { keeps_from };
        let scout = self.scout.as_ref();
        let base = scout.and_then(|scout| self.hand.hold(|hold| scout.keeps_from(hold)).flatten());
        self.side.cursor.settle(base.map_or(keeps_from, |base| base.min(keeps_from)));
    }

    /// At the end of the journal: waits for a block, the end, or somebody who wants a sync.
    fn idle(&mut self) -> Result<(), AppendError> {
        let settled = self.settle_passed()?;
        if self.scout.is_some() {
            self.settle_held();
        }
        let is_holding = self.side.shared.state().counts.held > 0;
        if let Some(scout) = self.scout.as_ref().filter(|_| settled >= self.taken) {
            self.side.shared.reach(scout.position());
        }
        let pause = match (settled < self.taken || is_holding, self.is_unsynced()) {
            (true, _) => LOOK,
            (false, true) => SYNC_EVERY,
            (false, false) => IDLE,
        };
        let tended = self.hand.appender.tend();
        self.tell_of_a_notice();
        let pause = tended.map_or(pause, |due| due.min(pause));
        let position = self.scout.as_ref().map_or(self.reader.position(), Scout::position);
        let shared = &self.side.shared;
        self.side.journal.wait_until(pause, |end, _| {
            let state = shared.state();
            let is_asked = state.is_asked() || state.release_wanted > state.released;
            let is_wanted = is_asked || state.is_sync_wanted(state.reached);
            end > position || shared.is_stopping() || is_wanted
        });
        Ok(())
    }

    /// Whether somebody waits for a sync, or enough has settled since the last one. A segment is
    /// enough: the journal may need its room.
    fn is_sync_due(&self) -> bool {
        let (tried, at) = self.sync_tried;
        let (settled, is_wanted) = {
            let state = self.side.shared.state();
            (state.settled, state.is_sync_wanted(state.reached))
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
        self.side.journal.dir().is_some() && state.reached > state.synced
    }

    fn sync(&mut self) -> Result<(), AppendError> {
        let (settled, reached) = {
            let state = self.side.shared.state();
            (state.settled, state.reached)
        };
        let result = self.hand.sync(Instant::now() + SYNC_WAIT);
        self.sync_tried = (settled, Instant::now());
        self.is_sync_failing = result.is_err();
        if result.is_ok() {
            self.side.synced(reached);
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
