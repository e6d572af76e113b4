//! What a call site keeps of the levels while they change.
//!
//! A site keeps in one word whether its events are taken: a call looks at that and at nothing else.
//! The word is written by whoever uses the site first and by whoever changes the levels, who walks
//! through the registry. All of them may be at it at once.
//!
//! Invariants:
//! 1. When a change has returned, no site keeps what was decided before it: a site that the walk
//!    finds is decided again, and one that it does not find meets the new levels when it decides.
//! 2. Only a site that the registry has is ever `OFF`. No walk finds another one: it asks each time.
//! 3. Whoever finds an id in a site finds the site in the registry, and defined.

use std::sync::atomic::AtomicU32;

use super::FIRST_SITE_ID;
use crate::sync::{Ordering, full_fence, ordering};

/// [`State::pass`] before the first use.
const UNSEEN: u32 = 0;
/// [`State::pass`] while the process's logger does not take the site's level.
const OFF: u32 = 1;
/// [`State::pass`] of an enabled site that has no id.
const INLINE: u32 = 2;

/// A number that several threads use: of the standard library in a site, of loom in a model.
pub(super) trait Word {
    fn load(&self, ordering: Ordering) -> u32;
    fn store(&self, value: u32, ordering: Ordering);
    /// Stores the first value that is not 0; later ones are as good.
    fn store_once(&self, value: u32, ordering: Ordering);
}

impl Word for AtomicU32 {
    #[inline(always)]
    fn load(&self, ordering: Ordering) -> u32 {
        AtomicU32::load(self, ordering)
    }

    #[inline(always)]
    fn store(&self, value: u32, ordering: Ordering) {
        AtomicU32::store(self, value, ordering);
    }

    fn store_once(&self, value: u32, ordering: Ordering) {
        let _ = self.compare_exchange(0, value, ordering, Ordering::Relaxed);
    }
}

/// The words of a site. See the head of the file.
pub(super) struct State<W = AtomicU32> {
    /// `UNSEEN`, `OFF`, `INLINE`, or the id of an enabled site. Written in the cold path only.
    pub(super) pass: W,
    /// The id, 0 while it has none. Written once.
    pub(super) id: W,
    /// The id that the registry has for it, 0 while it is not entered. Written once; becomes `id`
    /// when the site is in the table of the process's engine.
    pub(super) drawn: W,
}

impl State {
    /// A site that no call has used yet.
    pub(super) const fn new() -> State {
        State { pass: AtomicU32::new(UNSEEN), id: AtomicU32::new(0), drawn: AtomicU32::new(0) }
    }
}

impl<W: Word> State<W> {
    /// The number of an enabled site; what `first_use` says where it is not known. One load and a
    /// branch.
    #[inline(always)]
    pub(super) fn pass(&self, first_use: impl FnOnce() -> Option<u32>) -> Option<u32> {
        // Acquire: pairs with the Release in `refresh` (invariant 3).
        match self.pass.load(ordering("site.pass", Ordering::Acquire)) {
            OFF => None,
            id @ FIRST_SITE_ID.. => Some(id),
            _ => first_use(),
        }
    }

    /// The id; `None` while it has none.
    #[inline(always)]
    pub(super) fn id(&self) -> Option<u32> {
        // Acquire: pairs with the Release in `register` (invariant 3).
        Some(self.id.load(ordering("site.id", Ordering::Acquire))).filter(|id| *id != 0)
    }

    /// Gives the site its id. `enter` puts it into the registry and says its place there, unless there
    /// is none left; `define` makes it known beside the rings, unless it cannot.
    pub(super) fn register(
        &self,
        enter: impl FnOnce() -> Option<u32>,
        define: impl FnOnce(u32) -> bool,
    ) -> Option<u32> {
        let drawn = self.enter(enter)?;
        if self.id().is_none() && define(drawn) {
            // Release: pairs with the Acquire in `id` and in `refresh`.
            self.id.store(drawn, ordering("site.register", Ordering::Release));
        }
        self.id()
    }

    fn enter(&self, enter: impl FnOnce() -> Option<u32>) -> Option<u32> {
        // Acquire: pairs with the Release below: whoever defines the site finds it in the registry.
        let drawn = || self.drawn.load(ordering("site.entered", Ordering::Acquire));
        if drawn() == 0
            && let Some(id) = enter()
        {
            self.drawn.store_once(id, ordering("site.enter", Ordering::Release));
        }
        Some(drawn()).filter(|id| *id != 0)
    }

    /// Stores whether `levels` take the site's events, and again while others take their place. The
    /// number of an enabled site: its id, or a lower one where it has none.
    pub(super) fn refresh<L>(
        &self,
        levels: impl Fn() -> L,
        take: impl Fn(&L) -> bool,
        are_still: impl Fn(&L) -> bool,
    ) -> Option<u32> {
        loop {
            let levels = levels();
            // Acquire: pairs with the Release in `register`; what is stored below hands it on.
            let id = self.id.load(ordering("site.refresh.id", Ordering::Acquire));
            let pass = match (take(&levels), id) {
                // Relaxed: whoever is here has entered the site or found it in the registry.
                (false, _) if self.drawn.load(Ordering::Relaxed) == 0 => UNSEEN,
                (false, _) => OFF,
                (true, 0) => INLINE,
                (true, id) => id,
            };
            // Release: pairs with the Acquire in `pass`.
            self.pass.store(pass, ordering("site.refresh", Ordering::Release));
            // SeqCst: pairs with the fence in `change`. Where the walk did not find this site, or
            // stored into it before the line above did, the new levels are visible here.
            full_fence("site.refresh.fence");
            if are_still(&levels) {
                return Some(pass).filter(|pass| *pass > OFF);
            }
        }
    }
}

/// Changes the levels by `publish`, then refreshes every site that the registry has by `walk`.
pub(super) fn change(publish: impl FnOnce(), walk: impl FnOnce()) {
    publish();
    // SeqCst: pairs with the fence in `State::refresh` (invariant 1).
    full_fence("site.change.fence");
    walk();
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts what is done with it.
    #[derive(Default)]
    struct Counted {
        value: Cell<u32>,
        loads: Cell<u32>,
        stores: Cell<u32>,
    }

    impl Counted {
        fn new(value: u32) -> Counted {
            Counted { value: Cell::new(value), ..Counted::default() }
        }

        fn counts(&self) -> (u32, u32) {
            (self.loads.get(), self.stores.get())
        }
    }

    impl Word for Counted {
        fn load(&self, _: Ordering) -> u32 {
            self.loads.set(self.loads.get() + 1);
            self.value.get()
        }

        fn store(&self, value: u32, _: Ordering) {
            self.stores.set(self.stores.get() + 1);
            self.value.set(value);
        }

        fn store_once(&self, value: u32, ordering: Ordering) {
            self.store(value, ordering);
        }
    }

    #[test]
    fn a_call_is_one_load_whether_it_is_disabled_or_not() {
        for (pass, expected) in [(OFF, None), (FIRST_SITE_ID, Some(FIRST_SITE_ID))] {
            let [pass, id, drawn] = [pass, FIRST_SITE_ID, FIRST_SITE_ID].map(Counted::new);
            let state = State { pass, id, drawn };
            assert_eq!(state.pass(|| unreachable!("it is known")), expected);
            let counts = [&state.pass, &state.id, &state.drawn].map(Counted::counts);
            assert_eq!(counts, [(1, 0), (0, 0), (0, 0)]);
        }
    }

    #[test]
    fn a_site_for_which_the_registry_has_no_room_is_never_remembered_as_off() {
        for (taken, passes) in [(false, None), (true, Some(INLINE))] {
            let state = State::new();
            assert_eq!(state.register(|| None, |_| unreachable!("it was not entered")), None);
            assert_eq!(state.refresh(|| (), |()| taken, |()| true), passes);
            assert_eq!(state.pass(|| Some(7)), Some(7), "it asks again");
        }
    }
}
