//! The records of a chunk: frames, kinds, values, and the text they become, also masked and warped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rkyv::util::AlignedVec;
use rollway::Mask;
use rollway::block::build::{self, ChunkSource, EventsHead};
use rollway::block::header;
use rollway::block::{Dictionary, EventsBlock};
use rollway::clock::{Anchor, Timeline};
use rollway::layout::{Json, Layout, Pattern};
use rollway::warp::Warp;

fuzz_target!(|data: &[u8]| {
    let anchor = Anchor { ticks: 0, utc_ns: 0 };
    let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
    let head = EventsHead { source: 1, epoch: 1, sequence: 1, timeline };
    let middle = data.len() / 2;
    let chunk = |ring, data| {
        let to = <[u8]>::len(data) as u64;
        ChunkSource { ring, thread: 1, context: 0, from: 0, to, runs: [data, &[]] }
    };
    let mut block = AlignedVec::new();
    build::events(&mut block, &head, &[chunk(1, &data[..middle]), chunk(2, &data[middle..])]);
    header::seal(&mut block);
    let header = header::verify(&block).expect("a block that was just built");
    let block = EventsBlock::open(header, &block).expect("a block that was just built");
    let dictionary = Dictionary::new();
    let (mut pattern, mut json, mut text) = (Pattern::simple(), Json::full(), String::new());
    let (mask, warp) = (Mask::new().key_pattern("*a*"), Warp::join(", "));
    let mut events = block.events(&dictionary);
    while let Some(event) = events.next() {
        if let Ok(event) = event {
            pattern.write(&event, &mut text);
            json.write(&event, &mut text);
            assert_eq!(text.matches('\n').count(), 2, "{text:?}");
            text.clear();
            mask.with(&event, |event| {
                warp.with(event, |event| {
                    pattern.write(event, &mut text);
                    json.write(event, &mut text);
                });
            });
            assert_eq!(text.matches('\n').count(), 2, "{text:?}");
            text.clear();
            event.message(&mut text);
            let chunks: String = event.chunks().map(|chunk| chunk.to_string()).collect();
            assert!(chunks == text || text.ends_with('…'), "{text:?}, but {chunks:?}");
            text.clear();
        }
    }
});
