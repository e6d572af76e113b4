//! A destination with a threshold and filters before it.

use super::{Open, OpenError, Opened, Place};
use crate::level::LevelFilter;
use crate::route::Gate;
use crate::route::filter::Filter;

/// Puts a gate before a destination: only what passes its threshold and its filters gets there.
///
/// # Examples
/// ```no_run
/// use rollway::Level;
/// use rollway::appender::{self, Console, File};
/// use rollway::route::filter::Text;
///
/// let _guard = rollway::builder()
///     .appender("file", File::new("app.log"))
///     .appender(
///         "console",
///         appender::with(Console::stderr())
///             .threshold(Level::WARN)
///             .filter(Text::new(["heartbeat"]).reject()),
///     )
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
pub fn with(appender: impl Open + 'static) -> Gated {
    let gate = appender.gate();
    Gated { appender: Box::new(appender), gate }
}

/// A destination behind a gate: see [`with`].
pub struct Gated {
    appender: Box<dyn Open>,
    gate: Gate,
}

impl Gated {
    /// Takes only events of this level and above.
    #[must_use]
    pub fn threshold(mut self, level: impl Into<LevelFilter>) -> Gated {
        self.gate = self.gate.threshold(level);
        self
    }

    /// Adds a filter behind those that are there.
    #[must_use]
    pub fn filter(mut self, filter: impl Filter + 'static) -> Gated {
        self.gate = self.gate.filter(filter);
        self
    }
}

impl Open for Gated {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        self.appender.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.appender.is_mandatory()
    }

    fn gate(&self) -> Gate {
        self.gate.clone()
    }

    fn ships_blocks(&self) -> bool {
        self.appender.ships_blocks()
    }
}
