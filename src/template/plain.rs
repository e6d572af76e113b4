//! Text that no layout has to escape.

/// Whether a text is *plain*: printable ASCII without quotes and backslashes.
///
/// What is plain stays so beside other plain text, and no layout escapes or quotes any of it; text
/// that is not plain has to be looked at character by character. Looks at eight bytes at a time
/// without branches between them.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) & (*byte != b'"') & (*byte != b'\\');
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    chunks.iter().all(|chunk| chunk.iter().fold(true, |all, byte| all & is_plain(byte)))
        && rest.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii_without_quotes_and_backslashes() {
        for character in '\0'..=char::MAX {
            let expected = matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
            assert_eq!(is_plain(character.encode_utf8(&mut [0; 4])), expected, "{character:?}");
        }
    }

    #[test]
    fn one_character_that_is_not_plain_is_found_at_every_place() {
        for (len, other) in (1..40).flat_map(|len| [(len, '\n'), (len, '\\'), (len, 'é')]) {
            assert!(is_plain(&"x".repeat(len)));
            for at in 0..=len {
                let mut text = "x".repeat(len);
                text.insert(at, other);
                assert!(!is_plain(&text), "{other:?} at {at} of {len}");
            }
        }
    }
}
