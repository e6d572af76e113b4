//! Text that no layout has to escape.

/// Whether a text is *plain*: printable ASCII without quotes and backslashes.
///
/// What is plain stays so beside other plain text, and no layout escapes or quotes any of it; text
/// that is not plain has to be looked at character by character.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    all_words(text.as_bytes(), |word| hides(word) | holds(word, b'"') == 0)
}

/// The same where quotes do no harm; bytes of which this is true are UTF-8.
#[inline(always)]
pub(crate) fn is_plain_but_for_quotes(bytes: &[u8]) -> bool {
    all_words(bytes, |word| hides(word) == 0)
}

/// The same without blanks, quotes and equals signs.
#[inline(always)]
pub(crate) fn is_plain_word(bytes: &[u8]) -> bool {
    let breaks = |word| holds(word, b' ') | holds(word, b'"') | holds(word, b'=');
    all_words(bytes, |word| hides(word) | breaks(word) == 0)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x80 * ONES;

/// Not 0 if one of eight bytes is a backslash or not printable ASCII.
#[inline(always)]
fn hides(word: u64) -> u64 {
    let below_blank = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    let above_tilde = word | word.wrapping_add(ONES);
    ((below_blank | above_tilde) & HIGHS) | holds(word, b'\\')
}

/// Not 0 if one of eight bytes is `byte`.
#[inline(always)]
fn holds(word: u64, byte: u8) -> u64 {
    let differences = word ^ (ONES * u64::from(byte));
    differences.wrapping_sub(ONES) & !differences & HIGHS
}

/// Whether `is_fine` is true of all bytes, eight at a time, some of them twice.
#[inline(always)]
fn all_words(bytes: &[u8], is_fine: impl Fn(u64) -> bool) -> bool {
    let word = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
    let (chunks, rest) = bytes.as_chunks::<8>();
    if let Some(last) = bytes.last_chunk::<8>() {
        return chunks.iter().all(|chunk| is_fine(word(chunk)))
            && (rest.is_empty() || is_fine(word(last)));
    }
    let half = |chunk: &[u8; 4]| u64::from(u32::from_le_bytes(*chunk));
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => is_fine(half(first) | half(last) << 32),
        (_, _, []) => true,
        (_, _, [first, .., last]) => {
            let middle = bytes[bytes.len() / 2];
            is_fine(word(&[*first, middle, *last, *last, *last, *last, *last, *last]))
        }
        (_, _, [only]) => is_fine(ONES * u64::from(*only)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii_without_quotes_and_backslashes() {
        for character in '\0'..=char::MAX {
            let expected = matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
            let mut buffer = [0; 4];
            let text = &*character.encode_utf8(&mut buffer);
            assert_eq!(is_plain(text), expected, "{character:?}");
            let but_for_quotes = is_plain_but_for_quotes(text.as_bytes());
            assert_eq!(but_for_quotes, expected || character == '"', "{character:?}");
            let is_word = expected && !matches!(character, ' ' | '=');
            assert_eq!(is_plain_word(text.as_bytes()), is_word, "{character:?}");
        }
    }

    #[test]
    fn no_byte_hides_another() {
        for (byte, other) in
            (0..=u8::MAX).flat_map(|byte| (0..=u8::MAX).map(move |other| (byte, other)))
        {
            let one = |byte: u8| is_plain_word(&[byte]);
            let expected = one(byte) && one(other);
            for bytes in
                [&[byte, other][..], &[byte, b'x', other], &[b'x', b'x', byte, other, b'x']]
            {
                assert_eq!(is_plain_word(bytes), expected, "{bytes:?}");
            }
            let mut bytes = [b'x'; 19];
            (bytes[3], bytes[4]) = (byte, other);
            assert_eq!(is_plain_word(&bytes), expected, "{bytes:?}");
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
