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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-21 10:00:00.123456789 UTC, a Saturday.
    const INSTANT: i64 = 1_795_255_200_123_456_789;

    fn format(format: &str, zone: TimeZone, time_ns: i64) -> String {
        let mut out = String::new();
        DateFormat::parse(format, zone).unwrap().write(time_ns, &mut out);
        out
    }

    fn utc(letters: &str) -> String {
        format(letters, TimeZone::UTC, INSTANT)
    }

    fn problem(letters: &str) -> Misformed {
        DateFormat::parse(letters, TimeZone::UTC).unwrap_err()
    }

    #[test]
    fn presets_have_the_documented_form() {
        for (name, expected) in [
            ("RFC3339", "2026-11-21T10:00:00.123456789Z"),
            ("ISO8601", "2026-11-21T10:00:00.123"),
            ("ISO8601_WITH_TZ_OFFSET", "2026-11-21T10:00:00.123Z"),
            ("ABSOLUTE", "10:00:00,123"),
            ("ABSOLUTETIME", "10:00:00.123"),
            ("DATE", "21 Nov 2026 10:00:00,123"),
            ("DATETIME", "21 11 2026 10:00:00.123"),
            ("APACHE", "[Sat Nov 21 10:00:00 2026]"),
            ("ISO8601_FORMAT", "2026-11-21T10:00:00.123"),
            ("COMPACT", "20261121100000123"),
            ("EPOCH", "1795255200"),
            ("EPOCH_MS", "1795255200123"),
            ("EPOCH_NS", "1795255200123456789"),
        ] {
            assert_eq!(utc(name), expected, "{name}");
        }
    }

    #[test]
    fn the_page_on_layouts_names_every_format() {
        let page = include_str!("../../docs/layouts.md");
        for (name, _) in PRESETS {
            assert!(page.contains(&format!("| `{name}`")), "{name}");
        }
        for letter in LETTERS.split(' ') {
            let listed = page.lines().any(|line| {
                line.starts_with("| `")
                    && line.split('`').any(|cell| {
                        cell.starts_with(letter)
                            && cell.chars().all(|c| c == cell.chars().next().unwrap())
                    })
            });
            assert!(listed, "{letter}");
        }
    }

    #[test]
    fn each_letter_has_the_documented_form() {
        for (letters, expected) in [
            ("yyyy yy y", "2026 26 2026"),
            ("MMMM MMM MM M", "November Nov 11 11"),
            ("dd D", "21 325"),
            ("HH hh h m mm s ss", "10 10 10 0 00 0 00"),
            ("S SSS SSSSSS SSSSSSSSS", "1 123 123456 123456789"),
            ("EEE EEEE EEEEEEEEEE a aaaa", "Sat Saturday   Saturday AM   AM"),
            ("G e eeeeeeeeeeee LLL", "AD 1795255200 001795255200 Nov"),
            ("Y w ww W F u", "2026 47 47 3 3 6"),
            ("k kk K KK", "10 10 10 10"),
            ("Z X XX XXX z", "+0000 Z Z Z UTC"),
            ("'T' 'o''clock' ''", "T o'clock '"),
            ("[]«%»", "[]«%»"),
            ("", ""),
        ] {
            assert_eq!(utc(letters), expected, "{letters}");
        }
    }

    #[test]
    fn noon_and_midnight_are_twelve() {
        let hour = |hour: i64| format("hh a", TimeZone::UTC, hour * 3600 * NS_PER_SECOND);
        assert_eq!([hour(0), hour(12), hour(13)], ["12 AM", "12 PM", "01 PM"]);
    }

    #[test]
    fn midnight_begins_or_ends_a_day_as_its_letter_says() {
        let hours = |hour: i64| format("H k K h", TimeZone::UTC, hour * 3600 * NS_PER_SECOND);
        assert_eq!([hours(0), hours(12), hours(23)], ["0 24 0 12", "12 12 0 12", "23 23 11 11"]);
    }

    #[test]
    fn weeks_are_counted_as_in_iso_8601() {
        let at = |date: &str| {
            let instant: Timestamp = std::format!("{date}T12:00:00Z").parse().unwrap();
            format("Y-ww u W F", TimeZone::UTC, instant.as_nanosecond() as i64)
        };
        assert_eq!(at("2027-01-01"), "2026-53 5 0 1");
        assert_eq!(at("2027-01-04"), "2027-01 1 1 1");
        assert_eq!(at("2024-12-30"), "2025-01 1 5 5");
        assert_eq!(at("2024-02-29"), "2024-09 4 5 5");
    }

    #[test]
    fn a_zone_has_a_name_and_a_distance() {
        let of = |zone: &str| format("z X XX XXX Z", TimeZone::get(zone).unwrap(), INSTANT);
        assert_eq!(of("Europe/Berlin"), "CET +01 +0100 +01:00 +0100");
        assert_eq!(of("Asia/Kolkata"), "IST +0530 +0530 +05:30 +0530");
        assert_eq!(of("America/New_York"), "EST -05 -0500 -05:00 -0500");
    }

    #[test]
    fn a_zone_follows_its_summer_time_within_one_format() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let mut dates = DateFormat::parse("HH:mm:ss.SSSXXX", berlin).unwrap();
        let change: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        let change_ns = i64::try_from(change.as_nanosecond()).unwrap();
        let mut out = String::new();
        dates.write(change_ns - 1, &mut out);
        dates.write(change_ns, &mut out);
        dates.write(change_ns - 1, &mut out);
        assert_eq!(out, "01:59:59.999+01:0003:00:00.000+02:0001:59:59.999+01:00");
    }

    #[test]
    fn instants_before_1970_and_at_the_ends_have_a_text() {
        let at = |name: &str, time_ns| format(name, TimeZone::UTC, time_ns);
        assert_eq!(at("RFC3339", -1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(at("RFC3339", i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(at("RFC3339", i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!([at("EPOCH", -1), at("EPOCH_MS", -1), at("EPOCH_NS", -1)], ["-1"; 3]);
    }

    #[test]
    fn a_misformed_format_is_told_with_its_place() {
        assert_eq!(problem("yyyy Q").at, 5);
        assert!(problem("Q").problem.contains("unknown date letter `Q`: use G y Y M"));
        assert_eq!(problem("HH 'x").at, 3);
        assert!(problem("SSSSSSSSSS").problem.contains("10 times: use at most 9"));
        assert!(problem("XXXX").problem.contains("X, XX or XXX"));
        assert!(problem(&"y".repeat(21)).problem.contains("21 times: use at most 20"));
    }

    /// A Monday at night, a Sunday evening in summer, a midnight, a leap day.
    const INSTANTS: [i64; 4] = [
        1_325_473_445_678_901_000,
        1_341_169_985_004_000_000,
        1_325_376_000_000_000_000,
        951_782_400_999_999_000,
    ];

    #[test]
    fn date_letters_show_what_perl_programs_know() {
        for (letters, expected) in [
            (
                "yyyy/MM/dd HH:mm:ss",
                "2012/01/02 03:04:05|2012/07/01 19:13:05|2012/01/01 00:00:00|2000/02/29 00:00:00",
            ),
            ("ABSOLUTE", "03:04:05,678|19:13:05,004|00:00:00,000|00:00:00,999"),
            (
                "DATE",
                "02 Jan 2012 03:04:05,678|01 Jul 2012 19:13:05,004|01 Jan 2012 00:00:00,000|29 Feb 2000 00:00:00,999",
            ),
            (
                "APACHE",
                "[Mon Jan 02 03:04:05 2012]|[Sun Jul 01 19:13:05 2012]|[Sun Jan 01 00:00:00 2012]|[Tue Feb 29 00:00:00 2000]",
            ),
            ("G", "AD|AD|AD|AD"),
            ("e", "1325473445|1341169985|1325376000|951782400"),
            ("yy", "12|12|12|00"),
            ("M MM MMM MMMM", "1 01 Jan January|7 07 Jul July|1 01 Jan January|2 02 Feb February"),
            ("d dd ddd", "2 02 002|1 01 001|1 01 001|29 29 029"),
            ("h hh H HH", "3 03 3 03|7 07 19 19|12 12 0 00|12 12 0 00"),
            ("m mm s ss", "4 04 5 05|13 13 5 05|0 00 0 00|0 00 0 00"),
            ("S SS SSS SSSSSS", "6 67 678 678901|0 00 004 004000|0 00 000 000000|9 99 999 999999"),
            (
                "E EE EEE EEEE",
                "Mon Mon Mon Monday|Sun Sun Sun Sunday|Sun Sun Sun Sunday|Tue Tue Tue Tuesday",
            ),
            ("EEEEEEEEEEEE", "      Monday|      Sunday|      Sunday|     Tuesday"),
            ("D DDD", "2 002|183 183|1 001|60 060"),
            ("a aaaa", "AM   AM|PM   PM|AM   AM|AM   AM"),
            ("Z", "+0000|+0000|+0000|+0000"),
            ("'o''clock' h", "o'clock 3|o'clock 7|o'clock 12|o'clock 12"),
            ("'50%' H", "50% 3|50% 19|50% 0|50% 0"),
        ] {
            let shown = INSTANTS.map(|time_ns| format(letters, TimeZone::UTC, time_ns));
            assert_eq!(shown.join("|"), expected, "{letters}");
        }
    }

    /// Where ours shows something else, and why.
    const DIFFERENCES: [(&str, &str); 13] = [
        ("ISO8601", "the date and the time are joined by a `T`, as the standard demands"),
        ("y", "a year without a number of digits is a whole one"),
        ("yyy", "a year without a number of digits is a whole one"),
        ("yyyyy", "a number has as many digits as its letter stands"),
        ("SSSSSSS", "our clock has nanoseconds"),
        ("F", "shown, not refused within the line"),
        ("w", "shown, not refused within the line"),
        ("W", "shown, not refused within the line"),
        ("k", "shown, not refused within the line"),
        ("K", "shown, not refused within the line"),
        ("z", "shown, not refused within the line"),
        ("''", "a quote outside of quotes, too"),
        ("100% H", "a percent sign is text"),
    ];

    #[test]
    fn dates_are_those_of_log4perl_where_no_difference_is_named() {
        let Some(golden) = super::super::fixture::golden("13-dateformat.out") else { return };
        let (mut instant, mut compared) = (0, 0);
        for line in golden.lines() {
            if let Some(rest) = line.strip_prefix("--- time ") {
                let (seconds, us) = rest.split_once(" us ").unwrap();
                let number = |text: &str| text.parse::<i64>().unwrap();
                instant = number(seconds) * NS_PER_SECOND + number(us) * 1000;
            }
            let Some((letters, shown)) = line.split_once(" => [") else { continue };
            let letters = letters.trim_end();
            let expected = shown.strip_suffix(']').unwrap();
            let shown = format(letters, TimeZone::UTC, instant);
            let is_named = DIFFERENCES.iter().any(|(different, _)| *different == letters);
            assert_eq!(shown != expected, is_named, "{letters}: {shown} instead of {expected}");
            compared += 1;
        }
        assert_eq!(compared, 4 * 54);
        // The last lines of the golden: another zone, and UTC again.
        let in_zone = |zone: &str| {
            format(
                "yyyy-MM-dd HH:mm:ss",
                TimeZone::get(zone).unwrap(),
                1_325_473_445 * NS_PER_SECOND,
            )
        };
        let zones =
            golden.lines().rev().take(2).map(|line| line.trim_start_matches("utcDateTimes: "));
        assert!(zones.eq([in_zone("UTC"), in_zone("America/New_York")]));
    }

    proptest! {
        #[test]
        fn every_instant_reads_as_jiff_formats_it(
            time_ns in any::<i64>(),
            within_second in any::<i64>(),
            name in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"][..]),
        ) {
            let zone = TimeZone::get(name).unwrap();
            let mut dates = DateFormat::parse(
                "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSS EEEE MMMM D yy h a", zone.clone()).unwrap();
            let second = time_ns.div_euclid(NS_PER_SECOND);
            let near = second.saturating_mul(NS_PER_SECOND).saturating_add(within_second.rem_euclid(NS_PER_SECOND));
            for time_ns in [time_ns, near, time_ns] {
                let zoned = Timestamp::from_nanosecond(time_ns.into()).unwrap().to_zoned(zone.clone());
                let expected = zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f %A %B %-j %y %-I %p").to_string();
                let mut out = String::new();
                dates.write(time_ns, &mut out);
                prop_assert_eq!(out, expected);
            }
        }

        #[test]
        fn an_rfc3339_text_reads_back_as_the_same_instant(time_ns in any::<i64>()) {
            let mut out = String::new();
            DateFormat::rfc3339().write(time_ns, &mut out);
            let parsed: Timestamp = out.parse().unwrap();
            prop_assert_eq!(parsed.as_nanosecond(), i128::from(time_ns));
        }

        #[test]
        fn an_offset_reads_as_jiff_formats_it(seconds in -89_999..=89_999i32) {
            let offset = Offset::from_seconds(seconds).unwrap();
            let mut out = String::new();
            push_offset(offset, OffsetForm { colon: true, zulu: false, short: false }, &mut out);
            let zoned = Timestamp::UNIX_EPOCH.to_zoned(offset.to_time_zone());
            prop_assert_eq!(out, zoned.strftime("%:z").to_string());
        }

        #[test]
        fn no_format_panics(format in "[GyYMLdDFEuwWHkKhmsSeazZX' :.Qé]{0,12}", time_ns in any::<i64>()) {
            if let Ok(mut dates) = DateFormat::parse(&format, TimeZone::UTC) {
                dates.write(time_ns, &mut String::new());
            }
        }
    }
}
