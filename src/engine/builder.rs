//! From a description to a running engine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_queue::ArrayQueue;

use super::drops::Dropped;
use super::fork::Heir;
use super::group::{Appenders, Description, Group, Seat};
use super::home::{self, Home};
use super::outlet::Outlet;
use super::shutdown::Running;
use super::syncing::{SyncPolicy, Syncing};
use super::writer::Writer;
use super::{
    Durability, ENGINES, Guard, Limits, Logger, OverflowPolicy, PROCESS_NUMBER, Progress, Shared,
    TIMEOUT_MAX, Timestamp, WaitStrategy, call, hooks, panics, selflog, set_process,
};
use crate::appender::{Console, Open, OpenError, Opened, Place};
use crate::block::define::Definitions;
use crate::clock::{Anchor, SystemUtc, UtcClock};
use crate::event::SourceInfo;
use crate::journal::{
    Journal, JournalError, JournalOptions, JournalWriter, Position, RingEnds, Scan, segment_paths,
};
use crate::layout::Pattern;
use crate::level::live::LiveLevels;
use crate::level::{Colour, Level, LevelError, LevelFilter, Levels, TooManyCategories};
use crate::mask::Mask;
use crate::recover::{self, Manifest, ProcessFacts};
use crate::route::composite::{Composite, CompositeError};
use crate::route::{Category, Directives, Gate, Router, UnknownName};
use crate::site;
use crate::sys;
use crate::sys::crash::{self, CrashPoint};
use crate::sys::output::{IoMethod, Outputs};
use crate::sys::per_process::PerProcess;

/// The default of [`Builder::ring_bytes`].
pub(crate) const RING_BYTES: usize = 1 << 20;
/// The default of [`Builder::ring_memory_bytes`].
pub(crate) const RING_MEMORY_BYTES: usize = 256 << 20;
/// Records that wait in the overflow ring.
const OVERFLOW_RECORDS: usize = 4096;
/// Rings that are ready before the first thread asks.
const FIRST_RINGS: usize = 2;
/// The name of the outlet that waits until the cluster has delivered this process's events.
const CLUSTER: &str = "the cluster";

/// Describes an engine: see [`builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `init` or `start`"]
pub struct Builder {
    service: String,
    levels: Levels,
    /// The first thing said of levels that cannot be had.
    refused: Option<RefusedLevel>,
    journal: JournalOptions,
    sync: SyncPolicy,
    sync_from: Option<Level>,
    rings_dir: Option<PathBuf>,
    ring_bytes: usize,
    ring_memory_bytes: usize,
    record_bytes_max: usize,
    overflow: OverflowPolicy,
    wait: WaitStrategy,
    linger: Duration,
    timestamp: Timestamp,
    flush_timeout: Duration,
    pin: Option<usize>,
    require: Durability,
    io_method: IoMethod,
    clock: Arc<dyn UtcClock>,
    guards_mappings: bool,
    logs_panics: bool,
    appenders: Appenders,
    router: Router,
    group: Option<Arc<dyn Group>>,
    /// It runs in the first log call of a forked child.
    is_heir: bool,
}

/// Begins the description of an engine.
///
/// # Examples
/// ```no_run
/// use rollway::appender::{Console, File};
///
/// let guard = rollway::builder()
///     .level(rollway::Level::DEBUG)
///     .journal_dir("/var/lib/shop/journal")
///     .appender("console", Console::stderr())
///     .appender("file", File::new("/var/log/shop.log"))
///     .init()?;
/// rollway::info!("open for business");
/// drop(guard); // everything logged so far is in the file
/// # Ok::<(), rollway::InitError>(())
/// ```
pub fn builder() -> Builder {
    let program = std::env::current_exe().ok();
    let service = program.as_deref().and_then(Path::file_stem).map(|name| name.to_string_lossy());
    Builder {
        service: service.unwrap_or("unnamed".into()).into_owned(),
        levels: Levels::new(Level::INFO),
        refused: None,
        journal: JournalOptions::memory(),
        sync: SyncPolicy::default(),
        sync_from: None,
        rings_dir: None,
        ring_bytes: RING_BYTES,
        ring_memory_bytes: RING_MEMORY_BYTES,
        record_bytes_max: 64 << 10,
        overflow: OverflowPolicy::Block,
        wait: WaitStrategy::Adaptive,
        linger: Duration::from_millis(2),
        timestamp: Timestamp::Call,
        flush_timeout: Duration::from_secs(5),
        pin: None,
        require: Durability::L0,
        io_method: IoMethod::Write,
        clock: Arc::new(SystemUtc),
        guards_mappings: true,
        logs_panics: false,
        appenders: Appenders::default(),
        router: Router::new(),
        group: None,
        is_heir: false,
    }
}

/// Starts the process's logger with text on standard error, in colours where that is a terminal, and
/// the levels from the environment.
///
/// [`Directives`] in the variable `ROLLWAY_LOG` or, without it, in `RUST_LOG` say from which level on
/// events are taken; a wrong one is a warning on standard error, and the others hold. Without any it
/// is info. As with other loggers, directives that name categories and no level for the rest switch
/// the rest off.
///
/// # Errors
/// [`InitError`], for instance when the process has a logger already.
///
/// # Examples
/// ```
/// let _guard = rollway::init()?;
/// rollway::info!("ready in {} ms", 12);
/// # Ok::<(), rollway::InitError>(())
/// ```
#[cfg_attr(feature = "config", allow(unreachable_pub, reason = "`config` has one around it"))]
pub fn init() -> Result<Guard, InitError> {
    if cfg!(not(feature = "config")) && std::env::var_os("ROLLWAY_CONFIG").is_some() {
        let what =
            "ROLLWAY_CONFIG names a file, which a build without the feature `config` cannot read";
        selflog::warn(what);
    }
    let console = Console::stderr().layout(Pattern::coloured());
    let builder = builder().appender("console", console);
    let Some((variable, directives)) = Directives::from_env() else { return builder.init() };
    for error in directives.errors() {
        selflog::warn(&format!("{variable}: {error}"));
    }
    init_levels(builder, &directives).init()
}

/// The levels of directives in the environment, which nothing else has said anything of.
fn init_levels(mut builder: Builder, directives: &Directives) -> Builder {
    // With a mistake among them they may not say what they should: rather an event too many.
    let rest_is_off = directives.errors().is_empty() && !directives.is_empty();
    if rest_is_off && directives.root().is_none() {
        builder = builder.level(LevelFilter::OFF);
    }
    let applied = directives.apply_to(&mut builder.levels);
    builder.refuse(applied.map_err(RefusedLevel::Categories));
    builder
}

/// What was said of levels and cannot be had.
#[derive(Clone)]
enum RefusedLevel {
    Level(LevelError),
    Categories(TooManyCategories),
}

impl Builder {
    /// The name of the service in its events; by default that of the program.
    pub fn service(mut self, name: impl Into<String>) -> Builder {
        self.service = name.into();
        self
    }

    /// From which level on events are taken where no [`category`](Builder::category) says
    /// otherwise; by default info.
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Builder {
        self.levels.set_root(level);
        self
    }

    /// No event below this level is taken, whatever the level of its category. It raises levels and
    /// lowers none; by default there is no threshold.
    pub fn threshold(mut self, threshold: impl Into<LevelFilter>) -> Builder {
        self.levels.set_threshold(threshold);
        self
    }

    /// Says from which level on events of a category are taken, and which appenders get them. What
    /// was said of its appenders before is replaced, and its level where this one has one.
    ///
    /// # Examples
    /// ```no_run
    /// use rollway::appender::{Console, File};
    /// use rollway::{Category, Level};
    ///
    /// let guard = rollway::builder()
    ///     .appender("console", Console::stderr())
    ///     .appender("audit", File::new("/var/log/audit.log"))
    ///     .category(Category::root().appenders(["console"]))
    ///     .category(Category::new("shop::till").level(Level::DEBUG).appenders(["audit"]))
    ///     .init()?;
    /// rollway::debug!(target: "shop::till", "sold"); // to both
    /// # Ok::<(), rollway::InitError>(())
    /// ```
    pub fn category(mut self, category: Category) -> Builder {
        if let Some(level) = category.own_level() {
            let set = self.levels.set(category.name(), Some(level));
            self.refuse(set.map_err(RefusedLevel::Categories));
        }
        self.router.category(&category);
        self
    }

    /// Hides values from all appenders that get events: see [`Mask`]. The journal has them as they were
    /// logged, and so has a master that a [`Forwarder`](crate::appender::Forwarder) ships to. A second
    /// mask replaces the first.
    ///
    /// # Examples
    /// ```
    /// use rollway::Mask;
    /// use rollway::appender::Console;
    ///
    /// let guard = rollway::builder()
    ///     .mask(Mask::new().key("password").key_pattern("*token*"))
    ///     .appender("console", Console::stderr())
    ///     .start()?;
    /// let password = "hunter2";
    /// rollway::info!(logger: guard.logger(), "login with {password}"); // login with [masked]
    /// # Ok::<(), rollway::InitError>(())
    /// ```
    pub fn mask(mut self, mask: Mask) -> Builder {
        self.router.mask(mask);
        self
    }

    /// Whether an appender gets an event once, however often the event's category and those above
    /// name it; by default it does. Otherwise it gets the event as often.
    pub fn one_message_per_appender(mut self, once: bool) -> Builder {
        self.router.one_message_per_appender(once);
        self
    }

    /// Sets the levels that directives name: see [`Directives`]. What is wrong in them is a warning
    /// on the self-log.
    pub fn directives(mut self, directives: &Directives) -> Builder {
        for error in directives.errors() {
            selflog::warn(&format!("levels: {error}"));
        }
        let applied = directives.apply_to(&mut self.levels);
        self.refuse(applied.map_err(RefusedLevel::Categories));
        self
    }

    /// Names a level for the whole process, at once: see [`Level::register`]. What that refuses is an
    /// error of [`init`](Builder::init) and [`start`](Builder::start).
    pub fn custom_level(mut self, name: &str, number: u8, colour: Colour) -> Builder {
        let named = Level::register(name, number, colour).map(drop);
        self.refuse(named.map_err(RefusedLevel::Level));
        self
    }

    /// Keeps the first error for the start.
    fn refuse(&mut self, outcome: Result<(), RefusedLevel>) {
        if let Err(refused) = outcome {
            self.refused.get_or_insert(refused);
        }
    }

    /// Keeps the journal in a directory, where it outlives the process. An event is committed (L1)
    /// when its log call returns, and what a killed predecessor left is delivered first.
    pub fn journal_dir(mut self, dir: impl Into<PathBuf>) -> Builder {
        let dir = dir.into();
        // What lies beside the rings names it to whoever starts somewhere else.
        self.journal = JournalOptions::directory(std::path::absolute(&dir).unwrap_or(dir));
        self
    }

    /// How large the journal may grow: 1 GiB by default in a directory, 64 MiB in memory. Call it
    /// after [`Builder::journal_dir`].
    pub fn journal_max_bytes(mut self, bytes: u64) -> Builder {
        self.journal = self.journal.max_bytes(bytes);
        self
    }

    /// How many bytes of its file system a journal in a directory leaves to others; by default a
    /// twentieth, at most 1 GiB. Where fewer are free, the oldest segments are recycled, then optional
    /// appenders overtaken, then the journal takes nothing until there is room again. Call it after
    /// [`Builder::journal_dir`].
    pub fn journal_keep_free(mut self, bytes: u64) -> Builder {
        self.journal = self.journal.keep_free_bytes(bytes);
        self
    }

    /// When a journal in a directory is synced, on a thread of its own; by default every 500 ms while
    /// something is new.
    pub fn sync(mut self, policy: SyncPolicy) -> Builder {
        self.sync = policy;
        self
    }

    /// Has blocks synced at once that hold an event of this level or above; off by default. The log
    /// call does not wait for it.
    pub fn sync_from(mut self, level: Level) -> Builder {
        self.sync_from = Some(level);
        self
    }

    /// Where the rings of a journal directory lie: a memory file system. By default a directory of
    /// the user on `/dev/shm`.
    pub fn rings_dir(mut self, dir: impl Into<PathBuf>) -> Builder {
        self.rings_dir = Some(dir.into());
        self
    }

    /// Bytes of each thread's ring: a power of two from 16 KiB to 64 MiB, by default 1 MiB.
    pub fn ring_bytes(mut self, bytes: usize) -> Builder {
        self.ring_bytes = bytes;
        self
    }

    /// Bytes of all rings, by default 256 MiB. Threads beyond it share the overflow ring.
    pub fn ring_memory_bytes(mut self, bytes: usize) -> Builder {
        self.ring_memory_bytes = bytes;
        self
    }

    /// The longest record, by default 64 KiB, at most 1 MiB and a quarter of a ring. Longer strings
    /// are cut, with a marker, and counted.
    pub fn record_bytes_max(mut self, bytes: usize) -> Builder {
        self.record_bytes_max = bytes;
        self
    }

    /// What a log call does when its ring is full; by default it waits.
    pub fn overflow(mut self, policy: OverflowPolicy) -> Builder {
        self.overflow = policy;
        self
    }

    /// How the writer thread waits for events.
    pub fn wait(mut self, strategy: WaitStrategy) -> Builder {
        self.wait = strategy;
        self
    }

    /// How long events may stay in the rings before they go to the journal, by default 2 ms. Costs
    /// no durability.
    pub fn linger(mut self, linger: Duration) -> Builder {
        self.linger = linger;
        self
    }

    /// When an event gets its time; by default in the log call.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Builder {
        self.timestamp = timestamp;
        self
    }

    /// How long `flush` and the drop of the guard may take; by default 5 s.
    pub fn flush_timeout(mut self, timeout: Duration) -> Builder {
        self.flush_timeout = timeout;
        self
    }

    /// Pins the writer thread to this CPU. A CPU that the process may not use is a warning.
    pub fn pin_writer(mut self, cpu: usize) -> Builder {
        self.pin = Some(cpu);
        self
    }

    /// Fails to start where events would not survive this much when their log call returns: with L1,
    /// where the first rings cannot be had in the directory for rings. L2 is not to be had there; use
    /// `flush_to`.
    ///
    /// A thread that comes later and finds no room there gets a ring on the heap, which loses nothing
    /// while the process lives: [`Stats::heap_rings`](crate::Stats::heap_rings) counts it, and the
    /// next thread tries again.
    pub fn require(mut self, durability: Durability) -> Builder {
        self.require = durability;
        self
    }

    /// How the journal and the text files are written and frames are sent to a master; by default
    /// [`IoMethod::Write`]. What a file or a master gets is the same.
    pub fn io_method(mut self, method: IoMethod) -> Builder {
        self.io_method = method;
        self
    }

    /// Where the times of events come from; by default the system's clock. For tests that set the
    /// time.
    pub fn clock(mut self, clock: impl UtcClock + 'static) -> Builder {
        self.clock = Arc::new(clock);
        self
    }

    /// Whether the process survives that somebody cuts a file of the rings while it is mapped; by
    /// default it does.
    ///
    /// For that a handler for `SIGBUS` is installed when the first ring is made in a file. A fault
    /// inside one of rollway's mappings gets fresh memory there: what the ring held is lost and
    /// counted, and its thread gets another ring. Every other fault goes to the handler that was
    /// there before, or ends the process as it would have. A host that installs its own handler later
    /// must pass on what is not its own. Once installed, the handler stays; `false` leaves the
    /// mappings of this engine out.
    pub fn guard_mappings(mut self, guarded: bool) -> Builder {
        self.guards_mappings = guarded;
        self
    }

    /// Logs panics, at ERROR, with the place of the panic and the name of its thread; by default they
    /// are not logged. The panic hook that was there before runs afterwards. Of several engines the one
    /// that started last with this gets them; after its shutdown nobody does.
    ///
    /// The event is in the thread's ring before the panic goes on, so that with a journal directory
    /// it survives an abort. A panic inside a log call, in a `Display` for instance, goes through the
    /// overflow ring, which does not.
    pub fn log_panics(mut self, logged: bool) -> Builder {
        self.logs_panics = logged;
        self
    }

    /// Adds an appender. Its name keeps its place across restarts.
    pub fn appender(mut self, name: impl Into<String>, appender: impl Open + 'static) -> Builder {
        self.appenders.push(name.into(), Box::new(appender));
        self
    }

    /// Adds an appender without a name of its own: `app001`, `app002`, …, the first that no appender
    /// has so far. Its place across restarts goes with that name, and so with the order of the calls.
    ///
    /// # Examples
    /// ```
    /// use rollway::appender::Null;
    ///
    /// let guard = rollway::builder().add(Null::new()).add(Null::new()).start()?;
    /// let names: Vec<_> = guard.stats().appenders.into_iter().map(|stats| stats.name).collect();
    /// assert_eq!(names, ["app001", "app002"]);
    /// # Ok::<(), rollway::InitError>(())
    /// ```
    #[allow(clippy::should_implement_trait, reason = "two of its kind are not added")]
    pub fn add(self, appender: impl Open + 'static) -> Builder {
        let name = self.appenders.free_name();
        self.appender(name, appender)
    }

    /// Adds an appender that was chosen at run time.
    pub fn boxed_appender(mut self, name: impl Into<String>, appender: Box<dyn Open>) -> Builder {
        self.appenders.push(name.into(), appender);
        self
    }

    /// Sends events of `category`, and of all below it, to these appenders alone: a
    /// [`category`](Builder::category) that is not additive. Where no category says anything every
    /// appender gets everything.
    pub fn route<'a>(
        mut self,
        category: &str,
        appenders: impl IntoIterator<Item = &'a str>,
    ) -> Builder {
        self.router.route(category, appenders);
        self
    }

    /// Adds what stands between categories and appenders: filters, buffers, limits, locks. Its relays,
    /// appenders and other composites, may be added before it or behind it. An appender that is a relay
    /// gets what comes through its composites, and what routes send to itself.
    pub fn composite(mut self, name: &str, composite: impl Into<Composite>) -> Builder {
        self.router.composite(name, composite);
        self
    }

    /// Whether it joins processes that share their appenders.
    pub(super) fn is_in_group(&self) -> bool {
        self.group.is_some()
    }

    /// How the writer waits.
    pub(super) fn wait_strategy(&self) -> WaitStrategy {
        self.wait
    }

    /// Whether a forked child can use it: see [`Appenders::are_free`].
    pub(super) fn is_free(&self) -> bool {
        self.appenders.are_free()
    }

    /// The same for a forked child, with the levels that its parent has by then.
    pub(super) fn heir(self, levels: Levels) -> Builder {
        Builder { levels, is_heir: true, ..self }
    }

    /// Joins processes that share their appenders.
    pub(crate) fn group(mut self, group: Arc<dyn Group>) -> Builder {
        self.group = Some(group);
        self
    }

    /// Starts the engine and makes it the process's logger.
    ///
    /// # Errors
    /// [`InitError`]; then nothing runs.
    pub fn init(self) -> Result<Guard, InitError> {
        self.run(true)
    }

    /// Starts the engine beside the process's logger: it is reached through its [`Logger`] alone.
    ///
    /// # Errors
    /// [`InitError`]; then nothing runs.
    pub fn start(self) -> Result<Guard, InitError> {
        self.run(false)
    }

    fn check(&self) -> Result<(), InitError> {
        let invalid = |what, value: usize, remedy| Err(InitError::Invalid { what, value, remedy });
        if !self.ring_bytes.is_power_of_two() || !(16 << 10..=64 << 20).contains(&self.ring_bytes) {
            return invalid("ring_bytes", self.ring_bytes, "a power of two from 16 KiB to 64 MiB");
        }
        if self.ring_memory_bytes < self.ring_bytes {
            return invalid("ring_memory_bytes", self.ring_memory_bytes, "at least ring_bytes");
        }
        let record_limit = (self.ring_bytes / 4).min(crate::record::MAX_BYTES);
        if !(call::ALWAYS_FITS_BYTES..=record_limit.max(64 << 10)).contains(&self.record_bytes_max)
        {
            let remedy = "256 bytes to 1 MiB, and at most a quarter of ring_bytes";
            return invalid("record_bytes_max", self.record_bytes_max, remedy);
        }
        match &self.refused {
            Some(RefusedLevel::Level(error)) => return Err(InitError::Level(error.clone())),
            Some(RefusedLevel::Categories(error)) => {
                return Err(InitError::Categories(error.clone()));
            }
            None => {}
        }
        let composites = self.router.composites();
        let appenders = self.appenders.names();
        let names = appenders.iter().map(String::as_str).chain(composites.names());
        let mut seen = std::collections::HashSet::new();
        if let Some(name) = names.clone().find(|name| !seen.insert(*name)) {
            return Err(InitError::DuplicateAppender { name: name.to_owned() });
        }
        self.router.check(names).map_err(InitError::UnknownAppender)?;
        self.appenders.check_composites(&self.router).map_err(InitError::Composite)
    }

    pub(super) fn run(self, as_process_logger: bool) -> Result<Guard, InitError> {
        self.check()?;
        // Held to the end: two inits at once must not both become the process's logger.
        static INIT: PerProcess<Mutex<()>> = PerProcess::new(Mutex::default);
        let _init = INIT.get().lock().unwrap_or_else(PoisonError::into_inner);
        if as_process_logger && super::process().is_some_and(|engine| !engine.is_forked()) {
            return Err(InitError::AlreadyInitialised);
        }
        let heir = Heir::of(&self, as_process_logger);
        let router = Arc::new(self.router.clone());
        let seat = self.group.as_ref().map(|group| {
            group.join(Description {
                service: self.service.clone(),
                io_method: self.io_method,
                keep_free_bytes: self.journal.keep_free_bytes,
                sync: self.sync,
                appenders: self.appenders.clone(),
                router: Arc::clone(&router),
            })
        });
        let seat = seat.transpose()?;
        let member = seat.as_ref().and_then(|seat| seat.member.clone());
        let mut past = Past::open(&self, seat)?;
        let host = sys::file::host_name();
        let outputs = Outputs::new(self.io_method, selflog::warn);
        if past.writer.journal().dir().is_some() {
            past.writer.set_output(outputs.open());
        }
        let resource = |what| move |source| InitError::Resources { what, source };
        // That of a seat, where there is one. Read by whoever starts somewhere else.
        let journal_dir = past.writer.journal().dir().map(std::path::absolute);
        let journal_dir = journal_dir.transpose().unwrap_or_default().unwrap_or_default();
        let facts = || ProcessFacts {
            anchor: Anchor::by(&*self.clock),
            nanos_per_tick: 1.0,
            source: past.source,
            epoch: past.epoch,
            boot_id: past.boot_id,
            pid: std::process::id(),
            service: self.service.clone(),
            host: host.clone(),
            journal_dir: journal_dir.clone(),
        };
        let (beside, refusal) =
            past.home.create_beside(facts).map_err(resource("what lies beside the rings"))?;
        if let Some(error) = refusal {
            selflog::warn(&format!(
                "no rings in {}: {error}; a killed process loses what is in its rings",
                past.base.display()
            ));
        }
        let definitions = Definitions::new(SourceInfo {
            source: past.source,
            epoch: past.epoch,
            pid: std::process::id(),
            service: self.service.as_str().into(),
            host: host.as_str().into(),
        });
        let rings_dir = past.home.rings_dir().map(Path::to_owned);
        check_required(self.require, past.home.durability())?;
        let rings_max = self.ring_memory_bytes / self.ring_bytes;
        let journal = past.writer.journal().clone();
        let shared = Arc::new(Shared {
            number: ENGINES.fetch_add(1, Ordering::Relaxed) + 1,
            pid: std::process::id(),
            service: self.service,
            limits: Limits {
                record_bytes_max: self.record_bytes_max.min(self.ring_bytes / 4),
                ring_bytes: self.ring_bytes,
                rings_max,
                overflow: self.overflow,
                wait: self.wait,
                linger: self.linger,
                timestamp: self.timestamp,
                sync_from: self.sync_from,
                flush_timeout: self.flush_timeout.min(TIMEOUT_MAX),
                pin: self.pin,
            },
            levels: LiveLevels::new(self.levels),
            journal: journal.clone(),
            sites: beside.sites,
            drops: beside.drops,
            pool: ArrayQueue::new(rings_max),
            rings_created: AtomicU64::new(0),
            last_ring: AtomicU32::new(0),
            registrations: ArrayQueue::new(rings_max),
            overflow: ArrayQueue::new(OVERFLOW_RECORDS),
            closed: AtomicBool::new(false),
            writer: OnceLock::new(),
            writer_sleeps: AtomicBool::new(false),
            writer_ended: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
            progress: Mutex::new(Progress::default()),
            progressed: Condvar::new(),
            syncing: OnceLock::new(),
            outlets: Mutex::new(Vec::new()),
            status: Mutex::new(None),
            clock: self.clock,
            member: member.clone(),
            heir,
            home: past.home,
        });
        for _ in 0..FIRST_RINGS.min(rings_max) {
            match shared.create_ring() {
                Some(ring) => {
                    if let Some(refusal) = shared.home.take_refusal() {
                        selflog::warn(&format!("a ring lies on the heap: {refusal}"));
                        check_required(self.require, Durability::L0)?;
                    }
                    let _ = shared.pool.push(ring);
                }
                None => {
                    return Err(InitError::Resources { what: "a ring", source: out_of_memory() });
                }
            }
        }
        let begin = past.begin;
        self.appenders.each(|name, appender| {
            if member.is_some() && !appender.ships_blocks() {
                // Whoever is elected runs it.
                return Ok(());
            }
            let place = Place {
                source: past.source,
                epoch: past.epoch,
                service: &shared.service,
                name,
                journal_dir: journal.dir(),
                begin,
                outputs: &outputs,
                term: 0,
            };
            let (mandatory, gate) = (appender.is_mandatory(), appender.gate());
            let opened = appender.open(&place).map_err(InitError::Appender)?;
            let outlet = Outlet::spawn(&journal, name, mandatory, opened, &gate, &router)
                .map_err(resource("the thread of an appender"))?;
            shared.outlets().push(Arc::new(outlet));
            Ok(())
        })?;
        if let Some(member) = &member {
            let follow = member.follow(&journal).map_err(resource("the cursor of the cluster"))?;
            let opened = Opened::Blocks(follow);
            let outlet = Outlet::spawn(&journal, CLUSTER, true, opened, &Gate::new(), &router)
                .map_err(resource("the thread that waits for the cluster"))?;
            shared.outlets().push(Arc::new(outlet));
        }
        journal.keep_to_bound();
        if journal.dir().is_some() {
            let syncing = Syncing::start(&journal, self.sync);
            // Nobody else sets it.
            let _ = shared.syncing.set(syncing.map_err(resource("the thread that syncs"))?);
        }
        let writer = Writer::new(
            Arc::clone(&shared),
            past.writer,
            definitions,
            beside.process_file,
            past.dropped_before,
        );
        let running = Running::start(&shared, writer).map_err(resource("the writer thread"))?;
        shared.keep_status();
        // Not within a log call: it may take a second, and those who start see to it.
        if past.sweeps && !self.is_heir {
            for line in recover::sweep(&past.base, rings_dir.as_deref(), past.source, past.boot_id)
            {
                selflog::warn(&line);
            }
        }
        if self.logs_panics {
            panics::log_to(&shared);
        }
        let logger = Logger { shared: Arc::clone(&shared) };
        // Dropped on an error below, which ends everything that runs.
        let guard = Guard { logger, running: Some(running) };
        member.map_or(Ok(()), |member| member.start())?;
        if as_process_logger {
            site::set_define_hook(hooks::define);
            set_process(Some(Arc::clone(&shared))).map_err(resource("the process's logger"))?;
            call::set_process_record_bytes_max(shared.limits.record_bytes_max);
            PROCESS_NUMBER.store(shared.number, Ordering::SeqCst);
            shared.define_known_sites().map_err(resource("the table of call sites"))?;
            shared.publish_levels();
        }
        Ok(guard)
    }
}

/// Refuses what was reached, if more is required.
fn check_required(required: Durability, reached: Durability) -> Result<(), InitError> {
    if reached < required { Err(InitError::Durability { required, reached }) } else { Ok(()) }
}

fn out_of_memory() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "no memory is left for it")
}

/// What an engine finds at its start.
struct Past {
    home: Home,
    writer: JournalWriter,
    source: u128,
    epoch: u64,
    /// Where an appender begins that has no cursor yet: before the recovered events.
    begin: Position,
    boot_id: u128,
    /// Where the rings of this user lie.
    base: PathBuf,
    /// Whether to look there for rings that nobody has.
    sweeps: bool,
    /// What a killed predecessor dropped and could not tell.
    dropped_before: Dropped,
}

impl Past {
    fn open(builder: &Builder, seat: Option<Seat>) -> Result<Past, InitError> {
        let now_ns = builder.clock.utc_ns().max(0).unsigned_abs();
        let (options, lock) = match seat {
            Some(seat) => {
                let keep_free_bytes = builder.journal.keep_free_bytes;
                (JournalOptions { keep_free_bytes, ..seat.journal }, Some(seat.lock))
            }
            None => (builder.journal.clone(), None),
        };
        let Some(dir) = &options.dir else {
            let (journal, writer) =
                Journal::in_memory(options.clone()).map_err(InitError::Journal)?;
            let begin = journal.start_position();
            let (source, epoch) = (random_source(), now_ns);
            let (home, dropped_before) = (Home::on_heap(), Dropped::default());
            return Ok(Past {
                home,
                writer,
                source,
                epoch,
                begin,
                boot_id: 0,
                base: PathBuf::new(),
                sweeps: false,
                dropped_before,
            });
        };

        let unusable = |source| InitError::Directory { path: dir.clone(), source };
        sys::file::create_private_dir(dir).map_err(unusable)?;
        let lock = match lock {
            Some(lock) => Some(lock),
            None => home::lock_journal(dir).map_err(unusable)?,
        };
        let Some(lock) = lock else { return Err(InitError::InUse { path: dir.clone() }) };
        let mut home = Home::new(dir, lock, builder.guards_mappings);
        let manifest = Manifest::read(dir).map_err(unusable)?;
        let scan = match &manifest {
            Some(manifest) => Scan::of_run(dir, manifest.source, manifest.epoch),
            None => Scan::of_directory(dir).map(|scan| (scan, RingEnds::default())),
        };
        let (scan, ring_ends) = scan.map_err(InitError::Journal)?;
        for damage in &scan.damage {
            selflog::warn(&format!("journal: {damage}"));
        }
        let (journal, mut writer) =
            Journal::in_directory(options.clone(), scan).map_err(InitError::Journal)?;
        let begin = journal.end();
        let boot_id = u128::from_be_bytes(sys::file::boot_id());
        let mut dropped_before = Dropped::default();
        if let Some(manifest) = &manifest {
            let ring_end = |ring| ring_ends.get(&ring).copied().unwrap_or(0);
            match recover::drain(&mut writer, manifest, boot_id, ring_end) {
                Ok(recovered) => {
                    dropped_before = Dropped::unreported(&recovered.drops);
                    for reason in &recovered.unreadable {
                        selflog::warn(&format!("a ring was left behind: {reason}"));
                    }
                }
                Err(
                    error @ (recover::RecoverError::Rebooted { .. }
                    | recover::RecoverError::Gone { .. }),
                ) => selflog::warn(&error.to_string()),
                Err(error) => return Err(InitError::Recover(error)),
            }
            forget_runs(dir, &mut writer, manifest.source).map_err(unusable)?;
        }

        let source = manifest.as_ref().map_or_else(random_source, |manifest| manifest.source);
        let stored_epoch = manifest.as_ref().map_or(0, |manifest| manifest.epoch);
        let epoch = stored_epoch.saturating_add(1).max(now_ns);
        let base = builder.rings_dir.clone().unwrap_or_else(home::default_rings_base);
        // The manifest is read by whoever starts somewhere else.
        let base = std::path::absolute(&base).unwrap_or(base);
        let rings = match home.create_rings_dir(&base, &format!("{source:032x}-{epoch}")) {
            Ok(rings) => Some(rings),
            Err(error) => {
                let base = base.display();
                selflog::warn(&format!(
                    "no rings below {base}: {error}; a killed process loses what is in its rings"
                ));
                None
            }
        };
        // Nothing is removed where this user's rings may not lie.
        let sweeps = rings.is_some();
        Manifest { source, epoch, boot_id, rings }.write(dir).map_err(unusable)?;
        crash::reached(CrashPoint::HomeManifest);
        Ok(Past { home, writer, source, epoch, begin, boot_id, base, sweeps, dropped_before })
    }
}

/// Forgets the marks of own runs whose blocks are all recycled: each start would add one to the head of
/// every segment.
fn forget_runs(dir: &Path, writer: &mut JournalWriter, own: u128) -> io::Result<()> {
    let Some((_, oldest)) = segment_paths(dir)?.into_iter().next() else { return Ok(()) };
    // Epochs never decrease in a journal: the newest before the oldest segment may go on in it.
    let before = Scan::marks_before(&oldest)?;
    let newest = before.filter(|(source, ..)| *source == own).map(|(_, epoch, _)| epoch).max();
    writer
        .forget_marks(|source, epoch| source == own && newest.is_some_and(|newest| epoch < newest));
    Ok(())
}

pub(super) fn random_source() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_le_bytes(bytes),
        // Without a source of randomness the time and the process are as different as can be.
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
            now << 32 | u128::from(std::process::id())
        }
    }
}

/// Why an engine did not start.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum InitError {
    /// The process has a logger. Use `start` for a second one.
    AlreadyInitialised,
    /// An option is out of its range.
    Invalid { what: &'static str, value: usize, remedy: &'static str },
    /// Two appenders have one name.
    DuplicateAppender { name: String },
    /// A category names an appender that there is not.
    UnknownAppender(UnknownName),
    /// A level cannot be named as it should.
    Level(LevelError),
    /// Too many categories have a level of their own.
    Categories(TooManyCategories),
    /// The composites cannot be resolved.
    Composite(CompositeError),
    /// The journal directory cannot be used.
    Directory { path: PathBuf, source: io::Error },
    /// Another process, or another engine of this one, has the journal directory.
    InUse { path: PathBuf },
    /// The directory of a cluster cannot be used.
    Cluster { path: PathBuf, what: &'static str, source: Option<io::Error> },
    /// The journal cannot be read or continued.
    Journal(JournalError),
    /// What a dead predecessor left cannot be taken over.
    Recover(recover::RecoverError),
    /// An appender cannot be opened.
    Appender(OpenError),
    /// The operating system refused memory, a file or a thread.
    Resources { what: &'static str, source: io::Error },
    /// The configuration is wrong; the cause has all that is wrong with it.
    Configuration(Box<dyn std::error::Error + Send + Sync>),
    /// Events would survive less than was required.
    Durability { required: Durability, reached: Durability },
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::AlreadyInitialised => {
                write!(f, "the process has a logger already; use `start` for a second one")
            }
            InitError::Invalid { what, value, remedy } => {
                write!(f, "{what} is {value}; use {remedy}")
            }
            InitError::DuplicateAppender { name } => {
                write!(f, "two appenders are named `{name}`; give each its own name")
            }
            InitError::UnknownAppender(error) => error.fmt(f),
            InitError::Level(error) => error.fmt(f),
            InitError::Categories(error) => error.fmt(f),
            InitError::Composite(error) => error.fmt(f),
            InitError::Directory { path, .. } => write!(
                f,
                "journal directory {}: it cannot be used; check the path and its permissions",
                path.display()
            ),
            InitError::InUse { path } => write!(
                f,
                "journal directory {}: another process uses it; give each process its own",
                path.display()
            ),
            InitError::Cluster { path, what, .. } => {
                write!(f, "cluster directory {}: {what}", path.display())
            }
            InitError::Journal(_) => write!(f, "the journal cannot be opened"),
            InitError::Recover(_) => write!(f, "what the last run left cannot be taken over"),
            InitError::Appender(error) => error.fmt(f),
            InitError::Resources { what, .. } => write!(f, "cannot make {what}"),
            InitError::Configuration(_) => write!(f, "the configuration is wrong"),
            InitError::Durability { required, reached } => write!(
                f,
                "{required:?} is required and {reached:?} reached; set journal_dir, and a rings_dir on a memory file system with room for the rings"
            ),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Directory { source, .. } | InitError::Resources { source, .. } => {
                Some(source)
            }
            InitError::Journal(source) => Some(source),
            InitError::Recover(source) => Some(source),
            InitError::Appender(error) => error.source(),
            InitError::Configuration(source) => Some(&**source),
            InitError::Cluster { source, .. } => source.as_ref().map(|source| source as _),
            _ => None,
        }
    }
}
