//! A text file that is written under a lock between processes.
//!
//! Covers: `Synchronized`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::Builder;
use rollway::appender::Open;
use rollway::route::composite::Synchronized;

use crate::faulty::Fault;
use crate::file::TextFile;
use crate::suite::{Subject, add_alone};

struct Locked;

impl Subject for Locked {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("synchronized.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        TextFile::open(dir)
    }

    fn add(builder: Builder, dir: &Path, fault: Fault) -> Builder {
        let composite = Synchronized::new(["subject"]).lock_file(dir.join("lock"));
        add_alone::<Self>(builder, dir, fault).composite("composite", composite)
    }

    fn arrived(dir: &Path) -> Option<String> {
        TextFile::arrived(dir)
    }
}

conformance!(Locked);
