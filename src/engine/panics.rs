//! Panics in the log: a hook in front of the process's panic hook.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, TryLockError, Weak};

use super::{Shared, call, fork};
use crate::level::Level;
use crate::site::{Definition, Names};

/// The engine that panics go to.
static ENGINE: RwLock<Weak<Shared>> = RwLock::new(Weak::new());

/// Looks at the lock of that. Whoever has it does so for a moment; if a thread had it at a fork, the
/// child goes without its panics rather than wait for ever.
const TRIES_MAX: usize = 1000;

/// What is said of a panic. Its place is that of the event.
const PANICKED: Definition<'static> = Definition {
    level: Level::ERROR,
    line: 0,
    column: 0,
    target: "panic",
    module: "",
    file: "",
    template: "thread `{}` panicked: {}",
    names: Names::Listed(&["thread", "message"]),
};

/// From now on panics are logged to this engine, while it runs. The hook is installed once; it calls
/// the one that it found.
pub(super) fn log_to(engine: &Arc<Shared>) {
    static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
    for _ in 0..TRIES_MAX {
        match ENGINE.try_write() {
            Ok(mut place) => *place = Arc::downgrade(engine),
            Err(TryLockError::Poisoned(place)) => *place.into_inner() = Arc::downgrade(engine),
            Err(TryLockError::WouldBlock) => {
                std::thread::yield_now();
                continue;
            }
        }
        break;
    }
    if !IS_INSTALLED.swap(true, Ordering::AcqRel) {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            log(panic);
            previous(panic);
        }));
    }
}

fn log(panic: &PanicHookInfo<'_>) {
    // An init under way goes without this panic rather than wait.
    let Some(engine) = ENGINE.try_read().ok().and_then(|engine| engine.upgrade()) else { return };
    let heir = if engine.is_forked() { fork::heir_of(&engine) } else { None };
    let engine = heir.unwrap_or(engine);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let message = panic.payload_as_str().unwrap_or("with a value that is no text");
    let definition = match panic.location() {
        Some(place) => Definition {
            file: place.file(),
            line: place.line(),
            column: place.column(),
            ..PANICKED
        },
        None => PANICKED,
    };
    call::emit_defined(&engine, &definition, (name, (message, ())));
}
