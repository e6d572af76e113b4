//! A journal directory, read as a stranger would.

use std::path::Path;

use rollway::block::header::{BlockKind, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::event::Event;
use rollway::journal::{ScannedBlocks, segment_paths};

/// The messages in a journal directory, block by block, each block by time. Damage fails the test.
pub fn messages(dir: &Path) -> Vec<String> {
    let mut messages = Vec::new();
    for_each(dir, |event| {
        let mut message = String::new();
        event.message(&mut message);
        messages.push(message);
    });
    messages
}

/// Looks at the events in the same order.
pub fn for_each(dir: &Path, mut each: impl FnMut(&Event<'_>)) {
    let mut dictionary = Dictionary::new();
    for (_, path) in segment_paths(dir).unwrap() {
        dictionary.begin_segment();
        let mut blocks = ScannedBlocks::open(&path).unwrap();
        while let Some(block) = blocks.next() {
            let block = block.unwrap_or_else(|damage| panic!("{damage}"));
            match block.header.kind {
                BlockKind::Define => {
                    dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]).unwrap();
                }
                BlockKind::Events => {
                    let block = EventsBlock::open(block.header, block.bytes).unwrap();
                    let mut events = block.events(&dictionary);
                    while let Some(event) = events.next() {
                        each(&event.unwrap());
                    }
                }
                BlockKind::Segment | BlockKind::Other(_) => {}
            }
        }
    }
}
