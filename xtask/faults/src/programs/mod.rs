//! The programs under test: hidden parts of the bench's own binary.
//!
//! Each gets its plan as JSON and prints a report as a line of JSON when it ends by itself.

mod fork;
pub(crate) mod master;
pub(crate) mod refusing;
pub(crate) mod worker;

use std::error::Error;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Plays the part that the arguments name; `None` if they name none.
pub(crate) fn run(arguments: &[String]) -> Option<ExitCode> {
    let (part, plan) = match arguments {
        [part, plan] => (part.as_str(), plan.as_str()),
        [part, ..] => (part.as_str(), ""),
        [] => return None,
    };
    let result = match part {
        "worker" => plan_of(plan).and_then(worker::run),
        "master" => plan_of(plan).and_then(master::run),
        // The command as it is, with the crash points.
        "rollway" => {
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            return Some(rollway::cli::run(arguments, &mut out, &mut err).into());
        }
        _ => return None,
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = Some(&*error as &dyn Error);
            while let Some(error) = cause {
                eprintln!("{part}: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    })
}

/// Reads a plan. Nobody needs a program whose bench is gone.
fn plan_of<T: serde::de::DeserializeOwned>(plan: &str) -> Result<T, Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(serde_json::from_str(plan)?)
}
