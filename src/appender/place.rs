//! Where an appender is opened.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::OpenError;
use crate::journal::{CursorFile, Position, segment_paths};
use crate::layout::{Drafts, Layout, SharedLines};
#[cfg(test)]
use crate::sys::output::IoMethod;
use crate::sys::output::Outputs;

/// Where an appender finds its past.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The identity of the journal.
    pub source: u128,
    /// The run that writes it now.
    pub epoch: u64,
    /// The name of the service.
    pub service: &'a str,
    /// The name of the appender in its configuration.
    pub name: &'a str,
    /// The directory of the journal; `None` for one in memory, which has no past.
    pub journal_dir: Option<&'a Path>,
    /// Where an appender begins that has no stored position.
    pub begin: Position,
    /// The term of the election that this process has won; 0 where nobody is elected.
    pub term: u64,
    /// How it may write.
    pub(crate) outputs: &'a Outputs,
    /// Lines that the appenders of the journal share, and what this one adds to them. `None` for one
    /// whose events no other has.
    pub(crate) shared: Option<(&'a SharedLines, &'a Drafts)>,
}

/// What is left of a [`Place`] when its call has ended: for an appender that opens others later.
#[derive(Clone, Debug)]
pub(crate) struct OwnedPlace {
    pub(crate) source: u128,
    pub(crate) epoch: u64,
    pub(crate) service: String,
    pub(crate) journal_dir: Option<PathBuf>,
    pub(crate) term: u64,
    pub(crate) outputs: Outputs,
}

impl Place<'_> {
    /// The layout for an appender that opens here: an event that several appenders write with one
    /// layout is rendered once.
    pub(crate) fn layout(&self, layout: &dyn Layout) -> Box<dyn Layout> {
        match self.shared {
            Some((lines, drafts)) => lines.of(layout, drafts),
            None => layout.clone_layout(),
        }
    }

    /// The stored cursor of the appender, for a journal in a directory.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be opened.
    pub fn cursor(&self) -> Result<Option<CursorFile>, OpenError> {
        let Some(dir) = self.journal_dir else { return Ok(None) };
        match CursorFile::open(dir, self.name) {
            Ok(cursor) => Ok(Some(cursor)),
            Err(source) => Err(OpenError {
                name: self.name.to_owned(),
                path: Some(dir.join("cursors")),
                what: "its cursor cannot be opened; make the journal directory writable",
                source: Some(source),
            }),
        }
    }

    /// The segments that a journal in a directory has, from the oldest to the newest, which was
    /// begun at this start.
    pub(crate) fn segments(&self) -> io::Result<Option<RangeInclusive<u64>>> {
        let Some(dir) = self.journal_dir else { return Ok(None) };
        let paths = segment_paths(dir)?;
        let ends = paths.first().zip(paths.last());
        Ok(ends.map(|((oldest, _), (newest, _))| *oldest..=*newest))
    }
}

impl OwnedPlace {
    /// The place of an appender that shares its lines with no other.
    pub(crate) fn of<'a>(&'a self, name: &'a str, begin: Position) -> Place<'a> {
        Place {
            source: self.source,
            epoch: self.epoch,
            service: &self.service,
            name,
            journal_dir: self.journal_dir.as_deref(),
            begin,
            term: self.term,
            outputs: &self.outputs,
            shared: None,
        }
    }

    /// That of a test, where nothing is elected and everything is written by system calls.
    #[cfg(test)]
    pub(crate) fn in_test(journal_dir: Option<&Path>) -> OwnedPlace {
        OwnedPlace {
            source: 7,
            epoch: 1,
            service: String::new(),
            journal_dir: journal_dir.map(Path::to_owned),
            term: 0,
            outputs: Outputs::new(IoMethod::Write, |_| {}),
        }
    }
}

impl From<&Place<'_>> for OwnedPlace {
    fn from(place: &Place<'_>) -> OwnedPlace {
        OwnedPlace {
            source: place.source,
            epoch: place.epoch,
            service: place.service.to_owned(),
            journal_dir: place.journal_dir.map(Path::to_owned),
            term: place.term,
            outputs: place.outputs.clone(),
        }
    }
}
