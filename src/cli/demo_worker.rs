//! A worker process of the demo: two threads that log, and a ledger of what they have logged.
//!
//! It is started by `rollway demo` with its orders on the command line, says `paced` on standard
//! output when the measured phase is over, goes on at full speed after a line on standard input,
//! and says `done` when the master has everything.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use rollway::info;

use super::args::DemoWorkerArgs;
use super::exit::{Exit, Failure};
use super::send::failure_of_start;
use crate::appender::Forwarder;
use crate::engine::{builder, prepare_thread};
use crate::sys::words::SharedWords;

/// Threads of a worker.
pub(super) const THREADS: usize = 2;
/// Calls timed as one: a clock costs more than a call.
pub(super) const CALLS_PER_BATCH: u64 = 20;
/// Batches of each thread in the paced phase.
pub(super) const BATCHES: u64 = 2000;
/// Between two batches.
const PACE: Duration = Duration::from_micros(200);
/// What the master may take for the last events.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The words of a ledger: calls of each thread that have returned, first those of the paced phase.
pub(super) const LEDGER_WORDS: usize = 2 * THREADS;

/// The file of the ledger of one run of one worker.
pub(super) fn ledger_path(dir: &Path, worker: usize, run: usize) -> PathBuf {
    dir.join(format!("ledger-{worker}-{run}"))
}

/// The file with the times of a worker's batches, in nanoseconds, 4 bytes each, little-endian.
pub(super) fn times_path(dir: &Path, worker: usize) -> PathBuf {
    dir.join(format!("times-{worker}"))
}

pub(super) fn run(args: &DemoWorkerArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    if args.from.len() != THREADS || args.until.len() != THREADS {
        let message = format!("demo: a worker needs {THREADS} times --from and --until");
        return Err(Failure::new(Exit::Usage, message));
    }
    // Nobody needs a worker whose demo is gone.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let failed = |what: &'static str| {
        move |error: io::Error| Failure::caused(Exit::Io, format!("demo: {what}"), &error)
    };
    let ledger =
        SharedWords::create(Some(&ledger_path(&args.ledgers, args.worker, args.run)), LEDGER_WORDS);
    let ledger = Arc::new(ledger.map_err(failed("cannot make the ledger"))?);
    let guard = builder()
        .service(format!("demo-worker-{}", args.worker))
        .journal_dir(args.dir.join(format!("worker-{}", args.worker)))
        // Not where services have theirs: whatever happens, they go with the demo's own files.
        .rings_dir(args.ledgers.join("rings"))
        .appender("master", Forwarder::new(&*args.to))
        .init()
        .map_err(|error| failure_of_start(&error))?;

    let go = Arc::new(Barrier::new(THREADS + 1));
    let (sender, paced) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let thread = Thread {
                worker: args.worker,
                run: args.run,
                number,
                ledger: Arc::clone(&ledger),
                from: args.from[number],
                until: args.until[number],
            };
            let (paced, go, sender) = (args.paced, Arc::clone(&go), sender.clone());
            std::thread::Builder::new().name(format!("demo-{number}")).spawn(move || {
                let times = if paced { thread.pace() } else { Vec::new() };
                // The main thread waits for each; nobody waits for us when it is gone.
                let _ = sender.send(times);
                go.wait();
                thread.hurry();
            })
        })
        .collect::<io::Result<_>>()
        .map_err(failed("cannot start a thread"))?;
    drop(sender);
    let times: Vec<u8> = paced.iter().take(THREADS).flatten().flat_map(u32::to_le_bytes).collect();
    if args.paced {
        std::fs::write(times_path(&args.ledgers, args.worker), times)
            .map_err(failed("cannot write the times"))?;
    }
    writeln!(out, "paced").and_then(|()| out.flush()).map_err(Failure::of_output)?;
    let mut line = String::new();
    if io::stdin().read_line(&mut line).map_err(failed("cannot read its orders"))? == 0 {
        return Ok(Exit::Loss);
    }
    go.wait();
    for thread in threads {
        // A thread that panicked has logged less, which the ledger shows.
        let _ = thread.join();
    }
    if args.victim {
        // It must not end by itself.
        loop {
            std::thread::park();
        }
    }
    let report = guard.shutdown(END_LIMIT);
    writeln!(out, "done").and_then(|()| out.flush()).map_err(Failure::of_output)?;
    Ok(if report.left() == 0 && report.dropped.total() == 0 { Exit::Ok } else { Exit::Loss })
}

/// What one thread does.
struct Thread {
    worker: usize,
    run: usize,
    number: usize,
    ledger: Arc<SharedWords>,
    from: u64,
    until: u64,
}

impl Thread {
    /// Logs a few events every [`PACE`] and returns what the batches took, in nanoseconds.
    fn pace(&self) -> Vec<u32> {
        prepare_thread();
        let (worker, run, thread) = (self.worker, self.run, self.number);
        let returned = self.ledger.word(thread);
        let mut times = Vec::with_capacity(BATCHES as usize);
        let mut event = 0;
        let mut next = Instant::now();
        for _ in 0..BATCHES {
            next += PACE;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let begin = Instant::now();
            for _ in 0..CALLS_PER_BATCH {
                info!("worker {worker} run {run} thread {thread} paced {event}");
                event += 1;
            }
            times.push(u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX));
            // Relaxed: only its value matters, to a reader that waits for our death or our word.
            returned.store(event, Ordering::Relaxed);
        }
        times
    }

    /// Logs its share as fast as it can.
    fn hurry(&self) {
        let (worker, run, thread) = (self.worker, self.run, self.number);
        let returned = self.ledger.word(THREADS + thread);
        for event in self.from..self.until {
            info!("worker {worker} run {run} thread {thread} event {event}");
            // Relaxed: as above. A kill in front of it leaves one event more than the ledger has.
            returned.store(event + 1, Ordering::Relaxed);
        }
    }
}
