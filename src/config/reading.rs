//! TOML tables with the places of their keys and values.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The text of a file, to find lines and columns.
pub(super) struct Source<'a> {
    text: &'a str,
}

/// A place in the text, in bytes.
pub(super) type Place = Range<usize>;

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Source<'a> {
        Source { text }
    }

    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text)
            .map_err(|error| self.error(error.span().unwrap_or(0..0), error.message()))
    }

    pub(super) fn error(&self, place: Place, problem: impl Into<String>) -> ConfigError {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
        }
    }
}

/// A table and where it is.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    values: &'a DeTable<'a>,
    place: Place,
}

impl<'a> Table<'a> {
    pub(super) fn root(source: &'a Source<'a>, document: &'a Spanned<DeTable<'a>>) -> Table<'a> {
        Table { source, values: document.get_ref(), place: 0..0 }
    }

    /// Refuses keys that are not in `known`.
    pub(super) fn allow(&self, known: &[&str]) -> Result<(), ConfigError> {
        let mut keys: Vec<_> = self.values.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        match keys.into_iter().find(|key| !known.contains(&&**key.get_ref())) {
            None => Ok(()),
            Some(key) => Err(self.unknown("key", key.get_ref(), known, key.span())),
        }
    }

    /// A string and its place.
    pub(super) fn text(&self, key: &str) -> Result<Option<(&'a str, Place)>, ConfigError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::String(text) => Ok(Some((text, value.span()))),
                _ => {
                    let what = format!("`{key}` is a string, such as \"…\"");
                    Err(self.source.error(value.span(), what))
                }
            },
        }
    }

    /// A whole number of at least `least`, and its place.
    pub(super) fn number(
        &self,
        key: &str,
        least: u64,
    ) -> Result<Option<(u64, Place)>, ConfigError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let example = if least > 10_000_000 { "100_000_000" } else { "10_000_000" };
        let what = || format!("`{key}` is a whole number of at least {least}, such as {example}");
        let number = number.filter(|number| *number >= least);
        let number = number.ok_or_else(|| self.source.error(value.span(), what()))?;
        Ok(Some((number, value.span())))
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(truth) => Ok(Some(*truth)),
            _ => {
                let what = format!("`{key}` is true or false, without quotes");
                Err(self.source.error(value.span(), what))
            }
        }
    }

    pub(super) fn required_text(&self, key: &str) -> Result<(&'a str, Place), ConfigError> {
        self.text(key)?.ok_or_else(|| self.missing(format!("`{key}` is missing")))
    }

    /// One of some words.
    pub(super) fn optional_choice(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Option<&'a str>, ConfigError> {
        match self.text(key)? {
            Some((word, place)) if !known.contains(&word) => {
                Err(self.unknown(key, word, known, place))
            }
            found => Ok(found.map(|(word, _)| word)),
        }
    }

    pub(super) fn choice(&self, key: &str, known: &[&str]) -> Result<&'a str, ConfigError> {
        let missing = || self.missing(format!("`{key}` is missing: one of {}", listed(known)));
        self.optional_choice(key, known)?.ok_or_else(missing)
    }

    pub(super) fn table(&self, key: &str) -> Result<Option<Table<'a>>, ConfigError> {
        self.values.get(key).map(|value| self.inner(key, value)).transpose()
    }

    /// All values, which are tables, in the order of the file.
    pub(super) fn tables(&self) -> Result<Vec<(&'a str, Table<'a>)>, ConfigError> {
        let mut entries: Vec<_> = self.values.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let table = |(key, value): (&'a Spanned<_>, _)| -> Result<_, ConfigError> {
            let key: &'a std::borrow::Cow<'a, str> = key.get_ref();
            Ok((&**key, self.inner(key, value)?))
        };
        entries.into_iter().map(table).collect()
    }

    /// An error at a place of the table.
    pub(super) fn error(&self, place: Place, problem: impl Into<String>) -> ConfigError {
        self.source.error(place, problem)
    }

    fn inner(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Result<Table<'a>, ConfigError> {
        let place = self.key_place(key);
        match value.get_ref() {
            DeValue::Table(values) => Ok(Table { source: self.source, values, place }),
            _ => Err(self.source.error(value.span(), format!("`{key}` is a table"))),
        }
    }

    fn key_place(&self, key: &str) -> Place {
        let found = self.values.get_key_value(key);
        found.map_or(self.place.clone(), |(key, _)| key.span())
    }

    /// An error at a character of a string, counted from 1. Where the file has the string with
    /// escapes, the place is that of the string.
    pub(super) fn error_inside(
        &self,
        place: Place,
        text: &str,
        column: usize,
        problem: &str,
    ) -> ConfigError {
        let raw = self.source.text.get(place.start + 1..place.end.saturating_sub(1));
        let at = text.char_indices().nth(column - 1).map_or(text.len(), |(at, _)| at);
        if raw == Some(text) {
            let start = place.start + 1 + at;
            return self.source.error(start..start, problem);
        }
        self.source.error(place, format!("column {column} of the pattern: {problem}"))
    }

    fn unknown(&self, what: &str, found: &str, known: &[&str], place: Place) -> ConfigError {
        let hint = nearest(found, known).map(|near| format!(" (did you mean `{near}`?)"));
        let (hint, known) = (hint.unwrap_or_default(), listed(known));
        self.source.error(place, format!("unknown {what} `{found}`{hint}; known are {known}"))
    }

    fn missing(&self, problem: String) -> ConfigError {
        self.source.error(self.place.clone(), problem)
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The known word that `found` is probably meant to be.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|word| (distance(found, word), *word)).min()?;
    (near.0 <= 1 + near.1.chars().count() / 4).then_some(near.1)
}

/// How many characters must be put in, left out or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
