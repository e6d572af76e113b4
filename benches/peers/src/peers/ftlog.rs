//! ftlog formats the message on the caller and the line on its thread.

use std::path::Path;

use ::ftlog::LoggerGuard;
use ::ftlog::appender::FileAppender;

use super::{Peer, calls};
use crate::Failure;

/// Messages that wait, as by default.
const WAITING_MESSAGES: usize = 100_000;

pub struct Ftlog<const BLOCK: bool>(LoggerGuard);

pub type Dropping = Ftlog<false>;
pub type Blocking = Ftlog<true>;

impl<const BLOCK: bool> Peer for Ftlog<BLOCK> {
    const NAME: &'static str = if BLOCK { "ftlog-block" } else { "ftlog" };
    const CRATES: &'static str = "ftlog 0.2.18";
    const SETTINGS: &'static str =
        if BLOCK { "100,000 messages, waits; ms" } else { "100,000 messages, drops (default); ms" };
    const EVENTS: u64 = 1_000_000;

    fn start(dir: &Path) -> Result<Self, Failure> {
        let guard = ::ftlog::builder()
            .bounded(WAITING_MESSAGES, BLOCK)
            .root(FileAppender::new(dir.join("peer.log")))
            .try_init()
            .map_err(|error| error.to_string())?;
        Ok(Ftlog(guard))
    }

    calls!(log::info);

    fn finish(self) -> Result<(), Failure> {
        drop(self.0);
        Ok(())
    }
}
