//! Composites: what stands between categories and appenders.

use crate::config::key::{Key, Kind};
use crate::config::registry::Registry;
use crate::config::section::Section;
use crate::route::composite::{Buffer, Composite, Filtered, HELD_MAX, Limit, Synchronized};

const RELAYS: Key =
    Key::new("relays", Kind::Appenders, "the appenders and composites that get the events")
        .example("[\"file\"]")
        .required();
const FILTERED: &[Key] = &[RELAYS];
const BUFFER: &[Key] = &[
    RELAYS,
    Key::new("max_events", Kind::Number(1, HELD_MAX as u64), "how many events are held")
        .default("65536"),
    Key::new(
        "trigger_level",
        Kind::Threshold,
        "an event of this level or above hands on what is held",
    )
    .default("\"off\""),
    Key::new(
        "flush_at_shutdown",
        Kind::Truth,
        "whether the end of the program hands on what is held",
    )
    .default("true"),
];
const LIMIT: &[Key] = &[
    RELAYS,
    Key::new("period", Kind::Duration, "how long events are held back behind one that went through")
        .default("\"1h\""),
    Key::new("accumulate", Kind::Truth, "whether events within the period are held; else they are dropped and counted")
        .default("true"),
    Key::new("max_until_flushed", Kind::Number(1, HELD_MAX as u64), "the event that makes it so many goes through, with those that are held")
        .default("65536"),
    Key::new("max_until_discarded", Kind::Number(1, HELD_MAX as u64), "the event that makes it so many is dropped, and all behind it until the period is over")
        .otherwise("none is", "1000"),
    Key::new("persistent", Kind::Truth, "whether a restart goes on with the period and with what is held, where the journal has a directory")
        .default("true"),
];
const SYNCHRONIZED: &[Key] = &[
    RELAYS,
    Key::new("key", Kind::Text, "processes of one user that name the same key share the lock")
        .otherwise("`lock_file` is needed", "\"my-console\""),
    Key::new(
        "lock_file",
        Kind::Path,
        "processes that name the same file share the lock; it stays empty",
    )
    .otherwise("`key` is needed", "\"/run/lock/shop.lock\""),
    Key::new(
        "wait",
        Kind::Duration,
        "how long a batch waits for the lock before it counts as failed, a minute at the most",
    )
    .default("\"5s\""),
];

pub(super) fn register(registry: &mut Registry) {
    let about = "Hands on what its `threshold` and `filter` let pass.";
    registry.composite("filtered", about, FILTERED, |section| {
        Some(Filtered::new(section.appenders("relays")?).into())
    });
    let about = "Holds events until one triggers, and hands them on then.";
    registry.composite("buffer", about, BUFFER, buffer);
    registry.composite("limit", "Lets an event pass every so often.", LIMIT, limit);
    let about = "Lets one process at a time write.";
    registry.composite("synchronized", about, SYNCHRONIZED, synchronized);
}

fn buffer(section: &Section<'_>) -> Option<Composite> {
    let (relays, max_events) = (section.appenders("relays"), section.size("max_events"));
    let (level, flush) = (section.threshold("trigger_level"), section.truth("flush_at_shutdown"));
    let buffer = Buffer::new(relays?).max_events(max_events?);
    Some(buffer.trigger_level(level?).flush_at_shutdown(flush?).into())
}

fn limit(section: &Section<'_>) -> Option<Composite> {
    let (relays, period) = (section.appenders("relays"), section.duration("period"));
    let (accumulate, persistent) = (section.truth("accumulate"), section.truth("persistent"));
    let flushed = section.size("max_until_flushed");
    let discarded = section.size("max_until_discarded");
    let mut limit = Limit::new(relays?)
        .period(period?)
        .accumulate(accumulate?)
        .persistent(persistent?)
        .max_until_flushed(flushed?);
    if let Some(events) = discarded {
        limit = limit.max_until_discarded(events);
    }
    Some(limit.into())
}

fn synchronized(section: &Section<'_>) -> Option<Composite> {
    let (relays, wait) = (section.appenders("relays"), section.duration("wait"));
    let (key, file) = (section.text("key"), section.path("lock_file"));
    let synchronized = Synchronized::new(relays?).wait(wait?);
    let synchronized = match (key, file) {
        (Some(key), None) => synchronized.key(key),
        (None, Some(file)) => synchronized.lock_file(file),
        _ => {
            section.refuse("key", "a lock has a `key` or a `lock_file`; give one of them");
            return None;
        }
    };
    Some(synchronized.into())
}
