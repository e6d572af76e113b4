//! An append-only buffer of bytes: one writer, any number of readers.
//!
//! The buffer begins on a page, hence on a multiple of 64 bytes, so that it can hold archives. It
//! never moves and never grows: readers keep plain slices of what was committed.
//!
//! Invariants, relied on by every `unsafe` block in this module:
//! 1. `committed <= capacity`, and `committed` only grows while a reader exists.
//! 2. Bytes below `committed` are initialised and do not change while a reader exists.
//! 3. Bytes from `committed` on belong to the one [`AppendWriter`].
#![allow(unsafe_code, reason = "one buffer shared by a writer and its readers")]

use std::io;

use super::mapping::Mapping;
use crate::sync::{Arc, AtomicU64, Ordering, Shadow, ordering};

/// An append-only buffer; made by [`AppendBuffer::new`], used through its two sides.
#[derive(Debug)]
pub(crate) struct AppendBuffer {
    memory: Mapping,
    /// Written by the writer.
    committed: AtomicU64,
    shadow: Shadow,
}

#[cfg(loom)]
// SAFETY: as without loom: the shadow is touched as the bytes are, by invariants 2 and 3, which is
// what loom checks.
unsafe impl Sync for AppendBuffer {}

/// The side that appends.
#[derive(Debug)]
pub(crate) struct AppendWriter {
    buffer: Arc<AppendBuffer>,
    /// Bytes committed.
    len: usize,
}

/// A side that reads.
#[derive(Clone, Debug)]
pub(crate) struct AppendReader {
    buffer: Arc<AppendBuffer>,
}

impl AppendBuffer {
    /// Makes an empty buffer of `capacity` bytes. Its pages come into being as they are first
    /// written; see [`AppendWriter::try_recycle`] for keeping them.
    ///
    /// # Errors
    /// The system's, when it has no memory or `capacity` is 0.
    #[allow(clippy::new_ret_no_self, reason = "the buffer is only ever held by its sides")]
    pub(crate) fn new(capacity: usize) -> io::Result<(AppendWriter, AppendReader)> {
        let memory = Mapping::anonymous(capacity)?;
        let (committed, shadow) = (AtomicU64::new(0), Shadow::new(capacity));
        Ok(AppendWriter::begin(Arc::new(AppendBuffer { memory, committed, shadow })))
    }

    /// The bytes at `0..len`; `len` was committed.
    fn bytes(&self, len: usize) -> &[u8] {
        self.shadow.read(0, len);
        let start = self.memory.start().as_ptr();
        // SAFETY: committed bytes are initialised and do not change (invariants 1, 2).
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

impl AppendWriter {
    fn begin(buffer: Arc<AppendBuffer>) -> (AppendWriter, AppendReader) {
        let reader = AppendReader { buffer: Arc::clone(&buffer) };
        (AppendWriter { buffer, len: 0 }, reader)
    }

    /// The bytes not yet committed, to be written in place. What was written there and not
    /// committed is still there; after recycling, old bytes are.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let rest = self.buffer.memory.len() - self.len;
        // SAFETY: `len` is at most the capacity (invariant 1).
        let start = unsafe { self.buffer.memory.start().add(self.len) };
        // SAFETY: bytes from `len` on are ours alone, for as long as `self` is borrowed (3).
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), rest) }
    }

    /// Shows the first `len` bytes of the space to the readers; at most all of it. Wait-free.
    pub(crate) fn commit(&mut self, len: usize) {
        let len = len.min(self.buffer.memory.len() - self.len);
        self.buffer.shadow.write(self.len, len);
        self.len += len;
        // Release: pairs with the Acquire in `AppendReader::committed`.
        let release = ordering("append.commit", Ordering::Release);
        self.buffer.committed.store(self.len as u64, release);
    }

    /// Starts again with an empty buffer and warm pages, if no reader is left.
    ///
    /// # Errors
    /// The writer itself, while there is a reader.
    pub(crate) fn try_recycle(mut self) -> Result<(AppendWriter, AppendReader), AppendWriter> {
        // The only reference: with the last reader, the last shared borrow has ended.
        let Some(buffer) = Arc::get_mut(&mut self.buffer) else { return Err(self) };
        // Relaxed: nobody else is there to see it; handing out the reader publishes it.
        buffer.committed.store(0, Ordering::Relaxed);
        Ok(AppendWriter::begin(self.buffer))
    }
}

impl AppendReader {
    /// Everything committed so far. Wait-free.
    pub(crate) fn committed(&self) -> &[u8] {
        // Acquire: pairs with the Release in `AppendWriter::commit`.
        let acquire = ordering("append.committed", Ordering::Acquire);
        self.buffer.bytes(self.buffer.committed.load(acquire) as usize)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_buffer_is_aligned_for_archives() {
        let (mut writer, _reader) = AppendBuffer::new(100).unwrap();
        assert_eq!(writer.space().as_ptr().addr() % 64, 0);
        assert_eq!(writer.space().len(), 100);
    }

    #[test]
    fn readers_see_what_is_committed_and_nothing_else() {
        let (mut writer, reader) = AppendBuffer::new(8).unwrap();
        writer.space()[..3].copy_from_slice(b"abc");
        assert_eq!(reader.committed(), b"");
        writer.commit(2);
        assert_eq!(reader.clone().committed(), b"ab");
        assert_eq!(writer.space()[0], b'c');
        writer.commit(usize::MAX);
        assert_eq!(reader.committed(), b"abc\0\0\0\0\0");
        assert!(writer.space().is_empty());
    }

    #[test]
    fn a_buffer_is_recycled_only_without_readers() {
        let (mut writer, reader) = AppendBuffer::new(8).unwrap();
        writer.space().fill(1);
        writer.commit(8);
        let writer = writer.try_recycle().unwrap_err();
        assert_eq!(reader.committed(), [1; 8]);
        drop(reader);
        let (mut writer, reader) = writer.try_recycle().unwrap();
        assert_eq!(reader.committed(), b"");
        writer.space()[0] = 9;
        writer.commit(1);
        assert_eq!(reader.committed(), [9]);
    }

    proptest! {
        #[test]
        fn commits_add_up_to_a_vector(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
        ) {
            let (mut writer, reader) = AppendBuffer::new(200).unwrap();
            let mut model = Vec::new();
            for part in parts {
                let space = writer.space();
                let len = part.len().min(space.len());
                space[..len].copy_from_slice(&part[..len]);
                writer.commit(len);
                model.extend_from_slice(&part[..len]);
                prop_assert_eq!(reader.committed(), &model);
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::with_seeded_bug;
    use loom::thread;

    /// A reader looks while the writer commits; then the buffer starts again.
    fn readers_see_whole_commits() {
        loom::model(|| {
            let (mut writer, reader) = AppendBuffer::new(16).unwrap();
            let reading = thread::spawn(move || {
                let bytes = reader.committed();
                assert!([&[][..], &[1; 8], &[1; 16]].contains(&bytes), "{bytes:?}");
            });
            for _ in 0..2 {
                writer.space()[..8].fill(1);
                writer.commit(8);
            }
            let mut recycled = writer.try_recycle();
            if let Ok((writer, reader)) = &mut recycled {
                writer.space()[..8].fill(2);
                writer.commit(8);
                assert_eq!(reader.committed(), [2; 8]);
            }
            reading.join().unwrap();
        });
    }

    #[test]
    fn the_reader_sees_whole_commits_and_a_recycled_buffer_has_none() {
        readers_see_whole_commits();
    }

    #[test]
    #[should_panic]
    fn a_relaxed_commit_is_caught() {
        with_seeded_bug("append.commit", readers_see_whole_commits);
    }

    #[test]
    #[should_panic]
    fn a_relaxed_look_is_caught() {
        with_seeded_bug("append.committed", readers_see_whole_commits);
    }
}
