//! What a forwarder shows of itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use super::lock;
use crate::journal::Position;
use crate::net::AckLevel;

/// Shows what a [`Forwarder`](super::Forwarder) does.
#[derive(Clone, Debug, Default)]
pub struct ForwarderMonitor {
    stats: Arc<Mutex<ForwarderStats>>,
}

impl ForwarderMonitor {
    /// What the forwarder has done so far.
    pub fn stats(&self) -> ForwarderStats {
        self.lock().clone()
    }

    /// Whether nobody has it locked.
    pub(super) fn is_free(&self) -> bool {
        !matches!(self.stats.try_lock(), Err(TryLockError::WouldBlock))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ForwarderStats> {
        lock(&self.stats)
    }
}

/// What a forwarder is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum ForwarderState {
    /// It looks for the master.
    #[default]
    Connecting,
    /// It sends, or waits for something to send.
    Sending,
    /// It has sent all it may, and waits for acknowledgements.
    AwaitingAcks,
    /// The master refused it. It tries again.
    Refused { why: String },
    /// The master cannot be reached, or the connection failed. It tries again.
    Failing { why: String },
    /// It was stopped.
    Ended,
}

impl fmt::Display for ForwarderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwarderState::Connecting => write!(f, "connecting"),
            ForwarderState::Sending => write!(f, "sending"),
            ForwarderState::AwaitingAcks => write!(f, "waiting for acknowledgements"),
            ForwarderState::Refused { why } => write!(f, "refused: {why}"),
            ForwarderState::Failing { why } => write!(f, "failing: {why}"),
            ForwarderState::Ended => write!(f, "ended"),
        }
    }
}

/// What a forwarder has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwarderStats {
    /// What it is doing.
    pub state: ForwarderState,
    /// The master that it ships to, or tries to reach: host and port.
    pub master: String,
    /// Times that it left a master for another one.
    pub fail_overs: u64,
    /// Blocks that were sent with the mark that another master may have them, too.
    pub elsewhere_blocks: u64,
    /// Events that the master acknowledged.
    pub delivered: u64,
    /// Blocks that the master acknowledged.
    pub delivered_blocks: u64,
    /// Bytes that were sent, what went before each block and heartbeats included.
    pub sent_bytes: u64,
    /// Blocks in the journal that the master did not acknowledge. Known at the end only.
    pub left_blocks: u64,
    /// Blocks that could not be read from the journal.
    pub damaged: u64,
    /// Connections that came as far as a welcome.
    pub connections: u64,
    /// Attempts and connections that failed.
    pub errors: u64,
    /// What the master promised with its acknowledgements.
    pub level: Option<AckLevel>,
    /// Acknowledgements of a lower level than promised.
    pub weak_acks: u64,
    /// Everything before it is acknowledged.
    pub settled: Position,
}
