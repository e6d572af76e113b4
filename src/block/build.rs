//! Building blocks, in one buffer that is used again and again.

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;

use super::header::{BlockHeader, BlockKind, HEADER_BYTES};
use super::schema;
use crate::clock::{Anchor, Timeline};

/// The part of an events block in front of its chunks.
#[derive(Clone, Copy, Debug)]
pub struct EventsHead {
    /// Whose events.
    pub source: u128,
    /// Of which run.
    pub epoch: u64,
    /// The block's place, from 1 without gaps.
    pub sequence: u64,
    /// How ticks become UTC.
    pub timeline: Timeline,
}

/// A run of one ring, still in two pieces where the ring wrapped.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of a chunk in docs/format.md")]
pub struct ChunkSource<'a> {
    pub ring: u32,
    pub thread: u32,
    pub context: u32,
    pub from: u64,
    pub to: u64,
    pub runs: [&'a [u8]; 2],
}

/// Builds an events block in `buffer`, whose former content is lost. Unsealed: without a checksum.
pub fn events(buffer: &mut AlignedVec, head: &EventsHead, chunks: &[ChunkSource<'_>]) {
    let anchor = |anchor: Anchor| schema::Anchor { ticks: anchor.ticks, utc_ns: anchor.utc_ns };
    let body = schema::EventsBody {
        before: anchor(head.timeline.before),
        after: anchor(head.timeline.after),
        nanos_per_tick: head.timeline.nanos_per_tick,
        chunks: chunks
            .iter()
            .map(|chunk| schema::Chunk {
                from: chunk.from,
                to: chunk.to,
                ring: chunk.ring,
                thread: chunk.thread,
                context: chunk.context,
                records: schema::Runs(chunk.runs),
            })
            .collect(),
    };
    block(buffer, BlockKind::Events, (head.source, head.epoch, head.sequence), &body);
}

/// Builds a define block in `buffer`.
pub(crate) fn define(buffer: &mut AlignedVec, source: u128, epoch: u64, body: &schema::DefineBody) {
    block(buffer, BlockKind::Define, (source, epoch, 0), body);
}

/// Builds the first block of a segment in `buffer`. `marks` are (source, epoch, sequence).
pub fn segment(buffer: &mut AlignedVec, marks: impl Iterator<Item = (u128, u64, u64)>) {
    let marks = marks.map(|(source, epoch, sequence)| schema::Mark {
        source_low: source as u64,
        source_high: (source >> 64) as u64,
        epoch,
        sequence,
    });
    block(buffer, BlockKind::Segment, (0, 0, 0), &schema::SegmentBody { marks: marks.collect() });
}

fn block<T>(
    buffer: &mut AlignedVec,
    kind: BlockKind,
    (source, epoch, sequence): (u128, u64, u64),
    body: &T,
) where
    T: for<'a> rkyv::Serialize<
            rkyv::api::high::HighSerializer<
                AlignedVec,
                rkyv::ser::allocator::ArenaHandle<'a>,
                Failure,
            >,
        >,
{
    let mut bytes = std::mem::take(buffer);
    bytes.clear();
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    // Archiving into memory fails only past 4 GiB, and blocks are cut three powers of ten earlier.
    let mut bytes = rkyv::api::high::to_bytes_in::<_, Failure>(body, bytes).unwrap_or_default();
    let body_bytes = bytes.len().saturating_sub(HEADER_BYTES) as u32;
    let header =
        BlockHeader { kind, body_bytes, envelope_bytes: 0, generation: 0, source, epoch, sequence };
    if let Some(front) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        *front = header.encode();
    }
    *buffer = bytes;
}
