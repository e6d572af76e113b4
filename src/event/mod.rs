//! One event as appenders, filters and layouts see it.
//!
//! A view: the values are still the bytes of the record, the rest are references to what define
//! blocks said about the site, the thread, the context and the process.

mod context;
mod view;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::level::Level;
use crate::record::Values;
use crate::site::Definition;
use crate::template::Template;
use crate::value::Value;
pub use context::ContextInfo;
pub(crate) use context::{NDC_KEY, RESERVED};
pub use view::Chunks;
pub(crate) use view::View;

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its level; that of the call, which for `log!` is chosen at run time.
    pub level: Level,
    /// When the log call ran: nanoseconds since 1970-01-01 UTC.
    pub time_ns: i64,
    /// The call site.
    pub site: &'a SiteInfo,
    /// The logging thread.
    pub thread: &'a ThreadInfo,
    /// The thread's context at the call.
    pub context: &'a ContextInfo,
    /// The logging process.
    pub source: &'a SourceInfo,
    /// How it came here; `None` where it was logged, and for blocks of masters that did not say so.
    pub receipt: Option<&'a Receipt>,
    /// The values as they were logged: first those of the template, then those of the key-values.
    /// What is to be shown comes from [`Event::message`], [`Event::chunks`], [`Event::arguments`] and
    /// [`Event::pairs`], which know of warps and masks.
    pub values: Values<'a>,
    /// What is shown in another way; `None` where nothing is.
    pub(crate) view: Option<&'a View<'a>>,
    /// Where it lies in the journal that it is read from, for what is remembered of it.
    pub(crate) place: Option<EventPlace>,
}

/// Where an event lies in a journal: as its position there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EventPlace {
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) index: u32,
}

impl<'a> Event<'a> {
    /// An event of a call site, at the site's level and at the beginning of 1970, for who tests a
    /// layout or a filter of his own. Its public fields can be changed.
    ///
    /// # Examples
    /// ```
    /// use rollway::Level;
    /// use rollway::event::{ContextInfo, Event, SiteInfo, SourceInfo, ThreadInfo};
    /// use rollway::layout::{Layout, Pattern};
    /// use rollway::record::Values;
    /// use rollway::site::{Definition, Names};
    ///
    /// let site = SiteInfo::from(Definition {
    ///     level: Level::WARN,
    ///     line: 7,
    ///     column: 9,
    ///     target: "shop",
    ///     module: "shop",
    ///     file: "src/shop.rs",
    ///     template: "sold out",
    ///     names: Names::Listed(&[]),
    /// });
    /// let (thread, context, source) = (ThreadInfo::default(), ContextInfo::default(), SourceInfo::default());
    /// let event = Event::new(&site, &thread, &context, &source, Values::NONE);
    /// let mut line = String::new();
    /// Pattern::parse("%p - %m%n")?.write(&event, &mut line);
    /// assert_eq!(line, "WARN - sold out\n");
    /// # Ok::<(), rollway::layout::PatternError>(())
    /// ```
    pub fn new(
        site: &'a SiteInfo,
        thread: &'a ThreadInfo,
        context: &'a ContextInfo,
        source: &'a SourceInfo,
        values: Values<'a>,
    ) -> Event<'a> {
        let (level, time_ns, receipt) = (site.level, 0, None);
        let (view, place) = (None, None);
        Event { level, time_ns, site, thread, context, source, receipt, values, view, place }
    }

    /// Appends the message to `out`: what `format!` would have made of the call's arguments, unless a
    /// warp or a mask has another one shown.
    ///
    /// Returns whether it is plain, see [`Template::render`].
    pub fn message(&self, out: &mut String) -> bool {
        match self.view {
            None => self.site.template.render(&mut { self.values }, out),
            Some(view) => view.message(self, out),
        }
    }

    /// The message as the parts that it is made of, in their order: the texts of the template that
    /// are not empty, and the values with their types. Joined with nothing between, what they show is
    /// the message, up to [`Template::MESSAGE_BYTES_MAX`].
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks::new(self)
    }

    /// When a master received it: nanoseconds since 1970-01-01 UTC, by the master's clock.
    pub fn received_ns(&self) -> Option<i64> {
        self.receipt.map(|receipt| receipt.received_ns)
    }

    /// From where a master received it.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.receipt.map(|receipt| receipt.peer)
    }

    /// The template's values with their names, in the order of the placeholders. An argument that
    /// is used twice is here twice.
    pub fn arguments(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        self.named_values().take(self.site.template.slots())
    }

    /// The key-values, in the order of the call.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        // Most events have none: then the template's values need not be decoded to pass over them.
        let values = if self.has_pairs() { self.values } else { Values::NONE };
        Event { values, ..*self }.named_values().skip(self.site.template.slots())
    }

    /// Whether the call has key-values.
    #[inline]
    pub(crate) fn has_pairs(&self) -> bool {
        self.site.names.len() > self.site.template.slots()
    }

    /// The values as [`Values::raw`] has them; `None` also where not all is shown as it was logged.
    #[inline(always)]
    pub(crate) fn raw(&self) -> Option<(u64, &'a [u8])> {
        if self.view.is_some() { None } else { self.values.raw() }
    }

    fn named_values(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let view = self.view;
        let names = self.site.names.iter().map(|name| &**name);
        names.zip(self.values).map(move |(name, value)| (name, view::seen(view, name, value)))
    }
}

/// A call site as a reader knows it. `category` is the target.
///
/// Made from a [`Definition`]. Layouts remember by its number what they made of it: change the
/// fields before an event shows the site, or change those of a clone, which has a number of its own.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it; lines and columns count from 1, 0 is unknown")]
pub struct SiteInfo {
    pub level: Level,
    pub line: u32,
    pub column: u32,
    pub category: Box<str>,
    pub module: Box<str>,
    pub file: Box<str>,
    pub template: Template,
    /// One name for each value, see [`Definition`].
    pub names: Box<[Box<str>]>,
    number: SiteNumber,
}

/// Tells one [`SiteInfo`] of this process from all others, those that are gone included.
#[derive(Debug)]
struct SiteNumber(u64);

impl SiteInfo {
    /// A number that no other site of this process has or had.
    pub(crate) fn number(&self) -> u64 {
        self.number.0
    }
}

impl SiteNumber {
    fn draw() -> SiteNumber {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        // Relaxed: nothing but the number itself is shared.
        SiteNumber(DRAWN.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for SiteNumber {
    fn clone(&self) -> SiteNumber {
        SiteNumber::draw()
    }
}

impl From<Definition<'_>> for SiteInfo {
    fn from(definition: Definition<'_>) -> SiteInfo {
        SiteInfo {
            level: definition.level,
            line: definition.line,
            column: definition.column,
            category: definition.target.into(),
            module: definition.module.into(),
            file: definition.file.into(),
            template: Template::parse(definition.template),
            names: definition.names.iter().map(Box::from).collect(),
            number: SiteNumber::draw(),
        }
    }
}

/// A thread as a reader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadInfo {
    /// The operating system's number for the thread.
    pub os_id: u64,
    /// Its name; empty where it has none.
    pub name: Box<str>,
}

/// A process as a reader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The identity of the service's journal; the same after a restart.
    pub source: u128,
    /// This run of it; greater than every earlier one.
    pub epoch: u64,
    /// The process id.
    pub pid: u32,
    /// The name of the service, by default that of the program.
    pub service: Box<str>,
    /// The machine's host name.
    pub host: Box<str>,
}

/// How the block of an event came to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When: nanoseconds since 1970-01-01 UTC, by the receiver's clock.
    pub received_ns: i64,
    /// From where. Nothing proves that it is who it says.
    pub peer: SocketAddr,
    /// Another master may have it, too: see *several masters* in `docs/protocol.md`.
    pub is_elsewhere: bool,
}
