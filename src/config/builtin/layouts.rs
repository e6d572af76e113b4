//! Layouts.

use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;
use crate::layout::{Ecs, FieldError, Group, Json, Layout, Logfmt, OpenTelemetry, Pattern};

const GROUPS: &[&str] =
    &["fields", "args", "template", "context", "location", "thread", "process", "receipt"];

const PATTERN: &[Key] = &[
    Key::new("pattern", Kind::Text, "the pattern, see [layouts](layouts.md#patterns)")
        .default("\"%d %-5p %c - %m%k%n\""),
    Key::new("escape", Kind::Truth, "whether line ends and control characters in data are escaped")
        .default("true"),
    Key::new("multiline", Kind::Truth, "whether each line of a message gets what stands before it")
        .default("false"),
    Key::new("colours", Kind::Truth, "whether the pattern's colours are shown").default("true"),
    Key::new("missing", Kind::Text, "what is shown for a value that an event does not have")
        .default("\"\""),
];
const SHOW: Key = Key::new(
    "show",
    Kind::SomeOf(GROUPS),
    "what is shown beside time, level, category and message",
);
const JSON: &[Key] = &[
    SHOW.default("[\"fields\", \"context\"]"),
    Key::new("rename", Kind::Pairs, "fields with other names").example("{ time = \"ts\" }"),
    Key::new("hide", Kind::Texts, "fields that are left out").example("[\"category\"]"),
    Key::new(
        "message_chunks",
        Kind::Truth,
        "whether the message is an array of its texts and values, which the warp `pass` asks for",
    )
    .default("false"),
];
const ECS: &[Key] = &[SHOW.otherwise("as the type says", "[\"fields\", \"context\"]")];

pub(super) fn register(registry: &mut Registry) {
    registry.layout_type("pattern", "Lines of a pattern.", PATTERN, pattern);
    for (name, about, make) in [
        ("simple", "Time, level, category, message and key-values.", Pattern::simple as fn() -> _),
        ("basic", "Time, level, category and message, as other systems show them.", Pattern::basic),
        ("coloured", "As `basic`, in the colour of the level.", Pattern::coloured),
        ("brief", "Level and message.", Pattern::brief),
        ("message", "The message alone, a line each.", Pattern::message_only),
    ] {
        registry.layout_type(name, about, &[], move |_| Some(Box::new(make())));
    }
    registry.layout_type("json", "Lines of JSON.", JSON, json);
    registry.layout_type(
        "ecs",
        "Lines of JSON with the names of the Elastic Common Schema.",
        ECS,
        |section| Some(Box::new(shown(section, Ecs::new(), Ecs::with, Ecs::without))),
    );
    let about = "Lines of JSON with the names of OpenTelemetry.";
    registry.layout_type("opentelemetry", about, ECS, |section| {
        let layout = OpenTelemetry::new();
        Some(Box::new(shown(section, layout, OpenTelemetry::with, OpenTelemetry::without)))
    });
    registry.layout_type("logfmt", "Lines of `key=value`.", ECS, |section| {
        Some(Box::new(shown(section, Logfmt::new(), Logfmt::with, Logfmt::without)))
    });
}

fn pattern(section: &Section<'_>) -> Option<Box<dyn Layout>> {
    let (escape, multiline) = (section.truth("escape"), section.truth("multiline"));
    let (colours, missing) = (section.truth("colours"), section.text("missing"));
    match Pattern::parse_with(&section.text("pattern")?, section.letters()) {
        Ok(pattern) => {
            let pattern = pattern.escape(escape?).multiline(multiline?).colours(colours?);
            Some(Box::new(pattern.missing(missing?)))
        }
        Err(error) => {
            section.refuse_inside("pattern", error.column, &error.problem);
            None
        }
    }
}

fn json(section: &Section<'_>) -> Option<Box<dyn Layout>> {
    let mut json = shown(section, Json::new(), Json::with, Json::without);
    for (field, name) in section.pairs("rename").unwrap_or_default() {
        json = changed(section, "rename", json.rename(&field, &name))?;
    }
    for field in section.texts("hide").unwrap_or_default() {
        json = changed(section, "hide", json.hide(&field))?;
    }
    Some(Box::new(json.message_chunks(section.truth("message_chunks")?)))
}

fn changed(section: &Section<'_>, key: &str, result: Result<Json, FieldError>) -> Option<Json> {
    result.map_err(|error| section.refuse(key, error.to_string())).ok()
}

/// The layout with the groups that `show` has, and no others.
fn shown<L>(
    section: &Section<'_>,
    layout: L,
    with: impl Fn(L, Group) -> L,
    without: impl Fn(L, Group) -> L,
) -> L {
    let Some(words) = section.texts("show") else { return layout };
    GROUPS.iter().fold(layout, |layout, word| {
        let change: &dyn Fn(L, Group) -> L =
            if words.iter().any(|shown| shown == word) { &with } else { &without };
        change(layout, group(word))
    })
}

fn group(word: &str) -> Group {
    match word {
        "fields" => Group::Fields,
        "args" => Group::Args,
        "template" => Group::Template,
        "context" => Group::Context,
        "location" => Group::Location,
        "thread" => Group::Thread,
        "process" => Group::Process,
        _ => Group::Receipt,
    }
}
