//! A journal directory, read as a stranger would.

use std::io;
use std::path::Path;

use rollway::block::header::{BlockKind, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::journal::{Damage, ScannedBlocks, segment_paths};

/// What a journal holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// The messages, block by block, each block by time.
    pub(crate) messages: Vec<String>,
    /// What is no block.
    pub(crate) damage: Vec<Damage>,
    /// Events and definitions in valid blocks that cannot be read.
    pub(crate) unreadable: u64,
}

impl Contents {
    /// Reads all segments of a directory; a missing one has none.
    pub(crate) fn of(dir: &Path) -> io::Result<Contents> {
        let mut contents = Contents::default();
        if !dir.exists() {
            return Ok(contents);
        }
        let mut dictionary = Dictionary::new();
        for (_, path) in segment_paths(dir)? {
            dictionary.begin_segment();
            contents.read(&path, &mut dictionary)?;
        }
        Ok(contents)
    }

    /// The messages of a journal in which nothing may be damaged.
    pub(crate) fn whole(dir: &Path) -> Result<Vec<String>, crate::case::Failure> {
        let Contents { messages, damage, unreadable } = Contents::of(dir)?;
        match damage.first() {
            Some(damage) => Err(damage.to_string().into()),
            None if unreadable > 0 => {
                Err(format!("{unreadable} events of {} are unreadable", dir.display()).into())
            }
            None => Ok(messages),
        }
    }

    fn read(&mut self, path: &Path, dictionary: &mut Dictionary) -> io::Result<()> {
        let mut blocks = ScannedBlocks::open(path)?;
        while let Some(block) = blocks.next() {
            let block = match block {
                Ok(block) => block,
                Err(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            match block.header.kind {
                BlockKind::Define => {
                    let defined = dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]);
                    self.unreadable += u64::from(defined.is_err());
                }
                BlockKind::Events => {
                    let Ok(block) = EventsBlock::open(block.header, block.bytes) else {
                        self.unreadable += 1;
                        continue;
                    };
                    let mut events = block.events(dictionary);
                    while let Some(event) = events.next() {
                        let Ok(event) = event else {
                            self.unreadable += 1;
                            continue;
                        };
                        let mut message = String::new();
                        event.message(&mut message);
                        self.messages.push(message);
                    }
                }
                BlockKind::Segment | BlockKind::Other(_) => {}
            }
        }
        Ok(())
    }
}
