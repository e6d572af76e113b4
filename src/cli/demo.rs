//! `rollway demo`: three workers, a master, a kill, and the books at the end.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::DemoArgs;
use super::demo_ledger::{Author, Balance, Books};
use super::demo_worker::{self, BATCHES, CALLS_PER_BATCH, THREADS, ledger_path, times_path};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::signals::Signals;
use super::temporary::TemporaryDir;
use crate::appender::File;
use crate::journal::JournalOptions;
use crate::layout::Pattern;
use crate::master::Master;
use crate::sys::words;

const COMMAND: &str = "demo";
const BAR: &str = "{wide_bar} {human_pos} of {human_len} delivered {elapsed}";
const WORKERS: usize = 3;
/// The worker that is killed.
const VICTIM: usize = 0;
/// The whole of it takes no longer, plus a second for each so many events.
const LIMIT: Duration = Duration::from_secs(60);
const EVENTS_PER_SECOND_MIN: u64 = 100_000;
/// What the master may take to write its last lines.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// How often the workers are looked after.
const LOOK: Duration = Duration::from_millis(1);
/// Where files outlive a process without touching a disk.
const SHM: &str = "/dev/shm";

pub(super) fn run(
    args: &DemoArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    // An interrupted demo cleans up, too.
    let signals = Signals::listen().map_err(failed("wait for signals"))?;
    let limit = LIMIT + Duration::from_secs(args.events / EVENTS_PER_SECOND_MIN);
    let dir =
        TemporaryDir::new(&std::env::temp_dir(), COMMAND).map_err(failed("make a directory"))?;
    let shm = Some(Path::new(SHM)).filter(|shm| shm.is_dir()).unwrap_or(&dir.path);
    let ledgers = TemporaryDir::new(shm, COMMAND).map_err(failed("make a directory"))?;
    let text = dir.path.join("master.log");
    let pattern = Pattern::parse("%m%n")
        .map_err(|error| Failure::caused(Exit::Io, "demo: the master's layout", &error))?;
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(dir.path.join("master")))
        .appender("file", File::new(&text).layout(pattern))
        .start()
        .map_err(|error| Failure::caused(Exit::Io, "demo: cannot start the master", &error))?;
    let mut story = Story {
        shares: shares(args.events),
        address: master.local_addr().to_string(),
        master,
        dir: &dir.path,
        ledgers: &ledgers.path,
        books: Books::default(),
        deadline: Instant::now() + limit,
        signals,
        progress: Progress::new(COMMAND, BAR, args.events, err),
    };

    story.progress.say("three workers of two threads each log to a master, paced at first");
    let mut workers = story.start_all()?;
    story.progress.say(&format!("{} events at full speed", args.events));
    let begin = Instant::now();
    for worker in &mut workers {
        worker.go()?;
    }
    let victim = workers.remove(VICTIM);
    let heir = story.kill_and_restart(victim)?;
    workers.push(heir);
    for worker in workers {
        story.wait_for_end(worker)?;
    }
    let Story { master, books, progress, .. } = story;
    let report = master.shutdown(DRAIN_LIMIT);
    let seconds = begin.elapsed().as_secs_f64();
    drop(progress);
    if report.left() > 0 {
        let left = report.left();
        return Err(Failure::new(Exit::Io, format!("demo: the master left {left} events")));
    }
    let file = fs::File::open(&text).map_err(failed("open the master's file"))?;
    let balance = books
        .balance(BufReader::with_capacity(1 << 20, file))
        .map_err(failed("read the master's file"))?;
    let call_ns = CallTimes::read(&ledgers.path).map_err(failed("read the times"))?;
    tell(args, &balance, seconds, &call_ns, out)
}

/// The events of each thread of each worker.
fn shares(events: u64) -> Vec<u64> {
    let threads = (WORKERS * THREADS) as u64;
    (0..threads).map(|thread| events / threads + u64::from(thread < events % threads)).collect()
}

struct Story<'a> {
    /// By worker and thread.
    shares: Vec<u64>,
    address: String,
    master: Master,
    dir: &'a Path,
    ledgers: &'a Path,
    books: Books,
    deadline: Instant,
    signals: Signals,
    progress: Progress<'a>,
}

impl Story<'_> {
    /// Starts the workers and waits until their paced phase is over.
    fn start_all(&mut self) -> Result<Vec<Worker>, Failure> {
        let mut workers = Vec::new();
        for worker in 0..WORKERS {
            workers.push(self.start(worker, 0, [0; THREADS])?);
        }
        for worker in &workers {
            self.wait_for(worker, "paced")?;
        }
        Ok(workers)
    }

    fn start(&self, worker: usize, run: usize, from: [u64; THREADS]) -> Result<Worker, Failure> {
        let program = std::env::current_exe().map_err(failed("find its own program"))?;
        let mut command = Command::new(program);
        command.arg("demo-worker").args(["--to", &self.address]);
        command.arg("--dir").arg(self.dir).arg("--ledgers").arg(self.ledgers);
        command.args(["--worker", &worker.to_string(), "--run", &run.to_string()]);
        for (thread, from) in from.iter().enumerate() {
            let until = self.shares[worker * THREADS + thread];
            command.arg(format!("--from={from}")).arg(format!("--until={until}"));
        }
        if run == 0 {
            command.arg("--paced");
            if worker == VICTIM {
                command.arg("--victim");
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed("start a worker"))?;
        let (sender, words) = mpsc::channel();
        if let Some(said) = child.stdout.take() {
            std::thread::Builder::new()
                .name("demo-listener".to_owned())
                .spawn(move || {
                    for word in BufReader::new(said).lines().map_while(Result::ok) {
                        if sender.send(word).is_err() {
                            break;
                        }
                    }
                })
                .map_err(failed("start a thread"))?;
        }
        let orders = child.stdin.take();
        Ok(Worker { number: worker, run, from, child, orders, words })
    }

    /// Kills the worker in the middle of its work and starts it again from its ledger.
    fn kill_and_restart(&mut self, mut worker: Worker) -> Result<Worker, Failure> {
        let number = worker.number;
        let path = ledger_path(self.ledgers, number, worker.run);
        let all: u64 = (0..THREADS).map(|thread| self.shares[number * THREADS + thread]).sum();
        while sum(&self.read_ledger(&path)?) < all / 2 {
            self.look(&mut worker)?;
        }
        worker.child.kill().map_err(failed("kill a worker"))?;
        worker.child.wait().map_err(failed("wait for a worker"))?;
        let ledger = self.read_ledger(&path)?;
        self.enter(&worker, &ledger, true);
        let mut from = [0; THREADS];
        from.copy_from_slice(&ledger[THREADS..]);
        let logged = sum(&ledger);
        self.progress
            .say(&format!("worker {number} was killed after {logged} of its {all} events"));
        let mut heir = self.start(number, worker.run + 1, from)?;
        self.wait_for(&heir, "paced")?;
        heir.go()?;
        Ok(heir)
    }

    fn wait_for_end(&mut self, mut worker: Worker) -> Result<(), Failure> {
        self.wait_for(&worker, "done")?;
        let status = loop {
            match worker.child.try_wait().map_err(failed("wait for a worker"))? {
                Some(status) => break status,
                None => self.check_time()?,
            }
            std::thread::sleep(LOOK);
        };
        if !status.success() {
            let number = worker.number;
            return Err(Failure::new(
                Exit::Io,
                format!("demo: worker {number} ended with {status}"),
            ));
        }
        let ledger = self.read_ledger(&ledger_path(self.ledgers, worker.number, worker.run))?;
        self.enter(&worker, &ledger, false);
        Ok(())
    }

    /// Enters a ledger in the books.
    fn enter(&mut self, worker: &Worker, ledger: &[u64], was_killed: bool) {
        let Worker { number, run, from, .. } = *worker;
        for thread in 0..THREADS {
            let author = Author { worker: number, run, thread, is_paced: true };
            self.books.enter(author, 0, ledger[thread], false);
            let author = Author { is_paced: false, ..author };
            let until = ledger[THREADS + thread].max(from[thread]);
            self.books.enter(author, from[thread], until, was_killed);
        }
    }

    fn read_ledger(&self, path: &Path) -> Result<Vec<u64>, Failure> {
        let ledger = words::read_dead(path).map_err(failed("read a ledger"))?;
        match ledger.len() {
            demo_worker::LEDGER_WORDS => Ok(ledger),
            _ => Err(Failure::new(Exit::Io, "demo: a ledger has another length")),
        }
    }

    /// Waits for a word of a worker.
    fn wait_for(&mut self, worker: &Worker, word: &str) -> Result<(), Failure> {
        loop {
            match worker.words.recv_timeout(LOOK * 20) {
                Ok(said) if said == word => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => self.check_time()?,
                Err(RecvTimeoutError::Disconnected) => {
                    let number = worker.number;
                    let message = format!("demo: worker {number} ended before it was {word}");
                    return Err(Failure::new(Exit::Io, message));
                }
            }
            self.show_progress();
        }
    }

    fn look(&mut self, worker: &mut Worker) -> Result<(), Failure> {
        if let Some(status) = worker.child.try_wait().map_err(failed("look after a worker"))? {
            let number = worker.number;
            return Err(Failure::new(
                Exit::Io,
                format!("demo: worker {number} ended with {status}"),
            ));
        }
        self.check_time()?;
        self.show_progress();
        std::thread::sleep(LOOK);
        Ok(())
    }

    fn check_time(&self) -> Result<(), Failure> {
        if self.signals.came() {
            return Err(Failure::new(Exit::Io, "demo: interrupted"));
        }
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let delivered = self.delivered();
        let message = format!("demo: it takes too long; {delivered} events were delivered so far");
        Err(Failure::new(Exit::Io, message))
    }

    fn delivered(&self) -> u64 {
        self.master.stats().appenders.iter().map(|appender| appender.delivered).sum()
    }

    fn show_progress(&self) {
        let paced = (WORKERS * THREADS) as u64 * BATCHES * CALLS_PER_BATCH;
        self.progress.show(self.delivered().saturating_sub(paced));
    }
}

/// The full-speed events of a ledger.
fn sum(ledger: &[u64]) -> u64 {
    ledger.iter().skip(THREADS).sum()
}

/// A running worker. Dropping it kills it.
struct Worker {
    number: usize,
    run: usize,
    from: [u64; THREADS],
    child: Child,
    orders: Option<ChildStdin>,
    words: Receiver<String>,
}

impl Worker {
    fn go(&mut self) -> Result<(), Failure> {
        let Some(orders) = &mut self.orders else { return Ok(()) };
        orders.write_all(b"go\n").and_then(|()| orders.flush()).map_err(failed("order a worker"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds per call.
struct CallTimes {
    /// Of each batch, ascending.
    sorted: Vec<u32>,
}

impl CallTimes {
    fn read(dir: &Path) -> io::Result<CallTimes> {
        let mut sorted = Vec::new();
        for worker in 0..WORKERS {
            let bytes = fs::read(times_path(dir, worker))?;
            let (times, _) = bytes.as_chunks::<4>();
            sorted.extend(times.iter().map(|time| u32::from_le_bytes(*time)));
        }
        sorted.sort_unstable();
        Ok(CallTimes { sorted })
    }

    /// The exact quantile of the batches, as nanoseconds for one call.
    fn quantile(&self, quantile: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let at = ((self.sorted.len() as f64 * quantile).ceil() as usize).saturating_sub(1);
        let batch_ns = self.sorted.get(at.min(last)).copied().unwrap_or(0);
        f64::from(batch_ns) / CALLS_PER_BATCH as f64
    }
}

fn tell(
    args: &DemoArgs,
    balance: &Balance,
    seconds: f64,
    call_ns: &CallTimes,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let Balance { emitted, delivered, paced, under_way, lost, duplicated, foreign, .. } = *balance;
    let events_per_second = (emitted as f64 / seconds).round();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| call_ns.quantile(quantile));
    let written = if args.json {
        let object = json!({
            "emitted": emitted, "delivered": delivered, "lost": lost, "duplicated": duplicated,
            "paced": paced, "under_way_at_kill": under_way, "foreign": foreign,
            "seconds": seconds, "events_per_second": events_per_second,
            "call_ns": { "p50": p50, "p99": p99, "p999": p999 },
        });
        writeln!(out, "{object}")
    } else {
        writeln!(
            out,
            "emitted     {emitted:>12}   at full speed, and {paced} paced\n\
             delivered   {delivered:>12}   to the master's file\n\
             lost        {lost:>12}\n\
             duplicated  {duplicated:>12}\n\
             events/s    {events_per_second:>12}   from the first call to the last line in the file\n\
             ns per call {p50:>12.1}   p50, paced\n\
             {p99:>24.1}   p99\n\
             {p999:>24.1}   p99.9"
        )
        .and_then(|()| match under_way {
            0 => Ok(()),
            _ => writeln!(
                out,
                "{under_way} more arrived: the kill came between the event and its entry in the ledger"
            ),
        })
    };
    written.and_then(|()| out.flush()).map_err(Failure::of_output)?;
    if foreign > 0 {
        let message = format!("demo: {foreign} lines of the master's file are nobody's");
        return Err(Failure::new(Exit::Loss, message));
    }
    let is_whole = lost == 0 && duplicated == 0 && emitted == args.events;
    Ok(if is_whole { Exit::Ok } else { Exit::Loss })
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::caused(Exit::Io, format!("demo: cannot {what}"), &error)
}
