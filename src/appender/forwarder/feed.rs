//! What a connection has yet to send.

use std::collections::HashMap;

use super::ForwarderMonitor;
use super::connection::Broken;
use super::link::Sent;
use crate::appender::OutletSide;
use crate::block::{BlockHeader, BlockKind, EventsBlock, header};
use crate::journal::{Position, ReadError, Reader};
use crate::net::FrameKind;
use crate::net::frame::{self, BLOCKS_BYTES, HEADER_BYTES};

/// What a connection has yet to send.
pub(super) struct Feed<'a> {
    pub(super) reader: &'a mut Reader,
    /// What the master had at the beginning.
    pub(super) marks: &'a HashMap<u64, u64>,
    pub(super) source: u128,
    pub(super) window_bytes: u64,
    /// The first block that was not sent.
    pub(super) next: Position,
    /// A frame header, then blocks.
    pub(super) frame: Vec<u8>,
    /// The events blocks in it.
    pub(super) sent: Vec<Sent>,
}

impl Feed<'_> {
    /// Fills the frame with blocks that the master does not have. `false` when there are none.
    ///
    /// Damage is passed over for good. What cannot be read is not: the connection ends, and the
    /// next one comes back to it.
    pub(super) fn fill(
        &mut self,
        outlet: &mut dyn OutletSide,
        monitor: &ForwarderMonitor,
    ) -> Result<bool, Broken> {
        let wanted = |_: Position, header: &BlockHeader| {
            header.source == self.source
                && match header.kind {
                    BlockKind::Define => true,
                    BlockKind::Events => {
                        header.sequence > self.marks.get(&header.epoch).copied().unwrap_or(0)
                    }
                    BlockKind::Segment | BlockKind::Other(_) => false,
                }
        };
        self.sent.clear();
        self.frame.clear();
        self.frame.extend_from_slice(&[0; HEADER_BYTES]);
        while self.frame.len() < BLOCKS_BYTES {
            match self.reader.next_raw(wanted) {
                Ok(Some(block)) => {
                    if block.header.kind == BlockKind::Events {
                        let opened = EventsBlock::open(block.header, block.bytes);
                        self.sent.push(Sent {
                            epoch: block.header.epoch,
                            sequence: block.header.sequence,
                            position: block.position,
                            bytes: block.bytes.len() as u64,
                            events: opened.map_or(0, |events| events.count()),
                        });
                    }
                    let at = self.frame.len();
                    self.frame.extend_from_slice(block.bytes);
                    // A block in memory gets its checksum on its way to the socket.
                    header::seal(&mut self.frame[at..]);
                }
                Ok(None) => break,
                Err(error @ ReadError::Io { .. }) => return Err(Broken::unreadable(&error)),
                Err(error @ ReadError::Damaged { .. }) => {
                    monitor.lock().damaged += 1;
                    outlet.failed(&format!("it passes over {error}"));
                }
            }
        }
        let (front, blocks) = self.frame.split_at_mut(HEADER_BYTES);
        front.copy_from_slice(&frame::header(FrameKind::Blocks, blocks));
        Ok(!blocks.is_empty())
    }

    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }
}
