//! What one appender's buffer or limit holds: places in the journal, never events.
//!
//! It sees the events in the order of the journal, and decides of each, now or later, whether the
//! appender gets it. What is decided stays in that order. The decisions depend on the events and on
//! nothing else, so that they come out the same when the events are seen again: after a failure, or by
//! the next process. What was released on demand is told to it again at the same place.
//!
//! Invariants:
//! 1. `held` and `ready` are in the order of the journal, and all of `ready` lies before all of `held`.
//! 2. Before the first held event everything is decided.
//! 3. While events are held the period of a limit stays as it is: at the first held event it was the
//!    same.

use std::collections::VecDeque;
use std::time::Duration;

use super::{HELD_MAX, Kind};
use super::{buffer, limit};
use crate::event::Event;
use crate::journal::Position;

/// What a buffer or a limit holds of one appender.
#[derive(Debug)]
pub(crate) struct Hold {
    rule: Rule,
    /// The time of the event that began the period of a limit.
    period_start_ns: Option<i64>,
    held: VecDeque<Waiting>,
    /// What the appender shall have, and may not have yet.
    ready: VecDeque<Waiting>,
    /// Before it the appender has everything.
    done: Position,
    suppressed: u64,
}

/// An event that the appender gets, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    at: Position,
    /// How often it gets it.
    times: u32,
}

#[derive(Clone)]
enum Rule {
    Buffer(buffer::Rule),
    Limit(limit::Rule),
}

impl Hold {
    /// For a composite that holds; `None` for others.
    pub(super) fn of(kind: &Kind) -> Option<Hold> {
        let rule = match kind {
            Kind::Buffer(rule) => Rule::Buffer(rule.clone()),
            Kind::Limit(rule) => Rule::Limit(rule.clone()),
            Kind::Filtered | Kind::Synchronized(_) => return None,
        };
        let (held, ready) = (VecDeque::new(), VecDeque::new());
        let done = Position::default();
        Some(Hold { rule, period_start_ns: None, held, ready, done, suppressed: 0 })
    }

    /// Goes on at `done`, before which the appender has everything, as it was at some place before.
    pub(crate) fn resume(&mut self, done: Position, period_start_ns: Option<i64>) {
        (self.done, self.period_start_ns) = (done, period_start_ns);
    }

    /// The time, in nanoseconds since 1970-01-01 UTC, of the event that began a limit's period.
    pub(crate) fn period_start_ns(&self) -> Option<i64> {
        self.period_start_ns
    }

    /// Whether what it decides depends on more than the events from the first held one on.
    pub(crate) fn is_persistent(&self) -> bool {
        matches!(&self.rule, Rule::Limit(rule) if rule.persistent)
    }

    /// Whether the end of the engine releases what is held. `outlives` says whether the journal does.
    pub(crate) fn ends_empty(&self, outlives: bool) -> bool {
        match &self.rule {
            Rule::Buffer(rule) => rule.flush_at_shutdown,
            Rule::Limit(rule) => !(rule.persistent && outlives),
        }
    }

    /// Sees the next event, which the appender is to get `times` times.
    pub(crate) fn offer(&mut self, at: Position, times: u32, event: &Event<'_>) {
        let is_trigger = matches!(&self.rule, Rule::Buffer(rule) if rule.is_trigger(event));
        self.take(Waiting { at, times }, event.time_ns, is_trigger);
    }

    fn take(&mut self, event: Waiting, time_ns: i64, is_trigger: bool) {
        let held = self.held.len();
        let (passes, stays) = match &self.rule {
            Rule::Buffer(rule) => {
                if !is_trigger && held >= rule.max_events {
                    self.suppressed +=
                        self.held.pop_front().map_or(0, |oldest| oldest.times.into());
                }
                (is_trigger, true)
            }
            Rule::Limit(rule) => {
                let begun = self.period_start_ns;
                let is_over = begun.is_none_or(|begun| is_over(begun, time_ns, rule.period));
                let is_full = rule.accumulate && held + 1 >= rule.max_until_flushed.min(HELD_MAX);
                let has_room = rule.max_until_discarded.is_none_or(|events| held + 1 < events);
                // A limit that discards is never full.
                let is_full = is_full && has_room;
                if is_over || is_full {
                    self.period_start_ns = Some(time_ns);
                }
                (is_over || is_full, rule.accumulate && has_room)
            }
        };
        if passes {
            self.release();
            self.make_ready(event);
        } else if stays {
            self.held.push_back(event);
        } else {
            self.suppressed += u64::from(event.times);
        }
    }

    /// Hands on everything that is held.
    pub(crate) fn release(&mut self) {
        while let Some(event) = self.held.pop_front() {
            self.make_ready(event);
        }
    }

    fn make_ready(&mut self, event: Waiting) {
        if event.at >= self.done {
            self.ready.push_back(event);
        }
    }

    /// The place of the first event that is held.
    pub(crate) fn first_held(&self) -> Option<Position> {
        self.held.front().map(|event| event.at)
    }

    /// How often the appender shall have the event at `at` now.
    pub(crate) fn times(&self, at: Position) -> u32 {
        let found = self.ready.binary_search_by_key(&at, |event| event.at);
        found.map_or(0, |found| self.ready[found].times)
    }

    /// The appender has everything before `position`. What is held there stays: it is seen for the
    /// second time, and has its part in what is decided of the events behind.
    pub(crate) fn settle(&mut self, position: Position) {
        self.done = self.done.max(position);
        while self.ready.front().is_some_and(|event| event.at < position) {
            self.ready.pop_front();
        }
    }

    /// What lies before `position` is gone with the journal.
    pub(crate) fn forget_before(&mut self, position: Position) {
        self.settle(position);
        while self.held.front().is_some_and(|event| event.at < position) {
            self.held.pop_front();
        }
    }

    /// How many events the appender shall have and may not have yet.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many events are held.
    pub(crate) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// How many events the appender never gets: they fell out of a buffer, or a limit dropped them.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

/// Whether the period that began at `begun_ns` is over. A clock that was set back further than that
/// ends it, too.
fn is_over(begun_ns: i64, now_ns: i64, period: Duration) -> bool {
    u128::from(begun_ns.abs_diff(now_ns)) >= period.as_nanos()
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rule::Buffer(_) => "Buffer",
            Rule::Limit(_) => "Limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Buffer, Composite, Limit};
    use super::*;

    /// Nanoseconds of a period of the tests.
    const PERIOD_NS: i64 = 10;

    /// An event of the tests.
    #[derive(Clone, Copy, Debug)]
    struct Told {
        time_ns: i64,
        is_trigger: bool,
    }

    fn place(number: usize) -> Position {
        Position { generation: 1, offset: number as u64, index: 0 }
    }

    fn hold(composite: impl Into<Composite>) -> Hold {
        Hold::of(&composite.into().kind).unwrap()
    }

    fn limit() -> Limit {
        Limit::new(["x"]).period(Duration::from_nanos(PERIOD_NS as u64))
    }

    /// What an appender gets that is never killed: the numbers of the events, as they come; at the
    /// numbers in `releases` somebody asks for what is held before the event.
    fn delivered(hold: &mut Hold, events: &[Told], releases: &[usize]) -> Vec<usize> {
        let mut delivered = Vec::new();
        for (number, event) in events.iter().enumerate() {
            if releases.contains(&number) {
                hold.release();
            }
            hold.take(Waiting { at: place(number), times: 1 }, event.time_ns, event.is_trigger);
            delivered.extend(hold.ready.drain(..).map(|event| event.at.offset as usize));
        }
        delivered
    }

    fn at(times: &[i64]) -> Vec<Told> {
        times.iter().map(|time_ns| Told { time_ns: *time_ns, is_trigger: false }).collect()
    }

    #[test]
    fn a_buffer_hands_on_the_last_events_with_the_one_that_triggers() {
        let mut hold = hold(Buffer::new(["x"]).max_events(2));
        let events: Vec<_> =
            (0..8).map(|n| Told { time_ns: 0, is_trigger: n == 4 || n == 5 }).collect();
        assert_eq!(delivered(&mut hold, &events, &[]), [2, 3, 4, 5]);
        assert_eq!((hold.held(), hold.suppressed()), (2, 2));
        hold.release();
        assert_eq!((hold.held(), hold.ready()), (0, 2));
    }

    #[test]
    fn a_limit_brings_what_it_held_with_the_first_event_behind_the_period() {
        let mut hold = hold(limit());
        assert_eq!(delivered(&mut hold, &at(&[0, 1, 2]), &[]), [0]);
        assert_eq!((hold.held(), hold.suppressed()), (2, 0));
        let mut hold = self::hold(limit());
        assert_eq!(delivered(&mut hold, &at(&[0, 1, 2, 10]), &[]), [0, 1, 2, 3]);
        // The fourth event has begun a period of its own.
        assert_eq!(delivered(&mut hold, &at(&[19, 20]), &[]), [0, 1]);
    }

    #[test]
    fn a_limit_that_does_not_accumulate_drops_and_counts() {
        let mut hold = hold(limit().accumulate(false));
        assert_eq!(delivered(&mut hold, &at(&[0, 1, 2, 11, 12]), &[]), [0, 3]);
        assert_eq!((hold.held(), hold.suppressed()), (0, 3));
    }

    #[test]
    fn the_event_that_reaches_max_until_flushed_takes_the_held_ones_along() {
        let mut hold = hold(limit().max_until_flushed(2));
        assert_eq!(delivered(&mut hold, &at(&[0; 6]), &[]), [0, 1, 2, 3, 4]);
        assert_eq!(hold.held(), 1);
    }

    #[test]
    fn from_max_until_discarded_on_events_are_dropped_for_the_period() {
        let mut hold = hold(limit().max_until_discarded(3));
        assert_eq!(delivered(&mut hold, &at(&[0; 6]), &[]), [0]);
        assert_eq!((hold.held(), hold.suppressed()), (2, 3));
        let mut hold = self::hold(limit().max_until_discarded(3));
        assert_eq!(delivered(&mut hold, &at(&[0, 0, 0, 0, 0, 0, 11]), &[]), [0, 1, 2, 6]);
    }

    #[test]
    fn a_clock_that_is_set_far_back_ends_the_period() {
        let mut hold = hold(limit());
        assert_eq!(delivered(&mut hold, &at(&[100, 95, 50, 55]), &[]), [0, 1, 2]);
        assert_eq!(hold.held(), 1);
    }

    #[test]
    fn no_limit_holds_more_than_the_greatest_number() {
        let mut hold = hold(limit());
        let events = at(&vec![0; HELD_MAX + 10]);
        assert_eq!(delivered(&mut hold, &events, &[]).len(), HELD_MAX + 1);
        assert_eq!(hold.held(), 9);
    }

    #[derive(Clone, Debug)]
    enum Kind {
        Buffer {
            max_events: usize,
        },
        Limit {
            accumulate: bool,
            max_until_flushed: Option<usize>,
            max_until_discarded: Option<usize>,
        },
    }

    impl Kind {
        fn hold(&self) -> Hold {
            match *self {
                Kind::Buffer { max_events } => hold(Buffer::new(["x"]).max_events(max_events)),
                Kind::Limit { accumulate, max_until_flushed, max_until_discarded } => {
                    let mut limit = limit().accumulate(accumulate);
                    if let Some(events) = max_until_flushed {
                        limit = limit.max_until_flushed(events);
                    }
                    if let Some(events) = max_until_discarded {
                        limit = limit.max_until_discarded(events);
                    }
                    hold(limit)
                }
            }
        }

        /// The same, told event by event in the plainest way.
        fn naive(&self, events: &[Told], releases: &[usize]) -> Vec<usize> {
            let (mut out, mut held, mut begun) = (Vec::new(), Vec::new(), None);
            for (number, event) in events.iter().enumerate() {
                if releases.contains(&number) {
                    out.append(&mut held);
                }
                let passes = match self {
                    Kind::Buffer { .. } => event.is_trigger,
                    Kind::Limit { accumulate, max_until_flushed, max_until_discarded } => {
                        let is_over = begun
                            .is_none_or(|begun: i64| (event.time_ns - begun).abs() >= PERIOD_NS);
                        let reaches =
                            |max: &Option<usize>| max.is_some_and(|max| held.len() + 1 >= max);
                        let discards = reaches(max_until_discarded);
                        let passes =
                            is_over || *accumulate && reaches(max_until_flushed) && !discards;
                        if passes {
                            begun = Some(event.time_ns);
                        } else if !accumulate || discards {
                            continue;
                        }
                        passes
                    }
                };
                held.push(number);
                if let Kind::Buffer { max_events } = self
                    && !passes
                    && held.len() > *max_events
                {
                    held.remove(0);
                }
                if passes {
                    out.append(&mut held);
                }
            }
            out
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let max = || prop::option::of(1_usize..5);
        prop_oneof![
            (1_usize..6).prop_map(|max_events| Kind::Buffer { max_events }),
            (any::<bool>(), max(), max()).prop_map(|(accumulate, flushed, discarded)| {
                Kind::Limit {
                    accumulate,
                    max_until_flushed: flushed,
                    max_until_discarded: discarded,
                }
            }),
        ]
    }

    fn events() -> impl Strategy<Value = Vec<Told>> {
        let event = (-2_i64..6, prop::bool::weighted(0.15));
        prop::collection::vec(event, 0..60).prop_map(|steps| {
            let mut time_ns = 1000;
            let told = |(step, is_trigger)| {
                time_ns += step;
                Told { time_ns, is_trigger }
            };
            steps.into_iter().map(told).collect()
        })
    }

    proptest! {
        #[test]
        fn what_passes_is_what_the_plainest_account_says(
            kind in kind(),
            events in events(),
            releases in prop::collection::vec(0_usize..60, 0..3),
        ) {
            let passed = delivered(&mut kind.hold(), &events, &releases);
            prop_assert_eq!(passed, kind.naive(&events, &releases));
        }

        /// The process is killed after any number of deliveries and started again, as often as `kills`
        /// says: from the settled position, with the period of the last checkpoint.
        #[test]
        fn a_restart_decides_as_the_process_before_it_would_have(
            kind in kind(),
            events in events(),
            releases in prop::collection::vec(0_usize..60, 0..2),
            kills in prop::collection::vec(0_usize..25, 0..4),
        ) {
            let expected = kind.naive(&events, &releases);
            let mut kills = kills.into_iter();
            let (mut out, mut settled) = (Vec::new(), 0);
            let (mut base, mut begun, mut released_to) = (0, None, None);
            'life: loop {
                let mut left = kills.next().unwrap_or(usize::MAX);
                let mut hold = kind.hold();
                let from = if hold.is_persistent() { base } else { settled };
                hold.resume(place(settled), begun.filter(|_| hold.is_persistent()));
                for (number, event) in events.iter().enumerate().skip(from) {
                    // A release is stored before it is done; a stored one is done again.
                    if releases.contains(&number) && number >= settled || released_to == Some(number) {
                        released_to = Some(number);
                        hold.release();
                    }
                    hold.take(Waiting { at: place(number), times: 1 }, event.time_ns, event.is_trigger);
                    let ready: Vec<_> = hold.ready.iter().map(|event| event.at).collect();
                    for at in ready {
                        if left == 0 {
                            continue 'life;
                        }
                        left -= 1;
                        prop_assert_eq!(hold.times(at), 1);
                        out.push(at.offset as usize);
                        settled = at.offset as usize + 1;
                    }
                    let frontier = hold.first_held().map_or(number + 1, |at| at.offset as usize);
                    settled = settled.max(frontier);
                    hold.settle(place(settled));
                    // Killed between what is settled and its checkpoint.
                    if left == 0 {
                        continue 'life;
                    }
                    if settled == frontier {
                        (base, begun) = (settled, hold.period_start_ns());
                    }
                }
                break;
            }
            prop_assert_eq!(out, expected);
        }
    }
}
