//! A few words that threads share and that can be read back after the process's death: counters
//! beside the rings.
//!
//! The mapping, little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic `"rollword"` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | number of words |
//! | 16 | 4 | CRC-32C of the 16 bytes above |
//! | 64 | 8 each | the words |
//!
//! Invariant, relied on by every `unsafe` block in this module: the whole mapping is populated, and
//! its words are only used as atomics.
#![allow(unsafe_code, reason = "memory shared by threads, and with whoever recovers it")]

use std::io;
use std::path::Path;
use std::ptr::NonNull;
// Not from `sync`: these words lie in memory that begins as zeros and outlives the process, which
// loom's do not.
use std::sync::atomic::AtomicU64;

use super::dead::{DeadFile, half_word_at, word_at};
use super::mapping::Mapping;

/// The most words there can be.
pub(crate) const WORDS_MAX: usize = 1 << 16;

const MAGIC: [u8; 8] = *b"rollword";
const VERSION: u32 = 1;
const CRC_AT: usize = 16;
const WORDS_AT: usize = 64;
const WORD_BYTES: usize = size_of::<AtomicU64>();

/// Words that begin as 0. Shared by reference.
#[derive(Debug)]
pub(crate) struct SharedWords {
    memory: Mapping,
    count: usize,
}

impl SharedWords {
    /// Makes `count` words, all 0, in a new file or, without `path`, in private memory.
    ///
    /// # Errors
    /// No words or more than [`WORDS_MAX`]; and the system's, among them a full file system. No
    /// file is left behind then.
    pub(crate) fn create(path: Option<&Path>, count: usize) -> io::Result<SharedWords> {
        check_count(count)
            .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let len = WORDS_AT + count * WORD_BYTES;
        let memory = match path {
            Some(path) => Mapping::create(path, len)?,
            None => Mapping::anonymous(len)?,
        };
        let mut header = [0; CRC_AT + 4];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(count as u32).to_le_bytes());
        let crc = crc32c::crc32c(&header[..CRC_AT]);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        let source = NonNull::from(&header).cast();
        // SAFETY: the mapping is longer than the header, and nobody else knows of it yet.
        unsafe { memory.start().copy_from_nonoverlapping(source, header.len()) };
        Ok(SharedWords { memory, count })
    }

    /// See [`Mapping::guard`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn guard(&mut self) -> io::Result<()> {
        self.memory.guard()
    }

    /// Whether the words were lost, and began again as 0.
    pub(crate) fn is_lost(&self) -> bool {
        self.memory.is_lost()
    }

    /// Word number `index`, counted from 0; the last one for an index beyond it.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        let index = index.min(self.count - 1);
        // SAFETY: the word is inside the mapping.
        let word = unsafe { self.memory.start().add(WORDS_AT + index * WORD_BYTES) };
        // SAFETY: it is aligned, lives as long as `self`, and is only used as an atomic.
        unsafe { word.cast().as_ref() }
    }
}

/// Reads the words of a dead process.
///
/// Trusts nothing. Links are not followed.
///
/// # Errors
/// The system's; and `InvalidData`, saying what is wrong, when the file is not whole.
pub(crate) fn read_dead(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = DeadFile::open(path)?;
    let header = file.read(0, WORDS_AT)?;
    if header[..8] != MAGIC {
        return Err(file.damaged("it does not begin as shared words do"));
    }
    let version = half_word_at(&header, 8);
    if version != VERSION {
        let what = format!("its version is {version}, only {VERSION} can be read");
        return Err(file.damaged(&what));
    }
    if half_word_at(&header, CRC_AT) != crc32c::crc32c(&header[..CRC_AT]) {
        return Err(file.damaged("the checksum of its header is wrong"));
    }
    let count = half_word_at(&header, 12) as usize;
    check_count(count).map_err(|what| file.damaged(&what))?;
    let bytes = file.read(WORDS_AT as u64, count * WORD_BYTES)?;
    Ok((0..count).map(|index| word_at(&bytes, index * WORD_BYTES)).collect())
}

/// Says what is wrong with a number of words.
fn check_count(count: usize) -> Result<(), String> {
    if (1..=WORDS_MAX).contains(&count) {
        return Ok(());
    }
    Err(format!("{count} shared words; choose from 1 to {WORDS_MAX}"))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_are_found_again_in_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        let words = SharedWords::create(Some(&path), 3).unwrap();
        words.word(0).fetch_add(7, Relaxed);
        words.word(2).store(u64::MAX, Relaxed);
        drop(words);
        assert_eq!(read_dead(&path).unwrap(), [7, 0, u64::MAX]);
    }

    #[test]
    fn an_index_beyond_the_last_word_means_the_last_word() {
        let words = SharedWords::create(None, 2).unwrap();
        words.word(9).store(1, Relaxed);
        assert_eq!(words.word(1).load(Relaxed), 1);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        drop(SharedWords::create(Some(&path), 3).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..WORDS_AT {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            match read_dead(&path) {
                Ok(words) => assert!(at >= CRC_AT + 4 && words == [0; 3], "byte {at}"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}"),
            }
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(read_dead(&path).is_err());
        assert!(SharedWords::create(Some(&path), 0).is_err());
        assert!(SharedWords::create(None, WORDS_MAX + 1).is_err());
    }
}
