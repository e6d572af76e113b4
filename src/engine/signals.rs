//! Signals that ask engines for something: SIGHUP reloads and reopens, SIGUSR1 reopens.
//!
//! One thread listens for all engines of the process that want it. It starts with the first and
//! ends with the last, and what the host did about the signals before is in force again.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use super::{call, selflog};
use crate::sys::per_process::PerProcess;
use crate::sys::signal::{self, Asked, Seen};

/// What signals ask for.
pub(crate) trait Signalled: Send + Sync {
    /// Takes the configuration again, if something says where it comes from. What is refused is told on
    /// the self-log.
    fn on_reload(&self);

    /// Opens every destination again.
    fn on_reopen(&self);
}

/// Who listens, in this process.
#[derive(Default)]
struct Listeners {
    last: u64,
    /// Threads that were started so far: those before the last end.
    started: u64,
    engines: Vec<(u64, Weak<dyn Signalled>)>,
    thread: Option<JoinHandle<()>>,
}

static LISTENERS: PerProcess<Mutex<Listeners>> = PerProcess::new(Mutex::default);

/// A place among those who listen. Dropping it gives it up.
pub(crate) struct Listening {
    number: u64,
}

/// Has an engine listen.
///
/// # Errors
/// When the system gives no handler or no thread.
pub(crate) fn listen(engine: Weak<dyn Signalled>) -> io::Result<Listening> {
    let mut listeners = listeners();
    if listeners.thread.is_none() {
        let seen = signal::listen()?;
        let thread = std::thread::Builder::new().name("rollway-signals".to_owned());
        listeners.started += 1;
        let number = listeners.started;
        let thread = thread.spawn(move || {
            call::enter_own_thread();
            run(number, seen);
        });
        listeners.thread = Some(thread.inspect_err(|_| signal::ignore())?);
    }
    listeners.last += 1;
    let number = listeners.last;
    listeners.engines.push((number, engine));
    Ok(Listening { number })
}

fn run(number: u64, mut seen: Seen) {
    loop {
        let asked = seen.wait();
        let engines: Vec<_> = {
            let listeners = listeners();
            if listeners.engines.is_empty() || listeners.started != number {
                return;
            }
            listeners.engines.iter().filter_map(|(_, engine)| engine.upgrade()).collect()
        };
        for engine in &engines {
            if asked.contains(&Asked::Reload) {
                engine.on_reload();
            }
            if !asked.is_empty() {
                engine.on_reopen();
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = listeners();
        listeners.engines.retain(|(number, _)| *number != self.number);
        if !listeners.engines.is_empty() {
            return;
        }
        signal::ignore();
        signal::wake();
        let thread = listeners.thread.take();
        drop(listeners);
        // It ends once it has done what was asked for last, which has bounds of its own. The last
        // engine may be dropped by that very thread.
        let Some(thread) = thread else { return };
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            selflog::warn("the thread that listened for signals has panicked");
        }
    }
}

fn listeners() -> MutexGuard<'static, Listeners> {
    LISTENERS.get().lock().unwrap_or_else(PoisonError::into_inner)
}
