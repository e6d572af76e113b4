//! Event → text: one line of a pattern, of JSON, or of logfmt.
//!
//! A layout decides how an event looks, an appender where it goes. Whatever comes from data
//! (messages, names, values, hosts) is escaped, so that one event is one line and cannot act on a
//! terminal; see [`escape`] for the rule and its inverse.

mod digits;
pub mod escape;
mod flat;
mod function;
mod group;
mod json;
mod logfmt;
mod once;
mod page;
mod pattern;
mod program;
mod repeats;
mod scalar;
mod time;

pub use function::{FromFn, from_fn};
pub use group::Group;
pub use json::{Ecs, FieldError, Json, OpenTelemetry};
pub use logfmt::Logfmt;
pub(crate) use once::{Drafts, SharedLines};
pub use page::Page;
pub use pattern::{LetterError, Letters, Pattern, PatternError};

use crate::event::Event;

/// How an event becomes text.
///
/// An appender owns its layout and is its only caller, so implementations keep plain scratch
/// buffers and allocate nothing once these have grown. They are [`Clone`], because a destination may
/// be opened more than once.
pub trait Layout: Send + CloneLayout {
    /// Appends one event to `out`: one line that ends in `\n`, unless the layout was told
    /// otherwise (a [`Pattern`] ends its lines only with `%n`).
    ///
    /// Called by an appender once for each event, in delivery order. What stands in `out` is left
    /// alone. Never fails: what an event does not have is left empty.
    fn write(&mut self, event: &Event<'_>, out: &mut String);

    /// Appends the same bytes to a page; this is what appenders call. By default it lets
    /// [`write`](Layout::write) make a string of them, which is then copied.
    fn write_page(&mut self, event: &Event<'_>, page: &mut Page) {
        page.push_with(|text| self.write(event, text));
    }

    /// Whether colours are written; they are unless told otherwise. A layout without colours has
    /// nothing to do. Whoever knows that nothing reads them says so before the first event.
    fn show_colours(&mut self, _shown: bool) {}

    /// A number that changes when the same event would be written differently.
    ///
    /// Called when a file appender opens its file: the number is stored beside the file's position,
    /// and after a crash only a layout with the same number compares the file with what it would
    /// write. It is the same in every process and after every restart.
    fn hash(&self) -> u64;

    /// Whether appenders may take each other's lines: whoever has a layout with the same
    /// [`hash`](Layout::hash) would write the same bytes for the same event, whatever else it has
    /// written. By default they do not.
    fn is_shareable(&self) -> bool {
        false
    }

    /// Whether it hands on the chunks of a message ([`Event::chunks`]) instead of making text of them,
    /// so that an appender with it can have the warp [`pass`](crate::warp::Warp::pass).
    fn takes_chunks(&self) -> bool {
        false
    }
}

/// Makes an unused layout that writes the same. Every [`Layout`] that is [`Clone`] has it: an
/// appender that is opened again begins with a fresh one.
pub trait CloneLayout {
    /// The same layout anew.
    fn clone_layout(&self) -> Box<dyn Layout>;
}

impl<T: Layout + Clone + 'static> CloneLayout for T {
    fn clone_layout(&self) -> Box<dyn Layout> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Layout> {
    fn clone(&self) -> Box<dyn Layout> {
        // Not of the box, which would be this very function.
        (**self).clone_layout()
    }
}

/// Grows when a release writes the same layout differently.
const OUTPUT_VERSION: u8 = 1;

/// FNV-1a, 64 bits: fixed for ever, unlike the hashers of the standard library.
fn hash_of(kind: u8, parts: &[&str]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let start = mix(mix(OFFSET, OUTPUT_VERSION), kind);
    // 0xff is in no string: it keeps `ab` + `c` apart from `a` + `bc`.
    parts.iter().fold(start, |hash, part| mix(part.bytes().fold(hash, mix), 0xff))
}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/layouts.md")]
struct Documentation;

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_layout_is_the_same_in_every_release() {
        // Stored beside files: another number has every file compared anew.
        assert_eq!(hash_of(b'P', &["%m%n", ""]), 0xddb5_0486_a824_d547);
    }

    #[test]
    fn texts_cut_differently_make_different_numbers() {
        assert_ne!(hash_of(0, &["ab", "c"]), hash_of(0, &["a", "bc"]));
        assert_ne!(hash_of(0, &["a"]), hash_of(1, &["a"]));
    }
}
