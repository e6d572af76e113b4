//! The JSON schema of configuration files, made of the declared keys.
//!
//! What several keys take is described once, below `$defs`: the kinds of values, the families of types
//! as `appender`, `layout` and `filter`, each type as `appender.file`, and each section.

use serde_json::{Map, Value, json};

use super::key::{Family, Key, Kind, LEVELS};
use super::keys::ROOT;
use super::registry::{Declared, Registry};
use super::section::default_node;

/// The schema, in the dialect of 2020-12, which is also good for TOML.
pub(super) fn schema(registry: &Registry) -> String {
    let mut schema = object(ROOT);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "rollway's configuration".into();
    schema["$defs"] = defs(registry).into();
    let mut out = format!("{schema:#}");
    out.push('\n');
    out
}

/// What `$ref` points to.
fn defs(registry: &Registry) -> Map<String, Value> {
    let levels = |more: &[&str]| {
        let words = LEVELS.iter().chain(more);
        let words = words.flat_map(|word| [(*word).to_owned(), word.to_uppercase()]);
        // Any case is right, and a program may have levels of its own.
        let own = json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" });
        json!({ "anyOf": [{ "enum": words.collect::<Vec<_>>() }, own] })
    };
    let mut defs = Map::new();
    let mut define = |name: &str, what| defs.insert(name.to_owned(), what);
    define(
        "size",
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9][0-9_]* ?([kKMGT]?B?|[KMGT]iB)$" },
        ] }),
    );
    let pattern = "^([0-9][0-9_]*(ns|us|µs|ms|s|min|h|d) *)+$";
    define("duration", json!({ "type": "string", "pattern": pattern }));
    define("level", levels(&[]));
    define("threshold", levels(&["all", "off"]));
    define("mode", json!({ "type": "string", "pattern": "^(0o)?[0-7]{1,5}$" }));
    define("texts", several(&json!({ "type": "string" })));
    define("pairs", json!({ "type": "object", "additionalProperties": { "type": "string" } }));
    define(
        "secret",
        json!({
            "type": "object",
            "properties": { "file": { "type": "string" }, "env": { "type": "string" } },
            "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        }),
    );
    let named = |family| json!({ "anyOf": [{ "type": "string" }, reference(family)] });
    define("layout_or_name", named("layout"));
    define("filter_or_name", named("filter"));
    define("filters", several(&reference("filter_or_name")));
    for family in [Family::Appender, Family::Layout, Family::Filter] {
        let types = registry.types(family);
        let name = |known: &Declared<'_>| format!("{}.{}", family.name(), known.name);
        let one_of: Vec<_> = types.iter().map(|known| reference(&name(known))).collect();
        define(family.name(), json!({ "oneOf": one_of }));
        for known in &types {
            define(&name(known), typed(known));
        }
    }
    for key in ROOT {
        if let Kind::Section(keys) | Kind::Sections(keys) = key.kind {
            define(key.name, object(keys));
        }
    }
    defs
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn several(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

/// One of the types of a family, which its `type` tells from the others.
fn typed(known: &Declared<'_>) -> Value {
    let mut object = object(known.common.iter().chain(known.keys));
    object["description"] = known.about.into();
    object["properties"]["type"] = json!({ "const": known.name });
    object
}

fn object<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for key in keys {
        let mut value = kind(key);
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

fn kind(key: &Key) -> Value {
    match key.kind {
        Kind::Text | Kind::Path | Kind::Appender | Kind::Address | Kind::Warp => {
            json!({ "type": "string" })
        }
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Number(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Bytes(least, most) => {
            let mut size = reference("size");
            // Says nothing of a text.
            if least > 0 {
                size["minimum"] = least.into();
            }
            if most < u64::MAX {
                size["maximum"] = most.into();
            }
            size
        }
        Kind::Duration => reference("duration"),
        Kind::Level => reference("level"),
        Kind::Threshold => reference("threshold"),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::OneOfOrDuration(words) => {
            json!({ "anyOf": [{ "enum": words }, reference("duration")] })
        }
        Kind::Mode => reference("mode"),
        Kind::Texts | Kind::Appenders | Kind::Addresses => reference("texts"),
        Kind::SomeOf(words) => several(&json!({ "enum": words })),
        Kind::Secret => reference("secret"),
        Kind::Layout => reference("layout_or_name"),
        Kind::Filters => reference("filters"),
        Kind::Pairs => reference("pairs"),
        Kind::Section(_) => reference(key.name),
        Kind::Sections(_) => {
            json!({ "type": "object", "additionalProperties": reference(key.name) })
        }
        Kind::Typed(family) => {
            let one = reference(family.name());
            json!({ "anyOf": [
                { "type": "object", "additionalProperties": one },
                { "type": "array", "items": one },
            ] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Origin;
    use crate::config::{from_json, from_toml};

    /// What is wrong with a value by a schema, of the words that the schema above has.
    fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
        let all = |of: &Value| of.as_array().unwrap().clone();
        let matching = |of: &Value| {
            let fits = |one: &&Value| check(root, one, value, at).is_ok();
            of.as_array().unwrap().iter().filter(fits).count()
        };
        for (word, says) in schema.as_object().unwrap() {
            let is_right = match &**word {
                "$schema" | "$defs" | "title" | "description" | "default" => true,
                "$ref" => {
                    let target = root.pointer(says.as_str().unwrap().strip_prefix('#').unwrap());
                    check(root, target.unwrap(), value, at)?;
                    true
                }
                "type" => match says.as_str().unwrap() {
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    other => panic!("`{other}` is no type of the schema"),
                },
                "enum" => all(says).contains(value),
                "const" => says == value,
                "minimum" => value.as_i64().is_none_or(|found| found >= says.as_i64().unwrap()),
                "maximum" => value.as_i64().is_none_or(|found| found <= says.as_i64().unwrap()),
                "pattern" => {
                    let pattern = regex_lite::Regex::new(says.as_str().unwrap()).unwrap();
                    value.as_str().is_none_or(|text| pattern.is_match(text))
                }
                "anyOf" => matching(says) > 0,
                "oneOf" => matching(says) == 1,
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        check(root, says, item, at)?;
                    }
                    true
                }
                "required" => {
                    let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                    !value.is_object() || all(says).iter().all(has)
                }
                "minProperties" => value.as_object().is_none_or(|found| !found.is_empty()),
                "maxProperties" => value.as_object().is_none_or(|found| found.len() <= 1),
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if let Some(known) = says.get(name) {
                            check(root, known, value, &format!("{at}/{name}"))?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties");
                    for (name, value) in value.as_object().into_iter().flatten() {
                        let is_known = known.is_some_and(|known| known.get(name).is_some());
                        match says {
                            _ if is_known => {}
                            Value::Bool(false) => return Err(format!("{at}: unknown {name}")),
                            more => check(root, more, value, &format!("{at}/{name}"))?,
                        }
                    }
                    true
                }
                other => panic!("`{other}` is no word of the schema"),
            };
            if !is_right {
                return wrong(word);
            }
        }
        Ok(())
    }

    fn checked(text: &str, is_json: bool) -> Result<(), String> {
        let parse = if is_json { from_json::parse } else { from_toml::parse };
        let table = parse(text, Origin::Text).map_err(|wrong| format!("{wrong:?}"))?;
        let entry = |entry: &crate::config::node::Entry| (entry.key.clone(), entry.node.to_json());
        let value: Value = table.entries.iter().map(entry).collect::<Map<_, _>>().into();
        let root = serde_json::from_str(&schema(&Registry::new())).unwrap();
        check(&root, &root, &value, "")
    }

    #[test]
    fn right_configurations_satisfy_the_schema() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_json = path.extension().is_some_and(|end| end == "json");
            checked(&text, is_json).unwrap_or_else(|what| panic!("{}: {what}", path.display()));
            seen += 1;
        }
        assert!(seen > 5, "only {seen}");
    }

    #[test]
    fn every_reference_of_the_schema_leads_somewhere() {
        let text = schema(&Registry::new());
        let root: Value = serde_json::from_str(&text).unwrap();
        let targets: Vec<_> = text.split("\"$ref\": \"#").skip(1).collect();
        assert!(targets.len() > 100, "only {}", targets.len());
        for target in targets {
            let (pointer, _) = target.split_once('"').unwrap();
            assert!(root.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn the_schema_refuses_what_is_unknown_missing_or_of_another_kind() {
        for wrong in [
            "levle = 'info'",
            "level = 5",
            "flush_timeout = '5'",
            "[journal]\nmax_bytes = 1",
            "[journal]\nmax_bytes = 'much'",
            "[appenders.a]\ntype = 'file'",
            "[appenders.a]\ntype = 'fiel'\npath = 'a'",
            "[appenders.a]\ntype = 'console'\npath = 'a'",
            "[appenders.a]\ntype = 'console'\nlayout = { type = 'pattern', patern = '%m' }",
            "[appenders.a]\ntype = 'console'\nfilter = [5]",
            "[[appenders]]\nname = 'a'",
        ] {
            assert!(checked(wrong, false).is_err(), "{wrong}");
        }
    }
}
