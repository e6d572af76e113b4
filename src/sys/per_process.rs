//! Values of which a forked child has its own.
//!
//! A lock that another thread of the parent held at the fork stays locked in the child for ever. What
//! the child needs all the same it finds here anew.
//!
//! Invariants:
//! 1. What `newest` points to, and what that points to, was leaked: it lives as long as the program.
//! 2. A value that is published is never taken back.

#![allow(unsafe_code, reason = "a list that needs no lock")]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A value for each process: its own, made at the first use.
pub(crate) struct PerProcess<T: 'static> {
    make: fn() -> T,
    newest: AtomicPtr<Own<T>>,
}

struct Own<T: 'static> {
    pid: u32,
    value: T,
    /// That of the parent, and so on.
    older: Option<&'static Own<T>>,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// A value that `make` makes where there is none yet.
    pub(crate) const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess { make, newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// That of this process. Lock-free.
    pub(crate) fn get(&self) -> &'static T {
        let pid = std::process::id();
        loop {
            // Acquire: pairs with the Release below; what is published is whole.
            let newest = self.newest.load(Ordering::Acquire);
            // SAFETY: it is null or was leaked (invariants 1, 2).
            let older: Option<&'static Own<T>> = unsafe { newest.as_ref() };
            let mut own = older;
            while let Some(found) = own {
                if found.pid == pid {
                    return &found.value;
                }
                own = found.older;
            }
            let fresh = Box::into_raw(Box::new(Own { pid, value: (self.make)(), older }));
            let (ok, failed) = (Ordering::Release, Ordering::Relaxed);
            if self.newest.compare_exchange(newest, fresh, ok, failed).is_err() {
                // SAFETY: it was made by `into_raw` above and not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn all_threads_of_a_process_have_the_same_value() {
        static VALUE: PerProcess<Mutex<u32>> = PerProcess::new(|| Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| *VALUE.get().lock().unwrap() += 1);
            }
        });
        assert_eq!(*VALUE.get().lock().unwrap(), 4);
    }
}
