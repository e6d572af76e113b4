//! The only consumer of all rings.
//!
//! A pass takes what the rings hold, copies it verbatim into a block and appends the block to the
//! journal; only then do the rings' heads move. It never formats, and never waits for a socket or
//! an appender. Records that the journal does not take stay in their rings, and there the overflow
//! policy applies.

mod loss;
mod wait;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use loss::{LOOK_FOR_FILES_EVERY, Loss, LostRing};
use rkyv::util::AlignedVec;
use wait::SLEEP_MIN;

use super::drops::Dropped;
use super::rings::{
    OWN_THREAD, OwnRing, RingContexts, RingState, Taken, front, next_context, shares,
    split_at_contexts,
};
use super::{Shared, selflog};
use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::define::Definitions;
use crate::block::header::MAX_BLOCK_BYTES;
use crate::capture::{self, Values};
use crate::clock::{Anchor, Rate, Timeline};
#[cfg(feature = "cli")]
use crate::event::SiteInfo;
use crate::event::{ContextInfo, ThreadInfo};
use crate::journal::{JournalError, JournalWriter};
use crate::level::Level;
use crate::record::{self, Records};
use crate::recover::{ContextFiles, ProcessFile};
use crate::ring::Consumer;
use crate::site::{self, Definition, Names};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::guard;

/// A block is closed when this much is in the rings, or after the linger time.
const BLOCK_BYTES: usize = 64 << 10;
/// All chunks of one block together take at most this much.
const BLOCK_BYTES_MAX: usize = 3 << 20;
/// Ring number of what the writer says itself.
const OWN_RING: u32 = 0;
/// Ring number of the overflow ring. Threads' rings have numbers from 1 up.
const OVERFLOW_RING: u32 = u32::MAX;
/// The dropped events are reported in the log at most this often.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// The anchor beside the rings is at most this old while events flow.
const ANCHOR_EVERY: Duration = Duration::from_millis(50);
/// A block with fewer bytes of records was closed by the linger time: events come slowly, and the
/// next block will be closed by it as well.
const QUIET_BYTES: u64 = 4 << 10;
/// The pause after the journal refused a block, doubled up to the longest.
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// What the writer says in the log itself.
static DROPPED: Definition<'static> = Definition { line: line!(), ..DROPPED_BY };
/// What it says for a predecessor that was killed.
static DROPPED_BEFORE: Definition<'static> = Definition {
    template: "{} events were dropped by the process before this one: {}",
    line: line!(),
    ..DROPPED_BY
};
const DROPPED_BY: Definition<'static> = Definition {
    level: Level::WARN,
    line: 0,
    column: 0,
    target: "rollway",
    module: module_path!(),
    file: file!(),
    template: "{} events were dropped: {}",
    names: Names::Listed(&["dropped", "reasons"]),
};

/// Whether a call site is one of those by which an engine tells of dropped events.
#[cfg(feature = "cli")]
pub(crate) fn tells_of_drops(site: &SiteInfo) -> bool {
    [&DROPPED, &DROPPED_BEFORE].into_iter().any(|own| {
        (&*site.category, &*site.module, site.template.text())
            == (own.target, own.module, own.template)
    })
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    journal: JournalWriter,
    definitions: Definitions,
    rings: Vec<RingState>,
    /// Rings whose files somebody cut, until their threads have left them.
    lost: Vec<LostRing>,
    loss: Loss,
    threads: u32,
    contexts: u32,
    /// What is known of the contexts of rings that have no thread right now.
    resting: HashMap<u32, RingContexts>,
    sites: KnownSites,
    sequence: u64,
    rate: Rate,
    before: Anchor,
    process_file: Option<ProcessFile>,
    anchored: Instant,
    overflow: OwnRing,
    own: OwnRing,
    reported: Dropped,
    reported_at: Instant,
    buffer: AlignedVec,
    /// The block in the buffer has an event of a level that is synced at once.
    is_urgent: bool,
    /// The flush under way.
    flush: Option<Flush>,
    /// Records taken from the overflow ring so far.
    overflow_taken: u64,
    /// Events come so slowly that one look at the rings for each block is enough. A ring that fills
    /// up all the same wakes the writer.
    is_quiet: bool,
    /// Since when records wait in the rings.
    waiting_since: Option<Instant>,
    retry: Duration,
    retry_at: Option<Instant>,
}

/// A flush: done when the heads of the rings have passed what their threads had logged before.
struct Flush {
    ticket: u64,
    /// Tails of the rings when it was seen, by ring.
    tails: Vec<(u32, u64)>,
    /// Records that must have been taken from the overflow ring.
    overflow_taken: u64,
}

/// The call sites that are in the definitions.
struct KnownSites {
    next_id: u32,
    /// Ids that were drawn and had no site yet.
    missing: Vec<u32>,
}

impl KnownSites {
    /// Takes in the sites that were registered since the last time.
    fn update(&mut self, definitions: &mut Definitions) {
        let next_id = site::next_id();
        if self.next_id == next_id && self.missing.is_empty() {
            return;
        }
        self.missing.extend(self.next_id..next_id);
        self.next_id = next_id;
        self.missing.retain(|id| match site::find(*id) {
            Some(site) => {
                definitions.set_site(*id, &site.definition().to_bytes());
                false
            }
            None => true,
        });
    }
}

/// What a pass did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The rings were empty.
    Nothing,
    /// Everything that was in the rings is in the journal.
    All,
    /// A block was appended; more is left.
    Some,
    /// The journal refused the block.
    Refused,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        journal: JournalWriter,
        mut definitions: Definitions,
        process_file: Option<ProcessFile>,
        dropped_before: Dropped,
    ) -> Writer {
        definitions.set_thread(OWN_THREAD, ThreadInfo { os_id: 0, name: "rollway".into() });
        let sites = KnownSites { next_id: site::FIRST_SITE_ID, missing: Vec::new() };
        let now = Instant::now();
        let before = Anchor::by(&*shared.clock);
        let mut writer = Writer {
            shared,
            journal,
            definitions,
            rings: Vec::new(),
            lost: Vec::new(),
            loss: Loss {
                hits: guard::hits(),
                looked: now,
                counts: Dropped::default(),
                are_counts_lost: false,
                told_bytes: 0,
            },
            threads: OWN_THREAD,
            contexts: 0,
            resting: HashMap::new(),
            flush: None,
            overflow_taken: 0,
            sites,
            sequence: 0,
            rate: Rate::measure(),
            before,
            process_file,
            anchored: now,
            overflow: OwnRing::default(),
            own: OwnRing::default(),
            reported: Dropped::default(),
            reported_at: now,
            buffer: AlignedVec::new(),
            is_urgent: false,
            is_quiet: false,
            waiting_since: None,
            retry: RETRY_MIN,
            retry_at: None,
        };
        writer.store_anchor(now);
        if dropped_before.total() > 0 {
            writer.say_dropped(&DROPPED_BEFORE, &dropped_before);
        }
        writer
    }

    /// Moves what is ripe to the journal. `false` when there was nothing to do.
    pub(super) fn step(&mut self) -> bool {
        // Acquire: pairs with the AcqRel of the flush; what its caller logged is in the rings.
        let ticket = self.shared.flushes.load(Ordering::Acquire);
        let flush_wanted = self.shared.progress().flushed < ticket;
        self.adopt();
        if self.loss.hits != guard::hits() {
            self.find_lost();
        }
        if flush_wanted && self.flush.is_none() {
            self.flush = Some(self.begin_flush(ticket));
        }
        let waiting_bytes: usize =
            self.rings.iter().map(|ring| ring.consumer.used_bytes()).sum::<usize>()
                + self.shared.overflow.len() * record::HEADER_BYTES
                + self.own.bytes.len()
                + self.overflow.bytes.len();
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        if waiting_bytes == 0 {
            self.waiting_since = None;
        } else {
            let since = *self.waiting_since.get_or_insert(now);
            let waited = now.saturating_duration_since(since);
            let ripe = waiting_bytes >= BLOCK_BYTES || waited >= self.shared.limits.linger;
            if !ripe && !flush_wanted {
                return false;
            }
        }
        self.report_drops(now);
        let pass = if waiting_bytes == 0 && !flush_wanted && self.own.bytes.is_empty() {
            Pass::Nothing
        } else {
            self.pass()
        };
        if matches!(pass, Pass::Nothing | Pass::All) {
            self.waiting_since = None;
        }
        if pass != Pass::Refused {
            self.end_flush();
            self.housekeep(now);
        }
        matches!(pass, Pass::All | Pass::Some)
    }

    fn begin_flush(&self, ticket: u64) -> Flush {
        let tail = |ring: &RingState| {
            (ring.id(), ring.consumer.head() + ring.consumer.used_bytes() as u64)
        };
        let overflow_taken = self.overflow_taken + self.shared.overflow.len() as u64;
        Flush { ticket, tails: self.rings.iter().map(tail).collect(), overflow_taken }
    }

    /// Tells those who wait for the flush, once everything is in the journal that was logged before
    /// it. What is logged meanwhile does not hold it up.
    fn end_flush(&mut self) {
        let Some(flush) = &self.flush else { return };
        let passed = |ring: &RingState| {
            let tail = flush.tails.iter().find(|(id, _)| *id == ring.id());
            tail.is_none_or(|(_, tail)| ring.consumer.head() >= *tail)
        };
        let overflow_passed =
            self.overflow_taken >= flush.overflow_taken && self.overflow.bytes.is_empty();
        if overflow_passed && self.rings.iter().all(passed) {
            self.shared.progress().flushed = flush.ticket;
            self.shared.progressed.notify_all();
            self.flush = None;
        }
    }

    /// Learns of the rings that threads took since the last time.
    fn adopt(&mut self) {
        while let Some(consumer) = self.shared.registrations.pop() {
            self.threads += 1;
            let thread = self.threads;
            let (os_id, name) = (u64::from(consumer.thread_id()), consumer.thread_name().into());
            self.definitions.set_thread(thread, ThreadInfo { os_id, name });
            self.adopt_ring(consumer, thread);
            self.tell_rings();
        }
        while self.overflow.bytes.len() < BLOCK_BYTES
            && let Some(record) = self.shared.overflow.pop()
        {
            self.overflow.bytes.extend_from_slice(&record);
            self.overflow_taken += 1;
        }
    }

    fn adopt_ring(&mut self, consumer: Consumer, thread: u32) {
        let shared = Arc::clone(consumer.shared());
        let contexts = self.resting.remove(&shared.id()).unwrap_or_else(|| RingContexts {
            changes: 0,
            files: self.shared.home.rings_dir().map(|dir| ContextFiles::new(dir, shared.id())),
        });
        self.rings.push(RingState { consumer, shared, thread, context: 0, contexts });
    }

    /// One block out of everything the rings hold, or of as much as one block takes.
    fn pass(&mut self) -> Pass {
        let apart = self.own.bytes.len() + self.overflow.bytes.len();
        let mut room = BLOCK_BYTES_MAX.saturating_sub(apart).max(BLOCK_BYTES);
        loop {
            let (shares, whole) = shares(&mut self.rings, room);
            let all = whole && self.overflow.bytes.len() < BLOCK_BYTES;
            let Some((taken, record_bytes, after)) = self.build(&shares) else {
                return if all { Pass::Nothing } else { Pass::Some };
            };
            if self.loss.hits != guard::hits() {
                // The block may have zeros in the place of records.
                self.find_lost();
                return Pass::Some;
            }
            if self.buffer.len() > MAX_BLOCK_BYTES && room > 1 {
                // Many changes of context make many chunks, and those take room as well.
                room /= 2;
                continue;
            }
            return match self.append(taken, record_bytes, after) {
                Ok(()) if all => Pass::All,
                Ok(()) => Pass::Some,
                Err(error) => {
                    self.refused(&error);
                    Pass::Refused
                }
            };
        }
    }

    /// Builds a block of the first bytes of each ring, `shares` of them. `None` without a record.
    fn build(&mut self, shares: &[usize]) -> Option<(Vec<Taken>, u64, Anchor)> {
        let mut taken = Vec::with_capacity(self.rings.len());
        let mut chunks = Vec::with_capacity(self.rings.len() + 2);
        let mut last_context = self.contexts;
        let live: Vec<u32> = self.rings.iter().map(|ring| ring.context).collect();
        chunks.extend(self.own.chunk(OWN_RING));
        chunks.extend(self.overflow.chunk(OVERFLOW_RING));
        for (at, (ring, len)) in self.rings.iter_mut().zip(shares).enumerate() {
            let (id, thread, context) = (ring.id(), ring.thread, ring.context);
            let pending = ring.consumer.pending();
            // After the tail: a change that lies before it was counted before.
            let changes = ring.shared.counters()[super::call::CONTEXT_CHANGES];
            let runs = front(pending.runs, *len);
            if *len == 0 {
                continue;
            }
            let (from, to) = (pending.from, pending.from + *len as u64);
            let chunk = ChunkSource { ring: id, thread, context, from, to, runs };
            let mut contexts = Vec::new();
            if changes == ring.contexts.changes {
                chunks.push(chunk);
            } else {
                let number = || next_context(&mut last_context, &live);
                contexts = split_at_contexts(&chunk, number, &mut chunks);
            }
            taken.push(Taken { ring: at, to, contexts });
        }
        if chunks.is_empty() {
            return None;
        }
        // After the rings were read: every site in their records was registered before, and the
        // anchor lies behind their ticks.
        self.sites.update(&mut self.definitions);
        let after = Anchor::by(&*self.shared.clock);
        let timeline =
            Timeline { before: self.before, after, nanos_per_tick: self.rate.nanos_per_tick() };
        let info = self.definitions.info();
        let (source, epoch, sequence) = (info.source, info.epoch, self.sequence + 1);
        let record_bytes: u64 = chunks.iter().map(|chunk| chunk.to - chunk.from).sum();
        let head = EventsHead { source, epoch, sequence, timeline };
        build::events(&mut self.buffer, &head, &chunks);
        self.is_urgent = self.shared.limits.sync_from.is_some_and(|least| reaches(&chunks, least));
        Some((taken, record_bytes, after))
    }

    /// Appends the block that was built, and moves the heads behind it.
    fn append(
        &mut self,
        mut taken: Vec<Taken>,
        record_bytes: u64,
        after: Anchor,
    ) -> Result<(), JournalError> {
        for Taken { ring, to, contexts } in &taken {
            for (number, context) in contexts {
                self.definitions.set_context(*number, context.clone());
            }
            // Ahead of the block: whoever finds the ring knows the context behind it, and by the
            // other file the one before.
            let files = self.rings[*ring].contexts.files.as_mut();
            if let (Some(files), Some((_, context))) = (files, contexts.last())
                && let Err(error) = files.store(*to, context)
            {
                selflog::warn(&format!("the context beside a ring: {error}"));
            }
        }
        if crash::is_swapped(CrashPoint::WriterHead) {
            self.release(std::mem::take(&mut taken));
            crash::reached(CrashPoint::WriterHead);
        }
        let appended = self.journal.append_events(&mut self.buffer, &self.definitions);
        if appended.is_err() {
            for (number, _) in taken.iter().flat_map(|taken| &taken.contexts) {
                self.definitions.remove_context(*number);
                // The segment may have it: nothing else gets this number.
                self.contexts = *number;
            }
        }
        appended?;
        if self.is_urgent {
            self.journal.journal().request_sync();
        }
        if let Some(lost) = self.journal.take_losses() {
            selflog::warn(&format!("journal: {lost}"));
        }
        crash::reached(CrashPoint::WriterHead);
        self.sequence += 1;
        self.before = after;
        self.release(taken);
        self.succeeded(record_bytes);
        Ok(())
    }

    /// Moves the heads behind what the journal has.
    fn release(&mut self, taken: Vec<Taken>) {
        if !self.own.bytes.is_empty() {
            self.shared.drops.set_reported(&self.reported);
            self.own.clear();
        }
        self.overflow.clear();
        for Taken { ring, to, contexts } in taken {
            let ring = &mut self.rings[ring];
            ring.consumer.release(to);
            ring.contexts.changes += contexts.len() as u64;
            if !contexts.is_empty() {
                ring.contexts.files.as_mut().map(ContextFiles::turn);
            }
            for (number, _) in contexts {
                let before = std::mem::replace(&mut ring.context, number);
                self.definitions.remove_context(before);
                self.contexts = number;
            }
        }
    }

    fn refused(&mut self, error: &JournalError) {
        let text = selflog::chain(error);
        let mut progress = self.shared.progress();
        if let JournalError::Full { .. } = error {
            // Back-pressure from a mandatory appender, not a fault: it ends with the next settled
            // segment.
            self.retry = RETRY_MIN;
        } else if progress.error.as_ref() != Some(&text) {
            selflog::warn(&format!("journal: {text}; events wait in their rings"));
        }
        progress.error = Some(text);
        self.retry_at = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    fn succeeded(&mut self, record_bytes: u64) {
        (self.retry, self.retry_at) = (RETRY_MIN, None);
        self.is_quiet = record_bytes < QUIET_BYTES;
        let mut progress = self.shared.progress();
        progress.blocks += 1;
        progress.record_bytes += record_bytes;
        progress.error = None;
    }

    /// What is done between blocks: rings of ended threads go back to the pool, a ring is made
    /// ready for the next thread, the anchor beside the rings is renewed.
    fn housekeep(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.rings.len() {
            let consumer = &mut self.rings[at].consumer;
            if consumer.is_retired() && consumer.pending().from == consumer.pending().to {
                let ring = self.rings.swap_remove(at);
                self.definitions.remove_thread(ring.thread);
                self.definitions.remove_context(ring.context);
                let (id, head) = (ring.id(), ring.consumer.head());
                let mut contexts = ring.contexts;
                // The next thread does not begin with the context of this one.
                if ring.context != 0
                    && let Some(files) = &mut contexts.files
                {
                    match files.store(head, &ContextInfo::default()) {
                        Ok(()) => files.turn(),
                        Err(error) => selflog::warn(&format!("the context beside a ring: {error}")),
                    }
                }
                if self.shared.is_as_good_as_new(&ring.shared) {
                    self.resting.insert(id, contexts);
                }
                self.shared.give_back(ring.consumer);
                self.tell_rings();
            } else {
                at += 1;
            }
        }
        self.settle_lost();
        if self.loss.looked + LOOK_FOR_FILES_EVERY <= now {
            self.loss.looked = now;
            self.look_for_files();
            self.report_lost();
        }
        if let Some(refusal) = self.shared.home.take_refusal() {
            selflog::warn(&format!(
                "a ring lies on the heap, and what is in it does not survive a kill: {refusal}"
            ));
        }
        if self.shared.pool.is_empty()
            && let Some(ring) = self.shared.create_ring()
        {
            let _ = self.shared.pool.push(ring);
        }
        // Without room new call sites stand in their records.
        let _ = self.shared.sites.grow_ahead();
        if self.anchored + ANCHOR_EVERY <= now {
            self.store_anchor(now);
        }
    }

    /// How many rings there are, and how many of them survive nothing.
    fn tell_rings(&self) {
        let is_heap = |ring: &&RingState| self.shared.home.is_lost() || !ring.shared.is_file();
        let heap_rings = self.rings.iter().filter(is_heap).count();
        let mut progress = self.shared.progress();
        (progress.rings, progress.heap_rings) = (self.rings.len(), heap_rings);
    }

    fn store_anchor(&mut self, now: Instant) {
        self.anchored = now;
        self.rate.refine();
        if let Some(file) = &mut self.process_file
            && let Err(error) =
                file.store(Anchor::by(&*self.shared.clock), self.rate.nanos_per_tick())
        {
            selflog::warn(&format!("the anchor beside the rings: {error}"));
        }
    }

    /// Says in the log itself what was dropped.
    fn report_drops(&mut self, now: Instant) {
        let counts = self.shared.drops.counts();
        if !self.shared.drops.is_lost() {
            self.loss.counts = counts;
        }
        let dropped = counts.since(&self.reported);
        if dropped.total() == 0 || now < self.reported_at + REPORT_EVERY {
            return;
        }
        self.say_dropped(&DROPPED, &dropped);
        (self.reported, self.reported_at) = (counts, now);
    }

    /// Puts a line about dropped events into the log.
    fn say_dropped(&mut self, definition: &Definition<'_>, dropped: &Dropped) {
        let reasons = dropped.to_string();
        self.say(definition, (dropped.total(), (&*reasons, ())));
    }

    /// Puts a line into the log.
    fn say<V: Values>(&mut self, definition: &Definition<'_>, values: V) {
        let ticks = crate::clock::ticks();
        let limit = self.shared.limits.record_bytes_max;
        let record =
            capture::encode_record(definition, None, Level::WARN, None, ticks, limit, values);
        self.own.bytes.extend(record.unwrap_or_default());
    }

    /// Closes the rings and moves what is left in them to the journal.
    pub(super) fn finish(&mut self, deadline: &impl Fn() -> Option<Instant>) {
        self.close_rings();
        // A call that had reserved its place before the close publishes it meanwhile.
        std::thread::sleep(SLEEP_MIN);
        loop {
            self.close_rings();
            self.reported_at = Instant::now() - REPORT_EVERY;
            self.report_drops(Instant::now());
            self.settle_lost();
            self.report_lost();
            match self.pass() {
                Pass::Nothing => break,
                Pass::All | Pass::Some if deadline().is_some_and(|end| Instant::now() >= end) => {
                    break;
                }
                Pass::All | Pass::Some => {}
                Pass::Refused => {
                    let deadline = deadline().unwrap_or_else(Instant::now);
                    if Instant::now() >= deadline {
                        break;
                    }
                    std::thread::sleep(self.retry.min(deadline - Instant::now()));
                }
            }
        }
        self.shared.progress().flushed = u64::MAX;
        self.shared.progressed.notify_all();
    }

    /// Sends every further call to the cold path, where it finds the engine closed.
    fn close_rings(&mut self) {
        // SeqCst: pairs with the fence where a thread takes a ring, see `call::bind`.
        fence(Ordering::SeqCst);
        self.adopt();
        for ring in &self.rings {
            ring.shared.close();
        }
    }

    /// Bytes of records that are still in the rings.
    pub(super) fn left_bytes(&mut self) -> u64 {
        let rings = self.rings.iter().map(|ring| ring.consumer.used_bytes() as u64).sum::<u64>();
        rings + self.own.bytes.len() as u64 + self.overflow.bytes.len() as u64
    }
}

/// Whether some event of the chunks has this level or a higher one.
fn reaches(chunks: &[ChunkSource<'_>], least: Level) -> bool {
    let runs = chunks.iter().flat_map(|chunk| chunk.runs);
    let mut levels = runs.flat_map(Records::new).flatten().filter_map(|record| record.level());
    levels.any(|level| level >= least)
}
