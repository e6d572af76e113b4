//! From which level on events pass.

use std::fmt;
use std::str::FromStr;

use super::{Level, UnknownLevel};

/// From which level on events pass; or none at all.
///
/// In words it is the name of a level, `all` or `off`, in any case.
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
    #[inline]
    pub const fn allows(self, level: Level) -> bool {
        level.number() >= self.0
    }

    /// The one of the two that lets fewer events pass.
    ///
    /// # Examples
    /// ```
    /// use rollway::{Level, LevelFilter};
    ///
    /// let stricter = LevelFilter::from(Level::INFO).stricter(Level::WARN.into());
    /// assert_eq!(stricter, Level::WARN.into());
    /// ```
    pub const fn stricter(self, other: LevelFilter) -> LevelFilter {
        if other.0 > self.0 { other } else { self }
    }

    /// The filter `steps` names further down, so that more events pass, or for a negative number
    /// up; at the ends it stays [`ALL`](LevelFilter::ALL) or [`OFF`](LevelFilter::OFF). The levels
    /// that the process has [named](Level::register) are steps, too.
    ///
    /// # Examples
    /// ```
    /// use rollway::{Level, LevelFilter};
    ///
    /// let error = LevelFilter::from(Level::ERROR);
    /// assert_eq!(error.lower_by(1), Level::WARN.into());
    /// assert_eq!(error.lower_by(-2), LevelFilter::OFF);
    /// ```
    pub fn lower_by(self, steps: i32) -> LevelFilter {
        let is_step = |number: u8| Level::from_number(number).is_some_and(Level::is_named);
        let mut ladder: Vec<u8> = (1..=24).filter(|number| is_step(*number)).collect();
        ladder.insert(0, LevelFilter::ALL.0);
        ladder.push(LevelFilter::OFF.0);
        // Between two steps the one below it counts.
        let at = ladder.partition_point(|number| *number <= self.0) - 1;
        let to = at.saturating_add_signed(0isize.saturating_sub(steps as isize));
        LevelFilter(ladder[to.min(ladder.len() - 1)])
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
        LevelFilter(level.number())
    }
}

impl fmt::Display for LevelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, Level::from_number(self.0)) {
            (0, _) => f.pad("ALL"),
            (_, Some(level)) => f.pad(level.name()),
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
        match text {
            _ if text.eq_ignore_ascii_case("off") => Ok(LevelFilter::OFF),
            _ if text.eq_ignore_ascii_case("all") => Ok(LevelFilter::ALL),
            _ => text.parse::<Level>().map(LevelFilter::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_said_in_words_and_read_from_them() {
        for (words, filter) in
            [("OFF", LevelFilter::OFF), ("ALL", LevelFilter::ALL), ("WARN", Level::WARN.into())]
        {
            assert_eq!(filter.to_string(), words);
            assert_eq!(words.to_lowercase().parse(), Ok(filter));
        }
    }

    #[test]
    fn each_level_passes_the_filters_of_itself_and_of_all_below() {
        for (at, level) in Level::ALL.into_iter().enumerate() {
            for (of, filter) in Level::ALL.into_iter().enumerate() {
                assert_eq!(
                    LevelFilter::from(filter).allows(level),
                    of <= at,
                    "{level} at {filter}"
                );
            }
            assert!(LevelFilter::ALL.allows(level) && !LevelFilter::OFF.allows(level));
        }
    }

    #[test]
    fn the_stricter_of_two_filters_lets_fewer_pass() {
        let (info, off) = (LevelFilter::from(Level::INFO), LevelFilter::OFF);
        assert_eq!((info.stricter(off), off.stricter(info)), (off, off));
        assert_eq!(LevelFilter::ALL.stricter(info), info);
    }
}
