//! A composite that filters in front of a text file.
//!
//! Covers: `Filtered`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::Builder;
use rollway::appender::Open;
use rollway::route::composite::Filtered;

use crate::faulty::Fault;
use crate::file::TextFile;
use crate::suite::{Subject, add_alone};

struct Passing;

impl Subject for Passing {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("filtered.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        TextFile::open(dir)
    }

    fn add(builder: Builder, dir: &Path, fault: Fault) -> Builder {
        let composite = Filtered::new(["subject"]).threshold(rollway::Level::TRACE);
        add_alone::<Self>(builder, dir, fault).composite("composite", composite)
    }

    fn arrived(dir: &Path) -> Option<String> {
        TextFile::arrived(dir)
    }
}

conformance!(Passing);
