//! One thread's records on their way to the writer: a ring of bytes with one producer and one
//! consumer, in memory that can outlive the process.
//!
//! Positions count bytes since the ring was made and are never reset; only the index into the data
//! is masked, so `tail - head` is always the number of unread bytes. Records are multiples of 8
//! bytes, at most a quarter of the capacity, and never cross the end of a lap: what is left there
//! is covered by a [`skip_marker`]. The ring knows nothing else about them.
//!
//! The mapping, little-endian (the machine's order: a ring never leaves its machine):
//!
//! | offset | bytes | | written by |
//! |---|---|---|---|
//! | 0 | 8 | magic `"rollring"` | create |
//! | 8 | 4 | version, 1 | create |
//! | 12 | 4 | id of the ring | create |
//! | 16 | 8 | capacity: bytes of data, a power of two | create |
//! | 24 | 8 | incarnation: how many threads have owned the ring, this one included | split |
//! | 32 | 4 | the operating system's id of the thread, 0 unknown | split |
//! | 36 | 4 | length of its name | split |
//! | 40 | 64 | its name, UTF-8, cut at 64 bytes | split |
//! | 104 | 4 | CRC-32C of the 104 bytes above | split |
//! | 128 | 8 | state, see [`State`] | producer; recovery |
//! | 256 | 8 | tail: bytes below it are whole records | producer |
//! | 384 | 8 | head: bytes below it are not needed any more | consumer |
//! | 512 | 128 | 16 counters; what they count is the producer's affair | producer |
//! | 4096 | capacity | data | producer |
//!
//! The hot path of the producer compares with one private limit. It stands at the end of the lap,
//! at the end of the free space last seen, or, while the ring is less than half full, where it
//! becomes half full; whatever the reason, the cold path in [`Producer::refresh`] sorts it out.
//! That limit and the rest of the producer's private state lie in a [page](memory::Page) that a
//! forked child finds wiped: there every record takes the cold path, which sees the wiped page and
//! touches nothing that belongs to the parent.
//!
//! Invariants, relied on by every `unsafe` block in this module:
//! 1. `head <= tail <= head + capacity`. The limit is 0, or neither beyond the end of the lap of
//!    the producer's own tail nor beyond `head + capacity`.
//! 2. Bytes in `head..tail` are initialised, belong to the consumer, and do not change.
//! 3. All other bytes of the data belong to the producer.
//! 4. There is one [`Ring`], or one [`Producer`] and one [`Consumer`], for one [`Shared`]. A
//!    retired producer touches neither data nor page again.
//! 5. A page is live, wiped, or one of two statics that are never written. A live page's pointers
//!    point into the [`Shared`] that it keeps alive.
#![allow(unsafe_code, reason = "the one data structure that a log call writes")]

mod consumer;
mod dead;
#[cfg(not(loom))]
pub(crate) mod local;
mod memory;
mod producer;

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, not(loom)))]
mod tests;

use std::io;
use std::path::PathBuf;

use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering, full_fence};
use memory::Memory;

pub(crate) use consumer::Consumer;
pub(crate) use dead::{DeadRing, bytes_from, move_head, read_dead};
pub(crate) use memory::COUNTERS;
pub(crate) use producer::{Producer, Refresh};

/// The smallest capacity, 16 KiB. Models use the smallest ring that can fail.
pub(crate) const CAPACITY_BYTES_MIN: usize = if cfg!(loom) { 32 } else { 16 << 10 };
/// The greatest capacity, 64 MiB.
pub(crate) const CAPACITY_BYTES_MAX: usize = 64 << 20;
/// The longest name of a thread that is kept.
pub(crate) const THREAD_NAME_BYTES_MAX: usize = 64;
/// Records are multiples of this.
const ALIGN: usize = 8;
/// The longest record, as a part of the capacity.
const RECORDS_PER_LAP_MIN: usize = 4;
/// The site number that marks padding, see [`skip_marker`].
const SKIP: u32 = 1;

/// What a new ring should be.
#[derive(Clone, Debug)]
pub(crate) struct RingOptions {
    /// Bytes of data: a power of two from [`CAPACITY_BYTES_MIN`] to [`CAPACITY_BYTES_MAX`].
    pub(crate) capacity_bytes: usize,
    /// The number that tells this ring from the others of its process.
    pub(crate) id: u32,
    /// The file that holds the ring and outlives the process; `None` for private memory.
    pub(crate) path: Option<PathBuf>,
}

/// A ring that no thread uses.
#[derive(Debug)]
pub(crate) struct Ring {
    shared: Arc<Shared>,
    /// Threads that have owned the ring.
    incarnation: u64,
}

/// What both sides of a ring hold.
#[derive(Debug)]
pub(crate) struct Shared {
    memory: Memory,
    id: u32,
    /// Set once; written by whoever closes.
    closed: AtomicBool,
    /// Where the producer stood when it retired, [`NOT_RETIRED`] before. Written by the producer; not
    /// lost with the memory.
    retired_at: AtomicU64,
}

/// See [`Shared::retired_at`]; no position is that far.
const NOT_RETIRED: u64 = u64::MAX;

/// What a ring's file says about its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum State {
    /// No thread has it, or one is about to.
    Free = 0,
    /// A thread owns it.
    Active = 1,
    /// Its thread has ended. What lies in it is still to be read.
    Retired = 2,
}

/// Makes a ring, all its memory present. Blocks for about 0.6 ms per MiB.
///
/// # Errors
/// A capacity outside the limits; and the system's errors, among them a full file system.
pub(crate) fn create(options: RingOptions) -> io::Result<Ring> {
    let RingOptions { capacity_bytes, id, path } = options;
    check_capacity(capacity_bytes as u64)
        .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
    let memory = Memory::create(capacity_bytes, id, path.as_deref())?;
    let retired_at = AtomicU64::new(NOT_RETIRED);
    let shared = Shared { memory, id, closed: AtomicBool::new(false), retired_at };
    Ok(Ring { shared: Arc::new(shared), incarnation: 0 })
}

impl Ring {
    /// The process survives from now on that somebody cuts the file of the ring; then the ring is
    /// [lost](Shared::is_lost). Nothing to do for private memory, and for a ring that is in use.
    ///
    /// # Errors
    /// As [`Mapping::guard`](crate::sys::mapping::Mapping::guard).
    pub(crate) fn guard(&mut self) -> io::Result<()> {
        Arc::get_mut(&mut self.shared).map_or(Ok(()), |shared| shared.memory.guard())
    }

    /// What both sides will hold.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Gives the ring to the calling thread: its id and name go into the header.
    ///
    /// Positions go on where the last owner stopped; the incarnation is one more. In a forked
    /// child the inherited ring yields a producer whose every record is refused with
    /// [`Refresh::Forked`]. Allocates the name.
    pub(crate) fn split(self) -> (Producer, Consumer) {
        let Ring { shared, incarnation } = self;
        let incarnation = incarnation + 1;
        let (thread_id, thread_name) = (thread_id(), thread_name());
        // Relaxed: both sides are in this hand.
        shared.retired_at.store(NOT_RETIRED, Ordering::Relaxed);
        if shared.memory.is_ours() {
            shared.memory.enter(shared.id, incarnation, thread_id, &thread_name);
        }
        let producer = Producer::new(Arc::clone(&shared));
        (producer, Consumer::new(shared, incarnation, thread_id, thread_name))
    }
}

impl Shared {
    /// Ends the ring for good: the producer's next record takes the cold path and is refused with
    /// [`Refresh::Closed`]. A record reserved before may still be committed. Wait-free.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `Producer::arm`. If the limit stored there comes later
        // than the one below, then `closed` is seen there.
        full_fence("ring.close");
        self.memory.page().limit.store(0, Ordering::Relaxed);
    }

    /// Whether [`Shared::close`] was called, or what was in the ring is lost.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.is_lost()
    }

    /// Whether somebody cut the file of the ring: its memory was replaced by zeros. What was unread
    /// is lost; no record that was pushed since can be told from the rest of one before.
    pub(crate) fn is_lost(&self) -> bool {
        self.memory.is_lost()
    }

    /// Whether the ring lies in a file, which outlives the process.
    pub(crate) fn is_file(&self) -> bool {
        self.memory.mapping().is_file()
    }

    /// Removes the file of the ring; the memory stays for whoever still uses it.
    pub(crate) fn remove_file(&self) {
        self.memory.mapping().remove_file();
    }

    /// The producers' counters, by their numbers. They belong to the ring and go on from thread to
    /// thread.
    pub(crate) fn counters(&self) -> [u64; COUNTERS] {
        let counters = &self.memory.control().counters.0;
        std::array::from_fn(|number| counters[number].load(Ordering::Relaxed))
    }

    /// The number that tells this ring from the others of its process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Bytes of data.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.memory.capacity() as usize
    }

    /// The longest record.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.capacity_bytes() / RECORDS_PER_LAP_MIN
    }
}

/// Eight bytes that begin `len` bytes of padding: the length in three bytes, a zero, the number 1
/// in four bytes. Only these 8 bytes are there for certain.
pub(crate) const fn skip_marker(len: usize) -> [u8; 8] {
    (len as u64 & 0x00ff_ffff | (SKIP as u64) << 32).to_le_bytes()
}

/// Says what is wrong with a capacity.
fn check_capacity(bytes: u64) -> Result<(), String> {
    let limits = CAPACITY_BYTES_MIN as u64..=CAPACITY_BYTES_MAX as u64;
    if bytes.is_power_of_two() && limits.contains(&bytes) {
        return Ok(());
    }
    let (min, max) = (limits.start(), limits.end());
    Err(format!("a ring of {bytes} bytes; choose a power of two from {min} to {max}"))
}

/// The operating system's id of the calling thread, 0 where it cannot be told.
fn thread_id() -> u32 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_pid().unsigned_abs();
    #[cfg(not(target_os = "linux"))]
    return 0;
}

/// The calling thread's name, cut on a character border; empty without one.
fn thread_name() -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let fits = |end: &usize| name.is_char_boundary(*end);
    let end = (0..=name.len().min(THREAD_NAME_BYTES_MAX)).rev().find(fits);
    name[..end.unwrap_or(0)].to_owned()
}
