//! From log calls to outlets: init and shutdown, the writer loop, the outlet loop.

mod batch;
mod builder;
pub(crate) mod call;
pub(crate) mod control;
mod drops;
mod flush;
mod fork;
pub(crate) mod group;
mod guard;
mod home;
mod inherit;
mod init_error;
mod logger;
mod mdc;
mod ndc;
pub(crate) mod outlet;
pub(crate) mod outlets;
mod panics;
mod past;
mod policy;
mod process;
pub(crate) mod reload;
mod requests;
mod rings;
pub(crate) mod selflog;
mod shutdown;
pub(crate) mod signals;
mod start;
mod stats;
pub(crate) mod status;
pub(crate) mod syncing;
pub(crate) mod tending;
pub(crate) mod watch;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

pub use batch::{Batch, batch};
#[cfg_attr(feature = "config", allow(unreachable_pub, reason = "`config` has one around it"))]
pub use builder::init;
pub use builder::{Builder, builder};
#[cfg(feature = "cli")]
pub(crate) use builder::{RING_BYTES, RING_MEMORY_BYTES};
pub use control::Control;
pub use drops::Dropped;
pub use flush::{FlushError, ReleaseError};
pub use group::{ClusterRole, ClusterStats};
pub use guard::Guard;
pub use inherit::{Inheritance, inherit, inherited, spawn_inheriting};
pub use init_error::InitError;
pub use logger::Logger;
pub use mdc::{Mdc, MdcScope, mdc};
pub use ndc::{Ndc, NdcScope, ndc};
pub use outlet::{OutletState, OutletStats};
pub use policy::{Durability, OverflowPolicy, Timestamp, WaitStrategy};
pub use process::{flush, flush_to, logger, prepare_thread, stats};
pub use reload::{ReloadError, ReloadStats, Reloaded};
pub use requests::CommandError;
pub(crate) use shutdown::events_behind;
pub use shutdown::{AppenderReport, ShutdownReport};
pub use stats::Stats;
pub use syncing::SyncPolicy;

#[cfg(feature = "cli")]
pub(crate) use writer::tells_of_drops;

use crate::clock::UtcClock;
use crate::journal::Journal;
use crate::level::live::LiveLevels;
use crate::level::{Level, LevelFilter, Levels, TooManyCategories};
use crate::ring::{self, Consumer, Ring};
use crate::site;
use crate::sys::table::SharedTable;
use drops::DropCounters;
use fork::Heir;
use group::Member;
use home::Home;
use outlets::Outlets;
use process::PROCESS_NUMBER;
use reload::Plan;
use status::StatusFile;
use syncing::Syncing;
use tending::Tended;

/// The bounds and choices that never change.
pub(crate) struct Limits {
    pub(crate) record_bytes_max: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) rings_max: usize,
    pub(crate) overflow: OverflowPolicy,
    pub(crate) wait: WaitStrategy,
    pub(crate) linger: Duration,
    pub(crate) timestamp: Timestamp,
    pub(crate) sync_from: Option<Level>,
    pub(crate) flush_timeout: Duration,
    pub(crate) pin: Option<usize>,
}

/// What log calls, the writer and everybody else share.
pub(crate) struct Shared {
    /// Tells engines of one process apart.
    number: u64,
    pid: u32,
    service: String,
    limits: Limits,
    levels: LiveLevels,
    home: Home,
    journal: Journal,
    clock: Arc<dyn UtcClock>,
    /// Definitions of call sites, readable after the death of the process.
    sites: SharedTable,
    drops: DropCounters,
    /// Rings that wait for a thread.
    pool: ArrayQueue<Ring>,
    /// Rings that there are.
    rings_created: AtomicU64,
    /// The last number given to a ring. No number is given twice: it names the ring's file.
    last_ring: AtomicU32,
    /// Rings that got a thread and are not known to the writer yet.
    registrations: ArrayQueue<Consumer>,
    /// Records of calls that have no ring.
    overflow: ArrayQueue<Box<[u8]>>,
    closed: AtomicBool,
    writer: OnceLock<Thread>,
    writer_sleeps: AtomicBool,
    writer_ended: AtomicBool,
    /// Flushes that were asked for.
    flushes: AtomicU64,
    progress: Mutex<Progress>,
    progressed: Condvar,
    /// Syncs the journal, if that is in a directory.
    syncing: OnceLock<Syncing>,
    outlets: Outlets,
    /// What it runs by, and where another such plan comes from.
    plan: Plan<Builder>,
    /// Who waits for somebody to ask for something.
    tended: Mutex<Option<Tended>>,
    /// Tells whoever looks at the journal's directory.
    status: Mutex<Option<StatusFile>>,
    /// Its place among the processes that share their appenders.
    member: Option<Arc<dyn Member>>,
    /// The engine of a forked child.
    heir: Heir,
}

/// What the writer tells about itself.
#[derive(Default, Clone)]
struct Progress {
    /// The last flush whose events are all in the journal.
    flushed: u64,
    blocks: u64,
    record_bytes: u64,
    rings: usize,
    heap_rings: usize,
    lost_rings: u64,
    lost_ring_bytes: u64,
    error: Option<String>,
}

/// Longer timeouts are taken for this one.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Shared {
    /// Whether the site table has this site. One load.
    #[inline]
    fn knows_site(&self, id: u32) -> bool {
        self.sites.get(id - site::FIRST_SITE_ID).is_some()
    }

    /// Enters a site in the table beside the rings. `false` when the table is full.
    fn define_site(&self, id: u32) -> bool {
        let Some(slot) = id.checked_sub(site::FIRST_SITE_ID) else { return false };
        // The table of a forked child is its parent's, who gives the same ids to other sites.
        if self.is_forked() {
            return false;
        }
        if self.sites.get(slot).is_some() {
            return true;
        }
        let Some(site) = site::find(id) else { return false };
        let defined = self.sites.define(slot, &site.definition().to_bytes());
        if !defined {
            // The writer grows the table.
            self.wake_sleeping_writer();
        }
        defined
    }

    /// Enters every site that has an id in the table, which grows as it must.
    fn define_known_sites(&self) -> io::Result<()> {
        for id in site::FIRST_SITE_ID..site::next_id() {
            if site::find(id).is_some() && !self.define_site(id) {
                self.sites.grow_ahead()?;
                if !self.define_site(id) {
                    return Err(io::Error::new(
                        io::ErrorKind::StorageFull,
                        "no room is left for it",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The levels as they are right now: off for all after the shutdown.
    fn current_levels(&self) -> Levels {
        let levels = self.levels.snapshot();
        levels.as_deref().cloned().unwrap_or_else(|| Levels::new(LevelFilter::OFF))
    }

    /// Changes the levels, and those of the process if this is its logger.
    fn change_levels(
        &self,
        change: impl Fn(&mut Levels) -> Result<(), TooManyCategories>,
    ) -> Result<(), TooManyCategories> {
        self.levels.change(change)?;
        if self.is_process_logger() {
            self.publish_levels();
        }
        Ok(())
    }

    /// Makes the levels those of the process, and again while they change.
    fn publish_levels(&self) {
        loop {
            let levels = self.levels.snapshot();
            site::set_process_levels(levels.clone());
            if self.levels.is_still(&levels) {
                return;
            }
        }
    }

    fn is_process_logger(&self) -> bool {
        PROCESS_NUMBER.load(Ordering::Relaxed) == self.number
    }

    fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    /// Whether this is a forked child's copy.
    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    fn writer_lives(&self) -> bool {
        !self.writer_ended.load(Ordering::Acquire)
    }

    /// Wakes the writer if it sleeps. Cold: the wake-up takes microseconds.
    #[cold]
    fn wake_sleeping_writer(&self) {
        if self.writer_sleeps.swap(false, Ordering::Relaxed) {
            self.wake_writer();
        }
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// A ring that is ready, or a new one; `None` at the bound, and when no memory is left.
    fn take_ring(&self) -> Option<Ring> {
        self.pool.pop().or_else(|| self.create_ring())
    }

    fn create_ring(&self) -> Option<Ring> {
        let created = self.rings_created.fetch_add(1, Ordering::Relaxed);
        if created >= self.limits.rings_max as u64 {
            self.rings_created.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let id = self.last_ring.fetch_add(1, Ordering::Relaxed) + 1;
        match self.home.create_ring(id, self.limits.ring_bytes) {
            Ok(ring) => Some(ring),
            Err(_) => {
                self.rings_created.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn register(&self, consumer: Consumer) {
        // The queue has room for every ring there can be.
        let _ = self.registrations.push(consumer);
    }

    /// Returns a ring whose thread has left it and whose records are in the journal. It serves
    /// another thread, unless it survives less than a new one would.
    fn give_back(&self, consumer: Consumer) {
        let ring = match consumer.reclaim() {
            Ok(ring) if self.is_as_good_as_new(ring.shared()) => ring,
            Ok(ring) => return self.forget_ring(ring.shared()),
            Err(consumer) => return self.forget_ring(consumer.shared()),
        };
        let _ = self.pool.push(ring);
    }

    fn is_as_good_as_new(&self, ring: &ring::Shared) -> bool {
        let new_is_file = self.home.durability() >= Durability::L1;
        !ring.is_closed() && (ring.is_file() || !new_is_file)
    }

    /// A ring that nobody uses any more makes room for another.
    fn forget_ring(&self, ring: &ring::Shared) {
        ring.remove_file();
        self.rings_created.fetch_sub(1, Ordering::Relaxed);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep the status file, if the journal has a directory.
    fn keep_status(self: &Arc<Shared>) {
        let shared = Arc::downgrade(self);
        let status = StatusFile::keep(&self.journal, move || {
            let shared = shared.upgrade()?;
            let held_by = shared.journal.held_by();
            Some(status::of_engine(&shared.service, &shared.stats(), held_by.as_deref()))
        });
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn end_status(&self) {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).take();
        status.into_iter().for_each(StatusFile::end);
    }
}
