//! Colours of levels, as a terminal takes them.

use crate::level::{Colour, Level};

/// Sets the foreground of a terminal back to its own.
pub(super) const END: &str = "\x1b[39m";

/// What begins the [colour](Level::colour) of a level.
pub(super) fn begin(level: Level) -> &'static str {
    match level.colour() {
        Colour::Black => "\x1b[30m",
        Colour::Red => "\x1b[91m",
        Colour::Green => "\x1b[32m",
        Colour::Yellow => "\x1b[33m",
        Colour::Blue => "\x1b[34m",
        Colour::Magenta => "\x1b[35m",
        Colour::Cyan => "\x1b[36m",
        Colour::White => "\x1b[37m",
        Colour::Grey => "\x1b[90m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_begun_with_its_own_parameter() {
        for level in Level::ALL {
            assert_eq!(begin(level), format!("\x1b[{}m", level.colour().sgr()));
        }
    }
}
