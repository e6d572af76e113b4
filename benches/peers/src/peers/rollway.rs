//! rollway, by where its events end: a text file, its journal, another process.

use std::path::Path;
use std::time::Duration;

use ::rollway::appender::{File, Forwarder};
use ::rollway::{Guard, InitError};

use super::{Peer, calls};
use crate::Failure;
use crate::receiver::Receiver;
use crate::workload::Output;

/// How long the end of a measurement may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(60);

fn finish(guard: Guard) -> Result<(), Failure> {
    match guard.shutdown(SHUTDOWN_MAX).left() {
        0 => Ok(()),
        left => Err(format!("{left} events were not delivered within {SHUTDOWN_MAX:?}").into()),
    }
}

/// The journal in memory, a text file as its appender.
pub struct Text(Guard);

impl Peer for Text {
    const NAME: &'static str = "rollway-text";
    const CRATES: &'static str = "rollway 0.1.0";
    const SETTINGS: &'static str = "default: journal in memory, File, simple layout, waits; ns";

    fn start(dir: &Path) -> Result<Text, Failure> {
        let file = File::new(dir.join("peer.log"));
        Ok(Text(::rollway::builder().appender("file", file).init()?))
    }

    fn prepare_thread(&self) {
        ::rollway::prepare_thread();
    }

    calls!(rollway::info);

    fn finish(self) -> Result<(), Failure> {
        finish(self.0)
    }
}

/// The journal in a directory, without an appender. An event outlives the process when its call
/// returns.
pub struct Journal(Guard);

impl Peer for Journal {
    const NAME: &'static str = "rollway-journal";
    const CRATES: &'static str = Text::CRATES;
    const SETTINGS: &'static str = "default: journal on disk, rings on tmpfs, waits; ns";
    const OUTPUT: Output = Output::Journal;

    fn start(dir: &Path) -> Result<Journal, Failure> {
        Ok(Journal(::rollway::builder().journal_dir(dir.join("journal")).init()?))
    }

    fn prepare_thread(&self) {
        ::rollway::prepare_thread();
    }

    calls!(rollway::info);

    fn finish(self) -> Result<(), Failure> {
        finish(self.0)
    }
}

/// As [`Journal`], and a forwarder to a master in another process, which writes a text file.
pub struct Tcp {
    guard: Guard,
    receiver: Receiver,
}

/// A worker that ships to a master.
pub fn worker(dir: &Path, address: &str) -> ::rollway::Builder {
    ::rollway::builder().journal_dir(dir).appender("master", Forwarder::new(address))
}

impl Peer for Tcp {
    const NAME: &'static str = "rollway-tcp";
    const CRATES: &'static str = Text::CRATES;
    const SETTINGS: &'static str = "default: journal on disk, rings on tmpfs, Forwarder to a master with a journal and a File; ns";
    const OUTPUT: Output = Output::Tcp;

    fn start(dir: &Path) -> Result<Tcp, Failure> {
        let receiver = Receiver::start(&dir.join("master"))?;
        let guard = worker(&dir.join("journal"), receiver.address()).init();
        Ok(Tcp { guard: guard.map_err(|error: InitError| error)?, receiver })
    }

    fn prepare_thread(&self) {
        ::rollway::prepare_thread();
    }

    calls!(rollway::info);

    fn finish(self) -> Result<(), Failure> {
        finish(self.guard)?;
        self.receiver.finish()
    }
}
