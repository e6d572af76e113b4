//! A composite that writes while no other process does.

use std::path::PathBuf;
use std::time::Duration;

use super::{Composite, CompositeError, Kind, Lock, composite};
use crate::journal::file_name;
use crate::route::gate::Gate;
use crate::sys;

/// The longest wait that can be asked for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Has its relays write under a lock that processes share, one batch at a time.
///
/// The lock is one of the kernel, on a file of its own. It is given back behind each batch, when
/// the write panics, and when its process ends, however it ends. A batch for which the lock is not
/// to be had within [`Synchronized::wait`] is tried again, as one for a destination that fails; log
/// calls never wait for it.
///
/// # Examples
/// ```no_run
/// use rollway::appender::Console;
/// use rollway::route::composite::Synchronized;
///
/// // Several processes write to one terminal, and no line cuts another.
/// let _guard = rollway::builder()
///     .appender("console", Console::stdout())
///     .composite("one_at_a_time", Synchronized::new(["console"]).key("my-console"))
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Synchronized {
    relays: Vec<Box<str>>,
    gate: Gate,
    place: Option<Place>,
    wait: Duration,
}

/// Where the lock is.
#[derive(Clone, Debug)]
enum Place {
    Key(String),
    File(PathBuf),
}

impl Synchronized {
    /// For these appenders and composites. Give it a [`Synchronized::key`] or a
    /// [`Synchronized::lock_file`].
    pub fn new(relays: impl IntoIterator<Item = impl Into<Box<str>>>) -> Synchronized {
        let relays = relays.into_iter().map(Into::into).collect();
        Synchronized { relays, gate: Gate::new(), place: None, wait: Duration::from_secs(5) }
    }

    /// Processes of one user that name the same key share the lock. Its file lies in the user's
    /// directory for such things: `$XDG_RUNTIME_DIR/rollway`, or `rollway-<user id>` among the
    /// temporary files.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Synchronized {
        self.place = Some(Place::Key(key.into()));
        self
    }

    /// Processes that name the same file share the lock. The file is made, with mode 0600, if it is
    /// missing, and stays empty. It must be no file that somebody reads or writes.
    #[must_use]
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Synchronized {
        self.place = Some(Place::File(path.into()));
        self
    }

    /// How long a batch waits for the lock before it counts as failed: up to a minute, by default 5 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Synchronized {
        self.wait = wait;
        self
    }
}

composite!(Synchronized);

impl From<Synchronized> for Composite {
    fn from(synchronized: Synchronized) -> Composite {
        let (path, is_in_own_dir) = match synchronized.place {
            None => (PathBuf::new(), false),
            Some(Place::File(path)) => (path, false),
            Some(Place::Key(key)) => {
                let dir = match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
                    Some(dir) => PathBuf::from(dir).join("rollway"),
                    None => std::env::temp_dir().join(format!("rollway-{}", sys::file::user_id())),
                };
                (dir.join(format!("{}.lock", file_name(&key))), true)
            }
        };
        let lock = Lock { path, is_in_own_dir, wait: synchronized.wait };
        let composite = Composite::new(synchronized.relays, Kind::Synchronized(lock));
        Composite { gate: synchronized.gate, ..composite }
    }
}

impl Lock {
    pub(super) fn check(&self, composite: &str) -> Result<(), CompositeError> {
        let invalid = |option, value: String, remedy| {
            Err(CompositeError::Invalid { composite: composite.to_owned(), option, value, remedy })
        };
        if self.path.as_os_str().is_empty() {
            return invalid("lock_file", "missing".to_owned(), "a key or the path of a file");
        }
        if self.wait > WAIT_MAX {
            return invalid("wait", format!("{:?}", self.wait), "a minute at the most");
        }
        Ok(())
    }
}
