//! A composite that keeps the last events until something happens.

use std::sync::Arc;

use super::{Composite, CompositeError, HELD_MAX, Kind, composite};
use crate::event::Event;
use crate::level::LevelFilter;
use crate::route::gate::Gate;

/// Holds events back, and hands them to its relays when one of them triggers it: what led to an error
/// is in the log, and what led to nothing is not.
///
/// It holds the last `max_events`; older ones fall out and are counted as suppressed. An event that
/// triggers is handed on behind those that were held. What is held when the engine ends is handed on,
/// too, unless [`Buffer::flush_at_shutdown`] says otherwise, and on demand:
/// [`Logger::release`](crate::Logger::release). Each relay has its own buffer, and what a relay's
/// own threshold or filter refuses is not in it and triggers nothing.
///
/// # Examples
/// ```no_run
/// use rollway::Level;
/// use rollway::appender::File;
/// use rollway::route::composite::Buffer;
///
/// let _guard = rollway::builder()
///     .level(Level::DEBUG)
///     .appender("file", File::new("app.log"))
///     .composite("buffer", Buffer::new(["file"]).max_events(100).trigger_level(Level::ERROR))
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Buffer {
    relays: Vec<Box<str>>,
    gate: Gate,
    rule: Rule,
}

/// When a buffer hands on what it holds.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(super) max_events: usize,
    trigger_level: LevelFilter,
    trigger: Option<Arc<Trigger>>,
    pub(super) flush_at_shutdown: bool,
}

/// Says of an event whether it triggers.
type Trigger = dyn Fn(&Event<'_>) -> bool + Send + Sync;

impl Buffer {
    /// Holds events of these appenders and composites, [`HELD_MAX`] at the most, until the end.
    pub fn new(relays: impl IntoIterator<Item = impl Into<Box<str>>>) -> Buffer {
        Buffer {
            relays: relays.into_iter().map(Into::into).collect(),
            gate: Gate::new(),
            rule: Rule {
                max_events: HELD_MAX,
                trigger_level: LevelFilter::OFF,
                trigger: None,
                flush_at_shutdown: true,
            },
        }
    }

    /// How many events are held: 1 to [`HELD_MAX`], which is the default.
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Buffer {
        self.rule.max_events = events;
        self
    }

    /// An event of this level or above triggers; by default none does.
    #[must_use]
    pub fn trigger_level(mut self, level: impl Into<LevelFilter>) -> Buffer {
        self.rule.trigger_level = level.into();
        self
    }

    /// An event of which this is true triggers, too. It is asked again after a restart, and should
    /// then say the same.
    #[must_use]
    pub fn trigger(
        mut self,
        is_trigger: impl Fn(&Event<'_>) -> bool + Send + Sync + 'static,
    ) -> Buffer {
        self.rule.trigger = Some(Arc::new(is_trigger));
        self
    }

    /// Whether the end of the engine hands on what is held; by default it does. Otherwise what is held
    /// in a journal directory is held again at the next start, and what is held in memory is gone.
    #[must_use]
    pub fn flush_at_shutdown(mut self, flush: bool) -> Buffer {
        self.rule.flush_at_shutdown = flush;
        self
    }
}

composite!(Buffer);

impl From<Buffer> for Composite {
    fn from(buffer: Buffer) -> Composite {
        let composite = Composite::new(buffer.relays, Kind::Buffer(buffer.rule));
        Composite { gate: buffer.gate, ..composite }
    }
}

impl Rule {
    pub(super) fn is_trigger(&self, event: &Event<'_>) -> bool {
        self.trigger_level.allows(event.level)
            || self.trigger.as_ref().is_some_and(|trigger| trigger(event))
    }

    pub(super) fn check(&self, composite: &str) -> Result<(), CompositeError> {
        match self.max_events {
            1..=HELD_MAX => Ok(()),
            events => Err(CompositeError::Invalid {
                composite: composite.to_owned(),
                option: "max_events",
                value: events.to_string(),
                remedy: "1 to 65536",
            }),
        }
    }
}
