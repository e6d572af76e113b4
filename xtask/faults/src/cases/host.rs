//! The host is odd: its clock jumps, its memory file system is small.

use std::time::Duration;

use crate::account::Account;
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::disk::Disk;
use crate::journal::Contents;
use crate::ledger::Ledger;
use crate::programs::worker::{End, Plan};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "CLOCK",
        what: "the clock jumps an hour back and forth, and the worker is killed",
        target: "0 lost, 0 doubled, the order of each thread kept in 100 loops",
        run: |bench| jumping_clock(bench).into(),
    },
    Case {
        id: "SHM",
        what: "rings on a memory file system of 4 MiB, and 12 threads with 1 MiB each",
        target: "no death, 0 lost; rings on the heap are told; L1 where it is required, or no start",
        run: |bench| small_shm(bench).into(),
    },
];

fn worker(scene: &Scene) -> Plan {
    Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        file: Some(scene.disk("app.log")),
        ..Plan::default()
    }
}

fn jumping_clock(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(4, 100);
    let mut events = 0;
    let failed = bench.repeat(loops, |bench, seed| {
        let scene = bench.scene()?;
        let plan = Plan {
            threads: 4,
            events: 3000,
            pace_ns: 30_000,
            clock_jumps: true,
            end: End::Wait,
            ..worker(&scene)
        };
        let mut program = bench.start("worker", &plan)?;
        let ledger = Ledger::open(&plan.ledger)?;
        program.wait_until("the first call", || Ok(ledger.total()? > 0))?;
        std::thread::sleep(Duration::from_micros(bench.random(seed).below(100_000)));
        program.kill()?;
        bench.start("worker", &plan.recovering())?.wait()?.report()?;
        let mut account = Account::default();
        account.deliver("the journal", Contents::whole(&scene.disk("journal"))?);
        account.settle(&[(&plan.name, &ledger)])?.check()?;
        let mut account = Account::default();
        account.deliver_file(&scene.disk("app.log"))?;
        let verdict = account.settle(&[(&plan.name, &ledger)])?;
        events += verdict.emitted;
        Ok(verdict.check()?)
    });
    let figure = format!("{failed} of {loops} loops failed; {events} events");
    Ok(if failed == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn small_shm(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let disk = match Disk::tmpfs(&scene.memory("shm"), 4 << 20) {
        Ok(disk) => disk,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let plan = Plan {
        rings: Some(disk.inside().join("rings")),
        threads: 12,
        events: 2000,
        ..worker(&scene)
    };
    let ended = bench.start_behind(&disk.enter(), "worker", &plan)?.wait()?;
    let report = ended.report()?;
    let mut account = Account::default();
    account.deliver_file(&scene.disk("app.log"))?;
    let ledger = Ledger::open(&plan.ledger)?;
    let verdict = account.settle(&[(&plan.name, &ledger)])?;
    let heap_rings = report["heap_rings"].as_u64().unwrap_or(0);

    // Nothing of what the threads log may be left to chance now: there is no room for the first ring.
    disk.fill()?;
    let strict = Plan { require_l1: true, ledger: scene.memory("strict"), ..plan };
    let refused = bench.start_behind(&disk.enter(), "worker", &strict)?.wait()?;
    let is_refused = !refused.status.success() && refused.stderr.contains("rings_dir");
    let figure = format!(
        "{verdict}; {heap_rings} rings on the heap; where L1 is required on a full one: {}",
        refused.stderr.lines().next().unwrap_or("it started")
    );
    let is_good = verdict.holds(0) && heap_rings > 0 && is_refused;
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}
