//! The console.
//!
//! Covers: `Console`.
//!
//! Skips:
//! - `killed_between_two_steps`: it has no steps but to deliver and to store its position

use std::path::Path;

use rollway::appender::{Console, Open};

use crate::suite::{Subject, layout};

struct Stdout;

impl Subject for Stdout {
    const MAY_DOUBLE: bool = true;
    const SOURCE: &'static str = include_str!("console.rs");

    fn open(_dir: &Path) -> Box<dyn Open> {
        Box::new(Console::stdout().layout(layout()))
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("stdout")).ok()
    }
}

conformance!(Stdout);
