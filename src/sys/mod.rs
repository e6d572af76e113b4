//! The operating system behind a safe API: memory, and what lies in it for other threads and for
//! whoever finds it after this process's death. Knows bytes, never events.

pub(crate) mod append;
pub(crate) mod dead;
pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod table;
pub(crate) mod words;
