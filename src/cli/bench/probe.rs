//! What the machine itself takes, measured beside each figure: the clock, and a message between two
//! cores.
//!
//! A shared machine changes under the measurement: its cores lie near each other or far apart, and
//! a figure means little without knowing which. The benches include this file as well.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Messages to and fro of one reading of the round trip.
const ROUND_TRIPS: u64 = 20_000;
/// Those in front of them.
const WARM_UP_TRIPS: u64 = 200;
/// The message after which no more come.
const LAST: u64 = u64::MAX;
/// Readings; the median counts.
const READINGS: usize = 7;
/// On a busy machine fewer of them: a message waits there until the other thread has a core.
const READINGS_MAX: Duration = Duration::from_secs(1);
/// One reading takes no longer, and [`TRIPS_PER_LOOK`] round trips.
const READING_MAX: Duration = Duration::from_millis(100);
/// Round trips between two looks at the time.
const TRIPS_PER_LOOK: u64 = 50;
/// Clock reads timed as one.
const CLOCK_READS: u64 = 200_000;

/// The floor under every figure, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// One read of the clock that a log call reads.
    pub clock_ns: f64,
    /// A message to another core and back, over two cache lines. About 110 where the cores are near,
    /// about 500 where they are far; 0 where there is one core alone.
    pub round_trip_ns: f64,
}

impl Probe {
    /// Takes some 50 ms of two cores; a few seconds where others work on them.
    pub fn take() -> Probe {
        let round_trip_ns = if is_single_core() { 0.0 } else { median(round_trip_ns) };
        Probe { clock_ns: median(clock_ns), round_trip_ns }
    }
}

/// There each message would wait for the other thread's turn: milliseconds, thousands of times.
fn is_single_core() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1)
}

fn median(mut reading: impl FnMut() -> f64) -> f64 {
    let begin = Instant::now();
    let mut readings = vec![reading()];
    while readings.len() < READINGS && begin.elapsed() < READINGS_MAX {
        readings.push(reading());
    }
    readings.sort_by(f64::total_cmp);
    readings[readings.len() / 2]
}

fn clock_ns() -> f64 {
    let start = Instant::now();
    for _ in 0..CLOCK_READS {
        black_box(rollway::clock::ticks());
    }
    start.elapsed().as_nanos() as f64 / CLOCK_READS as f64
}

fn round_trip_ns() -> f64 {
    /// A counter on a line of its own; two lines lie apart from what is fetched in pairs.
    #[repr(align(128))]
    struct Line(AtomicU64);

    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    // Release and Acquire: the message is the number itself.
    let wait = |line: &Line, number| loop {
        let seen = line.0.load(Ordering::Acquire);
        if seen >= number {
            return seen;
        }
        spin_loop();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1;
            while wait(&ping, number) != LAST {
                pong.0.store(number, Ordering::Release);
                number += 1;
            }
        });
        let trip = |number| {
            ping.0.store(number, Ordering::Release);
            wait(&pong, number);
        };
        // The other thread runs after these.
        (1..=WARM_UP_TRIPS).for_each(trip);
        let start = Instant::now();
        let mut trips = 0;
        while trips < ROUND_TRIPS && start.elapsed() < READING_MAX {
            for _ in 0..TRIPS_PER_LOOK {
                trips += 1;
                trip(WARM_UP_TRIPS + trips);
            }
        }
        let taken = start.elapsed();
        ping.0.store(LAST, Ordering::Release);
        taken.as_nanos() as f64 / trips as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_two_figures() {
        let probe = Probe::take();
        assert!(probe.clock_ns > 0.0, "{probe:?}");
        assert_eq!(probe.round_trip_ns > 0.0, !is_single_core(), "{probe:?}");
    }
}
