//! From which level on the events of each category are taken.

use super::LevelFilter;
use crate::category::{CATEGORIES_MAX, CategoryMap, TooManyCategories};

/// From which level on the events of each category are taken.
///
/// The level of a category is its own, or that of the nearest category above it that has one; the
/// root always has one. The threshold raises all of them and lowers none.
///
/// # Examples
/// ```
/// use rollway::Level;
/// use rollway::level::Levels;
///
/// let mut levels = Levels::new(Level::INFO);
/// levels.set("shop::db", Some(Level::DEBUG.into()))?;
/// assert_eq!(levels.of("shop::db::pool"), Level::DEBUG.into());
/// assert_eq!(levels.of("shop"), Level::INFO.into());
/// levels.set_threshold(Level::WARN);
/// assert_eq!(levels.of("shop::db::pool"), Level::WARN.into());
/// # Ok::<(), rollway::level::TooManyCategories>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    root: LevelFilter,
    threshold: LevelFilter,
    categories: CategoryMap<LevelFilter>,
}

impl Levels {
    /// One level for all categories, and no threshold.
    pub fn new(root: impl Into<LevelFilter>) -> Levels {
        Levels { root: root.into(), threshold: LevelFilter::ALL, categories: CategoryMap::new() }
    }

    /// What counts for events of this category.
    pub fn of(&self, category: &str) -> LevelFilter {
        self.without_threshold(category).stricter(self.threshold)
    }

    fn without_threshold(&self, category: &str) -> LevelFilter {
        self.categories.path(category).next().copied().unwrap_or(self.root)
    }

    /// The level of the root.
    pub fn root(&self) -> LevelFilter {
        self.root
    }

    /// Sets the level of the root.
    pub fn set_root(&mut self, level: impl Into<LevelFilter>) {
        self.root = level.into();
    }

    /// What no event below passes, whatever the level of its category.
    pub fn threshold(&self) -> LevelFilter {
        self.threshold
    }

    /// Sets the threshold.
    pub fn set_threshold(&mut self, threshold: impl Into<LevelFilter>) {
        self.threshold = threshold.into();
    }

    /// Gives a category a level of its own, or takes it away. The root keeps its level where it would
    /// lose it.
    ///
    /// # Errors
    /// [`TooManyCategories`] where [`CATEGORIES_MAX`](crate::level::CATEGORIES_MAX) have one.
    pub fn set(
        &mut self,
        category: &str,
        level: Option<LevelFilter>,
    ) -> Result<(), TooManyCategories> {
        match level {
            Some(level) if is_root(category) => self.root = level,
            None => self.categories.remove(category),
            Some(_)
                if self.categories.len() >= CATEGORIES_MAX
                    && self.categories.get(category).is_none() =>
            {
                return Err(TooManyCategories { category: category.to_owned() });
            }
            Some(level) => self.categories.insert(category, level),
        }
        Ok(())
    }

    /// Lowers the level of a category by so many [steps](LevelFilter::lower_by), so that more of its
    /// events are taken, or raises it. From then on it has a level of its own.
    ///
    /// # Errors
    /// As [`Levels::set`].
    pub fn lower_by(&mut self, category: &str, steps: i32) -> Result<(), TooManyCategories> {
        let level = self.without_threshold(category).lower_by(steps);
        self.set(category, Some(level))
    }

    /// The categories that have a level of their own, each behind those above it. The root is not
    /// among them.
    pub fn categories(&self) -> impl Iterator<Item = (&str, LevelFilter)> {
        self.categories.iter().map(|(category, level)| (category, *level))
    }

    /// The least and the greatest number that a level can have which some category takes.
    pub(super) fn bounds(&self) -> (u8, u8) {
        let all = self.categories.iter().map(|(_, level)| *level).chain([self.root]);
        let numbers = all.map(|level| level.stricter(self.threshold).lowest_number());
        numbers.fold((u8::MAX, 0), |(least, most), number| (least.min(number), most.max(number)))
    }
}

fn is_root(category: &str) -> bool {
    category.trim_matches(['.', ':']).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    #[test]
    fn a_category_without_a_level_has_that_of_the_nearest_above() {
        let mut levels = Levels::new(Level::WARN);
        levels.set("shop", Some(Level::INFO.into())).unwrap();
        levels.set("shop.till.drawer", Some(Level::TRACE.into())).unwrap();
        let of = |category| levels.of(category);
        assert_eq!(of("shop::till"), Level::INFO.into());
        assert_eq!(of("shop::till::drawer::coin"), Level::TRACE.into());
        assert_eq!([of("shopping"), of("")], [Level::WARN.into(); 2]);
    }

    #[test]
    fn the_level_of_a_child_leaves_its_parent_alone() {
        let mut levels = Levels::new(Level::WARN);
        levels.set("a::b", Some(Level::DEBUG.into())).unwrap();
        assert_eq!(levels.of("a"), Level::WARN.into());
        levels.set("a::b", None).unwrap();
        assert_eq!(levels, Levels::new(Level::WARN));
    }

    #[test]
    fn the_root_keeps_a_level() {
        let mut levels = Levels::new(Level::WARN);
        levels.set("", None).unwrap();
        assert_eq!(levels.root(), Level::WARN.into());
        levels.set("::", Some(Level::DEBUG.into())).unwrap();
        assert_eq!((levels.root(), levels.categories().count()), (Level::DEBUG.into(), 0));
    }

    #[test]
    fn a_threshold_raises_levels_and_lowers_none() {
        let mut levels = Levels::new(Level::DEBUG);
        levels.set("quiet", Some(Level::ERROR.into())).unwrap();
        levels.set_threshold(Level::WARN);
        assert_eq!(levels.of("x"), Level::WARN.into());
        assert_eq!(levels.of("quiet"), Level::ERROR.into());
        assert_eq!(levels.bounds(), (Level::WARN.number(), Level::ERROR.number()));
    }

    #[test]
    fn a_level_is_lowered_and_raised_by_steps_from_what_counts_so_far() {
        let mut levels = Levels::new(Level::ERROR);
        levels.lower_by("a::b", 2).unwrap();
        assert_eq!([levels.of("a::b"), levels.of("a")], [Level::INFO.into(), Level::ERROR.into()]);
        levels.lower_by("a::b", -1).unwrap();
        assert_eq!(levels.of("a::b"), Level::WARN.into());
        levels.lower_by("", 100).unwrap();
        levels.lower_by("a::b", i32::MIN).unwrap();
        assert_eq!([levels.of("a"), levels.of("a::b")], [LevelFilter::ALL, LevelFilter::OFF]);
    }

    #[test]
    fn categories_with_a_level_are_bounded() {
        let mut levels = Levels::new(Level::INFO);
        for n in 0..CATEGORIES_MAX {
            // In their order, so that filling them is quick.
            levels.set(&format!("c{n:04}"), Some(Level::WARN.into())).unwrap();
        }
        let error = levels.set("late", Some(Level::WARN.into())).unwrap_err();
        assert!(error.to_string().contains("`late`"), "{error}");
        levels.set("c0000", Some(Level::DEBUG.into())).unwrap();
        levels.set("c0000", None).unwrap();
        levels.set("late", Some(Level::WARN.into())).unwrap();
    }
}
