//! low_latency_log sends a boxed closure for each call: what is borrowed must be cloned by hand.

use std::path::Path;

use ::low_latency_log::{Logger, LoggerGuard, RollingCondition, info};

use super::Peer;
use crate::Failure;

pub struct LowLatencyLog(LoggerGuard);

impl Peer for LowLatencyLog {
    const NAME: &'static str = "low_latency_log";
    const CRATES: &'static str = "low_latency_log 0.2.0";
    const SETTINGS: &'static str = "131,072 closures, waits (default); ns";

    fn start(dir: &Path) -> Result<LowLatencyLog, Failure> {
        let dir = dir.to_str().ok_or("low_latency_log takes paths in UTF-8 alone")?.to_owned();
        let logger = Logger::new(RollingCondition::new(), dir, "peer.log".to_owned());
        Ok(LowLatencyLog(logger.init()?))
    }

    #[inline(always)]
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
        let sym = sym.to_owned();
        info!("order {} filled qty {} px {} sym {}", order, qty, px, sym);
    }

    #[inline(always)]
    fn int2(&self, order: i32, qty: i32) {
        info!("order {} qty {}", order, qty);
    }

    #[inline(always)]
    fn text(&self, text: &str) {
        let text = text.to_owned();
        info!("{}", text);
    }

    fn finish(self) -> Result<(), Failure> {
        drop(self.0);
        Ok(())
    }
}
