//! How fast is the receiving end?
//!
//! Senders on the same machine, one connection each, send as fast as they can; the collector writes
//! one text file. The clock runs from the first event until the file is complete. The senders share
//! the cores with the collector, so the rate stands beside the collector's own processor time.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::job::{Job, Metric, Outcome};
use crate::process::Process;
use crate::{Failure, lines};

mod rollway;
mod rsyslog;

/// A file that has not grown for so long is complete. A collector may pause for a while.
const QUIET: Duration = Duration::from_millis(500);
/// Events of one measurement.
pub const EVENTS: u64 = 2_000_000;

/// All collectors, in the order in which they run.
pub const COLLECTORS: &[Entry] = &[
    Entry {
        name: "rollway-master",
        settings: "default: journal on disk, File; workers with journal and Forwarder",
        version: rollway::version,
        measure: measure::<rollway::Master>,
    },
    Entry {
        name: "rsyslog",
        settings: "imtcp, stock main queue, omfile; pre-rendered RFC 5424 frames, 512 a write",
        version: rsyslog::version,
        measure: measure::<rsyslog::Stock>,
    },
    Entry {
        name: "rsyslog-batch",
        settings: "imtcp, one worker, batches of 4,096, 256 KiB file buffer; frames as above",
        version: rsyslog::version,
        measure: measure::<rsyslog::Batch>,
    },
];

/// A row of [`COLLECTORS`].
pub struct Entry {
    pub name: &'static str,
    pub settings: &'static str,
    /// Its version, or why it cannot be measured here.
    pub version: fn() -> Result<String, String>,
    /// Measures it from this process.
    pub measure: fn(&Job) -> Result<Outcome, Failure>,
}

/// A running collector with the text file `peer.log` in its directory.
trait Collector: Sized {
    type Sender: Sender;

    /// Starts it with everything it writes in `dir`.
    fn start(dir: &Path) -> Result<Self, Failure>;

    fn process(&self) -> &Process;

    /// Connects the sender of this number, which may keep files in `dir`.
    fn connect(&self, dir: &Path, number: u64) -> Result<Self::Sender, Failure>;

    /// Ends it.
    fn finish(self) -> Result<(), Failure>;
}

/// One connection.
trait Sender: Send {
    /// Sends the events of these numbers, and returns when it is rid of them all.
    fn send(self, numbers: std::ops::Range<u64>) -> Result<(), Failure>;
}

fn measure<C: Collector>(job: &Job) -> Result<Outcome, Failure> {
    let dir = job.dir.join("collector");
    std::fs::create_dir_all(&dir)?;
    let collector = C::start(&dir)?;
    let (senders, each) = (job.threads as u64, job.events / job.threads as u64);
    let connect = |number| collector.connect(&job.dir.join(format!("sender-{number}")), number);
    let connected = (0..senders).map(connect).collect::<Result<Vec<_>, _>>()?;
    let cpu_before = collector.process().cpu_seconds()?;

    let barrier = Barrier::new(job.threads);
    let send = |number: u64, sender: C::Sender| {
        barrier.wait();
        let start = Instant::now();
        sender.send(number * each..(number + 1) * each).map(|()| start)
    };
    let starts = thread::scope(|scope| {
        let spawn = |(number, sender)| scope.spawn(move || send(number, sender));
        let threads: Vec<_> = (0..senders).zip(connected).map(spawn).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a sender panicked".into()))
        };
        threads.into_iter().map(join).collect::<Result<Vec<Instant>, Failure>>()
    });
    let start = starts?.into_iter().min().ok_or("there is no sender")?;

    let complete = lines::complete(&dir, QUIET)?;
    let cpu_seconds = collector.process().cpu_seconds()? - cpu_before;
    collector.finish()?;
    let (sent, arrived) = (each * senders, lines::count(&dir, job.case.marker())?);
    Ok(Outcome(vec![
        Metric::rate(arrived, (complete - start).as_secs_f64()),
        Metric { metric: "cpu", unit: "us", value: cpu_seconds * 1e6 / sent as f64 },
        Metric::lost(sent, arrived),
    ]))
}
