//! Instants as text, rendered anew only when the second changes.
//!
//! Letters are those of Java's SimpleDateFormat, see [`DateFormat::parse`]. Every instant of an
//! `i64` of nanoseconds (years 1677 to 2262) has a text.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::page::Line;

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_MS: i64 = 1_000_000;
/// No letter stands more often than this behind itself.
const REPEATS_MAX: usize = 20;
/// Digits of the finest fraction.
const FRACTION_DIGITS_MAX: usize = 9;
/// Letters of a format, for error texts.
const LETTERS: &str = "G y Y M L d D F E u w W H k K h m s S e a z Z X";

/// Formats that have a name.
const PRESETS: [(&str, &str); 9] = [
    ("RFC3339", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX"),
    ("ISO8601", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
    ("ISO8601_WITH_TZ_OFFSET", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"),
    ("ABSOLUTE", "HH:mm:ss,SSS"),
    ("ABSOLUTETIME", "HH:mm:ss.SSS"),
    ("DATE", "dd MMM yyyy HH:mm:ss,SSS"),
    ("DATETIME", "dd MM yyyy HH:mm:ss.SSS"),
    ("APACHE", "[EEE MMM dd HH:mm:ss yyyy]"),
    ("COMPACT", "yyyyMMddHHmmssSSS"),
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A date format, its time zone, and the second it showed last.
#[derive(Clone, Debug)]
pub(super) struct DateFormat {
    /// What is the same for a second, and behind each such text what is not.
    pieces: Box<[(Steady, Gap)]>,
    tail: Steady,
    zone: TimeZone,
    /// The first nanosecond since 1970 of the second that is shown, modulo 2⁶⁴: the first second of
    /// an `i64` begins before it.
    second_ns: i64,
}

/// What is the same for all instants of a second.
#[derive(Clone, Debug, Default)]
struct Steady {
    parts: Vec<Part>,
    /// As the second shows it.
    text: String,
}

/// A piece of a format.
#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    /// A number, filled with zeros to so many digits.
    Number(Unit, usize),
    /// The last two digits of the year.
    ShortYear,
    ShortMonth,
    LongMonth,
    /// The first three letters of the weekday.
    ShortWeekday,
    /// The weekday, filled with blanks to so many characters.
    LongWeekday(usize),
    /// `AM` or `PM`, filled with blanks to so many characters.
    Meridiem(usize),
    /// `AD`: every time an event can have is in it.
    Era,
    /// The short name of the zone, `CET`.
    Zone,
    Offset(OffsetForm),
    /// Seconds since 1970 UTC, filled with zeros to so many digits.
    Seconds(usize),
    Gap(Gap),
}

/// How the distance to UTC is written.
#[derive(Clone, Copy, PartialEq, Debug)]
struct OffsetForm {
    /// `+02:00`, not `+0200`.
    colon: bool,
    /// Zero is `Z`.
    zulu: bool,
    /// `+02` where the minutes are zero.
    short: bool,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Year,
    /// The year to which its week belongs.
    WeekYear,
    Month,
    /// Of the year; weeks begin on Monday, the first has four days at least, as in ISO 8601.
    Week,
    /// Of the month, by the same rule; 0 are the days before the first week.
    WeekOfMonth,
    Day,
    DayOfYear,
    /// 1 for the first Monday, Tuesday … of the month, and so on.
    WeekdayOfMonth,
    /// 1 is Monday.
    Weekday,
    Hour,
    /// 1 to 24.
    HourFromOne,
    HourOfTwelve,
    /// 0 to 11.
    HourOfTwelveFromZero,
    Minute,
    Second,
}

/// What changes within a second.
#[derive(Clone, Copy, Debug)]
enum Gap {
    /// So many digits of the second's fraction, 1 to 9; cut, not rounded.
    Fraction(usize),
    EpochMs,
    EpochNs,
}

/// What is wrong with a format, and at which of its characters, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Misformed {
    pub(super) at: usize,
    pub(super) problem: String,
}

impl DateFormat {
    /// RFC 3339 with nanoseconds, in UTC.
    pub(super) fn rfc3339() -> DateFormat {
        let text = |text: &str| Part::Text(text.into());
        let parts = [
            Part::Number(Unit::Year, 4),
            text("-"),
            Part::Number(Unit::Month, 2),
            text("-"),
            Part::Number(Unit::Day, 2),
            text("T"),
            Part::Number(Unit::Hour, 2),
            text(":"),
            Part::Number(Unit::Minute, 2),
            text(":"),
            Part::Number(Unit::Second, 2),
            text("."),
            Part::Gap(Gap::Fraction(9)),
            text("Z"),
        ];
        DateFormat::new(parts, TimeZone::UTC)
    }

    /// Reads a format: the name of a preset, or letters.
    ///
    /// A letter that stands `n` times makes a number of at least `n` digits; `yy` is the year in
    /// its century, `MMM` and `EEE` are short names, longer runs whole ones, for days of at least
    /// `n` characters. Text between single
    /// quotes is taken as it is, two quotes are one. What is no ASCII letter stands for itself.
    pub(super) fn parse(format: &str, zone: TimeZone) -> Result<DateFormat, Misformed> {
        let parts = match format {
            "EPOCH" => vec![Part::Seconds(1)],
            "EPOCH_MS" => vec![Part::Gap(Gap::EpochMs)],
            "EPOCH_NS" => vec![Part::Gap(Gap::EpochNs)],
            _ => {
                let name = format.strip_suffix("_FORMAT").unwrap_or(format);
                let preset = PRESETS.iter().find(|(preset, _)| *preset == name);
                parse_letters(preset.map_or(format, |(_, letters)| letters))?
            }
        };
        Ok(DateFormat::new(parts, zone))
    }

    fn new(parts: impl IntoIterator<Item = Part>, zone: TimeZone) -> DateFormat {
        let (mut pieces, mut tail) = (Vec::new(), Steady::default());
        for part in parts {
            match part {
                Part::Gap(gap) => pieces.push((std::mem::take(&mut tail), gap)),
                part => tail.parts.push(part),
            }
        }
        let mut format = DateFormat { pieces: pieces.into(), tail, zone, second_ns: 0 };
        format.render(0);
        format
    }

    /// Appends the instant `time_ns` nanoseconds after 1970-01-01 UTC.
    pub(super) fn write(&mut self, time_ns: i64, out: &mut String) {
        let nanos = self.turn_to(time_ns);
        for (steady, gap) in &self.pieces {
            out.push_str(&steady.text);
            gap.push(time_ns, nanos, out);
        }
        out.push_str(&self.tail.text);
    }

    /// Whether [`write_line`](DateFormat::write_line) can write the format.
    pub(super) fn is_fractional(&self) -> bool {
        self.pieces.iter().all(|(_, gap)| matches!(gap, Gap::Fraction(_)))
    }

    /// Writes the same on a page; `None` unless the format is fractional.
    #[inline(always)]
    pub(super) fn write_line(&mut self, time_ns: i64, line: &mut Line<'_>) -> Option<()> {
        let nanos = self.turn_to(time_ns);
        for (steady, gap) in &self.pieces {
            line.bytes(steady.text.as_bytes())?;
            let Gap::Fraction(count) = *gap else { return None };
            line.nine_digits(nanos as u32, count)?;
        }
        line.bytes(self.tail.text.as_bytes())
    }

    /// Renders the second of `time_ns` unless it is the last one, and tells how far behind its
    /// begin it lies.
    #[inline(always)]
    fn turn_to(&mut self, time_ns: i64) -> i64 {
        if !(0..NS_PER_SECOND).contains(&time_ns.wrapping_sub(self.second_ns)) {
            self.render(time_ns.div_euclid(NS_PER_SECOND));
        }
        time_ns.wrapping_sub(self.second_ns)
    }

    #[cold]
    fn render(&mut self, second: i64) {
        // Seconds of an `i64` of nanoseconds lie within the years 1677 to 2262, which jiff has.
        let instant = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let info = self.zone.to_offset_info(instant);
        let (offset, name) = (info.offset(), info.abbreviation());
        let time = offset.to_datetime(instant);
        self.second_ns = second.wrapping_mul(NS_PER_SECOND);
        let steady = self.pieces.iter_mut().map(|(steady, _)| steady);
        for Steady { parts, text } in steady.chain([&mut self.tail]) {
            text.clear();
            for part in parts {
                match part {
                    Part::Seconds(digits) => {
                        text.push_str(if second < 0 { "-" } else { "" });
                        push_number(second.unsigned_abs(), *digits, text);
                    }
                    Part::Zone => text.push_str(name),
                    part => part.push(time, offset, text),
                }
            }
        }
    }
}

impl Gap {
    /// Appends what this gap shows of an instant, `nanos` of them behind its second.
    #[inline]
    fn push(self, time_ns: i64, nanos: i64, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        match self {
            Gap::Fraction(count) => {
                // Ten digits: the leading 1 keeps the zeros behind it.
                out.push_str(&digits.format((nanos + NS_PER_SECOND) as u32)[1..=count]);
            }
            Gap::EpochMs => out.push_str(digits.format(time_ns.div_euclid(NS_PER_MS))),
            Gap::EpochNs => out.push_str(digits.format(time_ns)),
        }
    }
}

impl Part {
    /// Appends what is the same for a whole second.
    fn push(&self, time: DateTime, offset: Offset, out: &mut String) {
        let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
        let weekday = WEEKDAYS[usize::from(time.weekday().to_monday_zero_offset().unsigned_abs())];
        match self {
            Part::Text(text) => out.push_str(text),
            Part::Number(unit, digits) => push_number(unit.of(time).into(), *digits, out),
            Part::ShortYear => push_number((year(time) % 100).into(), 2, out),
            Part::ShortMonth => out.push_str(&month[..3]),
            Part::LongMonth => out.push_str(month),
            Part::ShortWeekday => out.push_str(&weekday[..3]),
            Part::LongWeekday(width) => push_filled(weekday, *width, out),
            Part::Meridiem(width) => {
                push_filled(if time.hour() < 12 { "AM" } else { "PM" }, *width, out);
            }
            Part::Era => out.push_str("AD"),
            Part::Offset(form) if form.zulu && offset.seconds() == 0 => out.push('Z'),
            Part::Offset(form) => push_offset(offset, *form, out),
            // These depend on the instant itself: `render` and `write` see to them.
            Part::Seconds(_) | Part::Zone | Part::Gap(_) => {}
        }
    }
}

fn parse_letters(format: &str) -> Result<Vec<Part>, Misformed> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = format.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\'' {
            if characters.next_if(|&(_, next)| next == '\'').is_some() {
                text.push('\'');
                continue;
            }
            loop {
                match characters.next() {
                    Some((_, '\'')) if characters.next_if(|&(_, next)| next == '\'').is_some() => {
                        text.push('\'')
                    }
                    Some((_, '\'')) => break,
                    Some((_, quoted)) => text.push(quoted),
                    None => {
                        let problem = "this quote is not closed: end the text with another `'`";
                        return Err(Misformed { at, problem: problem.into() });
                    }
                }
            }
        } else if character.is_ascii_alphabetic() {
            let mut count = 1;
            while characters.next_if(|&(_, next)| next == character).is_some() {
                count += 1;
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(Part::of(character, count).map_err(|problem| Misformed { at, problem })?);
        } else {
            text.push(character);
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts)
}

impl Part {
    /// The part that `count` times `letter` stands for, or what is wrong with them.
    fn of(letter: char, count: usize) -> Result<Part, String> {
        if count > REPEATS_MAX {
            return Err(format!("`{letter}` stands {count} times: use at most {REPEATS_MAX}"));
        }
        let offset = |colon, zulu, short| Part::Offset(OffsetForm { colon, zulu, short });
        let number = |unit| Part::Number(unit, count);
        Ok(match (letter, count) {
            ('G', _) => Part::Era,
            ('y', 2) => Part::ShortYear,
            ('y', _) => number(Unit::Year),
            ('Y', _) => number(Unit::WeekYear),
            ('M' | 'L', 1 | 2) => number(Unit::Month),
            ('M' | 'L', 3) => Part::ShortMonth,
            ('M' | 'L', _) => Part::LongMonth,
            ('w', _) => number(Unit::Week),
            ('W', _) => number(Unit::WeekOfMonth),
            ('d', _) => number(Unit::Day),
            ('D', _) => number(Unit::DayOfYear),
            ('F', _) => number(Unit::WeekdayOfMonth),
            ('u', _) => number(Unit::Weekday),
            ('E', 1..=3) => Part::ShortWeekday,
            ('E', _) => Part::LongWeekday(count),
            ('a', _) => Part::Meridiem(count),
            ('H', _) => number(Unit::Hour),
            ('k', _) => number(Unit::HourFromOne),
            ('h', _) => number(Unit::HourOfTwelve),
            ('K', _) => number(Unit::HourOfTwelveFromZero),
            ('m', _) => number(Unit::Minute),
            ('s', _) => number(Unit::Second),
            ('S', 1..=FRACTION_DIGITS_MAX) => Part::Gap(Gap::Fraction(count)),
            ('S', _) => {
                let problem =
                    format!("`S` stands {count} times: use at most {FRACTION_DIGITS_MAX}");
                return Err(problem);
            }
            ('e', _) => Part::Seconds(count),
            ('z', _) => Part::Zone,
            ('Z', 1..=3) => offset(false, false, false),
            ('Z', _) => return Err(format!("`Z` stands {count} times: use Z")),
            ('X', 1) => offset(false, true, true),
            ('X', 2) => offset(false, true, false),
            ('X', 3) => offset(true, true, false),
            ('X', _) => return Err(format!("`X` stands {count} times: use X, XX or XXX")),
            _ => {
                let names = PRESETS.map(|(name, _)| name).join(", ");
                return Err(format!(
                    "unknown date letter `{letter}`: use {LETTERS}, put text between single \
                     quotes, or name one of {names}, EPOCH, EPOCH_MS, EPOCH_NS"
                ));
            }
        })
    }
}

impl Unit {
    fn of(self, time: DateTime) -> u16 {
        let small = |number: i8| u16::from(number.unsigned_abs());
        let hour = small(time.hour());
        match self {
            Unit::Year => year(time),
            Unit::WeekYear => time.date().iso_week_date().year().unsigned_abs(),
            Unit::Month => small(time.month()),
            Unit::Week => small(time.date().iso_week_date().week()),
            // The week of a day is that of its Thursday.
            Unit::WeekOfMonth => (small(time.day()) + 10 - weekday(time)) / 7,
            Unit::Day => small(time.day()),
            Unit::DayOfYear => time.day_of_year().unsigned_abs(),
            Unit::WeekdayOfMonth => small(time.day()).div_ceil(7),
            Unit::Weekday => weekday(time),
            Unit::Hour => hour,
            Unit::HourFromOne => (hour + 23) % 24 + 1,
            Unit::HourOfTwelve => (hour + 11) % 12 + 1,
            Unit::HourOfTwelveFromZero => hour % 12,
            Unit::Minute => small(time.minute()),
            Unit::Second => small(time.second()),
        }
    }
}

/// 1 is Monday.
fn weekday(time: DateTime) -> u16 {
    time.weekday().to_monday_one_offset().unsigned_abs().into()
}

/// The year; all that an instant can have are positive.
fn year(time: DateTime) -> u16 {
    time.year().unsigned_abs()
}

/// Appends a name, blanks in front where it is short.
fn push_filled(name: &str, width: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(name.len())));
    out.push_str(name);
}

fn push_number(number: u64, digits_min: usize, out: &mut String) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    out.extend(std::iter::repeat_n('0', digits_min.saturating_sub(digits.len())));
    out.push_str(digits);
}

/// Appends sign, hours and minutes; seconds only where a zone of old has them.
fn push_offset(offset: Offset, form: OffsetForm, out: &mut String) {
    let seconds = offset.seconds().unsigned_abs();
    let units = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    out.push(if offset.seconds() < 0 { '-' } else { '+' });
    let shown = match units {
        [_, 0, 0] if form.short => 1,
        [_, _, 0] => 2,
        _ => 3,
    };
    for (index, &unit) in units[..shown].iter().enumerate() {
        if form.colon && index > 0 {
            out.push(':');
        }
        // Below 100: offsets are less than 26 hours.
        push_number(unit.into(), 2, out);
    }
}

#[cfg(test)]
mod tests;
