//! Crash points: the places between two steps of a protocol where a fault bench ends the process.
//!
//! Without the feature `crash-points` nothing of it is compiled. With it, the variable
//! `ROLLWAY_CRASH_AT` names a point, as `journal.commit` or `journal.commit:3`, and the process kills
//! itself, as by `kill -9`, when it comes there for the first or the third time.
//! `ROLLWAY_CRASH_SWAP` names a point whose two neighbouring steps change places, to see a bench fail.

/// Declares the points with their names.
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place between two steps.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[cfg_attr(
            not(feature = "master"),
            allow(dead_code, reason = "without a master its points are not reached")
        )]
        pub(crate) enum CrashPoint {
            $($(#[$doc])* $point,)*
        }

        /// The names of all points.
        #[cfg(feature = "crash-points")]
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

points! {
    /// The archive of a block is written, its header is not.
    JournalBody = "journal.body",
    /// The block is committed, the journal's end does not say so yet.
    JournalCommit = "journal.commit",
    /// The journal has the block, the rings' heads have not moved.
    WriterHead = "writer.head",
    /// The cursor names the master that takes over, nothing was sent to it.
    ForwarderTakeOver = "forwarder.take_over",
    /// A frame is sent, nothing was heard of it.
    ForwarderSent = "forwarder.sent",
    /// An acknowledgement has come, its blocks still count as in flight.
    ForwarderAck = "forwarder.ack",
    /// The outlet has settled, the cursor does not say so yet.
    ForwarderSettled = "forwarder.settled",
    /// The cursor says so.
    ForwarderStored = "forwarder.stored",
    /// The master's journal has a block, the worker is not to hear of it yet.
    MasterStored = "master.stored",
    /// A mark may be acknowledged, nothing of it is on its way.
    MasterOwed = "master.owed",
    /// An acknowledgement lies in the outbox of its connection.
    MasterAcknowledged = "master.acknowledged",
    /// The kernel has an acknowledgement.
    MasterAckSent = "master.ack_sent",
}

/// Ends the process here if the environment says so.
#[inline(always)]
pub(crate) fn reached(point: CrashPoint) {
    #[cfg(feature = "crash-points")]
    armed::reached(NAMES[point as usize]);
    #[cfg(not(feature = "crash-points"))]
    let _ = point;
}

/// Whether the steps before and behind this point shall change places.
#[inline(always)]
pub(crate) fn is_swapped(point: CrashPoint) -> bool {
    #[cfg(feature = "crash-points")]
    return armed::is_swapped(NAMES[point as usize]);
    #[cfg(not(feature = "crash-points"))]
    {
        let _ = point;
        false
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The point of this process and how often it may still be passed.
    static ARMED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("ROLLWAY_CRASH_AT").ok()?;
        let (name, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    static SWAPPED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("ROLLWAY_CRASH_SWAP").ok());

    pub(super) fn reached(name: &str) {
        if let Some((wanted, left)) = &*ARMED
            && wanted == name
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // It does not return from a kill of itself; should it be forbidden, abort does as well.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    pub(super) fn is_swapped(name: &str) -> bool {
        SWAPPED.as_deref() == Some(name)
    }
}
