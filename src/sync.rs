//! The one place that chooses between the standard library and loom.
//!
//! Every lock-free protocol of rollway takes its atomics from here, so that `--cfg loom` explores
//! the very code that ships.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
#[allow(unused_imports, reason = "the engine comes next")]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
