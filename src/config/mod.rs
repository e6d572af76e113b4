//! A configuration file, from TOML to a checked plan. Opens nothing.
//!
//! `docs/configuration.md` lists the keys. A key that is not known is an error: what is misspelt must
//! not be passed over.

mod reading;

use std::fmt;
use std::path::PathBuf;

use crate::appender::{Console, File, Open};
use crate::journal::JournalOptions;
use crate::layout::{Json, Layout, Pattern};
use crate::net::AckLevel;
use crate::sys::output::IoMethod;
use reading::{Source, Table};

/// What the journal of a master has room for at least: two segments of the least size.
const JOURNAL_BYTES_MIN: u64 = 2 * JournalOptions::MIN_SEGMENT_BYTES;
/// The most that the end of a master may take, which is some thirty years.
const DRAIN_SECONDS_MAX: u64 = 1_000_000_000;

/// What a configuration file asks for.
#[derive(Debug, Default)]
pub struct Config {
    /// The section `[master]`.
    pub master: MasterPlan,
}

/// The section `[master]`: what is not in the file is `None`.
#[derive(Debug, Default)]
pub struct MasterPlan {
    /// The address to listen on.
    pub listen: Option<String>,
    /// The directory of its journal.
    pub journal: Option<PathBuf>,
    /// What an acknowledgement promises.
    pub acknowledge: Option<AckLevel>,
    /// Bytes of its journal, at the most.
    pub journal_max_bytes: Option<u64>,
    /// Bytes of the journal's file system that it leaves to others.
    pub journal_keep_free: Option<u64>,
    /// After how many milliseconds its journal is synced; 0 is never.
    pub sync_every_ms: Option<u64>,
    /// How many bytes each source may send in a second, on the average.
    pub source_bytes_per_second: Option<u64>,
    /// How long its end may take.
    pub drain_seconds: Option<u64>,
    /// Where events go.
    pub appender: Option<AppenderPlan>,
    /// How files are written.
    pub io_method: Option<IoMethod>,
}

/// A section `[appenders.NAME]`.
#[derive(Clone, Debug)]
pub struct AppenderPlan {
    /// Its name: that of the section.
    pub name: String,
    /// Where events go.
    pub destination: Destination,
    /// How they look.
    pub layout: LayoutPlan,
    /// Whether the journal keeps what was not delivered; `None` leaves it to the destination.
    pub mandatory: Option<bool>,
    /// For a file: at how many bytes it is full.
    pub rotate_bytes: Option<u64>,
    /// For a file: how many full files stay.
    pub keep: Option<usize>,
}

/// Where an appender writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A text file, appended to.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How events become text.
#[derive(Clone, Debug)]
pub enum LayoutPlan {
    /// Lines of a pattern.
    Pattern(Pattern),
    /// Lines of JSON.
    Json(Json),
}

/// What is wrong with a configuration, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What is wrong, and the remedy.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the text of a configuration file and checks all of it.
    ///
    /// # Errors
    /// [`ConfigError`] names the first place that is wrong.
    ///
    /// # Examples
    /// ```
    /// use rollway::config::Config;
    ///
    /// let config = Config::parse(
    ///     r#"
    ///     [master]
    ///     listen = "localhost:5000"
    ///     appender = "all"
    ///
    ///     [appenders.all]
    ///     type = "file"
    ///     path = "/var/log/all.log"
    ///     layout = { type = "pattern", pattern = "%d %-5p %c - %m%n" }
    ///     "#,
    /// )?;
    /// assert_eq!(config.master.listen.as_deref(), Some("localhost:5000"));
    ///
    /// let error = Config::parse("[master]\nlisen = 'localhost'").unwrap_err();
    /// assert_eq!((error.line, error.column), (2, 1));
    /// # Ok::<(), rollway::config::ConfigError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let source = Source::new(text);
        let document = source.parse()?;
        let root = Table::root(&source, &document);
        root.allow(&["master", "appenders"])?;

        let mut appenders = Vec::new();
        if let Some(sections) = root.table("appenders")? {
            for (name, section) in sections.tables()? {
                appenders.push(appender(name, &section)?);
            }
        }
        let Some(section) = root.table("master")? else { return Ok(Config::default()) };
        section.allow(&[
            "listen",
            "appender",
            "journal",
            "acknowledge",
            "journal_max_bytes",
            "journal_keep_free",
            "sync_every_ms",
            "source_bytes_per_second",
            "drain_seconds",
            "io_method",
        ])?;
        let named = section.text("appender")?.map(|(name, place)| {
            let found = appenders.iter().find(|appender: &&AppenderPlan| appender.name == name);
            found.cloned().ok_or_else(|| {
                let known: Vec<_> = appenders.iter().map(|found| found.name.as_str()).collect();
                let hint = reading::nearest(name, &known);
                let hint =
                    hint.map(|hint| format!(" (did you mean `{hint}`?)")).unwrap_or_default();
                let what = format!("there is no section [appenders.{name}]{hint}");
                source.error(place, what)
            })
        });
        let number =
            |key, least| section.number(key, least).map(|found| found.map(|(number, _)| number));
        let master = MasterPlan {
            listen: section.text("listen")?.map(|(listen, _)| listen.to_owned()),
            journal: section.text("journal")?.map(|(dir, _)| PathBuf::from(dir)),
            acknowledge: acknowledge(&section)?,
            journal_max_bytes: number("journal_max_bytes", JOURNAL_BYTES_MIN)?,
            journal_keep_free: number("journal_keep_free", 0)?,
            sync_every_ms: number("sync_every_ms", 0)?,
            source_bytes_per_second: number("source_bytes_per_second", 1)?,
            drain_seconds: drain_seconds(&section)?,
            appender: named.transpose()?,
            io_method: io_method(&section)?,
        };
        Ok(Config { master })
    }
}

fn acknowledge(section: &Table<'_>) -> Result<Option<AckLevel>, ConfigError> {
    let level = section.optional_choice("acknowledge", &["L1", "L2"])?;
    Ok(level.map(|level| match level {
        "L2" => AckLevel::Synced,
        _ => AckLevel::Committed,
    }))
}

fn drain_seconds(section: &Table<'_>) -> Result<Option<u64>, ConfigError> {
    match section.number("drain_seconds", 0)? {
        Some((seconds, place)) if seconds > DRAIN_SECONDS_MAX => {
            let what = format!("`drain_seconds` is at most {DRAIN_SECONDS_MAX}");
            Err(section.error(place, what))
        }
        found => Ok(found.map(|(seconds, _)| seconds)),
    }
}

fn io_method(section: &Table<'_>) -> Result<Option<IoMethod>, ConfigError> {
    let method = section.optional_choice("io_method", &["write", "io_uring"])?;
    Ok(method.map(|method| match method {
        "io_uring" => IoMethod::IoUring,
        _ => IoMethod::Write,
    }))
}

fn appender(name: &str, section: &Table<'_>) -> Result<AppenderPlan, ConfigError> {
    let mut plan = match section.choice("type", &["file", "console"])? {
        "file" => {
            section.allow(&["type", "path", "layout", "mandatory", "rotate_bytes", "keep"])?;
            let (path, _) = section.required_text("path")?;
            let rotate_bytes = section.number("rotate_bytes", 1)?.map(|(bytes, _)| bytes);
            let keep = section.number("keep", 0)?;
            if let Some((_, place)) = keep.clone().filter(|_| rotate_bytes.is_none()) {
                let what = "`keep` is about full files: say with `rotate_bytes` when one is full";
                return Err(section.error(place, what));
            }
            let keep = keep.map(|(files, _)| usize::try_from(files).unwrap_or(usize::MAX));
            let plan = AppenderPlan::new(name, Destination::File(PathBuf::from(path)));
            AppenderPlan { rotate_bytes, keep, ..plan }
        }
        _ => {
            section.allow(&["type", "stream", "layout", "mandatory"])?;
            let stream = match section.optional_choice("stream", &["stdout", "stderr"])? {
                Some("stderr") => Destination::Stderr,
                _ => Destination::Stdout,
            };
            AppenderPlan::new(name, stream)
        }
    };
    plan.mandatory = section.truth("mandatory")?;
    if let Some(section) = section.table("layout")? {
        plan.layout = layout(&section)?;
    }
    Ok(plan)
}

fn layout(section: &Table<'_>) -> Result<LayoutPlan, ConfigError> {
    match section.choice("type", &["pattern", "json"])? {
        "pattern" => {
            section.allow(&["type", "pattern"])?;
            let (pattern, place) = section.required_text("pattern")?;
            Pattern::parse(pattern)
                .map(LayoutPlan::Pattern)
                .map_err(|error| section.error_inside(place, pattern, error.column, &error.problem))
        }
        _ => {
            section.allow(&["type"])?;
            Ok(LayoutPlan::Json(Json::new()))
        }
    }
}

impl AppenderPlan {
    /// The destination with what it has by default.
    pub fn new(name: impl Into<String>, destination: Destination) -> AppenderPlan {
        AppenderPlan {
            name: name.into(),
            destination,
            layout: LayoutPlan::Pattern(Pattern::simple()),
            mandatory: None,
            rotate_bytes: None,
            keep: None,
        }
    }

    /// The appender, not opened yet.
    pub fn into_appender(self) -> Box<dyn Open> {
        let layout: Box<dyn Layout> = match self.layout {
            LayoutPlan::Pattern(pattern) => Box::new(pattern),
            LayoutPlan::Json(json) => Box::new(json),
        };
        let console = |console: Console| {
            let console = console.boxed_layout(layout.clone());
            match self.mandatory {
                Some(mandatory) => console.mandatory(mandatory),
                None => console,
            }
        };
        match self.destination {
            Destination::File(path) => {
                let mut file = File::new(path).boxed_layout(layout);
                if let Some(mandatory) = self.mandatory {
                    file = file.mandatory(mandatory);
                }
                if let Some(bytes) = self.rotate_bytes {
                    file = file.rotate_at_bytes(bytes);
                }
                if let Some(files) = self.keep {
                    file = file.keep(files);
                }
                Box::new(file)
            }
            Destination::Stdout => Box::new(console(Console::stdout())),
            Destination::Stderr => Box::new(console(Console::stderr())),
        }
    }
}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/configuration.md")]
struct Page;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_becomes_a_plan() {
        let config = Config::parse(
            r#"
            [master]
            listen = "localhost:0"
            journal = "/var/lib/rollway"
            acknowledge = "L2"
            journal_max_bytes = 4_294_967_296
            journal_keep_free = 0
            sync_every_ms = 200
            source_bytes_per_second = 5_000_000
            drain_seconds = 30
            appender = "all"
            io_method = "io_uring"

            [appenders.all]
            type = "file"
            path = "all.log"
            layout = { type = "pattern", pattern = "%c|%m%n" }
            mandatory = false
            rotate_bytes = 0x10_0000
            keep = 5

            [appenders.screen]
            type = "console"
            stream = "stderr"
            layout = { type = "json" }
            "#,
        );
        let master = config.unwrap().master;
        assert_eq!(master.listen.as_deref(), Some("localhost:0"));
        assert_eq!(master.journal, Some(PathBuf::from("/var/lib/rollway")));
        assert_eq!(master.acknowledge, Some(AckLevel::Synced));
        assert_eq!((master.journal_max_bytes, master.journal_keep_free), (Some(4 << 30), Some(0)));
        assert_eq!(master.sync_every_ms, Some(200));
        assert_eq!(
            (master.source_bytes_per_second, master.drain_seconds),
            (Some(5_000_000), Some(30))
        );
        assert_eq!(master.io_method, Some(IoMethod::IoUring));
        let appender = master.appender.unwrap();
        assert_eq!(
            (&*appender.name, &appender.destination),
            ("all", &Destination::File("all.log".into()))
        );
        assert!(matches!(appender.layout, LayoutPlan::Pattern(_)));
        let AppenderPlan { mandatory, rotate_bytes, keep, .. } = appender;
        assert_eq!((mandatory, rotate_bytes, keep), (Some(false), Some(1 << 20), Some(5)));
        assert!(!appender.into_appender().is_mandatory());
    }

    #[test]
    fn an_appender_is_mandatory_as_the_file_says() {
        for (section, expected) in [
            ("type = 'file'\npath = 'x'", true),
            ("type = 'file'\npath = 'x'\nmandatory = false", false),
            ("type = 'console'", false),
            ("type = 'console'\nmandatory = true", true),
        ] {
            let text = format!("[master]\nappender = 'a'\n[appenders.a]\n{section}");
            let appender = Config::parse(&text).unwrap().master.appender.unwrap();
            assert_eq!(appender.into_appender().is_mandatory(), expected, "{section}");
        }
    }

    #[test]
    fn a_wrong_number_or_truth_is_named_with_its_place() {
        let file = "[appenders.a]\ntype = 'file'\npath = 'x'\n";
        let found = |line: &str| error(&format!("{file}{line}"));
        assert_eq!(
            found("rotate_bytes = 0"),
            "line 4, column 16: `rotate_bytes` is a whole number of at least 1, such as 10_000_000"
        );
        for wrong in ["rotate_bytes = -1", "rotate_bytes = '1M'", "rotate_bytes = 1.5"] {
            assert!(found(wrong).starts_with("line 4, column 16: `rotate_bytes` is"), "{wrong}");
        }
        assert_eq!(
            found("keep = 3"),
            "line 4, column 8: `keep` is about full files: say with `rotate_bytes` when one is full"
        );
        assert_eq!(
            found("mandatory = 'yes'"),
            "line 4, column 13: `mandatory` is true or false, without quotes"
        );
        assert!(error("[appenders.a]\ntype = 'console'\nkeep = 3").contains("unknown key `keep`"));
    }

    #[test]
    fn a_master_is_not_given_what_it_cannot_keep_to() {
        let found = |line: &str| error(&format!("[master]\n{line}"));
        assert_eq!(
            found("acknowledge = 'fsync'"),
            "line 2, column 15: unknown acknowledge `fsync`; known are `L1`, `L2`"
        );
        assert_eq!(
            found("acknowledge = 2"),
            "line 2, column 15: `acknowledge` is a string, such as \"…\""
        );
        assert_eq!(
            found("journal_max_bytes = 16_777_215"),
            "line 2, column 21: `journal_max_bytes` is a whole number of at least 16777216, such as 100_000_000"
        );
        assert!(
            found("journal_keep_free = -1").starts_with(
                "line 2, column 21: `journal_keep_free` is a whole number of at least 0"
            )
        );
        assert!(
            found("source_bytes_per_second = 0")
                .starts_with("line 2, column 27: `source_bytes_per_second` is a whole number")
        );
        assert!(
            found("drain_seconds = 0.5")
                .starts_with("line 2, column 17: `drain_seconds` is a whole number")
        );
        assert_eq!(
            found("drain_seconds = 1_000_000_001"),
            "line 2, column 17: `drain_seconds` is at most 1000000000"
        );
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        let master = Config::parse("# nothing\n").unwrap().master;
        assert!(master.listen.is_none() && master.journal.is_none() && master.appender.is_none());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
        assert_eq!(
            error("[master]\nlisten = ':1'\n  journall = 'x'"),
            "line 3, column 3: unknown key `journall` (did you mean `journal`?); known are `listen`, `appender`, `journal`, `acknowledge`, `journal_max_bytes`, `journal_keep_free`, `sync_every_ms`, `source_bytes_per_second`, `drain_seconds`, `io_method`"
        );
        assert!(
            error("[mastre]")
                .starts_with("line 1, column 2: unknown key `mastre` (did you mean `master`?)")
        );
        let file = "[appenders.a]\ntype = 'file'\npath = 'x'\n";
        assert!(
            error(&format!("{file}pth = 'y'"))
                .starts_with("line 4, column 1: unknown key `pth` (did you mean `path`?)")
        );
        assert!(error(&format!("{file}stream = 'stdout'")).contains("unknown key `stream`"));
        let wrong = error(&format!("{file}layout = {{ type = 'json', zzzzzz = 1 }}"));
        assert_eq!(wrong, "line 4, column 27: unknown key `zzzzzz`; known are `type`");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        assert_eq!(
            error("[master]\nlisten = 5000"),
            "line 2, column 10: `listen` is a string, such as \"…\""
        );
        assert_eq!(
            error("[master]\nio_method = 'uring'"),
            "line 2, column 13: unknown io_method `uring` (did you mean `io_uring`?); known are `write`, `io_uring`"
        );
        assert_eq!(error("master = 1"), "line 1, column 10: `master` is a table");
        assert_eq!(
            error("[appenders.a]\ntype = 'fiel'"),
            "line 2, column 8: unknown type `fiel` (did you mean `file`?); known are `file`, `console`"
        );
        assert_eq!(
            error("[appenders.a]\npath = 'x'"),
            "line 1, column 12: `type` is missing: one of `file`, `console`"
        );
        assert_eq!(error("[appenders.a]\ntype = 'file'"), "line 1, column 12: `path` is missing");
        assert_eq!(
            error("[master]\nappender = 'al'\n[appenders.all]\ntype = 'console'"),
            "line 2, column 12: there is no section [appenders.al] (did you mean `all`?)"
        );
    }

    #[test]
    fn a_wrong_pattern_is_named_with_its_place_in_the_file() {
        let layout = |pattern| {
            format!(
                "[appenders.a]\ntype = 'console'\nlayout = {{ type = 'pattern', pattern = {pattern} }}"
            )
        };
        let found = Config::parse(&layout("'%d %q%n'")).unwrap_err();
        assert_eq!((found.line, found.column), (3, 45));
        // Behind an escape columns of the pattern are not those of the file.
        let found = Config::parse(&layout(r#""\t%d %q%n""#)).unwrap_err();
        assert_eq!((found.line, found.column), (3, 40));
        assert!(found.problem.contains("column 6 of the pattern"), "{found}");
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_place() {
        let error = Config::parse("[master]\nlisten = ").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
        let error = Config::parse("[master]\nlisten = ':1'\nlisten = ':2'").unwrap_err();
        assert_eq!(error.line, 3, "{error}");
    }
}
