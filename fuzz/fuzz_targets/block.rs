//! A whole block from a file or a socket: header, checksum, archive, events, text.
//!
//! The checksum is made to match, so that the fuzzer reaches what lies behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rkyv::util::AlignedVec;
use rollway::block::header::{self, BlockKind};
use rollway::block::{Dictionary, EventsBlock};
use rollway::layout::{Json, Layout, Pattern};

fuzz_target!(|data: &[u8]| {
    let _ = header::verify(data);
    let mut block: AlignedVec = AlignedVec::new();
    block.extend_from_slice(data);
    if block.len() >= header::HEADER_BYTES {
        block[6] = 0;
        header::seal(&mut block);
    }
    let Ok(header) = header::verify(&block) else { return };
    let mut dictionary = Dictionary::new();
    match header.kind {
        BlockKind::Define => {
            let _ = dictionary.define(&header, &block[header::HEADER_BYTES..header.bytes()]);
        }
        BlockKind::Events => {
            let Ok(events) = EventsBlock::open(header, &block) else { return };
            let (mut pattern, mut json, mut text) =
                (Pattern::simple(), Json::full(), String::new());
            let mut events = events.events(&dictionary);
            while let Some(event) = events.next() {
                if let Ok(event) = event {
                    pattern.write(&event, &mut text);
                    json.write(&event, &mut text);
                }
            }
        }
        BlockKind::Segment | BlockKind::Other(_) => {}
    }
});
