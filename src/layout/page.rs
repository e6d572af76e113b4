//! Lines on their way into a file.

use super::digits::eight_digits;
use crate::value::copy;

/// No buffer begins smaller.
const BYTES_MIN: usize = 4 << 10;
/// Any 8 digits plus this are their ASCII.
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;
const TEN_TO_8: u64 = 100_000_000;

/// Text that layouts add lines to and that is written out as bytes.
///
/// Keeps its memory when it is cleared.
///
/// # Examples
/// ```
/// use rollway::layout::Page;
///
/// let mut page = Page::new();
/// page.push_with(|text| text.push_str("one line\n"));
/// assert_eq!(page.as_bytes(), b"one line\n");
/// ```
#[derive(Clone, Default, Debug)]
pub struct Page {
    /// Text up to `len`, anything behind it: what is written there need not be cleared before.
    bytes: Vec<u8>,
    len: usize,
    /// All of the text where it is not empty: as long as nothing but strings was added.
    string: String,
}

/// The end of a page, where a line is being written.
///
/// Every method writes as many bytes as suit it and moves on by those that count: the next one
/// writes over the others. `None` where there is no room for them, which is part of no text.
pub(super) struct Line<'p> {
    room: &'p mut [u8],
}

impl Page {
    /// An empty page. Allocates nothing.
    pub fn new() -> Page {
        Page::default()
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        if self.string.is_empty() { &self.bytes[..self.len] } else { self.string.as_bytes() }
    }

    /// The length of the text in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the text away.
    pub fn clear(&mut self) {
        self.len = 0;
        self.string.clear();
    }

    /// Takes so many bytes away from the front, which end where a character does.
    pub(crate) fn remove_front(&mut self, bytes: usize) {
        if bytes == self.len() {
            return self.clear();
        }
        if !self.string.is_empty() {
            self.gather();
        }
        self.bytes.copy_within(bytes..self.len, 0);
        self.len -= bytes;
    }

    /// Appends text.
    pub fn push_str(&mut self, text: &str) {
        self.push_with(|string| string.push_str(text));
    }

    /// Appends what `write` appends to the string that it is given.
    ///
    /// What stands in the string is to be left alone.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.string);
        if self.len > 0 {
            self.gather();
        }
    }

    /// Appends bytes of another page, which begin and end where characters do.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        self.gather();
        self.reserve(bytes.len());
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a line of at most `bytes_max` bytes: what `write` has written, if that is `Some`.
    #[inline(always)]
    pub(super) fn push_line(
        &mut self,
        bytes_max: usize,
        write: impl FnOnce(&mut Line<'_>) -> Option<()>,
    ) -> Option<()> {
        if !self.string.is_empty() {
            self.gather();
        }
        self.reserve(bytes_max);
        let mut line = Line { room: self.bytes.get_mut(self.len..)? };
        write(&mut line)?;
        let unused = line.room.len();
        self.len = self.bytes.len() - unused;
        Some(())
    }

    /// Puts the string behind the bytes.
    #[cold]
    fn gather(&mut self) {
        self.reserve(self.string.len());
        let end = self.len + self.string.len();
        self.bytes[self.len..end].copy_from_slice(self.string.as_bytes());
        self.len = end;
        self.string.clear();
    }

    #[inline(always)]
    fn reserve(&mut self, bytes: usize) {
        if self.bytes.len() - self.len < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let needed = self.len + bytes;
        self.bytes.resize(needed.max(2 * self.bytes.len()).max(BYTES_MIN), 0);
    }
}

impl Line<'_> {
    /// Writes `N` bytes, of which the first `len` count.
    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Option<()> {
        let room = std::mem::take(&mut self.room);
        *room.first_chunk_mut()? = *bytes;
        self.room = &mut room[len.min(N)..];
        Some(())
    }

    /// Writes all of `bytes`.
    #[inline(always)]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let (place, room) = std::mem::take(&mut self.room).split_at_mut_checked(bytes.len())?;
        match bytes {
            [] => {}
            [first] => place[0] = *first,
            bytes => copy(place, bytes),
        }
        self.room = room;
        Some(())
    }

    #[inline(always)]
    pub(super) fn signed(&mut self, number: i64) -> Option<()> {
        self.array(b"-", usize::from(number < 0))?;
        self.unsigned(number.unsigned_abs())
    }

    #[inline(always)]
    pub(super) fn unsigned(&mut self, number: u64) -> Option<()> {
        if number < TEN_TO_8 {
            return self.number(number);
        }
        let (high, low) = (number / TEN_TO_8, number % TEN_TO_8);
        if high < TEN_TO_8 {
            self.number(high)?;
        } else {
            self.number(high / TEN_TO_8)?;
            self.filled(high % TEN_TO_8)?;
        }
        self.filled(low)
    }

    /// Writes the first `count` of nine digits of a number below 10⁹, zeros in front.
    #[inline(always)]
    pub(super) fn nine_digits(&mut self, number: u32, count: usize) -> Option<()> {
        let (first, rest) = (number / TEN_TO_8 as u32, u64::from(number) % TEN_TO_8);
        self.array(&[b'0' + first as u8], 1)?;
        self.array(&(eight_digits(rest) + ASCII_ZEROS).to_le_bytes(), count - 1)
    }

    /// Writes a number of millionths, as many decimals as it needs and no more.
    #[inline(always)]
    pub(super) fn millionths(&mut self, millionths: u64) -> Option<()> {
        self.unsigned(millionths / 1_000_000)?;
        let fraction = millionths % 1_000_000;
        if fraction > 0 {
            let digits = eight_digits(fraction * 100);
            let count = 8 - digits.leading_zeros() as usize / 8;
            self.array(b".", 1)?;
            self.array(&(digits + ASCII_ZEROS).to_le_bytes(), count)?;
        }
        Some(())
    }

    /// Writes a number below 10⁸.
    #[inline(always)]
    fn number(&mut self, number: u64) -> Option<()> {
        let digits = eight_digits(number);
        // The highest bit, which no digit has, keeps the last zero.
        let zeros = (digits | 1 << 63).trailing_zeros() / 8;
        let shown = (digits + ASCII_ZEROS) >> (8 * zeros);
        self.array(&shown.to_le_bytes(), 8 - zeros as usize)
    }

    /// Writes a number below 10⁸ with eight digits.
    #[inline(always)]
    fn filled(&mut self, number: u64) -> Option<()> {
        self.array(&(eight_digits(number) + ASCII_ZEROS).to_le_bytes(), 8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(write: impl Fn(&mut Line<'_>) -> Option<()>) -> String {
        let mut page = Page::new();
        page.push_str("before ");
        page.push_line(64, write).unwrap();
        let text = str::from_utf8(page.as_bytes()).unwrap();
        text.strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn strings_and_lines_stand_in_the_order_in_which_they_came() {
        let mut page = Page::new();
        for _ in 0..2 {
            page.push_str("a");
            page.push_with(|text| text.push('b'));
            assert_eq!(page.as_bytes(), b"ab");
            page.push_line(8, |line| line.bytes(b"c")).unwrap();
            page.push_str("d");
            page.push_bytes(b"e");
            assert_eq!((page.as_bytes(), page.len()), (&b"abcde"[..], 5));
            page.clear();
            assert!(page.is_empty());
        }
    }

    #[test]
    fn what_is_taken_from_the_front_leaves_the_rest() {
        for first_as_bytes in [false, true] {
            let mut page = Page::new();
            if first_as_bytes {
                page.push_bytes(b"first ");
            } else {
                page.push_str("first ");
            }
            page.push_str("second");
            page.remove_front(6);
            assert_eq!(page.as_bytes(), b"second");
            page.push_str(" third");
            page.remove_front(page.len());
            assert!(page.is_empty());
        }
    }

    #[test]
    fn a_line_that_is_given_up_leaves_the_page_as_it_was() {
        let mut page = Page::new();
        page.push_str("a\n");
        assert_eq!(page.push_line(8, |line| line.bytes(&[b'b'; 8192])), None);
        let given_up = page.push_line(8, |line| line.bytes(b"b").and(None));
        assert_eq!((given_up, page.as_bytes()), (None, &b"a\n"[..]));
    }

    #[test]
    fn numbers_of_every_length_have_all_their_digits() {
        for power in 0..20 {
            let border = 10u64.pow(power);
            for number in [border - 1, border, border + 1] {
                assert_eq!(line(|line| line.unsigned(number)), number.to_string());
                let (up, down) = (number as i64, (number as i64).wrapping_neg());
                assert_eq!(line(|line| line.signed(up)), up.to_string());
                assert_eq!(line(|line| line.signed(down)), down.to_string());
            }
        }
        assert_eq!(line(|line| line.unsigned(u64::MAX)), u64::MAX.to_string());
        assert_eq!(line(|line| line.signed(i64::MIN)), i64::MIN.to_string());
    }

    proptest! {
        #[test]
        fn any_number_has_all_its_digits(number: u64, bits in 0..64_u32, count in 1..=9_usize) {
            let number = number >> bits;
            prop_assert_eq!(line(|line| line.unsigned(number)), number.to_string());
            let fraction = (number % 1_000_000_000) as u32;
            let all = format!("{fraction:09}");
            prop_assert_eq!(line(|line| line.nine_digits(fraction, count)), &all[..count]);
        }

        #[test]
        fn texts_of_any_length_stand_behind_each_other(texts in prop::collection::vec("[a-z]{0,70}", 0..8)) {
            let mut page = Page::new();
            for text in &texts {
                page.push_line(70, |line| line.bytes(text.as_bytes())).unwrap();
            }
            prop_assert_eq!(str::from_utf8(page.as_bytes()).unwrap(), texts.concat());
        }
    }
}
