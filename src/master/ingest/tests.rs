//! The thread's steps one by one, without sockets.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::block::build;
use crate::clock::{Anchor, Timeline};
use crate::journal::{Journal, JournalOptions, Scan, ScannedBlocks, segment_paths};
use crate::net::Hello;

const SOURCE: u128 = 7;

/// The thread's state at a master that syncs before it acknowledges.
fn syncing(dir: &Path) -> Ingest {
    let options = JournalOptions::directory(dir);
    let scan = Scan::of_received(dir).unwrap();
    let (journal, writer) = Journal::in_directory(options, scan).unwrap();
    journal.keep_to_bound();
    let peer = ([127, 0, 0, 1], 1).into();
    Ingest {
        inbox: Arc::default(),
        buffers: Arc::default(),
        writer,
        counters: Arc::default(),
        level: AckLevel::Synced,
        window_bytes: 1 << 20,
        deadline: Arc::default(),
        owners: HashMap::new(),
        block: AlignedVec::new(),
        receipt: Receipt { received_ns: 0, peer, is_elsewhere: false },
        unacknowledged: BTreeMap::new(),
        sync_failed: false,
        definitions_bytes: 0,
    }
}

/// A worker says hello as the connection `id`.
fn welcomed(ingest: &mut Ingest, id: u64) -> Arc<Connection> {
    let connection = Connection::new(id, ([127, 0, 0, 1], 1).into());
    let hello = Hello {
        source: SOURCE,
        epoch: 1,
        oldest_epoch: 1,
        term: 0,
        window_bytes: 1 << 20,
        pid: 1,
        service: String::new(),
        host: String::new(),
    };
    ingest.hello(Arc::clone(&connection), 1, hello);
    connection
}

fn events(sequence: u64) -> AlignedVec {
    let anchor = Anchor { ticks: 0, utc_ns: 0 };
    let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
    let head = build::EventsHead { source: SOURCE, epoch: 1, sequence, timeline };
    let mut block = AlignedVec::new();
    build::events(&mut block, &head, &[]);
    header::seal(&mut block);
    block
}

#[test]
fn a_hello_that_waited_does_not_take_over_from_a_newer_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut ingest = syncing(dir.path());
    let newer = welcomed(&mut ingest, 2);
    let older = welcomed(&mut ingest, 1);
    assert_eq!(older.said().0, None);
    ingest.blocks(&newer, SOURCE, events(1)).unwrap();
    ingest.acknowledge();
    assert_eq!(newer.said().2, [(1, 1)]);
}

#[test]
fn a_welcome_names_as_synced_what_is_synced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut ingest = syncing(dir.path());
    let journal = ingest.writer.journal().clone();
    let first = welcomed(&mut ingest, 1);
    assert_eq!(first.said(), (Some(vec![]), AckLevel::default(), vec![]));

    // The connection ends between storing and acknowledging.
    ingest.blocks(&first, SOURCE, events(1)).unwrap();
    assert!(journal.synced() < journal.end());
    ingest.gone(&first, SOURCE);
    let second = welcomed(&mut ingest, 2);
    assert_eq!(journal.synced(), journal.end());
    assert_eq!(second.said(), (Some(vec![(1, 1)]), AckLevel::Synced, vec![(1, 1)]));

    // The same, and the disk fails.
    ingest.blocks(&second, SOURCE, events(2)).unwrap();
    journal.break_unsynced();
    ingest.acknowledge();
    ingest.gone(&second, SOURCE);
    let third = welcomed(&mut ingest, 3);
    assert_eq!(third.said(), (Some(vec![(1, 2)]), AckLevel::Committed, vec![(1, 2)]));

    // It fails in the welcome itself, and the next acknowledgement comes before it is written.
    ingest.blocks(&third, SOURCE, events(3)).unwrap();
    journal.break_unsynced();
    let fourth = welcomed(&mut ingest, 4);
    ingest.blocks(&fourth, SOURCE, events(4)).unwrap();
    ingest.acknowledge();
    ingest.blocks(&fourth, SOURCE, events(5)).unwrap();
    ingest.acknowledge();
    assert_eq!(fourth.said(), (Some(vec![(1, 3)]), AckLevel::Committed, vec![(1, 5)]));
}

/// Damages the block with this sequence, and has the machine booted since.
fn lose(dir: &Path, sequence: u64) {
    for (_, path) in segment_paths(dir).unwrap() {
        let mut blocks = ScannedBlocks::open(&path).unwrap();
        while let Some(block) = blocks.next() {
            if let Ok(block) = block
                && block.header.sequence == sequence
            {
                let file = File::options().write(true).open(&path).unwrap();
                file.write_all_at(b"?", block.position.offset + 70).unwrap();
            }
        }
    }
    std::fs::write(dir.join("boot"), "boot_id = 1\n").unwrap();
}

#[test]
fn a_block_that_a_power_failure_took_is_taken_once_more_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut ingest = syncing(dir.path());
        let connection = welcomed(&mut ingest, 1);
        (1..=6).for_each(|n| ingest.blocks(&connection, SOURCE, events(n)).unwrap());
        ingest.acknowledge();
        assert_eq!(connection.said().2, [(1, 6)]);
    }
    lose(dir.path(), 3);
    lose(dir.path(), 5);
    let mut ingest = syncing(dir.path());
    let first = welcomed(&mut ingest, 1);
    assert_eq!(first.said(), (Some(vec![(1, 2)]), AckLevel::Synced, vec![(1, 2)]));
    ingest.blocks(&first, SOURCE, events(3)).unwrap();
    ingest.acknowledge();
    assert_eq!(first.said().2, [(1, 4)]);

    // The next connection goes on there. What its worker does not have any more, it passes over.
    let second = welcomed(&mut ingest, 2);
    assert_eq!(second.said().0, Some(vec![(1, 4)]));
    ingest.blocks(&second, SOURCE, events(6)).unwrap();
    ingest.acknowledge();
    assert_eq!(second.said().2, [(1, 6)]);
    ingest.blocks(&second, SOURCE, events(5)).unwrap();
    ingest.blocks(&second, SOURCE, events(7)).unwrap();
    let stored = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counters = &ingest.counters;
    assert_eq!((stored(&counters.blocks), stored(&counters.duplicates)), (2, 2));
    assert_eq!(stored(&counters.missing_blocks), 0);

    let journal = ingest.writer.journal().clone();
    let mut reader = journal.reader(journal.start_position());
    let mut sequences = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(block)) => sequences.push(block.events.header().sequence),
            Ok(None) => break,
            Err(_) => sequences.push(0),
        }
    }
    assert_eq!(sequences, [1, 2, 0, 4, 0, 6, 3, 7]);
}

#[test]
fn who_reads_what_is_synced_sees_a_block_after_its_sync_and_after_one_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let mut ingest = syncing(dir.path());
    let journal = ingest.writer.journal().clone();
    let delivered = journal.synced_only();
    let connection = welcomed(&mut ingest, 1);
    ingest.blocks(&connection, SOURCE, events(1)).unwrap();
    assert!(delivered.end() < journal.end() && delivered.limited().0.end() < journal.end());
    // Nor does a reload begin or end anybody further on.
    assert_eq!(delivered.hold(std::iter::empty()), delivered.end());
    // Its connection ends before it is acknowledged; it is synced all the same.
    ingest.gone(&connection, SOURCE);
    ingest.acknowledge();
    assert_eq!(delivered.end(), journal.end());

    let connection = welcomed(&mut ingest, 2);
    ingest.blocks(&connection, SOURCE, events(2)).unwrap();
    journal.break_unsynced();
    ingest.acknowledge();
    assert_eq!((connection.said().2, delivered.end()), (vec![(1, 1)], journal.end()));
    assert!(journal.synced() < journal.end());
}
