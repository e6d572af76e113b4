//! A program gets another configuration while it logs.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cluster::elected;
use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::ledger::Ledger;
use crate::program::{PATIENCE, Program};
use crate::programs::worker::Plan;
use crate::waiting::Lines;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R33",
        what: "the configuration is read again under load, every tenth time a wrong one",
        target: "0 lost, 0 doubled in 1,000 reloads of at most 200 ms; wrong ones refused; no descriptor or thread leaked",
        run: |bench| reloaded(bench).into(),
    },
    Case {
        id: "R33-CLUSTER",
        what: "every process of a cluster reads its configuration again under load, and the elected one is killed",
        target: "0 lost, 0 doubled over all files",
        run: |bench| cluster_reloaded(bench).into(),
    },
];

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
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn cluster_reloaded(bench: &mut Bench) -> Result<Outcome, Failure> {
    /// Each process is in its turn the first one that is told.
    const PROCESSES: usize = 3;
    // The last one is to be right: a program starts with it.
    let (scene, times) = (bench.scene()?, bench.either(12, 201));
    let (stop, conf) = (scene.disk("stop"), scene.disk("rollway.toml"));
    let plans: Vec<_> = (0..PROCESSES)
        .map(|at| Plan {
            name: format!("member-{at}"),
            ledger: scene.memory(&format!("ledger-{at}")),
            rings: Some(scene.memory("rings")),
            cluster: Some(scene.disk("cluster")),
            adopt_after_ms: Some(100),
            config: Some(conf.clone()),
            control: Some(scene.disk(&format!("control-{at}"))),
            threads: 2,
            events: u64::MAX,
            pace_ns: 200_000,
            until: Some(stop.clone()),
            ..Plan::default()
        })
        .collect();
    let ledgers = plans.iter().map(|plan| Ledger::open(&plan.ledger));
    let ledgers = ledgers.collect::<io::Result<Vec<_>>>()?;
    fs::write(&conf, config(&scene, 0))?;
    let start = |bench: &Bench, at: usize| -> Result<Program, Failure> {
        let called = ledgers[at].total()?;
        let mut program = bench.start("worker", &plans[at])?;
        program.wait_until("the first call", || Ok(ledgers[at].total()? > called))?;
        Ok(program)
    };
    let programs = (0..PROCESSES).map(|at| start(bench, at)).collect::<Result<Vec<_>, _>>();
    let (mut programs, mut kills) = (programs?, 0);
    for at in 1..=times {
        bench.tell(&format!("{at} of {times} reloads"));
        fs::write(&conf, config(&scene, at))?;
        for member in 0..PROCESSES {
            let member = (member + at as usize) % PROCESSES;
            let control = plans[member].control.as_deref().unwrap_or(Path::new(""));
            let answer = Control::connect(control)?.reload()?;
            // Only the elected process opens the files, and finds what is wrong with them.
            if !answer.starts_with("ok") && !is_wrong(at) {
                return Err(format!("configuration {at}, process {member}: {answer}").into());
            }
        }
        // All of them have the same one, and it can be used.
        if at.is_multiple_of(4) && !is_wrong(at) {
            let pid = elected(&scene.disk("cluster/election"))?;
            if let Some(at) = programs.iter().position(|program| Some(program.pid()) == pid) {
                programs.remove(at).kill()?;
                programs.insert(at, start(bench, at)?);
                kills += 1;
            }
        }
    }
    fs::write(&stop, "")?;
    for program in programs {
        program.wait()?.report()?;
    }
    // What those that were killed left is delivered by one that comes behind them.
    let last = Plan {
        name: "last".to_owned(),
        ledger: scene.memory("ledger-last"),
        pace_ns: 100_000_000,
        until: Some(scene.disk("last")),
        ..plans[0].clone()
    };
    let last_ledger = Ledger::open(&last.ledger)?;
    let mut program = bench.start("worker", &last)?;
    let emitted = ledgers.iter().map(Ledger::total).sum::<io::Result<u64>>()?;
    let mut lines = Lines::starting(&scene.disk("all"), "member");
    let delivered = program.wait_until("all events", || Ok(lines.count()? >= emitted));
    fs::write(scene.disk("last"), "")?;
    program.wait()?.report()?;
    let mut members = plans.iter().map(|plan| &*plan.name).zip(&ledgers).collect::<Vec<_>>();
    members.push((&last.name, &last_ledger));
    let all = of_members(&members, &[scene.disk("all")])?;
    all.check()?;
    delivered?;
    of_members(&members, &[0, 1, 2].map(|at| scene.disk(&format!("turn{at}"))))?.check()?;
    let figure = format!("{all}; {times} reloads of {PROCESSES} processes, {kills} kills");
    Ok(if kills > 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// What became of the events of all processes in the files of one appender.
fn of_members(members: &[(&str, &Ledger)], files: &[PathBuf]) -> Result<Verdict, Failure> {
    let mut account = Account::default();
    for file in files {
        account.deliver_file(file)?;
    }
    Ok(account.settle(members)?)
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
