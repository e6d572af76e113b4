//! Where a ring lies: the mapping with header and data, and the producer's private page.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::ptr::NonNull;

use super::{Shared, State};
use crate::sync::{AtomicU64, Ordering, Shadow};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::mapping::{Mapping, PAGE_BYTES};

/// Counters of dropped and cut records in each ring.
pub(crate) const COUNTERS: usize = 16;

pub(super) const MAGIC: [u8; 8] = *b"rollring";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 4096;
pub(super) const VERSION_AT: usize = 8;
pub(super) const ID_AT: usize = 12;
pub(super) const CAPACITY_AT: usize = 16;
pub(super) const INCARNATION_AT: usize = 24;
pub(super) const THREAD_ID_AT: usize = 32;
pub(super) const NAME_LEN_AT: usize = 36;
pub(super) const NAME_AT: usize = 40;
pub(super) const CRC_AT: usize = 104;
pub(super) const STATE_AT: usize = 128;
pub(super) const TAIL_AT: usize = 256;
pub(super) const HEAD_AT: usize = 384;
pub(super) const COUNTERS_AT: usize = 512;

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;
    assert!(STATE_AT + offset_of!(Control, tail) == TAIL_AT);
    assert!(STATE_AT + offset_of!(Control, head) == HEAD_AT);
    assert!(STATE_AT + offset_of!(Control, counters) == COUNTERS_AT);
};
const _: () = assert!(STATE_AT + size_of::<Control>() <= HEADER_BYTES);
const _: () = assert!(size_of::<Page>() <= PAGE_BYTES);

/// The words in the header that move while the ring is used. The prefetcher fetches lines in
/// pairs, so each has 128 bytes of its own.
#[derive(Default, Debug)]
#[repr(C)]
pub(super) struct Control {
    pub(super) state: Line<AtomicU64>,
    /// Written by the producer.
    pub(super) tail: Line<AtomicU64>,
    /// Written by the consumer.
    pub(super) head: Line<AtomicU64>,
    /// Written by the producer.
    pub(super) counters: Line<[AtomicU64; COUNTERS]>,
}

#[derive(Default, Debug)]
#[repr(C, align(128))]
pub(super) struct Line<T>(pub(super) T);

/// [`Page::kind`] as a forked child finds it: all zeros.
const WIPED: u64 = 0;
/// [`Page::kind`] of a page that belongs to a ring.
pub(super) const LIVE: u64 = 1;
/// [`Page::kind`] of the page of threads without a ring.
pub(super) const NONE: u64 = 2;
/// [`Page::kind`] of the page that a nested log call finds.
pub(super) const TAKEN: u64 = 3;

/// What only the producer needs. Zeros are a valid page: one that refuses every record.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Page {
    /// The hot path goes up to this position. 0 while closed. Written by the producer; by
    /// [`Shared::close`].
    pub(super) limit: AtomicU64,
    /// Where the next record begins. Ahead of the published tail by a skip marker at most.
    pub(super) tail: Cell<u64>,
    /// Where the reserved record ends; 0 when none is.
    pub(super) reserved: Cell<u64>,
    pub(super) data: Cell<*mut u8>,
    /// Capacity minus 1.
    pub(super) mask: Cell<u64>,
    pub(super) published_tail: Cell<*const AtomicU64>,
    /// The ring, and one of its reference counts.
    pub(super) shared: Cell<*const Shared>,
    /// A number for the producer's owner; the ring does not look at it.
    pub(super) stamp: Cell<u64>,
    /// Whether the ring was less than half full when it was last looked at.
    pub(super) below_half: Cell<bool>,
    /// Written when the page is made.
    pub(super) kind: AtomicU64,
}

impl Page {
    /// A page that refuses every record.
    #[cfg(not(loom))]
    pub(super) const fn refusing(kind: u64) -> Page {
        Page { kind: AtomicU64::new(kind), ..Page::WIPED }
    }

    #[cfg(not(loom))]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start from")]
    const WIPED: Page = Page {
        limit: AtomicU64::new(0),
        tail: Cell::new(0),
        reserved: Cell::new(0),
        data: Cell::new(std::ptr::null_mut()),
        mask: Cell::new(0),
        published_tail: Cell::new(std::ptr::null()),
        shared: Cell::new(std::ptr::null()),
        stamp: Cell::new(0),
        below_half: Cell::new(false),
        kind: AtomicU64::new(WIPED),
    };

    /// A page for a new ring.
    fn live() -> Page {
        Page {
            limit: AtomicU64::new(0),
            tail: Cell::new(0),
            reserved: Cell::new(0),
            data: Cell::new(std::ptr::null_mut()),
            mask: Cell::new(0),
            published_tail: Cell::new(std::ptr::null()),
            shared: Cell::new(std::ptr::null()),
            stamp: Cell::new(0),
            below_half: Cell::new(false),
            kind: AtomicU64::new(LIVE),
        }
    }
}

/// A ring's mapping and page.
#[derive(Debug)]
pub(super) struct Memory {
    /// Dropped before the page, into which its guard writes.
    mapping: Mapping,
    page: Mapping,
    capacity: u64,
    shadow: Shadow,
}

// SAFETY: the cells in the page are accessed by the producer alone, and by whoever makes one from
// the unused ring (invariant 4 of the ring); everything else is atomic or follows invariants 2, 3.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes both mappings, all pages present, and writes the fixed part of the header.
    pub(super) fn create(capacity: usize, id: u32, path: Option<&Path>) -> io::Result<Memory> {
        let page = Mapping::anonymous(PAGE_BYTES)?;
        page.wipe_on_fork(PAGE_BYTES)?;
        page.populate(0..PAGE_BYTES)?;
        let len = HEADER_BYTES + capacity;
        let mapping = match path {
            Some(path) => Mapping::create(path, len)?,
            None => {
                let private = Mapping::anonymous(len)?;
                private.populate(0..len)?;
                private
            }
        };
        crash::reached(CrashPoint::RingSpace);

        // SAFETY: the page is mapped, long enough (asserted above) and aligned, and this function
        // is its only user.
        unsafe { page.start().cast::<Page>().write(Page::live()) };
        let memory =
            Memory { mapping, page, capacity: capacity as u64, shadow: Shadow::new(capacity) };
        // SAFETY: as for the page.
        unsafe { memory.control_start().write(Control::default()) };
        memory.enter(id, 0, 0, "");
        Ok(memory)
    }

    /// Lets the ring survive that its file is cut: the process goes on, and the producer takes the
    /// cold path next.
    pub(super) fn guard(&mut self) -> io::Result<()> {
        self.mapping.guard()?;
        #[cfg(not(loom))]
        if let Some(watch) = self.mapping.watch() {
            // SAFETY: the page is dropped after the mapping with its watch, see the fields.
            unsafe { watch.set_alarm(NonNull::from(&self.page().limit)) };
        }
        Ok(())
    }

    /// Whether what was in the ring is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.mapping.is_lost()
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Writes who owns the ring. To be called with both sides in hand (invariant 4).
    pub(super) fn enter(&self, id: u32, incarnation: u64, thread_id: u32, thread_name: &str) {
        let mut header = [0; CRC_AT + 4];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(ID_AT, &id.to_le_bytes());
        put(CAPACITY_AT, &self.capacity.to_le_bytes());
        put(INCARNATION_AT, &incarnation.to_le_bytes());
        put(THREAD_ID_AT, &thread_id.to_le_bytes());
        put(NAME_LEN_AT, &(thread_name.len() as u32).to_le_bytes());
        put(NAME_AT, thread_name.as_bytes());
        let crc = crc32c::crc32c(&header[..CRC_AT]);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());

        let state = &self.control().state.0;
        state.store(State::Free as u64, Ordering::Relaxed);
        // SAFETY: the header is mapped and longer than this part of it, which nobody reads while
        // this process lives.
        unsafe {
            self.mapping
                .start()
                .copy_from_nonoverlapping(NonNull::from(&header).cast(), header.len())
        };
        // Release: a ring that is seen as active has its header.
        let entered = if incarnation == 0 { State::Free } else { State::Active };
        state.store(entered as u64, Ordering::Release);
    }

    /// Whether this process made the ring, and did not inherit it by a fork.
    pub(super) fn is_ours(&self) -> bool {
        self.page().kind.load(Ordering::Relaxed) == LIVE
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn page(&self) -> &Page {
        // SAFETY: `create` made a page there; zeros, as a child finds them, are one too. It lives
        // as long as `self`, and is never borrowed mutably.
        unsafe { self.page.start().cast::<Page>().as_ref() }
    }

    pub(super) fn control(&self) -> &Control {
        // SAFETY: `create` made it; it lives as long as `self`, and is never borrowed mutably.
        unsafe { self.control_start().as_ref() }
    }

    fn control_start(&self) -> NonNull<Control> {
        // SAFETY: the mapping begins with a whole header.
        unsafe { self.mapping.start().add(STATE_AT) }.cast()
    }

    pub(super) fn data(&self) -> NonNull<u8> {
        // SAFETY: the mapping is a header and `capacity` bytes of data.
        unsafe { self.mapping.start().add(HEADER_BYTES) }
    }

    /// Tells the model that the bytes at `position` are written now. They do not cross a lap.
    #[inline(always)]
    pub(super) fn note_write(&self, position: u64, len: usize) {
        self.shadow.write((position & (self.capacity - 1)) as usize, len);
    }

    /// Tells the model that the bytes at `position` are read now. They do not cross a lap.
    #[inline(always)]
    pub(super) fn note_read(&self, position: u64, len: usize) {
        self.shadow.read((position & (self.capacity - 1)) as usize, len);
    }
}
