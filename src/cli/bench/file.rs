//! How many events a second get to the disk: into a journal directory, and as lines of text.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::args::BenchPartArgs;
use super::super::exit::{Exit, Failure};
use super::COMMAND;
use super::part::{
    FLUSH_LIMIT, WRITTEN_BYTES_MAX, engine, failure_of_flush, failure_of_start, hurry,
};
use crate::Durability;
use crate::appender::File;
use crate::engine::prepare_thread;

/// The journal's segments are used again and again; what is not synced at the end is no more.
const JOURNAL_BYTES_MAX: u64 = 512 << 20;
/// Of the journal in front of a text file: the calls cannot run ahead of the lines further.
const AHEAD_BYTES_MAX: u64 = 32 << 20;

/// From the first call until everything is in the journal, and until all of it is synced.
pub(super) fn measure_journal(args: &BenchPartArgs) -> Result<Value, Failure> {
    let guard = engine(args, args.disk_bytes.min(JOURNAL_BYTES_MAX))
        .init()
        .map_err(|error| failure_of_start(&error))?;
    prepare_thread();
    let begin = Instant::now();
    let events = hurry(args.seconds, || guard.stats().record_bytes > WRITTEN_BYTES_MAX);
    guard.flush().map_err(failure_of_flush)?;
    let seconds = begin.elapsed().as_secs_f64();
    guard.flush_to(Durability::L2).map_err(failure_of_flush)?;
    let synced_seconds = begin.elapsed().as_secs_f64();
    let stats = guard.stats();
    Ok(json!({
        "events": events, "seconds": seconds,
        "events_per_second": events as f64 / seconds,
        "synced_events_per_second": events as f64 / synced_seconds,
        "record_bytes_per_event": stats.record_bytes as f64 / events.max(1) as f64,
        "lost": stats.dropped.total(),
    }))
}

/// From the first call until the last line is in the file.
pub(super) fn measure_text(args: &BenchPartArgs) -> Result<Value, Failure> {
    let path = args.dir.join("bench.log");
    let guard = engine(args, AHEAD_BYTES_MAX)
        .appender("file", File::new(&path))
        .init()
        .map_err(|error| failure_of_start(&error))?;
    prepare_thread();
    let file_bytes = || std::fs::metadata(&path).map_or(0, |file| file.len());
    let begin = Instant::now();
    let lines = hurry(args.seconds, || file_bytes() > args.disk_bytes / 2);
    guard.flush().map_err(failure_of_flush)?;
    let seconds = begin.elapsed().as_secs_f64();
    let report = guard.shutdown(FLUSH_LIMIT);
    let bytes = std::fs::metadata(&path).map(|file| file.len()).map_err(|error| {
        Failure::caused(Exit::Io, format!("{COMMAND}: {}", path.display()), &error)
    })?;
    Ok(json!({
        "lines": lines, "seconds": seconds,
        "lines_per_second": lines as f64 / seconds,
        "bytes_per_line": bytes as f64 / lines.max(1) as f64,
        "lost": report.dropped.total() + report.left(),
    }))
}
