//! How a command ends.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The exit codes of the command. They do not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// 0: everything went well.
    Ok,
    /// 1: something was lost on the way, and a message says what.
    Loss,
    /// 2: the arguments are wrong.
    Usage,
    /// 65: the data is damaged and nothing of it was readable.
    Damaged,
    /// 66: the input does not exist.
    NoInput,
    /// 74: the operating system refused to read, write, listen or connect.
    Io,
    /// 78: the configuration is wrong.
    Config,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Loss => 1,
            Exit::Usage => 2,
            Exit::Damaged => 65,
            Exit::NoInput => 66,
            Exit::Io => 74,
            Exit::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody reads standard output any more: a quiet end.
    Closed,
    /// The reason, for a person.
    Because { exit: Exit, message: String },
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure::Because { exit, message: message.into() }
    }

    /// What failed, and the causes behind it.
    pub(super) fn caused(exit: Exit, what: impl Into<String>, error: &dyn Error) -> Failure {
        let mut message = what.into();
        let mut cause = Some(error);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Failure::Because { exit, message }
    }

    /// Standard output did not take what was written.
    pub(super) fn of_output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::caused(Exit::Io, "cannot write to standard output", &error),
        }
    }
}
