//! A process ends between two steps of a protocol.
//!
//! A scenario is first played once with a trace, which tells which points it passes and how often.
//! Then it is played for each of them with a program that ends there, once, and once more after its
//! restart. What is left is compared with the ledgers. Some points are played with their two
//! neighbouring steps in the wrong order, too: then the comparison must fail.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rollway::clock::{SystemUtc, UtcClock};

use crate::account::{Account, Verdict, number_of};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::journal::Contents;
use crate::ledger::Ledger;
use crate::program::{Ended, Program};
use crate::programs::master::{self, free_address};
use crate::programs::worker::{self, End, Hold};
use crate::rotation::{files_by_time, files_of};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R07",
        what: "a program ends at every crash point, once and twice in a row",
        target: "every point is reached; 0 lost, 0 doubled",
        run: |bench| every_point(bench).into(),
    },
    Case {
        id: "R07s",
        what: "two steps around a crash point change places",
        target: "the bench sees each of them fail",
        run: |bench| swapped_points(bench).into(),
    },
];

/// Points whose steps are seen failing in the wrong order. Some orders can be no other, and some
/// are not relied on, so that nothing would be seen:
/// - A full file has its number before the slot is stored: a start finds the file of the slot by its
///   inode under its new name, and compares what stands behind the slot.
/// - The slot of a new file before that file: it has the inode of the file.
/// - The journal of a cluster is open before the term is stored: the lock of the election, not the
///   term, keeps out a second process. A term only tells a master which connection is the newer one.
const SWAPS: &[&str] = &[
    "journal.body",
    "writer.head",
    "recover.append",
    "file.text",
    "master.ack_sent",
    "adopt.drained",
];
/// Points that a start passes only when the program before it ended at another one.
const BEHIND: &[(&str, &str)] = &[("drain.known", "writer.head")];
/// How often a swapped point is tried at different passings before it counts as not seen.
const SWAP_TRIES: u64 = 20;

const KILL: i32 = 9;
/// Between two looks at what a program has reached.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What programs do, with one of them under the fault.
struct Scenario {
    name: &'static str,
    play: fn(&mut Stage) -> Result<Verdict, Failure>,
}

/// The shortest first.
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a service with a text file", play: service },
    Scenario { name: "a worker that sends to a master", play: sender },
    Scenario { name: "a master", play: receiver },
    Scenario { name: "a master whose only worker says little and ends", play: last_receiver },
    Scenario { name: "a service whose text file rotates", play: rotating },
    Scenario { name: "a service whose text file is rolled by time and compressed", play: rolling },
    Scenario { name: "a service whose text file refuses events", play: refusing },
    Scenario { name: "a service whose events wait in a buffer", play: buffering },
    Scenario { name: "a service whose events wait for a limit", play: limiting },
    Scenario { name: "a worker whose first master is gone", play: failing_over },
    Scenario { name: "a process of a cluster", play: elected },
    Scenario { name: "a process of a cluster that outlives another", play: adopting },
    Scenario { name: "a service whose journal goes round", play: long_service },
];

/// How often a play in which its point was not reached is played again.
const FURTHER_TRIES: usize = 3;

/// Which scenarios pass each point, the shortest first, and how often.
type Passings = BTreeMap<String, Vec<(usize, u64)>>;

fn every_point(bench: &mut Bench) -> Result<Outcome, Failure> {
    let passings = passings(bench);
    let (mut plays, mut twice, mut failed) = (0, 0, 0);
    let (mut unreached, mut once) = (Vec::new(), Vec::new());
    for (at, point) in rollway::CRASH_POINTS.iter().enumerate() {
        let behind = BEHIND.iter().find(|(later, _)| later == point).map(|(_, before)| *before);
        let Some(scenarios) = passings.get(behind.unwrap_or(point)) else {
            unreached.push(*point);
            continue;
        };
        bench.tell(&format!("{point}, {at} of {}", rollway::CRASH_POINTS.len()));
        // In the long form each that passes it.
        let scenarios = &scenarios[..bench.either(1, scenarios.len())];
        for ((scenario, times), crashes) in scenarios.iter().flat_map(|s| [(s, 1), (s, 2)]) {
            let seed = bench.seed + at as u64;
            // No play passes a point exactly as often as another.
            let passing = 1 + bench.random(seed).below((*times / 2).clamp(1, 20));
            let before = usize::from(behind.is_some());
            let crashes = crashes + before;
            let fault = Fault { point, behind, passing, crashes, swapped: false };
            plays += 1;
            let mut played = play(bench, &SCENARIOS[*scenario], Some(fault));
            // What a start finds to do depends on how far the threads before it came.
            for _ in 0..FURTHER_TRIES {
                if played.as_ref().is_ok_and(|(_, crashed)| *crashed <= before) {
                    let first = Fault { passing: 1, ..fault };
                    played = play(bench, &SCENARIOS[*scenario], Some(first));
                }
            }
            let failure = match played {
                Ok((_, crashed)) if crashed <= before => "it was not reached".into(),
                Ok((_, crashed)) => {
                    twice += u64::from(crashed == 2 + before);
                    // The start after the first crash had nothing to do there any more.
                    if crashed < crashes {
                        once.push(*point);
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            failed += 1;
            let name = SCENARIOS[*scenario].name;
            let what = format!("{name}, {point}:{passing}, {} times: {failure}", crashes - before);
            bench.fail(bench.seed, &what);
        }
    }
    let reached = rollway::CRASH_POINTS.len() - unreached.len();
    let mut figure = format!(
        "{reached} of {} points reached, {twice} of them twice in a row; {failed} of {plays} plays failed",
        rollway::CRASH_POINTS.len()
    );
    for (what, points) in [("not twice", &once), ("never reached", &unreached)] {
        if !points.is_empty() {
            figure.push_str(&format!("; {what}: {}", points.join(", ")));
        }
    }
    let is_good = failed == 0 && unreached.is_empty();
    Ok(if is_good { Outcome::Passed(figure) } else { Outcome::Failed(figure) })
}

fn swapped_points(bench: &mut Bench) -> Result<Outcome, Failure> {
    let passings = passings(bench);
    let mut unseen = Vec::new();
    for point in SWAPS {
        let scenarios = passings.get(*point).map(Vec::as_slice).unwrap_or_default();
        let mut seen = false;
        for passing in 1..=SWAP_TRIES {
            bench.tell(&format!("{point}, passing {passing}"));
            for (scenario, _) in scenarios.iter().filter(|(_, times)| *times >= passing) {
                let fault = Fault { point, behind: None, passing, crashes: 1, swapped: true };
                seen |= play(bench, &SCENARIOS[*scenario], Some(fault)).is_err();
            }
            if seen {
                break;
            }
        }
        if !seen {
            unseen.push(*point);
        }
    }
    let seen = SWAPS.len() - unseen.len();
    let figure = format!("{seen} of {} swaps were seen failing", SWAPS.len());
    Ok(match unseen.is_empty() {
        true => Outcome::Passed(figure),
        false => Outcome::Failed(format!("{figure}; not {}", unseen.join(", "))),
    })
}

/// Plays each scenario without a fault and counts what it passes.
fn passings(bench: &mut Bench) -> Passings {
    let mut passings = Passings::new();
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        bench.tell(&format!("the points of {}", scenario.name));
        let trace = match play(bench, scenario, None) {
            Ok((trace, _)) => trace,
            Err(failure) => {
                // Its points are missed then, unless another scenario passes them.
                bench.fail(bench.seed, &format!("{} without a fault: {failure}", scenario.name));
                continue;
            }
        };
        for (point, times) in trace {
            passings.entry(point).or_default().push((at, times));
        }
    }
    passings
}

/// Plays a scenario; returns what it passed, without a fault, and how often the program ended at
/// its point.
fn play(
    bench: &mut Bench,
    scenario: &Scenario,
    fault: Option<Fault>,
) -> Result<(BTreeMap<String, u64>, usize), Failure> {
    let scene = bench.scene()?;
    let mut stage = Stage { bench, scene: &scene, fault, crashed: 0 };
    let verdict = (scenario.play)(&mut stage)?;
    let crashed = stage.crashed;
    verdict.check()?;
    let mut trace = BTreeMap::new();
    let text = fs::read_to_string(scene.memory(TRACE)).unwrap_or_default();
    for point in text.lines() {
        *trace.entry(point.to_owned()).or_insert(0) += 1;
    }
    Ok((trace, crashed))
}

const TRACE: &str = "trace";

/// Where a program shall end.
#[derive(Clone, Copy)]
struct Fault {
    point: &'static str,
    /// The point at which the first program ends, where another start is needed to come to `point`.
    behind: Option<&'static str>,
    /// The first crash comes when it is passed for this many times, the next one at once.
    passing: u64,
    /// How often it ends there.
    crashes: usize,
    swapped: bool,
}

/// The programs of one play.
struct Stage<'a> {
    bench: &'a mut Bench,
    scene: &'a Scene,
    fault: Option<Fault>,
    crashed: usize,
}

impl Stage<'_> {
    /// Starts the program that is under the fault.
    fn start(&self, part: &str, plan: &impl serde::Serialize) -> Result<Program, Failure> {
        let trace = self.scene.memory(TRACE).to_string_lossy().into_owned();
        let Some(fault) = self.fault else {
            return self.bench.start_with(part, plan, &[("ROLLWAY_CRASH_TRACE", &trace)]);
        };
        if self.crashed >= fault.crashes {
            return self.bench.start(part, plan);
        }
        let passing = if self.crashed == 0 { fault.passing } else { 1 };
        let point = fault.behind.filter(|_| self.crashed == 0).unwrap_or(fault.point);
        let place = format!("{point}:{passing}");
        let mut environment = vec![("ROLLWAY_CRASH_AT", &*place)];
        if fault.swapped {
            environment.push(("ROLLWAY_CRASH_SWAP", fault.point));
        }
        self.bench.start_with(part, plan, &environment)
    }

    /// Whether a program ended at its point; another end but a good one is a failure.
    fn has_crashed(&mut self, ended: &Ended) -> Result<bool, Failure> {
        if ended.status.signal() == Some(KILL) && self.fault.is_some() {
            self.crashed += 1;
            return Ok(true);
        }
        ended.report().map(|_| false)
    }

    /// Runs a program until it ends by itself, again after each crash.
    fn run(&mut self, part: &str, plan: &impl serde::Serialize) -> Result<(), Failure> {
        loop {
            let ended = self.start(part, plan)?.wait()?;
            if !self.has_crashed(&ended)? {
                return Ok(());
            }
        }
    }

    /// Starts a worker again after each crash, until `reached`.
    fn keep_running(
        &mut self,
        mut program: Program,
        plan: &worker::Plan,
        mut reached: impl FnMut() -> io::Result<bool>,
    ) -> Result<Program, Failure> {
        while !reached()? {
            if !program.is_running()? {
                let ended = program.wait()?;
                if !self.has_crashed(&ended)? {
                    return Err(format!("a worker ended early: {}", ended.stderr).into());
                }
                program = self.start("worker", plan)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(program)
    }

    /// Runs a worker until it has logged everything, again after each crash, and kills it.
    fn run_and_kill(&mut self, plan: &worker::Plan) -> Result<(), Failure> {
        let ledger = Ledger::open(&plan.ledger)?;
        let all = plan.events * plan.threads as u64;
        loop {
            let mut program = self.start("worker", plan)?;
            while program.is_running()? && ledger.total()? < all {
                std::thread::yield_now();
            }
            let is_running = program.is_running()?;
            let ended = program.kill()?;
            if is_running {
                return Ok(());
            }
            self.has_crashed(&ended)?;
        }
    }

    /// The worker of a scenario.
    fn worker(&self) -> worker::Plan {
        worker::Plan {
            ledger: self.scene.memory("ledger"),
            rings: Some(self.scene.memory("rings")),
            journal: Some(self.scene.disk("journal")),
            require_l1: true,
            threads: 2,
            ..worker::Plan::default()
        }
    }
}

/// A worker logs and is killed, logs and is killed while all is in its rings, and ends in order.
fn service(stage: &mut Stage) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan { file: Some(file.clone()), events: 1000, ..stage.worker() };
    let killed = worker::Plan { end: End::Wait, pace_ns: 20_000, ..plan.clone() };
    stage.run_and_kill(&killed)?;
    // Less than a block, which would not linger.
    let lingering = worker::Plan { linger_ms: Some(10_000), pace_ns: 0, events: 1300, ..killed };
    stage.run_and_kill(&lingering)?;
    stage.run("worker", &worker::Plan { events: 2300, pace_ns: 20_000, ..plan.clone() })?;
    stage.run("worker", &plan.recovering())?;
    let messages = Contents::whole(&stage.scene.disk("journal"))?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver("the journal", messages);
    account.settle(&[(&plan.name, &ledger)])?.check()?;
    let mut account = Account::default();
    account.deliver_file(&file)?;
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// The text file of a worker is begun anew every few events.
fn rotating(stage: &mut Stage) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan {
        file: Some(file.clone()),
        rotate_bytes: Some(32 << 10),
        padding: 100,
        events: 700,
        pace_ns: 20_000,
        ..stage.worker()
    };
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    stage.run("worker", &worker::Plan { events: 1400, ..plan.clone() })?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_files(&files_of(&file)?)?;
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// The clock is so fast that a file takes some hundred lines.
fn rolling(stage: &mut Stage) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan {
        file: Some(file.clone()),
        roll_by: Some("yyyy-MM-dd-HH-mm".to_owned()),
        fast_clock: Some((SystemUtc.utc_ns(), 10_000)),
        compress: true,
        events: 700,
        pace_ns: 20_000,
        ..stage.worker()
    };
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    stage.run("worker", &worker::Plan { events: 1400, ..plan.clone() })?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_files(&files_by_time(&file)?)?;
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// Some events bring along those that a buffer holds.
fn buffering(stage: &mut Stage) -> Result<Verdict, Failure> {
    holding(stage, Hold::Buffer(61))
}

/// Events come some at a time, and the last ones on demand.
fn limiting(stage: &mut Stage) -> Result<Verdict, Failure> {
    holding(stage, Hold::Limit(37))
}

fn holding(stage: &mut Stage, hold: Hold) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan {
        file: Some(file.clone()),
        hold: Some(hold),
        events: 700,
        pace_ns: 20_000,
        ..stage.worker()
    };
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    stage.run("worker", &worker::Plan { events: 1400, ..plan.clone() })?;
    stage.run("worker", &plan.recovering())?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_file(&file)?;
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// Some events are not wanted, and become dead letters.
fn refusing(stage: &mut Stage) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan {
        file: Some(file.clone()),
        refuse_every: Some(61),
        events: 300,
        pace_ns: 20_000,
        ..stage.worker()
    };
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    stage.run("worker", &worker::Plan { events: 600, ..plan.clone() })?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_file(&file)?;
    let letters = stage.scene.disk("journal").join("dead-letters/file");
    let letters = Contents::whole(&letters)?;
    // What is said about a letter is no event of the worker.
    account.deliver("the dead letters", letters.iter().filter(|text| number_of(text).is_some()));
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// A worker has two masters, and the first does not come back.
fn failing_over(stage: &mut Stage) -> Result<Verdict, Failure> {
    let stop = stage.scene.disk("stop");
    let (first, second) = (free_address()?, free_address()?);
    let of_first = receiver_of(stage, &first);
    let of_second = master::Plan {
        listen: second.clone(),
        journal: Some(stage.scene.disk("second")),
        file: Some(stage.scene.disk("second.log")),
        ..of_first.clone()
    };
    let plan = worker::Plan {
        forward: Some(first),
        forward_or: vec![second],
        events: 500,
        pace_ns: 20_000,
        ..stage.worker()
    };
    let receiver = stage.bench.start("master", &of_first)?;
    stage.run("worker", &plan)?;
    receiver.kill()?;
    let receiver = stage.bench.start("master", &of_second)?;
    stage.run("worker", &worker::Plan { events: 1000, ..plan.clone() })?;
    fs::write(stop, "")?;
    receiver.wait()?.report()?;
    // Exactly once at each; what was not acknowledged at the first may be at both.
    let ledger = Ledger::open(&plan.ledger)?;
    let mut at_first = Contents::whole(&stage.scene.disk("master"))?;
    let mut account = Account::default();
    account.deliver_file(&stage.scene.disk("second.log"))?;
    let second = fs::read_to_string(stage.scene.disk("second.log"))?;
    let at_second: HashSet<_> = second.lines().collect();
    at_first.retain(|message| !at_second.contains(&**message));
    account.deliver("the first master", at_first);
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// A process of a cluster is elected and delivers what others log, who die beside it and come back.
fn elected(stage: &mut Stage) -> Result<Verdict, Failure> {
    // Runs beside which another process dies.
    let all_runs = stage.bench.either(1, 3);
    let text = stage.scene.disk("app.log");
    let plan = worker::Plan {
        journal: None,
        cluster: Some(stage.scene.disk("cluster")),
        file: Some(text.clone()),
        rotate_bytes: Some(32 << 10),
        padding: 40,
        events: 200,
        pace_ns: 20_000,
        ..stage.worker()
    };
    let dead = worker::Plan {
        name: "dead".to_owned(),
        ledger: stage.scene.memory("ledger-dead"),
        end: End::Wait,
        ..plan.clone()
    };
    let (ledger, dead_ledger) = (Ledger::open(&plan.ledger)?, Ledger::open(&dead.ledger)?);
    let ledgers = [(&*plan.name, &ledger), (&*dead.name, &dead_ledger)];
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    for runs in 1..=all_runs {
        let events = 200 + 50 * runs;
        let own = worker::Plan { events, pace_ns: 4_000_000, ..plan.clone() };
        let mut program = stage.start("worker", &own)?;
        // It dies while the other lives.
        let more = worker::Plan { events: 50 * runs, ..dead.clone() };
        let mut dying = stage.bench.start("worker", &more)?;
        dying.wait_until("all events", || Ok(dead_ledger.total()? == 100 * runs))?;
        dying.kill()?;
        while program.is_running()? {
            std::thread::yield_now();
        }
        let ended = program.wait()?;
        if stage.has_crashed(&ended)? {
            stage.run("worker", &own)?;
        }
    }
    // Whoever died comes back, and two may have to.
    for _ in 0..2 {
        stage.bench.start("worker", &dead.recovering())?.wait()?.report()?;
        stage.run("worker", &plan.recovering())?;
    }
    let mut account = Account::default();
    account.deliver_files(&files_of(&text)?)?;
    Ok(account.settle(&ledgers)?)
}

/// A process of a cluster lives until it has cleaned up after one that died beside it.
fn adopting(stage: &mut Stage) -> Result<Verdict, Failure> {
    /// From the death of a process to the end of its directory, crashes included.
    const CLEANED_WITHIN: Duration = Duration::from_secs(30);
    let (text, stop) = (stage.scene.disk("app.log"), stage.scene.disk("stop"));
    let members = stage.scene.disk("cluster/members");
    let plan = worker::Plan {
        journal: None,
        cluster: Some(stage.scene.disk("cluster")),
        adopt_after_ms: Some(100),
        file: Some(text.clone()),
        threads: 1,
        events: u64::MAX,
        pace_ns: 2_000_000,
        until: Some(stop.clone()),
        ..stage.worker()
    };
    let dead = worker::Plan {
        name: "dead".to_owned(),
        ledger: stage.scene.memory("ledger-dead"),
        // Less than a block, which stays in the rings.
        linger_ms: Some(10_000),
        events: 500,
        pace_ns: 20_000,
        end: End::Wait,
        ..plan.clone()
    };
    let (ledger, dead_ledger) = (Ledger::open(&plan.ledger)?, Ledger::open(&dead.ledger)?);
    let program = stage.start("worker", &plan)?;
    // It has the first directory before the other one takes its own.
    let program = stage.keep_running(program, &plan, || Ok(ledger.total()? > 0))?;
    let mut dying = stage.bench.start("worker", &dead)?;
    dying.wait_until("all events", || Ok(dead_ledger.total()? == 500))?;
    dying.kill()?;
    let deadline = Instant::now() + CLEANED_WITHIN;
    let program = stage.keep_running(program, &plan, || {
        let is_cleaned = fs::read_dir(&members)?.count() == 1;
        Ok(is_cleaned || Instant::now() > deadline)
    })?;
    fs::write(&stop, "")?;
    let ended = program.wait()?;
    if stage.has_crashed(&ended)? {
        stage.run("worker", &plan)?;
    }
    for (what, dir, stays) in [("members", &members, 1), ("rings", &stage.scene.memory("rings"), 0)]
    {
        let found = fs::read_dir(dir)?.count();
        if found > stays {
            return Err(format!("{found} directories of {what} are left, not {stays}").into());
        }
    }
    let mut account = Account::default();
    account.deliver_file(&text)?;
    Ok(account.settle(&[(&*plan.name, &ledger), (&*dead.name, &dead_ledger)])?)
}

/// The worker fills some segments of a journal that has room for few.
fn long_service(stage: &mut Stage) -> Result<Verdict, Failure> {
    let file = stage.scene.disk("app.log");
    let plan = worker::Plan {
        file: Some(file.clone()),
        journal_max_bytes: Some(16 << 20),
        events: 3000,
        padding: 4000,
        ..stage.worker()
    };
    stage.run_and_kill(&worker::Plan { end: End::Wait, ..plan.clone() })?;
    stage.run("worker", &worker::Plan { events: 4000, ..plan.clone() })?;
    let ledger = Ledger::open(&plan.ledger)?;
    let mut account = Account::default();
    account.deliver_file(&file)?;
    Ok(account.settle(&[(&plan.name, &ledger)])?)
}

/// A worker is under the fault while it sends to a master that lives.
fn sender(stage: &mut Stage) -> Result<Verdict, Failure> {
    let (address, stop) = (free_address()?, stage.scene.disk("stop"));
    let master = receiver_of(stage, &address);
    let receiver = stage.bench.start("master", &master)?;
    let plan = worker::Plan { forward: Some(address), events: 1000, ..stage.worker() };
    stage.run_and_kill(&worker::Plan { end: End::Wait, pace_ns: 20_000, ..plan.clone() })?;
    // Long enough for the forwarder to store where it is.
    stage.run("worker", &worker::Plan { events: 1300, pace_ns: 2_000_000, ..plan.clone() })?;
    stage.run("worker", &plan.recovering())?;
    fs::write(stop, "")?;
    receiver.wait()?.report()?;
    of_master(stage, &master, &plan)
}

/// A master is under the fault while a worker sends.
fn receiver(stage: &mut Stage) -> Result<Verdict, Failure> {
    receive(stage, worker::Plan { events: 3000, pace_ns: 40_000, ..stage.worker() })
}

/// The worker sends one block and ends with its acknowledgement: nobody would send it again.
fn last_receiver(stage: &mut Stage) -> Result<Verdict, Failure> {
    receive(stage, worker::Plan { events: 10, linger_ms: Some(10_000), ..stage.worker() })
}

fn receive(stage: &mut Stage, worker: worker::Plan) -> Result<Verdict, Failure> {
    let (address, stop) = (free_address()?, stage.scene.disk("stop"));
    let master = receiver_of(stage, &address);
    let plan = worker::Plan { forward: Some(address), ..worker };
    let mut sender = stage.bench.start("worker", &plan)?;
    let mut receiver = stage.start("master", &master)?;
    while sender.is_running()? {
        if !receiver.is_running()? {
            let ended = receiver.wait()?;
            stage.has_crashed(&ended)?;
            receiver = stage.start("master", &master)?;
        }
        std::thread::yield_now();
    }
    sender.wait()?.report()?;
    fs::write(stop, "")?;
    let ended = receiver.wait()?;
    if stage.has_crashed(&ended)? {
        stage.run("master", &master)?;
    }
    of_master(stage, &master, &plan)
}

fn receiver_of(stage: &Stage, address: &str) -> master::Plan {
    master::Plan {
        listen: address.to_owned(),
        journal: Some(stage.scene.disk("master")),
        file: Some(stage.scene.disk("all.log")),
        stop: stage.scene.disk("stop"),
        ..master::Plan::default()
    }
}

/// Compares what the master's file and its journal have with the worker's ledger.
fn of_master(
    stage: &Stage,
    master: &master::Plan,
    worker: &worker::Plan,
) -> Result<Verdict, Failure> {
    let ledger = Ledger::open(&worker.ledger)?;
    let ledgers = [(&*worker.name, &ledger)];
    let mut account = Account::default();
    account.deliver("the master's journal", Contents::whole(&stage.scene.disk("master"))?);
    account.settle(&ledgers)?.check()?;
    let mut account = Account::default();
    if let Some(path) = &master.file {
        account.deliver_file(path)?;
    }
    Ok(account.settle(&ledgers)?)
}
