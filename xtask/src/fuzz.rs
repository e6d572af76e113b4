//! Fuzzing with the address sanitizer: every target for some minutes, as many at a time as there are
//! cores.
//!
//! The targets are ordinary programs linked with libFuzzer; this builds them with the nightly compiler
//! and the flags that its coverage needs. Inputs that are found stay below `target/fuzz-corpus`;
//! `--keep` adds those to the committed corpora that reach something new.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "\
usage: cargo xtask fuzz [--minutes N] [--target NAME]... [--keep]

Runs each fuzz target, or those named, N minutes (10) with the address sanitizer, and prints a table.
Ends with status 1 after a finding; its input is in fuzz/artifacts/NAME. --keep adds inputs that reach
new code to fuzz/corpus/NAME. Needs a nightly toolchain.";

/// What libFuzzer's instrumentation and the sanitizer ask of the compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Zsanitizer=address --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1";
/// Longer inputs than this are slower without being worse.
const INPUT_BYTES_MAX: u32 = 4096;
/// Inputs that are committed are shorter.
const KEPT_BYTES_MAX: u32 = 512;
/// One input may take so long.
const INPUT_SECONDS_MAX: u32 = 20;
/// A target may use so much memory.
const RSS_MIB_MAX: u32 = 2048;

/// What `fuzz` was asked for.
pub(crate) struct Options {
    minutes: f64,
    targets: Vec<String>,
    keep: bool,
}

/// What became of one target.
struct Outcome {
    target: String,
    runs: String,
    seconds: f64,
    coverage: String,
    corpus: usize,
    is_clean: bool,
}

impl Options {
    /// Reads the arguments behind `fuzz`.
    pub(crate) fn parse(mut arguments: &[String]) -> Result<Options, String> {
        let mut options = Options { minutes: 10.0, targets: Vec::new(), keep: false };
        while let [name, rest @ ..] = arguments {
            arguments = rest;
            if name == "--keep" {
                options.keep = true;
                continue;
            }
            let [value, rest @ ..] = rest else { return Err(format!("{name} needs a value")) };
            arguments = rest;
            match name.as_str() {
                "--minutes" => {
                    let minutes = value.parse().ok().filter(|minutes| *minutes > 0.0);
                    options.minutes = minutes
                        .ok_or_else(|| format!("--minutes: `{value}` is no number above 0"))?;
                }
                "--target" => options.targets.push(value.clone()),
                _ => return Err(format!("there is no option `{name}`")),
            }
        }
        let known = targets();
        if let Some(unknown) = options.targets.iter().find(|target| !known.contains(target)) {
            return Err(format!("there is no target `{unknown}`; there are {}", known.join(", ")));
        }
        if options.targets.is_empty() {
            options.targets = known;
        }
        Ok(options)
    }
}

/// Builds the targets, runs them, and prints what came of it.
pub(crate) fn run(options: &Options) -> ExitCode {
    match fuzz(options) {
        Ok(outcomes) => {
            println!(
                "{:12} {:>12} {:>8} {:>8} {:>8}  finding",
                "target", "runs", "s", "edges", "inputs"
            );
            for outcome in &outcomes {
                let Outcome { target, runs, seconds, coverage, corpus, is_clean } = outcome;
                let finding = if *is_clean { "none" } else { "see fuzz/artifacts" };
                println!(
                    "{target:12} {runs:>12} {seconds:>8.0} {coverage:>8} {corpus:>8}  {finding}"
                );
            }
            match outcomes.iter().all(|outcome| outcome.is_clean) {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("cannot fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(options: &Options) -> io::Result<Vec<Outcome>> {
    let programs = build()?;
    let waiting = Mutex::new(options.targets.iter().rev().cloned().collect::<Vec<_>>());
    let outcomes = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    loop {
                        let next = waiting.lock().expect("no thread panics with it").pop();
                        let Some(target) = next else { return Ok(()) };
                        let outcome = one(&programs.join(&target), &target, options)?;
                        outcomes.lock().expect("no thread panics with it").push(outcome);
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    let mut outcomes = outcomes.into_inner().expect("no thread panics with it");
    outcomes.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(outcomes)
}

/// Builds all targets, and returns where they lie.
fn build() -> io::Result<PathBuf> {
    let host = host()?;
    let dir = root().join("target/fuzz-asan");
    let status = Command::new("cargo")
        .args(["+nightly", "build", "--release", "--locked", "--manifest-path"])
        .arg(root().join("fuzz/Cargo.toml"))
        .args(["--target", &host, "--target-dir"])
        .arg(&dir)
        .env("RUSTFLAGS", FLAGS)
        // The toolchain that runs this chore would win over the one asked for.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .status()?;
    if !status.success() {
        return Err(io::Error::other("the targets do not build with `cargo +nightly`"));
    }
    Ok(dir.join(host).join("release"))
}

/// The triple of this machine, as the compiler names it.
fn host() -> io::Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or_else(|| io::Error::other("rustc does not tell its host"))
}

/// Runs one target for its time.
fn one(program: &Path, target: &str, options: &Options) -> io::Result<Outcome> {
    let committed = root().join("fuzz/corpus").join(target);
    let found = root().join("target/fuzz-corpus").join(target);
    let artifacts = root().join("fuzz/artifacts").join(target);
    [&committed, &found, &artifacts].into_iter().try_for_each(fs::create_dir_all)?;
    let begun = Instant::now();
    let seconds = (options.minutes * 60.0).ceil() as u64;
    let mut child = Command::new(program)
        .args([&found, &committed])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={RSS_MIB_MAX}"))
        .args(["-len_control=0", "-print_final_stats=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut runs, mut coverage, mut last) = (String::new(), String::new(), Vec::new());
    let mut told = Instant::now();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line?;
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units: ") {
            runs = count.to_owned();
        }
        if let Some((_, rest)) = line.split_once("cov: ") {
            coverage = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if told.elapsed() > Duration::from_secs(60) {
            eprintln!("{target}: {line}");
            told = Instant::now();
        }
        last.push(line);
        if last.len() > 60 {
            last.remove(0);
        }
    }
    let is_clean = child.wait()?.success();
    if !is_clean {
        eprintln!("{target}:\n{}", last.join("\n"));
    } else if options.keep {
        let merged = Command::new(program)
            .arg("-merge=1")
            .arg(format!("-max_len={KEPT_BYTES_MAX}"))
            .args([&committed, &found])
            .stderr(Stdio::null())
            .status()?;
        if !merged.success() {
            eprintln!("{target}: its inputs could not be merged");
        }
    }
    let corpus = fs::read_dir(&committed)?.count();
    let (target, seconds) = (target.to_owned(), begun.elapsed().as_secs_f64());
    Ok(Outcome { target, runs, seconds, coverage, corpus, is_clean })
}

/// The targets, by the files that they are.
fn targets() -> Vec<String> {
    let files = fs::read_dir(root().join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}
