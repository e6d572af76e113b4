//! What is said of one category.

use crate::level::LevelFilter;

/// A category: from which level on its events are taken, and which appenders get them.
///
/// What is not said comes from the categories above: the level is that of the nearest one that has
/// one, and the appenders of all of them get the event, too, unless the category is not
/// [additive](Category::additive).
///
/// # Examples
/// ```
/// use rollway::{Category, Level};
///
/// let till = Category::new("shop::till").level(Level::DEBUG).appenders(["audit"]);
/// let noise = Category::new("noisy").level(Level::ERROR);
/// let secret = Category::new("shop.secret").appenders(["vault"]).additive(false);
/// # let _ = (till, noise, secret);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub(super) name: String,
    pub(super) level: Option<LevelFilter>,
    pub(super) appenders: Option<Vec<Box<str>>>,
    pub(super) additive: bool,
}

impl Category {
    /// A category of which nothing is said yet. `::` and `.` in its name separate its parts, and mean
    /// the same; the empty name is the root.
    pub fn new(name: impl Into<String>) -> Category {
        Category { name: name.into(), level: None, appenders: None, additive: true }
    }

    /// The category above all others.
    pub fn root() -> Category {
        Category::new("")
    }

    /// From which level on events are taken, in the place of what the categories above say.
    #[must_use]
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Category {
        self.level = Some(level.into());
        self
    }

    /// Names the appenders, or composites, that get the events of the category and of all below it.
    /// None at all is a list, too.
    #[must_use]
    pub fn appenders<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Category {
        self.appenders = Some(names.into_iter().map(Box::from).collect());
        self
    }

    /// Whether the appenders of the categories above get the events, too; by default they do.
    #[must_use]
    pub fn additive(mut self, additive: bool) -> Category {
        self.additive = additive;
        self
    }

    /// Its name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The level that it has of its own.
    pub fn own_level(&self) -> Option<LevelFilter> {
        self.level
    }
}
