//! The context that a thread's events carry.

use std::fmt;
use std::marker::PhantomData;

use super::call;
use crate::context;

/// Adds `key` and the text of `value` to the context of the calling thread, until the scope ends.
///
/// Every event that the thread logs meanwhile carries the pair, to whichever logger. An event whose
/// context is that of the one before pays nothing for it. Values are cut to 1,024 bytes, the whole
/// context to 3 KiB, the innermost pairs first. Allocates; does not block.
///
/// # Examples
/// ```
/// let _request = rollway::mdc("request", 4711);
/// rollway::info!("accepted"); // `%X{request}` shows 4711
/// ```
pub fn mdc(key: &str, value: impl fmt::Display) -> MdcScope {
    let number = context::push(key, &value.to_string());
    call::context_changed();
    MdcScope { number, _of_this_thread: PhantomData }
}

/// Keeps a pair in the context of its thread: see [`mdc`].
#[must_use = "the pair leaves the context when the scope is dropped"]
#[derive(Debug)]
pub struct MdcScope {
    number: Option<u64>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for MdcScope {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            context::remove(number);
            call::context_changed();
        }
    }
}
