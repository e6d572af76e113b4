//! A master and its workers: what is logged in one process arrives in the other, once.
#![cfg(feature = "master")]
#![allow(unsafe_code, reason = "a file descriptor of the journal is put out of order")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;
use rollway::appender::{
    AppendError, Appender, Batch, File, Forwarder, ForwarderMonitor, ForwarderState, Open,
    OpenError, Opened, Place,
};
use rollway::block::define::Definitions;
use rollway::block::header;
use rollway::event::{ContextInfo, Event, SourceInfo};
use rollway::journal::{
    Finding, JournalOptions, Position, Reads, ScannedBlocks, Survey, segment_paths,
};
use rollway::layout::Pattern;
use rollway::master::{AckLevel, Limits, Master, MasterBuilder, MasterError, Reason};
use rollway::net::handshake::{decode_ack, encode_ack};
use rollway::net::{Farewell, FrameKind, FrameReader, Hello, Versions, Welcome, frame};
use rollway::{Durability, Guard, info};

#[cfg(feature = "cli")]
use support::command::ran;
use support::wire::{Proxy, Raw, block, block_of, blocks, receive};

/// Long enough for anything that happens at all.
const AMPLE: Duration = Duration::from_secs(60);

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn message_file(path: &Path) -> File {
    File::new(path).layout(Pattern::parse("%m%n").unwrap())
}

fn master(dir: &Path) -> MasterBuilder {
    Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(dir.join("master")))
        .appender("file", message_file(&dir.join("all.log")))
}

fn worker(master: SocketAddr) -> (Guard, ForwarderMonitor) {
    let forwarder = Forwarder::new(master.to_string());
    let monitor = forwarder.monitor();
    let guard =
        rollway::builder().flush_timeout(AMPLE).appender("master", forwarder).start().unwrap();
    (guard, monitor)
}

/// A worker with a journal in `dir`.
fn worker_in(dir: &Path, master: SocketAddr) -> (Guard, ForwarderMonitor) {
    let forwarder = Forwarder::new(master.to_string());
    let monitor = forwarder.monitor();
    let builder = rollway::builder()
        .flush_timeout(AMPLE)
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"));
    (builder.appender("master", forwarder).start().unwrap(), monitor)
}

fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < AMPLE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("event {n}")).collect()
}

fn refused(master: &Master, reason: Reason) -> u64 {
    let refused = master.stats().refused;
    refused.iter().find(|(found, _)| *found == reason).map_or(0, |(_, count)| *count)
}

#[test]
fn every_event_arrives_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (guard, monitor) = worker(master.local_addr());
    for n in 0..20_000 {
        info!(logger: guard.logger(), "event {n}");
    }
    let report = guard.shutdown(AMPLE);
    assert_eq!((report.delivered(), report.left()), (20_000, 0));
    assert_eq!(monitor.stats().state, ForwarderState::Ended);
    assert_eq!(monitor.stats().level, Some(AckLevel::Committed));
    let report = master.shutdown(AMPLE);
    assert_eq!((report.delivered(), report.left(), report.stats.events), (20_000, 0, 20_000));
    assert_eq!(lines(&dir.path().join("all.log")), numbered(20_000));
}

#[test]
fn every_event_arrives_once_however_often_the_connection_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let proxy = Proxy::to(master.local_addr());
    let (guard, monitor) = worker(proxy.address);
    for n in 0..30_000 {
        info!(logger: guard.logger(), "event {n}");
        if n % 3000 == 2999 {
            let before = monitor.stats().connections;
            proxy.cut();
            if n % 6000 == 5999 {
                wait_until("another connection", || monitor.stats().connections > before);
            }
        }
    }
    guard.flush().unwrap();
    assert!(monitor.stats().connections > 3, "{:?}", monitor.stats());
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(30_000));
}

#[test]
fn swallowed_acknowledgements_cause_no_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let proxy = Proxy::to(master.local_addr());
    let (guard, monitor) = worker(proxy.address);
    proxy.swallow_acks(true);
    for n in 0..1000 {
        info!(logger: guard.logger(), "event {n}");
    }
    wait_until("the arrival", || master.stats().events == 1000);
    assert_eq!(monitor.stats().delivered, 0);
    proxy.swallow_acks(false);
    proxy.cut();
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(1000));
}

#[test]
fn a_connection_that_falls_silent_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let proxy = Proxy::to(master.local_addr());
    let (guard, monitor) = worker(proxy.address);
    info!(logger: guard.logger(), "event 0");
    guard.flush().unwrap();
    proxy.freeze();
    info!(logger: guard.logger(), "event 1");
    guard.flush().unwrap();
    assert_eq!(monitor.stats().connections, 2);
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    master.shutdown(AMPLE);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(2));
}

/// Takes nothing while its gate is closed.
#[derive(Clone)]
struct Gated {
    open: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<String>>>,
    settled: Position,
}

impl Open for Gated {
    fn open(&self, _: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(self.clone())))
    }
}

impl Appender for Gated {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        if !self.open.load(Ordering::Relaxed) {
            let source = std::io::Error::other("the gate is closed");
            return Err(AppendError::Unavailable { source });
        }
        let mut taken = self.taken.lock().unwrap();
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            taken.push(message);
        });
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

#[test]
fn a_full_journal_slows_the_worker_down_and_loses_nothing() {
    let (open, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
    let (gate, kept) = (Arc::clone(&open), Arc::clone(&taken));
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::memory().max_bytes(16 << 20))
        .appender("gated", Gated { open: gate, taken: kept, settled: Position::default() })
        .start()
        .unwrap();
    let (guard, monitor) = worker(master.local_addr());
    let filler = "x".repeat(10_000);
    for n in 0..3000 {
        info!(logger: guard.logger(), "{n} {filler}");
    }
    wait_until("back-pressure", || master.stats().journal_full > 0);
    assert!(monitor.stats().delivered < 3000);
    assert_eq!(master.stats().held_by.as_deref(), Some("gated"));
    // Who comes meanwhile is welcomed.
    Raw::welcomed(&master, 7, 1, 0);
    open.store(true, Ordering::Relaxed);
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    let report = master.shutdown(AMPLE);
    assert_eq!((report.delivered(), report.stats.held_by), (3000, None));
    let taken = taken.lock().unwrap();
    let numbers: Vec<_> = taken.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| at.to_string() == **number));
    assert_eq!(numbers.len(), 3000);
}

#[test]
fn a_block_that_waited_for_room_is_acknowledged_without_another_one_behind_it() {
    let open = Arc::new(AtomicBool::new(false));
    let gated =
        Gated { open: Arc::clone(&open), taken: Arc::default(), settled: Position::default() };
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::memory().max_bytes(16 << 20))
        .appender("gated", gated)
        .start()
        .unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 1, 5, 0);
    // Four of them fill a segment of 8 MiB but for a rest.
    let padding = rollway::record::prefix(1_800_000, 0, rollway::record::SKIP);
    let mut records = padding.to_vec();
    records.resize(1_800_000, 0);
    let mut last = 0;
    while master.stats().journal_full == 0 {
        last += 1;
        raw.send(&blocks(&[block_of(1, 5, last, &records)]));
        wait_until("the block's fate", || {
            master.stats().blocks == last || master.stats().journal_full > 0
        });
    }
    assert_eq!(master.stats().blocks, last - 1);
    open.store(true, Ordering::Relaxed);
    while raw.ack().1 != [(5, last)] {}
}

#[test]
fn a_worker_with_nothing_to_ship_ends_without_a_master() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (guard, monitor) = worker(nobody);
    wait_until("a failure", || monitor.stats().errors > 0);
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(guard.shutdown(Duration::from_secs(3600))));
    assert_eq!(wait.recv_timeout(AMPLE).map(|report| report.left()), Ok(0));
}

#[test]
fn a_master_goes_on_at_its_mark_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = master(dir.path()).start().unwrap();
    let proxy = Proxy::to(first.local_addr());
    let (guard, _) = worker(proxy.address);
    for n in 0..1000 {
        info!(logger: guard.logger(), "event {n}");
    }
    guard.flush().unwrap();
    assert_eq!(first.shutdown(AMPLE).delivered(), 1000);
    for n in 1000..2000 {
        info!(logger: guard.logger(), "event {n}");
    }
    let second = master(dir.path()).start().unwrap();
    proxy.lead_to(second.local_addr());
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    let report = second.shutdown(AMPLE);
    assert_eq!((report.delivered(), report.left(), report.stats.missing_blocks), (1000, 0, 0));
    assert_eq!(lines(&dir.path().join("all.log")), numbered(2000));
}

/// Damages the blocks with these sequences in a journal, and has the machine booted since.
fn lose(journal: &Path, sequences: &[u64]) {
    for (_, path) in segment_paths(journal).unwrap() {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let mut blocks = ScannedBlocks::open(&path).unwrap();
        while let Some(block) = blocks.next() {
            let block = block.unwrap();
            if sequences.contains(&block.header.sequence) {
                file.write_all_at(b"?", block.position.offset + 70).unwrap();
            }
        }
    }
    std::fs::write(journal.join("boot"), "boot_id = 1\n").unwrap();
}

/// A worker whose fifty events, each in a block of its own, a master has stored before it ended.
fn fifty_blocks(dir: &Path, master: Master) -> Guard {
    let (guard, _) = worker_in(dir, master.local_addr());
    for n in 0..50 {
        info!(logger: guard.logger(), "event {n}");
        guard.flush().unwrap();
    }
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    guard
}

#[test]
fn what_a_power_failure_took_from_a_master_comes_again_from_the_journal_of_its_worker() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("master");
    let without_appender = |listen: String| {
        Master::builder().listen(listen).journal(JournalOptions::directory(&journal)).start()
    };
    let first = without_appender("127.0.0.1:0".to_owned()).unwrap();
    let address = first.local_addr();
    let guard = fifty_blocks(dir.path(), first);
    lose(&journal, &[7, 8, 30]);

    let second = without_appender(address.to_string()).unwrap();
    info!(logger: guard.logger(), "event 50");
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    let stats = second.shutdown(AMPLE).stats;
    assert_eq!((stats.events, stats.duplicates, stats.missing_blocks), (4, 41, 0));

    // All of it is there for whoever reads the journal, once.
    let mut found = Messages::default();
    let mut survey = Survey::new();
    for (_, path) in segment_paths(&journal).unwrap() {
        survey.segment(&path, &mut found).unwrap();
    }
    survey.end(&mut [], &mut found);
    let Messages { mut messages, damage, gaps, others } = found;
    assert_eq!((damage, gaps, others), (2, 0, vec![]), "what came again is not missing");
    assert_eq!(messages[47..], ["event 6", "event 7", "event 29", "event 50"]);
    let number = |text: &String| text["event ".len()..].parse::<usize>().unwrap();
    messages.sort_by_key(number);
    assert_eq!(messages, numbered(51));
    #[cfg(feature = "cli")]
    {
        let shown = ran(["cat", "--pattern", "%m%n", journal.to_str().unwrap()]);
        let mut shown: Vec<_> = shown.out.lines().map(str::to_owned).collect();
        shown.sort_by_key(number);
        assert_eq!(shown, numbered(51));
    }
}

#[test]
fn what_the_appenders_of_a_master_have_does_not_come_again_though_its_journal_lost_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = master(dir.path()).ack_level(AckLevel::Synced).start().unwrap();
    let address = first.local_addr();
    let guard = fifty_blocks(dir.path(), first);
    lose(&dir.path().join("master"), &[7, 8, 30]);

    let second = master(dir.path()).listen(address.to_string()).start().unwrap();
    info!(logger: guard.logger(), "event 50");
    assert_eq!((guard.shutdown(AMPLE).left(), second.shutdown(AMPLE).stats.events), (0, 1));
    assert_eq!(lines(&dir.path().join("all.log")), numbered(51));
}

/// What a survey finds.
#[derive(Default)]
struct Messages {
    messages: Vec<String>,
    damage: usize,
    gaps: usize,
    others: Vec<String>,
}

impl Reads for Messages {
    fn event(&mut self, event: &Event<'_>) {
        let mut text = String::new();
        event.message(&mut text);
        self.messages.push(text);
    }

    fn finding(&mut self, finding: Finding) {
        match finding {
            Finding::Damage(_) => self.damage += 1,
            Finding::Gap { .. } => self.gaps += 1,
            other => self.others.push(other.to_string()),
        }
    }
}

/// Not a test of its own: the master that [`a_master_may_be_killed_at_any_time`] kills.
#[test]
fn the_victim() {
    let Some(dir) = std::env::var_os("ROLLWAY_VICTIM_DIR") else { return };
    let dir = Path::new(&dir);
    let master = master(dir).start().unwrap();
    std::fs::write(dir.join("address.new"), master.local_addr().to_string()).unwrap();
    std::fs::rename(dir.join("address.new"), dir.join("address")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_master_may_be_killed_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let address = dir.path().join("address");
    let start = || {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_victim"])
            .env("ROLLWAY_VICTIM_DIR", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until("a master", || address.exists());
        let found = std::fs::read_to_string(&address).unwrap().parse::<SocketAddr>().unwrap();
        std::fs::remove_file(&address).unwrap();
        (child, found)
    };
    let (mut child, found) = start();
    let proxy = Proxy::to(found);
    let (guard, monitor) = worker(proxy.address);
    for n in 0..30_000 {
        info!(logger: guard.logger(), "event {n}");
        if n % 5000 == 2500 {
            let before = monitor.stats().delivered;
            wait_until("progress", || monitor.stats().delivered > before);
            child.kill().unwrap();
            child.wait().unwrap();
            let (next, found) = start();
            child = next;
            proxy.lead_to(found);
        }
    }
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    // The last one ends in order, and its file is complete.
    assert_eq!(master(dir.path()).start().unwrap().shutdown(AMPLE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(30_000));
}

/// Not a test of its own: the worker that [`a_worker_may_be_killed_at_any_time`] kills. It logs for
/// ever, and says in `ledger` how many of its log calls have returned.
#[test]
fn the_other_victim() {
    let Some(dir) = std::env::var_os("ROLLWAY_WORKER_DIR") else { return };
    let dir = Path::new(&dir);
    let variable = |name| std::env::var(name).unwrap();
    let (run, master) = (variable("ROLLWAY_WORKER_RUN"), variable("ROLLWAY_WORKER_MASTER"));
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("master", Forwarder::new(master))
        .start()
        .unwrap();
    let ledger = std::fs::File::create(dir.join("ledger")).unwrap();
    for n in 0_u64.. {
        info!(logger: guard.logger(), "run {} event {}", run.as_str(), n);
        std::os::unix::fs::FileExt::write_all_at(&ledger, &(n + 1).to_le_bytes(), 0).unwrap();
        if n % 1000 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_worker_may_be_killed_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let mut logged = Vec::new();
    let ledger = dir.path().join("ledger");
    for run in 0..4 {
        let before = master.stats().events;
        // What the run before has left counts as progress, too: this one must have begun.
        let _ = std::fs::remove_file(&ledger);
        let has_begun = || std::fs::metadata(&ledger).is_ok_and(|found| found.len() == 8);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_victim"])
            .env("ROLLWAY_WORKER_DIR", dir.path())
            .env("ROLLWAY_WORKER_RUN", run.to_string())
            .env("ROLLWAY_WORKER_MASTER", master.local_addr().to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until("progress", || master.stats().events > before + 5000 && has_begun());
        child.kill().unwrap();
        child.wait().unwrap();
        logged.push(u64::from_le_bytes(std::fs::read(&ledger).unwrap().try_into().unwrap()));
    }
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("master", Forwarder::new(master.local_addr().to_string()))
        .start()
        .unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    let found = lines(&dir.path().join("all.log"));
    let mut rest = &found[..];
    for (run, logged) in logged.iter().enumerate() {
        let prefix = format!("run {run} ");
        let count = rest.iter().take_while(|line| line.starts_with(&prefix)).count();
        let expected = (0..count).map(|n| format!("run {run} event {n}"));
        assert!(rest[..count].iter().cloned().eq(expected), "run {run}: each once, in order");
        // One call may have returned without the ledger knowing.
        let returned = *logged as usize;
        assert!((returned..=returned + 1).contains(&count), "run {run}: {count} of {returned}");
        rest = &rest[count..];
    }
    assert!(rest.is_empty(), "{} lines more", rest.len());
}

#[test]
fn a_worker_without_a_master_ends_in_time_and_its_next_run_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = |master: SocketAddr, timeout| {
        let guard = rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .appender("master", Forwarder::new(master.to_string()))
            .start()
            .unwrap();
        let report = guard.shutdown(timeout);
        (report.delivered(), report.left())
    };
    let forwarder = Forwarder::new(nobody.to_string());
    let monitor = forwarder.monitor();
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .rings_dir(dir.path().join("rings"))
        .appender("master", forwarder)
        .start()
        .unwrap();
    for n in 0..500 {
        info!(logger: guard.logger(), "event {n}");
    }
    let failing = |state| matches!(state, ForwarderState::Failing { .. });
    wait_until("a failure", || failing(monitor.stats().state));
    let report = guard.shutdown(Duration::from_millis(200));
    assert_eq!((report.delivered(), report.left()), (0, 500));
    assert!(monitor.stats().left_blocks > 0);
    // Still nobody there: nothing is lost by trying.
    assert_eq!(run(nobody, Duration::from_millis(200)), (0, 500));
    let master = master(dir.path()).start().unwrap();
    assert_eq!(run(master.local_addr(), AMPLE), (500, 0));
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(500));
}

#[test]
fn what_is_logged_while_a_connection_comes_about_arrives_whatever_its_amount() {
    let master = Master::builder().listen("127.0.0.1:0").start().unwrap();
    let proxy = Proxy::to(master.local_addr());
    proxy.hold_welcomes(true);
    let (guard, _) = worker(proxy.address);
    wait_until("a connection", || proxy.is_used());
    let filler = "x".repeat(10_000);
    for n in 0..2000 {
        info!(logger: guard.logger(), "{n} {filler}");
    }
    // The segment in which the first events stand is full and another one begun.
    wait_until("a rotation", || guard.stats().end.generation > 1);
    proxy.hold_welcomes(false);
    guard.flush().unwrap();
    let stats = master.stats();
    assert_eq!((stats.events, stats.missing_blocks), (2000, 0));
}

/// Logs into the journal of `dir` for a master that is not there; says how many events are left.
fn log_for_nobody(dir: &Path, events: usize) -> u64 {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let guard = worker_in(dir, nobody).0;
    for n in 0..events {
        info!(logger: guard.logger(), "event {n}");
    }
    guard.shutdown(Duration::from_millis(200)).left()
}

#[test]
fn what_a_master_does_not_have_is_kept_after_a_reboot_and_without_a_cursor() {
    let reboot = |cursor: &Path| {
        let mut bytes = std::fs::read(cursor).unwrap();
        bytes[64..80].iter_mut().for_each(|byte| *byte ^= 0x55);
        let checksum = crc32c::crc32c(&bytes[8..128]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(cursor, bytes).unwrap();
    };
    let forget = |cursor: &Path| std::fs::remove_file(cursor).unwrap();
    for happens in [&reboot as &dyn Fn(&Path), &forget] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(log_for_nobody(dir.path(), 500), 500);
        happens(&dir.path().join("journal/cursors/master.cursor"));
        assert_eq!(log_for_nobody(dir.path(), 0), 500);
    }
}

/// Puts a descriptor that cannot be read in the place of another one of this process, and at the end
/// the old one again.
struct Swapped {
    descriptor: std::mem::ManuallyDrop<OwnedFd>,
    before: OwnedFd,
}

impl Swapped {
    /// Makes reading the newest segment in `dir` fail. It is written on.
    fn unreadable(dir: &Path) -> Swapped {
        let mut found: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let number: RawFd = entry.file_name().to_str()?.parse().ok()?;
                let path = std::fs::read_link(entry.path()).ok()?;
                let name = path.file_name()?.to_str()?;
                let is_wanted = path.starts_with(dir) && name.starts_with("segment");
                // The journal has another one to write with.
                let is_wanted = is_wanted && !is_writable(number)?;
                is_wanted.then_some((path, number))
            })
            .collect();
        found.sort();
        let (path, number) = found.pop().expect("a segment is open");
        // SAFETY: the journal owns it as long as the worker lives, which is longer than `Swapped`;
        // `ManuallyDrop` keeps it from being closed here.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        let mut descriptor = std::mem::ManuallyDrop::new(descriptor);
        let before = descriptor.try_clone().unwrap();
        let write_only = std::fs::File::options().write(true).open(path).unwrap();
        rustix::io::dup2(write_only, &mut descriptor).unwrap();
        Swapped { descriptor, before }
    }
}

/// Whether a descriptor of this process was opened for writing.
fn is_writable(descriptor: RawFd) -> Option<bool> {
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let access = u32::from_str_radix(flags.trim(), 8).ok()? & 0o3;
    Some(access != 0)
}

impl Drop for Swapped {
    fn drop(&mut self) {
        rustix::io::dup2(&self.before, &mut self.descriptor).unwrap();
    }
}

#[test]
fn a_journal_that_cannot_be_read_for_a_while_is_shipped_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (guard, monitor) = worker_in(dir.path(), master.local_addr());
    for n in 0..100 {
        info!(logger: guard.logger(), "event {n}");
    }
    guard.flush().unwrap();
    let unreadable = Swapped::unreadable(&dir.path().join("journal"));
    for n in 100..200 {
        info!(logger: guard.logger(), "event {n}");
    }
    let is_failing = |state| matches!(state, ForwarderState::Failing { .. });
    wait_until("a failure", || is_failing(monitor.stats().state));
    drop(unreadable);
    guard.flush().unwrap();
    assert_eq!(monitor.stats().damaged, 0, "nothing was passed over");
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(200));
}

#[test]
fn a_forwarder_ends_in_time_when_the_journal_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (guard, monitor) = worker_in(dir.path(), nobody);
    info!(logger: guard.logger(), "event 0");
    wait_until("a failure", || monitor.stats().errors > 0);
    let unreadable = Swapped::unreadable(&dir.path().join("journal"));
    let shutdown = std::thread::spawn(move || guard.shutdown(Duration::from_millis(300)));
    wait_until("its end", || monitor.stats().state == ForwarderState::Ended);
    assert_eq!(monitor.stats().left_blocks, 1, "what cannot be read is left");
    drop(unreadable);
    shutdown.join().unwrap();
}

#[test]
fn the_smallest_window_delays_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).window_bytes(1).start().unwrap();
    let (guard, _) = worker(master.local_addr());
    for n in 0..5000 {
        info!(logger: guard.logger(), "event {n}");
    }
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    assert_eq!(master.shutdown(AMPLE).delivered(), 5000);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(5000));
}

#[test]
fn workers_share_a_master_and_keep_their_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let workers: Vec<_> = (0..3).map(|_| worker(master.local_addr()).0).collect();
    for n in 0..2000 {
        for (w, guard) in workers.iter().enumerate() {
            info!(logger: guard.logger(), "worker {w} event {n}");
        }
    }
    for guard in workers {
        assert_eq!(guard.shutdown(AMPLE).left(), 0);
    }
    assert_eq!(master.shutdown(AMPLE).delivered(), 6000);
    let found = lines(&dir.path().join("all.log"));
    assert_eq!(found.len(), 6000);
    for w in 0..3 {
        let own: Vec<_> =
            found.iter().filter_map(|line| line.strip_prefix(&format!("worker {w} "))).collect();
        assert_eq!(own, numbered(2000), "worker {w}");
    }
}

#[test]
fn what_comes_twice_is_stored_once_and_acknowledged_twice() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, welcome) = Raw::welcomed(&master, 7, 3, 0);
    assert_eq!(welcome.marks, []);
    raw.send(&blocks(&[block(7, 3, 1), block(7, 3, 2)]));
    assert_eq!(raw.ack(), (AckLevel::Committed, vec![(3, 2)]));
    raw.send(&blocks(&[block(7, 3, 1), block(7, 3, 2)]));
    assert_eq!(raw.ack(), (AckLevel::Committed, vec![(3, 2)]));
    let stats = master.stats();
    assert_eq!((stats.blocks, stats.duplicates, stats.missing_blocks), (2, 2, 0));
    drop(raw);
    let (_, welcome) = Raw::welcomed(&master, 7, 4, 0);
    assert_eq!(welcome.marks, [(3, 2)]);
}

#[test]
fn contexts_that_are_over_do_not_fill_the_journal_of_the_master() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.log");
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .appender("file", File::new(&path).layout(Pattern::parse("%m %X{who}%n").unwrap()))
        .start()
        .unwrap();
    let (guard, _) = worker(master.local_addr());
    let whole = rollway::mdc("who", "the whole time");
    info!(logger: guard.logger(), "first");
    guard.flush().unwrap();
    let logger = guard.logger().clone();
    let requests = std::thread::spawn(move || {
        for n in 0..12_000 {
            let _request = rollway::mdc("who", format_args!("{n}{}", " ".repeat(1000)));
            info!(logger: &logger, "{n}");
        }
    });
    requests.join().unwrap();
    info!(logger: guard.logger(), "last");
    drop(whole);
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    // 25 MB: each context in a record and said once, in segments of 8 MiB.
    let segments = master.journal().end().generation;
    assert!(segments <= 5, "{segments} segments");
    assert_eq!(master.shutdown(AMPLE).left(), 0);
    let found: Vec<_> = lines(&path).iter().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(found[0], "first the whole time");
    assert!((0..12_000).map(|n| format!("{n} {n}")).eq(found[1..=12_000].iter().cloned()));
    assert_eq!(found[12_001..], ["last the whole time"]);
}

#[test]
fn definitions_that_come_again_count_once() {
    let master = Master::builder().listen("127.0.0.1:0").start().unwrap();
    let info = SourceInfo { source: 7, epoch: 1, ..SourceInfo::default() };
    let mut definitions = Definitions::new(info);
    for id in 1..=2600 {
        let value = "x".repeat(16 << 10).into_boxed_str();
        let pairs = [("key".into(), value)].into();
        definitions.set_context(id, ContextInfo { pairs, ..ContextInfo::default() });
    }
    // Two thirds of what a connection may have defined.
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    for sequence in 1..=3 {
        let stated = definitions.write_since(0, &mut AlignedVec::new(), |block| {
            header::seal(block);
            raw.stream.write_all(&blocks(&[block.to_vec()]))
        });
        stated.unwrap();
        raw.send(&blocks(&[block(7, 1, sequence)]));
        assert_eq!(raw.ack().1, [(1, sequence)]);
    }
}

#[test]
fn a_gap_is_stored_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 3, 0);
    raw.send(&blocks(&[block(7, 3, 5)]));
    assert_eq!(raw.ack().1, [(3, 5)]);
    assert_eq!((master.stats().blocks, master.stats().missing_blocks), (1, 4));
}

#[test]
fn an_owner_may_ship_older_runs() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 9, 0);
    raw.send(&blocks(&[block(7, 4, 1), block(7, 9, 1)]));
    assert_eq!(raw.ack().1, [(4, 1), (9, 1)]);
}

#[test]
fn a_master_forgets_the_oldest_runs_of_workers_that_are_gone() {
    const RUNS: u64 = 65_536;
    let master = Master::builder().listen("127.0.0.1:0").start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, RUNS + 1, 0);
    for from in (1..=RUNS).step_by(1024) {
        raw.send(&blocks(&(from..from + 1024).map(|epoch| block(7, epoch, 1)).collect::<Vec<_>>()));
    }
    wait_until("the arrival", || master.stats().blocks == RUNS);
    let (_, farewell) = Raw::hello(&master, 8, 1, 0).farewell();
    assert_eq!(farewell.reason, Reason::Limits, "all runs belong to a connected worker");
    drop(raw);
    wait_until("an end", || master.stats().connections == 0);
    Raw::welcomed(&master, 8, 1, 0);
    assert_eq!(master.stats().forgotten_runs, RUNS / 8);
    let (_, welcome) = Raw::welcomed(&master, 7, RUNS + 1, 0);
    assert_eq!((welcome.marks.len(), welcome.marks.last()), (4096, Some(&(RUNS, 1))));
}

#[test]
fn an_acknowledgement_says_what_it_means() {
    let dir = tempfile::tempdir().unwrap();
    let synced = master(dir.path()).ack_level(AckLevel::Synced).start().unwrap();
    let (mut raw, welcome) = Raw::welcomed(&synced, 7, 1, 0);
    assert_eq!(welcome.level, AckLevel::Synced);
    raw.send(&blocks(&[block(7, 1, 1)]));
    assert_eq!(raw.ack(), (AckLevel::Synced, vec![(1, 1)]));

    let in_memory = Master::builder().listen("127.0.0.1:0").start().unwrap();
    assert_eq!(Raw::welcomed(&in_memory, 7, 1, 0).1.level, AckLevel::Memory);
    let error = Master::builder().listen("127.0.0.1:0").ack_level(AckLevel::Synced).start();
    assert!(matches!(error, Err(MasterError::Level { level: AckLevel::Synced })));
}

#[test]
fn a_flush_to_the_disk_waits_for_a_master_if_the_master_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).ack_level(AckLevel::Synced).start().unwrap();
    let (guard, _) = worker(master.local_addr());
    info!(logger: guard.logger(), "event 0");
    guard.flush_to(Durability::L2).unwrap();
    assert_eq!(master.stats().events, 1);

    let committing = Master::builder().listen("127.0.0.1:0").start().unwrap();
    let (guard, _) = worker(committing.local_addr());
    info!(logger: guard.logger(), "event 0");
    guard.flush_to(Durability::L2).unwrap();
    assert_eq!(committing.stats().events, 1, "it has settled all the same");
}

#[test]
fn what_a_master_acknowledges_at_level_1_is_synced_soon_after() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    raw.send(&blocks(&[block(7, 1, 1)]));
    assert_eq!(raw.ack().1, [(1, 1)]);
    let end = master.journal().end();
    wait_until("the block is synced", || master.journal().synced() >= end);
    assert_eq!((master.stats().sync_errors, master.journal().unproved()), (0, vec![]));
}

#[test]
fn a_segment_that_is_cut_under_a_master_is_counted_and_left_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    let mut sequence = 0;
    let mut send = || {
        sequence += 1;
        raw.send(&blocks(&[block(7, 1, sequence)]));
        assert_eq!(raw.ack().1, [(1, sequence)]);
    };
    send();
    let dir = master.journal().dir().unwrap().to_owned();
    let (_, path) = rollway::journal::segment_paths(&dir).unwrap().pop().unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    let sent = std::cell::RefCell::new(send);
    wait_until("another segment is begun", || {
        sent.borrow_mut()();
        master.stats().losses.segments == 1
    });
    assert!(master.stats().losses.blocks >= 1);
}

#[test]
fn what_a_welcome_names_is_synced_once_the_master_has_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for level in [AckLevel::Committed, AckLevel::Synced] {
        let forwarder = Forwarder::new(listener.local_addr().unwrap().to_string());
        let limit = Duration::from_millis(200);
        let guard = rollway::builder().flush_timeout(limit).appender("master", forwarder).start();
        let guard = guard.unwrap();
        info!(logger: guard.logger(), "event 0");
        let (mut stream, _) = listener.accept().unwrap();
        let hello = receive(&mut FrameReader::new(), &stream).expect("a hello");
        let marks = vec![(Hello::decode(&hello.body).unwrap().1.epoch, 1000)];
        let welcome = Welcome {
            version: Versions::spoken().max,
            level: AckLevel::Synced,
            window_bytes: 1 << 20,
            marks: marks.clone(),
        };
        stream.write_all(&frame::encode(FrameKind::Welcome, &welcome.encode())).unwrap();
        wait_until("it settles what the master has", || guard.flush().is_ok());
        assert!(guard.flush_to(Durability::L2).is_err(), "nobody has promised that yet");
        let ack = encode_ack(level, &marks);
        stream.write_all(&frame::encode(FrameKind::Ack, &ack)).unwrap();
        match level {
            AckLevel::Synced => wait_until("L2", || guard.flush_to(Durability::L2).is_ok()),
            _ => assert!(guard.flush_to(Durability::L2).is_err(), "it cannot be promised"),
        }
    }
}

#[test]
fn the_newest_handshake_owns_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut first, _) = Raw::welcomed(&master, 7, 3, 1);
    first.send(&blocks(&[block(7, 3, 1)]));
    let (mut second, welcome) = Raw::welcomed(&master, 7, 3, 2);
    assert_eq!(welcome.marks, [(3, 1)], "what was read before is stored");
    let (kind, farewell) = first.farewell();
    assert_eq!((kind, farewell.reason), (FrameKind::Bye, Reason::Superseded));
    let (kind, farewell) = Raw::hello(&master, 7, 3, 1).farewell();
    assert_eq!((kind, farewell.reason), (FrameKind::Refuse, Reason::Fenced));
    assert!(farewell.words.contains("term 1"), "{farewell}");
    let (_, farewell) = Raw::hello(&master, 7, 2, 9).farewell();
    assert_eq!(farewell.reason, Reason::Fenced);
    second.send(&blocks(&[block(7, 3, 2)]));
    assert_eq!(second.ack().1, [(3, 2)]);
    assert_eq!(refused(&master, Reason::Fenced), 2);
}

#[test]
fn a_bad_block_ends_its_connection_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut good, _) = Raw::welcomed(&master, 1, 1, 0);
    let flipped = {
        let mut block = block(7, 3, 2);
        *block.last_mut().unwrap() ^= 1;
        block
    };
    let senseless = {
        let mut block = block(7, 3, 2);
        block[header::HEADER_BYTES..].fill(0xff);
        block[6] = 0;
        header::seal(&mut block);
        block
    };
    let unsealed = {
        let mut block = block(7, 3, 2);
        block[6] = 0;
        block
    };
    let cut = block(7, 3, 2)[..70].to_vec();
    let bad = [
        ("a flipped bit", flipped),
        ("a senseless archive", senseless),
        ("no checksum", unsealed),
        ("a block cut short", cut),
        ("another source", block(8, 3, 2)),
        ("a newer epoch", block(7, 4, 1)),
        ("no sequence", block(7, 3, 0)),
        ("no block", vec![0; 64]),
    ];
    for (at, (what, bad)) in bad.into_iter().enumerate() {
        let source = 100 + at as u128;
        let (mut raw, _) = Raw::welcomed(&master, 7, 3, source as u64);
        raw.send(&blocks(&[block(7, 3, 1), bad]));
        let (kind, farewell) = raw.farewell();
        assert_eq!((kind, farewell.reason), (FrameKind::Refuse, Reason::Damaged), "{what}");
    }
    good.send(&blocks(&[block(1, 1, 1)]));
    assert_eq!(good.ack().1, [(1, 1)]);
    assert_eq!(refused(&master, Reason::Damaged), 8);
    assert_eq!(master.stats().blocks, 2, "the good block before a bad one is stored, once");
}

#[test]
fn bytes_of_other_protocols_are_answered_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    for (sent, like) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "TLS"),
        (b"SSH-2.0-client\r\n", "SSH"),
        (&[0x5a; 100_000], "nothing that is known"),
    ] {
        let mut raw = Raw::connect(&master);
        // The master may close while this is under way.
        let _ = raw.stream.write_all(sent);
        let (kind, farewell) = raw.farewell();
        assert_eq!((kind, farewell.reason), (FrameKind::Refuse, Reason::NotAClient));
        assert!(farewell.words.contains(like), "{farewell}");
    }
    let (mut raw, _) = Raw::welcomed(&master, 7, 3, 0);
    raw.send(&blocks(&[block(7, 3, 1)]));
    assert_eq!(raw.ack().1, [(3, 1)], "the master lives");
}

#[test]
fn who_says_nothing_is_told_so_and_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let mut silent = Raw::connect(&master);
    let (mut idle, _) = Raw::welcomed(&master, 7, 1, 0);
    for raw in [&mut silent, &mut idle] {
        let (kind, farewell) = raw.farewell();
        assert_eq!((kind, farewell.reason), (FrameKind::Refuse, Reason::Late));
    }
    wait_until("an end", || master.stats().connections == 0);
    assert_eq!(refused(&master, Reason::Late), 2);
}

#[test]
fn slow_frames_of_the_greatest_size_hold_up_no_ordinary_ones() {
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .limits(Limits { unstored_bytes: 16 << 20, ..Limits::default() })
        .start()
        .unwrap();
    let front = frame::blocks_header(Versions::BUILT.max, false, frame::MAX_BODY_BYTES);
    let slow = |source| {
        let (mut raw, _) = Raw::welcomed(&master, source, 1, 0);
        raw.send(&front);
        raw
    };
    let slow: Vec<_> = (10..20).map(slow).collect();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    raw.send(&blocks(&[block(7, 1, 1)]));
    assert_eq!(raw.ack().1, [(1, 1)]);
    assert_eq!(refused(&master, Reason::Late), 0, "the slow ones are still there");
    drop(slow);
}

#[test]
fn another_version_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let mut raw = Raw::connect(&master);
    let mut hello = vec![0; 40];
    hello[0..4].copy_from_slice(&[8, 9, header::FORMAT_VERSION, header::FLAVOUR]);
    raw.send(&frame::encode(FrameKind::Hello, &hello));
    let (kind, farewell) = raw.farewell();
    assert_eq!((kind, farewell.reason), (FrameKind::Refuse, Reason::Version));
    assert!(farewell.words.contains("8 to 9"), "{farewell}");

    let mut raw = Raw::connect(&master);
    hello[0..4].copy_from_slice(&[1, 1, header::FORMAT_VERSION, header::FLAVOUR + 1]);
    raw.send(&frame::encode(FrameKind::Hello, &hello));
    assert_eq!(raw.farewell().1.reason, Reason::Format);
}

#[test]
fn a_worker_shows_why_it_is_refused_and_delivers_later() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { connections: 1, ..Limits::default() };
    let master = master(dir.path()).limits(limits).start().unwrap();
    let (first, _) = Raw::welcomed(&master, 7, 1, 0);
    let (guard, monitor) = worker(master.local_addr());
    info!(logger: guard.logger(), "event 0");
    let why = |state| match state {
        ForwarderState::Refused { why } => why,
        _ => String::new(),
    };
    wait_until("a refusal", || why(monitor.stats().state).contains("try again later"));
    drop(first);
    guard.flush().unwrap();
    assert_eq!(guard.shutdown(AMPLE).left(), 0);
    assert!(refused(&master, Reason::Limits) > 0);
    master.shutdown(AMPLE);
    assert_eq!(lines(&dir.path().join("all.log")), numbered(1));
}

#[test]
fn connections_above_the_limit_of_an_address_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let master = master(dir.path()).limits(limits).start().unwrap();
    let _one = Raw::welcomed(&master, 1, 1, 0);
    let two = Raw::welcomed(&master, 2, 1, 0);
    let (_, farewell) = Raw::connect(&master).farewell();
    assert_eq!(farewell.reason, Reason::Limits);
    assert!(farewell.words.contains("2 connections from 127.0.0.1"), "{farewell}");
    drop(two);
    wait_until("an end", || master.stats().connections == 1);
    Raw::welcomed(&master, 3, 1, 0);
}

#[test]
fn shutdown_waits_for_no_idle_peer() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let mut silent = Raw::connect(&master);
    let (mut idle, _) = Raw::welcomed(&master, 7, 1, 0);
    let mut half = Raw::connect(&master);
    half.send(&frame::encode(FrameKind::Hello, &[0; 100])[..9]);
    wait_until("the connections", || master.stats().connections == 3);
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(Box::new(master.shutdown(Duration::from_secs(2)))));
    for raw in [&mut silent, &mut idle, &mut half] {
        let (kind, farewell) = raw.farewell();
        assert_eq!((kind, farewell.reason), (FrameKind::Bye, Reason::Stopping));
    }
    assert!(wait.recv_timeout(AMPLE).is_ok());
}

#[test]
fn what_is_on_its_way_at_shutdown_is_stored_and_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    let sent: Vec<_> = (1..=100).map(|sequence| block(7, 1, sequence)).collect();
    sent.iter().for_each(|block| raw.send(&blocks(std::slice::from_ref(block))));
    let report = master.shutdown(AMPLE);
    assert_eq!(report.stats.blocks, 100);
    let mut acknowledged = 0;
    while let Some(frame) = raw.receive() {
        match frame.kind {
            FrameKind::Ack => acknowledged = decode_ack(&frame.body).unwrap().1.last().unwrap().1,
            _ => assert_eq!(frame.kind, FrameKind::Bye),
        }
    }
    assert_eq!(acknowledged, 100);
}

#[test]
fn a_bye_is_answered_after_the_last_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    let bye = Farewell::new(Reason::Done, "").encode();
    raw.send(&[blocks(&[block(7, 1, 1)]), frame::encode(FrameKind::Bye, &bye)].concat());
    assert_eq!(raw.ack().1, [(1, 1)]);
    let (kind, farewell) = raw.farewell();
    assert_eq!((kind, farewell.reason), (FrameKind::Bye, Reason::Done));
}

#[test]
fn frames_that_come_byte_by_byte_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path()).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    raw.stream.set_nodelay(true).unwrap();
    for byte in blocks(&[block(7, 1, 1), block(7, 1, 2)]) {
        raw.send(&[byte]);
    }
    let last = |raw: &mut Raw| raw.ack().1.last().copied();
    assert_eq!(last(&mut raw), Some((1, 2)));
}

#[test]
fn a_master_says_why_it_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = master(dir.path()).start().unwrap();
    let port = first.local_addr().to_string();
    let error = Master::builder().listen(port.clone()).start().unwrap_err().to_string();
    assert!(error.contains(&port) && error.contains("another port"), "{error}");
    let error = master(dir.path()).start().unwrap_err().to_string();
    assert!(error.contains("belongs to a running process"), "{error}");
    let error = Master::builder().listen("localhost:http").start().unwrap_err().to_string();
    assert!(error.contains("localhost:http") && error.contains("host:port"), "{error}");
    let forwarder = Forwarder::new("localhost");
    let relay = Master::builder().listen("127.0.0.1:0").appender("next", forwarder).start();
    assert!(matches!(relay, Err(MasterError::Appender(_))));
}

#[test]
fn a_master_routes_by_category_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let layout = rollway::layout::Pattern::parse("%m%n").unwrap();
        rollway::appender::File::new(dir.path().join(name)).layout(layout)
    };
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .appender("rest", file("rest"))
        .appender("shop", file("shop"))
        .route("", ["rest"])
        .route("shop", ["shop"])
        .start()
        .unwrap();
    let address = master.local_addr().to_string();
    let worker = rollway::builder()
        .level(rollway::LevelFilter::ALL)
        .appender("master", rollway::appender::Forwarder::new(address))
        .start()
        .unwrap();
    rollway::trace!(logger: worker.logger(), target: "shop::till", "sold");
    rollway::fatal!(logger: worker.logger(), target: "kitchen", "fire");
    assert_eq!(worker.shutdown(Duration::from_secs(10)).left(), 0);
    assert_eq!(master.shutdown(Duration::from_secs(10)).left(), 0);
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!((text("shop"), text("rest")), ("sold\n".to_owned(), "fire\n".to_owned()));
}
