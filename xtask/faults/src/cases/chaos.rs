//! Everything at once, for a while.
//!
//! Five workers log into one master, each over a proxy of its own, with their journals on small disks.
//! Every few seconds something is done to one of them, drawn from the seed; most of it is undone after
//! a few seconds more. In the end all is healed, everybody ends in order, and each event is counted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::Account;
use crate::case::{Bench, Case, Failure, Outcome, Scene};
use crate::disk::Disk;
use crate::figures::Footprint;
use crate::ledger::Ledger;
use crate::program::Program;
use crate::programs::{master, worker};
use crate::proxy::{Ending, Fault, Proxy};
use crate::random::Random;
use crate::waiting::until;

pub(crate) const CASES: &[Case] = &[Case {
    id: "CHAOS",
    what: "5 workers and a master are killed, paused, cut off and out of disk",
    target: "0 lost, 0 doubled in 20 minutes; memory and descriptors end flat",
    run: |bench| chaos(bench).into(),
}];

const WORKERS: usize = 5;
const THREADS: usize = 2;
/// Of each thread: 20,000 events a second of all.
const PACE_NS: u64 = 500_000;
/// The journals' bound, and the disks that they are on.
const JOURNAL_BYTES: u64 = 64 << 20;
const DISK_BYTES: u64 = 192 << 20;
/// Between two faults, in milliseconds.
const PAUSE_MS: (u64, u64) = (500, 5_000);
/// From a fault to its end, in milliseconds.
const SPAN_MS: (u64, u64) = (200, 8_000);
/// A program that does not start is tried again after this time.
const START_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Memory that a process may have more in the end than after its first start, in KiB.
const GROWTH_KIB_MAX: u64 = 64 << 10;
/// Descriptors that it may have more.
const GROWTH_FDS_MAX: u64 = 16;

fn chaos(bench: &mut Bench) -> Result<Outcome, Failure> {
    let lasts = match (bench.minutes, bench.long) {
        (Some(minutes), _) => Duration::from_secs(60 * minutes),
        (None, true) => Duration::from_secs(20 * 60),
        (None, false) => Duration::from_secs(20),
    };
    let scene = bench.scene()?;
    let mut stage = match Stage::set(bench, &scene)? {
        Ok(stage) => stage,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let mut random = bench.random(bench.seed);
    until("connections of all workers", || {
        Ok(stage.proxies.iter().all(|proxy| proxy.passed_bytes()[1] > 1_000))
    })?;
    let first = stage.footprints()?;

    let began = Instant::now();
    let mut next = began;
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    while began.elapsed() < lasts {
        stage.look(bench)?;
        if Instant::now() >= next {
            *faults.entry(stage.harm(&mut random)?).or_default() += 1;
            next += Duration::from_millis(between(&mut random, PAUSE_MS));
        }
        let (passed, all) = (began.elapsed().as_secs(), lasts.as_secs());
        bench.tell(&format!("{passed} of {all} s, {} faults", faults.values().sum::<u64>()));
        std::thread::sleep(LOOK_EVERY);
    }
    stage.heal_all(bench)?;
    fs::write(&stage.worker_stop, [])?;
    let last = stage.footprints()?;
    let starts = stage.starts;
    let journal_bytes = stage.journal_bytes()?;
    let (ledgers, text, drops) = stage.end(bench)?;

    let mut account = Account::default();
    account.deliver_file(&text)?;
    let named: Vec<_> = ledgers.iter().map(|(name, ledger)| (&**name, ledger)).collect();
    let verdict = account.settle(&named)?;
    let told = faults.iter().map(|(kind, count)| format!("{count} × {kind}"));
    let told = told.collect::<Vec<_>>().join(", ");
    let held = first.iter().zip(&last).enumerate().map(|(at, (first, last))| {
        let of = |held: &Footprint| format!("{}/{}/{}", held.rss_kib, held.fds, held.threads);
        format!("{} {} to {}", name_of(at), of(first), of(last))
    });
    let held = held.collect::<Vec<_>>().join(", ");
    let is_flat = first.iter().zip(&last).all(|(first, last)| {
        last.rss_kib <= first.rss_kib + GROWTH_KIB_MAX && last.fds <= first.fds + GROWTH_FDS_MAX
    });
    let figure = format!(
        "{verdict}, {drops} dropped; {told}; {starts} starts; KiB/descriptors/threads: {held}; \
         journals and what was reserved for them: {} MiB",
        journal_bytes >> 20
    );
    let is_bounded = journal_bytes <= (WORKERS as u64 + 1) * 2 * JOURNAL_BYTES;
    Ok(match verdict.holds(drops) && is_flat && is_bounded {
        true => Outcome::Passed(figure),
        false => Outcome::Failed(figure),
    })
}

/// One of the programs; it is started again when it ended and nobody wants it down.
struct Actor {
    program: Option<Program>,
    /// Not started before.
    start_at: Instant,
    disk: Disk,
}

/// Everybody, and what is to be undone when.
struct Stage {
    /// The workers, then the master.
    actors: Vec<Actor>,
    proxies: Vec<Proxy>,
    workers: Vec<worker::Plan>,
    master: master::Plan,
    worker_stop: PathBuf,
    undo: Vec<(Instant, Undo)>,
    starts: u64,
}

/// How a fault ends.
#[derive(Clone, Copy)]
enum Undo {
    Continue(usize),
    Heal(usize),
    Free(usize),
}

impl Stage {
    /// Starts everybody, or says why that is not possible here.
    fn set(bench: &Bench, scene: &Scene) -> Result<Result<Stage, String>, Failure> {
        let mut disks = Vec::new();
        for at in 0..=WORKERS {
            let place = scene.disk(&format!("small-{at}"));
            fs::create_dir(&place)?;
            match Disk::tmpfs(&place, DISK_BYTES) {
                Ok(disk) => disks.push(disk),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let listen = master::free_address()?;
        let master = master::Plan {
            listen: listen.clone(),
            journal: Some(disks[WORKERS].inside().join("journal")),
            journal_max_bytes: Some(JOURNAL_BYTES),
            file: Some(scene.disk("master.log")),
            stop: scene.disk("stop-master"),
            ..master::Plan::default()
        };
        let worker_stop = scene.disk("stop-workers");
        let (mut proxies, mut workers) = (Vec::new(), Vec::new());
        for (at, disk) in disks[..WORKERS].iter().enumerate() {
            let target = super::network::address_of(&listen)?;
            let proxy = Proxy::start(target, bench.seed ^ (at as u64) << 32)?;
            workers.push(worker::Plan {
                name: name_of(at),
                ledger: scene.memory(&format!("ledger-{at}")),
                threads: THREADS,
                events: u64::MAX,
                pace_ns: PACE_NS,
                journal: Some(disk.inside().join("journal")),
                journal_max_bytes: Some(JOURNAL_BYTES),
                rings: Some(scene.memory(&format!("rings-{at}"))),
                forward: Some(proxy.address().to_string()),
                until: Some(worker_stop.clone()),
                end: worker::End::Shutdown,
                ..worker::Plan::default()
            });
            proxies.push(proxy);
        }
        let start_at = Instant::now();
        let actor = |disk| Actor { program: None, start_at, disk };
        let actors = disks.into_iter().map(actor).collect();
        let undo = Vec::new();
        let mut stage = Stage { actors, proxies, workers, master, worker_stop, undo, starts: 0 };
        stage.look(bench)?;
        Ok(Ok(stage))
    }

    /// Undoes what is due, and starts whoever is down and shall not be.
    fn look(&mut self, bench: &Bench) -> Result<(), Failure> {
        let now = Instant::now();
        let due = |(at, _): &(Instant, Undo)| *at <= now;
        for undo in self.undo.extract_if(.., |undo| due(undo)).collect::<Vec<_>>() {
            self.undo(undo.1)?;
        }
        for at in 0..self.actors.len() {
            let actor = &mut self.actors[at];
            if let Some(program) = &mut actor.program
                && !program.is_running()?
                && let Some(program) = actor.program.take()
            {
                // Nobody asked it to end. It may refuse to start while its disk is full.
                let ended = program.wait()?;
                let name = name_of(at);
                if ended.status.code() != Some(1) || !ended.stderr.contains("No space left") {
                    return Err(format!("{name} ended: {}: {}", ended.status, ended.stderr).into());
                }
                actor.start_at = now + START_AGAIN;
            }
            if actor.program.is_none() && actor.start_at <= now {
                let words = actor.disk.enter();
                actor.program = Some(match self.workers.get(at) {
                    Some(plan) => bench.start_behind(&words, "worker", plan)?,
                    None => bench.start_behind(&words, "master", &self.master)?,
                });
                self.starts += 1;
            }
        }
        Ok(())
    }

    /// Does something to somebody, and says what.
    fn harm(&mut self, random: &mut Random) -> io::Result<&'static str> {
        let worker = random.below(WORKERS as u64) as usize;
        let anybody = random.below(WORKERS as u64 + 1) as usize;
        let until = Instant::now() + Duration::from_millis(between(random, SPAN_MS));
        let kind = random.below(12);
        match kind {
            0 | 1 => {
                self.kill(worker, until)?;
                Ok("worker killed")
            }
            2 => {
                self.kill(WORKERS, until)?;
                Ok("master killed")
            }
            3 => {
                if let Some(program) = &mut self.actors[anybody].program {
                    program.signal(Signal::STOP)?;
                }
                self.undo.push((until, Undo::Continue(anybody)));
                Ok("paused")
            }
            4 | 5 => {
                self.actors[anybody].disk.fill()?;
                self.undo.push((until, Undo::Free(anybody)));
                Ok("disk full")
            }
            6 => {
                self.proxies[worker].cut(if random.once_in(2) {
                    Ending::Fin
                } else {
                    Ending::Reset
                });
                Ok("cut")
            }
            _ => {
                let (what, up, down) = match kind {
                    7 => ("held both ways", Fault::Hold, Fault::Hold),
                    8 => ("swallowed both ways", Fault::Swallow, Fault::Swallow),
                    9 => ("acknowledgements swallowed", Fault::None, Fault::SwallowAcks),
                    10 => {
                        let delay = Fault::Delay(Duration::from_millis(random.below(300)));
                        ("delayed", delay, delay)
                    }
                    _ => ("garbled", Fault::GarbleAt(20 + random.below(100_000)), Fault::None),
                };
                self.proxies[worker].set(up, down);
                self.undo.push((until, Undo::Heal(worker)));
                if what == "garbled" {
                    // Bytes are counted from the beginning of a connection.
                    self.proxies[worker].cut(Ending::Reset);
                }
                Ok(what)
            }
        }
    }

    fn kill(&mut self, at: usize, start_at: Instant) -> io::Result<()> {
        if let Some(program) = self.actors[at].program.take() {
            program.kill()?;
        }
        self.actors[at].start_at = start_at;
        Ok(())
    }

    fn undo(&mut self, undo: Undo) -> io::Result<()> {
        match undo {
            Undo::Continue(at) => match &mut self.actors[at].program {
                Some(program) => program.signal(Signal::CONT),
                None => Ok(()),
            },
            Undo::Heal(at) => {
                self.proxies[at].heal();
                Ok(())
            }
            Undo::Free(at) => self.actors[at].disk.free(),
        }
    }

    /// Undoes everything, and waits until everybody runs.
    fn heal_all(&mut self, bench: &Bench) -> Result<(), Failure> {
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.undo(undo)?;
        }
        self.actors.iter_mut().for_each(|actor| actor.start_at = Instant::now());
        self.look(bench)?;
        // Whoever could not start for want of disk is started by now.
        std::thread::sleep(START_AGAIN);
        self.actors.iter_mut().for_each(|actor| actor.start_at = Instant::now());
        self.look(bench)
    }

    fn footprints(&self) -> io::Result<Vec<Footprint>> {
        let programs = self.actors.iter().filter_map(|actor| actor.program.as_ref());
        programs.map(|program| Footprint::of(program.pid())).collect()
    }

    fn journal_bytes(&self) -> io::Result<u64> {
        self.actors.iter().map(|actor| bytes_below(&actor.disk.outside())).sum()
    }

    /// Lets everybody end in order. Returns the ledgers, the master's text, and what was dropped.
    #[expect(clippy::type_complexity, reason = "three things of one use")]
    fn end(self, bench: &mut Bench) -> Result<(Vec<(String, Ledger)>, PathBuf, u64), Failure> {
        let mut programs: Vec<_> =
            self.actors.into_iter().map(|actor| (actor.program, actor.disk)).collect();
        let master = programs.pop();
        let mut drops = 0;
        let (mut ledgers, mut disks) = (Vec::new(), Vec::new());
        for ((program, disk), plan) in programs.into_iter().zip(self.workers) {
            bench.tell("the workers end");
            let report = program.ok_or("a worker is down")?.wait_for(Duration::from_secs(180))?;
            let report = report.report()?;
            drops += report["dropped"].as_u64().unwrap_or(0);
            if report["left"] != 0 {
                return Err(format!("{} left events behind: {report}", plan.name).into());
            }
            ledgers.push((plan.name.clone(), Ledger::open(&plan.ledger)?));
            disks.push(disk);
        }
        fs::write(&self.master.stop, [])?;
        if let Some((program, _disk)) = master {
            program.ok_or("the master is down")?.wait_for(Duration::from_secs(180))?.report()?;
        }
        Ok((ledgers, self.master.file.unwrap_or_default(), drops))
    }
}

fn name_of(at: usize) -> String {
    if at < WORKERS { format!("worker-{at}") } else { "master".to_owned() }
}

/// A number from the first on and below the second.
fn between(random: &mut Random, (from, to): (u64, u64)) -> u64 {
    from + random.below(to - from)
}

/// Bytes of all files below a directory.
fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { bytes_below(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
