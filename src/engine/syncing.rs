//! The thread that syncs the journal, so that the writer never waits for a disk.
//!
//! It sleeps while nothing is new. What fails is counted by the journal, told here, and tried again
//! with growing pauses.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{call, selflog};
use crate::journal::Journal;

/// When the blocks of a journal directory are made to survive a power failure (L2), unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// When [`flush_to`](crate::Logger::flush_to) or [`sync_from`](crate::Builder::sync_from) want
    /// it, and when more than 16 finished segments wait.
    Never,
    /// When a block has waited this long. A power failure takes what was logged within that time and
    /// the time of a sync.
    Every(Duration),
}

impl Default for SyncPolicy {
    /// Every 500 ms.
    fn default() -> SyncPolicy {
        SyncPolicy::Every(Duration::from_millis(500))
    }
}

/// The running thread. Dropping it closes the journal.
pub(crate) struct Syncing {
    journal: Journal,
    /// Ends with the thread.
    ended: Mutex<Receiver<Infallible>>,
}

impl Syncing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(journal: &Journal, policy: SyncPolicy) -> io::Result<Syncing> {
        let (lives, ended) = mpsc::sync_channel(0);
        let of_thread = journal.clone();
        std::thread::Builder::new().name("rollway-sync".to_owned()).spawn(move || {
            let _lives: mpsc::SyncSender<Infallible> = lives;
            call::enter_own_thread();
            run(&of_thread, policy);
        })?;
        Ok(Syncing { journal: journal.clone(), ended: Mutex::new(ended) })
    }

    /// Waits for the last sync after the journal was closed, until `deadline`. A thread that hangs in
    /// a sync is left behind.
    pub(crate) fn join(&self, deadline: Instant) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent: it returns when the thread has ended, or too late.
        if ended.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
            selflog::warn("the last sync of the journal did not finish in time");
        }
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.journal.close();
    }
}

fn run(journal: &Journal, policy: SyncPolicy) {
    let every = match policy {
        SyncPolicy::Never => None,
        SyncPolicy::Every(pause) => Some(pause),
    };
    while journal.wait_sync_due(every) {
        sync(journal);
    }
    if every.is_some() {
        sync(journal);
    }
}

fn sync(journal: &Journal) {
    if let Err(error) = journal.sync() {
        let error = selflog::chain(&error);
        selflog::warn(&format!(
            "journal: {error}; what it should have covered may not survive a power failure"
        ));
    }
}
