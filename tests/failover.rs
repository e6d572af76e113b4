//! A worker with several masters: who gets what, and what is marked.
#![cfg(feature = "master")]

mod support;

use std::net::TcpListener;
use std::path::Path;

use rollway::appender::{Forwarder, ForwarderMonitor};
use rollway::journal::JournalOptions;
use rollway::master::Master;
use rollway::{Guard, info};

use support::wire::Proxy;
use support::{PATIENCE, lines, message_file, wait_until};

/// A master whose file is `<name>.log`.
fn master(dir: &Path, name: &str, listen: &str) -> Master {
    Master::builder()
        .listen(listen)
        .journal(JournalOptions::directory(dir.join(name)))
        .appender("file", message_file(&dir.join(name).with_extension("log")))
        .start()
        .unwrap()
}

fn worker(dir: &Path, masters: &[String]) -> (Guard, ForwarderMonitor) {
    let forwarder = Forwarder::to(masters);
    let monitor = forwarder.monitor();
    let builder = rollway::builder()
        .flush_timeout(PATIENCE)
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"));
    (builder.appender("master", forwarder).start().unwrap(), monitor)
}

fn log(guard: &Guard, numbers: std::ops::Range<u32>) {
    for n in numbers {
        info!(logger: guard.logger(), "event {n}");
    }
    guard.flush().unwrap();
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("event {n}")).collect()
}

/// An address at which nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn the_next_master_gets_what_the_first_has_not_acknowledged_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) =
        (master(dir.path(), "a", "127.0.0.1:0"), master(dir.path(), "b", "127.0.0.1:0"));
    let addresses = [first.local_addr().to_string(), second.local_addr().to_string()];
    let (guard, monitor) = worker(dir.path(), &addresses);
    log(&guard, 0..500);
    assert_eq!((monitor.stats().fail_overs, monitor.stats().master), (0, addresses[0].clone()));
    let blocks_of_first = first.stats().blocks;
    assert_eq!(first.shutdown(PATIENCE).left(), 0);

    log(&guard, 500..1000);
    assert_eq!((monitor.stats().fail_overs, monitor.stats().master), (1, addresses[1].clone()));
    assert_eq!(second.stats().missing_blocks, blocks_of_first, "they went to the first one");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);

    // A start begins with the first master, which has its mark and asks for nothing of the second's.
    let first = master(dir.path(), "a", &addresses[0]);
    let (guard, _) = worker(dir.path(), &addresses);
    log(&guard, 1000..1100);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!((first.stats().duplicates, second.stats().duplicates), (0, 0));
    assert_eq!((first.shutdown(PATIENCE).left(), second.shutdown(PATIENCE).left()), (0, 0));
    let of_first = [numbered(0..500), numbered(1000..1100)].concat();
    assert_eq!(lines(&dir.path().join("a.log")), of_first);
    assert_eq!(lines(&dir.path().join("b.log")), numbered(500..1000));
}

#[test]
fn what_two_masters_have_is_marked_in_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) =
        (master(dir.path(), "a", "127.0.0.1:0"), master(dir.path(), "b", "127.0.0.1:0"));
    let proxy = Proxy::to(first.local_addr());
    let addresses = [proxy.address.to_string(), second.local_addr().to_string()];
    let (guard, monitor) = worker(dir.path(), &addresses);
    log(&guard, 0..100);
    proxy.swallow_acks(true);
    for n in 100..200 {
        info!(logger: guard.logger(), "event {n}");
    }
    wait_until("the arrival at the first", || first.stats().events == 200);
    proxy.lead_to(nowhere().parse().unwrap());
    proxy.cut();

    guard.flush().unwrap();
    let marked = monitor.stats().elsewhere_blocks;
    assert!(marked > 0);
    assert_eq!(second.stats().blocks, marked, "all of them are at both");
    log(&guard, 200..300);
    assert_eq!(monitor.stats().elsewhere_blocks, marked, "nobody else has the new ones");
    let journal = second.journal();
    let mut reader = journal.reader(journal.start_position());
    let mut marks = Vec::new();
    while let Some(block) = reader.next().unwrap() {
        marks.push(block.events.receipt().expect("an envelope").is_elsewhere);
    }
    let expected: Vec<_> = (0..marks.len()).map(|at| at < marked as usize).collect();
    assert_eq!(marks, expected);
    assert!(marks.len() > marked as usize);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!((first.shutdown(PATIENCE).left(), second.shutdown(PATIENCE).left()), (0, 0));
    assert_eq!(lines(&dir.path().join("a.log")), numbered(0..200));
    assert_eq!(lines(&dir.path().join("b.log")), numbered(100..300));
}

#[test]
fn a_worker_that_finds_its_first_master_missing_ships_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), "b", "127.0.0.1:0");
    let addresses = [nowhere(), nowhere(), master.local_addr().to_string()];
    let (guard, monitor) = worker(dir.path(), &addresses);
    log(&guard, 0..100);
    assert_eq!((monitor.stats().fail_overs, monitor.stats().master), (2, addresses[2].clone()));
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(master.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&dir.path().join("b.log")), numbered(0..100));
}
