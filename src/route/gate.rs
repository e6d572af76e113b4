//! What stands before one appender or composite.

use std::sync::Arc;

use super::filter::{Chain, Filter};
use crate::event::Event;
use crate::level::LevelFilter;

/// What stands before one appender: a threshold, behind it filters.
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
}

impl Gate {
    /// Everything passes.
    pub fn new() -> Gate {
        Gate { threshold: LevelFilter::ALL, filters: Chain::new() }
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

    /// Whether everything passes.
    pub fn is_open(&self) -> bool {
        self.threshold == LevelFilter::ALL && self.filters.is_empty()
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &Event<'_>) -> bool {
        self.threshold.allows(event.level) && self.filters.passes(event)
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
