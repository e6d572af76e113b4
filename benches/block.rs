//! What does an event cost the writer: copied out of a ring into a block, sealed with its checksum?
//!
//! Blocks of 4 KiB, 64 KiB and 1 MiB of records with four mixed values, in one chunk.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rkyv::util::AlignedVec;
use rollway::Level;
use rollway::block::build::{self, ChunkSource, EventsHead};
use rollway::block::header;
use rollway::capture::encode_record;
use rollway::clock::{Anchor, Timeline};
use rollway::site::{Definition, FIRST_SITE_ID, Names};

const SITE: Definition<'static> = Definition {
    level: Level::INFO,
    line: 1,
    column: 1,
    target: "shop::till",
    module: "shop::till",
    file: "src/till.rs",
    template: "order {} filled qty {} px {} sym {}",
    names: Names::Listed(&["0", "1", "2", "3"]),
};

fn block(c: &mut Criterion) {
    let values = (1_u64, (7_i32, (1.25_f64, ("ROLLWAYX", ()))));
    let record = encode_record(&SITE, Some(FIRST_SITE_ID), Level::INFO, None, 1, 256, values);
    let record = record.expect("a short record");
    let anchor = |ticks| Anchor { ticks, utc_ns: ticks as i64 };
    let timeline = Timeline { before: anchor(0), after: anchor(2), nanos_per_tick: 1.0 };
    let head = EventsHead { source: 1, epoch: 1, sequence: 1, timeline };
    let mut group = c.benchmark_group("block");
    let mut block = AlignedVec::new();
    for kib in [4, 64, 1024] {
        let events = (kib << 10) / record.len();
        let records = record.repeat(events);
        let (to, runs) = (records.len() as u64, [&records[..], &[]]);
        let chunk = ChunkSource { ring: 1, thread: 1, context: 0, from: 0, to, runs };
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("build", format!("{kib} KiB")), |b| {
            b.iter(|| build::events(&mut block, &head, &[chunk]));
        });
        group.bench_function(BenchmarkId::new("build_and_seal", format!("{kib} KiB")), |b| {
            b.iter(|| {
                build::events(&mut block, &head, &[chunk]);
                header::seal(&mut block);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, block);
criterion_main!(benches);
