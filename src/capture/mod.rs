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

mod argument;
mod by;
mod cut;
mod raw;
mod rendered;

use crate::level::Level;
use crate::record::{self, Kinds};
use crate::site::Definition;
use crate::value::{Encoder, Kind};
pub use argument::{Argument, CaptureRaw};
pub use by::{AsDynError, By, ByCauses, ByDisplay, Counts, Render};
pub use rendered::{RENDERED_BYTES_MAX, Rendered};

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

#[cfg(test)]
mod tests {
    use std::fmt;

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
