//! Engines as the scripts have them: with configurations, files and a clock that stands still.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rollway::config::Config;
use rollway::layout::Pattern;
use rollway::{Builder, Level, Logger, log};

use crate::support::PATIENCE;

/// A directory with what the appenders of a configuration write.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    /// Logs what `calls` does to an engine that `toml` describes, and ends it. `DIR` in the text is
    /// this directory.
    pub(crate) fn run(&self, toml: &str, calls: impl FnOnce(&Logger)) {
        let guard = self.builder(toml).start().unwrap();
        calls(guard.logger());
        let report = guard.shutdown(PATIENCE);
        assert_eq!(report.left(), 0, "{report:?}");
    }

    pub(crate) fn builder(&self, toml: &str) -> Builder {
        let toml = toml.replace("DIR", self.0.path().to_str().unwrap());
        Config::parse_toml(&toml)
            .unwrap_or_else(|error| panic!("{error}\n{toml}"))
            .builder()
            .unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What a file has, as the scripts print it.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|_| "(no file)".to_owned())
    }
}

/// Log4perl's SimpleLayout, which lets newlines through.
pub(crate) const SIMPLE: &str =
    r#"layout = { type = "pattern", pattern = "%p - %m%n", escape = false }"#;

/// A file appender with [`SIMPLE`].
pub(crate) fn file(name: &str, keys: &str) -> String {
    format!("[appenders.{name}]\ntype = \"file\"\npath = \"DIR/{name}\"\n{SIMPLE}\n{keys}\n")
}

pub(crate) fn say(logger: &Logger, category: &str, level: Level, message: &str) {
    log!(logger: logger, target: category, level, "{message}");
}

/// A layout that writes `pattern` with newlines as they are.
pub(crate) fn raw(pattern: &str) -> Pattern {
    Pattern::parse(pattern).unwrap().escape(false)
}

/// 2012-01-02 03:04:05 UTC, when the scripts run.
pub(crate) const BEGIN_S: i64 = 1_325_473_445;
pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// The time that the script sets, in seconds since 1970.
#[derive(Clone)]
pub(crate) struct Frozen(Arc<AtomicI64>);

impl Frozen {
    /// It is [`BEGIN_S`].
    pub(crate) fn new() -> Frozen {
        Frozen(Arc::new(AtomicI64::new(BEGIN_S)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl rollway::clock::UtcClock for Frozen {
    fn utc_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed) * SECOND_NS
    }
}
