//! Levels that change while log calls ask for them.
//!
//! A [`LiveLevels`] is a snapshot of [`Levels`] that is replaced as a whole, and one word that says
//! most of it: the least and the greatest number from which a category takes events, and a revision
//! that is another one after each change. A level outside of the two is decided by the word; between
//! them the category is looked up. Reading takes no lock and never waits.
//!
//! Invariants:
//! 1. A word with a new revision is stored after its snapshot: whoever has read the word finds that
//!    snapshot or a later one.
//! 2. When all changes have returned, the word's bounds are those of the snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::{Level, LevelFilter, Levels};
use crate::category::TooManyCategories;

/// Bits of the word below its revision.
const BOUNDS_BITS: u32 = 16;
/// Nothing passes: both bounds are 255.
const NOTHING: u64 = 0xffff;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct LiveLevels {
    /// `None` is off for all.
    levels: ArcSwapOption<Levels>,
    /// Revision (48 bits), greatest (8) and least number (8).
    word: AtomicU64,
}

impl LiveLevels {
    /// Takes nothing.
    pub(crate) const fn off() -> LiveLevels {
        LiveLevels { levels: ArcSwapOption::const_empty(), word: AtomicU64::new(NOTHING) }
    }

    pub(crate) fn new(levels: Levels) -> LiveLevels {
        let live = LiveLevels::off();
        live.set(Some(Arc::new(levels)));
        live
    }

    /// What counts right now; `None` is off for all.
    pub(crate) fn snapshot(&self) -> Option<Arc<Levels>> {
        self.levels.load_full()
    }

    /// Whether this is what counts still.
    pub(crate) fn is_still(&self, snapshot: &Option<Arc<Levels>>) -> bool {
        is_same(&self.levels.load(), snapshot)
    }

    /// What counts for a category.
    pub(crate) fn of(&self, category: &str) -> LevelFilter {
        self.levels.load().as_ref().map_or(LevelFilter::OFF, |levels| levels.of(category))
    }

    /// Replaces the levels.
    pub(crate) fn set(&self, levels: Option<Arc<Levels>>) {
        self.levels.store(levels);
        self.publish();
    }

    /// Changes the levels. `change` is called again where somebody else was faster.
    ///
    /// # Errors
    /// That of `change`; then they stay as they are.
    pub(crate) fn change(
        &self,
        change: impl Fn(&mut Levels) -> Result<(), TooManyCategories>,
    ) -> Result<(), TooManyCategories> {
        loop {
            let current = self.snapshot();
            let mut levels =
                current.as_deref().cloned().unwrap_or_else(|| Levels::new(LevelFilter::OFF));
            change(&mut levels)?;
            let found = self.levels.compare_and_swap(&current, Some(Arc::new(levels)));
            if is_same(&found, &current) {
                self.publish();
                return Ok(());
            }
        }
    }

    /// Makes the word that of the snapshot, and again while that changes.
    fn publish(&self) {
        loop {
            let snapshot = self.snapshot();
            let (least, greatest) = snapshot.as_deref().map_or((u8::MAX, u8::MAX), Levels::bounds);
            let bounds = u64::from(greatest) << 8 | u64::from(least);
            let next = |word: u64| ((word >> BOUNDS_BITS) + 1) << BOUNDS_BITS | bounds;
            // Release: pairs with the Acquire in `word` (invariant 1). Acquire: pairs with the Release
            // here. Of two that publish at once the later one reads the word of the earlier, and so
            // sees the snapshot of both below (invariant 2).
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            let _ = self.word.fetch_update(success, failure, |word| Some(next(word)));
            if self.is_still(&snapshot) {
                return;
            }
        }
    }

    #[inline(always)]
    fn word(&self) -> u64 {
        // Acquire: pairs with the Release in `publish`.
        self.word.load(Ordering::Acquire)
    }

    /// Whether some category takes events of this level. One load and a branch.
    #[inline(always)]
    pub(crate) fn might_allow(&self, level: Level) -> bool {
        level.number() >= least(self.word())
    }

    /// Whether the category takes events of this level. Looks the category up where not all categories
    /// have one answer.
    #[inline]
    pub(crate) fn allows(&self, level: Level, category: &str) -> bool {
        decided(self.word(), level).unwrap_or_else(|| self.of(category).allows(level))
    }

    /// The same for a call that remembers what it was told.
    #[inline]
    pub(crate) fn allows_call(&self, level: Level, call: &CallCategory) -> bool {
        let word = self.word();
        decided(word, level).unwrap_or_else(|| call.filter(self, word).allows(level))
    }
}

fn is_same(one: &Option<Arc<Levels>>, other: &Option<Arc<Levels>>) -> bool {
    one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
}

#[inline(always)]
const fn least(word: u64) -> u8 {
    word as u8
}

/// What the word alone says of a level; `None` where categories differ.
#[inline(always)]
fn decided(word: u64, level: Level) -> Option<bool> {
    let greatest = (word >> 8) as u8;
    match level.number() {
        number if number < least(word) => Some(false),
        number if number >= greatest => Some(true),
        _ => None,
    }
}

/// The category of a call that never changes it, with the level that it had when the call last asked.
#[derive(Debug)]
pub struct CallCategory {
    name: &'static str,
    /// The revision at which it asked (48 bits) and the lowest number that passes (8, in 16 bits);
    /// 0 before the first time. Whoever asks may write it.
    known: AtomicU64,
}

impl CallCategory {
    /// A call that never asked.
    pub const fn new(name: &'static str) -> CallCategory {
        CallCategory { name, known: AtomicU64::new(0) }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What counts for it in `live`, which is the same at every call.
    #[inline]
    fn filter(&self, live: &LiveLevels, word: u64) -> LevelFilter {
        // Relaxed: the number is of use by itself. The first revision is 0, and decides all by its
        // bounds: what it would find here is never asked for.
        let known = self.known.load(Ordering::Relaxed);
        if known >> BOUNDS_BITS == word >> BOUNDS_BITS {
            return LevelFilter::from_lowest_number(known as u8);
        }
        self.ask(live, word)
    }

    #[cold]
    fn ask(&self, live: &LiveLevels, word: u64) -> LevelFilter {
        // Of this revision or a later one (invariant 1). What is later has a word that is, too, or
        // will have; then this is asked again.
        let filter = live.of(self.name);
        let known = word >> BOUNDS_BITS << BOUNDS_BITS | u64::from(filter.lowest_number());
        self.known.store(known, Ordering::Relaxed);
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_debug(category: &str) -> Levels {
        let mut levels = Levels::new(Level::WARN);
        levels.set(category, Some(Level::DEBUG.into())).unwrap();
        levels
    }

    #[test]
    fn each_way_to_ask_gets_the_answer_of_the_levels() {
        let levels = with_debug("shop::db");
        let live = LiveLevels::new(levels.clone());
        for name in ["shop", "shop::db::pool", ""] {
            let call = CallCategory::new(name);
            for level in (1..=24).filter_map(Level::from_number) {
                let expected = levels.of(name).allows(level);
                assert_eq!(live.allows(level, name), expected, "{level} in {name}");
                assert_eq!(live.allows_call(level, &call), expected, "{level} in {name}");
                assert!(live.might_allow(level) || !expected);
            }
        }
        assert!(!live.might_allow(Level::TRACE));
    }

    #[test]
    fn what_a_call_remembers_is_forgotten_with_the_next_change() {
        let live = LiveLevels::new(with_debug("a"));
        let call = CallCategory::new("a::b");
        assert!(live.allows_call(Level::DEBUG, &call));
        live.change(|levels| levels.set("a::b", Some(Level::ERROR.into()))).unwrap();
        assert!(!live.allows_call(Level::DEBUG, &call));
        live.change(|levels| levels.set("a::b", None)).unwrap();
        assert!(live.allows_call(Level::DEBUG, &call));
        live.set(None);
        assert!(!live.allows_call(Level::FATAL, &call) && !live.allows(Level::FATAL, "x"));
    }

    #[test]
    fn changes_at_once_all_take_effect_and_leave_the_word_of_the_last_snapshot() {
        let live = LiveLevels::new(Levels::new(Level::INFO));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let live = &live;
                scope.spawn(move || {
                    for n in 0..200 {
                        let (category, level) = (format!("c{thread}.n{n}"), 1 + (n % 24) as u8);
                        let level = Level::from_number(level).map(LevelFilter::from);
                        live.change(|levels| levels.set(&category, level)).unwrap();
                    }
                    live.change(|levels| levels.set(&format!("c{thread}"), None)).unwrap();
                });
            }
        });
        let levels = live.snapshot().unwrap();
        assert_eq!(levels.categories().count(), 800);
        let word = live.word();
        assert_eq!((least(word), (word >> 8) as u8), levels.bounds());
    }
}
