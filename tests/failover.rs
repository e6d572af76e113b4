//! A worker with several masters: who gets what, and what is marked.
#![cfg(feature = "master")]

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use rollway::appender::{Forwarder, ForwarderMonitor};
use rollway::journal::JournalOptions;
use rollway::master::{AckLevel, Master};
use rollway::{Durability, Guard, info};

use support::wire::Proxy;
use support::{PATIENCE, Random, lines, message_file, wait_until};

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
fn a_flush_to_the_disk_does_not_claim_what_a_former_master_never_promised() {
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &str, level| {
        let journal = JournalOptions::directory(dir.path().join(name));
        let builder = Master::builder().listen("127.0.0.1:0").journal(journal);
        builder.ack_level(level).start().unwrap()
    };
    let (first, second) = (start("a", AckLevel::Committed), start("b", AckLevel::Synced));
    let addresses = [first.local_addr().to_string(), second.local_addr().to_string()];
    let forwarder = Forwarder::to(&addresses);
    let monitor = forwarder.monitor();
    let limit = Duration::from_millis(200);
    let guard = rollway::builder().flush_timeout(limit).appender("master", forwarder).start();
    let guard = guard.unwrap();
    info!(logger: guard.logger(), "event 0");
    wait_until("the first flush", || guard.flush().is_ok());
    drop(first);
    info!(logger: guard.logger(), "event 1");
    wait_until("the flush to the second", || guard.flush().is_ok());
    assert_eq!(monitor.stats().level, Some(AckLevel::Synced));
    assert!(guard.flush_to(Durability::L2).is_err());
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

/// The messages that a master has, in their order, and whether each is marked.
fn stored(master: &Master) -> Vec<(String, bool)> {
    let mut reader = master.journal().reader(master.journal().start_position());
    let mut found = Vec::new();
    while let Some(block) = reader.next().unwrap() {
        let mut events = block.events.events(block.dictionary);
        while let Some(event) = events.next() {
            let event = event.unwrap();
            let mut message = String::new();
            event.message(&mut message);
            found.push((message, event.receipt.expect("an envelope").is_elsewhere));
        }
    }
    found
}

/// Breaks connections, refuses, swallows acknowledgements and restarts the worker, as `seed` says.
fn a_history(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let masters = ["a", "b"].map(|name| master(dir.path(), name, "127.0.0.1:0"));
    let proxies = [0, 1].map(|at: usize| Proxy::to(masters[at].local_addr()));
    let addresses: Vec<_> = proxies.iter().map(|proxy| proxy.address.to_string()).collect();
    let start = || {
        let builder = rollway::builder()
            .flush_timeout(Duration::from_millis(300))
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"));
        builder.appender("master", Forwarder::to(&addresses)).start().unwrap()
    };
    let mut random = Random(seed);
    let mut guard = start();
    let mut logged = 0;
    for _ in 0..12 {
        for proxy in &proxies {
            proxy.swallow_acks(random.below(2) == 0);
            proxy.refuse(false);
        }
        proxies[random.below(2) as usize].refuse(random.below(4) > 0);
        if random.below(3) > 0 {
            proxies.iter().for_each(Proxy::cut);
        }
        for _ in 0..1 + random.below(50) {
            info!(logger: guard.logger(), "event {logged}");
            logged += 1;
        }
        // Whether it gets through or not.
        let _ = guard.flush();
        if random.below(4) == 0 {
            guard.shutdown(Duration::from_millis(50));
            guard = start();
        }
    }
    for proxy in &proxies {
        proxy.refuse(false);
        proxy.swallow_acks(false);
        proxy.cut();
    }
    wait_until("the last flush", || guard.flush().is_ok());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0, "seed {seed}");

    let mut marks: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for master in &masters {
        let stored = stored(master);
        let numbers = stored.iter().map(|(message, _)| message["event ".len()..].parse().unwrap());
        let numbers: Vec<u32> = numbers.collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "seed {seed}: {numbers:?}");
        for (message, is_marked) in stored {
            marks.entry(message).or_default().push(is_marked);
        }
    }
    assert_eq!(marks.len(), logged as usize, "seed {seed}");
    for (message, marks) in &marks {
        assert!(marks.len() == 1 || marks.contains(&true), "seed {seed}: {message} is not marked");
    }
}

#[test]
fn whatever_breaks_every_event_is_somewhere_at_no_master_twice_and_marked_where_two_have_it() {
    for seed in 0..6 {
        a_history(seed);
    }
}
