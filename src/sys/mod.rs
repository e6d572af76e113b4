//! The operating system behind a safe API: memory, and what lies in it for other threads and for
//! whoever finds it after this process's death. Knows bytes, never events.

pub(crate) mod append;
pub(crate) mod crash;
pub(crate) mod dead;
pub(crate) mod file;
pub(crate) mod guard;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod output;
pub(crate) mod per_process;
pub(crate) mod priority;
pub(crate) mod signal;
pub(crate) mod table;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;
#[cfg(not(all(feature = "io-uring", target_os = "linux")))]
#[path = "no_uring.rs"]
mod uring;
pub(crate) mod words;
