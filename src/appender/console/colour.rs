//! When a console is coloured, and how each level looks.

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;

use crate::level::Level;

/// Whether colours reach a console.
///
/// # Examples
/// ```
/// use rollway::appender::Colours;
///
/// assert_eq!("auto".parse(), Ok(Colours::Auto));
/// assert!("sometimes".parse::<Colours>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Colours {
    /// Where the stream is a terminal that knows colours and nobody asked for none: `NO_COLOR` is
    /// not set, or empty, and `TERM` is not `dumb`. `CLICOLOR_FORCE`, set to anything but `0`, has
    /// colours anywhere, unless there is `NO_COLOR`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: those of a layout are taken out.
    Never,
}

impl Colours {
    /// Whether a stream gets colours, as the environment is now.
    pub(super) fn applies_to(self, stream: &impl IsTerminal) -> bool {
        self.decide(stream.is_terminal(), |name| std::env::var_os(name).map(OsString::into_vec))
    }

    fn decide(self, is_terminal: bool, variable: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
        let is_set = |name, without: &[u8]| {
            variable(name).is_some_and(|value| !value.is_empty() && value != without)
        };
        match self {
            Colours::Always => true,
            Colours::Never => false,
            Colours::Auto if is_set("NO_COLOR", b"") => false,
            Colours::Auto if is_set("CLICOLOR_FORCE", b"0") => true,
            Colours::Auto => is_terminal && variable("TERM").is_none_or(|term| term != b"dumb"),
        }
    }
}

impl std::str::FromStr for Colours {
    type Err = ColourError;

    fn from_str(text: &str) -> Result<Colours, ColourError> {
        match text {
            "auto" => Ok(Colours::Auto),
            "always" => Ok(Colours::Always),
            "never" => Ok(Colours::Never),
            other => Err(ColourError { found: other.to_owned(), remedy: "auto, always or never" }),
        }
    }
}

/// How the lines of each level look.
///
/// A style is words with blanks between them: attributes (`bold`, `dark` or `faint`, `italic`,
/// `underline`, `blink`, `reverse`), a colour (`black`, `red`, `green`, `yellow`, `blue`, `magenta`,
/// `cyan`, `white`, `grey`, and `bright_` before each), a background (`on_` before a colour). No word
/// is no colour.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::appender::LevelColours;
///
/// let colours = LevelColours::default().with(Level::FATAL, "bold white on_red")?;
/// assert!(colours.with(Level::INFO, "on_mauve").is_err());
/// # Ok::<(), rollway::appender::ColourError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelColours {
    /// What begins a line, by the number of its level; 0 is none.
    styles: [Box<str>; LEVELS],
}

/// Numbers of levels, and 0.
const LEVELS: usize = 25;

/// Each level has [its colour](Level::colour), the registered ones as they are registered by now.
impl Default for LevelColours {
    fn default() -> LevelColours {
        let of = |number| Level::from_number(number as u8).map(|level| level.colour().sgr());
        let style = |number| of(number).map(|sgr| sequence(&sgr.to_string()).into());
        LevelColours { styles: std::array::from_fn(|number| style(number).unwrap_or_default()) }
    }
}

impl LevelColours {
    /// No level has a colour.
    pub fn none() -> LevelColours {
        LevelColours { styles: Default::default() }
    }

    /// Gives a style to `level`, and to those between it and the next built-in one.
    ///
    /// # Errors
    /// [`ColourError`] for a word that there is not.
    pub fn with(mut self, level: Level, style: &str) -> Result<LevelColours, ColourError> {
        let words = style.split([' ', ',']).filter(|word| !word.is_empty());
        let numbers = words.map(number).collect::<Result<Vec<_>, _>>()?;
        let style = match numbers.is_empty() {
            true => String::new(),
            false => sequence(&numbers.join(";")),
        };
        let from = usize::from(level.number());
        let next = Level::ALL.iter().map(|named| usize::from(named.number()));
        let end = next.filter(|named| *named > from).min().unwrap_or(LEVELS);
        self.styles[from..end].fill(style.into());
        Ok(self)
    }

    /// What begins a line of this level; empty for no colour.
    pub(super) fn of(&self, level: Level) -> &str {
        self.styles.get(usize::from(level.number())).map_or("", |style| style)
    }
}

/// A word that is no colour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColourError {
    found: String,
    remedy: &'static str,
}

impl fmt::Display for ColourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no colour: use {}", self.found, self.remedy)
    }
}

impl std::error::Error for ColourError {}

/// The colours, by their number.
const COLOURS: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

fn sequence(numbers: &str) -> String {
    format!("\x1b[{numbers}m")
}

/// The number of a word, in an SGR sequence.
fn number(word: &str) -> Result<String, ColourError> {
    let attribute = match word {
        "bold" => Some(1),
        "dark" | "faint" => Some(2),
        "italic" => Some(3),
        "underline" | "underscore" => Some(4),
        "blink" => Some(5),
        "reverse" => Some(7),
        _ => None,
    };
    let (plane, name) = match word.strip_prefix("on_") {
        Some(name) => (10, name),
        None => (0, word),
    };
    let (first, name) = match name.strip_prefix("bright_") {
        Some(name) => (90, name),
        // The eighth of the bright ones under its own name.
        None if matches!(name, "grey" | "gray") => (90, "black"),
        None => (30, name),
    };
    let at = COLOURS.iter().position(|colour| *colour == name);
    let colour = at.map(|at| plane + first + at);
    attribute.or(colour).map(|number| number.to_string()).ok_or_else(|| ColourError {
        found: word.to_owned(),
        remedy: "bold, faint, italic, underline, blink, reverse, or black, red, green, yellow, \
                 blue, magenta, cyan, white, grey, also with bright_ or on_ before it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_style_become_one_sequence() {
        let of = |style| LevelColours::none().with(Level::INFO, style).unwrap();
        assert_eq!(of("bold white on_red").of(Level::INFO), "\x1b[1;37;41m");
        assert_eq!(of("bright_green").of(Level::INFO), "\x1b[92m");
        assert_eq!(of("grey, on_bright_blue").of(Level::INFO), "\x1b[90;104m");
        assert_eq!(of("").of(Level::INFO), "");
    }

    #[test]
    fn a_word_that_is_no_colour_is_named() {
        for (style, word) in [("bold mauve", "`mauve`"), ("on_bold", "`on_bold`"), ("31", "`31`")] {
            let error = LevelColours::none().with(Level::INFO, style).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("magenta"), "{error}");
        }
    }

    #[test]
    fn a_level_between_two_has_the_colour_of_the_lower_one() {
        let colours = LevelColours::none().with(Level::WARN, "yellow").unwrap();
        let of = |number| colours.of(Level::from_number(number).unwrap());
        assert_eq!([of(12), of(13), of(16), of(17)], ["", "\x1b[33m", "\x1b[33m", ""]);
        let highest = colours.with(Level::FATAL, "red").unwrap();
        assert_eq!(highest.of(Level::from_number(24).unwrap()), "\x1b[31m");
        let all = LevelColours::default();
        assert_eq!((all.of(Level::TRACE), all.of(Level::FATAL)), ("\x1b[34m", "\x1b[35m"));
    }

    #[test]
    fn whoever_wants_no_colours_gets_none() {
        let decide = |colours: Colours, is_terminal, variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
            colours
                .decide(is_terminal, |name| find(name).map(|(_, value)| value.as_bytes().to_vec()))
        };
        let auto = |is_terminal, variables| decide(Colours::Auto, is_terminal, variables);
        assert!(auto(true, &[]) && !auto(false, &[]));
        assert!(auto(true, &[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!auto(true, &[("NO_COLOR", "1")]));
        assert!(!auto(true, &[("TERM", "dumb")]));
        assert!(auto(false, &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")]));
        assert!(!auto(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!auto(true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(decide(Colours::Always, false, &[("NO_COLOR", "1")]));
        assert!(!decide(Colours::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }
}
