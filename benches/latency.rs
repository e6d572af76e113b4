//! What does a log call cost the thread that makes it, at the median and in the tail?
//!
//! Twenty calls are timed as one, because the clock ticks in steps of about a call's length; between
//! two bursts the thread is busy elsewhere for 10 µs, so that the rings never fill. `clock` reads
//! the clock and nothing else: no call that has a time can be faster. Calls after a pause are timed
//! one by one, and the cost of timing is in their figures.
//!
//! `tmpfs` is the default with a journal directory: rings in shared memory, a journal in files.
//! `heap` is the default without one. Nobody reads the journal.

#[path = "support/child.rs"]
mod child;
#[allow(dead_code, unreachable_pub, reason = "shared with the other programs")]
mod support;

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rollway::clock::{Rate, ticks};
use rollway::{Guard, info};
use support::Figure;

const CALLS: u64 = 20;
const BURSTS: u64 = 30_000;
const WARM_UP: u64 = 3_000;
const PAUSE: Duration = Duration::from_micros(10);
/// Single calls after a pause; the pauses take 0.2 to 1 ms.
const SINGLE_CALLS: u64 = 4_000;

const CASES: [&str; 4] = ["tmpfs", "heap", "drain", "single"];

fn main() {
    let arguments = child::arguments();
    let one = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", case] => case.to_owned(),
        _ => return child::rounds("latency", &CASES, &arguments),
    };
    let dir = tempfile::tempdir().expect("a directory for the journal");
    let builder = match &*one {
        "heap" => rollway::builder(),
        "drain" => rollway::builder().journal_dir(dir.path()).timestamp(rollway::Timestamp::Drain),
        _ => rollway::builder().journal_dir(dir.path()),
    };
    let guard = builder.init().expect("the only logger of this process");
    // After the logger's threads were started: they would keep to this core as well.
    core_affinity::set_for_current(core_affinity::CoreId { id: 0 });
    rollway::prepare_thread();
    let nanos_per_tick = Rate::measure().nanos_per_tick();
    let measure = Measure { config: one.clone(), nanos_per_tick };
    match &*one {
        "single" => measure.single(),
        "drain" => measure.case("int2", int2),
        _ => measure.all(&guard),
    }
    let dropped = guard.stats().dropped.total();
    assert_eq!(dropped, 0, "a call that drops is not measured");
}

fn int2(n: u64) {
    info!("order {} qty {}", black_box(n as i32), black_box(7_i32));
}

fn mixed4(n: u64) {
    let (px, sym) = (black_box(1.25 + n as f64), black_box("ROLLWAYX"));
    info!("order {} filled qty {} px {} sym {}", black_box(n), black_box(7_i32), px, sym);
}

struct Measure {
    config: String,
    nanos_per_tick: f64,
}

impl Measure {
    fn all(&self, guard: &Guard) {
        self.case("clock", |_| {
            black_box(ticks());
        });
        self.case("disabled", |n| rollway::debug!("order {}", black_box(n)));
        self.case("int2", int2);
        self.case("mixed4", mixed4);
        let text = "x".repeat(100);
        self.case("str100", |_| info!("{}", black_box(&*text)));
        self.bursts("batch int2", |calls| {
            let _batch = rollway::batch();
            calls.for_each(int2);
        });
        self.bursts("batch mixed4", |calls| {
            let _batch = rollway::batch();
            calls.for_each(mixed4);
        });
        let logger = guard.logger();
        self.case("named logger int2", |n| info!(logger: logger, "order {}", black_box(n as i32)));
    }

    fn case(&self, case: &str, mut call: impl FnMut(u64)) {
        self.bursts(case, |calls| calls.for_each(&mut call));
    }

    /// Times bursts, and reports the cost of one call in them.
    fn bursts(&self, case: &str, mut burst: impl FnMut(std::ops::Range<u64>)) {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for number in 0..WARM_UP + BURSTS {
            let start = ticks();
            burst(0..CALLS);
            let taken = ticks() - start;
            if number >= WARM_UP {
                histogram.record(taken).expect("it grows");
            }
            busy(PAUSE);
        }
        self.report(&format!("{case} burst"), &histogram, CALLS);
    }

    fn single(&self) {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        let mut bracket = Histogram::<u64>::new(3).expect("three digits");
        let mut random = 1_u64;
        for n in 0..SINGLE_CALLS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            busy(Duration::from_micros(200 + (random >> 33) % 800));
            let start = ticks();
            mixed4(n);
            histogram.record(ticks() - start).expect("it grows");
            let start = ticks();
            bracket.record(ticks() - start).expect("it grows");
        }
        self.report("empty bracket", &bracket, 1);
        self.report("mixed4 after idle", &histogram, 1);
    }

    fn report(&self, case: &str, histogram: &Histogram<u64>, calls: u64) {
        for (metric, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let ticks = histogram.value_at_quantile(quantile) as f64;
            let value = ticks * self.nanos_per_tick / calls as f64;
            let (subject, unit) = ("rollway", "ns");
            let config = &*self.config;
            Figure { bench: "latency", subject, case, metric, unit, value, config }.report();
        }
    }
}

/// Work elsewhere that leaves the caches alone.
fn busy(pause: Duration) {
    let start = Instant::now();
    while start.elapsed() < pause {
        spin_loop();
    }
}
