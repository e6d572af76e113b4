//! Why an engine did not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Durability;
use crate::appender::OpenError;
use crate::journal::JournalError;
use crate::level::{LevelError, TooManyCategories};
use crate::recover::RecoverError;
use crate::route::UnknownName;
use crate::route::composite::CompositeError;

/// Why an engine did not start.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum InitError {
    /// The process has a logger. Use `start` for a second one.
    AlreadyInitialised,
    /// An option is out of its range.
    Invalid { what: &'static str, value: usize, remedy: &'static str },
    /// Two appenders have one name.
    DuplicateAppender { name: String },
    /// A category names an appender that there is not.
    UnknownAppender(UnknownName),
    /// A level cannot be named as it should.
    Level(LevelError),
    /// Too many categories have a level of their own.
    Categories(TooManyCategories),
    /// The composites cannot be resolved.
    Composite(CompositeError),
    /// The journal directory cannot be used.
    Directory { path: PathBuf, source: io::Error },
    /// Another process, or another engine of this one, has the journal directory.
    InUse { path: PathBuf },
    /// The directory of a cluster cannot be used.
    Cluster { path: PathBuf, what: &'static str, source: Option<io::Error> },
    /// The control socket cannot be opened.
    Control { path: PathBuf, source: io::Error },
    /// The journal cannot be read or continued.
    Journal(JournalError),
    /// What a dead predecessor left cannot be taken over.
    Recover(RecoverError),
    /// An appender cannot be opened.
    Appender(OpenError),
    /// The operating system refused memory, a file or a thread.
    Resources { what: &'static str, source: io::Error },
    /// The configuration is wrong; the cause has all that is wrong with it.
    Configuration(Box<dyn std::error::Error + Send + Sync>),
    /// Events would survive less than was required.
    Durability { required: Durability, reached: Durability },
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::AlreadyInitialised => {
                write!(f, "the process has a logger already; use `start` for a second one")
            }
            InitError::Invalid { what, value, remedy } => {
                write!(f, "{what} is {value}; use {remedy}")
            }
            InitError::DuplicateAppender { name } => {
                write!(f, "two appenders are named `{name}`; give each its own name")
            }
            InitError::UnknownAppender(error) => error.fmt(f),
            InitError::Level(error) => error.fmt(f),
            InitError::Categories(error) => error.fmt(f),
            InitError::Composite(error) => error.fmt(f),
            InitError::Directory { path, .. } => write!(
                f,
                "journal directory {}: it cannot be used; check the path and its permissions",
                path.display()
            ),
            InitError::InUse { path } => write!(
                f,
                "journal directory {}: another process uses it; give each process its own",
                path.display()
            ),
            InitError::Cluster { path, what, .. } => {
                write!(f, "cluster directory {}: {what}", path.display())
            }
            InitError::Control { path, .. } => write!(
                f,
                "control socket {}: it cannot be opened; give it another path",
                path.display()
            ),
            InitError::Journal(_) => write!(f, "the journal cannot be opened"),
            InitError::Recover(_) => write!(f, "what the last run left cannot be taken over"),
            InitError::Appender(error) => error.fmt(f),
            InitError::Resources { what, .. } => write!(f, "cannot make {what}"),
            InitError::Configuration(_) => write!(f, "the configuration is wrong"),
            InitError::Durability { required, reached } => write!(
                f,
                "{required:?} is required and {reached:?} reached; set journal_dir, and a rings_dir on a memory file system with room for the rings"
            ),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Directory { source, .. }
            | InitError::Control { source, .. }
            | InitError::Resources { source, .. } => Some(source),
            InitError::Journal(source) => Some(source),
            InitError::Recover(source) => Some(source),
            InitError::Appender(error) => error.source(),
            InitError::Configuration(source) => Some(&**source),
            InitError::Cluster { source, .. } => source.as_ref().map(|source| source as _),
            _ => None,
        }
    }
}
