//! `rollway verify`: every byte of a journal, checked.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::VerifyArgs;
use super::exit::{Exit, Failure};
use super::watch::{Watch, bytes_of, segments_of};
use crate::journal::{
    Finding, Position, Reads, SegmentSummary, StoredCursor, Survey, stored_cursors,
};

pub(super) fn run(
    args: &VerifyArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let paths = args
        .paths
        .iter()
        .map(|path| Ok((path, segments_of(path)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let bytes = paths.iter().map(|(_, segments)| bytes_of(segments)).sum();
    let mut watch = Watch::new(bytes, err);
    let (mut events, mut blocks) = (0, 0);
    for (path, segments) in paths {
        let before = watch.findings;
        let checked = check(path, &segments, &mut watch)?;
        let findings = watch.findings - before;
        events += checked.events();
        blocks += checked.blocks();
        let text = match args.json {
            true => format!("{}\n", checked.json(path, findings)),
            false => checked.text(path, findings, args.verbose),
        };
        out.write_all(text.as_bytes()).map_err(Failure::of_output)?;
    }
    out.flush().map_err(Failure::of_output)?;
    watch.end();
    match watch.findings {
        0 => Ok(Exit::Ok),
        _ if events == 0 && blocks == 0 => Ok(Exit::Damaged),
        _ => Ok(Exit::Loss),
    }
}

/// What was found in one journal.
struct Checked {
    segments: Vec<SegmentSummary>,
    runs: usize,
    cursors: Vec<StoredCursor>,
}

fn check(path: &Path, segments: &[PathBuf], watch: &mut Watch<'_>) -> Result<Checked, Failure> {
    let unreadable = |path: &Path, error: io::Error| {
        Failure::caused(Exit::Io, format!("{}: it cannot be read", path.display()), &error)
    };
    let cursors = match path.is_dir() {
        true => stored_cursors(path).map_err(|error| unreadable(&path.join("cursors"), error))?,
        false => Vec::new(),
    };
    let mut survey = Survey::new();
    let mut checked = Checked { segments: Vec::new(), runs: 0, cursors };
    let mut places = Places::of(&checked.cursors, watch);
    for segment in segments {
        match survey.segment(segment, &mut places) {
            Ok(summary) => {
                places.end_of_segment(&summary);
                checked.segments.push(summary);
            }
            // Its owner has just recycled it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(segment, error)),
        }
    }
    survey.end(&mut checked.segments, &mut places);
    checked.runs = survey.sequences().count();
    let ends = checked.segments.iter().map(|segment| (segment.generation, segment.used_bytes));
    let ends: HashMap<_, _> = ends.collect();
    let met = places.met;
    for cursor in &checked.cursors {
        let slots = [("written", cursor.written), ("synced", cursor.synced)];
        for (slot, stored) in slots {
            let Some(position) = stored.map(|stored| stored.position) else { continue };
            let (generation, offset) = (position.generation, position.offset);
            // A segment that is gone, or not begun, cannot be asked.
            if ends.contains_key(&generation) && !met.contains(&(generation, offset)) {
                watch.tell(&format!(
                    "{}: the slot `{slot}` points to {position}, where no block begins",
                    cursor.path.display()
                ));
            }
        }
    }
    Ok(checked)
}

/// The places that cursors point to, and which of them blocks begin at.
struct Places<'a, 'w> {
    watch: &'a mut Watch<'w>,
    wanted: HashSet<(u64, u64)>,
    met: HashSet<(u64, u64)>,
}

impl<'a, 'w> Places<'a, 'w> {
    fn of(cursors: &[StoredCursor], watch: &'a mut Watch<'w>) -> Places<'a, 'w> {
        let slots = cursors.iter().flat_map(|cursor| [cursor.written, cursor.synced]);
        let place = |position: Position| (position.generation, position.offset);
        let wanted = slots.flatten().map(|slot| place(slot.position)).collect();
        Places { watch, wanted, met: HashSet::new() }
    }

    fn meet(&mut self, place: (u64, u64)) {
        if self.wanted.contains(&place) {
            self.met.insert(place);
        }
    }

    /// A cursor may stand in front of the first block of a segment, and behind its last one.
    fn end_of_segment(&mut self, segment: &SegmentSummary) {
        self.meet((segment.generation, 0));
        self.meet((segment.generation, segment.used_bytes));
    }
}

impl Reads for Places<'_, '_> {
    fn begins(&mut self, generation: u64, offset: u64) {
        self.meet((generation, offset));
    }

    fn finding(&mut self, finding: Finding) {
        self.watch.finding(finding);
    }

    fn progress(&mut self, bytes: u64) {
        self.watch.progress(bytes);
    }
}

impl Checked {
    fn events(&self) -> u64 {
        self.segments.iter().map(|segment| segment.events).sum()
    }

    fn blocks(&self) -> u64 {
        self.segments.iter().map(|segment| segment.events_blocks).sum()
    }

    fn text(&self, path: &Path, findings: u64, verbose: bool) -> String {
        let mut text = String::new();
        if verbose {
            for segment in &self.segments {
                let name = segment.path.file_name().unwrap_or(segment.path.as_os_str());
                let name = name.to_string_lossy();
                let span = match (segment.first_ns, segment.last_ns) {
                    (Some(first), Some(last)) => format!(" from {} to {}", time(first), time(last)),
                    _ => String::new(),
                };
                let faults = match segment.findings {
                    0 => String::new(),
                    findings => format!(", {findings} faults"),
                };
                text.push_str(&format!(
                    "{name}: {} events in {} blocks, {} of {} bytes{span}{faults}\n",
                    segment.events, segment.events_blocks, segment.used_bytes, segment.file_bytes
                ));
            }
        }
        let verdict = match findings {
            0 => "everything is right".to_owned(),
            findings => format!("{findings} faults"),
        };
        text.push_str(&format!(
            "{}: {} events in {} blocks, {} segments, {} runs, {} cursors: {verdict}\n",
            path.display(),
            self.events(),
            self.blocks(),
            self.segments.len(),
            self.runs,
            self.cursors.len()
        ));
        text
    }

    fn json(&self, path: &Path, findings: u64) -> Value {
        let segments: Vec<Value> = self
            .segments
            .iter()
            .map(|segment| {
                json!({
                    "path": segment.path.display().to_string(),
                    "generation": segment.generation,
                    "events": segment.events,
                    "blocks": segment.events_blocks,
                    "define_blocks": segment.define_blocks,
                    "bytes": segment.used_bytes,
                    "file_bytes": segment.file_bytes,
                    "first": segment.first_ns.map(time),
                    "last": segment.last_ns.map(time),
                    "faults": segment.findings,
                    "damaged_bytes": segment.damaged_bytes,
                })
            })
            .collect();
        json!({
            "path": path.display().to_string(),
            "events": self.events(),
            "blocks": self.blocks(),
            "runs": self.runs,
            "cursors": self.cursors.len(),
            "faults": findings,
            "segments": segments,
        })
    }
}

/// A moment as people read it.
pub(super) fn time(utc_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(utc_ns))
        .map_or_else(|_| utc_ns.to_string(), |at| format!("{at:.3}"))
}
