//! Nowhere.

use super::bookmark::{Bookmark, Take, marked};
use super::{AppendError, Batch, Open, OpenError, Opened, Place};

/// Takes every event and keeps none. They count as delivered.
///
/// For a route that is to end nowhere, and to measure what everything before a destination costs.
/// Never fails and never waits; with a journal directory its position is stored, one system call a
/// batch.
///
/// # Examples
/// ```
/// use rollway::appender::Null;
///
/// let guard = rollway::builder().appender("nowhere", Null::new()).start()?;
/// rollway::info!(logger: guard.logger(), "unheard");
/// assert_eq!(guard.shutdown(std::time::Duration::from_secs(5)).delivered(), 1);
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Null {
    is_mandatory: bool,
}

impl Null {
    /// Optional, as it cannot matter.
    pub fn new() -> Null {
        Null::default()
    }

    /// Whether the journal keeps what it has not taken yet; by default it does not.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Null {
        self.is_mandatory = mandatory;
        self
    }
}

impl Open for Null {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        marked(*self, place)
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }
}

impl Take for Null {
    fn take(&mut self, batch: &Batch<'_>, _bookmark: &mut Bookmark) -> Result<(), AppendError> {
        batch.count();
        Ok(())
    }
}
