//! Waiting until what was logged has arrived: in the journal, on its disk, at the appenders.

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Durability, Shared, fork};
use crate::journal::{Position, SyncWait};

/// Who had not got everything when a flush ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub struct FlushError {
    pub waiting_for: String,
    pub reason: String,
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flush: {} {}", self.waiting_for, self.reason)
    }
}

impl std::error::Error for FlushError {}

/// What a composite holds was not handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub enum ReleaseError {
    /// No composite of this name holds anything back.
    Unknown { name: String },
    /// It took longer than a flush may.
    Flush(FlushError),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::Unknown { name } => {
                write!(f, "no composite `{name}` holds events back; name a buffer or a limit")
            }
            ReleaseError::Flush(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReleaseError {}

impl Shared {
    /// Waits until everything in the rings is in the journal. `poll` does the writer's work where
    /// that falls to the caller, and says whether it did something.
    pub(super) fn flush_rings(
        &self,
        deadline: Instant,
        poll: impl Fn() -> bool,
    ) -> Result<(), FlushError> {
        if self.is_forked() {
            let reason = "lives in the parent process; start a logger in the child".to_owned();
            return Err(FlushError { waiting_for: "the writer".to_owned(), reason });
        }
        let ticket = self.flushes.fetch_add(1, Ordering::AcqRel) + 1;
        while poll() {}
        let mut progress = self.progress();
        while progress.flushed < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.writer_lives() {
                let reason = match &progress.error {
                    Some(error) => format!("cannot write the journal: {error}"),
                    None => "did not finish in time".to_owned(),
                };
                return Err(FlushError { waiting_for: "the writer".to_owned(), reason });
            }
            self.wake_writer();
            let step = left.min(Duration::from_millis(50));
            let waited = self.progressed.wait_timeout(progress, step);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            while poll() {}
            progress = self.progress();
        }
        Ok(())
    }

    pub(super) fn flush(
        &self,
        durability: Durability,
        deadline: Instant,
        poll: impl Fn() -> bool,
    ) -> Result<(), FlushError> {
        if self.is_forked()
            && let Some(heir) = fork::started_heir_of(self)
        {
            return heir.flush_own(durability, deadline, || false);
        }
        self.flush_own(durability, deadline, poll)
    }

    fn flush_own(
        &self,
        durability: Durability,
        deadline: Instant,
        poll: impl Fn() -> bool,
    ) -> Result<(), FlushError> {
        self.flush_rings(deadline, poll)?;
        let end = self.journal.end();
        let synced = durability >= Durability::L2;
        if synced {
            self.sync_journal(end, deadline)?;
        }
        self.outlets.wait(end, synced, deadline).map_err(|late| {
            let reason = late.failing.unwrap_or("did not finish in time".to_owned());
            FlushError { waiting_for: format!("appender `{}`", late.name), reason }
        })
    }

    pub(super) fn release(&self, composite: &str) -> Result<(), ReleaseError> {
        if self.is_forked()
            && let Some(heir) = fork::started_heir_of(self)
        {
            return heir.release(composite);
        }
        let mut outlets = self.outlets.running();
        outlets.retain(|outlet| outlet.holder() == Some(composite));
        if outlets.is_empty() {
            return Err(ReleaseError::Unknown { name: composite.to_owned() });
        }
        let deadline = Instant::now() + self.limits.flush_timeout;
        self.flush_rings(deadline, || false).map_err(ReleaseError::Flush)?;
        let end = self.journal.end();
        for outlet in outlets {
            if !(outlet.wait_settled(end, deadline) && outlet.release(deadline)) {
                let reason = outlet.stats().failing.unwrap_or("did not finish in time".to_owned());
                let waiting_for = format!("appender `{}`", outlet.name());
                return Err(ReleaseError::Flush(FlushError { waiting_for, reason }));
            }
        }
        Ok(())
    }

    /// Waits until the journal is synced up to `end`. What a sync failed to cover can never be proved
    /// to be on the disk.
    fn sync_journal(&self, end: Position, deadline: Instant) -> Result<(), FlushError> {
        if self.syncing.get().is_none() {
            return Ok(());
        }
        let reason = match self.journal.wait_synced(end, deadline) {
            SyncWait::Synced => return Ok(()),
            SyncWait::Late => "was not synced in time".to_owned(),
            SyncWait::Unproved => {
                let error = self.journal.sync_error().unwrap_or_default();
                format!("has blocks whose sync failed, which no later one makes good: {error}")
            }
        };
        Err(FlushError { waiting_for: "the journal".to_owned(), reason })
    }
}
