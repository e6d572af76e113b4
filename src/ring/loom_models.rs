//! Every order in which two threads can meet in a ring, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom`.
//!
//! Each model is also run with one of its orderings weakened, and must fail then.

use loom::thread;

use super::consumer::Pending;
use super::*;
use crate::sync::with_seeded_bug;

/// Four words, four records of one word.
const CAPACITY: usize = CAPACITY_BYTES_MIN;

fn ring(capacity_bytes: usize) -> Ring {
    create(RingOptions { capacity_bytes, id: 0, path: None }).unwrap()
}

/// Commits `words` words of `value`, or says why not. Odd values take the way of a log call, which is
/// one step, the others that of the cold path, which reserves first.
fn push(producer: &mut Producer, words: usize, value: u64) -> Result<(), Refresh> {
    let len = 8 * words;
    if producer.reserve(len).is_none() {
        match producer.refresh(len) {
            Refresh::Ready | Refresh::CrossedHalf => {}
            refused => return Err(refused),
        }
    }
    let fill = |record: &mut [u8]| {
        for word in record.chunks_exact_mut(8) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        true
    };
    if value % 2 == 1 {
        return producer.push(len, fill).then_some(()).ok_or(Refresh::Closed);
    }
    let Some(record) = producer.reserve(len) else { return Err(Refresh::Closed) };
    fill(record);
    producer.commit();
    Ok(())
}

/// Appends the words that are pending to `found`, skip markers left out, and releases them.
fn drain(consumer: &mut Consumer, found: &mut Vec<u64>) {
    let Pending { to, runs, .. } = consumer.pending();
    for word in runs.into_iter().flat_map(|run| run.chunks_exact(8)) {
        let word: [u8; 8] = word.try_into().unwrap();
        if word != skip_marker(8) {
            found.push(u64::from_le_bytes(word));
        }
    }
    consumer.release(to);
}

/// The producer laps the ring while the consumer reads it.
fn records_arrive_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY).split();
        let logging = thread::spawn(move || {
            let taken = |value: &u64| push(&mut producer, 1, *value).is_ok();
            (1..=6).filter(taken).collect::<Vec<u64>>()
        });
        let mut found = Vec::new();
        drain(&mut consumer, &mut found);
        drain(&mut consumer, &mut found);
        let taken = logging.join().unwrap();
        drain(&mut consumer, &mut found);
        assert_eq!(found, taken);
    });
}

/// The last word of a lap is read, released, and becomes a marker in the next lap.
fn a_lap_ends_with_a_marker() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2 * CAPACITY).split();
        let mut found = Vec::new();
        for value in 1..=7 {
            push(&mut producer, 1, value).unwrap();
            drain(&mut consumer, &mut found);
        }
        for value in 8..=15 {
            push(&mut producer, 1, value).unwrap();
        }
        let logging = thread::spawn(move || push(&mut producer, 2, 16).is_ok());
        drain(&mut consumer, &mut found);
        let taken = logging.join().unwrap();
        drain(&mut consumer, &mut found);
        let expected: Vec<u64> = (1..=15).chain([16; 2].into_iter().filter(|_| taken)).collect();
        assert_eq!(found, expected);
    });
}

/// The ring is closed while the producer stores a new limit.
fn a_closed_ring_refuses() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY).split();
        let logging = thread::spawn(move || {
            let taken = (1..=2).filter(|&value| push(&mut producer, 1, value).is_ok()).count();
            (producer, taken)
        });
        consumer.shared().close();
        let (mut producer, taken) = logging.join().unwrap();
        assert_eq!(push(&mut producer, 1, 3), Err(Refresh::Closed));
        let mut found = Vec::new();
        drain(&mut consumer, &mut found);
        assert_eq!(found.len(), taken);
    });
}

/// One thread retires; the ring goes through the writer's hands to another.
fn a_retired_ring_has_everything_and_serves_again() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY).split();
        let logging = thread::spawn(move || {
            push(&mut producer, 1, 1).unwrap();
            push(&mut producer, 1, 2).unwrap();
            producer.retire();
        });
        let mut found = Vec::new();
        while !consumer.is_retired() {
            thread::yield_now();
        }
        drain(&mut consumer, &mut found);
        assert_eq!(found, [1, 2]);
        let (mut producer, mut consumer) = consumer.reclaim().unwrap().split();
        let logging_again = thread::spawn(move || {
            (3..=5).for_each(|value| push(&mut producer, 1, value).unwrap());
        });
        drain(&mut consumer, &mut found);
        logging_again.join().unwrap();
        logging.join().unwrap();
        drain(&mut consumer, &mut found);
        assert_eq!(found, [1, 2, 3, 4, 5]);
    });
}

#[test]
fn the_consumer_sees_whole_records_in_order() {
    records_arrive_whole_and_in_order();
}

#[test]
#[should_panic]
fn a_relaxed_commit_is_caught() {
    with_seeded_bug("ring.commit", records_arrive_whole_and_in_order);
}

#[test]
#[should_panic]
fn a_relaxed_push_is_caught() {
    with_seeded_bug("ring.push", records_arrive_whole_and_in_order);
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_tail_is_caught() {
    with_seeded_bug("ring.pending", records_arrive_whole_and_in_order);
}

#[test]
#[should_panic]
fn a_relaxed_release_is_caught() {
    with_seeded_bug("ring.release", records_arrive_whole_and_in_order);
}

#[test]
fn the_consumer_passes_over_the_end_of_a_lap() {
    a_lap_ends_with_a_marker();
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_head_is_caught() {
    with_seeded_bug("ring.reload", a_lap_ends_with_a_marker);
}

#[test]
fn closing_wins_over_a_new_limit() {
    a_closed_ring_refuses();
}

#[test]
#[should_panic]
fn closing_without_its_fence_is_caught() {
    with_seeded_bug("ring.close", a_closed_ring_refuses);
}

#[test]
#[should_panic]
fn a_new_limit_without_its_fence_is_caught() {
    with_seeded_bug("ring.arm", a_closed_ring_refuses);
}

#[test]
fn a_ring_goes_from_thread_to_thread() {
    a_retired_ring_has_everything_and_serves_again();
}

#[test]
#[should_panic]
fn a_relaxed_retirement_is_caught() {
    with_seeded_bug("ring.retire", a_retired_ring_has_everything_and_serves_again);
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_state_is_caught() {
    with_seeded_bug("ring.retired", a_retired_ring_has_everything_and_serves_again);
}
