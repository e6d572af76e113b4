//! Levels that a program names itself.
//!
//! A number has one name for the whole process, given once. Reading a name takes no lock: a log call
//! may ask for one.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{Colour, Level, LevelFilter};

/// A name has at most this many bytes.
pub const NAME_BYTES_MAX: usize = 32;
/// Words that would not say what they seem to, in any case.
const RESERVED: [&str; 4] = ["ALL", "OFF", "WARNING", "LOG"];

/// A level that the program has named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Custom {
    /// In upper case.
    pub(super) name: Box<str>,
    pub(super) colour: Colour,
}

/// The named levels by number. Each is written once, under [`REGISTERING`].
static CUSTOM: [OnceLock<Custom>; 25] = [const { OnceLock::new() }; 25];
/// Two names must not meet on one number, nor two numbers on one name.
static REGISTERING: Mutex<()> = Mutex::new(());

/// What the program has said of this number.
pub(super) fn of_number(number: u8) -> Option<&'static Custom> {
    CUSTOM.get(usize::from(number))?.get()
}

/// The named levels of the program, from the least to the most grave.
pub(super) fn all() -> impl Iterator<Item = (Level, &'static Custom)> {
    (1..=24).filter_map(|number| Some((Level::from_number(number)?, of_number(number)?)))
}

impl Level {
    /// Names a level between the built-in ones, for the whole process and for as long as it lives.
    ///
    /// `name` begins with a letter and has letters, digits and underscores, all ASCII and at most
    /// [`NAME_BYTES_MAX`]; it is kept in upper case. `number` is 1 to 24,
    /// and not that of a built-in level. From then on the name is known to [`Level::name`],
    /// `Display` and `parse`. To say the same again changes nothing.
    ///
    /// The number is what an event carries: a process that reads or receives it shows the name
    /// only if it has named the number, too.
    ///
    /// # Errors
    /// [`LevelError`] when the name or the number cannot be had; nothing is named then.
    ///
    /// # Examples
    /// ```
    /// use rollway::level::Colour;
    /// use rollway::{Level, log};
    ///
    /// const NOTICE: Level = Level::from_number(10).unwrap();
    ///
    /// Level::register("notice", NOTICE.number(), Colour::Blue)?;
    /// assert_eq!("notice".parse(), Ok(NOTICE));
    /// log!(NOTICE, "the shop opens at {}", 8);
    /// # Ok::<(), rollway::level::LevelError>(())
    /// ```
    pub fn register(name: &str, number: u8, colour: Colour) -> Result<Level, LevelError> {
        let refused = |reason| LevelError { name: name.to_owned(), number, reason };
        let level = check(name, number).map_err(refused)?;
        let custom = Custom { name: name.to_ascii_uppercase().into(), colour };

        let _registering = REGISTERING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, _)) = all().find(|(_, known)| known.name == custom.name)
            && other != level
        {
            return Err(refused(Refusal::NameTaken { by: other.number() }));
        }
        let slot = &CUSTOM[usize::from(number)];
        match slot.get_or_init(|| custom) {
            known if known.name.eq_ignore_ascii_case(name) && known.colour == colour => Ok(level),
            known => Err(refused(Refusal::NumberTaken { by: &known.name, colour: known.colour })),
        }
    }
}

fn check(name: &str, number: u8) -> Result<Level, Refusal> {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word || name.len() > NAME_BYTES_MAX {
        return Err(Refusal::Name);
    }
    let built_in = Level::ALL.map(Level::name);
    if built_in.into_iter().chain(RESERVED).any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(Refusal::Reserved);
    }
    let level = Level::from_number(number).filter(|level| !Level::ALL.contains(level));
    level.ok_or(Refusal::Number)
}

/// Why a level was not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelError {
    /// The name as it was given.
    pub name: String,
    /// The number as it was given.
    pub number: u8,
    reason: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    Name,
    Reserved,
    Number,
    NameTaken { by: u8 },
    NumberTaken { by: &'static str, colour: Colour },
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LevelError { name, number, reason } = self;
        write!(f, "level `{}` with number {number}: ", name.escape_debug())?;
        match reason {
            Refusal::Name => write!(
                f,
                "a name begins with a letter and has letters, digits and underscores, {NAME_BYTES_MAX} at most"
            ),
            Refusal::Reserved => write!(f, "the name is reserved; choose another"),
            Refusal::Number => {
                let taken = Level::ALL.map(|level| level.number().to_string()).join(", ");
                write!(f, "use a number from 1 to 24 that no built-in level has: not {taken}")
            }
            Refusal::NameTaken { by } => write!(f, "the name belongs to number {by} already"),
            Refusal::NumberTaken { by, colour } => {
                write!(f, "the number belongs to `{by}` in {colour} already; choose another")
            }
        }
    }
}

impl std::error::Error for LevelError {}

/// All words that name a level or a filter, for messages.
pub(super) fn known_words() -> impl Iterator<Item = &'static str> {
    let words = ["trace", "debug", "info", "warn", "error", "fatal"];
    words.into_iter().chain(all().map(|(_, custom)| &*custom.name))
}

/// What a threshold of this word would be, if it is nearly one.
pub(crate) fn nearly(word: &str) -> Option<&'static str> {
    let known = known_words().chain(["off", "all"]);
    if word.parse::<LevelFilter>().is_ok() {
        return None;
    }
    crate::nearest::nearest(word, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, number: u8) -> String {
        Level::register(name, number, Colour::White).unwrap_err().to_string()
    }

    #[test]
    fn a_named_level_is_known_by_its_name_in_any_case() {
        let level = Level::register("lvl_1", 2, Colour::Magenta).unwrap();
        assert_eq!((level.name(), level.colour()), ("LVL_1", Colour::Magenta));
        assert!(["LVL_1", "lvl_1", "Lvl_1"].iter().all(|name| name.parse() == Ok(level)));
        assert_eq!(format!("{level:>6}|{:?}", LevelFilter::from(level)), " LVL_1|LVL_1");
        assert!(level > Level::TRACE && level < Level::DEBUG);
        assert_eq!(Level::register("LVL_1", 2, Colour::Magenta), Ok(level));
    }

    #[test]
    fn a_name_or_number_that_cannot_be_had_is_refused_with_the_reason() {
        for name in ["", "1st", "_x", "a-b", "a b", "größer", "x\u{1b}[31m", &"x".repeat(33)] {
            assert!(error(name, 3).contains("begins with a letter"), "{name:?}");
        }
        for name in ["INFO", "info", "warning", "Off", "all", "log"] {
            assert!(error(name, 3).contains("reserved"), "{name}");
        }
        for number in [0, 1, 5, 9, 13, 17, 21, 25, 255] {
            assert!(error("notify", number).contains("1 to 24"), "{number}");
        }
        assert_eq!(Level::from_number(3).unwrap().name(), "TRACE");
    }

    #[test]
    fn a_name_and_a_number_belong_together_for_ever() {
        Level::register("audit", 22, Colour::White).unwrap();
        assert!(error("audit", 23).contains("number 22"));
        assert!(error("alarm", 22).contains("`AUDIT`"));
        let other = Level::register("audit", 22, Colour::Red).unwrap_err().to_string();
        assert!(other.contains("in white"), "{other}");
    }

    #[test]
    fn a_word_that_is_nearly_a_level_is_told_from_others() {
        assert_eq!(nearly("wran"), Some("warn"));
        assert_eq!((nearly("warn"), nearly("my_crate")), (None, None));
    }
}
