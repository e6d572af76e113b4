//! The section `[master]`.

use std::time::Duration;

use super::plan::io_method;
use super::section::Section;
use crate::engine::SyncPolicy;
use crate::journal::JournalOptions;
use crate::master::{AckLevel, Limits, Master, MasterBuilder};

/// The name of the appender that a master has where nothing is said.
pub(crate) const APPENDER: &str = "appender";

/// A master as a configuration describes it, not started.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rollway::config::Config;
///
/// let config = Config::parse_toml("[master]\nlisten = 'localhost:0'\ndrain_seconds = 3")?;
/// let plan = config.master()?;
/// assert_eq!(plan.drain, Duration::from_secs(3));
/// assert!(!plan.has_journal);
/// # Ok::<(), rollway::config::ConfigError>(())
/// ```
#[non_exhaustive]
pub struct MasterPlan {
    /// What to start.
    pub builder: MasterBuilder,
    /// How long its end may take.
    pub drain: Duration,
    /// Whether its journal is in a directory and outlives it.
    pub has_journal: bool,
    /// The names of its appenders; none where nothing is said.
    pub appenders: Vec<String>,
    /// The address, for people.
    pub(super) listen: String,
    /// Whether there is such a section.
    pub(super) is_written: bool,
}

impl MasterPlan {
    pub(super) fn read(root: &Section<'_>) -> MasterPlan {
        let is_written = root.has("master");
        let section = root.section("master");
        let mut builder = Master::builder();
        let listen = section.text("listen").unwrap_or_default();
        builder = builder.listen(&listen);

        let dir = section.path("journal");
        let has_journal = dir.is_some();
        let mut journal = dir.map_or_else(JournalOptions::memory, JournalOptions::directory);
        if let Some(bytes) = section.number("journal_max_bytes") {
            journal = journal.max_bytes(bytes);
        }
        if let Some(bytes) = section.number("journal_keep_free") {
            journal = journal.keep_free_bytes(bytes);
        }
        builder = builder.journal(journal);
        if let Some(word) = section.text("acknowledge") {
            let level = if word == "L2" { AckLevel::Synced } else { AckLevel::Committed };
            builder = builder.ack_level(level);
        }
        let needs = "which needs a journal that outlives the master; name a directory as `journal`";
        for (key, what) in [
            ("journal_keep_free", "is about a directory; name one as `journal`".to_owned()),
            ("acknowledge", format!("is a promise, {needs}")),
        ] {
            if !has_journal && section.has(key) {
                section.refuse(key, format!("`{key}` {what}"));
            }
        }
        builder = match section.number("sync_every_ms") {
            None => builder,
            Some(0) => builder.sync(SyncPolicy::Never),
            Some(pause) => builder.sync(SyncPolicy::Every(Duration::from_millis(pause))),
        };
        if let Some(bytes) = section.number("window_bytes") {
            builder = builder.window_bytes(bytes);
        }
        let limits = Limits::default();
        builder = builder.limits(Limits {
            connections: section.size("connections").unwrap_or(limits.connections),
            connections_per_address: section
                .size("connections_per_address")
                .unwrap_or(limits.connections_per_address),
            unstored_bytes: section.size("unstored_bytes").unwrap_or(limits.unstored_bytes),
            bytes_per_second_per_source: section.number("source_bytes_per_second"),
        });
        let drain = section.number("drain_seconds").unwrap_or_default();
        if let Some(method) = io_method(&section) {
            builder = builder.io_method(method);
        }
        let one = section.appenders("appender");
        let several = section.appenders("appenders");
        if one.is_some() && several.is_some() {
            section
                .refuse("appender", "`appender` and `appenders` say the same; leave one of them");
        }
        section.end();
        MasterPlan {
            builder,
            drain: Duration::from_secs(drain),
            has_journal,
            appenders: several.or(one).unwrap_or_default(),
            listen,
            is_written,
        }
    }
}
