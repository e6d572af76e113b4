//! Processes that share their appenders, as far as the engine knows of them.
//!
//! The engine asks a [`Group`] for a [`Seat`] before it opens its journal. Where the seat has a
//! [`Member`], the engine opens only the appenders that ship its own blocks; one of the processes
//! runs all others for all.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::outlet::Outlet;
use super::outlets::Described;
use super::reload::{ReloadError, Reloaded};
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

    /// What it is, in words: two groups with the same words are the same to a process.
    fn settings(&self) -> String;
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

    /// Has the appenders that are run for all described as `new` says from now on, and changed if it is
    /// this process that runs them.
    ///
    /// # Errors
    /// [`ReloadError`]; then everything is as it was.
    fn reload(
        &self,
        old: &Described,
        new: &Described,
        deadline: Instant,
    ) -> Result<Reloaded, ReloadError>;

    /// The appenders that this process runs for all; none unless it is elected.
    fn outlets(&self) -> Vec<Arc<Outlet>>;

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
    pub(crate) described: Described,
}

/// Destinations that are configured, and opened as often as need be: by the engine, by that of a
/// forked child, by whoever is elected, by a reload. A clone has the same ones; what is added to it is
/// its own.
#[derive(Clone, Default)]
pub(crate) struct Appenders(Vec<Named>);

/// A destination and its name.
#[derive(Clone)]
struct Named {
    name: String,
    appender: Arc<Mutex<Box<dyn Open>>>,
}

impl Appenders {
    pub(crate) fn push(&mut self, name: String, appender: Box<dyn Open>) {
        self.0.push(Named { name, appender: Arc::new(Mutex::new(appender)) });
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|named| named.name.clone()).collect()
    }

    /// A name for one that has none: `app001` and so on.
    pub(crate) fn free_name(&self) -> String {
        let taken = self.names();
        let mut names = (1..).map(|number: usize| format!("app{number:03}"));
        names.find(|name| !taken.contains(name)).unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Calls `f` with the name and the description of number `at`, from 0 up; `None` if there is no
    /// such one. Nobody else has it meanwhile: see [`Appenders::are_free`].
    pub(crate) fn with<R>(&self, at: usize, f: impl FnOnce(&str, &dyn Open) -> R) -> Option<R> {
        self.0.get(at).map(|named| f(&named.name, &**named.lock()))
    }

    /// The same by name.
    pub(crate) fn with_name<R>(&self, name: &str, f: impl FnOnce(&dyn Open) -> R) -> Option<R> {
        self.find(name).map(|named| f(&**named.lock()))
    }

    /// Calls `each` with all of them, until it fails.
    ///
    /// # Errors
    /// The first error of `each`.
    pub(crate) fn each<E>(
        &self,
        mut each: impl FnMut(&str, &dyn Open) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0.iter().try_for_each(|named| each(&named.name, &**named.lock()))
    }

    /// Checks that the composites between categories and them can be resolved, and that their gates
    /// suit them.
    ///
    /// # Errors
    /// [`CompositeError`].
    pub(crate) fn check_composites(&self, router: &Router) -> Result<(), CompositeError> {
        let mut appenders = Vec::new();
        self.each(|name, appender| {
            appenders.push(described(name, appender));
            Ok(())
        })?;
        router.check_composites(&appenders)
    }

    /// Whether they can be had without waiting. In a forked child they never can if a thread of the
    /// parent had them at the fork.
    pub(crate) fn are_free(&self) -> bool {
        let is_taken =
            |named: &Named| matches!(named.appender.try_lock(), Err(TryLockError::WouldBlock));
        !self.0.iter().any(is_taken)
    }

    /// Whether both have the same destination by this name: the very same description, or one of the
    /// same fingerprint.
    pub(crate) fn agree_on(&self, other: &Appenders, name: &str) -> bool {
        let (Some(one), Some(two)) = (self.find(name), other.find(name)) else { return false };
        if Arc::ptr_eq(&one.appender, &two.appender) {
            return true;
        }
        let print = |named: &Named| {
            let appender = named.lock();
            Some((appender.fingerprint()?, appender.is_mandatory(), appender.ships_blocks()))
        };
        print(one).is_some_and(|of_one| print(two) == Some(of_one))
    }

    fn find(&self, name: &str) -> Option<&Named> {
        self.0.iter().find(|named| named.name == name)
    }
}

impl Named {
    fn lock(&self) -> MutexGuard<'_, Box<dyn Open>> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
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
