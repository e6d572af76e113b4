//! Values and strings as JSON has them.

use crate::event::Event;
use crate::layout::escape::{find_byte, is_hidden, may_hide};
use crate::layout::scalar::{push_bytes, push_integer};
use crate::template::is_plain;
use crate::value::{Scalar, Value};

/// Appends a value of its own type.
pub(super) fn push_value(value: Value<'_>, out: &mut String) {
    let Some(scalar) = value.scalar() else { return out.push_str("null") };
    match scalar {
        Scalar::F32(float) => push_float(float, float.is_finite(), out),
        Scalar::F64(float) => push_float(float, float.is_finite(), out),
        Scalar::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Scalar::Char(character) => push_string(character.encode_utf8(&mut [0; 4]), out),
        Scalar::Str(text) | Scalar::Text(text) => push_string(text, out),
        Scalar::Bytes(bytes) => push_bytes(bytes, out),
        integer => push_integer(integer, out),
    }
}

/// Appends the chunks of a message as an array.
pub(super) fn push_chunks(event: &Event<'_>, out: &mut String) {
    out.push('[');
    for (index, chunk) in event.chunks().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match chunk.value() {
            Some(value) => push_value(value, out),
            None => push_string(&chunk.to_string(), out),
        }
    }
    out.push(']');
}

fn push_float(float: impl zmij::Float, finite: bool, out: &mut String) {
    let mut digits = zmij::Buffer::new();
    let text = digits.format(float);
    if finite {
        out.push_str(text);
    } else {
        push_string(text, out);
    }
}

/// Appends a string between quotes, escaped as RFC 8259 demands; and with it what is hidden in
/// text layouts, so that a line is as safe to look at.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    match is_plain(text) {
        true => out.push_str(text),
        false => push_escaped(text, out),
    }
    out.push('"');
}

/// Appends what stands between the quotes of a string.
pub(in crate::layout) fn push_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) =
        find_byte(rest.as_bytes(), |byte| may_hide(byte) | (byte == b'"') | (byte == b'\\'))
    {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = tail.chars();
        if let Some(character) = characters.next() {
            push_character(character, out);
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn push_character(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        hidden if is_hidden(hidden) => {
            // Every hidden character has a code of at most four digits.
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                let digit = u32::from(hidden) >> shift & 0xf;
                out.extend(char::from_digit(digit, 16));
            }
        }
        plain => out.push(plain),
    }
}

/// Appends a comma, a name and a string, unless the string is empty.
pub(super) fn push_known(name: &str, text: &str, out: &mut String) {
    if !text.is_empty() {
        out.push_str(name);
        push_string(text, out);
    }
}

/// Appends a comma, a name and a number.
pub(super) fn push_number(name: &str, number: u64, out: &mut String) {
    out.push_str(name);
    push_integer(Scalar::U64(number), out);
}

/// Appends a comma, a name and an array of strings, unless there are none.
pub(super) fn push_strings(name: &str, texts: &[Box<str>], out: &mut String) {
    if texts.is_empty() {
        return;
    }
    out.push_str(name);
    for (index, text) in texts.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        push_string(text, out);
    }
    out.push(']');
}
