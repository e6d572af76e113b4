//! What a dead process left, and how it gets into the journal.
//!
//! Whoever holds the dead owner's lock appends, for each of its rings, the bytes from
//! max(head, greatest `to` of that ring in the journal) to tail as the next blocks of the dead
//! process's own (source, epoch), takes the rings out of the manifest, and then unlinks them.
//! Repeatable after a crash at any step: what the journal has is not appended again, what is
//! appended is not in the ring any more. The rings of other journals' dead processes are
//! orphans: see [`sweep`].

mod contexts;
mod left;
mod manifest;
mod orphans;
#[cfg(feature = "cli")]
mod repair;
mod rings;
#[cfg(feature = "cli")]
mod salvage;
#[cfg(feature = "cli")]
mod view;

pub(crate) use contexts::ContextFiles;
pub use left::{LeftRing, Leftovers, Owner};
pub use manifest::{Manifest, ProcessFacts, ProcessFile};
pub use orphans::sweep;
#[cfg(feature = "cli")]
pub(crate) use repair::{RepairError, repair};
#[cfg(feature = "cli")]
pub(crate) use rings::copy;
pub(crate) use rings::remove_rings;
pub use rings::{RecoverError, Recovered, drain};
#[cfg(feature = "cli")]
pub(crate) use salvage::{Copied, CopyError, copy_journal};
#[cfg(feature = "cli")]
pub(crate) use view::{View, scan_of};
