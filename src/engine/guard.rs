//! Who keeps an engine running, and ends it.

use std::fmt;
use std::time::{Duration, Instant};

use super::shutdown::{Running, ShutdownReport};
use super::{Durability, FlushError, Logger, Stats, TIMEOUT_MAX, selflog};

/// Keeps an engine running. Dropping it shuts the engine down within the flush timeout.
#[must_use = "dropping the guard shuts the logger down"]
pub struct Guard {
    pub(super) logger: Logger,
    pub(super) running: Option<Running>,
}

impl Guard {
    /// The logger that this guard keeps.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// See [`Logger::flush`]. With [`WaitStrategy::Manual`] it polls, too.
    ///
    /// [`WaitStrategy::Manual`]: super::WaitStrategy::Manual
    ///
    /// # Errors
    /// As [`Logger::flush`].
    pub fn flush(&self) -> Result<(), FlushError> {
        self.flush_to(Durability::L1)
    }

    /// See [`Logger::flush_to`]. With [`WaitStrategy::Manual`] it polls, too.
    ///
    /// [`WaitStrategy::Manual`]: super::WaitStrategy::Manual
    ///
    /// # Errors
    /// As [`Logger::flush_to`].
    pub fn flush_to(&self, durability: Durability) -> Result<(), FlushError> {
        let shared = &self.logger.shared;
        let deadline = Instant::now() + shared.limits.flush_timeout;
        shared.flush(durability, deadline, || self.running.as_ref().is_some_and(Running::poll))
    }

    /// See [`Logger::stats`].
    pub fn stats(&self) -> Stats {
        self.logger.stats()
    }

    /// Moves what is in the rings to the journal, once. For [`WaitStrategy::Manual`]; otherwise the
    /// writer thread does it and this returns `false`. `true` when there was something to move.
    ///
    /// [`WaitStrategy::Manual`]: super::WaitStrategy::Manual
    pub fn poll(&mut self) -> bool {
        self.running.as_ref().is_some_and(Running::poll)
    }

    /// Stops the producers, drains the rings, lets the appenders finish, and says what was
    /// delivered and what was left. Returns at the deadline at the latest, give or take the time of
    /// one write.
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownReport {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> ShutdownReport {
        match self.running.take() {
            // The threads, the rings and the files are the parent's. What the child has started
            // is its own.
            Some(running) if self.logger.shared.is_forked() => {
                std::mem::forget(running);
                let heir = self.logger.shared.heir.take();
                heir.map_or_else(ShutdownReport::default, |mut heir| heir.end(timeout))
            }
            Some(running) => {
                running.shutdown(&self.logger.shared, Instant::now() + timeout.min(TIMEOUT_MAX))
            }
            None => ShutdownReport::default(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.running.is_none() {
            return;
        }
        let report = self.end(self.logger.shared.limits.flush_timeout);
        if report.left() > 0 {
            selflog::warn(&format!("shutdown left {} events undelivered", report.left()));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("logger", &self.logger).finish_non_exhaustive()
    }
}
