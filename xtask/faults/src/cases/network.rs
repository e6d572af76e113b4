//! Connections break, masters are away, and neighbours are slow.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rollway::net::{DEAD_AFTER, FrameKind, frame};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};

use crate::account::{Account, Verdict};
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::client;
use crate::figures::Footprint;
use crate::ledger::Ledger;
use crate::program::Program;
use crate::programs::{master, worker};
use crate::proxy::{Ending, Fault, Proxy};
use crate::waiting::{Lines, until, until_within};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "R24",
        what: "connections are half-open in five ways",
        target: "found within 15 s, 0 lost",
        run: |bench| half_open(bench).into(),
    },
    Case {
        id: "R25",
        what: "the master is away while events come (10 minutes at 50,000 a second)",
        target: "drained at 5 times the rate at which events come, 0 lost",
        run: |bench| master_away(bench).into(),
    },
    Case {
        id: "R26",
        what: "1,000 clients connect again at once to a master that was killed",
        target: "all welcome within 10 s, at most 256 MiB more memory",
        run: |bench| restart_storm(bench).into(),
    },
    Case {
        id: "R27",
        what: "one appender of the master stalls",
        target: "the others have 95 % of what they have without it",
        run: |bench| stalled_appender(bench).into(),
    },
    Case {
        id: "R28",
        what: "the master refuses connections, then is there",
        target: "at most 1 attempt a second, resumed within 5 s, 0 lost",
        run: |bench| refused(bench).into(),
    },
    Case {
        id: "R29",
        what: "acknowledgements are swallowed, then connections cut",
        target: "0 doubled, 0 lost",
        run: |bench| swallowed_acks(bench).into(),
    },
    Case {
        id: "R29-CUT",
        what: "connections are reset at any byte, garbled, throttled and delayed",
        target: "0 doubled, 0 lost",
        run: |bench| bad_connections(bench).into(),
    },
    Case {
        id: "R30",
        what: "200 clients and 4 workers send byte by byte",
        target: "the others go on, at most 1 CPU, 0 lost",
        run: |bench| byte_by_byte(bench).into(),
    },
    Case {
        id: "R31",
        what: "workers and masters of three ranges of protocol versions meet",
        target: "3×3: delivered, or refused with both ranges named",
        run: |bench| versions(bench).into(),
    },
    Case {
        id: "R32",
        what: "one worker sends as fast as it can to a master with a quota",
        target: "it is held up and counted, the others are not, 0 lost",
        run: |bench| noisy_neighbour(bench).into(),
    },
    Case {
        id: "R32-OVER",
        what: "a worker has two masters, and they are killed in turn",
        target: "0 lost; each master has each event at most once",
        run: |bench| fail_over(bench).into(),
    },
];

/// Beyond a target's time, for a machine that others use as well.
const SLACK: Duration = Duration::from_secs(2);

/// A master under test, started again under the same address.
struct Master {
    plan: master::Plan,
    program: Program,
}

impl Master {
    fn start(bench: &Bench, plan: master::Plan) -> Result<Master, Failure> {
        let program = bench.start("master", &plan)?;
        let mut master = Master { plan, program };
        master.await_listening()?;
        Ok(master)
    }

    fn await_listening(&mut self) -> Result<(), Failure> {
        let connects = || Ok(TcpStream::connect(&*self.plan.listen).is_ok());
        self.program.wait_until("a master that listens", connects)
    }

    /// A master with everything where it belongs.
    fn plan(scene: &Scene) -> io::Result<master::Plan> {
        Ok(master::Plan {
            listen: master::free_address()?,
            journal: Some(scene.disk("master")),
            file: Some(scene.disk("master.log")),
            stop: scene.disk("stop"),
            ..master::Plan::default()
        })
    }

    /// Its text file.
    fn text(&self) -> &Path {
        self.plan.file.as_deref().unwrap_or(Path::new(""))
    }

    /// Tells it to end in order, and returns its report.
    fn stop(self) -> Result<serde_json::Value, Failure> {
        fs::write(&self.plan.stop, [])?;
        self.program.wait()?.report()
    }
}

/// A worker that sends to `address`; its events are `name`'s.
fn worker(scene: &Scene, name: &str, address: impl ToString) -> worker::Plan {
    worker::Plan {
        name: name.to_owned(),
        ledger: scene.memory(&format!("{name}.ledger")),
        rings: Some(scene.memory(&format!("{name}.rings"))),
        journal: Some(scene.disk(name)),
        forward: Some(address.to_string()),
        end: worker::End::Shutdown,
        ..worker::Plan::default()
    }
}

/// What became of the events of some workers, by a master's text file.
fn account(plans: &[&worker::Plan], text: &Path) -> Result<Verdict, Failure> {
    let open = |plan: &&worker::Plan| Ledger::open(&plan.ledger);
    let ledgers = plans.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let names: Vec<_> =
        plans.iter().zip(&ledgers).map(|(plan, ledger)| (&*plan.name, ledger)).collect();
    let mut account = Account::default();
    account.deliver_file(text)?;
    Ok(account.settle(&names)?)
}

fn verdict(is_reached: bool, figure: String) -> Outcome {
    if is_reached { Outcome::Passed(figure) } else { Outcome::Failed(figure) }
}

fn half_open(bench: &mut Bench) -> Result<Outcome, Failure> {
    const FORMS: [(&str, Fault, Fault); 5] = [
        ("held both ways", Fault::Hold, Fault::Hold),
        ("swallowed both ways", Fault::Swallow, Fault::Swallow),
        ("swallowed upwards", Fault::Swallow, Fault::None),
        ("swallowed downwards", Fault::None, Fault::Swallow),
        ("master stopped", Fault::None, Fault::None),
    ];
    let scene = bench.scene()?;
    let healthy = Master::start(bench, Master::plan(&scene)?)?;
    let plan = master::Plan {
        journal: Some(scene.disk("stopped-master")),
        file: Some(scene.disk("stopped.log")),
        ..Master::plan(&scene)?
    };
    let mut stopped = Master::start(bench, plan)?;

    let (mut proxies, mut plans, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    for (at, _) in FORMS.iter().enumerate() {
        let master = if at + 1 == FORMS.len() { &stopped } else { &healthy };
        let proxy = Proxy::start(address_of(&master.plan.listen)?, bench.seed)?;
        let plan = worker::Plan {
            events: 9_000,
            pace_ns: 2_000_000,
            padding: 200,
            ..worker(&scene, &format!("w{at}"), proxy.address())
        };
        workers.push(bench.start("worker", &plan)?);
        proxies.push(proxy);
        plans.push(plan);
    }
    let connected = || Ok(proxies.iter().all(|proxy| proxy.passed_bytes()[1] > 1_000));
    until("connections of all workers", connected)?;
    let before: Vec<_> = proxies.iter().map(Proxy::accepted).collect();
    for (proxy, (_, up, down)) in proxies.iter().zip(FORMS) {
        proxy.set(up, down);
    }
    stopped.program.signal(Signal::STOP)?;

    let mut found = [None; FORMS.len()];
    let began = Instant::now();
    until("dead connections that were found", || {
        for (at, proxy) in proxies.iter().enumerate() {
            if found[at].is_none() && proxy.accepted() > before[at] {
                found[at] = Some(began.elapsed());
                proxy.heal();
            }
        }
        Ok(found.iter().all(Option::is_some))
    })?;
    stopped.program.signal(Signal::CONT)?;
    for worker in workers {
        worker.wait()?.report()?;
    }
    let (last, others) = plans.split_last().ok_or("no plans")?;
    for (master, plans) in [(healthy, others.iter().collect::<Vec<_>>()), (stopped, vec![last])] {
        let text = master.text().to_owned();
        fs::remove_file(&master.plan.stop).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        master.stop()?;
        account(&plans, &text)?.check()?;
    }
    let longest = found.into_iter().flatten().max().unwrap_or_default();
    let each = FORMS.iter().zip(found).map(|((what, ..), found)| {
        format!("{what} {:.1} s", found.unwrap_or_default().as_secs_f64())
    });
    let figure = format!("found after: {}; 0 lost", each.collect::<Vec<_>>().join(", "));
    Ok(verdict(longest <= DEAD_AFTER + SLACK, figure))
}

fn master_away(bench: &mut Bench) -> Result<Outcome, Failure> {
    let (rate, away) =
        bench.either((5_000, Duration::from_secs(4)), (50_000, Duration::from_secs(600)));
    // It goes on for a third of the time when the master is there.
    let events = rate * away.as_secs() * 4 / 3;
    let scene = bench.scene()?;
    let plan = Master::plan(&scene)?;
    let threads = 2;
    let of_worker = worker::Plan {
        threads,
        events: events / threads as u64,
        pace_ns: 1_000_000_000 * threads as u64 / rate,
        journal_max_bytes: Some(8 << 30),
        measures: true,
        timeout_ms: 600_000,
        ..worker(&scene, "worker", &plan.listen)
    };
    let ledger = Ledger::open(&of_worker.ledger)?;
    let program = bench.start("worker", &of_worker)?;
    until_within(away * 3, "the backlog", || {
        std::thread::sleep(Duration::from_millis(10));
        Ok(ledger.total()? >= events * 3 / 4)
    })?;
    let backlog = ledger.total()?;
    let master = Master::start(bench, plan)?;
    let mut lines = Lines::of(master.text());
    // The worker tries again when its pause is over.
    until("the first event at the master", || Ok(lines.count()? > 0))?;
    let began = Instant::now();
    // Caught up: what is missing came within the last tenth of a second.
    until_within(away * 3, "a drained backlog", || {
        Ok(lines.count()? + rate / 10 >= ledger.total()?)
    })?;
    let (drained, took) = (lines.count()?, began.elapsed());
    let report = program.wait_for(away * 3)?.report()?;
    let text = master.text().to_owned();
    master.stop()?;
    account(&[&of_worker], &text)?.check()?;
    let drain_rate = drained as f64 / took.as_secs_f64();
    let times = drain_rate / rate as f64;
    let figure = format!(
        "{backlog} events waited; drained at {drain_rate:.0} a second, {times:.1} times the rate of \
         {rate}; p99.9 of a call {} ns; 0 lost",
        report["p999_ns"]
    );
    Ok(verdict(times >= 5.0, figure))
}

/// Clients of the storm, and the threads that play them.
const CLIENTS: u64 = 1_000;
const CLIENT_THREADS: u64 = 50;

fn restart_storm(bench: &mut Bench) -> Result<Outcome, Failure> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < 4 * CLIENTS) {
        return Ok(Outcome::Skipped(format!("a process may open {:?} files", limit.maximum)));
    }
    limit.current = Some(limit.current.unwrap_or(0).max(4 * CLIENTS));
    setrlimit(Resource::Nofile, limit)?;

    let scene = bench.scene()?;
    let plan = master::Plan {
        connections_per_address: Some(2 * CLIENTS as usize),
        ..Master::plan(&scene)?
    };
    let master = Master::start(bench, plan.clone())?;
    let first = all_clients(&plan.listen)?;
    master.program.kill()?;
    // They come while it starts.
    let program = bench.start("master", &plan)?;
    let began = Instant::now();
    let before = Footprint::of(program.pid())?;
    drop(first);
    let second = all_clients(&plan.listen)?;
    let took = began.elapsed();
    let after = Footprint::of(program.pid())?;
    drop(second);
    Master { plan, program }.stop()?;
    let more_mib = after.rss_kib.saturating_sub(before.rss_kib) / 1024;
    let figure =
        format!("all welcome after {took:.1?}; {more_mib} MiB more, {} descriptors", after.fds);
    Ok(verdict(took <= Duration::from_secs(10) + SLACK && more_mib <= 256, figure))
}

/// Connections of all clients, once each is welcome. Whoever is refused comes again.
fn all_clients(address: &str) -> Result<Vec<TcpStream>, Failure> {
    let connect = |number| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let stream = client::greet(address, number);
            match stream.and_then(|stream| client::welcomed(&stream).map(|()| stream)) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    };
    let of_thread = |thread| {
        let numbers = (0..CLIENTS).filter(move |number| number % CLIENT_THREADS == thread);
        numbers.map(connect).collect::<io::Result<Vec<_>>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CLIENT_THREADS).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        let mut streams = Vec::new();
        for thread in threads {
            streams.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(streams)
    })
}

/// Events of a worker that logs at a pace while its neighbours misbehave, and that pace.
const NEIGHBOUR_EVENTS: u64 = 20_000;
const NEIGHBOUR_PACE_NS: u64 = 100_000;
/// What may be late on a machine that others use as well: a quarter of what is logged.
const MOMENT: Duration = Duration::from_millis(500);

/// How a worker fared whose events were delivered while they came.
struct InStep {
    plan: worker::Plan,
    /// Events in the master's file when the last was logged.
    delivered: u64,
    /// From then on until all were.
    lag: Duration,
}

impl InStep {
    /// Logs at a pace to `master`.
    fn of(bench: &Bench, scene: &Scene, name: &str, master: &Master) -> Result<InStep, Failure> {
        let plan = worker::Plan {
            events: NEIGHBOUR_EVENTS,
            pace_ns: NEIGHBOUR_PACE_NS,
            ..worker(scene, name, &master.plan.listen)
        };
        let ledger = Ledger::open(&plan.ledger)?;
        let mut lines = Lines::starting(master.text(), name);
        let mut program = bench.start("worker", &plan)?;
        program.wait_until("all calls", || Ok(ledger.total()? == plan.events))?;
        let delivered = lines.count()?;
        let lag = until("all events at the master", || Ok(lines.count()? == plan.events))?;
        program.wait()?.report()?;
        Ok(InStep { plan, delivered, lag })
    }

    /// Whether it had as much as `usual`, or what was missing was only a moment late.
    fn keeps_pace_with(&self, usual: &InStep) -> bool {
        self.delivered * 100 >= usual.delivered * 95 || self.lag <= MOMENT
    }
}

fn stalled_appender(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    let pipe = scene.disk("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU)?;
    // Both ends, so that opening waits for nobody; nothing is read before the end.
    let mut end = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(&pipe)?;
    let master = Master::start(bench, Master::plan(&scene)?)?;
    let usual = InStep::of(bench, &scene, "usual", &master)?;
    let text = master.text().to_owned();
    master.stop()?;
    account(&[&usual.plan], &text)?.check()?;

    fs::remove_file(&text)?;
    fs::remove_file(scene.disk("stop"))?;
    let plan = master::Plan {
        second_file: Some(pipe),
        journal: Some(scene.disk("stalled-master")),
        ..Master::plan(&scene)?
    };
    let master = Master::start(bench, plan)?;
    let stalled = InStep::of(bench, &scene, "beside", &master)?;
    fs::write(&master.plan.stop, [])?;
    let mut program = master.program;
    let (mut room, mut read) = (vec![0; 64 << 10], 0);
    while program.is_running()? {
        match end.read(&mut room) {
            Ok(bytes) => read += bytes,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    program.wait()?.report()?;
    account(&[&stalled.plan], &text)?.check()?;
    let figure = format!(
        "{} of {NEIGHBOUR_EVENTS} events were delivered when the last was logged, {} without the \
         stall; {read} bytes left the stalled appender in the end",
        stalled.delivered, usual.delivered
    );
    Ok(verdict(stalled.keeps_pace_with(&usual), figure))
}

fn refused(bench: &mut Bench) -> Result<Outcome, Failure> {
    /// The pauses have grown after this time.
    const RAMP: Duration = Duration::from_secs(4);
    let watched = Duration::from_secs(bench.either(4, 60));
    let scene = bench.scene()?;
    let plan = Master::plan(&scene)?;
    let proxy = Proxy::start(address_of(&plan.listen)?, bench.seed)?;
    let of_worker = worker::Plan {
        events: 1_000 * (RAMP + watched + Duration::from_secs(5)).as_secs(),
        pace_ns: 1_000_000,
        ..worker(&scene, "worker", proxy.address())
    };
    let program = bench.start("worker", &of_worker)?;
    std::thread::sleep(RAMP);
    let before = proxy.accepted();
    std::thread::sleep(watched);
    let attempts = proxy.accepted() - before;
    let master = Master::start(bench, plan)?;
    let mut lines = Lines::of(master.text());
    let resumed = until("the first event at the master", || Ok(lines.count()? > 0))?;
    program.wait_for(watched * 3 + Duration::from_secs(60))?.report()?;
    let text = master.text().to_owned();
    master.stop()?;
    account(&[&of_worker], &text)?.check()?;
    let figure = format!("{attempts} attempts in {watched:?}; resumed after {resumed:.1?}; 0 lost");
    let is_reached = attempts <= watched.as_secs() && resumed <= Duration::from_secs(5) + SLACK;
    Ok(verdict(is_reached, figure))
}

fn swallowed_acks(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(4, 100);
    let (mut events, mut duplicates, mut swallowed) = (0, 0, 0);
    let failed = bench.repeat(loops, |bench, seed| {
        let mut random = bench.random(seed);
        let scene = bench.scene()?;
        let master = Master::start(bench, Master::plan(&scene)?)?;
        let proxy = Proxy::start(address_of(&master.plan.listen)?, seed)?;
        let plan = worker::Plan {
            threads: 2,
            events: 10_000,
            pace_ns: 100_000,
            padding: 100,
            ..worker(&scene, "worker", proxy.address())
        };
        let mut program = bench.start("worker", &plan)?;
        let mut lines = Lines::of(master.text());
        for _ in 0..4 {
            program.wait_until("an event", || Ok(lines.count()? > 0))?;
            proxy.set(Fault::None, Fault::SwallowAcks);
            std::thread::sleep(Duration::from_millis(random.below(120)));
            proxy.cut(if random.once_in(2) { Ending::Fin } else { Ending::Reset });
            // Half of the time the next connection loses its acknowledgements as well.
            if random.once_in(2) {
                std::thread::sleep(Duration::from_millis(random.below(120)));
                proxy.cut(Ending::Reset);
            }
            proxy.heal();
            std::thread::sleep(Duration::from_millis(random.below(60)));
        }
        program.wait()?.report()?;
        let text = master.text().to_owned();
        let report = master.stop()?;
        let verdict = account(&[&plan], &text)?;
        verdict.check()?;
        if proxy.swallowed_bytes() == 0 {
            return Err("no acknowledgement was swallowed".into());
        }
        swallowed += proxy.swallowed_bytes();
        events += verdict.emitted;
        duplicates += report["duplicates"].as_u64().unwrap_or(0);
        Ok(())
    });
    let figure = format!(
        "{failed} of {loops} loops failed; {events} events; {swallowed} bytes of acknowledgements \
         swallowed; {duplicates} blocks came again"
    );
    Ok(verdict(failed == 0, figure))
}

fn bad_connections(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(4, 100);
    let (mut events, mut connections) = (0, 0);
    let failed = bench.repeat(loops, |bench, seed| {
        let mut random = bench.random(seed);
        let scene = bench.scene()?;
        let master = Master::start(bench, Master::plan(&scene)?)?;
        let proxy = Proxy::start(address_of(&master.plan.listen)?, seed)?;
        let plan = worker::Plan {
            threads: 2,
            events: 8_000,
            pace_ns: 100_000,
            padding: 100,
            ..worker(&scene, "worker", proxy.address())
        };
        let mut program = bench.start("worker", &plan)?;
        while program.is_running()? && Ledger::open(&plan.ledger)?.total()? < 2 * plan.events {
            let mut fault = || match random.below(6) {
                0 => Fault::ResetAt(random.below(200_000)),
                1 => Fault::GarbleAt(random.below(200_000)),
                2 => Fault::Throttle(10_000 + random.below(500_000)),
                3 => Fault::Delay(Duration::from_millis(random.below(50))),
                4 => Fault::ByteWise,
                _ => Fault::None,
            };
            proxy.set(fault(), fault());
            std::thread::sleep(Duration::from_millis(20 + random.below(150)));
        }
        proxy.heal();
        program.wait()?.report()?;
        connections += proxy.accepted();
        let text = master.text().to_owned();
        master.stop()?;
        let verdict = account(&[&plan], &text)?;
        verdict.check()?;
        events += verdict.emitted;
        Ok(())
    });
    let figure =
        format!("{failed} of {loops} loops failed; {events} events over {connections} connections");
    Ok(verdict(failed == 0, figure))
}

fn byte_by_byte(bench: &mut Bench) -> Result<Outcome, Failure> {
    const TRICKLES: u64 = 200;
    let scene = bench.scene()?;
    let plan = master::Plan { connections_per_address: Some(1_000), ..Master::plan(&scene)? };
    let master = Master::start(bench, plan)?;
    let usual = InStep::of(bench, &scene, "usual", &master)?;

    let proxy = Proxy::start(address_of(&master.plan.listen)?, bench.seed)?;
    proxy.set(Fault::ByteWise, Fault::ByteWise);
    let slow_plan = |number| worker::Plan {
        events: 500,
        pace_ns: 2_000_000,
        ..worker(&scene, &format!("slow-{number}"), proxy.address())
    };
    let slow: Vec<_> = (0..4).map(slow_plan).collect();
    let programs: Result<Vec<_>, _> = slow.iter().map(|plan| bench.start("worker", plan)).collect();
    let programs = programs?;
    let trickles = (0..TRICKLES).map(|_| TcpStream::connect(&*master.plan.listen));
    let trickles = trickles.collect::<io::Result<Vec<_>>>()?;
    let is_over = AtomicBool::new(false);
    let before = Footprint::of(master.program.pid())?;
    let began = Instant::now();
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| trickle(&trickles, &is_over));
        let beside = InStep::of(bench, &scene, "fast", &master);
        is_over.store(true, Ordering::Relaxed);
        beside
    })?;
    let took = began.elapsed();
    let after = Footprint::of(master.program.pid())?;
    // The last bytes of the slow ones need not be slow.
    proxy.heal();
    for program in programs {
        program.wait()?.report()?;
    }
    drop(trickles);
    let text = master.text().to_owned();
    master.stop()?;
    let mut plans: Vec<_> = slow.iter().collect();
    plans.extend([&usual.plan, &beside.plan]);
    account(&plans, &text)?.check()?;
    let cpus = (after.cpu_ticks - before.cpu_ticks) as f64 / 100.0 / took.as_secs_f64();
    let figure = format!(
        "{} events were delivered when {NEIGHBOUR_EVENTS} had been logged, {} without the slow \
         ones; the master used {cpus:.2} CPUs; 0 lost",
        beside.delivered, usual.delivered
    );
    Ok(verdict(beside.keeps_pace_with(&usual) && cpus <= 1.0, figure))
}

/// Narrows the versions that a program speaks.
const SPOKEN: &str = "ROLLWAY_FAULT_PROTOCOL";

fn versions(bench: &mut Bench) -> Result<Outcome, Failure> {
    const RANGES: [&str; 3] = ["1", "1-2", "2"];
    let (mut delivered, mut refused, mut failed) = (0, 0, 0);
    for of_master in RANGES {
        let scene = bench.scene()?;
        let plan = Master::plan(&scene)?;
        let program = bench.start_with("master", &plan, &[(SPOKEN, of_master)])?;
        let mut master = Master { plan, program };
        master.await_listening()?;
        let mut understood = Vec::new();
        for of_worker in RANGES {
            let meet = of_worker.contains('-') || of_master.contains('-') || of_worker == of_master;
            let plan = worker::Plan {
                events: 100,
                timeout_ms: if meet { 60_000 } else { 1_500 },
                ..worker(&scene, &format!("speaks-{of_worker}"), &master.plan.listen)
            };
            let ended = bench.start_with("worker", &plan, &[(SPOKEN, of_worker)])?.wait()?;
            let left = ended.report()?["left"].as_u64();
            let words = format!("{of_worker} to {of_worker} offered; this side speaks {of_master}");
            let is_right = if meet { left == Some(0) } else { ended.stderr.contains(&words) };
            if !is_right {
                failed += 1;
                let told = &ended.stderr;
                let what = format!("worker {of_worker}, master {of_master}: {left:?} left: {told}");
                bench.fail(bench.seed, &what);
            }
            if meet {
                delivered += 1;
                understood.push(plan);
            } else {
                refused += 1;
            }
        }
        let text = master.text().to_owned();
        master.stop()?;
        account(&understood.iter().collect::<Vec<_>>(), &text)?.check()?;
    }
    let figure = format!(
        "{delivered} pairs delivered everything, {refused} were told both ranges; {failed} did not"
    );
    Ok(verdict(failed == 0, figure))
}

fn noisy_neighbour(bench: &mut Bench) -> Result<Outcome, Failure> {
    let scene = bench.scene()?;
    // The quiet worker sends less than that.
    let plan = master::Plan { bytes_per_second_per_source: Some(2 << 20), ..Master::plan(&scene)? };
    let master = Master::start(bench, plan)?;
    let usual = InStep::of(bench, &scene, "usual", &master)?;
    let noisy_plan = worker::Plan {
        threads: 2,
        events: bench.either(10_000, 100_000),
        padding: 400,
        ..worker(&scene, "noisy", &master.plan.listen)
    };
    let noisy = bench.start("worker", &noisy_plan)?;
    let quiet = InStep::of(bench, &scene, "quiet", &master)?;
    noisy.wait()?.report()?;
    let text = master.text().to_owned();
    let report = master.stop()?;
    account(&[&usual.plan, &noisy_plan, &quiet.plan], &text)?.check()?;
    let throttled = report["throttled"].as_u64().unwrap_or(0);
    let figure = format!(
        "{} events of the quiet one were delivered when {NEIGHBOUR_EVENTS} had been logged, {} \
         without the noisy one; {throttled} sources held up; 0 lost",
        quiet.delivered, usual.delivered
    );
    Ok(verdict(throttled == 1 && quiet.keeps_pace_with(&usual), figure))
}

fn fail_over(bench: &mut Bench) -> Result<Outcome, Failure> {
    let loops = bench.either(1, 20);
    let (mut emitted, mut at_both) = (0, 0);
    let failed = bench.repeat(loops, |bench, seed| {
        let scene = bench.scene()?;
        let plan = |name: &str| -> io::Result<master::Plan> {
            Ok(master::Plan {
                journal: Some(scene.disk(name)),
                file: Some(scene.disk(&format!("{name}.log"))),
                ..Master::plan(&scene)?
            })
        };
        let plans = [plan("one")?, plan("two")?];
        let mut masters = Vec::new();
        for plan in &plans {
            masters.push(Master::start(bench, plan.clone())?);
        }
        // It logs for longer than it takes to leave two masters, 10 s each at the most.
        let plan = worker::Plan {
            events: 40_000,
            pace_ns: 600_000,
            forward_or: vec![plans[1].listen.clone()],
            ..worker(&scene, "worker", &plans[0].listen)
        };
        let mut program = bench.start("worker", &plan)?;
        for at in [0, 1] {
            let mut lines = Lines::of(masters[at].text());
            let before = lines.count()?;
            program.wait_until("an event at this master", || Ok(lines.count()? > before))?;
            let wait = bench.random(seed + at as u64).below(500);
            std::thread::sleep(Duration::from_millis(wait));
            masters[at].program.signal(Signal::KILL)?;
            let mut lines = Lines::of(masters[1 - at].text());
            let before = lines.count()?;
            program.wait_until("an event at the other", || Ok(lines.count()? > before))?;
            masters[at] = Master::start(bench, plans[at].clone())?;
        }
        program.wait()?.report()?;
        let mut both = Account::default();
        let ledger = Ledger::open(&plan.ledger)?;
        let (mut delivered, mut doubled) = (0, 0);
        for plan in &plans {
            fs::write(&plan.stop, [])?;
        }
        for master in masters {
            let text = master.text().to_owned();
            master.program.wait()?.report()?;
            let mut account = Account::default();
            account.deliver_file(&text)?;
            let alone = account.settle(&[(&*plan.name, &ledger)])?;
            delivered += alone.delivered;
            doubled += alone.doubled.count + alone.invented.count;
            both.deliver_file(&text)?;
        }
        let together = both.settle(&[(&*plan.name, &ledger)])?;
        if doubled > 0 || together.lost.count > 0 {
            return Err(format!("{doubled} twice at one master; together: {together}").into());
        }
        emitted += together.emitted;
        at_both += delivered - together.delivered;
        Ok(())
    });
    let figure = format!(
        "{failed} of {loops} loops failed; {emitted} events, {at_both} of them at both masters"
    );
    Ok(verdict(failed == 0, figure))
}

/// Sends greetings and heartbeats over all connections, one byte to each in turn.
fn trickle(streams: &[TcpStream], is_over: &AtomicBool) {
    let ping = frame::encode(FrameKind::Ping, &[]);
    let greetings: Vec<_> = (0..streams.len() as u64).map(client::greeting).collect();
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        for (mut stream, greeting) in streams.iter().zip(&greetings) {
            let later = || ping[(sent - greeting.len()) % ping.len()];
            let byte = greeting.get(sent).copied().unwrap_or_else(later);
            // A connection that the master gave up is left alone.
            let _ = stream.write_all(&[byte]);
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `localhost:PORT` as an address of the loopback device.
pub(super) fn address_of(listen: &str) -> Result<std::net::SocketAddr, Failure> {
    use std::net::ToSocketAddrs;
    listen.to_socket_addrs()?.next().ok_or_else(|| format!("{listen} is no address").into())
}
