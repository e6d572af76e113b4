//! Appenders but for files.

use super::SIMPLE;
use crate::appender::{Colours, Console, FailOver, Forwarder, LevelColours, Null, Open, Stream};
use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;

const CONSOLE: &[Key] = &[
    Key::new("stream", Kind::OneOf(&["stdout", "stderr"]), "where it prints").default("\"stdout\""),
    Key::new("stderr_from", Kind::Threshold, "from which level on events go to standard error, whatever `stream` says")
        .otherwise("`stream` decides", "\"warn\""),
    Key::new("stream_from", Kind::Pairs, "streams by level: each counts up to the next level that is named, and goes before `stderr_from`")
        .otherwise("`stderr_from` decides", "{ warn = \"stderr\" }"),
    Key::new("colours", Kind::OneOf(&["auto", "always", "never"]), "whether lines have the colour of their level; `auto`: on a terminal, where NO_COLOR is not set")
        .default("\"auto\""),
    Key::new("level_colours", Kind::Pairs, "styles of levels, such as \"bold white on_red\"; an empty one is none")
        .otherwise("blue, cyan, green, yellow, red, magenta from trace on", "{ fatal = \"bold white on_red\" }"),
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

const FAIL_OVER: &[Key] = &[
    Key::new("relays", Kind::Appenders, "the appenders that stand in for one another, in their order; they get nothing else, and have no gates of their own")
        .example("[\"share\", \"local\"]")
        .required(),
    Key::new("retry_after", Kind::Duration, "how long a relay that failed is left alone").default("\"10s\""),
];

pub(super) fn register(registry: &mut Registry) {
    registry.appender("console", "Standard output or standard error.", CONSOLE, console);
    registry.appender("null", "Takes everything and keeps nothing.", &[], |_| {
        Some(Box::new(Null::new()))
    });
    registry.appender("forwarder", "A master, reached over TCP.", FORWARDER, |section| {
        Some(Box::new(forwarder(section)?))
    });
    let about = "The first of its relays that is there.";
    registry.appender("fail_over", about, FAIL_OVER, fail_over);
}

fn console(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let (layout, shown) = (section.layout("layout"), section.text("colours"));
    let stream = section.text("stream");
    let mut console = Console::to(match stream.as_deref() {
        Some("stderr") => Stream::Stderr,
        _ => Stream::Stdout,
    });
    if let Some(level) = section.threshold("stderr_from") {
        console = console.stderr_from(level);
    }
    for (level, stream) in section.pairs("stream_from").unwrap_or_default() {
        match (level.parse(), stream.as_str()) {
            (Ok(level), "stdout") => console = console.stream_from(level, Stream::Stdout),
            (Ok(level), "stderr") => console = console.stream_from(level, Stream::Stderr),
            (Ok(_), stream) => section.refuse(
                "stream_from",
                format!("`{}` is no stream; use `stdout` or `stderr`", stream.escape_debug()),
            ),
            (Err(error), _) => section.refuse("stream_from", error.to_string()),
        }
    }
    let mut colours = LevelColours::default();
    for (level, style) in section.pairs("level_colours").unwrap_or_default() {
        let with = match level.parse() {
            Ok(level) => colours.clone().with(level, &style).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match with {
            Ok(with) => colours = with,
            Err(what) => section.refuse("level_colours", what),
        }
    }
    let shown = match shown?.as_str() {
        "always" => Colours::Always,
        "never" => Colours::Never,
        _ => Colours::Auto,
    };
    Some(Box::new(console.colours(shown).level_colours(colours).boxed_layout(layout?)))
}

fn fail_over(section: &Section<'_>) -> Option<Box<dyn Open>> {
    let (relays, retry_after) = (section.relays("relays"), section.duration("retry_after"));
    let relays = relays?;
    if relays.is_empty() {
        section.refuse("relays", "`relays` is empty; name at least one appender");
    }
    let fail_over = FailOver::new().retry_after(retry_after?);
    let with = |all: FailOver, (name, open)| all.boxed_relay(name, open);
    Some(Box::new(relays.into_iter().fold(fail_over, with)))
}

/// Reads the keys that a forwarder has wherever it is described.
pub(in crate::config) fn forwarder(section: &Section<'_>) -> Option<Forwarder> {
    let (to, timeout) = (section.texts("to"), section.duration("connect_timeout"));
    let window_bytes = section.number("window_bytes");
    Some(Forwarder::to(to?).connect_timeout(timeout?).window_bytes(window_bytes?))
}
