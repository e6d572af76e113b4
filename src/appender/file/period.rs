//! The times at which a file is rolled, and how they stand in its name.
//!
//! A period is a minute, an hour, a day, a week, a month or a year of some time zone. It begins and
//! ends at instants, so that a day of 23 or 25 hours is one day. An hour or a minute that the zone
//! has twice, when clocks go back, is two periods of one name.

use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

/// When a file is rolled by time, and how the date stands in the names of rolled files.
///
/// # Examples
/// ```
/// use rollway::appender::file::RollBy;
///
/// let daily = RollBy::parse("yyyy-MM-dd")?.zone("UTC")?;
/// assert!(RollBy::parse("hourly").is_ok());
/// assert!(RollBy::parse("MM-dd").is_err());
/// # Ok::<(), rollway::appender::file::RollByError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RollBy {
    parts: Box<[Part]>,
    unit: Unit,
    zone: TimeZone,
}

/// A piece of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Box<str>),
    Number(Unit),
}

/// From the finest to the coarsest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// The times from `begin_ns` to before `end_ns`, in nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Period {
    pub(super) begin_ns: i64,
    pub(super) end_ns: i64,
}

/// What is wrong with a pattern or a zone of [`RollBy`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RollByError {
    text: String,
    problem: String,
}

/// Words that stand for a unit and a pattern.
const WORDS: [(&str, Unit, &str); 5] = [
    ("minutely", Unit::Minute, "yyyy-MM-dd-HH-mm"),
    ("hourly", Unit::Hour, "yyyy-MM-dd-HH"),
    ("daily", Unit::Day, "yyyy-MM-dd"),
    ("weekly", Unit::Week, "yyyy-MM-dd"),
    ("monthly", Unit::Month, "yyyy-MM"),
];
/// The letters of a pattern, each with its unit.
const LETTERS: [(&str, Unit); 5] = [
    ("yyyy", Unit::Year),
    ("MM", Unit::Month),
    ("dd", Unit::Day),
    ("HH", Unit::Hour),
    ("mm", Unit::Minute),
];
/// A pattern is no longer, in bytes: it becomes part of a file's name.
const PATTERN_BYTES_MAX: usize = 64;

impl RollBy {
    /// Reads `minutely`, `hourly`, `daily`, `weekly`, `monthly`, or a pattern of `yyyy`, `MM`, `dd`,
    /// `HH`, `mm` and other characters, text between single quotes. The finest of the letters says
    /// when a file is rolled; the coarser ones must be there, too.
    ///
    /// A week begins on Monday and has its date. The time zone is that of the system.
    ///
    /// # Errors
    /// [`RollByError`], which says what is wrong and what would do.
    pub fn parse(text: &str) -> Result<RollBy, RollByError> {
        let word = WORDS.iter().find(|(word, ..)| *word == text);
        let parts = parts_of(word.map_or(text, |(_, _, pattern)| pattern))
            .map_err(|problem| RollByError { text: text.to_owned(), problem })?;
        let finest = parts.iter().filter_map(Part::unit).min().unwrap_or(Unit::Year);
        let unit = word.map_or(finest, |(_, unit, _)| *unit);
        Ok(RollBy { parts: parts.into(), unit, zone: TimeZone::system() })
    }

    /// The time zone: `UTC`, `local` for that of the system, or a name such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`RollByError`] when the system does not know it.
    pub fn zone(mut self, name: &str) -> Result<RollBy, RollByError> {
        self.zone = match name.to_ascii_lowercase().as_str() {
            "utc" => TimeZone::UTC,
            "local" => TimeZone::system(),
            _ => TimeZone::get(name).map_err(|error| RollByError {
                text: name.to_owned(),
                problem: format!(
                    "is no time zone of this system ({error}); write UTC, local or a name such as \
                     Europe/Berlin"
                ),
            })?,
        };
        Ok(self)
    }

    /// The period that a time lies in.
    pub(super) fn period_of(&self, time_ns: i64) -> Period {
        let at = Timestamp::from_nanosecond(i128::from(time_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
        // Times at the ends of what jiff has belong to one endless period.
        self.short_period(at)
            .or_else(|| self.long_period(at))
            .unwrap_or(Period { begin_ns: i64::MIN, end_ns: i64::MAX })
    }

    /// Minutes and hours, as long as the clocks of the zone go on.
    fn short_period(&self, at: Timestamp) -> Option<Period> {
        let span: Span = match self.unit {
            Unit::Minute => 1.minute(),
            Unit::Hour => 1.hour(),
            _ => return None,
        };
        let offset = self.zone.to_offset(at);
        let begin = offset.to_timestamp(self.floor(offset.to_datetime(at))).ok()?;
        let mut period =
            Period { begin_ns: ns(begin)?, end_ns: ns(begin.checked_add(span).ok()?)? };
        let next_ns = at.checked_add(1.nanosecond()).ok()?;
        if let Some(change) = self.zone.preceding(next_ns).next() {
            period.begin_ns = period.begin_ns.max(ns(change.timestamp())?);
        }
        if let Some(change) = self.zone.following(at).next() {
            period.end_ns = period.end_ns.min(ns(change.timestamp())?);
        }
        Some(period)
    }

    /// Days and more, from the first instant of one to that of the next.
    fn long_period(&self, at: Timestamp) -> Option<Period> {
        let mut date = self.floor(self.zone.to_datetime(at)).date();
        let mut begin = self.first_instant(date)?;
        loop {
            date = self.next(date)?;
            let end = self.first_instant(date)?;
            // Where clocks go back over midnight, some instants have the date of the day before.
            if at < end {
                return Some(Period { begin_ns: ns(begin)?, end_ns: ns(end)? });
            }
            begin = end;
        }
    }

    fn first_instant(&self, date: Date) -> Option<Timestamp> {
        Some(date.to_zoned(self.zone.clone()).ok()?.timestamp())
    }

    fn next(&self, date: Date) -> Option<Date> {
        let step: Span = match self.unit {
            Unit::Week => 1.week(),
            Unit::Month => 1.month(),
            Unit::Year => 1.year(),
            _ => 1.day(),
        };
        date.checked_add(step).ok()
    }

    /// The begin of the unit that a civil time lies in.
    fn floor(&self, time: DateTime) -> DateTime {
        let date = match self.unit {
            Unit::Year => time.date().first_of_year(),
            Unit::Month => time.date().first_of_month(),
            Unit::Week => {
                let days = i64::from(time.date().weekday().since(Weekday::Monday));
                time.date().checked_sub(days.days()).unwrap_or(time.date())
            }
            _ => time.date(),
        };
        match self.unit {
            Unit::Minute => date.at(time.hour(), time.minute(), 0, 0),
            Unit::Hour => date.at(time.hour(), 0, 0, 0),
            _ => date.at(0, 0, 0, 0),
        }
    }

    /// What the name of a file says that is rolled at the end of a period.
    pub(super) fn stamp_of(&self, period: Period) -> DateTime {
        let begin = Timestamp::from_nanosecond(i128::from(period.begin_ns));
        self.floor(self.zone.to_datetime(begin.unwrap_or(Timestamp::UNIX_EPOCH)))
    }

    /// The period that a name says.
    pub(super) fn period_at(&self, stamp: DateTime) -> Option<Period> {
        Some(self.period_of(ns(self.zone.to_timestamp(stamp).ok()?)?))
    }

    /// Whether the text of every stamp begins with a number.
    pub(super) fn begins_with_number(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Number(_)))
    }

    /// A stamp as text.
    pub(super) fn text_of(&self, stamp: DateTime) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Number(unit) => {
                    let width = unit.digits();
                    text.push_str(&format!("{:0width$}", unit.of(stamp)));
                }
            }
        }
        text
    }

    /// The stamp at the beginning of a text and what comes behind it; `None` where no stamp is.
    pub(super) fn stamp_in<'t>(&self, mut text: &'t str) -> Option<(DateTime, &'t str)> {
        let (mut year, mut month, mut day, mut hour, mut minute) = (1, 1, 1, 0, 0);
        for part in &self.parts {
            match part {
                Part::Text(part) => text = text.strip_prefix(&**part)?,
                Part::Number(unit) => {
                    let (digits, rest) = text.split_at_checked(unit.digits())?;
                    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                        return None;
                    }
                    let number: i16 = digits.parse().ok()?;
                    match unit {
                        Unit::Year => year = number,
                        Unit::Month => month = number as i8,
                        Unit::Day | Unit::Week => day = number as i8,
                        Unit::Hour => hour = number as i8,
                        Unit::Minute => minute = number as i8,
                    }
                    text = rest;
                }
            }
        }
        Some((DateTime::new(year, month, day, hour, minute, 0, 0).ok()?, text))
    }
}

impl Part {
    fn unit(&self) -> Option<Unit> {
        match self {
            Part::Text(_) => None,
            Part::Number(unit) => Some(*unit),
        }
    }
}

impl Unit {
    fn digits(self) -> usize {
        if self == Unit::Year { 4 } else { 2 }
    }

    fn of(self, stamp: DateTime) -> i16 {
        match self {
            Unit::Year => stamp.year(),
            Unit::Month => stamp.month().into(),
            Unit::Day | Unit::Week => stamp.day().into(),
            Unit::Hour => stamp.hour().into(),
            Unit::Minute => stamp.minute().into(),
        }
    }
}

impl fmt::Display for RollByError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.text, self.problem)
    }
}

impl std::error::Error for RollByError {}

fn ns(at: Timestamp) -> Option<i64> {
    i64::try_from(at.as_nanosecond()).ok()
}

/// The parts of a pattern, or what is wrong with it.
fn parts_of(pattern: &str) -> Result<Vec<Part>, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("has more than {PATTERN_BYTES_MAX} bytes; shorten it"));
    }
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let Some((quoted, behind)) = rest[1..].split_once('\'') else {
                return Err("has a quote that is not closed; add another `'`".to_owned());
            };
            // Two quotes are one.
            text.push_str(if quoted.is_empty() { "'" } else { quoted });
            rest = behind;
        } else if first.is_ascii_alphabetic() {
            let run = rest.len() - rest.trim_start_matches(first).len();
            let Some((_, unit)) = LETTERS.iter().find(|(letters, _)| *letters == &rest[..run])
            else {
                return Err(format!(
                    "has `{}`, which is no field of a name; use yyyy, MM, dd, HH and mm, or put text \
                     between single quotes",
                    &rest[..run]
                ));
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            if parts.contains(&Part::Number(*unit)) {
                return Err(format!("has `{}` twice; leave one of them out", &rest[..run]));
            }
            parts.push(Part::Number(*unit));
            rest = &rest[run..];
        } else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    check(&parts)?;
    Ok(parts)
}

fn check(parts: &[Part]) -> Result<(), String> {
    let Some(finest) = parts.iter().filter_map(Part::unit).min() else {
        return Err("says no time; write daily, or a pattern such as yyyy-MM-dd".to_owned());
    };
    let coarser = LETTERS.iter().filter(|(_, unit)| *unit > finest);
    for (letters, unit) in coarser {
        if !parts.contains(&Part::Number(*unit)) {
            return Err(format!("has no `{letters}`, so that names would come again; add it"));
        }
    }
    let has = |bad: char| parts.iter().any(|part| matches!(part, Part::Text(t) if t.contains(bad)));
    if has('/') || has('\0') {
        return Err("has a `/` or a NUL, which no name of a file has; leave it out".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        ns(text.parse().unwrap()).unwrap()
    }

    fn roll_by(text: &str, zone: &str) -> RollBy {
        RollBy::parse(text).unwrap().zone(zone).unwrap()
    }

    /// The names and lengths in seconds of the periods from one time to another.
    fn periods(roll_by: &RollBy, from: &str, to: &str) -> Vec<(String, i64)> {
        let (mut time, end) = (at(from), at(to));
        let mut found = Vec::new();
        while time < end {
            let period = roll_by.period_of(time);
            assert!(period.begin_ns <= time && time < period.end_ns);
            assert_eq!(period, roll_by.period_of(period.begin_ns));
            assert_eq!(period, roll_by.period_of(period.end_ns - 1));
            let seconds = (period.end_ns - period.begin_ns) / 1_000_000_000;
            found.push((roll_by.text_of(roll_by.stamp_of(period)), seconds));
            time = period.end_ns;
        }
        found
    }

    fn expected(of: &[(&str, i64)]) -> Vec<(String, i64)> {
        of.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect()
    }

    #[test]
    fn a_day_lasts_as_long_as_the_clocks_of_the_zone_make_it() {
        let daily = roll_by("daily", "Europe/Berlin");
        let spring = periods(&daily, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        let days = [("2026-03-28", 86_400), ("2026-03-29", 82_800), ("2026-03-30", 86_400)];
        assert_eq!(spring, expected(&days));
        let autumn = periods(&daily, "2026-10-25T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn, expected(&[("2026-10-25", 90_000), ("2026-10-26", 86_400)]));
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_periods_of_one_name() {
        let hourly = roll_by("hourly", "Europe/Berlin");
        let found = periods(&hourly, "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
        let hours = ["01", "02", "02", "03"].map(|hour| (format!("2026-10-25-{hour}"), 3_600));
        assert_eq!(found, hours);
        // Half an hour back: what the clocks show twice is cut at the change.
        let found = periods(
            &roll_by("hourly", "Australia/Lord_Howe"),
            "2026-04-04T13:30:00Z",
            "2026-04-04T16:30:00Z",
        );
        let hours = [("00", 3_600), ("01", 3_600), ("01", 1_800), ("02", 3_600)];
        let hours = hours.map(|(hour, seconds)| (format!("2026-04-05-{hour}"), seconds));
        assert_eq!(found, hours);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_have_their_days() {
        let weeks =
            periods(&roll_by("weekly", "UTC"), "2026-11-21T00:00:00Z", "2026-11-24T00:00:00Z");
        assert_eq!(weeks, expected(&[("2026-11-16", 604_800), ("2026-11-23", 604_800)]));
        let months =
            periods(&roll_by("monthly", "UTC"), "2028-02-10T00:00:00Z", "2028-03-01T00:00:00Z");
        assert_eq!(months, expected(&[("2028-02", 29 * 86_400)]));
        let years =
            periods(&roll_by("'y'yyyy", "UTC"), "2026-02-10T00:00:00Z", "2026-03-01T00:00:00Z");
        assert_eq!(years, expected(&[("y2026", 365 * 86_400)]));
    }

    #[test]
    fn a_stamp_is_read_from_its_own_text_and_from_no_other() {
        let minutely = roll_by("yyyy-MM-dd_HH'h'mm", "UTC");
        let stamp = minutely.stamp_of(minutely.period_of(at("2026-11-21T09:07:59Z")));
        assert_eq!(minutely.text_of(stamp), "2026-11-21_09h07");
        assert_eq!(minutely.stamp_in("2026-11-21_09h07.2"), Some((stamp, ".2")));
        for other in ["2026-11-21_09h7", "2026-13-21_09h07", "2026-11-21_09-07", "+026-11-21_09h07"]
        {
            assert_eq!(minutely.stamp_in(other), None, "{other}");
        }
    }

    #[test]
    fn what_makes_no_name_is_told_with_a_remedy() {
        for (text, told) in [
            ("", "says no time"),
            ("MM-dd", "has no `yyyy`"),
            ("yyyy-dd", "has no `MM`"),
            ("yyyy/MM", "has a `/`"),
            ("yyyy-'x", "quote"),
            ("yyyy-MM-DD", "has `DD`"),
            ("yyyy-yyyy", "twice"),
            ("fortnightly", "has `f`"),
        ] {
            let error = RollBy::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = RollBy::parse("daily").unwrap().zone("Europe/Nowhere").unwrap_err().to_string();
        assert!(error.contains("Europe/Nowhere"), "{error}");
    }
}
