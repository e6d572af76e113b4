//! One value as text, and as `key=value`.

use std::fmt::Write;

use super::escape::{find_byte, is_hidden, may_hide};
use crate::value::{Scalar, Value};

/// Appends a value as `{}` would show it; bytes as `[1,2,3]`, an absent value as `None`.
pub(super) fn push_value(value: Value<'_>, out: &mut String) {
    match value.scalar() {
        Some(scalar) => push_scalar(scalar, out),
        None => out.push_str("None"),
    }
}

fn push_scalar(scalar: Scalar<'_>, out: &mut String) {
    match scalar {
        Scalar::F32(float) => push_display(float, out),
        Scalar::F64(float) => push_display(float, out),
        Scalar::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Scalar::Char(character) => out.push(character),
        Scalar::Str(text) | Scalar::Text(text) => out.push_str(text),
        Scalar::Bytes(bytes) => push_bytes(bytes, out),
        integer => push_integer(integer, out),
    }
}

/// Appends an integer; any other kind adds nothing.
pub(super) fn push_integer(scalar: Scalar<'_>, out: &mut String) {
    let mut digits = itoa::Buffer::new();
    out.push_str(match scalar {
        Scalar::U8(number) => digits.format(number),
        Scalar::U16(number) => digits.format(number),
        Scalar::U32(number) => digits.format(number),
        Scalar::U64(number) => digits.format(number),
        Scalar::U128(number) => digits.format(number),
        Scalar::I8(number) => digits.format(number),
        Scalar::I16(number) => digits.format(number),
        Scalar::I32(number) => digits.format(number),
        Scalar::I64(number) => digits.format(number),
        Scalar::I128(number) => digits.format(number),
        _ => "",
    });
}

/// Appends bytes as a list of numbers without blanks: a JSON array.
pub(super) fn push_bytes(bytes: &[u8], out: &mut String) {
    let mut digits = itoa::Buffer::new();
    out.push('[');
    for (index, &byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(digits.format(byte));
    }
    out.push(']');
}

fn push_display(float: impl std::fmt::Display, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{float}");
}

/// Appends `key=value`, each of them quoted where it must be.
pub(super) fn push_pair(key: &str, value: Value<'_>, out: &mut String) {
    push_word(key, out);
    out.push('=');
    match value.scalar() {
        Some(Scalar::Str(text) | Scalar::Text(text)) => push_word(text, out),
        Some(Scalar::Char(character)) => push_word(character.encode_utf8(&mut [0; 4]), out),
        _ => push_value(value, out),
    }
}

/// Appends a key or value: bare, or between quotes when it is empty or holds a blank, a quote,
/// `=`, a tab or a hidden character.
pub(super) fn push_word(text: &str, out: &mut String) {
    if is_bare(text) {
        return out.push_str(text);
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            hidden if is_hidden(hidden) => out.extend(hidden.escape_unicode()),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// Whether a word can stand without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    let suspect = |byte| may_hide(byte) | (byte == b' ') | (byte == b'"') | (byte == b'=');
    let breaks = |character| matches!(character, ' ' | '"' | '=' | '\t') || is_hidden(character);
    let clean = find_byte(text.as_bytes(), suspect).is_none() || !text.contains(breaks);
    clean && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> String {
        let mut out = String::new();
        push_word(text, &mut out);
        out
    }

    fn text(scalar: Scalar<'_>) -> String {
        let mut out = String::new();
        push_value(Value::Plain(scalar), &mut out);
        out
    }

    #[test]
    fn a_plain_word_is_written_bare() {
        for plain in ["4711", r"C:\new\u{a}", "näher", "it's", "“x”", "\u{a0}", "[1,2]", "{}"]
        {
            assert_eq!(word(plain), plain);
        }
    }

    #[test]
    fn a_word_that_would_break_the_line_is_quoted() {
        assert_eq!(word(""), r#""""#);
        assert_eq!(word("two words"), r#""two words""#);
        assert_eq!(word("a=b"), r#""a=b""#);
        assert_eq!(word("say \"hi\" to C:\\"), r#""say \"hi\" to C:\\""#);
        assert_eq!(word("a\r\n\tb\x1b"), r#""a\r\n\tb\u{1b}""#);
    }

    #[test]
    fn values_read_as_in_a_message() {
        assert_eq!(text(Scalar::U128(u128::MAX)), u128::MAX.to_string());
        assert_eq!(text(Scalar::I8(-128)), "-128");
        assert_eq!(text(Scalar::F64(1.0)), "1");
        assert_eq!(text(Scalar::F32(0.1)), "0.1");
        assert_eq!(text(Scalar::F64(f64::NAN)), "NaN");
        assert_eq!(text(Scalar::Bool(true)), "true");
        assert_eq!(text(Scalar::Char('é')), "é");
        assert_eq!(text(Scalar::Bytes(&[])), "[]");
        assert_eq!(text(Scalar::Bytes(&[1, 255])), "[1,255]");
    }
}
