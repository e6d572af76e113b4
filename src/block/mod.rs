//! Blocks: the rkyv schema, and how to build, check and iterate it.
//!
//! A block is a fixed header of 64 bytes and one rkyv archive, see `docs/format.md`; a receiver may
//! put an envelope around it. Blocks travel unchanged from the writer thread through journals and
//! sockets to whoever reads them.

pub mod build;
pub mod define;
pub mod dictionary;
pub(crate) mod envelope;
pub mod events;
pub mod header;
pub(crate) mod schema;

pub use dictionary::Dictionary;
pub use events::{Events, EventsBlock};
pub use header::{BlockError, BlockHeader, BlockKind};
