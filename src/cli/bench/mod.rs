//! `rollway bench`: what to expect of this machine, and which setting to change.
//!
//! The figures are one JSON object from the first to the last: each part measures in a process of
//! its own, because a process has one logger, and prints its share of the object; the report and
//! the advice read what is there. `docs/operations.md` tells what each figure means.

mod advice;
mod call;
mod file;
mod machine;
mod part;
pub mod probe;
mod report;
mod tcp;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::{BenchArgs, BenchPart, BenchPhase};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::signals::Signals;
use super::temporary::TemporaryDir;
use machine::SHM;
pub(super) use part::run as run_part;
use probe::Probe;

const COMMAND: &str = "bench";
const BAR: &str = "{wide_bar} {msg} {elapsed}";
/// Steps of the progress bar in a second.
const STEPS: f64 = 10.0;
/// How often a part is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes on the disk at a time.
const DISK_BYTES_MAX: u64 = 3 << 30;
/// Room for the journals of one part.
const DISK_BYTES_MIN: u64 = 256 << 20;
/// Of the free space all but one part of so many is left alone.
const FREE_PARTS: u64 = 4;
/// A part takes no longer than twice its time and this, whatever the disk does.
const PART_LIMIT: Duration = Duration::from_secs(90);

pub(super) fn run(
    args: &BenchArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    // An interrupted bench cleans up, too.
    let signals = Signals::listen().map_err(failed("wait for signals"))?;
    let parts = parts(&args.only);
    let place = Place::find(args.dir.as_deref())?;
    let bench = Bench {
        seconds: args.seconds / parts.len() as f64,
        place,
        signals,
        progress: Progress::new(COMMAND, BAR, (args.seconds * STEPS) as u64, err),
    };

    bench.progress.say("the machine");
    let before = Probe::take();
    let mut figures = json!({ "machine": machine::describe() });
    for (done, part) in parts.iter().enumerate() {
        let (phase, name) = names(*part);
        let measured = bench.measure(*part, done)?;
        match name {
            None => figures[phase] = measured,
            Some(name) => figures[phase][name] = measured,
        }
    }
    machine::add_probes(&mut figures, before, Probe::take());
    if figures.get("file").is_some() {
        figures["file"]["disk"] = machine::disk(&bench.place.parent);
    }
    drop(bench);
    let advice = advice::of(&figures);
    figures["advice"] = advice.iter().map(advice::Advice::to_json).collect();
    let written = match args.json {
        true => writeln!(out, "{figures}"),
        false => report::write(&figures, &advice, out),
    };
    written.and_then(|()| out.flush()).map_err(Failure::of_output)?;
    let lost = report::lost(&figures);
    match lost {
        0 => Ok(Exit::Ok),
        _ => Err(Failure::new(Exit::Loss, format!("{COMMAND}: {lost} events were lost"))),
    }
}

/// The parts of the phases that were asked for; of all without a choice.
fn parts(only: &[BenchPhase]) -> Vec<BenchPart> {
    [
        (BenchPhase::Call, BenchPart::Call),
        (BenchPhase::File, BenchPart::Journal),
        (BenchPhase::File, BenchPart::Text),
        (BenchPhase::Tcp, BenchPart::Tcp),
    ]
    .into_iter()
    .filter(|(phase, _)| only.is_empty() || only.contains(phase))
    .map(|(_, part)| part)
    .collect()
}

/// Where the figures of a part go: its phase, and the name below that.
fn names(part: BenchPart) -> (&'static str, Option<&'static str>) {
    match part {
        BenchPart::Call => ("call", None),
        BenchPart::Journal => ("file", Some("journal")),
        BenchPart::Text => ("file", Some("text")),
        BenchPart::Tcp => ("tcp", None),
    }
}

/// Where the parts write.
struct Place {
    /// The directory that was asked for.
    parent: PathBuf,
    dir: TemporaryDir,
    /// Beside those of services, so that whatever happens they go with ours. Without a memory file
    /// system the parts put their rings where services would.
    rings: Option<TemporaryDir>,
    disk_bytes: u64,
}

impl Place {
    fn find(dir: Option<&Path>) -> Result<Place, Failure> {
        let parent = match (dir, std::env::var_os("TMPDIR")) {
            (Some(dir), _) => dir.to_owned(),
            (None, Some(dir)) if !dir.is_empty() => dir.into(),
            (None, _) => std::env::current_dir().map_err(failed("find the current directory"))?,
        };
        let dir = TemporaryDir::new(&parent, COMMAND).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NoInput,
                _ => Exit::Io,
            };
            let parent = parent.display();
            let what = format!(
                "{COMMAND}: cannot write to {parent} (give --dir a directory that is there and yours)"
            );
            Failure::caused(exit, what, &error)
        })?;
        let free_bytes = machine::free_bytes(&parent).map_err(failed("read the free space"))?;
        let disk_bytes = (free_bytes / FREE_PARTS).min(DISK_BYTES_MAX);
        if disk_bytes < DISK_BYTES_MIN {
            let (parent, free) = (parent.display(), free_bytes >> 20);
            let needed = (DISK_BYTES_MIN * FREE_PARTS) >> 20;
            let message = format!(
                "{COMMAND}: {parent} has {free} MiB free, and {needed} MiB are needed; \
                 give another place with --dir"
            );
            return Err(Failure::new(Exit::Io, message));
        }
        let rings = Path::new(SHM).is_dir().then(|| TemporaryDir::new(Path::new(SHM), COMMAND));
        Ok(Place { parent, dir, rings: rings.and_then(Result::ok), disk_bytes })
    }
}

/// One run of the command.
struct Bench<'a> {
    /// Of each part.
    seconds: f64,
    place: Place,
    signals: Signals,
    progress: Progress<'a>,
}

impl Bench<'_> {
    /// Runs a part in a process of its own and returns what it measured.
    fn measure(&self, part: BenchPart, done: usize) -> Result<Value, Failure> {
        let what = match part {
            BenchPart::Call => "log calls",
            BenchPart::Journal => "a journal directory",
            BenchPart::Text => "a text file",
            BenchPart::Tcp => "a master on loopback",
        };
        self.progress.say(&format!("{what}, {:.1} s", self.seconds));
        let dir = self.place.dir.path.join(format!("part-{done}"));
        std::fs::create_dir(&dir).map_err(failed("make a directory"))?;
        let mut running = self.start(part, &dir)?;
        let begin = Instant::now();
        let limit = Duration::from_secs_f64(self.seconds * 2.0) + PART_LIMIT;
        let status = loop {
            if self.signals.came() {
                return Err(Failure::new(Exit::Io, format!("{COMMAND}: interrupted")));
            }
            if let Some(status) = running.0.try_wait().map_err(failed("wait for a part"))? {
                break status;
            }
            if begin.elapsed() > limit {
                let message = format!("{COMMAND}: {what} took longer than {limit:.0?}");
                return Err(Failure::new(Exit::Io, message));
            }
            let passed = begin.elapsed().as_secs_f64().min(self.seconds);
            self.progress.show(((self.seconds * done as f64 + passed) * STEPS) as u64);
            std::thread::sleep(LOOK);
        };
        let mut printed = String::new();
        if let Some(mut stdout) = running.0.stdout.take() {
            // One short line: it was in the pipe before the process ended.
            io::Read::read_to_string(&mut stdout, &mut printed).map_err(failed("read a part"))?;
        }
        // The next part gets a disk and a memory without this one's files.
        std::fs::remove_dir_all(&dir).map_err(failed("remove a directory"))?;
        match serde_json::from_str(&printed) {
            Ok(measured) if status.success() => Ok(measured),
            // Its own message is on standard error.
            _ => Err(Failure::new(Exit::Io, format!("{COMMAND}: {what}: it ended with {status}"))),
        }
    }

    fn start(&self, part: BenchPart, dir: &Path) -> Result<Running, Failure> {
        let program = std::env::current_exe().map_err(failed("find its own program"))?;
        let name = match part {
            BenchPart::Call => "call",
            BenchPart::Journal => "journal",
            BenchPart::Text => "text",
            BenchPart::Tcp => "tcp",
        };
        let mut command = Command::new(program);
        command.args(["bench-part", name, "--seconds", &self.seconds.to_string()]);
        command.args(["--disk-bytes", &self.place.disk_bytes.to_string()]);
        command.arg("--dir").arg(dir);
        if let Some(rings) = &self.place.rings {
            command.arg("--rings").arg(&rings.path);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child.map(Running).map_err(failed("start a part"))
    }
}

/// The process of a part. Dropping it kills it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::caused(Exit::Io, format!("{COMMAND}: cannot {what}"), &error)
}
