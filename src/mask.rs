//! Which keys have values that nobody is to see.

use crate::value::{Scalar, Value};

/// Shown in the place of a hidden value.
const HIDDEN: &str = "[masked]";

/// Rules by key for what appenders do not show.
///
/// A key that a rule names hides the value of a key-value, of a named argument (in the message, too)
/// and of the MDC: `[masked]` stands in its place. Keys are compared without regard to upper and
/// lower case. What hides is the key: a value that stands in the text of a message, or under
/// another key, is shown. `docs/context.md` tells what the journal itself still has.
///
/// # Examples
/// ```
/// use rollway::Mask;
///
/// let mask = Mask::new().key("password").key_pattern("*token*");
/// assert!(mask.hides("Password") && mask.hides("session_token_2"));
/// assert!(!mask.hides("password_age_days"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    rules: Vec<Rule>,
}

/// Lower case throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Key(Box<[char]>),
    Pattern(Box<[char]>),
}

impl Mask {
    /// Hides nothing.
    pub fn new() -> Mask {
        Mask::default()
    }

    /// Hides the values of this key.
    pub fn key(mut self, key: &str) -> Mask {
        self.rules.push(Rule::Key(lower_case(key).collect()));
        self
    }

    /// Hides the values of all keys that match a pattern as a whole: `*` is any number of
    /// characters, `?` is one.
    pub fn key_pattern(mut self, pattern: &str) -> Mask {
        self.rules.push(Rule::Pattern(lower_case(pattern).collect()));
        self
    }

    /// Whether the values of this key are hidden.
    pub fn hides(&self, key: &str) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Key(hidden) => lower_case(key).eq(hidden.iter().copied()),
            Rule::Pattern(pattern) => matches(pattern, lower_case(key)),
        })
    }

    /// Whether it hides anything at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What stands in the place of a hidden value.
    pub(crate) const fn shown() -> Value<'static> {
        Value::Plain(Scalar::Text(HIDDEN))
    }

    /// What stands in the place of a hidden text.
    pub(crate) const fn shown_text() -> &'static str {
        HIDDEN
    }
}

fn lower_case(text: &str) -> impl Iterator<Item = char> + Clone {
    text.chars().flat_map(char::to_lowercase)
}

/// Whether a pattern matches a text as a whole, in a time that grows with the product of their
/// lengths at most: a `*` takes more only as long as no later one has taken anything.
fn matches(pattern: &[char], text: impl Iterator<Item = char> + Clone) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What to go on with when the last `*` has to take one character more.
    let mut retry = None;
    loop {
        let mut behind = text.clone();
        match (pattern, behind.next()) {
            (['*', rest @ ..], _) => {
                pattern = rest;
                retry = Some((rest, text.clone()));
            }
            ([first, rest @ ..], Some(c)) if *first == '?' || *first == c => {
                (pattern, text) = (rest, behind);
            }
            ([], None) => return true,
            _ => {
                let Some((rest, mut longer)) = retry.take() else { return false };
                if longer.next().is_none() {
                    return false;
                }
                (pattern, text) = (rest, longer.clone());
                retry = Some((rest, longer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by definition.
    fn matches_by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['*', rest @ ..], text) => {
                (0..=text.len()).any(|taken| matches_by_definition(rest, &text[taken..]))
            }
            (['?', rest @ ..], [_, text @ ..]) => matches_by_definition(rest, text),
            ([c, rest @ ..], [d, text @ ..]) => c == d && matches_by_definition(rest, text),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_means(pattern in "[ab*?]{0,8}", text in "[abc]{0,10}") {
            let pattern = Vec::from_iter(pattern.chars());
            let expected = matches_by_definition(&pattern, &Vec::from_iter(text.chars()));
            prop_assert_eq!(matches(&pattern, text.chars()), expected);
        }
    }

    #[test]
    fn a_key_is_no_pattern() {
        let mask = Mask::new().key("a*");
        assert!(mask.hides("A*") && !mask.hides("ab"));
        assert!(Mask::new().is_empty() && !Mask::new().hides(""));
    }

    #[test]
    fn upper_and_lower_case_are_the_same_in_any_alphabet() {
        let mask = Mask::new().key("straße").key_pattern("ПАРОЛЬ*");
        assert!(mask.hides("STRAßE") && mask.hides("пароль_2") && !mask.hides("пар"));
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let mask = Mask::new().key_pattern(&"a*".repeat(200));
        assert!(!mask.hides(&"a".repeat(199)));
        assert!(mask.hides(&"a".repeat(1 << 16)));
        assert!(
            !Mask::new().key_pattern(&"*a".repeat(100)).hides(&format!("{}b", "a".repeat(1 << 12)))
        );
    }
}
