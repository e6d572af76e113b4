//! One appender and the thread that runs it.
//!
//! An outlet reads the journal at its appender's pace. What the appender does not take, or the
//! operating system does not let us read, is tried again, from the appender's settled position on,
//! after a pause that grows from 50 ms to what the appender says. Outlets share nothing but the
//! journal, which they lock for a moment to find a segment: none waits for another.

pub(crate) mod checkpoint;
mod command;
mod episode;
mod hand;
mod letters;
mod routes;
mod run;
mod scout;
mod skipped;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::appender::{self, Opened, OutletSide};
use crate::engine::selflog;
use crate::journal::{Cursor, Journal, Limit, Position};
use crate::layout::Drafts;
use crate::route::{Gate, Router, Share};
pub(crate) use command::Command;
use command::{Commands, Pending};
use episode::Episode;
use hand::Hand;
use letters::DeadLetters;
use routes::{CHANGES_MAX, Routes};
use run::Run;
use scout::{HoldCounts, Scout};

/// How long a dropped outlet may take for the write that it is in.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A running appender.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    journal: Journal,
    /// Where the journal ends for the appender.
    limit: Arc<Limit>,
    takes_events: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What an outlet has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutletStats {
    /// The appender's name.
    pub name: String,
    /// Events that were taken and settled.
    pub delivered: u64,
    /// Events, or runs of them, that could not be read from the journal.
    pub damaged: u64,
    /// Events of categories that are attached to it, directly or through composites, which a threshold
    /// or a filter refused.
    pub filtered: u64,
    /// Events that a composite holds back right now.
    pub held: u64,
    /// Events that fell out of a full buffer, or that a limit dropped.
    pub suppressed: u64,
    /// How often a composite had to hand on what it held because the journal needed the room.
    pub released_early: u64,
    /// Events that the destination refuses for their content, and that were put among the dead
    /// letters.
    pub dead_letters: u64,
    /// Those of them that are too long for the destination.
    pub oversized: u64,
    /// Segments that went before an optional appender reached them.
    pub overtaken_segments: u64,
    /// Blocks of events that went with them.
    pub overtaken_blocks: u64,
    /// Tries that failed, and what else went wrong.
    pub errors: u64,
    /// The error that holds the appender up right now.
    pub failing: Option<String>,
    /// Whether the appender gets on.
    pub state: OutletState,
    /// Everything before it has reached the destination.
    pub settled: Position,
}

/// Whether an appender gets on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutletState {
    /// It delivers, or waits for events.
    #[default]
    Running,
    /// Its destination fails, and is tried again and again.
    Retrying {
        /// Tries that failed since it last got on.
        attempts: u64,
        /// When the first of them failed.
        since: SystemTime,
        /// When it is tried again, at the latest.
        next: SystemTime,
    },
    /// Its thread has ended.
    Ended,
}

struct Shared {
    name: String,
    /// The composite that holds its events back.
    holder: Option<String>,
    is_mandatory: bool,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    delivered: AtomicU64,
}

#[derive(Default)]
struct State {
    settled: Position,
    /// Everything before it has settled, or is held back by a composite.
    reached: Position,
    /// Somebody waits for what is held to be handed on: the number of the last one who asked …
    release_wanted: u64,
    /// … and of the last one who was served.
    released: u64,
    released_early: u64,
    counts: HoldCounts,
    synced: Position,
    /// The destination does not say what is synced.
    never_syncs: bool,
    /// Somebody waits for a sync up to here.
    sync_wanted: Position,
    deadline: Option<Instant>,
    damaged: u64,
    filtered: u64,
    dead_letters: u64,
    oversized: u64,
    overtaken_segments: u64,
    overtaken_blocks: u64,
    errors: u64,
    /// The failure that holds the appender up.
    episode: Option<Episode>,
    ended: bool,
    commands: Commands,
    /// What it gets from a position on, as the thread has yet to learn.
    changes: Vec<(Position, Option<Share>)>,
    /// Changes that it has before it, those that the thread knows of included.
    changes_ahead: usize,
}

impl Outlet {
    /// Starts the thread of an open appender, which gets the events that `router` gives it and `gate`
    /// lets pass. It begins where the appender has settled.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn spawn(
        journal: &Journal,
        name: &str,
        is_mandatory: bool,
        appender: Opened,
        gate: &Gate,
        router: &Arc<Router>,
    ) -> io::Result<Outlet> {
        let (limited, appender) = (journal.limited(), (appender, Drafts::default()));
        Outlet::spawn_within(journal, limited, name, is_mandatory, appender, gate, router)
    }

    /// The same within a limit: the appender comes as far as that says. What its layouts make of a
    /// batch is in `drafts`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn spawn_within(
        journal: &Journal,
        (of_thread, limit): (Journal, Arc<Limit>),
        name: &str,
        is_mandatory: bool,
        (appender, drafts): (Opened, Drafts),
        gate: &Gate,
        router: &Arc<Router>,
    ) -> io::Result<Outlet> {
        let appender = appender::under_locks(appender, router.composites().locks(name));
        let (settled, keeps_from) = match &appender {
            Opened::Events(appender) => (appender.settled(), appender.keeps_from()),
            Opened::Blocks(appender) => (appender.settled(), appender.settled()),
        };
        let share = router.share(name, gate).map(RefCell::new);
        let scout = match &appender {
            Opened::Events(_) => Scout::new(&of_thread, name, share.as_ref(), settled),
            Opened::Blocks(_) => None,
        };
        let keeps_from = match (&scout, &share) {
            (Some(scout), Some(share)) => {
                let mut share = share.borrow_mut();
                share
                    .hold()
                    .and_then(|hold| scout.keeps_from(hold))
                    .map_or(keeps_from, |base| base.min(keeps_from))
            }
            _ => keeps_from,
        };
        let holder = share.as_ref().and_then(|share| share.borrow().holder().map(str::to_owned));
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            holder,
            is_mandatory,
            state: Mutex::new(State { settled, reached: settled, ..State::default() }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
        });
        let takes_events = matches!(appender, Opened::Events(_));
        let routes = Routes::new(share);
        let mut side = Side {
            shared: Arc::clone(&shared),
            cursor: journal.register(name, is_mandatory, keeps_from),
            journal: of_thread,
        };
        let thread = std::thread::Builder::new()
            .name(format!("rollway-{}", name.chars().take(7).collect::<String>()))
            .spawn(move || {
                super::call::enter_own_thread();
                let _ended = Ended(Arc::clone(&side.shared));
                match appender {
                    Opened::Events(appender) => {
                        let letters = DeadLetters::new(&side.journal, &side.shared.name);
                        Run::new(side, Hand::new(appender, routes, drafts, letters), scout).run();
                    }
                    Opened::Blocks(mut appender) => appender.run(&mut side),
                }
            })?;
        let (journal, thread) = (journal.clone(), Mutex::new(Some(thread)));
        Ok(Outlet { shared, journal, limit, takes_events, thread })
    }

    /// Where the journal ends for this appender: it reads no further.
    pub(crate) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Gives the appender what `router` and `gate` have for it, from `position` on, which it has not
    /// come to. To be called only where no composite holds events back, neither before nor then.
    pub(crate) fn set_router(&self, position: Position, gate: &Gate, router: &Arc<Router>) {
        if self.takes_events {
            let mut state = self.shared.state();
            // Nothing came since the last change: that one counts for no event.
            let is_instead = state.changes.pop_if(|(last, _)| *last == position).is_some();
            state.changes.push((position, router.share(&self.shared.name, gate)));
            state.changes_ahead += usize::from(!is_instead);
        }
    }

    /// Whether it has so many changes of its routes before it that it takes no more.
    pub(crate) fn is_far_behind(&self) -> bool {
        self.shared.state().changes_ahead >= CHANGES_MAX
    }

    /// Counts on from what another one has delivered under this name.
    pub(crate) fn count_on_from(&self, before: &Outlet) {
        let delivered = before.shared.delivered.load(Ordering::Relaxed);
        self.shared.delivered.fetch_add(delivered, Ordering::Relaxed);
    }

    /// Whether its thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.state().ended
    }

    /// Has the appender do something between two batches, and waits for it until `deadline`. One that
    /// takes whole blocks has nothing to reopen or rotate.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) fn command(&self, command: Command, deadline: Instant) -> Result<(), String> {
        if !self.takes_events {
            return Ok(());
        }
        let answer = {
            let mut state = self.shared.state();
            if state.ended {
                return Err("the appender has ended".to_owned());
            }
            state.commands.push(command)?
        };
        self.shared.changed.notify_all();
        self.journal.wake();
        answer.wait(deadline)
    }

    /// The appender's name.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the journal keeps what the appender has not settled.
    pub(crate) fn is_mandatory(&self) -> bool {
        self.shared.is_mandatory
    }

    /// What the outlet has done so far.
    pub(crate) fn stats(&self) -> OutletStats {
        let state = self.shared.state();
        OutletStats {
            name: self.shared.name.clone(),
            delivered: self.shared.delivered.load(Ordering::Relaxed),
            damaged: state.damaged,
            filtered: state.filtered + state.counts.filtered,
            held: state.counts.held,
            suppressed: state.counts.suppressed,
            released_early: state.released_early,
            dead_letters: state.dead_letters,
            oversized: state.oversized,
            overtaken_segments: state.overtaken_segments,
            overtaken_blocks: state.overtaken_blocks,
            errors: state.errors,
            failing: state.episode.as_ref().map(|episode| episode.reason.clone()),
            state: match &state.episode {
                _ if state.ended => OutletState::Ended,
                Some(episode) => episode.state(),
                None => OutletState::Running,
            },
            settled: state.settled,
        }
    }

    /// Everything before it has reached the destination.
    pub(crate) fn settled(&self) -> Position {
        self.shared.state().settled
    }

    /// Everything before it has reached the destination, or is held back by a composite.
    pub(crate) fn reached(&self) -> Position {
        self.shared.state().reached
    }

    /// Waits until everything before `position` has reached the destination, or is held back by a
    /// composite. `false` when it had not by `deadline`.
    pub(crate) fn wait_settled(&self, position: Position, deadline: Instant) -> bool {
        self.shared.wait(deadline, |state| state.reached >= position)
    }

    /// The composite that holds the appender's events back.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.shared.holder.as_deref()
    }

    /// Has the composite hand on what it holds, and waits until that has settled. `false` when it had
    /// not by `deadline`.
    pub(crate) fn release(&self, deadline: Instant) -> bool {
        let number = {
            let mut state = self.shared.state();
            state.release_wanted += 1;
            state.release_wanted
        };
        self.journal.wake();
        self.shared.wait(deadline, |state| state.released >= number)
    }

    /// Waits until everything before `position` survives a power failure at the destination.
    /// `false` when it did not by `deadline`; `true` at once if the destination never says so.
    pub(crate) fn wait_synced(&self, position: Position, deadline: Instant) -> bool {
        {
            let mut state = self.shared.state();
            state.sync_wanted = position.max(state.sync_wanted);
        }
        self.journal.wake();
        self.shared.wait(deadline, |state| state.never_syncs || state.synced >= position)
    }

    /// Asks the thread to deliver everything up to the end of the journal and then to end, at
    /// `deadline` at the latest. Returns at once; [`Outlet::join`] waits.
    pub(crate) fn stop(&self, deadline: Instant) {
        {
            // Under the lock, so that nobody looks at the flag before and sleeps after the wake.
            let mut state = self.shared.state();
            state.deadline = Some(deadline);
            // Release: pairs with the Acquire in `Shared::is_stopping`.
            self.shared.stop.store(true, Ordering::Release);
        }
        self.shared.changed.notify_all();
        self.journal.wake();
    }

    /// Waits for the end of the thread after [`Outlet::stop`], until `deadline`. A thread that hangs
    /// in its destination is left behind.
    pub(crate) fn join(&self, deadline: Instant) -> OutletStats {
        if self.shared.wait(deadline, |state| state.ended) {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            // A panic of the thread was reported by the panic hook; its counts stand.
            thread.map(JoinHandle::join);
        }
        self.stats()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // Whoever told it to stop has waited as long as he wanted to.
        if self.shared.state().deadline.is_some() {
            return;
        }
        // A start failed half-way: what runs must not outlive its owner.
        let at_once = Instant::now();
        self.stop(at_once);
        self.join(at_once + LAST_WAIT);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        // Acquire: pairs with the Release in `Outlet::stop`; the deadline is visible with it.
        self.stop.load(Ordering::Acquire)
    }

    /// Brings the routes up to date.
    fn learn(&self, routes: &mut Routes) {
        let mut state = self.state();
        if state.changes_ahead > 0 {
            state.changes.drain(..).for_each(|(from, share)| routes.change(from, share));
            routes.settle(state.settled);
            state.changes_ahead = routes.changes_ahead();
        }
    }

    fn next_command(&self) -> Option<Pending> {
        self.state().commands.pop()
    }

    /// Publishes that everything before `position` has arrived, with `events` more than before.
    fn settle(&self, position: Position, events: u64) {
        self.delivered.fetch_add(events, Ordering::Relaxed);
        let mut state = self.state();
        if state.settled != position {
            state.settled = position;
            state.reached = state.reached.max(position);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Publishes that everything before `position` has arrived or is held back.
    fn reach(&self, position: Position) {
        let mut state = self.state();
        if state.reached < position {
            state.reached = position;
            drop(state);
            self.changed.notify_all();
        }
    }

    fn wait(&self, deadline: Instant, reached: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        loop {
            if reached(&state) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return false;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// Whether somebody wants something that the thread has not looked at.
    fn is_asked(&self) -> bool {
        !self.commands.is_empty() || !self.changes.is_empty()
    }

    /// Whether somebody waits for a sync that `settled` allows.
    fn is_sync_wanted(&self, settled: Position) -> bool {
        settled >= self.sync_wanted && self.sync_wanted > self.synced
    }
}

/// The outlet as its own thread sees it.
struct Side {
    shared: Arc<Shared>,
    cursor: Cursor,
    journal: Journal,
}

impl OutletSide for Side {
    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn settle(&mut self, position: Position, events: u64) {
        self.cursor.settle(position);
        self.shared.settle(position, events);
        self.recovered();
    }

    fn synced(&mut self, position: Position) {
        self.shared.state().synced = position;
        self.shared.changed.notify_all();
    }

    fn set_syncs(&mut self, syncs: bool) {
        self.shared.state().never_syncs = !syncs;
        self.shared.changed.notify_all();
    }

    fn failed(&mut self, reason: &str) {
        let is_new = {
            let mut state = self.shared.state();
            state.errors += 1;
            Episode::failed(&mut state.episode, reason)
        };
        if is_new {
            selflog::warn(&format!("appender `{}`: {reason}", self.shared.name));
        }
    }

    fn recovered(&mut self) {
        let Some(episode) = self.shared.state().episode.take() else { return };
        let name = &self.shared.name;
        selflog::warn(&format!("appender `{name}`: it goes on, {}", episode.summary()));
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    fn deadline(&self) -> Option<Instant> {
        self.shared.state().deadline
    }

    fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        let was_stopping = self.is_stopping();
        let mut state = self.shared.state();
        if let Some(episode) = &mut state.episode {
            episode.wait(pause);
        }
        loop {
            let end = state.deadline.map_or(until, |deadline| until.min(deadline));
            let left = end.saturating_duration_since(Instant::now());
            let is_asked = self.is_stopping() != was_stopping || !state.commands.is_empty();
            if left.is_zero() || is_asked {
                return;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Says that the thread has ended, however it ends.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ended = true;
        state.commands.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appender::{AppendError, Appender, Batch};
    use crate::engine::shutdown::events_behind;
    use crate::journal::JournalOptions;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Takes everything.
    struct Taking {
        settled: Position,
    }

    impl Appender for Taking {
        fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
            batch.for_each(|_| {});
            self.settled = batch.next();
            Ok(())
        }

        fn settled(&self) -> Position {
            self.settled
        }

        fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
            Ok(())
        }
    }

    fn spawn(journal: &Journal) -> Outlet {
        let settled = journal.start_position();
        let appender = Opened::Events(Box::new(Taking { settled }));
        Outlet::spawn(journal, "taking", true, appender, &Gate::new(), &Arc::default()).unwrap()
    }

    fn wait_until(reached: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached() {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_cannot_be_read_for_a_while_is_delivered_later() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        journal.set_readable(false);
        let outlet = spawn(&journal);
        wait_until(|| outlet.stats().failing.is_some_and(|why| why.contains("cannot read")));
        journal.set_readable(true);
        assert!(outlet.wait_settled(journal.end(), Instant::now() + PATIENCE));
        outlet.stop(Instant::now() + PATIENCE);
        let stats = outlet.join(Instant::now() + PATIENCE);
        assert_eq!((stats.delivered, stats.damaged, stats.failing), (3, 0, None));
    }

    #[test]
    fn whoever_wants_a_sync_wakes_an_idle_outlet() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Journal::with_three_events(dir.path());
        let (memory, _writer) = Journal::in_memory(JournalOptions::memory()).unwrap();
        for journal in [directory, memory] {
            let outlet = spawn(&journal);
            let end = journal.end();
            assert!(outlet.wait_settled(end, Instant::now() + PATIENCE));
            // It is idle by now, or soon.
            std::thread::sleep(Duration::from_millis(50));
            assert!(outlet.wait_synced(end, Instant::now() + PATIENCE));
            outlet.stop(Instant::now() + PATIENCE);
            outlet.join(Instant::now() + PATIENCE);
            assert!(outlet.shared.state().ended);
        }
    }

    #[test]
    fn what_has_settled_is_synced_unasked_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let (outlet, end) = (spawn(&journal), journal.end());
        // The outlet looks at its state while it has the journal: never the other way round.
        wait_until(|| outlet.shared.state().synced == end);
    }

    #[test]
    fn an_orderly_end_syncs_what_has_settled_if_the_journal_stays() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Journal::with_three_events(dir.path());
        let (memory, _writer) = Journal::in_memory(JournalOptions::memory()).unwrap();
        for (journal, synced) in [(&directory, directory.end()), (&memory, Position::default())] {
            let outlet = spawn(journal);
            outlet.stop(Instant::now() + PATIENCE);
            outlet.join(Instant::now() + PATIENCE);
            assert_eq!(outlet.shared.state().synced, synced);
        }
    }

    #[test]
    fn a_journal_that_cannot_be_read_holds_up_no_shutdown() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        assert_eq!(events_behind(&journal, journal.start_position()).events, 3);
        journal.set_readable(false);
        let outlet = spawn(&journal);
        outlet.stop(Instant::now() + Duration::from_millis(100));
        let stats = outlet.join(Instant::now() + PATIENCE);
        assert!(outlet.shared.state().ended);
        assert_eq!((stats.delivered, stats.settled), (0, journal.start_position()));
        let backlog = events_behind(&journal, stats.settled);
        assert_eq!((backlog.events, backlog.is_bound), (0, true));
    }
}
