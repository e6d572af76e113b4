//! How grave an event is, and from which level on events are taken.

mod colour;
mod custom;
mod filter;
mod levels;
pub(crate) mod live;

use std::fmt;
use std::str::FromStr;

pub use colour::{Colour, UnknownColour};
pub use custom::{LevelError, NAME_BYTES_MAX};
pub(crate) use custom::{filter_one_slip_off, nearest_filter};
pub use filter::LevelFilter;
pub use levels::Levels;

pub use crate::category::{CATEGORIES_MAX, TooManyCategories};
use crate::nearest::nearest;

/// The severity of an event, as a number that grows with gravity.
///
/// The numbers are those of OpenTelemetry (1 to 24), so levels between the named ones have room:
/// a record, a block and a master keep any number from 1 to 24. [`Level::register`] names one of
/// them.
///
/// # Examples
/// ```
/// use rollway::Level;
///
/// assert!(Level::ERROR > Level::INFO);
/// assert_eq!("warn".parse(), Ok(Level::WARN));
/// assert_eq!(Level::FATAL.to_string(), "FATAL");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Step-by-step detail, for reading while developing.
    pub const TRACE: Level = Level(1);
    /// What helps to find a fault.
    pub const DEBUG: Level = Level(5);
    /// What an operator wants to know about a healthy service.
    pub const INFO: Level = Level(9);
    /// Unexpected, but handled.
    pub const WARN: Level = Level(13);
    /// An operation failed.
    pub const ERROR: Level = Level(17);
    /// The service cannot go on.
    pub const FATAL: Level = Level(21);

    /// The named levels, from the least to the most grave.
    pub const ALL: [Level; 6] =
        [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR, Level::FATAL];

    /// The level with this OpenTelemetry number, 1 to 24; `None` outside that range.
    pub const fn from_number(number: u8) -> Option<Level> {
        match number {
            1..=24 => Some(Level(number)),
            _ => None,
        }
    }

    /// The OpenTelemetry number, 1 to 24.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The upper-case name. A level between two names that the process has not [named] carries the
    /// lower one.
    ///
    /// [named]: Level::register
    #[inline]
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "TRACE",
            5 => "DEBUG",
            9 => "INFO",
            13 => "WARN",
            17 => "ERROR",
            21 => "FATAL",
            _ => self.name_between(),
        }
    }

    #[cold]
    fn name_between(self) -> &'static str {
        custom::of_number(self.0).map_or_else(|| self.built_in().name(), |custom| &custom.name)
    }

    /// The colour that people expect of it: what it was [named](Level::register) with; blue, cyan,
    /// green, yellow, red and magenta from TRACE to FATAL. A level between two names has that of
    /// the lower.
    pub fn colour(self) -> Colour {
        if let Some(custom) = custom::of_number(self.0) {
            return custom.colour;
        }
        match self.built_in() {
            Level::TRACE => Colour::Blue,
            Level::DEBUG => Colour::Cyan,
            Level::INFO => Colour::Green,
            Level::WARN => Colour::Yellow,
            Level::ERROR => Colour::Red,
            _ => Colour::Magenta,
        }
    }

    /// Whether its number has a name of its own.
    fn is_named(self) -> bool {
        Level::ALL.contains(&self) || custom::of_number(self.0).is_some()
    }

    /// The greatest built-in level that is not above it.
    fn built_in(self) -> Level {
        Level::ALL.into_iter().rfind(|level| *level <= self).unwrap_or(Level::TRACE)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Level, UnknownLevel> {
        let custom = custom::all().map(|(level, _)| level);
        let mut levels = Level::ALL.into_iter().chain(custom);
        levels
            .find(|level| level.name().eq_ignore_ascii_case(text))
            .or((text.eq_ignore_ascii_case("warning")).then_some(Level::WARN))
            .ok_or_else(|| UnknownLevel { found: text.to_owned() })
    }
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel {
    /// The word as it was given.
    pub found: String,
}

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<&str> = custom::known_words().collect();
        let hint = nearest(&self.found, words.iter().copied())
            .map(|near| format!(" (did you mean `{near}`?)"))
            .unwrap_or_default();
        let last = words.pop().unwrap_or_default();
        let words = words.join(", ");
        write!(f, "unknown level `{}`{hint}: use {words} or {last}", self.found.escape_debug())
    }
}

impl std::error::Error for UnknownLevel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_found_by_its_name_in_any_case() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(level.name().to_lowercase().parse(), Ok(level));
        }
        assert_eq!("Warning".parse(), Ok(Level::WARN));
    }

    #[test]
    fn an_unknown_level_is_named_in_the_error() {
        let error = "loud".parse::<Level>().unwrap_err();
        assert!(error.to_string().starts_with("unknown level `loud`: use trace, debug"), "{error}");
        let error = "wran".parse::<Level>().unwrap_err();
        assert!(error.to_string().contains("did you mean `warn`?"), "{error}");
    }

    #[test]
    fn a_number_between_two_names_keeps_its_rank_and_the_lower_name() {
        // No other test of this process gives it a name.
        let unnamed = Level::from_number(15).unwrap();
        assert!(unnamed > Level::WARN && unnamed < Level::ERROR);
        assert_eq!((unnamed.name(), unnamed.colour()), ("WARN", Colour::Yellow));
        assert_eq!(Level::from_number(0), None);
        assert_eq!(Level::from_number(25), None);
    }
}
