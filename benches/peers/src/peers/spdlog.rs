//! spdlog-rs: a file behind the thread of an asynchronous pool.

use std::path::Path;
use std::sync::Arc;

use ::spdlog::sink::{AsyncPoolSink, FileSink};
use ::spdlog::{Logger, ThreadPool};

use super::Peer;
use crate::Failure;

pub struct AsyncPool {
    logger: Arc<Logger>,
    pool: Arc<ThreadPool>,
}

impl Peer for AsyncPool {
    const NAME: &'static str = "spdlog-rs";
    const CRATES: &'static str = "spdlog-rs 0.5.3";
    const SETTINGS: &'static str =
        "AsyncPoolSink over FileSink, 8,192 records, waits (default); ms";

    fn start(dir: &Path) -> Result<AsyncPool, Failure> {
        let pool = Arc::new(ThreadPool::new()?);
        let file = FileSink::builder().path(dir.join("peer.log")).build_arc()?;
        let sink = AsyncPoolSink::builder().sink(file).thread_pool(pool.clone()).build_arc()?;
        let logger = Logger::builder().sink(sink).build_arc()?;
        Ok(AsyncPool { logger, pool })
    }

    #[inline(always)]
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
        ::spdlog::info!(
            logger: self.logger, "order {} filled qty {} px {} sym {}", order, qty, px, sym
        );
    }

    #[inline(always)]
    fn int2(&self, order: i32, qty: i32) {
        ::spdlog::info!(logger: self.logger, "order {} qty {}", order, qty);
    }

    #[inline(always)]
    fn text(&self, text: &str) {
        ::spdlog::info!(logger: self.logger, "{}", text);
    }

    fn finish(self) -> Result<(), Failure> {
        self.logger.flush();
        drop(self.logger);
        drop(self.pool); // the last one: it waits for its thread
        Ok(())
    }
}
