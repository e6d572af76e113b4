//! A value as the name of a file: safe, short, and never that of another value.
//!
//! ASCII letters, digits, `-`, `_` and `.` stay; any other byte becomes `%` and two capital
//! hexadecimal digits. So does a dot at the beginning, which hides a file or leads upwards, and one
//! before a digit, as rotated files have it. A name that would be longer than [`NAME_BYTES_MAX`] is
//! cut, and `~` and the SHA-256 of the whole value stand behind it. `~` and `+` come from no value:
//! names that begin with `+` are rollway's own.

use super::digest::sha256;

/// The longest name, without its extension. A file system takes 255 bytes; the rest is for the
/// extension and for what a rotation adds.
pub(super) const NAME_BYTES_MAX: usize = 160;
/// `~` and the digest in hexadecimal.
const MARK_BYTES: usize = 65;

/// The name of the file of a value.
pub(super) fn encoded(value: &str) -> String {
    let name = escaped(value);
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mut end = NAME_BYTES_MAX - MARK_BYTES;
    // Not within an escape.
    end -= name[..end].bytes().rev().take(2).position(|byte| byte == b'%').map_or(0, |at| at + 1);
    format!("{}~{}", &name[..end], digest(value))
}

/// The name of a file of rollway's own: none that a value has.
pub(super) fn own(name: &str) -> String {
    format!("+{}", encoded(name))
}

/// Whether the file of a value, or one of rollway's own, may have the name. A rolled file has a number
/// behind a dot in its name, and is none.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%~+".contains(&byte);
    let is_numbered = |two: &[u8]| two[0] == b'.' && two[1].is_ascii_digit();
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && bytes[0] != b'.'
        && bytes.iter().copied().all(is_plain)
        && !bytes.windows(2).any(is_numbered)
}

/// The SHA-256 of a text, in hexadecimal.
pub(super) fn digest(text: &str) -> String {
    sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a value looks like a way out of the directory.
pub(super) fn is_suspicious(value: &str) -> bool {
    value.starts_with('.') || value.contains(['/', '\\', '\0'])
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut bytes = value.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let is_plain = match byte {
            b'.' => !out.is_empty() && !bytes.peek().is_some_and(u8::is_ascii_digit),
            b'-' | b'_' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if is_plain {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_keeps_what_is_harmless_in_a_name() {
        let cases = [
            ("shop-1_b", "shop-1_b"),
            ("shop::till", "shop%3A%3Atill"),
            ("web.example.com", "web.example.com"),
            ("10.0.0.1", "10%2E0%2E0%2E1"),
            ("..", "%2E."),
            (".", "%2E"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("a\0b\n", "a%00b%0A"),
            ("Ärger", "%C3%84rger"),
            ("100%", "100%25"),
            ("+missing~", "%2Bmissing%7E"),
        ];
        for (value, name) in cases {
            assert_eq!(encoded(value), name);
        }
    }

    #[test]
    fn long_values_that_begin_alike_have_different_names() {
        let long = "x".repeat(64 << 10);
        let (one, other) = (encoded(&format!("{long}1")), encoded(&format!("{long}2")));
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[..95]), (NAME_BYTES_MAX, &long[..95]));
        // Where the cut comes, an escape stays whole or goes.
        for shift in 0..6 {
            let name = encoded(&format!("{}{}", "x".repeat(shift), "/".repeat(100)));
            let (kept, _) = name.split_once('~').unwrap();
            assert_eq!(kept[shift..].len() % 3, 0, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_two_values_share_a_name(values in prop::collection::hash_set(
            prop_oneof!["\\PC{0,4}", "[.%/~+A1]{1,5}", "[./x]{150,200}"], 2..40,
        )) {
            let mut names = HashMap::new();
            for value in values {
                if let Some(other) = names.insert(encoded(&value), value.clone()) {
                    prop_assert!(false, "{value:?} and {other:?}");
                }
            }
        }

        #[test]
        fn every_name_is_a_single_harmless_one(value in "(?s).{1,300}") {
            let name = encoded(&value);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.%~".contains(c);
            prop_assert!(name.chars().all(is_plain) && !name.starts_with('.'), "{name}");
            prop_assert!((1..=NAME_BYTES_MAX).contains(&name.len()));
            // No rotated file of another value: those have a dot and a digit.
            prop_assert!(!name.as_bytes().windows(2).any(|two| two[0] == b'.' && two[1].is_ascii_digit()));
            prop_assert!(is_name(&name) && is_name(&own(&value)), "{name}");
        }
    }
}
