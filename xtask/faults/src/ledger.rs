//! What the programs under test know to have logged, kept where a kill does not reach it.
//!
//! A file of words on a memory file system: word 0 counts the runs, then each run has a word for
//! each of its threads and one for what its first thread knows to be synced. A word is written
//! after each log call that returned, by one pwrite(2) of eight aligned bytes: a kill leaves the
//! old value or the new one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Threads of one program.
pub(crate) const THREADS_MAX: usize = 64;

const WORD_BYTES: u64 = 8;

/// How many log calls of each thread of each run of a program have returned.
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Opens the ledger at `path`, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<Ledger> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Ledger { file })
    }

    /// Begins the next run and returns its number, from 0. One process at a time has a ledger.
    pub(crate) fn begin_run(&self) -> io::Result<usize> {
        let run = self.runs()?;
        self.set_word(0, run as u64 + 1)?;
        Ok(run)
    }

    /// How many runs were begun.
    pub(crate) fn runs(&self) -> io::Result<usize> {
        Ok(self.word(0)? as usize)
    }

    /// How many calls of a thread have returned in one run.
    pub(crate) fn returned(&self, run: usize, thread: usize) -> io::Result<u64> {
        self.word(place(run, thread))
    }

    /// Stores how many calls of a thread have returned.
    pub(crate) fn set_returned(&self, run: usize, thread: usize, calls: u64) -> io::Result<()> {
        self.set_word(place(run, thread), calls)
    }

    /// How many events of the first thread are known to survive a power failure.
    pub(crate) fn synced(&self, run: usize) -> io::Result<u64> {
        self.word(place(run, 0) + THREADS_MAX as u64)
    }

    /// Stores how many of them do.
    pub(crate) fn set_synced(&self, run: usize, events: u64) -> io::Result<()> {
        self.set_word(place(run, 0) + THREADS_MAX as u64, events)
    }

    /// How many calls of a thread have returned in all runs.
    pub(crate) fn of_thread(&self, thread: usize) -> io::Result<u64> {
        (0..self.runs()?).map(|run| self.returned(run, thread)).sum()
    }

    /// How many calls have returned.
    pub(crate) fn total(&self) -> io::Result<u64> {
        (0..THREADS_MAX).map(|thread| self.of_thread(thread)).sum()
    }

    /// Writes bytes as a recorded program did.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// A word that was never written is 0.
    fn word(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; WORD_BYTES as usize];
        match self.file.read_exact_at(&mut bytes, at * WORD_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map(|()| u64::from_le_bytes(bytes)),
        }
    }

    fn set_word(&self, at: u64, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_le_bytes(), at * WORD_BYTES)
    }
}

fn place(run: usize, thread: usize) -> u64 {
    assert!(thread < THREADS_MAX, "thread {thread} of at most {THREADS_MAX}");
    1 + (run * (THREADS_MAX + 1) + thread) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_threads_have_counters_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!((ledger.runs().unwrap(), ledger.total().unwrap()), (0, 0));
        assert_eq!(ledger.begin_run().unwrap(), 0);
        ledger.set_returned(0, 3, 7).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.begin_run().unwrap(), 1);
        ledger.set_returned(1, 3, 2).unwrap();
        ledger.set_returned(1, 0, 1).unwrap();
        ledger.set_synced(0, 5).unwrap();
        assert_eq!((ledger.synced(0).unwrap(), ledger.synced(1).unwrap()), (5, 0));
        assert_eq!(ledger.returned(0, 3).unwrap(), 7);
        assert_eq!(ledger.of_thread(3).unwrap(), 9);
        assert_eq!(ledger.total().unwrap(), 10);
    }
}
