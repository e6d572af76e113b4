//! What stands before one appender or composite.

use std::sync::Arc;

use super::filter::{Chain, Filter};
use crate::event::Event;
use crate::level::LevelFilter;
use crate::warp::{Warp, WarpError};

/// What stands before one appender: a threshold, behind it filters, behind them a warp.
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
    warp: Option<Warp>,
}

impl Gate {
    /// Everything passes as it is.
    pub fn new() -> Gate {
        Gate { threshold: LevelFilter::ALL, filters: Chain::new(), warp: None }
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

    /// Decides what becomes of the chunks of a message that has passed: see [`Warp`]. A second warp
    /// replaces the first.
    #[must_use]
    pub fn warp(mut self, warp: Warp) -> Gate {
        self.warp = Some(warp);
        self
    }

    /// Whether everything passes as it is.
    pub fn is_open(&self) -> bool {
        self.threshold == LevelFilter::ALL && self.filters.is_empty() && self.warp.is_none()
    }

    /// Checks that the warp suits the appender behind the gate: see [`Warp::check`].
    pub(crate) fn check(&self, appender: &str, takes_chunks: bool) -> Result<(), WarpError> {
        let Some(warp) = &self.warp else { return Ok(()) };
        warp.check(&format!("appender `{appender}`"), takes_chunks)
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Event<'_>) -> bool {
        self.threshold.allows(event.level) && self.filters.passes(event)
    }

    pub(super) fn as_warp(&self) -> Option<&Warp> {
        self.warp.as_ref()
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

    #[test]
    fn the_threshold_comes_before_the_filters() {
        let gate = Gate::new().threshold(Level::WARN);
        let gate = gate.filter(from_fn(|_| unreachable!("asked for an event below")));
        assert!(!gate.passes(&Fixture::saying("x").event()));
        assert!(Gate::new().is_open() && Gate::new().passes(&Fixture::saying("x").event()));
    }
}
