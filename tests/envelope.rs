//! What a master writes around a block: when it came, and from where.
#![cfg(feature = "master")]

mod support;

use std::path::Path;

use rollway::event::Receipt;
use rollway::journal::JournalOptions;
use rollway::master::{Master, Reason};

use support::PATIENCE;
use support::wire::{Raw, block, blocks};

fn master(journal: JournalOptions) -> Master {
    Master::builder().listen("127.0.0.1:0").journal(journal).start().unwrap()
}

fn in_directory(dir: &Path) -> Master {
    master(JournalOptions::directory(dir))
}

/// The receipts of all blocks, by their sequences.
fn receipts(master: &Master) -> Vec<(u64, Receipt)> {
    let mut reader = master.journal().reader(master.journal().start_position());
    let mut found = Vec::new();
    while let Some(block) = reader.next().unwrap() {
        let receipt = block.events.receipt().copied();
        found.push((block.events.header().sequence, receipt.expect("an envelope")));
    }
    found
}

#[test]
fn every_block_says_when_and_from_where_it_came_in_memory_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for journal in [JournalOptions::memory(), JournalOptions::directory(dir.path())] {
        let is_kept = journal.dir.is_some();
        let master = master(journal);
        let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
        // One frame of one block, which is stored where it lies, and one of two.
        raw.send(&blocks(&[block(7, 1, 1)]));
        raw.send(&blocks(&[block(7, 1, 2), block(7, 1, 3)]));
        while raw.ack().1 != [(1, 3)] {}
        let before = receipts(&master);
        assert_eq!(before.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2, 3]);
        for (_, receipt) in &before {
            assert_eq!(receipt.peer, raw.stream.local_addr().unwrap());
            assert!(receipt.received_ns > 0 && !receipt.is_elsewhere);
        }
        assert_eq!(before[1].1, before[2].1, "they came in one frame");
        if is_kept {
            master.shutdown(PATIENCE);
            let master = in_directory(dir.path());
            assert_eq!(receipts(&master), before);
            let (_raw, welcome) = Raw::welcomed(&master, 7, 1, 0);
            assert_eq!(welcome.marks, [(1, 3)]);
        }
    }
}

#[test]
fn a_worker_cannot_write_an_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let master = in_directory(dir.path());
    let (mut raw, _) = Raw::welcomed(&master, 7, 1, 0);
    let mut forged = block(7, 1, 1);
    forged.resize(forged.len().next_multiple_of(64) + 64, 0);
    // The flag and the length, which the checksum of the block does not see.
    forged[6] |= 2;
    forged[9] = 1;
    raw.send(&blocks(&[forged]));
    assert_eq!(raw.farewell().1.reason, Reason::Damaged);
    assert_eq!(receipts(&master), []);
}
