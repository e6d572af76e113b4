//! Text files that stand in for one another; here the first takes everything.
//!
//! Covers: `FailOver`.
//!
//! Skips nothing.

use std::path::Path;

use rollway::appender::{FailOver, File, Open};

use crate::suite::{Subject, layout};

struct TwoFiles;

impl Subject for TwoFiles {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("fail_over.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let file = |name: &str| File::new(dir.join(name)).layout(layout());
        Box::new(FailOver::new().relay("first", file("a.log")).relay("second", file("b.log")))
    }

    fn arrived(dir: &Path) -> Option<String> {
        let text = |name| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        Some(format!("{}{}", text("a.log"), text("b.log")))
    }
}

conformance!(TwoFiles);
