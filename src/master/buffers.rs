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
    /// A buffer for so many bytes, of whatever content: the shortest that is long enough, else the
    /// longest, else an empty one. What is there already need not be cleared.
    pub(super) fn take(&self, bytes: usize) -> AlignedVec {
        let mut kept = self.kept();
        let fit = |(_, buffer): &(usize, &AlignedVec)| {
            let len = buffer.len();
            if len >= bytes { (0, len - bytes) } else { (1, bytes - len) }
        };
        let found = kept.iter().enumerate().min_by_key(fit).map(|(at, _)| at);
        found.map(|at| kept.swap_remove(at)).unwrap_or_default()
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
    fn a_frame_gets_the_buffer_that_fits_it_best() {
        let buffers = Buffers::default();
        for len in [300, 100, 200] {
            let mut buffer = AlignedVec::new();
            buffer.resize(len, 0);
            buffers.give(buffer);
        }
        assert_eq!([150, 150, 150, 150].map(|bytes| buffers.take(bytes).len()), [200, 300, 100, 0]);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let buffers = Buffers::default();
        for _ in 0..20 {
            buffers.give(AlignedVec::with_capacity(1 << 20));
            buffers.give(AlignedVec::new());
        }
        let kept =
            std::iter::from_fn(|| Some(buffers.take(1).capacity()).filter(|bytes| *bytes > 0));
        assert_eq!(kept.sum::<usize>(), KEPT_BYTES);
    }
}
