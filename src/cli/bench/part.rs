//! One part of `rollway bench`, in a process of its own.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::args::{BenchPart, BenchPartArgs};
use super::super::exit::{Exit, Failure};
use super::{COMMAND, call, file, tcp};
use crate::engine::{Builder, FlushError, InitError, builder};

/// What the events of a part may take to get where they go, once the last call has returned.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of records that a part writes in all: disks wear out.
pub(super) const WRITTEN_BYTES_MAX: u64 = 8 << 30;
/// Calls between two looks at the time and the room.
const CALLS_PER_LOOK: u64 = 1 << 14;

/// Measures, and prints the figures as one line of JSON.
pub(in super::super) fn run(args: &BenchPartArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    // Nobody needs a part whose bench is gone.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let figures: Value = match args.part {
        BenchPart::Call => call::measure(args)?,
        BenchPart::Journal => file::measure_journal(args)?,
        BenchPart::Text => file::measure_text(args)?,
        BenchPart::Tcp => tcp::measure(args)?,
    };
    writeln!(out, "{figures}").and_then(|()| out.flush()).map_err(Failure::of_output)?;
    Ok(Exit::Ok)
}

/// The engine that services have by default with a journal directory.
pub(super) fn engine(args: &BenchPartArgs, journal_max_bytes: u64) -> Builder {
    let builder = builder()
        .service("rollway-bench")
        .journal_dir(args.dir.join("journal"))
        .journal_max_bytes(journal_max_bytes)
        .flush_timeout(FLUSH_LIMIT);
    match &args.rings {
        Some(rings) => builder.rings_dir(rings),
        None => builder,
    }
}

/// The message of most figures: three numbers and a string of 8 bytes.
#[inline(always)]
pub(super) fn mixed4(n: u64) {
    let (qty, px, sym) = (black_box(7_i32), black_box(1.25 + n as f64), black_box("ROLLWAYX"));
    crate::info!("order {} filled qty {} px {} sym {}", black_box(n), qty, px, sym);
}

/// Logs on one thread as fast as it can, for `seconds` or until `is_full`. Returns the calls.
pub(super) fn hurry(seconds: f64, is_full: impl Fn() -> bool) -> u64 {
    let begin = Instant::now();
    let mut calls = 0;
    while begin.elapsed().as_secs_f64() < seconds && !is_full() {
        for n in calls..calls + CALLS_PER_LOOK {
            mixed4(n);
        }
        calls += CALLS_PER_LOOK;
    }
    calls
}

pub(super) fn failure_of_start(error: &InitError) -> Failure {
    Failure::caused(Exit::Io, format!("{COMMAND}: cannot start"), error)
}

pub(super) fn failure_of_flush(error: FlushError) -> Failure {
    Failure::caused(Exit::Io, format!("{COMMAND}: it did not end in {FLUSH_LIMIT:?}"), &error)
}
