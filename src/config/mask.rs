//! Which values are hidden: the section `[mask]`, and the key `mask` of appenders.

use super::key::{Key, Kind};
use super::section::Section;
use crate::mask::Mask;

pub(super) const KEYS: &[Key] = &[
    Key::new("keys", Kind::Texts, "keys whose values are hidden, in upper or lower case")
        .otherwise("none", "[\"password\", \"pin\"]"),
    Key::new(
        "key_patterns",
        Kind::Texts,
        "patterns of such keys: `*` is any number of characters, `?` is one",
    )
    .otherwise("none", "[\"*token*\"]"),
];

/// Reads it from the section that holds it, to the end; `None` where nothing is said of it.
pub(super) fn read(holder: &Section<'_>) -> Option<Mask> {
    const KEY: &str = "mask";
    if !holder.has(KEY) {
        holder.pass(KEY);
        return None;
    }
    let section = holder.section(KEY);
    let (keys, patterns) = (section.texts("keys"), section.texts("key_patterns"));
    section.end();
    let mask = keys.iter().flatten().fold(Mask::new(), |mask, key| mask.key(key));
    Some(patterns.iter().flatten().fold(mask, |mask, pattern| mask.key_pattern(pattern)))
}
