//! A text file.
//!
//! Covers: `File`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::appender::{File, Open};

use crate::suite::{Subject, layout};

struct TextFile;

impl Subject for TextFile {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("file.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        Box::new(File::new(dir.join("app.log")).layout(layout()))
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("app.log")).ok()
    }
}

conformance!(TextFile);
