//! Names of types, and who makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{Family, Key, Kind};
use super::node::{Entry, Node, Table, Value};
use super::place::Place;
use super::section::{Reader, Section};
use super::{builtin, words};
use crate::appender::{self, Open, OpenError, Opened};
use crate::layout::Layout;

/// The types of appenders and layouts that a configuration can name.
///
/// [`Registry::new`] has those of this crate; a crate outside adds its own. A configuration with such
/// a type is read with [`Config::load_with`](super::Config::load_with).
///
/// # Examples
/// ```
/// use rollway::appender::File;
/// use rollway::config::{Config, Key, Kind, Registry, Sources};
///
/// const KEYS: &[Key] = &[Key::new("room", Kind::Text, "the room to write to").required()];
/// let mut registry = Registry::new();
/// registry.appender("chat", "Writes to a chat room.", KEYS, |section| {
///     let room = section.text("room")?;
///     Some(Box::new(File::new(format!("/run/chat/{room}"))))
/// });
///
/// let sources = Sources::new().toml("[appenders.team]\ntype = 'chat'\nrom = 'ops'");
/// let error = Config::load_with(&sources, registry).unwrap_err().to_string();
/// assert!(error.contains("line 3, column 1: unknown key `rom` (did you mean `room`?)"), "{error}");
/// ```
#[derive(Clone)]
pub struct Registry {
    pub(super) appenders: BTreeMap<String, Type<Box<dyn Open>>>,
    pub(super) layouts: BTreeMap<String, Type<Box<dyn Layout>>>,
}

/// One type: what a section of it may say, and how it is made.
pub(super) struct Type<T> {
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
    make: Make<T>,
}

type Make<T> = Arc<dyn Fn(&Section<'_>) -> Option<T> + Send + Sync>;

/// What a section with a type says of it.
pub(super) const TYPE: Key = Key::new("type", Kind::Text, "what it is").required();
/// What a section `[appenders.NAME]` may have whatever its type.
pub(super) const APPENDER: &[Key] = &[
    TYPE,
    Key::new("name", Kind::Text, "its name, where appenders stand in a list")
        .otherwise("`app001`, `app002`, …, by its place in the list", "\"file\""),
    Key::new(
        "mandatory",
        Kind::Truth,
        "`true`: the journal keeps what the appender does not have yet. `false`: at the journal's bound the appender is overtaken",
    )
    .otherwise("`false` for `console`, else `true`", "true"),
];
/// What a layout may have whatever its type.
pub(super) const LAYOUT: &[Key] = &[TYPE];

impl Registry {
    /// The types of this crate.
    pub fn new() -> Registry {
        let mut registry = Registry { appenders: BTreeMap::new(), layouts: BTreeMap::new() };
        builtin::register(&mut registry);
        registry
    }

    /// Adds a type of appender, or replaces the one of that name. `about` is one line, `keys` are
    /// those of a section beside `type`, `name` and `mandatory`.
    ///
    /// `make` opens nothing. It gives `None` when something is wrong that it, or a getter of the
    /// section, has noted.
    pub fn appender(
        &mut self,
        name: impl Into<String>,
        about: &'static str,
        keys: &'static [Key],
        make: impl Fn(&Section<'_>) -> Option<Box<dyn Open>> + Send + Sync + 'static,
    ) {
        self.appenders.insert(name.into(), Type { about, keys, make: Arc::new(make) });
    }

    /// Adds a type of layout, or replaces the one of that name; otherwise as
    /// [`appender`](Registry::appender).
    pub fn layout_type(
        &mut self,
        name: impl Into<String>,
        about: &'static str,
        keys: &'static [Key],
        make: impl Fn(&Section<'_>) -> Option<Box<dyn Layout>> + Send + Sync + 'static,
    ) {
        self.layouts.insert(name.into(), Type { about, keys, make: Arc::new(make) });
    }

    /// The appender of a section `[appenders.NAME]`.
    pub(super) fn open(
        &self,
        reader: &Reader<'_>,
        table: &Table,
        path: String,
        place: &Place,
    ) -> Option<Box<dyn Open>> {
        made(&self.appenders, Family::Appender, APPENDER, reader, table, path, place, |section| {
            section.pass("name");
            section.truth("mandatory")
        })
        .map(|(open, mandatory)| match mandatory {
            None => open,
            Some(true) => Box::new(appender::mandatory(Made(open))) as Box<dyn Open>,
            Some(false) => Box::new(appender::optional(Made(open))),
        })
    }

    /// The layout of a table.
    pub(super) fn layout(
        &self,
        reader: &Reader<'_>,
        table: &Table,
        path: String,
        place: &Place,
    ) -> Option<Box<dyn Layout>> {
        made(&self.layouts, Family::Layout, LAYOUT, reader, table, path, place, |_| ())
            .map(|(layout, ())| layout)
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

#[allow(clippy::too_many_arguments, reason = "what the two families share, in one place")]
fn made<T, C>(
    types: &BTreeMap<String, Type<T>>,
    family: Family,
    common: &[Key],
    reader: &Reader<'_>,
    table: &Table,
    path: String,
    place: &Place,
    read_common: impl FnOnce(&Section<'_>) -> C,
) -> Option<(T, C)> {
    let names = || types.keys().map(String::as_str);
    let Some(entry) = table.get("type") else {
        let what = format!("`type` is missing in [{path}]; add one of {}", words::listed(names()));
        reader.refuse(Some(place), what);
        return None;
    };
    let known = entry.node.text().and_then(|name| types.get(name));
    let Some(known) = known else {
        let shown = entry.node.shown();
        let hint = entry.node.text().map(|name| words::hint(name, names())).unwrap_or_default();
        let (family, listed) = (family.name(), words::listed(names()));
        let what = format!("there is no type {shown} of {family}{hint}; known are {listed}");
        reader.refuse(Some(&entry.node.place), what);
        return None;
    };
    let section = Section::new(reader, table, vec![common, known.keys], path, Some(place.clone()));
    section.text("type");
    let common = read_common(&section);
    let made = (known.make)(&section);
    let is_refused = section.is_refused();
    section.end();
    made.filter(|_| !is_refused).map(|made| (made, common))
}

impl<T> Type<T> {
    /// Whether a key must be given.
    pub(super) fn needs_keys(&self) -> bool {
        self.keys.iter().any(|key| key.is_required)
    }
}

impl<T> Clone for Type<T> {
    fn clone(&self) -> Type<T> {
        Type { about: self.about, keys: self.keys, make: Arc::clone(&self.make) }
    }
}

impl Table {
    /// A table that has a `type` and nothing else.
    pub(super) fn type_only(name: &str, place: &Place) -> Table {
        let value = Value::Text { text: name.to_owned(), is_verbatim: false };
        let node = Node { value, place: place.clone() };
        let entry = Entry { key: "type".to_owned(), key_place: place.clone(), node };
        Table { entries: vec![entry] }
    }
}

/// An appender that was chosen at run time.
pub(super) struct Made(pub(super) Box<dyn Open>);

impl Open for Made {
    fn open(&self, place: &appender::Place<'_>) -> Result<Opened, OpenError> {
        self.0.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.0.is_mandatory()
    }

    fn ships_blocks(&self) -> bool {
        self.0.ships_blocks()
    }
}
