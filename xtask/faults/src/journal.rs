//! A journal directory, read as a stranger would.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use rollway::block::header::{BlockKind, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::journal::{Damage, ScannedBlocks, segment_paths};

use crate::case::Failure;

/// What a journal holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// The messages, block by block, each block by time.
    pub(crate) messages: Vec<String>,
    /// What is no block.
    pub(crate) damage: Vec<Damage>,
    /// Events and definitions in valid blocks that cannot be read.
    pub(crate) unreadable: u64,
    /// Blocks of events that were there before. Their messages are left out.
    pub(crate) repeated: u64,
    /// The blocks of events seen: their source, epoch and sequence.
    seen: HashSet<(u128, u64, u64)>,
}

/// A block of a segment file and the messages in it.
pub(crate) struct BlockText {
    /// Where it stands, its padding included.
    pub(crate) bytes: Range<u64>,
    /// Where its padding begins.
    pub(crate) used_end: u64,
    /// Whether it has the definitions that other blocks refer to.
    pub(crate) defines: bool,
    pub(crate) messages: Vec<String>,
}

impl Contents {
    /// Reads a segment file in which nothing may be damaged, block by block.
    pub(crate) fn blocks(path: &Path) -> Result<Vec<BlockText>, Failure> {
        let (mut contents, mut blocks) = (Contents::default(), Vec::new());
        contents.read(path, &mut Dictionary::new(), |block| blocks.push(block))?;
        contents.into_whole(path)?;
        Ok(blocks)
    }

    /// Reads all segments of a directory; a missing one has none.
    pub(crate) fn of(dir: &Path) -> io::Result<Contents> {
        let mut contents = Contents::default();
        if !dir.exists() {
            return Ok(contents);
        }
        let mut dictionary = Dictionary::new();
        for (_, path) in segment_paths(dir)? {
            dictionary.begin_segment();
            let mut all = Vec::new();
            contents.read(&path, &mut dictionary, |block| all.extend(block.messages))?;
            contents.messages.append(&mut all);
        }
        Ok(contents)
    }

    /// The messages of a journal in which nothing may be damaged.
    pub(crate) fn whole(dir: &Path) -> Result<Vec<String>, Failure> {
        Contents::of(dir)?.into_whole(dir)
    }

    fn into_whole(self, path: &Path) -> Result<Vec<String>, Failure> {
        match self.damage.first() {
            Some(damage) => Err(damage.to_string().into()),
            None if self.unreadable > 0 => {
                Err(format!("{}: {} events are unreadable", path.display(), self.unreadable).into())
            }
            None if self.repeated > 0 => {
                Err(format!("{}: {} blocks come twice", path.display(), self.repeated).into())
            }
            None => Ok(self.messages),
        }
    }

    /// Hands each block to `each`; what cannot be read is noted.
    fn read(
        &mut self,
        path: &Path,
        dictionary: &mut Dictionary,
        mut each: impl FnMut(BlockText),
    ) -> io::Result<()> {
        let mut blocks = ScannedBlocks::open(path)?;
        while let Some(block) = blocks.next() {
            let block = match block {
                Ok(block) => block,
                Err(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            let begin = block.position.offset;
            let place = begin..begin + block.header.padded_bytes() as u64;
            let mut messages = Vec::new();
            let header = block.header;
            if header.kind == BlockKind::Events
                && !self.seen.insert((header.source, header.epoch, header.sequence))
            {
                self.repeated += 1;
                continue;
            }
            match header.kind {
                BlockKind::Define => {
                    let defined = dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]);
                    self.unreadable += u64::from(defined.is_err());
                }
                BlockKind::Events => match EventsBlock::open(block.header, block.bytes) {
                    Ok(block) => self.unreadable += messages_of(&block, dictionary, &mut messages),
                    Err(_) => self.unreadable += 1,
                },
                BlockKind::Segment | BlockKind::Other(_) => {}
            }
            each(BlockText {
                bytes: place,
                used_end: begin + header.bytes() as u64,
                defines: header.kind == BlockKind::Define,
                messages,
            });
        }
        Ok(())
    }
}

/// Appends the messages of a block, and returns how many events cannot be read.
fn messages_of<'a>(
    block: &'a EventsBlock<'a>,
    dictionary: &'a Dictionary,
    out: &mut Vec<String>,
) -> u64 {
    let mut unreadable = 0;
    let mut events = block.events(dictionary);
    while let Some(event) = events.next() {
        match event {
            Ok(event) => {
                let mut message = String::new();
                event.message(&mut message);
                out.push(message);
            }
            Err(_) => unreadable += 1,
        }
    }
    unreadable
}
