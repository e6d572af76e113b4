//! How grave an event is.

use std::fmt;
use std::str::FromStr;

/// The severity of an event, as a number that grows with gravity.
///
/// The numbers are those of OpenTelemetry (1 to 24), so levels between the named ones have room:
/// a record, a block and a master keep any number from 1 to 24.
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

    /// The upper-case name; a level between two names carries the lower one.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            _ => "FATAL",
        }
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
        let level = Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(text));
        level
            .or((text.eq_ignore_ascii_case("warning")).then_some(Level::WARN))
            .ok_or_else(|| UnknownLevel { found: text.to_owned() })
    }
}

/// From which level on events pass; or none at all.
///
/// # Examples
/// ```
/// use rollway::{Level, LevelFilter};
///
/// assert!(LevelFilter::from(Level::INFO).allows(Level::WARN));
/// assert!(!LevelFilter::OFF.allows(Level::FATAL));
/// assert_eq!("off".parse(), Ok(LevelFilter::OFF));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LevelFilter(u8);

impl LevelFilter {
    /// Every event passes.
    pub const ALL: LevelFilter = LevelFilter(0);
    /// No event passes.
    pub const OFF: LevelFilter = LevelFilter(u8::MAX);

    /// Whether an event of `level` passes.
    pub const fn allows(self, level: Level) -> bool {
        level.0 >= self.0
    }

    /// The lowest number that passes; 255 for [`LevelFilter::OFF`].
    pub(crate) const fn lowest_number(self) -> u8 {
        self.0
    }

    /// The filter whose [`lowest_number`](Self::lowest_number) is `number`.
    pub(crate) const fn from_lowest_number(number: u8) -> LevelFilter {
        LevelFilter(number)
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> LevelFilter {
        LevelFilter(level.0)
    }
}

impl fmt::Display for LevelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("ALL"),
            1..=24 => f.pad(Level(self.0).name()),
            _ => f.pad("OFF"),
        }
    }
}

impl fmt::Debug for LevelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LevelFilter {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<LevelFilter, UnknownLevel> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(LevelFilter::OFF);
        }
        if text.eq_ignore_ascii_case("all") {
            return Ok(LevelFilter::ALL);
        }
        text.parse::<Level>().map(LevelFilter::from)
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
        write!(
            f,
            "unknown level `{}`: use trace, debug, info, warn, error or fatal",
            self.found.escape_debug()
        )
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
        assert!(error.to_string().contains("`loud`"), "{error}");
    }

    #[test]
    fn a_number_between_two_names_keeps_its_rank_and_the_lower_name() {
        let notice = Level::from_number(10).unwrap();
        assert!(notice > Level::INFO && notice < Level::WARN);
        assert_eq!(notice.name(), "INFO");
        assert_eq!(Level::from_number(0), None);
        assert_eq!(Level::from_number(25), None);
    }
}
