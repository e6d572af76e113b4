//! rsyslog, fed with frames that are rendered beforehand.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Collector, Sender};
use crate::Failure;
use crate::process::Process;
use crate::workload::mixed4;

const PROGRAM: &str = "rsyslogd";
/// How long its start and its end may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames in one write.
const BLOCK_FRAMES: u64 = 512;

pub fn version() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("-v").output();
    let output = output.map_err(|error| format!("{PROGRAM} is not installed ({error})"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // rsyslogd  8.2302.0 (aka 2023.02) compiled with:
    let version = text.split_ascii_whitespace().nth(1);
    version.map(|version| format!("rsyslog {version}")).ok_or("it tells no version".to_owned())
}

/// What differs between the two that are measured.
const STOCK: &str = "";
const BATCH: &str = "queue.type=\"LinkedList\" queue.size=\"500000\" \
    queue.dequeueBatchSize=\"4096\" queue.workerThreads=\"1\"";

pub struct Stock(Rsyslog);
pub struct Batch(Rsyslog);

macro_rules! collector {
    ($collector:ident, $queue:expr, $file:expr) => {
        impl Collector for $collector {
            type Sender = Connection;

            fn start(dir: &Path) -> Result<$collector, Failure> {
                Rsyslog::start(dir, $queue, $file).map($collector)
            }

            fn process(&self) -> &Process {
                &self.0.process
            }

            fn connect(&self, _: &Path, _: u64) -> Result<Connection, Failure> {
                self.0.connect()
            }

            fn finish(self) -> Result<(), Failure> {
                self.0.finish()
            }
        }
    };
}
collector!(Stock, STOCK, "");
collector!(Batch, BATCH, "ioBufferSize=\"256k\"");

struct Rsyslog {
    process: Process,
    port: u16,
}

impl Rsyslog {
    fn start(dir: &Path, queue: &str, file: &str) -> Result<Rsyslog, Failure> {
        let state = dir.join("state");
        fs::create_dir_all(&state)?;
        let (config, port_file) = (state.join("rsyslog.conf"), state.join("port"));
        let (at, log) = (state.display(), dir.join("peer.log"));
        let (log, port) = (log.display(), port_file.display());
        fs::write(
            &config,
            format!(
                r#"global(workDirectory="{at}")
module(load="imtcp")
template(name="line" type="string" string="%timestamp:::date-rfc3339% %hostname% %app-name% %msg%\n")
ruleset(name="in" {queue}) {{
    action(type="omfile" file="{log}" template="line" action.resumeRetryCount="-1" {file})
}}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{port}" ruleset="in")
"#
            ),
        )?;
        let mut process = Process::spawn_self(|command| {
            command.args(["become", PROGRAM, "-n", "-f"]).arg(&config);
            command.arg("-i").arg(state.join("pid")).stdin(Stdio::null()).stdout(Stdio::null());
        })?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let port = fs::read_to_string(&port_file).unwrap_or_default();
            if let Ok(port) = port.trim().parse() {
                return Ok(Rsyslog { process, port });
            }
            if let Some(status) = process.child().try_wait()? {
                return Err(format!("{PROGRAM} ended: {status}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{PROGRAM} did not listen within {PATIENCE:?}").into())
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        Ok(Connection { stream, block: Block::render() })
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.process.terminate()?;
        self.process.wait(PATIENCE).map(drop)
    }
}

/// One connection, and what it sends over and over.
pub struct Connection {
    stream: TcpStream,
    block: Block,
}

impl Sender for Connection {
    fn send(mut self, numbers: Range<u64>) -> Result<(), Failure> {
        let mut left = numbers.end - numbers.start;
        while left > 0 {
            let frames = left.min(BLOCK_FRAMES);
            self.stream.write_all(self.block.frames(frames))?;
            left -= frames;
        }
        Ok(())
    }
}

/// Frames of RFC 5424, a line each.
struct Block {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Block {
    fn render() -> Block {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for order in 0..BLOCK_FRAMES {
            let (qty, px, sym) = mixed4(order);
            let frame = format!(
                "<14>1 2026-01-02T03:04:05.678901Z worker peers 4711 - - order {order} filled qty \
                 {qty} px {px} sym {sym}\n"
            );
            bytes.extend_from_slice(frame.as_bytes());
            ends.push(bytes.len());
        }
        Block { bytes, ends }
    }

    /// The first `count` frames.
    fn frames(&self, count: u64) -> &[u8] {
        let end = (count as usize).checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_block_is_whole_frames() {
        let block = Block::render();
        for count in [0, 1, 7, BLOCK_FRAMES] {
            let frames = block.frames(count);
            assert_eq!(frames.iter().filter(|byte| **byte == b'\n').count(), count as usize);
            assert!(frames.is_empty() || frames.ends_with(b"\n"));
        }
    }
}
