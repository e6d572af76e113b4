//! A service that logs numbered events, and ends as its plan says.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollway::appender::file::{Compression, RollBy};
use rollway::appender::{File, Forwarder};
use rollway::clock::{SystemUtc, UtcClock};
use rollway::cluster::Cluster;
use rollway::config::{Config, ConfigError, Sources};
use rollway::event::Event;
use rollway::layout::Pattern;
use rollway::route::composite::{Buffer, Limit};
use rollway::{Builder, Control, Durability, Guard, OverflowPolicy, ShutdownReport};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fork;
use super::refusing::Refusing;
use crate::account;
use crate::case::Failure;
use crate::figures::quantile;
use crate::ledger::Ledger;
use crate::rotation;
use crate::waiting::until;

/// The name of what holds events back.
const HOLD: &str = "hold";
const HOUR: Duration = Duration::from_secs(3_600);
/// Between two jumps of the clock.
const JUMP_EVERY_MS: i64 = 7;

/// What a worker does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    /// Its name in the messages.
    pub(crate) name: String,
    pub(crate) ledger: PathBuf,
    pub(crate) threads: usize,
    /// Of each thread over all runs of the ledger: a worker that is started again logs the rest.
    pub(crate) events: u64,
    /// What a thread takes for one event, in nanoseconds; 0 for as fast as it can.
    pub(crate) pace_ns: u64,
    /// Bytes behind the number in each message.
    pub(crate) padding: usize,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_max_bytes: Option<u64>,
    pub(crate) rings: Option<PathBuf>,
    pub(crate) ring_bytes: Option<usize>,
    /// Fails to start where a kill would lose events.
    pub(crate) require_l1: bool,
    pub(crate) file: Option<PathBuf>,
    /// How long events stay in their rings, in milliseconds, where the default is too short.
    pub(crate) linger_ms: Option<u64>,
    /// The master to send to.
    pub(crate) forward: Option<String>,
    /// Drops what does not fit into a ring instead of waiting.
    pub(crate) drops: bool,
    /// Calls `flush_to(L2)` after so many events of the first thread, and says so in the ledger.
    pub(crate) sync_every: Option<u64>,
    pub(crate) end: End,
    /// What the shutdown may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// Reports what its log calls took.
    pub(crate) measures: bool,
    /// Logs no more once this file is there.
    pub(crate) until: Option<PathBuf>,
    /// Starts another text file where the next line would pass this many bytes.
    pub(crate) rotate_bytes: Option<u64>,
    /// Starts another text file at the first line of another period.
    pub(crate) roll_by: Option<String>,
    /// The clock runs faster from this time on, in nanoseconds since 1970, by this factor.
    pub(crate) fast_clock: Option<(i64, i64)>,
    /// Rolled files are compressed; all of them before the worker ends by itself.
    pub(crate) compress: bool,
    pub(crate) keep: Option<usize>,
    pub(crate) keep_total_bytes: Option<u64>,
    /// Between two looks whether the text file was moved, in milliseconds.
    pub(crate) check_moved_ms: Option<u64>,
    /// Masters to send to when the first does not work.
    pub(crate) forward_or: Vec<String>,
    /// The text file refuses each event whose number is a multiple of this.
    pub(crate) refuse_every: Option<u64>,
    /// The clock jumps an hour back and forth.
    pub(crate) clock_jumps: bool,
    /// Shares its appenders with the processes of this cluster.
    pub(crate) cluster: Option<PathBuf>,
    /// What the cluster waits before it cleans up after a dead process, in milliseconds.
    pub(crate) adopt_after_ms: Option<u64>,
    /// Its configuration, a file, beside what stands here; it is read again by a command to the
    /// control socket in the journal's directory.
    pub(crate) config: Option<PathBuf>,
    /// What holds events back before the text file.
    pub(crate) hold: Option<Hold>,
    /// Where its control socket is, if not in the journal's directory.
    pub(crate) control: Option<PathBuf>,
    /// Logs in this many forked children, as `NAME-0` and so on with ledgers of their own.
    pub(crate) forks: usize,
}

/// A composite that holds events, and hands on all of them sooner or later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// A buffer, which an event triggers whose number is a multiple of this.
    Buffer(u64),
    /// A limit that hands on so many events at a time.
    Limit(usize),
}

/// How a worker ends once everything is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    /// It shuts the logger down and reports.
    Shutdown,
    /// It drops its guard.
    Drop,
    /// It does nothing more until it is killed.
    Wait,
    /// `process::exit`, the guard alive.
    Exit,
    /// SIGTERM without a handler. As after `_exit`, nothing of the process runs any more.
    Terminate,
    Abort,
    /// A thread panics, and the logger's hook logs it, which counts as the next event of the first one.
    Panic,
    /// The same where a panic aborts.
    PanicAbort,
    /// The signal of a bad access, of a division by zero, of a bad instruction.
    Segv,
    Fpe,
    Ill,
    /// A recursion without an end.
    StackOverflow,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            name: "worker".to_owned(),
            ledger: PathBuf::new(),
            threads: 1,
            events: 0,
            pace_ns: 0,
            padding: 0,
            journal: None,
            journal_max_bytes: None,
            rings: None,
            ring_bytes: None,
            require_l1: false,
            file: None,
            linger_ms: None,
            forward: None,
            drops: false,
            sync_every: None,
            end: End::Shutdown,
            timeout_ms: 60_000,
            measures: false,
            until: None,
            rotate_bytes: None,
            roll_by: None,
            fast_clock: None,
            compress: false,
            keep: None,
            keep_total_bytes: None,
            check_moved_ms: None,
            forward_or: Vec::new(),
            refuse_every: None,
            clock_jumps: false,
            cluster: None,
            adopt_after_ms: None,
            config: None,
            hold: None,
            control: None,
            forks: 0,
        }
    }
}

impl Plan {
    /// What a forked child of it does.
    pub(crate) fn child(&self, number: usize) -> Plan {
        let name = format!("{}-{number}", self.name);
        let ledger = self.ledger.with_extension(number.to_string());
        Plan { name, ledger, forks: 0, ..self.clone() }
    }

    /// The same, started again to recover: it logs nothing and shuts down.
    pub(crate) fn recovering(&self) -> Plan {
        Plan { events: 0, end: End::Shutdown, ..self.clone() }
    }
}

/// Plays the worker.
pub(crate) fn run(plan: Plan) -> Result<(), Box<dyn Error>> {
    if plan.forks > 0 {
        return prefork(&plan);
    }
    let ledger = Arc::new(Ledger::open(&plan.ledger)?);
    let run = ledger.begin_run()?;
    let mut builder = match &plan.config {
        Some(path) => described(&plan, path)?,
        None => builder(&plan),
    };
    if matches!(plan.end, End::Panic | End::PanicAbort) {
        note_panics(&plan, &ledger, run);
        builder = builder.log_panics(true);
    }
    let guard = builder.init()?;
    let calls_ns = log(&plan, &ledger, run)?;
    end(&plan, guard, &ledger, run, calls_ns)
}

/// Plays a server that forks its workers once its logger runs.
fn prefork(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let guard = builder(plan).init()?;
    let children = fork::children(plan.forks)?;
    let Some(number) = children.own_number() else {
        let all_ended = children.wait()?;
        let report = guard.shutdown(Duration::from_millis(plan.timeout_ms));
        println!("{}", json_of(&report, Duration::ZERO, &mut []));
        return if all_ended { Ok(()) } else { Err("a forked child failed".into()) };
    };
    let plan = plan.child(number);
    let ledger = Arc::new(Ledger::open(&plan.ledger)?);
    let run = ledger.begin_run()?;
    let calls_ns = log(&plan, &ledger, run)?;
    end(&plan, guard, &ledger, run, calls_ns)
}

/// What a configuration describes now, and will describe when it is read again.
fn described(plan: &Plan, path: &Path) -> Result<Builder, ConfigError> {
    let read = {
        let (plan, path) = (plan.clone(), path.to_owned());
        move || {
            let described = Config::load(&Sources::new().file(&path))?.builder()?;
            let control = plan.control.as_ref().map_or_else(Control::default, Control::at);
            Ok::<_, ConfigError>(with(described, &plan).control(control))
        }
    };
    Ok(read()?.reload_from(read))
}

fn builder(plan: &Plan) -> Builder {
    with(rollway::builder(), plan)
}

fn with(builder: Builder, plan: &Plan) -> Builder {
    let mut builder = builder.service(&*plan.name);
    if let Some(dir) = &plan.journal {
        builder = builder.journal_dir(dir);
    }
    if let Some(bytes) = plan.journal_max_bytes {
        builder = builder.journal_max_bytes(bytes);
    }
    if let Some(dir) = &plan.rings {
        builder = builder.rings_dir(dir);
    }
    if let Some(bytes) = plan.ring_bytes {
        builder = builder.ring_bytes(bytes);
    }
    if let Some(linger) = plan.linger_ms {
        builder = builder.linger(Duration::from_millis(linger));
    }
    if plan.require_l1 {
        builder = builder.require(Durability::L1);
    }
    if plan.drops {
        builder = builder.overflow(OverflowPolicy::Drop);
    }
    if plan.clock_jumps {
        builder = builder.clock(JumpingClock(Instant::now()));
    }
    if let Some((from_ns, factor)) = plan.fast_clock {
        builder = builder.clock(FastClock { from_ns, factor });
    }
    if let Some(dir) = &plan.cluster {
        let mut cluster = Cluster::new(dir);
        if let Some(after) = plan.adopt_after_ms {
            cluster = cluster.adopt_after(Duration::from_millis(after));
        }
        builder = builder.cluster(cluster);
    }
    if let Some(path) = &plan.file {
        let file = file_of(plan, path);
        builder = match plan.refuse_every {
            Some(every) => builder.appender("file", Refusing::new(file, every)),
            None => builder.appender("file", file),
        };
    }
    match plan.hold {
        Some(Hold::Buffer(every)) => {
            let buffer = Buffer::new(["file"]).trigger(move |event| is_multiple(event, every));
            builder = builder.composite(HOLD, buffer);
        }
        Some(Hold::Limit(events)) => {
            let limit = Limit::new(["file"]).period(HOUR).max_until_flushed(events);
            builder = builder.composite(HOLD, limit);
        }
        None => {}
    }
    if let Some(address) = &plan.forward {
        let mut forwarder = Forwarder::new(address);
        for other in &plan.forward_or {
            forwarder = forwarder.or(other);
        }
        builder = builder.appender("master", forwarder);
    }
    builder
}

/// Whether the number of an event is a multiple of `every`.
fn is_multiple(event: &Event<'_>, every: u64) -> bool {
    let mut message = String::new();
    event.message(&mut message);
    account::number_of(&message).is_some_and(|number| number % every == 0)
}

fn file_of(plan: &Plan, path: &Path) -> File {
    let mut file = File::new(path).layout(message_pattern());
    if let Some(bytes) = plan.rotate_bytes {
        file = file.rotate_at_bytes(bytes);
    }
    if let Some(pattern) = &plan.roll_by {
        let roll_by = RollBy::parse(pattern).and_then(|roll_by| roll_by.zone("UTC"));
        file = file.roll_by(roll_by.expect("the pattern is right"));
    }
    if plan.compress {
        file = file.compress(Compression::Gzip);
    }
    if let Some(files) = plan.keep {
        file = file.keep(files);
    }
    if let Some(bytes) = plan.keep_total_bytes {
        file = file.keep_total_bytes(bytes);
    }
    if let Some(ms) = plan.check_moved_ms {
        file = file.check_moved_every_ms(ms);
    }
    file
}

/// Waits until every rolled file is compressed.
fn pack(plan: &Plan) -> Result<(), Failure> {
    let Some(path) = plan.file.as_ref().filter(|_| plan.compress) else { return Ok(()) };
    // A slow disk takes longer than a flush may.
    until("everything is delivered", || Ok(rollway::flush().is_ok()))?;
    until("all rolled files are compressed", || {
        let files = rotation::files_by_time(path)?;
        Ok(files.iter().all(|file| file == path || file.extension().is_some_and(|end| end == "gz")))
    })?;
    Ok(())
}

/// So many times as fast as the system's, from some time on; the same for all processes.
struct FastClock {
    from_ns: i64,
    factor: i64,
}

impl UtcClock for FastClock {
    fn utc_ns(&self) -> i64 {
        self.from_ns + (SystemUtc.utc_ns() - self.from_ns) * self.factor
    }
}

/// An hour early, right and late in turns, for some milliseconds each.
struct JumpingClock(Instant);

impl UtcClock for JumpingClock {
    fn utc_ns(&self) -> i64 {
        let turn = self.0.elapsed().as_millis() as i64 / JUMP_EVERY_MS % 3 - 1;
        SystemUtc.utc_ns() + turn * 3_600_000_000_000
    }
}

/// A message a line.
pub(crate) fn message_pattern() -> Pattern {
    Pattern::parse("%m%n").expect("the pattern is right")
}

/// Logs what the earlier runs did not, and writes each call that returned into the ledger. Returns
/// what the calls took, in nanoseconds, if that is measured.
fn log(plan: &Plan, ledger: &Ledger, run: usize) -> Result<Vec<u64>, Box<dyn Error>> {
    let all_calls_ns = Mutex::new(Vec::new());
    let padding = "x".repeat(plan.padding);
    let pace = Duration::from_nanos(plan.pace_ns);
    std::thread::scope(|scope| -> io::Result<()> {
        let mut threads = Vec::new();
        for thread in 0..plan.threads {
            let (padding, all_calls_ns) = (&padding, &all_calls_ns);
            let work = move || {
                let left = plan.events.saturating_sub(ledger.of_thread(thread)?);
                let began = Instant::now();
                let mut calls_ns = Vec::new();
                for number in 0..left {
                    if plan.until.as_ref().is_some_and(|stop| stop.exists()) {
                        break;
                    }
                    let due = pace.mul_f64(number as f64);
                    let early = due.saturating_sub(began.elapsed());
                    if !early.is_zero() {
                        std::thread::sleep(early);
                    }
                    let message = account::message(&plan.name, run, thread, number, padding);
                    let called = Instant::now();
                    rollway::info!("{}", &*message);
                    if plan.measures {
                        calls_ns.push(called.elapsed().as_nanos() as u64);
                    }
                    ledger.set_returned(run, thread, number + 1)?;
                    let synced = plan.sync_every.filter(|every| (number + 1) % every == 0);
                    if thread == 0 && synced.is_some() && rollway::flush_to(Durability::L2).is_ok()
                    {
                        ledger.set_synced(run, number + 1)?;
                    }
                }
                all_calls_ns.lock().unwrap_or_else(PoisonError::into_inner).append(&mut calls_ns);
                Ok::<(), io::Error>(())
            };
            let named = std::thread::Builder::new().name(format!("worker-{thread}"));
            threads.push(named.spawn_scoped(scope, work)?);
        }
        threads.into_iter().try_for_each(|thread| {
            // What the ledger does not have cannot be told from what was lost.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(all_calls_ns.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn end(
    plan: &Plan,
    guard: Guard,
    ledger: &Arc<Ledger>,
    run: usize,
    mut calls_ns: Vec<u64>,
) -> Result<(), Box<dyn Error>> {
    let timeout = Duration::from_millis(plan.timeout_ms);
    match plan.end {
        End::Shutdown => {
            if plan.hold.is_some() {
                guard.logger().release(HOLD)?;
            }
            pack(plan).map_err(|failure| failure as Box<dyn Error>)?;
            let began = Instant::now();
            let errors: u64 = guard.stats().appenders.iter().map(|it| it.errors).sum();
            let report = guard.shutdown(timeout);
            let mut told = json_of(&report, began.elapsed(), &mut calls_ns);
            told["errors"] = errors.into();
            println!("{told}");
            return Ok(());
        }
        End::Drop => {
            drop(guard);
            println!("{}", json!({}));
            return Ok(());
        }
        End::Wait => {}
        End::Exit => std::process::exit(3),
        End::Terminate => kill_process(getpid(), Signal::TERM)?,
        End::Abort => std::process::abort(),
        End::Panic | End::PanicAbort => panic_logged(plan, ledger, run)?,
        End::Segv => die_of(Signal::SEGV)?,
        End::Fpe => die_of(Signal::FPE)?,
        End::Ill => die_of(Signal::ILL)?,
        End::StackOverflow => drop(overflow(&[0; 64])),
    }
    // The kill comes; until then everything stays as it is.
    loop {
        std::thread::park();
    }
}

/// Counts a panic as an event of thread 0, or aborts then. The logger's hook comes before this one.
fn note_panics(plan: &Plan, ledger: &Arc<Ledger>, run: usize) {
    let (ledger, aborts) = (Arc::clone(ledger), plan.end == End::PanicAbort);
    std::panic::set_hook(Box::new(move |_| {
        let number = ledger.returned(run, 0);
        if let Err(error) = number.and_then(|number| ledger.set_returned(run, 0, number + 1)) {
            eprintln!("the ledger: {error}");
        }
        if aborts {
            std::process::abort();
        }
    }));
}

/// Panics in a thread of its own, with what would be the next message of thread 0.
fn panic_logged(plan: &Plan, ledger: &Ledger, run: usize) -> Result<(), Box<dyn Error>> {
    let message = account::message(&plan.name, run, 0, ledger.returned(run, 0)?, "");
    let thread = std::thread::Builder::new().name(account::PANICKING.to_owned());
    let panicked = thread.spawn(move || panic!("{message}"))?.join();
    assert!(panicked.is_err(), "the thread did not panic");
    Ok(())
}

/// Gets a signal until it is deadly: the standard library's handler of some puts the default back
/// and expects the fault to come again.
fn die_of(signal: Signal) -> Result<(), Box<dyn Error>> {
    loop {
        kill_process(getpid(), signal)?;
    }
}

/// Recurses until the stack is full.
#[allow(unconditional_recursion, reason = "it shall not end")]
fn overflow(bytes: &[u8; 64]) -> u8 {
    let mut more = *bytes;
    more[0] = std::hint::black_box(bytes[0].wrapping_add(1));
    overflow(std::hint::black_box(&more)).wrapping_add(more[63])
}

fn json_of(report: &ShutdownReport, took: Duration, calls_ns: &mut [u64]) -> serde_json::Value {
    json!({
        "delivered": report.delivered(),
        "left": report.left(),
        "dropped": report.dropped.total(),
        "left_in_rings_bytes": report.left_in_rings_bytes,
        "heap_rings": report.heap_rings,
        "shutdown_us": took.as_micros() as u64,
        "p999_ns": quantile(calls_ns, 999),
        "max_ns": quantile(calls_ns, 1000),
    })
}
