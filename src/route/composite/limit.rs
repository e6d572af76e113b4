//! A composite that lets one event through per period.

use std::time::Duration;

use super::{Composite, CompositeError, HELD_MAX, Kind, composite};
use crate::route::gate::Gate;

/// Lets an event through and holds back those of the following period. The first event behind the
/// period brings those that were held with it, in front of itself, and begins the next one.
///
/// Time is that of the log calls: nothing is handed on before the next event comes. A clock that is
/// set back by less than a period prolongs it, one that is set back further ends it. Each relay has a
/// limit of its own, and what a relay's own threshold or filter refuses does not count.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use rollway::appender::Console;
/// use rollway::route::composite::Limit;
///
/// // At most one line per minute; the others are dropped and counted.
/// let _guard = rollway::builder()
///     .appender("console", Console::stderr())
///     .composite(
///         "calm",
///         Limit::new(["console"]).period(Duration::from_secs(60)).accumulate(false),
///     )
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Limit {
    relays: Vec<Box<str>>,
    gate: Gate,
    rule: Rule,
}

/// How a limit decides.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(super) period: Duration,
    pub(super) accumulate: bool,
    pub(super) max_until_flushed: usize,
    pub(super) max_until_discarded: Option<usize>,
    pub(super) persistent: bool,
}

impl Limit {
    /// One event per hour for these appenders and composites; the others are held.
    pub fn new(relays: impl IntoIterator<Item = impl Into<Box<str>>>) -> Limit {
        Limit {
            relays: relays.into_iter().map(Into::into).collect(),
            gate: Gate::new(),
            rule: Rule {
                period: Duration::from_secs(3600),
                accumulate: true,
                max_until_flushed: HELD_MAX,
                max_until_discarded: None,
                persistent: true,
            },
        }
    }

    /// How long it holds events back behind one that went through; by default an hour.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Limit {
        self.rule.period = period;
        self
    }

    /// Whether events within the period are held, as they are by default, or dropped and counted as
    /// suppressed.
    #[must_use]
    pub fn accumulate(mut self, accumulate: bool) -> Limit {
        self.rule.accumulate = accumulate;
        self
    }

    /// The event that makes it so many, with those that are held, goes through with them and begins
    /// a new period: 1 to [`HELD_MAX`], which is the default.
    #[must_use]
    pub fn max_until_flushed(mut self, events: usize) -> Limit {
        self.rule.max_until_flushed = events;
        self
    }

    /// The event that makes it so many, with those that are held, is dropped and counted as
    /// suppressed, and so are all behind it until the period is over: 1 to [`HELD_MAX`]. By default
    /// none is.
    #[must_use]
    pub fn max_until_discarded(mut self, events: usize) -> Limit {
        self.rule.max_until_discarded = Some(events);
        self
    }

    /// Whether a restart goes on with the period and with what is held, as it does by default where the
    /// journal has a directory. Otherwise the end of the engine hands on what is held, and its start
    /// begins anew. A kill loses nothing in either case.
    #[must_use]
    pub fn persistent(mut self, persistent: bool) -> Limit {
        self.rule.persistent = persistent;
        self
    }
}

composite!(Limit);

impl From<Limit> for Composite {
    fn from(limit: Limit) -> Composite {
        let composite = Composite::new(limit.relays, Kind::Limit(limit.rule));
        Composite { gate: limit.gate, ..composite }
    }
}

impl Rule {
    pub(super) fn check(&self, composite: &str) -> Result<(), CompositeError> {
        let bounds = [
            ("max_until_flushed", self.max_until_flushed),
            ("max_until_discarded", self.max_until_discarded.unwrap_or(1)),
        ];
        match bounds.into_iter().find(|(_, events)| !(1..=HELD_MAX).contains(events)) {
            None => Ok(()),
            Some((option, events)) => Err(CompositeError::Invalid {
                composite: composite.to_owned(),
                option,
                value: events.to_string(),
                remedy: "1 to 65536",
            }),
        }
    }
}
