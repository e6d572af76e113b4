//! tracing with its formatting subscriber, over the writer thread of tracing-appender.

use std::path::Path;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use super::{Peer, calls};
use crate::Failure;

pub struct NonBlocking<const LOSSY: bool>(WorkerGuard);

pub type Lossy = NonBlocking<true>;
pub type Lossless = NonBlocking<false>;

impl<const LOSSY: bool> Peer for NonBlocking<LOSSY> {
    const NAME: &'static str = if LOSSY { "tracing-lossy" } else { "tracing-lossless" };
    const CRATES: &'static str =
        "tracing 0.1.44, tracing-subscriber 0.3.23, tracing-appender 0.2.5";
    const SETTINGS: &'static str = if LOSSY {
        "fmt, non_blocking, 128,000 lines, drops (default); us"
    } else {
        "fmt, non_blocking, 128,000 lines, lossy(false) waits; us"
    };

    fn start(dir: &Path) -> Result<Self, Failure> {
        let file = tracing_appender::rolling::never(dir, "peer.log");
        let (writer, guard) = NonBlockingBuilder::default().lossy(LOSSY).finish(file);
        tracing_subscriber::fmt().with_writer(writer).with_ansi(false).init();
        Ok(NonBlocking(guard))
    }

    calls!(tracing::info);

    fn finish(self) -> Result<(), Failure> {
        drop(self.0); // waits for its thread, though not for ever
        Ok(())
    }
}
