//! Moments as people write them: `2026-11-21T10:00:00Z`, `-3h`, `90s`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};

/// A moment, in nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    pub(super) utc_ns: i64,
}

/// Reads a moment. An amount of time means so long ago, with or without a minus sign; a time
/// without a zone is in UTC.
pub(super) fn parse_moment(text: &str) -> Result<Moment, String> {
    moment_at(text, Timestamp::now())
}

fn moment_at(text: &str, now: Timestamp) -> Result<Moment, String> {
    let timestamp = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| {
            text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
        })
        .or_else(|| now.checked_sub(amount(text)?).ok());
    let utc_ns = timestamp.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    utc_ns.map(|utc_ns| Moment { utc_ns }).ok_or_else(|| {
        "use a time from 1677 to 2262 such as 2026-11-21T10:00:00Z, or an amount such as -3h, 90s or 2d for so long ago"
            .to_owned()
    })
}

/// An amount such as `-3h`. Days have 24 hours.
fn amount(text: &str) -> Option<SignedDuration> {
    let text = text.strip_prefix('-').unwrap_or(text);
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let span: jiff::Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<i64, String> {
        let now = Timestamp::from_second(1_000_000).unwrap();
        moment_at(text, now).map(|moment| moment.utc_ns / 1_000_000_000)
    }

    #[test]
    fn a_time_stands_for_itself_and_without_a_zone_for_utc() {
        assert_eq!(at("1970-01-02T00:00:00Z"), Ok(86_400));
        assert_eq!(at("1970-01-02T01:00:00+01:00"), Ok(86_400));
        assert_eq!(at("1970-01-02 00:00:01"), Ok(86_401));
        assert_eq!(at("1970-01-02"), Ok(86_400));
    }

    #[test]
    fn an_amount_means_so_long_ago() {
        assert_eq!(at("-3h"), Ok(1_000_000 - 3 * 3600));
        assert_eq!(at("90s"), Ok(1_000_000 - 90));
        assert_eq!(at("1h30m"), Ok(1_000_000 - 5400));
        assert_eq!(at("2d"), Ok(1_000_000 - 2 * 86_400));
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in ["", "-", "yesterday", "3", "1500-01-01T00:00:00Z", "99999999999h"] {
            let error = at(text).unwrap_err();
            assert!(error.contains("-3h"), "{text}: {error}");
        }
    }
}
