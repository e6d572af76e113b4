//! The receiving side: blocks of many workers in one journal, and from there to appenders.
//!
//! One thread, `rollway-net`, owns all sockets (see `connection`); one, `rollway-ingest`, checks,
//! stores and acknowledges (see `ingest`); each appender has its own. The protocol is told in
//! `docs/protocol.md`.

mod buffers;
mod builder;
mod connection;
mod error;
mod inbox;
mod ingest;
mod quota;
mod start;
mod stats;
mod tending;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use crate::net::{AckLevel, Reason};
pub use builder::{Limits, MasterBuilder};
pub use error::MasterError;
pub use stats::{MasterStats, Throttled};

use crate::engine::outlets::Outlets;
use crate::engine::reload::Plan;
use crate::engine::status::{Status, StatusFile};
use crate::engine::syncing::Syncing;
use crate::engine::tending::Tended;
use crate::engine::{AppenderReport, OutletStats, events_behind, selflog};
use crate::journal::Journal;
use crate::sys::lock::FileLock;
use connection::Edge;
use inbox::Inbox;
use stats::Counters;

/// How long a master that is dropped tries to finish.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running master.
///
/// Dropping it shuts it down within 5 s; [`Master::shutdown`] does so and says what came of it.
pub struct Master {
    address: SocketAddr,
    ground: Arc<Ground>,
    running: Option<Running>,
    /// Who waits for somebody to ask for something.
    tended: Option<Tended>,
}

/// What outlives no master, and what those see who ask it for something.
struct Ground {
    level: AckLevel,
    journal: Journal,
    counters: Arc<Counters>,
    edge: Arc<Edge>,
    outlets: Outlets,
    plan: Plan<MasterBuilder>,
}

struct Running {
    inbox: Arc<Inbox>,
    deadline: Arc<Mutex<Option<Instant>>>,
    stop: watch::Sender<Option<tokio::time::Instant>>,
    net: Worker,
    ingest: Worker,
    /// Syncs the journal within 500 ms where no acknowledgement waits for that.
    syncing: Option<Syncing>,
    status: Option<StatusFile>,
    /// Released when everything else has ended.
    _lock: Option<FileLock>,
}

/// What a master has delivered and left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MasterReport {
    /// One for each appender.
    pub appenders: Vec<AppenderReport>,
    /// The last counts; among them what was dropped, by reason.
    pub stats: MasterStats,
}

impl MasterReport {
    /// Events that every appender has delivered: the least of their counts.
    pub fn delivered(&self) -> u64 {
        self.appenders.iter().map(|appender| appender.delivered).min().unwrap_or(0)
    }

    /// Events that some appender has not delivered: the greatest of their counts. With a journal
    /// directory the next start delivers them.
    pub fn left(&self) -> u64 {
        self.appenders.iter().map(|appender| appender.left).max().unwrap_or(0)
    }
}

impl Master {
    /// Listens on `localhost:5000`, with the journal in memory and no appender.
    pub fn builder() -> MasterBuilder {
        MasterBuilder::new()
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    pub fn stats(&self) -> MasterStats {
        self.ground.snapshot(self.ground.outlets.stats())
    }

    /// The journal, to read from.
    pub fn journal(&self) -> &Journal {
        &self.ground.journal
    }

    /// Takes no more connections, reads and acknowledges what is on its way, says bye to the workers,
    /// and lets the appenders finish. Reading takes a quarter of `timeout` at most, storing another
    /// one. What is read and not stored by then is not acknowledged, and comes again.
    pub fn shutdown(mut self, timeout: Duration) -> MasterReport {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> MasterReport {
        let Some(running) = self.running.take() else { return MasterReport::default() };
        let begun = Instant::now();
        let (half, deadline) = (begun + timeout / 2, begun + timeout);
        self.tended.take().into_iter().for_each(|tended| tended.end(half));
        *running.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(half);
        running.stop.send_replace(Some(half.into()));
        running.net.join(deadline);
        running.inbox.close();
        running.ingest.join(deadline);
        let journal = &self.ground.journal;
        journal.close();
        let ending = self.ground.outlets.close(deadline);
        ending.iter().for_each(|outlet| outlet.stop(deadline));
        let mut report = MasterReport::default();
        let mut outlets = Vec::new();
        for outlet in &ending {
            let stats = outlet.join(deadline);
            let backlog = events_behind(journal, stats.settled);
            report.appenders.push(AppenderReport {
                name: stats.name.clone(),
                delivered: stats.delivered,
                left: backlog.events,
                left_is_bound: backlog.is_bound,
                failing: stats.failing.clone(),
            });
            outlets.push(stats);
        }
        if let Some(syncing) = &running.syncing {
            syncing.join(deadline);
        }
        running.status.into_iter().for_each(StatusFile::end);
        report.stats = self.ground.snapshot(outlets);
        report
    }
}

impl Ground {
    fn snapshot(&self, outlets: Vec<OutletStats>) -> MasterStats {
        MasterStats {
            sync_errors: self.journal.sync_errors(),
            losses: self.journal.losses(),
            held_by: self.journal.held_by(),
            throttled: self.edge.quota.throttled(),
            reloads: self.plan.stats(),
            ..self.counters.snapshot(self.level, outlets)
        }
    }

    fn status(&self) -> Status {
        let end = self.journal.end();
        let fields = self.snapshot(self.outlets.stats()).status_fields(end);
        // Connections come and go without a block.
        Status { fields, end, is_quiet: false }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let report = self.end(DROP_TIMEOUT);
        if report.left() > 0 {
            selflog::warn(&format!("the master left {} events undelivered", report.left()));
        }
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Master").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A thread that can be waited for with a limit.
struct Worker {
    thread: JoinHandle<()>,
    /// Disconnected when the thread ends, however it ends.
    ended: Receiver<()>,
}

impl Worker {
    fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Worker> {
        let (running, ended) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _running = running;
            crate::engine::call::enter_own_thread();
            run();
        })?;
        Ok(Worker { thread, ended })
    }

    /// Waits until `deadline`; a thread that hangs is left behind.
    fn join(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.ended.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Disconnected) {
            // A panic was reported by the panic hook.
            let _ = self.thread.join();
        }
    }
}

/// Begins to keep the status file, if the journal has a directory.
fn keep_status(ground: &Arc<Ground>) -> Option<StatusFile> {
    let of_thread = Arc::downgrade(ground);
    StatusFile::keep(&ground.journal, move || Some(of_thread.upgrade()?.status()))
}
