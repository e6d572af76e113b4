//! A composite that does nothing but filter.

use super::{Composite, Kind, composite};
use crate::route::gate::Gate;

/// Hands its relays the events that pass its threshold and its filters.
///
/// # Examples
/// ```no_run
/// use rollway::Level;
/// use rollway::appender::File;
/// use rollway::route::composite::Filtered;
/// use rollway::route::filter::{Category, LevelRange, Verdict};
///
/// let _guard = rollway::builder()
///     .appender("errors", File::new("errors.log"))
///     .appender("chatter", File::new("chatter.log"))
///     .composite("only_errors", Filtered::new(["errors"]).threshold(Level::ERROR))
///     .composite(
///         "no_errors",
///         Filtered::new(["chatter"])
///             .filter(LevelRange::new(Level::TRACE, Level::WARN).on_match(Verdict::Neutral))
///             .filter(Category::below(["hyper"]).reject()),
///     )
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
///
/// Of several filters the first one decides that is not neutral: the range of the example rejects what
/// lies outside of it and leaves all else to the category.
#[derive(Clone, Debug)]
pub struct Filtered {
    relays: Vec<Box<str>>,
    gate: Gate,
}

impl Filtered {
    /// Hands everything to these appenders and composites.
    pub fn new(relays: impl IntoIterator<Item = impl Into<Box<str>>>) -> Filtered {
        Filtered { relays: relays.into_iter().map(Into::into).collect(), gate: Gate::new() }
    }
}

composite!(Filtered);

impl From<Filtered> for Composite {
    fn from(filtered: Filtered) -> Composite {
        let composite = Composite::new(filtered.relays, Kind::Filtered);
        Composite { gate: filtered.gate, ..composite }
    }
}
