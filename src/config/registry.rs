//! Names of types, and who makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{Family, Key, Kind};
use super::mask;
use super::node::{Entry, Node, Table, Value};
use super::place::Place;
use super::reader::{Path, Reader};
use super::section::Section;
use super::{builtin, words};
use crate::appender::{self, Open, OpenError, Opened};
use crate::event::Event;
use crate::layout::{Layout, Letters};
use crate::route::Gate;
use crate::route::composite::Composite;
use crate::route::filter::{Filter, Verdict};
use crate::warp::Warps;

/// The types of appenders, composites, layouts and filters that a configuration can name, warps, and
/// the letters of patterns.
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
    pub(super) appenders: BTreeMap<String, Type<Attached>>,
    pub(super) layouts: BTreeMap<String, Type<Box<dyn Layout>>>,
    pub(super) filters: BTreeMap<String, Type<Arc<dyn Filter>>>,
    pub(super) warps: Warps,
    pub(super) letters: Letters,
}

/// What a section `[appenders.NAME]` becomes: what events can be attached to.
pub(super) enum Attached {
    Appender(Box<dyn Open>),
    Composite(Composite),
}

/// One type: what a section of it may say, and how it is made.
pub(super) struct Type<T> {
    about: &'static str,
    keys: &'static [Key],
    make: Make<T>,
}

type Make<T> = Arc<dyn Fn(&Section<'_>) -> Option<T> + Send + Sync>;

/// What a section with a type says of it.
const TYPE: Key = Key::new("type", Kind::Text, "what it is").required();
/// What a section `[appenders.NAME]` may have whatever its type.
const APPENDER: &[Key] = &[
    TYPE,
    Key::new("name", Kind::Text, "its name, where appenders stand in a list")
        .otherwise("`app001`, `app002`, …, by its place in the list", "\"file\""),
    Key::new(
        "mandatory",
        Kind::Truth,
        "`true`: the journal keeps what the appender does not have yet. `false`: at the journal's bound the appender is overtaken. Not for composites",
    )
    .otherwise("as its type says", "true"),
    Key::new("threshold", Kind::Threshold, "from which level on it takes events").default("\"all\""),
    Key::new("filter", Kind::Filters, "filters that an event has to pass, by name or as tables: of several the first decides that is not neutral")
        .otherwise("no filter", "[\"no_heartbeats\"]"),
    Key::new("warp", Kind::Warp, "what becomes of the message: `join:SEPARATOR` joins its chunks, `limit:COUNT` keeps the first, `prepend_counter` numbers them, `pass` hands chunks to what takes them. Not for composites")
        .otherwise("the chunks are joined", "\"join:, \""),
    Key::new("mask", Kind::Section(mask::KEYS), "as `[mask]`, for this appender alone. Not for composites")
        .otherwise("that of all", "{ keys = [\"password\"] }"),
];
/// What a layout may have whatever its type.
const LAYOUT: &[Key] = &[TYPE];
const VERDICTS: &[&str] = &["accept", "reject", "neutral"];
/// What a filter may have whatever its type.
const FILTER: &[Key] = &[
    TYPE,
    Key::new("on_match", Kind::OneOf(VERDICTS), "what it says of an event that is as it asks")
        .default("\"accept\""),
    Key::new("on_mismatch", Kind::OneOf(VERDICTS), "what it says of all others")
        .default("\"reject\""),
];

impl Registry {
    /// The types of this crate.
    pub fn new() -> Registry {
        let mut registry = Registry {
            appenders: BTreeMap::new(),
            layouts: BTreeMap::new(),
            filters: BTreeMap::new(),
            warps: Warps::new(),
            letters: Letters::new(),
        };
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
        let make = move |section: &Section<'_>| make(section).map(Attached::Appender);
        self.appenders.insert(name.into(), Type { about, keys, make: Arc::new(make) });
    }

    /// Adds a type of composite; otherwise as [`appender`](Registry::appender). Both share their
    /// names.
    pub fn composite(
        &mut self,
        name: impl Into<String>,
        about: &'static str,
        keys: &'static [Key],
        make: impl Fn(&Section<'_>) -> Option<Composite> + Send + Sync + 'static,
    ) {
        let make = move |section: &Section<'_>| make(section).map(Attached::Composite);
        self.appenders.insert(name.into(), Type { about, keys, make: Arc::new(make) });
    }

    /// Adds a type of filter, or replaces the one of that name; otherwise as
    /// [`appender`](Registry::appender). The keys `on_match` and `on_mismatch` are there for all:
    /// [`Section::answers`] reads them.
    pub fn filter_type(
        &mut self,
        name: impl Into<String>,
        about: &'static str,
        keys: &'static [Key],
        make: impl Fn(&Section<'_>) -> Option<Arc<dyn Filter>> + Send + Sync + 'static,
    ) {
        self.filters.insert(name.into(), Type { about, keys, make: Arc::new(make) });
    }

    /// The warps that an appender can name; register others there.
    pub fn warps(&mut self) -> &mut Warps {
        &mut self.warps
    }

    /// Gives letters of patterns a meaning, in the place of those that were given before.
    pub fn letters(&mut self, letters: Letters) {
        self.letters = letters;
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

    /// The appender or composite of a section `[appenders.NAME]`.
    pub(super) fn attached(
        &self,
        reader: &Reader<'_>,
        table: &Table,
        path: Path,
        place: &Place,
    ) -> Option<Attached> {
        let described = Described { reader, table, path, place };
        described.make(&self.appenders, Family::Appender, APPENDER, |attached, section| {
            section.pass("name");
            let mut gate = Gate::new();
            if let Some(threshold) = section.threshold("threshold") {
                gate = gate.threshold(threshold);
            }
            for filter in section.filters("filter").unwrap_or_default() {
                gate = gate.filter(Shared(filter));
            }
            let Some(attached) = attached else {
                // For their problems.
                let _ = (mask::read(section), section.warp("warp"), section.truth("mandatory"));
                return None;
            };
            match attached {
                Attached::Appender(open) => {
                    gate = shown(section, gate, &*open);
                    let open = Made { is_mandatory: section.truth("mandatory"), gate, open };
                    Some(Attached::Appender(Box::new(open)))
                }
                Attached::Composite(composite) => {
                    for key in
                        ["mandatory", "warp", "mask"].into_iter().filter(|key| section.has(key))
                    {
                        let what = format!("`{key}` is for appenders; give it to the relays");
                        section.refuse(key, what);
                    }
                    Some(Attached::Composite(composite.behind(gate)))
                }
            }
        })
    }

    /// The layout of a table.
    pub(super) fn layout(
        &self,
        reader: &Reader<'_>,
        table: &Table,
        path: Path,
        place: &Place,
    ) -> Option<Box<dyn Layout>> {
        let described = Described { reader, table, path, place };
        described.make(&self.layouts, Family::Layout, LAYOUT, |layout, _| layout)
    }

    /// The filter of a table.
    pub(super) fn filter(
        &self,
        reader: &Reader<'_>,
        table: &Table,
        path: Path,
        place: &Place,
    ) -> Option<Arc<dyn Filter>> {
        let described = Described { reader, table, path, place };
        described.make(&self.filters, Family::Filter, FILTER, |filter, section| {
            if filter.is_none() {
                // For their problems.
                section.answers();
            }
            filter
        })
    }
}

/// What is declared of one type.
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) about: &'static str,
    /// The keys of its family.
    pub(super) common: &'static [Key],
    /// Its own.
    pub(super) keys: &'static [Key],
}

impl Registry {
    /// The types of a family, by name.
    pub(super) fn types(&self, family: Family) -> Vec<Declared<'_>> {
        fn of<'a, T>(
            types: &'a BTreeMap<String, Type<T>>,
            common: &'static [Key],
        ) -> Vec<Declared<'a>> {
            let one = |(name, known): (&'a String, &'a Type<T>)| Declared {
                name,
                about: known.about,
                common,
                keys: known.keys,
            };
            types.iter().map(one).collect()
        }
        match family {
            Family::Appender => of(&self.appenders, APPENDER),
            Family::Layout => of(&self.layouts, LAYOUT),
            Family::Filter => of(&self.filters, FILTER),
        }
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

/// A table with a `type`.
struct Described<'a> {
    reader: &'a Reader<'a>,
    table: &'a Table,
    path: Path,
    place: &'a Place,
}

impl Described<'_> {
    /// What the type makes of it, and `finish` of that, which may be nothing.
    fn make<T>(
        self,
        types: &BTreeMap<String, Type<T>>,
        family: Family,
        common: &[Key],
        finish: impl FnOnce(Option<T>, &Section<'_>) -> Option<T>,
    ) -> Option<T> {
        let Described { reader, table, path, place } = self;
        let names = || types.keys().map(String::as_str);
        let Some(entry) = table.get("type") else {
            let what = format!(
                "`type` is missing in [{}]; add one of {}",
                path.text,
                words::listed(names())
            );
            reader.refuse_key(Some(place), Some(path.below("type").text), None, what);
            return None;
        };
        let known = entry.node.text().and_then(|name| types.get(name));
        let Some(known) = known else {
            let shown = entry.node.shown();
            let hint = entry.node.text().map(|name| words::hint(name, names())).unwrap_or_default();
            let (family, listed) = (family.name(), words::listed(names()));
            let what = format!("there is no type {shown} of {family}{hint}; known are {listed}");
            let key = path.below("type").text;
            reader.refuse_key(Some(&entry.node.place), Some(key), Some(shown), what);
            return None;
        };
        let keys = vec![common, known.keys];
        let section = Section::new(reader, table, keys, path, Some(place.clone()));
        section.text("type");
        let made = finish((known.make)(&section), &section);
        let is_refused = section.is_refused();
        section.end();
        made.filter(|_| !is_refused)
    }
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

/// The gate with the mask and the warp that a section has.
fn shown(section: &Section<'_>, mut gate: Gate, open: &dyn Open) -> Gate {
    if let Some(mask) = mask::read(section) {
        gate = gate.mask(mask);
    }
    if let Some(warp) = section.warp("warp") {
        gate = gate.warp(warp);
        if let Err(error) = gate.check_warp(section.name(), open.takes_chunks()) {
            section.refuse("warp", error.to_string());
        }
    }
    gate
}

/// An appender as its section describes it.
struct Made {
    open: Box<dyn Open>,
    gate: Gate,
    /// `None` leaves it to the type.
    is_mandatory: Option<bool>,
}

impl Open for Made {
    fn open(&self, place: &appender::Place<'_>) -> Result<Opened, OpenError> {
        self.open.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory.unwrap_or_else(|| self.open.is_mandatory())
    }

    fn ships_blocks(&self) -> bool {
        self.open.ships_blocks()
    }

    fn gate(&self) -> Gate {
        self.gate.clone()
    }

    fn takes_chunks(&self) -> bool {
        self.open.takes_chunks()
    }
}

/// A filter that several gates have.
struct Shared(Arc<dyn Filter>);

impl Filter for Shared {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.0.judge(event)
    }
}
