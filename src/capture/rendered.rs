//! Values that have no raw form and are rendered at the log call, by their own traits.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cut::{encode_text, text_len, up_to_border};
use super::{By, ByDisplay, Capture};
use crate::record;
use crate::value::{Encoder, Kind};

/// Bytes that one rendered value can take in a scratch: as many as a record can.
pub const RENDERED_BYTES_MAX: usize = record::MAX_BYTES;

/// A value that is rendered at the log call.
///
/// A value whose trait panics or fails is the text `<formatting panicked>` or `<formatting failed>`.
/// Text beyond [`RENDERED_BYTES_MAX`] is counted, not kept.
pub struct Rendered<R> {
    pub(super) render: R,
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
