//! The fault bench: programs are killed, disks filled, files damaged, and the events counted.
//!
//! The bench itself is the oracle. It is never killed, and what it believes it reads from ledgers
//! that the programs under test keep, from the text files they write and from the journals they
//! leave. `cargo xtask faults` builds and runs it.

mod account;
mod case;
mod cases;
mod client;
mod disk;
mod figures;
mod image;
mod journal;
mod ledger;
mod options;
mod program;
mod programs;
mod proxy;
mod random;
mod rotation;
mod table;
mod trace;
mod waiting;

use std::process::ExitCode;

use case::{Bench, Outcome};
use options::Options;
use table::Row;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(exit) = programs::run(&arguments) {
        return exit;
    }
    let options = match Options::parse(&arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("{message}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<_> = cases::all().filter(|case| options.wants(case.id)).collect();
    if options.list {
        chosen.iter().for_each(|case| println!("{:5} {}: {}", case.id, case.what, case.target));
        return ExitCode::SUCCESS;
    }
    let rows: Vec<_> = chosen.into_iter().map(|case| Row::of(case, &options)).collect();
    print!("{}", if options.markdown { table::markdown(&rows) } else { table::text(&rows) });
    if let Some(path) = &options.json
        && let Err(error) = std::fs::write(path, table::json(&rows, &options))
    {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    let has_failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Row {
    /// Runs a case.
    fn of(case: &'static case::Case, options: &Options) -> Row {
        let began = std::time::Instant::now();
        eprintln!("{}: {}", case.id, case.what);
        let mut bench = Bench::new(case.id, options.long, options.seed);
        bench.minutes = options.minutes;
        let outcome = (case.run)(&mut bench);
        let row = Row { case, outcome, took: began.elapsed() };
        eprintln!("{}: {} in {:.1} s", case.id, row.outcome, row.took.as_secs_f64());
        row
    }
}
