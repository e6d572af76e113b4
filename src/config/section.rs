//! A table with its declared keys, and what is read from it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::from_toml;
use super::key::{Key, Kind, SecretPlace, Typed};
use super::node::{Entry, Node, Table, Value};
use super::place::{Origin, Place};
use super::reader::{Effective, Path, Reader};
use super::words;
use crate::appender::Open;
use crate::layout::{Layout, Letters};
use crate::level::{Level, LevelFilter};
use crate::route::filter::{Answers, Filter, Verdict};
use crate::warp::Warp;

/// A table of a configuration, from which a factory reads its keys.
///
/// Each getter gives the value of a declared key, its default, or `None`. A value that is wrong is
/// noted with its place and remedy, and `None` is given: a factory goes on, so that all problems
/// are found at once. Keys that nobody asked for are refused when the factory has returned.
///
/// Asking for a key that is not among those declared is a mistake of the factory and gives `None`;
/// with debug assertions it panics.
pub struct Section<'a> {
    reader: &'a Reader<'a>,
    table: &'a Table,
    keys: Vec<&'a [Key]>,
    path: Path,
    place: Option<Place>,
    asked: RefCell<Vec<&'static str>>,
    is_refused: Cell<bool>,
}

/// How many keys are listed beside the one that was probably meant.
const LISTED_MAX: usize = 10;

static EMPTY: Table = Table { entries: Vec::new() };

impl<'a> Section<'a> {
    pub(super) fn new(
        reader: &'a Reader<'a>,
        table: &'a Table,
        keys: Vec<&'a [Key]>,
        path: Path,
        place: Option<Place>,
    ) -> Section<'a> {
        let (asked, is_refused) = (RefCell::default(), Cell::new(false));
        Section { reader, table, keys, path, place, asked, is_refused }
    }

    /// The name of the section: `file` in `[appenders.file]`.
    pub fn name(&self) -> &str {
        &self.path.name
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.typed(key)? {
            Typed::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A path.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        match self.typed(key)? {
            Typed::Path(path) => Some(path),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub fn truth(&self, key: &str) -> Option<bool> {
        match self.typed(key)? {
            Typed::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    /// A whole number, a size in bytes, or the permissions of a file.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.typed(key)? {
            Typed::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The same as a `usize`, which holds every number that a key in use allows.
    pub(super) fn size(&self, key: &str) -> Option<usize> {
        self.number(key).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// A duration.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.typed(key)? {
            Typed::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    /// A level.
    pub fn level(&self, key: &str) -> Option<Level> {
        match self.typed(key)? {
            Typed::Level(level) => Some(level),
            _ => None,
        }
    }

    /// A level, `all` or `off`.
    pub fn threshold(&self, key: &str) -> Option<LevelFilter> {
        match self.typed(key)? {
            Typed::Threshold(threshold) => Some(threshold),
            _ => None,
        }
    }

    /// Texts.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        match self.typed(key)? {
            Typed::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// One of some words (`Ok`), or a duration (`Err`).
    pub(super) fn word_or_duration(&self, key: &str) -> Option<Result<String, Duration>> {
        match self.typed(key)? {
            Typed::Text(word) => Some(Ok(word)),
            Typed::Duration(duration) => Some(Err(duration)),
            _ => None,
        }
    }

    /// Keys and texts of a table, in its order.
    pub fn pairs(&self, key: &str) -> Option<Vec<(String, String)>> {
        match self.typed(key)? {
            Typed::Pairs(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// Where a secret is.
    pub fn secret(&self, key: &str) -> Option<SecretPlace> {
        match self.typed(key)? {
            Typed::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// A layout: one of the section `[layouts]` by its name, a type that needs no keys by its name,
    /// or a table with its `type`.
    pub fn layout(&self, key: &str) -> Option<Box<dyn Layout>> {
        let node = self.value(key)?;
        let place = &node.place;
        if let Some(table) = node.table() {
            let path = self.below(key);
            return self.reader.registry.layout(self.reader, table, path, place);
        }
        let Some(name) = node.text() else {
            self.refuse_value(key, &node, "use the name of a layout, or a table with its `type`");
            return None;
        };
        if let Some(layout) = self.reader.layouts.borrow().get(name) {
            return layout.clone();
        }
        let registry = self.reader.registry;
        if registry.layouts.get(name).is_some_and(|known| !known.needs_keys()) {
            let table = Table::type_only(name, place);
            return registry.layout(self.reader, &table, self.below(key), place);
        }
        let layouts = self.reader.layouts.borrow();
        let plain = registry.layouts.iter().filter(|(_, known)| !known.needs_keys());
        let known: Vec<&str> =
            layouts.keys().map(String::as_str).chain(plain.map(|(name, _)| &**name)).collect();
        let hint = words::hint(name, known.iter().copied());
        let known = words::listed(known.iter().copied());
        let what = format!("there is no section [layouts.{name}]{hint}; known are {known}");
        self.refuse_node(key, Some(place), Some(&node), what);
        None
    }

    /// Filters: those of the section `[filters]` by their names, or tables with their `type`; one or a
    /// list. `None` where there is none, or one of them is wrong.
    pub fn filters(&self, key: &str) -> Option<Vec<Arc<dyn Filter>>> {
        let node = self.value(key)?;
        let nodes = match &node.value {
            Value::List(nodes) => &**nodes,
            _ => std::slice::from_ref(&node),
        };
        // All of them, for their problems.
        let filters: Vec<_> = nodes.iter().map(|node| self.filter(key, node)).collect();
        filters.into_iter().collect()
    }

    fn filter(&self, key: &str, node: &Node) -> Option<Arc<dyn Filter>> {
        let reader = self.reader;
        let found = match (node.table(), node.text()) {
            (Some(table), _) => reader.registry.filter(reader, table, self.below(key), &node.place),
            (_, Some(name)) => match reader.filter(name) {
                Ok(filter) => filter,
                Err(what) => {
                    self.refuse_node(key, Some(&node.place), Some(node), what);
                    None
                }
            },
            _ => {
                self.refuse_value(key, node, &Kind::Filters.remedy(node));
                None
            }
        };
        if found.is_none() {
            self.is_refused.set(true);
        }
        found
    }

    /// What a filter says of events that are as it asks, and of all others: its keys `on_match` and
    /// `on_mismatch`.
    pub fn answers(&self) -> Answers {
        let verdict = |key, otherwise| match self.text(key).as_deref() {
            Some("accept") => Verdict::Accept,
            Some("reject") => Verdict::Reject,
            Some("neutral") => Verdict::Neutral,
            _ => otherwise,
        };
        let Answers { on_match, on_mismatch } = Answers::default();
        Answers {
            on_match: verdict("on_match", on_match),
            on_mismatch: verdict("on_mismatch", on_mismatch),
        }
    }

    /// A warp; `None` where there is none, or it is wrong.
    pub fn warp(&self, key: &str) -> Option<Warp> {
        match self.reader.registry.warps.get(&self.text(key)?) {
            Ok(warp) => Some(warp),
            Err(error) => {
                self.refuse(key, error.to_string());
                None
            }
        }
    }

    /// The letters that patterns have beside those of this crate.
    pub(super) fn letters(&self) -> &'a Letters {
        &self.reader.registry.letters
    }

    /// A filter of the section `[filters]`, as an expression names it; `None` where that has a problem.
    ///
    /// # Errors
    /// As [`Reader::filter`].
    pub(super) fn named_filter(&self, name: &str) -> Result<Option<Arc<dyn Filter>>, String> {
        let found = self.reader.filter(name);
        if let Ok(None) = found {
            self.is_refused.set(true);
        }
        found
    }

    /// Names of appenders and composites that get events; one that there is not is refused.
    pub fn appenders(&self, key: &str) -> Option<Vec<String>> {
        let named = self.named(key)?;
        for (name, place) in &named {
            self.reader.note_use(place, &self.below(key).text, name);
        }
        Some(named.into_iter().map(|(name, _)| name).collect())
    }

    /// The appenders of other sections `[appenders.NAME]` that the one of this section has for itself,
    /// with their names and in their order. They get no events but through it, and have no gates.
    /// `None` where one of them is wrong.
    pub fn relays(&self, key: &str) -> Option<Vec<(String, Box<dyn Open>)>> {
        let mut relays = Vec::new();
        // All of them, for their problems.
        let named = self.named(key)?;
        let count = named.len();
        for (name, place) in named {
            let is_known = self.reader.appenders.borrow().contains(&name);
            let relay = match is_known {
                true => self.reader.relay(&name, self.name()),
                false => Ok(None),
            };
            match relay {
                Ok(Some(open)) => relays.push((name, open)),
                Ok(None) => self.is_refused.set(true),
                Err(what) => self.refuse_at(&place, key, &name, what),
            }
        }
        (relays.len() == count).then_some(relays)
    }

    /// Names of appenders with their places; one that there is not is refused.
    fn named(&self, key: &str) -> Option<Vec<(String, Place)>> {
        let names = match self.typed(key)? {
            Typed::Text(name) => vec![name],
            Typed::Texts(names) => names,
            _ => return None,
        };
        let node = &self.element(key)?.node;
        let place_of = |at: usize| match &node.value {
            Value::List(nodes) => nodes.get(at).map_or(&node.place, |node| &node.place).clone(),
            _ => node.place.clone(),
        };
        let known = self.reader.appenders.borrow();
        let named = names.into_iter().enumerate().map(|(at, name)| (name, place_of(at)));
        let named: Vec<_> = named.collect();
        for (name, place) in named.iter().filter(|(name, _)| !known.contains(name)) {
            let hint = words::hint(name, known.iter().map(String::as_str));
            let known = match known.is_empty() {
                true => "add it".to_owned(),
                false => format!("known are {}", words::listed(known.iter().map(String::as_str))),
            };
            let section = Path::of("appenders", name).text;
            let what = format!("there is no section [{section}]{hint}; {known}");
            self.refuse_at(place, key, name, what);
        }
        Some(named)
    }

    /// Whether the key is written, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Notes that the value of `key` is wrong: `what` says so, with the remedy. The place is that of
    /// the value, or of the section where the key is not written.
    pub fn refuse(&self, key: &str, what: impl Into<String>) {
        let node = self.element(key).map(|entry| &entry.node);
        self.refuse_node(key, node.map(|node| &node.place), node, what);
    }

    /// The same at a place inside of the value, or with another value than that of the key.
    fn refuse_node(
        &self,
        key: &str,
        place: Option<&Place>,
        node: Option<&Node>,
        what: impl Into<String>,
    ) {
        self.is_refused.set(true);
        let is_secret = self.declared(key).is_none_or(|key| key.kind == Kind::Secret);
        let value = node.filter(|_| !is_secret).map(Node::shown);
        let place = place.or(self.place.as_ref());
        self.reader.refuse_key(place, Some(self.below(key).text), value, what);
    }

    /// Notes that the name of the section is wrong: `what` goes on with it.
    pub(super) fn refuse_name(&self, what: impl Into<String>) {
        self.is_refused.set(true);
        let name = self.name().escape_debug().to_string();
        let what = format!("`{name}` {}", what.into());
        self.reader.refuse_key(self.place.as_ref(), Some(self.path.text.clone()), None, what);
    }

    /// Notes that a name, one of those that the key has, is wrong.
    fn refuse_at(&self, place: &Place, key: &str, name: &str, what: impl Into<String>) {
        let value = Value::Text { text: name.to_owned(), is_verbatim: false };
        let node = Node { value, place: place.clone() };
        self.refuse_node(key, Some(place), Some(&node), what);
    }

    /// The same for a character of a text, counted from 1. Where the file has the text with escapes,
    /// the place is that of the text, and the column stands in the words.
    pub fn refuse_inside(&self, key: &str, column: usize, what: &str) {
        let node = self.element(key).map(|entry| &entry.node);
        match node {
            Some(Node { value: Value::Text { is_verbatim: true, .. }, place }) => {
                self.refuse_node(key, Some(&place.behind(column)), node, what);
            }
            _ => self.refuse(key, format!("column {column} of the text: {what}")),
        }
    }

    /// Whether something was refused in this section so far.
    pub fn is_refused(&self) -> bool {
        self.is_refused.get()
    }

    pub(super) fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// A table with keys of its own; empty where it is not written.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let declared = self.declared(key).map(|declared| declared.kind);
        let Some(Kind::Section(keys)) = declared else {
            debug_assert!(false, "`{key}` is not declared as a section");
            return Section::new(self.reader, &EMPTY, Vec::new(), self.below(key), None);
        };
        let (table, place) = self.inner(key);
        Section::new(self.reader, table, vec![keys], self.below(key), place)
    }

    /// The sections below a key, by name, in the order of the file.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let declared = self.declared(key).map(|declared| declared.kind);
        let Some(Kind::Sections(keys)) = declared else {
            debug_assert!(false, "`{key}` is not declared as sections");
            return Vec::new();
        };
        let section = |(name, place, table): (String, Place, &'a Table)| {
            let path = self.below(key).below(&name);
            Section::new(self.reader, table, vec![keys], path, Some(place))
        };
        self.tables(key).into_iter().map(section).collect()
    }

    /// The tables below a key, by name, in the order of the file; or those of a list, which may have
    /// a `name` each and are `app001` and so on otherwise.
    pub(super) fn tables(&self, key: &'static str) -> Vec<(String, Place, &'a Table)> {
        let Some(entry) = self.ask(key) else { return Vec::new() };
        let mut found = Vec::new();
        match &entry.node.value {
            Value::Table(table) => {
                for entry in &table.entries {
                    match entry.node.table() {
                        Some(table) => {
                            found.push((entry.key.clone(), entry.key_place.clone(), table));
                        }
                        None => {
                            let (name, shown) = (&entry.key, entry.node.shown());
                            let what = format!("`{name}` is {shown}; use a table: [{key}.{name}]");
                            self.reader.refuse(Some(&entry.node.place), what);
                        }
                    }
                }
            }
            Value::List(nodes) => {
                for (at, node) in nodes.iter().enumerate() {
                    let name = match node.table().map(|table| table.get("name")) {
                        Some(Some(entry)) => entry.node.text().map(str::to_owned),
                        Some(None) => Some(format!("app{:03}", at + 1)),
                        None => None,
                    };
                    match (name, node.table()) {
                        (Some(name), Some(table)) => found.push((name, node.place.clone(), table)),
                        _ => {
                            let what = format!(
                                "number {} of `{key}` is {}; use a table",
                                at + 1,
                                node.shown()
                            );
                            self.reader.refuse(Some(&node.place), what);
                        }
                    }
                }
            }
            _ => self.refuse_value(key, &entry.node, "use a table of tables, one for each name"),
        }
        found
    }

    /// The end of reading: refuses what nobody asked for.
    pub(super) fn end(self) {
        let asked = self.asked.borrow();
        let known: Vec<&str> = self.keys.iter().copied().flatten().map(|key| key.name).collect();
        for entry in &self.table.entries {
            let key = &*entry.key;
            if asked.contains(&key) {
                continue;
            }
            let what = match known.contains(&key) {
                // Who found something wrong may not have come to it.
                true if self.is_refused.get() => continue,
                true => format!("`{key}` says nothing here; leave it out"),
                false => {
                    let hint = words::hint(key, known.iter().copied());
                    let has = match self.table.get("type").and_then(|entry| entry.node.text()) {
                        Some(name) => format!("`{name}` has"),
                        None => "known are".to_owned(),
                    };
                    let listed = words::listed(known.iter().copied());
                    match hint.is_empty() || known.len() <= LISTED_MAX {
                        true => format!("unknown key `{key}`{hint}; {has} {listed}"),
                        false => format!("unknown key `{key}`{hint}"),
                    }
                }
            };
            // What stands behind an unknown key may be a secret.
            let key = Some(self.below(key).text);
            self.reader.refuse_key(Some(&entry.key_place), key, None, what);
        }
    }

    /// Notes that the key has been seen to, whoever reads it.
    pub(super) fn pass(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    fn below(&self, key: &str) -> Path {
        self.path.below(key)
    }

    fn element(&self, key: &str) -> Option<&'a Entry> {
        self.table.get(key)
    }

    fn declared(&self, key: &str) -> Option<&'a Key> {
        self.keys.iter().copied().flatten().find(|declared| declared.name == key)
    }

    /// The entry of a key, which counts as asked for from now on.
    fn ask(&self, key: &str) -> Option<&'a Entry> {
        let declared = self.declared(key);
        debug_assert!(declared.is_some(), "`{key}` is not declared in [{}]", self.path.text);
        self.asked.borrow_mut().push(declared?.name);
        self.element(key)
    }

    /// The value of a key, or its default, which is then what counts.
    fn value(&self, key: &str) -> Option<Node> {
        let entry = self.ask(key);
        let declared = self.declared(key)?;
        let node = match (entry, declared.default) {
            (Some(entry), _) => entry.node.clone(),
            (None, Some(default)) => default_node(default)?,
            (None, None) => {
                if declared.is_required {
                    let section = match self.path.text.is_empty() {
                        true => String::new(),
                        false => format!(" in [{}]", self.path.text),
                    };
                    let example = declared.example.unwrap_or("…");
                    let what = format!("`{key}` is missing{section}; add `{key} = {example}`");
                    self.refuse_node(key, None, None, what);
                }
                return None;
            }
        };
        // The keys of a layout are read as those of a section.
        if node.table().is_none() || matches!(declared.kind, Kind::Secret | Kind::Pairs) {
            let (section, key) = (self.path.text.clone(), key.to_owned());
            self.reader.note(Effective { section, key, node: node.clone() });
        }
        Some(node)
    }

    fn typed(&self, key: &str) -> Option<Typed> {
        let node = self.value(key)?;
        let kind = self.declared(key)?.kind;
        match kind.read(&node) {
            Ok(typed) => Some(typed),
            // What may be a secret is not repeated.
            Err(remedy) if kind == Kind::Secret => {
                self.refuse(key, format!("`{key}` is a secret and does not stand here; {remedy}"));
                None
            }
            Err(remedy) => {
                let culprit = kind.culprit(&node);
                let what = format!("`{key}` is {}; {remedy}", culprit.shown());
                self.refuse_node(key, Some(&culprit.place), Some(culprit), what);
                None
            }
        }
    }

    fn refuse_value(&self, key: &str, node: &Node, remedy: &str) {
        self.refuse(key, format!("`{key}` is {}; {remedy}", node.shown()));
    }

    fn inner(&self, key: &'static str) -> (&'a Table, Option<Place>) {
        let Some(entry) = self.ask(key) else { return (&EMPTY, self.place.clone()) };
        match entry.node.table() {
            Some(table) => (table, Some(entry.key_place.clone())),
            None => {
                let remedy = format!("use a table: [{}]", self.below(key).text);
                self.refuse_value(key, &entry.node, &remedy);
                (&EMPTY, None)
            }
        }
    }
}

/// A value of TOML as a node; `None` if it is none, which a test rules out for those declared here.
pub(super) fn default_node(value: &str) -> Option<Node> {
    let table = from_toml::parse(&format!("x = {value}"), Origin::Default).ok()?;
    table.entries.into_iter().next().map(|entry| entry.node)
}
