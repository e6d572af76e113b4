//! `rollway recover`: what a process left behind, and how to save it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::RecoverArgs;
use super::deliver::{deliver, sizes_of};
use super::exit::{Exit, Failure};
use super::verify::time;
use super::watch::{Watch, bytes_of, read_all, segments_of, unreadable};
use crate::engine::Dropped;
use crate::journal::{Finding, Position, Reads, Sift, StoredCursor, SurveyedBlock, stored_cursors};
use crate::recover::{self, Copied, CopyError, Leftovers, Manifest, Owner, Recovered, RepairError};

pub(super) fn run(
    args: &RecoverArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    check(args)?;
    let mut exit = Exit::Ok;
    let mut readable = 0;
    if let Some(to) = &args.out {
        let (found, copied) = copy(args, to, out, err)?;
        readable += copied;
        exit = worse(exit, found);
        if let Some(master) = &args.send {
            let bytes = sizes_of(to).iter().map(|(_, bytes)| bytes).sum();
            // What is wrong with the original was told.
            deliver(args, to, &[], master, &mut Watch::new(bytes, err), out)?;
        }
        return Ok(if exit == Exit::Loss && readable == 0 { Exit::Damaged } else { exit });
    }
    let segments =
        args.paths.iter().map(|path| segments_of(path)).collect::<Result<Vec<_>, _>>()?;
    let bytes: u64 = segments.iter().map(|segments| bytes_of(segments)).sum();
    // What is sent is read before, to tell what is wrong with it.
    let readings = if args.send.is_some() { 2 } else { 1 };
    let mut watch = Watch::new(readings * bytes, err);
    for (path, segments) in args.paths.iter().zip(&segments) {
        if args.repair {
            let recovered = recover::repair(path).map_err(|error| failure_of_repair(&error))?;
            tell_recovered(&recovered, "moved to the journal", &mut watch);
        }
        readable += match &args.send {
            Some(master) => deliver(args, path, segments, master, &mut watch, out)?,
            None => report(args, path, segments, &mut watch, out)?,
        };
    }
    out.flush().map_err(Failure::of_output)?;
    watch.end();
    Ok(match watch.findings {
        0 => exit,
        _ if readable == 0 => Exit::Damaged,
        _ => Exit::Loss,
    })
}

/// What the arguments must not say together.
fn check(args: &RecoverArgs) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::new(Exit::Usage, what));
    if args.salvage && args.out.is_none() {
        return wrong("--salvage needs --out DIR, where what is found is written".to_owned());
    }
    if args.repair && args.out.is_some() {
        return wrong("--repair changes the journal, --out copies it: use one of them".to_owned());
    }
    if args.out.is_some() && args.paths.len() > 1 && !args.salvage {
        return wrong("--out takes one journal; with --salvage it takes many files".to_owned());
    }
    if let Some(file) = args.paths.iter().find(|path| path.is_file() && !args.salvage) {
        let file = file.display();
        return wrong(format!("{file} is a file: name a journal directory, or use --salvage"));
    }
    Ok(())
}

fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Ok { other } else { one }
}

/// Reads a journal and what lies beside it, and says what is there. Yields its readable events.
fn report(
    args: &RecoverArgs,
    path: &Path,
    segments: &[PathBuf],
    watch: &mut Watch<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let unreadable = |error: &dyn std::error::Error| unreadable(path, error);
    let manifest = Manifest::read(path).map_err(|error| unreadable(&error))?;
    let (_, ends) =
        recover::scan_of(path, manifest.as_ref()).map_err(|error| unreadable(&error))?;
    let left = Leftovers::beside(path, |ring| ends.get(&ring).copied().unwrap_or(0))
        .map_err(|error| unreadable(&error))?;
    let cursors = stored_cursors(path).map_err(|error| unreadable(&error))?;

    let (findings, damaged_bytes) = (watch.findings, watch.damaged_bytes);
    let (missing_blocks, left_out) = (watch.missing_blocks, watch.left_out);
    let mut behind = Behind::of(cursors, watch);
    let (events, blocks) = read_all(path, segments, &mut behind)?;
    let cursors = behind.cursors;
    for reason in &left.unreadable {
        watch.tell(&format!("a ring cannot be read: {reason}"));
    }
    for ring in &left.rings {
        if let Some(damage) = &ring.damage {
            watch.tell(&format!("ring {}: {damage}", ring.id));
        }
    }
    let seen = Seen {
        path,
        left: &left,
        cursors: &cursors,
        segments: segments.len(),
        events,
        blocks,
        faults: watch.findings - findings,
        damaged_bytes: watch.damaged_bytes - damaged_bytes,
        missing_blocks: watch.missing_blocks - missing_blocks,
        left_out: watch.left_out - left_out,
    };
    let text = if args.json { format!("{}\n", seen.json()) } else { seen.text() };
    out.write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(events)
}

/// An appender's position, and what lies behind it.
pub(super) struct CursorBehind {
    pub(super) cursor: StoredCursor,
    /// Where it would go on; `None` where it would begin anew.
    pub(super) position: Option<Position>,
    pub(super) blocks: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl CursorBehind {
    pub(super) fn new(cursor: StoredCursor) -> CursorBehind {
        let position = cursor.resume().map(|slot| slot.position);
        CursorBehind { cursor, position, blocks: 0, events: 0, bytes: 0 }
    }

    /// Counts a block that the appender has not settled.
    pub(super) fn add(&mut self, block: &SurveyedBlock<'_>) {
        let settled = self.position.unwrap_or_default();
        let (generation, offset) = (block.position.generation, block.position.offset);
        if (generation, offset) < (settled.generation, settled.offset) {
            return;
        }
        let is_within = (generation, offset) == (settled.generation, settled.offset);
        let done = if is_within { u64::from(settled.index) } else { 0 };
        self.blocks += 1;
        self.events += block.count.saturating_sub(done);
        self.bytes += block.header.bytes() as u64;
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "appender": self.cursor.name,
            "position": self.position.map(|position| position.to_string()),
            "behind": {"events": self.events, "blocks": self.blocks, "bytes": self.bytes},
        })
    }

    pub(super) fn text(&self) -> String {
        let name = &self.cursor.name;
        let at = self.position.map_or("no position".to_owned(), |position| position.to_string());
        match self.blocks {
            0 => format!("appender `{name}` at {at}: has everything"),
            blocks => format!(
                "appender `{name}` at {at}: {} events in {blocks} blocks, {} bytes, behind",
                self.events, self.bytes
            ),
        }
    }
}

/// Counts what each appender has not settled.
struct Behind<'a, 'w> {
    cursors: Vec<CursorBehind>,
    watch: &'a mut Watch<'w>,
}

impl<'a, 'w> Behind<'a, 'w> {
    fn of(cursors: Vec<StoredCursor>, watch: &'a mut Watch<'w>) -> Behind<'a, 'w> {
        Behind { cursors: cursors.into_iter().map(CursorBehind::new).collect(), watch }
    }
}

impl Reads for Behind<'_, '_> {
    fn block(&mut self, block: &SurveyedBlock<'_>) {
        self.cursors.iter_mut().for_each(|cursor| cursor.add(block));
    }

    fn finding(&mut self, finding: Finding) {
        self.watch.finding(finding);
    }

    fn progress(&mut self, bytes: u64) {
        self.watch.progress(bytes);
    }
}

/// What a report says of one journal.
struct Seen<'a> {
    path: &'a Path,
    left: &'a Leftovers,
    cursors: &'a [CursorBehind],
    segments: usize,
    events: u64,
    blocks: u64,
    faults: u64,
    damaged_bytes: u64,
    missing_blocks: u64,
    left_out: u64,
}

/// The word for it in reports.
pub(super) fn owner_word(owner: Owner) -> &'static str {
    match owner {
        Owner::Alive => "running",
        Owner::Ended => "ended",
        Owner::Killed => "killed",
        Owner::Rebooted => "killed before a restart of the machine",
        Owner::Gone => "killed, and its rings are not here",
    }
}

impl Seen<'_> {
    fn json(&self) -> Value {
        let manifest = self.left.manifest.as_ref().map(|manifest| {
            json!({
                "source": format!("{:032x}", manifest.source),
                "epoch": manifest.epoch,
                "boot_id": format!("{:032x}", manifest.boot_id),
                "rings": manifest.rings.as_ref().map(|rings| rings.display().to_string()),
            })
        });
        let process = self.left.process.as_ref().map(|process| {
            json!({
                "pid": process.pid,
                "service": process.service,
                "host": process.host,
                "last_seen": time(process.anchor.utc_ns),
            })
        });
        let rings: Vec<Value> = self
            .left
            .rings
            .iter()
            .map(|ring| {
                json!({
                    "ring": ring.id,
                    "thread": ring.thread_name,
                    "os_thread": ring.os_thread_id,
                    "bytes": ring.bytes,
                    "events": ring.events,
                    "damage": ring.damage,
                })
            })
            .collect();
        json!({
            "path": self.path.display().to_string(),
            "owner": owner_word(self.left.owner),
            "manifest": manifest,
            "process": process,
            "rings": rings,
            "waiting": {"events": self.left.events(), "bytes": self.left.bytes()},
            "unreadable_rings": self.left.unreadable,
            "dropped": drops_json(&Dropped::counted(&self.left.drops)),
            "journal": {
                "segments": self.segments, "blocks": self.blocks, "events": self.events,
                "faults": self.faults, "damaged_bytes": self.damaged_bytes,
                "missing_blocks": self.missing_blocks, "events_left_out": self.left_out,
            },
            "appenders": self.cursors.iter().map(CursorBehind::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let left = self.left;
        let mut text = format!("{}\n", self.path.display());
        let mut line = |words: String| {
            text.push_str("  ");
            text.push_str(&words);
            text.push('\n');
        };
        let owner = owner_word(left.owner);
        match (&left.manifest, &left.process) {
            (Some(manifest), Some(process)) => line(format!(
                "process {} ({}, pid {}, on {}, last seen {}): {owner}",
                manifest.epoch,
                process.service,
                process.pid,
                process.host,
                time(process.anchor.utc_ns)
            )),
            (Some(manifest), None) => line(format!("process {}: {owner}", manifest.epoch)),
            (None, _) => line(format!("no manifest, as in the journal of a master: {owner}")),
        }
        for ring in &left.rings {
            line(format!(
                "ring {} of thread {} `{}`: {} events, {} bytes, beyond the journal",
                ring.id, ring.os_thread_id, ring.thread_name, ring.events, ring.bytes
            ));
        }
        match (left.owner, left.rings_dir()) {
            (Owner::Killed, Some(rings)) if left.bytes() > 0 => line(format!(
                "{} events wait in {}: start the service again, or use --repair, --send or --out",
                left.events(),
                rings.display()
            )),
            (Owner::Rebooted | Owner::Gone, Some(rings)) => line(format!(
                "what was in the rings {} is not here: on another machine, or lost with this one's last run",
                rings.display()
            )),
            _ => {}
        }
        let dropped = Dropped::counted(&left.drops);
        if dropped.total() > 0 {
            line(format!("dropped by the process: {dropped}"));
        }
        line(format!(
            "journal: {} events in {} blocks, {} segments",
            self.events, self.blocks, self.segments
        ));
        if self.faults > 0 {
            line(format!(
                "{} faults: {} bytes damaged, {} blocks missing, {} events cannot be shown",
                self.faults, self.damaged_bytes, self.missing_blocks, self.left_out
            ));
        }
        for cursor in self.cursors {
            line(cursor.text());
        }
        text
    }
}

/// Dropped events by reason.
pub(super) fn drops_json(dropped: &Dropped) -> Value {
    let reasons: serde_json::Map<String, Value> =
        dropped.reasons().map(|(reason, count)| (reason.to_owned(), count.into())).collect();
    json!({"total": dropped.total(), "reasons": reasons, "cut": dropped.cut()})
}

/// Writes a copy. Yields whether something was wrong with the original, and how much is in the copy.
fn copy(
    args: &RecoverArgs,
    to: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(Exit, u64), Failure> {
    let files = match args.salvage {
        true => files_of(&args.paths)?,
        false => segments_of(&args.paths[0])?,
    };
    let past = args.paths.first().filter(|path| args.paths.len() == 1 && path.is_dir());
    // Everything is read twice.
    let mut watch = Watch::new(2 * bytes_of(&files), err);
    let past = past.map(PathBuf::as_path);
    let copied = recover::copy_journal(&files, args.salvage, past, to, &mut watch)
        .map_err(|error| failure_of_copy(&error))?;
    tell_recovered(&copied.recovered, "taken from rings", &mut watch);
    if copied.repeated > 0 {
        watch.note(&format!("{} blocks were there more than once", copied.repeated));
    }
    watch.end();
    let Copied { blocks, bytes, events, repeated, recovered } = &copied;
    let text = if args.json {
        let object = json!({
            "out": to.display().to_string(),
            "blocks": blocks, "bytes": bytes, "events": events, "repeated_blocks": repeated,
            "ring_bytes": recovered.record_bytes,
            "faults": watch.findings, "damaged_bytes": watch.damaged_bytes,
            "missing_blocks": watch.missing_blocks, "events_left_out": watch.left_out,
        });
        format!("{object}\n")
    } else {
        format!(
            "{events} events in {blocks} blocks, {bytes} bytes, and {} bytes from rings, written to {}\n",
            recovered.record_bytes,
            to.display()
        )
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)?;
    let exit = if watch.findings == 0 { Exit::Ok } else { Exit::Loss };
    Ok((exit, blocks + recovered.record_bytes))
}

/// The files that are named, and those in the directories that are named: segments, and whatever else
/// has a block in it.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |error: io::Error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NoInput,
                _ => Exit::Io,
            };
            Failure::caused(exit, format!("{}: it cannot be read", path.display()), &error)
        };
        if !path.metadata().map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut of_dir = Vec::new();
        for entry in path.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let is_file = entry.file_type().map_err(unreadable)?.is_file();
            let is_segment = entry.path().extension().is_some_and(|end| end == "rwj");
            if is_file && (is_segment || holds_blocks(&entry.path()).map_err(unreadable)?) {
                of_dir.push(entry.path());
            }
        }
        of_dir.sort();
        files.append(&mut of_dir);
    }
    Ok(files)
}

/// Whether there is a valid block in a file. Reads up to the first one.
fn holds_blocks(path: &Path) -> io::Result<bool> {
    let mut sift = Sift::everything(path)?;
    while let Some(found) = sift.next() {
        if found.is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tell_recovered(recovered: &Recovered, what: &str, watch: &mut Watch<'_>) {
    if recovered.record_bytes > 0 {
        watch.note(&format!("{} bytes of events were {what}", recovered.record_bytes));
    }
    for reason in &recovered.unreadable {
        watch.tell(&format!("a ring cannot be read: {reason}"));
    }
}

fn failure_of_repair(error: &RepairError) -> Failure {
    let exit = match error {
        RepairError::Copied { .. } => Exit::Usage,
        _ => Exit::Io,
    };
    Failure::caused(exit, "cannot repair", error)
}

fn failure_of_copy(error: &CopyError) -> Failure {
    let exit = match error {
        CopyError::Occupied { .. } => Exit::Usage,
        _ => Exit::Io,
    };
    Failure::caused(exit, "cannot copy", error)
}
