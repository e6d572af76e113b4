//! Numbers → decimal digits, several at a time.

/// The eight digits of a number below 10⁸, the first in the lowest byte.
///
/// Splits into halves, quarters and eighths, each step for all parts at once: a division by a
/// constant is a product and a shift, here within the lanes of one word.
///
/// Source: Khuong, "How to print integers really fast", 2017.
#[inline(always)]
pub(super) fn eight_digits(number: u64) -> u64 {
    const PAIRS: u64 = 0x0000_007f_0000_007f;
    const DIGITS: u64 = 0x000f_000f_000f_000f;

    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = (halves * 10_486) >> 20 & PAIRS;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = (pairs * 103) >> 10 & DIGITS;
    tens | (pairs - 10 * tens) << 8
}

/// The millionths in a float of at most nine digits before its point that is the nearest one to
/// that many millionths, and whose shortest digits are therefore theirs.
///
/// At most 15 digits make the number of millionths: no two such decimals have the same nearest
/// float, so no shorter one has this, and none as long.
#[inline(always)]
pub(super) fn millionths(float: f64) -> Option<u64> {
    const PER_ONE: f64 = 1e6;

    let magnitude = float.abs();
    if magnitude >= 1e9 || magnitude.is_nan() {
        return None;
    }
    // The product is wrong by less than a quarter: half of the last of its 53 bits, twice.
    let millionths = (magnitude * PER_ONE + 0.5) as i64;
    (millionths as f64 / PER_ONE == magnitude).then_some(millionths.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_digits_comes_out_at_both_ends() {
        for half in 0..10_000 {
            for number in [half, half * 10_000, half * 10_000 + 9_999, 99_990_000 + half] {
                let digits =
                    eight_digits(number).to_le_bytes().map(|digit| char::from(b'0' + digit));
                assert_eq!(String::from_iter(digits), format!("{number:08}"));
            }
        }
    }

    #[test]
    fn a_decimal_of_few_digits_is_its_millionths_and_its_neighbours_are_none() {
        for millionths_of in [1, 10, 999_999, 1_250_000, 123_456_789, 999_999_999_999_999] {
            let float = millionths_of as f64 / 1e6;
            assert_eq!(millionths(float), Some(millionths_of));
            assert_eq!(millionths(-float), Some(millionths_of));
            assert_eq!(millionths(float.next_up()), None);
            assert_eq!(millionths(float.next_down()), None);
        }
        for float in [1e9, f64::NAN, f64::INFINITY, 1e-7, f64::MIN_POSITIVE] {
            assert_eq!(millionths(float), None);
        }
        assert_eq!(millionths(-0.0), Some(0));
    }
}
