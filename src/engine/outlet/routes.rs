//! What an appender gets of the events, from which position of the journal on.
//!
//! A reload changes it at a position. Whoever falls back behind that after a failure gets what he
//! would have got before.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::journal::Position;
use crate::route::Share;

/// Changes that an outlet may have before it.
pub(super) const CHANGES_MAX: usize = 64;

/// A share of the events; `None` is all of them.
type Part = Option<RefCell<Share>>;

/// The shares of one appender, each with the position from which on it counts.
pub(super) struct Routes {
    /// In order; the first one counts from the beginning on.
    parts: VecDeque<(Position, Part)>,
}

impl Routes {
    /// The same share for all events.
    pub(super) fn new(share: Part) -> Routes {
        Routes { parts: VecDeque::from([(Position::default(), share)]) }
    }

    /// The last share. Where a composite holds events back there is no other.
    pub(super) fn last(&self) -> Option<&RefCell<Share>> {
        self.parts.back().and_then(|(_, part)| part.as_ref())
    }

    /// Another share from `position` on.
    pub(super) fn change(&mut self, position: Position, share: Option<Share>) {
        self.parts.push_back((position, share.map(RefCell::new)));
    }

    /// The share of the block at `position`.
    pub(super) fn at(&self, position: Position) -> Option<&RefCell<Share>> {
        let found = self.parts.iter().rev().find(|(from, _)| *from <= position);
        found.or(self.parts.front()).and_then(|(_, part)| part.as_ref())
    }

    /// How many changes are not behind it.
    pub(super) fn changes_ahead(&self) -> usize {
        self.parts.len() - 1
    }

    /// Forgets what counts only before `settled`.
    pub(super) fn settle(&mut self, settled: Position) {
        while self.parts.get(1).is_some_and(|(from, _)| *from <= settled) {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::route::{Fate, Gate, Router};

    fn share_of(appender: &str) -> Option<Share> {
        let mut router = Router::new();
        router.route("a", [appender]);
        Arc::new(router).share("x", &Gate::new())
    }

    #[test]
    fn each_position_has_the_share_that_counts_there() {
        let at = |offset| Position { generation: 1, offset, index: 0 };
        let mut routes = Routes::new(share_of("x").map(RefCell::new));
        routes.change(at(100), share_of("y"));
        routes.change(at(200), None);
        let takes = |routes: &Routes, offset| {
            let mut fixture = Fixture::saying("m");
            fixture.site.category = "a".into();
            let event = fixture.event();
            let fate = |share: &RefCell<Share>| share.borrow_mut().fate(at(offset), &event);
            routes.at(at(offset)).is_none_or(|share| fate(share) == Fate::Taken(1))
        };
        let all = |routes: &Routes| [0, 99, 100, 199, 200, 300].map(|offset| takes(routes, offset));
        assert_eq!(all(&routes), [true, true, false, false, true, true]);
        routes.settle(at(150));
        assert_eq!(routes.changes_ahead(), 1);
        assert_eq!(all(&routes)[2..], [false, false, true, true]);
        routes.settle(at(200));
        assert!(routes.changes_ahead() == 0 && routes.at(at(200)).is_none());
    }
}
