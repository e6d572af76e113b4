//! From the arguments of a log call to the values of a record.
//!
//! The macros wrap each argument in an [`Argument`], together with something that would render it,
//! and call `capture`. A type that has [`CaptureRaw`] is captured as itself and formatted where the
//! record is read. For any other, method resolution dereferences the [`Argument`] and finds the
//! `capture` of [`Rendered`], which asks the value's own trait during the call. So no trait has to
//! be in scope where a macro is used.
//!
//! The values of one call form a list of pairs, `(first, (second, ()))`, see [`Values`]: what can be
//! known of their sizes at compile time, is.
//!
//! The type of an integer literal is not yet known when `capture` is looked up: `vec![1, 2]` would
//! become a list of `u8`, were that the only list in [`CaptureRaw`]. Therefore each list of integers
//! is in it, and all but those of `u8` are captured as [`Rendered`] there.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use crate::level::Level;
use crate::record::{self, Kinds};
use crate::site::Definition;
use crate::value::{Encoder, Kind};

/// One captured argument.
///
/// The engine calls `prepare` once, then `encoded_len`, then `encode`, the last two with one
/// `run_max`.
pub trait Capture {
    /// The kind of the value in the record.
    const KIND: Kind;
    /// Whether [`Capture::prepare`] renders. Then the time of the event is read after it.
    const RENDERS: bool = false;

    /// Renders the value at the end of `scratch`, when it is one that must be rendered.
    ///
    /// Runs the argument's own code, which may log. Never unwinds.
    #[inline(always)]
    fn prepare(&mut self, scratch: &mut Vec<u8>) {
        let _ = scratch;
    }

    /// Whether [`Capture::encode`] would cut nothing off: text and bytes have at most `run_max` bytes.
    #[inline(always)]
    fn fits(&self, scratch: &[u8], run_max: usize) -> bool {
        let _ = (scratch, run_max);
        true
    }

    /// Bytes that [`Capture::encode`] will write: of a string or of bytes at most `run_max + 5`.
    fn encoded_len(&self, scratch: &[u8], run_max: usize) -> usize;

    /// Writes the value; text and bytes longer than `run_max` bytes are cut. Text is cut on a
    /// character border and ends with `…[1234 bytes cut]`; bytes have no marker.
    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>);
}

/// The captured values of one call: `()`, or a value and the rest.
pub trait Values {
    /// The kinds for the record's header.
    const KINDS: Kinds;
    /// Whether any value is rendered at the call. Then it needs a scratch, and the time of the event
    /// is read after [`Values::prepare`].
    const RENDERS: bool;

    /// Renders at the end of `scratch` what must be rendered. Runs foreign code, which may log.
    fn prepare(&mut self, scratch: &mut Vec<u8>);

    /// Writes the kinds one byte each, as records with more than ten values have them.
    fn encode_kinds(out: &mut Encoder<'_>);

    /// Whether each value [fits](Capture::fits).
    fn fit(&self, scratch: &[u8], run_max: usize) -> bool;

    /// Bytes of [`Values::encode`]. A constant where no value is a string, bytes or optional.
    fn encoded_len(&self, scratch: &[u8], run_max: usize) -> usize;

    /// Writes the values in order, each text and bytes cut to `run_max` bytes.
    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>);
}

impl Values for () {
    const KINDS: Kinds = Kinds::NONE;
    const RENDERS: bool = false;

    #[inline(always)]
    fn prepare(&mut self, _: &mut Vec<u8>) {}

    #[inline(always)]
    fn encode_kinds(_: &mut Encoder<'_>) {}

    #[inline(always)]
    fn fit(&self, _: &[u8], _: usize) -> bool {
        true
    }

    #[inline(always)]
    fn encoded_len(&self, _: &[u8], _: usize) -> usize {
        0
    }

    #[inline(always)]
    fn encode(&self, _: &[u8], _: usize, _: &mut Encoder<'_>) {}
}

impl<First: Capture, Rest: Values> Values for (First, Rest) {
    const KINDS: Kinds = Rest::KINDS.prepend(First::KIND);
    const RENDERS: bool = First::RENDERS || Rest::RENDERS;

    #[inline(always)]
    fn prepare(&mut self, scratch: &mut Vec<u8>) {
        self.0.prepare(scratch);
        self.1.prepare(scratch);
    }

    #[inline(always)]
    fn encode_kinds(out: &mut Encoder<'_>) {
        out.array([First::KIND.number()]);
        Rest::encode_kinds(out);
    }

    #[inline(always)]
    fn fit(&self, scratch: &[u8], run_max: usize) -> bool {
        self.0.fits(scratch, run_max) && self.1.fit(scratch, run_max)
    }

    #[inline(always)]
    fn encoded_len(&self, scratch: &[u8], run_max: usize) -> usize {
        self.0.encoded_len(scratch, run_max) + self.1.encoded_len(scratch, run_max)
    }

    #[inline(always)]
    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>) {
        self.0.encode(scratch, run_max, out);
        self.1.encode(scratch, run_max, out);
    }
}

/// The longest `run_max` (to a few bytes) with which `values` take at most `limit` bytes; `None`
/// where they are more than `limit` even with every string empty.
///
/// Cold: about 20 walks over the values.
#[cold]
pub fn run_max_within(values: &impl Values, scratch: &[u8], limit: usize) -> Option<usize> {
    let fits = |run_max| values.encoded_len(scratch, run_max) <= limit;
    // The first fits, the second may not.
    let (mut fitting, mut refused) = (fits(0).then_some(0)?, limit + 1);
    while fitting + 1 < refused {
        let middle = fitting + (refused - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            refused = middle;
        }
    }
    Some(fitting)
}

/// The bytes of a whole record: the plain form of what the engine does in place.
///
/// `id` is the site's, `None` writes the definition into the record, with `target` in the place of
/// its own where one is given. Strings are cut so that the record takes at most `limit` bytes;
/// `None` where it takes more without them.
pub fn encode_record<V: Values>(
    site: &Definition<'_>,
    id: Option<u32>,
    level: Level,
    target: Option<&str>,
    ticks: u64,
    limit: usize,
    mut values: V,
) -> Option<Vec<u8>> {
    let mut scratch = Vec::new();
    values.prepare(&mut scratch);

    let id = id.filter(|_| target.is_none());
    let definition = Definition { level, target: target.unwrap_or(site.target), ..*site };
    let definition_bytes = if id.is_none() { definition.encoded_len() } else { 0 };
    let fixed_bytes = V::KINDS.listed_bytes() + definition_bytes;
    let free_bytes = limit.min(record::MAX_BYTES).checked_sub(record::padded_len(fixed_bytes))?;
    let run_max = run_max_within(&values, &scratch, free_bytes)?;

    let len = record::padded_len(fixed_bytes + values.encoded_len(&scratch, run_max));
    let mut bytes = vec![0; len];
    let mut out = Encoder::new(&mut bytes);
    record::put_header(&mut out, len, level, id.unwrap_or(record::INLINE), ticks, V::KINDS.word());
    if V::KINDS.listed_bytes() > 0 {
        V::encode_kinds(&mut out);
    }
    if id.is_none() {
        definition.encode(&mut out);
    }
    values.encode(&scratch, run_max, &mut out);
    Some(bytes)
}

/// An argument, and what renders it where it has no raw form.
///
/// `capture` is the value's own form if its type has one, else that of [`Rendered`].
pub struct Argument<'a, T: ?Sized, R> {
    value: &'a T,
    rendered: Rendered<R>,
}

impl<'a, T: ?Sized, R> Argument<'a, T, R> {
    /// An argument that `render` would render.
    #[inline]
    pub fn new(value: &'a T, render: R) -> Argument<'a, T, R> {
        Argument { value, rendered: Rendered::new(render) }
    }
}

impl<'a, T: CaptureRaw<'a, R> + ?Sized, R: Copy> Argument<'a, T, R> {
    /// The value as itself.
    #[inline]
    pub fn capture(&self) -> T::Captured {
        self.value.capture_raw(self.rendered.render)
    }
}

impl<T: ?Sized, R> Deref for Argument<'_, T, R> {
    type Target = Rendered<R>;

    #[inline]
    fn deref(&self) -> &Rendered<R> {
        &self.rendered
    }
}

/// A type whose values can be copied as they are. `R` renders the value where that is no use after
/// all.
pub trait CaptureRaw<'a, R> {
    /// What a record takes: a [`Capture`], if `R` can render where that is needed.
    type Captured;
    /// What a record takes of an `Option` of this.
    type Optional;

    /// Takes a copy of a fixed-size value, a reference to any other.
    fn capture_raw(&'a self, render: R) -> Self::Captured;

    /// The same for a value that may be absent; `render` renders the `Option`.
    fn capture_optional(value: Option<&'a Self>, render: R) -> Self::Optional;
}

macro_rules! capture_copies {
    ($($source:ty => $captured:ty;)*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for $source {
            type Captured = $captured;
            type Optional = Option<$captured>;

            #[inline]
            fn capture_raw(&'a self, _: R) -> $captured {
                *self as $captured
            }

            #[inline]
            fn capture_optional(value: Option<&'a $source>, _: R) -> Option<$captured> {
                value.map(|value| *value as $captured)
            }
        }
    )*};
}

capture_copies! {
    u8 => u8; u16 => u16; u32 => u32; u64 => u64; u128 => u128; usize => u64;
    i8 => i8; i16 => i16; i32 => i32; i64 => i64; i128 => i128;
    f32 => f32; f64 => f64; bool => bool; char => char;
}
// A negative number shows its width in hexadecimal.
#[cfg(target_pointer_width = "64")]
capture_copies! { isize => i64; }
#[cfg(not(target_pointer_width = "64"))]
capture_copies! { isize => i32; }

macro_rules! capture_references {
    ($($source:ty),*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for $source {
            type Captured = &'a $source;
            type Optional = Option<&'a $source>;

            #[inline]
            fn capture_raw(&'a self, _: R) -> &'a $source {
                self
            }

            #[inline]
            fn capture_optional(value: Option<&'a $source>, _: R) -> Option<&'a $source> {
                value
            }
        }
    )*};
}

capture_references!(str, [u8]);

macro_rules! render_lists {
    ($($element:ty)*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for [$element] {
            type Captured = Rendered<R>;
            type Optional = Rendered<R>;

            #[inline]
            fn capture_raw(&'a self, render: R) -> Rendered<R> {
                Rendered::new(render)
            }

            #[inline]
            fn capture_optional(_: Option<&'a [$element]>, render: R) -> Rendered<R> {
                Rendered::new(render)
            }
        }
    )*};
}

render_lists!(u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! capture_through {
    ($([$($generics:tt)*] $source:ty => $inner:ty;)*) => {$(
        impl<'a, R, $($generics)*> CaptureRaw<'a, R> for $source
        where
            $inner: CaptureRaw<'a, R>,
        {
            type Captured = <$inner as CaptureRaw<'a, R>>::Captured;
            type Optional = <$inner as CaptureRaw<'a, R>>::Optional;

            #[inline]
            fn capture_raw(&'a self, render: R) -> Self::Captured {
                let inner: &'a $inner = self;
                inner.capture_raw(render)
            }

            #[inline]
            fn capture_optional(value: Option<&'a Self>, render: R) -> Self::Optional {
                let inner = value.map(|value| -> &'a $inner { value });
                <$inner as CaptureRaw<'a, R>>::capture_optional(inner, render)
            }
        }
    )*};
}

capture_through! {
    [T: ?Sized] &T => T;
    [T: ?Sized] &mut T => T;
    [T: ?Sized] Box<T> => T;
    [T: ?Sized] Rc<T> => T;
    [T: ?Sized] Arc<T> => T;
    [T: ?Sized + ToOwned] Cow<'_, T> => T;
    [] String => str;
    [T] Vec<T> => [T];
    [T, const N: usize] [T; N] => [T];
}

impl<'a, T: CaptureRaw<'a, R>, R> CaptureRaw<'a, R> for Option<T> {
    type Captured = T::Optional;
    /// A record has no kind for an `Option` of an `Option`.
    type Optional = Rendered<R>;

    #[inline]
    fn capture_raw(&'a self, render: R) -> T::Optional {
        T::capture_optional(self.as_ref(), render)
    }

    #[inline]
    fn capture_optional(_: Option<&'a Option<T>>, render: R) -> Rendered<R> {
        Rendered::new(render)
    }
}

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

/// Bytes that one rendered value can take in a scratch: as many as a record can.
pub const RENDERED_BYTES_MAX: usize = record::MAX_BYTES;

/// A value that is rendered at the log call.
///
/// A value whose trait panics or fails is the text `<formatting panicked>` or `<formatting failed>`.
/// Text beyond [`RENDERED_BYTES_MAX`] is counted, not kept.
pub struct Rendered<R> {
    render: R,
    /// Where in the scratch the text stands.
    place: Range<usize>,
    /// Bytes that were rendered and not kept.
    lost_bytes: usize,
}

impl<R> Rendered<R> {
    /// A value that `render` will render.
    #[inline]
    pub fn new(render: R) -> Rendered<R> {
        Rendered { render, place: 0..0, lost_bytes: 0 }
    }

    /// The text, empty before [`Capture::prepare`].
    fn text<'s>(&self, scratch: &'s [u8]) -> &'s [u8] {
        scratch.get(self.place.clone()).unwrap_or_default()
    }
}

// The counterparts of `Argument::capture`, for what has no raw form.

impl<'a, T: ?Sized> Rendered<By<'a, T>> {
    /// The value, to be rendered.
    #[inline]
    pub fn capture(&self) -> Rendered<By<'a, T>> {
        Rendered::new(self.render)
    }
}

impl<'a, T: ?Sized> Rendered<ByDisplay<'a, T>> {
    /// The value, to be rendered.
    #[inline]
    pub fn capture(&self) -> Rendered<By<'a, T>>
    where
        T: fmt::Display,
    {
        Rendered::new(By::display(self.render.0))
    }
}

impl<R: fmt::Display> Capture for Rendered<R> {
    const KIND: Kind = Kind::TEXT;
    const RENDERS: bool = true;

    fn prepare(&mut self, scratch: &mut Vec<u8>) {
        let start = scratch.len();
        let mut out = Bounded { scratch, free_bytes: RENDERED_BYTES_MAX, lost_bytes: 0 };
        let outcome = catch_unwind(AssertUnwindSafe(|| write!(out, "{}", self.render)));
        self.lost_bytes = out.lost_bytes;
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(fmt::Error)) => Some("<formatting failed>"),
            Err(payload) => {
                // What was thrown may throw again when it is dropped.
                std::mem::forget(payload);
                Some("<formatting panicked>")
            }
        };
        if let Some(failure) = failure {
            scratch.truncate(start);
            scratch.extend_from_slice(failure.as_bytes());
            self.lost_bytes = 0;
        }
        self.place = start..scratch.len();
    }

    fn fits(&self, scratch: &[u8], run_max: usize) -> bool {
        self.lost_bytes == 0 && self.text(scratch).len() <= run_max
    }

    fn encoded_len(&self, scratch: &[u8], run_max: usize) -> usize {
        text_len(self.text(scratch), self.lost_bytes, run_max)
    }

    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>) {
        encode_text(self.text(scratch), self.lost_bytes, run_max, out);
    }
}

/// A scratch that takes so many bytes more.
struct Bounded<'a> {
    scratch: &'a mut Vec<u8>,
    free_bytes: usize,
    lost_bytes: usize,
}

impl fmt::Write for Bounded<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = up_to_border(text.as_bytes(), self.free_bytes);
        self.scratch.extend_from_slice(kept);
        self.free_bytes -= kept.len();
        if kept.len() < text.len() {
            // Nothing follows a gap.
            self.free_bytes = 0;
            self.lost_bytes += text.len() - kept.len();
        }
        Ok(())
    }
}

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
fn text_len(text: &[u8], lost_bytes: usize, run_max: usize) -> usize {
    if text.len() <= run_max && lost_bytes == 0 {
        4 + text.len()
    } else {
        4 + Cut::new(text, lost_bytes, run_max).len()
    }
}

/// Writes a text, cut if it is longer than `run_max`, behind its `u32` length.
#[inline(always)]
fn encode_text(text: &[u8], lost_bytes: usize, run_max: usize, out: &mut Encoder<'_>) {
    if text.len() <= run_max && lost_bytes == 0 {
        out.run(text);
    } else {
        Cut::new(text, lost_bytes, run_max).encode(out);
    }
}

/// The longest beginning of `text` that has at most `max` bytes and ends on a character border.
fn up_to_border(text: &[u8], max: usize) -> &[u8] {
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

/// Renders a value with the flags of its placeholder.
///
/// That it has the trait is checked where this is made, so the compiler complains once. A function
/// pointer, not a closure: all calls with values of the same types share their code.
pub struct By<'a, T: ?Sized> {
    value: &'a T,
    counts: Counts,
    render: Render<T>,
}

/// The widths and precisions that a placeholder takes from arguments.
pub type Counts = [usize; 2];
/// Renders a value, counts at hand.
pub type Render<T> = fn(&T, Counts, &mut fmt::Formatter<'_>) -> fmt::Result;

impl<'a, T: ?Sized> By<'a, T> {
    /// Renders as `render` does.
    #[inline]
    pub fn function(value: &'a T, counts: Counts, render: Render<T>) -> By<'a, T> {
        By { value, counts, render }
    }

    /// Renders as `{}` does.
    #[inline]
    pub fn display(value: &'a T) -> By<'a, T>
    where
        T: fmt::Display,
    {
        By::function(value, [0; 2], |value, _, f| value.fmt(f))
    }

    /// Renders as `{:?}` does.
    #[inline]
    pub fn debug(value: &'a T) -> By<'a, T>
    where
        T: fmt::Debug,
    {
        By::function(value, [0; 2], |value, _, f| value.fmt(f))
    }
}

impl<T: ?Sized> fmt::Display for By<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.render)(self.value, self.counts, f)
    }
}

/// Renders a value by `Display`, if it has that: a pair's value needs it only if it has no raw form.
pub struct ByDisplay<'a, T: ?Sized>(pub &'a T);

impl<T: fmt::Display + ?Sized> fmt::Display for ByDisplay<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// Derived ones would ask the same of `T`.
impl<T: ?Sized> Clone for By<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for By<'_, T> {}

impl<T: ?Sized> Clone for ByDisplay<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ByDisplay<'_, T> {}

/// Renders an error and what caused it: `cannot read the file: permission denied`.
#[derive(Clone, Copy)]
pub struct ByCauses<'a>(pub &'a (dyn Error + 'a));

impl ByCauses<'_> {
    /// Causes that are rendered; an error might be its own.
    const CAUSES_MAX: usize = 64;
}

impl fmt::Display for ByCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |&error| error.source());
        for cause in causes.take(Self::CAUSES_MAX) {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

/// Whatever is an error or dereferences to one.
pub trait AsDynError<'a> {
    /// The error.
    fn as_dyn_error(&self) -> &(dyn Error + 'a);
}

impl<'a, T: Error + 'a> AsDynError<'a> for T {
    fn as_dyn_error(&self) -> &(dyn Error + 'a) {
        self
    }
}

macro_rules! as_dyn_error {
    ($($error:ty),*) => {$(
        impl<'a> AsDynError<'a> for $error {
            fn as_dyn_error(&self) -> &(dyn Error + 'a) {
                self
            }
        }
    )*};
}

as_dyn_error!(dyn Error + 'a, dyn Error + Send + 'a, dyn Error + Send + Sync + 'a);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Records;
    use crate::site::Names;
    use crate::value::{Scalar, Value};

    const SITE: Definition<'static> = Definition {
        level: Level::INFO,
        line: 1,
        column: 1,
        target: "shop",
        module: "shop",
        file: "shop.rs",
        template: "{}",
        names: Names::Listed(&["0"]),
    };

    fn written(values: &impl Values, scratch: &[u8], run_max: usize) -> Vec<u8> {
        let mut bytes = vec![0; values.encoded_len(scratch, run_max)];
        let mut out = Encoder::new(&mut bytes);
        values.encode(scratch, run_max, &mut out);
        assert_eq!(out.remaining(), 0, "the announced length is written");
        bytes
    }

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

    #[test]
    fn values_take_the_bytes_they_announce_whatever_the_cut() {
        let mut scratch = Vec::new();
        let mut rendered = Rendered::new("rendered ".repeat(20));
        rendered.prepare(&mut scratch);
        let text = "text ".repeat(30);
        let bytes = &[7u8; 90][..];
        let values = (&*text, (Some(bytes), (None::<&str>, (rendered, (1u128, ('c', ()))))));
        for run_max in 0..200 {
            written(&values, &scratch, run_max);
        }
    }

    #[test]
    fn the_cut_that_fits_is_found() {
        let text = "text ".repeat(1_000);
        let values = (1u64, (&*text, (&*text, ())));
        for limit in [16, 17, 100, 5_000, 9_999, 10_016, 20_000] {
            let run_max = run_max_within(&values, &[], limit).unwrap();
            let len = written(&values, &[], run_max).len();
            assert!(len <= limit);
            assert!(len == 10_016 || len + 4 >= limit, "{len} of {limit} bytes");
        }
        assert_eq!(run_max_within(&values, &[], 15), None);
    }

    #[test]
    fn a_record_of_more_than_ten_values_lists_their_kinds() {
        let tail = (6u8, (7u8, (8u8, (9u8, (10u8, (Some("x"), ()))))));
        let values = (1u8, (2u8, (3u8, (4u8, (5u8, tail)))));
        for id in [Some(16), None] {
            let record = encode_record(&SITE, id, Level::WARN, None, 7, 1_000, values).unwrap();
            let record = Records::new(&record).next().unwrap().unwrap();
            assert_eq!((record.level(), record.ticks), (Some(Level::WARN), 7));
            let (definition, mut values) = record.open().unwrap();
            assert_eq!(definition.is_none(), id.is_some());
            assert_eq!(values.by_ref().count(), 11);
            assert!(!values.is_damaged());
        }
    }

    #[test]
    fn a_target_of_the_call_stands_in_the_record() {
        let record = encode_record(&SITE, Some(16), Level::INFO, Some("own"), 0, 1_000, ());
        let record = record.unwrap();
        let record = Records::new(&record).next().unwrap().unwrap();
        assert_eq!(record.open().unwrap().0.unwrap().target, "own");
    }

    #[test]
    fn a_value_longer_than_a_scratch_takes_is_counted() {
        struct Long;
        impl fmt::Display for Long {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let kilobyte = "é".repeat(512);
                (0..2_048).try_for_each(|_| f.write_str(&kilobyte))
            }
        }
        let mut scratch = b"before".to_vec();
        let mut rendered = Rendered::new(Long);
        rendered.prepare(&mut scratch);
        assert_eq!(scratch.len(), 6 + RENDERED_BYTES_MAX);
        let bytes = written(&(rendered, ()), &scratch, usize::MAX);
        let Some(Value::Plain(Scalar::Text(text))) = Value::take(Kind::TEXT, &mut &bytes[..])
        else {
            panic!("no text")
        };
        let lost_bytes = 2_048 * 1_024 - RENDERED_BYTES_MAX;
        assert!(text.ends_with(&format!("é…[{lost_bytes} bytes cut]")));
    }

    #[test]
    fn only_a_value_that_is_rendered_needs_a_scratch() {
        fn renders<V: Values>(_: &V) -> bool {
            V::RENDERS
        }
        assert!(!renders(&(1u8, ("x", (Some(2.0), ())))));
        assert!(renders(&(1u8, (Rendered::new("x"), ()))));
    }
}
