//! `rollway config`: checks and shows configuration files.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::{ConfigCommand, LayerArgs};
use super::exit::{Exit, Failure};
use crate::config::{Config, ConfigError, Origin, Place, Problem, Sources};

pub(super) fn run(
    command: &ConfigCommand,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let text = match command {
        ConfigCommand::Check(args) if args.json => return check_json(&args.layers, out),
        ConfigCommand::Check(args) => return check(&args.layers, out, err),
        ConfigCommand::Show(args) => {
            let config = Config::load(&sources(&args.layers)).map_err(|error| failure(&error))?;
            if args.json { config.show_json() + "\n" } else { config.show() }
        }
        ConfigCommand::Default => Config::default_file(),
        ConfigCommand::Schema => Config::schema(),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)?;
    Ok(Exit::Ok)
}

/// Prints everything that is wrong, a line each, or what the configuration sets up.
fn check(layers: &LayerArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<Exit, Failure> {
    match Config::load(&sources(layers)) {
        Ok(config) => {
            let lines = config.summary().iter();
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            out.write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .map_err(Failure::of_output)?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(err, "{error}");
            Ok(exit_of(&error))
        }
    }
}

/// Prints an object for everything that is wrong, a line each.
fn check_json(layers: &LayerArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Err(error) = Config::load(&sources(layers)) else { return Ok(Exit::Ok) };
    for problem in error.problems() {
        writeln!(out, "{}", finding(problem)).map_err(Failure::of_output)?;
    }
    out.flush().map_err(Failure::of_output)?;
    Ok(exit_of(&error))
}

fn finding(problem: &Problem) -> Value {
    let place = problem.place.as_ref();
    let origin = |kind: fn(&Origin) -> Option<String>| place.and_then(|place| kind(&place.origin));
    let file = origin(|origin| match origin {
        Origin::File(path) => Some(path.display().to_string()),
        _ => None,
    });
    let variable = origin(|origin| match origin {
        Origin::Variable(name) => Some(name.clone()),
        _ => None,
    });
    let flag = origin(|origin| match origin {
        Origin::Flag(flag) => Some(flag.clone()),
        _ => None,
    });
    let number = |number: fn(&Place) -> u32| place.map(number).filter(|number| *number > 0);
    let (line, column) = (number(|place| place.line), number(|place| place.column));
    json!({
        "place": {
            "file": file, "variable": variable, "flag": flag,
            "line": line, "column": column, "key": problem.key,
        },
        "value": problem.value,
        "message": problem.message(),
        "remedy": problem.remedy(),
    })
}

fn sources(layers: &LayerArgs) -> Sources {
    let sources = match layers.no_environment {
        true => Sources::new(),
        false => Sources::new().environment(),
    };
    let sources = layers.files.iter().fold(sources, |sources, path| sources.file(path));
    layers.set.iter().fold(sources, |sources, setting| sources.set(setting))
}

/// The end of a command whose configuration is wrong.
pub(super) fn failure(error: &ConfigError) -> Failure {
    Failure::new(exit_of(error), error.to_string())
}

/// The exit code: that of the worst that happened to a file, else that of a wrong configuration.
fn exit_of(error: &ConfigError) -> Exit {
    let unread = error.problems().iter().find_map(|problem| problem.unread);
    match unread {
        Some(io::ErrorKind::NotFound) => Exit::NoInput,
        None | Some(io::ErrorKind::InvalidData) => Exit::Config,
        Some(_) => Exit::Io,
    }
}
