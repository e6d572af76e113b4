//! Nowhere: only the counts tell what it was given.
//!
//! Covers: `Null`.
//!
//! Skips:
//! - `killed_between_two_steps`: it has no steps but to deliver and to store its position

use std::path::Path;

use rollway::appender::{Null, Open};

use crate::suite::Subject;

struct Nowhere;

impl Subject for Nowhere {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("null.rs");

    fn open(_dir: &Path) -> Box<dyn Open> {
        Box::new(Null::new())
    }

    fn arrived(_dir: &Path) -> Option<String> {
        None
    }
}

conformance!(Nowhere);
