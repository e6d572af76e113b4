//! From the arguments of a log call to the values of a record.
//!
//! The macros wrap each argument in [`Argument`] and let method resolution choose: a type that is
//! captured raw has [`CaptureRaw`]; everything else falls back to [`CaptureRendered`], which keeps
//! a closure that renders the argument with its own trait and the placeholder's flags.

use crate::value::{Encoder, Kind};

/// One captured argument.
///
/// The engine calls `prepare` once, then `encoded_len`, then `encode`.
pub trait Capture {
    /// The kind of the value in the record.
    const KIND: Kind;
    /// Whether [`Capture::prepare`] renders. Then the time of the event is read after it.
    const RENDERS: bool = false;

    /// Renders the value at the end of `scratch`, when it is one that must be rendered.
    #[inline(always)]
    fn prepare(&mut self, scratch: &mut Vec<u8>) {
        let _ = scratch;
    }

    /// Bytes that [`Capture::encode`] will write, at most `run_max + 5` for a string.
    fn encoded_len(&self, run_max: usize) -> usize;

    /// Writes the value; strings longer than `run_max` bytes are cut, see [`cut`].
    fn encode(&self, scratch: &[u8], run_max: usize, out: &mut Encoder<'_>);
}
