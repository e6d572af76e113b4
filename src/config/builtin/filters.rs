//! Filters.

use std::cell::RefCell;
use std::sync::Arc;

use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;
use crate::route::filter::{
    Boolean, Category, Filter, KeyValue, LevelMatch, LevelRange, Mdc, Regex, RegexError, Text,
};

const LEVEL: &[Key] = &[Key::new("level", Kind::Level, "the level").example("\"warn\"").required()];
const LEVEL_RANGE: &[Key] = &[
    Key::new("min", Kind::Level, "the least level").default("\"trace\""),
    Key::new("max", Kind::Level, "the greatest level").otherwise("there is none", "\"warn\""),
];
const TEXT: &[Key] = &[
    Key::new("contains", Kind::Texts, "one of these is in the message")
        .example("[\"heartbeat\", \"keep-alive\"]")
        .required(),
    Key::new("ignore_case", Kind::Truth, "whether upper and lower case are equal").default("false"),
];
const REGEX: &[Key] = &[Key::new(
    "regex",
    Kind::Text,
    "a regular expression that matches somewhere in the message; `(?i)` in front ignores case",
)
.example("'took \\d{4,} ms'")
.required()];
const CATEGORY: &[Key] = &[
    Key::new("category", Kind::Texts, "the categories").example("[\"hyper\", \"h2\"]").required(),
    Key::new("below", Kind::Truth, "whether those below them are meant, too").default("true"),
];
const KEY: &[Key] = &[
    Key::new("key", Kind::Text, "the key").example("\"user\"").required(),
    Key::new("equals", Kind::Text, "the value").otherwise("any value", "\"joe\""),
    Key::new("regex", Kind::Text, "a regular expression that matches somewhere in the value")
        .otherwise("any value", "\"^test-\""),
];
const BOOLEAN: &[Key] = &[Key::new(
    "expression",
    Kind::Text,
    "names of filters with `&&`, `||`, `!` and parentheses; a filter is true unless it rejects",
)
.example("\"grave && !known\"")
.required()];

/// A filter of any kind with the answers of its section.
macro_rules! answering {
    ($section:expr, $filter:expr) => {{
        let (answers, filter) = ($section.answers(), $filter);
        let filter = filter.on_match(answers.on_match).on_mismatch(answers.on_mismatch);
        Some(Arc::new(filter) as Arc<dyn Filter>)
    }};
}

pub(super) fn register(registry: &mut Registry) {
    registry.filter_type("level", "Asks for one level.", LEVEL, |section| {
        answering!(section, LevelMatch::new(section.level("level")?))
    });
    let about = "Asks for a range of levels, both ends included.";
    registry.filter_type("level_range", about, LEVEL_RANGE, |section| {
        let min = section.level("min");
        match section.level("max") {
            Some(max) if max < min? => {
                let (min, max) = (min?.to_string().to_lowercase(), max.to_string().to_lowercase());
                let what =
                    format!("`max` is \"{max}\", below `min`, which is \"{min}\"; swap them");
                section.refuse("max", what);
                None
            }
            Some(max) => answering!(section, LevelRange::new(min?, max)),
            None => answering!(section, LevelRange::from(min?)),
        }
    });
    registry.filter_type("text", "Asks for texts in the message.", TEXT, |section| {
        let (texts, ignores_case) = (section.texts("contains"), section.truth("ignore_case"));
        let text = Text::new(texts?);
        answering!(section, if ignores_case? { text.ignore_case() } else { text })
    });
    registry.filter_type("regex", "Asks a regular expression of the message.", REGEX, |section| {
        answering!(section, right(section, "regex", Regex::new(&section.text("regex")?))?)
    });
    registry.filter_type("category", "Asks for categories.", CATEGORY, |section| {
        let (categories, below) = (section.texts("category"), section.truth("below"));
        let categories = categories?;
        answering!(
            section,
            if below? { Category::below(categories) } else { Category::exactly(categories) }
        )
    });
    registry.filter_type("mdc", "Asks for a value of the context (MDC).", KEY, |section| {
        let (key, wanted) = (section.text("key"), wanted(section));
        answering!(
            section,
            match wanted? {
                Wanted::Any => Mdc::has(key?),
                Wanted::Equal(value) => Mdc::equal(key?, value),
                Wanted::Matching(regex) => right(section, "regex", Mdc::matching(key?, &regex))?,
            }
        )
    });
    registry.filter_type("key_value", "Asks for a key-value of the log call.", KEY, |section| {
        let (key, wanted) = (section.text("key"), wanted(section));
        answering!(
            section,
            match wanted? {
                Wanted::Any => KeyValue::has(key?),
                Wanted::Equal(value) => KeyValue::equal(key?, value),
                Wanted::Matching(regex) =>
                    right(section, "regex", KeyValue::matching(key?, &regex))?,
            }
        )
    });
    registry.filter_type("boolean", "Asks several filters.", BOOLEAN, |section| {
        let text = section.text("expression")?;
        // What the last name that was asked for has not become, and why where that is not told yet.
        let unnamed = RefCell::new(None);
        let named = |name: &str| {
            let found = section.named_filter(name);
            let filter = found.as_ref().ok().cloned().flatten();
            if filter.is_none() {
                unnamed.replace(Some(found.err()));
            }
            filter
        };
        match (Boolean::parse(&text, named), unnamed.take()) {
            (Ok(filter), _) => answering!(section, filter),
            // Its own section says what is wrong with it.
            (Err(_), Some(None)) => None,
            (Err(error), Some(Some(what))) => {
                section.refuse_inside("expression", error.column(), &what);
                None
            }
            (Err(error), None) => {
                section.refuse_inside("expression", error.column(), error.problem());
                None
            }
        }
    });
}

/// What a filter wants of a value.
enum Wanted {
    Any,
    Equal(String),
    Matching(String),
}

fn wanted(section: &Section<'_>) -> Option<Wanted> {
    match (section.text("equals"), section.text("regex")) {
        (Some(_), Some(_)) => {
            section.refuse("regex", "`equals` and `regex` stand side by side; leave one of them");
            None
        }
        (Some(value), None) => Some(Wanted::Equal(value)),
        (None, Some(regex)) => Some(Wanted::Matching(regex)),
        (None, None) => Some(Wanted::Any),
    }
}

fn right<T>(section: &Section<'_>, key: &str, result: Result<T, RegexError>) -> Option<T> {
    let remedy = "mend it, or write `\\` before a sign that means itself";
    result.map_err(|error| section.refuse(key, format!("{error}; {remedy}"))).ok()
}
