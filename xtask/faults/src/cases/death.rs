//! Processes die.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::journal::Contents;
use crate::ledger::Ledger;
use crate::program::Program;
use crate::programs::master::{self, free_address};
use crate::programs::worker::{End, Plan};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R01",
        what: "kill -9 of a worker with 8 threads at a random instant",
        target: "0 lost, 0 doubled in 1,000 loops",
        run: |bench| killed_worker(bench).into(),
    },
    Case {
        id: "R01b",
        what: "a worker with a journal of 1 GiB is killed and started again",
        target: "ready within 1 s",
        run: |bench| recovery_time(bench).into(),
    },
    Case {
        id: "R02",
        what: "main ends and the guard is dropped, the destination healthy or stuck",
        target: "0 lost in 500 runs; ends within its timeout + 100 ms and says what is left",
        run: |bench| orderly_end(bench).into(),
    },
    Case {
        id: "R03",
        what: "exit, abort or a deadly signal with the guard alive",
        target: "0 lost in 200 runs",
        run: |bench| ends(bench, 200, &[End::Exit, End::Abort, End::Terminate]).into(),
    },
    Case {
        id: "R04",
        what: "a thread panics, and the panic is logged; it unwinds or aborts",
        target: "the record of the panic is delivered, 100 of 100",
        run: |bench| ends(bench, 100, &[End::Panic, End::PanicAbort]).into(),
    },
    Case {
        id: "R05",
        what: "SIGSEGV, SIGFPE, SIGILL, an overflow of the stack",
        target: "dead of its signal within 2 s, 0 hangs, 0 lost in 300 runs",
        run: |bench| ends(bench, 300, &[End::Segv, End::Fpe, End::Ill, End::StackOverflow]).into(),
    },
    Case {
        id: "R06",
        what: "kill -9 of the master at random instants while 4 workers send",
        target: "0 lost, 0 doubled in 300 loops, with acknowledgements at L1 and at L2",
        run: |bench| killed_master(bench).into(),
    },
    Case {
        id: "R09",
        what: "a start with a backlog of 100,000 segments",
        target: "ready within 500 ms, at most 64 MiB and 32 descriptors more",
        run: |bench| backlog(bench).into(),
    },
    Case {
        id: "R10",
        what: "a worker is killed, its machine or its journal's directory gone; `rollway recover --send` sends a copy, twice",
        target: "0 lost, 0 doubled; with the rings where they are still there",
        run: |bench| moved_journal(bench).into(),
    },
];

/// Events of each thread of a worker that is going to be killed, and the time between two.
const EVENTS: u64 = 12_500;
const PACE: Duration = Duration::from_micros(16);
/// A dead process is gone within this time.
const DEATH_MAX: Duration = Duration::from_secs(2);

/// A worker with everything where it belongs, that waits to be killed once it has logged.
fn worker(scene: &Scene) -> Plan {
    Plan {
        ledger: scene.memory("ledger"),
        rings: Some(scene.memory("rings")),
        journal: Some(scene.disk("journal")),
        file: Some(scene.disk("app.log")),
        require_l1: true,
        end: End::Wait,
        ..Plan::default()
    }
}

/// Passed if nothing failed.
fn outcome(failed: u64, figure: String) -> Outcome {
    if failed == 0 { Outcome::Passed(figure) } else { Outcome::Failed(figure) }
}

fn killed_worker(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(20, 1000);
    let mut emitted = 0;
    let failed = bench.repeat(loops, |bench, seed| {
        let scene = bench.scene()?;
        let mut random = bench.random(seed);
        let pace_ns = PACE.as_nanos() as u64;
        let plan = Plan { threads: 8, events: EVENTS, pace_ns, ..worker(&scene) };
        let mut program = bench.start("worker", &plan)?;
        let ledger = Ledger::open(&plan.ledger)?;
        program.wait_until("the first call", || Ok(ledger.total()? > 0))?;
        let span = PACE * EVENTS as u32;
        std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as u64)));
        program.kill()?;
        // A start that is killed as well, somewhere in its recovery.
        if random.once_in(3) {
            let recovering = bench.start("worker", &plan.recovering())?;
            std::thread::sleep(Duration::from_micros(random.below(30_000)));
            recovering.kill()?;
        }
        emitted += recover(bench, &plan)?.emitted;
        Ok(())
    });
    Ok(outcome(failed, format!("{failed} of {loops} loops failed; {emitted} events")))
}

/// Starts a worker again that has died, and checks that both the text file and the journal have each
/// event once.
fn recover(bench: &Bench, plan: &Plan) -> Result<Verdict, Failure> {
    bench.start("worker", &plan.recovering())?.wait()?.report()?;
    let ledger = Ledger::open(&plan.ledger)?;
    let ledgers = [(&*plan.name, &ledger)];
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

fn recovery_time(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let bytes: u64 = bench.either(128 << 20, 1 << 30);
    let padding = 8000;
    let events = bytes / padding / 4;
    let plan = Plan { threads: 4, events, padding: padding as usize, file: None, ..worker(&scene) };
    let mut program = bench.start("worker", &plan)?;
    let ledger = Ledger::open(&plan.ledger)?;
    program.wait_until("all events", || Ok(ledger.total()? >= 4 * events))?;
    program.kill()?;
    let again = Plan { events: events + 1, threads: 1, ..plan };
    let (ready, _program) = time_to_first_call(bench, &again)?;
    let figure = format!("ready {} ms after its start, {} MiB", ready.as_millis(), bytes >> 20);
    Ok(outcome(u64::from(ready > Duration::from_secs(1)), figure))
}

/// How long a worker takes from its start to the return of its first log call.
fn time_to_first_call(bench: &Bench, plan: &Plan) -> Result<(Duration, Program), Failure> {
    let ledger = Ledger::open(&plan.ledger)?;
    let before = ledger.total()?;
    let began = Instant::now();
    let mut program = bench.start("worker", plan)?;
    program.wait_until("the first call", || Ok(ledger.total()? > before))?;
    Ok((began.elapsed(), program))
}

fn orderly_end(bench: &mut Bench) -> Result<Outcome, Failure> {
    let runs = bench.either(20, 500);
    let mut latest = Duration::ZERO;
    let failed = bench.repeat(runs, |bench, seed| {
        let scene = bench.scene()?;
        let end = if seed % 2 == 0 { End::Drop } else { End::Shutdown };
        let plan = Plan { threads: 4, events: 500, end, ..worker(&scene) };
        let plan =
            if seed % 3 == 0 { Plan { journal: None, require_l1: false, ..plan } } else { plan };
        bench.start("worker", &plan)?.wait()?.report()?;
        let mut account = Account::default();
        account.deliver_file(&scene.disk("app.log"))?;
        let ledger = Ledger::open(&plan.ledger)?;
        Ok(account.settle(&[(&plan.name, &ledger)])?.check()?)
    });
    let stuck_runs = bench.either(5, 50);
    let stuck = bench.repeat(stuck_runs, |bench, _| {
        latest = latest.max(stuck_end(bench)?);
        Ok(())
    });
    let late = latest.as_millis();
    let figure = format!(
        "{failed} of {runs} healthy and {stuck} of {stuck_runs} stuck runs failed; at most {late} ms late"
    );
    let is_late = u64::from(latest > Duration::from_millis(100));
    Ok(outcome(failed + stuck + is_late, figure))
}

/// A worker whose text goes into a pipe that nobody reads. Returns how far beyond its timeout it ended.
fn stuck_end(bench: &Bench) -> Result<Duration, Failure> {
    let timeout = Duration::from_millis(300);
    let scene = bench.scene()?;
    let pipe = scene.disk("pipe");
    mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Held open, and never read.
    let _reader = fs::File::options().read(true).write(true).open(&pipe)?;
    let timeout_ms = timeout.as_millis() as u64;
    let plan = Plan {
        file: Some(pipe),
        events: 5000,
        padding: 100,
        end: End::Shutdown,
        timeout_ms,
        ..worker(&scene)
    };
    let report = bench.start("worker", &plan)?.wait()?.report()?;
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    if number("left") == 0 {
        return Err(format!("nothing is said to be left: {report}").into());
    }
    let mut account = Account::default();
    account.keep(Contents::whole(&scene.disk("journal"))?);
    let ledger = Ledger::open(&plan.ledger)?;
    account.settle(&[(&plan.name, &ledger)])?.check()?;
    Ok(Duration::from_micros(number("shutdown_us")).saturating_sub(timeout))
}

/// Workers that end in one of some ways, each with nothing lost.
fn ends(bench: &mut Bench, long_runs: u64, ends: &[End]) -> Result<Outcome, Failure> {
    let runs = bench.either(4 * ends.len() as u64, long_runs);
    let (mut emitted, mut slowest) = (0, Duration::ZERO);
    let failed = bench.repeat(runs, |bench, seed| {
        let scene = bench.scene()?;
        let end = ends[(seed % ends.len() as u64) as usize];
        let plan = Plan { threads: 3, events: 2000, end, ..worker(&scene) };
        let ledger = Ledger::open(&plan.ledger)?;
        // What a panic logs comes on top.
        let last = 3 * plan.events + u64::from(matches!(end, End::Panic | End::PanicAbort));
        let mut program = bench.start("worker", &plan)?;
        while program.is_running()? && ledger.total()? < last {
            std::thread::sleep(Duration::from_micros(200));
        }
        let began = Instant::now();
        let ended = if end == End::Panic {
            program.kill()?
        } else {
            program.wait_for(Duration::from_secs(10))?
        };
        slowest = slowest.max(began.elapsed());
        if !fits(end, ended.status) {
            let (status, told) = (ended.status, ended.stderr);
            return Err(format!("{end:?} ended with {status}: {told}").into());
        }
        if ledger.total()? != last {
            return Err(format!("{end:?}: {} of {last} calls returned", ledger.total()?).into());
        }
        emitted += recover(bench, &Plan { events: 0, ..plan })?.emitted;
        Ok(())
    });
    let slow = u64::from(slowest > DEATH_MAX);
    let figure = format!(
        "{failed} of {runs} runs failed; dead within {} ms; {emitted} events",
        slowest.as_millis()
    );
    Ok(outcome(failed + slow, figure))
}

/// Whether a process that ended so ended as planned.
fn fits(end: End, status: ExitStatus) -> bool {
    let signal = match end {
        End::Exit => return status.code() == Some(3),
        End::Terminate => 15,
        End::Segv => 11,
        End::Fpe => 8,
        End::Ill => 4,
        End::Panic | End::Wait => 9,
        End::Abort | End::PanicAbort | End::StackOverflow => 6,
        End::Shutdown | End::Drop => return status.success(),
    };
    status.signal() == Some(signal)
}

fn killed_master(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(4, 300);
    let (mut emitted, mut kills) = (0, 0);
    let failed = bench.repeat(loops, |bench, seed| {
        let (verdict, killed) = kill_master(bench, seed)?;
        (emitted, kills) = (emitted + verdict.emitted, kills + killed);
        Ok(())
    });
    let figure = format!("{failed} of {loops} loops failed; {kills} kills, {emitted} events");
    Ok(outcome(failed, figure))
}

/// Kills a master a few times while workers send; acknowledgements are at L2 in every other loop.
fn kill_master(bench: &Bench, seed: u64) -> Result<(Verdict, u64), Failure> {
    const WORKERS: usize = 4;
    let scene = bench.scene()?;
    let mut random = bench.random(seed);
    let plan = master::Plan {
        listen: free_address()?,
        journal: Some(scene.disk("master")),
        file: Some(scene.disk("all.log")),
        acks_synced: seed.is_multiple_of(2),
        stop: scene.disk("stop"),
        ..master::Plan::default()
    };
    let mut master = bench.start("master", &plan)?;
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| Plan {
            name: format!("w{number}"),
            ledger: scene.memory(&format!("ledger-{number}")),
            journal: Some(scene.disk(&format!("journal-{number}"))),
            file: None,
            forward: Some(plan.listen.clone()),
            threads: 2,
            events: 5000,
            pace_ns: 100_000,
            end: End::Shutdown,
            ..worker(&scene)
        })
        .collect();
    let mut running = Vec::new();
    for worker in &workers {
        running.push(bench.start("worker", worker)?);
    }
    let kills = 1 + random.below(3);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(20 + random.below(200)));
        if random.once_in(4) {
            // It stands still before it dies.
            master.signal(Signal::STOP)?;
            std::thread::sleep(Duration::from_millis(random.below(50)));
        }
        master.kill()?;
        std::thread::sleep(Duration::from_millis(random.below(50)));
        master = bench.start("master", &plan)?;
    }
    for worker in running {
        worker.wait()?.report()?;
    }
    fs::write(&plan.stop, "")?;
    master.wait()?.report()?;

    let ledgers: Vec<_> =
        workers.iter().map(|worker| Ledger::open(&worker.ledger)).collect::<io::Result<_>>()?;
    let named: Vec<_> = workers.iter().map(|worker| &*worker.name).zip(&ledgers).collect();
    let mut account = Account::default();
    account.deliver("the master's journal", Contents::whole(&scene.disk("master"))?);
    account.settle(&named)?.check()?;
    let mut account = Account::default();
    account.deliver_file(&scene.disk("all.log"))?;
    let verdict = account.settle(&named)?;
    verdict.check()?;
    Ok((verdict, kills))
}

fn backlog(bench: &mut Bench) -> Result<Outcome, Failure> {
    let segments = bench.either(2_000, 100_000);
    let scene = bench.scene()?;
    let plan = Plan {
        // None of them makes room.
        journal_max_bytes: Some(1 << 50),
        events: 10,
        file: None,
        ..worker(&scene)
    };
    let mut first = bench.start("worker", &plan)?;
    let ledger = Ledger::open(&plan.ledger)?;
    first.wait_until("all events", || Ok(ledger.total()? == 10))?;
    let alone = Usage::of(&first)?;
    // The writer's next look puts them into the journal.
    std::thread::sleep(Duration::from_millis(100));
    first.kill()?;
    multiply(&scene.disk("journal"), segments)?;
    let again = Plan { events: 11, ..plan };
    let (ready, program) = time_to_first_call(bench, &again)?;
    let with = Usage::of(&program)?;
    let more_bytes = with.resident_bytes.saturating_sub(alone.resident_bytes);
    let more_files = with.descriptors.saturating_sub(alone.descriptors);
    let figure = format!(
        "{segments} segments: ready after {} ms, {} MiB and {more_files} descriptors more",
        ready.as_millis(),
        more_bytes >> 20
    );
    let is_good = ready <= Duration::from_millis(500) && more_bytes <= 64 << 20 && more_files <= 32;
    Ok(outcome(u64::from(!is_good), figure))
}

/// Puts copies of the newest segment that has events behind it, each with its own generation.
fn multiply(journal: &Path, copies: u64) -> Result<(), Failure> {
    let paths = rollway::journal::segment_paths(journal)?;
    let (generation, path) = paths.last().ok_or("the worker left no segment")?;
    let mut blocks = rollway::journal::ScannedBlocks::open(path)?;
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    while let Some(block) = blocks.next() {
        let block = block.map_err(|damage| damage.to_string())?;
        starts.push(bytes.len());
        bytes.extend_from_slice(block.bytes);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
    }
    for generation in generation + 1..=generation + copies {
        for start in &starts {
            rollway::block::header::set_generation(&mut bytes[*start..], generation);
        }
        fs::write(journal.join(format!("segment-{generation:016x}.rwj")), &bytes)?;
    }
    Ok(())
}

/// What a process has.
struct Usage {
    resident_bytes: u64,
    descriptors: usize,
}

impl Usage {
    fn of(program: &Program) -> Result<Usage, Failure> {
        let dir = format!("/proc/{}", program.pid());
        let status = fs::read_to_string(format!("{dir}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let resident_bytes = kib.ok_or("the process has no VmRSS")? << 10;
        Ok(Usage { resident_bytes, descriptors: fs::read_dir(format!("{dir}/fd"))?.count() })
    }
}

fn moved_journal(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(4, 50);
    let (mut emitted, mut sent) = (0, 0);
    let failed = bench.repeat(loops, |bench, seed| {
        let (verdict, delivered) = move_journal(bench, seed)?;
        (emitted, sent) = (emitted + verdict.emitted, sent + delivered);
        Ok(())
    });
    let figure = format!(
        "{failed} of {loops} loops failed; {emitted} events, {sent} of them sent from the copy"
    );
    Ok(outcome(failed, figure))
}

/// A worker has sent some of its events when it is killed; `rollway recover --send` delivers the
/// rest from a copy of its journal, twice. In every other loop the machine is gone, and the rings
/// with it; in the others they hold what the journal does not have. Yields how many events the copy
/// was asked for, too.
fn move_journal(bench: &Bench, seed: u64) -> Result<(Verdict, u64), Failure> {
    let scene = bench.scene()?;
    let has_rings = seed.is_multiple_of(2);
    let receiver = master::Plan {
        listen: free_address()?,
        journal: Some(scene.disk("master")),
        file: Some(scene.disk("all.log")),
        stop: scene.disk("stop"),
        ..master::Plan::default()
    };
    let first = bench.start("master", &receiver)?;
    let plan = Plan {
        file: None,
        forward: Some(receiver.listen.clone()),
        threads: 2,
        events: 2000,
        pace_ns: 50_000,
        linger_ms: has_rings.then_some(30),
        ..worker(&scene)
    };
    let mut sender = bench.start("worker", &plan)?;
    let ledger = Ledger::open(&plan.ledger)?;
    let sent = bench.random(seed).below(4000);
    sender.wait_until("some events", || Ok(ledger.total()? >= sent))?;
    first.kill()?;
    if has_rings {
        let some_more = (sent + 500).min(4000);
        sender.wait_until("some more events", || Ok(ledger.total()? >= some_more))?;
    } else {
        sender.wait_until("all events", || Ok(ledger.total()? == 4000))?;
        // What is in the rings only goes with the machine: let it get into the journal.
        std::thread::sleep(Duration::from_millis(200));
    }
    sender.kill()?;

    let moved = scene.disk("moved");
    copy_dir(&scene.disk("journal"), &moved)?;
    fs::remove_dir_all(scene.disk("journal"))?;
    if !has_rings {
        fs::remove_dir_all(scene.memory("rings"))?;
    }
    let second = bench.start("master", &receiver)?;
    let mut delivered = Vec::new();
    for _ in 0..2 {
        let mut command = Program::command("rollway", "recover")?;
        command.arg(&moved).args(["--send", &receiver.listen, "--json"]);
        let report = Program::spawn(&mut command)?.wait()?.report()?;
        delivered.push(report["delivered"].as_u64().ok_or("nothing is said to be delivered")?);
    }
    fs::write(&receiver.stop, "")?;
    second.wait()?.report()?;
    let mut account = Account::default();
    account.deliver_file(&scene.disk("all.log"))?;
    let verdict = account.settle(&[(&plan.name, &ledger)])?;
    verdict.check()?;
    if delivered[1] > 0 {
        return Err(format!("{} events were sent once more", delivered[1]).into());
    }
    Ok((verdict, delivered[0]))
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}
