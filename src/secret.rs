//! A value that no log shows.

use std::fmt;

/// Shown in the place of the value.
const HIDDEN: &str = "[secret]";

/// A value that shows as `[secret]` wherever it is formatted: as an argument or key-value of a log
/// call, within other values, in an `assert!`.
///
/// The value itself never gets into a record, and with it into no ring, journal, master or
/// appender. Whoever needs it says [`expose`](Secret::expose). Its memory is that of any other value:
/// nothing is locked or wiped.
///
/// # Examples
/// ```
/// use rollway::Secret;
///
/// #[derive(Debug)]
/// struct Login<'a> {
///     user: &'a str,
///     password: Secret<String>,
/// }
///
/// let login = Login { user: "ada", password: Secret::new("hunter2".to_owned()) };
/// rollway::info!(password = login.password; "{login:?} with {}", login.password);
/// assert_eq!(format!("{login:?}"), r#"Login { user: "ada", password: [secret] }"#);
/// assert_eq!(login.password.expose(), "hunter2");
/// ```
#[derive(Clone, Copy, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Keeps a value from being shown.
    pub const fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, which can be shown from then on.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The value.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Secret<T> {
        Secret::new(value)
    }
}

// Neither asks anything of `T`, so that nothing of it can come through; flags are for the value.

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither of its traits may be asked.
    struct Unshowable;

    #[test]
    fn no_flag_and_no_wrapping_shows_anything_of_it() {
        let secret = Secret::new(Unshowable);
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?} {secret:.3} {secret:>3}"),
            "[secret] ".repeat(5).trim_end()
        );
        let number = [Some(Secret::new(4711))];
        assert_eq!(format!("{number:02x?} {number:5?}"), "[Some([secret])] [Some([secret])]");
    }
}
