//! Another configuration for a running engine.
//!
//! Levels, routes and appenders change; what the engine is built on does not. A reload is done whole or
//! not at all. Each event in the journal is handled by one configuration: the new one counts from a
//! position on, for all appenders the same.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::builder::Builder;
use super::{Logger, Shared, WaitStrategy, selflog};
use crate::appender::OpenError;

/// How long a reload waits for what is in the rings.
const RINGS_WAIT: Duration = Duration::from_secs(1);

/// What a reload did. The names are those of appenders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// They went on without a gap.
    pub unchanged: Vec<String>,
    /// They are new, and begin where the configuration does.
    pub added: Vec<String>,
    /// They go on in another way where the old ones of this name stopped.
    pub changed: Vec<String>,
    /// They have got what was logged before, and ended.
    pub removed: Vec<String>,
    /// Those of the removed that did not get everything in time. With a journal directory they go on
    /// from there when they are added again.
    pub undrained: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reloaded { unchanged, added, changed, removed, .. } = self;
        let counts = [("added", added), ("changed", changed), ("removed", removed)];
        write!(f, "{} appenders unchanged", unchanged.len())?;
        for (what, names) in counts.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, ", {what}: {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Why a configuration was not taken. The one before goes on.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum ReloadError {
    /// Nothing says where a configuration comes from: see
    /// [`Builder::reload_from`](crate::Builder::reload_from).
    NoSource,
    /// The configuration cannot be read.
    Source(Box<dyn Error + Send + Sync>),
    /// It contradicts itself, or has a value out of its range.
    Invalid(Box<dyn Error + Send + Sync>),
    /// It changes what stays as it is while the engine runs.
    Fixed { key: &'static str },
    /// An appender cannot be opened.
    Open(OpenError),
    /// An appender gets no thread.
    Thread { name: String, source: io::Error },
    /// An appender that has to make room hangs in its destination.
    Hangs { name: String },
    /// An appender has not come to the last 64 reloads.
    Busy { name: String },
    /// The engine has ended, or is about to.
    Ended,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::NoSource => write!(
                f,
                "nothing says where the configuration comes from; start with a configuration file, or \
                 with `reload_from`"
            ),
            // Its own words, and its causes behind them.
            ReloadError::Source(error) | ReloadError::Invalid(error) => error.fmt(f),
            ReloadError::Fixed { key } => {
                write!(f, "{key} cannot change while the process runs; restart it for that")
            }
            ReloadError::Open(error) => error.fmt(f),
            ReloadError::Thread { name, .. } => {
                write!(f, "appender `{name}` cannot be run; the system gives it no thread")
            }
            ReloadError::Hangs { name } => write!(
                f,
                "appender `{name}` hangs in its destination and cannot make room; see to that, then \
                 reload again"
            ),
            ReloadError::Busy { name } => write!(
                f,
                "appender `{name}` has not come to the last reloads; wait until it gets on"
            ),
            ReloadError::Ended => write!(f, "the logger has been shut down; start another one"),
        }
    }
}

impl Error for ReloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReloadError::Source(error) | ReloadError::Invalid(error) => error.source(),
            ReloadError::Open(error) => error.source(),
            ReloadError::Thread { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// How often the configuration was changed, or should have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStats {
    /// Reloads that were done.
    pub done: u64,
    /// Reloads that were refused.
    pub failed: u64,
    /// Why the last one was refused; `None` when it was done.
    pub failing: Option<String>,
}

/// What an engine or a master runs by, and what came of changing that. `B` is its builder.
pub(crate) struct Plan<B> {
    /// The description in force. Locked during a reload.
    builder: Mutex<B>,
    source: Option<Source<B>>,
    stats: Mutex<ReloadStats>,
}

impl<B> Plan<B> {
    /// That of `builder`; others come from `source`.
    pub(crate) fn new(builder: B, source: Option<Source<B>>) -> Plan<B> {
        Plan { builder: Mutex::new(builder), source, stats: Mutex::default() }
    }

    pub(crate) fn stats(&self) -> ReloadStats {
        lock(&self.stats).clone()
    }

    /// Whether something says where another description comes from.
    pub(crate) fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Reads another description and has `take` put it in the place of that in force. One reload at a
    /// time; what is refused is told and counted.
    ///
    /// # Errors
    /// Those of the source, and of `take`.
    pub(crate) fn reload_from_source(
        &self,
        take: impl FnOnce(&mut B, B) -> Result<Reloaded, ReloadError>,
    ) -> Result<Reloaded, ReloadError> {
        let read = || match &self.source {
            Some(source) => source().map_err(ReloadError::Source),
            None => Err(ReloadError::NoSource),
        };
        self.reload(read, take)
    }

    /// The same with the description that `read` has.
    ///
    /// # Errors
    /// Those of `read` and of `take`.
    pub(crate) fn reload(
        &self,
        read: impl FnOnce() -> Result<B, ReloadError>,
        take: impl FnOnce(&mut B, B) -> Result<Reloaded, ReloadError>,
    ) -> Result<Reloaded, ReloadError> {
        let mut old = lock(&self.builder);
        let reloaded = read().and_then(|new| take(&mut old, new));
        let mut stats = lock(&self.stats);
        match &reloaded {
            Ok(_) => (stats.done, stats.failing) = (stats.done + 1, None),
            Err(error) => {
                let why = selflog::chain(error);
                selflog::warn(&format!("reload: {why}; the configuration before goes on"));
                (stats.failed, stats.failing) = (stats.failed + 1, Some(why));
            }
        }
        reloaded
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logger {
    /// Takes another configuration while the program runs: levels, routes and appenders.
    ///
    /// Appenders are compared by name and by [`fingerprint`](crate::appender::Open::fingerprint): what
    /// is the same goes on without a gap, what is new begins with the first event of the new
    /// configuration, what is changed delivers what was logged before and goes on in the new way, and
    /// what is gone delivers what was logged before. It is done whole or not at all. What the engine is
    /// built on (the journal, the rings, the name of the service and so on) must be as it was; a level
    /// that was set at run time gives way to that of the configuration.
    ///
    /// Appenders wait meanwhile, and log calls do not. Returns within the flush timeout, unless an
    /// appender hangs while it is opened. In a cluster the elected process changes the appenders
    /// that it runs for all; the others keep the configuration for the day they are elected.
    ///
    /// # Errors
    /// [`ReloadError`]; then the configuration before goes on.
    ///
    /// # Examples
    /// ```
    /// use rollway::Level;
    /// use rollway::appender::Console;
    ///
    /// let described = rollway::builder().appender("console", Console::stderr());
    /// let guard = described.clone().start()?;
    /// let reloaded = guard.logger().reload(described.level(Level::DEBUG))?;
    /// assert_eq!(reloaded.unchanged, ["console"]);
    /// assert!(guard.logger().is_enabled(Level::DEBUG));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload(&self, builder: Builder) -> Result<Reloaded, ReloadError> {
        self.shared.plan.reload(|| Ok(builder), |old, new| self.shared.take(old, new))
    }

    /// Reads the configuration where it came from, and takes it: see
    /// [`Builder::reload_from`](crate::Builder::reload_from).
    ///
    /// # Errors
    /// [`ReloadError`]; then the configuration before goes on.
    pub fn reload_from_source(&self) -> Result<Reloaded, ReloadError> {
        self.shared.reload_from_source()
    }
}

impl Shared {
    pub(super) fn reload_from_source(&self) -> Result<Reloaded, ReloadError> {
        self.plan.reload_from_source(|old, new| self.take(old, new))
    }

    fn take(&self, old: &mut Builder, new: Builder) -> Result<Reloaded, ReloadError> {
        if self.is_closed() || self.is_forked() {
            return Err(ReloadError::Ended);
        }
        new.check().map_err(|error| ReloadError::Invalid(error.into()))?;
        if let Some(key) = old.differs_in(&new) {
            return Err(ReloadError::Fixed { key });
        }
        let deadline = Instant::now() + self.limits.flush_timeout;
        if self.limits.wait != WaitStrategy::Manual {
            // What was logged before is of the configuration before. Where the journal takes
            // nothing, it is of the new one.
            let _ = self
                .flush_rings(Instant::now() + RINGS_WAIT.min(self.limits.flush_timeout), || false);
        }
        let (described, levels) = (new.described(), new.levels().clone());
        let before = old.described();
        let mut reloaded = match &self.member {
            Some(member) => member.reload(&before, &described, deadline)?,
            None => Reloaded::default(),
        };
        match self.outlets.swap(&before, &described, deadline) {
            Ok(own) => reloaded.append(own),
            Err(error) => {
                let back = self.member.as_ref().map(|member| {
                    member.reload(&described, &before, Instant::now() + self.limits.flush_timeout)
                });
                if let Some(Err(error)) = back {
                    selflog::warn(&format!("reload: on the way back: {}", selflog::chain(&error)));
                }
                return Err(error);
            }
        }
        let taken = self.change_levels(|now| {
            now.clone_from(&levels);
            Ok(())
        });
        // They were counted when they were described.
        debug_assert!(taken.is_ok());
        old.take_over(new);
        Ok(reloaded)
    }
}

impl Reloaded {
    fn append(&mut self, other: Reloaded) {
        self.unchanged.extend(other.unchanged);
        self.added.extend(other.added);
        self.changed.extend(other.changed);
        self.removed.extend(other.removed);
        self.undrained.extend(other.undrained);
    }
}

/// Where a configuration comes from.
pub(crate) type Source<B> = Arc<dyn Fn() -> Result<B, Box<dyn Error + Send + Sync>> + Send + Sync>;
