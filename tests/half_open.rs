//! Connections that are open and dead: each side notices, and nothing is lost.
#![cfg(feature = "master")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use rollway::appender::Forwarder;
use rollway::info;
use rollway::journal::JournalOptions;
use rollway::master::{AckLevel, Limits, Master, Reason};
use rollway::net::{FrameKind, FrameReader, Hello, Welcome, frame};

use support::wire::{Raw, block, blocks, receive};
use support::{PATIENCE, lines, message_file, wait_until};

fn refused(master: &Master, reason: Reason) -> u64 {
    let refused = master.stats().refused;
    refused.iter().find(|(found, _)| *found == reason).map_or(0, |(_, count)| *count)
}

#[test]
fn a_worker_that_stops_inside_a_frame_is_let_go_and_its_blocks_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions::directory(dir.path());
    let master = Master::builder().listen("127.0.0.1:0").journal(journal).start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    let frame = blocks(&[block(7, 1, 1), block(7, 1, 2)]);
    raw.send(&frame[..frame.len() - 1]);
    let (_, farewell) = raw.farewell();
    assert_eq!(farewell.reason, Reason::Late, "{farewell}");
    assert!(farewell.words.contains("no more of a frame"), "{farewell}");
    let (mut raw, welcome) = Raw::welcomed(&master, 7, 1, 0);
    assert_eq!(welcome.marks, []);
    raw.send(&frame);
    assert_eq!(raw.ack().1, [(1, 2)]);
}

/// Plays a master that welcomes its first worker, says `last_words`, and then neither speaks nor reads.
/// Whoever comes after is led to `master`.
fn dead_in_front_of(master: SocketAddr, last_words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        let hello = receive(&mut FrameReader::new(), &first).expect("a hello");
        let (version, _) = Hello::decode(&hello.body).unwrap();
        let level = AckLevel::Committed;
        let welcome = Welcome { version, level, window_bytes: u64::MAX, marks: Vec::new() };
        first.write_all(&frame::encode(FrameKind::Welcome, &welcome.encode())).unwrap();
        first.write_all(last_words).unwrap();
        for mut down in listener.incoming().flatten() {
            let mut up = TcpStream::connect(master).unwrap();
            let (mut from, mut to) = (down.try_clone().unwrap(), up.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut up, &mut down));
        }
        drop(first);
    });
    address
}

/// Everything that a worker logs arrives although its first connection is dead.
fn goes_on_elsewhere(last_words: &'static [u8], events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(dir.path().join("master")))
        .appender("file", message_file(&dir.path().join("all.log")))
        .start()
        .unwrap();
    let dead = dead_in_front_of(master.local_addr(), last_words);
    let forwarder = Forwarder::new(dead.to_string()).window_bytes(64 << 20);
    let monitor = forwarder.monitor();
    let builder = rollway::builder().flush_timeout(PATIENCE).appender("master", forwarder);
    let guard = builder.start().unwrap();
    for n in 0..events {
        info!(logger: guard.logger(), "event {n} {}", "x".repeat(1000));
    }
    guard.flush().unwrap();
    assert_eq!(monitor.stats().connections, 2);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(master.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&dir.path().join("all.log")).len(), events);
}

#[test]
fn a_master_that_stops_inside_a_frame_is_left() {
    // The front of an acknowledgement.
    goes_on_elsewhere(b"RWFR\x02\x05", 10);
}

#[test]
fn a_master_that_neither_speaks_nor_reads_is_left_by_a_worker_that_is_sending() {
    // More than the buffers of both sockets hold, so that the worker sits in a write.
    goes_on_elsewhere(b"", 24_000);
}

#[test]
fn two_hundred_workers_that_deliver_byte_by_byte_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { connections_per_address: 300, ..Limits::default() };
    let journal = JournalOptions::directory(dir.path());
    let builder = Master::builder().listen("127.0.0.1:0").journal(journal).limits(limits);
    let master = builder.start().unwrap();
    let mut slow: Vec<_> = (1000..1200)
        .map(|source| {
            let (raw, _) = Raw::welcomed(&master, source, 1, 0);
            (raw, blocks(&[block(source, 1, 1)]))
        })
        .collect();
    let (mut other, _) = Raw::welcomed(&master, 7, 1, 0);
    let longest = slow.iter().map(|(_, frame)| frame.len()).max().unwrap();
    let mut sequence = 0;
    for at in 0..longest {
        for (raw, frame) in &mut slow {
            raw.send(&frame[at..(at + 1).min(frame.len())]);
        }
        if at % 16 == 0 {
            // It waits for its answer in the midst of the others' frames.
            sequence += 1;
            other.send(&blocks(&[block(7, 1, sequence)]));
            assert_eq!(other.ack().1, [(1, sequence)]);
        }
    }
    for (raw, _) in &mut slow {
        assert_eq!(raw.ack().1, [(1, 1)]);
    }
    assert_eq!(refused(&master, Reason::Late), 0);
}

#[test]
fn who_sends_more_than_its_quota_waits_and_nobody_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let frame = blocks(&[block(7, 1, 1)]);
    // A burst of a second is four frames.
    let quota = Some(4 * frame.len() as u64);
    let limits = Limits { bytes_per_second_per_source: quota, ..Limits::default() };
    let journal = JournalOptions::directory(dir.path());
    let builder = Master::builder().listen("127.0.0.1:0").journal(journal).limits(limits);
    let master = builder.start().unwrap();
    let (mut noisy, _) = Raw::welcomed(&master, 7, 1, 0);
    let (mut quiet, _) = Raw::welcomed(&master, 8, 1, 0);
    let flood: Vec<u8> = (1..=16).flat_map(|n| blocks(&[block(7, 1, n)])).collect();
    noisy.send(&flood);
    wait_until("the noisy one being held", || !master.stats().throttled.is_empty());
    quiet.send(&blocks(&[block(8, 1, 1)]));
    assert_eq!(quiet.ack().1, [(1, 1)]);
    // What is held comes in the end.
    while noisy.ack().1 != [(1, 16)] {}
    let throttled = master.stats().throttled;
    assert_eq!(throttled.iter().map(|throttled| throttled.source).collect::<Vec<_>>(), [7]);
    assert!(throttled[0].frames > 0 && !throttled[0].waited.is_zero());
}

#[test]
fn who_waits_for_its_quota_is_told_that_the_master_stops() {
    let dir = tempfile::tempdir().unwrap();
    let frame = blocks(&[block(7, 1, 1)]);
    // This frame would have to wait for an hour.
    let quota = Some((frame.len() as u64 / 3600).max(1));
    let limits = Limits { bytes_per_second_per_source: quota, ..Limits::default() };
    let journal = JournalOptions::directory(dir.path());
    let builder = Master::builder().listen("127.0.0.1:0").journal(journal).limits(limits);
    let master = builder.start().unwrap();
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    raw.send(&frame);
    wait_until("the worker being held", || !master.stats().throttled.is_empty());
    let (ended, wait) = std::sync::mpsc::channel();
    let shutdown = std::thread::spawn(move || {
        ended.send(master.shutdown(PATIENCE / 20).stats.events).unwrap();
    });
    assert_eq!(raw.farewell().1.reason, Reason::Stopping);
    assert_eq!(wait.recv_timeout(PATIENCE), Ok(0));
    shutdown.join().unwrap();
}
