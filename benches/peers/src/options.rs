//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::job::{Job, Mode};
use crate::master::COLLECTORS;
use crate::peers::PEERS;
use crate::workload::Case;

pub const USAGE: &str = "\
usage: rollway-peers [options]

Runs the same workload through rollway and other loggers, each measurement in a process of its own,
peer after peer, round after round.

  --peers A,B      only these (see --list)
  --modes A,B      only these: latency, throughput, master
  --cases A,B      only these events: mixed4, int2, str100
  --threads A,B    producers of throughput (1,2,4) and connections of master (1,4)
  --rounds R       measurements of each (5)
  --bursts N       bursts of 20 calls in one latency measurement (20000)
  --events N       events in one throughput measurement (the peer's own, 1 or 2 million)
  --timeout S      seconds after which a measurement is ended and shown as failed (60)
  --dir DIR        where the files go (target/peers beside this crate)
  --quick          a check that everything works, in about 20 seconds; no figures to quote
  --list           names the peers and collectors, with versions and settings
  --help           this text

With ROLLWAY_BENCH_OUT=FILE each figure is also added to FILE, one JSON object a line.";

/// What to do.
#[derive(Debug)]
pub enum Command {
    Help,
    List,
    Run(Options),
    /// In a child: one measurement.
    One(Job),
    /// In a child: a rollway master.
    Receiver(PathBuf),
    /// In a child: another program.
    Become(Vec<String>),
}

/// Which measurements.
#[derive(Debug)]
pub struct Options {
    pub subjects: Option<Vec<String>>,
    pub modes: Vec<Mode>,
    pub cases: Vec<Case>,
    pub threads: Option<Vec<usize>>,
    pub rounds: usize,
    pub bursts: u64,
    pub events: Option<u64>,
    pub timeout: Duration,
    pub dir: PathBuf,
}

impl Command {
    /// Reads the arguments behind the program's name.
    pub fn parse(args: &[String]) -> Result<Command, String> {
        match args {
            [first, rest @ ..] if first == "one" => Job::from_args(rest).map(Command::One),
            [first, dir] if first == "receiver" => Ok(Command::Receiver(dir.into())),
            [first, rest @ ..] if first == "become" => Ok(Command::Become(rest.to_vec())),
            _ if args.iter().any(|arg| arg == "--help" || arg == "-h") => Ok(Command::Help),
            _ if args.iter().any(|arg| arg == "--list") => Ok(Command::List),
            _ => Options::parse(args).map(Command::Run),
        }
    }
}

impl Options {
    fn parse(mut args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            subjects: None,
            modes: Mode::ALL.to_vec(),
            cases: Case::ALL.to_vec(),
            threads: None,
            rounds: 5,
            bursts: 20_000,
            events: None,
            timeout: Duration::from_secs(60),
            dir: concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers").into(),
        };
        while let [name, rest @ ..] = args {
            args = rest;
            if name == "--quick" {
                options.quick();
                continue;
            }
            if !name.starts_with("--") {
                return Err(format!("unexpected argument `{name}`"));
            }
            let [value, rest @ ..] = args else { return Err(format!("{name} needs a value")) };
            args = rest;
            match name.as_str() {
                "--peers" => options.subjects = Some(list(value, subject)?),
                "--modes" => options.modes = list(value, mode)?,
                "--cases" => options.cases = list(value, case)?,
                "--threads" => options.threads = Some(list(value, |value| number(name, value))?),
                "--rounds" => options.rounds = number(name, value)?,
                "--bursts" => options.bursts = number(name, value)? as u64,
                "--events" => options.events = Some(number(name, value)? as u64),
                "--timeout" => options.timeout = Duration::from_secs(number(name, value)? as u64),
                "--dir" => options.dir = value.into(),
                _ => return Err(format!("there is no option `{name}`")),
            }
        }
        Ok(options)
    }

    fn quick(&mut self) {
        self.cases = vec![Case::Mixed4];
        self.threads = Some(vec![4]);
        self.rounds = 1;
        self.bursts = 200;
        self.events = Some(20_000);
        self.timeout = Duration::from_secs(20);
    }

    /// Whether it is measured at all.
    pub fn includes(&self, subject: &str) -> bool {
        self.subjects.as_ref().is_none_or(|names| names.iter().any(|name| name == subject))
    }
}

fn list<T>(value: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').map(str::trim).map(read).collect()
}

fn number(option: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{option}: `{value}` is not a number above 0"))
}

fn subject(name: &str) -> Result<String, String> {
    let peers = PEERS.iter().map(|peer| peer.name);
    let names: Vec<_> = peers.chain(COLLECTORS.iter().map(|collector| collector.name)).collect();
    let known = names.contains(&name).then(|| name.to_owned());
    known.ok_or_else(|| format!("there is no peer `{name}`; there are {}", names.join(", ")))
}

fn mode(name: &str) -> Result<Mode, String> {
    let names = Mode::ALL.map(Mode::name).join(", ");
    Mode::of_name(name).ok_or_else(|| format!("there is no mode `{name}`; there are {names}"))
}

fn case(name: &str) -> Result<Case, String> {
    let names = Case::ALL.map(Case::name).join(", ");
    Case::of_name(name).ok_or_else(|| format!("there is no case `{name}`; there are {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Command::parse(&args).expect_err("it is wrong")
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        assert!(
            refused(&["--peers", "log4rs,log5rs"]).contains("`log5rs`; there are rollway-text")
        );
        assert!(refused(&["--cases", "mixed5"]).ends_with("mixed4, int2, str100"));
        assert!(refused(&["--modes", ""]).ends_with("latency, throughput, master"));
        assert_eq!(refused(&["--round", "3"]), "there is no option `--round`");
        assert_eq!(refused(&["--rounds", "0"]), "--rounds: `0` is not a number above 0");
        assert_eq!(refused(&["--rounds"]), "--rounds needs a value");
    }
}
