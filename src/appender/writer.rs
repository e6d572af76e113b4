//! Text into any `io::Write` of the host.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::bookmark::{Bookmark, Take, marked};
use super::callback::locked;
use super::caught::caught;
use super::{AppendError, Batch, Open, OpenError, Opened, Place, WRITE_BYTES};
use crate::journal::Position;
use crate::layout::{Layout, Page, Pattern};

/// Text into whatever implements [`io::Write`]: a socket, a compressor, a buffer.
///
/// It is written on a thread of its own, up to 256 KiB at a time, and flushed after each batch. An
/// error of it is tried again from the last event on that was written whole: at least once. The
/// kinds [`InvalidData`](io::ErrorKind::InvalidData) and
/// [`InvalidInput`](io::ErrorKind::InvalidInput) say that it refuses something for its content: the
/// batch comes again in parts, and the event that it still refuses goes among the dead letters. A
/// panic in it is an error like others.
///
/// # Examples
/// ```
/// use rollway::appender::Writer;
///
/// let guard = rollway::builder().appender("sink", Writer::new(std::io::sink())).start()?;
/// rollway::info!(logger: guard.logger(), "unseen");
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Writer {
    to: Destination,
    layout: Box<dyn Layout>,
    is_mandatory: bool,
}

/// Shared, because a destination may be opened more than once.
type Destination = Arc<Mutex<dyn Write + Send>>;

impl Writer {
    /// Writes to `to`.
    pub fn new(to: impl Write + Send + 'static) -> Writer {
        let layout = Box::new(Pattern::simple());
        Writer { to: Arc::new(Mutex::new(to)), layout, is_mandatory: true }
    }

    /// How events become text; by default [`Pattern::simple`].
    #[must_use]
    pub fn layout(mut self, layout: impl Layout + 'static) -> Writer {
        self.layout = Box::new(layout);
        self
    }

    /// How events become text, chosen at run time.
    #[must_use]
    pub fn boxed_layout(mut self, layout: Box<dyn Layout>) -> Writer {
        self.layout = layout;
        self
    }

    /// Whether the journal keeps what was not written yet; by default it does.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Writer {
        self.is_mandatory = mandatory;
        self
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("is_mandatory", &self.is_mandatory).finish_non_exhaustive()
    }
}

impl Open for Writer {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let (to, layout) = (Arc::clone(&self.to), place.layout(&*self.layout));
        marked(TextWriter { to, layout, text: Page::new() }, place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn takes_chunks(&self) -> bool {
        self.layout.takes_chunks()
    }
}

/// The appender behind [`Writer`].
struct TextWriter {
    to: Destination,
    layout: Box<dyn Layout>,
    text: Page,
}

impl TextWriter {
    /// Writes the text and begins a new one.
    fn write(&mut self) -> Result<(), AppendError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = self.text.as_bytes();
        let written =
            locked(&self.to, |to| caught(|| to.write_all(text).and_then(|()| to.flush())))?;
        self.text.clear();
        told(written)
    }
}

impl Take for TextWriter {
    fn take(&mut self, batch: &Batch<'_>, bookmark: &mut Bookmark) -> Result<(), AppendError> {
        self.text.clear();
        let mut written = Ok(());
        batch.for_each_at(|at, event| {
            if written.is_ok() {
                self.layout.write_page(event, &mut self.text);
                if self.text.len() >= WRITE_BYTES {
                    let next = Position { index: at.index + 1, ..at };
                    written = self.write().and_then(|()| bookmark.settle(next));
                }
            }
        });
        written?;
        self.write()
    }

    fn flush(&mut self) -> Result<(), AppendError> {
        told(locked(&self.to, |to| caught(|| to.flush()))?)
    }
}

/// What an outcome of the destination is to the outlet.
fn told(outcome: Result<io::Result<()>, String>) -> Result<(), AppendError> {
    let source = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(words) => io::Error::other(words),
    };
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Err(AppendError::Rejected { source: source.into() })
        }
        _ => Err(AppendError::Unavailable { source }),
    }
}
