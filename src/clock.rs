//! Ticks at the log call, UTC at the reader.
//!
//! A log call reads the cheapest clock there is and stores the raw count. What a count means is
//! settled later, by [`Anchor`]s that pair it with the system's time: between two of them a
//! [`Timeline`] runs straight, outside it goes on at the [`Rate`] of the ticks.
#![allow(unsafe_code, reason = "the time stamp counter")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Anchors are the best of this many tries: an interruption between their readings spoils one.
const ANCHOR_TRIES: usize = 8;
/// The shortest time over which the rate is measured: two readings of 50 ns in 2 ms are 50 ppm.
const RATE_SPAN_MIN: Duration = Duration::from_millis(2);

/// [`SOURCE`] before the first reading.
const UNDECIDED: u8 = 0;
/// [`SOURCE`] when the processor's counter serves.
const COUNTER: u8 = 1;
/// [`SOURCE`] when the system's monotonic clock must.
const SYSTEM: u8 = 2;

/// The ticks of a record that has no time of its own: its time is that of the moment when the writer
/// took it, the later anchor of its block.
pub const AT_DRAIN: u64 = u64::MAX;

/// The word of a thread whose records get the processor's counter.
const BY_COUNTER: u64 = 0;
/// The word of a thread whose records get the system's clock.
const BY_SYSTEM: u64 = 1;

/// Which clock gives the ticks. Written once, with the same value by whoever is first.
static SOURCE: AtomicU8 = AtomicU8::new(UNDECIDED);

/// The count of the process's clock: the processor's counter where it runs evenly and alike on all
/// cores, otherwise nanoseconds of the system's monotonic clock. Never runs back on one thread,
/// apart from what the processor reorders (tens of nanoseconds).
#[inline(always)]
pub fn ticks() -> u64 {
    // Relaxed: the byte stands for itself.
    if SOURCE.load(Ordering::Relaxed) == COUNTER { counter() } else { slow_ticks() }
}

/// The first reading decides which clock it is.
#[cold]
#[inline(never)]
fn slow_ticks() -> u64 {
    if SOURCE.load(Ordering::Relaxed) == UNDECIDED {
        let source = if counter_is_usable() { COUNTER } else { SYSTEM };
        SOURCE.store(source, Ordering::Relaxed);
    }
    if SOURCE.load(Ordering::Relaxed) == COUNTER { counter() } else { system_ns() }
}

/// Whether [`ticks`] reads the processor's counter. Where it cannot be trusted, a reading asks the
/// system, which takes longer.
pub fn is_counter() -> bool {
    ticks();
    // Relaxed: the byte stands for itself.
    SOURCE.load(Ordering::Relaxed) == COUNTER
}

/// The word for [`stamp`] with which each record gets the time of its log call.
pub(crate) fn stamp_at_call() -> u64 {
    ticks();
    if SOURCE.load(Ordering::Relaxed) == COUNTER { BY_COUNTER } else { BY_SYSTEM }
}

/// Whether the word of a thread is itself the ticks of its records.
#[inline(always)]
pub(crate) fn is_fixed(word: u64) -> bool {
    word > BY_SYSTEM
}

/// The ticks of a record, by the word that its thread keeps: read now, or the word itself.
pub(crate) fn stamp(word: u64) -> u64 {
    quick_stamp(word).unwrap_or_else(system_ns)
}

/// The same where it takes no call; `None` where the system's clock must be asked.
#[inline(always)]
pub(crate) fn quick_stamp(word: u64) -> Option<u64> {
    match word {
        BY_COUNTER => Some(counter()),
        BY_SYSTEM => None,
        fixed => Some(fixed),
    }
}

/// Nanoseconds of the monotonic clock since this process first asked, plus one second: so that a
/// forked child counts on from its parent.
fn system_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since_start = START.get_or_init(Instant::now).elapsed();
    1_000_000_000 + u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. Where the system forbids it to programs,
    // it does not offer the counter as its own clock either, see `counter_is_usable`.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn counter() -> u64 {
    let count: u64;
    // SAFETY: reads a register that Linux lets programs read; touches no memory and no flags.
    unsafe {
        std::arch::asm!(
            "mrs {}, cntvct_el0",
            out(reg) count,
            options(nomem, nostack, preserves_flags),
        );
    }
    count
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter() -> u64 {
    system_ns()
}

/// The time stamp counter serves if the kernel keeps its own time by it, or if the processor says
/// that it is invariant and the kernel has not found otherwise.
#[cfg(target_arch = "x86_64")]
fn counter_is_usable() -> bool {
    let read = |name: &str| {
        let path = format!("/sys/devices/system/clocksource/clocksource0/{name}_clocksource");
        std::fs::read_to_string(path).ok()
    };
    let is_current = read("current").is_some_and(|name| name.trim() == "tsc");
    let is_known =
        read("available").is_none_or(|names| names.split_whitespace().any(|name| name == "tsc"));
    is_current || (is_known && counter_is_invariant())
}

#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    const EXTENDED: u32 = 0x8000_0000;
    const POWER: u32 = 0x8000_0007;
    const INVARIANT_BIT: u32 = 1 << 8;
    #[allow(unused_unsafe, reason = "safe since Rust 1.92")]
    // SAFETY: every x86-64 processor has the instruction.
    let greatest = unsafe { __cpuid(EXTENDED) }.eax;
    #[allow(unused_unsafe, reason = "safe since Rust 1.92")]
    // SAFETY: as above; unknown numbers yield other registers, which the comparison rules out.
    let power = unsafe { __cpuid(POWER) }.edx;
    greatest >= POWER && power & INVARIANT_BIT != 0
}

/// The architecture has one counter for all cores.
#[cfg(not(target_arch = "x86_64"))]
fn counter_is_usable() -> bool {
    cfg!(target_arch = "aarch64")
}

/// What the ticks were at a moment of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// The count of [`ticks`].
    pub ticks: u64,
    /// Nanoseconds since 1970, leap seconds left out, as the system's clock has them.
    pub utc_ns: i64,
}

impl Anchor {
    /// Reads both clocks, several times, and keeps the pair that lay closest together: within
    /// about 50 ns on an idle machine. Costs about half a microsecond.
    pub fn now() -> Anchor {
        Anchor::by(&SystemUtc)
    }

    /// The same by another clock than the system's.
    pub fn by(clock: &dyn UtcClock) -> Anchor {
        closest_pair(|| clock.utc_ns(), |ticks, utc_ns| Anchor { ticks, utc_ns })
    }
}

/// Where an engine's UTC comes from.
///
/// It says what time an event has, and nothing else: the order of events, retention, syncs, waits
/// and heartbeats do not look at it. It may be set forwards and backwards while events flow. It is
/// asked several times for each block; it must not block, panic, or log.
///
/// # Examples
/// ```
/// /// Midnight, for ever.
/// struct Midnight;
///
/// impl rollway::clock::UtcClock for Midnight {
///     fn utc_ns(&self) -> i64 {
///         0
///     }
/// }
///
/// let guard = rollway::builder().clock(Midnight).start()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
pub trait UtcClock: Send + Sync {
    /// Nanoseconds since 1970-01-01 UTC, leap seconds left out.
    fn utc_ns(&self) -> i64;
}

/// The system's clock; clamped to what an `i64` of nanoseconds can say, the years 1677 to 2262.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemUtc;

impl UtcClock for SystemUtc {
    fn utc_ns(&self) -> i64 {
        let clamped = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => clamped(since),
            Err(error) => -clamped(error.duration()),
        }
    }
}

/// Takes a reading between two counts of the ticks, and keeps the tightest of several.
fn closest_pair<T, R>(read: impl Fn() -> T, pair: impl Fn(u64, T) -> R) -> R {
    let attempt = || {
        let before = ticks();
        let reading = read();
        let window = ticks().saturating_sub(before);
        (window, before.saturating_add(window / 2), reading)
    };
    let mut best = attempt();
    for _ in 1..ANCHOR_TRIES {
        let next = attempt();
        if next.0 < best.0 {
            best = next;
        }
    }
    pair(best.1, best.2)
}

/// How long a tick is, by the system's monotonic clock. Gets better with time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    start_ticks: u64,
    start: Instant,
    nanos_per_tick: f64,
}

impl Rate {
    /// Measures the rate. Blocks for 2 ms; good to about 50 ppm.
    pub fn measure() -> Rate {
        let (start_ticks, start) = closest_pair(Instant::now, |ticks, at| (ticks, at));
        let mut rate = Rate { start_ticks, start, nanos_per_tick: 1.0 };
        while start.elapsed() < RATE_SPAN_MIN {
            std::thread::sleep(RATE_SPAN_MIN);
        }
        rate.refine();
        rate
    }

    /// Measures again, over all the time since [`Rate::measure`].
    pub fn refine(&mut self) {
        let (now_ticks, now) = closest_pair(Instant::now, |ticks, at| (ticks, at));
        let passed = now.saturating_duration_since(self.start);
        let counted = now_ticks.saturating_sub(self.start_ticks);
        if passed >= RATE_SPAN_MIN && counted > 0 {
            self.nanos_per_tick = passed.as_nanos() as f64 / counted as f64;
        }
    }

    /// Nanoseconds in one tick.
    pub fn nanos_per_tick(&self) -> f64 {
        self.nanos_per_tick
    }

    /// Ticks in one second.
    pub fn ticks_per_second(&self) -> f64 {
        1e9 / self.nanos_per_tick
    }
}

/// From ticks to UTC, by the anchors around them.
///
/// The values may come from anywhere: whatever they are, later ticks never get an earlier time,
/// and nothing panics or overflows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Timeline {
    /// Taken before the events.
    pub before: Anchor,
    /// Taken after the events.
    pub after: Anchor,
    /// Nanoseconds in one tick, for ticks outside the anchors.
    pub nanos_per_tick: f64,
}

impl Timeline {
    /// The UTC of a count of ticks, in nanoseconds since 1970.
    ///
    /// Straight between the anchors, at the given rate outside. If the system's clock was set back
    /// between them, or they are in disorder, only the first anchor and the rate count. [`AT_DRAIN`]
    /// is the later anchor.
    pub fn utc_ns(&self, ticks: u64) -> i64 {
        UtcLine::from(*self).utc_ns(ticks)
    }

    /// How long `ticks` take at the given rate; nothing if that is no rate.
    fn outside_ns(&self, ticks: u64) -> i64 {
        let ns = ticks as f64 * self.nanos_per_tick;
        if ns > 0.0 { ns as i64 } else { 0 }
    }
}

/// A [`Timeline`] with its slope worked out, for whoever asks it many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UtcLine {
    timeline: Timeline,
    /// Ticks and nanoseconds between the anchors; no ticks where only the first one counts.
    span_ticks: u64,
    span_ns: u64,
    /// Nanoseconds in one tick between the anchors.
    slope: f64,
}

impl From<Timeline> for UtcLine {
    fn from(timeline: Timeline) -> UtcLine {
        let Timeline { before, after, .. } = timeline;
        let ordered = before.ticks < after.ticks && before.utc_ns <= after.utc_ns;
        let span_ticks = if ordered { after.ticks - before.ticks } else { 0 };
        let span_ns = after.utc_ns.abs_diff(before.utc_ns);
        UtcLine { timeline, span_ticks, span_ns, slope: span_ns as f64 / span_ticks as f64 }
    }
}

impl UtcLine {
    /// As [`Timeline::utc_ns`].
    #[inline]
    pub(crate) fn utc_ns(&self, ticks: u64) -> i64 {
        let before = self.timeline.before;
        let passed = ticks.wrapping_sub(before.ticks);
        if passed < self.span_ticks && ticks >= before.ticks {
            let passed_ns = (passed as f64 * self.slope) as u64;
            before.utc_ns.saturating_add_unsigned(passed_ns.min(self.span_ns))
        } else {
            self.outside(ticks)
        }
    }

    #[cold]
    fn outside(&self, ticks: u64) -> i64 {
        let Timeline { before, after, .. } = self.timeline;
        let ns = |ticks| self.timeline.outside_ns(ticks);
        if ticks < before.ticks {
            before.utc_ns.saturating_sub(ns(before.ticks - ticks))
        } else if ticks == AT_DRAIN {
            after.utc_ns
        } else if self.span_ticks == 0 {
            before.utc_ns.saturating_add(ns(ticks - before.ticks))
        } else {
            after.utc_ns.saturating_add(ns(ticks - after.ticks))
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_go_forward_at_the_measured_rate() {
        let rate = Rate::measure();
        let (ticks_before, before) = (ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let (passed, counted) = (before.elapsed(), ticks() - ticks_before);
        let by_rate = counted as f64 * rate.nanos_per_tick();
        // Half as much again: only a rate in the wrong unit is wrong, whatever the machine's load.
        assert!(by_rate <= passed.as_nanos() as f64 * 1.5);
        assert!(rate.ticks_per_second() * rate.nanos_per_tick() > 0.999e9);
    }

    #[test]
    fn both_sources_go_forward() {
        for source in [counter, system_ns] {
            let first = source();
            std::thread::sleep(Duration::from_millis(1));
            assert!(source() > first);
        }
    }

    #[test]
    fn an_anchor_lies_between_the_readings_around_it() {
        let (ticks_before, utc_before) = (ticks(), SystemUtc.utc_ns());
        let anchor = Anchor::now();
        let (ticks_after, utc_after) = (ticks(), SystemUtc.utc_ns());
        assert!((ticks_before..=ticks_after).contains(&anchor.ticks));
        assert!((utc_before..=utc_after).contains(&anchor.utc_ns));
    }

    const TIMELINE: Timeline = Timeline {
        before: Anchor { ticks: 1000, utc_ns: 5000 },
        after: Anchor { ticks: 2000, utc_ns: 7000 },
        nanos_per_tick: 3.0,
    };

    #[test]
    fn between_the_anchors_time_is_straight_and_outside_it_keeps_the_rate() {
        let utc_ns = |ticks| TIMELINE.utc_ns(ticks);
        assert_eq!([1000, 1500, 2000].map(utc_ns), [5000, 6000, 7000]);
        assert_eq!([900, 2100].map(utc_ns), [4700, 7300]);
    }

    #[test]
    fn a_clock_set_back_between_the_anchors_does_not_turn_time_round() {
        let timeline = Timeline { after: Anchor { ticks: 2000, utc_ns: 0 }, ..TIMELINE };
        assert_eq!(
            [900, 1000, 1500, 3000].map(|ticks| timeline.utc_ns(ticks)),
            [4700, 5000, 6500, 11000]
        );
    }

    fn hostile_rate() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-1.0),
            Just(0.3),
            Just(0.0)
        ]
    }

    proptest! {
        #[test]
        fn later_ticks_never_get_an_earlier_time(
            before: (u64, i64), after: (u64, i64), nanos_per_tick in hostile_rate(),
            ticks: u64, later: u64, near in 0..3_u64,
        ) {
            let anchor = |(ticks, utc_ns)| Anchor { ticks, utc_ns };
            let (before_anchor, after_anchor) = (anchor(before), anchor(after));
            let timeline =
                Timeline { before: before_anchor, after: after_anchor, nanos_per_tick };
            let (ticks, later) = (ticks.min(later), ticks.max(later));
            prop_assert!(timeline.utc_ns(ticks) <= timeline.utc_ns(later));
            for border in [before.0, after.0] {
                let (low, high) = (border.saturating_sub(near), border.saturating_add(near));
                prop_assert!(timeline.utc_ns(low) <= timeline.utc_ns(border));
                prop_assert!(timeline.utc_ns(border) <= timeline.utc_ns(high));
            }
        }
    }
}
