//! One segment: blocks behind each other, in memory or in a file.
//!
//! Files are written with pwrite(2) into space that was reserved when the segment was created, and
//! read with pread(2): a full disk is an error of the creation, a file truncated by somebody else
//! is a short read, and neither is a SIGBUS.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::JournalError;
use crate::sys::append::AppendReader;

/// A segment as readers see it.
pub(super) struct Segment {
    generation: u64,
    store: Store,
}

enum Store {
    Memory(AppendReader),
    File { file: File, path: PathBuf },
}

impl Segment {
    pub(super) fn in_memory(generation: u64, bytes: AppendReader) -> Segment {
        Segment { generation, store: Store::Memory(bytes) }
    }

    /// Opens an existing segment file for reading.
    pub(super) fn open(path: &Path, generation: u64) -> io::Result<Segment> {
        let file = crate::sys::file::open_read(path)?;
        Ok(Segment { generation, store: Store::File { file, path: path.to_owned() } })
    }

    pub(super) fn in_file(generation: u64, file: File, path: PathBuf) -> Segment {
        Segment { generation, store: Store::File { file, path } }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Up to `len` bytes at `offset`: fewer at the end of the segment. Memory is lent as it is, a
    /// file is read into `buffer`.
    pub(super) fn read<'a>(
        &'a self,
        offset: u64,
        len: usize,
        buffer: &'a mut AlignedVec,
    ) -> io::Result<&'a [u8]> {
        match &self.store {
            Store::Memory(bytes) => {
                let bytes = bytes.committed();
                let from = (offset as usize).min(bytes.len());
                Ok(&bytes[from..bytes.len().min(from + len)])
            }
            Store::File { file, .. } => {
                buffer.resize(len, 0);
                let mut read = 0;
                while read < len {
                    match file.read_at(&mut buffer[read..], offset + read as u64) {
                        Ok(0) => break,
                        Ok(count) => read += count,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(&buffer[..read])
            }
        }
    }

    /// Whether the bytes are those of this very process and need no checking.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        match &self.store {
            Store::Memory(_) => Ok(()),
            Store::File { file, path } => file.sync_data().map_err(|source| JournalError::Io {
                doing: "sync the segment",
                path: path.clone(),
                source,
            }),
        }
    }

    /// Removes the file. Readers that have it open go on reading it.
    pub(super) fn remove(&self) {
        if let Store::File { path, .. } = &self.store {
            // A segment that stays is found again, and removed, at the next rotation or start.
            let _ = std::fs::remove_file(path);
        }
    }
}
