//! flexi_logger formats on the caller and hands the text to a writer thread.

use std::path::Path;

use flexi_logger::{FileSpec, Logger, LoggerHandle, WriteMode};

use super::{Peer, calls};
use crate::Failure;

pub struct Async(LoggerHandle);

impl Peer for Async {
    const NAME: &'static str = "flexi_logger";
    const CRATES: &'static str = "flexi_logger 0.31.10";
    const SETTINGS: &'static str = "WriteMode::Async, unbounded (default), detailed_format; us";

    fn start(dir: &Path) -> Result<Async, Failure> {
        let file = FileSpec::default().directory(dir).basename("peer").suppress_timestamp();
        let handle = Logger::try_with_str("info")?
            .log_to_file(file)
            .write_mode(WriteMode::Async)
            .format(flexi_logger::detailed_format)
            .start()?;
        Ok(Async(handle))
    }

    calls!(log::info);

    fn finish(self) -> Result<(), Failure> {
        self.0.shutdown();
        Ok(())
    }
}
