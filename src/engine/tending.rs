//! How a running engine is tended: from where its configuration comes, and who may ask for what.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::builder::Builder;
use super::outlet::{Command, Outlet};
use super::reload::Source;
use super::{Logger, Shared, outlets};

/// What a builder says of it.
#[derive(Clone, Default)]
pub(super) struct Tending {
    source: Option<Source>,
}

impl Tending {
    /// Where the configuration comes from.
    pub(super) fn source(&self) -> Option<Source> {
        self.source.clone()
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
