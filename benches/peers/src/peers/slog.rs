//! slog with its terminal format, behind the thread of slog-async.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use slog_async::{AsyncGuard, OverflowStrategy};
use slog_term::{FullFormat, PlainDecorator};

use ::slog::{Drain, Logger, info, o};

use super::Peer;
use crate::Failure;

pub struct Async<const BLOCK: bool> {
    logger: Logger,
    guard: AsyncGuard,
}

pub type Dropping = Async<false>;
pub type Blocking = Async<true>;

impl<const BLOCK: bool> Peer for Async<BLOCK> {
    const NAME: &'static str = if BLOCK { "slog-block" } else { "slog" };
    const CRATES: &'static str = "slog 2.8.2, slog-async 2.8.0, slog-term 2.9.2";
    const SETTINGS: &'static str = if BLOCK {
        "FullFormat into a BufWriter, 131,072 records, waits; ms"
    } else {
        "FullFormat into a BufWriter, 128 records, drops and reports (default); ms"
    };
    const EVENTS: u64 = 1_000_000;

    fn start(dir: &Path) -> Result<Self, Failure> {
        // Without a buffer slog-term makes several writes of a line.
        let file = BufWriter::new(File::create(dir.join("peer.log"))?);
        let format = FullFormat::new(PlainDecorator::new(file)).build().fuse();
        let mut drain = slog_async::Async::new(format);
        if BLOCK {
            drain = drain.chan_size(131_072).overflow_strategy(OverflowStrategy::Block);
        }
        let (drain, guard) = drain.build_with_guard();
        Ok(Async { logger: Logger::root(drain.fuse(), o!()), guard })
    }

    #[inline(always)]
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
        info!(self.logger, "order {} filled qty {} px {} sym {}", order, qty, px, sym);
    }

    #[inline(always)]
    fn int2(&self, order: i32, qty: i32) {
        info!(self.logger, "order {} qty {}", order, qty);
    }

    #[inline(always)]
    fn text(&self, text: &str) {
        info!(self.logger, "{}", text);
    }

    fn finish(self) -> Result<(), Failure> {
        drop(self.logger); // reports what it dropped
        drop(self.guard);
        Ok(())
    }
}
