//! Panics in the log: a hook in front of the process's panic hook.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Once, PoisonError, RwLock, Weak};

use super::{Shared, call};
use crate::level::Level;
use crate::site::{Definition, Names};

/// The engine that panics go to.
static ENGINE: RwLock<Weak<Shared>> = RwLock::new(Weak::new());

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
    static INSTALLED: Once = Once::new();
    *ENGINE.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(engine);
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            log(panic);
            previous(panic);
        }));
    });
}

fn log(panic: &PanicHookInfo<'_>) {
    // An init under way goes without this panic rather than wait.
    let Some(engine) = ENGINE.try_read().ok().and_then(|engine| engine.upgrade()) else { return };
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
