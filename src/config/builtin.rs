//! The types of appenders and layouts of this crate.

use super::key::{Key, Kind};
use super::registry::Registry;
use super::section::Section;
use crate::appender::{Console, File, Forwarder, Open};
use crate::layout::{Group, Json, Layout, Pattern};

const SIMPLE: &str = r#"{ type = "pattern", pattern = "%d %-5p %c - %m%k%n" }"#;
const GROUPS: &[&str] =
    &["fields", "args", "template", "context", "location", "thread", "process", "receipt"];

const FILE: &[Key] = &[
    Key::new("path", Kind::Path, "the file, appended to; missing directories are made")
        .example("\"/var/log/shop.log\"")
        .required(),
    Key::new("layout", Kind::Layout, "how events become text").default(SIMPLE),
    Key::new("truncate", Kind::Truth, "whether the file is emptied when it is opened")
        .default("false"),
    Key::new("mode", Kind::Mode, "the permissions of a file that is made").default("\"0600\""),
    Key::new(
        "rotate_bytes",
        Kind::Bytes(1, u64::MAX),
        "a new file is begun before the event with which this one would have more bytes",
    )
    .otherwise("one file that grows", "\"100MiB\""),
    Key::new("keep", Kind::Number(0, u64::MAX), "how many full files stay, with `rotate_bytes`")
        .otherwise("all", "10"),
];
const CONSOLE: &[Key] = &[
    Key::new("stream", Kind::OneOf(&["stdout", "stderr"]), "where it prints").default("\"stdout\""),
    Key::new("layout", Kind::Layout, "how events become text").default(SIMPLE),
];
const FORWARDER: &[Key] = &[
    Key::new(
        "to",
        Kind::Addresses,
        "the masters, as `host:port`: events go to the first that works",
    )
    .example("[\"logs.example:5000\", \"spare.example:5000\"]")
    .required(),
    Key::new("connect_timeout", Kind::Duration, "how long a connection may take to come about")
        .default("\"5s\""),
    Key::new(
        "window_bytes",
        Kind::Bytes(1, u64::MAX),
        "bytes that may be sent and not acknowledged",
    )
    .default("\"4MiB\""),
];
const PATTERN: &[Key] = &[
    Key::new("pattern", Kind::Text, "the pattern, see [layouts](layouts.md#patterns)")
        .default("\"%d %-5p %c - %m%k%n\""),
    Key::new("escape", Kind::Truth, "whether line ends and control characters in data are escaped")
        .default("true"),
];
const JSON: &[Key] = &[Key::new(
    "show",
    Kind::SomeOf(GROUPS),
    "what is shown beside time, level, category and message",
)
.default("[\"fields\", \"context\"]")];

pub(super) fn register(registry: &mut Registry) {
    registry.appender("file", "A text file, appended to.", FILE, file);
    registry.appender("console", "Standard output or standard error.", CONSOLE, console);
    registry.appender("forwarder", "A master, reached over TCP.", FORWARDER, |section| {
        Some(Box::new(forwarder(section)?))
    });
    registry.layout_type("pattern", "Lines of a pattern.", PATTERN, pattern);
    registry.layout_type("json", "Lines of JSON.", JSON, json);
}

fn file(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let rotate_bytes = section.number("rotate_bytes");
    let keep = section.size("keep");
    if keep.is_some() && !section.has("rotate_bytes") {
        section
            .refuse("keep", "`keep` is about full files; say with `rotate_bytes` when one is full");
    }
    let (path, layout) = (section.path("path"), section.layout("layout"));
    let (truncate, mode) = (section.truth("truncate"), section.number("mode"));
    let mut file = File::new(path?).boxed_layout(layout?).mode(u32::try_from(mode?).ok()?);
    if truncate? {
        file = file.truncate();
    }
    if let Some(bytes) = rotate_bytes {
        file = file.rotate_at_bytes(bytes);
    }
    if let Some(files) = keep {
        file = file.keep(files);
    }
    Some(Box::new(file))
}

fn console(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let layout = section.layout("layout");
    let console = match section.text("stream")?.as_str() {
        "stderr" => Console::stderr(),
        _ => Console::stdout(),
    };
    Some(Box::new(console.boxed_layout(layout?)))
}

/// Reads the keys that a forwarder has wherever it is described.
pub(super) fn forwarder(section: &Section<'_>) -> Option<Forwarder> {
    let (to, timeout) = (section.texts("to"), section.duration("connect_timeout"));
    let window_bytes = section.number("window_bytes");
    Some(Forwarder::to(to?).connect_timeout(timeout?).window_bytes(window_bytes?))
}

fn pattern(section: &Section<'_>) -> Option<Box<dyn Layout>> {
    let escape = section.truth("escape");
    match Pattern::parse(&section.text("pattern")?) {
        Ok(pattern) => Some(Box::new(pattern.escape(escape?))),
        Err(error) => {
            section.refuse_inside("pattern", error.column, &error.problem);
            None
        }
    }
}

fn json(section: &Section<'_>) -> Option<Box<dyn Layout>> {
    let group = |word: &str| match word {
        "fields" => Group::Fields,
        "args" => Group::Args,
        "template" => Group::Template,
        "context" => Group::Context,
        "location" => Group::Location,
        "thread" => Group::Thread,
        "process" => Group::Process,
        _ => Group::Receipt,
    };
    let bare = Json::new().without(Group::Fields).without(Group::Context);
    let shown = section.texts("show")?;
    Some(Box::new(shown.iter().fold(bare, |json, word| json.with(group(word)))))
}
