//! Which appenders an event goes to.
//!
//! Without routes every appender gets every event. A route names the appenders of a category and
//! of all below it; the nearest one counts, as in a tree of loggers.

mod share;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use share::Share;

/// Routes by category.
///
/// # Examples
/// ```
/// use rollway::route::Router;
///
/// let mut router = Router::new();
/// router.route("", ["all"]);
/// router.route("shop", ["shop", "all"]);
/// assert!(router.delivers("shop::till", "shop"));
/// assert!(!router.delivers("shopping", "shop"));
/// assert!(router.delivers("anything", "all"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Router {
    routes: HashMap<Box<str>, Vec<Box<str>>>,
}

impl Router {
    /// No routes: everything goes everywhere.
    pub fn new() -> Router {
        Router::default()
    }

    /// Sends events of `category` and of what lies below it (behind `::` or `.`) to these
    /// appenders alone. The empty category is the root of all; a second route of one category
    /// replaces the first.
    pub fn route<'a>(&mut self, category: &str, appenders: impl IntoIterator<Item = &'a str>) {
        self.routes.insert(category.into(), appenders.into_iter().map(Box::from).collect());
    }

    /// Whether events of `category` go to this appender.
    pub fn delivers(&self, category: &str, appender: &str) -> bool {
        let nearest = ancestors(category).find_map(|category| self.routes.get(category));
        nearest.is_none_or(|appenders| appenders.iter().any(|name| **name == *appender))
    }

    /// The appenders that routes name.
    pub fn appenders(&self) -> impl Iterator<Item = &str> {
        self.routes.values().flatten().map(|name| &**name)
    }

    /// The share of one appender; `None` where it gets everything.
    pub(crate) fn share(self: &Arc<Router>, appender: &str) -> Option<Share> {
        let (router, appender) = (Arc::clone(self), appender.into());
        (!self.routes.is_empty()).then(|| Share::new(router, appender))
    }
}

/// A category, what lies above it, and at last the root.
fn ancestors(category: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(category);
    std::iter::from_fn(move || {
        let this = next?;
        let cut = this.rfind(['.', ':']);
        next = match cut {
            Some(at) => Some(this[..at].trim_end_matches(':')),
            None => (!this.is_empty()).then_some(""),
        };
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
