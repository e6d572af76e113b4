//! How many events a second does each path take, from the log call to its end, and what does that
//! cost?
//!
//! Every event is counted where the path ends; one that is lost ends the program. Each case runs in
//! a process of its own, with the default configuration but for what its line says. Rings lie on
//! tmpfs wherever there is a journal directory. `ROLLWAY_BENCH_DIR` says where directories are
//! made, by default where the system has its temporary files. Journals are not synced, so that the
//! figures are those of the path and not of the disk; with `ROLLWAY_BENCH_SYNC` set they are, every
//! 500 ms as by default.

#[path = "support/child.rs"]
mod child;
#[allow(dead_code, unreachable_pub, reason = "shared with the other programs")]
mod support;

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rkyv::util::AlignedVec;
use rollway::appender::{
    self, AppendError, Appender, Batch, Forwarder, Open, OpenError, Opened, Place,
};
use rollway::block::build::{self, ChunkSource, EventsHead};
use rollway::block::define::Definitions;
use rollway::capture::encode_record;
use rollway::clock::{Anchor, Timeline};
use rollway::event::SourceInfo;
use rollway::journal::{Journal, JournalOptions, Position, Scan};
use rollway::master::{Limits, Master};
use rollway::site::{Definition, FIRST_SITE_ID, Names};
use rollway::{SyncPolicy, info};
use support::Figure;

const CASES: [&str; 18] = [
    "blocks",
    "memory",
    "directory",
    "directory-read",
    "text-1",
    "text-2",
    "text-4",
    "text-config",
    "text-3-same",
    "text-3-own",
    "tcp-journal",
    "tcp-text-1",
    "tcp-text-4",
    "cat",
    "low-rate",
    "idle",
    "resident",
    "connections",
];

/// Events of the fast paths.
const FAST: u64 = 20_000_000;
/// Events into a journal directory.
const DIRECTORY: u64 = 5_000_000;
/// Lines of the text paths.
const LINES: u64 = 4_000_000;
/// Longer than any case takes.
const DEADLINE: Duration = Duration::from_secs(120);

fn main() {
    let arguments = child::arguments();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", case] => one(case),
        ["serve", dir, kind] => serve(Path::new(dir), kind),
        ["work", address, dir, events] => {
            work(address, Path::new(dir), events.parse().expect("a number"));
        }
        _ => child::rounds("paths", &CASES, &arguments),
    }
}

fn one(case: &str) {
    let dir = match std::env::var_os("ROLLWAY_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory to work in");
    let dir = dir.path();
    match case {
        "memory" => memory(),
        "directory" => directory(dir, false),
        "directory-read" => directory(dir, true),
        "text-1" => text(dir, 1),
        "text-2" => text(dir, 2),
        "text-4" => text(dir, 4),
        "text-config" => text_config(dir, "configuration file", &["%d %-5p %c - %m%k%n"]),
        "text-3-same" => {
            text_config(dir, "three appenders, one layout", &["%d %-5p %c - %m%k%n"; 3])
        }
        "text-3-own" => text_config(
            dir,
            "three appenders, three layouts",
            &["%d %-5p %c - %m%k%n", "%d %p %c - %m%k%n", "%d [%p] %c - %m%k%n"],
        ),
        "tcp-journal" => tcp(dir, "journal", 1),
        "tcp-text-1" => tcp(dir, "text", 1),
        "tcp-text-4" => tcp(dir, "text", 4),
        "cat" => cat(dir),
        "low-rate" => low_rate(dir),
        "idle" => idle(dir),
        "resident" => resident(),
        "connections" => connections(dir),
        "blocks" => blocks(dir),
        other => panic!("there is no case `{other}`"),
    }
}

#[inline(always)]
fn mixed4(n: u64) {
    let (px, sym) = (black_box(1.25 + n as f64), black_box("ROLLWAYX"));
    info!("order {} filled qty {} px {} sym {}", black_box(n), black_box(7_i32), px, sym);
}

fn report(case: &str, metric: &str, unit: &str, value: f64, config: &str) {
    Figure { bench: "paths", subject: "rollway", case, metric, unit, value, config }.report();
}

fn report_rate(case: &str, events: u64, since: Instant, config: &str) {
    let rate = events as f64 / since.elapsed().as_secs_f64() / 1e6;
    report(case, "rate", "M/s", rate, config);
}

/// An appender that counts, which is the least that a reader can do.
struct Counting {
    counted: Arc<AtomicU64>,
    settled: Position,
}

/// [`Counting`] before it is opened.
struct CountingHere(Arc<AtomicU64>);

impl Open for CountingHere {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(Counting {
            counted: Arc::clone(&self.0),
            settled: place.begin,
        })))
    }
}

impl Appender for Counting {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.counted.fetch_add(batch.count(), Ordering::Release);
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

/// When journals are synced.
fn syncs() -> SyncPolicy {
    match std::env::var_os("ROLLWAY_BENCH_SYNC") {
        Some(_) => SyncPolicy::default(),
        None => SyncPolicy::Never,
    }
}

fn wait_for(counter: &AtomicU64, events: u64) {
    let begun = Instant::now();
    while counter.load(Ordering::Acquire) < events {
        assert!(begun.elapsed() < DEADLINE, "events are missing");
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn memory() {
    let counted = Arc::new(AtomicU64::new(0));
    let guard = rollway::builder()
        .appender("counting", CountingHere(Arc::clone(&counted)))
        .init()
        .expect("the only logger of this process");
    rollway::prepare_thread();
    let lap = |events: u64| {
        let before = counted.load(Ordering::Acquire);
        let start = Instant::now();
        (0..events).for_each(mixed4);
        wait_for(&counted, before + events);
        start
    };
    lap(FAST / 4); // until every segment of the journal has been used once
    report_rate("memory journal, counted", FAST, lap(FAST), "heap rings, recycled memory journal");
    assert_eq!(guard.stats().dropped.total(), 0);
}

fn directory(dir: &Path, is_read: bool) {
    let counted = Arc::new(AtomicU64::new(0));
    let mut builder = rollway::builder().journal_dir(dir).sync(syncs());
    if is_read {
        builder = builder.appender("counting", CountingHere(Arc::clone(&counted)));
    }
    let guard = builder.init().expect("the only logger of this process");
    rollway::prepare_thread();
    let start = Instant::now();
    (0..DIRECTORY).for_each(mixed4);
    guard.flush().expect("a journal that takes events");
    let case = if is_read { "journal directory, counted" } else { "journal directory" };
    report_rate(case, DIRECTORY, start, "tmpfs rings, journal directory");
    if is_read {
        wait_for(&counted, DIRECTORY);
    } else {
        let stats = guard.stats();
        let bytes = (stats.end.generation - 1) * JournalOptions::directory("").segment_bytes
            + stats.end.offset;
        report(case, "size", "B/event", bytes as f64 / DIRECTORY as f64, "full rate");
    }
    assert_eq!(guard.stats().dropped.total(), 0);
}

fn text(dir: &Path, producers: u64) {
    let path = dir.join("text.log");
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .sync(syncs())
        .appender("text", appender::File::new(&path))
        .init()
        .expect("the only logger of this process");
    let each = LINES / producers;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| (0..each).for_each(mixed4));
        }
    });
    guard.flush().expect("a file that takes lines");
    let case = format!("text file, {producers} producers");
    report_rate(&case, LINES, start, "%d %-5p %c - %m%k%n, ns, tmpfs rings, journal directory");
    assert_eq!(count_lines(&path), LINES);
}

/// A file for each pattern, all from a configuration file.
fn text_config(dir: &Path, what: &str, patterns: &[&str]) {
    use std::fmt::Write as _;

    let path = |n: usize| dir.join(format!("text-{n}.log"));
    let sync = if syncs() == SyncPolicy::Never { "never" } else { "default" };
    let mut config = format!("[journal]\ndir = '{}'\n", dir.join("journal").display());
    if sync == "never" {
        config.push_str("sync = \"never\"\n");
    }
    for (n, pattern) in patterns.iter().enumerate() {
        let path = path(n);
        let _ = write!(
            config,
            "[appenders.text-{n}]\ntype = \"file\"\npath = '{}'\nlayout = {{ type = \"pattern\", pattern = '{pattern}' }}\n",
            path.display()
        );
    }
    let file = dir.join("rollway.toml");
    std::fs::write(&file, config).expect("a directory to work in");
    let guard = rollway::init_from(&file).expect("the only logger of this process");
    let start = Instant::now();
    (0..LINES).for_each(mixed4);
    guard.flush().expect("files that take lines");
    report_rate(&format!("text file, {what}"), LINES, start, "1 producer, journal directory");
    for n in 0..patterns.len() {
        assert_eq!(count_lines(&path(n)), LINES);
    }
}

fn count_lines(path: &Path) -> u64 {
    let mut file = File::open(path).expect("the file that was written");
    let mut buffer = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        let len = file.read(&mut buffer).expect("a readable file");
        if len == 0 {
            return lines;
        }
        lines += buffer[..len].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// A master in a process of its own: what it prints is its address.
fn serve(dir: &Path, kind: &str) {
    let mut builder = Master::builder()
        .listen("127.0.0.1:0")
        .sync(syncs())
        .limits(Limits { connections_per_address: 1024, ..Limits::default() })
        .journal(JournalOptions::directory(dir.join("journal")));
    if kind == "text" {
        builder = builder.appender("text", appender::File::new(dir.join("text.log")));
    }
    let master = builder.start().expect("a master on loopback");
    println!("{}", master.local_addr());
    // Until whoever started us closes our input.
    let _ = std::io::stdin().read(&mut [0]);
    master.shutdown(Duration::from_secs(10));
}

struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(dir: &Path, kind: &str) -> Serving {
        let dir = dir.join("master");
        std::fs::create_dir_all(&dir).expect("a directory for the master");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["serve".as_ref(), dir.as_os_str(), kind.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let mut address = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut address).expect("the master's address");
        Serving { child, address: address.trim().into() }
    }

    fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("the master's end");
    }
}

/// A worker in a process of its own: it says when it is ready, logs when it is told to, and ends
/// when everything is acknowledged.
fn work(address: &str, dir: &Path, events: u64) {
    let guard = rollway::builder()
        .journal_dir(dir)
        .sync(syncs())
        .flush_timeout(DEADLINE)
        .appender("master", Forwarder::new(address))
        .init()
        .expect("the only logger of this process");
    info!("ready");
    guard.flush().expect("a master");
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]);
    (1..events).for_each(mixed4);
    guard.flush().expect("a master that acknowledges");
}

fn tcp(dir: &Path, kind: &str, workers: u64) {
    let master = Serving::start(dir, kind);
    let events = if kind == "text" { LINES } else { FAST / 2 };
    let each = events / workers;
    let program = std::env::current_exe().expect("this program");
    let mut children: Vec<Child> = (0..workers)
        .map(|number| {
            let mut child = Command::new(&program)
                .args(["work", &master.address])
                .arg(dir.join(format!("worker-{number}")))
                .arg(each.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("this program once more");
            let out = child.stdout.take().expect("a pipe");
            let mut ready = String::new();
            BufReader::new(out).read_line(&mut ready).expect("a worker that is ready");
            child
        })
        .collect();
    let cpu_before = master.cpu_seconds();
    let start = Instant::now();
    for child in &mut children {
        child.stdin.take().expect("a pipe").write_all(b"!").expect("a worker that listens");
    }
    for child in &mut children {
        assert!(child.wait().expect("the worker's end").success(), "a worker failed");
    }
    let acknowledged = start.elapsed().as_secs_f64();
    let path = dir.join("master/text.log");
    if kind == "text" {
        wait_for_lines(&path, events);
    }
    let case = format!("tcp to the master's {kind}, {workers} connections");
    let config = "separate processes, journal directories on both sides, acknowledged at L1";
    report_rate(&case, events, start, config);
    report(&case, "acked", "M/s", events as f64 / acknowledged / 1e6, config);
    let cpu = master.cpu_seconds() - cpu_before;
    report(&case, "cpu", "µs/ev", cpu * 1e6 / events as f64, "of the master");
    report(&case, "resident", "MiB", resident_mib(master.child.id()), "of the master, all");
    master.end();
    if kind == "text" {
        assert_eq!(count_lines(&path), events);
    }
}

/// Looks at the end of the file until it stands still with all lines: reading it all again and again
/// would take the time that is measured.
fn wait_for_lines(path: &Path, lines: u64) {
    let begun = Instant::now();
    let mut file = File::open(path).expect("the master's file");
    let (mut counted, mut buffer) = (0, vec![0; 1 << 20]);
    while counted < lines {
        assert!(begun.elapsed() < DEADLINE, "{counted} of {lines} lines");
        let len = file.read(&mut buffer).expect("a readable file");
        counted += buffer[..len].iter().filter(|byte| **byte == b'\n').count() as u64;
        if len == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn cat(dir: &Path) {
    let journal = dir.join("journal");
    let guard = rollway::builder().journal_dir(&journal).init().expect("the only logger");
    (0..LINES).for_each(mixed4);
    guard.flush().expect("a journal that takes events");
    drop(guard);
    let mut out = File::create("/dev/null").expect("a device");
    let start = Instant::now();
    let args = ["rollway".as_ref(), "cat".as_ref(), journal.as_os_str()];
    let exit = rollway::cli::run(args, &mut out, &mut std::io::stderr());
    assert_eq!(exit, rollway::cli::Exit::Ok);
    report_rate("rollway cat to /dev/null", LINES, start, "default pattern");
}

/// A thousand events a second: how late is a line, what does it take?
fn low_rate(dir: &Path) {
    const EVENTS: u64 = 8_000;
    let path = dir.join("text.log");
    let master = Serving::start(dir, "journal");
    let journal = dir.join("journal");
    let forwarder = Forwarder::new(&*master.address);
    let monitor = forwarder.monitor();
    let layout = rollway::layout::Pattern::parse("%d{EPOCH_NS}%n").expect("a pattern");
    let guard = rollway::builder()
        .journal_dir(&journal)
        .appender("text", appender::File::new(&path).layout(layout))
        .appender("master", forwarder)
        .init()
        .expect("the only logger of this process");
    rollway::prepare_thread();
    guard.flush().expect("a master");
    let end_before = guard.stats().end;
    let sent_before = monitor.stats().sent_bytes;

    // The reader looks at the file in a process's own time: its CPU is not the logger's.
    let mut late = hdrhistogram::Histogram::<u64>::new(3).expect("three digits");
    let mut file = File::open(&path).expect("the file");
    let (cpu_before, begun) = (writer_cpu_seconds(), Instant::now());
    let (mut text, mut logged, mut seen) = (String::new(), 0, 0);
    while seen < EVENTS {
        assert!(begun.elapsed() < DEADLINE, "lines are missing");
        if logged < EVENTS && begun.elapsed() >= Duration::from_millis(logged) {
            mixed4(logged);
            logged += 1;
        }
        text.clear();
        file.seek(SeekFrom::Start(seen * 20)).expect("a seekable file");
        file.read_to_string(&mut text).expect("text");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        for line in text.split_inclusive('\n').filter(|line| line.len() == 20) {
            let at: u128 = line.trim().parse().expect("nanoseconds");
            late.record(now.saturating_sub(at) as u64).expect("it grows");
            seen += 1;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    let case = "1,000 events/s";
    let cpu = (writer_cpu_seconds() - cpu_before) / begun.elapsed().as_secs_f64();
    guard.flush().expect("a master");
    let config = "text file and forwarder, journal directory, default linger";
    report(case, "p50", "ms", late.value_at_quantile(0.5) as f64 / 1e6, "visible in the file");
    report(case, "p99", "ms", late.value_at_quantile(0.99) as f64 / 1e6, "visible in the file");
    report(case, "cpu", "% core", cpu * 100.0, config);
    let bytes = guard.stats().end.offset - end_before.offset;
    report(case, "journal", "B/event", bytes as f64 / EVENTS as f64, config);
    let sent = monitor.stats().sent_bytes - sent_before;
    report(case, "wire", "B/event", sent as f64 / EVENTS as f64, config);
    master.end();
}

fn idle(dir: &Path) {
    const SPAN: Duration = Duration::from_secs(10);
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .appender("text", appender::File::new(dir.join("text.log")))
        .init()
        .expect("the only logger of this process");
    info!("one event");
    guard.flush().expect("a file that takes lines");
    let before = cpu_ns();
    std::thread::sleep(SPAN);
    let share = (cpu_ns() - before) as f64 / SPAN.as_nanos() as f64;
    report("idle process", "cpu", "% core", share * 100.0, "a journal directory and a text file");
}

fn resident() {
    let before = resident_mib(std::process::id());
    let counted = Arc::new(AtomicU64::new(0));
    let _guard = rollway::builder()
        .appender("counting", CountingHere(Arc::clone(&counted)))
        .init()
        .expect("the only logger of this process");
    (0..FAST).for_each(mixed4);
    wait_for(&counted, FAST);
    let journal_mib = JournalOptions::memory().max_bytes as f64 / f64::from(1 << 20);
    let over = resident_mib(std::process::id()) - before - journal_mib - 1.0;
    let config = "over the journal's max_bytes and one ring, after 20 M events";
    report("resident memory", "over", "MiB", over.max(0.0), config);
}

/// What the size of a block does: the way of a writer, without the threads around it.
fn blocks(dir: &Path) {
    const EVENTS: usize = 2_000_000;
    let site = Definition {
        level: rollway::Level::INFO,
        line: 1,
        column: 1,
        target: "paths",
        module: "paths",
        file: "paths.rs",
        template: "order {} filled qty {} px {} sym {}",
        names: Names::Listed(&["0", "1", "2", "3"]),
    };
    let values = (1_u64, (7_i32, (1.25_f64, ("ROLLWAYX", ()))));
    let level = site.level;
    let record = encode_record(&site, Some(FIRST_SITE_ID), level, None, 1000, 256, values);
    let record = record.expect("a short record");
    let anchor = |ticks| Anchor { ticks, utc_ns: ticks as i64 };
    let timeline = Timeline { before: anchor(0), after: anchor(2000), nanos_per_tick: 1.0 };
    for kib in [4, 16, 64, 256, 1024] {
        let dir = dir.join(kib.to_string());
        std::fs::create_dir_all(&dir).expect("a directory for the journal");
        let (journal, mut writer) =
            Journal::in_directory(JournalOptions::directory(dir), Scan::default())
                .expect("a journal");
        let definitions =
            Definitions::new(SourceInfo { source: 1, epoch: 1, ..Default::default() });
        let mut block = AlignedVec::new();
        let events = (kib << 10) / record.len();
        let records = record.repeat(events);
        let rounds = EVENTS / events;
        let start = Instant::now();
        for sequence in 1..=rounds as u64 {
            let (to, runs) = (sequence * records.len() as u64, [&records[..], &[]]);
            let from = to - records.len() as u64;
            let chunk = ChunkSource { ring: 1, thread: 1, context: 0, from, to, runs };
            let head = EventsHead { source: 1, epoch: 1, sequence, timeline };
            build::events(&mut block, &head, &[chunk]);
            writer.append_events(&mut block, &definitions).expect("room on the disk");
        }
        let case = format!("blocks of {kib} KiB");
        let config = "built, sealed and written to a journal directory, one thread";
        report_rate(&case, (rounds * events) as u64, start, config);
        drop((journal, writer));
    }
}

/// What idle connections take of the master.
fn connections(dir: &Path) {
    const CONNECTIONS: usize = 500;
    let master = Serving::start(dir, "journal");
    let before = resident_mib(master.child.id());
    report("idle master", "resident", "MiB", before, "journal directory, no connection");
    let held: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let forwarder = Forwarder::new(&*master.address);
            let logger = rollway::builder()
                .service(format!("worker-{number}"))
                .ring_bytes(64 << 10)
                .journal_max_bytes(2 << 20)
                .appender("master", forwarder)
                .start()
                .expect("a logger among many");
            info!(logger: logger.logger(), "one event");
            logger
        })
        .collect();
    for logger in &held {
        logger.flush().expect("a master that acknowledges");
    }
    std::thread::sleep(Duration::from_secs(2));
    let each = (resident_mib(master.child.id()) - before) * 1024.0 / CONNECTIONS as f64;
    report("idle connection", "resident", "KiB", each, "500 workers that sent one event each");
    drop(held);
    master.end();
}

/// Of this process: all its threads.
fn cpu_ns() -> u64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as u64 * 1_000_000_000 + usage.tv_nsec as u64
}

/// Of the logger's own threads: all threads of this process but the calling one.
fn writer_cpu_seconds() -> f64 {
    let own = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    cpu_ns() as f64 / 1e9 - own.tv_sec as f64 - own.tv_nsec as f64 / 1e9
}

/// Of another process, in steps of the system's clock tick, 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let fields = stat.rsplit(')').next().expect("fields behind the name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|field| field.parse::<f64>().expect("clock ticks")).sum::<f64>() / 100.0
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
        let number = line.split_whitespace().nth(1).unwrap_or("0");
        number.parse::<f64>().expect("KiB")
    };
    // Files of the program and of the journal are the page cache's; shared memory is ours.
    (kib("RssAnon:") + kib("RssShmem:")) / 1024.0
}
