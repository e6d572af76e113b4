//! Every order in which a site's first use, a call and a change of levels can meet, explored by loom.
//!
//! Each model is also run with one of its orderings weakened, and must fail then.

use loom::thread;

use super::FIRST_SITE_ID;
use super::state::{State, Word, change};
use crate::sync::{Arc, AtomicU32, Ordering, with_seeded_bug};

impl Word for AtomicU32 {
    fn load(&self, ordering: Ordering) -> u32 {
        AtomicU32::load(self, ordering)
    }

    fn store(&self, value: u32, ordering: Ordering) {
        AtomicU32::store(self, value, ordering);
    }

    fn store_once(&self, value: u32, ordering: Ordering) {
        let _ = self.compare_exchange(0, value, ordering, Ordering::Relaxed);
    }
}

/// A process with one site.
struct Process {
    site: State<AtomicU32>,
    /// Another number with each change. They take the site's events if it is odd.
    levels: AtomicU32,
    /// The site's place in the registry, 0 while it is empty.
    slot: AtomicU32,
    /// What is known of the site beside the rings, 0 while nothing is.
    table: AtomicU32,
}

impl Process {
    fn new(levels: u32) -> Arc<Process> {
        let word = || AtomicU32::new(0);
        let site = State { pass: word(), id: word(), drawn: word() };
        Arc::new(Process { site, levels: AtomicU32::new(levels), slot: word(), table: word() })
    }

    fn register(&self) -> Option<u32> {
        let enter = || {
            self.slot.store(1, Ordering::Release);
            Some(FIRST_SITE_ID)
        };
        let define = |_| {
            assert_eq!(self.slot.load(Ordering::Acquire), 1, "defined, and not in the registry");
            self.table.store(1, Ordering::Relaxed);
            true
        };
        self.site.register(enter, define)
    }

    fn refresh(&self) -> Option<u32> {
        let levels = || self.levels.load(Ordering::Acquire);
        self.site.refresh(levels, |levels| levels % 2 == 1, |seen| levels() == *seen)
    }

    /// What a log call does.
    fn is_enabled(&self) -> bool {
        let first_use = || {
            self.register();
            self.refresh()
        };
        self.site.pass(first_use).is_some()
    }

    fn change(&self, levels: u32) {
        let publish = || self.levels.store(levels, Ordering::Release);
        let walk = || {
            if self.slot.load(Ordering::Acquire) == 1 {
                self.refresh();
            }
        };
        change(publish, walk);
    }

    /// Whoever has an id finds what it stands for.
    fn look_up(&self, id: Option<u32>) {
        if id == Some(FIRST_SITE_ID) {
            assert_eq!(self.table.load(Ordering::Relaxed), 1, "an id that nobody knows");
        }
    }
}

/// The levels change from `before` on while threads use the site for the first time. With two of them
/// a thread is interrupted twice at most, unless `LOOM_MAX_PREEMPTIONS` says more.
fn a_first_use_meets_a_change(before: u32, threads: usize) {
    let mut model = loom::model::Builder::new();
    if threads > 1 {
        model.preemption_bound.get_or_insert(2);
    }
    model.check(move || {
        let process = Process::new(before);
        let using = (0..threads).map(|_| {
            let process = process.clone();
            thread::spawn(move || process.is_enabled())
        });
        let using: Vec<_> = using.collect();
        process.change(before + 1);
        for thread in using {
            thread.join().unwrap();
        }
        assert_eq!(process.is_enabled(), (before + 1) % 2 == 1);
    });
}

/// Two changes at once, of a site that is in use.
fn two_changes_meet() {
    loom::model(|| {
        let process = Process::new(1);
        process.is_enabled();
        let changing = process.clone();
        let changing = thread::spawn(move || changing.change(2));
        process.change(3);
        changing.join().unwrap();
        let levels = process.levels.load(Ordering::Acquire);
        assert_eq!(process.is_enabled(), levels % 2 == 1);
    });
}

/// A call finds the id that one thread gave the site and another one let pass.
fn a_call_meets_an_id() {
    loom::model(|| {
        let process = Process::new(0);
        let [registering, changing] = [process.clone(), process.clone()];
        let registering = thread::spawn(move || registering.register());
        let changing = thread::spawn(move || changing.change(1));
        process.look_up(process.site.pass(|| None));
        registering.join().unwrap();
        changing.join().unwrap();
    });
}

/// Two threads give one site its id.
fn two_threads_register() {
    loom::model(|| {
        let process = Process::new(0);
        let registering = process.clone();
        let registering = thread::spawn(move || registering.register());
        process.look_up(process.site.id());
        process.look_up(process.register());
        registering.join().unwrap();
    });
}

#[test]
fn a_site_first_used_while_it_is_switched_on_is_on() {
    a_first_use_meets_a_change(0, 1);
}

#[test]
fn a_site_first_used_while_it_is_switched_off_is_off() {
    a_first_use_meets_a_change(1, 1);
}

#[test]
fn a_site_that_two_threads_use_first_while_it_is_switched_on_is_on() {
    a_first_use_meets_a_change(0, 2);
}

#[test]
#[should_panic]
fn a_change_without_its_fence_is_caught() {
    with_seeded_bug("site.change.fence", || a_first_use_meets_a_change(0, 1));
}

#[test]
#[should_panic]
fn a_refresh_without_its_fence_is_caught() {
    with_seeded_bug("site.refresh.fence", || a_first_use_meets_a_change(0, 1));
}

#[test]
fn of_two_changes_at_once_the_later_one_counts() {
    two_changes_meet();
}

#[test]
#[should_panic]
fn two_changes_without_the_fence_of_a_refresh_are_caught() {
    with_seeded_bug("site.refresh.fence", two_changes_meet);
}

#[test]
fn a_call_knows_what_its_id_stands_for() {
    a_call_meets_an_id();
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_state_is_caught() {
    with_seeded_bug("site.pass", a_call_meets_an_id);
}

#[test]
#[should_panic]
fn a_relaxed_refresh_is_caught() {
    with_seeded_bug("site.refresh", a_call_meets_an_id);
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_id_by_a_refresh_is_caught() {
    with_seeded_bug("site.refresh.id", a_call_meets_an_id);
}

#[test]
#[should_panic]
fn a_relaxed_registration_is_caught() {
    with_seeded_bug("site.register", two_threads_register);
}

#[test]
fn two_threads_that_register_a_site_agree() {
    two_threads_register();
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_id_is_caught() {
    with_seeded_bug("site.id", two_threads_register);
}

#[test]
#[should_panic]
fn a_relaxed_entry_is_caught() {
    with_seeded_bug("site.enter", two_threads_register);
}

#[test]
#[should_panic]
fn a_relaxed_look_at_the_entry_is_caught() {
    with_seeded_bug("site.entered", two_threads_register);
}
