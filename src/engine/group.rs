//! Processes that share their appenders, as far as the engine knows of them.
//!
//! The engine asks a [`Group`] for a [`Seat`] before it opens its journal. Where the seat has a
//! [`Member`], the engine opens only the appenders that ship its own blocks; one of the processes
//! runs all others for all.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::{AppenderReport, InitError, OutletStats, SyncPolicy};
use crate::appender::{BlockAppender, Open, described};
use crate::journal::{Journal, JournalOptions};
use crate::route::Router;
use crate::route::composite::CompositeError;
use crate::sys::lock::FileLock;
use crate::sys::output::IoMethod;

/// A group of processes that one can join.
pub(crate) trait Group: Send + Sync {
    /// Takes a place. `description` is what the process would run if it were alone.
    ///
    /// # Errors
    /// [`InitError`], when there is no place.
    fn join(&self, description: Description) -> Result<Seat, InitError>;
}

/// What one process of a group has of it.
pub(crate) trait Member: Send + Sync {
    /// An appender for `journal`, the process's own, that settles what the group has delivered.
    ///
    /// # Errors
    /// The system's.
    fn follow(&self, journal: &Journal) -> io::Result<Box<dyn BlockAppender>>;

    /// Starts what runs in the background. Called once, when the engine runs. Returns when it is known
    /// whether this process is the one that runs the appenders, and they are open if it is.
    ///
    /// # Errors
    /// [`InitError`], for instance when an appender cannot be opened.
    fn start(&self) -> Result<(), InitError>;

    /// Leaves the group, by `deadline` at the latest. What the process has delivered for all
    /// appender by appender, if it was the one.
    fn leave(&self, deadline: Instant) -> Vec<AppenderReport>;

    /// What it does.
    fn stats(&self) -> ClusterStats;
}

/// A place in a group.
pub(crate) struct Seat {
    /// The process's own journal.
    pub(crate) journal: JournalOptions,
    /// That of the journal's directory.
    pub(crate) lock: FileLock,
    /// `None` where the process runs its appenders itself.
    pub(crate) member: Option<Arc<dyn Member>>,
}

/// What a process would run if it were alone.
#[derive(Clone)]
pub(crate) struct Description {
    pub(crate) service: String,
    pub(crate) io_method: IoMethod,
    pub(crate) keep_free_bytes: Option<u64>,
    pub(crate) sync: SyncPolicy,
    pub(crate) appenders: Appenders,
    pub(crate) router: Arc<Router>,
}

/// Destinations that are configured, and opened as often as need be: by the engine, by that of a
/// forked child, by whoever is elected.
#[derive(Clone, Default)]
pub(crate) struct Appenders(Arc<Mutex<Named>>);

/// Destinations with their names.
type Named = Vec<(String, Box<dyn Open>)>;

impl Appenders {
    pub(crate) fn push(&mut self, name: String, appender: Box<dyn Open>) {
        self.lock().push((name, appender));
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().map(|(name, _)| name.clone()).collect()
    }

    /// A name for one that has none: `app001` and so on.
    pub(crate) fn free_name(&self) -> String {
        let taken = self.names();
        let mut names = (1..).map(|number: usize| format!("app{number:03}"));
        names.find(|name| !taken.contains(name)).unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Calls `f` with the name and the description of number `at`, from 0 up; `None` if there is no
    /// such one. Nobody else has them meanwhile: see [`Appenders::are_free`].
    pub(crate) fn with<R>(&self, at: usize, f: impl FnOnce(&str, &dyn Open) -> R) -> Option<R> {
        let appenders = self.lock();
        let (name, appender) = appenders.get(at)?;
        Some(f(name, &**appender))
    }

    /// Calls `each` with all of them, until it fails.
    ///
    /// # Errors
    /// The first error of `each`.
    pub(crate) fn each<E>(
        &self,
        mut each: impl FnMut(&str, &dyn Open) -> Result<(), E>,
    ) -> Result<(), E> {
        (0..self.len()).try_for_each(|at| self.with(at, &mut each).unwrap_or(Ok(())))
    }

    /// Checks that the composites between categories and them can be resolved, and that their gates
    /// suit them.
    ///
    /// # Errors
    /// [`CompositeError`].
    pub(crate) fn check_composites(&self, router: &Router) -> Result<(), CompositeError> {
        let appenders = self.lock();
        let described = appenders.iter().map(|(name, appender)| described(name, &**appender));
        router.check_composites(&described.collect::<Vec<_>>())
    }

    /// Whether they can be had without waiting. In a forked child they never can if a thread of the
    /// parent had them at the fork.
    pub(crate) fn are_free(&self) -> bool {
        !matches!(self.0.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn lock(&self) -> MutexGuard<'_, Named> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Appenders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// What a process does in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClusterRole {
    /// It runs the appenders for all.
    Elected,
    /// It writes its journal; another process runs the appenders, or will.
    Member,
}

/// A cluster as one of its processes sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClusterStats {
    /// What this process does.
    pub role: ClusterRole,
    /// How often a process was elected so far; 0 before the first election.
    pub term: u64,
    /// Journals of members in the directory, those of dead ones too that are not yet removed.
    pub members: usize,
    /// Why the elected process, if it is this one, cannot go on right now.
    pub failing: Option<String>,
    /// The appenders that this process runs for all; none unless it is elected.
    pub appenders: Vec<OutletStats>,
}
