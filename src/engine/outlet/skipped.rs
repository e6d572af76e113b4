//! What an appender that was overtaken says in its own output when it goes on.

use rkyv::util::AlignedVec;

use super::hand::Hand;
use crate::appender::AppendError;
use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::header::BlockHeader;
use crate::block::{Dictionary, EventsBlock};
use crate::capture;
use crate::clock::{Anchor, Timeline};
use crate::journal::{Block, Position};
use crate::level::Level;
use crate::site::{Definition, Names};

/// Bytes of the event.
const BYTES_MAX: usize = 4 << 10;

const SKIPPED: Definition<'static> = Definition {
    level: Level::WARN,
    line: line!(),
    column: 0,
    target: "rollway",
    module: module_path!(),
    file: file!(),
    template: "events were skipped here: {} blocks of them, {} segments of the journal, went before this appender reached them",
    names: Names::Listed(&["blocks", "segments"]),
};

/// Says it through the appender, in front of the block at `position`.
pub(super) fn say(
    hand: &mut Hand,
    position: Position,
    blocks: u64,
    segments: u64,
) -> Result<(), AppendError> {
    let now = Anchor::now();
    let record = capture::encode_record(
        &SKIPPED,
        None,
        Level::WARN,
        None,
        now.ticks,
        BYTES_MAX,
        (blocks, (segments, ())),
    );
    let record = record.unwrap_or_default();
    let timeline = Timeline { before: now, after: now, nanos_per_tick: 1.0 };
    let head = EventsHead { source: 0, epoch: 0, sequence: 0, timeline };
    let (from, to) = (0, record.len() as u64);
    let chunk = ChunkSource { ring: 0, thread: 0, context: 0, from, to, runs: [&record, &[]] };
    let mut bytes = AlignedVec::new();
    build::events(&mut bytes, &head, &[chunk]);
    let opened = BlockHeader::decode(&bytes).and_then(|header| EventsBlock::open(header, &bytes));
    // What was built this moment is readable.
    let Ok(events) = opened else { return Ok(()) };
    let dictionary = Dictionary::new();
    let (next, bytes) = (position, &bytes[..]);
    hand.say(&Block { position, next, events, dictionary: &dictionary, bytes })
}
