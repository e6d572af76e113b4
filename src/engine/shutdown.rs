//! The end of an engine: producers, rings, outlets, in this order, under one deadline.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::drops::Dropped;
use super::writer::Writer;
use super::{PROCESS_NUMBER, Shared, WaitStrategy, call, process, selflog};
use crate::journal::{Journal, Position, ReadError};
use crate::site;

/// The system's sets of CPUs have this many; `core_affinity` panics beyond.
const CPUS_MAX: usize = 1024;
/// What a shutdown may take beyond its deadline, twice: to see that a thread hangs, and to count what
/// is left.
const GRACE: Duration = Duration::from_millis(30);
/// How often it looks whether a thread has ended.
const LOOK: Duration = Duration::from_millis(1);

/// What was delivered, and what was left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// One for each appender.
    pub appenders: Vec<AppenderReport>,
    /// Dropped and cut events, by reason.
    pub dropped: Dropped,
    /// Rings that lay on the heap although the journal has a directory: what was in them would not
    /// have survived a kill. See [`Stats::heap_rings`](crate::Stats::heap_rings).
    pub heap_rings: u64,
    /// Bytes of records that were lost because somebody cut the files of their rings.
    pub lost_ring_bytes: u64,
    /// Bytes of records that stayed in the rings because the journal did not take them; `u64::MAX`
    /// where the writer thread panicked or hangs, and nobody knows. With a journal directory the
    /// next start delivers them.
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
    /// There was no time to count all of them: `left` is the least that it can be.
    pub left_is_bound: bool,
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
        let tended = shared.tended.lock().unwrap_or_else(PoisonError::into_inner).take();
        tended.into_iter().for_each(|tended| tended.end(until));
        let writer = match self {
            Running::Thread { thread, deadline } => {
                *deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                shared.closed.store(true, Ordering::Release);
                shared.wake_writer();
                // It ends by itself: it waits for nothing but the journal, and not past the deadline.
                // In a write that hangs it is left behind.
                join(thread, until + GRACE).flatten()
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
        let outlets = shared.outlets.close(until);
        outlets.iter().for_each(|outlet| outlet.stop(until));
        let ended: Vec<_> = outlets.iter().map(|outlet| outlet.join(until)).collect();
        let backlogs = events_left(&shared.journal, ended.iter().map(|stats| stats.settled), until);
        let appenders = ended.into_iter().zip(backlogs).map(|(stats, backlog)| AppenderReport {
            name: stats.name,
            delivered: stats.delivered,
            left: backlog.events,
            left_is_bound: backlog.is_bound,
            failing: stats.failing,
        });
        let mut appenders: Vec<_> = appenders.collect();
        // Behind the outlets: while they waited, this process may have delivered for all.
        appenders.extend(shared.member.iter().flat_map(|member| member.leave(until)));
        shared.syncing.get().inspect(|syncing| syncing.join(until));
        shared.end_status();
        let left_in_rings_bytes = match writer {
            Some(mut writer) => {
                let left_bytes = writer.left_bytes();
                if left_bytes == 0 {
                    leave(shared, until);
                }
                left_bytes
            }
            None => {
                selflog::warn(
                    "the writer thread panicked or hangs: the rings stay for the next start",
                );
                u64::MAX
            }
        };
        ShutdownReport {
            appenders,
            dropped: shared.drops.counts(),
            heap_rings: shared.home.heap_rings(),
            lost_ring_bytes: shared.progress().lost_ring_bytes,
            left_in_rings_bytes,
        }
    }
}

/// Waits for the end of a thread, until `deadline`. `None` when it panicked, or has not ended.
fn join<T>(thread: JoinHandle<T>, deadline: Instant) -> Option<T> {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK);
    }
    thread.join().ok()
}

/// Does `work` on a thread of its own, which is left behind when it takes longer than until
/// `deadline`. `None` then.
fn within<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let thread = std::thread::Builder::new().name("rollway-end".to_owned()).spawn(move || {
        call::enter_own_thread();
        work()
    });
    join(thread.ok()?, deadline)
}

/// Takes the rings out of the manifest and removes them: there is nothing in them any more.
fn leave(shared: &Arc<Shared>, until: Instant) {
    let of_thread = Arc::clone(shared);
    let left = within(until.max(Instant::now()) + GRACE, move || of_thread.home.leave());
    match left {
        Some(Ok(())) => {}
        Some(Err(error)) => selflog::warn(&format!("the rings could not be removed: {error}")),
        None => selflog::warn("there was no time to remove the rings; the next start does it"),
    }
}

/// Events that an appender has not got.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Backlog {
    pub(crate) events: u64,
    /// There are as many at least: not all of them were counted.
    pub(crate) is_bound: bool,
}

/// Counts the events between each position and the end of the journal, until `deadline` and a moment
/// longer; a read that hangs is left behind.
fn events_left(
    journal: &Journal,
    positions: impl Iterator<Item = Position>,
    deadline: Instant,
) -> Vec<Backlog> {
    let deadline = deadline.max(Instant::now()) + GRACE;
    let end = journal.end();
    let backlogs = positions.map(|position| {
        if position >= end {
            return Backlog::default();
        }
        let counted = Arc::new(AtomicU64::new(0));
        let (of_thread, journal) = (Arc::clone(&counted), journal.clone());
        let is_all = within(deadline, move || count(&journal, position, deadline, &of_thread));
        Backlog { events: counted.load(Ordering::Relaxed), is_bound: is_all != Some(true) }
    });
    backlogs.collect()
}

/// Takes the macros away from the engine; calls under way still end.
fn stop_producers(shared: &Shared) {
    if shared.is_process_logger() {
        site::set_process_levels(None);
        // An engine that stays there is closed.
        let _ = process::set_engine(None);
        PROCESS_NUMBER.store(0, Ordering::SeqCst);
    }
    shared.levels.set(None);
}

/// Events between a position and the end of the journal, as far as they can be counted in time.
pub(crate) fn events_behind(journal: &Journal, position: Position) -> Backlog {
    let counted = AtomicU64::new(0);
    let is_all = count(journal, position, Instant::now() + GRACE, &counted);
    Backlog { events: counted.into_inner(), is_bound: !is_all }
}

/// Adds the events between a position and the end of the journal to `counted`. `false` when the time
/// was over before, or the operating system does not let us read on.
fn count(journal: &Journal, position: Position, deadline: Instant, counted: &AtomicU64) -> bool {
    if position >= journal.end() {
        return true;
    }
    let mut reader = journal.reader(position);
    while Instant::now() < deadline {
        match reader.next() {
            Ok(Some(block)) => {
                let is_begun = block.position == Position { index: 0, ..position };
                let before = if is_begun { u64::from(position.index) } else { 0 };
                let events = block.events.count().saturating_sub(before);
                counted.fetch_add(events, Ordering::Relaxed);
            }
            Ok(None) => return true,
            Err(ReadError::Io { .. }) => return false,
            Err(ReadError::Damaged { .. }) => {}
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalOptions;

    #[test]
    fn work_that_hangs_is_left_behind() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(within(soon, move || hang.recv()), None);
        assert_eq!(within(Instant::now() + Duration::from_secs(60), || 7), Some(7));
        drop(release);
    }

    #[test]
    fn a_backlog_that_cannot_be_counted_in_time_is_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let (start, end) = (journal.start_position(), journal.end());
        let counted = AtomicU64::new(0);
        assert!(!count(&journal, start, Instant::now(), &counted));
        assert!(count(&journal, start, Instant::now() + Duration::from_secs(60), &counted));
        assert_eq!(counted.into_inner(), 3);
        let backlogs = events_left(&journal, [start, end].into_iter(), Instant::now());
        assert!(backlogs[0].is_bound || backlogs[0].events == 3, "{backlogs:?}");
        assert_eq!(backlogs[1], Backlog::default());
        let (memory, _writer) = Journal::in_memory(JournalOptions::memory()).unwrap();
        assert!(count(&memory, memory.end(), Instant::now(), &AtomicU64::new(0)));
    }
}
