//! The rings as the writer sees them: whose they are, what of them goes into the next block, and
//! where the context of a thread changes.

use std::sync::Arc;

use crate::block::build::ChunkSource;
use crate::block::dictionary::CONTEXTS_MAX;
use crate::context;
use crate::event::ContextInfo;
use crate::record::{self, Records};
use crate::recover::ContextFiles;
use crate::ring::{self, Consumer};

/// The thread of records that are in no thread's ring.
pub(super) const OWN_THREAD: u32 = 0;

/// A ring that has a thread, or had one whose records are not all in the journal.
pub(super) struct RingState {
    pub(super) consumer: Consumer,
    pub(super) shared: Arc<ring::Shared>,
    pub(super) thread: u32,
    /// The context in force at the head; 0 is the empty one.
    pub(super) context: u32,
    pub(super) contexts: RingContexts,
}

/// What outlasts the thread that has a ring.
pub(super) struct RingContexts {
    /// Changes of context that were passed, of the ring's counter.
    pub(super) changes: u64,
    /// The context in force at the head, for whoever finds the ring after the process's death.
    pub(super) files: Option<ContextFiles>,
}

impl RingState {
    pub(super) fn id(&self) -> u32 {
        self.shared.id()
    }
}

/// What becomes of a ring once the block of a pass is in the journal.
pub(super) struct Taken {
    /// Index of the ring.
    pub(super) ring: usize,
    /// Where its head moves.
    pub(super) to: u64,
    /// The contexts that the chunk brings, the one in force at its end last.
    pub(super) contexts: Vec<(u32, ContextInfo)>,
}

/// Records that are not in a thread's ring, in the form of one.
#[derive(Default)]
pub(super) struct OwnRing {
    pub(super) position: u64,
    pub(super) bytes: Vec<u8>,
}

impl OwnRing {
    pub(super) fn chunk(&self, ring: u32) -> Option<ChunkSource<'_>> {
        let (from, to) = (self.position, self.position + self.bytes.len() as u64);
        let runs = [&self.bytes[..], &[]];
        let chunk = ChunkSource { ring, thread: OWN_THREAD, context: 0, from, to, runs };
        (!self.bytes.is_empty()).then_some(chunk)
    }

    pub(super) fn clear(&mut self) {
        self.position += self.bytes.len() as u64;
        self.bytes.clear();
    }
}

/// How many bytes of each ring the next block takes, and whether that is everything.
///
/// When the rings hold more than fits, each gets the same room, and the block ends before the
/// earliest record that finds none: blocks follow one another in time, and no ring waits for
/// another to be empty.
pub(super) fn shares(rings: &mut [RingState], room: usize) -> (Vec<usize>, bool) {
    let waiting: Vec<usize> = rings
        .iter_mut()
        .map(|ring| {
            let pending = ring.consumer.pending();
            (pending.to - pending.from) as usize
        })
        .collect();
    if waiting.iter().sum::<usize>() <= room {
        return (waiting, true);
    }
    let room = room / waiting.iter().filter(|bytes| **bytes > 0).count().max(1);
    let mut fit = |room, horizon| -> Vec<(usize, Option<u64>)> {
        rings
            .iter_mut()
            .zip(&waiting)
            .map(|(ring, bytes)| {
                fitting(front(ring.consumer.pending().runs, *bytes), room, horizon)
            })
            .collect()
    };
    let first_left = |fits: &[(usize, Option<u64>)]| fits.iter().filter_map(|fit| fit.1).min();
    let horizon = first_left(&fit(room, u64::MAX)).unwrap_or(u64::MAX);
    let mut fits = fit(room, horizon);
    if fits.iter().all(|(bytes, _)| *bytes == 0) {
        // The oldest record is longer than the room of one ring: the block is for it alone.
        let oldest = fits.iter().position(|(_, left)| *left == Some(horizon)).unwrap_or(0);
        let runs = rings[oldest].consumer.pending().runs;
        let run = if runs[0].is_empty() { runs[1] } else { runs[0] };
        fits[oldest].0 = record::border(run, 1);
    }
    (fits.into_iter().map(|(bytes, _)| bytes).collect(), false)
}

/// The next number for a context that no ring has. Never 0, and never one of recovery's.
pub(super) fn next_context(last: &mut u32, live: &[u32]) -> u32 {
    loop {
        *last = if *last >= CONTEXTS_MAX { 1 } else { *last + 1 };
        if !live.contains(last) {
            return *last;
        }
    }
}

/// Cuts a chunk where its thread's context changes, numbers the new contexts, and returns them.
pub(super) fn split_at_contexts<'a>(
    chunk: &ChunkSource<'a>,
    mut next_number: impl FnMut() -> u32,
    chunks: &mut Vec<ChunkSource<'a>>,
) -> Vec<(u32, ContextInfo)> {
    let mut contexts = Vec::new();
    let (mut context, mut from) = (chunk.context, chunk.from);
    for stretch in chunk.runs.into_iter().flat_map(context::stretches) {
        if let Some(info) = stretch.context {
            context = next_number();
            contexts.push((context, info));
        }
        let to = from + stretch.bytes.len() as u64;
        chunks.push(ChunkSource { context, from, to, runs: [stretch.bytes, &[]], ..*chunk });
        from = to;
    }
    contexts
}

/// The first `len` bytes of two runs.
pub(super) fn front(runs: [&[u8]; 2], len: usize) -> [&[u8]; 2] {
    let [first, second] = runs;
    let (first, more) = first.split_at(len.min(first.len()));
    if more.is_empty() { [first, &second[..len - first.len()]] } else { [first, &[]] }
}

/// How many bytes of the records in `runs` end within `bytes_max` and are older than `horizon`; and
/// the ticks of the first one that stays.
fn fitting(runs: [&[u8]; 2], bytes_max: usize, horizon: u64) -> (usize, Option<u64>) {
    let (mut run_begin, mut last) = (0, None);
    for run in runs {
        // Damage goes along with what lies before it: it is the reader's to report.
        for record in Records::new(run).map_while(Result::ok) {
            let begin = run_begin + record.offset;
            match last {
                Some((last_begin, ticks)) if begin > bytes_max => return (last_begin, Some(ticks)),
                _ if record.ticks >= horizon => return (begin, Some(record.ticks)),
                _ => last = Some((begin, record.ticks)),
            }
        }
        run_begin += run.len();
    }
    match last {
        Some((begin, ticks)) if run_begin > bytes_max => (begin, Some(ticks)),
        _ => (run_begin, None),
    }
}
