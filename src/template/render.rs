//! One value and its flags → text.

use std::fmt::Write as _;

use super::number::{Integer, push_float, push_integer, push_plain_float};
use super::pad::{pad, push_indented};
use super::parse::{Align, Count, Form, Spec};
use super::plain::is_plain;
use crate::value::{Scalar, Value};

/// What a placeholder says about its value, counts known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) fill: char,
    pub(super) align: Option<Align>,
    pub(super) plus: bool,
    pub(super) alternate: bool,
    pub(super) zero: bool,
    /// In characters; 0 for none.
    pub(super) width: u16,
    pub(super) precision: Option<u16>,
    pub(super) form: Form,
}

/// A message on its way.
pub(super) struct Renderer<'o> {
    pub(super) out: &'o mut String,
    /// Length of `out` from which on it takes no more.
    end: usize,
    /// Whether everything so far is plain.
    pub(super) is_plain: bool,
}

impl From<Spec<'_>> for Flags {
    fn from(spec: Spec<'_>) -> Flags {
        let fixed = |count| match count {
            Count::Fixed(number) => Some(number),
            Count::None | Count::Argument(_) => None,
        };
        Flags {
            fill: spec.fill,
            align: spec.align,
            plus: spec.plus,
            alternate: spec.alternate,
            zero: spec.zero,
            width: fixed(spec.width).unwrap_or(0),
            precision: fixed(spec.precision),
            form: spec.form,
        }
    }
}

impl Flags {
    fn is_debug(&self) -> bool {
        matches!(self.form, Form::Debug | Form::DebugLowerHex | Form::DebugUpperHex)
    }
}

impl<'o> Renderer<'o> {
    /// Appends to `out`, about `bytes_max` bytes.
    pub(super) fn new(out: &'o mut String, bytes_max: usize) -> Renderer<'o> {
        let end = out.len().saturating_add(bytes_max);
        Renderer { out, end, is_plain: true }
    }

    /// Whether no more should be appended.
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= self.end
    }

    /// Appends a value as `{}`; this is most of them.
    #[inline(always)]
    pub(super) fn display(&mut self, value: Value<'_>) {
        match value {
            Value::Plain(scalar) => self.display_scalar(scalar),
            Value::None => self.out.push_str("None"),
            Value::Some(scalar) => self.display_some(scalar),
        }
    }

    #[cold]
    fn display_some(&mut self, scalar: Scalar<'_>) {
        self.out.push_str("Some(");
        self.display_scalar(scalar);
        self.out.push(')');
    }

    #[inline(always)]
    fn display_scalar(&mut self, scalar: Scalar<'_>) {
        let mut integer = itoa::Buffer::new();
        self.out.push_str(match scalar {
            Scalar::Str(text) | Scalar::Text(text) => {
                self.is_plain &= is_plain(text);
                text
            }
            Scalar::U8(number) => integer.format(number),
            Scalar::U16(number) => integer.format(number),
            Scalar::U32(number) => integer.format(number),
            Scalar::U64(number) => integer.format(number),
            Scalar::U128(number) => integer.format(number),
            Scalar::I8(number) => integer.format(number),
            Scalar::I16(number) => integer.format(number),
            Scalar::I32(number) => integer.format(number),
            Scalar::I64(number) => integer.format(number),
            Scalar::I128(number) => integer.format(number),
            Scalar::F32(number) => return push_plain_float(self.out, number),
            Scalar::F64(number) => return push_plain_float(self.out, number),
            Scalar::Bool(true) => "true",
            Scalar::Bool(false) => "false",
            Scalar::Char(c) => {
                self.is_plain &= is_plain(c.encode_utf8(&mut [0; 4]));
                return self.out.push(c);
            }
            Scalar::Bytes(bytes) => return self.list(&Flags::from(Spec::NONE), bytes),
        });
    }

    /// Appends a value with its flags.
    pub(super) fn formatted(&mut self, flags: &Flags, value: Value<'_>) {
        let start = self.out.len();
        match value {
            Value::Plain(scalar) => self.scalar(flags, scalar),
            // `None` takes no notice of flags, and `Some` hands them on.
            Value::None => self.out.push_str("None"),
            Value::Some(scalar) if flags.alternate => {
                self.out.push_str("Some(\n");
                self.indented(|inner| inner.scalar(flags, scalar));
                self.out.push(')');
            }
            Value::Some(scalar) => {
                self.out.push_str("Some(");
                self.scalar(flags, scalar);
                self.out.push(')');
            }
        }
        self.is_plain = self.is_plain && is_plain(&self.out[start..]);
    }

    fn scalar(&mut self, flags: &Flags, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Text(text) => self.out.push_str(text),
            // Debug quotes and escapes, whatever the flags.
            Scalar::Str(text) if flags.is_debug() => put(self.out, format_args!("{text:?}")),
            Scalar::Char(c) if flags.is_debug() => put(self.out, format_args!("{c:?}")),
            Scalar::Str(text) => self.text(flags, text),
            Scalar::Char(c) => self.text(flags, c.encode_utf8(&mut [0; 4])),
            Scalar::Bool(true) => self.text(flags, "true"),
            Scalar::Bool(false) => self.text(flags, "false"),
            Scalar::Bytes(bytes) => self.list(flags, bytes),
            Scalar::F32(number) => push_float(self.out, flags, number),
            Scalar::F64(number) => push_float(self.out, flags, number),
            integer => {
                if let Some(integer) = Integer::of(integer) {
                    push_integer(self.out, flags, integer);
                }
            }
        }
    }

    /// Text with `Display`: cut to the precision, filled to the width.
    fn text(&mut self, flags: &Flags, text: &str) {
        let start = self.out.len();
        let end = flags.precision.and_then(|max| text.char_indices().nth(usize::from(max)));
        self.out.push_str(end.map_or(text, |(end, _)| &text[..end]));
        pad(self.out, start, flags, Align::Left);
    }

    /// Bytes, as a list of numbers which the flags are for.
    fn list(&mut self, flags: &Flags, bytes: &[u8]) {
        self.out.push('[');
        if flags.alternate && !bytes.is_empty() {
            self.out.push('\n');
        }
        for (index, byte) in bytes.iter().enumerate() {
            if self.is_full() {
                self.out.push('…');
                self.is_plain = false;
                break;
            }
            if flags.alternate {
                self.indented(|inner| inner.scalar(flags, Scalar::U8(*byte)));
                continue;
            }
            if index > 0 {
                self.out.push_str(", ");
            }
            push_integer(self.out, flags, Integer::from(*byte));
        }
        self.out.push(']');
    }

    /// Appends what `render` appends, a comma and a line break, every line indented.
    fn indented(&mut self, render: impl FnOnce(&mut Renderer<'_>)) {
        let mut inner = String::new();
        render(&mut Renderer::new(&mut inner, self.end.saturating_sub(self.out.len())));
        inner.push_str(",\n");
        push_indented(self.out, &inner);
    }
}

/// Appends what `arguments` show.
pub(super) fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Neither a String nor what is rendered here fails.
    let _ = out.write_fmt(arguments);
}
