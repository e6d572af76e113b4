//! The end of an engine: producers, rings, outlets, in this order, under one deadline.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::drops::Dropped;
use super::writer::Writer;
use super::{PROCESS, PROCESS_NUMBER, Shared, WaitStrategy, call, selflog};
use crate::journal::{Journal, Position, ReadError};
use crate::level::LevelFilter;
use crate::site;

/// The system's sets of CPUs have this many; `core_affinity` panics beyond.
const CPUS_MAX: usize = 1024;

/// What was delivered, and what was left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// One for each appender.
    pub appenders: Vec<AppenderReport>,
    /// Dropped and cut events, by reason.
    pub dropped: Dropped,
    /// Bytes of records that stayed in the rings because the journal did not take them; `u64::MAX`
    /// where the writer thread panicked and nobody knows. With a journal directory the next start
    /// delivers them.
    pub left_in_rings_bytes: u64,
}

/// What one appender has delivered and left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppenderReport {
    /// Its name.
    pub name: String,
    /// Events that reached the destination during this run.
    pub delivered: u64,
    /// Events in the journal that have not reached it. With a journal directory the next start
    /// delivers them.
    pub left: u64,
    /// Why, where the destination failed.
    pub failing: Option<String>,
}

impl ShutdownReport {
    /// Events that every appender has delivered: the least of their counts.
    pub fn delivered(&self) -> u64 {
        self.appenders.iter().map(|appender| appender.delivered).min().unwrap_or(0)
    }

    /// Events that some appender has not delivered: the greatest of their counts.
    pub fn left(&self) -> u64 {
        self.appenders.iter().map(|appender| appender.left).max().unwrap_or(0)
    }
}

/// The writer of a running engine.
pub(super) enum Running {
    Thread { thread: JoinHandle<Option<Writer>>, deadline: Arc<Mutex<Option<Instant>>> },
    Manual(Mutex<Box<Writer>>),
}

impl Running {
    /// Starts the writer thread, unless the host wants to be the writer.
    pub(super) fn start(shared: &Arc<Shared>, mut writer: Writer) -> io::Result<Running> {
        if shared.limits.wait == WaitStrategy::Manual {
            return Ok(Running::Manual(Mutex::new(Box::new(writer))));
        }
        let deadline = Arc::new(Mutex::new(None));
        let (of_thread, pin) = (Arc::clone(&deadline), shared.limits.pin);
        let ended = Arc::clone(shared);
        let thread =
            std::thread::Builder::new().name("rollway-writer".to_owned()).spawn(move || {
                call::enter_own_thread();
                let _ended = Ended(ended);
                prepare_writer_thread(pin);
                writer.run(|| *of_thread.lock().unwrap_or_else(PoisonError::into_inner));
                Some(writer)
            })?;
        // Nobody else sets it.
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Running::Thread { thread, deadline })
    }

    pub(super) fn poll(&self) -> bool {
        match self {
            Running::Thread { .. } => false,
            Running::Manual(writer) => writer.lock().unwrap_or_else(PoisonError::into_inner).step(),
        }
    }

    pub(super) fn shutdown(self, shared: &Arc<Shared>, until: Instant) -> ShutdownReport {
        stop_producers(shared);
        let writer = match self {
            Running::Thread { thread, deadline } => {
                *deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                shared.closed.store(true, Ordering::Release);
                shared.wake_writer();
                // It ends by itself: it waits for nothing but the journal, and not past the deadline.
                thread.join().ok().flatten()
            }
            Running::Manual(writer) => {
                let mut writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
                shared.closed.store(true, Ordering::Release);
                writer.finish(&|| Some(until));
                shared.writer_ended.store(true, Ordering::Release);
                Some(*writer)
            }
        };
        shared.journal.close();
        let outlets = std::mem::take(&mut *shared.outlets());
        outlets.iter().for_each(|outlet| outlet.stop(until));
        let appenders = outlets.iter().map(|outlet| {
            let stats = outlet.join(until);
            AppenderReport {
                name: stats.name,
                delivered: stats.delivered,
                left: events_behind(&shared.journal, stats.settled),
                failing: stats.failing,
            }
        });
        let appenders = appenders.collect();
        shared.end_status();
        let left_in_rings_bytes = match writer {
            Some(mut writer) => {
                let left_bytes = writer.left_bytes();
                if left_bytes == 0
                    && let Err(error) = shared.home.leave()
                {
                    selflog::warn(&format!("the rings could not be removed: {error}"));
                }
                left_bytes
            }
            None => {
                selflog::warn("the writer thread panicked: the rings stay for the next start");
                u64::MAX
            }
        };
        ShutdownReport { appenders, dropped: shared.drops.counts(), left_in_rings_bytes }
    }
}

/// Takes the macros away from the engine; calls under way still end.
fn stop_producers(shared: &Shared) {
    if shared.is_process_logger() {
        site::set_process_level(LevelFilter::OFF);
        *PROCESS.write().unwrap_or_else(PoisonError::into_inner) = None;
        PROCESS_NUMBER.store(0, Ordering::SeqCst);
    }
    shared.level.store(LevelFilter::OFF.lowest_number(), Ordering::Relaxed);
}

/// Events between a position and the end of the journal, or the first place that the operating system
/// does not let us read.
pub(crate) fn events_behind(journal: &Journal, position: Position) -> u64 {
    if position >= journal.end() {
        return 0;
    }
    let mut reader = journal.reader(position);
    let mut events = 0;
    loop {
        match reader.next() {
            Ok(Some(block)) => events += block.events.count(),
            Ok(None) | Err(ReadError::Io { .. }) => return events,
            Err(ReadError::Damaged { .. }) => {}
        }
    }
}

/// Says that the writer has ended, however it ends: nobody waits for it any more.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.writer_ended.store(true, Ordering::Release);
        self.0.progressed.notify_all();
    }
}

/// Pins the thread if that is wanted, and lets its short sleeps be short.
fn prepare_writer_thread(pin: Option<usize>) {
    if let Some(cpu) = pin
        && !(cpu < CPUS_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: cpu }))
    {
        selflog::warn(&format!("the writer cannot be pinned to CPU {cpu}; it runs unpinned"));
    }
    let slack = Duration::from_nanos(1).as_nanos() as u64;
    // Without it sleeps are 50 µs longer, nothing else.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(slack));
}
