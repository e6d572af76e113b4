//! `rollway tail`: the last events of journals, and those that come.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rollway::appender::Forwarder;
use rollway::cli::Exit;
use rollway::journal::JournalOptions;
use rollway::master::Master;
use rustix::process::{Pid, Signal, kill_process};
use support::command::ran;
use support::{PATIENCE, watchdog};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start(journal: &Path) -> rollway::Guard {
    rollway::builder()
        .level(rollway::Level::TRACE)
        .journal_dir(journal)
        .journal_max_bytes(32 << 20)
        .start()
        .unwrap()
}

fn log(journal: &Path, events: std::ops::Range<u32>) {
    let guard = start(journal);
    for n in events {
        emit(&guard, n);
    }
    guard.shutdown(PATIENCE);
}

fn emit(guard: &rollway::Guard, n: u32) {
    let _context = rollway::mdc("request", n / 4);
    match n % 3 {
        0 => rollway::error!(logger: guard.logger(), target: "shop::till", "event {n}"),
        _ => rollway::debug!(logger: guard.logger(), target: "shop", "event {n}"),
    }
}

fn messages(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("event {n}\n")).collect()
}

#[test]
fn the_last_events_are_shown_in_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let journals = [dir.path().join("a"), dir.path().join("b")];
    for part in 0..8 {
        log(&journals[part as usize % 2], part * 500..(part + 1) * 500);
    }
    let [a, b] = [text(&journals[0]), text(&journals[1])];
    let shown = |args: &[&str]| {
        let ran = ran(["tail", "--pattern", "%m%n"].iter().chain(args).copied());
        assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""), "{args:?}");
        ran.out
    };
    assert_eq!(shown(&[a, b]), messages(3990..4000));
    assert_eq!(shown(&["-n", "1", a, b]), messages(3999..4000));
    assert_eq!(shown(&["-n", "0", a, b]), "");
    assert_eq!(shown(&["-n", "1200", a, b]), messages(2800..4000));
    assert_eq!(shown(&["-n", "3", a]), messages(3497..3500));
    assert_eq!(shown(&["-n", "100000", a, b]), messages(0..4000));
    let errors: String =
        (3900..4000).filter(|n| n % 3 == 0).map(|n| format!("event {n}\n")).collect();
    assert_eq!(shown(&["-n", "34", "--level", "warn", a, b]), errors);
    assert_eq!(shown(&["-n", "34", "--category", "shop::till", a, b]), errors);
    let json = ran(["tail", "--json", "-n", "1", b]);
    let event: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&event["message"], &event["context"]["request"]),
        (&"event 3999".into(), &"999".into())
    );
}

#[test]
fn the_last_events_of_a_filter_come_from_all_journals_however_they_lie_in_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let journals = [dir.path().join("a"), dir.path().join("b")];
    log(&journals[0], 0..300);
    let guard = start(&journals[1]);
    for n in 300..600 {
        emit(&guard, n);
        if n % 60 == 59 {
            // A block of its own, with fewer events of the level than are asked for.
            guard.flush().unwrap();
        }
    }
    guard.shutdown(PATIENCE);
    let args = ["tail", "--pattern", "%m%n", "--level", "warn", "-n", "34"];
    let ran = ran(args.into_iter().chain(journals.iter().map(|journal| text(journal))));
    let errors: String =
        (498..600).filter(|n| n % 3 == 0).map(|n| format!("event {n}\n")).collect();
    assert_eq!((ran.exit, ran.out), (Exit::Ok, errors));
}

#[test]
fn a_directory_that_is_not_there_is_named_with_the_remedy() {
    let missing = ran(["tail", "/no/such/journal"]);
    assert_eq!(missing.exit, Exit::NoInput);
    assert!(
        missing.err.contains("/no/such/journal") && missing.err.contains("-F"),
        "{}",
        missing.err
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ran(["tail", text(dir.path())]).exit, Exit::NoInput);
}

/// A `rollway tail` that runs.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(args: &[&str]) -> Tail {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rollway"))
            .args(["tail", "--pattern", "%m%n"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = read(child.stdout.take().unwrap());
        Tail { child, lines }
    }

    fn expect(&self, range: std::ops::Range<u32>) {
        for n in range {
            let line = self.lines.recv_timeout(PATIENCE);
            assert_eq!(line.as_deref(), Ok(&*format!("event {n}")));
        }
    }

    /// Interrupts it. Yields what it said on standard error.
    fn interrupt(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        assert_eq!(self.lines.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        err
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(out: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

#[test]
fn what_is_logged_is_followed_over_segments_and_restarts_each_event_once() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..20);
    let tail = Tail::start(&["-f", "-n", "5", text(dir.path())]);
    tail.expect(15..20);
    let guard = start(dir.path());
    for n in 20..25 {
        emit(&guard, n);
        tail.expect(n..n + 1);
    }
    guard.shutdown(PATIENCE);
    // More than a segment of it.
    let guard = start(dir.path());
    let filler = "x".repeat(50_000);
    for n in 25..300 {
        rollway::info!(logger: guard.logger(), "event {n}");
        rollway::info!(logger: guard.logger(), "{filler}");
        if n % 50 == 0 {
            guard.flush().unwrap();
        }
    }
    for n in 25..300 {
        tail.expect(n..n + 1);
        assert!(tail.lines.recv_timeout(PATIENCE).unwrap().starts_with("xx"));
    }
    guard.shutdown(PATIENCE);
    assert_eq!(tail.interrupt(), "");
}

#[test]
fn a_follower_that_is_asked_for_no_past_event_shows_what_comes_alone() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = start(dir.path());
    (0..20).for_each(|n| emit(&guard, n));
    guard.flush().unwrap();
    let tail = Tail::start(&["-f", "-n", "0", text(dir.path())]);
    // When it has begun, nobody says.
    let mut logged = 20_u32..;
    let first = logged.find_map(|n| {
        emit(&guard, n);
        guard.flush().unwrap();
        tail.lines.recv_timeout(Duration::from_millis(50)).ok()
    });
    let first: u32 = first.unwrap().strip_prefix("event ").unwrap().parse().unwrap();
    assert!(first >= 20, "event {first} was there before");
    tail.expect(first + 1..logged.start);
    guard.shutdown(PATIENCE);
    assert_eq!(tail.interrupt(), "");
}

#[test]
fn a_directory_that_comes_later_is_waited_for() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("later");
    let tail = Tail::start(&["-F", "--level", "warn", text(&journal)]);
    log(&journal, 0..7);
    for n in [0, 3, 6] {
        tail.expect(n..n + 1);
    }
    // Begun anew by somebody.
    fs::remove_dir_all(&journal).unwrap();
    log(&journal, 9..10);
    tail.expect(9..10);
    assert_eq!(tail.interrupt(), "");
}

#[test]
fn a_directory_that_is_begun_anew_is_followed_from_its_beginning() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("later");
    log(&journal, 0..7);
    let tail = Tail::start(&["-F", "--level", "warn", text(&journal)]);
    for n in [0, 3, 6] {
        tail.expect(n..n + 1);
    }
    // Less than was there before.
    fs::remove_dir_all(&journal).unwrap();
    log(&journal, 9..10);
    tail.expect(9..10);
    assert_eq!(tail.interrupt(), "");
}

#[test]
fn blocks_that_went_before_they_could_be_read_are_counted() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let guard = start(dir.path());
    emit(&guard, 0);
    guard.flush().unwrap();
    let tail = Tail::start(&["-f", text(dir.path())]);
    tail.expect(0..1);
    let pid = Pid::from_child(&tail.child);
    kill_process(pid, Signal::STOP).unwrap();
    let filler = "x".repeat(50_000);
    // Twice what the journal holds.
    for _ in 0..1300 {
        rollway::info!(logger: guard.logger(), "{filler}");
    }
    guard.flush().unwrap();
    emit(&guard, 4);
    guard.flush().unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    while tail.lines.recv_timeout(PATIENCE).unwrap() != "event 4" {}
    guard.shutdown(PATIENCE);
    let err = tail.interrupt();
    assert!(err.contains("blocks went before they could be read"), "{err}");
}

#[test]
fn a_running_master_is_followed() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("master");
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(&journal))
        .start()
        .unwrap();
    let tail = Tail::start(&["-f", text(&journal)]);
    let guard = rollway::builder()
        .appender("master", Forwarder::new(master.local_addr().to_string()))
        .start()
        .unwrap();
    for n in 0..5 {
        rollway::info!(logger: guard.logger(), "event {n}");
        tail.expect(n..n + 1);
    }
    guard.shutdown(PATIENCE);
    master.shutdown(PATIENCE);
    assert_eq!(tail.interrupt(), "");
}

#[test]
fn a_follower_whose_reader_left_ends_quietly_though_nothing_comes() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..3);
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["tail", "-f", text(dir.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let status = child.wait().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((status.code(), &*err), (Some(0), ""));
    assert!(line.contains("event 0"), "{line}");
}
