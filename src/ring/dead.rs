//! The ring of a dead process, read from its file.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::memory::{
    CAPACITY_AT, COUNTERS, COUNTERS_AT, CRC_AT, HEAD_AT, HEADER_BYTES, ID_AT, INCARNATION_AT,
    MAGIC, NAME_AT, NAME_LEN_AT, TAIL_AT, THREAD_ID_AT, VERSION, VERSION_AT,
};
use super::{THREAD_NAME_BYTES_MAX, check_capacity};
use crate::sys::dead::{DeadFile, half_word_at, word_at};

/// What a dead process left in one ring, named as in the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeadRing {
    pub(crate) id: u32,
    pub(crate) os_thread_id: u32,
    pub(crate) thread_name: String,
    pub(crate) incarnation: u64,
    /// The position of the first byte in `bytes`.
    pub(crate) head: u64,
    /// The position behind the last byte in `bytes`.
    pub(crate) tail: u64,
    pub(crate) counters: [u64; COUNTERS],
    /// The bytes at `head..tail`, verbatim, with skip markers and padding. Not checked.
    pub(crate) bytes: Vec<u8>,
}

/// Reads the ring in the file at `path`. Its process must be dead.
///
/// Trusts nothing. Links are not followed. Copies at most one capacity.
///
/// # Errors
/// The system's; and `InvalidData`, saying what is wrong, when the file is not a whole ring.
pub(crate) fn read_dead(path: &Path) -> io::Result<DeadRing> {
    let mut file = DeadFile::open(path)?;
    let header = file.read(0, HEADER_BYTES)?;
    let capacity = check_header(&file, &header)?;
    let (head, tail) = (word_at(&header, HEAD_AT), word_at(&header, TAIL_AT));
    if head > tail || tail - head > capacity {
        let what = format!("head {head} and tail {tail} do not fit a ring of {capacity} bytes");
        return Err(file.damaged(&what));
    }
    // A ring is empty when a thread enters its name, and may be found with half of it.
    let crc = half_word_at(&header, CRC_AT);
    if head != tail && crc != crc32c::crc32c(&header[..CRC_AT]) {
        return Err(file.damaged("the checksum of its header is wrong"));
    }
    let name_len = half_word_at(&header, NAME_LEN_AT) as usize;
    let name = &header[NAME_AT..NAME_AT + name_len.min(THREAD_NAME_BYTES_MAX)];

    let len = (tail - head) as usize;
    let offset = head & (capacity - 1);
    let first_len = len.min((capacity - offset) as usize);
    let mut bytes = file.read(HEADER_BYTES as u64 + offset, first_len)?;
    bytes.append(&mut file.read(HEADER_BYTES as u64, len - first_len)?);
    Ok(DeadRing {
        id: half_word_at(&header, ID_AT),
        os_thread_id: half_word_at(&header, THREAD_ID_AT),
        thread_name: String::from_utf8_lossy(name).into_owned(),
        incarnation: word_at(&header, INCARNATION_AT),
        head,
        tail,
        counters: std::array::from_fn(|reason| word_at(&header, COUNTERS_AT + 8 * reason)),
        bytes,
    })
}

/// Moves the head in the file at `path`, whose process is dead: everything before `head` is in the
/// journal.
///
/// # Errors
/// The system's.
pub(crate) fn move_head(path: &Path, head: u64) -> io::Result<()> {
    let file = crate::sys::file::open_private(path)?;
    file.write_all_at(&head.to_le_bytes(), HEAD_AT as u64)
}

/// The bytes of `ring` from `position` on; all of them for a position before the head, none for
/// one behind the tail.
pub(crate) fn bytes_from(ring: &DeadRing, position: u64) -> &[u8] {
    let skipped = position.clamp(ring.head, ring.tail) - ring.head;
    ring.bytes.get(skipped as usize..).unwrap_or_default()
}

/// The capacity, if the fixed part of the header is that of a ring this code can read.
fn check_header(file: &DeadFile, header: &[u8]) -> io::Result<u64> {
    if header[..MAGIC.len()] != MAGIC {
        return Err(file.damaged("it does not begin as a ring does"));
    }
    let version = half_word_at(header, VERSION_AT);
    if version != VERSION {
        let what = format!("its version is {version}, only {VERSION} can be read");
        return Err(file.damaged(&what));
    }
    let capacity = word_at(header, CAPACITY_AT);
    check_capacity(capacity).map_err(|what| file.damaged(&what))?;
    if file.len() != HEADER_BYTES as u64 + capacity {
        let what = format!("{} bytes are not a header and {capacity} bytes of data", file.len());
        return Err(file.damaged(&what));
    }
    Ok(capacity)
}
