//! The description of a master.

use super::AckLevel;
use crate::appender::Open;
use crate::engine::group::Appenders;
use crate::engine::syncing::SyncPolicy;
use crate::engine::tending::Tending;
use crate::journal::JournalOptions;
use crate::mask::Mask;
use crate::net::DEFAULT_WINDOW_BYTES;
use crate::route::composite::Composite;
use crate::route::{Category, Router};
use crate::sys::output::IoMethod;

/// Bounds of what a master takes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at a time: 4,096 by default.
    pub connections: usize,
    /// Connections from one address at a time: 64 by default.
    pub connections_per_address: usize,
    /// Bytes that are read and not yet stored: 64 MiB by default, never less than 16 MiB. A quarter
    /// is for frames of more than 512 KiB. One connection has at most 8 MiB of them.
    pub unstored_bytes: usize,
    /// How fast each source may send, on the average; `None`, the default, is as fast as it can.
    /// Who sends more is read later, and its own journal keeps what it cannot send. After a silence
    /// as much as in one second may come at once.
    pub bytes_per_second_per_source: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            connections_per_address: 64,
            unstored_bytes: 64 << 20,
            bytes_per_second_per_source: None,
        }
    }
}

/// A master that is not started yet.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use rollway::appender::File;
/// use rollway::journal::JournalOptions;
/// use rollway::master::{AckLevel, Master};
///
/// let master = Master::builder()
///     .listen("localhost:5000")
///     .journal(JournalOptions::directory("/var/lib/rollway"))
///     .ack_level(AckLevel::Synced)
///     .appender("all", File::new("/var/log/all.log"))
///     .start()?;
/// println!("listening on {}", master.local_addr());
/// # let stop = || {};
/// stop();
/// let report = master.shutdown(Duration::from_secs(5));
/// println!("{} events delivered, {} left", report.delivered(), report.left());
/// # Ok::<(), rollway::master::MasterError>(())
/// ```
#[derive(Clone)]
pub struct MasterBuilder {
    pub(super) listen: String,
    pub(super) journal: JournalOptions,
    pub(super) level: Option<AckLevel>,
    pub(super) sync: SyncPolicy,
    pub(super) window_bytes: u64,
    pub(super) limits: Limits,
    pub(super) io_method: IoMethod,
    pub(super) appenders: Appenders,
    pub(super) router: Router,
    pub(super) tending: Tending<MasterBuilder>,
}

impl MasterBuilder {
    pub(super) fn new() -> MasterBuilder {
        MasterBuilder {
            listen: String::new(),
            journal: JournalOptions::memory(),
            level: None,
            sync: SyncPolicy::default(),
            window_bytes: DEFAULT_WINDOW_BYTES,
            limits: Limits::default(),
            io_method: IoMethod::Write,
            appenders: Appenders::default(),
            router: Router::new(),
            tending: Tending::default(),
        }
    }

    /// The address to listen on: `host:port`, where `localhost` and 5000 stand for what is left out.
    /// Port 0 lets the system choose.
    #[must_use]
    pub fn listen(self, address: impl Into<String>) -> MasterBuilder {
        MasterBuilder { listen: address.into(), ..self }
    }

    /// Where the journal lives. By default it is in memory: then an acknowledgement says only that
    /// the master's memory has the block, and what was not delivered ends with the master. Give it a
    /// directory.
    #[must_use]
    pub fn journal(self, journal: JournalOptions) -> MasterBuilder {
        MasterBuilder { journal, ..self }
    }

    /// What an acknowledgement promises: [`AckLevel::Committed`] by default with a journal directory,
    /// [`AckLevel::Memory`] without. With [`AckLevel::Synced`] the appenders, too, get only what is
    /// synced.
    #[must_use]
    pub fn ack_level(self, level: AckLevel) -> MasterBuilder {
        MasterBuilder { level: Some(level), ..self }
    }

    /// When a journal directory is synced by a thread of its own, every 500 ms by default; no
    /// acknowledgement waits for it. With [`AckLevel::Synced`] each acknowledgement comes after a sync
    /// anyway, and this says nothing.
    #[must_use]
    pub fn sync(self, policy: SyncPolicy) -> MasterBuilder {
        MasterBuilder { sync: policy, ..self }
    }

    /// Bytes that a worker may have sent and not acknowledged: 4 MiB by default. A worker may want
    /// less.
    #[must_use]
    pub fn window_bytes(self, window_bytes: u64) -> MasterBuilder {
        MasterBuilder { window_bytes, ..self }
    }

    /// Bounds of what it takes on.
    #[must_use]
    pub fn limits(self, limits: Limits) -> MasterBuilder {
        MasterBuilder { limits, ..self }
    }

    /// How the journal and the text files are written; by default [`IoMethod::Write`]. What a file
    /// gets is the same.
    #[must_use]
    pub fn io_method(self, method: IoMethod) -> MasterBuilder {
        MasterBuilder { io_method: method, ..self }
    }

    /// Adds a destination. It gets every event that is received, of whatever level, unless
    /// [`MasterBuilder::route`] sends it elsewhere.
    #[must_use]
    pub fn appender(
        mut self,
        name: impl Into<String>,
        appender: impl Open + 'static,
    ) -> MasterBuilder {
        self.appenders.push(name.into(), Box::new(appender));
        self
    }

    /// Adds a destination that was chosen at run time.
    #[must_use]
    pub fn boxed_appender(
        mut self,
        name: impl Into<String>,
        appender: Box<dyn Open>,
    ) -> MasterBuilder {
        self.appenders.push(name.into(), appender);
        self
    }

    /// Says which appenders get the events of a category. From which level on events are taken is
    /// decided where they are logged: the category's own level means nothing here.
    #[must_use]
    pub fn category(mut self, category: &Category) -> MasterBuilder {
        self.router.category(category);
        self
    }

    /// Hides values from all appenders: see [`Mask`]. The journal has them as they came. A second mask
    /// replaces the first.
    #[must_use]
    pub fn mask(mut self, mask: Mask) -> MasterBuilder {
        self.router.mask(mask);
        self
    }

    /// Whether an appender gets an event once, however often the event's category and those above
    /// name it; by default it does. Otherwise it gets the event as often.
    #[must_use]
    pub fn one_message_per_appender(mut self, once: bool) -> MasterBuilder {
        self.router.one_message_per_appender(once);
        self
    }

    /// Sends events of `category`, and of all below it, to these appenders alone: a
    /// [`category`](MasterBuilder::category) that is not additive.
    #[must_use]
    pub fn route<'a>(
        mut self,
        category: &str,
        appenders: impl IntoIterator<Item = &'a str>,
    ) -> MasterBuilder {
        self.router.route(category, appenders);
        self
    }

    /// Adds what stands between categories and appenders: filters, buffers, limits, locks. Its relays,
    /// appenders and other composites, may be added before it or behind it. An appender that is a relay
    /// gets what comes through its composites, and what routes send to itself.
    #[must_use]
    pub fn composite(mut self, name: &str, composite: impl Into<Composite>) -> MasterBuilder {
        self.router.composite(name, composite);
        self
    }
}
