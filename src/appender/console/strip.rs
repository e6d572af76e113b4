//! Text without its colours.

use std::borrow::Cow;

const ESCAPE: u8 = 0x1b;

/// The text without its SGR sequences: `ESC [`, digits, `;` and `:`, `m`. Everything else stays.
///
/// Only a layout writes them: an escape character of an event's own is escaped by it.
pub(super) fn without_colours(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == ESCAPE) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let length = sequence_bytes(rest).unwrap_or_else(|| {
            out.push(ESCAPE);
            1
        });
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The length of the SGR sequence that the text begins with.
fn sequence_bytes(text: &[u8]) -> Option<usize> {
    let parameters = text.strip_prefix(b"\x1b[")?;
    let is_parameter = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let end = parameters.iter().position(|byte| !is_parameter(byte))?;
    (parameters[end] == b'm').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_everything_else_stays() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"plain", b"plain"),
            (b"\x1b[1;31mred\x1b[0m\n", b"red\n"),
            (b"\x1b[m\x1b[38:5:7ma", b"a"),
            (b"\x1b[2Jcleared", b"\x1b[2Jcleared"),
            (b"\x1b[31", b"\x1b[31"),
            (b"\x1b\x1b[0m", b"\x1b"),
        ];
        for (text, expected) in cases {
            assert_eq!(&*without_colours(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
