//! TOML as a tree of values with places.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::node::{Entry, Node, Table, Value};
use super::place::{Origin, Place};

/// Reads a document.
///
/// # Errors
/// Everything that is no TOML.
pub(super) fn parse(text: &str, origin: Origin) -> Result<Table, Vec<Problem>> {
    let source = Source { text, origin: Arc::new(origin) };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(source.table(document.get_ref()));
    }
    let problem = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        Problem::at(&source.place(span.clone()), source.told(error.message(), span))
    };
    Err(errors.iter().map(problem).collect())
}

struct Source<'a> {
    text: &'a str,
    origin: Arc<Origin>,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::in_text(&self.origin, self.text, span.start)
    }

    /// What is wrong with the text at a place, and the remedy where it is plain.
    fn told(&self, message: &str, span: Range<usize>) -> String {
        let line_start = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let (before, behind) = (&self.text[line_start..span.start], &self.text[span.start..]);
        let word = behind.split(|c: char| c.is_whitespace() || ",]}#".contains(c)).next();
        let word = word.filter(|word| word.starts_with(char::is_alphabetic));
        match (message, word) {
            ("duplicate key", Some(word)) => format!("`{word}` stands twice; leave one of them"),
            (_, Some(word)) if before.trim_end().ends_with(['=', '[', ',']) => {
                format!("{word} is no value; put a text in quotes: \"{word}\"")
            }
            _ if message.contains("string") && message.ends_with("expected `\"`") => {
                "a text is not closed; end it with `\"`".to_owned()
            }
            _ => format!("no TOML: {}", message.replace('\n', ", ")),
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let key_place = self.place(key.span());
            Entry {
                key: name.clone().into_owned(),
                node: self.node(value, Some(&key_place)),
                key_place,
            }
        };
        Table { entries: keys.into_iter().map(entry).collect() }
    }

    /// A table's place is that of its key, where it has one.
    fn node(&self, value: &Spanned<DeValue<'_>>, key_place: Option<&Place>) -> Node {
        let span = value.span();
        let place = self.place(span.clone());
        let value = match value.get_ref() {
            DeValue::String(text) => {
                let inner = self.text.get(span.start + 1..span.end.saturating_sub(1));
                Value::Text { text: text.to_string(), is_verbatim: inner == Some(text) }
            }
            DeValue::Integer(digits) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix());
                number.map_or_else(|_| Value::Number(digits.as_str().to_owned()), Value::Integer)
            }
            DeValue::Float(digits) => Value::Number(digits.as_str().to_owned()),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(values) => {
                Value::List(values.iter().map(|value| self.node(value, None)).collect())
            }
            DeValue::Table(table) => {
                let place = key_place.cloned().unwrap_or(place);
                return Node { value: Value::Table(self.table(table)), place };
            }
        };
        Node { value, place }
    }
}
