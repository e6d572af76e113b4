//! The description of an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::group::{Appenders, Group};
use super::outlets::Described;
use super::syncing::SyncPolicy;
use super::tending::Tending;
use super::{Durability, Guard, InitError, OverflowPolicy, Timestamp, WaitStrategy, call, selflog};
use crate::appender::{Console, Open};
use crate::clock::{SystemUtc, UtcClock};
use crate::journal::JournalOptions;
use crate::layout::Pattern;
use crate::level::{Colour, Level, LevelError, LevelFilter, Levels, TooManyCategories};
use crate::mask::Mask;
use crate::route::composite::Composite;
use crate::route::{Category, Directives, Router};
use crate::sys::output::IoMethod;

/// The default of [`Builder::ring_bytes`].
pub(crate) const RING_BYTES: usize = 1 << 20;
/// The default of [`Builder::ring_memory_bytes`].
pub(crate) const RING_MEMORY_BYTES: usize = 256 << 20;

/// Describes an engine: see [`builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `init` or `start`"]
pub struct Builder {
    pub(super) service: String,
    pub(super) levels: Levels,
    /// The first thing said of levels that cannot be had.
    refused: Option<RefusedLevel>,
    pub(super) journal: JournalOptions,
    pub(super) sync: SyncPolicy,
    pub(super) sync_from: Option<Level>,
    pub(super) rings_dir: Option<PathBuf>,
    pub(super) ring_bytes: usize,
    pub(super) ring_memory_bytes: usize,
    pub(super) record_bytes_max: usize,
    pub(super) overflow: OverflowPolicy,
    pub(super) wait: WaitStrategy,
    pub(super) linger: Duration,
    pub(super) timestamp: Timestamp,
    pub(super) flush_timeout: Duration,
    pub(super) pin: Option<usize>,
    pub(super) require: Durability,
    pub(super) io_method: IoMethod,
    pub(super) clock: Arc<dyn UtcClock>,
    pub(super) guards_mappings: bool,
    pub(super) logs_panics: bool,
    pub(super) appenders: Appenders,
    pub(super) router: Router,
    pub(super) group: Option<Arc<dyn Group>>,
    pub(super) tending: Tending<Builder>,
    /// It runs in the first log call of a forked child.
    pub(super) is_heir: bool,
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
        tending: Tending::default(),
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

    /// Starts the engine beside the process's logger: it is reached through its
    /// [`Logger`](super::Logger) alone.
    ///
    /// # Errors
    /// [`InitError`]; then nothing runs.
    pub fn start(self) -> Result<Guard, InitError> {
        self.run(false)
    }

    /// From which level on events are taken.
    pub(super) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The appenders, and who gets what.
    pub(super) fn described(&self) -> Described {
        Described { appenders: self.appenders.clone(), router: Arc::new(self.router.clone()) }
    }

    /// The first key in which another description differs of those that cannot change while the
    /// engine runs.
    pub(super) fn differs_in(&self, other: &Builder) -> Option<&'static str> {
        let settings = |builder: &Builder| builder.group.as_ref().map(|group| group.settings());
        let fixed = [
            ("service", self.service != other.service),
            ("cluster", settings(self) != settings(other)),
            ("journal_dir", self.journal.dir != other.journal.dir),
            ("journal_max_bytes", self.journal.max_bytes != other.journal.max_bytes),
            ("journal_keep_free", self.journal.keep_free_bytes != other.journal.keep_free_bytes),
            ("sync", self.sync != other.sync),
            ("sync_from", self.sync_from != other.sync_from),
            ("rings_dir", self.rings_dir != other.rings_dir),
            ("ring_bytes", self.ring_bytes != other.ring_bytes),
            ("ring_memory_bytes", self.ring_memory_bytes != other.ring_memory_bytes),
            ("record_bytes_max", self.record_bytes_max != other.record_bytes_max),
            ("overflow", self.overflow != other.overflow),
            ("wait", self.wait != other.wait),
            ("linger", self.linger != other.linger),
            ("timestamp", self.timestamp != other.timestamp),
            ("flush_timeout", self.flush_timeout != other.flush_timeout),
            ("pin_writer", self.pin != other.pin),
            ("require", self.require != other.require),
            ("io_method", self.io_method != other.io_method),
            ("guard_mappings", self.guards_mappings != other.guards_mappings),
            ("log_panics", self.logs_panics != other.logs_panics),
        ];
        let fixed = fixed.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key);
        fixed.or_else(|| self.tending.differs_in(&other.tending))
    }

    /// What a configuration says of what cannot change while the engine runs, by its keys.
    #[cfg(feature = "config")]
    pub(crate) fn said(mut self, said: Vec<(&'static str, String)>) -> Builder {
        self.tending.said = said;
        self
    }

    /// Has what another description says of levels, routes and appenders.
    pub(super) fn take_over(&mut self, other: Builder) {
        (self.levels, self.appenders, self.router) = (other.levels, other.appenders, other.router);
    }

    pub(super) fn check(&self) -> Result<(), InitError> {
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
}
