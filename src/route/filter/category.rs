//! Filters that look at an event's category.

use super::{Answers, Filter, Verdict, answers};
use crate::category::{is_same, is_within};
use crate::event::Event;

/// Asks whether an event's category is one of a list, or lies below one. `::` and `.` mean the same.
///
/// # Examples
/// ```
/// use rollway::route::filter::Category;
///
/// let no_noise = Category::below(["hyper", "h2"]).reject();
/// let exactly = Category::exactly(["shop::till"]);
/// # let _ = (no_noise, exactly);
/// ```
#[derive(Clone, Debug)]
pub struct Category {
    categories: Vec<Box<str>>,
    takes_below: bool,
    answers: Answers,
}

impl Category {
    /// Accepts these categories and none else.
    pub fn exactly(categories: impl IntoIterator<Item = impl Into<Box<str>>>) -> Category {
        let categories = categories.into_iter().map(Into::into).collect();
        Category { categories, takes_below: false, answers: Answers::default() }
    }

    /// Accepts these categories and all below them.
    pub fn below(categories: impl IntoIterator<Item = impl Into<Box<str>>>) -> Category {
        Category { takes_below: true, ..Category::exactly(categories) }
    }

    fn holds(&self, category: &str) -> bool {
        let mut wanted = self.categories.iter();
        match self.takes_below {
            true => wanted.any(|wanted| is_within(category, wanted)),
            false => wanted.any(|wanted| is_same(category, wanted)),
        }
    }
}

answers!(Category);

impl Filter for Category {
    fn judge(&self, event: &Event<'_>) -> Verdict {
        self.answers.of(self.holds(&event.site.category))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_holds_itself_and_if_wanted_what_lies_below() {
        let exactly = Category::exactly(["a::b", "c"]);
        let below = Category::below(["a.b", "c"]);
        for (category, is_exact, is_below) in [
            ("a::b", true, true),
            ("a.b", true, true),
            ("c", true, true),
            ("a::b::d", false, true),
            ("a::b.d", false, true),
            ("a::bc", false, false),
            ("a", false, false),
            ("", false, false),
        ] {
            assert_eq!(exactly.holds(category), is_exact, "{category}");
            assert_eq!(below.holds(category), is_below, "{category}");
        }
        assert!(Category::below([""]).holds("anything"));
        assert!(!Category::exactly([""]).holds("anything"));
    }
}
