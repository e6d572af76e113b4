//! Arguments of a call, each captured as itself where its type allows, else rendered.

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::Rendered;

/// An argument, and what renders it where it has no raw form.
///
/// `capture` is the value's own form if its type has one, else that of [`Rendered`].
pub struct Argument<'a, T: ?Sized, R> {
    value: &'a T,
    rendered: Rendered<R>,
}

impl<'a, T: ?Sized, R> Argument<'a, T, R> {
    /// An argument that `render` would render.
    #[inline]
    pub fn new(value: &'a T, render: R) -> Argument<'a, T, R> {
        Argument { value, rendered: Rendered::new(render) }
    }
}

impl<'a, T: CaptureRaw<'a, R> + ?Sized, R: Copy> Argument<'a, T, R> {
    /// The value as itself.
    #[inline]
    pub fn capture(&self) -> T::Captured {
        self.value.capture_raw(self.rendered.render)
    }
}

impl<T: ?Sized, R> Deref for Argument<'_, T, R> {
    type Target = Rendered<R>;

    #[inline]
    fn deref(&self) -> &Rendered<R> {
        &self.rendered
    }
}

/// A type whose values can be copied as they are. `R` renders the value where that is no use after
/// all.
pub trait CaptureRaw<'a, R> {
    /// What a record takes: a [`Capture`](super::Capture), if `R` can render where that is needed.
    type Captured;
    /// What a record takes of an `Option` of this.
    type Optional;

    /// Takes a copy of a fixed-size value, a reference to any other.
    fn capture_raw(&'a self, render: R) -> Self::Captured;

    /// The same for a value that may be absent; `render` renders the `Option`.
    fn capture_optional(value: Option<&'a Self>, render: R) -> Self::Optional;
}

macro_rules! capture_copies {
    ($($source:ty => $captured:ty;)*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for $source {
            type Captured = $captured;
            type Optional = Option<$captured>;

            #[inline]
            fn capture_raw(&'a self, _: R) -> $captured {
                *self as $captured
            }

            #[inline]
            fn capture_optional(value: Option<&'a $source>, _: R) -> Option<$captured> {
                value.map(|value| *value as $captured)
            }
        }
    )*};
}

capture_copies! {
    u8 => u8; u16 => u16; u32 => u32; u64 => u64; u128 => u128; usize => u64;
    i8 => i8; i16 => i16; i32 => i32; i64 => i64; i128 => i128;
    f32 => f32; f64 => f64; bool => bool; char => char;
}
// A negative number shows its width in hexadecimal.
#[cfg(target_pointer_width = "64")]
capture_copies! { isize => i64; }
#[cfg(not(target_pointer_width = "64"))]
capture_copies! { isize => i32; }

macro_rules! capture_references {
    ($($source:ty),*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for $source {
            type Captured = &'a $source;
            type Optional = Option<&'a $source>;

            #[inline]
            fn capture_raw(&'a self, _: R) -> &'a $source {
                self
            }

            #[inline]
            fn capture_optional(value: Option<&'a $source>, _: R) -> Option<&'a $source> {
                value
            }
        }
    )*};
}

capture_references!(str, [u8]);

macro_rules! render_lists {
    ($($element:ty)*) => {$(
        impl<'a, R> CaptureRaw<'a, R> for [$element] {
            type Captured = Rendered<R>;
            type Optional = Rendered<R>;

            #[inline]
            fn capture_raw(&'a self, render: R) -> Rendered<R> {
                Rendered::new(render)
            }

            #[inline]
            fn capture_optional(_: Option<&'a [$element]>, render: R) -> Rendered<R> {
                Rendered::new(render)
            }
        }
    )*};
}

render_lists!(u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! capture_through {
    ($([$($generics:tt)*] $source:ty => $inner:ty;)*) => {$(
        impl<'a, R, $($generics)*> CaptureRaw<'a, R> for $source
        where
            $inner: CaptureRaw<'a, R>,
        {
            type Captured = <$inner as CaptureRaw<'a, R>>::Captured;
            type Optional = <$inner as CaptureRaw<'a, R>>::Optional;

            #[inline]
            fn capture_raw(&'a self, render: R) -> Self::Captured {
                let inner: &'a $inner = self;
                inner.capture_raw(render)
            }

            #[inline]
            fn capture_optional(value: Option<&'a Self>, render: R) -> Self::Optional {
                let inner = value.map(|value| -> &'a $inner { value });
                <$inner as CaptureRaw<'a, R>>::capture_optional(inner, render)
            }
        }
    )*};
}

capture_through! {
    [T: ?Sized] &T => T;
    [T: ?Sized] &mut T => T;
    [T: ?Sized] Box<T> => T;
    [T: ?Sized] Rc<T> => T;
    [T: ?Sized] Arc<T> => T;
    [T: ?Sized + ToOwned] Cow<'_, T> => T;
    [] String => str;
    [T] Vec<T> => [T];
    [T, const N: usize] [T; N] => [T];
}

impl<'a, T: CaptureRaw<'a, R>, R> CaptureRaw<'a, R> for Option<T> {
    type Captured = T::Optional;
    /// A record has no kind for an `Option` of an `Option`.
    type Optional = Rendered<R>;

    #[inline]
    fn capture_raw(&'a self, render: R) -> T::Optional {
        T::capture_optional(self.as_ref(), render)
    }

    #[inline]
    fn capture_optional(_: Option<&'a Option<T>>, render: R) -> Rendered<R> {
        Rendered::new(render)
    }
}
