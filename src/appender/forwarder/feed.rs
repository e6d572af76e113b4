//! What a connection has yet to send.

use std::collections::HashMap;

use super::ForwarderMonitor;
use super::connection::Broken;
use super::link::Sent;
use crate::appender::OutletSide;
use crate::block::{BlockHeader, BlockKind, EventsBlock, header};
use crate::journal::{Position, ReadError, Reader};
use crate::net::frame::{self, BLOCKS_BYTES, HEADER_BYTES};

/// An archive of this many bytes is sent from where it lies in the journal. Smaller ones are gathered.
const LENT_BYTES: usize = 32 << 10;

/// What a connection has yet to send.
pub(super) struct Feed<'a> {
    pub(super) reader: &'a mut Reader,
    /// What the master had at the beginning.
    pub(super) marks: &'a HashMap<u64, u64>,
    pub(super) source: u128,
    /// The protocol version of the connection.
    pub(super) version: u8,
    /// Events blocks before it, another master has.
    pub(super) from: Position,
    /// Blocks before it may have been sent to another master.
    pub(super) elsewhere: Position,
    pub(super) window_bytes: u64,
    /// The first block that was not sent.
    pub(super) next: Position,
    /// A frame header, then blocks.
    pub(super) front: Vec<u8>,
    /// The events blocks of the frame.
    pub(super) sent: Vec<Sent>,
}

/// A frame of blocks.
pub(super) struct Parcel<'a> {
    /// Its bytes; the second piece is the rest of its last block.
    pub(super) pieces: [&'a [u8]; 2],
    /// Its events blocks.
    pub(super) sent: &'a [Sent],
    /// Another master may have them, too.
    pub(super) is_elsewhere: bool,
}

impl Feed<'_> {
    /// Puts blocks that the master does not have into a frame, for `send`. `false` when there are
    /// none.
    ///
    /// Damage is passed over for good. What cannot be read is not: the connection ends, and the
    /// next one comes back to it.
    pub(super) fn ship(
        &mut self,
        outlet: &mut dyn OutletSide,
        monitor: &ForwarderMonitor,
        send: impl FnOnce(&mut dyn OutletSide, Parcel<'_>) -> Result<(), Broken>,
    ) -> Result<bool, Broken> {
        let wanted = |position: Position, header: &BlockHeader| {
            header.source == self.source
                && match header.kind {
                    BlockKind::Define => true,
                    BlockKind::Events => {
                        position >= self.from
                            && header.sequence > self.marks.get(&header.epoch).copied().unwrap_or(0)
                    }
                    BlockKind::Segment | BlockKind::Other(_) => false,
                }
        };
        self.sent.clear();
        self.front.clear();
        self.front.extend_from_slice(&[0; HEADER_BYTES]);
        // What may be elsewhere goes in frames of its own.
        let border = self.elsewhere;
        let is_at_border = |sent: &[Sent], next: Position| {
            sent.first().is_some_and(|first| first.position < border) && next >= border
        };
        while self.front.len() < BLOCKS_BYTES && !is_at_border(&self.sent, self.reader.position()) {
            match self.reader.next_raw(wanted) {
                Ok(Some(block)) => {
                    // A block in memory gets its checksum on its way to the socket.
                    let Some((front, archive)) = header::bare(block.bytes) else { continue };
                    self.front.extend_from_slice(&front);
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
                    if archive.len() >= LENT_BYTES {
                        let how = (self.version, border);
                        send(outlet, parcel(&mut self.front, archive, &self.sent, how))?;
                        self.next = self.reader.position().max(self.from);
                        return Ok(true);
                    }
                    self.front.extend_from_slice(archive);
                }
                Ok(None) => break,
                Err(error @ ReadError::Io { .. }) => return Err(Broken::unreadable(&error)),
                Err(error @ ReadError::Damaged { .. }) => {
                    monitor.lock().damaged += 1;
                    outlet.failed(&format!("it passes over {error}"));
                }
            }
        }
        let is_filled = self.front.len() > HEADER_BYTES;
        if is_filled {
            send(outlet, parcel(&mut self.front, &[], &self.sent, (self.version, border)))?;
        }
        self.next = self.reader.position().max(self.from);
        Ok(is_filled)
    }
}

/// Completes the header in `front`: of a version, and elsewhere before a position.
fn parcel<'a>(
    front: &'a mut [u8],
    rest: &'a [u8],
    sent: &'a [Sent],
    (version, elsewhere): (u8, Position),
) -> Parcel<'a> {
    let bytes = front.len() - HEADER_BYTES + rest.len();
    let is_elsewhere = sent.first().is_some_and(|first| first.position < elsewhere);
    let header = frame::blocks_header(version, is_elsewhere, bytes);
    front[..HEADER_BYTES].copy_from_slice(&header);
    Parcel { pieces: [front, rest], sent, is_elsewhere }
}
