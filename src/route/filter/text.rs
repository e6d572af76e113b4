//! Filters that look at an event's message.

use std::cell::RefCell;
use std::fmt;

use super::{Answers, Filter, Verdict, answers};
use crate::event::Event;

thread_local! {
    /// The message that is looked at. Long ones do not stay.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Room that is kept for the next message.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Asks whether a message has one of these texts in it.
///
/// Upper and lower case differ, unless [`Text::ignore_case`] says otherwise. Empty texts are left out
/// of the list; an empty list is in no message.
///
/// # Examples
/// ```
/// use rollway::route::filter::Text;
///
/// let no_heartbeats = Text::new(["heartbeat", "keep-alive"]).ignore_case().reject();
/// # let _ = no_heartbeats;
/// ```
#[derive(Clone, Debug)]
pub struct Text {
    texts: Vec<String>,
    ignores_case: bool,
    answers: Answers,
}

impl Text {
    /// Accepts messages that have one of `texts` in them.
    pub fn new(texts: impl IntoIterator<Item = impl Into<String>>) -> Text {
        let texts = texts.into_iter().map(Into::into).filter(|text| !text.is_empty()).collect();
        Text { texts, ignores_case: false, answers: Answers::default() }
    }

    /// Takes upper and lower case for equal, in all scripts that have them.
    #[must_use]
    pub fn ignore_case(mut self) -> Text {
        self.texts.iter_mut().for_each(|text| *text = text.to_lowercase());
        self.ignores_case = true;
        self
    }

    fn is_in(&self, message: &str) -> bool {
        let lower;
        let message = match self.ignores_case {
            true => {
                lower = message.to_lowercase();
                &lower
            }
            false => message,
        };
        self.texts.iter().any(|text| message.contains(text))
    }
}

answers!(Text);

impl Filter for Text {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.answers.of(with_message(event, |message| self.is_in(message)))
    }
}

/// Asks whether a regular expression matches somewhere in a message.
///
/// The time it takes grows with the message's length and with the expression's, never faster.
///
/// # Examples
/// ```
/// use rollway::route::filter::Regex;
///
/// let slow = Regex::new(r"took \d{4,} ms")?;
/// assert!(Regex::new("(open").unwrap_err().to_string().contains("(open"));
/// # Ok::<(), rollway::route::filter::RegexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Regex {
    regex: regex_lite::Regex,
    answers: Answers,
}

impl Regex {
    /// Accepts messages in which `expression` matches: the syntax of the crate `regex-lite`, without
    /// Unicode classes. `(?i)` in front takes upper and lower case for equal.
    ///
    /// # Errors
    /// [`RegexError`] for what is no expression, or one that would need too much memory.
    pub fn new(expression: &str) -> Result<Regex, RegexError> {
        let regex = parse(expression)?;
        Ok(Regex { regex, answers: Answers::default() })
    }
}

answers!(Regex);

impl Filter for Regex {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.answers.of(with_message(event, |message| self.regex.is_match(message)))
    }
}

/// A text is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    expression: String,
    reason: String,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegexError { expression, reason } = self;
        write!(f, "`{expression}` is no regular expression: {reason}")
    }
}

impl std::error::Error for RegexError {}

pub(super) fn parse(expression: &str) -> Result<regex_lite::Regex, RegexError> {
    regex_lite::Regex::new(expression).map_err(|error| RegexError {
        expression: expression.to_owned(),
        reason: error.to_string(),
    })
}

/// Asks about the message of an event.
fn with_message<R>(event: &Event<'_>, ask: impl FnOnce(&str) -> R) -> R {
    MESSAGE.with_borrow_mut(|message| {
        message.clear();
        event.message(message);
        let answer = ask(message);
        message.shrink_to(KEPT_BYTES_MAX);
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;

    fn accepts(filter: &dyn Filter, message: &str) -> bool {
        filter.judge(&Fixture::saying(message).event()) == Verdict::Accept
    }

    #[test]
    fn one_text_of_the_list_is_enough() {
        let text = Text::new(["that", "1234"]);
        assert!(accepts(&text, "is that so"));
        assert!(accepts(&text, "number 12345"));
        assert!(!accepts(&text, "THAT is other"));
        assert!(!accepts(&text, "this"));
        assert!(!accepts(&text.reject(), "is that so"));
    }

    #[test]
    fn case_can_be_ignored_in_every_script() {
        let text = Text::new(["ÄRGER", "NOT"]).ignore_case();
        assert!(accepts(&text, "viel ärger") && accepts(&text, "nOthing"));
        assert!(!accepts(&text, "arger"));
    }

    #[test]
    fn empty_texts_say_nothing() {
        let text = Text::new(["", "x"]).reject();
        assert!(accepts(&text, "abc") && !accepts(&text, "xyz"));
        assert!(accepts(&Text::new([""; 3]).reject(), "abc"));
    }

    #[test]
    fn an_expression_matches_anywhere_unless_it_is_anchored() {
        let regex = Regex::new("(?i)ab+c").unwrap();
        assert!(accepts(&regex, "xABBBc") && !accepts(&regex, "ac"));
        assert!(!accepts(&Regex::new("^b").unwrap(), "ab"));
    }

    #[test]
    fn an_expression_that_is_none_is_named_with_the_reason() {
        let error = Regex::new("a{3").unwrap_err().to_string();
        assert!(error.starts_with("`a{3` is no regular expression: "), "{error}");
        assert!(error.len() > 40, "{error}");
    }
}
