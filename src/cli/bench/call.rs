//! What a log call costs the thread that makes it.

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::super::args::BenchPartArgs;
use super::super::exit::{Exit, Failure};
use super::COMMAND;
use super::part::{engine, failure_of_start, mixed4};
use crate::clock::{self, Rate};
use crate::engine::prepare_thread;
use crate::{debug, info};

/// Calls timed as one: the clock ticks in steps of about a call's length.
const CALLS: u64 = 20;
/// Disabled calls timed as one.
const DISABLED_CALLS: u64 = 2000;
/// Between two bursts, so that the rings never fill.
const PACE: Duration = Duration::from_micros(20);
/// The sleep in front of a single call.
const PAUSE: Duration = Duration::from_micros(500);
/// Nobody reads the journal: its segments are used again and again.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// Figures of this part, and with it the share of the time that each has.
const FIGURES: f64 = 5.0;
/// The share of a figure's time that only warms the caches.
const WARM_UP: f64 = 0.1;
/// The longest time that is told from longer ones: ten minutes of a counter of 2 GHz.
const TICKS_MAX: u64 = 1 << 40;
/// Digits of a quantile.
const DIGITS: u8 = 3;

pub(super) fn measure(args: &BenchPartArgs) -> Result<Value, Failure> {
    let guard = engine(args, JOURNAL_BYTES_MAX).init().map_err(|error| failure_of_start(&error))?;
    prepare_thread();
    let timer = Timer {
        nanos_per_tick: Rate::measure().nanos_per_tick(),
        time: Duration::from_secs_f64(args.seconds / FIGURES),
    };
    let text = "x".repeat(100);
    let str100 = |_| info!("{}", black_box(&*text));
    let disabled = timer.bursts(DISABLED_CALLS, |n| debug!("order {}", black_box(n)))?;
    let int2 = timer.bursts(CALLS, |n| info!("order {} qty {}", black_box(n as i32), n as i32))?;
    let mixed4_burst = timer.bursts(CALLS, mixed4)?;
    let str100 = timer.bursts(CALLS, str100)?;
    let after_pause = timer.after_pauses(mixed4)?;
    let stats = guard.stats();
    Ok(json!({
        "durability": format!("{:?}", stats.durability),
        "disabled": disabled, "int2": int2, "mixed4": mixed4_burst, "str100": str100,
        "after_pause": after_pause,
        "lost": stats.dropped.total(),
    }))
}

struct Timer {
    nanos_per_tick: f64,
    /// For one figure.
    time: Duration,
}

impl Timer {
    /// Times bursts of `calls`, and returns what one call of them takes.
    fn bursts(&self, calls: u64, mut call: impl FnMut(u64)) -> Result<Value, Failure> {
        let burst = || {
            let start = clock::ticks();
            for n in 0..calls {
                call(black_box(n));
            }
            clock::ticks() - start
        };
        let pace = || {
            let start = Instant::now();
            while start.elapsed() < PACE {
                spin_loop();
            }
        };
        self.repeat(calls, burst, pace)
    }

    /// Times single calls, each after a sleep. The time of reading the clock is in them.
    fn after_pauses(&self, mut call: impl FnMut(u64)) -> Result<Value, Failure> {
        let mut n = 0;
        let single = || {
            let start = clock::ticks();
            call(n);
            n += 1;
            clock::ticks() - start
        };
        self.repeat(1, single, || std::thread::sleep(PAUSE))
    }

    fn repeat(
        &self,
        calls: u64,
        mut timed: impl FnMut() -> u64,
        pause: impl Fn(),
    ) -> Result<Value, Failure> {
        let mut histogram = Histogram::<u64>::new_with_max(TICKS_MAX, DIGITS).map_err(|error| {
            Failure::caused(Exit::Io, format!("{COMMAND}: cannot count times"), &error)
        })?;
        let begin = Instant::now();
        let warm_up = self.time.mul_f64(WARM_UP);
        // The first is no figure, and there is one at the least.
        let mut is_warm = false;
        while histogram.is_empty() || begin.elapsed() < self.time {
            pause();
            let ticks = timed();
            if is_warm {
                histogram.saturating_record(ticks);
            }
            is_warm = begin.elapsed() >= warm_up;
        }
        let quantile = |quantile| {
            let ticks = histogram.value_at_quantile(quantile) as f64;
            ticks * self.nanos_per_tick / calls as f64
        };
        Ok(json!({
            "p50_ns": quantile(0.5), "p99_ns": quantile(0.99), "p999_ns": quantile(0.999),
            "timings": histogram.len(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_quantiles_in_order_however_short_the_time() {
        let timer = Timer { nanos_per_tick: 0.5, time: Duration::ZERO };
        let mut ticks = [7, 40].into_iter();
        let figure = timer.repeat(20, || ticks.next().unwrap(), || ()).unwrap();
        let expected = json!({ "p50_ns": 1.0, "p99_ns": 1.0, "p999_ns": 1.0, "timings": 1 });
        assert_eq!(figure, expected);
    }

    #[test]
    fn a_call_that_took_long_is_in_the_tail() {
        let timer = Timer { nanos_per_tick: 1.0, time: Duration::from_millis(20) };
        let mut turn = 0;
        let timed = || {
            turn += 1;
            if turn % 2 == 0 { 10 } else { 5_000_000 }
        };
        let figure = timer.repeat(1, timed, || ()).unwrap();
        let p999_ns = figure["p999_ns"].as_f64().unwrap();
        assert!((p999_ns / 5e6 - 1.0).abs() < 1e-3, "{figure}");
    }
}
