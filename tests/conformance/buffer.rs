//! A buffer in front of a text file. Every fifth event triggers it; the others wait in it.
//!
//! Covers: `Buffer`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::Builder;
use rollway::appender::Open;
use rollway::route::composite::Buffer;

use crate::faulty::Fault;
use crate::file::TextFile;
use crate::suite::{Subject, add_alone};

struct Buffered;

impl Subject for Buffered {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("buffer.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        TextFile::open(dir)
    }

    fn add(builder: Builder, dir: &Path, fault: Fault) -> Builder {
        let composite = Buffer::new(["subject"]).max_events(10_000).trigger(|event| {
            let mut message = String::new();
            event.message(&mut message);
            message.trim_end_matches(" poison").ends_with(['4', '9'])
        });
        add_alone::<Self>(builder, dir, fault).composite("composite", composite)
    }

    fn arrived(dir: &Path) -> Option<String> {
        TextFile::arrived(dir)
    }
}

conformance!(Buffered);
