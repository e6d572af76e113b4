//! A limit in front of a text file: the first event passes, and those that wait do when there are
//! three.
//!
//! Covers: `Limit`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::Builder;
use rollway::appender::Open;
use rollway::route::composite::Limit;

use crate::faulty::Fault;
use crate::file::TextFile;
use crate::suite::{Subject, add_alone};

struct Limited;

impl Subject for Limited {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("limit.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        TextFile::open(dir)
    }

    fn add(builder: Builder, dir: &Path, fault: Fault) -> Builder {
        let composite = Limit::new(["subject"]).max_until_flushed(3).persistent(false);
        add_alone::<Self>(builder, dir, fault).composite("composite", composite)
    }

    fn arrived(dir: &Path) -> Option<String> {
        TextFile::arrived(dir)
    }
}

conformance!(Limited);
