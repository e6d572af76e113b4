//! Why a master did not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::AckLevel;
use crate::appender::OpenError;
use crate::journal::JournalError;
use crate::route::UnknownName;
use crate::route::composite::CompositeError;

/// Why a master could not be started.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub enum MasterError {
    /// The address makes no sense.
    Address { address: String, what: &'static str },
    /// The port cannot be opened.
    Listen { address: String, source: io::Error },
    /// An acknowledgement cannot promise this without a journal directory.
    Level { level: AckLevel },
    /// The journal directory cannot be used.
    Directory { dir: PathBuf, source: io::Error },
    /// Somebody else uses the journal directory.
    Locked { dir: PathBuf },
    /// The journal cannot be opened.
    Journal(JournalError),
    /// An appender cannot be opened.
    Appender(OpenError),
    /// A category names an appender that there is not.
    UnknownAppender(UnknownName),
    /// The composites cannot be resolved.
    Composite(CompositeError),
    /// The control socket cannot be opened.
    Control { path: PathBuf, source: io::Error },
    /// The operating system did not give what a master needs.
    Resources { what: &'static str, source: io::Error },
}

impl fmt::Display for MasterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterError::Address { address, what } => {
                write!(f, "`{address}` is no address to listen on: {what}")
            }
            MasterError::Listen { address, source } => {
                let remedy = match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another process listens there; choose another port"
                    }
                    io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                    io::ErrorKind::AddrNotAvailable => {
                        "no interface of this machine has the address"
                    }
                    _ => "check the host's name",
                };
                write!(f, "cannot listen on {address}: {remedy}")
            }
            MasterError::Level { level } => write!(
                f,
                "acknowledgements of level {level:?} need a journal directory; name one, or take \
                 level Memory"
            ),
            MasterError::Directory { dir, .. } => write!(
                f,
                "the journal directory {} cannot be used; make it writable",
                dir.display()
            ),
            MasterError::Locked { dir } => write!(
                f,
                "the journal directory {} belongs to a running process; stop it or take another \
                 directory",
                dir.display()
            ),
            MasterError::Control { path, .. } => write!(
                f,
                "control socket {}: it cannot be opened; give it another path",
                path.display()
            ),
            MasterError::Journal(_) => write!(f, "the journal cannot be opened"),
            MasterError::Appender(error) => error.fmt(f),
            MasterError::UnknownAppender(error) => error.fmt(f),
            MasterError::Composite(error) => error.fmt(f),
            MasterError::Resources { what, .. } => write!(f, "{what} cannot be started"),
        }
    }
}

impl std::error::Error for MasterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MasterError::Listen { source, .. }
            | MasterError::Directory { source, .. }
            | MasterError::Control { source, .. }
            | MasterError::Resources { source, .. } => Some(source),
            MasterError::Journal(source) => Some(source),
            MasterError::Appender(source) => source.source(),
            MasterError::Composite(_) => None,
            MasterError::Address { .. }
            | MasterError::Level { .. }
            | MasterError::UnknownAppender(_)
            | MasterError::Locked { .. } => None,
        }
    }
}
