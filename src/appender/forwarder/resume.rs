//! Where a connection goes on in the journal.

use std::collections::HashMap;

use super::shipping::Shipping;
use crate::block::{BlockHeader, BlockKind};
use crate::journal::{Journal, Position, Reader};

/// The runs in a journal: (segment, epoch, greatest sequence there), in order.
pub(super) type Outline = Vec<(u64, u64, u64)>;

impl Shipping {
    /// Reads all headers of the journal. Cheap: 64 bytes for each block.
    pub(super) fn outline(&self, journal: &Journal, reader: &mut Reader) -> Outline {
        let source = self.sender.source;
        let mut outline = Outline::new();
        reader.seek(journal.start_position());
        let mut note = |position: Position, header: &BlockHeader| {
            if header.kind == BlockKind::Events && header.source == source {
                match outline.last_mut() {
                    Some((generation, epoch, sequence))
                        if (*generation, *epoch) == (position.generation, header.epoch) =>
                    {
                        *sequence = header.sequence.max(*sequence);
                    }
                    _ => outline.push((position.generation, header.epoch, header.sequence)),
                }
            }
            false
        };
        // Damage is counted where it is passed over for good.
        while reader.next_raw(&mut note).is_err() {}
        outline
    }

    /// Blocks behind what is settled.
    pub(super) fn left(&self, reader: &mut Reader) -> u64 {
        let source = self.sender.source;
        let mut left = 0;
        reader.seek(self.settled);
        let mut count = |_: Position, header: &BlockHeader| {
            left += u64::from(header.kind == BlockKind::Events && header.source == source);
            false
        };
        while reader.next_raw(&mut count).is_err() {}
        left
    }
}

/// Goes to the beginning of the first segment that has a block above its mark; without one, of the
/// newest segment, whose definitions the next block will need.
pub(super) fn resume(
    reader: &mut Reader,
    journal: &Journal,
    outline: &Outline,
    marks: &HashMap<u64, u64>,
) {
    let above = |(_, epoch, sequence): &&(u64, u64, u64)| {
        *sequence > marks.get(epoch).copied().unwrap_or(0)
    };
    let newest = journal.end().generation;
    let generation = outline.iter().find(above).map_or(newest, |(generation, _, _)| *generation);
    reader.seek(Position { generation, ..Position::default() });
}
