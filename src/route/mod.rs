//! Which appenders an event goes to.
//!
//! A category names appenders for its events and for those of all categories below it. An event
//! goes to the appenders of its category and of those above, up to the first one that is not
//! additive. Where none of them names any, every appender gets the event, but for relays: those
//! get what their composite hands them.

mod categories;
pub mod composite;
mod directives;
pub mod filter;
mod gate;
mod share;

use std::fmt;
use std::sync::Arc;

use crate::category::CategoryMap;
use crate::mask::Mask;
use crate::nearest::nearest;

pub use categories::Category;
use composite::{Composite, CompositeError, Composites, Described};
pub use directives::{DirectiveError, Directives};
pub use gate::Gate;
pub(crate) use share::{Fate, Share};

/// Which appenders the events of each category go to.
///
/// # Examples
/// ```
/// use rollway::Category;
/// use rollway::route::Router;
///
/// let mut router = Router::new();
/// router.category(&Category::root().appenders(["all"]));
/// router.category(&Category::new("shop").appenders(["shop"]));
/// router.route("shop::secret", ["shop"]);
/// assert!(router.delivers("shop::till", "shop") && router.delivers("shop::till", "all"));
/// assert!(!router.delivers("shop::secret", "all"));
/// assert!(!router.delivers("shopping", "shop"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Router {
    categories: CategoryMap<Attachment>,
    /// An appender gets an event as often as it is attached.
    repeats: bool,
    composites: Composites,
    mask: Mask,
}

/// The appenders of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attachment {
    appenders: Vec<Box<str>>,
    additive: bool,
}

impl Router {
    /// No categories: everything goes everywhere.
    pub fn new() -> Router {
        Router::default()
    }

    /// Takes over the appenders of a category, in the place of what was said of it before. One that
    /// names none and is additive changes nothing.
    pub fn category(&mut self, category: &Category) {
        if category.appenders.is_none() && category.additive {
            return self.categories.remove(&category.name);
        }
        let appenders = category.appenders.clone().unwrap_or_default();
        let attachment = Attachment { appenders, additive: category.additive };
        self.categories.insert(&category.name, attachment);
    }

    /// Sends events of `category` and of what lies below it (behind `::` or `.`) to these
    /// appenders alone: a [`Category`] that is not additive.
    pub fn route<'a>(&mut self, category: &str, appenders: impl IntoIterator<Item = &'a str>) {
        self.category(&Category::new(category).appenders(appenders).additive(false));
    }

    /// Whether an appender gets an event once, however often it is attached to the event's category
    /// and to those above; by default it does. Otherwise it gets the event as often.
    pub fn one_message_per_appender(&mut self, once: bool) {
        self.repeats = !once;
    }

    /// How often an event of `category` goes to the appender or composite of this name: 0, 1, or more
    /// where it is attached several times and [one message](Router::one_message_per_appender) is not
    /// all it gets.
    pub fn attached(&self, category: &str, name: &str) -> usize {
        let Some(attached) = self.names(category) else {
            return usize::from(!self.composites.is_relay(name));
        };
        attached.filter(|attached| *attached == name).count().min(self.most())
    }

    fn most(&self) -> usize {
        if self.repeats { usize::MAX } else { 1 }
    }

    /// The names that an event of `category` goes to by what its categories say, the nearest
    /// category's first, one as often as it is attached; `None` where none of them says anything,
    /// so that the event goes to every appender that is no relay.
    pub fn names(&self, category: &str) -> Option<impl Iterator<Item = &str>> {
        let mut path = self.categories.path(category).peekable();
        path.peek()?;
        let mut ends = false;
        let counting = std::iter::from_fn(move || {
            let attachment = if ends { None } else { path.next() }?;
            ends = !attachment.additive;
            Some(attachment)
        });
        Some(counting.flat_map(|attachment| &attachment.appenders).map(|name| &**name))
    }

    /// Whether events of `category` go to this appender.
    pub fn delivers(&self, category: &str, appender: &str) -> bool {
        self.attached(category, appender) > 0
    }

    /// Whether some category says where its events go.
    pub fn is_split(&self) -> bool {
        !self.categories.is_empty()
    }

    /// Finds a name that a category has and that is none of `known`.
    ///
    /// # Errors
    /// [`UnknownName`] with the category, the name, and what it was probably meant to be.
    pub fn check<'a>(
        &self,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(), UnknownName> {
        for (category, attachment) in self.categories.iter() {
            for name in &attachment.appenders {
                if !known.clone().into_iter().any(|known| *known == **name) {
                    return Err(UnknownName {
                        category: category.to_owned(),
                        name: name.to_string(),
                        nearest: nearest(name, known.clone()).map(str::to_owned),
                    });
                }
            }
        }
        Ok(())
    }

    /// Hides values by their keys from every appender, in front of the masks of their own gates.
    pub fn mask(&mut self, mask: Mask) {
        self.mask = mask;
    }

    /// Adds what stands between categories and appenders: see [`composite`].
    pub fn composite(&mut self, name: &str, composite: impl Into<Composite>) {
        self.composites.insert(name, composite.into());
    }

    pub(crate) fn composites(&self) -> &Composites {
        &self.composites
    }

    /// Checks that all composites can be resolved, and that the gates suit their appenders.
    ///
    /// # Errors
    /// [`CompositeError`], which names the composite and the remedy.
    pub(crate) fn check_composites(&self, appenders: &[Described]) -> Result<(), CompositeError> {
        self.composites.check(appenders, |name| self.is_entry(name))
    }

    /// Whether some category may be attached to `name`, an appender or a composite.
    fn is_entry(&self, name: &str) -> bool {
        let takes_unrouted = self.names("").is_none() && !self.composites.is_relay(name);
        let mut attached = self.categories.iter().flat_map(|(_, attached)| &attached.appenders);
        takes_unrouted || attached.any(|attached| **attached == *name)
    }

    /// Whether an appender gets an event once, however often it is attached.
    fn is_one_message_per_appender(&self) -> bool {
        !self.repeats
    }

    /// The share of one appender behind its gate; `None` where it gets everything.
    pub(crate) fn share(self: &Arc<Router>, appender: &str, gate: &Gate) -> Option<Share> {
        Share::new(self, appender, gate)
    }
}

/// A category names an appender that there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The category.
    pub category: String,
    /// The name.
    pub name: String,
    /// An appender that there is, and that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownName { category, name, nearest } = self;
        let name = name.escape_debug();
        match category.as_str() {
            "" => write!(f, "the root category names appender `{name}`, which there is not")?,
            category => {
                let category = category.escape_debug();
                write!(f, "category `{category}` names appender `{name}`, which there is not")?;
            }
        }
        match nearest {
            Some(nearest) => write!(f, "; did you mean `{}`?", nearest.escape_debug()),
            None => write!(f, "; add an appender of that name, or name another"),
        }
    }
}

impl std::error::Error for UnknownName {}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/routing.md")]
struct Documentation;

#[cfg(test)]
mod tests {
    use super::*;

    fn router(categories: &[Category]) -> Router {
        let mut router = Router::new();
        categories.iter().for_each(|category| router.category(category));
        router
    }

    fn names<'a>(router: &'a Router, category: &str) -> Vec<&'a str> {
        router.names(category).unwrap().collect()
    }

    #[test]
    fn the_nearest_route_counts() {
        let mut router = Router::new();
        assert!(router.delivers("a::b", "x"));
        router.route("a", ["x"]);
        router.route("a::b.c", ["y"]);
        let delivers = |category| ["x", "y"].map(|appender| router.delivers(category, appender));
        assert_eq!(delivers("a"), [true, false]);
        assert_eq!(delivers("a::b"), [true, false]);
        assert_eq!(delivers("a::b.c"), [false, true]);
        assert_eq!(delivers("a::b.c::d"), [false, true]);
        assert_eq!(delivers("a::bc"), [true, false]);
        assert_eq!(delivers("ab"), [true, true]);
        assert_eq!(delivers(""), [true, true]);
    }

    #[test]
    fn a_root_route_takes_what_no_other_does() {
        let mut router = Router::new();
        router.route("", ["rest"]);
        router.route("a", ["a"]);
        assert!(router.delivers("b::c", "rest"));
        assert!(!router.delivers("a::c", "rest"));
        assert!(router.delivers("::", "rest") && router.delivers(".", "rest"));
    }

    #[test]
    fn appenders_of_a_category_and_of_all_above_get_the_event() {
        let router = router(&[
            Category::root().appenders(["all"]),
            Category::new("a.b").appenders(["s1"]),
            Category::new("a.b.c").appenders(["s2", "s1"]),
        ]);
        assert_eq!(names(&router, "a::b::c::d"), ["s2", "s1", "s1", "all"]);
        assert_eq!(names(&router, "a::b::x"), ["s1", "all"]);
        assert_eq!(names(&router, "a"), ["all"]);
    }

    #[test]
    fn a_missing_parent_passes_on_what_is_above_it() {
        let router = router(&[
            Category::new("a").appenders(["s1"]),
            Category::new("a.b.c.d").appenders(["s2"]),
        ]);
        assert_eq!(names(&router, "a.b.c"), ["s1"]);
        assert_eq!(names(&router, "a.b.c.d"), ["s2", "s1"]);
    }

    #[test]
    fn what_is_not_additive_keeps_the_appenders_above_from_all_below_it() {
        let router = router(&[
            Category::root().appenders(["all"]),
            Category::new("a").appenders(["own"]).additive(false),
            Category::new("a.b").appenders(["child"]),
            Category::new("silent").additive(false),
        ]);
        assert_eq!(names(&router, "a"), ["own"]);
        assert_eq!(names(&router, "a.b"), ["child", "own"]);
        assert!(names(&router, "silent.x").is_empty());
        assert_eq!(router.attached("silent", "all"), 0);
    }

    #[test]
    fn an_appender_attached_twice_gets_an_event_once_unless_told_otherwise() {
        let mut router =
            router(&[Category::root().appenders(["a"]), Category::new("p").appenders(["a"])]);
        assert_eq!(router.attached("p.q", "a"), 1);
        router.one_message_per_appender(false);
        assert_eq!(["p.q", "x"].map(|category| router.attached(category, "a")), [2, 1]);
    }

    #[test]
    fn a_category_with_a_level_alone_changes_no_route() {
        let router = router(&[Category::new("a").level(crate::Level::DEBUG)]);
        assert!(!router.is_split() && router.delivers("a", "x"));
    }

    #[test]
    fn what_is_said_of_a_category_later_replaces_what_was_said_before() {
        let mut router = router(&[Category::new("a").appenders(["x"]).additive(false)]);
        router.category(&Category::new("a").appenders(["y"]));
        assert_eq!(names(&router, "a"), ["y"]);
        router.category(&Category::new("a"));
        assert_eq!(router, Router::new());
    }

    #[test]
    fn a_relay_gets_by_itself_only_what_a_category_sends_it() {
        let mut router = router(&[Category::new("direct").appenders(["file"])]);
        router.composite("errors", composite::Filtered::new(["file"]));
        assert_eq!([router.attached("x", "file"), router.attached("x", "buffer")], [0, 1]);
        assert_eq!(router.attached("direct", "file"), 1);
    }

    #[test]
    fn an_unknown_appender_is_named_with_its_category_and_the_nearest_known_one() {
        let router = router(&[Category::new("shop").appenders(["screen", "fiel"])]);
        let error = router.check(["file", "screen"]).unwrap_err().to_string();
        let expected =
            "category `shop` names appender `fiel`, which there is not; did you mean `file`?";
        assert_eq!(error, expected);
        let error = router.check(["screen"]).unwrap_err().to_string();
        assert!(error.ends_with("add an appender of that name, or name another"), "{error}");
        assert_eq!(router.check(["fiel", "screen"]), Ok(()));
    }
}
