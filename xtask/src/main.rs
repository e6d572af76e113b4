//! Chores that take longer than CI allows: `cargo xtask crash`, `cargo xtask bench`, `cargo xtask
//! fuzz`, `cargo xtask sites`, `cargo xtask faults`.

mod bench;
mod chart;
mod fuzz;
mod sites;

use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask crash [--loops N] [--seed S]
       cargo xtask bench [OPTIONS]
       cargo xtask fuzz [OPTIONS]
       cargo xtask sites [--builds N]
       cargo xtask faults [OPTIONS]

crash   Kills a logging program N times (200) at instants drawn from seed S (1) and upwards, starts
        it again, and counts what was lost or doubled. Ends with status 1 if anything was.
bench   Measures rollway and its peers, and rewrites docs/performance.md. `cargo xtask bench --help`
        explains.
fuzz    Runs the fuzz targets with the address sanitizer. `cargo xtask fuzz --help` explains.
sites   Builds a crate with a thousand call sites through rollway and through `log`, N times each (5),
        and tells the time and the code of a site.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, options)) if chore == "crash" => match CrashOptions::parse(options) {
            Ok(options) => crash(&options),
            Err(message) => refuse(&message),
        },
        Some((chore, options)) if chore == "bench" => {
            if options.iter().any(|option| option == "--help" || option == "-h") {
                println!("{}", bench::USAGE);
                return ExitCode::SUCCESS;
            }
            match bench::Options::parse(options) {
                Ok(options) => bench::run(&options),
                Err(message) => {
                    eprintln!("{message}\n{}", bench::USAGE);
                    ExitCode::from(2)
                }
            }
        }
        Some((chore, options)) if chore == "fuzz" => {
            if options.iter().any(|option| option == "--help" || option == "-h") {
                println!("{}", fuzz::USAGE);
                return ExitCode::SUCCESS;
            }
            match fuzz::Options::parse(options) {
                Ok(options) => fuzz::run(&options),
                Err(message) => {
                    eprintln!("{message}\n{}", fuzz::USAGE);
                    ExitCode::from(2)
                }
            }
        }
        Some((chore, options)) if chore == "sites" => match sites::parse(options) {
            Ok(builds) => sites::run(builds),
            Err(message) => refuse(&message),
        },
        Some((chore, options)) if chore == "faults" => faults(options),
        Some((help, _)) if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some((other, _)) => refuse(&format!("there is no chore `{other}`")),
        None => refuse("which chore?"),
    }
}

/// Builds the fault bench and runs it.
fn faults(options: &[String]) -> ExitCode {
    status_of(
        cargo()
            .args(["run", "--quiet", "--locked", "--profile", "faults"])
            .args(["--package", "rollway-faults", "--"])
            .args(options),
    )
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command and ends as it does.
fn status_of(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("{message}\n{USAGE}");
    ExitCode::from(2)
}

/// What `crash` was asked for.
struct CrashOptions {
    loops: u64,
    seed: u64,
}

impl CrashOptions {
    fn parse(mut arguments: &[String]) -> Result<CrashOptions, String> {
        let mut options = CrashOptions { loops: 200, seed: 1 };
        while let [name, rest @ ..] = arguments {
            let option = match name.as_str() {
                "--loops" => &mut options.loops,
                "--seed" => &mut options.seed,
                _ => return Err(format!("there is no option `{name}`")),
            };
            let [value, rest @ ..] = rest else { return Err(format!("{name} needs a number")) };
            *option = value.parse().map_err(|_| format!("{name}: `{value}` is not a number"))?;
            arguments = rest;
        }
        Ok(options)
    }
}

/// Runs the test that kills, for longer than the test run does. It prints the table.
fn crash(options: &CrashOptions) -> ExitCode {
    status_of(
        cargo()
            .args(["test", "--release", "--package", "rollway", "--test", "kill", "--"])
            .args(["--exact", "what_a_killed_program_logged_is_delivered_once", "--nocapture"])
            .env("ROLLWAY_CRASH_LOOPS", options.loops.to_string())
            .env("ROLLWAY_CRASH_SEED", options.seed.to_string()),
    )
}
