//! What one may choose of an engine: what a full ring does to a call, how the writer waits, when an
//! event gets its time, what it survives.

use std::time::Duration;

use crate::level::Level;

/// What a log call does when its thread's ring is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// It waits for room. Nothing is lost.
    #[default]
    Block,
    /// It waits for this long, then drops its event.
    BlockFor(Duration),
    /// It drops its event.
    Drop,
    /// It drops its event if that is below the level, else it waits.
    DropBelow(Level),
}

/// How the writer thread waits for events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It looks again at once for a while, then after sleeps that grow from 50 µs to 10 ms.
    #[default]
    Adaptive,
    /// It never sleeps. Costs a core.
    Spin,
    /// It sleeps this long between two looks.
    Sleep(Duration),
    /// There is no writer thread: the host calls [`Guard::poll`](super::Guard::poll). The thread
    /// that polls makes the room: where it logs itself, choose an [`OverflowPolicy`] that does not
    /// wait for ever.
    Manual,
}

/// What an event survives once it got there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Durability {
    /// Queued: in a ring on the heap. Survives nothing.
    L0,
    /// Committed: in a mapping or file that outlives the process. Survives a kill.
    L1,
    /// Synced: covered by a successful fdatasync. Survives a power failure.
    L2,
}

/// When an event gets its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timestamp {
    /// In the log call, by the processor's counter.
    #[default]
    Call,
    /// When the writer takes it out of the thread's ring: later than the call by the linger time at
    /// most while the writer keeps up, by as much as it is behind otherwise. All events that it takes
    /// at once have one time; each thread's are in the order of its calls. A log call does not read
    /// the clock then, which is most of its cost.
    Drain,
}
