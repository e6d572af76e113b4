//! Storing blocks that another process wrote: what a master does with those of its workers, and the
//! elected process of a cluster with those of the members.
//!
//! Invariants:
//! 1. Only bytes that were checked are stored: header, checksum, archive, and every record.
//! 2. In front of a block the journal has the definitions that the block names.

use std::fmt;

use rkyv::util::AlignedVec;

use crate::block::define::Definitions;
use crate::block::header::HEADER_BYTES;
use crate::block::{BlockError, BlockHeader, EventsBlock, dictionary};
use crate::event::SourceInfo;
use crate::journal::{JournalError, JournalWriter, Position};
use crate::record::Damaged;
use crate::site;

/// What another process has said about one run of a source.
pub(crate) struct Run {
    definitions: Definitions,
    /// Their bytes when they were last measured, and what has come since.
    bytes: usize,
    measured_bytes: usize,
}

impl Run {
    /// Nothing was said yet.
    pub(crate) fn new(info: SourceInfo) -> Run {
        Run { definitions: Definitions::new(info), bytes: 0, measured_bytes: 0 }
    }

    /// Bytes of the definitions: as measured last, and what has come since.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Measures the definitions anew: what was said again, or forgotten, takes no room.
    pub(crate) fn measure(&mut self) -> usize {
        self.bytes = self.definitions.bytes();
        self.measured_bytes = self.bytes;
        self.bytes
    }

    /// Takes in a define block, header and archive, whose checksum was compared. It is written in
    /// front of the next events block.
    ///
    /// # Errors
    /// [`Unfit`]; then nothing was taken in.
    pub(crate) fn define(&mut self, block: &[u8]) -> Result<(), Unfit> {
        let body = dictionary::open(block.get(HEADER_BYTES..).unwrap_or(&[]))?;
        for site in body.sites.iter() {
            if site::Definition::take(&mut &site.definition[..]).is_none() {
                return Err(Unfit::Site);
            }
        }
        self.definitions.absorb(body);
        self.bytes += block.len();
        // Saying something again takes no room: measured anew before it is held against anybody.
        if self.bytes() > 2 * self.measured_bytes + (1 << 20) {
            self.measure();
        }
        Ok(())
    }

    /// Checks an events block, whose checksum was compared, and sees to it that what it names is
    /// written in front of it. The number of its events.
    ///
    /// # Errors
    /// [`Unfit`], when the block must not be stored.
    pub(crate) fn check(&mut self, header: &BlockHeader, block: &[u8]) -> Result<u64, Unfit> {
        let block = EventsBlock::open(*header, block)?;
        let events = block.check()?;
        let origins: Vec<_> = block.origins().collect();
        self.definitions.ask(&origins);
        Ok(events)
    }

    /// Appends an events block that was [checked](Run::check). It is the caller's to see that its
    /// sequence is above the mark of its run.
    ///
    /// # Errors
    /// As [`JournalWriter::append_events`]; the same block can be tried again.
    pub(crate) fn append(
        &self,
        writer: &mut JournalWriter,
        block: &mut AlignedVec,
    ) -> Result<Position, JournalError> {
        writer.append_events(block, &self.definitions)
    }
}

/// Why a block must not be stored.
#[derive(Debug)]
pub(crate) enum Unfit {
    Block(BlockError),
    Record(Damaged),
    Site,
}

impl From<BlockError> for Unfit {
    fn from(error: BlockError) -> Unfit {
        Unfit::Block(error)
    }
}

impl From<Damaged> for Unfit {
    fn from(error: Damaged) -> Unfit {
        Unfit::Record(error)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Block(error) => error.fmt(f),
            Unfit::Record(damage) => damage.fmt(f),
            Unfit::Site => write!(f, "a call site is not readable"),
        }
    }
}
