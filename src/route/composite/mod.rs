//! What stands between categories and appenders: filters, buffers, limits, locks.
//!
//! A composite has relays: appenders, or other composites. It takes the events of the categories that
//! it is attached to, as an appender does, and hands them to its relays. In the engine there is no
//! such thing: a graph of composites is compiled into what each appender gets, so that an event is
//! stored once, in the journal, whatever waits for it.

mod buffer;
mod filtered;
mod graph;
mod hold;
mod limit;
mod synchronized;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use crate::warp::WarpError;

pub use buffer::Buffer;
pub use filtered::Filtered;
pub(crate) use graph::Path;
pub(crate) use hold::Hold;
pub use limit::Limit;
pub use synchronized::Synchronized;

/// Events that one composite holds for one of its relays, at the most.
pub const HELD_MAX: usize = 65_536;

/// A composite of any kind, made from one of them: [`Buffer`], [`Limit`], [`Filtered`],
/// [`Synchronized`].
#[derive(Clone, Debug)]
pub struct Composite {
    relays: Vec<Box<str>>,
    gate: Gate,
    kind: Kind,
}

/// What a composite does beside filtering.
#[derive(Clone)]
pub(crate) enum Kind {
    Filtered,
    Buffer(buffer::Rule),
    Limit(limit::Rule),
    Synchronized(Lock),
}

/// A lock between processes that is held during each write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lock {
    pub(crate) path: PathBuf,
    /// Its directory is the user's own, and made if it is missing.
    pub(crate) is_in_own_dir: bool,
    pub(crate) wait: Duration,
}

impl Composite {
    fn new(relays: impl IntoIterator<Item = impl Into<Box<str>>>, kind: Kind) -> Composite {
        let mut composite = Composite { relays: Vec::new(), gate: Gate::new(), kind };
        for relay in relays {
            let relay = relay.into();
            if !composite.relays.contains(&relay) {
                composite.relays.push(relay);
            }
        }
        composite
    }

    /// The same behind this gate, in the place of the one that it has.
    #[must_use]
    pub fn behind(self, gate: Gate) -> Composite {
        Composite { gate, ..self }
    }

    /// The names of its relays.
    #[cfg(all(feature = "config", feature = "master"))]
    pub(crate) fn relays(&self) -> impl Iterator<Item = &str> {
        self.relays.iter().map(|relay| &**relay)
    }

    /// Whether events wait in it.
    fn holds(&self) -> bool {
        matches!(self.kind, Kind::Buffer(_) | Kind::Limit(_))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Filtered => "Filtered",
            Kind::Buffer(_) => "Buffer",
            Kind::Limit(_) => "Limit",
            Kind::Synchronized(_) => "Synchronized",
        })
    }
}

/// What every composite can be told.
macro_rules! composite {
    ($composite:ident) => {
        impl $composite {
            /// Takes only events of this level and above.
            #[must_use]
            pub fn threshold(mut self, level: impl Into<$crate::level::LevelFilter>) -> Self {
                self.gate = self.gate.threshold(level);
                self
            }

            /// Takes only events that pass this filter, and all that were given before.
            #[must_use]
            pub fn filter(mut self, filter: impl $crate::route::filter::Filter + 'static) -> Self {
                self.gate = self.gate.filter(filter);
                self
            }
        }
    };
}
use composite;

/// An appender, as far as composites and gates ask.
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) gate: Gate,
    pub(crate) ships_blocks: bool,
    pub(crate) takes_chunks: bool,
}

/// The composites of an engine, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Composites {
    named: BTreeMap<Box<str>, Arc<Composite>>,
    /// A name that two composites were given.
    doubled: Option<Box<str>>,
}

impl Composites {
    pub(crate) fn insert(&mut self, name: &str, composite: Composite) {
        if self.named.insert(name.into(), Arc::new(composite)).is_some() {
            self.doubled = Some(name.into());
        }
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.named.keys().map(|name| &**name)
    }

    /// Whether some composite hands events to `name`.
    pub(crate) fn is_relay(&self, name: &str) -> bool {
        self.named.values().any(|composite| composite.relays.iter().any(|relay| **relay == *name))
    }
}

impl PartialEq for Composites {
    fn eq(&self, other: &Composites) -> bool {
        let is_same = |name: &str, composite: &Arc<Composite>| {
            other.named.get(name).is_some_and(|other| Arc::ptr_eq(composite, other))
        };
        self.named.len() == other.named.len()
            && self.named.iter().all(|(name, composite)| is_same(name, composite))
    }
}

impl Eq for Composites {}

/// Composites cannot be resolved. Names what is wrong and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum CompositeError {
    /// It has no relays.
    NoRelay { composite: String },
    /// There is no appender and no composite of the relay's name.
    UnknownRelay { composite: String, relay: String, nearest: Option<String> },
    /// Another composite or an appender has the name.
    NameTaken { name: String },
    /// It is its own relay, by way of these.
    Cycle { way: Vec<String> },
    /// An appender gets events through a composite that holds them, and also by another way.
    OtherWay { appender: String, composite: String, other: Option<String> },
    /// A composite that holds events stands behind another.
    HeldTwice { appender: String, composite: String, other: String },
    /// An appender that takes whole blocks cannot be a relay, nor have a gate.
    Blocks { appender: String },
    /// The warp of an appender does not suit it.
    Warp(WarpError),
    /// An option is out of its range.
    Invalid { composite: String, option: &'static str, value: String, remedy: &'static str },
    /// There are too many ways to an appender.
    TooManyWays { appender: String, max: usize },
}

impl CompositeError {
    /// The appender or composite that it is about.
    #[cfg(feature = "config")]
    pub(crate) fn subject(&self) -> Option<&str> {
        match self {
            CompositeError::NoRelay { composite }
            | CompositeError::UnknownRelay { composite, .. }
            | CompositeError::Invalid { composite, .. } => Some(composite),
            CompositeError::NameTaken { name } => Some(name),
            CompositeError::Cycle { way } => way.first().map(String::as_str),
            CompositeError::OtherWay { appender, .. }
            | CompositeError::HeldTwice { appender, .. }
            | CompositeError::Blocks { appender }
            | CompositeError::TooManyWays { appender, .. } => Some(appender),
            CompositeError::Warp(_) => None,
        }
    }
}

impl fmt::Display for CompositeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompositeError::NoRelay { composite } => {
                write!(f, "composite `{composite}` has no relays; name an appender behind it")
            }
            CompositeError::UnknownRelay { composite, relay, nearest } => {
                write!(f, "composite `{composite}`: there is no appender or composite `{relay}`")?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
                    None => write!(f, "; add one of that name, or name another"),
                }
            }
            CompositeError::NameTaken { name } => write!(
                f,
                "composite `{name}`: another composite or an appender has this name; give each its own"
            ),
            CompositeError::Cycle { way } => write!(
                f,
                "composites hand events round in a circle: `{}`; take one relay out",
                way.join("` → `")
            ),
            CompositeError::OtherWay { appender, composite, other } => {
                write!(
                    f,
                    "appender `{appender}` gets events through composite `{composite}`, which holds them back, and "
                )?;
                match other {
                    Some(other) => write!(f, "through composite `{other}`, which does too")?,
                    None => write!(f, "also by a way without it")?,
                }
                write!(f, "; use two appenders, or attach categories to `{composite}` alone")
            }
            CompositeError::HeldTwice { appender, composite, other } => write!(
                f,
                "appender `{appender}`: composite `{composite}` stands behind `{other}`, and both hold events back; use one of them, or an appender for each"
            ),
            CompositeError::Blocks { appender } => write!(
                f,
                "appender `{appender}` ships whole blocks: it can have no gate and no composite in front; give them to the appenders at the other end"
            ),
            CompositeError::Warp(error) => error.fmt(f),
            CompositeError::Invalid { composite, option, value, remedy } => {
                write!(f, "composite `{composite}`: {option} is {value}; use {remedy}")
            }
            CompositeError::TooManyWays { appender, max } => write!(
                f,
                "appender `{appender}` is reached by more than {max} ways through composites; use fewer composites"
            ),
        }
    }
}

impl std::error::Error for CompositeError {}
