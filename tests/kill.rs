//! A program is killed at any instant: what its log calls took is delivered once.
//!
//! The child logs numbered events at a pace and keeps a ledger of the calls that returned, in a
//! mapping that outlives it. After the kill it is started again, logs nothing more and shuts down.
//! `ROLLWAY_CRASH_LOOPS` and `ROLLWAY_CRASH_SEED` make the run longer; `cargo xtask crash` sets them.

mod support;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::ledger::Ledger;
use support::{PATIENCE, Random, child, lines, message_file, watchdog};

/// Events of one run, over all its threads.
const EVENTS: u64 = 100_000;
/// The time they are spread over.
const PACE: Duration = Duration::from_millis(200);
const TEST: &str = "what_a_killed_program_logged_is_delivered_once";

/// One scenario, from a seed.
#[derive(Clone, Copy, Debug)]
struct Case {
    threads: usize,
    /// Programs that log and are killed, one after the other.
    runs: usize,
    /// Restarts that are killed while they recover.
    killed_recoveries: usize,
}

const CASES: [Case; 4] = [
    Case { threads: 1, runs: 1, killed_recoveries: 0 },
    Case { threads: 8, runs: 1, killed_recoveries: 0 },
    Case { threads: 1, runs: 1, killed_recoveries: 2 },
    Case { threads: 3, runs: 2, killed_recoveries: 1 },
];

/// What became of one scenario.
#[derive(Default, Debug)]
struct Outcome {
    /// Calls that returned.
    logged: u64,
    lost: Vec<String>,
    doubled: Vec<String>,
    /// Delivered, and no call stands behind it.
    invented: Vec<String>,
    /// Threads whose events are not in their order.
    disordered: u64,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.invented.is_empty()
            && self.disordered == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |lines: &[String]| lines.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        write!(
            f,
            "{} logged, {} lost ({}), {} doubled ({}), {} invented ({}), {} threads out of order",
            self.logged,
            self.lost.len(),
            first(&self.lost),
            self.doubled.len(),
            first(&self.doubled),
            self.invented.len(),
            first(&self.invented),
            self.disordered
        )
    }
}

#[test]
fn what_a_killed_program_logged_is_delivered_once() {
    match child::part().as_deref() {
        Some("log") => return log(),
        Some("recover") => return recover(),
        _ => {}
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let loops = number("ROLLWAY_CRASH_LOOPS").unwrap_or(5);
    let seed = number("ROLLWAY_CRASH_SEED").unwrap_or(1);
    let (mut logged, mut lost, mut doubled, mut failures) = (0, 0, 0, Vec::new());
    for at in 0..loops {
        let _watchdog = watchdog();
        let seed = seed + at;
        let outcome = crash(CASES[(seed % CASES.len() as u64) as usize], seed);
        logged += outcome.logged;
        lost += outcome.lost.len();
        doubled += outcome.doubled.len();
        if !outcome.is_good() {
            println!("seed {seed}: {outcome}");
            failures.push(seed);
        }
    }
    println!("| loops | logged | lost | doubled | failed seeds |\n|---|---|---|---|---|");
    println!("| {loops} | {logged} | {lost} | {doubled} | {failures:?} |");
    assert!(failures.is_empty(), "seeds {failures:?} failed");
}

#[test]
fn of_a_killed_program_nothing_stays_but_what_cannot_be_read() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let mut program = spawn("log", dir.path(), 1, 0);
    wait_for_first_call(&Ledger::open(&ledger_path(dir.path(), 0)), 1, &mut program);
    program.kill().unwrap();
    program.wait().unwrap();
    let rings = only_entry(&dir.path().join("rings"));
    // As if it had been killed while it made a ring.
    std::fs::write(rings.join("ring-98"), [0; 8192]).unwrap();
    std::fs::write(rings.join("ring-99"), "no ring at all").unwrap();
    for _ in 0..2 {
        assert!(wait(spawn("recover", dir.path(), 1, 0)).success());
        assert_eq!(only_entry(&dir.path().join("rings")), rings);
        assert_eq!(std::fs::read(rings.join("ring-99")).unwrap(), b"no ring at all");
    }
    std::fs::remove_file(rings.join("ring-99")).unwrap();
    assert!(wait(spawn("recover", dir.path(), 1, 0)).success());
    assert_eq!(std::fs::read_dir(dir.path().join("rings")).unwrap().count(), 0);
}

fn only_entry(dir: &Path) -> std::path::PathBuf {
    let entries: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

/// Plays one scenario and reconciles the text file and the journal with the ledgers.
fn crash(case: Case, seed: u64) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    for run in 0..case.runs {
        let mut program = spawn("log", dir.path(), case.threads, run);
        // Not before it logs: a kill during its start is what `killed_recoveries` is about.
        let ledger = Ledger::open(&ledger_path(dir.path(), run));
        wait_for_first_call(&ledger, case.threads, &mut program);
        std::thread::sleep(Duration::from_micros(random.below(PACE.as_micros() as u64)));
        program.kill().unwrap();
        program.wait().unwrap();
    }
    for _ in 0..case.killed_recoveries {
        let mut program = spawn("recover", dir.path(), case.threads, 0);
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        program.kill().unwrap();
        program.wait().unwrap();
    }
    let recovered = wait(spawn("recover", dir.path(), case.threads, 0));
    assert!(recovered.success(), "seed {seed}: the last start ended with {recovered}");

    let file = lines(&dir.path().join("app.log"));
    let journal = support::journal::messages(&dir.path().join("journal"));
    let mut outcome = reconcile(dir.path(), case, &file, "in the file");
    let of_journal = reconcile(dir.path(), case, &journal, "in the journal");
    outcome.lost.extend(of_journal.lost);
    outcome.doubled.extend(of_journal.doubled);
    outcome.invented.extend(of_journal.invented);
    outcome.disordered += of_journal.disordered;
    outcome
}

fn spawn(part: &str, dir: &Path, threads: usize, run: usize) -> Child {
    let mut command = child::command(TEST, part);
    command.env("CRASH_DIR", dir).env("CRASH_THREADS", threads.to_string());
    command.env("CRASH_RUN", run.to_string()).spawn().unwrap()
}

fn wait(mut program: Child) -> ExitStatus {
    program.wait().unwrap()
}

fn ledger_path(dir: &Path, run: usize) -> std::path::PathBuf {
    dir.join(format!("ledger-{run}"))
}

fn wait_for_first_call(ledger: &Ledger, threads: usize, program: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while ledger.counts(threads).iter().all(|count| *count == 0) {
        assert_eq!(program.try_wait().unwrap(), None, "the program ended before it logged");
        assert!(Instant::now() < deadline, "the program does not log");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Compares delivered lines `run/thread/number` with the ledgers. A call that was under way when
/// its thread was killed may or may not be among them.
fn reconcile(dir: &Path, case: Case, delivered: &[String], place: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut next = HashMap::new();
    for line in delivered {
        let mut parts = line.split('/').map(|part| part.parse::<u64>());
        let (Some(Ok(run)), Some(Ok(thread)), Some(Ok(number)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            outcome.invented.push(format!("{line:?} {place}"));
            continue;
        };
        let next = next.entry((run as usize, thread as usize)).or_insert(0);
        match number.cmp(next) {
            std::cmp::Ordering::Less => outcome.doubled.push(format!("{line} {place}")),
            std::cmp::Ordering::Greater => {
                outcome.disordered += 1;
                outcome.lost.extend((*next..number).map(|n| format!("{run}/{thread}/{n} {place}")));
                *next = number + 1;
            }
            std::cmp::Ordering::Equal => *next += 1,
        }
    }
    for run in 0..case.runs {
        let counts = Ledger::open(&ledger_path(dir, run)).counts(case.threads);
        for (thread, returned) in counts.into_iter().enumerate() {
            outcome.logged += returned;
            let seen = next.get(&(run, thread)).copied().unwrap_or(0);
            outcome.lost.extend((seen..returned).map(|n| format!("{run}/{thread}/{n} {place}")));
            if seen > returned + 1 {
                outcome.invented.push(format!("{seen} of {returned} of {run}/{thread} {place}"));
            }
        }
    }
    outcome
}

fn start() -> rollway::Guard {
    let dir = child::variable("CRASH_DIR");
    let dir = Path::new(&dir);
    rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .require(rollway::Durability::L1)
        .appender("file", message_file(&dir.join("app.log")))
        .init()
        .unwrap()
}

/// The program: logs until it is killed.
fn log() {
    let number = |name| child::variable(name).parse::<usize>().unwrap();
    let (threads, run) = (number("CRASH_THREADS"), number("CRASH_RUN"));
    let guard = start();
    let ledger = Ledger::open(&ledger_path(Path::new(&child::variable("CRASH_DIR")), run));
    let pause = PACE.mul_f64(threads as f64 / EVENTS as f64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let slot = ledger.slot(thread);
            scope.spawn(move || {
                let began = Instant::now();
                for number in 0..EVENTS / threads as u64 {
                    while began.elapsed() < pause * number as u32 {
                        std::hint::spin_loop();
                    }
                    rollway::info!("{run}/{thread}/{number}");
                    slot.store(number + 1, Ordering::Release);
                }
            });
        }
    });
    // The kill comes, late on a busy machine; until then everything stays as it is.
    std::thread::sleep(PATIENCE);
    drop(guard);
}

/// The program started again: it logs nothing more and ends in order.
fn recover() {
    let report = start().shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
}
