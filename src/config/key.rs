//! What a key takes: declared once, for the reader, the page, the default file and the schema.

use std::path::PathBuf;
use std::time::Duration;

use super::node::{NULL, Node, Value};
use super::words;
use crate::level::{Level, LevelFilter};
use crate::net::host_and_port;

/// A key that a section may have.
///
/// # Examples
/// ```
/// use rollway::config::{Key, Kind};
///
/// const KEYS: &[Key] = &[
///     Key::new("brokers", Kind::Texts, "the brokers to begin with").required(),
///     Key::new("linger", Kind::Duration, "how long a batch waits").default("\"5ms\""),
///     Key::new("password", Kind::Secret, "the password of the account"),
/// ];
/// assert!(KEYS[0].is_required);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Key {
    /// The name, in `snake_case`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for: one line, without its default.
    pub about: &'static str,
    /// What counts without it, as a value of TOML.
    pub default: Option<&'static str>,
    /// A value to show in its place where there is no default, as a value of TOML.
    pub example: Option<&'static str>,
    /// What happens without it, in words, where there is no default value.
    pub otherwise: &'static str,
    /// Whether a section without it is wrong.
    pub is_required: bool,
}

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A text.
    Text,
    /// A path; `~/` is the home directory.
    Path,
    /// `true` or `false`.
    Truth,
    /// A whole number within these bounds.
    Number(u64, u64),
    /// A size in bytes within these bounds: `4096`, `"64KiB"`, `"10MB"`.
    Bytes(u64, u64),
    /// A duration: `"500ms"`, `"1h 30min"`.
    Duration,
    /// A level's name.
    Level,
    /// A level's name, `all` or `off`.
    Threshold,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, or a duration.
    OneOfOrDuration(&'static [&'static str]),
    /// Permissions of a file in octal digits: `"0640"`.
    Mode,
    /// Texts: a list, or a single one.
    Texts,
    /// Some of these words: a list, or a single one.
    SomeOf(&'static [&'static str]),
    /// An address as `host:port`; `localhost` and 5000 stand for what is left out.
    Address,
    /// Addresses: a list, or a single one.
    Addresses,
    /// The name of an appender.
    Appender,
    /// Names of appenders: a list, or a single one.
    Appenders,
    /// A secret: `{ file = "…" }` or `{ env = "NAME" }`, never the text itself.
    Secret,
    /// A layout: its name, or a table with its `type`.
    Layout,
    /// Filters: a name, a table with its `type`, or a list of them.
    Filters,
    /// A warp, such as `"join:, "`.
    Warp,
    /// A table of texts.
    Pairs,
    /// A table with these keys.
    Section(&'static [Key]),
    /// A table of tables, by name, with these keys.
    Sections(&'static [Key]),
    /// A table of tables, by name, whose keys their `type` decides.
    Typed(Family),
}

/// What a [`Registry`](super::Registry) has types of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Family {
    /// Destinations.
    Appender,
    /// How events become text.
    Layout,
    /// What is asked of an event before an appender gets it.
    Filter,
}

impl Family {
    /// The word for one of them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Appender => "appender",
            Family::Layout => "layout",
            Family::Filter => "filter",
        }
    }
}

impl Key {
    /// A key that may be left out and has no default value.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Key {
        let (default, example, otherwise) = (None, None, "");
        Key { name, kind, about, default, example, otherwise, is_required: false }
    }

    /// The same, with a default: a value of TOML.
    pub const fn default(self, value: &'static str) -> Key {
        Key { default: Some(value), ..self }
    }

    /// The same, with words for what counts without it, and a value to show as an example.
    pub const fn otherwise(self, words: &'static str, example: &'static str) -> Key {
        Key { otherwise: words, example: Some(example), ..self }
    }

    /// The same, and it must be given.
    pub const fn required(self) -> Key {
        Key { is_required: true, ..self }
    }

    /// The same, with a value to show where there is no default.
    pub const fn example(self, value: &'static str) -> Key {
        Key { example: Some(value), ..self }
    }
}

/// A value that is what its key takes.
#[derive(Debug)]
pub(super) enum Typed {
    Text(String),
    Path(PathBuf),
    Truth(bool),
    Number(u64),
    Duration(Duration),
    Level(Level),
    Threshold(LevelFilter),
    Texts(Vec<String>),
    Pairs(Vec<(String, String)>),
    Secret(SecretPlace),
}

/// Where a secret is, which is read when it is needed.
///
/// # Examples
/// ```
/// use rollway::config::SecretPlace;
///
/// let secret = SecretPlace::Variable("ROLLWAY_TEST_NO_SUCH_VARIABLE".into());
/// assert!(secret.read().unwrap_err().to_string().contains("ROLLWAY_TEST_NO_SUCH_VARIABLE"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretPlace {
    /// In a file, without the end of its last line.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

impl SecretPlace {
    /// The secret. Reads the file or the environment.
    ///
    /// # Errors
    /// Names the file or the variable that cannot be read, or is empty.
    pub fn read(&self) -> std::io::Result<String> {
        use std::io::{Error, ErrorKind};
        let (secret, place) = match self {
            SecretPlace::File(path) => {
                let place = format!("the secret's file {}", path.display());
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::new(error.kind(), format!("{place}: {error}")))?;
                (text.trim_end_matches(['\n', '\r']).to_owned(), place)
            }
            SecretPlace::Variable(name) => {
                let place = format!("the secret's variable {name}");
                let text = std::env::var(name).map_err(|error| {
                    Error::new(ErrorKind::NotFound, format!("{place}: {error}"))
                })?;
                (text, place)
            }
        };
        match secret.is_empty() {
            true => Err(Error::new(ErrorKind::InvalidData, format!("{place} is empty"))),
            false => Ok(secret),
        }
    }
}

impl Kind {
    /// The value as this kind.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn read(self, node: &Node) -> Result<Typed, String> {
        let found = match self {
            Kind::Text | Kind::Appender | Kind::Warp => {
                node.text().map(|text| Typed::Text(text.to_owned()))
            }
            Kind::Path => node.text().filter(|path| !path.is_empty()).map(path).map(Typed::Path),
            Kind::Truth => truth(node).map(Typed::Truth),
            Kind::Number(least, most) => {
                let number = whole(node).filter(|number| (least..=most).contains(number));
                number.map(Typed::Number)
            }
            Kind::Bytes(least, most) => {
                let bytes = whole(node).or_else(|| words::bytes(node.text()?));
                bytes.filter(|bytes| (least..=most).contains(bytes)).map(Typed::Number)
            }
            Kind::Duration => duration(node),
            Kind::Level => node.text().and_then(|text| text.parse().ok()).map(Typed::Level),
            Kind::Threshold => node.text().and_then(|text| text.parse().ok()).map(Typed::Threshold),
            Kind::OneOf(words) => {
                let word = node.text().filter(|word| words.contains(word));
                word.map(|word| Typed::Text(word.to_owned()))
            }
            Kind::OneOfOrDuration(words) => match node.text().filter(|word| words.contains(word)) {
                Some(word) => Some(Typed::Text(word.to_owned())),
                None => duration(node),
            },
            Kind::Mode => node.text().and_then(mode).map(Typed::Number),
            Kind::Texts | Kind::Appenders => texts(node).map(Typed::Texts),
            Kind::SomeOf(words) => {
                let is_known =
                    |found: &Vec<String>| found.iter().all(|word| words.contains(&&**word));
                texts(node).filter(is_known).map(Typed::Texts)
            }
            Kind::Address => {
                let address = node.text().filter(|address| host_and_port(address).is_ok());
                address.map(|address| Typed::Text(address.to_owned()))
            }
            Kind::Addresses => {
                let are_right = |found: &Vec<String>| {
                    !found.is_empty() && found.iter().all(|address| host_and_port(address).is_ok())
                };
                texts(node).filter(are_right).map(Typed::Texts)
            }
            Kind::Secret => secret(node).map(Typed::Secret),
            Kind::Pairs => pairs(node).map(Typed::Pairs),
            // These are read as sections.
            Kind::Layout
            | Kind::Filters
            | Kind::Section(_)
            | Kind::Sections(_)
            | Kind::Typed(_) => None,
        };
        found.ok_or_else(|| self.remedy(self.culprit(node)))
    }

    /// What to write instead.
    pub(super) fn remedy(self, node: &Node) -> String {
        if let Value::Other(NULL) = node.value {
            return "leave the key out".to_owned();
        }
        let listed = |words: &[&str]| words::listed(words.iter().copied());
        match self {
            Kind::Text => "use a text in quotes".to_owned(),
            Kind::Path => "use a path in quotes".to_owned(),
            Kind::Truth => "use true or false, without quotes".to_owned(),
            Kind::Number(least, u64::MAX) => {
                format!("use a whole number of at least {least}, without quotes")
            }
            Kind::Number(least, most) => {
                format!("use a whole number from {least} to {most}, without quotes")
            }
            Kind::Bytes(least, most) => {
                let (from, to) = (words::of_bytes(least), words::of_bytes(most));
                match (least, most) {
                    (0 | 1, u64::MAX) => {
                        "use a size such as \"10MB\", \"64KiB\" or 4096".to_owned()
                    }
                    (least, u64::MAX) => {
                        format!("use a size of at least {from}, such as \"{from}\" or {least}")
                    }
                    (least, _) => {
                        format!("use a size from {from} to {to}, such as \"{from}\" or {least}")
                    }
                }
            }
            Kind::Duration => format!("use {DURATION}"),
            Kind::Level => format!("use one of {}{}", listed(LEVELS), self.hint(node)),
            Kind::Threshold => {
                format!("use one of {}, `all`, `off`{}", listed(LEVELS), self.hint(node))
            }
            Kind::OneOf(words) => format!("use one of {}{}", listed(words), self.hint(node)),
            Kind::OneOfOrDuration(words) => {
                format!("use {}, or {DURATION}{}", listed(words), self.hint(node))
            }
            Kind::Mode => "use octal digits in quotes, such as \"0640\"".to_owned(),
            Kind::Texts => "use a list of texts, such as [\"a\", \"b\"]".to_owned(),
            Kind::SomeOf(words) => format!("use a list of {}{}", listed(words), self.hint(node)),
            Kind::Address | Kind::Addresses => match node.text().map(host_and_port) {
                Some(Err(what)) => what.to_owned(),
                _ => "use an address such as \"logs.example:5000\"".to_owned(),
            },
            Kind::Appender => "use the name of an appender in quotes".to_owned(),
            Kind::Appenders => {
                "use a list of names of appenders, such as [\"a\", \"b\"]".to_owned()
            }
            Kind::Secret => "use { file = \"PATH\" } or { env = \"NAME\" }".to_owned(),
            Kind::Layout => "use the name of a layout, or a table with its `type`".to_owned(),
            Kind::Filters => {
                "use the name of a filter, a table with its `type`, or a list".to_owned()
            }
            Kind::Warp => "use a warp such as \"join:, \" or \"limit:3\"".to_owned(),
            Kind::Pairs => "use a table of texts, such as { a = \"b\" }".to_owned(),
            Kind::Section(_) => "use a table".to_owned(),
            Kind::Sections(_) | Kind::Typed(_) => {
                "use a table of tables, one for each name".to_owned()
            }
        }
    }

    /// The element of a list that is wrong, where it is a list; else the value itself.
    pub(super) fn culprit(self, node: &Node) -> &Node {
        match &node.value {
            Value::List(nodes) => {
                nodes.iter().find(|element| self.read(element).is_err()).unwrap_or(node)
            }
            _ => node,
        }
    }

    fn hint(self, node: &Node) -> String {
        let Some(text) = node.text() else { return String::new() };
        let words = match self {
            Kind::OneOf(words) | Kind::OneOfOrDuration(words) | Kind::SomeOf(words) => words,
            _ => LEVELS,
        };
        words::hint(text, words.iter().copied())
    }
}

/// The names of the levels.
pub(super) const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "fatal"];
const DURATION: &str = "a duration such as \"500ms\" or \"2min\"";

fn truth(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Truth(truth) => Some(*truth),
        Value::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn whole(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Number(digits) => digits.parse().ok(),
        Value::Word(word) => {
            let (number, rest) = words::leading_number(word)?;
            rest.is_empty().then_some(number)
        }
        _ => None,
    }
}

fn duration(node: &Node) -> Option<Typed> {
    words::duration(node.text()?).map(Typed::Duration)
}

fn texts(node: &Node) -> Option<Vec<String>> {
    match &node.value {
        Value::List(nodes) => nodes.iter().map(|node| node.text().map(str::to_owned)).collect(),
        // A variable has its list in one word.
        Value::Word(word) => Some(word.split(',').map(|part| part.trim().to_owned()).collect()),
        _ => node.text().map(|text| vec![text.to_owned()]),
    }
}

fn pairs(node: &Node) -> Option<Vec<(String, String)>> {
    let entries = node.table()?.entries.iter();
    entries.map(|entry| Some((entry.key.clone(), entry.node.text()?.to_owned()))).collect()
}

fn mode(digits: &str) -> Option<u64> {
    let mode = u64::from_str_radix(digits.strip_prefix("0o").unwrap_or(digits), 8).ok()?;
    (!digits.is_empty() && mode <= 0o7777).then_some(mode)
}

fn secret(node: &Node) -> Option<SecretPlace> {
    let [entry] = &*node.table()?.entries else { return None };
    let text = entry.node.text().filter(|text| !text.is_empty())?;
    match &*entry.key {
        "file" => Some(SecretPlace::File(path(text))),
        "env" => Some(SecretPlace::Variable(text.to_owned())),
        _ => None,
    }
}

/// A path, with `~/` as the home directory where that is known.
pub(super) fn path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}
