//! A text file that refuses some events for their content.

use std::io;
use std::time::Instant;

use rollway::appender::{AppendError, Appender, Batch, File, Open, OpenError, Opened, Place};
use rollway::journal::Position;

use crate::account;

/// A text file, before it is opened, that refuses each event whose number is a multiple of `every`.
pub(super) struct Refusing {
    file: File,
    every: u64,
}

impl Refusing {
    pub(super) fn new(file: File, every: u64) -> Refusing {
        Refusing { file, every }
    }
}

impl Open for Refusing {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let Opened::Events(file) = self.file.open(place)? else {
            unreachable!("a text file takes events");
        };
        Ok(Opened::Events(Box::new(RefusingFile { file, every: self.every })))
    }
}

/// The open file.
struct RefusingFile {
    file: Box<dyn Appender>,
    every: u64,
}

impl Appender for RefusingFile {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        let mut refused = None;
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            if account::number_of(&message).is_some_and(|number| number % self.every == 0) {
                refused = Some(message);
            }
        });
        match refused {
            Some(message) => Err(AppendError::Rejected {
                source: io::Error::other(format!("{message:.40} is not wanted")).into(),
            }),
            None => self.file.append(batch),
        }
    }

    fn settled(&self) -> Position {
        self.file.settled()
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.file.flush(deadline)
    }

    fn keeps_from(&self) -> Position {
        self.file.keeps_from()
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.file.sync(deadline)
    }
}
