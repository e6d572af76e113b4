//! What stands before one appender or composite.

use std::sync::Arc;

use super::filter::{Chain, Filter};
use crate::event::Event;
use crate::level::LevelFilter;
use crate::mask::Mask;
use crate::warp::{Warp, WarpError};

/// What stands before one appender: a threshold, behind it filters, behind them a mask and a warp.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::route::Gate;
/// use rollway::route::filter::Text;
///
/// let gate = Gate::new().threshold(Level::WARN).filter(Text::new(["heartbeat"]).reject());
/// assert!(!gate.is_open());
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    threshold: LevelFilter,
    filters: Chain,
    shown: Shown,
}

/// How an appender sees an event that it gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// That of all appenders.
    common_mask: Mask,
    mask: Mask,
    warp: Option<Warp>,
}

impl Gate {
    /// Everything passes, as it was logged.
    pub fn new() -> Gate {
        Gate { threshold: LevelFilter::ALL, filters: Chain::new(), shown: Shown::default() }
    }

    /// Only events of this level and above pass. A second threshold replaces the first.
    #[must_use]
    pub fn threshold(mut self, level: impl Into<LevelFilter>) -> Gate {
        self.threshold = level.into();
        self
    }

    /// Adds a filter behind those that are there: see [`Chain`].
    #[must_use]
    pub fn filter(mut self, filter: impl Filter + 'static) -> Gate {
        self.filters.push(Arc::new(filter));
        self
    }

    /// Hides values by their keys from the appender; its filters still see them. A second mask replaces
    /// the first.
    #[must_use]
    pub fn mask(mut self, mask: Mask) -> Gate {
        self.shown.mask = mask;
        self
    }

    /// Changes the messages that the appender sees, behind the mask. A second warp replaces the first.
    #[must_use]
    pub fn warp(mut self, warp: Warp) -> Gate {
        self.shown.warp = Some(warp);
        self
    }

    /// Whether everything passes.
    pub fn is_open(&self) -> bool {
        self.threshold == LevelFilter::ALL && self.filters.is_empty()
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Event<'_>) -> bool {
        self.threshold.allows(event.level) && self.filters.passes(event)
    }

    /// Whether an appender behind it sees events as they were logged.
    pub(crate) fn shows_all(&self) -> bool {
        self.shown_behind(&Mask::new()).is_none()
    }

    /// How an appender behind it and a mask sees events; `None` where as they were logged.
    pub(crate) fn shown_behind(&self, mask: &Mask) -> Option<Shown> {
        let Shown { mask: own, warp, .. } = &self.shown;
        let is_all = mask.is_empty() && own.is_empty() && warp.is_none();
        (!is_all).then(|| Shown { common_mask: mask.clone(), ..self.shown.clone() })
    }

    /// Checks that its warp suits appender `name`.
    ///
    /// # Errors
    /// [`WarpError`].
    pub(crate) fn check_warp(&self, name: &str, takes_chunks: bool) -> Result<(), WarpError> {
        let warp = self.shown.warp.as_ref();
        warp.map_or(Ok(()), |warp| warp.check(&format!("appender `{name}`"), takes_chunks))
    }
}

impl Shown {
    /// Calls `each` with the event as the appender is to see it.
    pub(crate) fn with<R>(&self, event: &Event<'_>, each: impl FnOnce(&Event<'_>) -> R) -> R {
        let warped = |event: &Event<'_>| match &self.warp {
            Some(warp) => warp.with(event, each),
            None => each(event),
        };
        let masked = |event: &Event<'_>| match self.mask.is_empty() {
            true => warped(event),
            false => self.mask.with(event, warped),
        };
        match self.common_mask.is_empty() {
            true => masked(event),
            false => self.common_mask.with(event, masked),
        }
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::level::Level;
    use crate::route::filter::from_fn;
    use crate::template::Chunk;
    use crate::value::Kind;

    #[test]
    fn the_threshold_comes_before_the_filters() {
        let gate = Gate::new().threshold(Level::WARN);
        let gate = gate.filter(from_fn(|_| unreachable!("asked for an event below")));
        assert!(!gate.passes(&Fixture::saying("x").event()));
        assert!(Gate::new().is_open() && Gate::new().passes(&Fixture::saying("x").event()));
    }

    #[test]
    fn the_mask_comes_before_the_warp() {
        let shout = Warp::function("shout", |chunks| {
            let all = chunks.iter().map(|chunk| {
                let mut text = String::new();
                chunk.push_to(&mut text);
                Chunk::from(text.to_uppercase())
            });
            *chunks = all.collect();
        });
        let gate = Gate::new().mask(Mask::new().key("pin")).warp(shout);
        let mut fixture = Fixture::saying("hello").with("pin", Kind::STR, b"1234");
        let shown = gate.shown_behind(&Mask::new().key("other")).unwrap();
        let (message, pins) = shown.with(&fixture.event(), |event| {
            let mut message = String::new();
            event.message(&mut message);
            (message, event.pairs().map(|(_, pin)| format!("{pin:?}")).collect::<String>())
        });
        assert_eq!(message, "HELLO");
        assert!(pins.contains("[masked]") && !pins.contains("1234"), "{pins}");
        assert!(Gate::new().shows_all() && !gate.shows_all());
    }
}
