//! Filters that look at an event's level.

use super::{Answers, Filter, Verdict, answers};
use crate::event::Event;
use crate::level::Level;

/// Asks whether an event has exactly this level.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::route::filter::LevelMatch;
///
/// let no_warnings = LevelMatch::new(Level::WARN).reject();
/// # let _ = no_warnings;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LevelMatch {
    level: Level,
    answers: Answers,
}

impl LevelMatch {
    /// Accepts this level and no other.
    pub fn new(level: Level) -> LevelMatch {
        LevelMatch { level, answers: Answers::default() }
    }
}

answers!(LevelMatch);

impl Filter for LevelMatch {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.answers.of(event.level == self.level)
    }
}

/// Asks whether an event's level lies between two levels, both included.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::route::filter::LevelRange;
///
/// let chatter = LevelRange::new(Level::TRACE, Level::DEBUG);
/// let alarming = LevelRange::from(Level::ERROR);
/// # let _ = (chatter, alarming);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LevelRange {
    min: Level,
    /// `None` is the gravest there is.
    max: Option<Level>,
    answers: Answers,
}

impl LevelRange {
    /// Accepts levels from `min` to `max`. Where `min` is the graver one, none is in between.
    pub fn new(min: Level, max: Level) -> LevelRange {
        LevelRange { min, max: Some(max), answers: Answers::default() }
    }
}

impl From<Level> for LevelRange {
    /// Accepts this level and all graver ones.
    fn from(min: Level) -> LevelRange {
        LevelRange { min, max: None, answers: Answers::default() }
    }
}

answers!(LevelRange);

impl Filter for LevelRange {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        let is_below = self.max.is_none_or(|max| event.level <= max);
        self.answers.of(event.level >= self.min && is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;

    /// The levels that a filter accepts.
    fn accepted(filter: &dyn Filter) -> Vec<Level> {
        let mut fixture = Fixture::saying("x");
        let mut accepts = |level: &Level| {
            fixture.level = *level;
            filter.judge(&fixture.event()) == Verdict::Accept
        };
        Level::ALL.into_iter().filter(&mut accepts).collect()
    }

    #[test]
    fn a_range_takes_both_of_its_ends() {
        let range = LevelRange::new(Level::TRACE, Level::DEBUG);
        assert_eq!(accepted(&range), [Level::TRACE, Level::DEBUG]);
        assert_eq!(accepted(&LevelRange::from(Level::ERROR)), [Level::ERROR, Level::FATAL]);
        assert_eq!(accepted(&LevelRange::new(Level::ERROR, Level::INFO)), []);
        assert_eq!(accepted(&range.reject()), Level::ALL[2..]);
    }

    #[test]
    fn a_level_matches_itself_alone() {
        let warn = LevelMatch::new(Level::WARN);
        assert_eq!(accepted(&warn), [Level::WARN]);
        assert_eq!(accepted(&warn.reject()).len(), 5);
        assert_eq!(accepted(&warn.on_match(Verdict::Neutral)), []);
    }
}
