//! Filters that look at what an event carries beside its message: context and key-values.

use super::text::parse;
use super::{Answers, Filter, RegexError, Verdict, answers};
use crate::event::Event;
use crate::template;

/// Asks whether a key of the mapped diagnostic context has a value that is as wanted.
///
/// An event whose context does not have the key is a mismatch.
///
/// # Examples
/// ```
/// use rollway::route::filter::Mdc;
///
/// let of_joe = Mdc::equal("user", "joe");
/// let of_tests = Mdc::matching("user", "^test-")?;
/// # Ok::<(), rollway::route::filter::RegexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mdc {
    key: String,
    wanted: Wanted,
    answers: Answers,
}

impl Mdc {
    /// Accepts events whose context has `key`, with whatever value.
    pub fn has(key: impl Into<String>) -> Mdc {
        Mdc { key: key.into(), wanted: Wanted::Any, answers: Answers::default() }
    }

    /// Accepts events whose context has this value of `key`.
    pub fn equal(key: impl Into<String>, value: impl Into<String>) -> Mdc {
        Mdc { wanted: Wanted::Equal(value.into()), ..Mdc::has(key) }
    }

    /// Accepts events in whose value of `key` the regular expression matches.
    ///
    /// # Errors
    /// [`RegexError`] for what is no expression.
    pub fn matching(key: impl Into<String>, expression: &str) -> Result<Mdc, RegexError> {
        Ok(Mdc { wanted: Wanted::Matching(parse(expression)?), ..Mdc::has(key) })
    }
}

answers!(Mdc);

impl Filter for Mdc {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        let value = event.context.get(&self.key);
        self.answers.of(value.is_some_and(|value| self.wanted.is(value)))
    }
}

/// Asks whether a key-value of the log call is as wanted.
///
/// The value is compared as `{}` shows it. An event without the key is a mismatch.
///
/// # Examples
/// ```
/// use rollway::route::filter::KeyValue;
///
/// let payments = KeyValue::equal("kind", "payment");
/// let failures = KeyValue::matching("status", "^5")?;
/// # Ok::<(), rollway::route::filter::RegexError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyValue {
    key: String,
    wanted: Wanted,
    answers: Answers,
}

impl KeyValue {
    /// Accepts events that have `key`, with whatever value.
    pub fn has(key: impl Into<String>) -> KeyValue {
        KeyValue { key: key.into(), wanted: Wanted::Any, answers: Answers::default() }
    }

    /// Accepts events that have this value of `key`.
    pub fn equal(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
        KeyValue { wanted: Wanted::Equal(value.into()), ..KeyValue::has(key) }
    }

    /// Accepts events in whose value of `key` the regular expression matches.
    ///
    /// # Errors
    /// [`RegexError`] for what is no expression.
    pub fn matching(key: impl Into<String>, expression: &str) -> Result<KeyValue, RegexError> {
        Ok(KeyValue { wanted: Wanted::Matching(parse(expression)?), ..KeyValue::has(key) })
    }
}

answers!(KeyValue);

impl Filter for KeyValue {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        let mut pairs = event.pairs().filter(|(key, _)| *key == self.key);
        let is_match = pairs.any(|(_, value)| match &self.wanted {
            Wanted::Any => true,
            wanted => {
                let mut text = String::new();
                template::push_value(value, &mut text);
                wanted.is(&text)
            }
        });
        self.answers.of(is_match)
    }
}

/// What a value shall be like.
#[derive(Clone, Debug)]
enum Wanted {
    Any,
    Equal(String),
    Matching(regex_lite::Regex),
}

impl Wanted {
    fn is(&self, value: &str) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Equal(wanted) => wanted == value,
            Wanted::Matching(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::value::Kind;

    #[test]
    fn the_innermost_value_of_the_context_counts() {
        let mut fixture = Fixture::saying("x");
        fixture.context.pairs = [("user", "joe"), ("user", "jim"), ("host", "box")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        let mut judge = |filter: Mdc| filter.judge(&fixture.event()) == Verdict::Accept;
        assert!(judge(Mdc::equal("user", "jim")) && !judge(Mdc::equal("user", "joe")));
        assert!(judge(Mdc::matching("user", "^j.m$").unwrap()));
        assert!(!judge(Mdc::matching("host", "^o").unwrap()));
        assert!(judge(Mdc::has("host")) && !judge(Mdc::has("port")));
        assert!(judge(Mdc::has("port").reject()));
    }

    #[test]
    fn a_key_value_is_compared_as_it_is_shown() {
        let mut fixture = Fixture::saying("x")
            .with("status", Kind::U16, &503_u16.to_le_bytes())
            .with("kind", Kind::STR, b"payment");
        let mut judge = |filter: KeyValue| filter.judge(&fixture.event()) == Verdict::Accept;
        assert!(judge(KeyValue::equal("kind", "payment")));
        assert!(!judge(KeyValue::equal("kind", "pay")));
        assert!(judge(KeyValue::matching("status", "^5").unwrap()));
        assert!(judge(KeyValue::has("status")) && !judge(KeyValue::has("other")));
    }
}
