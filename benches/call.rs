//! What does a log call cost its thread, by what it logs?
//!
//! Twenty calls are timed as one, because the clock ticks in steps of about a call's length; the
//! journal is in memory and has no appender. Read the figures beside `clock`, which no call with a
//! time can beat.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rollway::info;

const CALLS: u64 = 20;

/// Times batches of calls with a pause between two, so that the rings never fill.
fn batches(iterations: u64, mut batch: impl FnMut()) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        let start = Instant::now();
        batch();
        total += start.elapsed();
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_micros(10) {
            std::hint::spin_loop();
        }
    }
    total
}

fn log_call(c: &mut Criterion) {
    let _guard = rollway::builder().init().expect("the only logger of this process");
    rollway::prepare_thread();
    let mut group = c.benchmark_group("log_call");
    group.throughput(Throughput::Elements(CALLS));

    let mut bench = |name: &str, mut call: Box<dyn FnMut(u64)>| {
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| batches(iterations, || (0..CALLS).for_each(&mut call)));
        });
    };
    bench(
        "clock",
        Box::new(|_| {
            black_box(rollway::clock::ticks());
        }),
    );
    bench("disabled", Box::new(|n| rollway::debug!("order {}", black_box(n))));
    bench("int2", Box::new(|n| info!("order {} qty {}", black_box(n as i32), black_box(7_i32))));
    bench(
        "mixed4",
        Box::new(|n| {
            let (px, sym) = (black_box(1.25 + n as f64), black_box("ROLLWAYX"));
            info!("order {} filled qty {} px {} sym {}", black_box(n), black_box(7_i32), px, sym);
        }),
    );
    let text = "x".repeat(100);
    bench("str100", Box::new(move |_| info!("{}", black_box(&*text))));
    bench(
        "rendered",
        Box::new(|n| info!("from {}", black_box(std::net::Ipv4Addr::from_bits(n as u32)))),
    );
    group.finish();
}

criterion_group!(benches, log_call);
criterion_main!(benches);
