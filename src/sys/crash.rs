//! Crash points: the places between two steps of a protocol where a fault bench ends the process.
//!
//! Without the feature `crash-points` nothing of it is compiled. With it, the variable
//! `ROLLWAY_CRASH_AT` names a point, as `journal.commit` or `journal.commit:3`, and the process kills
//! itself, as by `kill -9`, when it comes there for the first or the third time.
//! `ROLLWAY_CRASH_SWAP` names a point whose two neighbouring steps change places, to see a bench fail.
//! `ROLLWAY_CRASH_TRACE` names a file that gets a line for each point that is passed.

/// Declares the points with their names.
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place between two steps.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    use std::fs::File;
    use std::io::Write;
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
    static TRACE: LazyLock<Option<File>> = LazyLock::new(|| {
        let path = std::env::var_os("ROLLWAY_CRASH_TRACE")?;
        File::options().append(true).create(true).open(path).ok()
    });

    pub(super) fn reached(name: &str) {
        if let Some(mut trace) = TRACE.as_ref() {
            // A bench that misses the line says that the point is never reached.
            let _ = trace.write_all(format!("{name}\n").as_bytes());
        }
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
