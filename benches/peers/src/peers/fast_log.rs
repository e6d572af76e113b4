//! fast_log formats the message on the caller and the line on its threads.

use std::path::Path;

use fast_log::Config;
use log::LevelFilter;

use super::{Peer, calls};
use crate::Failure;

pub struct FastLog;

impl Peer for FastLog {
    const NAME: &'static str = "fast_log";
    const CRATES: &'static str = "fast_log 1.7.10";
    const SETTINGS: &'static str = "file appender, unbounded (default); us";

    fn start(dir: &Path) -> Result<FastLog, Failure> {
        let path = dir.join("peer.log");
        let path = path.to_str().ok_or("fast_log takes paths in UTF-8 alone")?;
        fast_log::init(Config::new().file(path).level(LevelFilter::Info))
            .map_err(|error| error.to_string())?;
        Ok(FastLog)
    }

    calls!(log::info);

    fn finish(self) -> Result<(), Failure> {
        fast_log::flush().map_err(|error| error.to_string())?.wait();
        Ok(())
    }
}
