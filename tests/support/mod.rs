//! What the acceptance tests share: destinations, ledgers, children, a watchdog.
#![allow(dead_code, unreachable_pub, reason = "each test takes its part of it")]

pub mod child;
#[cfg(feature = "cli")]
pub mod command;
pub mod destination;
pub mod journal;
pub mod ledger;
pub mod load;
#[cfg(feature = "master")]
pub mod wire;

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rollway::appender::File;
use rollway::layout::Pattern;

/// No test takes longer, however slow the machine is.
pub const LIMIT: Duration = Duration::from_secs(180);
/// What shutdowns and flushes may take that are expected to succeed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the process with a message when it is not dropped in time: a hang must not hang the run.
#[must_use = "it watches until it is dropped"]
pub struct Watchdog {
    _alive: Sender<()>,
}

/// Watches the test that calls it.
pub fn watchdog() -> Watchdog {
    let (alive, gone) = channel::<()>();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if gone.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs: not done after {LIMIT:?}");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

/// Waits until `reached`; panics with `what` after [`PATIENCE`].
pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the long run is wanted.
pub fn is_long_run() -> bool {
    std::env::var_os("ROLLWAY_LONG").is_some()
}

/// A file appender that writes a message a line.
pub fn message_file(path: &Path) -> File {
    File::new(path).layout(Pattern::parse("%m%n").unwrap())
}

/// The lines of a file.
pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// How often each line occurs.
pub fn tally(lines: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for line in lines {
        *counts.entry(line.as_str()).or_insert(0) += 1;
    }
    counts
}

/// Numbers from a seed: SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}
