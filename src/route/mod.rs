//! Which appenders an event goes to.
//!
//! Without routes every appender gets every event. A route names the appenders of a category and
//! of all below it; the nearest one counts, as in a tree of loggers.

pub mod composite;
pub mod filter;
mod gate;
mod nearest;
mod share;

use std::collections::HashMap;
use std::sync::Arc;

use composite::{Composite, CompositeError, Composites};
pub use gate::Gate;
pub(crate) use share::{Fate, Share};

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
    composites: Composites,
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
        self.attached(category, appender) > 0
    }

    /// The names that the nearest route has for a category.
    fn nearest(&self, category: &str) -> Option<&Vec<Box<str>>> {
        ancestors(category).find_map(|category| self.routes.get(category))
    }

    /// The appenders that routes name.
    pub fn appenders(&self) -> impl Iterator<Item = &str> {
        self.routes.values().flatten().map(|name| &**name)
    }

    /// Adds what stands between categories and appenders: see [`composite`].
    pub fn composite(&mut self, name: &str, composite: impl Into<Composite>) {
        self.composites.insert(name, composite.into());
    }

    pub(crate) fn composites(&self) -> &Composites {
        &self.composites
    }

    /// Checks that all composites can be resolved. `appenders` are their names, with whether each
    /// takes whole blocks.
    ///
    /// # Errors
    /// [`CompositeError`], which names the composite and the remedy.
    pub(crate) fn check_composites(
        &self,
        appenders: &[(String, bool)],
    ) -> Result<(), CompositeError> {
        self.composites.check(appenders, |name| self.is_entry(name))
    }

    /// Whether no category is attached to anything: then everything goes to what is no relay.
    fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Whether some category may be attached to `name`, an appender or a composite.
    fn is_entry(&self, name: &str) -> bool {
        let takes_unrouted = !self.routes.contains_key("") && !self.composites.is_relay(name);
        takes_unrouted || self.appenders().any(|attached| attached == name)
    }

    /// How often `category` is attached to `name`, an appender or a composite.
    fn attached(&self, category: &str, name: &str) -> u32 {
        match self.nearest(category) {
            Some(names) => u32::from(names.iter().any(|attached| **attached == *name)),
            None => u32::from(!self.composites.is_relay(name)),
        }
    }

    /// Whether an appender gets an event once, however often it is attached.
    fn is_one_message_per_appender(&self) -> bool {
        true
    }

    /// The share of one appender behind its gate; `None` where it gets everything.
    pub(crate) fn share(self: &Arc<Router>, appender: &str, gate: &Gate) -> Option<Share> {
        Share::new(self, appender, gate)
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
