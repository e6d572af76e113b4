//! Words with a meaning: durations, sizes, and words that were nearly right.

use std::time::Duration;

use crate::nearest::nearest;

/// Units of time and their nanoseconds.
const TIMES: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of size and their bytes: as in coreutils, `M` is `MiB` and `MB` is a million.
const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("kB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
];

/// `500ms`, `2s`, `1min`; several may follow each other: `1h 30min`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (number, behind) = leading_number(rest)?;
        let behind = behind.trim_start();
        let end = behind.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(behind.len());
        let (_, ns) = TIMES.iter().find(|(unit, _)| *unit == &behind[..end])?;
        sum = sum.checked_add(number.checked_mul(*ns)?)?;
        rest = behind[end..].trim_start();
    }
    (!text.trim().is_empty()).then(|| Duration::from_nanos(sum))
}

/// `4096`, `64KiB`, `10MB`, `1 GiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let (_, bytes) = SIZES.iter().find(|(known, _)| *known == unit.trim_start())?;
    number.checked_mul(*bytes)
}

/// A whole number with `_` between its digits, and what stands behind it.
pub(super) fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let digits: String = text[..end].chars().filter(|c| *c != '_').collect();
    Some((digits.parse().ok()?, &text[end..]))
}

/// A size as one would write it.
pub(super) fn of_bytes(bytes: u64) -> String {
    for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1_u64 << 10)]
    {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// Words in a message.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// ` (did you mean …?)`, if a known word is near.
pub(super) fn hint<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(found, known).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, ns) in [
            ("500ms", 500_000_000),
            ("2s", 2_000_000_000),
            ("1h 30min", 5_400_000_000_000),
            ("2 ms", 2_000_000),
            ("1h30min", 5_400_000_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(ns)), "{text}");
        }
        for wrong in ["", " ", "5", "s", "5 ", "5x", "-5s", "1.5s", "99999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_as_coreutils_do_and_written_back() {
        for (text, expected) in [
            ("4096", 4096),
            ("10_000", 10_000),
            ("10M", 10 << 20),
            ("10MiB", 10 << 20),
            ("10MB", 10_000_000),
            ("1 GiB", 1 << 30),
            ("2kB", 2000),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for wrong in ["", "M", "1.5M", "-1", "10mb", "10 XB", "99999999999T"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        assert_eq!([of_bytes(3 << 20), of_bytes(1000), of_bytes(0)], ["3MiB", "1000", "0"]);
    }
}
