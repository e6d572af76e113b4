//! The running appenders of one journal, and how others take their place.
//!
//! A swap has a position, the journal's end when it begins. Nobody reads beyond it until all that is
//! new is open. Then what is kept goes on with its new routes, what is new begins there, and what is
//! gone has delivered up to there. When something cannot be opened, everybody goes on as before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::control::Refusal;
use super::group::Appenders;
use super::outlet::{Command, Outlet, OutletStats};
use super::reload::{ReloadError, Reloaded};
use super::{events_behind, selflog};
use crate::appender::{Open, OpenError, Opened, Place};
use crate::journal::{Cursor, Journal, Position, cursor_path};
use crate::route::Router;
use crate::sys::output::Outputs;

/// Between two looks at what has no bell.
const LOOK: Duration = Duration::from_millis(1);
/// What an appender may take beyond its deadline for the write that it is in.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The running appenders.
pub(crate) struct Outlets {
    journal: Journal,
    origin: Origin,
    state: Mutex<State>,
    /// Held by a swap.
    swapping: Mutex<()>,
}

#[derive(Default)]
struct State {
    running: Vec<Arc<Outlet>>,
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

/// A new appender that is open and does not run yet.
struct Ready {
    name: String,
    is_mandatory: bool,
    opened: Opened,
    /// It takes the place of one with other events before the swap.
    is_changed: bool,
}

impl Outlets {
    /// None yet.
    pub(crate) fn new(journal: &Journal, origin: Origin) -> Outlets {
        let (state, swapping) = Default::default();
        Outlets { journal: journal.clone(), origin, state, swapping }
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
            let is_mandatory = appender.is_mandatory();
            let opened = self.open(name, appender, begin).map_err(AddError::Open)?;
            let outlet = Outlet::spawn(&self.journal, name, is_mandatory, opened, router);
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
        match swap.open(&plan).and_then(|ready| swap.run(ready)) {
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

    fn open(&self, name: &str, appender: &dyn Open, begin: Position) -> Result<Opened, OpenError> {
        let Origin { source, epoch, service, term, outputs, .. } = &self.origin;
        appender.open(&Place {
            source: *source,
            epoch: *epoch,
            service,
            name,
            journal_dir: self.journal.dir(),
            begin,
            outputs,
            term: *term,
        })
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
    Thread(std::io::Error),
}

/// What becomes of whom.
struct Plan {
    kept: Vec<Arc<Outlet>>,
    changed: Vec<Arc<Outlet>>,
    removed: Vec<Arc<Outlet>>,
    added: Vec<String>,
    /// Run by nobody's description.
    others: Vec<Arc<Outlet>>,
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
        let (kept, changed, removed, others) = Default::default();
        let mut plan = Plan { kept, changed, removed, others, added: Vec::new(), order };
        for outlet in outlets.running() {
            let name = outlet.name().to_owned();
            let list = if !before.contains(&name) {
                &mut plan.others
            } else if !plan.order.contains(&name) {
                &mut plan.removed
            } else if outlet.has_ended() || !old.appenders.agree_on(&new.appenders, &name) {
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
            match self.ready(name, self.at, false) {
                Ok(opened) => ready.push(opened),
                // Whom a removed one may be in the way.
                Err(_) if !plan.removed.is_empty() => later.push(name),
                Err(error) => return Err(error),
            }
        }
        self.leave(&plan.changed)?;
        if !later.is_empty() {
            self.leave(&plan.removed)?;
        }
        for outlet in &plan.changed {
            ready.push(self.ready(outlet.name(), outlet.settled(), true)?);
        }
        for name in later {
            ready.push(self.ready(name, self.at, false)?);
        }
        Ok(ready)
    }

    fn ready(&self, name: &str, begin: Position, is_changed: bool) -> Result<Ready, ReloadError> {
        let opened = self
            .new
            .appenders
            .with_name(name, |open| (open.is_mandatory(), self.outlets.open(name, open, begin)));
        let Some((is_mandatory, opened)) = opened else {
            return Err(ReloadError::Ended);
        };
        let opened = opened.map_err(ReloadError::Open)?;
        Ok(Ready { name: name.to_owned(), is_mandatory, opened, is_changed })
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

    /// Starts the threads of those that are open. They come as far as the others.
    fn run(&self, ready: Vec<Ready>) -> Result<Vec<Arc<Outlet>>, ReloadError> {
        let mut started: Vec<Arc<Outlet>> = Vec::new();
        for Ready { name, is_mandatory, opened, is_changed } in ready {
            let router = if is_changed { &self.old.router } else { &self.new.router };
            match self.spawn(&name, is_mandatory, opened, router) {
                Ok(outlet) => started.push(outlet),
                Err(source) => {
                    started.iter().for_each(|outlet| outlet.stop(Instant::now()));
                    started.iter().for_each(|outlet| drop(outlet.join(self.deadline)));
                    return Err(ReloadError::Thread { name, source });
                }
            }
        }
        Ok(started)
    }

    fn spawn(
        &self,
        name: &str,
        is_mandatory: bool,
        opened: Opened,
        router: &Arc<Router>,
    ) -> std::io::Result<Arc<Outlet>> {
        let journal = &self.outlets.journal;
        let limited = journal.limited();
        limited.1.set(self.at);
        let outlet = Outlet::spawn_within(journal, limited, name, is_mandatory, opened, router)?;
        Ok(Arc::new(outlet))
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
            started.iter().for_each(|outlet| outlet.stop(Instant::now()));
            started.iter().for_each(|outlet| drop(outlet.join(self.deadline)));
            return Err(ReloadError::Ended);
        }
        let running: Vec<_> = plan.kept.iter().chain(&started).cloned().collect();
        for outlet in &started {
            let before = plan.changed.iter().find(|before| before.name() == outlet.name());
            before.inspect(|before| outlet.count_on_from(before));
        }
        running.iter().for_each(|outlet| outlet.set_router(self.at, &self.new.router));
        // They end where they are held.
        for outlet in &plan.removed {
            outlet.stop(self.deadline);
        }
        let place = |outlet: &Arc<Outlet>| plan.order.iter().position(|name| name == outlet.name());
        state.running = running.clone();
        state.running.sort_by_key(place);
        state.running.extend(plan.others);
        drop(state);
        held.held = running;
        drop(held);

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
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                selflog::warn(&format!("appender `{name}`: its cursor cannot be removed: {error}"))
            }
            _ => {}
        }
    }

    /// Opens those again that made room, and leaves nothing of the others.
    fn go_back(self) {
        self.fresh.iter().for_each(|name| self.retire(name));
        for (outlet, kept) in &self.left {
            let name = outlet.name();
            if !outlet.has_ended() {
                // It hangs in its destination. The next reload opens it, once it has ended.
                selflog::warn(&format!("appender `{name}` hangs, and ends when it goes on"));
                continue;
            }
            let opened = self.old.appenders.with_name(name, |open| {
                (open.is_mandatory(), self.outlets.open(name, open, outlet.settled()))
            });
            let Some((is_mandatory, opened)) = opened else { continue };
            let spawned = match opened {
                Ok(opened) => {
                    let router = &self.old.router;
                    let spawned =
                        Outlet::spawn(&self.outlets.journal, name, is_mandatory, opened, router);
                    spawned.map_err(|error| selflog::chain(&error))
                }
                Err(error) => Err(selflog::chain(&error)),
            };
            match spawned {
                Ok(again) => {
                    let mut state = self.outlets.state();
                    let place =
                        state.running.iter_mut().find(|running| Arc::ptr_eq(running, outlet));
                    if let Some(place) = place {
                        *place = Arc::new(again);
                    }
                }
                Err(why) => selflog::warn(&format!(
                    "appender `{name}` cannot be opened again: {why}; the next reload tries it"
                )),
            }
            kept.settle(outlet.settled());
        }
    }
}
