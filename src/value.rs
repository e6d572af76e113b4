//! The values of an event: their kinds, their bytes in a record, their decoded form.
//!
//! A record carries its values one behind the other, in the order of the placeholders of its
//! template and then of its key-values, without padding, little-endian:
//!
//! | kind | bytes |
//! |---|---|
//! | integers, floats, `bool`, `char` | their own width (1 to 16; a `char` is 4) |
//! | [`Kind::STR`], [`Kind::BYTES`], [`Kind::TEXT`] | `u32` length, then the bytes |
//! | any kind with [`Kind::OPTIONAL`] | one byte, 0 for `None` and then nothing, else 1 and the value |
//!
//! The kinds themselves stand in one word of the record's header, see [`crate::record`].

/// What a value is and how wide its bytes are: a number from 1 to 31, plus [`Kind::OPTIONAL`].
///
/// Six bits wide, so that ten kinds fit in one word; 0 ends the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(u8);

impl Kind {
    /// `u8`.
    pub const U8: Kind = Kind(1);
    /// `u16`.
    pub const U16: Kind = Kind(2);
    /// `u32`.
    pub const U32: Kind = Kind(3);
    /// `u64` and `usize`.
    pub const U64: Kind = Kind(4);
    /// `u128`.
    pub const U128: Kind = Kind(5);
    /// `i8`.
    pub const I8: Kind = Kind(6);
    /// `i16`.
    pub const I16: Kind = Kind(7);
    /// `i32`.
    pub const I32: Kind = Kind(8);
    /// `i64` and `isize`.
    pub const I64: Kind = Kind(9);
    /// `i128`.
    pub const I128: Kind = Kind(10);
    /// `f32`.
    pub const F32: Kind = Kind(11);
    /// `f64`.
    pub const F64: Kind = Kind(12);
    /// `bool`, one byte, 0 or 1.
    pub const BOOL: Kind = Kind(13);
    /// `char`, four bytes.
    pub const CHAR: Kind = Kind(14);
    /// A string, copied raw: the flags of its placeholder apply where it is read.
    pub const STR: Kind = Kind(15);
    /// A byte slice, copied raw.
    pub const BYTES: Kind = Kind(16);
    /// A value rendered at the log call by its own trait and with its flags: text to take as it is.
    pub const TEXT: Kind = Kind(17);

    /// Added to a kind when the value may be absent.
    pub const OPTIONAL: u8 = 32;
    /// Bits a kind takes in a record's word of kinds.
    pub const BITS: u32 = 6;

    /// The same kind for a value that may be absent.
    pub const fn optional(self) -> Kind {
        Kind(self.0 | Self::OPTIONAL)
    }

    /// Whether the value may be absent.
    pub const fn is_optional(self) -> bool {
        self.0 & Self::OPTIONAL != 0
    }

    /// The six-bit number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The kind with this number; `None` where no kind has it.
    pub const fn from_number(number: u8) -> Option<Kind> {
        match number & !Self::OPTIONAL {
            1..=17 if number < 64 => Some(Kind(number)),
            _ => None,
        }
    }
}

/// One value as it comes out of a record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// A value that was passed as itself.
    Plain(Scalar<'a>),
    /// A value that was passed as `Some`.
    Some(Scalar<'a>),
    /// `None`, of whatever type.
    None,
}

/// A value without its `Option`.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the type it is named after")]
pub enum Scalar<'a> {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    F32(f32),
    F64(f64),
    Bool(bool),
    Char(char),
    Str(&'a str),
    Bytes(&'a [u8]),
    /// Text rendered at the log call.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// The value inside, `None` for [`Value::None`].
    pub fn scalar(self) -> Option<Scalar<'a>> {
        match self {
            Value::Plain(scalar) | Value::Some(scalar) => Some(scalar),
            Value::None => None,
        }
    }

    /// Takes one value of `kind` from the front of `bytes`.
    ///
    /// `None`, with `bytes` in an unspecified state, when the bytes are too short or do not make a
    /// value of that kind (no `bool`, no `char`, no UTF-8).
    #[inline(always)]
    pub(crate) fn take(kind: Kind, bytes: &mut &'a [u8]) -> Option<Value<'a>> {
        if !kind.is_optional() {
            return Scalar::take(kind, bytes).map(Value::Plain);
        }
        match take_array::<1>(bytes)? {
            [0] => Some(Value::None),
            [1] => Scalar::take(kind, bytes).map(Value::Some),
            _ => None,
        }
    }
}

impl<'a> Scalar<'a> {
    #[inline(always)]
    fn take(kind: Kind, bytes: &mut &'a [u8]) -> Option<Scalar<'a>> {
        Some(match kind.number() & !Kind::OPTIONAL {
            1 => Scalar::U8(u8::from_le_bytes(take_array(bytes)?)),
            2 => Scalar::U16(u16::from_le_bytes(take_array(bytes)?)),
            3 => Scalar::U32(u32::from_le_bytes(take_array(bytes)?)),
            4 => Scalar::U64(u64::from_le_bytes(take_array(bytes)?)),
            5 => Scalar::U128(u128::from_le_bytes(take_array(bytes)?)),
            6 => Scalar::I8(i8::from_le_bytes(take_array(bytes)?)),
            7 => Scalar::I16(i16::from_le_bytes(take_array(bytes)?)),
            8 => Scalar::I32(i32::from_le_bytes(take_array(bytes)?)),
            9 => Scalar::I64(i64::from_le_bytes(take_array(bytes)?)),
            10 => Scalar::I128(i128::from_le_bytes(take_array(bytes)?)),
            11 => Scalar::F32(f32::from_le_bytes(take_array(bytes)?)),
            12 => Scalar::F64(f64::from_le_bytes(take_array(bytes)?)),
            13 => match take_array::<1>(bytes)? {
                [0] => Scalar::Bool(false),
                [1] => Scalar::Bool(true),
                _ => return None,
            },
            14 => Scalar::Char(char::from_u32(u32::from_le_bytes(take_array(bytes)?))?),
            15 => Scalar::Str(str::from_utf8(take_run(bytes)?).ok()?),
            16 => Scalar::Bytes(take_run(bytes)?),
            17 => Scalar::Text(str::from_utf8(take_run(bytes)?).ok()?),
            _ => return None,
        })
    }
}

/// Takes the first `N` bytes.
#[inline(always)]
pub(crate) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

/// Takes a run of bytes behind its `u32` length.
#[inline(always)]
pub(crate) fn take_run<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_le_bytes(take_array(bytes)?) as usize;
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}

/// Writes values behind each other into a slice that was sized for them.
///
/// Bytes beyond the end of the slice are not written; whoever sizes the slice from
/// `encoded_len` never meets that end.
pub struct Encoder<'a> {
    out: &'a mut [u8],
}

impl<'a> Encoder<'a> {
    /// Starts at the front of `out`.
    #[inline]
    pub fn new(out: &'a mut [u8]) -> Encoder<'a> {
        Encoder { out }
    }

    /// Appends a fixed number of bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((head, tail)) = std::mem::take(&mut self.out).split_first_chunk_mut::<N>() {
            *head = bytes;
            self.out = tail;
        }
    }

    /// Appends a `u32` length and the bytes.
    #[inline(always)]
    pub fn run(&mut self, bytes: &[u8]) {
        self.array((bytes.len() as u32).to_le_bytes());
        self.bytes(bytes);
    }

    /// Appends the bytes alone.
    #[inline(always)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some((head, tail)) = std::mem::take(&mut self.out).split_at_mut_checked(bytes.len())
        {
            copy(head, bytes);
            self.out = tail;
        }
    }

    /// The bytes not yet written.
    pub fn remaining(&self) -> usize {
        self.out.len()
    }
}

/// Copies `from` to `to`, which is as long. Up to 32 bytes in place, with two stores that may
/// overlap: a call costs more than a short string.
#[inline(always)]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let (first, last) = (from.first_chunk::<N>()?, from.last_chunk::<N>()?);
        *to.first_chunk_mut::<N>()? = *first;
        *to.last_chunk_mut::<N>()? = *last;
        Some(())
    }
    let copied = match from.len() {
        8..=16 => ends::<8>(to, from),
        17..=32 => ends::<16>(to, from),
        4..=7 => ends::<4>(to, from),
        _ => None,
    };
    if copied.is_none() {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_its_kind_is_refused() {
        assert_eq!(Value::take(Kind::BOOL, &mut &[2][..]), None);
        assert_eq!(Value::take(Kind::CHAR, &mut &0xd800u32.to_le_bytes()[..]), None);
        assert_eq!(Value::take(Kind::STR, &mut &[1, 0, 0, 0, 0xff][..]), None);
        assert_eq!(Value::take(Kind::STR, &mut &[2, 0, 0, 0, b'a'][..]), None);
        assert_eq!(Value::take(Kind::U64, &mut &[0; 7][..]), None);
        assert_eq!(Value::take(Kind::U8.optional(), &mut &[2, 0][..]), None);
    }

    #[test]
    fn bytes_of_every_length_are_copied_whole() {
        let bytes: Vec<u8> = (1..=200).collect();
        for len in 0..=bytes.len() {
            let mut out = vec![0; len + 1];
            let mut encoder = Encoder::new(&mut out);
            encoder.bytes(&bytes[..len]);
            assert_eq!(encoder.remaining(), 1);
            assert_eq!(out.split_last(), Some((&0, &bytes[..len])));
        }
    }

    #[test]
    fn every_kind_number_is_its_own_inverse() {
        for number in 0..=255 {
            if let Some(kind) = Kind::from_number(number) {
                assert_eq!(kind.number(), number);
            }
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(18), None);
        assert_eq!(Kind::from_number(64 + 1), None);
    }
}
