//! What of an event names its file.

use crate::event::Event;
use crate::template;

/// What of an event names its file.
///
/// # Examples
/// ```
/// use rollway::appender::{Key, PerValue};
///
/// let by_tenant = PerValue::new("/var/log/shop", Key::context("tenant"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Key {
    /// The whole category.
    Category,
    /// The last parts of the category, this many; `::` and `.` separate them.
    CategoryParts(usize),
    /// The innermost value of this key of the context (MDC).
    Context(String),
    /// The first key-value of the call with this key.
    Pair(String),
    /// The host that logged it.
    Host,
    /// The service that logged it.
    Service,
}

impl Key {
    /// The value of `key` in the context.
    pub fn context(key: impl Into<String>) -> Key {
        Key::Context(key.into())
    }

    /// The value of `key` among the key-values of the call.
    pub fn pair(key: impl Into<String>) -> Key {
        Key::Pair(key.into())
    }

    /// Puts the value into `out`. `false` where the event has none, or an empty one.
    pub(super) fn find(&self, event: &Event<'_>, out: &mut String) -> bool {
        out.clear();
        match self {
            Key::Category => out.push_str(&event.site.category),
            Key::CategoryParts(parts) => out.push_str(last_parts(&event.site.category, *parts)),
            Key::Context(key) => out.push_str(event.context.get(key).unwrap_or_default()),
            Key::Pair(key) => {
                if let Some((_, value)) = event.pairs().find(|(name, _)| name == key) {
                    template::push_value(value, out);
                }
            }
            Key::Host => out.push_str(&event.source.host),
            Key::Service => out.push_str(&event.source.service),
        }
        !out.is_empty()
    }
}

/// The last parts of a category, this many.
fn last_parts(category: &str, parts: usize) -> &str {
    if parts == 0 {
        return "";
    }
    let mut from = category.len();
    for _ in 0..parts {
        let before = category[..from].trim_end_matches([':', '.']);
        match before.rfind([':', '.']) {
            Some(at) => from = at + 1,
            None => return category,
        }
    }
    &category[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_parts_of_a_category_are_counted_from_its_end() {
        let parts = |parts| last_parts("shop::till.drawer", parts);
        assert_eq!([parts(0), parts(1), parts(2)], ["", "drawer", "till.drawer"]);
        assert_eq!([parts(3), parts(9)], ["shop::till.drawer"; 2]);
        assert_eq!(last_parts("", 2), "");
        assert_eq!(last_parts("::", 1), "::");
    }
}
