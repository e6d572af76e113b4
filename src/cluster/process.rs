//! One process of a cluster, and its thread that tries to be elected.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cluster;
use super::directory::Directory;
use super::elected::Elected;
use super::follow::Follow;
use crate::appender::BlockAppender;
use crate::engine::group::{ClusterRole, ClusterStats, Description, Member};
use crate::engine::outlet::Outlet;
use crate::engine::outlets::{Described, Outlets};
use crate::engine::reload::{ReloadError, Reloaded};
use crate::engine::{AppenderReport, InitError, selflog};
use crate::journal::Journal;

/// Between two tries to be elected. The lock cannot be waited for: a thread that waits in the kernel
/// cannot be called back.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How long a start waits for the first try to be elected.
const FIRST_TRY_WAIT: Duration = Duration::from_secs(10);
/// After an election that came to nothing, so that another process may be the one.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a process has of its cluster.
pub(super) struct Process {
    member_dir: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread shares with the others.
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) directory: Directory,
    pub(super) description: Description,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    role: ClusterRole,
    failing: Option<String>,
    /// The appenders for all, while it is elected.
    outlets: Option<Arc<Outlets>>,
    /// What the appenders are, as it was said last.
    described: Described,
    /// Until when it has to end, once it should.
    deadline: Option<Instant>,
    reports: Vec<AppenderReport>,
    /// What came of the first try to be elected.
    first_try: Option<Result<(), String>>,
    has_ended: bool,
}

impl Process {
    pub(super) fn new(
        cluster: Cluster,
        directory: Directory,
        member_dir: PathBuf,
        description: Description,
    ) -> Process {
        let state = State {
            role: ClusterRole::Member,
            failing: None,
            outlets: None,
            described: description.described.clone(),
            deadline: None,
            reports: Vec::new(),
            first_try: None,
            has_ended: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { cluster, directory, description, state, changed });
        Process { member_dir, shared, thread: Mutex::new(None) }
    }
}

impl Member for Process {
    fn follow(&self, journal: &Journal) -> io::Result<Box<dyn BlockAppender>> {
        Ok(Box::new(Follow::open(&self.member_dir, journal)?))
    }

    fn start(&self) -> Result<(), InitError> {
        if !self.shared.cluster.is_candidate() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("rollway-elect".to_owned());
        let thread = thread.spawn(move || {
            crate::engine::call::enter_own_thread();
            let _ended = Ended(Arc::clone(&shared));
            shared.run();
        });
        let what = "the election's thread";
        let thread = thread.map_err(|source| InitError::Resources { what, source })?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        self.shared.wait_for_first_try().map_err(|why| InitError::Cluster {
            path: self.shared.cluster.dir.clone(),
            what: "its appenders cannot be run",
            source: Some(io::Error::other(why)),
        })
    }

    fn reload(
        &self,
        old: &Described,
        new: &Described,
        deadline: Instant,
    ) -> Result<Reloaded, ReloadError> {
        let outlets = {
            let mut state = self.shared.state();
            // Whoever is elected from now on opens these.
            state.described = new.clone();
            state.outlets.clone()
        };
        let Some(outlets) = outlets else { return Ok(Reloaded::default()) };
        let swapped = outlets.swap(old, new, deadline);
        swapped.inspect_err(|_| self.shared.state().described = old.clone())
    }

    fn outlets(&self) -> Vec<Arc<Outlet>> {
        let outlets = self.shared.state().outlets.clone();
        outlets.map(|outlets| outlets.running()).unwrap_or_default()
    }

    fn leave(&self, deadline: Instant) -> Vec<AppenderReport> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Vec::new() };
        let mut state = self.shared.state();
        state.deadline = Some(deadline);
        self.shared.changed.notify_all();
        while !state.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // It hangs in a destination, and is left behind.
                return std::mem::take(&mut state.reports);
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let reports = std::mem::take(&mut state.reports);
        drop(state);
        // A panic was reported by the panic hook.
        let _ = thread.join();
        reports
    }

    fn stats(&self) -> ClusterStats {
        let directory = &self.shared.directory;
        let state = self.shared.state();
        ClusterStats {
            role: state.role,
            term: directory.term().unwrap_or(0),
            members: directory.list().map_or(0, |members| members.len()),
            failing: state.failing.clone(),
            appenders: state.outlets.iter().flat_map(|outlets| outlets.stats()).collect(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A start that failed half-way: what runs must not outlive its owner.
        self.leave(Instant::now() + AFTER_FAILURE);
    }
}

impl Shared {
    fn run(&self) {
        while self.deadline().is_none() {
            let pause = match self.try_election() {
                Ok(()) => TRY_EVERY,
                Err(error) => {
                    let why = selflog::chain(&*error);
                    if !self.tell_first_try(Err(why.clone())) {
                        selflog::warn(&format!("cluster: cannot run the appenders: {why}"));
                    }
                    self.set_failing(Some(why));
                    AFTER_FAILURE
                }
            };
            self.pause(pause);
        }
    }

    /// Runs the appenders, if nobody else does, until this process ends or is deposed.
    fn try_election(&self) -> Result<(), Box<dyn Error>> {
        let Some(lock) = self.directory.elect()? else {
            self.tell_first_try(Ok(()));
            return Ok(());
        };
        let mut elected = Elected::begin(self, lock)?;
        {
            let mut state = self.state();
            (state.role, state.failing) = (ClusterRole::Elected, None);
            state.outlets = Some(Arc::clone(elected.outlets()));
        }
        self.tell_first_try(Ok(()));
        elected.run();
        let deadline = self.deadline().unwrap_or_else(|| Instant::now() + AFTER_FAILURE);
        let reports = elected.end(deadline);
        let mut state = self.state();
        (state.role, state.reports) = (ClusterRole::Member, reports);
        state.outlets = None;
        Ok(())
    }

    /// Says what came of the first try. `false` if that was said before.
    fn tell_first_try(&self, result: Result<(), String>) -> bool {
        let mut state = self.state();
        let is_first = state.first_try.is_none();
        if is_first {
            state.first_try = Some(result);
            self.changed.notify_all();
        }
        is_first
    }

    /// Waits until it is known who runs the appenders, or [`FIRST_TRY_WAIT`] is over.
    fn wait_for_first_try(&self) -> Result<(), String> {
        let state = self.state();
        let is_open = |state: &mut State| state.first_try.is_none() && !state.has_ended;
        let waited = self.changed.wait_timeout_while(state, FIRST_TRY_WAIT, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.first_try.clone().unwrap_or(Ok(()))
    }

    /// Until when the thread has to end, once it should.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.state().deadline
    }

    pub(super) fn set_failing(&self, why: Option<String>) {
        self.state().failing = why;
    }

    /// Sleeps, but not beyond the moment when the thread is told to end.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state();
        while state.deadline.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the appenders are.
    pub(super) fn described(&self) -> Described {
        self.state().described.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it ends.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.changed.notify_all();
    }
}
