//! The JSON schema of configuration files, made of the declared keys.

use serde_json::{Map, Value, json};

use super::key::{Family, Key, Kind, LEVELS};
use super::keys::ROOT;
use super::registry::{Declared, Registry};
use super::section::default_node;

/// The schema, in the dialect of 2020-12, which is also good for TOML.
pub(super) fn schema(registry: &Registry) -> String {
    let mut schema = object(registry, ROOT.iter());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "rollway's configuration".into();
    let mut out = format!("{schema:#}");
    out.push('\n');
    out
}

fn object<'a>(registry: &Registry, keys: impl Iterator<Item = &'a Key>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for key in keys {
        let mut value = kind(registry, key.kind);
        value["description"] = key.about.into();
        if let Some(default) = key.default.and_then(default_node) {
            value["default"] = default.to_json();
        }
        properties.insert(key.name.to_owned(), value);
        if key.is_required {
            required.push(key.name);
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    object["additionalProperties"] = false.into();
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn kind(registry: &Registry, kind: Kind) -> Value {
    let several = |item: Value| json!({ "anyOf": [item, { "type": "array", "items": item }] });
    let level = |more: &[&str]| {
        let words: Vec<String> = LEVELS
            .iter()
            .chain(more)
            .flat_map(|word| [(*word).to_owned(), word.to_uppercase()])
            .collect();
        json!({ "enum": words })
    };
    match kind {
        Kind::Text | Kind::Path | Kind::Appender | Kind::Address | Kind::Warp => {
            json!({ "type": "string" })
        }
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Number(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Bytes(least, _) => json!({
            "anyOf": [
                { "type": "integer", "minimum": least },
                { "type": "string", "pattern": "^[0-9][0-9_]* ?([kKMGT]?B?|[KMGT]iB)$" },
            ]
        }),
        Kind::Duration => duration(),
        Kind::Level => level(&[]),
        Kind::Threshold => level(&["all", "off"]),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::OneOfOrDuration(words) => json!({ "anyOf": [{ "enum": words }, duration()] }),
        Kind::Mode => json!({ "type": "string", "pattern": "^(0o)?[0-7]{1,5}$" }),
        Kind::Texts | Kind::Appenders | Kind::Addresses => several(json!({ "type": "string" })),
        Kind::SomeOf(words) => several(json!({ "enum": words })),
        Kind::Secret => json!({
            "type": "object",
            "properties": { "file": { "type": "string" }, "env": { "type": "string" } },
            "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        }),
        Kind::Layout => {
            json!({ "anyOf": [{ "type": "string" }, typed(registry, Family::Layout)] })
        }
        Kind::Filters => {
            let one = json!({ "anyOf": [{ "type": "string" }, typed(registry, Family::Filter)] });
            several(one)
        }
        Kind::Pairs => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Section(keys) => object(registry, keys.iter()),
        Kind::Sections(keys) => {
            json!({ "type": "object", "additionalProperties": object(registry, keys.iter()) })
        }
        Kind::Typed(family) => {
            let typed = typed(registry, family);
            json!({
                "anyOf": [
                    { "type": "object", "additionalProperties": typed },
                    { "type": "array", "items": typed },
                ]
            })
        }
    }
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": "^([0-9][0-9_]*(ns|us|µs|ms|s|min|h|d) *)+$" })
}

/// One of the types of a family, told apart by `type`.
fn typed(registry: &Registry, family: Family) -> Value {
    let one = |known: &Declared<'_>| {
        let mut object = object(registry, known.common.iter().chain(known.keys));
        object["description"] = known.about.into();
        object["properties"]["type"] = json!({ "const": known.name });
        object
    };
    json!({ "oneOf": registry.types(family).iter().map(one).collect::<Vec<_>>() })
}
