//! Call sites: what is known of a log call before it runs.
//!
//! Each macro makes one `static` [`Site`]. At its first use it is entered in a process-wide
//! registry, which gives it its id. The level, target and template never change; whether the site
//! is enabled follows the level of the process's logger and is kept in the site itself, so that a
//! disabled call costs one relaxed load and a branch.
//!
//! [`Definition`] is the same knowledge as bytes: in the site table beside the rings, in define
//! blocks, and inline in records whose target is not static.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};

use crate::level::{Level, LevelFilter};
use crate::value::{Encoder, take_array, take_run};

/// Sites that can have an id in one process. Calls beyond it carry their site inline.
pub const MAX_SITES: u32 = 65_536;
/// The first id given to a site; lower numbers mark special records.
pub const FIRST_SITE_ID: u32 = 16;

/// [`Site::state`] before the first use.
const UNSEEN: u32 = 0;
/// [`Site::state`] while the process's logger does not take its level.
const OFF: u32 = 1;
/// [`Site::state`] of an enabled site that found the registry full.
const INLINE: u32 = 2;

/// A call site. Made by the macros, as a `static`.
pub struct Site {
    /// `UNSEEN`, `OFF`, `INLINE`, or the id of an enabled site. Written in the cold path only.
    state: AtomicU32,
    /// The id, 0 while it has none. Written once.
    id: AtomicU32,
    /// The id that the registry has for it, 0 while it is not entered. Written once; becomes `id`
    /// when the site is in the table of the process's engine.
    drawn: AtomicU32,
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
        let (state, id, drawn) = (AtomicU32::new(UNSEEN), AtomicU32::new(0), AtomicU32::new(0));
        Site { state, id, drawn, definition }
    }

    /// What the site says about its events.
    pub fn definition(&'static self) -> &'static Definition<'static> {
        &self.definition
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
        // Acquire: pairs with the Release in `refresh`; the registry holds the site whose id this
        // is.
        match self.state.load(Ordering::Acquire) {
            OFF => None,
            id @ FIRST_SITE_ID.. => Some(id),
            _ => self.first_use(),
        }
    }

    /// The id, `None` for a site beyond [`MAX_SITES`]. Registers
    /// the site if need be.
    #[inline(always)]
    pub fn id(&'static self) -> Option<u32> {
        // Acquire: pairs with the Release in `register`; the registry holds the site.
        match self.id.load(Ordering::Acquire) {
            0 => register(self),
            id => Some(id),
        }
    }

    #[cold]
    #[inline(never)]
    fn first_use(&'static self) -> Option<u32> {
        register(self);
        self.refresh();
        Some(self.state.load(Ordering::Acquire)).filter(|state| *state > OFF)
    }

    /// Stores whether the process's level lets this site pass, and again while that level moves.
    fn refresh(&self) {
        let mut lowest_number = PROCESS_LEVEL.load(Ordering::Relaxed);
        loop {
            let allowed = LevelFilter::from_lowest_number(lowest_number);
            let state =
                match (allowed.allows(self.definition.level), self.id.load(Ordering::Acquire)) {
                    (false, _) => OFF,
                    (true, 0) => INLINE,
                    (true, id) => id,
                };
            // Release: pairs with the Acquire in `pass`.
            self.state.store(state, Ordering::Release);
            // SeqCst: pairs with the fence in `set_process_level`. If its walk stored into this
            // site before the line above did, the new level is visible here.
            fence(Ordering::SeqCst);
            match PROCESS_LEVEL.load(Ordering::Relaxed) {
                unchanged if unchanged == lowest_number => return,
                moved => lowest_number = moved,
            }
        }
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

/// The lowest level number the process's logger takes; 255 without a logger.
static PROCESS_LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);
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
    let drawn = enter(site)?;
    if site.id.load(Ordering::Acquire) == 0 && define(drawn) {
        // Release: whoever reads the id finds the slot filled and the site in the table.
        site.id.store(drawn, Ordering::Release);
    }
    match site.id.load(Ordering::Acquire) {
        0 => None,
        id => Some(id),
    }
}

/// The id that the registry has for a site, which is entered if need be.
fn enter(site: &'static Site) -> Option<u32> {
    if site.drawn.load(Ordering::Acquire) == 0 && DRAWN.load(Ordering::Relaxed) < MAX_SITES {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = REGISTRY.get(drawn as usize) {
            // The slot was drawn by this thread alone: it is empty.
            let _ = slot.set(site);
            fence(Ordering::SeqCst);
            let id = FIRST_SITE_ID + drawn;
            // Release: whoever reads it finds the slot filled. Failure: another id is as good.
            let _ = site.drawn.compare_exchange(0, id, Ordering::Release, Ordering::Relaxed);
        }
    }
    match site.drawn.load(Ordering::Acquire) {
        0 => None,
        drawn => Some(drawn),
    }
}

/// The site with this id; `None` for an id not given, or being given this very moment.
pub fn find(id: u32) -> Option<&'static Site> {
    REGISTRY.get(id.checked_sub(FIRST_SITE_ID)? as usize)?.get().copied()
}

/// One more than the greatest id given so far.
pub fn next_id() -> u32 {
    FIRST_SITE_ID + DRAWN.load(Ordering::Acquire).min(MAX_SITES)
}

/// Sets the level of the process's logger and tells every registered site.
pub fn set_process_level(filter: LevelFilter) {
    PROCESS_LEVEL.store(filter.lowest_number(), Ordering::Relaxed);
    // SeqCst: pairs with the fence in `Site::refresh`. A site that this walk does not find reads
    // the new level; a site that it finds is refreshed.
    fence(Ordering::SeqCst);
    for site in REGISTRY.iter().filter_map(OnceLock::get) {
        site.refresh();
    }
}

/// The level of the process's logger, [`LevelFilter::OFF`] without one.
#[inline(always)]
pub fn process_level() -> LevelFilter {
    LevelFilter::from_lowest_number(PROCESS_LEVEL.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_site_follows_the_process_level() {
        static SITE: Site = Site::new(DEFINITION);
        set_process_level(LevelFilter::OFF);
        assert!(!SITE.is_enabled());
        set_process_level(Level::WARN.into());
        assert!(SITE.is_enabled());
        set_process_level(Level::ERROR.into());
        assert!(!SITE.is_enabled());
        set_process_level(LevelFilter::OFF);
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
