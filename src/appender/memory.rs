//! Events in memory, for tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bookmark::{Bookmark, Take, marked};
use super::recorded::Recorded;
use super::{AppendError, Batch, Open, OpenError, Opened, Place};
use crate::layout::{Layout, Pattern};

/// The default of [`Memory::events_max`].
const EVENTS_MAX: usize = 65_536;

/// Records events in memory: what was logged, for a test to look at.
///
/// A clone is another handle of the same record. Beyond [`Memory::events_max`] the oldest go, and
/// are counted. What it has is gone with the process.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rollway::appender::Memory;
///
/// let memory = Memory::new();
/// let guard = rollway::builder().appender("memory", memory.clone()).start()?;
/// rollway::warn!(logger: guard.logger(), till = 7; "{} apples left", 3);
///
/// assert!(memory.wait_for(1, Duration::from_secs(5)));
/// let event = memory.replay().remove(0);
/// assert_eq!((event.level, &*event.message), (rollway::Level::WARN, "3 apples left"));
/// assert_eq!(event.pair("till"), Some("7"));
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Memory {
    record: Arc<Record>,
    layout: Box<dyn Layout>,
    is_mandatory: bool,
}

#[derive(Default)]
struct Record {
    state: Mutex<State>,
    grown: Condvar,
}

struct State {
    events: VecDeque<Recorded>,
    events_max: usize,
    /// Since the last reset, those that are gone included.
    recorded: u64,
    dropped: u64,
}

impl Memory {
    /// Has nothing yet.
    pub fn new() -> Memory {
        let layout = Box::new(Pattern::simple());
        Memory { record: Arc::default(), layout, is_mandatory: true }
    }

    /// How events become [`Recorded::text`]; by default [`Pattern::simple`].
    #[must_use]
    pub fn layout(mut self, layout: impl Layout + 'static) -> Memory {
        self.layout = Box::new(layout);
        self
    }

    /// How events become text, chosen at run time.
    #[must_use]
    pub fn boxed_layout(mut self, layout: Box<dyn Layout>) -> Memory {
        self.layout = layout;
        self
    }

    /// How many events it keeps, by default 65,536: the last ones. Those that go are counted by
    /// [`Memory::dropped`]. Holds for all handles.
    #[must_use]
    pub fn events_max(self, events: usize) -> Memory {
        {
            let mut state = self.record.state();
            state.events_max = events;
            state.make_room(0);
        }
        self
    }

    /// Whether the journal keeps what it has not recorded yet; by default it does.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Memory {
        self.is_mandatory = mandatory;
        self
    }

    /// The recorded events, in delivery order. They stay recorded.
    pub fn replay(&self) -> Vec<Recorded> {
        self.record.state().events.iter().cloned().collect()
    }

    /// Their messages.
    pub fn messages(&self) -> Vec<String> {
        self.record.state().events.iter().map(|event| event.message.clone()).collect()
    }

    /// All that the layout made of them, one behind the other.
    pub fn text(&self) -> String {
        self.record.state().events.iter().map(|event| &*event.text).collect()
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.record.state().events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many events went to make room, since the last reset.
    pub fn dropped(&self) -> u64 {
        self.record.state().dropped
    }

    /// Forgets everything, the counts included.
    pub fn reset(&self) {
        let mut state = self.record.state();
        state.events.clear();
        (state.recorded, state.dropped) = (0, 0);
    }

    /// Waits until `events` events were recorded since the last reset, those that went to make room
    /// included; for `patience` at most. Returns whether they were.
    pub fn wait_for(&self, events: u64, patience: Duration) -> bool {
        let mut state = self.record.state();
        let deadline = Instant::now() + patience;
        while state.recorded < events {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.record.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.record.state();
        f.debug_struct("Memory")
            .field("events", &state.events)
            .field("dropped", &state.dropped)
            .finish_non_exhaustive()
    }
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for State {
    fn default() -> State {
        State { events: VecDeque::new(), events_max: EVENTS_MAX, recorded: 0, dropped: 0 }
    }
}

impl State {
    /// Lets the oldest go until `events` more have room.
    fn make_room(&mut self, events: usize) {
        while self.events.len() + events > self.events_max && self.events.pop_front().is_some() {
            self.dropped += 1;
        }
    }

    fn push(&mut self, event: Recorded) {
        self.recorded += 1;
        if self.events_max == 0 {
            self.dropped += 1;
            return;
        }
        self.make_room(1);
        self.events.push_back(event);
    }
}

impl Open for Memory {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let (record, layout) = (Arc::clone(&self.record), place.layout(&*self.layout));
        marked(Recorder { record, layout }, place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn takes_chunks(&self) -> bool {
        true
    }
}

/// The appender behind [`Memory`].
struct Recorder {
    record: Arc<Record>,
    layout: Box<dyn Layout>,
}

impl Take for Recorder {
    fn take(&mut self, batch: &Batch<'_>, _bookmark: &mut Bookmark) -> Result<(), AppendError> {
        batch.for_each(|event| {
            // Rendered before the lock, which tests hold while they look.
            let recorded = Recorded::of(event, &mut *self.layout);
            self.record.state().push(recorded);
        });
        self.record.grown.notify_all();
        Ok(())
    }
}
