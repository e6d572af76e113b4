//! Colours of levels, as a terminal takes them.

use crate::level::Level;

/// Sets the foreground of a terminal back to its own.
pub(super) const END: &str = "\x1b[39m";

/// What begins the colour of a level: blue, cyan, green, yellow, red, magenta.
pub(super) fn begin(level: Level) -> &'static str {
    match level.number() {
        0..=4 => "\x1b[34m",
        5..=8 => "\x1b[36m",
        9..=12 => "\x1b[32m",
        13..=16 => "\x1b[33m",
        17..=20 => "\x1b[91m",
        _ => "\x1b[35m",
    }
}
