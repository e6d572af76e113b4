//! Colours by their names.

use std::fmt;
use std::str::FromStr;

/// A colour of a level: one of those that terminals have by name.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::level::Colour;
///
/// assert_eq!(Level::INFO.colour(), Colour::Green);
/// assert_eq!("Grey".parse(), Ok(Colour::Grey));
/// assert_eq!(Colour::Green.sgr(), 32);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Colour {
    Black,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    White,
    Grey,
}

impl Colour {
    /// All of them.
    pub const ALL: [Colour; 9] = [
        Colour::Black,
        Colour::Red,
        Colour::Green,
        Colour::Yellow,
        Colour::Blue,
        Colour::Magenta,
        Colour::Cyan,
        Colour::White,
        Colour::Grey,
    ];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Colour::Black => "black",
            Colour::Red => "red",
            Colour::Green => "green",
            Colour::Yellow => "yellow",
            Colour::Blue => "blue",
            Colour::Magenta => "magenta",
            Colour::Cyan => "cyan",
            Colour::White => "white",
            Colour::Grey => "grey",
        }
    }

    /// The parameter that chooses it as the foreground in a terminal's `ESC [ … m`. Red is the bright
    /// one, which can be read on black.
    pub const fn sgr(self) -> u8 {
        match self {
            Colour::Black => 30,
            Colour::Red => 91,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Blue => 34,
            Colour::Magenta => 35,
            Colour::Cyan => 36,
            Colour::White => 37,
            Colour::Grey => 90,
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Colour {
    type Err = UnknownColour;

    fn from_str(text: &str) -> Result<Colour, UnknownColour> {
        let found = Colour::ALL.into_iter().find(|colour| colour.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownColour { found: text.to_owned() })
    }
}

/// A word that names no colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownColour {
    /// The word as it was given.
    pub found: String,
}

impl fmt::Display for UnknownColour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Colour::ALL.map(Colour::name).join(", ");
        write!(f, "unknown colour `{}`: use one of {names}", self.found.escape_debug())
    }
}

impl std::error::Error for UnknownColour {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_found_by_its_name_in_any_case() {
        for colour in Colour::ALL {
            assert_eq!(colour.to_string().parse(), Ok(colour));
            assert_eq!(colour.name().to_uppercase().parse(), Ok(colour));
        }
        let error = "pink".parse::<Colour>().unwrap_err().to_string();
        assert!(error.contains("`pink`") && error.contains("magenta"), "{error}");
    }
}
