//! `rollway master`: the receiving side as a process.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::args::MasterArgs;
use super::exit::{Exit, Failure};
use super::signals::Signals;
use crate::appender::{Open, OpenError, Opened, Place};
use crate::config::{AppenderPlan, Config, Destination, LayoutPlan};
use crate::engine::SyncPolicy;
use crate::journal::JournalOptions;
use crate::master::{Limits, Master, MasterError, MasterReport};

/// The name of an appender that the command line gives.
const APPENDER: &str = "appender";
/// How long the end may take.
const DRAIN: Duration = Duration::from_secs(10);

pub(super) fn run(
    args: &MasterArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let config = match &args.config {
        Some(path) => read_config(path)?.master,
        None => Config::default().master,
    };
    let mut builder = Master::builder();
    if let Some(listen) = args.listen.as_ref().or(config.listen.as_ref()) {
        builder = builder.listen(listen);
    }
    let journal = args.journal.as_ref().or(config.journal.as_ref());
    let mut options = journal.map_or_else(JournalOptions::memory, JournalOptions::directory);
    if let Some(bytes) = config.journal_max_bytes {
        options = options.max_bytes(bytes);
    }
    if let Some(bytes) = config.journal_keep_free {
        if journal.is_none() {
            let what = "`journal_keep_free` is about a directory: name one as `journal`";
            return Err(Failure::new(Exit::Config, what));
        }
        options = options.keep_free_bytes(bytes);
    }
    builder = builder.journal(options);
    if let Some(level) = args.ack.or(config.acknowledge) {
        builder = builder.ack_level(level);
    }
    builder = match config.sync_every_ms {
        None => builder,
        Some(0) => builder.sync(SyncPolicy::Never),
        Some(pause) => builder.sync(SyncPolicy::Every(Duration::from_millis(pause))),
    };
    let bytes_per_second_per_source = config.source_bytes_per_second;
    builder = builder.limits(Limits { bytes_per_second_per_source, ..Limits::default() });
    let drain = match (args.drain, config.drain_seconds) {
        (Some(seconds), _) => Duration::from_secs_f64(seconds),
        (None, Some(seconds)) => Duration::from_secs(seconds),
        (None, None) => DRAIN,
    };
    if let Some(method) = config.io_method {
        builder = builder.io_method(method);
    }
    let mut appender = match (&args.appender, config.appender) {
        (Some(destination), _) => on_command_line(destination.clone()),
        (None, Some(plan)) => plan,
        (None, None) => on_command_line(Destination::Stdout),
    };
    if let Some(pattern) = &args.pattern {
        appender.layout = LayoutPlan::Pattern(pattern.clone());
    }
    let name = appender.name.clone();
    builder = builder.appender(name, Planned(appender.into_appender()));

    // Before anybody can know that we are here.
    let signals = Signals::listen()
        .map_err(|error| Failure::caused(Exit::Io, "cannot wait for signals", &error))?;
    let master = builder.start().map_err(|error| failure_of_start(&error))?;
    let address = master.local_addr();
    if args.json {
        let listening = json!({ "listening": address.to_string() });
        writeln!(out, "{listening}").and_then(|()| out.flush()).map_err(Failure::of_output)?;
    }
    // Without a standard error there is nobody to tell.
    let _ = writeln!(err, "rollway: listening on {address}");

    signals.wait();
    let report = master.shutdown(drain);
    tell(args, journal.is_some(), &report, out, err)
}

fn tell(
    args: &MasterArgs,
    has_journal: bool,
    report: &MasterReport,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (stats, delivered, left) = (&report.stats, report.delivered(), report.left());
    if args.json {
        let object = json!({
            "received": stats.events, "delivered": delivered, "left": left,
            "connections": stats.accepted, "duplicate_blocks": stats.duplicates,
            "missing_blocks": stats.missing_blocks,
        });
        writeln!(out, "{object}").and_then(|()| out.flush()).map_err(Failure::of_output)?;
    }
    let connections = stats.accepted;
    let summary = format!(
        "{} events received on {connections} connections, {delivered} delivered, {left} left",
        stats.events
    );
    let _ = writeln!(err, "rollway: {summary}");
    if left == 0 {
        return Ok(Exit::Ok);
    }
    for appender in &report.appenders {
        let why = appender.failing.as_deref().unwrap_or("the time was over");
        let _ =
            writeln!(err, "rollway: appender `{}`: {} left: {why}", appender.name, appender.left);
    }
    if has_journal {
        let _ = writeln!(err, "rollway: the next start with this journal delivers them");
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Io, "they are lost: give --journal DIR to keep them"))
}

fn on_command_line(destination: Destination) -> AppenderPlan {
    AppenderPlan::new(APPENDER, destination)
}

fn read_config(path: &Path) -> Result<Config, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::InvalidData => Exit::Config,
            _ => Exit::Io,
        };
        Failure::caused(exit, format!("{shown}: the configuration cannot be read"), &error)
    })?;
    Config::parse(&text).map_err(|error| Failure::caused(Exit::Config, shown.to_string(), &error))
}

fn failure_of_start(error: &MasterError) -> Failure {
    let exit = match error {
        MasterError::Address { .. } | MasterError::Level { .. } => Exit::Usage,
        _ => Exit::Io,
    };
    Failure::caused(exit, "cannot start", error)
}

/// An appender that was chosen at run time.
struct Planned(Box<dyn Open>);

impl Open for Planned {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        self.0.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.0.is_mandatory()
    }
}
