//! Values that are copied as they are.

use super::Capture;
use super::cut::{encode_text, text_len};
use crate::value::{Encoder, Kind};

macro_rules! encode_fixed {
    ($($captured:ty: $kind:ident, |$value:ident| $bytes:expr;)*) => {$(
        impl Capture for $captured {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn encoded_len(&self, _: &[u8], _: usize) -> usize {
                size_of::<$captured>()
            }

            #[inline]
            fn encode(&self, _: &[u8], _: usize, out: &mut Encoder<'_>) {
                let $value = *self;
                out.array($bytes);
            }
        }
    )*};
}

encode_fixed! {
    u8: U8, |value| value.to_le_bytes();
    u16: U16, |value| value.to_le_bytes();
    u32: U32, |value| value.to_le_bytes();
    u64: U64, |value| value.to_le_bytes();
    u128: U128, |value| value.to_le_bytes();
    i8: I8, |value| value.to_le_bytes();
    i16: I16, |value| value.to_le_bytes();
    i32: I32, |value| value.to_le_bytes();
    i64: I64, |value| value.to_le_bytes();
    i128: I128, |value| value.to_le_bytes();
    f32: F32, |value| value.to_le_bytes();
    f64: F64, |value| value.to_le_bytes();
    bool: BOOL, |value| [u8::from(value)];
    char: CHAR, |value| u32::from(value).to_le_bytes();
}

impl Capture for &str {
    const KIND: Kind = Kind::STR;

    #[inline(always)]
    fn fits(&self, _: &[u8], run_max: usize) -> bool {
        self.len() <= run_max
    }

    #[inline]
    fn encoded_len(&self, _: &[u8], run_max: usize) -> usize {
        text_len(self.as_bytes(), 0, run_max)
    }

    #[inline]
    fn encode(&self, _: &[u8], run_max: usize, out: &mut Encoder<'_>) {
        encode_text(self.as_bytes(), 0, run_max, out);
    }
}

/// Longer bytes are cut without a marker: whatever it were, it could be data.
impl Capture for &[u8] {
    const KIND: Kind = Kind::BYTES;

    #[inline(always)]
    fn fits(&self, _: &[u8], run_max: usize) -> bool {
        self.len() <= run_max
    }

    #[inline]
    fn encoded_len(&self, _: &[u8], run_max: usize) -> usize {
        4 + self.len().min(run_max)
    }

    #[inline]
    fn encode(&self, _: &[u8], run_max: usize, out: &mut Encoder<'_>) {
        out.run(self.get(..run_max).unwrap_or(self));
    }
}

impl<T: Capture> Capture for Option<T> {
    const KIND: Kind = T::KIND.optional();

    #[inline(always)]
    fn fits(&self, scratch: &[u8], run_max: usize) -> bool {
        self.as_ref().is_none_or(|value| value.fits(scratch, run_max))
    }

    #[inline]
    fn encoded_len(&self, scratch: &[u8], run_max: usize) -> usize {
        1 + self.as_ref().map_or(0, |value| value.encoded_len(scratch, run_max))
    }

    #[inline]
    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>) {
        out.array([u8::from(self.is_some())]);
        if let Some(value) = self {
            value.encode(scratch, run_max, out);
        }
    }
}
