//! The nested diagnostic context (NDC): a stack of texts that a thread's events carry.

use std::fmt;
use std::marker::PhantomData;

use super::call;
use crate::context;

/// Pushes a text on the stack of the calling thread, until the scope ends.
///
/// Every event that the thread logs meanwhile carries the whole stack. It is 64 texts deep; a
/// further one takes the place of the innermost. Limits and cost as for [`mdc`](crate::mdc).
///
/// # Examples
/// ```
/// let _import = rollway::ndc("import");
/// for file in ["a.csv", "b.csv"] {
///     let _file = rollway::ndc(file);
///     rollway::info!("read"); // carries `import`, `a.csv`
/// }
/// ```
pub fn ndc(text: impl fmt::Display) -> NdcScope {
    let scope = context::push_text(text, true);
    call::context_changed();
    NdcScope { scope, _of_this_thread: PhantomData }
}

/// Keeps a text on the stack of its thread: see [`ndc`].
#[must_use = "the text leaves the stack when the scope is dropped"]
#[derive(Debug)]
pub struct NdcScope {
    scope: Option<u64>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for NdcScope {
    fn drop(&mut self) {
        if let Some(scope) = self.scope {
            context::leave(scope);
            call::context_changed();
        }
    }
}

/// The stack of the calling thread, for whoever cannot hold the scope that [`ndc`] returns.
///
/// # Examples
/// ```
/// use rollway::Ndc;
///
/// Ndc::push("import");
/// Ndc::push("a.csv");
/// assert_eq!(Ndc::get(), ["import", "a.csv"]);
/// assert_eq!(Ndc::pop().as_deref(), Some("a.csv"));
/// Ndc::clear();
/// assert_eq!(Ndc::pop(), None);
/// ```
#[derive(Debug)]
pub struct Ndc;

impl Ndc {
    /// Pushes a text, until somebody pops it. Limits as for [`ndc`].
    pub fn push(text: impl fmt::Display) {
        context::push_text(text, false);
        call::context_changed();
    }

    /// Removes the innermost text, also one of a scope, and returns it.
    pub fn pop() -> Option<String> {
        let text = context::pop_text();
        call::context_changed();
        text
    }

    /// All texts, outermost first.
    pub fn get() -> Vec<String> {
        context::texts()
    }

    /// Removes all texts, those of scopes, too.
    pub fn clear() {
        context::clear_texts();
        call::context_changed();
    }
}
