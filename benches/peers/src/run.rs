//! All measurements, one process after the other.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::Failure;
use crate::job::{Job, Mode, Outcome};
use crate::latency::BURST;
use crate::master::{self, COLLECTORS};
use crate::options::Options;
use crate::peers::PEERS;
use crate::process::Process;
use crate::support::{Figure, report_probe};
use crate::table::Table;
use crate::workload::Case;

const BENCH: &str = "peers";

/// Measures everything that is asked for, then prints the tables.
///
/// # Errors
/// When nothing can be measured. A measurement that fails is a figure instead.
pub fn run(options: &Options) -> Result<(), Failure> {
    fs::create_dir_all(&options.dir)?;
    // Collectors change their directory.
    let dir = options.dir.canonicalize()?.join(format!("run-{}", std::process::id()));
    report_probe(BENCH, "before");
    let mut tables = Vec::new();
    for cell in cells(options) {
        cell.measure(options, &dir, &mut tables);
    }
    report_probe(BENCH, "after");
    tables.iter().for_each(Table::print);
    Ok(fs::remove_dir_all(&dir)?)
}

/// What is measured with each subject before the next is begun.
struct Cell {
    mode: Mode,
    case: Case,
    threads: usize,
}

/// The cells, in the order in which they are measured.
fn cells(options: &Options) -> Vec<Cell> {
    let threads = |all: &[usize]| options.threads.clone().unwrap_or(all.to_vec());
    let mut cells = Vec::new();
    for mode in &options.modes {
        let (cases, threads) = match mode {
            Mode::Latency => (options.cases.as_slice(), vec![1]),
            Mode::Throughput => (options.cases.as_slice(), threads(&[1, 2, 4])),
            Mode::Master => (&[Case::Mixed4][..], threads(&[1, 4])),
        };
        for &case in cases {
            cells.extend(threads.iter().map(|&threads| Cell { mode: *mode, case, threads }));
        }
    }
    cells
}

/// One who is measured in a cell.
struct Subject {
    name: &'static str,
    config: String,
    /// What the figures call what is measured.
    case: String,
    events: u64,
}

impl Cell {
    /// Measures all subjects in turn, in each round. Subjects with the same case share a table.
    fn measure(&self, options: &Options, dir: &Path, tables: &mut Vec<Table>) {
        let subjects = self.subjects(options);
        for _ in 0..options.rounds {
            for subject in &subjects {
                let job = Job {
                    subject: subject.name.to_owned(),
                    mode: self.mode,
                    case: self.case,
                    threads: self.threads,
                    events: subject.events,
                    dir: dir.join(subject.name),
                };
                let result = child(&job, options).map_err(|error| error.to_string());
                subject.report(&result);
                let at = tables.iter().position(|table| table.case == subject.case);
                let at = at.unwrap_or_else(|| {
                    tables.push(Table::new(subject.case.clone()));
                    tables.len() - 1
                });
                tables[at].add(subject.name, &subject.config, result);
            }
        }
    }

    fn subjects(&self, options: &Options) -> Vec<Subject> {
        match self.mode {
            Mode::Master => self.collectors(options),
            Mode::Latency | Mode::Throughput => self.peers(options),
        }
    }

    fn peers(&self, options: &Options) -> Vec<Subject> {
        let (case, threads) = (self.case.name(), self.threads);
        let included = PEERS.iter().filter(|peer| options.includes(peer.name));
        let subject = included.map(|peer| {
            let output = peer.output.name();
            let (case, events) = match self.mode {
                Mode::Latency => (format!("{case} burst"), options.bursts * BURST),
                _ => (
                    format!("{case} {output} {}", count(threads, "producer")),
                    options.events.unwrap_or(peer.events),
                ),
            };
            Subject { name: peer.name, config: peer.config(), case, events }
        });
        subject.collect()
    }

    /// The collectors that are installed. The others are named.
    fn collectors(&self, options: &Options) -> Vec<Subject> {
        let (case, threads) = (self.case.name(), self.threads);
        let included = COLLECTORS.iter().filter(|collector| options.includes(collector.name));
        let subject = included.filter_map(|collector| match (collector.version)() {
            Ok(version) => Some(Subject {
                name: collector.name,
                config: format!("{version}; {}", collector.settings),
                case: format!("{case} master {}", count(threads, "connection")),
                events: options.events.unwrap_or(master::EVENTS),
            }),
            Err(reason) => {
                println!("{BENCH:8} {:18} left out: {reason}", collector.name);
                None
            }
        });
        subject.collect()
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl Subject {
    fn report(&self, result: &Result<Outcome, String>) {
        let figure = |metric, unit, value, config: &str| {
            let (subject, case) = (self.name, &self.case);
            Figure { bench: BENCH, subject, case, metric, unit, value, config }.report();
        };
        match result {
            Ok(outcome) => {
                outcome.0.iter().for_each(|of| figure(of.metric, of.unit, of.value, &self.config))
            }
            Err(reason) => figure("failed", "runs", 1.0, reason),
        }
    }
}

/// Measures in a process of its own and a fresh directory. What a failed measurement leaves goes at
/// its next round, or with the whole run.
fn child(job: &Job, options: &Options) -> Result<Outcome, Failure> {
    if job.dir.exists() {
        fs::remove_dir_all(&job.dir)?;
    }
    fs::create_dir_all(&job.dir)?;
    let said = job.dir.with_added_extension("stderr");
    let errors = File::create(&said)?;
    let mut process = Process::spawn_self(|command| {
        command.args(job.to_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    })?;
    let status = process.wait(options.timeout)?;
    fs::remove_dir_all(&job.dir)?;
    if !status.success() {
        let said = fs::read_to_string(&said)?;
        let last = said.trim_end().lines().last().unwrap_or("without a word");
        return Err(format!("{status}: {last}").into());
    }
    fs::remove_file(&said)?;
    let mut answer = String::new();
    process.child().stdout.take().ok_or("it has no output")?.read_to_string(&mut answer)?;
    // Peers print, too.
    Ok(Outcome::from_json(answer.lines().last().unwrap_or_default())?)
}
