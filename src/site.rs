//! Call sites: what is known of a log call before it runs.
//!
//! Each macro makes one `static` [`Site`]. At its first use it is entered in a process-wide
//! registry, which gives it its id. The level, target and template never change; whether the site
//! is enabled follows the level that the process's logger has for its category, which is the target,
//! and is kept in the site itself, so that a disabled call costs one load and a branch.
//!
//! [`Definition`] is the same knowledge as bytes: in the site table beside the rings, in define
//! blocks, and inline in records whose target is not static.

#[cfg(all(test, loom))]
mod loom_models;
mod state;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use state::State;

pub use crate::level::live::CallCategory;
use crate::level::live::LiveLevels;
use crate::level::{Level, LevelFilter, Levels};
use crate::value::{Encoder, take_array, take_run};

/// Sites that can have an id in one process. Calls beyond it carry their site inline.
pub const MAX_SITES: u32 = 65_536;
/// The first id given to a site; lower numbers mark special records.
pub const FIRST_SITE_ID: u32 = 16;

/// A call site. Made by the macros, as a `static`.
pub struct Site {
    state: State,
    /// For calls that bring their own level.
    category: CallCategory,
    definition: Definition<'static>,
}

/// What a call site says about its events.
///
/// `names` has one name for each value of a record: first one for each placeholder of the template
/// in order (its name, or its position as digits; a width or precision taken from an argument
/// stands before its value), then the keys of the key-values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it; lines and columns count from 1, 0 is unknown")]
pub struct Definition<'a> {
    pub level: Level,
    pub line: u32,
    pub column: u32,
    pub target: &'a str,
    pub module: &'a str,
    pub file: &'a str,
    /// The text between the quotes, in the grammar of `std::fmt`.
    pub template: &'a str,
    pub names: Names<'a>,
}

/// The names of the values: a slice in a `static`, or still encoded.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "two forms of one list")]
pub enum Names<'a> {
    Listed(&'a [&'a str]),
    /// Runs of bytes behind their `u32` length, checked to be UTF-8.
    Encoded {
        count: u16,
        bytes: &'a [u8],
    },
}

impl<'a> Names<'a> {
    /// How many names there are.
    pub fn len(&self) -> usize {
        match self {
            Names::Listed(names) => names.len(),
            Names::Encoded { count, .. } => usize::from(*count),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + 'a {
        let (listed, mut encoded) = match *self {
            Names::Listed(names) => (names, &[][..]),
            Names::Encoded { bytes, .. } => (&[][..], bytes),
        };
        let decoded = std::iter::from_fn(move || str::from_utf8(take_run(&mut encoded)?).ok());
        listed.iter().copied().chain(decoded)
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names<'_> {}

impl<'a> Definition<'a> {
    /// Bytes of [`Definition::encode`].
    pub fn encoded_len(&self) -> usize {
        let names: usize = self.names.iter().map(|name| 4 + name.len()).sum();
        let texts = [self.target, self.module, self.file, self.template];
        12 + texts.iter().map(|text| 4 + text.len()).sum::<usize>() + names
    }

    /// Writes level (`u8`), 0 (`u8`), number of names (`u16`), line, column (`u32`), then target,
    /// module, file, template and the names, each behind its `u32` length.
    pub fn encode(&self, out: &mut Encoder<'_>) {
        out.array([self.level.number(), 0]);
        out.array((self.names.len() as u16).to_le_bytes());
        out.array(self.line.to_le_bytes());
        out.array(self.column.to_le_bytes());
        for text in [self.target, self.module, self.file, self.template] {
            out.run(text.as_bytes());
        }
        for name in self.names.iter() {
            out.run(name.as_bytes());
        }
    }

    /// The bytes of [`Definition::encode`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.encoded_len()];
        self.encode(&mut Encoder::new(&mut bytes));
        bytes
    }

    /// Takes a definition from the front of `bytes`; `None` where they do not hold one.
    pub fn take(bytes: &mut &'a [u8]) -> Option<Definition<'a>> {
        let [level, 0] = take_array::<2>(bytes)? else { return None };
        let count = u16::from_le_bytes(take_array(bytes)?);
        let line = u32::from_le_bytes(take_array(bytes)?);
        let column = u32::from_le_bytes(take_array(bytes)?);
        let mut text = || str::from_utf8(take_run(bytes)?).ok();
        let (target, module, file, template) = (text()?, text()?, text()?, text()?);

        let start = *bytes;
        for _ in 0..count {
            str::from_utf8(take_run(bytes)?).ok()?;
        }
        let names_bytes = &start[..start.len() - bytes.len()];
        let names = Names::Encoded { count, bytes: names_bytes };
        let level = Level::from_number(level)?;
        Some(Definition { level, line, column, target, module, file, template, names })
    }
}

impl Site {
    /// A site that no call has used yet.
    pub const fn new(definition: Definition<'static>) -> Site {
        let category = CallCategory::new(definition.target);
        Site { state: State::new(), category, definition }
    }

    /// What the site says about its events.
    pub fn definition(&'static self) -> &'static Definition<'static> {
        &self.definition
    }

    /// The category of its events: the target.
    pub fn category(&'static self) -> &'static CallCategory {
        &self.category
    }

    /// Whether the process's logger takes this site's events. One load and a branch; the first use
    /// of a site enters it in the registry.
    #[inline(always)]
    pub fn is_enabled(&'static self) -> bool {
        self.pass().is_some()
    }

    /// The number of an enabled site for the process's logger: its id, or a lower number where it
    /// has none. `None` while the logger does not take its events. One load and a branch.
    #[inline(always)]
    pub fn pass(&'static self) -> Option<u32> {
        self.state.pass(|| self.first_use())
    }

    /// The id, `None` for a site beyond [`MAX_SITES`]. Registers
    /// the site if need be.
    #[inline(always)]
    pub fn id(&'static self) -> Option<u32> {
        self.state.id().or_else(|| register(self))
    }

    #[cold]
    #[inline(never)]
    fn first_use(&'static self) -> Option<u32> {
        register(self);
        self.refresh()
    }

    /// Stores whether the process's level for the category lets this site pass.
    fn refresh(&self) -> Option<u32> {
        let take = |levels: &Option<Arc<Levels>>| {
            let of_category = |levels: &Arc<Levels>| levels.of(self.definition.target);
            let allowed = levels.as_ref().map_or(LevelFilter::OFF, of_category);
            allowed.allows(self.definition.level)
        };
        let are_still = |levels: &Option<Arc<Levels>>| PROCESS_LEVELS.is_still(levels);
        self.state.refresh(|| PROCESS_LEVELS.snapshot(), take, are_still)
    }
}

/// Enters a site in the table of the process's engine, before its id is published. Set once, by
/// the engine; `false` where the table is full.
static DEFINE: OnceLock<fn(u32) -> bool> = OnceLock::new();

fn define(id: u32) -> bool {
    DEFINE.get().is_none_or(|define| define(id))
}

/// Names the function that makes a site known beside the rings.
pub(crate) fn set_define_hook(define: fn(u32) -> bool) {
    // One engine module in a process: a second call names the same function.
    let _ = DEFINE.set(define);
}

/// The levels of the process's logger; off without a logger.
static PROCESS_LEVELS: LiveLevels = LiveLevels::off();
/// Sites by id minus [`FIRST_SITE_ID`]. Each slot is written once, by the thread that drew it.
static REGISTRY: [OnceLock<&'static Site>; MAX_SITES as usize] =
    [const { OnceLock::new() }; MAX_SITES as usize];
/// Slots drawn so far; passes [`MAX_SITES`] when the registry is full.
static DRAWN: AtomicU32 = AtomicU32::new(0);

/// Enters a site in the registry and publishes its id; `None` when the registry or the table of the
/// process's engine is full.
///
/// Lock-free. Of two threads that enter one site, the later leaves its slot as a second, unused
/// name of the same site.
#[cold]
fn register(site: &'static Site) -> Option<u32> {
    site.state.register(|| enter(site), define)
}

/// Puts a site into a slot of the registry; its id there, `None` where none is left.
fn enter(site: &'static Site) -> Option<u32> {
    if DRAWN.load(Ordering::Relaxed) >= MAX_SITES {
        return None;
    }
    let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
    // The slot was drawn by this thread alone: it is empty.
    let _ = REGISTRY.get(drawn as usize)?.set(site);
    Some(FIRST_SITE_ID + drawn)
}

/// The site with this id; `None` for an id not given, or being given this very moment.
pub fn find(id: u32) -> Option<&'static Site> {
    REGISTRY.get(id.checked_sub(FIRST_SITE_ID)? as usize)?.get().copied()
}

/// One more than the greatest id given so far.
pub fn next_id() -> u32 {
    FIRST_SITE_ID + DRAWN.load(Ordering::Acquire).min(MAX_SITES)
}

/// Sets the levels of the process's logger and tells every registered site. `None` is off for all.
pub fn set_process_levels(levels: Option<Arc<Levels>>) {
    let walk = || {
        for site in REGISTRY.iter().filter_map(OnceLock::get) {
            site.refresh();
        }
    };
    state::change(|| PROCESS_LEVELS.set(levels), walk);
}

/// Whether some category of the process's logger takes events of this level. One load and a branch.
#[inline(always)]
pub fn process_might_take(level: Level) -> bool {
    PROCESS_LEVELS.might_allow(level)
}

/// Whether the process's logger takes events of this level in a category that was chosen at run time.
#[inline]
pub fn process_takes(level: Level, category: &str) -> bool {
    PROCESS_LEVELS.allows(level, category)
}

/// The same for a call that has one category for ever. It remembers what it was told.
#[inline]
pub fn process_takes_call(level: Level, call: &'static CallCategory) -> bool {
    PROCESS_LEVELS.allows_call(level, call)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    const DEFINITION: Definition<'static> = Definition {
        level: Level::WARN,
        line: 7,
        column: 9,
        target: "shop::till",
        module: "shop",
        file: "src/till.rs",
        template: "sold {} for {:>8.2}",
        names: Names::Listed(&["0", "1", "cashier"]),
    };

    fn encoded(definition: &Definition<'_>) -> Vec<u8> {
        let mut bytes = vec![0; definition.encoded_len() + 1];
        let mut encoder = Encoder::new(&mut bytes);
        definition.encode(&mut encoder);
        assert_eq!(encoder.remaining(), 1);
        definition.to_bytes()
    }

    #[test]
    fn a_definition_survives_its_bytes() {
        let bytes = encoded(&DEFINITION);
        let mut rest = &bytes[..];
        assert_eq!(Definition::take(&mut rest), Some(DEFINITION));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_definition_cut_anywhere_is_refused() {
        let bytes = encoded(&DEFINITION);
        for len in 0..bytes.len() {
            assert_eq!(Definition::take(&mut &bytes[..len]), None, "cut at {len}");
        }
    }

    /// Tests that set the process's levels come one after the other.
    static LEVELS: Mutex<()> = Mutex::new(());

    fn set(root: impl Into<LevelFilter>, categories: &[(&str, Level)]) {
        let mut levels = Levels::new(root);
        for (category, level) in categories {
            levels.set(category, Some((*level).into())).unwrap();
        }
        set_process_levels(Some(Arc::new(levels)));
    }

    #[test]
    fn a_site_follows_the_level_of_its_category() {
        static SITE: Site = Site::new(DEFINITION);
        let _levels = LEVELS.lock().unwrap_or_else(PoisonError::into_inner);
        set_process_levels(None);
        assert!(!SITE.is_enabled());
        set(Level::WARN, &[]);
        assert!(SITE.is_enabled());
        set(Level::WARN, &[("shop::till", Level::ERROR)]);
        assert!(!SITE.is_enabled());
        set(LevelFilter::OFF, &[("shop", Level::INFO)]);
        assert!(SITE.is_enabled());
        set(LevelFilter::OFF, &[("shop", Level::INFO), ("shop.till", Level::FATAL)]);
        assert!(!SITE.is_enabled());
        set_process_levels(None);
    }

    #[test]
    fn a_call_with_its_own_level_or_category_asks_for_that_category() {
        static SITE: Site = Site::new(DEFINITION);
        let _levels = LEVELS.lock().unwrap_or_else(PoisonError::into_inner);
        set(Level::WARN, &[("shop", Level::DEBUG)]);
        let call = SITE.category();
        assert!(process_takes_call(Level::DEBUG, call) && !process_takes_call(Level::TRACE, call));
        assert!(process_takes(Level::DEBUG, "shop::x") && !process_takes(Level::DEBUG, "y"));
        assert!(process_might_take(Level::DEBUG) && !process_might_take(Level::TRACE));
        set_process_levels(None);
        assert!(!process_takes_call(Level::FATAL, call) && !process_might_take(Level::FATAL));
    }

    #[test]
    fn sites_used_first_while_levels_change_follow_the_last_change() {
        const SITES: usize = 64;
        static SITES_USED: [Site; SITES] = [const { Site::new(DEFINITION) }; SITES];
        let _levels = LEVELS.lock().unwrap_or_else(PoisonError::into_inner);
        for round in 0..SITES / 4 {
            let last = round % 2 == 0;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 0..3 {
                        let level = if (n % 2 == 0) == last { Level::WARN } else { Level::ERROR };
                        set(Level::ERROR, &[("shop", level)]);
                    }
                });
                for site in &SITES_USED[round * 4..][..4] {
                    scope.spawn(|| site.is_enabled());
                }
            });
            for site in &SITES_USED[..round * 4 + 4] {
                assert_eq!(site.is_enabled(), last, "round {round}");
            }
        }
        set_process_levels(None);
    }

    #[test]
    fn a_registered_site_is_found_by_its_id() {
        static SITE: Site = Site::new(DEFINITION);
        let id = SITE.id().unwrap();
        assert!((FIRST_SITE_ID..next_id()).contains(&id));
        assert!(std::ptr::eq(find(id).unwrap(), &SITE));
        assert!(find(FIRST_SITE_ID - 1).is_none());
    }
}
