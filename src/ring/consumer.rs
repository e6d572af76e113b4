//! The side of a ring that belongs to the writer.

use super::{NOT_RETIRED, Ring, Shared, State};
use crate::sync::{Arc, Ordering, ordering};

/// The consuming side of a ring.
///
/// In a forked child an inherited consumer finds nothing and releases nothing: the ring is the
/// parent's.
#[derive(Debug)]
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    /// What this side has published as the head.
    head: u64,
    /// The tail as last seen.
    tail: u64,
    incarnation: u64,
    thread_id: u32,
    thread_name: String,
}

/// Records waiting in a ring: the bytes at the positions `from..to`, verbatim, with skip markers
/// and the padding behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pending<'a> {
    /// Where the bytes begin.
    pub(crate) from: u64,
    /// Where they end.
    pub(crate) to: u64,
    /// The bytes, in order: the second run is the part behind a lap's end. Position `p` is byte
    /// `p - from` of both together.
    pub(crate) runs: [&'a [u8]; 2],
}

impl Consumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        incarnation: u64,
        thread_id: u32,
        thread_name: String,
    ) -> Consumer {
        // Relaxed: this side alone moves the head, and its last holder handed the ring on whole.
        let head = shared.memory.control().head.0.load(Ordering::Relaxed);
        Consumer { shared, head, tail: head, incarnation, thread_id, thread_name }
    }

    /// Everything from the head on. Wait-free.
    pub(crate) fn pending(&mut self) -> Pending<'_> {
        self.pending_from(self.head)
    }

    /// Everything from `from` on, for a consumer that has copied what lies before it and releases
    /// it later. Positions outside the ring are moved to its nearest end. Wait-free.
    pub(crate) fn pending_from(&mut self, from: u64) -> Pending<'_> {
        let memory = &self.shared.memory;
        if memory.is_ours() {
            // Acquire: pairs with the Release in `Producer::commit`.
            let acquire = ordering("ring.pending", Ordering::Acquire);
            let tail = memory.control().tail.0.load(acquire);
            // A tail outside the ring's bytes is damage; the last good one stands.
            if tail.wrapping_sub(self.head) <= memory.capacity() {
                self.tail = self.tail.max(tail);
            }
        } else {
            self.tail = self.head;
        }
        let (from, to) = (from.clamp(self.head, self.tail), self.tail);
        let lap_end = (from | (memory.capacity() - 1)) + 1;
        let first = self.run(from, to.min(lap_end));
        let second = self.run(to.min(lap_end), to);
        Pending { from, to, runs: [first, second] }
    }

    /// The bytes at `from..to`, inside `head..tail` and inside one lap.
    fn run(&self, from: u64, to: u64) -> &[u8] {
        let memory = &self.shared.memory;
        let len = (to - from) as usize;
        memory.note_read(from, len);
        let offset = (from & (memory.capacity() - 1)) as usize;
        // SAFETY: the masked index is inside the data.
        let start = unsafe { memory.data().add(offset) };
        // SAFETY: the bytes are ours until `release`, which needs `&mut self` (invariant 2); they
        // end with the lap at the latest.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// Gives the bytes below `to` back to the producer. Positions outside what was pending are
    /// moved to its nearest end. Cheapest in large steps: each costs the producer a cache miss.
    /// Wait-free.
    pub(crate) fn release(&mut self, to: u64) {
        let to = to.clamp(self.head, self.tail);
        let memory = &self.shared.memory;
        if to == self.head || !memory.is_ours() {
            return;
        }
        if cfg!(loom) {
            // The bytes were being read up to here.
            let lap_end = (self.head | (memory.capacity() - 1)) + 1;
            self.run(self.head, to.min(lap_end));
            self.run(to.min(lap_end), to);
        }
        self.head = to;
        // Release: pairs with the Acquire in `Producer::refresh`; reading ends before reuse.
        memory.control().head.0.store(to, ordering("ring.release", Ordering::Release));
    }

    /// Whether the producer has ended. Ask before [`Consumer::pending`]: what that finds then is
    /// all there will be.
    pub(crate) fn is_retired(&self) -> bool {
        // Acquire: pairs with the Release where a producer is dropped.
        let state =
            self.shared.memory.control().state.0.load(ordering("ring.retired", Ordering::Acquire));
        state == State::Retired as u64
    }

    /// Whether the ring is what this side left: its file in place, and its words as they should be.
    /// One system call for a ring in a file.
    pub(crate) fn is_intact(&self) -> bool {
        let memory = &self.shared.memory;
        let in_place = !memory.is_lost() && memory.mapping().is_in_place();
        // Relaxed: this side alone moves the head. A touch of a file that is cut is the guard's.
        in_place && memory.control().head.0.load(Ordering::Relaxed) == self.head
    }

    /// Bytes that are unread in a ring whose memory is lost, with the record that met the loss; and
    /// whether that is all, for the producer has retired. Before, it is what this side knows of.
    pub(crate) fn lost_bytes(&self) -> (u64, bool) {
        // Acquire: pairs with the Release where a producer is dropped.
        let retired_at = self.shared.retired_at.load(Ordering::Acquire);
        let is_all = retired_at != NOT_RETIRED;
        let tail = if is_all { retired_at } else { self.tail };
        (tail.saturating_sub(self.head).min(self.shared.memory.capacity()), is_all)
    }

    /// Ends this side too: gives the ring back for another thread to own.
    ///
    /// # Errors
    /// The consumer itself, while the producer is alive or something is unread, and in a forked
    /// child.
    pub(crate) fn reclaim(mut self) -> Result<Ring, Consumer> {
        if !self.shared.memory.is_ours() || !self.is_retired() {
            return Err(self);
        }
        let pending = self.pending();
        if pending.from != pending.to {
            return Err(self);
        }
        Ok(Ring { shared: self.shared, incarnation: self.incarnation })
    }

    /// What both sides hold.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The operating system's id of the thread that got the producer; 0 unknown.
    pub(crate) fn thread_id(&self) -> u32 {
        self.thread_id
    }

    /// That thread's name; empty without one.
    pub(crate) fn thread_name(&self) -> &str {
        &self.thread_name
    }

    /// The published head: where [`Consumer::pending`] begins.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Bytes not yet released. A number for a gauge: it is out of date at once.
    pub(crate) fn used_bytes(&self) -> usize {
        let memory = &self.shared.memory;
        let tail = memory.control().tail.0.load(Ordering::Relaxed);
        tail.saturating_sub(self.head).min(memory.capacity()) as usize
    }
}
