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
const REPEATS_MAX: usize = 9;
/// Letters of a format, for error texts.
const LETTERS: &str = "y M d D H h m s S E a Z X";

/// Formats that have a name.
const PRESETS: [(&str, &str); 6] = [
    ("RFC3339", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX"),
    ("ISO8601", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
    ("ISO8601_WITH_TZ_OFFSET", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"),
    ("ABSOLUTE", "HH:mm:ss,SSS"),
    ("DATE", "dd MMM yyyy HH:mm:ss,SSS"),
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
    ShortWeekday,
    LongWeekday,
    Meridiem,
    /// `+0200` or, with the colon, `+02:00`; zero is `Z` where `zulu` says so.
    Offset {
        colon: bool,
        zulu: bool,
    },
    Seconds,
    Gap(Gap),
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfTwelve,
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
    /// its century, `MMM` and `EEE` are short names, longer runs whole ones. Text between single
    /// quotes is taken as it is, two quotes are one. What is no ASCII letter stands for itself.
    pub(super) fn parse(format: &str, zone: TimeZone) -> Result<DateFormat, Misformed> {
        let parts = match format {
            "EPOCH" => vec![Part::Seconds],
            "EPOCH_MS" => vec![Part::Gap(Gap::EpochMs)],
            "EPOCH_NS" => vec![Part::Gap(Gap::EpochNs)],
            _ => {
                let preset = PRESETS.iter().find(|(name, _)| *name == format);
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
        let offset = self.zone.to_offset(instant);
        let time = offset.to_datetime(instant);
        self.second_ns = second.wrapping_mul(NS_PER_SECOND);
        let steady = self.pieces.iter_mut().map(|(steady, _)| steady);
        for Steady { parts, text } in steady.chain([&mut self.tail]) {
            text.clear();
            for part in parts {
                match part {
                    Part::Seconds => text.push_str(itoa::Buffer::new().format(second)),
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
            Part::Number(unit, digits) => push_number(unit.of(time), *digits, out),
            Part::ShortYear => push_number(year(time) % 100, 2, out),
            Part::ShortMonth => out.push_str(&month[..3]),
            Part::LongMonth => out.push_str(month),
            Part::ShortWeekday => out.push_str(&weekday[..3]),
            Part::LongWeekday => out.push_str(weekday),
            Part::Meridiem => out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
            Part::Offset { zulu: true, .. } if offset.seconds() == 0 => out.push('Z'),
            Part::Offset { colon, .. } => push_offset(offset, *colon, out),
            // Both depend on the instant itself: `render` and `write` see to them.
            Part::Seconds | Part::Gap(_) => {}
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
        Ok(match (letter, count) {
            ('y', 2) => Part::ShortYear,
            ('y', _) => Part::Number(Unit::Year, count),
            ('M', 1 | 2) => Part::Number(Unit::Month, count),
            ('M', 3) => Part::ShortMonth,
            ('M', _) => Part::LongMonth,
            ('d', _) => Part::Number(Unit::Day, count),
            ('D', _) => Part::Number(Unit::DayOfYear, count),
            ('H', _) => Part::Number(Unit::Hour, count),
            ('h', _) => Part::Number(Unit::HourOfTwelve, count),
            ('m', _) => Part::Number(Unit::Minute, count),
            ('s', _) => Part::Number(Unit::Second, count),
            ('S', _) => Part::Gap(Gap::Fraction(count)),
            ('E', 1..=3) => Part::ShortWeekday,
            ('E', _) => Part::LongWeekday,
            ('a', _) => Part::Meridiem,
            ('Z', 1..=3) => Part::Offset { colon: false, zulu: false },
            ('X', 2) => Part::Offset { colon: false, zulu: true },
            ('X', 3) => Part::Offset { colon: true, zulu: true },
            ('X', _) => return Err(format!("`X` stands {count} times: use XX or XXX")),
            ('Z', _) => return Err(format!("`Z` stands {count} times: use Z")),
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
        match self {
            Unit::Year => year(time),
            Unit::Month => small(time.month()),
            Unit::Day => small(time.day()),
            Unit::DayOfYear => time.day_of_year().unsigned_abs(),
            Unit::Hour => small(time.hour()),
            Unit::HourOfTwelve => (small(time.hour()) + 11) % 12 + 1,
            Unit::Minute => small(time.minute()),
            Unit::Second => small(time.second()),
        }
    }
}

/// The year; all that an instant can have are positive.
fn year(time: DateTime) -> u16 {
    time.year().unsigned_abs()
}

fn push_number(number: u16, digits_min: usize, out: &mut String) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    out.extend(std::iter::repeat_n('0', digits_min.saturating_sub(digits.len())));
    out.push_str(digits);
}

/// Appends sign, hours and minutes; seconds only where a zone of old has them.
fn push_offset(offset: Offset, colon: bool, out: &mut String) {
    let seconds = offset.seconds().unsigned_abs();
    let units = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    out.push(if offset.seconds() < 0 { '-' } else { '+' });
    let shown = if units[2] == 0 { 2 } else { 3 };
    for (index, &unit) in units[..shown].iter().enumerate() {
        if colon && index > 0 {
            out.push(':');
        }
        // Below 100: offsets are less than 26 hours.
        push_number(unit as u16, 2, out);
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
            ("DATE", "21 Nov 2026 10:00:00,123"),
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
            ("EEE EEEE a", "Sat Saturday AM"),
            ("Z XX XXX", "+0000 Z Z"),
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
        assert!(problem("Q").problem.contains("unknown date letter `Q`: use y M d"));
        assert_eq!(problem("HH 'x").at, 3);
        assert!(problem("SSSSSSSSSS").problem.contains("10 times: use at most 9"));
        assert!(problem("XXXX").problem.contains("XX or XXX"));
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
            push_offset(offset, true, &mut out);
            let zoned = Timestamp::UNIX_EPOCH.to_zoned(offset.to_time_zone());
            prop_assert_eq!(out, zoned.strftime("%:z").to_string());
        }

        #[test]
        fn no_format_panics(format in "[yMdDHhmsSEaZX' :.Qé]{0,12}", time_ns in any::<i64>()) {
            if let Ok(mut dates) = DateFormat::parse(&format, TimeZone::UTC) {
                dates.write(time_ns, &mut String::new());
            }
        }
    }
}
