//! The receiving side: blocks of many workers in one journal, and from there to appenders.
//!
//! One thread, `rollway-net`, owns all sockets (see `connection`); one, `rollway-ingest`, checks,
//! stores and acknowledges (see `ingest`); each appender has its own. The protocol is told in
//! `docs/protocol.md`.

mod buffers;
mod connection;
mod inbox;
mod ingest;
mod quota;
mod stats;
mod tending;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;
use tokio::sync::watch;

pub use crate::net::{AckLevel, Reason};
use crate::route::composite::{Composite, CompositeError};
use crate::route::{Category, Router, UnknownName};
pub use stats::{MasterStats, Throttled};

use crate::appender::{Open, OpenError};
use crate::engine::group::Appenders;
use crate::engine::outlets::{AddError, Described, Origin, Outlets, Runs};
use crate::engine::reload::Plan;
use crate::engine::status::{Status, StatusFile};
use crate::engine::syncing::{SyncPolicy, Syncing};
use crate::engine::tending::{TendError, Tended, Tending};
use crate::engine::{AppenderReport, OutletStats, events_behind, selflog};
use crate::event::Receipt;
use crate::journal::{Journal, JournalError, JournalOptions, JournalWriter, Scan};
use crate::mask::Mask;
use crate::net::{DEFAULT_WINDOW_BYTES, host_and_port};
use crate::sys::file::create_private_dir;
use crate::sys::lock::FileLock;
use crate::sys::output::{IoMethod, Outputs};
use buffers::Buffers;
use connection::{Edge, FrameRoom};
use inbox::Inbox;
use ingest::Ingest;
use quota::Quota;
use stats::Counters;

/// Connections that wait in the kernel to be accepted; more have to try again. The kernel may have a
/// lower bound of its own.
const BACKLOG: i32 = 4096;
/// What a master calls itself at its control socket.
const SERVICE: &str = "rollway-master";
/// How long a master that is dropped tries to finish.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of what a master takes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at a time: 4,096 by default.
    pub connections: usize,
    /// Connections from one address at a time: 64 by default.
    pub connections_per_address: usize,
    /// Bytes that are read and not yet stored: 64 MiB by default, never less than 16 MiB. A quarter
    /// is for frames of more than 512 KiB. One connection has at most 8 MiB of them.
    pub unstored_bytes: usize,
    /// How fast each source may send, on the average; `None`, the default, is as fast as it can.
    /// Who sends more is read later, and its own journal keeps what it cannot send. After a silence
    /// as much as in one second may come at once.
    pub bytes_per_second_per_source: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            connections_per_address: 64,
            unstored_bytes: 64 << 20,
            bytes_per_second_per_source: None,
        }
    }
}

/// A master that is not started yet.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use rollway::appender::File;
/// use rollway::journal::JournalOptions;
/// use rollway::master::{AckLevel, Master};
///
/// let master = Master::builder()
///     .listen("localhost:5000")
///     .journal(JournalOptions::directory("/var/lib/rollway"))
///     .ack_level(AckLevel::Synced)
///     .appender("all", File::new("/var/log/all.log"))
///     .start()?;
/// println!("listening on {}", master.local_addr());
/// # let stop = || {};
/// stop();
/// let report = master.shutdown(Duration::from_secs(5));
/// println!("{} events delivered, {} left", report.delivered(), report.left());
/// # Ok::<(), rollway::master::MasterError>(())
/// ```
#[derive(Clone)]
pub struct MasterBuilder {
    listen: String,
    journal: JournalOptions,
    level: Option<AckLevel>,
    sync: SyncPolicy,
    window_bytes: u64,
    limits: Limits,
    io_method: IoMethod,
    appenders: Appenders,
    router: Router,
    tending: Tending<MasterBuilder>,
}

impl MasterBuilder {
    /// The address to listen on: `host:port`, where `localhost` and 5000 stand for what is left out.
    /// Port 0 lets the system choose.
    #[must_use]
    pub fn listen(self, address: impl Into<String>) -> MasterBuilder {
        MasterBuilder { listen: address.into(), ..self }
    }

    /// Where the journal lives. By default it is in memory: then an acknowledgement says only that
    /// the master's memory has the block, and what was not delivered ends with the master. Give it a
    /// directory.
    #[must_use]
    pub fn journal(self, journal: JournalOptions) -> MasterBuilder {
        MasterBuilder { journal, ..self }
    }

    /// What an acknowledgement promises: [`AckLevel::Committed`] by default with a journal directory,
    /// [`AckLevel::Memory`] without.
    #[must_use]
    pub fn ack_level(self, level: AckLevel) -> MasterBuilder {
        MasterBuilder { level: Some(level), ..self }
    }

    /// When a journal directory is synced by a thread of its own, every 500 ms by default; no
    /// acknowledgement waits for it. With [`AckLevel::Synced`] each acknowledgement comes after a sync
    /// anyway, and this says nothing.
    #[must_use]
    pub fn sync(self, policy: SyncPolicy) -> MasterBuilder {
        MasterBuilder { sync: policy, ..self }
    }

    /// Bytes that a worker may have sent and not acknowledged: 4 MiB by default. A worker may want
    /// less.
    #[must_use]
    pub fn window_bytes(self, window_bytes: u64) -> MasterBuilder {
        MasterBuilder { window_bytes, ..self }
    }

    /// Bounds of what it takes on.
    #[must_use]
    pub fn limits(self, limits: Limits) -> MasterBuilder {
        MasterBuilder { limits, ..self }
    }

    /// How the journal and the text files are written; by default [`IoMethod::Write`]. What a file
    /// gets is the same.
    #[must_use]
    pub fn io_method(self, method: IoMethod) -> MasterBuilder {
        MasterBuilder { io_method: method, ..self }
    }

    /// Adds a destination. It gets every event that is received, of whatever level, unless
    /// [`MasterBuilder::route`] sends it elsewhere.
    #[must_use]
    pub fn appender(
        mut self,
        name: impl Into<String>,
        appender: impl Open + 'static,
    ) -> MasterBuilder {
        self.appenders.push(name.into(), Box::new(appender));
        self
    }

    /// Adds a destination that was chosen at run time.
    #[must_use]
    pub fn boxed_appender(
        mut self,
        name: impl Into<String>,
        appender: Box<dyn Open>,
    ) -> MasterBuilder {
        self.appenders.push(name.into(), appender);
        self
    }

    /// Says which appenders get the events of a category. From which level on events are taken is
    /// decided where they are logged: the category's own level means nothing here.
    #[must_use]
    pub fn category(mut self, category: &Category) -> MasterBuilder {
        self.router.category(category);
        self
    }

    /// Hides values from all appenders: see [`Mask`]. The journal has them as they came. A second mask
    /// replaces the first.
    #[must_use]
    pub fn mask(mut self, mask: Mask) -> MasterBuilder {
        self.router.mask(mask);
        self
    }

    /// Whether an appender gets an event once, however often the event's category and those above
    /// name it; by default it does. Otherwise it gets the event as often.
    #[must_use]
    pub fn one_message_per_appender(mut self, once: bool) -> MasterBuilder {
        self.router.one_message_per_appender(once);
        self
    }

    /// Sends events of `category`, and of all below it, to these appenders alone: a
    /// [`category`](MasterBuilder::category) that is not additive.
    #[must_use]
    pub fn route<'a>(
        mut self,
        category: &str,
        appenders: impl IntoIterator<Item = &'a str>,
    ) -> MasterBuilder {
        self.router.route(category, appenders);
        self
    }

    /// Adds what stands between categories and appenders: filters, buffers, limits, locks. Its relays,
    /// appenders and other composites, may be added before it or behind it. An appender that is a relay
    /// gets what comes through its composites, and what routes send to itself.
    #[must_use]
    pub fn composite(mut self, name: &str, composite: impl Into<Composite>) -> MasterBuilder {
        self.router.composite(name, composite);
        self
    }

    /// Opens the port, the journal and the appenders, and starts the threads.
    ///
    /// # Errors
    /// [`MasterError`], which names what could not be opened, and the remedy. Nothing runs then.
    pub fn start(self) -> Result<Master, MasterError> {
        let level = self.checked_level()?;
        self.check_appenders()?;
        let listener = bind(&self.listen)?;
        let tending = self.tending.clone();
        let described = self.described();
        let plan = Plan::new(self.clone(), tending.source.clone());
        let net = |source| MasterError::Resources { what: "the network thread", source };
        let address = listener.local_addr().map_err(net)?;
        let (journal, mut writer, lock) = open_journal(self.journal)?;
        let outputs = Outputs::new(self.io_method, selflog::warn);
        if journal.dir().is_some() {
            writer.set_output(outputs.open());
        }
        let outlets = open_outlets(&journal, &described, outputs)?;
        // Above that level a sync comes before each acknowledgement.
        let syncing = (level == AckLevel::Committed)
            .then(|| Syncing::start(&journal, self.sync))
            .transpose()
            .map_err(|source| MasterError::Resources { what: "the thread that syncs", source })?;

        let inbox = Arc::new(Inbox::default());
        let buffers = Arc::new(Buffers::default());
        let counters = Arc::new(Counters::default());
        let deadline = Arc::new(Mutex::new(None));
        let (stop, stopping) = watch::channel(None);
        let edge = Arc::new(Edge {
            inbox: Arc::clone(&inbox),
            buffers: Arc::clone(&buffers),
            counters: Arc::clone(&counters),
            limits: self.limits,
            room: FrameRoom::of(self.limits.unstored_bytes.max(16 << 20)),
            quota: Quota::of(self.limits.bytes_per_second_per_source),
            stopping,
        });
        let mut ingest = Ingest {
            inbox: Arc::clone(&inbox),
            buffers,
            writer,
            counters: Arc::clone(&counters),
            level,
            window_bytes: self.window_bytes,
            deadline: Arc::clone(&deadline),
            owners: HashMap::new(),
            block: AlignedVec::new(),
            receipt: Receipt { received_ns: 0, peer: address, is_elsewhere: false },
            unacknowledged: BTreeMap::new(),
            sync_failed: false,
            definitions_bytes: 0,
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(net)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(net)?
        };
        let ingest = Worker::spawn("rollway-ingest", move || ingest.run())
            .map_err(|source| MasterError::Resources { what: "the ingest thread", source })?;
        let served = Arc::clone(&edge);
        let net = Worker::spawn("rollway-net", move || {
            runtime.block_on(connection::serve(listener, served));
            // A look-up or a task that hangs is left behind.
            runtime.shutdown_background();
        })
        .map_err(net)
        .inspect_err(|_| inbox.close())?;
        let ground = Arc::new(Ground { level, journal, counters, edge, outlets, plan });
        let status = keep_status(&ground);
        let running = Running { inbox, deadline, stop, net, ingest, syncing, status, _lock: lock };
        let mut master = Master { address, ground, running: Some(running), tended: None };
        // On an error it is dropped, which ends everything that runs.
        let dir = master.ground.journal.dir();
        let tended = tending.begin(&master.ground, SERVICE, dir).map_err(|error| match error {
            TendError::Control { path, source } => MasterError::Control { path, source },
            TendError::Resources { what, source } => MasterError::Resources { what, source },
        })?;
        master.tended = Some(tended);
        Ok(master)
    }

    /// Whether each appender has a name of its own and takes events, and each category names some.
    fn check_appenders(&self) -> Result<(), MasterError> {
        let names = self.appenders.names();
        let known = names.iter().map(String::as_str).chain(self.router.composites().names());
        self.router.check(known).map_err(MasterError::UnknownAppender)?;
        self.appenders.check_composites(&self.router).map_err(MasterError::Composite)?;
        let mut seen = HashSet::new();
        self.appenders.each(|name, appender| {
            if !seen.insert(name.to_owned()) {
                let what = "another appender has this name; give each its own";
                return Err(MasterError::Appender(refused(name.to_owned(), what)));
            }
            if appender.ships_blocks() {
                let what = "it ships a process's own blocks, and a master has none; let the workers ship to it";
                return Err(MasterError::Appender(refused(name.to_owned(), what)));
            }
            Ok(())
        })
    }

    /// The appenders, and who gets what.
    fn described(&self) -> Described {
        Described { appenders: self.appenders.clone(), router: Arc::new(self.router.clone()) }
    }

    fn checked_level(&self) -> Result<AckLevel, MasterError> {
        match (&self.journal.dir, self.level) {
            (Some(_), level) => Ok(level.unwrap_or_default().max(AckLevel::Committed)),
            (None, None | Some(AckLevel::Memory)) => Ok(AckLevel::Memory),
            (None, Some(level)) => Err(MasterError::Level { level }),
        }
    }
}

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
        MasterBuilder {
            listen: String::new(),
            journal: JournalOptions::memory(),
            level: None,
            sync: SyncPolicy::default(),
            window_bytes: DEFAULT_WINDOW_BYTES,
            limits: Limits::default(),
            io_method: IoMethod::Write,
            appenders: Appenders::default(),
            router: Router::new(),
            tending: Tending::default(),
        }
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

fn bind(listen: &str) -> Result<TcpListener, MasterError> {
    let address = || listen.to_owned();
    let (host, port) =
        host_and_port(listen).map_err(|what| MasterError::Address { address: address(), what })?;
    let listener = TcpListener::bind((host.as_str(), port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // Once more, with a longer queue: after a restart all workers come at the same time.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|source| MasterError::Listen { address: format!("{host}:{port}"), source })
}

type OpenJournal = (Journal, JournalWriter, Option<FileLock>);

fn open_journal(options: JournalOptions) -> Result<OpenJournal, MasterError> {
    let Some(dir) = options.dir.clone() else {
        let (journal, writer) = Journal::in_memory(options).map_err(MasterError::Journal)?;
        return Ok((journal, writer, None));
    };
    let unusable = |source| MasterError::Directory { dir: dir.clone(), source };
    create_private_dir(&dir).map_err(unusable)?;
    let lock = FileLock::try_acquire(&dir.join("lock")).map_err(unusable)?;
    let Some(lock) = lock else { return Err(MasterError::Locked { dir }) };
    let scan = Scan::of_directory(&dir).map_err(MasterError::Journal)?;
    for damage in &scan.damage {
        selflog::warn(&damage.to_string());
    }
    let (journal, writer) = Journal::in_directory(options, scan).map_err(MasterError::Journal)?;
    Ok((journal, writer, Some(lock)))
}

fn open_outlets(
    journal: &Journal,
    described: &Described,
    outputs: Outputs,
) -> Result<Outlets, MasterError> {
    // A master has no events of its own.
    let (source, epoch, service, term) = (0, 0, String::new(), 0);
    let runs = Runs::Others;
    let outlets = Outlets::new(journal, Origin { source, epoch, service, term, outputs, runs });
    let begin = journal.start_position();
    described.appenders.each(|name, appender| {
        let added = outlets.add(name, appender, begin, &described.router);
        added.map_err(|error| match error {
            AddError::Open(error) => MasterError::Appender(error),
            AddError::Thread(source) => {
                MasterError::Resources { what: "an appender's thread", source }
            }
        })
    })?;
    journal.keep_to_bound();
    Ok(outlets)
}

fn refused(name: String, what: &'static str) -> OpenError {
    OpenError { name, path: None, what, source: None }
}

/// Why a master could not be started.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub enum MasterError {
    /// The address makes no sense.
    Address { address: String, what: &'static str },
    /// The port cannot be opened.
    Listen { address: String, source: io::Error },
    /// An acknowledgement cannot promise this without a journal directory.
    Level { level: AckLevel },
    /// The journal directory cannot be used.
    Directory { dir: PathBuf, source: io::Error },
    /// Somebody else uses the journal directory.
    Locked { dir: PathBuf },
    /// The journal cannot be opened.
    Journal(JournalError),
    /// An appender cannot be opened.
    Appender(OpenError),
    /// A category names an appender that there is not.
    UnknownAppender(UnknownName),
    /// The composites cannot be resolved.
    Composite(CompositeError),
    /// The control socket cannot be opened.
    Control { path: PathBuf, source: io::Error },
    /// The operating system did not give what a master needs.
    Resources { what: &'static str, source: io::Error },
}

impl fmt::Display for MasterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterError::Address { address, what } => {
                write!(f, "`{address}` is no address to listen on: {what}")
            }
            MasterError::Listen { address, source } => {
                let remedy = match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another process listens there; choose another port"
                    }
                    io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                    io::ErrorKind::AddrNotAvailable => {
                        "no interface of this machine has the address"
                    }
                    _ => "check the host's name",
                };
                write!(f, "cannot listen on {address}: {remedy}")
            }
            MasterError::Level { level } => write!(
                f,
                "acknowledgements of level {level:?} need a journal directory; name one, or take \
                 level Memory"
            ),
            MasterError::Directory { dir, .. } => write!(
                f,
                "the journal directory {} cannot be used; make it writable",
                dir.display()
            ),
            MasterError::Locked { dir } => write!(
                f,
                "the journal directory {} belongs to a running process; stop it or take another \
                 directory",
                dir.display()
            ),
            MasterError::Control { path, .. } => write!(
                f,
                "control socket {}: it cannot be opened; give it another path",
                path.display()
            ),
            MasterError::Journal(_) => write!(f, "the journal cannot be opened"),
            MasterError::Appender(error) => error.fmt(f),
            MasterError::UnknownAppender(error) => error.fmt(f),
            MasterError::Composite(error) => error.fmt(f),
            MasterError::Resources { what, .. } => write!(f, "{what} cannot be started"),
        }
    }
}

impl std::error::Error for MasterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MasterError::Listen { source, .. }
            | MasterError::Directory { source, .. }
            | MasterError::Control { source, .. }
            | MasterError::Resources { source, .. } => Some(source),
            MasterError::Journal(source) => Some(source),
            MasterError::Appender(source) => source.source(),
            MasterError::Composite(_) => None,
            MasterError::Address { .. }
            | MasterError::Level { .. }
            | MasterError::UnknownAppender(_)
            | MasterError::Locked { .. } => None,
        }
    }
}
