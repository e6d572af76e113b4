//! The one block iterator: the events of a block, merged by time.
//!
//! Worker, master and command line all read events through it. The bytes need not be trusted: the
//! archive is validated when the block is opened, each record when it is reached.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rkyv::rancor::Failure;

use super::dictionary::{Dictionary, SourceDictionary};
use super::envelope;
use super::header::{BlockError, BlockHeader, HEADER_BYTES};
use super::schema::{self, ArchivedEventsBody};
use crate::clock::{Anchor, Timeline, UtcLine};
use crate::event::{ContextInfo, Event, Receipt, SiteInfo, ThreadInfo};
use crate::record::{self, Damaged, Record, Records};
use crate::site::Definition;

/// An events block whose archive is valid.
#[derive(Clone, Copy)]
pub struct EventsBlock<'a> {
    header: BlockHeader,
    body: &'a ArchivedEventsBody<'static>,
    receipt: Option<Receipt>,
}

/// The place of a chunk in its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of a chunk in docs/format.md")]
pub struct ChunkSpan {
    pub ring: u32,
    pub from: u64,
    pub to: u64,
}

/// Whose records a chunk holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) ring: u32,
    pub(crate) thread: u32,
    pub(crate) context: u32,
}

/// The record of one event, as it lies in its chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoneRecord<'a> {
    pub(crate) ring: u32,
    pub(crate) thread: u32,
    pub(crate) context: u32,
    /// Its place in the ring.
    pub(crate) from: u64,
    pub(crate) ticks: u64,
    pub(crate) site: u32,
    pub(crate) bytes: &'a [u8],
}

impl<'a> EventsBlock<'a> {
    /// Validates the archive behind a header of kind *events*. `block` is header, archive, and the
    /// envelope if there is one, aligned to 16 bytes.
    ///
    /// # Errors
    /// [`BlockError::Malformed`] when the archive does not validate or a chunk's positions
    /// contradict its bytes; [`BlockError::Checksum`] for an envelope that is not what was written.
    pub fn open(header: BlockHeader, block: &'a [u8]) -> Result<EventsBlock<'a>, BlockError> {
        let malformed = |what| BlockError::Malformed { what };
        let body = block.get(HEADER_BYTES..header.archive_end());
        let body = body.ok_or(malformed("it is cut short"))?;
        let body = rkyv::access::<ArchivedEventsBody<'_>, Failure>(body)
            .map_err(|Failure| malformed("its archive does not validate"))?;
        for chunk in body.chunks.iter() {
            let (from, to) = (chunk.from.to_native(), chunk.to.to_native());
            if to.checked_sub(from) != Some(chunk.records.len() as u64) {
                return Err(malformed("the positions of a chunk contradict its length"));
            }
        }
        let receipt = envelope::open(&header, block)?;
        Ok(EventsBlock { header, body, receipt })
    }

    /// The block's header.
    pub fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// What its receiver wrote on its envelope; `None` without one.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// How ticks become UTC.
    pub fn timeline(&self) -> Timeline {
        let anchor = |anchor: &schema::ArchivedAnchor| Anchor {
            ticks: anchor.ticks.to_native(),
            utc_ns: anchor.utc_ns.to_native(),
        };
        Timeline {
            before: anchor(&self.body.before),
            after: anchor(&self.body.after),
            nanos_per_tick: self.body.nanos_per_tick.to_native(),
        }
    }

    /// Which parts of which rings the block holds.
    pub fn spans(&self) -> impl Iterator<Item = ChunkSpan> + use<'a> {
        self.body.chunks.iter().map(|chunk| ChunkSpan {
            ring: chunk.ring.to_native(),
            from: chunk.from.to_native(),
            to: chunk.to.to_native(),
        })
    }

    /// Where each chunk comes from, in their order.
    pub(crate) fn origins(&self) -> impl Iterator<Item = Origin> + use<'a> {
        self.body.chunks.iter().map(|chunk| Origin {
            ring: chunk.ring.to_native(),
            thread: chunk.thread.to_native(),
            context: chunk.context.to_native(),
        })
    }

    /// How many event records the block holds, by walking their frames.
    pub fn count(&self) -> u64 {
        let walk = |chunk: &'a schema::ArchivedChunk<'_>| Records::new(chunk.records.as_slice());
        let events = self.body.chunks.iter().flat_map(walk).filter_map(Result::ok);
        events.filter(|record| record.site != record::CONTEXT).count() as u64
    }

    /// Walks every record and looks at everything but the values; yields how many events there are.
    ///
    /// # Errors
    /// [`Damaged`] for the first record that is not one.
    pub fn check(&self) -> Result<u64, Damaged> {
        let mut count = 0;
        for chunk in self.body.chunks.iter() {
            for record in Records::new(chunk.records.as_slice()) {
                let record = record?;
                if record.site != record::CONTEXT {
                    let what = "its level is no level";
                    record.level().ok_or(Damaged { offset: record.offset, what })?;
                    record.open()?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Whether `dictionary` has every context that the block's chunks name. Events whose context it
    /// lacks are shown without one.
    pub fn has_contexts(&self, dictionary: &Dictionary) -> bool {
        let known = dictionary.source(self.header.source, self.header.epoch);
        let is_known = |id| known.is_some_and(|known| known.contexts.contains_key(&id));
        self.body.chunks.iter().all(|chunk| match chunk.context.to_native() {
            0 => true,
            id => is_known(id),
        })
    }

    /// The record of the event at `index` of [`EventsBlock::events`]; `None` where there is none, or
    /// damage. Walks the block from its front.
    pub(crate) fn record(&self, dictionary: &'a Dictionary, index: u32) -> Option<LoneRecord<'a>> {
        let mut events = self.events(dictionary);
        for _ in 0..index {
            events.next()?.ok();
        }
        events.next()?.ok()?;
        let ChunkEvents { at, records, .. } = events.current;
        let chunk = self.body.chunks.get(at)?;
        let bytes = chunk.records.as_slice();
        let mut before = Records::new(bytes);
        while let Some(Ok(record)) = before.next() {
            if before.offset() == records.offset() {
                return Some(LoneRecord {
                    ring: chunk.ring.to_native(),
                    thread: chunk.thread.to_native(),
                    context: chunk.context.to_native(),
                    from: chunk.from.to_native() + record.offset as u64,
                    ticks: record.ticks,
                    site: record.site,
                    bytes: bytes.get(record.offset..before.offset())?,
                });
            }
        }
        None
    }

    /// The events in order of time, with what `dictionary` knows about them.
    pub fn events(&self, dictionary: &'a Dictionary) -> Events<'a> {
        let known = dictionary.source(self.header.source, self.header.epoch);
        Events::new(self, known.unwrap_or(&EMPTY))
    }
}

/// The events of a block, merged by ticks; equal ticks in the order of the chunks.
///
/// Not an [`Iterator`]: an event may borrow from the iterator itself.
pub struct Events<'a> {
    known: &'a SourceDictionary,
    receipt: Option<Receipt>,
    timeline: UtcLine,
    chunks: Vec<ChunkEvents<'a>>,
    /// The chunk whose records are next, as long as they come before `until`.
    current: ChunkEvents<'a>,
    until: (u64, usize),
    /// The ticks of the next record of all other chunks that have one, the least first.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    failed: Option<Damaged>,
    inline: InlineSite,
    /// The last site that was looked up; the next event is often of the same.
    last_site: Option<(u32, &'a SiteInfo)>,
}

/// One chunk on its way through the merge.
#[derive(Clone, Copy)]
struct ChunkEvents<'a> {
    /// Its place in the block, which decides between equal ticks.
    at: usize,
    records: Records<'a>,
    thread: &'a ThreadInfo,
    context: &'a ContextInfo,
}

/// Later than every record.
const NEVER: (u64, usize) = (u64::MAX, usize::MAX);

/// The last definition that came inside a record; the next one is often the same.
#[derive(Default)]
struct InlineSite {
    bytes: Vec<u8>,
    info: Option<SiteInfo>,
}

static EMPTY: std::sync::LazyLock<SourceDictionary> = std::sync::LazyLock::new(Default::default);
static NO_THREAD: std::sync::LazyLock<ThreadInfo> = std::sync::LazyLock::new(Default::default);
static NO_CONTEXT: std::sync::LazyLock<ContextInfo> = std::sync::LazyLock::new(Default::default);

impl<'a> Events<'a> {
    fn new(block: &EventsBlock<'a>, known: &'a SourceDictionary) -> Events<'a> {
        let (thread, context) = (&*NO_THREAD, &*NO_CONTEXT);
        let mut events = Events {
            known,
            receipt: block.receipt,
            timeline: block.timeline().into(),
            chunks: Vec::with_capacity(block.body.chunks.len()),
            current: ChunkEvents { at: 0, records: Records::new(&[]), thread, context },
            until: NEVER,
            waiting: BinaryHeap::new(),
            failed: None,
            inline: InlineSite::default(),
            last_site: None,
        };
        for (at, chunk) in block.body.chunks.iter().enumerate() {
            let records = Records::new(chunk.records.as_slice());
            let is_context = |record: &Record<'_>| record.site == record::CONTEXT;
            match records.into_iter().find(|next| !next.as_ref().is_ok_and(is_context)) {
                Some(Ok(first)) => events.waiting.push(Reverse((first.ticks, at))),
                Some(Err(damaged)) => events.failed = events.failed.or(Some(damaged)),
                None => {}
            }
            events.chunks.push(ChunkEvents {
                at,
                records,
                thread: known.threads.get(&chunk.thread.to_native()).unwrap_or(thread),
                context: known.contexts.get(&chunk.context.to_native()).unwrap_or(context),
            });
        }
        events.switch();
        events
    }

    /// The next event, or what stands in the place of one or more: damage ends its chunk, an
    /// unknown or unreadable site loses that event alone. `None` at the end.
    #[allow(clippy::should_implement_trait, reason = "an event borrows from the iterator")]
    #[inline]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Damaged>> {
        if let Some(damaged) = self.failed.take() {
            return Some(Err(damaged));
        }
        loop {
            let mut records = self.current.records;
            match records.next() {
                Some(Ok(record)) if record.site == record::CONTEXT => {
                    self.current.records = records;
                }
                Some(Ok(record)) if (record.ticks, self.current.at) < self.until => {
                    self.current.records = records;
                    return Some(self.event(&record));
                }
                Some(Ok(record)) => {
                    self.chunks[self.current.at] = self.current;
                    self.waiting.push(Reverse((record.ticks, self.current.at)));
                    self.switch();
                }
                Some(Err(damaged)) => {
                    self.current.records = records;
                    return Some(Err(damaged));
                }
                None if self.switch() => {}
                None => return None,
            }
        }
    }

    /// Goes on with the chunk whose record is the earliest of those that wait, if one does.
    fn switch(&mut self) -> bool {
        let Some(Reverse((_, at))) = self.waiting.pop() else { return false };
        self.current = self.chunks[at];
        self.until = self.waiting.peek().map_or(NEVER, |Reverse(place)| *place);
        true
    }

    #[inline]
    fn site(&mut self, id: u32) -> Option<&'a SiteInfo> {
        match self.last_site {
            Some((last, site)) if last == id => Some(site),
            _ => {
                let site = self.known.sites.get(&id)?;
                self.last_site = Some((id, site));
                Some(site)
            }
        }
    }

    /// What a record of the current chunk says.
    #[inline]
    fn event(&mut self, record: &Record<'a>) -> Result<Event<'_>, Damaged> {
        let damaged = |what| Damaged { offset: record.offset, what };
        let level = record.level().ok_or(damaged("its level is no level"))?;
        let ChunkEvents { thread, context, .. } = self.current;
        let (site, values) = match record.values() {
            Some(values) => (self.site(record.site), values),
            None => {
                let (definition, values) = record.open()?;
                let site = match definition {
                    Some(definition) => Some(self.inline.resolve(&definition)),
                    None => self.site(record.site),
                };
                (site, values)
            }
        };
        let site = site.ok_or(damaged("its site is not defined"))?;
        let time_ns = self.timeline.utc_ns(record.ticks);
        let (source, receipt) = (&self.known.info, self.receipt.as_ref());
        let (view, place) = (None, None);
        Ok(Event { level, time_ns, site, thread, context, source, receipt, values, view, place })
    }
}

impl InlineSite {
    fn resolve(&mut self, definition: &Definition<'_>) -> &SiteInfo {
        let bytes = definition.to_bytes();
        if bytes != self.bytes {
            self.info = None;
            self.bytes = bytes;
        }
        self.info.get_or_insert_with(|| SiteInfo::from(*definition))
    }
}
