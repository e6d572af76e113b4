//! What all sections share while a configuration is read: what was read, what is wrong, what has a
//! name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::error::{ConfigError, Problem};
use super::key::{Kind, Typed};
use super::node::{Node, Table, bare};
use super::place::Place;
use super::registry::{Attached, Registry};
use super::words;
use crate::appender::Open;
use crate::layout::Layout;
use crate::route::filter::Filter;

/// What all sections of a configuration share while it is read.
pub(super) struct Reader<'a> {
    pub(super) registry: &'a Registry,
    problems: RefCell<Vec<Problem>>,
    effective: RefCell<Vec<Effective>>,
    /// The sections `[layouts.NAME]`; `None` is one with a problem.
    pub(super) layouts: RefCell<BTreeMap<String, Option<Box<dyn Layout>>>>,
    /// The sections `[filters.NAME]`.
    pub(super) filters: RefCell<BTreeMap<String, NamedFilter>>,
    /// The names of all appenders and composites.
    pub(super) appenders: RefCell<Vec<String>>,
    /// What the sections `[appenders.NAME]` have become so far.
    attached: RefCell<BTreeMap<String, NamedAppender>>,
    /// Where appenders are named that are to get events.
    uses: RefCell<Vec<Use>>,
}

/// A section `[filters.NAME]`, which is read when somebody names it, or at last.
#[derive(Clone)]
pub(super) enum NamedFilter {
    Unread(Place, Table),
    /// It names itself, by way of others, if it is asked for now.
    Reading,
    /// `None` is one with a problem.
    Read(Option<Arc<dyn Filter>>),
}

/// A section `[appenders.NAME]`, which is read when an appender has it as its relay, or in its turn.
enum NamedAppender {
    Unread(Place, Table),
    /// It names itself, by way of others, if it is asked for now.
    Reading,
    /// `None` is one with a problem.
    Read(Option<Attached>),
    /// The appender of this name has it.
    Relay(String),
}

/// An appender's name, and the key that has it.
struct Use {
    place: Place,
    key: String,
    name: String,
}

/// A value that was read; its place says where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    /// The section it stands in, empty for the root.
    pub(super) section: String,
    pub(super) key: String,
    pub(super) node: Node,
}

impl Effective {
    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (&self.section, &self.key, self.node.to_toml()).hash(hasher);
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(registry: &'a Registry) -> Reader<'a> {
        Reader {
            registry,
            problems: RefCell::default(),
            effective: RefCell::default(),
            layouts: RefCell::default(),
            filters: RefCell::default(),
            appenders: RefCell::default(),
            attached: RefCell::default(),
            uses: RefCell::default(),
        }
    }

    /// The filter of a name; `None` where its section has a problem.
    ///
    /// # Errors
    /// There is none of the name, or it needs itself.
    pub(super) fn filter(&self, name: &str) -> Result<Option<Arc<dyn Filter>>, String> {
        let found = self.filters.borrow().get(name).cloned();
        match found {
            Some(NamedFilter::Read(filter)) => Ok(filter),
            Some(NamedFilter::Reading) => {
                Err(format!("filter `{name}` needs itself; take it out of its own expression"))
            }
            Some(NamedFilter::Unread(place, table)) => {
                let put = |state| self.filters.borrow_mut().insert(name.to_owned(), state);
                put(NamedFilter::Reading);
                let path = Path::of("filters", name);
                let filter = self.registry.filter(self, &table, path, &place);
                put(NamedFilter::Read(filter.clone()));
                Ok(filter)
            }
            None => {
                let filters = self.filters.borrow();
                let known = || filters.keys().map(String::as_str);
                let hint = words::hint(name, known());
                let rest = match filters.is_empty() {
                    true => "add it".to_owned(),
                    false => format!("known are {}", words::listed(known())),
                };
                Err(format!("there is no section [filters.{name}]{hint}; {rest}"))
            }
        }
    }

    /// Has a section `[appenders.NAME]` to be read.
    pub(super) fn unread_appender(&self, name: &str, place: &Place, table: &Table) {
        self.appenders.borrow_mut().push(name.to_owned());
        self.put_appender(name, NamedAppender::Unread(place.clone(), table.clone()));
    }

    /// Reads the section of an appender, unless that has been done.
    pub(super) fn read_appender(&self, name: &str) {
        let unread = match self.attached.borrow().get(name) {
            Some(NamedAppender::Unread(place, table)) => Some((place.clone(), table.clone())),
            _ => None,
        };
        let Some((place, table)) = unread else { return };
        self.put_appender(name, NamedAppender::Reading);
        let attached = self.registry.attached(self, &table, Path::of("appenders", name), &place);
        self.put_appender(name, NamedAppender::Read(attached));
    }

    /// What the section of an appender has become; `None` where it has a problem, or is a relay.
    pub(super) fn take_appender(&self, name: &str) -> Option<Attached> {
        let found = self.attached.borrow_mut().remove(name);
        match found? {
            NamedAppender::Read(attached) => attached,
            relay => {
                self.put_appender(name, relay);
                None
            }
        }
    }

    /// The appender of a name, which is `owner`'s from then on; `None` where its section has a problem.
    ///
    /// # Errors
    /// It is no appender that another one can have, or somebody has it.
    pub(super) fn relay(&self, name: &str, owner: &str) -> Result<Option<Box<dyn Open>>, String> {
        self.read_appender(name);
        let found = self.attached.borrow_mut().remove(name);
        let state = match &found {
            Some(NamedAppender::Relay(first)) => NamedAppender::Relay(first.clone()),
            Some(NamedAppender::Read(_)) => NamedAppender::Relay(owner.to_owned()),
            _ => NamedAppender::Reading,
        };
        self.put_appender(name, state);
        let open = match found {
            Some(NamedAppender::Read(Some(Attached::Appender(open)))) => open,
            Some(NamedAppender::Read(None)) => return Ok(None),
            Some(NamedAppender::Read(Some(Attached::Composite(_)))) => {
                return Err(format!("`{name}` is a composite; name appenders"));
            }
            Some(NamedAppender::Relay(first)) if first == owner => {
                return Err(format!("appender `{name}` is named twice; name it once"));
            }
            Some(NamedAppender::Relay(first)) => {
                return Err(format!("appender `{name}` is a relay of `{first}`; name another one"));
            }
            _ => {
                return Err(format!("appender `{name}` is a relay of itself; name others"));
            }
        };
        let gate = open.gate();
        if !gate.is_open() || !gate.shows_all() {
            return Err(format!(
                "appender `{name}` is a relay and has no `threshold`, `filter`, `mask` or `warp` of its own; write them in [appenders.{owner}]"
            ));
        }
        if open.ships_blocks() {
            return Err(format!(
                "appender `{name}` ships whole blocks and cannot stand in for others; give it all its destinations in `to`"
            ));
        }
        Ok(Some(open))
    }

    /// Notes that a key names an appender, which is to get events.
    pub(super) fn note_use(&self, place: &Place, key: &str, name: &str) {
        let (place, key, name) = (place.clone(), key.to_owned(), name.to_owned());
        self.uses.borrow_mut().push(Use { place, key, name });
    }

    /// Refuses to hand events to appenders that are relays of others.
    pub(super) fn check_uses(&self) {
        let attached = self.attached.borrow();
        for Use { place, key, name } in &*self.uses.borrow() {
            if let Some(NamedAppender::Relay(owner)) = attached.get(name) {
                let what = format!("appender `{name}` is a relay of `{owner}`; name `{owner}`");
                self.refuse_key(Some(place), Some(key.clone()), Some(format!("\"{name}\"")), what);
            }
        }
    }

    fn put_appender(&self, name: &str, state: NamedAppender) {
        self.attached.borrow_mut().insert(name.to_owned(), state);
    }

    /// Notes a value that was read.
    pub(super) fn note(&self, value: Effective) {
        self.effective.borrow_mut().push(value);
    }

    /// A number that changes with what an appender is made of: the values of its section, and of the
    /// layouts, filters and relays that it names.
    pub(super) fn fingerprint(&self, appender: &Path) -> u64 {
        let (mut hasher, mut seen) = (DefaultHasher::new(), Vec::new());
        self.hash_into(&mut hasher, &appender.text, &mut seen);
        hasher.finish()
    }

    /// Hashes the values of a section, and those of the sections that it names, each once.
    fn hash_into(&self, hasher: &mut DefaultHasher, section: &str, seen: &mut Vec<String>) {
        if seen.iter().any(|known| known == section) {
            return;
        }
        seen.push(section.to_owned());
        let effective = self.effective.borrow();
        let is_below = |value: &&Effective| {
            let rest = value.section.strip_prefix(section);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for value in effective.iter().filter(is_below) {
            value.hash_into(hasher);
            match (&*value.key, value.node.text()) {
                ("layout", Some(name)) => {
                    self.hash_into(hasher, &Path::of("layouts", name).text, seen);
                }
                // An expression may name any of them.
                ("filter", _) => self.hash_into(hasher, "filters", seen),
                ("relays", _) => {
                    if let Ok(Typed::Texts(names)) = Kind::Appenders.read(&value.node) {
                        let sections = names.iter().map(|name| Path::of("appenders", name).text);
                        sections.for_each(|section| self.hash_into(hasher, &section, seen));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether something was wrong so far.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// Notes something that is wrong.
    pub(super) fn refuse(&self, place: Option<&Place>, what: impl Into<String>) {
        self.refuse_key(place, None, None, what);
    }

    /// The same of a key, and its value.
    pub(super) fn refuse_key(
        &self,
        place: Option<&Place>,
        key: Option<String>,
        value: Option<String>,
        what: impl Into<String>,
    ) {
        let (place, what) = (place.cloned(), what.into());
        self.problems.borrow_mut().push(Problem { place, key, value, what, unread: None });
    }

    /// What was read, if nothing was wrong.
    ///
    /// # Errors
    /// All that was wrong.
    pub(super) fn end(self) -> Result<Vec<Effective>, ConfigError> {
        let problems = self.problems.into_inner();
        match problems.is_empty() {
            true => Ok(self.effective.into_inner()),
            false => Err(ConfigError::new(problems)),
        }
    }
}

/// Where a section stands.
#[derive(Clone, Default)]
pub(super) struct Path {
    /// As a file has it: `appenders.file`, `categories."shop.till"`; empty for the root.
    pub(super) text: String,
    /// Its last part, without quotes.
    pub(super) name: String,
}

impl Path {
    pub(super) fn below(&self, name: &str) -> Path {
        let text = match self.text.is_empty() {
            true => bare(name),
            false => format!("{}.{}", self.text, bare(name)),
        };
        Path { text, name: name.to_owned() }
    }

    pub(super) fn of(section: &str, name: &str) -> Path {
        Path::default().below(section).below(name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::config::key::{Family, Key};
    use crate::config::keys::ROOT;
    use crate::config::node::Value;
    use crate::config::{Config, Sources};

    /// The keys that configurations write, and those that there are: by the section `journal`, or the
    /// type `appender.file`.
    struct Written<'a> {
        registry: &'a Registry,
        keys: BTreeSet<(String, String)>,
        /// The same with the places in one configuration, `appenders.all`.
        values: Vec<(String, String)>,
    }

    impl Written<'_> {
        fn section(&mut self, label: &str, keys: &[&Key], path: &Path, table: &Table) {
            for entry in &table.entries {
                let key = keys.iter().find(|key| key.name == entry.key).unwrap();
                self.keys.insert((label.to_owned(), entry.key.clone()));
                let (below, node) = (path.below(&entry.key), &entry.node);
                match key.kind {
                    Kind::Section(keys) => {
                        let table = node.table().unwrap();
                        self.section(key.name, &keys.iter().collect::<Vec<_>>(), &below, table);
                    }
                    Kind::Sections(keys) => {
                        let keys: Vec<_> = keys.iter().collect();
                        for entry in &node.table().unwrap().entries {
                            let table = entry.node.table().unwrap();
                            self.section(key.name, &keys, &below.below(&entry.key), table);
                        }
                    }
                    Kind::Typed(family) => match &node.value {
                        Value::List(nodes) => {
                            for (at, node) in nodes.iter().enumerate() {
                                let table = node.table().unwrap();
                                let named = table.get("name").and_then(|entry| entry.node.text());
                                let name = named.map_or(format!("app{:03}", at + 1), str::to_owned);
                                self.typed(family, &below.below(&name), table);
                            }
                        }
                        _ => {
                            for entry in &node.table().unwrap().entries {
                                let table = entry.node.table().unwrap();
                                self.typed(family, &below.below(&entry.key), table);
                            }
                        }
                    },
                    Kind::Layout if node.table().is_some() => {
                        self.typed(Family::Layout, &below, node.table().unwrap());
                    }
                    Kind::Filters if node.table().is_some() => {
                        self.typed(Family::Filter, &below, node.table().unwrap());
                    }
                    // What stands in a list is named by its place in it, and read before all else.
                    _ if entry.key == "name" && label.starts_with("appender.") => {}
                    _ => self.values.push((path.text.clone(), entry.key.clone())),
                }
            }
        }

        fn typed(&mut self, family: Family, path: &Path, table: &Table) {
            let name = table.get("type").and_then(|entry| entry.node.text()).unwrap();
            let types = self.registry.types(family);
            let known = types.into_iter().find(|known| known.name == name).unwrap();
            let keys: Vec<_> = known.common.iter().chain(known.keys).collect();
            self.section(&format!("{}.{name}", family.name()), &keys, path, table);
        }
    }

    fn declared(registry: &Registry) -> BTreeSet<(String, String)> {
        let mut declared = BTreeSet::new();
        let mut add = |label: &str, keys: &[Key]| {
            declared.extend(keys.iter().map(|key| (label.to_owned(), key.name.to_owned())));
        };
        add("", ROOT);
        for key in ROOT {
            if let Kind::Section(keys) | Kind::Sections(keys) = key.kind {
                add(key.name, keys);
            }
        }
        // The keys that all types of a family have are looked for with one of them.
        for (family, one) in
            [(Family::Appender, "file"), (Family::Layout, "json"), (Family::Filter, "level")]
        {
            for known in registry.types(family) {
                let label = format!("{}.{}", family.name(), known.name);
                add(&label, known.keys);
                if known.name == one {
                    add(&label, known.common);
                }
            }
        }
        declared
    }

    #[test]
    fn every_key_that_is_declared_is_read_where_it_is_written() {
        let registry = Registry::new();
        let mut all = BTreeSet::new();
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good"));
        for entry in std::fs::read_dir(dir).unwrap() {
            let sources = Sources::new().file(entry.unwrap().path());
            let config = Config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
            let mut written =
                Written { registry: &registry, keys: BTreeSet::new(), values: Vec::new() };
            let root: Vec<_> = ROOT.iter().collect();
            written.section("", &root, &Path::default(), &config.tree);
            for (section, key) in &written.values {
                let is_read = |read: &Effective| read.section == *section && read.key == *key;
                assert!(config.effective.iter().any(is_read), "`{key}` in [{section}] is not read");
            }
            all.extend(written.keys);
        }
        let missing: Vec<_> = declared(&registry).difference(&all).cloned().collect();
        assert!(missing.is_empty(), "no configuration in tests/config/good has {missing:?}");
    }
}
