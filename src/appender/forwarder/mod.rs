//! Ships the blocks of a journal to a master, see `docs/protocol.md`.
//!
//! After each connection it resumes where the master says, even below its own record, so it moves
//! through the journal by itself. A second thread, which lives as long as a connection, takes the
//! acknowledgements and watches over the silence of the other side.

mod connection;
mod feed;
mod link;
mod masters;
mod monitor;
mod resume;
mod shipping;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use monitor::{ForwarderMonitor, ForwarderState, ForwarderStats};

use super::{Open, OpenError, Opened, Place};
use crate::event::SourceInfo;
use crate::journal::{CursorFile, Position};
use crate::net::{DEFAULT_WINDOW_BYTES, HANDSHAKE_LIMIT};
use masters::{Masters, Record};
use shipping::{RETRY_MIN, Shipping};

/// A destination for whole blocks: a master, reached over TCP.
///
/// The journal keeps what is not acknowledged. A master that is not there is tried again for ever.
/// With [`Forwarder::or`] there are others to take its place; `docs/protocol.md` says when, and
/// what that means for exactly once.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rollway::appender::Forwarder;
/// let forwarder = Forwarder::new("logs.example:5000")
///     .or("spare.example:5000")
///     .connect_timeout(Duration::from_secs(2));
/// let monitor = forwarder.monitor();
/// // … builder.appender("master", forwarder) …
/// assert_eq!(monitor.stats().delivered, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Forwarder {
    masters: Vec<String>,
    connect_timeout: Duration,
    window_bytes: u64,
    term: u64,
    /// Whether the journal may lack runs that another one of the source has.
    is_part: bool,
    monitor: ForwarderMonitor,
    /// The process that has made it.
    pid: u32,
}

impl Forwarder {
    /// Ships to the master at `address`: `host:port`, where `localhost` and 5000 stand for what is
    /// left out.
    pub fn new(address: impl Into<String>) -> Forwarder {
        Forwarder {
            masters: vec![address.into()],
            connect_timeout: HANDSHAKE_LIMIT,
            window_bytes: DEFAULT_WINDOW_BYTES,
            term: 0,
            is_part: false,
            monitor: ForwarderMonitor::default(),
            pid: std::process::id(),
        }
    }

    /// Ships to the first of these masters that works, in their order. With none of them it cannot
    /// be opened.
    pub fn to<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Forwarder {
        let masters = addresses.into_iter().map(Into::into).collect();
        Forwarder { masters, ..Forwarder::new("") }
    }

    /// Adds a master to ship to when those before do not work: each is left after 5 s for the next
    /// one, the last for the first. The one that works is kept until it does not.
    #[must_use]
    pub fn or(mut self, address: impl Into<String>) -> Forwarder {
        self.masters.push(address.into());
        self
    }

    /// How long a connection may take to come about: 5 s by default.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Forwarder {
        Forwarder { connect_timeout, ..self }
    }

    /// Bytes that may be sent and not acknowledged: 4 MiB by default. One frame may always be under
    /// way, whatever its size.
    #[must_use]
    pub fn window_bytes(self, window_bytes: u64) -> Forwarder {
        Forwarder { window_bytes, ..self }
    }

    /// The term of the election that made this process the one to ship: 0 by default. Between two
    /// that ship the same run, the greater one wins.
    #[must_use]
    pub fn term(self, term: u64) -> Forwarder {
        Forwarder { term, ..self }
    }

    /// Ships a journal that may be a part of the source's own: the master forgets no older runs.
    #[cfg(feature = "cli")]
    pub(crate) fn of_a_part(self) -> Forwarder {
        Forwarder { is_part: true, ..self }
    }

    /// Shows what this forwarder does, once it runs and after its end.
    pub fn monitor(&self) -> ForwarderMonitor {
        self.monitor.clone()
    }
}

impl Open for Forwarder {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let refused = |what, path: Option<&Path>, source| OpenError {
            name: place.name.to_owned(),
            path: path.map(Path::to_owned),
            what,
            source,
        };
        let masters = Masters::new(&self.masters).map_err(|what| refused(what, None, None))?;
        let segments = place.segments().map_err(|source| {
            let what = "it cannot be listed; make the journal directory readable";
            refused(what, place.journal_dir, Some(source))
        })?;
        // Nobody knows what the process before this one has sent of the older segments.
        let sent = segments.map_or_else(Position::default, |segments| Position {
            generation: *segments.end(),
            ..Position::default()
        });
        let file = place.cursor()?;
        // Without a record to trust, anything in the journal may be unsent, whichever run wrote it.
        let stored = file.as_ref().and_then(CursorFile::resume);
        let settled = stored.map_or_else(Position::default, |slot| slot.position);
        let sender = SourceInfo {
            source: place.source,
            epoch: place.epoch,
            pid: std::process::id(),
            service: place.service.into(),
            host: crate::sys::file::host_name().into(),
        };
        // What is shipped for a dead member of a cluster is not shown. And a forked child leaves a lock
        // alone that was held at the fork: it is so for ever.
        let is_usable = self.pid == std::process::id() || self.monitor.is_free();
        let is_shown = place.term == 0 && is_usable;
        let monitor = if is_shown { self.monitor.clone() } else { ForwarderMonitor::default() };
        Ok(Opened::Blocks(Box::new(Shipping {
            monitor,
            forwarder: Forwarder { term: self.term.max(place.term), ..self.clone() },
            record: Record::of(stored.map(|slot| slot.file), &masters, sent),
            masters,
            sent,
            output: place.outputs.open(),
            sender,
            file,
            stored: Instant::now(),
            settled,
            acknowledged: settled,
            is_unproven: false,
            retry: RETRY_MIN,
            doubtful_since: Instant::now(),
            last_sent: Instant::now(),
        })))
    }

    fn ships_blocks(&self) -> bool {
        true
    }
}

/// Locks, whoever panicked meanwhile: the data of this module is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appender::OwnedPlace;

    #[test]
    fn an_address_that_makes_no_sense_is_refused_by_name() {
        let place = OwnedPlace::in_test(None);
        let place = place.of("master", Position::default());
        for wrong in [Forwarder::new("logs:http"), Forwarder::new("logs").or("spare:http")] {
            let error = wrong.open(&place).err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(error.contains("`master`") && error.contains("host:port"), "{error}");
        }
        let none = Forwarder::to([""; 0]).open(&place).err().map(|error| error.to_string());
        assert!(none.unwrap_or_default().contains("name at least one"));
    }
}
