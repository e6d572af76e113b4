//! The same workload through rollway and other loggers, side by side. See README.md.

use std::process::ExitCode;

mod job;
mod latency;
mod lines;
mod master;
mod options;
mod peers;
mod pin;
mod process;
mod receiver;
mod run;
#[path = "../../support/mod.rs"]
mod support;
mod table;
mod throughput;
mod workload;

use job::{Job, Mode};
use master::COLLECTORS;
use options::{Command, USAGE};
use peers::PEERS;

/// Why a measurement, or all of them, came to nothing.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = match Command::parse(&args) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Command::List => {
            list();
            Ok(())
        }
        Command::Run(options) => run::run(&options),
        Command::One(job) => one(&job),
        Command::Receiver(dir) => receiver::serve(&dir),
        Command::Become(program) => Err(process::become_program(&program)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for peer in PEERS {
        println!("{:18} {}", peer.name, peer.config());
    }
    for collector in COLLECTORS {
        let version = (collector.version)();
        let version = version.unwrap_or_else(|reason| format!("left out: {reason}"));
        println!("{:18} {version}; {}", collector.name, collector.settings);
    }
}

/// Measures in this process, and answers the parent.
fn one(job: &Job) -> Result<(), Failure> {
    process::die_with_parent()?;
    let measure = match job.mode {
        Mode::Latency | Mode::Throughput => {
            PEERS.iter().find(|peer| peer.name == job.subject).map(|peer| peer.measure)
        }
        Mode::Master => {
            let collectors = COLLECTORS.iter();
            let mut named = collectors.filter(|collector| collector.name == job.subject);
            named.next().map(|collector| collector.measure)
        }
    };
    let measure = measure.ok_or_else(|| format!("there is no `{}` to measure", job.subject))?;
    println!("{}", measure(job)?.to_json());
    Ok(())
}
