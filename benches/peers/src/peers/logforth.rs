//! logforth behind the log facade, with a file behind its asynchronous appender.

use std::path::Path;

use ::logforth::append::asynchronous::AsyncBuilder;
use ::logforth::append::file::FileBuilder;
use ::logforth::bridge::log::LogBridge;
use ::logforth::layout::TextLayout;
use log::LevelFilter;

use super::{Peer, calls};
use crate::Failure;

pub struct Async;

impl Peer for Async {
    const NAME: &'static str = "logforth";
    const CRATES: &'static str = "logforth 0.30.1, logforth-append-async 0.4.0";
    const SETTINGS: &'static str = "async file, unbounded (default), TextLayout; us";
    const EVENTS: u64 = 1_000_000;

    fn start(dir: &Path) -> Result<Async, Failure> {
        let layout = TextLayout::default().no_color();
        let file = FileBuilder::new(dir, "peer").layout(layout).build()?;
        let append = AsyncBuilder::new("logforth").append(file).build();
        let logger = ::logforth::core::builder().dispatch(|d| d.append(append)).build();
        log::set_boxed_logger(Box::new(LogBridge::new(logger)))?;
        log::set_max_level(LevelFilter::Info);
        Ok(Async)
    }

    calls!(log::info);

    fn finish(self) -> Result<(), Failure> {
        log::logger().flush();
        Ok(())
    }
}
