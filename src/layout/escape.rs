//! Control characters made visible, reversibly.
//!
//! **The rule.** A *hidden* character is written `\u{…}`, its code in lower-case hexadecimal
//! without leading zeros, as Rust writes it: a newline is `\u{a}`, an escape character `\u{1b}`.
//! Hidden are the C0 controls except the tab, DEL, the C1 controls, the line and paragraph
//! separators U+2028 and U+2029, and the bidirectional embeddings, overrides and isolates U+202A
//! to U+202E and U+2066 to U+2069. A backslash is written `\u{5c}` where the text itself already
//! reads as one of these escapes. Everything else, and so every other backslash, stays as it is.
//!
//! **Why it can be undone.** An escape holds no backslash but its first, so whether a backslash of
//! the output begins an escape depends on the characters behind it, and these are the same before
//! and after. A backslash that would begin one by accident never reaches the output as itself.

use std::borrow::Cow;

/// The backslash, when it must be escaped itself.
const BACKSLASH: &str = "\\u{5c}";

/// Digits of the longest escape.
const DIGITS_MAX: usize = 4;

/// Appends `text` to `out`, its hidden characters escaped.
///
/// Text without hidden characters and without a backslash before `u{` is copied whole.
///
/// # Examples
/// ```
/// use rollway::layout::escape::escape;
///
/// let mut line = String::new();
/// escape("C:\\new\r\n", &mut line);
/// assert_eq!(line, r"C:\new\u{d}\u{a}");
/// ```
pub fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = first_escaped(rest) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        rest = push_escaped(tail, out);
    }
    out.push_str(rest);
}

/// The text that [`escape`] was given. Text that holds no escapes is its own inverse.
///
/// # Examples
/// ```
/// use rollway::layout::escape::unescape;
///
/// assert_eq!(unescape(r"two\u{a}lines in C:\new"), "two\nlines in C:\\new");
/// ```
pub fn unescape(text: &str) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('\\') {
        if let Some((character, len)) = escape_at(&text[at..]) {
            plain.push_str(&text[copied..at]);
            plain.push(character);
            copied = at + len;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(&text[copied..]);
    Cow::Owned(plain)
}

/// Escapes what stands in `out` from byte `start` on. `scratch` is overwritten.
pub(super) fn escape_tail(out: &mut String, start: usize, scratch: &mut String) {
    if let Some(at) = first_escaped(&out[start..]) {
        scratch.clear();
        scratch.push_str(&out[start + at..]);
        out.truncate(start + at);
        escape(scratch, out);
    }
}

/// Whether a character is hidden, see the head of this module.
pub(super) fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08'
            | '\x0a'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Whether a hidden character may begin with this byte of UTF-8. The tab is among them: it is
/// hidden in JSON.
#[inline(always)]
pub(super) fn may_hide(byte: u8) -> bool {
    (byte < b' ') | (byte == 0x7f) | (byte == 0xc2) | (byte == 0xe2)
}

/// The first byte of which `suspect` is true.
///
/// Looks at 32 and then 8 bytes at a time without branches between them, which compiles to vector
/// instructions; ordinary text passes at several bytes a cycle.
#[inline(always)]
pub(super) fn find_byte(bytes: &[u8], suspect: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    let passed = clean_chunks::<32>(bytes, suspect);
    let start = passed + clean_chunks::<8>(&bytes[passed..], suspect);
    bytes[start..].iter().position(|&byte| suspect(byte)).map(|at| start + at)
}

/// How many bytes stand in the chunks of `N` before the first one with a suspect.
#[inline(always)]
fn clean_chunks<const N: usize>(bytes: &[u8], suspect: impl Fn(u8) -> bool) -> usize {
    let (chunks, _) = bytes.as_chunks::<N>();
    let is_clean = |chunk: &&[u8; N]| !chunk.iter().fold(false, |any, &byte| any | suspect(byte));
    chunks.iter().take_while(is_clean).count() * N
}

/// Where the first character stands that must not be copied as it is.
fn first_escaped(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let suspect = |byte: u8| (may_hide(byte) & (byte != b'\t')) | (byte == b'\\');
        let at = from + find_byte(&text.as_bytes()[from..], suspect)?;
        let tail = &text[at..];
        let character = tail.chars().next()?;
        if is_hidden(character) || (character == '\\' && escape_at(tail).is_some()) {
            return Some(at);
        }
        from = at + character.len_utf8();
    }
}

/// Appends the first character of `tail`, which is one to be escaped, and returns the rest.
fn push_escaped<'a>(tail: &'a str, out: &mut String) -> &'a str {
    let mut characters = tail.chars();
    match characters.next() {
        Some('\\') => out.push_str(BACKSLASH),
        Some(hidden) => out.extend(hidden.escape_unicode()),
        None => {}
    }
    characters.as_str()
}

/// The character that an escape at the front of `text` stands for, and the escape's bytes; `None`
/// where the text begins with none that [`escape`] writes.
fn escape_at(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix("\\u{")?;
    let len = digits.bytes().take(DIGITS_MAX + 1).position(|byte| byte == b'}')?;
    let digits = &digits[..len];
    let canonical = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        && (digits == "0" || !digits.starts_with('0'));
    let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    let known = canonical && (character == '\\' || is_hidden(character));
    known.then_some((character, "\\u{}".len() + digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(text, &mut out);
        out
    }

    #[test]
    fn ordinary_text_stays_byte_for_byte() {
        for text in [
            "",
            "tabs\tstay",
            r"C:\new\users\u\u{\u{e9}\u{41}\u{zz}",
            r"\\server\share \n \r \x1b \u001b \",
            "naïve — “quotes” 日本 🦀 \u{a0}\u{200e}\u{2060}\u{feff}",
        ] {
            assert_eq!(escaped(text), text);
            assert!(matches!(unescape(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn each_hidden_character_is_written_as_its_code() {
        assert_eq!(escaped("a\nb"), r"a\u{a}b");
        assert_eq!(escaped("\0\x1b[31m\x7f\u{9b}"), r"\u{0}\u{1b}[31m\u{7f}\u{9b}");
        assert_eq!(escaped("\u{2028}\u{202e}\u{2066}"), r"\u{2028}\u{202e}\u{2066}");
    }

    #[test]
    fn a_text_that_reads_as_an_escape_is_told_apart_from_the_character() {
        assert_eq!(escaped(r"\u{a}"), r"\u{5c}u{a}");
        assert_eq!(escaped(r"\u{5c}u{a}"), r"\u{5c}u{5c}u{a}");
        assert_eq!(escaped(r"\\u{a}"), r"\\u{5c}u{a}");
        assert_eq!(unescape(r"\u{5c}u{a}"), r"\u{a}");
    }

    #[test]
    fn every_single_character_comes_back_and_leaves_no_hidden_one() {
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            let escaped = escaped(&text);
            assert_eq!(unescape(&escaped), text);
            assert!(!escaped.chars().any(is_hidden), "{character:?}");
        }
    }

    #[test]
    fn a_hidden_character_is_found_at_every_place_of_a_long_text() {
        for at in 0..100 {
            let mut text = "x".repeat(100);
            text.insert(at, '\n');
            assert_eq!(escaped(&text).find('\\'), Some(at));
        }
    }

    #[test]
    fn only_the_tail_is_escaped() {
        let (mut out, mut scratch) = (String::from("head\n"), String::new());
        out.push_str("tail\nend");
        escape_tail(&mut out, 5, &mut scratch);
        assert_eq!(out, "head\ntail\\u{a}end");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert_eq!(unescape(&escaped), text);
        }

        #[test]
        fn any_text_near_the_syntax_of_escapes_comes_back(text in r"(\\|u|\{|\}|[0-9a-fA-F]|5c|\n|\x1b|\u{202e}){0,24}") {
            let escaped = escaped(&text);
            prop_assert!(!escaped.chars().any(is_hidden));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
