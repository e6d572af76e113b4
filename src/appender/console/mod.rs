//! Text to standard output or standard error, by level if that is wanted, with colours where they
//! can be seen.
//!
//! The console cannot say what it has taken before a crash: with a journal directory an event may
//! be printed again after the process was killed between the write and the stored cursor
//! (at least once).

mod colour;
mod strip;

use std::io::{self, Write};

use super::bookmark::{Bookmark, Take, marked};
use super::{AppendError, Batch, Open, OpenError, Opened, Place, WRITE_BYTES};
use crate::event::Event;
use crate::layout::{Layout, Page, Pattern};
use crate::level::{Level, LevelFilter};

pub use colour::{ColourError, Colours, LevelColours};

/// The console, before it is opened.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::appender::{Console, LevelColours};
///
/// let console = Console::stdout()
///     .stderr_from(Level::WARN)
///     .level_colours(LevelColours::default().with(Level::FATAL, "bold white on_red")?);
/// # Ok::<(), rollway::appender::ColourError>(())
/// ```
pub struct Console {
    streams: Streams,
    layout: Box<dyn Layout>,
    colours: Colours,
    level_colours: LevelColours,
    is_mandatory: bool,
}

/// One of the two that a process has to write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which stream the events of a level go to.
#[derive(Clone)]
struct Streams {
    default: Stream,
    /// From the lowest level up: from it on, this stream.
    from: Vec<(Level, Stream)>,
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

    /// Prints to this stream.
    pub fn to(stream: Stream) -> Console {
        Console {
            streams: Streams { default: stream, from: Vec::new() },
            layout: Box::new(Pattern::simple()),
            colours: Colours::Auto,
            level_colours: LevelColours::none(),
            is_mandatory: false,
        }
    }

    /// Prints events of this level and above to standard error, and those below as before. None with
    /// [`LevelFilter::OFF`].
    ///
    /// # Examples
    /// ```
    /// use rollway::Level;
    /// use rollway::appender::Console;
    ///
    /// let console = Console::stdout().stderr_from(Level::WARN);
    /// ```
    #[must_use]
    pub fn stderr_from(self, level: impl Into<LevelFilter>) -> Console {
        let lowest = level.into();
        let lowest = (1..=24).filter_map(Level::from_number).find(|level| lowest.allows(*level));
        match lowest {
            Some(level) => self.stream_from(level, Stream::Stderr),
            None => self,
        }
    }

    /// Prints events of this level, and of those above it up to the next that is named, to `stream`:
    /// called for each level, it is a table.
    ///
    /// What is printed to both streams keeps its order where both lead to one terminal.
    #[must_use]
    pub fn stream_from(mut self, level: Level, stream: Stream) -> Console {
        let from = &mut self.streams.from;
        match from.binary_search_by_key(&level, |(level, _)| *level) {
            Ok(at) => from[at].1 = stream,
            Err(at) => from.insert(at, (level, stream)),
        }
        self
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

    /// Whether colours are printed, by default [`Colours::Auto`]: those of the levels, and those that
    /// the layout brings. Where they are not, they are taken out of its text. Decided for each
    /// stream, when the console is opened.
    #[must_use]
    pub fn colours(mut self, colours: Colours) -> Console {
        self.colours = colours;
        self
    }

    /// Gives the whole text of an event the colour of its level, by default none: from its first
    /// character to its last, and never the newline behind it. A layout that resets colours itself
    /// ends it there.
    #[must_use]
    pub fn level_colours(mut self, colours: LevelColours) -> Console {
        self.level_colours = colours;
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
        let printer = Printer {
            stream: self.streams.default,
            streams: self.streams.clone(),
            layout: place.layout(&*self.layout),
            level_colours: self.level_colours.clone(),
            has_colours: [
                self.colours.applies_to(&io::stdout()),
                self.colours.applies_to(&io::stderr()),
            ],
            text: Page::new(),
            line: String::new(),
        };
        marked(printer, place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn takes_chunks(&self) -> bool {
        self.layout.takes_chunks()
    }
}

impl Streams {
    #[inline]
    fn of(&self, level: Level) -> Stream {
        let from = self.from.partition_point(|(from, _)| *from <= level);
        from.checked_sub(1).map_or(self.default, |at| self.from[at].1)
    }
}

/// The appender behind [`Console`].
struct Printer {
    /// Where the text goes that is not printed yet.
    stream: Stream,
    streams: Streams,
    layout: Box<dyn Layout>,
    level_colours: LevelColours,
    /// Of standard output and of standard error.
    has_colours: [bool; 2],
    text: Page,
    /// One event, while it is coloured.
    line: String,
}

impl Printer {
    /// Adds an event to the text, and prints what goes elsewhere before it.
    fn add(&mut self, event: &Event<'_>) -> io::Result<()> {
        let stream = self.streams.of(event.level);
        if stream != self.stream {
            self.print()?;
            self.stream = stream;
        }
        let colour = self.level_colours.of(event.level);
        if colour.is_empty() || !self.has_colours() {
            self.layout.write_page(event, &mut self.text);
        } else {
            self.line.clear();
            self.layout.write(event, &mut self.line);
            let text = self.line.trim_end_matches('\n');
            let end = &self.line[text.len()..];
            self.text.push_with(|out| {
                if !text.is_empty() {
                    out.extend([colour, text, RESET]);
                }
                out.push_str(end);
            });
        }
        if self.text.len() >= WRITE_BYTES { self.print() } else { Ok(()) }
    }

    fn has_colours(&self) -> bool {
        self.has_colours[self.stream as usize]
    }

    /// Prints the text and begins a new one.
    fn print(&mut self) -> io::Result<()> {
        let plain;
        let bytes = match self.has_colours() {
            true => self.text.as_bytes(),
            false => {
                plain = strip::without_colours(self.text.as_bytes());
                &*plain
            }
        };
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
}

impl Take for Printer {
    fn take(&mut self, batch: &Batch<'_>, _bookmark: &mut Bookmark) -> Result<(), AppendError> {
        self.text.clear();
        let mut written = Ok(());
        batch.for_each(|event| {
            if written.is_ok() {
                written = self.add(event);
            }
        });
        let written = written.and_then(|()| self.print());
        written.map_err(|source| AppendError::Unavailable { source })
    }
}

/// Ends a colour.
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_goes_to_the_stream_of_its_table() {
        use Stream::{Stderr, Stdout};

        let of = |console: &Console| Level::ALL.map(|level| console.streams.of(level));
        let both = Console::stdout().stderr_from(Level::WARN);
        assert_eq!(of(&both), [Stdout, Stdout, Stdout, Stderr, Stderr, Stderr]);
        assert_eq!(of(&Console::stdout().stderr_from(LevelFilter::OFF)), [Stdout; 6]);
        assert_eq!(of(&Console::stdout().stderr_from(LevelFilter::ALL)), [Stderr; 6]);
        let streams = [Stderr, Stdout, Stderr, Stdout, Stderr, Stdout];
        let table = Level::ALL.into_iter().zip(streams);
        let console = table
            .fold(Console::stderr(), |console, (level, stream)| console.stream_from(level, stream));
        assert_eq!(of(&console), streams);
        assert_eq!(console.streams.of(Level::from_number(8).unwrap()), Stdout);
    }
}
