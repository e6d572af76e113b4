//! log4rs writes on the caller: it has no asynchronous appender.

use std::path::Path;

use log::LevelFilter;
use log4rs::append::file::FileAppender;
use log4rs::config::{Appender, Config, Root};
use log4rs::encode::pattern::PatternEncoder;

use super::{Peer, calls};
use crate::Failure;

pub struct Synchronous;

impl Peer for Synchronous {
    const NAME: &'static str = "log4rs";
    const CRATES: &'static str = "log4rs 1.4.0";
    const SETTINGS: &'static str = "file appender, on the caller, flushes each line (default); ns";
    const EVENTS: u64 = 1_000_000;

    fn start(dir: &Path) -> Result<Synchronous, Failure> {
        let pattern = PatternEncoder::new("{d(%Y-%m-%dT%H:%M:%S%.9f)} {l} {t} - {m}{n}");
        let file =
            FileAppender::builder().encoder(Box::new(pattern)).build(dir.join("peer.log"))?;
        let config = Config::builder()
            .appender(Appender::builder().build("file", Box::new(file)))
            .build(Root::builder().appender("file").build(LevelFilter::Info))?;
        log4rs::init_config(config)?;
        Ok(Synchronous)
    }

    calls!(log::info);

    fn finish(self) -> Result<(), Failure> {
        log::logger().flush();
        Ok(())
    }
}
