//! `rollway stats`: what journals hold, and where their appenders are.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::StatsArgs;
use super::exit::{Exit, Failure};
use super::recover::{CursorBehind, drops_json, owner_word};
use super::signals::Signals;
use super::tally::Tally;
use super::verify::time;
use super::watch::{Watch, bytes_of, segments_of};
use crate::engine::{Dropped, status};
use crate::journal::{Survey, stored_cursors};
use crate::recover::{Leftovers, Manifest, Owner, scan_of};

/// How often a pause looks whether it should end.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(
    args: &StatsArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let Some(seconds) = args.watch else { return show(args, out, err) };
    let signals = Signals::listen()
        .map_err(|error| Failure::caused(Exit::Io, "cannot wait for signals", &error))?;
    loop {
        show(args, out, err)?;
        let mut left = Duration::from_secs_f64(seconds);
        while !left.is_zero() {
            if signals.came() {
                return Ok(Exit::Ok);
            }
            let step = left.min(LOOK);
            std::thread::sleep(step);
            left -= step;
        }
    }
}

fn show(args: &StatsArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<Exit, Failure> {
    let paths = args
        .paths
        .iter()
        .map(|path| Ok((path, segments_of(path)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let bytes = paths.iter().map(|(_, segments)| bytes_of(segments)).sum();
    let mut watch = Watch::new(bytes, err);
    let mut readable = 0;
    let mut journals = Vec::new();
    for (path, segments) in paths {
        let unreadable = |error: &dyn std::error::Error| {
            Failure::caused(Exit::Io, format!("{}: it cannot be read", path.display()), error)
        };
        let cursors = match path.is_dir() {
            true => stored_cursors(path).map_err(|error| unreadable(&error))?,
            false => Vec::new(),
        };
        let cursors = cursors.into_iter().map(CursorBehind::new).collect();
        let before = Faults::of(&watch);
        let mut tally = Tally::new(cursors, &mut watch);
        let mut survey = Survey::new();
        for segment in &segments {
            match survey.segment(segment, &mut tally) {
                Ok(summary) => tally.segment(&summary),
                // Its owner has just recycled it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        survey.end(&mut [], &mut tally);
        readable += tally.counts.events;
        let counts = tally.counts;
        let faults = Faults::of(&watch).since(&before);
        let left = left_beside(path).map_err(|error| unreadable(&*error))?;
        let status = status_of(path, &left);
        let journal = Journal { path, counts, faults, left, status };
        if args.json {
            journals.push(journal.json(args.top));
        } else {
            out.write_all(journal.text(args.top).as_bytes()).map_err(Failure::of_output)?;
        }
    }
    if args.json {
        writeln!(out, "{}", json!({ "journals": journals })).map_err(Failure::of_output)?;
    }
    out.flush().map_err(Failure::of_output)?;
    watch.end();
    Ok(match watch.findings {
        0 => Exit::Ok,
        _ if readable == 0 => Exit::Damaged,
        _ => Exit::Loss,
    })
}

fn left_beside(path: &Path) -> Result<Leftovers, Box<dyn std::error::Error>> {
    if !path.is_dir() {
        return Ok(Leftovers::default());
    }
    let (_, ends) = scan_of(path, Manifest::read(path)?.as_ref())?;
    Ok(Leftovers::beside(path, |ring| ends.get(&ring).copied().unwrap_or(0))?)
}

/// What a running process says of itself; `None` where none runs, or it says nothing.
fn status_of(path: &Path, left: &Leftovers) -> Option<Value> {
    let lives = left.owner == Owner::Alive;
    let bytes = lives.then(|| std::fs::read(status::path_in(path)).ok())??;
    serde_json::from_slice(&bytes).ok()
}

/// What is wrong with a journal, in numbers.
#[derive(Clone, Copy)]
struct Faults {
    faults: u64,
    damaged_bytes: u64,
    missing_blocks: u64,
    missing_segments: u64,
    left_out: u64,
}

impl Faults {
    fn of(watch: &Watch<'_>) -> Faults {
        Faults {
            faults: watch.findings,
            damaged_bytes: watch.damaged_bytes,
            missing_blocks: watch.missing_blocks,
            missing_segments: watch.missing_segments,
            left_out: watch.left_out,
        }
    }

    fn since(&self, earlier: &Faults) -> Faults {
        Faults {
            faults: self.faults - earlier.faults,
            damaged_bytes: self.damaged_bytes - earlier.damaged_bytes,
            missing_blocks: self.missing_blocks - earlier.missing_blocks,
            missing_segments: self.missing_segments - earlier.missing_segments,
            left_out: self.left_out - earlier.left_out,
        }
    }
}

/// All that is told of one journal.
struct Journal<'a> {
    path: &'a Path,
    counts: super::tally::Counts,
    faults: Faults,
    left: Leftovers,
    status: Option<Value>,
}

impl Journal<'_> {
    fn json(&self, top: usize) -> Value {
        let Journal { path, counts, faults, left, status } = self;
        let levels: serde_json::Map<String, Value> = counts
            .levels()
            .into_iter()
            .map(|(level, count)| (level.to_owned(), count.into()))
            .collect();
        let categories: Vec<Value> = counts
            .categories(top)
            .into_iter()
            .map(|(name, count)| json!({"category": name, "events": count, "share": counts.share(count)}))
            .collect();
        let sites: Vec<Value> = counts
            .sites(top)
            .into_iter()
            .map(|(site, count)| {
                json!({
                    "template": site.template, "category": site.category, "file": site.file,
                    "line": site.line, "level": site.level, "events": count,
                    "share": counts.share(count),
                })
            })
            .collect();
        json!({
            "path": path.display().to_string(),
            "owner": owner_word(left.owner),
            "segments": counts.segments, "blocks": counts.blocks, "runs": counts.runs(),
            "events": counts.events, "bytes": counts.bytes,
            "first": counts.first_ns.map(time), "last": counts.last_ns.map(time),
            "seconds": counts.seconds(),
            "events_per_second": counts.per_second(counts.events),
            "bytes_per_second": counts.per_second(counts.bytes),
            "last_minute": {"events": counts.last_minute()},
            "levels": levels, "categories": categories, "sites": sites,
            "other_sites": counts.other_sites,
            "faults": {
                "count": faults.faults, "damaged_bytes": faults.damaged_bytes,
                "missing_blocks": faults.missing_blocks,
                "missing_segments": faults.missing_segments,
                "events_left_out": faults.left_out,
            },
            "dropped": {"total": counts.dropped.values().sum::<u64>(), "reasons": counts.dropped},
            "rings": {
                "waiting_events": left.events(), "waiting_bytes": left.bytes(),
                "untold_drops": drops_json(&Dropped::unreported(&left.drops)),
            },
            "appenders": counts.cursors.iter().map(CursorBehind::json).collect::<Vec<_>>(),
            "status": status,
        })
    }

    fn text(&self, top: usize) -> String {
        let Journal { path, counts, faults, left, status } = self;
        let mut text = format!("{} ({})\n", path.display(), owner_word(left.owner));
        let mut line = |words: String| {
            text.push_str("  ");
            text.push_str(&words);
            text.push('\n');
        };
        line(format!(
            "{} events in {} blocks, {} bytes, {} segments, {} runs",
            counts.events,
            counts.blocks,
            counts.bytes,
            counts.segments,
            counts.runs()
        ));
        if let (Some(first), Some(last)) = (counts.first_ns, counts.last_ns) {
            line(format!("from {} to {}", time(first), time(last)));
            line(format!(
                "{:.1} events/s, {:.0} bytes/s; {} events in the last minute of it",
                counts.per_second(counts.events),
                counts.per_second(counts.bytes),
                counts.last_minute()
            ));
        }
        let levels: Vec<String> =
            counts.levels().into_iter().map(|(level, count)| format!("{count} {level}")).collect();
        if !levels.is_empty() {
            line(format!("levels: {}", levels.join(", ")));
        }
        for (name, count) in counts.categories(top) {
            line(format!("category {name}: {count} ({:.1} %)", 100.0 * counts.share(count)));
        }
        for (site, count) in counts.sites(top) {
            line(format!(
                "site {}:{} `{}`: {count} ({:.1} %)",
                site.file,
                site.line,
                site.template.escape_debug(),
                100.0 * counts.share(count)
            ));
        }
        if faults.faults > 0 {
            line(format!(
                "{} faults: {} bytes damaged, {} blocks and {} segments missing, {} events cannot be shown",
                faults.faults,
                faults.damaged_bytes,
                faults.missing_blocks,
                faults.missing_segments,
                faults.left_out
            ));
        }
        let dropped: Vec<String> =
            counts.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        if !dropped.is_empty() {
            line(format!("dropped, as the log says: {}", dropped.join(", ")));
        }
        let untold = Dropped::unreported(&left.drops);
        if untold.total() > 0 {
            line(format!("dropped by the killed process, and not said in the log: {untold}"));
        }
        if left.bytes() > 0 {
            line(format!("{} events wait in rings, see `rollway recover`", left.events()));
        }
        counts.cursors.iter().for_each(|cursor| line(cursor.text()));
        if let Some(status) = status {
            status_text(status).into_iter().for_each(line);
        }
        text
    }
}

/// What a running process says of itself, for people.
fn status_text(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(fields) = status.as_object() else { return lines };
    let (role, pid) = (word(&status["role"]), word(&status["pid"]));
    let written = status["written_ns"].as_i64().map_or_else(String::new, time);
    lines.push(format!("{role} of pid {pid}, as it was at {written}"));
    for (name, value) in fields {
        if !matches!(&**name, "role" | "pid" | "written_ns" | "version") {
            field_text(&name.replace('_', " "), value, &mut lines);
        }
    }
    lines
}

/// One field, and the fields of an object each on its own line.
fn field_text(name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(appenders) if name.ends_with("appenders") => {
            lines.extend(appenders.iter().map(appender_text));
        }
        Value::Array(sources) if name == "throttled" => {
            lines.extend(sources.iter().map(|source| {
                format!(
                    "live throttled source {}: {} frames waited {} ms",
                    word(&source["source"]),
                    source["frames"],
                    source["waited_ms"]
                )
            }));
        }
        Value::Object(inner) => {
            for (key, value) in inner {
                field_text(&format!("{name} {}", key.replace('_', " ")), value, lines);
            }
        }
        other => lines.push(format!("live {name}: {}", word(other))),
    }
}

fn appender_text(appender: &Value) -> String {
    let mut text = format!(
        "live appender `{}`: {} delivered, {} errors, settled {}",
        word(&appender["name"]),
        appender["delivered"],
        appender["errors"],
        word(&appender["settled"])
    );
    for (key, what) in [
        ("damaged", "damaged"),
        ("dead_letters", "dead letters"),
        ("overtaken_segments", "segments gone before it reached them"),
        ("overtaken_blocks", "blocks gone with them"),
    ] {
        if let Some(count) = appender[key].as_u64().filter(|count| *count > 0) {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if appender["state"] != "running"
        && let Value::String(state) = &appender["state"]
    {
        text.push_str(&format!(", {state}"));
    }
    if let Some(attempts) = appender["attempts"].as_u64() {
        let next = appender["next_ns"].as_i64().map_or_else(String::new, time);
        text.push_str(&format!(" after {attempts} tries, next at {next}"));
    }
    if let Value::String(why) = &appender["failing"] {
        text.push_str(&format!(", failing: {why}"));
    }
    text
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
