//! What a running engine is asked for: by the program, over the control socket, by signals.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::control::{Controlled, Refusal};
use super::outlet::{Command, Outlet};
use super::signals::Signalled;
use super::{Durability, Logger, ReleaseError, Shared, outlets, selflog, status};
use crate::level::{LevelFilter, Levels};
use crate::route::Directives;

impl Controlled for Shared {
    fn levels(&self) -> Result<Levels, Refusal> {
        Ok(self.current_levels())
    }

    fn set_level(&self, category: &str, level: Option<LevelFilter>) -> Result<(), Refusal> {
        let set = self.change_levels(|levels| levels.set(category, level));
        set.map_err(|error| Refusal::Refused(error.to_string()))
    }

    fn apply(&self, directives: &Directives) -> Result<(), Refusal> {
        let applied = self.change_levels(|levels| directives.apply_to(levels));
        applied.map_err(|error| Refusal::Refused(error.to_string()))
    }

    fn reload(&self) -> Result<String, Refusal> {
        let reloaded = self.reload_from_source();
        reloaded
            .map(|reloaded| reloaded.to_string())
            .map_err(|error| Refusal::Refused(selflog::chain(&error)))
    }

    fn command(&self, command: Command, appender: Option<&str>) -> Result<Vec<String>, Refusal> {
        let deadline = Instant::now() + self.limits.flush_timeout;
        let outlets = self.all_outlets();
        if self.is_run_elsewhere(&outlets, appender) {
            return Err(Refusal::Refused(
                "another process of the cluster runs the appenders; ask the elected one".to_owned(),
            ));
        }
        outlets::command(&outlets, command, appender, deadline)
    }

    fn flush(&self, durability: Durability) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.limits.flush_timeout;
        let flushed = Shared::flush(self, durability, deadline, || false);
        flushed.map_err(|error| Refusal::Failed(error.to_string()))
    }

    fn release(&self, composite: &str) -> Result<(), Refusal> {
        Shared::release(self, composite).map_err(|error| match error {
            ReleaseError::Unknown { .. } => Refusal::Unknown(error.to_string()),
            error => Refusal::Failed(selflog::chain(&error)),
        })
    }

    fn stats(&self) -> String {
        let held_by = self.journal.held_by();
        status::object(&status::of_engine(&self.service, &Shared::stats(self), held_by.as_deref()))
    }
}

impl Signalled for Shared {
    fn on_reload(&self) {
        if self.plan.has_source() {
            // What is refused is told by the reload itself.
            let _ = self.reload_from_source();
        }
    }

    fn on_reopen(&self) {
        if self.is_run_elsewhere(&self.all_outlets(), None) {
            // That one gets the signal, too.
            return;
        }
        if let Err(refusal) = self.command(Command::Reopen, None) {
            selflog::warn(&format!("reopen: {refusal}"));
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

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> CommandError {
        CommandError { reason: refusal.to_string() }
    }
}

impl Logger {
    /// Has an appender, or with `None` each one, close its destination and open it again, as after
    /// somebody has moved a file away: see [`Appender::reopen`](crate::appender::Appender::reopen).
    /// Returns the names of those that did, once they did.
    ///
    /// # Errors
    /// [`CommandError`] names who did not and why; nothing is lost. An appender that was busy for
    /// longer than the flush timeout does it later.
    pub fn reopen(&self, appender: Option<&str>) -> Result<Vec<String>, CommandError> {
        self.shared.command(Command::Reopen, appender).map_err(CommandError::from)
    }

    /// Has an appender, or with `None` each one, begin a new file, if it is one that rotates: see
    /// [`Appender::rotate`](crate::appender::Appender::rotate).
    ///
    /// # Errors
    /// As [`Logger::reopen`].
    pub fn rotate(&self, appender: Option<&str>) -> Result<Vec<String>, CommandError> {
        self.shared.command(Command::Rotate, appender).map_err(CommandError::from)
    }
}

impl Shared {
    /// Whether an appender, or with `None` all of them, is among those that another process of the
    /// cluster runs: `outlets` are those of this one.
    fn is_run_elsewhere(&self, outlets: &[Arc<Outlet>], appender: Option<&str>) -> bool {
        let is_member = self.member.as_ref().is_some_and(|member| member.outlets().is_empty());
        let is_here = |outlet: &Arc<Outlet>| appender.is_none_or(|name| outlet.name() == name);
        is_member && !outlets.iter().any(is_here)
    }

    /// The appenders of this process, and those that it runs for others.
    fn all_outlets(&self) -> Vec<Arc<Outlet>> {
        let mut outlets = self.outlets.running();
        // What waits for the cluster is no appender.
        outlets.retain(|outlet| outlet.name() != super::start::CLUSTER);
        outlets.extend(self.member.iter().flat_map(|member| member.outlets()));
        outlets
    }
}
