//! Events in memory. What the program has recorded it writes to a file when it ends.
//!
//! Covers: `Memory`.
//!
//! Skips:
//! - `killed_before_settling`: what it has goes with the process
//! - `killed_after_settling`: what it has goes with the process
//! - `killed_at_any_instant`: what it has goes with the process
//! - `killed_between_two_steps`: what it has goes with the process
//! - `killed_and_rebooted`: what it has goes with the process

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use rollway::appender::{Memory, Open};

use crate::suite::{Subject, layout};

/// The record of the program: the layout, which no two threads share, stays with the appender.
static RECORD: OnceLock<std::sync::Mutex<Memory>> = OnceLock::new();

struct Recording;

impl Subject for Recording {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("memory.rs");

    fn open(_dir: &Path) -> Box<dyn Open> {
        let record = RECORD.get_or_init(|| Memory::new().layout(layout()).into());
        Box::new(record.lock().unwrap().clone())
    }

    fn finish(dir: &Path) {
        let text = RECORD.get().unwrap().lock().unwrap().text();
        let file = std::fs::File::options().append(true).create(true).open(dir.join("recorded"));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("recorded")).ok()
    }
}

conformance!(Recording);
