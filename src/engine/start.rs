//! From a description to a running engine.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use crossbeam_queue::ArrayQueue;

use super::fork::Heir;
use super::group::Description;
use super::outlet::Outlet;
use super::outlets::{AddError, Described, Origin, Outlets, Runs};
use super::past::{Past, Places};
use super::reload::Plan;
use super::shutdown::Running;
use super::syncing::Syncing;
use super::tending::TendError;
use super::writer::Writer;
use super::{
    Builder, Durability, Guard, InitError, Limits, Logger, PROCESS_NUMBER, Progress, Shared,
    TIMEOUT_MAX, call, panics, process, selflog,
};
use crate::appender::Opened;
use crate::block::define::Definitions;
use crate::clock::Anchor;
use crate::event::SourceInfo;
use crate::level::live::LiveLevels;
use crate::recover::{self, ProcessFacts};
use crate::route::Gate;
use crate::site;
use crate::sys;
use crate::sys::output::Outputs;
use crate::sys::per_process::PerProcess;

/// The name of the outlet that waits until the cluster has delivered this process's events.
pub(super) const CLUSTER: &str = "the cluster";
/// Records that wait in the overflow ring.
const OVERFLOW_RECORDS: usize = 4096;
/// Rings that are ready before the first thread asks.
const FIRST_RINGS: usize = 2;
/// Engines so far.
static ENGINES: AtomicU64 = AtomicU64::new(0);

impl Builder {
    /// Starts the engine, as the process's logger or beside it.
    ///
    /// # Errors
    /// [`InitError`]; then nothing runs, and nothing is locked.
    pub(super) fn run(self, as_process_logger: bool) -> Result<Guard, InitError> {
        self.check()?;
        // Held to the end: two inits at once must not both become the process's logger.
        static INIT: PerProcess<Mutex<()>> = PerProcess::new(Mutex::default);
        let _init = INIT.get().lock().unwrap_or_else(PoisonError::into_inner);
        if as_process_logger && process::engine().is_some_and(|engine| !engine.is_forked()) {
            return Err(InitError::AlreadyInitialised);
        }
        let heir = Heir::of(&self, as_process_logger);
        let tending = self.tending.clone();
        let plan = Plan::new(self.clone(), tending.source.clone());
        let router = Arc::new(self.router.clone());
        let seat = self.group.as_ref().map(|group| {
            group.join(Description {
                service: self.service.clone(),
                io_method: self.io_method,
                keep_free_bytes: self.journal.keep_free_bytes,
                sync: self.sync,
                described: Described {
                    appenders: self.appenders.clone(),
                    router: Arc::clone(&router),
                },
            })
        });
        let seat = seat.transpose()?;
        let member = seat.as_ref().and_then(|seat| seat.member.clone());
        let places = Places {
            journal: &self.journal,
            rings_dir: self.rings_dir.as_deref(),
            guards_mappings: self.guards_mappings,
            now_ns: self.clock.utc_ns(),
        };
        let mut past = Past::open(places, seat)?;
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
        let outlets = Outlets::new(
            &journal,
            Origin {
                source: past.source,
                epoch: past.epoch,
                service: self.service.clone(),
                term: 0,
                outputs,
                // Whoever is elected runs the others.
                runs: if member.is_some() { Runs::Shipping } else { Runs::All },
            },
        );
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
            outlets,
            plan,
            tended: Mutex::default(),
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
            let added = shared.outlets.add(name, appender, begin, &router);
            added.map_err(|error| match error {
                AddError::Open(error) => InitError::Appender(error),
                AddError::Thread(source) => resource("the thread of an appender")(source),
            })
        })?;
        if let Some(member) = &member {
            let follow = member.follow(&journal).map_err(resource("the cursor of the cluster"))?;
            let opened = Opened::Blocks(follow);
            let outlet = Outlet::spawn(&journal, CLUSTER, true, opened, &Gate::new(), &router)
                .map_err(resource("the thread that waits for the cluster"))?;
            shared.outlets.push(outlet);
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
            site::set_define_hook(process::define_site);
            process::set_engine(Some(Arc::clone(&shared)))
                .map_err(resource("the process's logger"))?;
            call::set_process_record_bytes_max(shared.limits.record_bytes_max);
            PROCESS_NUMBER.store(shared.number, Ordering::SeqCst);
            shared.define_known_sites().map_err(resource("the table of call sites"))?;
            shared.publish_levels();
        }
        let tended = tending.begin(&shared, &shared.service, shared.journal.dir());
        let tended = tended.map_err(|error| match error {
            TendError::Control { path, source } => InitError::Control { path, source },
            TendError::Resources { what, source } => InitError::Resources { what, source },
        })?;
        *shared.tended.lock().unwrap_or_else(PoisonError::into_inner) = Some(tended);
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
