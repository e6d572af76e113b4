//! Where a connection goes on in the journal.

use std::collections::HashMap;

use super::connection::Broken;
use super::shipping::Shipping;
use crate::block::{BlockHeader, BlockKind};
use crate::journal::{Journal, Position, ReadError, Reader};

/// What a journal had when it was looked through.
pub(super) struct Outline {
    /// The runs in it: (segment, epoch, greatest sequence there), in order.
    runs: Vec<(u64, u64, u64)>,
    /// The segment in which it ended.
    newest: u64,
}

impl Outline {
    /// The least epoch.
    pub(super) fn oldest_epoch(&self) -> Option<u64> {
        self.runs.iter().map(|(_, epoch, _)| *epoch).min()
    }

    /// The first segment that has a block above its mark. Without one, that in which the outline
    /// ended: the blocks that came since begin there, and its definitions are needed.
    pub(super) fn resume(&self, marks: &HashMap<u64, u64>) -> Position {
        let above = |(_, epoch, sequence): &&(u64, u64, u64)| {
            *sequence > marks.get(epoch).copied().unwrap_or(0)
        };
        let found = self.runs.iter().find(above);
        let generation = found.map_or(self.newest, |(generation, _, _)| *generation);
        Position { generation, ..Position::default() }
    }
}

impl Shipping {
    /// Reads all headers of the journal. Cheap: 64 bytes for each block.
    ///
    /// Half an outline would make the master forget marks, so there is none when a place cannot be
    /// read.
    pub(super) fn outline(
        &self,
        journal: &Journal,
        reader: &mut Reader,
    ) -> Result<Outline, Broken> {
        let mut runs: Vec<(u64, u64, u64)> = Vec::new();
        self.events_blocks(reader, journal.start_position(), |position, header| {
            match runs.last_mut() {
                Some((generation, epoch, sequence))
                    if (*generation, *epoch) == (position.generation, header.epoch) =>
                {
                    *sequence = header.sequence.max(*sequence);
                }
                _ => runs.push((position.generation, header.epoch, header.sequence)),
            }
        })?;
        Ok(Outline { runs, newest: reader.position().generation })
    }

    /// Blocks behind what is settled. A place that cannot be read counts as one, and ends the
    /// counting.
    pub(super) fn left(&self, reader: &mut Reader) -> u64 {
        let mut left = 0;
        let counted = self.events_blocks(reader, self.settled, |_, _| left += 1);
        left + u64::from(counted.is_err())
    }

    /// Shows `each` the header of every events block of this source from `begin` on.
    fn events_blocks(
        &self,
        reader: &mut Reader,
        begin: Position,
        mut each: impl FnMut(Position, &BlockHeader),
    ) -> Result<(), Broken> {
        let source = self.sender.source;
        let mut look = |position: Position, header: &BlockHeader| {
            if header.kind == BlockKind::Events && header.source == source && position >= begin {
                each(position, header);
            }
            false
        };
        // From the start of the segment: no definitions are needed on the way to `begin`.
        reader.seek(Position { generation: begin.generation, ..Position::default() });
        loop {
            match reader.next_raw(&mut look) {
                Ok(_) => return Ok(()),
                // Damage is counted where it is passed over for good.
                Err(ReadError::Damaged { .. }) => {}
                Err(error @ ReadError::Io { .. }) => return Err(Broken::unreadable(&error)),
            }
        }
    }
}
