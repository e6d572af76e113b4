//! ticklog: raw arguments in a ring of each thread, formatted by a thread that spins.

use std::path::Path;

use ::ticklog::{Backpressure, FileSink, Guard, Level};

use super::{Peer, calls};
use crate::Failure;

// The log macros look for two helpers, which `configure!` writes into the crate's root, where calls
// in other modules do not find them. These stand before the calls.
macro_rules! __ticklog_max_level {
    () => {
        Level::Info
    };
}
macro_rules! __ticklog_backpressure {
    () => {
        Self::POLICY
    };
}

pub struct Ticklog<const BLOCK: bool>(Guard);

pub type Dropping = Ticklog<false>;
pub type Blocking = Ticklog<true>;

impl<const BLOCK: bool> Ticklog<BLOCK> {
    const POLICY: Backpressure = if BLOCK { Backpressure::Block } else { Backpressure::Drop };
}

impl<const BLOCK: bool> Peer for Ticklog<BLOCK> {
    const NAME: &'static str = if BLOCK { "ticklog-block" } else { "ticklog" };
    const CRATES: &'static str = "ticklog 0.1.2";
    const SETTINGS: &'static str =
        if BLOCK { "rings of 1 MiB, spins; ns" } else { "rings of 1 MiB, drops (default); ns" };

    fn start(dir: &Path) -> Result<Self, Failure> {
        Ok(Ticklog(open(FileSink::new(dir.join("peer.log"))?)?))
    }

    fn prepare_thread(&self) {
        // A thread that cannot have its ring now tries again at its first call.
        let _ = ::ticklog::warm_up();
    }

    calls!(ticklog::info);

    fn finish(self) -> Result<(), Failure> {
        drop(self.0);
        Ok(())
    }
}

fn open(sink: FileSink) -> Result<Guard, Failure> {
    let guard = ::ticklog::configure! { sink: sink };
    Ok(guard?)
}
