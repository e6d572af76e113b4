//! What a log call does.
//!
//! The hot path reads the clock, reserves room in the thread's ring, writes the record and
//! publishes it. Everything else is the cold path: a record that does not fit right now, a thread
//! without a ring, a site without an id, a call inside a call, a logger that is gone.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use super::drops::Reason;
use super::{OverflowPolicy, Shared, Timestamp, fork, process};
use crate::capture::{self, Values};
use crate::category;
use crate::clock;
use crate::context;
use crate::level::Level;
use crate::record;
use crate::ring::{Producer, Refresh, local};
use crate::site::{Definition, FIRST_SITE_ID, Site};
use crate::value::Encoder;

/// Records up to this length take the hot path.
const HOT_MAX_BYTES: usize = 64 << 10;
/// The smallest limit of a record that can be configured.
pub(super) const ALWAYS_FITS_BYTES: usize = 256;
/// A scratch that grew beyond this is not kept.
const SCRATCH_MAX_BYTES: usize = 256 << 10;
/// Where a record has its ticks.
const TICKS_AT: usize = 8;

thread_local! {
    /// Where values are rendered. Taken out while in use: a call inside `Display` finds it empty.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The producers of loggers other than the process's.
    static OTHERS: RefCell<Vec<Other>> = const { RefCell::new(Vec::new()) };
    /// The revision of the context that the process's logger has of this thread.
    static CONTEXT_KNOWN: Cell<u64> = const { Cell::new(0) };
    /// Whether the thread is rollway's own: then it never waits for room.
    static OWN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// A thread's place in another logger than the process's.
struct Other {
    /// The number of the engine.
    engine: u64,
    producer: Producer,
    /// The revision of the context that the logger has.
    context_known: u64,
}

/// The counter in a ring that counts its changes of context.
pub(super) const CONTEXT_CHANGES: usize = 0;

/// The longest record of the process's logger.
static PROCESS_RECORD_BYTES_MAX: AtomicUsize = AtomicUsize::new(HOT_MAX_BYTES);

#[inline(always)]
fn process_record_bytes_max() -> usize {
    // Relaxed: a number that nothing else depends on.
    PROCESS_RECORD_BYTES_MAX.load(Ordering::Relaxed)
}

/// Sets the longest record of the process's logger.
pub(super) fn set_process_record_bytes_max(bytes: usize) {
    PROCESS_RECORD_BYTES_MAX.store(bytes, Ordering::Relaxed);
}

/// Marks the calling thread as rollway's own.
pub(crate) fn enter_own_thread() {
    OWN_THREAD.set(true);
}

/// Whether the calling thread is rollway's own.
pub(super) fn is_own_thread() -> bool {
    OWN_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// The parts of a call beside its values.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The call site.
    pub site: &'static Site,
    /// Of this call.
    pub level: Level,
    /// Of this call; `None` where the site's is the one.
    pub target: Option<&'a str>,
}

impl Call<'_> {
    /// A call with the site's own level and target.
    fn of_site(site: &'static Site) -> Call<'static> {
        Call { site, level: site.definition().level, target: None }
    }

    /// The id that the record refers to; `None` when it must carry the definition.
    #[inline(always)]
    fn site_id(&self) -> Option<u32> {
        if self.target.is_some() { None } else { self.site.id() }
    }

    fn definition(&self) -> Definition<'_> {
        let site = self.site.definition();
        let target = self.target.map_or(site.target, category::cut);
        Definition { level: self.level, target, ..*site }
    }
}

/// Logs to the process's logger.
#[inline]
pub(crate) fn emit<V: Values>(call: Call<'_>, mut values: V) {
    if V::RENDERS {
        return emit_rendered(None, call, &mut values);
    }
    emit_ready(None, call, &values, &[]);
}

/// Logs to the process's logger, with the site's own level and target. `id` is the number that the
/// site [passed](Site::pass) with.
#[inline(always)]
pub(crate) fn emit_site<V: Values>(site: &'static Site, id: u32, level: Level, values: V) {
    if V::RENDERS {
        return emit_site_rendered(site, values);
    }
    let (limit, ticks) = (process_record_bytes_max, clock::quick_stamp);
    if !local::with(|producer| put(producer, id, level, &values, &[], limit, ticks)) {
        emit_site_cold(site, values);
    }
}

/// The same where values are rendered first.
#[inline(never)]
fn emit_site_rendered<V: Values>(site: &'static Site, mut values: V) {
    emit_rendered(None, Call::of_site(site), &mut values);
}

/// The same where the ring has no room. Takes the values as they are, so that the hot path need not
/// put them into memory.
#[cold]
#[inline(never)]
fn emit_site_cold<V: Values>(site: &'static Site, values: V) {
    emit_ready(None, Call::of_site(site), &values, &[]);
}

/// Logs to the logger of `engine`.
#[inline]
pub(crate) fn emit_to<V: Values>(engine: &Arc<Shared>, call: Call<'_>, mut values: V) {
    if V::RENDERS {
        return emit_rendered(Some(engine), call, &mut values);
    }
    emit_ready(Some(engine), call, &values, &[]);
}

/// Renders values into the thread's scratch, then logs.
#[inline(never)]
fn emit_rendered<V: Values>(engine: Option<&Arc<Shared>>, call: Call<'_>, values: &mut V) {
    // Without its thread-local the thread is ending; it can still log.
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    scratch.clear();
    values.prepare(&mut scratch);
    emit_ready(engine, call, values, &scratch);
    if scratch.capacity() <= SCRATCH_MAX_BYTES {
        let _ = SCRATCH.try_with(|cell| cell.set(scratch));
    }
}

#[inline]
fn emit_ready<V: Values>(engine: Option<&Arc<Shared>>, call: Call<'_>, values: &V, scratch: &[u8]) {
    let done = match (engine, call.site_id()) {
        (None, Some(id)) => local::with(|producer| {
            put(producer, id, call.level, values, scratch, process_record_bytes_max, any_stamp)
        }),
        (Some(engine), Some(id)) if engine.knows_site(id) => {
            let limit = || engine.limits.record_bytes_max;
            with_other(engine, |other| {
                put(&mut other.producer, id, call.level, values, scratch, limit, any_stamp)
            })
            .unwrap_or(false)
        }
        _ => false,
    };
    if !done {
        emit_cold(engine, call, values, scratch);
    }
}

/// Writes the record into the ring. `false` where the cold path must see to it.
#[inline(always)]
fn put<V: Values>(
    producer: &mut Producer,
    id: u32,
    level: Level,
    values: &V,
    scratch: &[u8],
    record_bytes_max: impl Fn() -> usize,
    stamp: impl Fn(u64) -> Option<u64>,
) -> bool {
    // Nothing is cut here: what is too long is the cold path's. Knowing it, the compiler leaves out
    // most checks of what follows.
    if id < FIRST_SITE_ID || !values.fit(scratch, HOT_MAX_BYTES) {
        return false;
    }
    let body = V::KINDS.listed_bytes() + values.encoded_len(scratch, HOT_MAX_BYTES);
    let len = record::padded_len(body);
    if len > ALWAYS_FITS_BYTES && (len > HOT_MAX_BYTES || len > record_bytes_max()) {
        return false;
    }
    let word = producer.stamp();
    producer.push(len, |slot| {
        // Only a thread that has a ring knows whether it may read the counter.
        let Some(ticks) = stamp(word) else { return false };
        // The padding behind the values; they overwrite what is theirs.
        if let Some(last) = slot.last_chunk_mut::<{ record::ALIGN }>() {
            *last = [0; record::ALIGN];
        }
        let Some(slot) = slot.get_mut(..record::HEADER_BYTES + body) else { return false };
        let mut out = Encoder::new(slot);
        record::put_header(&mut out, len, level, id, ticks, V::KINDS.word());
        if V::KINDS.listed_bytes() > 0 {
            V::encode_kinds(&mut out);
        }
        values.encode(scratch, HOT_MAX_BYTES, &mut out);
        true
    })
}

/// The ticks of a record, whichever clock must be asked.
fn any_stamp(word: u64) -> Option<u64> {
    Some(clock::stamp(word))
}

/// Tries the hot path once more where the ring had but to look around: at the end of a lap, and when
/// it becomes half full. This is the steady state: it allocates nothing.
fn put_again<V: Values>(engine: &Shared, call: &Call<'_>, values: &V, scratch: &[u8]) -> bool {
    let Some(id) = call.site_id().filter(|id| engine.knows_site(*id)) else { return false };
    let len =
        record::padded_len(V::KINDS.listed_bytes() + values.encoded_len(scratch, HOT_MAX_BYTES));
    let done = with_any(engine, |producer, context_known| {
        if *context_known != context::revision() {
            return false;
        }
        match producer.refresh(len) {
            Refresh::Ready => {}
            Refresh::CrossedHalf => engine.wake_sleeping_writer(),
            _ => return false,
        }
        let limit = || engine.limits.record_bytes_max;
        put(producer, id, call.level, values, scratch, limit, any_stamp)
    });
    done.unwrap_or(false)
}

/// Encodes the record beside the ring and finds a place for it.
#[cold]
#[inline(never)]
fn emit_cold<V: Values>(engine: Option<&Arc<Shared>>, call: Call<'_>, values: &V, scratch: &[u8]) {
    let global;
    let engine = match engine {
        Some(engine) => engine,
        None => match process::engine() {
            Some(engine) => {
                global = engine;
                &global
            }
            None => return,
        },
    };
    if put_again(engine, &call, values, scratch) {
        return;
    }
    let heir;
    let engine = match engine.is_forked() {
        false => engine,
        true => match fork::heir_of(engine) {
            Some(found) => {
                heir = found;
                &heir
            }
            None => return engine.drops.count(Reason::Forked),
        },
    };
    let id = call.site_id().filter(|id| engine.define_site(*id));
    let definition = call.definition();
    let definition_bytes = if id.is_none() { definition.encoded_len() } else { 0 };
    let fixed_bytes = V::KINDS.listed_bytes() + definition_bytes;
    let limit = (engine.limits.record_bytes_max + definition_bytes).min(record::MAX_BYTES);
    let Some(run_max) = limit
        .checked_sub(record::padded_len(fixed_bytes))
        .and_then(|free_bytes| capture::run_max_within(values, scratch, free_bytes))
    else {
        return engine.drops.count(Reason::TooLong);
    };
    if values.encoded_len(scratch, run_max) < values.encoded_len(scratch, usize::MAX) {
        engine.drops.count(Reason::Cut);
    }
    let len = record::padded_len(fixed_bytes + values.encoded_len(scratch, run_max));
    let mut bytes = vec![0; len];
    let mut out = Encoder::new(&mut bytes);
    let site = id.unwrap_or(record::INLINE);
    record::put_header(&mut out, len, call.level, site, 0, V::KINDS.word());
    if V::KINDS.listed_bytes() > 0 {
        V::encode_kinds(&mut out);
    }
    if id.is_none() {
        definition.encode(&mut out);
    }
    values.encode(scratch, run_max, &mut out);
    store(engine, call.level, &mut bytes);
}

/// Logs an event whose definition stands in its record.
#[cold]
pub(super) fn emit_defined<V: Values>(
    engine: &Arc<Shared>,
    definition: &Definition<'_>,
    values: V,
) {
    let (level, limit) = (definition.level, engine.limits.record_bytes_max);
    match capture::encode_record(definition, None, level, None, 0, limit, values) {
        Some(mut record) => store(engine, level, &mut record),
        None => engine.drops.count(Reason::TooLong),
    }
}

/// Puts a finished record into the thread's ring, or wherever it belongs while that is not
/// possible. Its time is taken anew with each try.
fn store(engine: &Arc<Shared>, level: Level, bytes: &mut [u8]) {
    let mut wait = Wait::new(engine, level);
    loop {
        let stored = with_any(engine, |producer, context_known| {
            let revision = context::revision();
            if *context_known != revision {
                try_store(producer, &mut context::to_record(), Some(CONTEXT_CHANGES))?;
                *context_known = revision;
            }
            try_store(producer, bytes, None)
        });
        let refused = match stored {
            Some(Ok(())) => return,
            Some(Err(refused)) => refused,
            None => Refresh::NoRing,
        };
        match refused {
            Refresh::Ready => {}
            Refresh::CrossedHalf => engine.wake_sleeping_writer(),
            Refresh::Full { .. } => {
                engine.wake_sleeping_writer();
                if !wait.again() {
                    return engine.drops.count(Reason::RingFull);
                }
            }
            Refresh::TooLong { .. } | Refresh::Nested => {
                return store_in_overflow(engine, bytes, &mut wait);
            }
            Refresh::Closed | Refresh::NoRing if OWN_THREAD.get() => {
                return store_in_overflow(engine, bytes, &mut wait);
            }
            // The page of a ring of the parent's makes room for one of this process's own engine.
            Refresh::Closed | Refresh::NoRing | Refresh::Forked => match bind(engine) {
                Bound::Ring => {}
                Bound::Overflow => return store_in_overflow(engine, bytes, &mut wait),
                Bound::Never(reason) => return engine.drops.count(reason),
            },
        }
    }
}

/// Puts a record into the ring, and adds one to a counter of the ring with it.
fn try_store(
    producer: &mut Producer,
    bytes: &mut [u8],
    counter: Option<usize>,
) -> Result<(), Refresh> {
    if producer.reserve(bytes.len()).is_none() {
        match producer.refresh(bytes.len()) {
            Refresh::Ready => {}
            refused => return Err(refused),
        }
    }
    let ticks = clock::stamp(producer.stamp());
    if let Some(field) = bytes.get_mut(TICKS_AT..TICKS_AT + 8) {
        field.copy_from_slice(&ticks.to_le_bytes());
    }
    match producer.reserve(bytes.len()) {
        Some(slot) => slot.copy_from_slice(bytes),
        None => return Err(Refresh::Ready),
    }
    if let Some(counter) = counter {
        producer.count(counter);
    }
    producer.commit();
    Ok(())
}

/// The thread's context is another one: the next event goes through the cold path, and tells.
pub(super) fn context_changed() {
    local::with(Producer::hold);
    let _ = OTHERS.try_with(|others| {
        if let Ok(mut others) = others.try_borrow_mut() {
            others.iter_mut().for_each(|other| other.producer.hold());
        }
    });
}

fn store_in_overflow(engine: &Shared, bytes: &mut [u8], wait: &mut Wait<'_>) {
    if engine.is_forked() {
        return engine.drops.count(Reason::Forked);
    }
    loop {
        if engine.is_closed() {
            return engine.drops.count(Reason::ShutDown);
        }
        if let Some(field) = bytes.get_mut(TICKS_AT..TICKS_AT + 8) {
            field.copy_from_slice(&clock::ticks().to_le_bytes());
        }
        if engine.overflow.push(bytes.into()).is_ok() {
            return;
        }
        engine.wake_sleeping_writer();
        if !wait.again() {
            return engine.drops.count(Reason::OverflowFull);
        }
    }
}

enum Bound {
    Ring,
    Overflow,
    Never(Reason),
}

/// Gives the thread a ring of the engine.
fn bind(engine: &Arc<Shared>) -> Bound {
    if engine.is_forked() {
        return Bound::Never(Reason::Forked);
    }
    if engine.is_closed() {
        return Bound::Never(Reason::ShutDown);
    }
    let Some(ring) = engine.take_ring() else { return Bound::Overflow };
    let (mut producer, consumer) = ring.split();
    producer.set_stamp(match engine.limits.timestamp {
        Timestamp::Call => clock::stamp_at_call(),
        Timestamp::Drain => clock::AT_DRAIN,
    });
    let installed = if engine.is_process_logger() {
        local::try_install(producer).inspect(|()| CONTEXT_KNOWN.set(0))
    } else {
        install_other(engine, producer)
    };
    match installed {
        Ok(()) => {
            let ring = Arc::clone(consumer.shared());
            engine.register(consumer);
            // SeqCst: pairs with the fence in `Writer::close_rings`. Either the writer finds the
            // registration, or this finds the engine closed.
            fence(Ordering::SeqCst);
            if engine.is_closed() {
                ring.close();
                return Bound::Never(Reason::ShutDown);
            }
            Bound::Ring
        }
        Err(producer) => {
            producer.retire();
            engine.give_back(consumer);
            Bound::Overflow
        }
    }
}

/// Gives the calling thread its ring ahead of its first log call.
pub(super) fn prepare_thread(engine: &Arc<Shared>) {
    let has_ring = with_any(engine, |producer, _| {
        !matches!(
            producer.refresh(record::HEADER_BYTES),
            Refresh::NoRing | Refresh::Closed | Refresh::Forked
        )
    });
    if !has_ring.unwrap_or(false) {
        bind(engine);
    }
}

/// The thread's producer for this engine, and what the engine knows of the thread's context; `None`
/// without one, and inside another call.
fn with_any<R>(engine: &Shared, f: impl FnOnce(&mut Producer, &mut u64) -> R) -> Option<R> {
    if !engine.is_process_logger() {
        return with_other(engine, |other| f(&mut other.producer, &mut other.context_known));
    }
    Some(local::with(|producer| {
        let mut context_known = CONTEXT_KNOWN.get();
        let result = f(producer, &mut context_known);
        CONTEXT_KNOWN.set(context_known);
        result
    }))
}

#[inline]
fn with_other<R>(engine: &Shared, f: impl FnOnce(&mut Other) -> R) -> Option<R> {
    OTHERS
        .try_with(|others| {
            let mut others = others.try_borrow_mut().ok()?;
            Some(f(others.iter_mut().find(|other| other.engine == engine.number)?))
        })
        .ok()?
}

/// Keeps a producer for another logger than the process's. Producers of loggers that are gone leave.
fn install_other(engine: &Shared, producer: Producer) -> Result<(), Producer> {
    let mut producer = Some(producer);
    let _ = OTHERS.try_with(|others| {
        if let Ok(mut others) = others.try_borrow_mut() {
            let engine = engine.number;
            others.retain(|other| other.engine != engine && !other.producer.is_closed());
            let other = |producer| Other { engine, producer, context_known: 0 };
            others.extend(producer.take().map(other));
        }
    });
    producer.map_or(Ok(()), Err)
}

/// Waiting for room, as long as the overflow policy allows.
struct Wait<'a> {
    engine: &'a Shared,
    policy: OverflowPolicy,
    began: Option<Instant>,
    rounds: u32,
}

impl Wait<'_> {
    fn new(engine: &Shared, level: Level) -> Wait<'_> {
        let policy = match engine.limits.overflow {
            _ if OWN_THREAD.try_with(Cell::get).unwrap_or(true) => OverflowPolicy::Drop,
            OverflowPolicy::DropBelow(kept) if level >= kept => OverflowPolicy::Block,
            OverflowPolicy::DropBelow(_) => OverflowPolicy::Drop,
            policy => policy,
        };
        Wait { engine, policy, began: None, rounds: 0 }
    }

    /// Waits a little. `false` when the time is over, or nobody will ever make room.
    fn again(&mut self) -> bool {
        if !self.engine.writer_lives() {
            return false;
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        match self.policy {
            OverflowPolicy::Block => {}
            OverflowPolicy::BlockFor(limit) if began.elapsed() < limit => {}
            _ => return false,
        }
        self.rounds += 1;
        match self.rounds {
            0..100 => std::hint::spin_loop(),
            100..200 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
        true
    }
}
