//! The process's logger: the engine that the macros log to unless they are given another one.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock, TryLockError};
use std::time::{Duration, Instant};

use super::{Durability, FlushError, Logger, Shared, Stats};

/// The engine behind the process's logger.
static PROCESS: RwLock<Option<Arc<Shared>>> = RwLock::new(None);
/// The number of the engine behind the process's logger; 0 without one.
pub(super) static PROCESS_NUMBER: AtomicU64 = AtomicU64::new(0);
/// How long a new logger waits for the readers of the old one.
const PROCESS_WAIT: Duration = Duration::from_secs(1);

/// The engine of the process's logger. Never waits: during an init or shutdown there is none.
pub(super) fn engine() -> Option<Arc<Shared>> {
    PROCESS.try_read().ok()?.clone()
}

/// Makes an engine the process's logger, or takes the last one away. Readers are quick, but for one
/// that a fork has left in a child for ever.
///
/// # Errors
/// When somebody reads for longer than [`PROCESS_WAIT`].
pub(super) fn set_engine(engine: Option<Arc<Shared>>) -> io::Result<()> {
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
    engine().map(|shared| Logger { shared })
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

/// Defines a site in the process's engine. `false` while an engine comes or goes: the site stays
/// without an id for now.
pub(super) fn define_site(id: u32) -> bool {
    match PROCESS.try_read() {
        Ok(engine) => engine.as_ref().is_none_or(|engine| engine.define_site(id)),
        Err(_) => false,
    }
}
