//! insomnilog: raw arguments in a ring of each thread, formatted by its thread.

use std::path::Path;
use std::sync::Arc;

use ::insomnilog::{
    BackendOptions, ContinuousFileSink, LogLevel, Logger, PatternFormatter, ShutdownGuard, log_info,
};

use super::Peer;
use crate::Failure;

pub struct Insomnilog {
    logger: Arc<Logger>,
    guard: ShutdownGuard,
}

impl Peer for Insomnilog {
    const NAME: &'static str = "insomnilog";
    const CRATES: &'static str = "insomnilog 0.3.0";
    const SETTINGS: &'static str = "rings of 128 KiB, drops (default, the only way); ms";

    fn start(dir: &Path) -> Result<Insomnilog, Failure> {
        let guard = ::insomnilog::start(BackendOptions::default())?;
        let format = PatternFormatter::default();
        let path = dir.join("peer.log");
        let sink = Arc::new(ContinuousFileSink::try_new(format, LogLevel::Info, path)?);
        let logger = ::insomnilog::create_logger("peer", vec![sink], LogLevel::Info)?;
        Ok(Insomnilog { logger, guard })
    }

    fn prepare_thread(&self) {
        ::insomnilog::preallocate_thread();
    }

    #[inline(always)]
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
        log_info!(self.logger, "order {} filled qty {} px {} sym {}", order, qty, px, sym);
    }

    #[inline(always)]
    fn int2(&self, order: i32, qty: i32) {
        log_info!(self.logger, "order {} qty {}", order, qty);
    }

    #[inline(always)]
    fn text(&self, text: &str) {
        log_info!(self.logger, "{}", text);
    }

    fn finish(self) -> Result<(), Failure> {
        drop(self.guard);
        Ok(())
    }
}
