//! A file for each value, one open at a time, so that every other event has another one opened.
//!
//! Covers: `PerValue`.
//!
//! Skips nothing.

use std::fs;
use std::path::Path;

use rollway::appender::{File, Key, Open, PerValue};

use crate::suite::{Subject, layout};

struct ByModule;

impl Subject for ByModule {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("per_value.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let per_value = PerValue::new(dir.join("values"), Key::Category).open_files_max(1);
        Box::new(per_value.files(|path| File::new(path).layout(layout())))
    }

    fn arrived(dir: &Path) -> Option<String> {
        let files = fs::read_dir(dir.join("values")).unwrap().flatten();
        Some(files.map(|file| fs::read_to_string(file.path()).unwrap()).collect())
    }
}

conformance!(ByModule);
