//! The processes of one service share their appenders, and the one that runs them is killed.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockOffsetType, FlockType, Signal, fcntl_getlk};

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::figures::quantile;
use crate::ledger::Ledger;
use crate::programs::worker::{End, Plan};
use crate::rotation;
use crate::waiting::{Lines, file_bytes, until};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "CLUSTER",
        what: "4 processes log into one rotating file, and the elected one is killed every 2 s",
        target: "4 × 250,000 events in 25 s, each once; rotation intact; taken over within 1 s",
        run: |bench| elected_killed(bench).into(),
    },
    Case {
        id: "CLUSTER-ALL",
        what: "all processes of a cluster are killed, and one is started again",
        target: "0 lost, 0 doubled",
        run: |bench| all_killed(bench).into(),
    },
    Case {
        id: "CLUSTER-FORK",
        what: "a server forks its workers once its logger runs",
        target: "0 lost, 0 doubled",
        run: |bench| forked(bench).into(),
    },
];

const PROCESSES: usize = 4;
/// Bytes of each file of the rotation, and more than a line has.
const ROTATE_BYTES: u64 = 1 << 20;
const LINE_BYTES_MAX: u64 = 128;
/// Until everything that dead processes left is delivered: they are adopted after 10 s.
const ADOPTED_WITHIN: Duration = Duration::from_secs(40);
/// How long a cluster may be without an elected process, for a machine that others use as well.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(2);

fn elected_killed(bench: &mut Bench) -> Result<Outcome, Failure> {
    let (events, span, every) = bench.either(
        (20_000, Duration::from_secs(4), Duration::from_secs(1)),
        (250_000, Duration::from_secs(25), Duration::from_secs(2)),
    );
    let scene = bench.scene()?;
    let plans: Vec<_> = (0..PROCESSES)
        .map(|at| Plan {
            events,
            pace_ns: span.as_nanos() as u64 / events,
            padding: 40,
            rotate_bytes: Some(ROTATE_BYTES),
            ..member(&scene, at)
        })
        .collect();
    let mut programs =
        plans.iter().map(|plan| bench.start("worker", plan)).collect::<Result<Vec<_>, _>>()?;
    let election = scene.disk("cluster/election");
    let text = scene.disk("app.log");
    until("the first line", || Ok(text_bytes(&text)? > 0))?;
    let (mut elected_ms, mut delivered_ms) = (Vec::new(), Vec::new());
    let began = Instant::now();
    // Towards the end the others have logged everything, and nobody would be left to elect.
    while began.elapsed() + every * 3 / 2 < span {
        bench.tell(&format!("{} kills", elected_ms.len()));
        std::thread::sleep(every);
        let Some(pid) = elected(&election)? else { continue };
        let at = programs.iter().position(|program| program.pid() == pid);
        let at = at.ok_or_else(|| format!("process {pid} is elected, and is none of ours"))?;
        programs[at].signal(Signal::KILL)?;
        let before = text_bytes(&text)?;
        let killed = Instant::now();
        until("another elected process", || Ok(elected(&election)?.is_some_and(|now| now != pid)))?;
        elected_ms.push(killed.elapsed().as_millis() as u64);
        until("a line by the new one", || Ok(text_bytes(&text)? != before))?;
        delivered_ms.push(killed.elapsed().as_millis() as u64);
        programs[at] = bench.start("worker", &plans[at])?;
    }
    for program in programs {
        program.wait()?.report()?;
    }
    let verdict = settle(bench, &plans, &text)?;
    let kills = elected_ms.len();
    let longest_ms = quantile(&mut elected_ms, 1000);
    let figure = format!(
        "{verdict}; {kills} kills; elected after {} ms, at most {longest_ms} ms; a line after {} ms, \
         at most {} ms; {} files",
        quantile(&mut elected_ms, 500),
        quantile(&mut delivered_ms, 500),
        quantile(&mut delivered_ms, 1000),
        rotation::files_of(&text)?.len()
    );
    let is_reached = kills > 0 && longest_ms <= TAKEN_OVER_MAX.as_millis() as u64;
    Ok(if is_reached { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn all_killed(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(1, 50);
    let mut events = 0;
    let failed = bench.repeat(loops, |bench, seed| {
        let scene = bench.scene()?;
        let plan = |at| Plan {
            threads: 2,
            events: 50_000,
            pace_ns: 100_000,
            rotate_bytes: Some(ROTATE_BYTES),
            padding: 40,
            ..member(&scene, at)
        };
        let plans: Vec<_> = (0..PROCESSES).map(plan).collect();
        let programs: Result<Vec<_>, _> =
            plans.iter().map(|plan| bench.start("worker", plan)).collect();
        let text = scene.disk("app.log");
        until("the first line", || Ok(text_bytes(&text)? > 0))?;
        std::thread::sleep(Duration::from_millis(bench.random(seed).below(1_000)));
        for mut program in programs? {
            program.signal(Signal::KILL)?;
        }
        events += settle(bench, &plans, &text)?.emitted;
        Ok(())
    });
    let figure = format!("{failed} of {loops} loops failed; {events} events");
    Ok(if failed == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn forked(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(1, 50);
    let mut events = 0;
    let failed = bench.repeat(loops, |bench, _| {
        let scene = bench.scene()?;
        let plan = Plan {
            forks: PROCESSES,
            threads: 2,
            events: 10_000,
            pace_ns: 100_000,
            ..member(&scene, 0)
        };
        bench.start("worker", &plan)?.wait()?.report()?;
        let plans: Vec<_> = (0..PROCESSES).map(|number| plan.child(number)).collect();
        let text = scene.disk("app.log");
        events += settle(bench, &plans, &text)?.emitted;
        Ok(())
    });
    let figure = format!("{failed} of {loops} loops failed; {events} events");
    Ok(if failed == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

/// One of the processes of a cluster.
fn member(scene: &Scene, at: usize) -> Plan {
    Plan {
        name: format!("member-{at}"),
        ledger: scene.memory(&format!("ledger-{at}")),
        rings: Some(scene.memory("rings")),
        cluster: Some(scene.disk("cluster")),
        file: Some(scene.disk("app.log")),
        end: End::Shutdown,
        ..Plan::default()
    }
}

/// Starts one process that logs nothing more and stays until everything that the others left is in
/// the text file, or until nothing comes any more; then compares the files with the ledgers.
fn settle(bench: &Bench, plans: &[Plan], text: &Path) -> Result<Verdict, Failure> {
    let ledgers = plans.iter().map(|plan| Ledger::open(&plan.ledger));
    let ledgers = ledgers.collect::<io::Result<Vec<_>>>()?;
    let names = || plans.iter().map(|plan| &*plan.name).zip(&ledgers).collect::<Vec<_>>();
    let stop = text.with_extension("stop");
    let last = Plan {
        name: "last".to_owned(),
        ledger: text.with_extension("ledger"),
        events: u64::MAX,
        pace_ns: 1_000_000_000,
        until: Some(stop.clone()),
        ..plans[0].clone()
    };
    let last_ledger = Ledger::open(&last.ledger)?;
    let program = bench.start("worker", &last)?;
    let emitted = ledgers.iter().map(Ledger::total).sum::<io::Result<u64>>()?;
    let mut lines = 0;
    let deadline = Instant::now() + ADOPTED_WITHIN;
    while lines < emitted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
        lines = rotation::files_of(text)?
            .iter()
            .map(|file| Lines::starting(file, "member").count())
            .sum::<io::Result<u64>>()?;
    }
    fs::write(&stop, [])?;
    let ended = program.wait()?;
    ended.report()?;
    let files = rotation::files_of(text)?;
    if let Some(limit) = plans[0].rotate_bytes {
        rotation::check_sizes(&files, limit, LINE_BYTES_MAX)?;
    }
    let mut account = Account::default();
    account.deliver_files(&files)?;
    let mut named = names();
    named.push((&last.name, &last_ledger));
    let verdict = account.settle(&named)?;
    verdict.check().map_err(|wrong| format!("{wrong}: {}", ended.stderr))?;
    Ok(verdict)
}

/// The process that has the lock of the election.
pub(super) fn elected(election: &Path) -> io::Result<Option<u32>> {
    let file = match fs::OpenOptions::new().read(true).write(true).open(election) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let whole = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let holder = fcntl_getlk(&file, &whole)?.and_then(|lock| lock.pid);
    Ok(holder.map(|pid| pid.as_raw_nonzero().get() as u32))
}

/// Bytes of all files of a text file that rotates.
fn text_bytes(text: &Path) -> io::Result<u64> {
    rotation::files_of(text)?.iter().map(|file| file_bytes(file)).sum()
}
