//! A closure for each event: here one that appends to a file.
//!
//! Covers: `Callback`.
//!
//! Skips:
//! - `killed_between_two_steps`: it has no steps but to deliver and to store its position

use std::io::Write;
use std::path::Path;

use rollway::appender::{Callback, Open};
use rollway::layout::escape::escape;

use crate::suite::Subject;

struct Appending;

impl Subject for Appending {
    const MAY_DOUBLE: bool = true;
    const SOURCE: &'static str = include_str!("callback.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let file = std::fs::File::options().append(true).create(true).open(dir.join("called"));
        let mut file = file.unwrap();
        Box::new(Callback::each(move |event| {
            let (mut message, mut line) = (String::new(), String::new());
            event.message(&mut message);
            escape(&message, &mut line);
            line.push('\n');
            file.write_all(line.as_bytes()).unwrap();
        }))
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("called")).ok()
    }
}

conformance!(Appending);
