//! A master with a journal and a text file.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use rollway::appender::File;
use rollway::journal::JournalOptions;
use rollway::master::{AckLevel, Limits, Master};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::worker::message_pattern;

/// Between two looks for the order to stop.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a master does, until it is killed or told to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    /// `host:port`; see [`free_address`].
    pub(crate) listen: String,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_max_bytes: Option<u64>,
    pub(crate) file: Option<PathBuf>,
    /// Acknowledges what is synced, not what is committed.
    pub(crate) acks_synced: bool,
    /// It shuts down and reports once this file is there.
    pub(crate) stop: PathBuf,
    /// What the shutdown may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// A second text file, of whatever kind: a pipe that nobody reads stalls it.
    pub(crate) second_file: Option<PathBuf>,
    /// Takes this many connections from one address.
    pub(crate) connections_per_address: Option<usize>,
    /// Lets each source send no more than this.
    pub(crate) bytes_per_second_per_source: Option<u64>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            listen: "localhost:0".to_owned(),
            journal: None,
            journal_max_bytes: None,
            file: None,
            acks_synced: false,
            stop: PathBuf::new(),
            timeout_ms: 60_000,
            second_file: None,
            connections_per_address: None,
            bytes_per_second_per_source: None,
        }
    }
}

/// An address on which nobody listens now: a master that is started again keeps it.
pub(crate) fn free_address() -> std::io::Result<String> {
    let listener = std::net::TcpListener::bind("localhost:0")?;
    Ok(format!("localhost:{}", listener.local_addr()?.port()))
}

/// Plays the master.
pub(crate) fn run(plan: Plan) -> Result<(), Box<dyn Error>> {
    let mut journal = match &plan.journal {
        Some(dir) => JournalOptions::directory(dir),
        None => JournalOptions::memory(),
    };
    if let Some(bytes) = plan.journal_max_bytes {
        journal = journal.max_bytes(bytes);
    }
    let mut builder = Master::builder().listen(&*plan.listen).journal(journal);
    if plan.acks_synced {
        builder = builder.ack_level(AckLevel::Synced);
    }
    if let Some(path) = &plan.file {
        builder = builder.appender("file", File::new(path).layout(message_pattern()));
    }
    if let Some(path) = &plan.second_file {
        builder = builder.appender("second", File::new(path).layout(message_pattern()));
    }
    let mut limits = Limits {
        bytes_per_second_per_source: plan.bytes_per_second_per_source,
        ..Limits::default()
    };
    if let Some(connections) = plan.connections_per_address {
        limits.connections_per_address = connections;
    }
    builder = builder.limits(limits);
    let master = builder.start()?;
    while !plan.stop.exists() {
        std::thread::sleep(LOOK_EVERY);
    }
    let report = master.shutdown(Duration::from_millis(plan.timeout_ms));
    let report = json!({
        "delivered": report.delivered(),
        "left": report.left(),
        "duplicates": report.stats.duplicates,
        "missing_blocks": report.stats.missing_blocks,
        "throttled": report.stats.throttled.len(),
    });
    println!("{report}");
    Ok(())
}
