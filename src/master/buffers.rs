//! Buffers for what arrives, used again and again.
//!
//! A connection takes one when a frame of blocks is announced, the ingest thread gives it back: a
//! connection that is idle has none, and memory that is mapped stays so.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rkyv::util::AlignedVec;

/// Bytes of the buffers that wait for a frame. More are freed.
const KEPT_BYTES: usize = 8 << 20;

/// The buffers that wait for a frame.
#[derive(Default)]
pub(super) struct Buffers {
    kept: Mutex<Vec<AlignedVec>>,
}

impl Buffers {
    /// The buffer that was given back last, whose bytes the caches may still have; else an empty one.
    /// It holds whatever it held.
    pub(super) fn take(&self) -> AlignedVec {
        self.kept().pop().unwrap_or_default()
    }

    /// Keeps a buffer for another frame, within the bound.
    pub(super) fn give(&self, buffer: AlignedVec) {
        let mut kept = self.kept();
        let bytes: usize = kept.iter().map(AlignedVec::capacity).sum();
        if buffer.capacity() > 0 && bytes + buffer.capacity() <= KEPT_BYTES {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<AlignedVec>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound() {
        let buffers = Buffers::default();
        for _ in 0..20 {
            buffers.give(AlignedVec::with_capacity(1 << 20));
            buffers.give(AlignedVec::new());
        }
        let kept =
            std::iter::from_fn(|| Some(buffers.take().capacity()).filter(|bytes| *bytes > 0));
        assert_eq!(kept.sum::<usize>(), KEPT_BYTES);
    }
}
