//! `rollway master`: the receiving side as a process.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::args::{Destination, MasterArgs};
use super::exit::{Exit, Failure};
use super::signals::Signals;
use crate::config::{Config, ConfigError, MASTER_APPENDER, MasterPlan, Sources};
use crate::master::{MasterError, MasterReport};

pub(super) fn run(
    args: &MasterArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let plan = described(args).map_err(|error| super::config::failure(&error))?;
    let again = args.clone();
    let builder = plan.builder.signals(true);
    let builder = builder.reload_from(move || described(&again).map(|plan| plan.builder));
    let drain = args.drain.map_or(plan.drain, Duration::from_secs_f64);

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
    tell(args, plan.has_journal, &report, out, err)
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

/// The master of the configuration, with the flags laid on top.
fn described(args: &MasterArgs) -> Result<MasterPlan, ConfigError> {
    let mut sources = match args.config.is_empty() {
        true => Sources::standard(),
        false => Sources::new().environment(),
    };
    sources = args.config.iter().fold(sources, |sources, path| sources.file(path));
    sources = args.set.iter().fold(sources, |sources, setting| sources.set(setting));
    if let Some(listen) = &args.listen {
        sources = sources.flag("--listen", "master.listen", listen);
    }
    if let Some(journal) = &args.journal {
        sources = sources.flag("--journal", "master.journal", journal.to_string_lossy());
    }
    if let Some(destination) = &args.appender {
        sources = to_appender(sources, destination);
    }
    if let Some(pattern) = &args.pattern {
        let mut names = read(&sources)?.appenders;
        if names.is_empty() {
            sources = to_appender(sources, &Destination::Stdout);
            names.push(MASTER_APPENDER.to_owned());
        }
        for name in names {
            let layout = |key: &str| format!("appenders.{name}.layout{key}");
            sources = sources
                .clear("--pattern", layout(""))
                .flag("--pattern", layout(".type"), "pattern")
                .flag("--pattern", layout(".pattern"), pattern);
        }
    }
    let mut plan = read(&sources)?;
    if let Some(level) = args.ack {
        plan.builder = plan.builder.ack_level(level);
    }
    Ok(plan)
}

/// Has the master send everything to an appender of the command line.
fn to_appender(sources: Sources, destination: &Destination) -> Sources {
    let key = |key: &str| format!("appenders.{MASTER_APPENDER}{key}");
    let sources =
        sources.clear("--appender", key("")).flag("--appender", "master.appender", MASTER_APPENDER);
    match destination {
        Destination::Stdout => sources.flag("--appender", key(".type"), "console"),
        Destination::File(path) => {
            sources.flag("--appender", key(".type"), "file").flag("--appender", key(".path"), path)
        }
    }
}

fn read(sources: &Sources) -> Result<MasterPlan, ConfigError> {
    Config::load(sources)?.master()
}

fn failure_of_start(error: &MasterError) -> Failure {
    let exit = match error {
        MasterError::Address { .. } | MasterError::Level { .. } => Exit::Usage,
        _ => Exit::Io,
    };
    Failure::caused(exit, "cannot start", error)
}
