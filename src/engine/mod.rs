//! From log calls to outlets: init and shutdown, the writer loop, the outlet loop.

mod batch;
mod builder;
pub(crate) mod call;
pub(crate) mod control;
mod drops;
mod fork;
pub(crate) mod group;
mod home;
mod inherit;
mod mdc;
mod ndc;
pub(crate) mod outlet;
pub(crate) mod outlets;
mod panics;
mod past;
pub(crate) mod reload;
mod requests;
mod rings;
pub(crate) mod selflog;
mod shutdown;
pub(crate) mod signals;
pub(crate) mod status;
pub(crate) mod syncing;
pub(crate) mod tending;
pub(crate) mod watch;
mod writer;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

pub use batch::{Batch, batch};
#[cfg_attr(feature = "config", allow(unreachable_pub, reason = "`config` has one around it"))]
pub use builder::init;
pub use builder::{Builder, InitError, builder};
#[cfg(feature = "cli")]
pub(crate) use builder::{RING_BYTES, RING_MEMORY_BYTES};
pub use control::Control;
pub use drops::Dropped;
pub use group::{ClusterRole, ClusterStats};
pub use inherit::{Inheritance, inherit, inherited, spawn_inheriting};
pub use mdc::{Mdc, MdcScope, mdc};
pub use ndc::{Ndc, NdcScope, ndc};
pub use outlet::{OutletState, OutletStats};
pub use reload::{ReloadError, ReloadStats, Reloaded};
pub use requests::CommandError;
pub(crate) use shutdown::events_behind;
pub use shutdown::{AppenderReport, ShutdownReport};
pub use syncing::SyncPolicy;

#[cfg(feature = "cli")]
pub(crate) use writer::tells_of_drops;

use crate::capture::Values;
use crate::clock::UtcClock;
use crate::journal::{Journal, Losses, Position, SyncWait};
use crate::level::live::LiveLevels;
use crate::level::{Level, LevelFilter, Levels, TooManyCategories};
use crate::ring::{self, Consumer, Ring};
use crate::route::Directives;
use crate::site::{self, CallCategory};
use crate::sys::table::SharedTable;
use call::Call;
use drops::DropCounters;
use fork::Heir;
use group::Member;
use home::Home;
use outlets::Outlets;
use reload::Plan;
use status::StatusFile;
use syncing::Syncing;
use tending::Tended;

/// What a log call does when its thread's ring is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// It waits for room. Nothing is lost.
    #[default]
    Block,
    /// It waits for this long, then drops its event.
    BlockFor(Duration),
    /// It drops its event.
    Drop,
    /// It drops its event if that is below the level, else it waits.
    DropBelow(Level),
}

/// How the writer thread waits for events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It looks again at once for a while, then after sleeps that grow from 50 µs to 10 ms.
    #[default]
    Adaptive,
    /// It never sleeps. Costs a core.
    Spin,
    /// It sleeps this long between two looks.
    Sleep(Duration),
    /// There is no writer thread: the host calls [`Guard::poll`]. The thread that polls makes the
    /// room: where it logs itself, choose an [`OverflowPolicy`] that does not wait for ever.
    Manual,
}

/// What an event survives once it got there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Durability {
    /// Queued: in a ring on the heap. Survives nothing.
    L0,
    /// Committed: in a mapping or file that outlives the process. Survives a kill.
    L1,
    /// Synced: covered by a successful fdatasync. Survives a power failure.
    L2,
}

/// A logger: a handle to one engine. Cheap to clone.
///
/// The macros log to the process's logger unless they are given another one.
///
/// # Examples
/// ```
/// let guard = rollway::builder().start()?;
/// let logger = guard.logger();
/// rollway::info!(logger: logger, "only this logger sees {}", "me");
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Logger {
    shared: Arc<Shared>,
}

impl Logger {
    /// Whether it takes events of this level in the root category; of another one
    /// [`enabled!`](crate::enabled) tells.
    pub fn is_enabled(&self, level: Level) -> bool {
        self.shared.levels.allows(level, "")
    }

    /// From which level on it takes events in the root category.
    pub fn level(&self) -> LevelFilter {
        self.shared.levels.of("")
    }

    /// Changes the level of the root category, and of all that have none of their own, while the program
    /// runs. Calls see the change at once, those under way may not; nobody waits for them.
    pub fn set_level(&self, level: impl Into<LevelFilter>) {
        let level = level.into();
        // The root can always have a level.
        let _ = self.shared.change_levels(|levels| levels.set("", Some(level)));
    }

    /// Gives a category, and all below that have none of their own, a level while the program runs;
    /// `None` has it follow the category above it again.
    ///
    /// # Errors
    /// [`TooManyCategories`] where [`CATEGORIES_MAX`](crate::level::CATEGORIES_MAX) have a level.
    ///
    /// # Examples
    /// ```
    /// use rollway::Level;
    ///
    /// let guard = rollway::builder().start()?;
    /// let logger = guard.logger();
    /// logger.set_category_level("shop::db", Some(Level::TRACE.into()))?;
    /// assert!(rollway::enabled!(logger: logger, target: "shop::db::pool", Level::DEBUG));
    /// logger.set_category_level("shop::db", None)?;
    /// assert!(!rollway::enabled!(logger: logger, target: "shop::db::pool", Level::DEBUG));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_category_level(
        &self,
        category: &str,
        level: Option<LevelFilter>,
    ) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.set(category, level))
    }

    /// Lowers the level of a category by so many steps, so that more events are taken: from ERROR by
    /// 2 is INFO. The levels that the process has named are steps, too. The category has a level of its
    /// own then.
    ///
    /// # Errors
    /// As [`Logger::set_category_level`].
    pub fn more_logging(&self, category: &str, steps: u8) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.lower_by(category, i32::from(steps)))
    }

    /// Raises it: see [`Logger::more_logging`].
    ///
    /// # Errors
    /// As [`Logger::set_category_level`].
    pub fn less_logging(&self, category: &str, steps: u8) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.lower_by(category, -i32::from(steps)))
    }

    /// Changes the levels that the directives name, all at once. What is wrong in them is for the caller to
    /// tell: see [`Directives::errors`].
    ///
    /// # Errors
    /// [`TooManyCategories`]; then no level is changed.
    pub fn apply_directives(&self, directives: &Directives) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| directives.apply_to(levels))
    }

    /// From which level on it takes the events of each category.
    pub fn levels(&self) -> Levels {
        self.shared.current_levels()
    }

    /// Whether it takes events of this level under some target. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn might_take(&self, level: Level) -> bool {
        self.shared.levels.might_allow(level)
    }

    /// Whether it does under this target. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn takes(&self, level: Level, target: &str) -> bool {
        self.shared.levels.allows(level, target)
    }

    /// The same where the target belongs to the call. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn takes_call(&self, level: Level, call: &'static CallCategory) -> bool {
        self.takes(level, call.name())
    }

    /// Logs one event. What the macros call.
    #[doc(hidden)]
    #[inline]
    pub fn emit<V: Values>(&self, call: Call<'_>, values: V) {
        call::emit_to(&self.shared, call, values);
    }

    /// Gives the calling thread its ring now, so that its first log call need not.
    pub fn prepare_thread(&self) {
        call::prepare_thread(&self.shared);
    }

    /// Returns once everything logged before the call has reached every mandatory appender, or is
    /// held back by a composite; fails after the flush timeout.
    ///
    /// # Errors
    /// [`FlushError`] names who has not got everything.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.flush_to(Durability::L1)
    }

    /// The same, and all of it survives what `durability` names. L0 and L1 are what
    /// [`Logger::flush`] does.
    ///
    /// # Errors
    /// As [`Logger::flush`], and for L2 while the journal has blocks whose sync failed: no later sync
    /// proves that they are on the disk. They count until their segment is recycled.
    pub fn flush_to(&self, durability: Durability) -> Result<(), FlushError> {
        let deadline = Instant::now() + self.shared.limits.flush_timeout;
        self.shared.flush(durability, deadline, || false)
    }

    /// Has the composite `name`, a buffer or a limit, hand on what it holds of the events that were
    /// logged before the call, and returns once its relays have them.
    ///
    /// In a cluster it reaches the composites of the elected process, when that is this one.
    ///
    /// # Errors
    /// [`ReleaseError`] for a name that no buffer and no limit has, or when the flush timeout is over.
    pub fn release(&self, name: &str) -> Result<(), ReleaseError> {
        self.shared.release(name)
    }

    /// Counters and positions of the engine.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("service", &self.shared.service)
            .field("level", &self.level())
            .finish()
    }
}

/// Keeps an engine running. Dropping it shuts the engine down within the flush timeout.
#[must_use = "dropping the guard shuts the logger down"]
pub struct Guard {
    logger: Logger,
    running: Option<shutdown::Running>,
}

impl Guard {
    /// The logger that this guard keeps.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// See [`Logger::flush`]. With [`WaitStrategy::Manual`] it polls, too.
    ///
    /// # Errors
    /// As [`Logger::flush`].
    pub fn flush(&self) -> Result<(), FlushError> {
        self.flush_to(Durability::L1)
    }

    /// See [`Logger::flush_to`]. With [`WaitStrategy::Manual`] it polls, too.
    ///
    /// # Errors
    /// As [`Logger::flush_to`].
    pub fn flush_to(&self, durability: Durability) -> Result<(), FlushError> {
        let shared = &self.logger.shared;
        let deadline = Instant::now() + shared.limits.flush_timeout;
        shared.flush(durability, deadline, || {
            self.running.as_ref().is_some_and(shutdown::Running::poll)
        })
    }

    /// See [`Logger::stats`].
    pub fn stats(&self) -> Stats {
        self.logger.stats()
    }

    /// Moves what is in the rings to the journal, once. For [`WaitStrategy::Manual`]; otherwise the
    /// writer thread does it and this returns `false`. `true` when there was something to move.
    pub fn poll(&mut self) -> bool {
        self.running.as_ref().is_some_and(shutdown::Running::poll)
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

/// Counters and positions of an engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// What an event survives when its log call returns, in the ring that survives least.
    pub durability: Durability,
    /// Threads that have a ring.
    pub rings: usize,
    /// Of these, the rings whose events are L0: on the heap, or in files that were removed or cut.
    /// The others' are L1.
    pub heap_rings: usize,
    /// Rings that were lost so far because somebody cut their files.
    pub lost_rings: u64,
    /// Bytes of records that were unread in them. They are lost, and the log says so.
    pub lost_ring_bytes: u64,
    /// Blocks written to the journal.
    pub blocks: u64,
    /// Bytes of records written to the journal.
    pub record_bytes: u64,
    /// Where the journal ends.
    pub end: Position,
    /// Up to where the last successful sync came: what this run appended before it survives a power
    /// failure (L2), but for what syncs that failed should have covered. The start of everything
    /// before the first sync, and with a journal in memory.
    pub synced: Position,
    /// Syncs of the journal that failed.
    pub sync_errors: u64,
    /// What others took from the journal while it was written.
    pub losses: Losses,
    /// Dropped and cut events.
    pub dropped: Dropped,
    /// The error that keeps the writer from the journal right now.
    pub journal_error: Option<String>,
    /// The appenders.
    pub appenders: Vec<OutletStats>,
    /// Changes of the configuration while the program runs.
    pub reloads: ReloadStats,
    /// The cluster, if the process is in one and does not stand alone.
    pub cluster: Option<ClusterStats>,
}

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

/// When an event gets its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timestamp {
    /// In the log call, by the processor's counter.
    #[default]
    Call,
    /// When the writer takes it out of the thread's ring: later than the call by the linger time at
    /// most while the writer keeps up, by as much as it is behind otherwise. All events that it takes
    /// at once have one time; each thread's are in the order of its calls. A log call does not read
    /// the clock then, which is most of its cost.
    Drain,
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

/// The engine behind the process's logger.
static PROCESS: RwLock<Option<Arc<Shared>>> = RwLock::new(None);
/// The number of the engine behind the process's logger; 0 without one.
static PROCESS_NUMBER: AtomicU64 = AtomicU64::new(0);
/// How long a new logger waits for the readers of the old one.
const PROCESS_WAIT: Duration = Duration::from_secs(1);
/// Engines so far.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// The engine of the process's logger. Never waits: during an init or shutdown there is none.
fn process() -> Option<Arc<Shared>> {
    PROCESS.try_read().ok()?.clone()
}

/// Makes an engine the process's logger, or takes the last one away. Readers are quick, but for one
/// that a fork has left in a child for ever.
///
/// # Errors
/// When somebody reads for longer than [`PROCESS_WAIT`].
fn set_process(engine: Option<Arc<Shared>>) -> io::Result<()> {
    let deadline = Instant::now() + PROCESS_WAIT;
    loop {
        match PROCESS.try_write() {
            Ok(mut process) => {
                *process = engine;
                return Ok(());
            }
            Err(TryLockError::Poisoned(process)) => {
                *process.into_inner() = engine;
                return Ok(());
            }
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The process's logger, if there is one.
pub fn logger() -> Option<Logger> {
    process().map(|shared| Logger { shared })
}

/// Flushes the process's logger: see [`Logger::flush`]. Nothing to do without one.
///
/// # Errors
/// As [`Logger::flush`].
pub fn flush() -> Result<(), FlushError> {
    logger().map_or(Ok(()), |logger| logger.flush())
}

/// Flushes the process's logger: see [`Logger::flush_to`]. Nothing to do without one.
///
/// # Errors
/// As [`Logger::flush_to`].
pub fn flush_to(durability: Durability) -> Result<(), FlushError> {
    logger().map_or(Ok(()), |logger| logger.flush_to(durability))
}

/// Gives the calling thread its ring now: see [`Logger::prepare_thread`].
pub fn prepare_thread() {
    if let Some(logger) = logger() {
        logger.prepare_thread();
    }
}

/// Counters and positions of the process's logger, `None` without one.
pub fn stats() -> Option<Stats> {
    logger().map(|logger| logger.stats())
}

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

    /// Waits until everything in the rings is in the journal. `poll` does the writer's work where
    /// that falls to the caller, and says whether it did something.
    fn flush_rings(&self, deadline: Instant, poll: impl Fn() -> bool) -> Result<(), FlushError> {
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

    fn flush(
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

    fn release(&self, composite: &str) -> Result<(), ReleaseError> {
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

    fn stats(&self) -> Stats {
        if self.is_forked()
            && let Some(heir) = fork::started_heir_of(self)
        {
            return heir.stats();
        }
        let progress = self.progress().clone();
        let of_rings = if progress.heap_rings > 0 { Durability::L0 } else { Durability::L1 };
        Stats {
            durability: self.home.durability().min(of_rings),
            rings: progress.rings,
            heap_rings: progress.heap_rings,
            lost_rings: progress.lost_rings,
            lost_ring_bytes: progress.lost_ring_bytes,
            blocks: progress.blocks,
            record_bytes: progress.record_bytes,
            end: self.journal.end(),
            synced: self.journal.synced(),
            sync_errors: self.journal.sync_errors(),
            losses: self.journal.losses(),
            dropped: self.drops.counts(),
            journal_error: progress.error,
            appenders: self.outlets.stats(),
            reloads: self.plan.stats(),
            cluster: self.member.as_ref().map(|member| member.stats()),
        }
    }
}

/// Hooks of the macros into the engine of the process.
pub(crate) mod hooks {
    use super::*;

    /// Defines a site in the process's engine. `false` while an engine comes or goes: the site
    /// stays without an id for now.
    pub(crate) fn define(id: u32) -> bool {
        match PROCESS.try_read() {
            Ok(engine) => engine.as_ref().is_none_or(|engine| engine.define_site(id)),
            Err(_) => false,
        }
    }
}
