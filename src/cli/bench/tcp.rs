//! How many events a second a master acknowledges that is reached over loopback.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::args::BenchPartArgs;
use super::super::exit::{Exit, Failure};
use super::COMMAND;
use super::part::{
    FLUSH_LIMIT, WRITTEN_BYTES_MAX, engine, failure_of_flush, failure_of_start, hurry,
};
use crate::appender::Forwarder;
use crate::engine::prepare_thread;
use crate::journal::JournalOptions;
use crate::master::Master;

/// Of each side's journal.
const JOURNAL_BYTES_MAX: u64 = 32 << 20;

/// From the first call until the master has acknowledged the last event. It keeps them in a journal
/// directory and hands them to nobody. Both sides are threads of this process.
pub(super) fn measure(args: &BenchPartArgs) -> Result<Value, Failure> {
    let journal = JournalOptions::directory(args.dir.join("master")).max_bytes(JOURNAL_BYTES_MAX);
    let master =
        Master::builder().listen("127.0.0.1:0").journal(journal).start().map_err(|error| {
            Failure::caused(Exit::Io, format!("{COMMAND}: cannot start a master"), &error)
        })?;
    let guard = engine(args, JOURNAL_BYTES_MAX)
        .appender("master", Forwarder::new(master.local_addr().to_string()))
        .init()
        .map_err(|error| failure_of_start(&error))?;
    prepare_thread();
    let begin = Instant::now();
    let events = hurry(args.seconds, || guard.stats().record_bytes > WRITTEN_BYTES_MAX);
    guard.flush().map_err(failure_of_flush)?;
    let seconds = begin.elapsed().as_secs_f64();
    let report = guard.shutdown(FLUSH_LIMIT);
    let received = master.shutdown(FLUSH_LIMIT).stats.events;
    Ok(json!({
        "events": events, "seconds": seconds,
        "events_per_second": events as f64 / seconds,
        "lost": report.dropped.total() + events.saturating_sub(received),
    }))
}
