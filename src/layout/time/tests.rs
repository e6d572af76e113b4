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
    let page = include_str!("../../../docs/layouts.md");
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
    let Some(golden) = crate::layout::fixture::golden("13-dateformat.out") else { return };
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
        format("yyyy-MM-dd HH:mm:ss", TimeZone::get(zone).unwrap(), 1_325_473_445 * NS_PER_SECOND)
    };
    let zones = golden.lines().rev().take(2).map(|line| line.trim_start_matches("utcDateTimes: "));
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
