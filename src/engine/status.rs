//! What a running process says of itself, in a file beside its cursors: `docs/format.md` has the keys.
//!
//! A thread of its own looks once a second while something changes or is under way. Else it sleeps
//! until a block is appended. The file informs and proves nothing: whether the process lives, its lock
//! says. It is removed at an orderly end.

use std::fmt::{self, Write};
use std::path::Path;
#[cfg(feature = "cli")]
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{ClusterRole, ClusterStats, OutletState, OutletStats, ReloadStats, Stats, selflog};
use crate::journal::{Journal, Position};
use crate::sys::file;

/// The name of the file in a journal directory.
pub(crate) const FILE: &str = "status";
/// Between two looks while something changes, and between two writes.
const LOOK: Duration = Duration::from_secs(1);
/// How long it sleeps while nothing happens, if no block comes.
const IDLE: Duration = Duration::from_secs(3600);

/// What there is to say at a moment.
pub(crate) struct Status {
    /// The fields of an object, see [`Fields`].
    pub(crate) fields: String,
    /// Where the journal ends.
    pub(crate) end: Position,
    /// Every appender has everything and nothing fails: only a new block changes anything.
    pub(crate) is_quiet: bool,
}

/// The thread that keeps the file.
pub(crate) struct StatusFile {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    journal: Journal,
}

impl StatusFile {
    /// Keeps the status beside `journal`, as `look` tells it; nothing for a journal in memory. Ends by
    /// itself when there is nothing more to look at. Without a thread there is no status, and the
    /// self-log says so.
    pub(crate) fn keep(
        journal: &Journal,
        look: impl Fn() -> Option<Status> + Send + 'static,
    ) -> Option<StatusFile> {
        let path = journal.dir()?.join(FILE);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, of_thread) = (Arc::clone(&stop), journal.clone());
        let thread =
            std::thread::Builder::new().name("rollway-status".to_owned()).spawn(move || {
                super::call::enter_own_thread();
                keep(&path, &of_thread, &stopped, look);
            });
        match thread {
            Ok(thread) => Some(StatusFile { thread, stop, journal: journal.clone() }),
            Err(error) => {
                selflog::warn(&format!("the status file is not kept: {error}"));
                None
            }
        }
    }

    /// Ends the thread and removes the file.
    pub(crate) fn end(self) {
        // Release: pairs with the Acquire where the thread looks.
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.journal.wake();
        // A panic was reported by the panic hook.
        let _ = self.thread.join();
    }
}

fn keep(path: &Path, journal: &Journal, stop: &AtomicBool, look: impl Fn() -> Option<Status>) {
    let mut written = String::new();
    let mut is_failing = false;
    while !stop.load(Ordering::Acquire)
        && let Some(status) = look()
    {
        let is_changed = status.fields != written;
        if is_changed {
            match file::exchange(path, object_of(&status.fields).as_bytes()) {
                Ok(()) => (written, is_failing) = (status.fields, false),
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        selflog::warn(&format!("the status file: {error}"));
                    }
                }
            }
        }
        if is_changed || !status.is_quiet {
            std::thread::park_timeout(LOOK);
        } else {
            journal.wait_until(IDLE, |end, is_closed| {
                end > status.end || is_closed || stop.load(Ordering::Acquire)
            });
        }
    }
    // Best effort: who reads it asks the lock whether somebody lives.
    let _ = std::fs::remove_file(path);
}

/// What there is to say, as a line.
pub(crate) fn object(status: &Status) -> String {
    object_of(&status.fields).trim_end().to_owned()
}

fn object_of(fields: &str) -> String {
    let now = nanos(SystemTime::now());
    let pid = std::process::id();
    format!("{{\"version\":1,\"pid\":{pid},\"written_ns\":{now}{fields}}}\n")
}

fn nanos(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// The fields of a JSON object, each with a comma in front.
#[derive(Default)]
pub(crate) struct Fields {
    text: String,
}

impl Fields {
    /// A field whose value is written as `value` is shown: a number or a truth.
    pub(crate) fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        // A string takes everything.
        let _ = write!(self.text, "{value}");
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_text(&mut self.text, value);
    }

    /// The text, or null.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.plain(name, "null"),
        }
    }

    /// An object of counts.
    pub(crate) fn counts<'a>(&mut self, name: &str, counts: impl Iterator<Item = (&'a str, u64)>) {
        let mut inner = Fields::default();
        counts.for_each(|(name, count)| inner.plain(name, count));
        self.object(name, inner);
    }

    /// The moment, in nanoseconds since 1970-01-01 UTC.
    fn moment(&mut self, name: &str, at: SystemTime) {
        self.plain(name, nanos(at));
    }

    fn object(&mut self, name: &str, fields: Fields) {
        self.plain(name, fields.into_object());
    }

    /// An array of objects.
    pub(crate) fn objects(&mut self, name: &str, objects: impl Iterator<Item = Fields>) {
        let objects: Vec<String> = objects.map(Fields::into_object).collect();
        self.plain(name, format_args!("[{}]", objects.join(",")));
    }

    pub(crate) fn reloads(&mut self, reloads: &ReloadStats) {
        let mut fields = Fields::default();
        fields.plain("done", reloads.done);
        fields.plain("failed", reloads.failed);
        fields.maybe("failing", reloads.failing.as_deref());
        self.object("reloads", fields);
    }

    pub(crate) fn appenders(&mut self, appenders: &[OutletStats]) {
        self.objects("appenders", appenders.iter().map(of_appender));
    }

    fn into_object(self) -> String {
        format!("{{{}}}", self.text.trim_start_matches(','))
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn name(&mut self, name: &str) {
        self.text.push(',');
        push_text(&mut self.text, name);
        self.text.push(':');
    }
}

/// What an engine says. `held_by` is the appender that keeps its journal from making room.
pub(super) fn of_engine(service: &str, stats: &Stats, held_by: Option<&str>) -> Status {
    let mut fields = Fields::default();
    fields.text("role", "worker");
    fields.text("service", service);
    fields.text("durability", &format!("{:?}", stats.durability));
    fields.plain("rings", stats.rings);
    fields.plain("heap_rings", stats.heap_rings);
    fields.plain("lost_rings", stats.lost_rings);
    fields.plain("lost_ring_bytes", stats.lost_ring_bytes);
    fields.plain("blocks", stats.blocks);
    fields.plain("record_bytes", stats.record_bytes);
    fields.text("end", &stats.end.to_string());
    fields.text("synced", &stats.synced.to_string());
    fields.plain("sync_errors", stats.sync_errors);
    let losses = [("segments", stats.losses.segments), ("blocks", stats.losses.blocks)];
    fields.counts("losses", losses.into_iter());
    fields.counts("dropped", stats.dropped.reasons());
    fields.plain("cut", stats.dropped.cut());
    fields.maybe("journal_error", stats.journal_error.as_deref());
    fields.maybe("held_by", held_by);
    fields.reloads(&stats.reloads);
    match &stats.cluster {
        Some(cluster) => fields.object("cluster", of_cluster(cluster)),
        None => fields.maybe("cluster", None),
    }
    fields.appenders(&stats.appenders);
    // A sync that failed is tried again without a block; a term begins without one.
    let is_syncing = stats.sync_errors > 0 && stats.synced < stats.end;
    let is_waiting = stats.journal_error.is_some() || is_syncing || stats.cluster.is_some();
    Status {
        fields: fields.into_text(),
        end: stats.end,
        is_quiet: !is_waiting && are_quiet(&stats.appenders, stats.end),
    }
}

fn of_cluster(cluster: &ClusterStats) -> Fields {
    let mut fields = Fields::default();
    let role = match cluster.role {
        ClusterRole::Elected => "elected",
        ClusterRole::Member => "member",
    };
    fields.text("role", role);
    fields.plain("term", cluster.term);
    fields.plain("members", cluster.members);
    fields.maybe("failing", cluster.failing.as_deref());
    fields.appenders(&cluster.appenders);
    fields
}

fn of_appender(appender: &OutletStats) -> Fields {
    let mut fields = Fields::default();
    fields.text("name", &appender.name);
    fields.text("settled", &appender.settled.to_string());
    match appender.state {
        OutletState::Running => fields.text("state", "running"),
        OutletState::Retrying { attempts, since, next } => {
            fields.text("state", "retrying");
            fields.plain("attempts", attempts);
            fields.moment("since_ns", since);
            fields.moment("next_ns", next);
        }
        OutletState::Ended => fields.text("state", "ended"),
    }
    fields.maybe("failing", appender.failing.as_deref());
    for (name, count) in [
        ("delivered", appender.delivered),
        ("damaged", appender.damaged),
        ("errors", appender.errors),
        ("dead_letters", appender.dead_letters),
        ("oversized", appender.oversized),
        ("overtaken_segments", appender.overtaken_segments),
        ("overtaken_blocks", appender.overtaken_blocks),
    ] {
        fields.plain(name, count);
    }
    fields
}

/// Whether nothing is under way in any appender.
fn are_quiet(appenders: &[OutletStats], end: Position) -> bool {
    appenders.iter().all(|appender| appender.settled >= end && appender.failing.is_none())
}

/// A JSON string.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Where the status of the journal in `dir` is.
#[cfg(feature = "cli")]
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_name_ends_no_string() {
        let mut fields = Fields::default();
        fields.text("a\"b", "c\\d\n\u{1b}é");
        fields.maybe("none", None);
        fields.counts("counts", [("x y", 3), ("z", 0)].into_iter());
        let object = object_of(&fields.into_text());
        let end = r#","a\"b":"c\\d\u000a\u001bé","none":null,"counts":{"x y":3,"z":0}}"#;
        assert!(object.trim_end().ends_with(end), "{object}");
    }
}
