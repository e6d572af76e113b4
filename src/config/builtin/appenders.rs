//! Appenders but for files.

use super::SIMPLE;
use crate::appender::{Console, Forwarder, Open};
use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;

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

pub(super) fn register(registry: &mut Registry) {
    registry.appender("console", "Standard output or standard error.", CONSOLE, console);
    registry.appender("forwarder", "A master, reached over TCP.", FORWARDER, |section| {
        Some(Box::new(forwarder(section)?))
    });
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
pub(in crate::config) fn forwarder(section: &Section<'_>) -> Option<Forwarder> {
    let (to, timeout) = (section.texts("to"), section.duration("connect_timeout"));
    let window_bytes = section.number("window_bytes");
    Some(Forwarder::to(to?).connect_timeout(timeout?).window_bytes(window_bytes?))
}
