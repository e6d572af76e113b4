//! Which events `cat` and `tail` show.

use crate::event::Event;
use crate::level::LevelFilter;

/// Which events are shown.
#[derive(Default)]
pub(super) struct Filter {
    /// Nanoseconds since 1970-01-01 UTC.
    pub(super) since_ns: Option<i64>,
    /// The same; the moment itself is left out.
    pub(super) until_ns: Option<i64>,
    pub(super) level: Option<LevelFilter>,
    /// Any of these; none means all.
    pub(super) categories: Vec<String>,
}

impl Filter {
    pub(super) fn takes(&self, event: &Event<'_>) -> bool {
        self.since_ns.is_none_or(|since| event.time_ns >= since)
            && self.until_ns.is_none_or(|until| event.time_ns < until)
            && self.level.is_none_or(|level| level.allows(event.level))
            && (self.categories.is_empty()
                || self.categories.iter().any(|prefix| is_below(&event.site.category, prefix)))
    }
}

/// Whether a category is `prefix` or one of its children, by `::` or `.`.
fn is_below(category: &str, prefix: &str) -> bool {
    category.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty()
            || prefix.is_empty()
            || rest.starts_with('.')
            || rest.starts_with("::")
            || prefix.ends_with(['.', ':'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_shown_with_its_children_and_not_with_its_neighbours() {
        for (category, prefix, shown) in [
            ("shop::till", "shop", true),
            ("shop.till", "shop", true),
            ("shop::till", "shop::till", true),
            ("shop::tiller", "shop::till", false),
            ("shop", "shop::till", false),
            ("shop::till", "shop::", true),
            ("anything", "", true),
        ] {
            assert_eq!(is_below(category, prefix), shown, "{category} below {prefix}");
        }
    }
}
