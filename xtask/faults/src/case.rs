//! A case: a fault, what is promised about it, and how to find out.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use tempfile::TempDir;

use crate::program::Program;
use crate::random::Random;

/// Progress is told this often where standard error is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Failures told one by one; the rest is counted.
const FAILURES_TOLD_MAX: u64 = 5;

/// A fault and the promise that it puts to the test.
pub(crate) struct Case {
    /// As the table of cases numbers it.
    pub(crate) id: &'static str,
    /// What goes wrong.
    pub(crate) what: &'static str,
    /// What is to be reached.
    pub(crate) target: &'static str,
    pub(crate) run: fn(&mut Bench) -> Outcome,
}

/// What came of a case, with its figure or the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed(String),
    Failed(String),
    /// It could not be tried here.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn verdict(&self) -> &'static str {
        match self {
            Outcome::Passed(_) => "passed",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped(_) => "skipped",
        }
    }

    pub(crate) fn figure(&self) -> &str {
        match self {
            Outcome::Passed(text) | Outcome::Failed(text) | Outcome::Skipped(text) => text,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict(), self.figure())
    }
}

/// A failure of a case on its way up. Whatever goes wrong in a case is a miss.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

impl From<Result<Outcome, Failure>> for Outcome {
    fn from(result: Result<Outcome, Failure>) -> Outcome {
        result.unwrap_or_else(|failure| Outcome::Failed(failure.to_string()))
    }
}

/// What a case works with.
pub(crate) struct Bench {
    id: &'static str,
    /// Whether the loops of the target are wanted.
    pub(crate) long: bool,
    /// Everything random comes from it.
    pub(crate) seed: u64,
    /// How long a case lasts that lasts as long as it is let.
    pub(crate) minutes: Option<u64>,
    told: Instant,
    failures: u64,
}

impl Bench {
    pub(crate) fn new(id: &'static str, long: bool, seed: u64) -> Bench {
        Bench { id, long, seed, minutes: None, told: Instant::now(), failures: 0 }
    }

    /// `short` or, if the full loops are wanted, `long`.
    pub(crate) fn either<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }

    /// Runs a loop `count` times, each with its own seed, the first with that of the bench. What
    /// fails is told with the way to repeat it; the others go on. Returns how many failed.
    pub(crate) fn repeat(
        &mut self,
        count: u64,
        mut once: impl FnMut(&mut Bench, u64) -> Result<(), Failure>,
    ) -> u64 {
        let before = self.failures;
        for at in 0..count {
            self.tell(&format!("{at} of {count}"));
            let seed = self.seed + at;
            if let Err(failure) = once(self, seed) {
                self.fail(seed, &failure.to_string());
            }
        }
        self.failures - before
    }

    /// Tells a failure and how to repeat it.
    pub(crate) fn fail(&mut self, seed: u64, failure: &str) {
        self.failures += 1;
        if self.failures <= FAILURES_TOLD_MAX {
            let id = self.id;
            eprintln!("{id}: seed {seed}: {failure}");
            eprintln!("{id}: repeat it with: cargo xtask faults --case {id} --seed {seed}");
        }
    }

    /// Says how far the case is: on a terminal at once, else every few seconds.
    pub(crate) fn tell(&mut self, progress: &str) {
        if io::stderr().is_terminal() {
            eprint!("\r{}: {progress}\x1b[K\r", self.id);
            let _ = io::stderr().flush();
        } else if self.told.elapsed() >= TELL_EVERY {
            eprintln!("{}: {progress}", self.id);
            self.told = Instant::now();
        }
    }

    /// Numbers for one loop.
    pub(crate) fn random(&self, seed: u64) -> Random {
        Random::new(seed)
    }

    /// A place of its own, on disk and in memory, that goes when it is dropped.
    pub(crate) fn scene(&self) -> io::Result<Scene> {
        let prefix = format!("rollway-{}-", self.id);
        let new = |parent: &Path| tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { temporary() };
        Ok(Scene { disk: new(&temporary())?, memory: new(&memory)? })
    }

    /// Starts a program under test: see [`crate::programs`].
    pub(crate) fn start(&self, program: &str, plan: &impl Serialize) -> Result<Program, Failure> {
        self.start_with(program, plan, &[])
    }

    /// The same, run by other words: see [`Program::start_behind`].
    pub(crate) fn start_behind(
        &self,
        words: &[OsString],
        program: &str,
        plan: &impl Serialize,
    ) -> Result<Program, Failure> {
        Ok(Program::start_behind(words, program, &serde_json::to_string(plan)?)?)
    }

    /// The same, with some variables in its environment.
    pub(crate) fn start_with(
        &self,
        program: &str,
        plan: &impl Serialize,
        environment: &[(&str, &str)],
    ) -> Result<Program, Failure> {
        Ok(Program::start(program, &serde_json::to_string(plan)?, environment)?)
    }
}

/// The directory for temporary files.
fn temporary() -> PathBuf {
    std::env::temp_dir()
}

/// The directories of one loop.
pub(crate) struct Scene {
    disk: TempDir,
    memory: TempDir,
}

impl Scene {
    /// A path on the disk.
    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// A path in memory: for rings and ledgers.
    pub(crate) fn memory(&self, name: &str) -> PathBuf {
        self.memory.path().join(name)
    }
}
