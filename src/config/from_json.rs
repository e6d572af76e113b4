//! JSON as a tree of values with places. Comments are allowed, and a comma behind the last value.

use std::sync::Arc;

use jsonc_parser::ast::{Object, Value as Json};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::error::Problem;
use super::node::{Entry, NULL, Node, Table, Value};
use super::place::{Origin, Place};

/// Reads a document, which is an object.
///
/// # Errors
/// What is no JSON, keys that stand twice, and any other value than an object.
pub(super) fn parse(text: &str, origin: Origin) -> Result<Table, Vec<Problem>> {
    let options = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let mut source = Source { text, origin: Arc::new(origin), doubled: Vec::new() };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options);
    let value = parsed.map_err(|error| {
        let place = source.place(error.range().start);
        let what = match error.kind() {
            ParseErrorKind::ExpectedComma => {
                "a comma is missing; put one between two values".into()
            }
            other => format!("no JSON: {}", other.to_string().to_lowercase()),
        };
        vec![Problem::at(&place, what)]
    })?;
    let table = match value.value {
        None => Table::default(),
        Some(Json::Object(object)) => source.table(&object),
        Some(other) => {
            let what = "the configuration is a JSON object: `{ … }`";
            return Err(vec![Problem::at(&source.place(other.start()), what)]);
        }
    };
    match source.doubled.is_empty() {
        true => Ok(table),
        false => Err(source.doubled),
    }
}

struct Source<'a> {
    text: &'a str,
    origin: Arc<Origin>,
    /// Keys that stand twice in one object.
    doubled: Vec<Problem>,
}

impl Source<'_> {
    fn place(&self, start: usize) -> Place {
        Place::in_text(&self.origin, self.text, start)
    }

    fn table(&mut self, object: &Object<'_>) -> Table {
        let mut table = Table::default();
        for property in &object.properties {
            let key = property.name.as_str().to_owned();
            let key_place = self.place(property.name.start());
            if table.get(&key).is_some() {
                let what = format!("`{key}` stands twice; leave one of them");
                self.doubled.push(Problem::at(&key_place, what));
            }
            let node = self.node(&property.value, Some(&key_place));
            table.entries.push(Entry { key, key_place, node });
        }
        table
    }

    fn node(&mut self, value: &Json<'_>, key_place: Option<&Place>) -> Node {
        let place = self.place(value.start());
        let value = match value {
            Json::StringLit(literal) => {
                let inner = self.text.get(literal.range.start + 1..literal.range.end - 1);
                let text = literal.value.to_string();
                Value::Text { is_verbatim: inner == Some(&*text), text }
            }
            Json::NumberLit(literal) => {
                let number = literal.value.parse();
                number.map_or_else(|_| Value::Number(literal.value.to_owned()), Value::Integer)
            }
            Json::BooleanLit(literal) => Value::Truth(literal.value),
            Json::NullKeyword(_) => Value::Other(NULL),
            Json::Array(array) => {
                Value::List(array.elements.iter().map(|node| self.node(node, None)).collect())
            }
            Json::Object(object) => {
                let place = key_place.cloned().unwrap_or(place);
                return Node { value: Value::Table(self.table(object)), place };
            }
        };
        Node { value, place }
    }
}
