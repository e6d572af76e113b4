//! One segment: blocks behind each other, in memory or in a file.
//!
//! Files are written with pwrite(2) into space that was reserved when the segment was created, and
//! read with pread(2): a full disk is an error of the creation, a file truncated by somebody else
//! is a short read, and neither is a SIGBUS.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rkyv::util::AlignedVec;

use super::JournalError;
use crate::block::header::{self, BlockError, BlockHeader, BlockKind, HEADER_BYTES};
use crate::sys;
use crate::sys::append::AppendReader;

/// What is read at once when a header is looked for.
const SEARCH_BYTES: usize = 64 << 10;
/// What a disk loses at once.
const PAGE_BYTES: u64 = 4096;
/// The end of a segment that nobody has closed.
const UNKNOWN: u64 = u64::MAX;

/// A segment as its readers, and of a file its writer, see it.
pub(super) struct Segment {
    generation: u64,
    store: Store,
    /// The offset behind the last block, once the segment is closed by the one who wrote it.
    end: AtomicU64,
}

enum Store {
    Memory(AppendReader),
    File {
        /// For readers.
        file: File,
        /// For the writer and for syncs; `None` in the hands of others.
        written: Option<File>,
        path: PathBuf,
        /// How long its writer made the file; 0 in the hands of others. A shorter one was cut by
        /// somebody.
        length: AtomicU64,
    },
}

impl Segment {
    pub(super) fn in_memory(generation: u64, bytes: AppendReader) -> Segment {
        Segment { generation, store: Store::Memory(bytes), end: AtomicU64::new(UNKNOWN) }
    }

    /// Opens an existing segment file for reading. `end` is that of a segment closed by this process.
    pub(super) fn open(path: &Path, generation: u64, end: Option<u64>) -> io::Result<Segment> {
        let file = sys::file::open_read(path)?;
        let end = AtomicU64::new(end.unwrap_or(UNKNOWN));
        Ok(Segment { generation, store: Store::found(file, path), end })
    }

    /// Makes the file of a segment and reserves its space.
    pub(super) fn create(path: &Path, generation: u64, bytes: u64) -> io::Result<Segment> {
        let written = Some(sys::file::create_reserved(path, bytes)?);
        let file = sys::file::open_read(path)?;
        let (path, length) = (path.to_owned(), AtomicU64::new(bytes));
        let (store, end) = (Store::File { file, written, path, length }, AtomicU64::new(UNKNOWN));
        Ok(Segment { generation, store, end })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The offset behind the last block; `None` while it is written, and where its writer died.
    pub(super) fn end(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `close`; the journal's end is read before.
        Some(self.end.load(Ordering::Acquire)).filter(|end| *end != UNKNOWN)
    }

    /// The file to write to; `None` in memory.
    pub(super) fn file(&self) -> Option<(&File, &Path)> {
        match &self.store {
            Store::Memory(_) => None,
            Store::File { written, path, .. } => Some((written.as_ref()?, path)),
        }
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

    /// Where the first header from `from` on stands that may be one of this segment, `to` at the most.
    /// Where the file ends before, `to` if that is known, else the last place a header could have.
    pub(super) fn next_header(
        &self,
        from: u64,
        to: Option<u64>,
        buffer: &mut AlignedVec,
    ) -> io::Result<u64> {
        let mut at = from;
        while to.is_none_or(|to| at < to) {
            let bytes = self.read(at, SEARCH_BYTES, buffer)?;
            let headers = bytes.chunks_exact(HEADER_BYTES);
            let places = headers.len();
            let found = headers.into_iter().position(|header| {
                BlockHeader::decode(header).is_ok_and(|found| found.generation == self.generation)
            });
            at += (found.unwrap_or(places) * HEADER_BYTES) as u64;
            if found.is_some() {
                return Ok(to.map_or(at, |to| at.min(to)));
            }
            if places == 0 {
                break;
            }
        }
        Ok(to.unwrap_or(at))
    }

    /// Where to go on behind the header at `at`, whose block is not what its checksum says. That is
    /// behind the block, if another one stands there or nothing was written any more; else the
    /// header does not belong here, and what it calls its block may have others in it.
    pub(super) fn behind_damaged(&self, at: u64, header: &BlockHeader, end: Option<u64>) -> u64 {
        let mut buffer = AlignedVec::new();
        let behind = at + header.padded_bytes() as u64;
        let front = self.read(behind, HEADER_BYTES, &mut buffer).map(BlockHeader::decode);
        let is_behind = match front {
            _ if end.is_some_and(|end| behind >= end) => end == Some(behind),
            Ok(Ok(found)) => found.generation == self.generation,
            Ok(Err(BlockError::Empty | BlockError::Short)) => end.is_none(),
            Ok(Err(_)) => false,
            Err(_) => true,
        };
        if is_behind {
            return behind;
        }
        let next = at + HEADER_BYTES as u64;
        self.next_header(next, end, &mut buffer).unwrap_or(behind)
    }

    /// Whether the zeroes at `at`, where a header could be, are those of a lost page with blocks behind
    /// it, and not the end of what was written. Zeroes that end within their page are the header of a
    /// block that was never finished: what its records say is not searched for blocks.
    pub(super) fn has_blocks_behind_zeroes(
        &self,
        at: u64,
        buffer: &mut AlignedVec,
    ) -> io::Result<bool> {
        let page_end = (at + 1).next_multiple_of(PAGE_BYTES);
        let page = self.read(at, (page_end - at) as usize, buffer)?;
        if page.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let next = self.next_header(page_end, None, buffer)?;
        let header = self.read(next, HEADER_BYTES, buffer)?;
        Ok(BlockHeader::decode(header).is_ok_and(|found| found.generation == self.generation))
    }

    /// How many whole blocks of events stand before `end`.
    pub(super) fn events_blocks(&self, end: u64) -> u64 {
        let (mut buffer, mut at, mut blocks) = (AlignedVec::new(), 0, 0);
        while let Ok(found) = self.next_header(at, Some(end), &mut buffer)
            && found < end
        {
            let header = self.read(found, HEADER_BYTES, &mut buffer).map(BlockHeader::decode);
            let Ok(Ok(header)) = header else { break };
            let is_whole = self
                .read(found, header.bytes(), &mut buffer)
                .is_ok_and(|block| self.is_memory() || header::verify(block).is_ok());
            blocks += u64::from(is_whole && header.kind == BlockKind::Events);
            at = found + if is_whole { header.padded_bytes() } else { HEADER_BYTES } as u64;
        }
        blocks
    }

    /// Whether the bytes are those of this very process and need no checking.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    /// Says that the last block ends at `end`, and gives back what was reserved behind it.
    pub(super) fn close(&self, end: u64) {
        // Release: pairs with the Acquire in `end`.
        self.end.store(end, Ordering::Release);
        if let Store::File { written: Some(file), length, .. } = &self.store
            && self.is_intact()
        {
            // Before the cut: whoever compares in between sees a longer file, not a shorter one.
            length.store(end, Ordering::Release);
            // A file that stays long takes room, nothing else; the next start gives it back.
            let _ = file.set_len(end);
        }
    }

    /// Whether the file is as long as its writer made it, and still has its name.
    pub(super) fn is_intact(&self) -> bool {
        let Store::File { file, written, path, length } = &self.store else { return true };
        // A system that does not tell is no reason to give the segment up.
        let Ok(found) = written.as_ref().unwrap_or(file).metadata() else { return true };
        let has_name = match std::fs::symlink_metadata(path) {
            Ok(named) => (named.dev(), named.ino()) == (found.dev(), found.ino()),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        // Acquire: pairs with the Release in `close`, which comes before the cut.
        has_name && found.len() >= length.load(Ordering::Acquire)
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        let Store::File { file, written, path, .. } = &self.store else { return Ok(()) };
        let synced =
            written.as_ref().unwrap_or(file).sync_data().and_then(|()| match self.is_intact() {
                true => Ok(()),
                false => Err(io::Error::other("somebody cut or removed it")),
            });
        synced.map_err(|source| JournalError::Io {
            doing: "sync the segment",
            path: path.clone(),
            source,
        })
    }

    /// The bytes that the file takes, as far as they can be counted.
    pub(super) fn bytes_of(path: &Path) -> u64 {
        std::fs::symlink_metadata(path).map_or(0, |found| found.len())
    }
}

#[cfg(test)]
impl Segment {
    /// A file that was opened in some way.
    pub(super) fn of_file(file: File, path: &Path, generation: u64) -> Segment {
        Segment { generation, store: Store::found(file, path), end: AtomicU64::new(UNKNOWN) }
    }
}

impl Store {
    /// A file that somebody else wrote.
    fn found(file: File, path: &Path) -> Store {
        Store::File { file, written: None, path: path.to_owned(), length: AtomicU64::new(0) }
    }
}
