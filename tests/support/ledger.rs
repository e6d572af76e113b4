//! What a program knows to have logged, kept where a kill does not reach it.
#![allow(unsafe_code, reason = "a mapping that two processes share")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

/// One counter for each thread: how many of its log calls have returned.
pub struct Ledger {
    map: MmapRaw,
}

/// Threads of one ledger.
const SLOTS: usize = 16;

impl Ledger {
    /// Opens the ledger at `path`, or makes it with zeroes.
    pub fn open(path: &Path) -> Ledger {
        let mut options = std::fs::File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len((SLOTS * 8) as u64).unwrap();
        Ledger { map: MmapRaw::map_raw(&file).unwrap() }
    }

    /// The counter of a thread.
    pub fn slot(&self, thread: usize) -> &AtomicU64 {
        assert!(thread < SLOTS);
        let slots = self.map.as_mut_ptr().cast::<u64>();
        // SAFETY: `thread < SLOTS`, and the mapping has that many words.
        let slot = unsafe { slots.add(thread) };
        // SAFETY: a page begins aligned, the mapping lives as long as `self`, and everybody uses
        // its words as atomics.
        unsafe { AtomicU64::from_ptr(slot) }
    }

    /// What the counters say.
    pub fn counts(&self, threads: usize) -> Vec<u64> {
        (0..threads).map(|thread| self.slot(thread).load(Ordering::Acquire)).collect()
    }
}
