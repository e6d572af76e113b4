//! The one place that chooses between the standard library and loom.
//!
//! Every lock-free protocol of rollway takes its atomics from here, so that `--cfg loom` explores
//! the very code that ships. Memory that such a protocol guards is invisible to loom; [`Shadow`]
//! stands for it there.

#[cfg(loom)]
pub(crate) use loom::sync::Arc;
#[cfg(loom)]
#[allow(unused_imports, reason = "the engine comes next")]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::Arc;
#[cfg(not(loom))]
#[allow(unused_imports, reason = "the engine comes next")]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// `intended`, unless a model has weakened the ordering of this name to see itself fail.
#[inline(always)]
pub(crate) fn ordering(name: &str, intended: Ordering) -> Ordering {
    if is_seeded(name) { Ordering::Relaxed } else { intended }
}

/// A sequentially consistent fence, unless a model has taken out the one of this name.
#[inline(always)]
pub(crate) fn full_fence(name: &str) {
    if !is_seeded(name) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(not(loom))]
#[inline(always)]
const fn is_seeded(_name: &str) -> bool {
    false
}

#[cfg(loom)]
thread_local! {
    /// The ordering that the model on this thread has weakened. Loom runs a model's threads on one
    /// thread of the system.
    static SEEDED: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

#[cfg(loom)]
fn is_seeded(name: &str) -> bool {
    SEEDED.get() == name
}

/// Runs `model` with the ordering of this name weakened.
#[cfg(all(test, loom))]
pub(crate) fn with_seeded_bug(name: &'static str, model: impl FnOnce()) {
    SEEDED.set(name);
    model();
}

/// One cell for each 8 bytes of guarded memory, touched wherever the memory is. Loom reports two
/// touches that no ordering separates, if one of them writes. Nothing outside loom.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Shadow(Box<[loom::cell::UnsafeCell<()>]>);

#[cfg(loom)]
impl Shadow {
    pub(crate) fn new(bytes: usize) -> Shadow {
        Shadow((0..bytes.div_ceil(8)).map(|_| loom::cell::UnsafeCell::new(())).collect())
    }

    /// The bytes from `offset` on, `len` of them, are read now.
    pub(crate) fn read(&self, offset: usize, len: usize) {
        for cell in &self.0[offset / 8..(offset + len).div_ceil(8)] {
            cell.with(|_| ());
        }
    }

    /// The bytes from `offset` on, `len` of them, are written now.
    pub(crate) fn write(&self, offset: usize, len: usize) {
        for cell in &self.0[offset / 8..(offset + len).div_ceil(8)] {
            cell.with_mut(|_| ());
        }
    }
}

/// See the other definition.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Shadow;

#[cfg(not(loom))]
impl Shadow {
    #[inline(always)]
    pub(crate) fn new(_bytes: usize) -> Shadow {
        Shadow
    }

    #[inline(always)]
    pub(crate) fn read(&self, _offset: usize, _len: usize) {}

    #[inline(always)]
    pub(crate) fn write(&self, _offset: usize, _len: usize) {}
}
