//! One measurement: what the parent asks of a child process, and what the child answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::peers::Peer;
use crate::workload::{Case, Output};
use crate::{latency, lines, throughput};

/// A file that has not grown for so long is complete.
const QUIET: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Latency,
    Throughput,
    Master,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Latency, Mode::Throughput, Mode::Master];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Latency => "latency",
            Mode::Throughput => "throughput",
            Mode::Master => "master",
        }
    }

    pub fn of_name(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// One measurement of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub subject: String,
    pub mode: Mode,
    pub case: Case,
    /// Producers, or connections.
    pub threads: usize,
    pub events: u64,
    /// Empty, and the measurement's own.
    pub dir: PathBuf,
}

impl Job {
    /// The arguments of the child process.
    pub fn to_args(&self) -> Vec<String> {
        let (threads, events) = (self.threads.to_string(), self.events.to_string());
        let dir = self.dir.to_string_lossy();
        let args = ["one", "--peer", &self.subject, "--mode", self.mode.name()];
        let more = ["--case", self.case.name(), "--threads", &threads, "--events", &events];
        args.into_iter().chain(more).chain(["--dir", &dir]).map(str::to_owned).collect()
    }

    /// Reads the arguments behind `one`.
    pub fn from_args(args: &[String]) -> Result<Job, String> {
        let value = |name: &str| {
            let at = args.iter().position(|arg| arg == name);
            at.and_then(|at| args.get(at + 1)).ok_or(format!("one: {name} is missing"))
        };
        let number = |name: &str| {
            value(name)?.parse::<u64>().map_err(|_| format!("one: {name} needs a number"))
        };
        Ok(Job {
            subject: value("--peer")?.clone(),
            mode: Mode::of_name(value("--mode")?).ok_or("one: there is no such mode")?,
            case: Case::of_name(value("--case")?).ok_or("one: there is no such case")?,
            threads: number("--threads")?.max(1) as usize,
            events: number("--events")?,
            dir: value("--dir")?.into(),
        })
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    pub metric: &'static str,
    pub unit: &'static str,
    pub value: f64,
}

impl Metric {
    pub fn rate(delivered: u64, seconds: f64) -> Metric {
        Metric { metric: "rate", unit: "M/s", value: delivered as f64 / seconds / 1e6 }
    }

    /// Negative if more arrived than was sent.
    pub fn lost(expected: u64, delivered: u64) -> Metric {
        Metric { metric: "lost", unit: "events", value: expected as f64 - delivered as f64 }
    }
}

/// All figures, in the order of the table's columns.
#[derive(Debug, PartialEq)]
pub struct Outcome(pub Vec<Metric>);

/// Every metric that a child may name, with its unit.
const METRICS: [(&str, &str); 6] = [
    ("p50", "ns"),
    ("p99", "ns"),
    ("p99.9", "ns"),
    ("rate", "M/s"),
    ("cpu", "us"),
    ("lost", "events"),
];

impl Outcome {
    pub fn to_json(&self) -> String {
        let metrics = self.0.iter().map(|figure| json!([figure.metric, figure.value]));
        Value::from_iter(metrics).to_string()
    }

    pub fn from_json(text: &str) -> Result<Outcome, String> {
        let strange = || format!("an unexpected answer: {text:?}");
        let value: Value = serde_json::from_str(text.trim()).map_err(|_| strange())?;
        let metric = |pair: &Value| {
            let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_f64()?);
            let (metric, unit) = METRICS.into_iter().find(|(metric, _)| *metric == name)?;
            Some(Metric { metric, unit, value })
        };
        let metrics = value.as_array().ok_or_else(strange)?.iter().map(metric);
        metrics.collect::<Option<_>>().map(Outcome).ok_or_else(strange)
    }
}

/// Measures a peer in this process.
pub fn measure<P: Peer>(job: &Job) -> Result<Outcome, Failure> {
    match job.mode {
        Mode::Latency => latency::measure::<P>(job),
        Mode::Throughput => throughput::measure::<P>(job),
        Mode::Master => Err(format!("{} is no collector", P::NAME).into()),
    }
}

/// What a finished peer left.
pub struct Counted {
    pub events: u64,
    /// When the last of it was there.
    pub complete: Instant,
}

/// Waits until the output of a finished peer is complete, and counts its events.
pub fn counted<P: Peer>(job: &Job) -> Result<Counted, Failure> {
    let dir = match P::OUTPUT {
        Output::Text => job.dir.clone(),
        Output::Journal => job.dir.join("journal"),
        Output::Tcp => job.dir.join("master"),
    };
    let complete = lines::complete(&dir, QUIET)?;
    let events = match P::OUTPUT {
        Output::Journal => lines::count_journal(&dir)?,
        Output::Text | Output::Tcp => lines::count(&dir, job.case.marker())?,
    };
    Ok(Counted { events, complete })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_reads_what_its_parent_asks() {
        let job = Job {
            subject: "log4rs".to_owned(),
            mode: Mode::Throughput,
            case: Case::Int2,
            threads: 4,
            events: 1000,
            dir: PathBuf::from("/tmp/a directory"),
        };
        assert_eq!(Job::from_args(&job.to_args()[1..]), Ok(job));
    }

    #[test]
    fn a_parent_reads_what_its_child_answers() {
        let outcome = Outcome(vec![Metric::rate(3, 1.5e-6), Metric::lost(5, 3)]);
        assert_eq!(Outcome::from_json(&outcome.to_json()), Ok(outcome));
        assert!(Outcome::from_json("[[\"p51\", 1.0]]").is_err());
    }
}
