//! The running appenders of one journal, and how others take their place.
//!
//! A swap has a position, the journal's end when it begins. Nobody reads beyond it until all that is
//! new is open. Then what is kept goes on with its new routes, what is new begins there, and what is
//! gone has delivered up to there. When something cannot be opened, everybody goes on as before.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::control::Refusal;
use super::group::Appenders;
use super::outlet::{Command, Outlet, OutletStats};
use super::reload::{ReloadError, Reloaded};
use super::{events_behind, selflog};
use crate::appender::{Open, OpenError, Opened, Place};
use crate::journal::{Cursor, Journal, Limit, Position, cursor_path};
use crate::layout::{Drafts, SharedLines};
use crate::route::{Gate, Router};
use crate::sys::output::Outputs;

/// Between two looks at what has no bell.
const LOOK: Duration = Duration::from_millis(1);
/// What an appender may take beyond its deadline for the write that it is in.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The running appenders.
pub(crate) struct Outlets {
    journal: Journal,
    origin: Origin,
    /// What the appenders share of their text.
    lines: SharedLines,
    state: Mutex<State>,
    /// Held by a swap.
    swapping: Mutex<()>,
}

#[derive(Default)]
struct State {
    running: Vec<Arc<Outlet>>,
    /// Keeps the journal for those that a reload has stopped and could not open again. The next one
    /// that succeeds opens them.
    kept: Vec<Cursor>,
    is_closed: bool,
}

/// Whose events the appenders get, and how they may write.
pub(crate) struct Origin {
    pub(crate) source: u128,
    pub(crate) epoch: u64,
    pub(crate) service: String,
    pub(crate) term: u64,
    pub(crate) outputs: Outputs,
    pub(crate) runs: Runs,
}

/// Which of the described appenders run here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Runs {
    All,
    /// Those that ship a process's own blocks.
    Shipping,
    /// All others.
    Others,
}

/// What shall run: descriptions, and who gets which events.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) appenders: Appenders,
    pub(crate) router: Arc<Router>,
}

/// An appender that is open and does not run yet.
struct Ready {
    name: String,
    is_mandatory: bool,
    gate: Gate,
    opened: Opened,
    /// What its layouts make of a batch.
    drafts: Drafts,
}

impl Ready {
    fn spawn(
        self,
        journal: &Journal,
        limited: (Journal, Arc<Limit>),
        router: &Arc<Router>,
    ) -> io::Result<Outlet> {
        let Ready { name, is_mandatory, gate, opened, drafts } = self;
        let opened = (opened, drafts);
        Outlet::spawn_within(journal, limited, &name, is_mandatory, opened, &gate, router)
    }
}

impl Outlets {
    /// None yet.
    pub(crate) fn new(journal: &Journal, origin: Origin) -> Outlets {
        let (lines, state, swapping) = Default::default();
        Outlets { journal: journal.clone(), origin, lines, state, swapping }
    }

    /// Opens and runs one that is described. It begins at `begin` if it has no past.
    ///
    /// # Errors
    /// When it cannot be opened, or has no thread.
    pub(crate) fn add(
        &self,
        name: &str,
        appender: &dyn Open,
        begin: Position,
        router: &Arc<Router>,
    ) -> Result<(), AddError> {
        if self.runs(appender) {
            let ready = self.open(name, appender, begin).map_err(AddError::Open)?;
            let outlet = ready.spawn(&self.journal, self.journal.limited(), router);
            self.push(outlet.map_err(AddError::Thread)?);
        }
        Ok(())
    }

    /// Adds one that runs already. No swap touches it if no description names it.
    pub(crate) fn push(&self, outlet: Outlet) {
        self.state().running.push(Arc::new(outlet));
    }

    /// Those that run.
    pub(crate) fn running(&self) -> Vec<Arc<Outlet>> {
        self.state().running.clone()
    }

    /// What they have done so far.
    pub(crate) fn stats(&self) -> Vec<OutletStats> {
        self.running().iter().map(|outlet| outlet.stats()).collect()
    }

    /// Those that run, for whoever ends them: none runs here any more, and none will. A swap under
    /// way is waited for until `deadline`.
    pub(crate) fn close(&self, deadline: Instant) -> Vec<Arc<Outlet>> {
        let _swapping = loop {
            match self.swapping.try_lock() {
                Ok(guard) => break Some(guard),
                Err(TryLockError::Poisoned(guard)) => break Some(guard.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => break None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            }
        };
        let mut state = self.state();
        state.is_closed = true;
        std::mem::take(&mut state.running)
    }

    /// Waits until every mandatory appender has everything before `end`, and if `synced` so that it
    /// survives a power failure. One that leaves meanwhile is not waited for any longer, one that comes
    /// is.
    ///
    /// # Errors
    /// The stats of one that has not, by `deadline`.
    pub(crate) fn wait(
        &self,
        end: Position,
        synced: bool,
        deadline: Instant,
    ) -> Result<(), Box<OutletStats>> {
        let mut open = self.running();
        while let Some(outlet) = open.pop() {
            let is_reached = !outlet.is_mandatory()
                || outlet.wait_settled(end, deadline)
                    && (!synced || outlet.wait_synced(end, deadline));
            if is_reached {
                continue;
            }
            let running = self.running();
            let is_gone = !running.iter().any(|running| Arc::ptr_eq(running, &outlet));
            if !is_gone && outlet.has_ended() && self.is_swapping() && Instant::now() < deadline {
                // Another takes its place, or it will be there again.
                std::thread::sleep(LOOK);
                open = running;
            } else if is_gone && Instant::now() < deadline {
                open = running;
            } else {
                return Err(Box::new(outlet.stats()));
            }
        }
        Ok(())
    }

    /// Runs what `new` describes in the place of what `old` does, by `deadline` if nothing hangs.
    ///
    /// # Errors
    /// [`ReloadError`]; then what ran before runs.
    pub(crate) fn swap(
        &self,
        old: &Described,
        new: &Described,
        deadline: Instant,
    ) -> Result<Reloaded, ReloadError> {
        let _swapping = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = Plan::of(self, old, new);
        for outlet in plan.kept.iter().chain(&plan.changed) {
            while outlet.is_far_behind() {
                if Instant::now() >= deadline {
                    return Err(ReloadError::Busy { name: outlet.name().to_owned() });
                }
                std::thread::sleep(LOOK);
            }
        }
        let held = plan.kept.iter().chain(&plan.changed).chain(&plan.removed);
        let held = Held::all(&self.journal, held.cloned().collect());
        let (left, fresh) = Default::default();
        let mut swap = Swap { outlets: self, old, new, at: held.at, deadline, left, fresh };
        match swap.open(&plan).and_then(|ready| swap.run(&plan, ready)) {
            Ok(started) => swap.commit(plan, started, held),
            Err(error) => {
                swap.go_back();
                Err(error)
            }
        }
    }

    fn is_swapping(&self) -> bool {
        matches!(self.swapping.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn runs(&self, appender: &dyn Open) -> bool {
        match self.origin.runs {
            Runs::All => true,
            Runs::Shipping => appender.ships_blocks(),
            Runs::Others => !appender.ships_blocks(),
        }
    }

    fn open(&self, name: &str, appender: &dyn Open, begin: Position) -> Result<Ready, OpenError> {
        let Origin { source, epoch, service, term, outputs, .. } = &self.origin;
        let drafts = Drafts::default();
        let opened = appender.open(&Place {
            source: *source,
            epoch: *epoch,
            service,
            name,
            journal_dir: self.journal.dir(),
            begin,
            outputs,
            shared: Some((&self.lines, &drafts)),
            term: *term,
        })?;
        let (is_mandatory, gate) = (appender.is_mandatory(), appender.gate());
        Ok(Ready { name: name.to_owned(), is_mandatory, gate, opened, drafts })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the appender of this name among `running`, or each one, do something. Returns the names of
/// those that did.
///
/// # Errors
/// Who did not, and why; the names that there are, where none is this one.
pub(crate) fn command(
    running: &[Arc<Outlet>],
    command: Command,
    name: Option<&str>,
    deadline: Instant,
) -> Result<Vec<String>, Refusal> {
    let is_meant = |outlet: &&Arc<Outlet>| name.is_none_or(|name| outlet.name() == name);
    let meant: Vec<_> = running.iter().filter(is_meant).collect();
    if let Some(name) = name.filter(|_| meant.is_empty()) {
        let known: Vec<_> = running.iter().map(|outlet| format!("`{}`", outlet.name())).collect();
        let why = format!("there is no appender `{name}`; known are {}", known.join(", "));
        return Err(Refusal::Unknown(why));
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for outlet in meant {
        match outlet.command(command, deadline) {
            Ok(()) => done.push(outlet.name().to_owned()),
            Err(why) => failed.push(format!("appender `{}`: {why}", outlet.name())),
        }
    }
    if failed.is_empty() { Ok(done) } else { Err(Refusal::Failed(failed.join("; "))) }
}

/// Why an appender does not run.
pub(crate) enum AddError {
    Open(OpenError),
    Thread(io::Error),
}

/// What becomes of whom.
struct Plan {
    kept: Vec<Arc<Outlet>>,
    changed: Vec<Arc<Outlet>>,
    removed: Vec<Arc<Outlet>>,
    added: Vec<String>,
    /// Run by nobody's description.
    others: Vec<Arc<Outlet>>,
    /// Their routes cannot change at a position.
    bound: HashSet<String>,
    /// The order in which they are described.
    order: Vec<String>,
}

impl Plan {
    fn of(outlets: &Outlets, old: &Described, new: &Described) -> Plan {
        let described = |appenders: &Appenders| -> Vec<String> {
            let mut names = appenders.names();
            let runs = |name: &String| appenders.with_name(name, |open| outlets.runs(open));
            names.retain(|name| runs(name).unwrap_or(false));
            names
        };
        let (before, order) = (described(&old.appenders), described(&new.appenders));
        let (kept, changed, removed, added, others) = Default::default();
        let is_rerouted = old.router != new.router;
        let bound = order.iter().filter(|name| is_rerouted && is_bound(name, old, new));
        let bound = bound.cloned().collect();
        let mut plan = Plan { kept, changed, removed, added, others, bound, order };
        for outlet in outlets.running() {
            let name = outlet.name().to_owned();
            let list = if !before.contains(&name) {
                &mut plan.others
            } else if !plan.order.contains(&name) {
                &mut plan.removed
            } else if outlet.has_ended()
                || plan.bound.contains(&name)
                || !old.appenders.agree_on(&new.appenders, &name)
            {
                &mut plan.changed
            } else {
                &mut plan.kept
            };
            list.push(outlet);
        }
        let there: Vec<_> =
            plan.kept.iter().chain(&plan.changed).map(|known| known.name()).collect();
        plan.added = plan.order.iter().filter(|name| !there.contains(&&***name)).cloned().collect();
        plan
    }
}

/// Whether a composite holds back what an appender gets, or the locks differ under which it writes:
/// then its outlet is another one.
fn is_bound(name: &str, old: &Described, new: &Described) -> bool {
    let of = |described: &Described| {
        let share = described.router.share(name, &described.gate(name));
        let is_held = share.is_some_and(|share| share.holder().is_some());
        (is_held, described.router.composites().locks(name))
    };
    let ((is_held, locks), (will_be_held, new_locks)) = (of(old), of(new));
    is_held || will_be_held || locks != new_locks
}

impl Described {
    /// What stands before an appender.
    fn gate(&self, name: &str) -> Gate {
        self.appenders.with_name(name, |open| open.gate()).unwrap_or_default()
    }
}

/// Appenders that read no further, until it is dropped.
struct Held {
    journal: Journal,
    held: Vec<Arc<Outlet>>,
    at: Position,
}

impl Held {
    fn all(journal: &Journal, held: Vec<Arc<Outlet>>) -> Held {
        let at = journal.hold(held.iter().map(|outlet| outlet.limit()));
        Held { journal: journal.clone(), held, at }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.iter().for_each(|outlet| outlet.limit().lift());
        self.journal.wake();
    }
}

/// A swap under way.
struct Swap<'a> {
    outlets: &'a Outlets,
    old: &'a Described,
    new: &'a Described,
    at: Position,
    deadline: Instant,
    /// Those that made room, with what keeps the journal for who comes in their place.
    left: Vec<(Arc<Outlet>, Cursor)>,
    /// Those that had no cursor before.
    fresh: Vec<String>,
}

impl Swap<'_> {
    /// Opens what is new: first what nobody has, then what others have to let go.
    fn open(&mut self, plan: &Plan) -> Result<Vec<Ready>, ReloadError> {
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        let has_cursor = |name: &String| {
            self.outlets.journal.dir().is_some_and(|dir| cursor_path(dir, name).exists())
        };
        self.fresh = plan.added.iter().filter(|name| !has_cursor(name)).cloned().collect();
        for name in &plan.added {
            match self.ready(self.new, name, self.at) {
                Ok(opened) => ready.push(opened),
                // Whom a removed one may be in the way.
                Err(_) if !plan.removed.is_empty() => later.push(name),
                Err(error) => return Err(error),
            }
        }
        self.leave(&plan.changed)?;
        if !later.is_empty() {
            // Nobody comes in their place to whom a composite could hand what it holds.
            plan.removed.iter().for_each(|outlet| self.empty(outlet));
            self.leave(&plan.removed)?;
        }
        for outlet in &plan.changed {
            ready.push(self.ready(self.new, outlet.name(), outlet.settled())?);
        }
        for name in later {
            ready.push(self.ready(self.new, name, self.at)?);
        }
        Ok(ready)
    }

    fn ready(
        &self,
        described: &Described,
        name: &str,
        begin: Position,
    ) -> Result<Ready, ReloadError> {
        let open = |appender: &dyn Open| self.outlets.open(name, appender, begin);
        let opened = described.appenders.with_name(name, open);
        opened.unwrap_or_else(|| Err(unknown(name))).map_err(ReloadError::Open)
    }

    /// Has a composite hand on what it holds for the appender.
    fn empty(&self, outlet: &Outlet) {
        if outlet.holder().is_some() {
            // What it does not deliver in time is counted with the rest.
            let _ = outlet.release(self.deadline);
        }
    }

    /// Has them deliver what they may, and end.
    fn leave(&mut self, outlets: &[Arc<Outlet>]) -> Result<(), ReloadError> {
        for outlet in outlets {
            let (name, journal) = (outlet.name(), &self.outlets.journal);
            let kept = journal.register(name, outlet.is_mandatory(), outlet.settled());
            self.left.push((Arc::clone(outlet), kept));
            outlet.stop(self.deadline);
        }
        for outlet in outlets {
            outlet.join(self.deadline + LAST_WAIT);
            if !outlet.has_ended() {
                return Err(ReloadError::Hangs { name: outlet.name().to_owned() });
            }
        }
        Ok(())
    }

    /// Starts the threads of those that are open. They come as far as the others, with what those
    /// before them had, where that can change later.
    fn run(&self, plan: &Plan, ready: Vec<Ready>) -> Result<Vec<Arc<Outlet>>, ReloadError> {
        let mut started: Vec<Arc<Outlet>> = Vec::new();
        for ready in ready {
            let name = ready.name.clone();
            let is_changed = plan.changed.iter().any(|before| before.name() == name);
            let is_as_before = is_changed && !plan.bound.contains(&name);
            let router = if is_as_before { &self.old.router } else { &self.new.router };
            let limited = self.outlets.journal.limited();
            limited.1.set(self.at);
            match ready.spawn(&self.outlets.journal, limited, router) {
                Ok(outlet) => started.push(Arc::new(outlet)),
                Err(source) => {
                    self.end(&started);
                    return Err(ReloadError::Thread { name, source });
                }
            }
        }
        Ok(started)
    }

    fn end(&self, started: &[Arc<Outlet>]) {
        started.iter().for_each(|outlet| outlet.stop(Instant::now()));
        started.iter().for_each(|outlet| drop(outlet.join(self.deadline)));
    }

    /// Lets all go on as they are described now, and waits for those that are gone.
    fn commit(
        self,
        plan: Plan,
        started: Vec<Arc<Outlet>>,
        mut held: Held,
    ) -> Result<Reloaded, ReloadError> {
        let mut state = self.outlets.state();
        if state.is_closed {
            drop(state);
            self.end(&started);
            return Err(ReloadError::Ended);
        }
        // Who was kept for runs again, or is gone.
        state.kept.clear();
        let running: Vec<_> = plan.kept.iter().chain(&started).cloned().collect();
        for outlet in &started {
            let before = plan.changed.iter().find(|before| before.name() == outlet.name());
            before.inspect(|before| outlet.count_on_from(before));
        }
        if self.old.router != self.new.router {
            for outlet in running.iter().filter(|outlet| !plan.bound.contains(outlet.name())) {
                outlet.set_router(self.at, &self.new.gate(outlet.name()), &self.new.router);
            }
        }
        let place = |outlet: &Arc<Outlet>| plan.order.iter().position(|name| name == outlet.name());
        state.running = running.clone();
        state.running.sort_by_key(place);
        state.running.extend(plan.others);
        drop(state);
        held.held = running;
        drop(held);

        // They end where they are held.
        for outlet in &plan.removed {
            self.empty(outlet);
            outlet.stop(self.deadline);
        }
        let mut undrained = Vec::new();
        for outlet in &plan.removed {
            let settled = outlet.join(self.deadline + LAST_WAIT).settled;
            if self.has_events_behind(settled) {
                undrained.push(outlet.name().to_owned());
            } else {
                self.retire(outlet.name());
            }
        }
        for name in &undrained {
            let kept = match self.outlets.journal.dir() {
                Some(_) => "its position is kept, and it goes on from there when it is added again",
                None => "what it has not got is not delivered to it",
            };
            selflog::warn(&format!(
                "appender `{name}` was removed before it had everything; {kept}"
            ));
        }
        let names = |outlets: &[Arc<Outlet>]| -> Vec<String> {
            outlets.iter().map(|outlet| outlet.name().to_owned()).collect()
        };
        Ok(Reloaded {
            unchanged: names(&plan.kept),
            added: plan.added,
            changed: names(&plan.changed),
            removed: names(&plan.removed),
            undrained,
        })
    }

    /// Whether events lie between a position and that of the swap, or it cannot be known.
    fn has_events_behind(&self, settled: Position) -> bool {
        let (journal, limit) = self.outlets.journal.limited();
        limit.set(self.at);
        let backlog = events_behind(&journal, settled);
        backlog.events > 0 || backlog.is_bound
    }

    fn retire(&self, name: &str) {
        let Some(dir) = self.outlets.journal.dir() else { return };
        match std::fs::remove_file(cursor_path(dir, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                selflog::warn(&format!("appender `{name}`: its cursor cannot be removed: {error}"))
            }
            _ => {}
        }
    }

    /// Opens those again that made room, and leaves nothing of the others.
    fn go_back(mut self) {
        self.fresh.iter().for_each(|name| self.retire(name));
        for (outlet, kept) in &self.left {
            kept.settle(outlet.settled());
        }
        for (outlet, kept) in std::mem::take(&mut self.left) {
            let name = outlet.name();
            if !outlet.has_ended() {
                // It hangs in its destination. The next reload opens it, once it has ended.
                selflog::warn(&format!("appender `{name}` hangs, and ends when it goes on"));
                self.outlets.state().kept.push(kept);
                continue;
            }
            let spawned = self.ready(self.old, name, outlet.settled());
            let spawned = spawned.map_err(|error| selflog::chain(&error)).and_then(|ready| {
                let journal = &self.outlets.journal;
                let spawned = ready.spawn(journal, journal.limited(), &self.old.router);
                spawned.map_err(|error| selflog::chain(&error))
            });
            match spawned {
                Ok(again) => {
                    let mut state = self.outlets.state();
                    let place =
                        state.running.iter_mut().find(|running| Arc::ptr_eq(running, &outlet));
                    if let Some(place) = place {
                        *place = Arc::new(again);
                    }
                }
                Err(why) => {
                    selflog::warn(&format!(
                        "appender `{name}` cannot be opened again: {why}; the next reload tries it"
                    ));
                    self.outlets.state().kept.push(kept);
                }
            }
        }
    }
}

fn unknown(name: &str) -> OpenError {
    OpenError { name: name.to_owned(), path: None, what: "it is not described", source: None }
}
