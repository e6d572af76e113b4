//! The ring against a naive model, on its borders, across a fork, and after its process's death.

use std::collections::VecDeque;
use std::path::Path;

use proptest::prelude::*;

use super::consumer::Pending;
use super::*;

const CAPACITY: usize = CAPACITY_BYTES_MIN;

fn private() -> (Producer, Consumer) {
    create(RingOptions { capacity_bytes: CAPACITY, id: 7, path: None }).unwrap().split()
}

fn in_file(path: &Path) -> Ring {
    create(RingOptions { capacity_bytes: CAPACITY, id: 7, path: Some(path.to_owned()) }).unwrap()
}

/// A record as the writer sees one: its length in front, then `byte`.
fn fill(record: &mut [u8], byte: u8) {
    let len = record.len();
    record.fill(byte);
    record[..8].copy_from_slice(&(len as u64 & 0x00ff_ffff).to_le_bytes());
}

/// Logs one record, taking the cold path if need be, and says what that found.
fn push(producer: &mut Producer, len: usize, byte: u8) -> Result<Option<Refresh>, Refresh> {
    let mut refreshed = None;
    if producer.reserve(len).is_none() {
        let found = producer.refresh(len);
        if !matches!(found, Refresh::Ready | Refresh::CrossedHalf) {
            return Err(found);
        }
        refreshed = Some(found);
    }
    fill(producer.reserve(len).expect("the cold path has just made room"), byte);
    producer.commit();
    Ok(refreshed)
}

/// The records in some bytes: length and last byte of each. Skip markers are passed over.
fn records(bytes: &[u8]) -> Vec<(usize, u8)> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while !rest.is_empty() {
        let prefix = u64::from_le_bytes(rest[..8].try_into().unwrap());
        let len = (prefix & 0x00ff_ffff) as usize;
        if prefix >> 32 == 0 {
            found.push((len, if len == 8 { 0 } else { rest[len - 1] }));
        }
        rest = &rest[len..];
    }
    found
}

fn pending_records(consumer: &mut Consumer) -> Vec<(usize, u8)> {
    let Pending { from, to, runs: [first, second] } = consumer.pending();
    assert_eq!((to - from) as usize, first.len() + second.len());
    let mut found = records(first);
    found.append(&mut records(second));
    found
}

fn drain(consumer: &mut Consumer) -> Vec<(usize, u8)> {
    let found = pending_records(consumer);
    let to = consumer.pending().to;
    consumer.release(to);
    found
}

#[test]
fn a_record_is_seen_when_it_is_committed_and_not_before() {
    let (mut producer, mut consumer) = private();
    assert_eq!(push(&mut producer, 24, 1), Ok(Some(Refresh::Ready)));
    fill(producer.reserve(16).unwrap(), 2);
    assert_eq!(pending_records(&mut consumer), [(24, 1)]);
    producer.commit();
    assert_eq!(drain(&mut consumer), [(24, 1), (16, 2)]);
    assert_eq!(drain(&mut consumer), []);
}

#[test]
fn a_pushed_record_is_seen_at_once_and_one_given_up_never() {
    let (mut producer, mut consumer) = private();
    let full = |producer: &mut Producer| !producer.push(24, |_| panic!("there is no room"));
    assert!(full(&mut producer), "the first record takes the cold path");
    assert_eq!(producer.refresh(24), Refresh::Ready);
    for byte in [1, 2] {
        assert!(!producer.push(24, |_| false));
        assert!(producer.push(24, |record| {
            fill(record, byte);
            true
        }));
        assert_eq!(drain(&mut consumer), [(24, byte)]);
    }
    consumer.shared().close();
    assert!(full(&mut producer), "a closed ring has no room");
}

#[test]
fn a_stamp_stays_until_the_ring_goes_to_another_thread() {
    let (mut producer, consumer) = private();
    assert_eq!(producer.stamp(), 0);
    assert!(producer.set_stamp(7));
    assert_eq!(producer.stamp(), 7);
    producer.retire();
    let (producer, _consumer) = consumer.reclaim().unwrap().split();
    assert_eq!(producer.stamp(), 0);
}

#[test]
fn a_record_reserved_twice_is_committed_once() {
    let (mut producer, mut consumer) = private();
    producer.refresh(24);
    fill(producer.reserve(24).unwrap(), 1);
    fill(producer.reserve(16).unwrap(), 2);
    producer.commit();
    producer.commit();
    assert_eq!(drain(&mut consumer), [(16, 2)]);
}

#[test]
fn the_marker_is_the_one_that_records_are_walked_by() {
    assert_eq!(skip_marker(1 << 20), crate::record::prefix(1 << 20, 0, crate::record::SKIP));
    assert_eq!(skip_marker(8), crate::record::prefix(8, 0, crate::record::SKIP));
}

#[test]
fn the_rest_of_a_lap_is_skipped_and_keeps_its_positions() {
    let (mut producer, mut consumer) = private();
    let long = CAPACITY / 4;
    for _ in 0..3 {
        push(&mut producer, long, 1).unwrap();
        drain(&mut consumer);
    }
    push(&mut producer, long - 40, 2).unwrap();
    push(&mut producer, 48, 3).unwrap();
    let Pending { from, to, runs: [first, second] } = consumer.pending();
    assert_eq!((from, to), (3 * long as u64, (CAPACITY + 48) as u64));
    assert_eq!(first[long - 40..][..8], skip_marker(40));
    assert_eq!(records(second), [(48, 3)]);
}

#[test]
fn a_record_may_end_where_the_lap_ends() {
    let (mut producer, mut consumer) = private();
    for byte in 0..12 {
        push(&mut producer, CAPACITY / 4, byte).unwrap();
        let seen = consumer.pending();
        assert_eq!((seen.to - seen.from) as usize, CAPACITY / 4);
        drain(&mut consumer);
    }
}

#[test]
fn passing_half_full_is_told_once_each_time() {
    let (mut producer, mut consumer) = private();
    for _ in 0..3 {
        let mut crossings = Vec::new();
        for nth in 0..CAPACITY / 64 {
            if push(&mut producer, 64, 1).unwrap() == Some(Refresh::CrossedHalf) {
                crossings.push(nth);
            }
        }
        assert_eq!(crossings, [CAPACITY / 128], "the first record beyond half");
        drain(&mut consumer);
    }
}

#[test]
fn a_full_ring_says_what_is_missing_and_takes_a_smaller_record() {
    let (mut producer, mut consumer) = private();
    for _ in 0..CAPACITY / 1024 - 1 {
        push(&mut producer, 1024, 1).unwrap();
    }
    push(&mut producer, 1000, 1).unwrap();
    let full = Refresh::Full { needed_bytes: 24 + 32, free_bytes: 24 };
    assert_eq!(push(&mut producer, 32, 2), Err(full));
    push(&mut producer, 24, 3).unwrap();
    assert_eq!(push(&mut producer, 8, 4), Err(Refresh::Full { needed_bytes: 8, free_bytes: 0 }));
    assert_eq!(consumer.used_bytes(), CAPACITY);
    assert_eq!(drain(&mut consumer).last(), Some(&(24, 3)));
    push(&mut producer, 32, 5).unwrap();
}

#[test]
fn a_record_beyond_a_quarter_of_the_ring_never_fits() {
    let (mut producer, _consumer) = private();
    let limit_bytes = CAPACITY / 4;
    assert_eq!(push(&mut producer, limit_bytes + 8, 1), Err(Refresh::TooLong { limit_bytes }));
    assert!(producer.reserve(usize::MAX - 7).is_none());
    assert_eq!(producer.refresh(usize::MAX - 7), Refresh::TooLong { limit_bytes });
    push(&mut producer, limit_bytes, 1).unwrap();
    assert!(producer.reserve(usize::MAX - 7).is_none());
}

#[test]
fn a_closed_ring_refuses_the_next_record_and_keeps_the_earlier_ones() {
    let (mut producer, mut consumer) = private();
    push(&mut producer, 16, 1).unwrap();
    fill(producer.reserve(24).unwrap(), 2);
    consumer.shared().close();
    producer.commit();
    assert!(producer.reserve(8).is_none());
    assert_eq!(producer.refresh(8), Refresh::Closed);
    assert!(producer.reserve(8).is_none());
    assert!(producer.is_closed() && consumer.shared().is_closed());
    assert_eq!(drain(&mut consumer), [(16, 1), (24, 2)]);
}

#[test]
fn a_consumer_may_read_ahead_of_what_it_releases() {
    let (mut producer, mut consumer) = private();
    push(&mut producer, 16, 1).unwrap();
    let taken = consumer.pending().to;
    push(&mut producer, 24, 2).unwrap();
    assert_eq!(records(consumer.pending_from(taken).runs[0]), [(24, 2)]);
    assert_eq!(consumer.pending().from, 0);
    assert_eq!(consumer.pending_from(u64::MAX).runs, [&[0u8; 0][..]; 2]);
    consumer.release(u64::MAX);
    assert_eq!((consumer.head(), consumer.used_bytes()), (40, 0));
    consumer.release(0);
    assert_eq!(consumer.head(), 40);
}

#[test]
fn a_retired_ring_goes_on_with_another_thread() {
    let (mut producer, mut consumer) = private();
    push(&mut producer, 16, 1).unwrap();
    producer.count(3);
    producer.count(usize::MAX);
    consumer = consumer.reclaim().unwrap_err();
    producer.retire();
    assert!(consumer.is_retired());
    consumer = consumer.reclaim().expect_err("something is unread");
    drain(&mut consumer);
    let ring = consumer.reclaim().unwrap();
    let thread = std::thread::Builder::new().name("é".repeat(40));
    let (mut producer, mut consumer) = thread.spawn(|| ring.split()).unwrap().join().unwrap();
    assert_eq!(consumer.head(), 16);
    assert_eq!(consumer.thread_name(), "é".repeat(32));
    assert_ne!(consumer.thread_id(), 0);
    push(&mut producer, 24, 2).unwrap();
    assert_eq!(drain(&mut consumer), [(24, 2)]);
    assert!(!consumer.is_retired());
    let counters = consumer.shared().counters();
    assert_eq!((counters[3], counters[COUNTERS - 1], counters[0]), (1, 1, 0));
}

#[test]
fn a_capacity_out_of_bounds_is_refused_by_name() {
    for capacity_bytes in [0, 8 << 10, (16 << 10) + 8, 128 << 20, usize::MAX] {
        let error = create(RingOptions { capacity_bytes, id: 0, path: None }).unwrap_err();
        assert!(error.to_string().contains(&capacity_bytes.to_string()), "{error}");
    }
}

#[test]
fn two_threads_pass_every_record_in_order() {
    let (mut producer, mut consumer) = private();
    const COUNT: u64 = 200_000;
    let len = |nth: u64| 16 + (nth % 7) as usize * 8;
    let logging = std::thread::spawn(move || {
        for nth in 0..COUNT {
            while producer.reserve(len(nth)).is_none() {
                if let Refresh::Full { .. } = producer.refresh(len(nth)) {
                    std::thread::yield_now();
                }
            }
            let record = producer.reserve(len(nth)).unwrap();
            record[..8].copy_from_slice(&(len(nth) as u64).to_le_bytes());
            record[8..16].copy_from_slice(&nth.to_le_bytes());
            producer.commit();
        }
    });
    let mut next = 0;
    while next < COUNT {
        let Pending { to, runs, .. } = consumer.pending();
        for mut run in runs {
            while !run.is_empty() {
                let prefix = u64::from_le_bytes(run[..8].try_into().unwrap());
                let record_len = (prefix & 0x00ff_ffff) as usize;
                if prefix >> 32 == 0 {
                    assert_eq!(record_len, len(next));
                    assert_eq!(u64::from_le_bytes(run[8..16].try_into().unwrap()), next);
                    next += 1;
                }
                run = &run[record_len..];
            }
        }
        consumer.release(to);
        std::thread::yield_now();
    }
    logging.join().unwrap();
}

/// What can be done to a ring, and to its model.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Reads everything, releases this many quarters of it.
    Drain(u64),
    Recycle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let words = prop_oneof![8 => 1..40_usize, 2 => 1..=CAPACITY / 32];
    let step = prop_oneof![
        20 => words.prop_map(|words| Step::Push(words * 8)),
        3 => (0..=4_u64).prop_map(Step::Drain),
        1 => Just(Step::Recycle),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_ring_is_a_queue(steps in steps()) {
        let (mut producer, mut consumer) = private();
        // Each record with the position of its first byte.
        let mut model = VecDeque::new();
        let mut used_bound = 0;
        let mut byte = 0_u8;
        for step in steps {
            match step {
                Step::Push(len) => match push(&mut producer, len, byte) {
                    Ok(_) => {
                        model.push_back((len, if len == 8 { 0 } else { byte }));
                        used_bound = consumer.used_bytes();
                        byte = byte.wrapping_add(1);
                    }
                    Err(Refresh::Full { needed_bytes, free_bytes }) => {
                        prop_assert!(needed_bytes > free_bytes);
                        prop_assert!(needed_bytes >= len && needed_bytes < 2 * CAPACITY / 4);
                        prop_assert!(free_bytes <= CAPACITY - used_bound);
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                },
                Step::Drain(quarters) => {
                    let found = pending_records(&mut consumer);
                    prop_assert_eq!(&found, &Vec::from(model.clone()));
                    let Pending { from, to, runs } = consumer.pending();
                    // Whole records only: walk to the first border behind the quarter.
                    let wanted = from + (to - from) / 4 * quarters;
                    let (mut position, mut passed) = (from, 0);
                    let all = [runs[0], runs[1]].concat();
                    while position < wanted {
                        let at = (position - from) as usize;
                        let prefix = u64::from_le_bytes(all[at..at + 8].try_into().unwrap());
                        passed += usize::from(prefix >> 32 == 0);
                        position += prefix & 0x00ff_ffff;
                    }
                    consumer.release(position);
                    model.drain(..passed);
                    used_bound = consumer.used_bytes();
                }
                Step::Recycle => {
                    producer.retire();
                    prop_assert_eq!(drain(&mut consumer), Vec::from(std::mem::take(&mut model)));
                    (producer, consumer) = consumer.reclaim().unwrap().split();
                    used_bound = 0;
                }
            }
        }
        prop_assert_eq!(drain(&mut consumer), Vec::from(model));
    }
}

mod after_death {
    use super::*;

    #[test]
    fn a_dead_ring_keeps_what_was_committed_and_not_released() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let thread = std::thread::Builder::new().name("till".into());
        let ring = in_file(&path);
        let (mut producer, mut consumer) =
            thread.spawn(move || ring.split()).unwrap().join().unwrap();
        let long = CAPACITY / 4;
        for byte in 0..4 {
            push(&mut producer, long - 8, byte).unwrap();
        }
        consumer.pending();
        consumer.release(3 * (long as u64 - 8));
        push(&mut producer, 64, 9).unwrap();
        producer.count(2);
        fill(producer.reserve(64).unwrap(), 10);

        let dead = read_dead(&path).unwrap();
        let Pending { from, to, runs } = consumer.pending();
        assert_eq!((dead.head, dead.tail, dead.id), (from, to, 7));
        assert_eq!(dead.bytes, runs.concat());
        assert_eq!(records(&dead.bytes), [(long - 8, 3), (64, 9)]);
        assert_eq!((&*dead.thread_name, dead.incarnation), ("till", 1));
        assert_eq!(
            (dead.os_thread_id, dead.counters),
            (consumer.thread_id(), consumer.shared().counters())
        );
        assert_eq!(records(bytes_from(&dead, to - 64)), [(64, 9)]);
        assert_eq!(bytes_from(&dead, 0), dead.bytes);
        assert_eq!(bytes_from(&dead, u64::MAX), b"");
    }

    /// Names the ring's file to the process that is going to be killed.
    const VICTIM: &str = "ROLLWAY_TEST_VICTIM_RING";

    /// Logs ascending numbers until it is killed.
    fn log_for_ever(path: &Path) -> ! {
        let (mut producer, mut consumer) = in_file(path).split();
        let mut number = 0_u64;
        loop {
            let len = 16 + (number % 5) as usize * 8;
            if producer.reserve(len).is_none()
                && let Refresh::Full { .. } = producer.refresh(len)
            {
                let to = consumer.pending().to;
                consumer.release(to);
                producer.refresh(len);
            }
            let record = producer.reserve(len).unwrap();
            record[..8].copy_from_slice(&(len as u64).to_le_bytes());
            record[8..16].copy_from_slice(&number.to_le_bytes());
            producer.commit();
            number += 1;
        }
    }

    #[test]
    fn a_killed_process_leaves_whole_records_in_order() {
        use std::process::{Command, Stdio};
        if let Some(path) = std::env::var_os(VICTIM) {
            log_for_ever(Path::new(&path));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let this_test = "ring::tests::after_death::a_killed_process_leaves_whole_records_in_order";
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this_test])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !read_dead(&path).is_ok_and(|ring| ring.tail > 20 * CAPACITY as u64) {
            assert_eq!(victim.try_wait().unwrap(), None, "the victim logs for ever");
            std::thread::yield_now();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();

        let dead = read_dead(&path).unwrap();
        let (mut rest, mut numbers) = (&dead.bytes[..], Vec::new());
        while !rest.is_empty() {
            let prefix = u64::from_le_bytes(rest[..8].try_into().unwrap());
            let len = (prefix & 0x00ff_ffff) as usize;
            if prefix >> 32 == 0 {
                numbers.push(u64::from_le_bytes(rest[8..16].try_into().unwrap()));
                assert_eq!(len as u64, 16 + numbers[numbers.len() - 1] % 5 * 8);
            }
            rest = &rest[len..];
        }
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_within_its_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let (mut producer, _consumer) = in_file(&path).split();
        push(&mut producer, 64, 1).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let dead = read_dead(&path).unwrap();
        for at in 0..1024 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            let moved = (256..264).contains(&at) || (384..392).contains(&at);
            match read_dead(&path) {
                Ok(read) if moved => assert!(read.bytes.len() <= CAPACITY, "byte {at}"),
                Ok(read) => {
                    assert!(at >= 108, "byte {at} is covered by the checksum");
                    assert_eq!(read.bytes, dead.bytes, "byte {at}");
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}"),
            }
        }
        for len in [0, 8, 4095, 4096, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(read_dead(&path).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_thread_that_died_while_it_entered_its_name_leaves_an_empty_ring() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        drop(in_file(&path).split());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[36..44].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_dead(&path).unwrap().bytes, b"");
    }
}

#[cfg(target_os = "linux")]
mod across_a_fork {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    /// Runs `check` in a forked child. What it owns lives on in the parent, in what is returned.
    fn in_child(mut check: impl FnMut() -> bool + Send + Sync + 'static) -> Command {
        let mut command = Command::new("true");
        let check = move || if check() { Ok(()) } else { Err(io::ErrorKind::Other.into()) };
        // SAFETY: the checks neither allocate nor lock.
        unsafe { command.pre_exec(check) };
        assert!(command.status().expect("the check held in the child").success());
        command
    }

    /// Lets a check own what is not `Sync`: the child has one thread.
    struct Alone<T>(T);
    // SAFETY: see the type.
    unsafe impl<T> Sync for Alone<T> {}

    #[test]
    fn a_forked_child_never_touches_its_parents_ring() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let (mut producer, mut consumer) = in_file(&path).split();
        push(&mut producer, 64, 1).unwrap();
        fill(producer.reserve(16).unwrap(), 2);
        assert_eq!(consumer.pending().to, 64);
        let before = std::fs::read(&path).unwrap();

        let mut both = Alone((Some(producer), consumer));
        let parents = in_child(move || {
            let both = &mut both;
            let (producer, consumer) = &mut both.0;
            let Some(mut producer) = producer.take() else { return false };
            producer.commit();
            producer.count(0);
            let refused = producer.reserve(8).is_none() && producer.reserve(0).is_none();
            let forked = producer.refresh(8) == Refresh::Forked;
            producer.retire();
            consumer.release(64);
            refused && forked && consumer.pending().to == 0
        });
        assert!(std::fs::read(&path).unwrap() == before);
        drop(parents);
        assert!(std::fs::read(&path).unwrap() != before, "the parent's producer retires");
    }
}
