//! Processes of one service that share a directory, and their appenders.
//!
//! Each process writes a journal of its own below the directory. One, elected by a lock, copies the
//! blocks of all into the journal of the cluster and runs the appenders from there; when it dies
//! another one takes over and goes on where the cluster's journal ends. `docs/cluster.md` tells of the
//! directory and of the protocol.
//!
//! Invariants:
//! 1. Who holds the lock on `election` is elected; only the elected writes `term`, `journal/` and the
//!    cursors `the cluster` of members.
//! 2. A block of a member is appended to the cluster's journal only if its sequence is above the mark
//!    that the journal itself has of its run: no block is stored twice, whoever is elected.
//! 3. A member's cursor never passes what the mandatory appenders have settled: what it lets go is
//!    delivered.
//! 4. A directory below `members/` belongs to whoever holds its `lock`, and the lock counts only while
//!    it is the file of that name.

mod adopt;
mod directory;
mod elected;
mod follow;
mod outlets;
mod process;
mod source;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::engine::{ClusterRole, ClusterStats};

use crate::engine::group::{Description, Group, Seat};
use crate::engine::{Builder, InitError};
use crate::journal::JournalOptions;
use directory::Directory;
use process::Process;

/// Bytes of the cluster's journal, unless it is told otherwise.
const JOURNAL_BYTES: u64 = 1 << 30;
/// Bytes of the journal of one process, unless it is told otherwise.
const MEMBER_BYTES: u64 = 256 << 20;
/// A dead process that nobody restarts is cleaned up after by then, unless it is told otherwise.
const ADOPT_AFTER: Duration = Duration::from_secs(10);

/// A cluster, as one process describes it.
///
/// All processes of a service name the same directory, on one machine and on a file system with
/// locks, and configure the same appenders. They may be started in any order, killed and restarted at
/// any time.
///
/// # Examples
/// ```no_run
/// use rollway::appender::File;
/// use rollway::cluster::Cluster;
///
/// let guard = rollway::builder()
///     .cluster(Cluster::new("/var/lib/shop/cluster"))
///     .appender("file", File::new("/var/log/shop.log"))
///     .init()?;
/// rollway::info!("one of many");
/// # drop(guard);
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is given to `Builder::cluster`"]
pub struct Cluster {
    dir: PathBuf,
    is_standalone: bool,
    instance_var: Option<OsString>,
    instance_id: OsString,
    journal_bytes: u64,
    member_bytes: u64,
    adopt_after: Duration,
}

impl Cluster {
    /// The cluster in `dir`, which is made if it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> Cluster {
        let dir = dir.into();
        Cluster {
            // Wherever the process goes: others follow the paths that it writes down.
            dir: std::path::absolute(&dir).unwrap_or(dir),
            is_standalone: false,
            instance_var: None,
            instance_id: "0".into(),
            journal_bytes: JOURNAL_BYTES,
            member_bytes: MEMBER_BYTES,
            adopt_after: ADOPT_AFTER,
        }
    }

    /// Whether every process runs its own appenders, as without a cluster; not so by default. It still
    /// gets a journal of its own below the directory. Give each process its own files.
    pub fn standalone(self, is_standalone: bool) -> Cluster {
        Cluster { is_standalone, ..self }
    }

    /// Elects nobody: the process whose environment variable `name` is the
    /// [`instance_id`](Cluster::instance_id) runs the appenders, and while it is away nobody does.
    /// Events wait in the journals then.
    pub fn instance_var(self, name: impl Into<OsString>) -> Cluster {
        Cluster { instance_var: Some(name.into()), ..self }
    }

    /// The value of [`instance_var`](Cluster::instance_var) that tells the process which runs the
    /// appenders: `0` by default.
    pub fn instance_id(self, id: impl Into<OsString>) -> Cluster {
        Cluster { instance_id: id.into(), ..self }
    }

    /// How large the cluster's journal may grow: 1 GiB by default.
    pub fn journal_max_bytes(self, bytes: u64) -> Cluster {
        Cluster { journal_bytes: bytes, ..self }
    }

    /// How large the journal of this process may grow: 256 MiB by default.
    pub fn member_max_bytes(self, bytes: u64) -> Cluster {
        Cluster { member_bytes: bytes, ..self }
    }

    /// How long after the death of a process its directory waits for a successor: 10 s by default.
    /// What it had written to its journal is delivered at once in any case; what stood in its rings is
    /// delivered by the successor or, after this time, by the elected process.
    pub fn adopt_after(self, after: Duration) -> Cluster {
        Cluster { adopt_after: after, ..self }
    }

    /// Whether this process may run the appenders.
    fn is_candidate(&self) -> bool {
        let chosen = |name| std::env::var_os(name).is_some_and(|id| id == self.instance_id);
        self.instance_var.as_ref().is_none_or(chosen)
    }
}

impl Builder {
    /// Shares the appenders with other processes: see [`Cluster`]. The process's journal lies in the
    /// cluster's directory, whatever [`Builder::journal_dir`] says.
    pub fn cluster(self, cluster: Cluster) -> Builder {
        self.group(Arc::new(cluster))
    }
}

impl Group for Cluster {
    fn join(&self, description: Description) -> Result<Seat, InitError> {
        let directory = Directory::open(&self.dir)?;
        let members = match self.is_standalone {
            true => directory.standalone(),
            false => directory.members(),
        };
        let (dir, lock) = directory.claim(&members)?;
        let journal = JournalOptions::directory(&dir).max_bytes(self.member_bytes);
        if self.is_standalone {
            return Ok(Seat { journal, lock, member: None });
        }
        let process = Process::new(self.clone(), directory, dir, description);
        Ok(Seat { journal, lock, member: Some(Arc::new(process)) })
    }

    fn settings(&self) -> String {
        format!("{self:?}")
    }
}
