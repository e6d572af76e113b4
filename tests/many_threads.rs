//! Many threads at once: nothing is lost, and each thread's events keep their order.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rollway::appender::File;
use rollway::layout::Pattern;
use rollway::{OverflowPolicy, WaitStrategy};
use support::destination::Collector;
use support::{PATIENCE, is_long_run, journal, lines, message_file, wait_until, watchdog};

const THREADS: usize = 4;

/// Events of each thread.
fn events() -> usize {
    if is_long_run() { 1_000_000 } else { 50_000 }
}

/// Fails unless `lines` hold `thread number …` of every thread, all numbers, in order.
fn assert_complete_and_in_order<'a>(
    lines: impl Iterator<Item = &'a str>,
    threads: usize,
    events: usize,
) {
    let mut next = vec![0; threads];
    for line in lines {
        let mut words = line.split(' ').map(|word| word.parse::<usize>());
        let (Some(Ok(thread)), Some(Ok(number))) = (words.next(), words.next()) else {
            panic!("nobody logged {line:?}");
        };
        assert_eq!(number, next[thread], "thread {thread} in {line:?}");
        next[thread] += 1;
    }
    assert_eq!(next, vec![events; threads]);
}

#[test]
fn threads_log_mixed_events_to_a_file_and_a_journal_at_once() {
    /// Of 10,000 lines so many may stand further than this from their place in time.
    const FAR_NS: u64 = 10_000_000;
    const FAR_MAX: usize = 1;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (text, events) = (dir.path().join("app.log"), events());
    let interrupted = AtomicUsize::new(0);
    let guard = rollway::builder()
        .journal_dir(dir.path().join("journal"))
        .appender("file", File::new(&text).layout(Pattern::parse("%d{EPOCH_NS} %m%n").unwrap()))
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (logger, interrupted) = (guard.logger(), &interrupted);
            scope.spawn(move || {
                for number in 0..events {
                    let began = Instant::now();
                    match number % 5 {
                        0 => rollway::info!(logger: logger, "{thread} {number}"),
                        1 => rollway::warn!(logger: logger, "{thread} {number} of {}", "many"),
                        2 => rollway::error!(logger: logger, "{thread} {number} {:.3}", 0.125),
                        3 => {
                            let place = Path::new("a/b").display();
                            rollway::info!(logger: logger, "{thread} {number} at {place}");
                        }
                        _ => rollway::info!(logger: logger, kind = 7; "{thread} {number} {:?}", Some('x')),
                    }
                    // The machine gave the CPU to somebody else in the middle of the call, or the
                    // ring was full: its time may be that of its beginning.
                    let is_long = began.elapsed() > Duration::from_nanos(FAR_NS / 2);
                    interrupted.fetch_add(usize::from(is_long), Ordering::Relaxed);
                }
            });
        }
    });
    let report = guard.shutdown(PATIENCE);
    let all = (THREADS * events) as u64;
    assert_eq!((report.delivered(), report.left(), report.dropped.total()), (all, 0, 0));

    let lines = lines(&text);
    let parts = || lines.iter().map(|line| line.split_once(' ').unwrap());
    assert_complete_and_in_order(parts().map(|(_, message)| message), THREADS, events);
    let written: Vec<i64> = parts().map(|(time, _)| time.parse().unwrap()).collect();
    let mut sorted = written.clone();
    sorted.sort_unstable();
    let far = written.iter().zip(&sorted).filter(|(a, b)| a.abs_diff(**b) > FAR_NS).count();
    let interrupted = interrupted.into_inner();
    println!("{far} of {} lines are out of time, {interrupted} calls were long", lines.len());
    assert!(far <= lines.len() / 10_000 * FAR_MAX + interrupted);

    let journal = journal::messages(&dir.path().join("journal"));
    assert_complete_and_in_order(journal.iter().map(String::as_str), THREADS, events);
}

/// Threads log in turns, so that the order of time is known, and nobody empties their rings
/// meanwhile. What comes out must be in that order.
fn assert_full_rings_come_out_in_order(
    builder: rollway::Builder,
    threads: usize,
    turns: usize,
    ballast_bytes: impl Fn(usize) -> usize,
) {
    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let mut guard = builder
        .wait(WaitStrategy::Manual)
        .overflow(OverflowPolicy::Drop)
        .appender("memory", collector)
        .start()
        .unwrap();
    let turn = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (logger, turn) = (guard.logger(), &turn);
            let ballast = "x".repeat(ballast_bytes(thread));
            scope.spawn(move || {
                for number in (0..turns).map(|round| round * threads + thread) {
                    while turn.load(Ordering::Acquire) != number {
                        std::thread::yield_now();
                    }
                    rollway::info!(logger: logger, "{number} {ballast}");
                    turn.store(number + 1, Ordering::Release);
                }
            });
        }
    });
    while guard.poll() {}
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    let messages = collected.messages();
    let numbers = messages.iter().map(|message| message.split(' ').next().unwrap());
    let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, (0..threads * turns).collect::<Vec<_>>());
}

#[test]
fn full_rings_are_emptied_in_the_order_of_time() {
    // 8 MiB, more than one block takes; the first threads write the longest events.
    assert_full_rings_come_out_in_order(rollway::builder(), 8, 600, |thread| 1600 - 200 * thread);
}

#[test]
fn rings_full_of_the_longest_events_are_emptied_in_the_order_of_time() {
    let builder = rollway::builder().ring_bytes(4 << 20).record_bytes_max(1 << 20);
    // Longer than the room of one ring among six in a block.
    assert_full_rings_come_out_in_order(builder, 6, 3, |thread| 1_000_000 - thread);
}

#[test]
fn threads_come_and_go_and_their_rings_serve_the_next_ones() {
    const WAVES: usize = 250;
    const WIDTH: usize = 8;
    const RINGS: usize = 16;

    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .ring_bytes(16 << 10)
        .ring_memory_bytes(RINGS * (16 << 10))
        .appender("memory", collector)
        .start()
        .unwrap();
    for wave in 0..WAVES {
        std::thread::scope(|scope| {
            for thread in 0..WIDTH {
                let logger = guard.logger();
                scope.spawn(move || rollway::info!(logger: logger, "{}", wave * WIDTH + thread));
            }
        });
    }
    wait_until("the rings of ended threads go back", || guard.stats().rings == 0);
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0));
    let mut numbers: Vec<usize> =
        collected.messages().iter().map(|message| message.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..WAVES * WIDTH).collect::<Vec<_>>());
}

#[test]
fn threads_beyond_the_ring_memory_share_the_overflow_ring() {
    const THREADS: usize = 24;
    const EVENTS: usize = 500;

    let _watchdog = watchdog();
    let (collector, collected) = Collector::new();
    let guard = rollway::builder()
        .ring_bytes(16 << 10)
        .ring_memory_bytes(4 * (16 << 10))
        .appender("memory", collector)
        .start()
        .unwrap();
    // All of them are alive at once, so that most find no ring.
    let all_alive = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (logger, all_alive) = (guard.logger(), &all_alive);
            scope.spawn(move || {
                rollway::info!(logger: logger, "{thread} 0");
                all_alive.wait();
                for number in 1..EVENTS {
                    rollway::info!(logger: logger, "{thread} {number}");
                }
            });
        }
    });
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    let messages = collected.messages();
    assert_complete_and_in_order(messages.iter().map(String::as_str), THREADS, EVENTS);
}

#[test]
fn a_slow_appender_behind_small_rings_gets_everything_in_order() {
    const EVENTS: usize = 40_000;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let (collector, collected) = Collector::new();
    // The journal is as small as can be: 16 MiB; the events fill it several times over.
    let guard = rollway::builder()
        .ring_bytes(16 << 10)
        .record_bytes_max(4 << 10)
        .journal_max_bytes(1)
        .appender("file", message_file(&text))
        .appender("slow", collector.slow(Duration::from_micros(500)))
        .start()
        .unwrap();
    let ballast = "x".repeat(1000);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (logger, ballast) = (guard.logger(), &ballast);
            scope.spawn(move || {
                for number in 0..EVENTS / 2 {
                    rollway::info!(logger: logger, "{thread} {number} {ballast}");
                }
            });
        }
    });
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.delivered(), report.left()), (EVENTS as u64, 0), "{report:?}");
    assert_eq!(report.dropped.total(), 0);
    assert_complete_and_in_order(lines(&text).iter().map(String::as_str), 2, EVENTS / 2);
    let messages = collected.messages();
    assert_complete_and_in_order(messages.iter().map(String::as_str), 2, EVENTS / 2);
}
