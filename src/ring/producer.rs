//! The side of a ring that belongs to the logging thread.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::memory::{LIVE, NONE, Page, TAKEN};
use super::{ALIGN, Shared, State, skip_marker};
use crate::sync::{Arc, AtomicU64, Ordering, full_fence, ordering};

/// Bytes ahead of the tail at which the next line is asked for: as far as a burst of twenty records
/// goes, so that it finds the lines that the one before has asked for.
const PREFETCH_BYTES: usize = 1024;
/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// The producing side of a ring, or a stand-in that refuses every record.
///
/// Dropping it retires it.
#[derive(Debug)]
pub(crate) struct Producer {
    /// See invariant 5 of the module.
    page: NonNull<Page>,
    owned: PhantomData<Shared>,
}

// SAFETY: the page and what it points to are not bound to a thread; invariant 4 makes this the only
// handle that touches the page's cells.
unsafe impl Send for Producer {}

/// What the cold path found, see [`Producer::refresh`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refresh {
    /// There is room now.
    Ready,
    /// There is room now, and with this record the ring passes half full: the moment to wake a
    /// sleeping writer. Told once each time.
    CrossedHalf,
    /// There is no room. `needed_bytes` counts the padding at the end of the lap.
    Full { needed_bytes: usize, free_bytes: usize },
    /// No ring of this capacity will ever take the record.
    TooLong { limit_bytes: usize },
    /// The ring was closed.
    Closed,
    /// This is a forked child, and the ring is its parent's.
    Forked,
    /// The thread has no ring.
    NoRing,
    /// The thread's ring is in use by a log call further up the stack.
    Nested,
}

impl Producer {
    /// The producer of a ring whose sides nobody has (invariant 4).
    pub(super) fn new(shared: Arc<Shared>) -> Producer {
        let memory = &shared.memory;
        let page = memory.page();
        let producer = Producer { page: NonNull::from(page), owned: PhantomData };
        if !memory.is_ours() {
            // The page cannot keep the ring alive; a count that is never returned does.
            std::mem::forget(shared);
            return producer;
        }
        // Relaxed: the last producer has retired, and the Acquire that saw it came before.
        page.tail.set(memory.control().tail.0.load(Ordering::Relaxed));
        page.reserved.set(0);
        page.data.set(memory.data().as_ptr());
        page.mask.set(memory.capacity() - 1);
        page.published_tail.set(&raw const memory.control().tail.0);
        page.below_half.set(true);
        page.stamp.set(0);
        // The first record takes the cold path, which sets the limit.
        page.limit.store(0, Ordering::Relaxed);
        producer.page().shared.set(Arc::into_raw(shared));
        producer
    }

    /// A producer that refuses every record.
    #[cfg(not(loom))]
    pub(super) const fn of_page(page: NonNull<Page>) -> Producer {
        Producer { page, owned: PhantomData }
    }

    #[cfg(not(loom))]
    pub(super) fn page_pointer(&self) -> NonNull<Page> {
        self.page
    }

    #[inline(always)]
    fn page(&self) -> &Page {
        // SAFETY: the page lives as long as this handle (invariant 5) and is never borrowed
        // mutably.
        unsafe { self.page.as_ref() }
    }

    /// The ring; `None` for a stand-in and in a forked child.
    #[inline(always)]
    fn shared(&self) -> Option<&Shared> {
        // SAFETY: null, or kept alive by the page's count (invariant 5).
        unsafe { self.page().shared.get().as_ref() }
    }

    /// The place for the next record of `len` bytes, a multiple of 8; `None` when the cold path
    /// must be taken. Wait-free: two loads, one compare.
    ///
    /// What was reserved and not committed is forgotten.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        debug_assert!(len.is_multiple_of(ALIGN), "a record of {len} bytes");
        let page = self.page();
        let tail = page.tail.get();
        // An empty record wraps here and is refused, so that pages of zeros refuse everything.
        let last = tail.checked_add((len as u64).wrapping_sub(1))?;
        // Relaxed: the cold path did the synchronising before it stored the limit.
        if last >= page.limit.load(Ordering::Relaxed) {
            return None;
        }
        page.reserved.set(last + 1);
        let (data, mask) = (page.data.get(), page.mask.get());
        if cfg!(loom)
            && let Some(shared) = self.shared()
        {
            shared.memory.note_write(tail, len);
        }
        // SAFETY: the page is live, for others have limit 0; the masked index is inside the data.
        let start = unsafe { data.add((tail & mask) as usize) };
        // SAFETY: as above; a live page's data does not lie at address 0.
        unsafe { std::hint::assert_unchecked(!start.is_null()) };
        // SAFETY: `tail..last + 1` is below the limit: inside the lap, and free (invariants 1, 3).
        // The borrow of `self` keeps it reserved.
        Some(unsafe { std::slice::from_raw_parts_mut(start, len) })
    }

    /// Reserves `len` bytes, has `fill` write the record there, and hands it to the consumer, all in
    /// one: the hot path. `false` where the cold path must be taken, or `fill` gave up. Wait-free
    /// but for `fill`.
    #[inline(always)]
    pub(crate) fn push(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        debug_assert!(len > 0 && len.is_multiple_of(ALIGN), "a record of {len} bytes");
        let page = self.page();
        let tail = page.tail.get();
        // Relaxed: the cold path did the synchronising before it stored the limit. Positions do not
        // reach 2^63: after a close, or on a page of zeros, there is no room or less.
        let room = page.limit.load(Ordering::Relaxed).wrapping_sub(tail).cast_signed();
        if len == 0 || room < len as i64 {
            return false;
        }
        let (data, mask) = (page.data.get(), page.mask.get());
        if cfg!(loom)
            && let Some(shared) = self.shared()
        {
            shared.memory.note_write(tail, len);
        }
        // SAFETY: the page is live, for others have limit 0; the masked index is inside the data.
        let start = unsafe { data.add((tail & mask) as usize) };
        prefetch(start);
        if len > LINE_BYTES {
            prefetch(start.wrapping_add(LINE_BYTES));
        }
        // SAFETY: as above; a live page's data does not lie at address 0.
        unsafe { std::hint::assert_unchecked(!start.is_null()) };
        // SAFETY: `len` bytes from the tail are below the limit: inside the lap, and free
        // (invariants 1, 3). They stay so until the tail moves, which the borrow of `self` leaves to
        // this function.
        if !fill(unsafe { std::slice::from_raw_parts_mut(start, len) }) {
            return false;
        }
        // SAFETY: null or the ring's (invariant 5). It is null if a signal handler has forked since,
        // and this is the child.
        let Some(published_tail) = (unsafe { page.published_tail.get().as_ref() }) else {
            return false;
        };
        let end = tail + len as u64;
        page.tail.set(end);
        // Release: as in `commit`.
        published_tail.store(end, ordering("ring.push", Ordering::Release));
        true
    }

    /// Hands the reserved record to the consumer. Without one, does nothing. Wait-free: one
    /// release store.
    #[inline(always)]
    pub(crate) fn commit(&mut self) {
        let page = self.page();
        let published_tail = page.published_tail.get();
        let end = page.reserved.get();
        // Nothing reserved; or a signal handler has forked since, and this is the child.
        if end == 0 {
            return;
        }
        if cfg!(loom)
            && let Some(shared) = self.shared()
        {
            let begin = page.tail.get();
            shared.memory.note_write(begin, (end - begin) as usize);
        }
        page.tail.set(end);
        // SAFETY: something is reserved, so the page is live (invariant 5).
        let published_tail: &AtomicU64 = unsafe { &*published_tail };
        // Release: pairs with the Acquire in `Consumer::pending_from`; the record is visible
        // before its end is.
        published_tail.store(end, ordering("ring.commit", Ordering::Release));
    }

    /// The number that [`Producer::set_stamp`] left; 0 at first, without a ring, and in a forked
    /// child.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> u64 {
        self.page().stamp.get()
    }

    /// Keeps a number for the owner. Does nothing without a ring, and in a forked child; then it is
    /// `false`.
    #[inline]
    pub(crate) fn set_stamp(&mut self, stamp: u64) -> bool {
        let has_ring = self.shared().is_some();
        if has_ring {
            self.page().stamp.set(stamp);
        }
        has_ring
    }

    /// The cold path of [`Producer::reserve`]: looks at the consumer's progress, and goes on to
    /// the next lap if need be. After `Ready` or `CrossedHalf` the record of `len` bytes can be
    /// reserved, unless the ring is closed in between. Wait-free.
    #[cold]
    #[inline(never)]
    pub(crate) fn refresh(&mut self, len: usize) -> Refresh {
        let page = self.page();
        let Some(shared) = self.shared() else {
            return match page.kind.load(Ordering::Relaxed) {
                NONE => Refresh::NoRing,
                TAKEN => Refresh::Nested,
                _ => Refresh::Forked,
            };
        };
        let memory = &shared.memory;
        page.reserved.set(0);
        if shared.is_closed() {
            return Refresh::Closed;
        }
        let limit_bytes = shared.record_bytes_max();
        if len > limit_bytes {
            return Refresh::TooLong { limit_bytes };
        }

        let (len, capacity) = (len as u64, memory.capacity());
        let tail = page.tail.get();
        let lap_end = (tail | (capacity - 1)) + 1;
        let padding = if tail + len > lap_end { lap_end - tail } else { 0 };
        // Acquire: pairs with the Release in `Consumer::release`; what was read is ours again. The
        // fence in `arm` comes too late for the marker.
        let head = memory.control().head.0.load(ordering("ring.reload", Ordering::Acquire));
        // A head outside the ring's bytes is damage: no room is better than wrong room.
        let used = tail.wrapping_sub(head).min(capacity);
        let (needed, free) = (padding + len, capacity - used);
        if needed > free {
            return Refresh::Full { needed_bytes: needed as usize, free_bytes: free as usize };
        }

        let tail = tail + padding;
        if padding > 0 {
            self.skip(shared, padding);
        }
        let below_half = used + needed <= capacity / 2;
        let room = if below_half { capacity / 2 } else { capacity };
        let lap_end = (tail | (capacity - 1)) + 1;
        let was_below_half = page.below_half.replace(below_half);
        if !self.arm(shared, lap_end.min(head + room)) {
            return Refresh::Closed;
        }
        if was_below_half && !below_half { Refresh::CrossedHalf } else { Refresh::Ready }
    }

    /// Covers the rest of the lap, `padding` free bytes, and moves to the next. The marker is
    /// published with the record behind it.
    fn skip(&self, shared: &Shared, padding: u64) {
        let page = self.page();
        let tail = page.tail.get();
        let marker = skip_marker(padding as usize);
        shared.memory.note_write(tail, padding as usize);
        // SAFETY: the masked index is inside the data.
        let start = unsafe { page.data.get().add((tail & page.mask.get()) as usize) };
        let len = marker.len().min(padding as usize);
        // SAFETY: `padding` bytes at `tail` are inside the lap and free (invariant 3).
        unsafe { start.copy_from_nonoverlapping(marker.as_ptr(), len) };
        page.tail.set(tail + padding);
    }

    /// Stores a new limit, and takes it back if the ring was closed meanwhile.
    fn arm(&self, shared: &Shared, limit: u64) -> bool {
        let page = self.page();
        page.limit.store(limit, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `Shared::close`. Either `closed` is seen here, or the
        // limit of 0 stored there comes after ours.
        full_fence("ring.arm");
        let open = !shared.is_closed();
        if !open {
            page.limit.store(0, Ordering::Relaxed);
        }
        open
    }

    /// Sends the next [`reserve`](Self::reserve) to the cold path, whatever room there is. Does
    /// nothing without a ring, and in a forked child.
    pub(crate) fn hold(&mut self) {
        if self.shared().is_some() {
            self.page().limit.store(0, Ordering::Relaxed);
        }
    }

    /// Adds one to a counter of the ring. Numbers past the last counter share it. Does nothing
    /// without a ring, and in a forked child. Wait-free.
    ///
    /// A consumer that sees a record committed after the call sees the count as well.
    pub(crate) fn count(&mut self, counter: usize) {
        let Some(shared) = self.shared() else { return };
        let counters = &shared.memory.control().counters.0;
        let counter = &counters[counter.min(counters.len() - 1)];
        // Relaxed: this thread is the only writer; readers want a number, not an order.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Whether there is a ring, and it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared().is_some_and(Shared::is_closed)
    }

    /// Ends this side: the consumer will find the ring retired once it has everything.
    pub(crate) fn retire(self) {
        drop(self);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let page = self.page();
        if page.kind.load(Ordering::Relaxed) != LIVE {
            return;
        }
        page.limit.store(0, Ordering::Relaxed);
        // SAFETY: a live page holds the count that `new` put there, once.
        let shared = unsafe { Arc::from_raw(page.shared.get()) };
        // Release: pairs with the Acquire in `Consumer::lost_bytes`.
        shared.retired_at.store(page.tail.get(), Ordering::Release);
        // Release: pairs with the Acquire in `Consumer::is_retired`; nothing of this side comes
        // after it.
        let release = ordering("ring.retire", Ordering::Release);
        shared.memory.control().state.0.store(State::Retired as u64, release);
    }
}

/// Asks for the line that the tail will reach, for writing: the consumer has read it last, and a
/// plain prefetch would fetch it shared. At the end of a lap that is nobody's line.
#[inline(always)]
fn prefetch(start: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    {
        let line = start.addr().wrapping_add(PREFETCH_BYTES);
        // The intrinsic yields this instruction only for targets that name the feature.
        // SAFETY: a prefetch never faults, wherever it points, and changes nothing that can be
        // seen; processors that do not know this one take it for a no-op.
        unsafe {
            std::arch::asm!(
                "prefetchw byte ptr [{line}]",
                line = in(reg) line,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = start;
}
