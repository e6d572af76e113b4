//! One time for all events of a scope.

use std::marker::PhantomData;

use crate::clock;
use crate::ring::local;

/// While it lives, the thread's events have the time of [`batch`]. Made by it.
#[must_use = "dropping the guard ends the batch"]
#[derive(Debug)]
pub struct Batch {
    /// What the thread's records got before, and get in the batch.
    before: u64,
    ticks: u64,
    /// It belongs to the thread that made it.
    thread: PhantomData<*const ()>,
}

/// Begins a batch: until the guard is dropped, the events that this thread logs to the process's
/// logger have the time of this call. Reading the clock is most of what a log call costs; in a batch
/// it is read once.
///
/// The events stand in the log in the order of their calls. Inside another batch, and where the
/// logger [stamps at the drain](crate::Timestamp::Drain), nothing changes. Never blocks; allocates
/// nothing once the thread has its [ring](crate::prepare_thread).
///
/// # Examples
/// ```
/// let quotes = [("EURUSD", 1.0871), ("USDJPY", 151.22)];
/// let _batch = rollway::batch();
/// for (symbol, price) in quotes {
///     rollway::debug!("{symbol} at {price}");
/// }
/// ```
#[inline]
pub fn batch() -> Batch {
    begin().unwrap_or_else(|| {
        super::prepare_thread();
        // Without a ring every event is the business of the overflow ring, which has its own times.
        begin().unwrap_or(Batch { before: 0, ticks: 0, thread: PhantomData })
    })
}

/// `None` without a ring.
#[inline]
fn begin() -> Option<Batch> {
    local::with(|producer| {
        let before = producer.stamp();
        let ticks = if clock::is_fixed(before) { before } else { clock::ticks() };
        let begun = producer.set_stamp(ticks);
        begun.then_some(Batch { before, ticks, thread: PhantomData })
    })
}

impl Drop for Batch {
    #[inline]
    fn drop(&mut self) {
        local::with(|producer| {
            // Another ring, of a logger that came since, has its own way.
            if producer.stamp() == self.ticks {
                producer.set_stamp(self.before);
            }
        });
    }
}
