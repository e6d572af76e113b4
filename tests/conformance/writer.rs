//! Any writer: here one that appends to a file.
//!
//! Covers: `Writer`.
//!
//! Skips:
//! - `killed_between_two_steps`: it has no steps but to deliver and to store its position

use std::path::Path;

use rollway::appender::{Open, Writer};

use crate::suite::{Subject, layout};

struct ToFile;

impl Subject for ToFile {
    const MAY_DOUBLE: bool = true;
    const SOURCE: &'static str = include_str!("writer.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let file = std::fs::File::options().append(true).create(true).open(dir.join("written"));
        Box::new(Writer::new(file.unwrap()).layout(layout()))
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("written")).ok()
    }
}

conformance!(ToFile);
