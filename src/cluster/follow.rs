//! The outlet of a member: its own journal keeps what the elected process has not delivered.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::appender::{BlockAppender, OutletSide};
use crate::engine::events_behind;
use crate::journal::{
    Cursor, CursorFile, CursorSlot, Journal, Position, ReadError, Reader, TextFileMark,
    segment_paths,
};

/// The name of the cursor that the elected process stores.
pub(super) const CURSOR: &str = "the cluster";
/// The first pause between two looks at the cursor while something is not delivered, doubled up to
/// the longest.
const LOOK_MIN: Duration = Duration::from_millis(2);
const LOOK_MAX: Duration = Duration::from_millis(250);
/// How long a member with nothing to deliver sleeps, if nobody wakes it.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a member that ends waits for somebody who delivers anything at all.
const GIVE_UP: Duration = Duration::from_secs(2);
/// After this time without a delivery the member says so.
const HUNG: Duration = Duration::from_secs(10);

/// Waits for the elected process.
pub(super) struct Follow {
    cursor: CursorFile,
    settled: Position,
    /// Keeps what the cluster's journal could lose in a power failure.
    kept: Cursor,
}

impl Follow {
    /// Begins at the stored position, or at the oldest block: where nothing is stored, nobody knows
    /// what was delivered.
    ///
    /// # Errors
    /// When the cursor cannot be opened.
    pub(super) fn open(journal_dir: &Path, journal: &Journal) -> std::io::Result<Follow> {
        let cursor = open_cursor(journal_dir)?;
        let settled = cursor.resume().map(|slot| slot.position).unwrap_or_default();
        let kept = journal.register(CURSOR, true, synced(&cursor));
        Ok(Follow { cursor, settled, kept })
    }

    /// Takes over what was stored meanwhile. `false` if that is nothing new.
    fn look(&mut self, reader: &mut Reader, outlet: &mut dyn OutletSide) -> bool {
        if let Err(error) = self.cursor.refresh() {
            outlet.failed(&format!("its cursor cannot be read: {error}"));
            return false;
        }
        self.kept.settle(synced(&self.cursor).max(self.kept.settled()));
        let stored = self.cursor.resume().map(|slot| slot.position);
        let Some(position) = stored.filter(|position| *position > self.settled) else {
            return false;
        };
        let events = events_before(reader, position);
        self.settled = position;
        outlet.settle(position, events);
        true
    }
}

impl BlockAppender for Follow {
    fn settled(&self) -> Position {
        self.settled
    }

    fn run(&mut self, outlet: &mut dyn OutletSide) {
        outlet.set_syncs(false);
        let journal = outlet.journal().clone();
        let mut reader = journal.reader(self.settled);
        let (mut pause, mut progressed, mut told) = (LOOK_MIN, Instant::now(), Instant::now());
        let mut stopping_since = None;
        loop {
            if self.look(&mut reader, outlet) {
                (pause, progressed, told) = (LOOK_MIN, Instant::now(), Instant::now());
            }
            let is_delivered = self.settled >= journal.end();
            if outlet.is_stopping() {
                if stopping_since.is_none() && events_behind(&journal, self.settled).events == 0 {
                    return;
                }
                let since = *stopping_since.get_or_insert_with(Instant::now);
                let is_late = outlet.deadline().is_some_and(|at| Instant::now() >= at);
                let is_alone = progressed.max(since).elapsed() >= GIVE_UP;
                if is_delivered || is_late || is_alone {
                    return;
                }
            }
            if is_delivered {
                self.idle(&journal, outlet);
                (pause, progressed, told) = (LOOK_MIN, Instant::now(), Instant::now());
                continue;
            }
            if told.elapsed() >= HUNG && events_behind(&journal, self.settled).events > 0 {
                told = Instant::now();
                let seconds = progressed.elapsed().as_secs();
                outlet.failed(&format!(
                    "no process has delivered anything for {seconds} s: none is elected, or it hangs"
                ));
            }
            outlet.pause(pause);
            pause = (pause * 2).min(LOOK_MAX);
        }
    }
}

impl Follow {
    /// Waits for something to deliver, or for the end.
    fn idle(&self, journal: &Journal, outlet: &dyn OutletSide) {
        journal.wait_until(IDLE, |end, _| end > self.settled || outlet.is_stopping());
    }
}

/// Up to where the cluster's journal survives a power failure.
fn synced(cursor: &CursorFile) -> Position {
    cursor.synced().map(|slot| slot.position).unwrap_or_default()
}

/// Opens the cursor that the elected process stores for a member. Where it stands in a segment that is
/// yet to come it is that of a journal that was removed, and is set back.
///
/// # Errors
/// When it cannot be opened or stored, or the segments cannot be listed.
pub(super) fn open_cursor(journal_dir: &Path) -> std::io::Result<CursorFile> {
    let mut cursor = CursorFile::open(journal_dir, CURSOR)?;
    let newest = segment_paths(journal_dir)?.last().map_or(0, |(generation, _)| *generation);
    let is_beyond = |slot: CursorSlot| slot.position.generation > newest;
    if cursor.resume().is_some_and(is_beyond) || cursor.synced().is_some_and(is_beyond) {
        let (start, file) = (Position::default(), TextFileMark::default());
        cursor.store_written(start, file)?;
        cursor.store_synced(start, file)?;
        cursor.refresh()?;
    }
    Ok(cursor)
}

/// Events between the reader's place and `position`.
fn events_before(reader: &mut Reader, position: Position) -> u64 {
    let mut events = 0;
    while reader.position() < position {
        match reader.next() {
            Ok(Some(block)) => events += block.events.count(),
            Err(ReadError::Damaged { .. }) => {}
            Ok(None) | Err(ReadError::Io { .. }) => break,
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{JournalOptions, Scan};

    impl Follow {
        /// Where the member's journal has to keep everything from.
        pub(in super::super) fn kept(&self) -> Position {
            self.kept.settled()
        }
    }

    #[test]
    fn a_cursor_of_a_journal_that_was_removed_says_nothing_of_the_one_that_began_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = |generation| {
            let cursor = CursorFile::open(dir.path(), CURSOR).unwrap();
            let position = Position { generation, offset: 64, index: 0 };
            cursor.store_written(position, TextFileMark::default()).unwrap();
            position
        };
        let options = JournalOptions::directory(dir.path());
        let journal = Journal::in_directory(options, Scan::default()).unwrap();
        let settled = || Follow::open(dir.path(), &journal.0).unwrap().settled();
        store(2);
        assert_eq!(settled(), Position::default());
        // Not even when the new journal has come so far.
        let again = Scan::of_directory(dir.path()).unwrap();
        let later = Journal::in_directory(JournalOptions::directory(dir.path()), again).unwrap();
        assert_eq!(later.0.end().generation, 2);
        assert_eq!(settled(), Position::default());
        let stored = store(2);
        assert_eq!(settled(), stored);
    }
}
