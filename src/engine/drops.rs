//! Why events were dropped, and how many.

use std::fmt;
use std::io;
use std::path::Path;

use crate::sync::Ordering;
use crate::sys::words::SharedWords;

/// A reason to drop an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The thread's ring was full and the overflow policy said so, or a bounded wait was over.
    RingFull,
    /// The overflow ring was full.
    OverflowFull,
    /// The logger was shut down, or there was none any more.
    ShutDown,
    /// The call ran in a forked child that has no logger of its own.
    Forked,
    /// Its fixed-size values alone exceed the limit of a record.
    TooLong,
    /// Not a drop: a string of the event was cut.
    Cut,
}

impl Reason {
    const ALL: [Reason; 6] = [
        Reason::RingFull,
        Reason::OverflowFull,
        Reason::ShutDown,
        Reason::Forked,
        Reason::TooLong,
        Reason::Cut,
    ];

    fn name(self) -> &'static str {
        match self {
            Reason::RingFull => "ring full",
            Reason::OverflowFull => "overflow ring full",
            Reason::ShutDown => "after shutdown",
            Reason::Forked => "in a forked child",
            Reason::TooLong => "too long",
            Reason::Cut => "cut",
        }
    }
}

/// Counters that outlive the process where its rings do: what was dropped, and how much of it the
/// log has been told.
#[derive(Debug)]
pub(crate) struct DropCounters {
    words: SharedWords,
}

impl DropCounters {
    /// New counters, in a file at `path` or in memory.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<DropCounters> {
        Ok(DropCounters { words: SharedWords::create(path, 2 * Reason::ALL.len())? })
    }

    /// The counters outlive that somebody cuts their file: see [`SharedWords::guard`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn guard(&mut self) -> io::Result<()> {
        self.words.guard()
    }

    /// Whether the counters were lost, and began again at 0.
    pub(crate) fn is_lost(&self) -> bool {
        self.words.is_lost()
    }

    /// Adds what was counted before the counters were lost.
    pub(crate) fn restore(&self, before: &Dropped) {
        for (reason, count) in Reason::ALL.into_iter().zip(before.counts) {
            self.words.word(reason as usize).fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts one event. Wait-free.
    pub(crate) fn count(&self, reason: Reason) {
        // Relaxed: a number that nothing else depends on.
        self.words.word(reason as usize).fetch_add(1, Ordering::Relaxed);
    }

    /// The log has been told of these.
    pub(crate) fn set_reported(&self, reported: &Dropped) {
        for (reason, count) in Reason::ALL.into_iter().zip(reported.counts) {
            let word = self.words.word(Reason::ALL.len() + reason as usize);
            word.store(count, Ordering::Relaxed);
        }
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Dropped {
        let count = |reason: Reason| self.words.word(reason as usize).load(Ordering::Relaxed);
        Dropped { counts: Reason::ALL.map(count) }
    }
}

/// How many events were dropped, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    counts: [u64; 6],
}

impl Dropped {
    /// What a dead process counted in these words and did not tell any more.
    pub(crate) fn unreported(words: &[u64]) -> Dropped {
        let (counts, reported) = words.split_at(words.len().min(Reason::ALL.len()));
        let mut dropped = Dropped::default();
        for (left, (count, told)) in dropped.counts.iter_mut().zip(counts.iter().zip(reported)) {
            *left = count.saturating_sub(*told);
        }
        dropped
    }

    /// All that a dead process counted in these words.
    #[cfg(feature = "cli")]
    pub(crate) fn counted(words: &[u64]) -> Dropped {
        let mut dropped = Dropped::default();
        for (count, word) in dropped.counts.iter_mut().zip(words.iter().take(words.len() / 2)) {
            *count = *word;
        }
        dropped
    }

    /// All dropped events. Cut ones are not among them.
    pub fn total(&self) -> u64 {
        self.reasons().map(|(_, count)| count).sum()
    }

    /// Events with a string that was cut to the limit of a record.
    pub fn cut(&self) -> u64 {
        self.counts[Reason::Cut as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = Reason::ALL.into_iter().zip(self.counts);
        counted
            .filter(|(reason, count)| *reason != Reason::Cut && *count > 0)
            .map(|(reason, count)| (reason.name(), count))
    }

    /// What was dropped since `earlier`.
    pub(crate) fn since(&self, earlier: &Dropped) -> Dropped {
        let mut counts = self.counts;
        for (count, earlier) in counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(earlier);
        }
        Dropped { counts }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.reasons().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_were_seen_survive_a_cut_of_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drops");
        let mut counters = DropCounters::create(Some(&path)).unwrap();
        counters.guard().unwrap();
        counters.count(Reason::RingFull);
        counters.count(Reason::Cut);
        let seen = counters.counts();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        counters.count(Reason::RingFull);
        assert!(counters.is_lost());
        assert_eq!((counters.counts().total(), counters.counts().cut()), (1, 0));
        counters.restore(&seen);
        assert_eq!((counters.counts().total(), counters.counts().cut()), (2, 1));
    }
}
