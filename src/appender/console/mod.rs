//! Text to standard output or standard error.
//!
//! The console cannot say what it has taken before a crash: with a journal directory an event may
//! be printed again after the process was killed between the write and the stored cursor
//! (at least once).

use std::io::{self, Write};
use std::time::Instant;

use super::{AppendError, Appender, Batch, Open, OpenError, Opened, Place, WRITE_BYTES};
use crate::journal::{CursorFile, Position, TextFileMark};
use crate::layout::{Layout, Page, Pattern};

/// The console, before it is opened.
///
/// # Examples
/// ```
/// use rollway::appender::Console;
/// use rollway::layout::Json;
///
/// let console = Console::stdout().layout(Json::new());
/// ```
pub struct Console {
    stream: Stream,
    layout: Box<dyn Layout>,
    is_mandatory: bool,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl Console {
    /// Prints to standard error.
    pub fn stderr() -> Console {
        Console::to(Stream::Stderr)
    }

    /// Prints to standard output.
    pub fn stdout() -> Console {
        Console::to(Stream::Stdout)
    }

    fn to(stream: Stream) -> Console {
        Console { stream, layout: Box::new(Pattern::simple()), is_mandatory: false }
    }

    /// How events become text; by default [`Pattern::simple`].
    #[must_use]
    pub fn layout(mut self, layout: impl Layout + 'static) -> Console {
        self.layout = Box::new(layout);
        self
    }

    /// How events become text, chosen at run time.
    #[must_use]
    pub fn boxed_layout(mut self, layout: Box<dyn Layout>) -> Console {
        self.layout = layout;
        self
    }

    /// Whether the journal keeps what was not printed yet. By default it does not: a console that
    /// nobody reads is overtaken at the journal's bound, and says so when it goes on.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Console {
        self.is_mandatory = mandatory;
        self
    }
}

impl Open for Console {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let cursor = place.cursor()?;
        let stored = cursor.as_ref().and_then(CursorFile::resume);
        let settled = stored.map_or(place.begin, |slot| slot.position);
        let mut writer = ConsoleWriter {
            stream: self.stream,
            layout: self.layout.clone(),
            cursor,
            text: Page::new(),
            settled,
        };
        writer.settle(settled).map_err(|source| OpenError {
            name: place.name.to_owned(),
            path: None,
            what: "its cursor cannot be stored; make the journal directory writable",
            source: Some(source),
        })?;
        Ok(Opened::Events(Box::new(writer)))
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }
}

/// The appender behind [`Console`].
struct ConsoleWriter {
    stream: Stream,
    layout: Box<dyn Layout>,
    cursor: Option<CursorFile>,
    text: Page,
    settled: Position,
}

impl ConsoleWriter {
    /// Prints the text and begins a new one.
    fn print(&mut self) -> io::Result<()> {
        let bytes = self.text.as_bytes();
        let written = match self.stream {
            Stream::Stdout => {
                io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush())
            }
            Stream::Stderr => io::stderr().lock().write_all(bytes),
        };
        self.text.clear();
        match written {
            // Nobody reads the other end any more: what is printed there is nobody's loss.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn settle(&mut self, position: Position) -> io::Result<()> {
        if let Some(cursor) = &self.cursor {
            cursor.store_written(position, TextFileMark::default())?;
        }
        self.settled = position;
        Ok(())
    }
}

impl Appender for ConsoleWriter {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.text.clear();
        let mut written = Ok(());
        batch.for_each(|event| {
            if written.is_ok() {
                self.layout.write_page(event, &mut self.text);
                if self.text.len() >= WRITE_BYTES {
                    written = self.print();
                }
            }
        });
        written
            .and_then(|()| self.print())
            .and_then(|()| self.settle(batch.next()))
            .map_err(|source| AppendError::Unavailable { source })
    }

    fn settled(&self) -> Position {
        self.settled
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.settle(position).map_err(|source| AppendError::Unavailable { source })
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), AppendError> {
        Ok(())
    }
}
