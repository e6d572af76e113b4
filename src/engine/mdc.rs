//! The mapped diagnostic context (MDC): values by key that a thread's events carry.

use std::fmt;
use std::marker::PhantomData;

use super::call;
use crate::context;

/// Adds `key` and the text of `value` to the context of the calling thread, until the scope ends.
///
/// Every event that the thread logs meanwhile carries the pair, to whichever logger. An event whose
/// context is that of the one before pays nothing for it. Keys and values are cut to 1,024 bytes; an
/// event carries 3 KiB of context, and a thread keeps 256 entries, the innermost ones first. NUL
/// characters in front of a key are left out. Allocates; does not block. A value that panics when it
/// is rendered is `<formatting panicked>`.
///
/// # Examples
/// ```
/// let _request = rollway::mdc("request", 4711);
/// rollway::info!("accepted"); // `%X{request}` shows 4711
/// ```
pub fn mdc(key: &str, value: impl fmt::Display) -> MdcScope {
    let scope = context::push(key, value);
    call::context_changed();
    MdcScope { scope, _of_this_thread: PhantomData }
}

/// Keeps a pair in the context of its thread: see [`mdc`].
#[must_use = "the pair leaves the context when the scope is dropped"]
#[derive(Debug)]
pub struct MdcScope {
    scope: Option<u64>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for MdcScope {
    fn drop(&mut self) {
        if let Some(scope) = self.scope {
            context::leave(scope);
            call::context_changed();
        }
    }
}

/// The values of the calling thread, for whoever cannot hold the scope that [`mdc`] returns.
///
/// # Examples
/// ```
/// use rollway::Mdc;
///
/// Mdc::put("user", "ada");
/// Mdc::put("user", "grace");
/// assert_eq!(Mdc::get("user").as_deref(), Some("grace"));
/// Mdc::remove("user");
/// assert_eq!(Mdc::get("user"), None);
/// ```
#[derive(Debug)]
pub struct Mdc;

impl Mdc {
    /// Sets the value of a key, until somebody removes it. It takes the place of the one that was put
    /// before, and hides those that scopes have. Limits and cost as for [`mdc`].
    pub fn put(key: &str, value: impl fmt::Display) {
        context::put(key, value);
        call::context_changed();
    }

    /// The value of a key that the next event will carry: the one that was added last.
    pub fn get(key: &str) -> Option<String> {
        context::get(key)
    }

    /// Removes all values of a key, those of scopes, too.
    pub fn remove(key: &str) {
        context::remove(key);
        call::context_changed();
    }

    /// Removes all values of all keys, those of scopes, too.
    pub fn clear() {
        context::clear();
        call::context_changed();
    }
}
