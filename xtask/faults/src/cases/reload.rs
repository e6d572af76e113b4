//! A program gets another configuration while it logs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::ledger::Ledger;
use crate::program::{PATIENCE, Program};
use crate::programs::worker::Plan;

pub(crate) const CASES: &[Case] = &[Case {
    id: "R33",
    what: "the configuration is read again under load, every tenth time a wrong one",
    target: "0 lost, 0 doubled in 1,000 reloads of at most 200 ms; wrong ones refused; no descriptor or thread leaked",
    run: |bench| reloaded(bench).into(),
}];

/// What a reload may take.
const TARGET: Duration = Duration::from_millis(200);
/// Beyond that, for a machine that others use as well.
const SLACK: Duration = Duration::from_secs(1);
/// Every so many configurations one is wrong.
const WRONG_EVERY: u64 = 10;
/// After so many the configuration is the same again.
const TURN: u64 = 6;
/// Descriptors that come and go: a sync, a look at a directory.
const DESCRIPTORS_MORE_MAX: u64 = 8;
/// Threads that come and go.
const THREADS_MORE_MAX: u64 = 2;

/// The client of a control socket.
struct Control(BufReader<UnixStream>);

impl Control {
    fn connect(path: &Path) -> Result<Control, Failure> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control = Control(BufReader::new(stream));
        control.line()?;
        Ok(control)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err("the control socket was closed".into()),
            _ => Ok(line),
        }
    }

    /// Has the configuration read again. The answer's first line.
    fn reload(&mut self) -> Result<String, Failure> {
        self.0.get_mut().write_all(b"reload\n")?;
        let status = self.line()?;
        let more = status.strip_prefix("ok ").map_or(Ok(0), |count| count.trim_end().parse())?;
        for _ in 0..more {
            self.line()?;
        }
        Ok(status)
    }
}

/// The configuration number `at`: one file that stays, three in turn behind one name, and one that
/// comes and goes. A wrong one has a file that cannot be opened, or is no configuration, by turns.
fn config(scene: &Scene, at: u64) -> String {
    let file = |name: &str, path: &Path| {
        let (layout, path) = ("{ type = \"pattern\", pattern = \"%m%n\" }", path.display());
        format!("[appenders.{name}]\ntype = \"file\"\npath = \"{path}\"\nlayout = {layout}\n")
    };
    let mut text = file("all", &scene.disk("all"));
    text += &file("turn", &scene.disk(&format!("turn{}", at % 3)));
    if at.is_multiple_of(2) {
        text += &file("odd", &scene.disk("odd"));
    }
    if is_wrong(at) {
        text += &match (at / WRONG_EVERY).is_multiple_of(2) {
            true => file("wrong", Path::new("/dev/null/wrong")),
            false => "[appenders.wrong]\ntype = \"nothing\"\n".to_owned(),
        };
    }
    text
}

fn is_wrong(at: u64) -> bool {
    at > 0 && at.is_multiple_of(WRONG_EVERY)
}

fn reloaded(bench: &mut Bench) -> Result<Outcome, Failure> {
    let (scene, times) = (bench.scene()?, bench.either(50, 1_000));
    let (stop, conf) = (scene.disk("stop"), scene.disk("rollway.toml"));
    let plan = Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        config: Some(conf.clone()),
        threads: 3,
        events: u64::MAX,
        pace_ns: 100_000,
        until: Some(stop.clone()),
        ..Plan::default()
    };
    fs::write(&conf, config(&scene, 0))?;
    let mut worker = bench.start("worker", &plan)?;
    let ledger = Ledger::open(&plan.ledger)?;
    worker.wait_until("the first call", || Ok(ledger.total()? > 0))?;
    let mut control = Control::connect(&scene.disk("journal").join("control"))?;
    let (mut first, mut last, mut refused) = (None, (0, 0), 0);
    let mut longest = Duration::ZERO;
    for at in 1..=times {
        bench.tell(&format!("{at} of {times} reloads"));
        fs::write(&conf, config(&scene, at))?;
        let asked = Instant::now();
        let answer = control.reload()?;
        longest = longest.max(asked.elapsed());
        if answer.starts_with("ok") == is_wrong(at) {
            return Err(format!("configuration {at}: {answer}").into());
        }
        refused += u64::from(is_wrong(at));
        // The same configuration each time it is looked at.
        if at % TURN == 1 {
            last = open_and_running(&worker)?;
            first.get_or_insert(last);
        }
    }
    fs::write(&stop, "")?;
    let report = worker.wait()?.report()?;
    let verdict = account(&plan, &[scene.disk("all")])?;
    verdict.check()?;
    account(&plan, &[0, 1, 2].map(|at| scene.disk(&format!("turn{at}"))))?.check()?;
    // What was logged while it was away is not its own.
    let odd = account(&plan, &[scene.disk("odd")])?;
    odd.check_with_dropped(odd.lost.count)?;
    let first = first.unwrap_or_default();
    let figure = format!(
        "{verdict}, {} dropped; {refused} of {times} refused; the longest took {longest:.1?}; {} descriptors and {} threads after the \
         first reload, {} and {} at the end",
        report["dropped"], first.0, first.1, last.0, last.1
    );
    let is_flat = last.0 <= first.0 + DESCRIPTORS_MORE_MAX && last.1 <= first.1 + THREADS_MORE_MAX;
    let is_good = is_flat && longest <= TARGET + SLACK && report["left"] == 0;
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Missed(figure) })
}

/// How many descriptors a program has, and how many threads.
fn open_and_running(program: &Program) -> Result<(u64, u64), Failure> {
    let count = |what| fs::read_dir(format!("/proc/{}/{what}", program.pid()));
    Ok((count("fd")?.count() as u64, count("task")?.count() as u64))
}

/// What became of the events in the files of one appender.
fn account(plan: &Plan, files: &[PathBuf]) -> Result<Verdict, Failure> {
    let mut account = Account::default();
    for file in files {
        account.deliver_file(file)?;
    }
    Ok(account.settle(&[(&*plan.name, &Ledger::open(&plan.ledger)?)])?)
}
