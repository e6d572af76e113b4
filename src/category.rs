//! Categories: names in a tree, with parts that `::` and `.` separate.
//!
//! Both separators mean the same, so that `shop.till` of a configuration is `shop::till` of a
//! program. Empty parts do not count; a name without parts is the root, which is above all.

use std::fmt;

/// Values by category. Sorted, so that a look-up allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CategoryMap<T> {
    /// By the parts of the category, none twice.
    entries: Vec<(Box<str>, T)>,
}

impl<T> CategoryMap<T> {
    pub(crate) const fn new() -> CategoryMap<T> {
        CategoryMap { entries: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives a category its value, in the place of an earlier one.
    pub(crate) fn insert(&mut self, category: &str, value: T) {
        let category = cut(category);
        match self.find(category) {
            Ok(at) => self.entries[at] = (category.into(), value),
            Err(at) => self.entries.insert(at, (category.into(), value)),
        }
    }

    pub(crate) fn remove(&mut self, category: &str) {
        if let Ok(at) = self.find(category) {
            self.entries.remove(at);
        }
    }

    /// The value of this very category.
    pub(crate) fn get(&self, category: &str) -> Option<&T> {
        self.find(category).ok().map(|at| &self.entries[at].1)
    }

    /// The values of the category and of what lies above it, the nearest first, the root's last.
    pub(crate) fn path(&self, category: &str) -> impl Iterator<Item = &T> {
        ancestors(cut(category)).filter_map(|category| self.get(category))
    }

    /// The categories with their values, each behind those above it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(category, value)| (&**category, value))
    }

    fn find(&self, category: &str) -> Result<usize, usize> {
        let category = cut(category);
        self.entries.binary_search_by(|(entry, _)| parts(entry).cmp(parts(category)))
    }
}

impl<T> Default for CategoryMap<T> {
    fn default() -> CategoryMap<T> {
        CategoryMap::new()
    }
}

/// A category of at most [`CATEGORY_BYTES_MAX`], cut at a character's border.
pub(crate) fn cut(category: &str) -> &str {
    &category[..category.floor_char_boundary(CATEGORY_BYTES_MAX)]
}

/// The parts of a category.
pub(crate) fn parts(category: &str) -> impl Iterator<Item = &str> {
    category.split(SEPARATORS).filter(|part| !part.is_empty())
}

/// Whether two names are those of one category.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    parts(cut(one)).eq(parts(cut(other)))
}

/// Whether a category is `above` itself, or lies below it.
pub(crate) fn is_within(category: &str, above: &str) -> bool {
    let mut found = parts(cut(category));
    parts(cut(above)).all(|part| found.next() == Some(part))
}

/// A category, what lies above it, and at last the root.
fn ancestors(category: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(category.trim_end_matches(SEPARATORS));
    std::iter::from_fn(move || {
        let this = next?;
        let above = this.rfind(SEPARATORS).map_or("", |at| this[..at].trim_end_matches(SEPARATORS));
        next = (!this.is_empty()).then_some(above);
        Some(this)
    })
}

/// A category that is chosen at run time is cut to this length wherever it is used.
const CATEGORY_BYTES_MAX: usize = 1024;
/// A colon alone separates, too.
const SEPARATORS: [char; 2] = ['.', ':'];

/// How many categories can have a level of their own.
pub const CATEGORIES_MAX: usize = 4096;

/// A category got no level of its own: as many as [`CATEGORIES_MAX`] have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyCategories {
    /// The category that came too late.
    pub category: String,
}

impl fmt::Display for TooManyCategories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "category `{}` gets no level: {CATEGORIES_MAX} categories have one; set that of a category above",
            self.category.escape_debug()
        )
    }
}

impl std::error::Error for TooManyCategories {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_above_a_category_comes_from_near_to_far() {
        let all = |category| ancestors(category).collect::<Vec<_>>();
        assert_eq!(all("a::b.c"), ["a::b.c", "a::b", "a", ""]);
        assert_eq!(all("shop"), ["shop", ""]);
        assert_eq!(all("::a::"), ["::a", ""]);
        assert_eq!(all("::"), [""]);
        assert_eq!(all(""), [""]);
    }

    #[test]
    fn both_separators_name_the_same_category() {
        let mut map = CategoryMap::new();
        map.insert("shop.till", 1);
        map.insert("shop::till", 2);
        map.insert("::shop", 3);
        assert_eq!(map.iter().collect::<Vec<_>>(), [("::shop", &3), ("shop::till", &2)]);
        assert_eq!((map.get("shop.till."), map.get("shop")), (Some(&2), Some(&3)));
        assert_eq!(map.path("shop.till::drawer").collect::<Vec<_>>(), [&2, &3]);
        assert_eq!(map.get("shoptill"), None);
    }

    #[test]
    fn a_category_without_end_is_that_of_its_beginning() {
        let mut map = CategoryMap::new();
        let long = |end| format!("a.{}.{end}", "é".repeat(600));
        map.insert("a", 1);
        map.insert(&long("x"), 2);
        assert_eq!(map.get(&long("y")), Some(&2));
        assert_eq!(map.path(&"a.".repeat(1 << 20)).collect::<Vec<_>>(), [&1]);
        assert!(cut(&long("x")).len() <= CATEGORY_BYTES_MAX);
    }

    #[test]
    fn the_root_is_above_all_and_a_removed_category_leaves_the_others() {
        let mut map = CategoryMap::new();
        for (category, value) in [("b", 1), ("", 0), ("a::x", 2), ("a", 3)] {
            map.insert(category, value);
        }
        assert_eq!(map.path("a::x::y").collect::<Vec<_>>(), [&2, &3, &0]);
        map.remove("a");
        map.remove("never");
        assert_eq!(map.path("a::x::y").collect::<Vec<_>>(), [&2, &0]);
        assert_eq!(map.path("elsewhere").collect::<Vec<_>>(), [&0]);
        assert_eq!(map.len(), 3);
    }
}
