//! The delivery of `rollway recover --send`: what a master does not have of a journal that nobody runs.

use std::cmp::Ordering;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::RecoverArgs;
use super::exit::{Exit, Failure};
use super::watch::{Watch, read_all, unreadable};
use crate::appender::{Forwarder, Open, OwnedPlace};
use crate::engine::outlet::Outlet;
use crate::engine::selflog;
use crate::journal::{Position, Reads, segment_paths};
use crate::recover::{Owner, View};
use crate::route::{Gate, Router};
use crate::sys::output::{IoMethod, Outputs};

/// The name of the appender that sends.
const APPENDER: &str = "recover";
/// How often the progress of a delivery is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What the end of a delivery may take that has nothing to send any more, or cannot.
const END_LIMIT: Duration = Duration::from_millis(1000);

/// Sends what the master does not have, every source of the journal for itself. What is wrong with
/// `segments` is told first. Yields how much of them and of the rings is readable.
pub(super) fn deliver(
    args: &RecoverArgs,
    dir: &Path,
    segments: &[PathBuf],
    master: &str,
    watch: &mut Watch<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let view = View::of(dir).map_err(|error| unreadable(dir, &error))?;
    if view.leftovers.owner == Owner::Alive {
        let dir = dir.display();
        let what = format!("{dir} belongs to a running process, which delivers it by itself");
        return Err(Failure::new(Exit::Io, what));
    }
    let (findings, damaged_bytes) = (watch.findings, watch.damaged_bytes);
    let (events, _) = read_all(dir, segments, watch)?;
    for reason in &view.recovered.unreadable {
        watch.tell(&format!("a ring cannot be read: {reason}"));
    }
    if watch.damaged_bytes > damaged_bytes {
        watch.note(&format!(
            "{} is damaged: what is sent of it may lack threads and contexts that were defined in \
             the damage; with --salvage --out DIR only what is certain is sent",
            dir.display()
        ));
    }
    let readable = events + view.recovered.record_bytes;
    let is_whole = watch.findings == findings;
    let mut sources: Vec<(u128, u64)> = Vec::new();
    for (source, epoch) in view.marks.keys() {
        match sources.last_mut() {
            Some((last, newest)) if last == source => *newest = *epoch.max(newest),
            _ => sources.push((*source, *epoch)),
        }
    }
    let sizes = sizes_of(dir);
    let (total, runs) = (sizes.iter().map(|(_, bytes)| bytes).sum::<u64>(), sources.len() as u64);
    let mut sent = Sent::default();
    for (turn, (source, epoch)) in (0..).zip(sources) {
        let of_manifest = view.leftovers.manifest.as_ref();
        let run = of_manifest.filter(|manifest| manifest.source == source);
        let epoch = run.map_or(epoch, |manifest| manifest.epoch.max(epoch));
        // Each source is one way through the journal.
        let shown = |settled| watch.show((turn * total + bytes_before(&sizes, settled)) / runs);
        sent.add(args, &view, (source, epoch), master, shown)?;
    }
    watch.progress(total);
    let Sent { events, blocks, left, why } = &sent;
    let text = if args.json {
        let object = json!({
            "path": dir.display().to_string(), "to": master,
            "delivered": events, "delivered_blocks": blocks, "left_blocks": left,
            "complete": *left == 0 && is_whole,
        });
        format!("{object}\n")
    } else {
        format!("{}: {events} events in {blocks} blocks delivered to {master}\n", dir.display())
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)?;
    if *left == 0 {
        return Ok(readable);
    }
    let (timeout, dir) = (args.timeout, dir.display());
    let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    Err(Failure::new(
        Exit::Io,
        format!(
            "{master} has not taken {left} blocks of {dir}, and nothing more for {timeout} s{why}; try again, what it has is not sent twice"
        ),
    ))
}

/// What came of a delivery.
#[derive(Default)]
struct Sent {
    events: u64,
    blocks: u64,
    left: u64,
    why: Option<String>,
}

impl Sent {
    /// Sends one source of a run, and adds what came of it. `shown` gets the position meanwhile.
    fn add(
        &mut self,
        args: &RecoverArgs,
        view: &View,
        (source, epoch): (u128, u64),
        master: &str,
        shown: impl Fn(Position),
    ) -> Result<(), Failure> {
        // The service itself may come with older runs, which the master is not to take twice.
        let forwarder = Forwarder::new(master).of_a_part();
        let monitor = forwarder.monitor();
        let process = view.leftovers.process.as_ref();
        let place = OwnedPlace {
            source,
            epoch,
            service: process.map_or_else(String::new, |process| process.service.clone()),
            // The original's cursor is left alone: the master's marks decide.
            journal_dir: None,
            term: 0,
            outputs: Outputs::new(IoMethod::Write, selflog::warn),
        };
        let opened = forwarder
            .open(&place.of(APPENDER, view.journal.start_position()))
            .map_err(|error| Failure::caused(Exit::Usage, "cannot send", &error))?;
        let router = Arc::new(Router::new());
        let outlet = Outlet::spawn(&view.journal, APPENDER, true, opened, &Gate::new(), &router)
            .map_err(|error| Failure::caused(Exit::Io, "cannot start a thread", &error))?;
        let limit = Duration::from_secs_f64(args.timeout);
        let (mut since, mut last) = (Instant::now(), 0);
        let end = view.journal.end();
        while outlet.stats().settled < end && since.elapsed() < limit {
            std::thread::sleep(LOOK);
            shown(outlet.stats().settled);
            let delivered = monitor.stats().delivered_blocks;
            if delivered != last {
                (since, last) = (Instant::now(), delivered);
            }
        }
        let deadline = Instant::now() + END_LIMIT;
        outlet.stop(deadline);
        let why = outlet.join(deadline + END_LIMIT).failing;
        let stats = monitor.stats();
        self.events += stats.delivered;
        self.blocks += stats.delivered_blocks;
        self.left += stats.left_blocks;
        self.why = why.or(self.why.take());
        Ok(())
    }
}

/// The segments of a journal: their generations, and their bytes.
pub(super) fn sizes_of(dir: &Path) -> Vec<(u64, u64)> {
    let segments = segment_paths(dir).unwrap_or_default();
    let size = |path: &Path| path.metadata().map_or(0, |found| found.len());
    segments.iter().map(|(generation, path)| (*generation, size(path))).collect()
}

/// How many bytes of a journal lie before a position.
fn bytes_before(sizes: &[(u64, u64)], position: Position) -> u64 {
    let passed =
        sizes.iter().map(|(generation, bytes)| match generation.cmp(&position.generation) {
            Ordering::Less => *bytes,
            Ordering::Equal => position.offset.min(*bytes),
            Ordering::Greater => 0,
        });
    passed.sum()
}
