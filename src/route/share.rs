//! What one appender gets of the events.
//!
//! Categories are attached to the appender, or to composites that lead to it. An event comes by each
//! way whose gates let it pass; then the appender's own gate is asked; then, if a composite of the way
//! holds events back, that decides when.

use std::collections::HashMap;
use std::sync::Arc;

use super::composite::{Composites, Hold, Path};
use super::{Gate, Router};
use crate::event::Event;
use crate::journal::Position;

/// Categories an outlet remembers. Beyond it, it begins anew.
const REMEMBERED_MAX: usize = 65_536;

/// What one appender gets of the events. Remembers by category what is attached.
#[derive(Debug)]
pub(crate) struct Share {
    router: Arc<Router>,
    paths: Vec<Path>,
    gate: Gate,
    /// Nothing but the category counts.
    is_open: bool,
    /// How often a category is attached to the entry of each path, by category.
    attached: Vec<Box<[u32]>>,
    remembered: HashMap<Box<str>, usize>,
    /// The site of the last event with its category's place: the next one is often of the same.
    last: Option<(u64, usize)>,
    hold: Option<(Box<str>, Hold)>,
}

/// How an event fares before an appender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It goes elsewhere.
    Foreign,
    /// A threshold or a filter refuses it.
    Filtered,
    /// The appender gets it so many times.
    Taken(u32),
}

impl Share {
    /// The share of one appender; `None` where it gets everything.
    pub(super) fn new(router: &Arc<Router>, appender: &str, gate: &Gate) -> Option<Share> {
        let paths = router.composites().paths(appender).unwrap_or_default();
        let paths: Vec<_> = paths.into_iter().filter(|path| router.is_entry(&path.entry)).collect();
        let is_open = gate.is_open() && paths.iter().all(Path::is_open);
        let hold = Composites::hold(&paths);
        let gets_all = !router.is_split() && !paths.is_empty();
        if gets_all && is_open && hold.is_none() && paths.len() == 1 {
            return None;
        }
        let (router, gate) = (Arc::clone(router), gate.clone());
        let (attached, remembered) = (Vec::new(), HashMap::new());
        Some(Share { router, paths, gate, is_open, attached, remembered, last: None, hold })
    }

    /// How often the appender gets the event at `at` right now.
    #[inline]
    pub(crate) fn fate(&mut self, at: Position, event: &Event<'_>) -> Fate {
        match &self.hold {
            None => self.judge(event),
            Some((_, hold)) => match hold.times(at) {
                0 => Fate::Foreign,
                times => Fate::Taken(times),
            },
        }
    }

    /// How an event fares that nothing holds back.
    pub(crate) fn judge(&mut self, event: &Event<'_>) -> Fate {
        let is_open = self.is_open;
        let attached = match self.last {
            Some((site, found)) if site == event.site.number() => found,
            _ => self.find(event),
        };
        let attached = &self.attached[attached];
        if attached.iter().all(|times| *times == 0) {
            return Fate::Foreign;
        }
        if !is_open && !self.gate.passes(event) {
            return Fate::Filtered;
        }
        let ways = self.paths.iter().zip(attached).filter(|(_, times)| **times > 0);
        let passed = ways.filter(|(path, _)| is_open || path.passes(event));
        match passed.fold(0, |sum: u32, (_, times)| sum.saturating_add(*times)) {
            0 => Fate::Filtered,
            times if self.router.is_one_message_per_appender() => Fate::Taken(u32::min(times, 1)),
            times => Fate::Taken(times),
        }
    }

    /// The place in `attached` of the event's category.
    fn find(&mut self, event: &Event<'_>) -> usize {
        let category = &*event.site.category;
        let found = self.remembered.get(category).copied().unwrap_or_else(|| {
            if self.attached.len() >= REMEMBERED_MAX {
                self.attached.clear();
                self.remembered.clear();
            }
            let entries = self.paths.iter().map(|path| &*path.entry);
            let times =
                |name| u32::try_from(self.router.attached(category, name)).unwrap_or(u32::MAX);
            self.attached.push(entries.map(times).collect());
            self.remembered.insert(category.into(), self.attached.len() - 1);
            self.attached.len() - 1
        });
        self.last = Some((event.site.number(), found));
        found
    }

    /// What a composite holds of the appender's events.
    pub(crate) fn hold(&mut self) -> Option<&mut Hold> {
        self.hold.as_mut().map(|(_, hold)| hold)
    }

    /// The name of the composite that holds events back.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.hold.as_ref().map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::level::Level;
    use crate::route::composite::Filtered;
    use crate::route::filter::Text;

    fn fate(share: &mut Share, category: &str, level: Level, message: &str) -> Fate {
        let mut fixture = Fixture::saying(message);
        fixture.level = level;
        fixture.site.category = category.into();
        share.fate(Position::default(), &fixture.event())
    }

    #[test]
    fn a_share_decides_as_its_router() {
        let mut router = Router::new();
        router.route("a", ["x"]);
        let router = Arc::new(router);
        let mut share = router.share("y", &Gate::new()).unwrap();
        for _ in 0..2 {
            assert_eq!(fate(&mut share, "a::b", Level::INFO, "m"), Fate::Foreign);
            assert_eq!(fate(&mut share, "b", Level::INFO, "m"), Fate::Taken(1));
        }
    }

    #[test]
    fn an_appender_that_gets_everything_has_no_share() {
        let router = Arc::new(Router::new());
        assert!(router.share("y", &Gate::new()).is_none());
        assert!(router.share("y", &Gate::new().threshold(Level::WARN)).is_some());
    }

    #[test]
    fn a_relay_gets_what_its_composite_lets_pass_and_nothing_else() {
        let mut router = Router::new();
        router.composite("errors", Filtered::new(["file"]).threshold(Level::ERROR));
        let router = Arc::new(router);
        let gate = Gate::new().filter(Text::new(["known"]).reject());
        let mut file = router.share("file", &gate).unwrap();
        assert_eq!(fate(&mut file, "a", Level::ERROR, "new"), Fate::Taken(1));
        assert_eq!(fate(&mut file, "a", Level::ERROR, "known"), Fate::Filtered);
        assert_eq!(fate(&mut file, "a", Level::INFO, "new"), Fate::Filtered);
        // What is no relay gets everything as before.
        assert!(router.share("console", &Gate::new()).is_none());
    }

    #[test]
    fn an_event_that_comes_by_two_ways_is_delivered_once() {
        let mut router = Router::new();
        router.composite("loud", Filtered::new(["file"]).threshold(Level::ERROR));
        router.composite("known", Filtered::new(["file"]).filter(Text::new(["known"])));
        let mut file = Arc::new(router).share("file", &Gate::new()).unwrap();
        assert_eq!(fate(&mut file, "a", Level::ERROR, "known"), Fate::Taken(1));
        assert_eq!(fate(&mut file, "a", Level::INFO, "known"), Fate::Taken(1));
        assert_eq!(fate(&mut file, "a", Level::INFO, "new"), Fate::Filtered);
    }
}
