//! Where a value of a configuration was written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value, or a key, was written.
///
/// # Examples
/// ```
/// use rollway::config::Config;
///
/// let error = Config::parse_toml("level = 'loud'").unwrap_err();
/// let place = error.problems()[0].place.as_ref().unwrap();
/// assert_eq!((place.line, place.column), (1, 9));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file, the variable or the flag.
    pub origin: Arc<Origin>,
    /// The line in the file, counted from 1; 0 where there is no file.
    pub line: u32,
    /// The character in the line, counted from 1; 0 where there is no file.
    pub column: u32,
}

/// What a configuration is read from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// A text without a file.
    Text,
    /// A file.
    File(PathBuf),
    /// A variable of the environment, by its name.
    Variable(String),
    /// A flag of the command line, as it was written.
    Flag(String),
    /// Nothing: what counts where nothing is said.
    Default,
}

impl Place {
    /// A place in a text, from its offset in bytes.
    pub(super) fn in_text(origin: &Arc<Origin>, text: &str, offset: usize) -> Place {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        Place {
            origin: Arc::clone(origin),
            line: count(before.matches('\n').count()),
            column: count(before[line_start..].chars().count()),
        }
    }

    /// All of a variable or flag, or a file of which no line is meant.
    pub(super) fn whole(origin: Origin) -> Place {
        Place { origin: Arc::new(origin), line: 0, column: 0 }
    }

    /// So many characters further in the same line.
    pub(super) fn behind(&self, characters: usize) -> Place {
        let characters = u32::try_from(characters).unwrap_or(u32::MAX);
        Place { column: self.column.saturating_add(characters), ..self.clone() }
    }

    /// What places are sorted by.
    pub(super) fn rank(&self) -> (&Origin, u32, u32) {
        (&self.origin, self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.origin {
            Origin::Text => {}
            Origin::File(path) if self.line == 0 => return write!(f, "{}", path.display()),
            Origin::File(path) => write!(f, "{}: ", path.display())?,
            Origin::Variable(name) => return write!(f, "{name} in the environment"),
            Origin::Flag(flag) => return f.write_str(flag),
            Origin::Default => return f.write_str("default"),
        }
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
