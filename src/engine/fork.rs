//! The engine of a forked child, started by its first log call.
//!
//! A child has one thread, and the copy of an engine whose threads live in its parent. Where the
//! parent is in a group, the child starts an engine with the same description; the parent's copy
//! remembers it, so that whoever has a handle of the parent's logger reaches it. Locks that another
//! thread may have held at the fork are tried and never waited for.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::builder::Builder;
use super::{Guard, Shared, WaitStrategy, call, selflog};
use crate::level::Levels;

/// Forks of forks that are followed.
const GENERATIONS_MAX: usize = 64;
/// How long a thread of a child waits for another one that starts the engine.
const START_WAIT: Duration = Duration::from_secs(5);
/// Between two looks at that.
const START_LOOK: Duration = Duration::from_millis(1);

thread_local! {
    /// Whether this thread starts the engine: what it logs meanwhile cannot wait for that.
    static STARTS: Cell<bool> = const { Cell::new(false) };
}

/// What a forked child takes over.
#[derive(Default)]
pub(super) struct Heir {
    /// `None` where children have no engine of their own.
    description: Option<Builder>,
    is_process_logger: bool,
    /// The process that starts the engine, or has started it; 0 before.
    starter: AtomicU32,
    /// The second in which the last start failed; 0 before.
    failed_in: AtomicU64,
    engine: RwLock<Option<Guard>>,
}

impl Heir {
    /// Lets children start an engine of this description.
    pub(super) fn of(description: &Builder, is_process_logger: bool) -> Heir {
        // Nobody would poll it.
        let can_run =
            description.is_in_group() && description.wait_strategy() != WaitStrategy::Manual;
        let description = can_run.then(|| description.clone());
        Heir { description, is_process_logger, ..Heir::default() }
    }

    /// The engine, if it was started.
    fn started(&self) -> Option<Arc<Shared>> {
        let engine = self.engine.try_read().ok()?;
        engine.as_ref().map(|guard| Arc::clone(&guard.logger.shared))
    }

    /// What keeps the engine running.
    pub(super) fn take(&self) -> Option<Guard> {
        self.engine.try_write().ok()?.take()
    }

    /// The engine, which is started with these levels if need be. `None` where that is not possible
    /// now.
    fn start(&self, levels: Levels) -> Option<Arc<Shared>> {
        let description = self.description.as_ref()?;
        let (pid, deadline) = (std::process::id(), Instant::now() + START_WAIT);
        loop {
            let starter = self.starter.load(Ordering::Acquire);
            if let Some(engine) = self.started() {
                return Some(engine);
            }
            if starter == pid {
                let is_part_of_it =
                    STARTS.try_with(Cell::get).unwrap_or(true) || call::is_own_thread();
                if is_part_of_it || Instant::now() >= deadline {
                    return None;
                }
                std::thread::sleep(START_LOOK);
                continue;
            }
            if self.failed_in.load(Ordering::Relaxed) == this_second() {
                return None;
            }
            let (ok, failed) = (Ordering::AcqRel, Ordering::Relaxed);
            if self.starter.compare_exchange(starter, pid, ok, failed).is_ok() {
                let _ = STARTS.try_with(|starts| starts.set(true));
                let engine = self.start_now(description.clone().heir(levels));
                let _ = STARTS.try_with(|starts| starts.set(false));
                if engine.is_none() {
                    self.failed_in.store(this_second(), Ordering::Relaxed);
                    self.starter.store(0, Ordering::Release);
                }
                return engine;
            }
        }
    }

    fn start_now(&self, description: Builder) -> Option<Arc<Shared>> {
        // Held at the fork, it is so for ever.
        let mut engine = self.engine.try_write().ok()?;
        if !description.is_free() {
            return None;
        }
        match description.run(self.is_process_logger) {
            Ok(guard) => {
                let shared = Arc::clone(&guard.logger.shared);
                *engine = Some(guard);
                Some(shared)
            }
            Err(error) => {
                let why = selflog::chain(&error);
                selflog::warn(&format!(
                    "no logger in the forked child {}: {why}",
                    std::process::id()
                ));
                None
            }
        }
    }
}

/// The engine that takes the events of this process, which is a forked child with a copy of `engine`.
/// It is started if need be; `None` where that is not possible now.
#[cold]
pub(super) fn heir_of(engine: &Shared) -> Option<Arc<Shared>> {
    // Whoever changed the levels did so for the children, too.
    follow(engine, |parent| parent.heir.start(parent.current_levels()))
}

/// The same, if it was started.
pub(super) fn started_heir_of(engine: &Shared) -> Option<Arc<Shared>> {
    follow(engine, |parent| parent.heir.started())
}

fn follow(engine: &Shared, next: impl Fn(&Shared) -> Option<Arc<Shared>>) -> Option<Arc<Shared>> {
    let mut heir = next(engine)?;
    for _ in 0..GENERATIONS_MAX {
        if !heir.is_forked() {
            return Some(heir);
        }
        heir = next(&heir)?;
    }
    None
}

fn this_second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
