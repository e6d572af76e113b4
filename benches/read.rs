//! What does an event cost its reader: checked as a master does, walked, as text, as JSON?
//!
//! One block of 4,096 events with four mixed values, from two threads, read from memory.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rkyv::util::AlignedVec;
use rollway::Level;
use rollway::block::build::{self, ChunkSource, EventsHead};
use rollway::block::define::Definitions;
use rollway::block::header::{self, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::capture::encode_record;
use rollway::clock::{Anchor, Timeline};
use rollway::event::{SourceInfo, ThreadInfo};
use rollway::layout::{Json, Layout, Page, Pattern};
use rollway::site::{Definition, FIRST_SITE_ID, Names};

const EVENTS: u64 = 4096;

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

/// A sealed block, and the definitions that it refers to.
fn block() -> (AlignedVec, Dictionary) {
    let mut rings = [Vec::new(), Vec::new()];
    for n in 0..EVENTS {
        let values = (n, (7_i32, (1.25 + n as f64, ("ROLLWAYX", ()))));
        let id = Some(FIRST_SITE_ID);
        let record = encode_record(&SITE, id, Level::INFO, None, n * 26, 65_536, values);
        // Runs of 20 events a thread, as bursts make them.
        rings[(n / 20 % 2) as usize].extend(record.expect("a short record"));
    }
    let anchor = |ticks| Anchor { ticks, utc_ns: 1_700_000_000_000_000_000 + ticks as i64 };
    let timeline = Timeline { before: anchor(0), after: anchor(EVENTS * 26), nanos_per_tick: 1.0 };
    let head = EventsHead { source: 1, epoch: 1, sequence: 1, timeline };
    let chunks = [0, 1].map(|ring: usize| {
        let (number, runs) = (ring as u32 + 1, [&rings[ring][..], &[]]);
        let to = rings[ring].len() as u64;
        ChunkSource { ring: number, thread: number, context: 0, from: 0, to, runs }
    });
    let mut block = AlignedVec::new();
    build::events(&mut block, &head, &chunks);
    header::seal(&mut block);

    let info = SourceInfo { source: 1, epoch: 1, ..SourceInfo::default() };
    let mut definitions = Definitions::new(info);
    definitions.set_site(FIRST_SITE_ID, &SITE.to_bytes());
    definitions.set_thread(1, ThreadInfo { os_id: 1, name: "main".into() });
    definitions.set_thread(2, ThreadInfo { os_id: 2, name: "worker".into() });
    let (mut dictionary, mut buffer) = (Dictionary::new(), AlignedVec::new());
    let defined = definitions.write_since(0, &mut buffer, |define| {
        let header = header::BlockHeader::decode(define)?;
        dictionary.define(&header, &define[HEADER_BYTES..])
    });
    defined.expect("blocks that were just built");
    (block, dictionary)
}

fn read(c: &mut Criterion) {
    let (block, dictionary) = block();
    let header = header::verify(&block).expect("a block that was just built");
    let open = || EventsBlock::open(header, &block).expect("a block that was just built");
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(EVENTS));

    group.bench_function("checksum", |b| b.iter(|| header::verify(&block)));
    group.bench_function("frames", |b| b.iter(|| open().count()));
    group.bench_function("check", |b| b.iter(|| open().check()));
    group.bench_function("template", |b| {
        let mut text = String::new();
        b.iter(|| {
            let block = open();
            let mut events = block.events(&dictionary);
            while let Some(Ok(event)) = events.next() {
                text.clear();
                event.message(&mut text);
            }
            text.len()
        });
    });
    group.bench_function("merged_events", |b| {
        b.iter(|| {
            let (block, mut last) = (open(), 0);
            let mut events = block.events(&dictionary);
            while let Some(Ok(event)) = events.next() {
                last = event.time_ns;
            }
            last
        });
    });
    group.bench_function("text_on_a_page", |b| {
        let (mut layout, mut page) = (Pattern::simple(), Page::new());
        b.iter(|| {
            page.clear();
            let block = open();
            let mut events = block.events(&dictionary);
            while let Some(Ok(event)) = events.next() {
                layout.write_page(&event, &mut page);
            }
            page.len()
        });
    });
    let mut layouts: [(&str, Box<dyn Layout>); 3] = [
        ("message", Box::new(Pattern::parse("%m%n").expect("a pattern"))),
        ("text", Box::new(Pattern::simple())),
        ("json", Box::new(Json::new())),
    ];
    for (name, layout) in &mut layouts {
        let mut text = String::new();
        group.bench_function(*name, |b| {
            b.iter(|| {
                text.clear();
                let block = open();
                let mut events = block.events(&dictionary);
                while let Some(Ok(event)) = events.next() {
                    layout.write(&event, &mut text);
                }
                text.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
