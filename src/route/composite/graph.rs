//! The ways that lead through composites to an appender.

use std::collections::BTreeSet;

use super::{Composite, CompositeError, Composites, Described, Hold, Kind, Lock};
use crate::event::Event;
use crate::nearest::nearest;

/// Ways to one appender.
const WAYS_MAX: usize = 64;

/// One way to an appender.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// To what categories are attached: the first composite of the way, or the appender.
    pub(crate) entry: Box<str>,
    /// The composites of the way with their names, the one that has the appender as relay last.
    composites: Vec<(Box<str>, std::sync::Arc<Composite>)>,
}

impl Path {
    /// Whether all gates of the way let the event pass.
    pub(crate) fn passes(&self, event: &Event<'_>) -> bool {
        self.composites.iter().all(|(_, composite)| composite.gate.passes(event))
    }

    /// Whether it does not look at events.
    pub(crate) fn is_open(&self) -> bool {
        self.composites.iter().all(|(_, composite)| composite.gate.is_open())
    }

    /// The composite of the way that holds events.
    fn holder(&self) -> Option<(&str, &Composite)> {
        let mut named = self.composites.iter().map(|(name, composite)| (&**name, &**composite));
        named.find(|(_, composite)| composite.holds())
    }
}

impl Composites {
    /// Checks that everything is resolved. `is_entry` says to what categories may be attached.
    ///
    /// # Errors
    /// The first problem, in the order of the names.
    pub(crate) fn check(
        &self,
        appenders: &[Described],
        is_entry: impl Fn(&str) -> bool,
    ) -> Result<(), CompositeError> {
        let is_appender = |name: &str| appenders.iter().any(|appender| appender.name == name);
        let doubled = self.doubled.as_deref();
        if let Some(name) = doubled.or_else(|| self.names().find(|name| is_appender(name))) {
            return Err(CompositeError::NameTaken { name: name.to_owned() });
        }
        for (name, composite) in &self.named {
            match &composite.kind {
                Kind::Filtered => {}
                Kind::Buffer(rule) => rule.check(name)?,
                Kind::Limit(rule) => rule.check(name)?,
                Kind::Synchronized(lock) => lock.check(name)?,
            }
            if composite.relays.is_empty() {
                return Err(CompositeError::NoRelay { composite: name.to_string() });
            }
            for relay in &composite.relays {
                if !is_appender(relay) && !self.named.contains_key(relay) {
                    let known = appenders.iter().map(|appender| &*appender.name);
                    let nearest = nearest(relay, known.chain(self.names()));
                    return Err(CompositeError::UnknownRelay {
                        composite: name.to_string(),
                        relay: relay.to_string(),
                        nearest: nearest.map(str::to_owned),
                    });
                }
            }
        }
        self.check_cycles()?;
        for Described { name: appender, gate, ships_blocks, takes_chunks } in appenders {
            let paths = self.paths(appender)?;
            let is_plain = gate.is_open() && gate.shows_all() && paths.len() == 1;
            if *ships_blocks && !is_plain {
                return Err(CompositeError::Blocks { appender: appender.clone() });
            }
            gate.check_warp(appender, *takes_chunks).map_err(CompositeError::Warp)?;
            let live: Vec<_> = paths.into_iter().filter(|path| is_entry(&path.entry)).collect();
            check_ways(appender, &live)?;
        }
        Ok(())
    }

    /// The ways to an appender that categories may be attached to, itself included.
    ///
    /// # Errors
    /// [`CompositeError::TooManyWays`]. There are no circles: see [`Composites::check`].
    pub(crate) fn paths(&self, appender: &str) -> Result<Vec<Path>, CompositeError> {
        let mut paths = vec![Path { entry: appender.into(), composites: Vec::new() }];
        let mut extended = 0;
        while extended < paths.len() {
            let path = paths[extended].clone();
            extended += 1;
            for (name, composite) in &self.named {
                if !composite.relays.contains(&path.entry) {
                    continue;
                }
                if paths.len() == WAYS_MAX {
                    let appender = appender.to_owned();
                    return Err(CompositeError::TooManyWays { appender, max: WAYS_MAX });
                }
                let mut composites = path.composites.clone();
                composites.insert(0, (name.clone(), composite.clone()));
                paths.push(Path { entry: name.clone(), composites });
            }
        }
        Ok(paths)
    }

    /// The composite that holds events of these ways, and what it holds: nothing yet.
    pub(crate) fn hold(paths: &[Path]) -> Option<(Box<str>, Hold)> {
        let (name, composite) = paths.iter().find_map(Path::holder)?;
        Some((name.into(), Hold::of(&composite.kind)?))
    }

    /// The locks under which an appender writes, in an order that is the same for all.
    pub(crate) fn locks(&self, appender: &str) -> Vec<Lock> {
        let paths = self.paths(appender).unwrap_or_default();
        let composites = paths.iter().flat_map(|path| &path.composites);
        let locks = composites.filter_map(|(_, composite)| match &composite.kind {
            Kind::Synchronized(lock) => Some(lock.clone()),
            _ => None,
        });
        let locks: BTreeSet<_> = locks.collect();
        locks.into_iter().collect()
    }

    fn check_cycles(&self) -> Result<(), CompositeError> {
        for start in self.names() {
            let mut way = vec![start.to_owned()];
            if self.leads_to(start, start, &mut way, &mut BTreeSet::new()) {
                return Err(CompositeError::Cycle { way });
            }
        }
        Ok(())
    }

    /// Whether `from` leads to `to`; `way` gets the names in between and `to`.
    fn leads_to<'a>(
        &'a self,
        from: &str,
        to: &str,
        way: &mut Vec<String>,
        seen: &mut BTreeSet<&'a str>,
    ) -> bool {
        let Some(composite) = self.named.get(from) else { return false };
        for relay in &composite.relays {
            way.push(relay.to_string());
            if **relay == *to || seen.insert(relay) && self.leads_to(relay, to, way, seen) {
                return true;
            }
            way.pop();
        }
        false
    }
}

/// Checks that everything that comes to the appender is held by the same composite, or nothing is:
/// what is held comes later than what is not, and its positions would run backwards.
fn check_ways(appender: &str, paths: &[Path]) -> Result<(), CompositeError> {
    for path in paths {
        let mut holders = path.composites.iter().filter(|(_, composite)| composite.holds());
        if let (Some((other, _)), Some((composite, _))) = (holders.next(), holders.next()) {
            return Err(CompositeError::HeldTwice {
                appender: appender.to_owned(),
                composite: composite.to_string(),
                other: other.to_string(),
            });
        }
    }
    let mut holders = paths.iter().map(|path| path.holder().map(|(name, _)| name));
    let Some(first) = holders.next() else { return Ok(()) };
    let Some(other) = holders.find(|holder| *holder != first) else { return Ok(()) };
    let (composite, other) = match (first, other) {
        (Some(first), other) => (first, other),
        (None, other) => (other.unwrap_or_default(), None),
    };
    Err(CompositeError::OtherWay {
        appender: appender.to_owned(),
        composite: composite.to_owned(),
        other: other.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Buffer, Filtered, Limit, Synchronized};
    use super::*;
    use crate::level::Level;
    use crate::route::Gate;

    fn composites(named: impl IntoIterator<Item = (&'static str, Composite)>) -> Composites {
        let mut composites = Composites::default();
        named.into_iter().for_each(|(name, composite)| composites.insert(name, composite));
        composites
    }

    /// Checks as where no category is attached: what is no relay gets everything.
    fn check(composites: &Composites, appenders: &[&str]) -> Result<(), String> {
        let appenders: Vec<_> = appenders.iter().map(|name| described(name)).collect();
        let is_entry = |name: &str| !composites.is_relay(name);
        composites.check(&appenders, is_entry).map_err(|error| error.to_string())
    }

    fn described(name: &str) -> Described {
        let (name, gate) = (name.to_owned(), Gate::new());
        Described { name, gate, ships_blocks: false, takes_chunks: false }
    }

    fn filtered(relays: &'static [&'static str]) -> Composite {
        Filtered::new(relays.iter().copied()).into()
    }

    #[test]
    fn relays_may_be_defined_behind_their_composite() {
        // By name the outer one comes first, and its relay last.
        let composites = composites([("a", filtered(&["z"])), ("z", filtered(&["file"]))]);
        assert_eq!(check(&composites, &["file"]), Ok(()));
        let paths = composites.paths("file").unwrap();
        let entries: Vec<_> = paths.iter().map(|path| &*path.entry).collect();
        assert_eq!(entries, ["file", "z", "a"]);
    }

    #[test]
    fn what_cannot_be_resolved_is_named_with_the_remedy() {
        let of = |named: Vec<(&'static str, Composite)>| {
            check(&composites(named), &["file", "console"]).unwrap_err()
        };
        assert_eq!(
            of(vec![("a", filtered(&["fiel"]))]),
            "composite `a`: there is no appender or composite `fiel`; did you mean `file`?"
        );
        assert_eq!(
            of(vec![("a", filtered(&["network"]))]),
            "composite `a`: there is no appender or composite `network`; add one of that name, or name another"
        );
        assert_eq!(
            of(vec![("a", filtered(&[]))]),
            "composite `a` has no relays; name an appender behind it"
        );
        assert_eq!(
            of(vec![("file", filtered(&["console"]))]),
            "composite `file`: another composite or an appender has this name; give each its own"
        );
        assert_eq!(
            of(vec![("a", filtered(&["file"])), ("a", filtered(&["console"]))]),
            "composite `a`: another composite or an appender has this name; give each its own"
        );
    }

    #[test]
    fn circles_are_shown_whole() {
        let itself = composites([("a", filtered(&["a"]))]);
        let error = "composites hand events round in a circle: `a` → `a`; take one relay out";
        assert_eq!(check(&itself, &["file"]), Err(error.to_owned()));
        let three =
            [("a", filtered(&["file", "b"])), ("b", filtered(&["c"])), ("c", filtered(&["a"]))];
        let error =
            "composites hand events round in a circle: `a` → `b` → `c` → `a`; take one relay out";
        assert_eq!(check(&composites(three), &["file"]), Err(error.to_owned()));
        // One that leads into a circle is in none.
        let tail = [("a", filtered(&["b"])), ("b", filtered(&["b", "file"]))];
        let error = "composites hand events round in a circle: `b` → `b`; take one relay out";
        assert_eq!(check(&composites(tail), &["file"]), Err(error.to_owned()));
    }

    #[test]
    fn what_is_held_comes_by_no_other_way() {
        let buffer = || Composite::from(Buffer::new(["file"]));
        let two = composites([("a", filtered(&["file"])), ("b", buffer())]);
        assert_eq!(
            check(&two, &["file"]).unwrap_err(),
            "appender `file` gets events through composite `b`, which holds them back, and also by a way without it; use two appenders, or attach categories to `b` alone"
        );
        let both = composites([("a", Limit::new(["file"]).into()), ("b", buffer())]);
        assert!(
            check(&both, &["file"]).unwrap_err().contains("through composite `b`, which does too")
        );
        let behind = composites([("a", Limit::new(["b"]).into()), ("b", buffer())]);
        assert_eq!(
            check(&behind, &["file"]).unwrap_err(),
            "appender `file`: composite `b` stands behind `a`, and both hold events back; use one of them, or an appender for each"
        );
        // Also where others stand between them.
        let far = [("a", Limit::new(["f"]).into()), ("f", filtered(&["b"])), ("b", buffer())];
        assert!(check(&composites(far), &["file"]).unwrap_err().contains("`b` stands behind `a`"));
        // Two ways through one buffer are none without it.
        let joined = [("a", filtered(&["b"])), ("c", filtered(&["b"])), ("b", buffer())];
        assert_eq!(check(&composites(joined), &["file"]), Ok(()));
    }

    #[test]
    fn a_way_that_no_category_takes_does_no_harm() {
        let composites = composites([("b", Buffer::new(["file"]).into())]);
        let appenders = [described("file")];
        assert_eq!(composites.check(&appenders, |name| name == "b"), Ok(()));
        assert!(composites.check(&appenders, |_| true).is_err());
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let of =
            |composite: Composite| check(&composites([("c", composite)]), &["file"]).unwrap_err();
        assert_eq!(
            of(Buffer::new(["file"]).max_events(0).into()),
            "composite `c`: max_events is 0; use 1 to 65536"
        );
        assert!(of(Limit::new(["file"]).max_until_flushed(70_000).into()).contains("70000"));
        assert!(of(Limit::new(["file"]).max_until_discarded(0).into()).contains("discarded"));
        assert!(of(Synchronized::new(["file"]).into()).contains("lock_file is missing"));
    }

    #[test]
    fn an_appender_of_blocks_is_no_relay() {
        let composites =
            composites([("a", Filtered::new(["master"]).threshold(Level::WARN).into())]);
        let master = Described { ships_blocks: true, ..described("master") };
        let error = composites.check(std::slice::from_ref(&master), |name| name == "a");
        assert!(matches!(error, Err(CompositeError::Blocks { .. })), "{error:?}");
    }

    #[test]
    fn too_many_ways_are_refused_before_they_are_walked() {
        // Twenty stages of two would be a million ways.
        let mut graph = Composites::default();
        for stage in 0..20 {
            let next = |side: &str| match stage {
                0 => "file".to_owned(),
                stage => format!("{side}{:02}", stage - 1),
            };
            for side in ["a", "b"] {
                graph.insert(
                    &format!("{side}{stage:02}"),
                    Filtered::new([next("a"), next("b")]).into(),
                );
            }
        }
        assert!(check(&graph, &["file"]).unwrap_err().contains("more than 64 ways"));
    }
}
