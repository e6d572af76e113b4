//! Conversion letters of one's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::parse::{BUILT_IN, LETTERS};
use crate::event::Event;

/// What a letter shows of an event and of the argument in its braces.
type Show = dyn Fn(&Event<'_>, Option<&str>, &mut String) + Send + Sync;

/// Conversion letters beside those that every pattern has, for
/// [`Pattern::parse_with`](super::Pattern::parse_with).
///
/// # Examples
/// ```
/// use rollway::layout::{Letters, Pattern};
///
/// let letters = Letters::new().letter('U', |event, argument, out| {
///     out.push_str(&event.source.service);
///     out.push_str(argument.unwrap_or_default());
/// })?;
/// let layout = Pattern::parse_with("%-12U{/eu} %m%n", &letters.version(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Letters {
    letters: BTreeMap<char, Arc<Show>>,
    version: u64,
}

/// Why a letter cannot be given a meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LetterError {
    /// The letter.
    pub letter: char,
    /// What is wrong with it and what to do instead.
    pub problem: String,
}

/// A conversion with a letter of one's own.
#[derive(Clone)]
pub(super) struct Own {
    letter: char,
    argument: Option<Box<str>>,
    show: Arc<Show>,
}

impl Letters {
    /// No letters.
    pub fn new() -> Letters {
        Letters::default()
    }

    /// Gives `%letter` and `%letter{argument}` a meaning: `show` appends to the string what the
    /// event shows there, and leaves alone what stands in it. What it appends is cut, escaped and
    /// filled as other data is.
    ///
    /// `show` is called by the threads of the appenders and holds them up while it runs. It is to
    /// write the same of the same event each time: a line may be rendered again after a crash or a
    /// failed write.
    ///
    /// # Errors
    /// [`LetterError`] if every pattern has the letter, if it was given here before, or if it is
    /// none of the English alphabet.
    pub fn letter(
        mut self,
        letter: char,
        show: impl Fn(&Event<'_>, Option<&str>, &mut String) + Send + Sync + 'static,
    ) -> Result<Letters, LetterError> {
        let problem = if !letter.is_ascii_alphabetic() {
            "is no letter of the English alphabet: choose one".into()
        } else if BUILT_IN.contains(letter) {
            format!("has a meaning in every pattern: choose one that is none of {LETTERS}")
        } else if self.has(letter) {
            "is given twice: choose another one".into()
        } else {
            String::new()
        };
        if !problem.is_empty() {
            return Err(LetterError { letter, problem });
        }
        self.letters.insert(letter, Arc::new(show));
        Ok(self)
    }

    /// A number to change when a letter shows something else than before: it is part of
    /// [`Layout::hash`](crate::layout::Layout::hash). 0 unless told otherwise.
    pub fn version(mut self, version: u64) -> Letters {
        self.version = version;
        self
    }

    /// What the version adds to the hash of a pattern that uses one of the letters.
    pub(super) fn mark(&self) -> String {
        format!("letters {}\n", self.version)
    }

    pub(super) fn has(&self, letter: char) -> bool {
        self.letters.contains_key(&letter)
    }

    pub(super) fn get(&self, letter: char, argument: Option<Box<str>>) -> Option<Own> {
        let show = Arc::clone(self.letters.get(&letter)?);
        Some(Own { letter, argument, show })
    }
}

impl Own {
    pub(super) fn push(&self, event: &Event<'_>, out: &mut String) {
        (self.show)(event, self.argument.as_deref(), out);
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters")
            .field("letters", &self.letters.keys())
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{:?}", self.letter, self.argument)
    }
}

impl fmt::Display for LetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`%{}` {}", self.letter.escape_debug(), self.problem)
    }
}

impl std::error::Error for LetterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_given_one_meaning() {
        let nothing = |_: &Event<'_>, _: Option<&str>, _: &mut String| {};
        let letters = Letters::new().letter('U', nothing).unwrap();
        for (letter, remedy) in [
            ('m', "`%m` has a meaning in every pattern: choose"),
            ('d', "choose one that is none of %d %p"),
            ('U', "is given twice"),
            ('é', "no letter of the English alphabet"),
            ('%', "no letter of the English alphabet"),
        ] {
            let error = letters.clone().letter(letter, nothing).unwrap_err();
            assert_eq!(error.letter, letter);
            assert!(error.to_string().contains(remedy), "{error}");
        }
    }
}
