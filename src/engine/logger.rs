//! A handle to an engine: what a program asks of it and tells it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::call::{self, Call};
use super::{Durability, FlushError, ReleaseError, Shared, Stats};
use crate::capture::Values;
use crate::level::{Level, LevelFilter, Levels, TooManyCategories};
use crate::route::Directives;
use crate::site::CallCategory;

/// A logger: a handle to one engine. Cheap to clone.
///
/// The macros log to the process's logger unless they are given another one.
///
/// # Examples
/// ```
/// let guard = rollway::builder().start()?;
/// let logger = guard.logger();
/// rollway::info!(logger: logger, "only this logger sees {}", "me");
/// # Ok::<(), rollway::InitError>(())
/// ```
#[derive(Clone)]
pub struct Logger {
    pub(super) shared: Arc<Shared>,
}

impl Logger {
    /// Whether it takes events of this level in the root category; of another one
    /// [`enabled!`](crate::enabled) tells.
    pub fn is_enabled(&self, level: Level) -> bool {
        self.shared.levels.allows(level, "")
    }

    /// From which level on it takes events in the root category.
    pub fn level(&self) -> LevelFilter {
        self.shared.levels.of("")
    }

    /// Changes the level of the root category, and of all that have none of their own, while the
    /// program runs. Calls see the change at once, those under way may not; nobody waits for them.
    pub fn set_level(&self, level: impl Into<LevelFilter>) {
        let level = level.into();
        // The root can always have a level.
        let _ = self.shared.change_levels(|levels| levels.set("", Some(level)));
    }

    /// Gives a category, and all below that have none of their own, a level while the program runs;
    /// `None` has it follow the category above it again.
    ///
    /// # Errors
    /// [`TooManyCategories`] where [`CATEGORIES_MAX`](crate::level::CATEGORIES_MAX) have a level.
    ///
    /// # Examples
    /// ```
    /// use rollway::Level;
    ///
    /// let guard = rollway::builder().start()?;
    /// let logger = guard.logger();
    /// logger.set_category_level("shop::db", Some(Level::TRACE.into()))?;
    /// assert!(rollway::enabled!(logger: logger, target: "shop::db::pool", Level::DEBUG));
    /// logger.set_category_level("shop::db", None)?;
    /// assert!(!rollway::enabled!(logger: logger, target: "shop::db::pool", Level::DEBUG));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_category_level(
        &self,
        category: &str,
        level: Option<LevelFilter>,
    ) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.set(category, level))
    }

    /// Lowers the level of a category by so many steps, so that more events are taken: from ERROR by
    /// 2 is INFO. The levels that the process has named are steps, too. The category has a level of its
    /// own then.
    ///
    /// # Errors
    /// As [`Logger::set_category_level`].
    pub fn more_logging(&self, category: &str, steps: u8) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.lower_by(category, i32::from(steps)))
    }

    /// Raises it: see [`Logger::more_logging`].
    ///
    /// # Errors
    /// As [`Logger::set_category_level`].
    pub fn less_logging(&self, category: &str, steps: u8) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| levels.lower_by(category, -i32::from(steps)))
    }

    /// Changes the levels that the directives name, all at once. What is wrong in them is for the
    /// caller to tell: see [`Directives::errors`].
    ///
    /// # Errors
    /// [`TooManyCategories`]; then no level is changed.
    pub fn apply_directives(&self, directives: &Directives) -> Result<(), TooManyCategories> {
        self.shared.change_levels(|levels| directives.apply_to(levels))
    }

    /// From which level on it takes the events of each category.
    pub fn levels(&self) -> Levels {
        self.shared.current_levels()
    }

    /// Whether it takes events of this level under some target. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn might_take(&self, level: Level) -> bool {
        self.shared.levels.might_allow(level)
    }

    /// Whether it does under this target. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn takes(&self, level: Level, target: &str) -> bool {
        self.shared.levels.allows(level, target)
    }

    /// The same where the target belongs to the call. What the macros ask.
    #[doc(hidden)]
    #[inline]
    pub fn takes_call(&self, level: Level, call: &'static CallCategory) -> bool {
        self.takes(level, call.name())
    }

    /// Logs one event. What the macros call.
    #[doc(hidden)]
    #[inline]
    pub fn emit<V: Values>(&self, call: Call<'_>, values: V) {
        call::emit_to(&self.shared, call, values);
    }

    /// Gives the calling thread its ring now, so that its first log call need not.
    pub fn prepare_thread(&self) {
        call::prepare_thread(&self.shared);
    }

    /// Returns once everything logged before the call has reached every mandatory appender, or is
    /// held back by a composite; fails after the flush timeout.
    ///
    /// # Errors
    /// [`FlushError`] names who has not got everything.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.flush_to(Durability::L1)
    }

    /// The same, and all of it survives what `durability` names. L0 and L1 are what
    /// [`Logger::flush`] does.
    ///
    /// # Errors
    /// As [`Logger::flush`], and for L2 while the journal has blocks whose sync failed: no later sync
    /// proves that they are on the disk. They count until their segment is recycled.
    pub fn flush_to(&self, durability: Durability) -> Result<(), FlushError> {
        let deadline = Instant::now() + self.shared.limits.flush_timeout;
        self.shared.flush(durability, deadline, || false)
    }

    /// Has the composite `name`, a buffer or a limit, hand on what it holds of the events that were
    /// logged before the call, and returns once its relays have them.
    ///
    /// In a cluster it reaches the composites of the elected process, when that is this one.
    ///
    /// # Errors
    /// [`ReleaseError`] for a name that no buffer and no limit has, or when the flush timeout is over.
    pub fn release(&self, name: &str) -> Result<(), ReleaseError> {
        self.shared.release(name)
    }

    /// Counters and positions of the engine.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("service", &self.shared.service)
            .field("level", &self.level())
            .finish()
    }
}
