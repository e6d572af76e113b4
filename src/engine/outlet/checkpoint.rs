//! What a restart must know to decide as before, kept in a small file.
//!
//! `<journal>/composites/<appender>.hold` has two slots of 64 bytes with a checksum each, stored in
//! turn: the one with the greater number counts, and a slot that was torn by a kill leaves the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::journal::{Position, file_name};
use crate::sys;

const SLOT_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"RWH1";

/// What a slot says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Checkpoint {
    /// Everything before it is decided and delivered, nothing behind it is looked at.
    pub(super) base: Position,
    /// The time of the event that began a limit's period, as it was there.
    pub(super) period_start_ns: Option<i64>,
    /// What was held there was released on demand.
    pub(super) released_to: Position,
}

/// The file of one appender.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    file: File,
    path: PathBuf,
    /// That of the last slot.
    number: u64,
}

impl CheckpointFile {
    /// Opens the file of appender `name` below a journal directory, or makes it, and reads it.
    ///
    /// # Errors
    /// When it cannot be opened, made or read.
    pub(super) fn open(
        journal_dir: &Path,
        name: &str,
    ) -> io::Result<(CheckpointFile, Option<Checkpoint>)> {
        let dir = journal_dir.join("composites");
        sys::file::create_private_dir(&dir)?;
        let path = dir.join(format!("{}.hold", file_name(name)));
        let file = sys::file::open_private(&path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes)?;
        let slots = bytes.chunks(SLOT_BYTES).filter_map(decode);
        let last = slots.max_by_key(|(number, _)| *number);
        let (number, checkpoint) = last.map_or((0, None), |(number, found)| (number, Some(found)));
        Ok((CheckpointFile { file, path, number }, checkpoint))
    }

    /// Stores a slot in the place of the older one. One system call.
    ///
    /// # Errors
    /// When it cannot be written; names the file.
    pub(super) fn store(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        let number = self.number + 1;
        let at = (number % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&encode(number, checkpoint), at).map_err(|error| {
            let path = self.path.display();
            let told = format!("cannot store what is held in {path}: {error}; check its disk");
            io::Error::new(error.kind(), told)
        })?;
        self.number = number;
        Ok(())
    }
}

/// The newest segment that these files below a journal directory name; 0 without any.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn newest_generation(journal_dir: &Path) -> io::Result<u64> {
    let entries = match std::fs::read_dir(journal_dir.join("composites")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut newest = 0;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "hold") {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        for (_, found) in bytes.chunks(SLOT_BYTES).filter_map(decode) {
            newest = newest.max(found.base.generation).max(found.released_to.generation);
        }
    }
    Ok(newest)
}

fn encode(number: u64, checkpoint: Checkpoint) -> [u8; SLOT_BYTES] {
    let Checkpoint { base, period_start_ns, released_to } = checkpoint;
    let mut out = [0; SLOT_BYTES];
    out[0..4].copy_from_slice(&MAGIC);
    out[8..16].copy_from_slice(&number.to_le_bytes());
    for (position, at) in [(base, 16), (released_to, 36)] {
        out[at..at + 8].copy_from_slice(&position.generation.to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&position.offset.to_le_bytes());
        out[at + 16..at + 20].copy_from_slice(&position.index.to_le_bytes());
    }
    // No event has the least time of all.
    out[56..64].copy_from_slice(&period_start_ns.unwrap_or(i64::MIN).to_le_bytes());
    let checksum = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn decode(slot: &[u8]) -> Option<(u64, Checkpoint)> {
    let word = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u32::from_le_bytes(slot.get(at..at + 4)?.try_into().ok()?));
    let position = |at: usize| {
        Some(Position { generation: word(at)?, offset: word(at + 8)?, index: half(at + 16)? })
    };
    if slot.len() != SLOT_BYTES || slot[0..4] != MAGIC || half(4)? != crc32c::crc32c(&slot[8..]) {
        return None;
    }
    let period_start_ns = Some(word(56)? as i64).filter(|start| *start != i64::MIN);
    let (base, released_to) = (position(16)?, position(36)?);
    Some((word(8)?, Checkpoint { base, period_start_ns, released_to }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(offset: u64) -> Checkpoint {
        let base = Position { generation: 3, offset, index: 7 };
        let released_to = Position { generation: 4, offset: 64, index: 1 };
        Checkpoint { base, period_start_ns: Some(-5), released_to }
    }

    #[test]
    fn the_last_slot_counts_and_a_torn_one_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, found) = CheckpointFile::open(dir.path(), "a/b").unwrap();
        assert_eq!(found, None);
        for offset in 1..6 {
            file.store(checkpoint(offset)).unwrap();
            let (_, found) = CheckpointFile::open(dir.path(), "a/b").unwrap();
            assert_eq!(found, Some(checkpoint(offset)));
        }
        // The fifth stands in the second place.
        file.file.write_all_at(&[9], SLOT_BYTES as u64 + 20).unwrap();
        let (_, found) = CheckpointFile::open(dir.path(), "a/b").unwrap();
        assert_eq!(found, Some(checkpoint(4)));
    }

    #[test]
    fn the_newest_segment_that_is_named_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_generation(dir.path()).unwrap(), 0);
        let (mut file, _) = CheckpointFile::open(dir.path(), "a/b").unwrap();
        CheckpointFile::open(dir.path(), "empty").unwrap();
        assert_eq!(newest_generation(dir.path()).unwrap(), 0);
        file.store(checkpoint(1)).unwrap();
        assert_eq!(newest_generation(dir.path()).unwrap(), 4);
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let slot = encode(1, checkpoint(1));
        assert_eq!(decode(&slot), Some((1, checkpoint(1))));
        for at in 0..SLOT_BYTES {
            let mut flipped = slot;
            flipped[at] ^= 4;
            assert_eq!(decode(&flipped), None, "byte {at}");
        }
        let none = Checkpoint::default();
        assert_eq!(decode(&encode(2, none)), Some((2, none)));
    }
}
