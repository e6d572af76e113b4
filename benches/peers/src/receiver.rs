//! A rollway master in a process of its own.

use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rollway::appender::File;
use rollway::journal::JournalOptions;
use rollway::master::Master;

use crate::Failure;
use crate::process::{Process, die_with_parent};

/// How long its end may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(60);

/// A running master, as its parent sees it.
pub struct Receiver {
    pub process: Process,
    address: String,
}

impl Receiver {
    /// Starts one that writes a text file in `dir`, and its journal beneath.
    pub fn start(dir: &Path) -> Result<Receiver, Failure> {
        std::fs::create_dir_all(dir)?;
        let mut process = Process::spawn_self(|command| {
            command.arg("receiver").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let output = process.child().stdout.take().ok_or("it has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        match address.trim() {
            "" => Err("the master did not start".into()),
            address => Ok(Receiver { process, address: address.to_owned() }),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets it deliver what it has, and waits for its end.
    pub fn finish(mut self) -> Result<(), Failure> {
        drop(self.process.child().stdin.take());
        let status = self.process.wait(SHUTDOWN_MAX)?;
        status.success().then_some(()).ok_or_else(|| format!("the master ended: {status}").into())
    }
}

/// The process itself: says where it listens, and ends when its input does.
pub fn serve(dir: &Path) -> Result<(), Failure> {
    die_with_parent()?;
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(dir.join("journal")))
        .appender("file", File::new(dir.join("peer.log")))
        .start()?;
    println!("{}", master.local_addr());
    stdin().read_to_end(&mut Vec::new())?;
    match master.shutdown(SHUTDOWN_MAX).left() {
        0 => Ok(()),
        left => Err(format!("the master left {left} events undelivered").into()),
    }
}
