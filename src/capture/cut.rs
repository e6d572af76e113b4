//! Text that is longer than a record takes.

use crate::value::Encoder;

/// A text cut to a length: its beginning, up to a character border, and `…[1234 bytes cut]`.
///
/// Where not even the marker fits, the beginning stands alone.
struct Cut<'a> {
    kept: &'a [u8],
    marker: [u8; Cut::MARKER_BYTES_MAX],
    marker_len: usize,
}

impl<'a> Cut<'a> {
    const BEFORE_NUMBER: &'static [u8] = "…[".as_bytes();
    const BEHIND_NUMBER: &'static [u8] = b" bytes cut]";
    const MARKER_BYTES_MAX: usize = Self::BEFORE_NUMBER.len() + 20 + Self::BEHIND_NUMBER.len();

    /// Cuts `text`, which is UTF-8, to `max` bytes, marker included. `lost_bytes` are missing behind
    /// it already.
    #[cold]
    #[inline(never)]
    fn new(text: &'a [u8], lost_bytes: usize, max: usize) -> Cut<'a> {
        let mut cut = Cut { kept: text, marker: [0; Self::MARKER_BYTES_MAX], marker_len: 0 };
        // The number's digits depend on the length that is kept: no more digits than of everything.
        cut.mark(text.len() + lost_bytes);
        if cut.marker_len > max {
            cut.marker_len = 0;
        }
        cut.kept = up_to_border(text, max - cut.marker_len);
        if cut.marker_len > 0 {
            cut.mark(text.len() - cut.kept.len() + lost_bytes);
        }
        cut
    }

    /// Bytes of the text as it is after the cut.
    fn len(&self) -> usize {
        self.kept.len() + self.marker_len
    }

    /// Writes the text behind its `u32` length.
    #[cold]
    fn encode(&self, out: &mut Encoder<'_>) {
        out.array((self.len() as u32).to_le_bytes());
        out.bytes(self.kept);
        out.bytes(&self.marker[..self.marker_len]);
    }

    fn mark(&mut self, cut_bytes: usize) {
        let mut out = Encoder::new(&mut self.marker);
        out.bytes(Self::BEFORE_NUMBER);
        out.bytes(itoa::Buffer::new().format(cut_bytes).as_bytes());
        out.bytes(Self::BEHIND_NUMBER);
        self.marker_len = Self::MARKER_BYTES_MAX - out.remaining();
    }
}

/// Bytes of [`encode_text`].
#[inline(always)]
pub(super) fn text_len(text: &[u8], lost_bytes: usize, run_max: usize) -> usize {
    if text.len() <= run_max && lost_bytes == 0 {
        4 + text.len()
    } else {
        4 + Cut::new(text, lost_bytes, run_max).len()
    }
}

/// Writes a text, cut if it is longer than `run_max`, behind its `u32` length.
#[inline(always)]
pub(super) fn encode_text(text: &[u8], lost_bytes: usize, run_max: usize, out: &mut Encoder<'_>) {
    if text.len() <= run_max && lost_bytes == 0 {
        out.run(text);
    } else {
        Cut::new(text, lost_bytes, run_max).encode(out);
    }
}

/// The longest beginning of `text` that has at most `max` bytes and ends on a character border.
pub(super) fn up_to_border(text: &[u8], max: usize) -> &[u8] {
    let Some(mut kept) = text.get(..=max) else { return text };
    // The byte behind the last one kept must begin a character.
    while let [shorter @ .., behind] = kept {
        kept = shorter;
        if *behind & 0b1100_0000 != 0b1000_0000 {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, lost_bytes: usize, max: usize) -> String {
        let mut bytes = vec![0; text_len(text.as_bytes(), lost_bytes, max)];
        encode_text(text.as_bytes(), lost_bytes, max, &mut Encoder::new(&mut bytes));
        String::from_utf8(bytes.split_off(4)).unwrap()
    }

    #[test]
    fn a_text_is_cut_on_a_character_border_and_says_how_much_is_missing() {
        let text = "é".repeat(100);
        assert_eq!(cut(&text, 0, 200), text);
        assert_eq!(cut(&text, 0, 40), format!("{}…[178 bytes cut]", "é".repeat(11)));
        assert_eq!(cut(&text, 0, 41), format!("{}…[178 bytes cut]", "é".repeat(11)));
        assert_eq!(cut("short", 7, 40), "short…[7 bytes cut]");
        assert_eq!(cut(&text, 0, 5), "éé");
        assert_eq!(cut(&text, 0, 0), "");
        for max in 0..=text.len() {
            assert!(cut(&text, 0, max).len() <= max);
        }
    }
}
