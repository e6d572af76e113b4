//! What a dead process left, and how it gets into the journal.
//!
//! Whoever holds the dead owner's lock appends, for each of its rings, the bytes from
//! max(head, greatest `to` of that ring in the journal) to tail as the next blocks of the dead
//! process's own (source, epoch), takes the rings out of the manifest, and then unlinks them.
//! Repeatable after a crash at any step: what the journal has is not appended again, what is
//! appended is not in the ring any more. The rings of other journals' dead processes are
//! [orphans](orphans).

mod contexts;
mod manifest;
mod orphans;
mod rings;

pub(crate) use contexts::ContextFiles;
pub use manifest::{Manifest, ProcessFacts, ProcessFile};
pub use orphans::sweep;
pub(crate) use rings::remove_rings;
pub use rings::{RecoverError, Recovered, drain};
