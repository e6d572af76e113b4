//! How a running engine is tended: from where its configuration comes, and who may ask for what.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::builder::Builder;
use super::control::{Control, ControlSocket, Controlled, Refusal};
use super::outlet::{Command, Outlet};
use super::reload::{ReloadError, Source};
use super::signals::{self, Listening, Signalled};
use super::watch::Watch;
use super::{Durability, InitError, Logger, Shared, outlets, selflog, status};
use crate::level::LevelFilter;

/// What a builder says of it.
#[derive(Clone, Default)]
pub(super) struct Tending {
    source: Option<Source>,
    watched: Vec<PathBuf>,
    watch_every: Duration,
    control: Option<Control>,
    listens: bool,
}

/// Who waits for somebody to ask for something.
#[derive(Default)]
pub(crate) struct Tended {
    control: Option<ControlSocket>,
    watch: Option<Watch>,
    signals: Option<Listening>,
}

impl Tending {
    /// Where the configuration comes from.
    pub(super) fn source(&self) -> Option<Source> {
        self.source.clone()
    }

    /// Begins to wait for whoever asks `engine` for something.
    ///
    /// # Errors
    /// What could not be opened.
    pub(super) fn begin(&self, engine: &Arc<Shared>) -> Result<Tended, InitError> {
        let resource = |what| move |source| InitError::Resources { what, source };
        let mut tended = Tended::default();
        if let Some(control) = &self.control {
            let controlled: Weak<dyn Controlled> = Arc::downgrade(engine) as _;
            let dir = engine.journal.dir();
            let opened = ControlSocket::open(control, &engine.service, dir, controlled);
            let opened = opened.map_err(|(path, source)| InitError::Control { path, source })?;
            tended.control = Some(opened);
        }
        if self.listens {
            let signalled: Weak<dyn Signalled> = Arc::downgrade(engine) as _;
            let listening = signals::listen(signalled);
            tended.signals = Some(listening.map_err(resource("what listens for signals"))?);
        }
        if !self.watched.is_empty() {
            let engine = Arc::downgrade(engine);
            let watch = Watch::start(self.watched.clone(), self.watch_every, move || {
                // What is refused is told by the reload itself.
                let reloaded = engine.upgrade().map(|engine| engine.reload_from_source());
                !matches!(reloaded, None | Some(Err(ReloadError::Ended)))
            });
            tended.watch = Some(watch.map_err(resource("the thread that watches files"))?);
        }
        Ok(tended)
    }
}

impl Tended {
    /// Waits no more. What was asked for and is under way is waited for until `deadline`.
    pub(crate) fn end(self, deadline: Instant) {
        self.control.into_iter().for_each(|control| control.end(deadline));
        self.watch.into_iter().for_each(|watch| watch.end(deadline));
        drop(self.signals);
    }
}

impl Builder {
    /// Where a configuration comes from while the program runs: whoever asks for a reload has
    /// `source` make it. By default there is none.
    ///
    /// `source` runs on a thread of rollway's own, or on that which calls
    /// [`reload_from_source`](crate::Logger::reload_from_source). What its builder says of tending (this,
    /// the control socket, signals, watched files) counts for nothing: that stays as it was at the start.
    pub fn reload_from<E: Into<Box<dyn Error + Send + Sync>>>(
        mut self,
        source: impl Fn() -> Result<Builder, E> + Send + Sync + 'static,
    ) -> Builder {
        self.tending.source = Some(Arc::new(move || source().map_err(Into::into)));
        self
    }

    /// Looks at these files and directories every so often (10 ms at least) and asks for a reload when
    /// one has changed, come or gone, and has stayed as it is until the next look. Needs
    /// [`Builder::reload_from`]. By default nothing is watched.
    pub fn reload_on_change<P: Into<PathBuf>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
        every: Duration,
    ) -> Builder {
        self.tending.watched = paths.into_iter().map(Into::into).collect();
        self.tending.watch_every = every;
        self
    }

    /// Opens a socket at which `rollway ctl` and others can ask and tell the process things:
    /// `docs/control.md` has its protocol. By default there is none.
    pub fn control(mut self, control: Control) -> Builder {
        self.tending.control = Some(control);
        self
    }

    /// Whether SIGHUP reloads and then has the appenders reopen, and SIGUSR1 has them reopen; not so by
    /// default, and the signals do what they do without rollway.
    ///
    /// A handler of the host that was there before runs as well. After the shutdown of the last engine
    /// that listens, all is as it was before, but where the host has installed another handler
    /// meanwhile, which stays.
    pub fn signals(mut self, listens: bool) -> Builder {
        self.tending.listens = listens;
        self
    }
}

impl Controlled for Shared {
    fn levels(&self) -> Result<Vec<(String, LevelFilter)>, Refusal> {
        Ok(vec![(String::new(), self.level_filter())])
    }

    fn set_level(&self, category: &str, level: Option<LevelFilter>) -> Result<(), Refusal> {
        match level.filter(|_| category.is_empty()) {
            Some(level) => {
                Shared::set_level(self, level);
                Ok(())
            }
            None => Err(Refusal::Unknown(format!("there is no category `{category}`; use *"))),
        }
    }

    fn reload(&self) -> Result<String, Refusal> {
        let reloaded = self.reload_from_source();
        reloaded
            .map(|reloaded| reloaded.to_string())
            .map_err(|error| Refusal::Refused(selflog::chain(&error)))
    }

    fn command(&self, command: Command, appender: Option<&str>) -> Result<Vec<String>, Refusal> {
        let has_one = |name| self.all_outlets().iter().any(|outlet| outlet.name() == name);
        Shared::command(self, command, appender).map_err(|error| match appender {
            Some(name) if !has_one(name) => Refusal::Unknown(error.reason),
            _ => Refusal::Failed(error.reason),
        })
    }

    fn flush(&self, durability: Durability) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.limits.flush_timeout;
        let flushed = Shared::flush(self, durability, deadline, || false);
        flushed.map_err(|error| Refusal::Failed(error.to_string()))
    }

    fn stats(&self) -> String {
        let held_by = self.journal.held_by();
        status::object(&status::of_engine(&self.service, &Shared::stats(self), held_by.as_deref()))
    }
}

impl Signalled for Shared {
    fn reload(&self) {
        if self.source.is_some() {
            // What is refused is told by the reload itself.
            let _ = self.reload_from_source();
        }
    }

    fn reopen(&self) {
        if let Err(error) = Shared::command(self, Command::Reopen, None) {
            selflog::warn(&format!("reopen: {error}"));
        }
    }
}

/// Why an appender did not do what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the field is the words of the message")]
pub struct CommandError {
    pub reason: String,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for CommandError {}

impl Logger {
    /// Has an appender, or with `None` each one, close its destination and open it again, as after
    /// somebody has moved a file away: see [`Appender::reopen`](crate::appender::Appender::reopen).
    /// Returns the names of those that did, once they did.
    ///
    /// # Errors
    /// [`CommandError`] names who did not and why; nothing is lost. An appender that was busy for
    /// longer than the flush timeout does it later.
    pub fn reopen(&self, appender: Option<&str>) -> Result<Vec<String>, CommandError> {
        self.shared.command(Command::Reopen, appender)
    }

    /// Has an appender, or with `None` each one, begin a new file, if it is one that rotates: see
    /// [`Appender::rotate`](crate::appender::Appender::rotate).
    ///
    /// # Errors
    /// As [`Logger::reopen`].
    pub fn rotate(&self, appender: Option<&str>) -> Result<Vec<String>, CommandError> {
        self.shared.command(Command::Rotate, appender)
    }
}

impl Shared {
    fn command(&self, command: Command, name: Option<&str>) -> Result<Vec<String>, CommandError> {
        let deadline = Instant::now() + self.limits.flush_timeout;
        let done = outlets::command(&self.all_outlets(), command, name, deadline);
        done.map_err(|reason| CommandError { reason })
    }

    /// The appenders of this process, and those that it runs for others.
    fn all_outlets(&self) -> Vec<Arc<Outlet>> {
        let mut outlets = self.outlets.running();
        // What waits for the cluster is no appender.
        outlets.retain(|outlet| outlet.name() != super::builder::CLUSTER);
        outlets.extend(self.member.iter().flat_map(|member| member.outlets()));
        outlets
    }
}
