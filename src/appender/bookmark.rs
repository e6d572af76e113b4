//! Where an appender is whose destination cannot be asked what it has, and the appender around such
//! a destination.
//!
//! The position is stored after each batch. What was delivered after the last stored one comes again
//! when the process was killed in between: at least once. After a power failure the last synced one
//! counts.

use std::io;
use std::time::Instant;

use super::{AppendError, Appender, Batch, OpenError, Opened, Place};
use crate::journal::{CursorFile, Position, TextFileMark};

/// The settled position, stored where the journal has a directory.
pub(super) struct Bookmark {
    cursor: Option<CursorFile>,
    settled: Position,
    /// Where a start after a power failure goes on.
    synced: Position,
}

/// A destination that has taken a batch, or has not, when the call returns.
pub(super) trait Take: Send {
    /// Takes the batch, and settles as much of it as shall not come again after an error. All of it
    /// is settled behind that.
    ///
    /// # Errors
    /// Those of [`Appender::append`].
    fn take(&mut self, batch: &Batch<'_>, bookmark: &mut Bookmark) -> Result<(), AppendError>;

    /// Brings what was taken out of buffers of the destination's own; by default there are none.
    ///
    /// # Errors
    /// Those of [`Appender::flush`].
    fn flush(&mut self) -> Result<(), AppendError> {
        Ok(())
    }
}

/// The appender around such a destination.
struct Marked<T> {
    destination: T,
    bookmark: Bookmark,
}

/// Opens the appender around `destination` where its bookmark is.
///
/// # Errors
/// Those of [`Bookmark::open`].
pub(super) fn marked(
    destination: impl Take + 'static,
    place: &Place<'_>,
) -> Result<Opened, OpenError> {
    Ok(Opened::Events(Box::new(Marked { destination, bookmark: Bookmark::open(place)? })))
}

impl<T: Take> Appender for Marked<T> {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.destination.take(batch, &mut self.bookmark)?;
        self.bookmark.settle(batch.next())
    }

    fn settled(&self) -> Position {
        self.bookmark.settled()
    }

    fn keeps_from(&self) -> Position {
        self.bookmark.keeps_from()
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        self.destination.flush()
    }

    fn sync(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        self.destination.flush()?;
        self.bookmark.sync()
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.bookmark.settle(position)
    }
}

impl Bookmark {
    /// Finds the stored position, or begins where `place` says, and stores that.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be stored.
    pub(super) fn open(place: &Place<'_>) -> Result<Bookmark, OpenError> {
        let cursor = place.cursor()?;
        let stored = cursor.as_ref().and_then(CursorFile::resume);
        let settled = stored.map_or(place.begin, |slot| slot.position);
        let synced = cursor.as_ref().and_then(CursorFile::synced).map(|slot| slot.position);
        let mut bookmark = Bookmark { cursor, settled, synced: synced.unwrap_or_default() };
        let stored = bookmark.store(settled).and_then(|()| match synced {
            Some(_) => Ok(()),
            None => bookmark.sync_cursor(),
        });
        match stored {
            Ok(()) => Ok(bookmark),
            Err(source) => Err(OpenError {
                name: place.name.to_owned(),
                path: None,
                what: "its cursor cannot be stored; make the journal directory writable",
                source: Some(source),
            }),
        }
    }

    pub(super) fn settled(&self) -> Position {
        self.settled
    }

    /// Everything before `position` has arrived.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when that cannot be stored; the position stays the old one.
    pub(super) fn settle(&mut self, position: Position) -> Result<(), AppendError> {
        self.store(position).map_err(|source| AppendError::Unavailable { source })
    }

    /// Everything before `position` has arrived, which the next [`Bookmark::settle`] stores.
    pub(super) fn advance(&mut self, position: Position) {
        self.settled = position;
    }

    /// The position from which on a start after a power failure needs the journal.
    pub(super) fn keeps_from(&self) -> Position {
        if self.cursor.is_some() { self.synced.min(self.settled) } else { self.settled }
    }

    /// Stores the settled position for a start after a power failure, too. To be called when the
    /// destination has done what it can.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when that cannot be stored.
    pub(super) fn sync(&mut self) -> Result<(), AppendError> {
        self.sync_cursor().map_err(|source| AppendError::Unavailable { source })
    }

    fn sync_cursor(&mut self) -> io::Result<()> {
        if let Some(cursor) = &self.cursor {
            cursor.store_synced(self.settled, TextFileMark::default())?;
            cursor.sync()?;
        }
        self.synced = self.settled;
        Ok(())
    }

    fn store(&mut self, position: Position) -> io::Result<()> {
        if let Some(cursor) = &self.cursor {
            cursor.store_written(position, TextFileMark::default())?;
        }
        self.settled = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appender::OwnedPlace;

    #[test]
    fn the_journal_keeps_what_a_start_after_a_power_failure_needs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |offset| Position { generation: 1, offset, index: 0 };
        let open = |journal_dir| {
            Bookmark::open(&OwnedPlace::in_test(journal_dir).of("writer", at(64))).unwrap()
        };
        let mut bookmark = open(Some(dir.path()));
        bookmark.settle(at(128)).unwrap();
        assert_eq!((bookmark.settled(), bookmark.keeps_from()), (at(128), at(64)));
        bookmark.sync().unwrap();
        assert_eq!(bookmark.keeps_from(), at(128));
        bookmark.settle(at(192)).unwrap();
        drop(bookmark);
        let again = open(Some(dir.path()));
        assert_eq!((again.settled(), again.keeps_from()), (at(192), at(128)));
        // Of a journal in memory nothing is left after a power failure.
        let mut in_memory = open(None);
        in_memory.settle(at(128)).unwrap();
        assert_eq!(in_memory.keeps_from(), at(128));
    }
}
