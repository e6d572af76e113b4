//! Integers and floats with their flags.

use std::fmt::{Debug, Display, LowerExp, UpperExp};

use super::pad::pad_number;
use super::parse::Form;
use super::render::{Flags, put};
use crate::value::Scalar;

/// An integer of any width.
#[derive(Clone, Copy)]
pub(super) struct Integer {
    pub(super) is_negative: bool,
    pub(super) magnitude: u128,
    /// The two's complement in the integer's own width, which hexadecimal shows.
    bits: u128,
}

impl Integer {
    /// The integer in `scalar`; `None` for anything else.
    pub(super) fn of(scalar: Scalar<'_>) -> Option<Integer> {
        Some(match scalar {
            Scalar::U8(number) => Integer::from(number),
            Scalar::U16(number) => Integer::from(number),
            Scalar::U32(number) => Integer::from(number),
            Scalar::U64(number) => Integer::from(number),
            Scalar::U128(number) => Integer::from(number),
            Scalar::I8(n) => Integer::signed(n.into(), n.cast_unsigned().into()),
            Scalar::I16(n) => Integer::signed(n.into(), n.cast_unsigned().into()),
            Scalar::I32(n) => Integer::signed(n.into(), n.cast_unsigned().into()),
            Scalar::I64(n) => Integer::signed(n.into(), n.cast_unsigned().into()),
            Scalar::I128(n) => Integer::signed(n, n.cast_unsigned()),
            _ => return None,
        })
    }

    fn signed(number: i128, bits: u128) -> Integer {
        Integer { is_negative: number < 0, magnitude: number.unsigned_abs(), bits }
    }
}

impl<N: Into<u128>> From<N> for Integer {
    fn from(number: N) -> Integer {
        let bits = number.into();
        Integer { is_negative: false, magnitude: bits, bits }
    }
}

/// Appends an integer.
pub(super) fn push_integer(out: &mut String, flags: &Flags, integer: Integer) {
    let start = out.len();
    let prefix = match flags.form {
        Form::LowerHex | Form::UpperHex | Form::DebugLowerHex | Form::DebugUpperHex => "0x",
        Form::Octal => "0o",
        Form::Binary => "0b",
        _ => "",
    };
    // Where bits are shown they have no sign, but may be asked for a plus.
    push_sign(out, flags, integer.is_negative && prefix.is_empty());
    if flags.alternate {
        out.push_str(prefix);
    }
    let digits = out.len();
    match (flags.form, flags.precision) {
        (Form::UpperHex | Form::DebugUpperHex, _) => put(out, format_args!("{:X}", integer.bits)),
        (Form::LowerHex | Form::DebugLowerHex, _) => put(out, format_args!("{:x}", integer.bits)),
        (Form::Octal, _) => put(out, format_args!("{:o}", integer.bits)),
        (Form::Binary, _) => put(out, format_args!("{:b}", integer.bits)),
        (Form::LowerExp, None) => put(out, format_args!("{:e}", integer.magnitude)),
        (Form::UpperExp, None) => put(out, format_args!("{:E}", integer.magnitude)),
        (Form::LowerExp, Some(precision)) => {
            put(out, format_args!("{:.*e}", usize::from(precision), integer.magnitude));
        }
        (Form::UpperExp, Some(precision)) => {
            put(out, format_args!("{:.*E}", usize::from(precision), integer.magnitude));
        }
        (Form::Display | Form::Debug | Form::Pointer, _) => {
            out.push_str(itoa::Buffer::new().format(integer.magnitude));
        }
    }
    pad_number(out, start, digits, flags);
}

/// `f32` or `f64`.
pub(crate) trait Float:
    Copy + zmij::Float + Display + Debug + LowerExp + UpperExp + PartialOrd
{
    /// Whether the sign bit is set and shown, which it is not of what is no number.
    fn is_negative(self) -> bool;
    /// Without its sign.
    fn magnitude(self) -> Self;
    /// Digits behind the point, binary ones and so also decimal ones, of the exact value.
    fn fraction_digits(self) -> u32;
    /// Whether the shortest digits are certainly those of `std`, without an exponent: of 0.001 to
    /// 10⁹, those with a fraction that is either none or so long that the shortest digits, at most
    /// 20 behind the point, are more than one short of it.
    fn is_everyday(self) -> bool;
}

macro_rules! float {
    ($($float:ident)*) => {$(
        impl Float for $float {
            fn is_negative(self) -> bool {
                self.is_sign_negative() && !self.is_nan()
            }

            fn magnitude(self) -> $float {
                self.abs()
            }

            fn fraction_digits(self) -> u32 {
                const FRACTION_BITS: u32 = $float::MANTISSA_DIGITS - 1;
                const ONE: u32 = $float::MAX_EXP as u32 - 1;
                let bits = self.magnitude().to_bits();
                let exponent = (bits >> FRACTION_BITS) as u32;
                let significand = bits | 1 << FRACTION_BITS;
                (ONE + FRACTION_BITS).saturating_sub(exponent + significand.trailing_zeros())
            }

            fn is_everyday(self) -> bool {
                let digits = self.fraction_digits();
                (1e-3..1e9).contains(&self.magnitude()) && (digits == 0 || digits > 21)
            }
        }
    )*};
}

float!(f32 f64);

/// Appends a float with its flags.
pub(super) fn push_float<F: Float>(out: &mut String, flags: &Flags, number: F) {
    let start = out.len();
    #[allow(clippy::eq_op, reason = "what is no number differs from itself")]
    if number == number {
        push_sign(out, flags, number.is_negative());
    }
    let digits = out.len();
    let (number, precision) = (number.magnitude(), flags.precision.map(usize::from));
    match (flags.form, precision) {
        (Form::Debug | Form::DebugLowerHex | Form::DebugUpperHex, None) => {
            put(out, format_args!("{number:?}"));
        }
        (Form::LowerExp, None) => put(out, format_args!("{number:e}")),
        (Form::UpperExp, None) => put(out, format_args!("{number:E}")),
        (Form::LowerExp, Some(precision)) => put(out, format_args!("{number:.precision$e}")),
        (Form::UpperExp, Some(precision)) => put(out, format_args!("{number:.precision$E}")),
        (_, Some(precision)) => put(out, format_args!("{number:.precision$}")),
        (_, None) => push_plain_float(out, number),
    }
    pad_number(out, start, digits, flags);
}

/// Appends a float as `{}`.
///
/// The digits are the shortest that make the same float again; zmij finds them quickest. It also
/// ends whole numbers with `.0` and gives the largest and smallest an exponent, which `{}` never
/// does. And where the exact value has one digit more, a 5, two shortest are equally near: then
/// `std` takes the upper, zmij the even one.
pub(super) fn push_plain_float<F: Float>(out: &mut String, number: F) {
    match plain_float(number, &mut zmij::Buffer::new()) {
        Some(text) => out.push_str(text),
        None => put(out, format_args!("{number}")),
    }
}

/// What [`push_plain_float`] appends; `None` where only `std` can tell.
#[inline(always)]
pub(crate) fn plain_float<F: Float>(number: F, buffer: &mut zmij::Buffer) -> Option<&str> {
    let text = buffer.format(number);
    let text = text.strip_suffix(".0").unwrap_or(text);
    (number.is_everyday() || !needs_std(number, text)).then_some(text)
}

/// Whether `std` shows a float in another way than `text`.
#[cold]
fn needs_std<F: Float>(number: F, text: &str) -> bool {
    let fraction_digits = text.find('.').map_or(0, |point| text.len() - point - 1);
    let is_halfway = number.fraction_digits() as usize == fraction_digits + 1;
    is_halfway || text.contains('e')
}

fn push_sign(out: &mut String, flags: &Flags, is_negative: bool) {
    if is_negative {
        out.push('-');
    } else if flags.plus {
        out.push('+');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<F: Float>(number: F) {
        let mut shown = String::new();
        push_plain_float(&mut shown, number);
        assert_eq!(shown, number.to_string());
    }

    #[test]
    fn a_float_at_the_borders_of_each_way_reads_as_std_shows_it() {
        for power in -30..30 {
            for digits in [1.0, 1.5, 2.5, 9.5, 9.999999, 1.000001, 1.0000005, 999999.5] {
                let number = digits * 10f64.powi(power);
                for near in [number.next_down(), number, number.next_up()] {
                    check(near);
                    check(-near);
                    check(near as f32);
                }
            }
        }
        for odd in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324] {
            check(odd);
            check(odd as f32);
        }
    }

    proptest! {
        #[test]
        fn a_decimal_reads_as_std_shows_it(units in any::<i64>(), decimals in 0..20_i32, digits in 1..20_u32) {
            let number = (units % 10_i64.saturating_pow(digits)) as f64 / 10f64.powi(decimals);
            for near in [number.next_down(), number, number.next_up()] {
                check(near);
                check(near as f32);
            }
        }

        #[test]
        fn any_float_reads_as_std_shows_it(bits: u64, short_bits: u32) {
            check(f64::from_bits(bits));
            check(f32::from_bits(short_bits));
        }
    }
}
