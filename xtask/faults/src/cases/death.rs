//! Processes die.

use std::time::Duration;

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::journal::Contents;
use crate::ledger::Ledger;
use crate::programs::worker::{End, Plan};

pub(crate) const CASES: &[Case] = &[Case {
    id: "R01",
    what: "kill -9 of a worker with 8 threads at a random instant",
    target: "0 lost, 0 doubled in 1,000 loops",
    run: |bench| killed_worker(bench).into(),
}];

/// Events of each thread of a worker that is going to be killed, and the time between two.
const EVENTS: u64 = 12_500;
const PACE: Duration = Duration::from_micros(16);

fn killed_worker(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(20, 1000);
    let mut emitted = 0;
    let failed = bench.repeat(loops, |bench, seed| {
        let scene = bench.scene()?;
        let plan = worker(&scene);
        let mut program = bench.start("worker", &plan)?;
        let ledger = Ledger::open(&plan.ledger)?;
        program.wait_until("the first call", || Ok(ledger.total()? > 0))?;
        let span = PACE * EVENTS as u32;
        let wait = bench.random(seed).below(span.as_micros() as u64);
        std::thread::sleep(Duration::from_micros(wait));
        program.kill()?;
        bench.start("worker", &plan.recovering())?.wait()?.report()?;
        let verdict = of_file_and_journal(&plan, &ledger)?;
        emitted += verdict.emitted;
        Ok(())
    });
    let figure = format!("{failed} of {loops} loops failed; {emitted} events");
    Ok(if failed == 0 { Outcome::Passed(figure) } else { Outcome::Missed(figure) })
}

/// A worker with everything where it belongs, that waits to be killed once it has logged.
fn worker(scene: &Scene) -> Plan {
    Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        file: Some(scene.disk("app.log")),
        require_l1: true,
        threads: 8,
        events: EVENTS,
        pace_ns: PACE.as_nanos() as u64,
        end: End::Wait,
        ..Plan::default()
    }
}

/// Checks that both the text file and the journal have each event once.
fn of_file_and_journal(plan: &Plan, ledger: &Ledger) -> Result<Verdict, Failure> {
    let ledgers = [(&*plan.name, ledger)];
    if let Some(dir) = &plan.journal {
        let mut account = Account::default();
        account.deliver("the journal", Contents::whole(dir)?);
        account.settle(&ledgers)?.check()?;
    }
    let mut account = Account::default();
    if let Some(path) = &plan.file {
        account.deliver_file(path)?;
    }
    let verdict = account.settle(&ledgers)?;
    verdict.check()?;
    Ok(verdict)
}
