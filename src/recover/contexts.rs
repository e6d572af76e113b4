//! The context in force at the head of each ring, kept beside the ring.
//!
//! A ring holds changes of context; what was in force before the first of them is written here by
//! the consumer, ahead of the block that passes the change. Two files take turns, so that the
//! context at the head is there whichever step the process died at.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `RWX1` |
//! | 4 | 4 | CRC-32C of the rest |
//! | 8 | 8 | position in the ring from which on the context is in force |
//! | 16 | … | the record of the context |

use std::io;
use std::path::{Path, PathBuf};

use crate::context;
use crate::event::ContextInfo;
use crate::record::{self, Records};
use crate::sys;
use crate::sys::dead::DeadFile;

const MAGIC: [u8; 4] = *b"RWX1";
const HEADER_BYTES: usize = 16;
/// A header and the longest record.
const FILE_BYTES_MAX: u64 = (HEADER_BYTES + record::MAX_BYTES) as u64;

/// The two files of one ring.
#[derive(Debug)]
pub(crate) struct ContextFiles {
    paths: [PathBuf; 2],
    turn: usize,
}

impl ContextFiles {
    /// The files of ring `id` in a directory of rings. Nothing is made yet.
    pub(crate) fn new(rings_dir: &Path, id: u32) -> ContextFiles {
        ContextFiles { paths: paths(rings_dir, id), turn: 0 }
    }

    /// Stores the context that is in force from `position` on, over what was stored since the last
    /// [`turn`](Self::turn).
    ///
    /// # Errors
    /// When the file cannot be written; the other one stays as it is.
    pub(crate) fn store(&mut self, position: u64, context: &ContextInfo) -> io::Result<()> {
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(&position.to_le_bytes());
        bytes.extend_from_slice(&context::info_to_record(context));
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        let file = sys::file::open_private(&self.paths[self.turn])?;
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }

    /// Keeps what was stored last: the next context goes into the other file.
    pub(crate) fn turn(&mut self) {
        self.turn = 1 - self.turn;
    }
}

fn paths(rings_dir: &Path, id: u32) -> [PathBuf; 2] {
    [0, 1].map(|turn| rings_dir.join(format!("context-{id}-{turn}")))
}

/// The context in force at `position` of a dead process's ring; the empty one where none was
/// stored.
pub(crate) fn context_at(rings_dir: &Path, id: u32, position: u64) -> ContextInfo {
    let stored = paths(rings_dir, id).into_iter().filter_map(|path| read(&path));
    let newest = stored.filter(|(from, _)| *from <= position).max_by_key(|(from, _)| *from);
    newest.map(|(_, context)| context).unwrap_or_default()
}

fn read(path: &Path) -> Option<(u64, ContextInfo)> {
    let mut file = DeadFile::open(path).ok()?;
    if file.len() > FILE_BYTES_MAX {
        return None;
    }
    let bytes = file.read(0, file.len() as usize).ok()?;
    let (header, record) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let mut fields = &header[..];
    let magic = crate::value::take_array::<4>(&mut fields)?;
    let checksum = u32::from_le_bytes(crate::value::take_array(&mut fields)?);
    let position = u64::from_le_bytes(crate::value::take_array(&mut fields)?);
    if magic != MAGIC || checksum != crc32c::crc32c(&bytes[8..]) {
        return None;
    }
    let record = Records::new(record).next()?.ok()?;
    Some((position, context::from_record(&record)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(value: &str) -> ContextInfo {
        ContextInfo::from_entries([("key", value)])
    }

    #[test]
    fn the_context_at_a_position_is_the_last_one_stored_at_or_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = ContextFiles::new(dir.path(), 3);
        assert_eq!(context_at(dir.path(), 3, 100), ContextInfo::default());
        files.store(10, &context("first")).unwrap();
        files.turn();
        files.store(50, &context("a second, longer one")).unwrap();
        files.turn();
        assert_eq!(context_at(dir.path(), 3, 49), context("first"));
        assert_eq!(context_at(dir.path(), 3, 50), context("a second, longer one"));
        files.store(70, &context("3")).unwrap();
        files.turn();
        assert_eq!(context_at(dir.path(), 3, 60), context("a second, longer one"));
        assert_eq!(context_at(dir.path(), 3, 70), context("3"));
    }

    #[test]
    fn a_torn_file_leaves_the_other_one_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = ContextFiles::new(dir.path(), 1);
        files.store(10, &context("first")).unwrap();
        files.turn();
        files.store(20, &context("second")).unwrap();
        files.turn();
        let second = dir.path().join("context-1-1");
        let bytes = std::fs::read(&second).unwrap();
        for len in 0..bytes.len() {
            std::fs::write(&second, &bytes[..len]).unwrap();
            assert_eq!(context_at(dir.path(), 1, 30), context("first"), "cut at {len}");
        }
    }

    #[test]
    fn a_link_or_a_file_that_is_too_long_is_no_context() {
        let dir = tempfile::tempdir().unwrap();
        ContextFiles::new(dir.path(), 1).store(10, &context("first")).unwrap();
        let first = dir.path().join("context-1-0");
        assert_eq!(context_at(dir.path(), 1, 10), context("first"));
        std::os::unix::fs::symlink(&first, dir.path().join("context-2-0")).unwrap();
        assert_eq!(context_at(dir.path(), 2, 10), ContextInfo::default());
        let file = std::fs::File::options().write(true).open(&first).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(context_at(dir.path(), 1, 10), ContextInfo::default());
    }
}
