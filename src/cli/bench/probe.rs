//! What the machine itself takes, measured beside each figure: the clock, and a message between two
//! cores.
//!
//! A shared machine changes under the measurement: its cores lie near each other or far apart, and
//! a figure means little without knowing which. The benches include this file as well.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Messages to and fro of one reading of the round trip.
const ROUND_TRIPS: u64 = 20_000;
/// Readings; the median counts.
const READINGS: usize = 7;
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
    /// Takes some 50 ms of two cores.
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
    let mut readings: Vec<f64> = (0..READINGS).map(|_| reading()).collect();
    readings.sort_by(f64::total_cmp);
    readings[READINGS / 2]
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
    let wait = |line: &Line, number| {
        while line.0.load(Ordering::Acquire) < number {
            spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ROUND_TRIPS {
                wait(&ping, number);
                pong.0.store(number, Ordering::Release);
            }
        });
        let mut start = Instant::now();
        for number in 1..=ROUND_TRIPS {
            if number == ROUND_TRIPS / 10 {
                start = Instant::now(); // the other thread runs by now
            }
            ping.0.store(number, Ordering::Release);
            wait(&pong, number);
        }
        start.elapsed().as_nanos() as f64 / (ROUND_TRIPS - ROUND_TRIPS / 10) as f64
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
