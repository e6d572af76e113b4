//! The macros of a log call.
//!
//! Each is a front that hands its tokens to the procedural macros with the path of this crate, so
//! that they work under any name of it. What those write calls [`__private`].

/// Logs at [`Level::TRACE`](crate::Level::TRACE): step-by-step detail. Arguments as for
/// [`info!`](crate::info).
///
/// # Examples
/// ```
/// let bytes = [0x16, 0x03];
/// rollway::trace!("received {bytes:02x?}");
/// ```
#[macro_export]
macro_rules! trace {
    ($($call:tt)*) => { $crate::__private::event!($crate [TRACE] $($call)*) };
}

/// Logs at [`Level::DEBUG`](crate::Level::DEBUG): what helps to find a fault. Arguments as for
/// [`info!`](crate::info).
///
/// # Examples
/// ```
/// let attempt = 2;
/// rollway::debug!(attempt; "trying again in {} ms", 100 << attempt);
/// ```
#[macro_export]
macro_rules! debug {
    ($($call:tt)*) => { $crate::__private::event!($crate [DEBUG] $($call)*) };
}

/// Logs at [`Level::INFO`](crate::Level::INFO): what an operator wants to know about a healthy
/// service.
///
/// The format string and its arguments are those of [`std::format!`]. The arguments are evaluated
/// once, and only if the level is enabled. Numbers, `bool`, `char`, text and bytes, references to
/// them and an `Option` of them are copied as they are and formatted where text is needed; other
/// values are rendered by their own trait during the call.
///
/// Before the format string may stand, in this order:
/// - `target: …`, a string to be logged under instead of the module's path, and `logger: …`, the
///   logger to use instead of that of the process; the two in any order. A target that is a literal,
///   `module_path!()` or a constant (`NAME`, `module::NAME`) is part of the call site and
///   free; any other expression costs its bytes in every record.
/// - key-values, separated by commas and closed by a semicolon: `key = value`, where a value keeps
///   its type or is rendered by `Display`; `key:? = value`, rendered by `Debug`; `key:% = value`,
///   rendered by `Display`; `key:err = value`, an error with its causes, as `error: cause: its
///   cause`. A key is an identifier or a string literal; an identifier without `= value` is the
///   variable of that name.
///
/// # Examples
/// ```
/// use rollway::info;
///
/// let (user, items) = ("ada", 3);
/// info!("{user} bought {items} items");
/// info!("{user} paid {:>8.2}", 12.5);
/// info!(target: "audit", user, items; "sold");
///
/// let error = std::io::Error::other("disk full");
/// info!(error:err, path:? = std::path::Path::new("/tmp"), "retry.after" = 5; "will try again");
/// ```
#[macro_export]
macro_rules! info {
    ($($call:tt)*) => { $crate::__private::event!($crate [INFO] $($call)*) };
}

/// Logs at [`Level::WARN`](crate::Level::WARN): unexpected, but handled. Arguments as for
/// [`info!`](crate::info).
///
/// # Examples
/// ```
/// rollway::warn!(target: "shop::stock", "only {} left", 2);
/// ```
#[macro_export]
macro_rules! warn {
    ($($call:tt)*) => { $crate::__private::event!($crate [WARN] $($call)*) };
}

/// Logs at [`Level::ERROR`](crate::Level::ERROR): an operation failed. Arguments as for
/// [`info!`](crate::info).
///
/// # Examples
/// ```
/// let error = "x".parse::<u32>().unwrap_err();
/// rollway::error!(error:err; "cannot read the port");
/// ```
#[macro_export]
macro_rules! error {
    ($($call:tt)*) => { $crate::__private::event!($crate [ERROR] $($call)*) };
}

/// Logs at [`Level::FATAL`](crate::Level::FATAL): the service cannot go on. Arguments as for
/// [`info!`](crate::info). Does not end the process.
///
/// # Examples
/// ```
/// rollway::fatal!("no configuration at {:?}", "/etc/shop.toml");
/// ```
#[macro_export]
macro_rules! fatal {
    ($($call:tt)*) => { $crate::__private::event!($crate [FATAL] $($call)*) };
}

/// Logs at a level chosen at run time: `log!(level, …)`, then as for [`info!`](crate::info). `target:`
/// and `logger:` may also stand before the level.
///
/// # Examples
/// ```
/// use rollway::{Level, log};
///
/// let status = 503;
/// let level = if status < 500 { Level::INFO } else { Level::ERROR };
/// log!(level, "answered {status}");
/// log!(target: "http", level, status; "answered");
/// ```
#[macro_export]
macro_rules! log {
    ($($call:tt)*) => { $crate::__private::event!($crate [] $($call)*) };
}

/// Whether a call at this level would log: for work that only a log call needs.
///
/// `enabled!(level)`; before the level may stand `logger: …,` and `target: …,` in any order. The
/// answer is that of the category a call would log under: its `target`, else the module's path. With a
/// target that is not part of the call site (see [`info!`](crate::info)) the category is looked up
/// where not all have one answer.
///
/// # Examples
/// ```
/// use rollway::{Level, debug, enabled};
///
/// if enabled!(Level::DEBUG) {
///     let sum: u64 = (1..=1000).sum();
///     debug!("checksum {sum:x}");
/// }
/// ```
#[macro_export]
macro_rules! enabled {
    ($($call:tt)*) => { $crate::__private::enabled!($crate $($call)*) };
}

/// What the macros expand to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    use std::error::Error;
    use std::fmt;

    pub use std::option::Option::{None, Some};
    pub use std::{column, file, format_args, line, module_path};

    pub use rollway_macros::{enabled, event};

    pub use crate::capture::{
        Argument, AsDynError, By, ByCauses, ByDisplay, Counts, Render, Rendered, Values,
    };
    pub use crate::level::Level;
    pub use crate::site::{CallCategory, Definition, Names, Site};
    use crate::site::{process_might_take, process_takes, process_takes_call};

    pub use crate::engine::call::Call;

    /// The logger of a call that names none: that of the process.
    pub struct Process;

    impl Process {
        /// Whether the process's logger takes events of this level under some target.
        #[inline]
        pub fn might_take(&self, level: Level) -> bool {
            process_might_take(level)
        }

        /// Whether it does under this target.
        #[inline]
        pub fn takes(&self, level: Level, target: &str) -> bool {
            process_takes(level, target)
        }

        /// Whether it does under the target that a call always has.
        #[inline]
        pub fn takes_call(&self, level: Level, call: &'static CallCategory) -> bool {
            process_takes_call(level, call)
        }

        /// Logs to the process's logger.
        #[inline]
        pub fn emit<V: Values>(&self, call: Call<'_>, values: V) {
            crate::engine::call::emit(call, values);
        }
    }

    /// Logs to the process's logger, with the site's own level and target and the number that the
    /// site passed with.
    // Forced inline, values stay in registers; a debug build would only compile longer.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn emit<V: Values>(site: &'static Site, id: u32, level: Level, values: V) {
        crate::engine::call::emit_site(site, id, level, values);
    }

    /// An argument of `{}`.
    #[inline]
    pub fn display<T: fmt::Display + ?Sized>(value: &T) -> Argument<'_, T, By<'_, T>> {
        Argument::new(value, By::display(value))
    }

    /// An argument of `{:?}`.
    #[inline]
    pub fn debug<T: fmt::Debug + ?Sized>(value: &T) -> Argument<'_, T, By<'_, T>> {
        Argument::new(value, By::debug(value))
    }

    /// An argument of a placeholder with flags, which `render` knows.
    #[inline]
    pub fn formatted<T: ?Sized>(
        value: &T,
        counts: Counts,
        render: Render<T>,
    ) -> Argument<'_, T, By<'_, T>> {
        Argument::new(value, By::function(value, counts, render))
    }

    /// An argument that is rendered in any case.
    #[inline]
    pub fn formatted_text<T: ?Sized>(
        value: &T,
        counts: Counts,
        render: Render<T>,
    ) -> Rendered<By<'_, T>> {
        Rendered::new(By::function(value, counts, render))
    }

    /// A width or a precision.
    #[inline]
    pub fn count(value: &usize) -> u64 {
        *value as u64
    }

    /// The value of a key without a modifier.
    #[inline]
    pub fn pair<T: ?Sized>(value: &T) -> Argument<'_, T, ByDisplay<'_, T>> {
        Argument::new(value, ByDisplay(value))
    }

    /// The value of a key with `:%`.
    #[inline]
    pub fn display_text<T: fmt::Display + ?Sized>(value: &T) -> Rendered<By<'_, T>> {
        Rendered::new(By::display(value))
    }

    /// The value of a key with `:?`.
    #[inline]
    pub fn debug_text<T: fmt::Debug + ?Sized>(value: &T) -> Rendered<By<'_, T>> {
        Rendered::new(By::debug(value))
    }

    /// The value of a key with `:err`.
    #[inline]
    pub fn error_text<'a>(error: &'a (dyn Error + 'a)) -> Rendered<ByCauses<'a>> {
        Rendered::new(ByCauses(error))
    }

    /// A target.
    #[inline]
    pub fn text<T: AsRef<str> + ?Sized>(target: &T) -> &str {
        target.as_ref()
    }
}
