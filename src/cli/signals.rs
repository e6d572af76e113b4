//! How a command that runs for long is told to end.

use std::io;
use std::sync::mpsc::{self, Receiver};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;

/// SIGINT and SIGTERM. The first ends the wait, the second the process.
pub(super) struct Signals {
    first: Receiver<()>,
}

impl Signals {
    /// Takes them from now on.
    pub(super) fn listen() -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let (sender, first) = mpsc::channel();
        std::thread::Builder::new().name("rollway-signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                either(&mut interrupt, &mut terminate).await;
                // Who waits for it may have ended by itself.
                let _ = sender.send(());
                either(&mut interrupt, &mut terminate).await;
                std::process::exit(Exit::Loss.code().into());
            })
        })?;
        Ok(Signals { first })
    }

    /// Waits for the first one.
    pub(super) fn wait(&self) {
        // The thread does not end before it has sent.
        let _ = self.first.recv();
    }

    /// Whether the first one has come. Says so once.
    pub(super) fn came(&self) -> bool {
        self.first.try_recv().is_ok()
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
