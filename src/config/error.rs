//! What is wrong with a configuration.

use std::fmt;
use std::io;

use super::place::{Origin, Place};

/// How many problems are listed. What is wrong beyond them shows when these are mended.
const PROBLEMS_MAX: usize = 100;

/// Everything that is wrong with a configuration, in the order of its files and lines.
///
/// [`Display`](fmt::Display) writes a line for each problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// Where; `None` where it is about the configuration as a whole.
    pub place: Option<Place>,
    /// What is wrong, and the remedy.
    pub what: String,
    /// Why a file could not be read, where that is the problem.
    pub unread: Option<io::ErrorKind>,
}

impl ConfigError {
    /// Sorted, each once, and no more than are of use.
    pub(super) fn new(mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by(|a, b| a.rank().cmp(&b.rank()));
        problems.dedup();
        problems.truncate(PROBLEMS_MAX);
        ConfigError { problems }
    }

    /// The problems, at least one and at most 100.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// What problems are sorted by.
    fn rank(&self) -> Option<(&Origin, u32, u32)> {
        self.place.as_ref().map(Place::rank)
    }

    pub(super) fn at(place: &Place, what: impl Into<String>) -> Problem {
        Problem { place: Some(place.clone()), what: what.into(), unread: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConfigError {}
