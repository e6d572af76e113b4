//! From a description to a running master.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rkyv::util::AlignedVec;
use tokio::sync::watch;

use super::buffers::Buffers;
use super::connection::{self, Edge, FrameRoom};
use super::inbox::Inbox;
use super::ingest::Ingest;
use super::quota::Quota;
use super::stats::Counters;
use super::{AckLevel, Ground, Master, MasterBuilder, MasterError, Running, Worker, keep_status};
use crate::appender::OpenError;
use crate::engine::outlet::checkpoint;
use crate::engine::outlets::{AddError, Described, Origin, Outlets, Runs};
use crate::engine::reload::Plan;
use crate::engine::selflog;
use crate::engine::syncing::Syncing;
use crate::engine::tending::TendError;
use crate::event::Receipt;
use crate::journal::{Journal, JournalOptions, JournalWriter, Scan};
use crate::net::host_and_port;
use crate::sys::file::create_private_dir;
use crate::sys::lock::FileLock;
use crate::sys::output::Outputs;

/// Connections that wait in the kernel to be accepted; more have to try again. The kernel may have a
/// lower bound of its own.
const BACKLOG: i32 = 4096;
/// What a master calls itself at its control socket.
const SERVICE: &str = "rollway-master";

impl MasterBuilder {
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
        // What is not acknowledged before it is synced is not delivered before that either.
        let delivered = match level {
            AckLevel::Synced => journal.synced_only(),
            AckLevel::Memory | AckLevel::Committed => journal.clone(),
        };
        let outlets = open_outlets(&delivered, &described, outputs)?;
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
    pub(super) fn check_appenders(&self) -> Result<(), MasterError> {
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
    pub(super) fn described(&self) -> Described {
        Described { appenders: self.appenders.clone(), router: Arc::new(self.router.clone()) }
    }

    pub(super) fn checked_level(&self) -> Result<AckLevel, MasterError> {
        match (&self.journal.dir, self.level) {
            (Some(_), level) => Ok(level.unwrap_or_default().max(AckLevel::Committed)),
            (None, None | Some(AckLevel::Memory)) => Ok(AckLevel::Memory),
            (None, Some(level)) => Err(MasterError::Level { level }),
        }
    }
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
    let mut scan = Scan::of_received(&dir).map_err(MasterError::Journal)?;
    scan.goes_behind(checkpoint::newest_generation(&dir).map_err(unusable)?);
    for complaint in scan.complaints() {
        selflog::warn(&complaint);
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
