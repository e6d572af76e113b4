//! A closure of the host, for each event or for each batch.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, TryLockError};

use super::bookmark::{Bookmark, Take, marked};
use super::caught::caught;
use super::{AppendError, Batch, Open, OpenError, Opened, Place};
use crate::event::Event;

/// A closure that gets the events, on a thread of its own behind the journal.
///
/// It is called once at a time, in delivery order. It may block: the journal absorbs the delay. It
/// may log: such an event is one of rollway's own thread and goes through the overflow ring.
///
/// A panic in it is caught. The event that it had goes among the dead letters, with the words of the
/// panic, and the closure is called with the next one. What it was told before a kill it may be told
/// again: at least once.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use rollway::appender::Callback;
///
/// let errors = Arc::new(AtomicU64::new(0));
/// let counted = Arc::clone(&errors);
/// let guard = rollway::builder()
///     .appender("alarm", Callback::each(move |event| {
///         if event.level >= rollway::Level::ERROR {
///             counted.fetch_add(1, Ordering::Relaxed);
///         }
///     }))
///     .start()?;
/// rollway::error!(logger: guard.logger(), "no paper");
/// guard.shutdown(std::time::Duration::from_secs(5));
/// assert_eq!(errors.load(Ordering::Relaxed), 1);
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Callback {
    call: Call,
    is_mandatory: bool,
}

/// The closure. Shared, because a destination may be opened more than once.
#[derive(Clone)]
enum Call {
    Each(Arc<Mutex<CallEach>>),
    Batches(Arc<Mutex<CallBatch>>),
}

type CallEach = dyn FnMut(&Event<'_>) -> Result<(), AppendError> + Send;
type CallBatch = dyn FnMut(&Batch<'_>) -> Result<(), AppendError> + Send;

impl Callback {
    /// Calls `each` with every event.
    pub fn each(mut each: impl FnMut(&Event<'_>) + Send + 'static) -> Callback {
        Callback::try_each(move |event| {
            each(event);
            Ok(())
        })
    }

    /// Calls `each` with every event until it fails; then the outlet does what the error says. With
    /// [`AppendError::Unavailable`] the same event comes again after a pause, with
    /// [`AppendError::Rejected`] it goes among the dead letters.
    ///
    /// # Examples
    /// ```
    /// use rollway::appender::{AppendError, Callback};
    ///
    /// let picky = Callback::try_each(|event| match event.context.get("tenant") {
    ///     Some(_) => Ok(()),
    ///     None => Err(AppendError::Rejected { source: "no tenant".into() }),
    /// });
    /// ```
    pub fn try_each(
        each: impl FnMut(&Event<'_>) -> Result<(), AppendError> + Send + 'static,
    ) -> Callback {
        Callback { call: Call::Each(Arc::new(Mutex::new(each))), is_mandatory: true }
    }

    /// Calls `take` with every batch: a block of the journal or a part of one, as
    /// [`Appender::append`](super::Appender::append) gets it. An error of it is that of the whole
    /// batch, and a panic has the batch come again in parts until the event is found: it has done
    /// all of a batch or nothing.
    ///
    /// # Examples
    /// ```
    /// use rollway::appender::Callback;
    ///
    /// let counting = Callback::batches(|batch| {
    ///     println!("{} events", batch.count());
    ///     Ok(())
    /// });
    /// ```
    pub fn batches(
        take: impl FnMut(&Batch<'_>) -> Result<(), AppendError> + Send + 'static,
    ) -> Callback {
        Callback { call: Call::Batches(Arc::new(Mutex::new(take))), is_mandatory: true }
    }

    /// Whether the journal keeps what the closure has not got yet; by default it does.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Callback {
        self.is_mandatory = mandatory;
        self
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.call {
            Call::Each(_) => "each",
            Call::Batches(_) => "batches",
        };
        write!(f, "Callback::{unit}")
    }
}

impl Open for Callback {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        marked(self.call.clone(), place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn takes_chunks(&self) -> bool {
        true
    }
}

impl Take for Call {
    fn take(&mut self, batch: &Batch<'_>, bookmark: &mut Bookmark) -> Result<(), AppendError> {
        match self {
            Call::Each(each) => {
                let mut taken = Ok(());
                let mut stopped_at = batch.position();
                let called = locked(each, |each| {
                    batch.for_each_at(|at, event| {
                        if taken.is_ok() {
                            taken = caught(|| each(event)).unwrap_or_else(refused);
                            stopped_at = at;
                        }
                    });
                });
                called?;
                if taken.is_err() {
                    // What came before it is not to come again.
                    bookmark.settle(stopped_at)?;
                }
                taken
            }
            Call::Batches(take) => {
                locked(take, |take| caught(|| take(batch)).unwrap_or_else(refused))?
            }
        }
    }
}

fn refused(words: String) -> Result<(), AppendError> {
    Err(AppendError::Rejected { source: words.into() })
}

/// Works with what is shared, which nobody else has unless it was opened twice, or the process
/// forked within a call.
pub(super) fn locked<F: ?Sized, R>(
    shared: &Mutex<F>,
    work: impl FnOnce(&mut F) -> R,
) -> Result<R, AppendError> {
    match shared.try_lock() {
        Ok(mut free) => Ok(work(&mut free)),
        // A panic in it was caught before.
        Err(TryLockError::Poisoned(free)) => Ok(work(&mut free.into_inner())),
        Err(TryLockError::WouldBlock) => Err(AppendError::Unavailable {
            source: io::Error::other(
                "another engine of this process is in it right now; give each its own",
            ),
        }),
    }
}
