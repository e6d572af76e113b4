//! How a value is rendered: by which trait, and with which flags.

use std::error::Error;
use std::fmt;

/// Renders a value with the flags of its placeholder.
///
/// That it has the trait is checked where this is made, so the compiler complains once. A function
/// pointer, not a closure: all calls with values of the same types share their code.
pub struct By<'a, T: ?Sized> {
    value: &'a T,
    counts: Counts,
    render: Render<T>,
}

/// The widths and precisions that a placeholder takes from arguments.
pub type Counts = [usize; 2];
/// Renders a value, counts at hand.
pub type Render<T> = fn(&T, Counts, &mut fmt::Formatter<'_>) -> fmt::Result;

impl<'a, T: ?Sized> By<'a, T> {
    /// Renders as `render` does.
    #[inline]
    pub fn function(value: &'a T, counts: Counts, render: Render<T>) -> By<'a, T> {
        By { value, counts, render }
    }

    /// Renders as `{}` does.
    #[inline]
    pub fn display(value: &'a T) -> By<'a, T>
    where
        T: fmt::Display,
    {
        By::function(value, [0; 2], |value, _, f| value.fmt(f))
    }

    /// Renders as `{:?}` does.
    #[inline]
    pub fn debug(value: &'a T) -> By<'a, T>
    where
        T: fmt::Debug,
    {
        By::function(value, [0; 2], |value, _, f| value.fmt(f))
    }
}

impl<T: ?Sized> fmt::Display for By<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.render)(self.value, self.counts, f)
    }
}

/// Renders a value by `Display`, if it has that: a pair's value needs it only if it has no raw form.
pub struct ByDisplay<'a, T: ?Sized>(pub &'a T);

impl<T: fmt::Display + ?Sized> fmt::Display for ByDisplay<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// Derived ones would ask the same of `T`.
impl<T: ?Sized> Clone for By<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for By<'_, T> {}

impl<T: ?Sized> Clone for ByDisplay<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ByDisplay<'_, T> {}

/// Renders an error and what caused it: `cannot read the file: permission denied`.
#[derive(Clone, Copy)]
pub struct ByCauses<'a>(pub &'a (dyn Error + 'a));

impl ByCauses<'_> {
    /// Causes that are rendered; an error might be its own.
    const CAUSES_MAX: usize = 64;
}

impl fmt::Display for ByCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |&error| error.source());
        for cause in causes.take(Self::CAUSES_MAX) {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

/// Whatever is an error or dereferences to one.
pub trait AsDynError<'a> {
    /// The error.
    fn as_dyn_error(&self) -> &(dyn Error + 'a);
}

impl<'a, T: Error + 'a> AsDynError<'a> for T {
    fn as_dyn_error(&self) -> &(dyn Error + 'a) {
        self
    }
}

macro_rules! as_dyn_error {
    ($($error:ty),*) => {$(
        impl<'a> AsDynError<'a> for $error {
            fn as_dyn_error(&self) -> &(dyn Error + 'a) {
                self
            }
        }
    )*};
}

as_dyn_error!(dyn Error + 'a, dyn Error + Send + 'a, dyn Error + Send + Sync + 'a);
