//! What a running master is asked for, and how it takes another configuration.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Ground, Master, MasterBuilder};
use crate::engine::control::{Control, Controlled, Refusal};
use crate::engine::outlet::Command;
use crate::engine::reload::{ReloadError, Reloaded};
use crate::engine::signals::Signalled;
use crate::engine::{Durability, outlets, selflog, status};
use crate::level::{LevelFilter, Levels};
use crate::route::Directives;

/// What a reload, a flush or a command to an appender may take.
const TIMEOUT: Duration = Duration::from_secs(5);

impl MasterBuilder {
    /// Where a configuration comes from while the master runs: see
    /// [`Builder::reload_from`](crate::Builder::reload_from).
    #[must_use]
    pub fn reload_from<E: Into<Box<dyn Error + Send + Sync>>>(
        mut self,
        source: impl Fn() -> Result<MasterBuilder, E> + Send + Sync + 'static,
    ) -> MasterBuilder {
        self.tending.source = Some(Arc::new(move || source().map_err(Into::into)));
        self
    }

    /// Which files and directories are looked at, and how often: see
    /// [`Builder::reload_on_change`](crate::Builder::reload_on_change).
    #[must_use]
    pub fn reload_on_change<P: Into<PathBuf>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
        every: Duration,
    ) -> MasterBuilder {
        self.tending.watched = paths.into_iter().map(Into::into).collect();
        self.tending.watch_every = every;
        self
    }

    /// Opens a control socket: see [`Builder::control`](crate::Builder::control).
    #[must_use]
    pub fn control(mut self, control: Control) -> MasterBuilder {
        self.tending.control = Some(control);
        self
    }

    /// Whether SIGHUP and SIGUSR1 are heard: see [`Builder::signals`](crate::Builder::signals).
    #[must_use]
    pub fn signals(mut self, listens: bool) -> MasterBuilder {
        self.tending.listens = listens;
        self
    }

    /// The first key in which another description differs of those that cannot change while the master
    /// runs.
    fn differs_in(&self, other: &MasterBuilder) -> Option<&'static str> {
        let fixed = [
            ("listen", self.listen != other.listen),
            ("journal", self.journal.dir != other.journal.dir),
            ("journal_max_bytes", self.journal.max_bytes != other.journal.max_bytes),
            ("journal_keep_free", self.journal.keep_free_bytes != other.journal.keep_free_bytes),
            ("acknowledge", self.level != other.level),
            ("sync", self.sync != other.sync),
            ("window_bytes", self.window_bytes != other.window_bytes),
            ("limits", self.limits != other.limits),
            ("io_method", self.io_method != other.io_method),
        ];
        let fixed = fixed.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key);
        fixed.or_else(|| self.tending.differs_in(&other.tending))
    }

    /// What a configuration says of what cannot change while the master runs, by its keys.
    #[cfg(feature = "config")]
    pub(crate) fn said(mut self, said: Vec<(&'static str, String)>) -> MasterBuilder {
        self.tending.said = said;
        self
    }
}

impl Master {
    /// Takes another configuration while the master runs: its appenders and routes. See
    /// [`Logger::reload`](crate::Logger::reload).
    ///
    /// # Errors
    /// [`ReloadError`]; then the configuration before goes on.
    pub fn reload(&self, builder: MasterBuilder) -> Result<Reloaded, ReloadError> {
        self.ground.plan.reload(|| Ok(builder), |old, new| self.ground.take(old, new))
    }
}

impl Ground {
    fn take(&self, old: &mut MasterBuilder, new: MasterBuilder) -> Result<Reloaded, ReloadError> {
        let checked = new.checked_level().and_then(|_| new.check_appenders());
        checked.map_err(|error| ReloadError::Invalid(error.into()))?;
        if let Some(key) = old.differs_in(&new) {
            return Err(ReloadError::Fixed { key });
        }
        let deadline = Instant::now() + TIMEOUT;
        let reloaded = self.outlets.swap(&old.described(), &new.described(), deadline)?;
        (old.appenders, old.router) = (new.appenders, new.router);
        Ok(reloaded)
    }
}

impl Controlled for Ground {
    fn levels(&self) -> Result<Levels, Refusal> {
        Err(no_levels())
    }

    fn set_level(&self, _category: &str, _level: Option<LevelFilter>) -> Result<(), Refusal> {
        Err(no_levels())
    }

    fn apply(&self, _directives: &Directives) -> Result<(), Refusal> {
        Err(no_levels())
    }

    fn reload(&self) -> Result<String, Refusal> {
        let reloaded = self.plan.reload_from_source(|old, new| self.take(old, new));
        reloaded
            .map(|reloaded| reloaded.to_string())
            .map_err(|error| Refusal::Refused(selflog::chain(&error)))
    }

    fn command(&self, command: Command, appender: Option<&str>) -> Result<Vec<String>, Refusal> {
        outlets::command(&self.outlets.running(), command, appender, Instant::now() + TIMEOUT)
    }

    fn flush(&self, durability: Durability) -> Result<(), Refusal> {
        let (synced, deadline) = (durability >= Durability::L2, Instant::now() + TIMEOUT);
        self.outlets.wait(self.journal.end(), synced, deadline).map_err(|late| {
            let reason = late.failing.unwrap_or("did not finish in time".to_owned());
            Refusal::Failed(format!("appender `{}` {reason}", late.name))
        })
    }

    fn release(&self, composite: &str) -> Result<(), Refusal> {
        let mut running = self.outlets.running();
        running.retain(|outlet| outlet.holder() == Some(composite));
        if running.is_empty() {
            let why = format!("there is no buffer and no limit `{composite}`");
            return Err(Refusal::Unknown(why));
        }
        let (end, deadline) = (self.journal.end(), Instant::now() + TIMEOUT);
        for outlet in running {
            if !(outlet.wait_settled(end, deadline) && outlet.release(deadline)) {
                let reason = outlet.stats().failing.unwrap_or("did not finish in time".to_owned());
                return Err(Refusal::Failed(format!("appender `{}` {reason}", outlet.name())));
            }
        }
        Ok(())
    }

    fn stats(&self) -> String {
        status::object(&self.status())
    }
}

impl Signalled for Ground {
    fn on_reload(&self) {
        if self.plan.has_source() {
            // What is refused is told by the reload itself.
            let _ = Controlled::reload(self);
        }
    }

    fn on_reopen(&self) {
        if let Err(refusal) = self.command(Command::Reopen, None) {
            selflog::warn(&format!("reopen: {refusal}"));
        }
    }
}

fn no_levels() -> Refusal {
    let why = "a master takes events of every level; set levels in the workers";
    Refusal::Unknown(why.to_owned())
}
