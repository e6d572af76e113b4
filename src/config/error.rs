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
    /// The key that it is about, such as `appenders.file.path`, or the section.
    pub key: Option<String>,
    /// Its value, in TOML and not too long; `None` where it may be a secret, too.
    pub value: Option<String>,
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
        let (place, what) = (Some(place.clone()), what.into());
        Problem { place, key: None, value: None, what, unread: None }
    }

    /// What is wrong, without the remedy.
    ///
    /// # Examples
    /// ```
    /// use rollway::config::Config;
    ///
    /// let error = Config::parse_toml("level = 'a; b'").unwrap_err();
    /// let problem = &error.problems()[0];
    /// assert_eq!(problem.key.as_deref(), Some("level"));
    /// assert_eq!(problem.value.as_deref(), Some("\"a; b\""));
    /// assert_eq!(problem.message(), "`level` is \"a; b\"");
    /// assert!(problem.remedy().unwrap().starts_with("use one of `trace`"));
    /// ```
    pub fn message(&self) -> &str {
        self.parts().0
    }

    /// What to do about it; `None` where what is wrong says it.
    pub fn remedy(&self) -> Option<&str> {
        self.parts().1
    }

    /// What stands before and behind the sign that parts the two, outside of quotes.
    fn parts(&self) -> (&str, Option<&str>) {
        let mut quote = None;
        let mut is_escaped = false;
        for (at, character) in self.what.char_indices() {
            let rest = &self.what[at..];
            match quote {
                Some('"') if is_escaped => is_escaped = false,
                Some('"') if character == '\\' => is_escaped = true,
                Some(open) if character == open => quote = None,
                Some(_) => {}
                None if matches!(character, '"' | '`') => quote = Some(character),
                None if rest.starts_with("; ") => return (&self.what[..at], Some(&rest[2..])),
                None if rest.starts_with(": use ") => return (&self.what[..at], Some(&rest[2..])),
                None => {}
            }
        }
        (&self.what, None)
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
