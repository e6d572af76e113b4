//! One relay of a fail-over, open or not.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use crate::journal::Position;
use crate::layout::{Drafts, SharedLines};
use crate::sys::output::Outputs;

/// How a relay is opened, for whoever has to do it later.
#[derive(Clone)]
pub(super) struct How(Arc<Mutex<Box<dyn Open>>>);

/// A relay. One that could not be opened is opened when it is to take something.
pub(super) struct Relay {
    pub(super) name: String,
    pub(super) appender: Box<dyn Appender>,
    /// How it is opened; `None` once it is.
    unopened: Option<Unopened>,
}

/// What a relay is opened with.
struct Unopened {
    how: How,
    source: u128,
    epoch: u64,
    service: String,
    full_name: String,
    journal_dir: Option<PathBuf>,
    term: u64,
    outputs: Outputs,
}

/// Stands where a relay is not open: it takes nothing.
struct Away(Position);

impl How {
    pub(super) fn new(open: Box<dyn Open>) -> How {
        How(Arc::new(Mutex::new(open)))
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Box<dyn Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, place: &Place<'_>) -> Result<Box<dyn Appender>, OpenError> {
        match self.get().open(place)? {
            Opened::Events(appender) => Ok(appender),
            Opened::Blocks(_) => Err(OpenError {
                name: place.name.to_owned(),
                path: None,
                what: "it ships whole blocks and cannot stand in for others; give it all its \
                       destinations instead",
                source: None,
            }),
        }
    }
}

impl Relay {
    /// Opens a relay at `place`, whose name is the full one, or says why that was not possible now.
    ///
    /// # Errors
    /// [`OpenError`] when it never will be: the description is wrong.
    pub(super) fn open(
        name: &str,
        how: &How,
        place: &Place<'_>,
    ) -> Result<(Relay, Option<OpenError>), OpenError> {
        let (appender, failure) = match how.open(place) {
            Ok(appender) => (appender, None),
            Err(error) if error.source.is_none() => return Err(error),
            Err(error) => (Box::new(Away(place.begin)) as Box<dyn Appender>, Some(error)),
        };
        let unopened = failure.is_some().then(|| Unopened {
            how: how.clone(),
            source: place.source,
            epoch: place.epoch,
            service: place.service.to_owned(),
            full_name: place.name.to_owned(),
            journal_dir: place.journal_dir.map(PathBuf::from),
            term: place.term,
            outputs: place.outputs.clone(),
        });
        Ok((Relay { name: name.to_owned(), appender, unopened }, failure))
    }

    pub(super) fn is_open(&self) -> bool {
        self.unopened.is_none()
    }

    /// Hands a batch to the relay, which is opened for that where it is not; then it begins at
    /// `settled` if it has no position of its own.
    ///
    /// # Errors
    /// Those of [`Appender::append`]; [`AppendError::Unavailable`] when it cannot be opened.
    pub(super) fn append(
        &mut self,
        batch: &Batch<'_>,
        settled: Position,
    ) -> Result<(), AppendError> {
        if let Some(unopened) = &self.unopened {
            self.appender = unopened.open(settled)?;
            self.unopened = None;
            if self.appender.settled() > settled {
                // Before a kill it took what nobody else knows of: not again.
                let source =
                    io::Error::other("it has more than was known, and goes on behind that");
                return Err(AppendError::Unavailable { source });
            }
        }
        self.appender.append(batch)
    }
}

impl Unopened {
    fn open(&self, begin: Position) -> Result<Box<dyn Appender>, AppendError> {
        let place = Place {
            source: self.source,
            epoch: self.epoch,
            service: &self.service,
            name: &self.full_name,
            journal_dir: self.journal_dir.as_deref(),
            begin,
            term: self.term,
            outputs: &self.outputs,
            // It came too late to share lines with others.
            lines: &SharedLines::default(),
            drafts: &Drafts::default(),
        };
        let opened = self.how.open(&place);
        opened
            .map_err(|error| AppendError::Unavailable { source: io::Error::other(reason(&error)) })
    }
}

impl Appender for Away {
    fn append(&mut self, _: &Batch<'_>) -> Result<(), AppendError> {
        Err(AppendError::Unavailable { source: io::Error::other("it is not open") })
    }

    fn settled(&self) -> Position {
        self.0
    }

    fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}

/// An error with what lies behind it.
pub(super) fn reason(error: &OpenError) -> String {
    match &error.source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
