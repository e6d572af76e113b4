//! Text files that stand in for one another: the first takes everything; or it cannot even be
//! opened, and the second does.
//!
//! Covers: `FailOver`.
//!
//! Skips nothing.

use std::path::Path;
use std::time::Duration;

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

/// The directory of the first one is none.
struct OneIsAway;

impl Subject for OneIsAway {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("fail_over.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let file = |path: &Path| File::new(path).layout(layout());
        let away = FailOver::new().relay("away", file(Path::new("/dev/null/a.log")));
        Box::new(away.relay("there", file(&dir.join("b.log"))).retry_after(Duration::ZERO))
    }

    fn arrived(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join("b.log")).ok()
    }
}

mod two_files {
    use super::TwoFiles;
    conformance!(TwoFiles);
}

mod one_is_away {
    use super::OneIsAway;
    conformance!(OneIsAway);
}
