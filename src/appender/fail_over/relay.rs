//! One relay of a fail-over, open or not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, OwnedPlace, Place};
use crate::journal::Position;

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
    full_name: String,
    place: OwnedPlace,
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
            full_name: place.name.to_owned(),
            place: OwnedPlace::from(place),
        });
        Ok((Relay { name: name.to_owned(), appender, unopened }, failure))
    }

    pub(super) fn is_open(&self) -> bool {
        self.unopened.is_none()
    }

    /// Opens the relay where that has not been possible yet; then it begins at `settled` if it has no
    /// position of its own.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when it still is not.
    pub(super) fn open_if_away(&mut self, settled: Position) -> Result<(), AppendError> {
        if let Some(unopened) = &self.unopened {
            self.appender = unopened.open(settled)?;
            self.unopened = None;
        }
        Ok(())
    }
}

impl Unopened {
    fn open(&self, begin: Position) -> Result<Box<dyn Appender>, AppendError> {
        self.how
            .open(&self.place.of(&self.full_name, begin))
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
