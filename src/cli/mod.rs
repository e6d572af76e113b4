//! The `rollway` command: arguments, exit codes, human messages. It decides nothing about data.
//!
//! Data and reports go to standard output, what concerns the reader of the terminal to standard
//! error. `docs/operations.md` tells what each command does.

mod args;
pub mod bench;
mod cat;
mod config;
mod ctl;
mod deliver;
mod demo;
mod demo_ledger;
mod demo_worker;
mod exit;
mod filter;
mod index;
mod lines;
mod master;
mod merge;
mod progress;
mod recover;
mod send;
mod signals;
mod stats;
mod tail;
mod tally;
mod temporary;
#[cfg(test)]
mod tests;
mod verify;
mod waiting;
mod watch;
mod when;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
pub use exit::Exit;
use exit::Failure;

/// Runs the command of this process's arguments on its standard streams.
pub fn main() -> ExitCode {
    run(std::env::args_os(), &mut io::stdout(), &mut io::stderr()).into()
}

/// Runs the command that `args` spell, the program's name first.
///
/// `out` gets data and reports, `err` messages for people. Appenders of the console write to the
/// process's own standard output all the same.
///
/// # Examples
/// ```
/// use rollway::cli::{Exit, run};
///
/// let (mut out, mut err) = (Vec::new(), Vec::new());
/// let exit = run(["rollway", "cat", "/no/such/journal"], &mut out, &mut err);
/// assert_eq!(exit, Exit::NoInput);
/// assert!(out.is_empty() && !err.is_empty());
/// ```
pub fn run<I>(args: I, out: &mut dyn Write, err: &mut dyn Write) -> Exit
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            let (stream, exit): (&mut dyn Write, _) =
                if error.use_stderr() { (err, Exit::Usage) } else { (out, Exit::Ok) };
            // Who closed the stream does not want to read it.
            let _ = write!(stream, "{}", error.render());
            return exit;
        }
    };
    let result = match &arguments.command {
        Command::Cat(args) => cat::run(args, out, err),
        Command::Tail(args) => tail::run(args, out, err),
        Command::Stats(args) => stats::run(args, out, err),
        Command::Verify(args) => verify::run(args, out, err),
        Command::Recover(args) => recover::run(args, out, err),
        Command::Send(args) => send::run(args, out, err),
        Command::Master(args) => master::run(args, out, err),
        Command::Ctl(args) => ctl::run(args, out, err),
        Command::Config(command) => config::run(command, out, err),
        Command::Demo(args) => demo::run(args, out, err),
        Command::Bench(args) => bench::run(args, out, err),
        Command::BenchPart(args) => bench::run_part(args, out),
        Command::DemoWorker(args) => demo_worker::run(args, out),
    };
    match result {
        Ok(exit) => exit,
        Err(Failure::Closed) => Exit::Ok,
        Err(Failure::Because { exit, message }) => {
            let _ = writeln!(err, "rollway: {message}");
            exit
        }
    }
}
