//! Destinations for events.
//!
//! An [`Appender`] takes batches from its outlet thread and says how far its destination has them.
//! What a builder or a configuration holds before anything is opened is an [`Open`].

mod batch;
mod bookmark;
mod callback;
mod caught;
pub mod console;
mod fail_over;
pub mod file;
pub mod forwarder;
mod gated;
mod memory;
mod null;
mod per_value;
mod place;
mod recorded;
mod synchronized;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::journal::{Journal, Position};
use crate::route::Gate;
use crate::route::composite::Described;

pub use batch::Batch;
pub(crate) use batch::{Counts, Part};
pub use callback::Callback;
pub use console::{ColourError, Colours, Console, LevelColours, Stream};
pub use fail_over::FailOver;
pub use file::File;
pub use forwarder::{Forwarder, ForwarderMonitor, ForwarderState, ForwarderStats};
pub use gated::{Gated, with};
pub use memory::Memory;
pub use null::Null;
#[cfg(feature = "config")]
pub(crate) use per_value::is_extension;
pub use per_value::{Key, Missing, PerValue};
pub(crate) use place::OwnedPlace;
pub use place::Place;
pub use recorded::{Recorded, RecordedChunk};
pub(crate) use synchronized::under_locks;
pub use writer::Writer;

/// Text is written out when it has grown to this: that of a whole block may be a thousand times as
/// long as the block.
const WRITE_BYTES: usize = 256 << 10;

/// A destination for events: a file, a terminal, a socket.
///
/// One outlet thread owns each appender and is its only caller, so implementations hold plain
/// state: no locks, no atomics. They may block; the journal absorbs the delay.
pub trait Appender: Send {
    /// Takes one batch: whole events in delivery order, each thread's in emission order.
    ///
    /// A batch is a block of the journal, or a run of events of one, and may have no events at all:
    /// then there is nothing to write, and what lies before its end is settled as ever.
    ///
    /// # Errors
    /// [`AppendError`], whose variant tells the outlet what to do next. It comes back with
    /// everything behind [`Appender::settled`], or with a part of it.
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError>;

    /// The journal position up to which the destination has everything. Taken is not delivered:
    /// the stored cursor follows this position. Before the first batch it
    /// is where the appender wants to go on.
    fn settled(&self) -> Position;

    /// Returns once everything taken is settled, or fails when `deadline` has passed.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when the destination did not take everything.
    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError>;

    /// Learns that everything taken is settled and no event lies between it and `position`. Called
    /// before the journal may let go of the segment of [`Appender::settled`], so an appender that
    /// stores its position moves there and stores it: the next start finds it in the journal. One that
    /// does not know what it has written stays where it is. By default nothing is done, which befits an
    /// appender that stores nothing.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when the position cannot be stored. It is told again.
    fn pass(&mut self, _position: Position) -> Result<(), AppendError> {
        Ok(())
    }

    /// The position from which on the journal must keep its blocks: [`Appender::settled`], or an
    /// earlier one where a power failure may take from the destination what has settled.
    fn keeps_from(&self) -> Position {
        self.settled()
    }

    /// Returns once everything taken survives a power failure (L2). A destination that cannot
    /// promise that does what [`Appender::flush`] does. Called when somebody waits for it; with a
    /// journal directory also every few seconds while something settles, and at the end.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when the destination could not be synced.
    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.flush(deadline)
    }

    /// The longest pause between two tries after a failure: by default a second, as befits what is
    /// on this machine. One that many processes share may ask for more time.
    fn retry_pause_max(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Closes the destination and opens it again under its name, as after somebody has moved a file
    /// away. Between two batches; nothing that was taken is lost. By default nothing is done.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when it cannot be opened. The next batch tries again.
    fn reopen(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    /// Begins a new file, if the destination is one that rotates. By default nothing is done.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] when it cannot. The next batch goes on with it.
    fn rotate(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    /// Does what is due while there is nothing to take, such as to close what is idle. Called when
    /// everything is taken that there is, and again after the time that it returns; without one not
    /// before something was taken. By default nothing is done.
    fn tend(&mut self) -> Option<Duration> {
        None
    }

    /// What went wrong since the last call and holds nothing up. The outlet asks at the start and
    /// after each batch or [`Appender::tend`], counts it among the errors and writes it on the
    /// self-log.
    fn take_notice(&mut self) -> Option<io::Error> {
        None
    }
}

/// A destination that takes whole blocks and moves through the journal by itself, such as a master.
///
/// It has its outlet thread for itself and runs until it is told to stop.
pub trait BlockAppender: Send {
    /// Where it wants to go on.
    fn settled(&self) -> Position;

    /// Ships blocks until `outlet` says stop; then delivers what is in the journal, until the
    /// outlet's deadline, and returns.
    fn run(&mut self, outlet: &mut dyn OutletSide);
}

/// What an outlet offers to a [`BlockAppender`] on its thread.
pub trait OutletSide {
    /// The journal to read from.
    fn journal(&self) -> &Journal;

    /// Publishes that everything before `position` has arrived, with `events` more than before.
    fn settle(&mut self, position: Position, events: u64);

    /// Publishes that everything before `position` survives a power failure at the destination (L2).
    fn synced(&mut self, position: Position);

    /// Publishes whether the destination says what survives a power failure there; until this is
    /// called, it does. One that does not is not waited for by a flush to L2.
    fn set_syncs(&mut self, syncs: bool);

    /// Counts a failure, writes it on the self-log and shows it in the statistics until the next
    /// [`OutletSide::settle`] or [`OutletSide::recovered`].
    fn failed(&mut self, reason: &str);

    /// Takes the failure out of the statistics.
    fn recovered(&mut self);

    /// Whether the appender shall deliver what is there and end.
    fn is_stopping(&self) -> bool;

    /// Until when it may take its time, once it is stopping.
    fn deadline(&self) -> Option<Instant>;

    /// Sleeps, but not beyond the moment when the appender is told to stop, nor the deadline.
    fn pause(&mut self, pause: Duration);
}

/// A destination that is configured and not yet open.
pub trait Open: Send {
    /// Opens the destination. `place` says whose journal it will read. Called again where the work
    /// begins anew: in a forked child, or when a process of a cluster takes over.
    ///
    /// # Errors
    /// [`OpenError`], which names the destination and the remedy.
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError>;

    /// Whether the journal keeps what this appender has not settled. An optional appender is
    /// overtaken at the journal's bound, and what it missed is counted.
    fn is_mandatory(&self) -> bool {
        true
    }

    /// What stands before the appender; by default nothing. Asked when it is opened, and
    /// at a reload that leaves it alone.
    fn gate(&self) -> Gate {
        Gate::new()
    }

    /// Whether it opens as [`Opened::Blocks`]. In a cluster each process has such a one for its own
    /// journal; whoever is elected runs the others for all.
    fn ships_blocks(&self) -> bool {
        false
    }

    /// Whether it takes the chunks of a message ([`Event::chunks`](crate::event::Event::chunks)) as
    /// they are: itself, and the layout it has. Others cannot have the warp
    /// [`pass`](crate::warp::Warp::pass).
    fn takes_chunks(&self) -> bool {
        false
    }

    /// A number that changes when another destination, or the same one otherwise, is described. A
    /// reload leaves a running appender alone whose number is the same as before. By default there
    /// is none, and only the very same description counts as the same.
    fn fingerprint(&self) -> Option<u64> {
        None
    }
}

/// The same destination, known by a number: see [`Open::fingerprint`]. For descriptions that come from
/// a text, whose hash it may be.
///
/// # Examples
/// ```
/// use rollway::appender::{Console, Open, fingerprinted};
///
/// let console = fingerprinted(Box::new(Console::stderr()), 7);
/// assert_eq!(console.fingerprint(), Some(7));
/// ```
pub fn fingerprinted(appender: Box<dyn Open>, fingerprint: u64) -> Fingerprinted {
    Fingerprinted { appender, fingerprint }
}

/// A destination with a [`fingerprint`](fingerprinted).
pub struct Fingerprinted {
    appender: Box<dyn Open>,
    fingerprint: u64,
}

impl Open for Fingerprinted {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        self.appender.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.appender.is_mandatory()
    }

    fn ships_blocks(&self) -> bool {
        self.appender.ships_blocks()
    }

    fn takes_chunks(&self) -> bool {
        self.appender.takes_chunks()
    }

    fn gate(&self) -> Gate {
        self.appender.gate()
    }

    fn fingerprint(&self) -> Option<u64> {
        Some(self.fingerprint)
    }
}

/// What composites and gates ask of a destination.
pub(crate) fn described(name: &str, appender: &dyn Open) -> Described {
    Described {
        name: name.to_owned(),
        gate: appender.gate(),
        ships_blocks: appender.ships_blocks(),
        takes_chunks: appender.takes_chunks(),
    }
}

/// The same destination, held to be optional: the journal does not wait for it.
///
/// # Examples
/// ```no_run
/// use rollway::appender::{Forwarder, optional};
///
/// let guard = rollway::builder()
///     .appender("master", optional(Forwarder::new("localhost:5000")))
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
pub fn optional(appender: impl Open + 'static) -> Held {
    Held { appender: Box::new(appender), is_mandatory: false }
}

/// The same destination, held to be mandatory: the journal keeps what it has not settled.
///
/// # Examples
/// ```
/// use rollway::appender::{Console, Open, mandatory};
///
/// assert!(!Console::stdout().is_mandatory());
/// assert!(mandatory(Console::stdout()).is_mandatory());
/// ```
pub fn mandatory(appender: impl Open + 'static) -> Held {
    Held { appender: Box::new(appender), is_mandatory: true }
}

/// A destination that is [`optional`] or [`mandatory`] whatever it would be by itself.
pub struct Held {
    appender: Box<dyn Open>,
    is_mandatory: bool,
}

impl Open for Held {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        self.appender.open(place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn gate(&self) -> Gate {
        self.appender.gate()
    }

    fn ships_blocks(&self) -> bool {
        self.appender.ships_blocks()
    }

    fn takes_chunks(&self) -> bool {
        self.appender.takes_chunks()
    }

    fn fingerprint(&self) -> Option<u64> {
        self.appender.fingerprint()
    }
}

/// An open destination, by what it takes.
pub enum Opened {
    /// Events, batch by batch.
    Events(Box<dyn Appender>),
    /// Whole blocks.
    Blocks(Box<dyn BlockAppender>),
}

/// Why a destination could not be opened.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are the words of the message")]
pub struct OpenError {
    pub name: String,
    pub path: Option<PathBuf>,
    pub what: &'static str,
    pub source: Option<io::Error>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "appender `{}`: ", self.name)?;
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        write!(f, "{}", self.what)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Why a destination did not take a batch. Variants differ where the engine's reaction differs.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names carry their units")]
pub enum AppendError {
    /// The destination may come back. Retried with backoff from the settled position on.
    Unavailable { source: io::Error },
    /// The batch can never fit. The outlet tries smaller ones; an event that does not fit by itself
    /// goes among the dead letters.
    TooLarge { batch_bytes: usize, limit_bytes: usize },
    /// The destination refuses something in the batch for its content, and would again. Nothing of
    /// the batch behind the settled position has arrived. The outlet finds the event, puts it among
    /// the dead letters with this reason, and goes on behind it.
    Rejected { source: Box<dyn std::error::Error + Send + Sync> },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Unavailable { .. } => write!(f, "the destination is not available"),
            AppendError::TooLarge { batch_bytes, limit_bytes } => {
                write!(f, "a batch of {batch_bytes} bytes exceeds the limit of {limit_bytes}")
            }
            AppendError::Rejected { .. } => write!(f, "the destination refuses an event"),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AppendError::Unavailable { source } => Some(source),
            AppendError::TooLarge { .. } => None,
            AppendError::Rejected { source } => Some(&**source),
        }
    }
}

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/appenders.md")]
struct Documentation;
