//! A configuration, from its files, the environment and flags to a checked plan. Opens nothing but
//! the files that it is read from.
//!
//! ```text
//! files ─► conf.d ─► environment ─► flags      sources: layers of text, merged into
//!                 │
//!                node                          one tree of values with their places, read by
//!                 │
//!      section ◄─ key: name, kind, default     sections, each with its declared keys, through
//!                 │
//!  registry ─► plan ─► Builder, MasterBuilder  factories by type name
//! ```
//!
//! A key is declared once, in [`Key`]s: the reader, `rollway config default`, the JSON schema and the
//! test of `docs/configuration.md` go by that. What is wrong is noted, with its place, and reading goes
//! on: a configuration is refused with everything that is wrong with it.

mod builtin;
mod error;
mod from_json;
mod from_toml;
mod key;
mod keys;
mod mask;
#[cfg(feature = "master")]
mod master;
mod node;
mod place;
mod plan;
mod reader;
mod registry;
mod schema;
mod section;
mod show;
mod sources;
mod start;
mod tending;
mod words;

pub use error::{ConfigError, Problem};
pub use key::{Family, Key, Kind, SecretPlace};
#[cfg(feature = "cli")]
pub(crate) use master::APPENDER as MASTER_APPENDER;
#[cfg(feature = "master")]
pub use master::MasterPlan;
pub use place::{Origin, Place};
pub use registry::Registry;
pub use section::Section;
pub use sources::Sources;
pub use start::{init, init_from};

use std::path::PathBuf;

use crate::appender::Console;
use crate::engine::Builder;
use node::Table;
use plan::Plan;
use reader::{Effective, Reader};

/// A configuration that was read and found to be right.
///
/// # Examples
/// ```
/// use rollway::config::Config;
///
/// let config = Config::parse_toml(
///     r#"
///     level = "debug"
///
///     [journal]
///     dir = "/var/lib/shop/journal"
///
///     [appenders.file]
///     type = "file"
///     path = "/var/log/shop.log"
///     layout = { type = "pattern", pattern = "%d %-5p %c - %m%n" }
///     "#,
/// )?;
/// let builder = config.builder()?; // and then `.init()`
///
/// let error = Config::parse_toml("[journal]\ndri = 'x'").unwrap_err();
/// assert!(error.to_string().starts_with("line 2, column 1: unknown key `dri` (did you mean `dir`?)"));
/// # Ok::<(), rollway::config::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    tree: Table,
    registry: Registry,
    effective: Vec<Effective>,
    summary: Vec<String>,
    /// The files and directories that it was read from.
    watched: Vec<PathBuf>,
}

impl Config {
    /// Reads the layers and checks all of them.
    ///
    /// # Errors
    /// [`ConfigError`] has everything that is wrong.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        Config::load_with(sources, Registry::new())
    }

    /// The same with types of appenders and layouts from elsewhere.
    ///
    /// # Errors
    /// [`ConfigError`] has everything that is wrong.
    pub fn load_with(sources: &Sources, registry: Registry) -> Result<Config, ConfigError> {
        let (tree, watched) = (sources.read()?, sources.watched());
        let (effective, summary) = (Vec::new(), Vec::new());
        let mut config = Config { tree, registry, effective, summary, watched };
        let (plan, effective) = config.plan()?;
        let summary = show::summary(&plan);
        (config.effective, config.summary) = (effective, summary);
        Ok(config)
    }

    /// Reads a text of TOML and checks all of it.
    ///
    /// # Errors
    /// [`ConfigError`] has everything that is wrong.
    pub fn parse_toml(text: &str) -> Result<Config, ConfigError> {
        Config::load(&Sources::new().toml(text))
    }

    /// Reads a text of JSON and checks all of it. Comments are allowed, and a comma behind the last
    /// value.
    ///
    /// # Errors
    /// [`ConfigError`] has everything that is wrong.
    ///
    /// # Examples
    /// ```
    /// use rollway::config::Config;
    ///
    /// let error = Config::parse_json("{\n  \"level\": \"inof\"\n}").unwrap_err().to_string();
    /// assert!(error.starts_with("line 2, column 12: `level` is \"inof\""), "{error}");
    /// assert!(error.ends_with("(did you mean `info`?)"), "{error}");
    /// ```
    pub fn parse_json(text: &str) -> Result<Config, ConfigError> {
        Config::load(&Sources::new().json(text))
    }

    /// The logger of a process, ready for [`init`](Builder::init) or more in code. With neither an
    /// appender nor `[forward]` nor a journal directory it prints to standard error.
    ///
    /// To read the files again while it runs is for [`Builder::reload_from`], which
    /// [`init_from`] has plugged in.
    ///
    /// # Errors
    /// None that [`load`](Config::load) would not have found; a home directory may be another now.
    pub fn builder(&self) -> Result<Builder, ConfigError> {
        let (plan, _) = self.plan()?;
        let control = plan.tending.control_of_service();
        let mut builder = plan.service.said(plan.tending.said(control.as_ref()));
        builder = builder.signals(plan.tending.signals);
        if let Some(control) = control {
            builder = builder.control(control);
        }
        if let Some(every) = plan.tending.reload_every {
            builder = builder.reload_on_change(&self.watched, every);
        }
        if let Some(mask) = plan.mask {
            builder = builder.mask(mask);
        }
        let has_none = plan.appenders.is_empty() && plan.forward.is_none();
        if has_none && !plan.has_journal {
            builder = builder.appender("console", Console::stderr());
        }
        for category in plan.categories {
            builder = builder.category(category);
        }
        for (name, composite) in plan.composites {
            builder = builder.composite(&name, composite);
        }
        for (name, open) in plan.appenders.into_iter().chain(plan.forward) {
            builder = builder.boxed_appender(name, open);
        }
        Ok(builder)
    }

    /// The master of the section `[master]`, with the appenders that it names, or else one that prints
    /// to standard output. It has a control socket unless `[control]` says otherwise.
    ///
    /// # Errors
    /// None that [`load`](Config::load) would not have found.
    #[cfg(feature = "master")]
    pub fn master(&self) -> Result<MasterPlan, ConfigError> {
        let (plan, _) = self.plan()?;
        let mut master = plan.master;
        let control = plan.tending.control_of_master();
        let mut said = plan.tending.said(control.as_ref());
        said.push(("drain_seconds", format!("{:?}", master.drain)));
        let mut builder = master.builder.said(said).signals(plan.tending.signals);
        if let Some(control) = control {
            builder = builder.control(control);
        }
        if let Some(every) = plan.tending.reload_every {
            builder = builder.reload_on_change(&self.watched, every);
        }
        let wanted = plan::with_relays(&master.appenders, &plan.composites);
        let takes = |name: &String| wanted.is_empty() || wanted.contains(&&**name);
        let appenders: Vec<_> =
            plan.appenders.into_iter().filter(|(name, _)| takes(name)).collect();
        if appenders.is_empty() && master.appenders.is_empty() {
            builder = builder.appender(master::APPENDER, Console::stdout());
        }
        for (name, open) in appenders {
            builder = builder.boxed_appender(name, open);
        }
        for (name, composite) in plan.composites.iter().filter(|(name, _)| takes(name)) {
            builder = builder.composite(name, composite.clone());
        }
        if let Some(mask) = plan.mask {
            builder = builder.mask(mask);
        }
        builder = builder.one_message_per_appender(plan.one_message_per_appender);
        for category in &plan.categories {
            builder = builder.category(category);
        }
        master.builder = builder;
        Ok(master)
    }

    /// The values that count, in TOML, each with where it comes from. Secrets show where they are and
    /// not what.
    pub fn show(&self) -> String {
        show::toml(&self.effective)
    }

    /// The same as JSON: a list of `key`, `value`, and `origin`.
    pub fn show_json(&self) -> String {
        show::json(&self.effective)
    }

    /// What the configuration sets up, a line for each part.
    pub fn summary(&self) -> &[String] {
        &self.summary
    }

    /// A file with every key of this crate, its meaning and its default, all commented out.
    pub fn default_file() -> String {
        show::default_file(&Registry::new())
    }

    /// A JSON schema of configuration files, for editors.
    pub fn schema() -> String {
        schema::schema(&Registry::new())
    }

    fn plan(&self) -> Result<(Plan, Vec<Effective>), ConfigError> {
        let reader = Reader::new(&self.registry);
        let plan = Plan::read(&reader, &self.tree);
        Ok((plan, reader.end()?))
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("tree", &self.tree).finish_non_exhaustive()
    }
}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/configuration.md")]
struct Page;

/// Compiles the example of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from.md")]
struct ComingFrom;
