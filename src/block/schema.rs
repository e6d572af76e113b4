//! What rkyv archives: primitives, fixed structs, strings and vectors only.
//!
//! Shared pointers, maps, niches and recursion are left out on purpose: checked access to them has
//! had soundness faults. rkyv's format features are global to a build, so the layout that
//! `docs/format.md` promises is asserted at compile time.
#![allow(unsafe_code, reason = "rkyv's derive marks the archived types Portable")]

use rkyv::ser::{Positional, Writer, WriterExt};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place, Serialize};

/// The archive of a block of kind *events*.
#[derive(Archive, Serialize)]
pub(crate) struct EventsBody<'a> {
    pub(crate) before: Anchor,
    pub(crate) after: Anchor,
    pub(crate) nanos_per_tick: f64,
    pub(crate) chunks: Vec<Chunk<'a>>,
}

/// A point at which both clocks were read.
#[derive(Archive, Serialize, Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) ticks: u64,
    pub(crate) utc_ns: i64,
}

/// A run of one ring.
#[derive(Archive, Serialize)]
pub(crate) struct Chunk<'a> {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) ring: u32,
    pub(crate) thread: u32,
    pub(crate) context: u32,
    pub(crate) records: Runs<'a>,
}

/// The archive of a block of kind *define*. `sources` has no or one element.
#[derive(Archive, Serialize, Default)]
pub(crate) struct DefineBody {
    pub(crate) sources: Vec<Source>,
    pub(crate) sites: Vec<Site>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) contexts: Vec<Context>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Source {
    pub(crate) pid: u32,
    pub(crate) service: String,
    pub(crate) host: String,
}

#[derive(Archive, Serialize)]
pub(crate) struct Site {
    pub(crate) id: u32,
    pub(crate) definition: Vec<u8>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Thread {
    pub(crate) os_id: u64,
    pub(crate) id: u32,
    pub(crate) name: String,
}

#[derive(Archive, Serialize)]
pub(crate) struct Context {
    pub(crate) id: u32,
    pub(crate) pairs: Vec<Pair>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The archive of a block of kind *segment*.
#[derive(Archive, Serialize)]
pub(crate) struct SegmentBody {
    pub(crate) marks: Vec<Mark>,
}

/// The greatest stored sequence of one (source, epoch).
#[derive(Archive, Serialize)]
pub(crate) struct Mark {
    pub(crate) source_low: u64,
    pub(crate) source_high: u64,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

/// Bytes in two pieces, as they lie in a ring, archived as one vector.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a>(pub(crate) [&'a [u8]; 2]);

impl Runs<'_> {
    pub(crate) fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }
}

impl Archive for Runs<'_> {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(self.len(), resolver, out);
    }
}

impl<S> Serialize<S> for Runs<'_>
where
    S: rkyv::rancor::Fallible + Writer + Positional + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let _ = WriterExt::align(serializer, 8)?;
        let at = serializer.pos();
        serializer.write(self.0[0])?;
        serializer.write(self.0[1])?;
        Ok(VecResolver::from_pos(at))
    }
}
