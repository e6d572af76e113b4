//! Who is measured.
//!
//! A peer is one file here and one line in [`PEERS`]. Its log calls are methods that hold the
//! peer's own macro, and the measuring loops are compiled for each peer, so that a call costs what
//! it costs in a program.

use std::path::Path;

use crate::Failure;
use crate::workload::Output;

mod baseline;
mod fast_log;
mod flexi_logger;
mod ftlog;
mod insomnilog;
mod log4rs;
mod logforth;
mod low_latency_log;
mod rollway;
mod slog;
mod spdlog;
mod ticklog;
mod tracing;

pub use self::rollway::worker;

/// All peers, in the order in which they run.
pub const PEERS: &[Entry] = &[
    Entry::of::<rollway::Text>(),
    Entry::of::<rollway::Journal>(),
    Entry::of::<rollway::Tcp>(),
    Entry::of::<baseline::MutexBufWriter>(),
    Entry::of::<ticklog::Dropping>(),
    Entry::of::<ticklog::Blocking>(),
    Entry::of::<insomnilog::Insomnilog>(),
    Entry::of::<low_latency_log::LowLatencyLog>(),
    Entry::of::<spdlog::AsyncPool>(),
    Entry::of::<tracing::Lossy>(),
    Entry::of::<tracing::Lossless>(),
    Entry::of::<fast_log::FastLog>(),
    Entry::of::<flexi_logger::Async>(),
    Entry::of::<ftlog::Dropping>(),
    Entry::of::<ftlog::Blocking>(),
    Entry::of::<slog::Dropping>(),
    Entry::of::<slog::Blocking>(),
    Entry::of::<logforth::Async>(),
    Entry::of::<log4rs::Synchronous>(),
];

/// A logger under measurement, running. Producer threads share it.
pub trait Peer: Sized + Sync {
    /// What the command line and the figures call it.
    const NAME: &'static str;
    /// The crates that it is made of, `name version`, separated by `, `.
    const CRATES: &'static str;
    /// How it is configured, and what its timestamps resolve, in a few words.
    const SETTINGS: &'static str;
    /// What it makes of the events.
    const OUTPUT: Output = Output::Text;
    /// Events of one throughput measurement: fewer for the slow, so that none takes long.
    const EVENTS: u64 = 2_000_000;

    /// Starts it with everything it writes in `dir`, which is empty. Once a process.
    fn start(dir: &Path) -> Result<Self, Failure>;

    /// What a thread that must not pay for its first call does before it.
    fn prepare_thread(&self) {}

    /// Logs an integer of each of two kinds, a float and a text.
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str);

    /// Logs two integers.
    fn int2(&self, order: i32, qty: i32);

    /// Logs one text.
    fn text(&self, text: &str);

    /// Stops it. Returns when everything that it will ever write is in its file, as far as its own
    /// interface can tell.
    fn finish(self) -> Result<(), Failure>;
}

/// The three log calls of [`Peer`] by a macro with the syntax of `log::info!`.
macro_rules! calls {
    ($($info:ident)::+) => {
        #[inline(always)]
        fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
            $($info)::+!("order {} filled qty {} px {} sym {}", order, qty, px, sym);
        }

        #[inline(always)]
        fn int2(&self, order: i32, qty: i32) {
            $($info)::+!("order {} qty {}", order, qty);
        }

        #[inline(always)]
        fn text(&self, text: &str) {
            $($info)::+!("{}", text);
        }
    };
}
use calls;

/// A row of [`PEERS`].
pub struct Entry {
    pub name: &'static str,
    pub crates: &'static str,
    pub settings: &'static str,
    pub output: Output,
    pub events: u64,
    /// Measures it in this process, which must not have measured before.
    pub measure: fn(&crate::job::Job) -> Result<crate::job::Outcome, Failure>,
}

impl Entry {
    const fn of<P: Peer>() -> Entry {
        Entry {
            name: P::NAME,
            crates: P::CRATES,
            settings: P::SETTINGS,
            output: P::OUTPUT,
            events: P::EVENTS,
            measure: crate::job::measure::<P>,
        }
    }

    /// Versions and settings, as figures state them.
    pub fn config(&self) -> String {
        format!("{}; {}", self.crates, self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_versions_are_those_that_are_built() {
        let lock = include_str!("../../Cargo.lock");
        for entry in PEERS {
            for stated in entry.crates.split(", ").filter(|stated| *stated != "std") {
                let (name, version) = stated.split_once(' ').expect("a name and a version");
                let package = format!("name = \"{name}\"\nversion = \"{version}\"\n");
                assert!(lock.contains(&package), "{}: {stated} is not what is built", entry.name);
            }
        }
    }

    #[test]
    fn each_peer_has_a_name_of_its_own() {
        let mut names: Vec<_> = PEERS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PEERS.len());
    }
}
