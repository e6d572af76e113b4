//! Levels in a line of text, as `RUST_LOG` has them.

use std::fmt;

use crate::level::{LevelFilter, Levels, TooManyCategories, nearly};

/// A longer text is not read beyond its first so many directives.
const DIRECTIVES_MAX: usize = 1024;
/// Where [`Directives::from_env`] looks, first to last.
const VARIABLES: [&str; 2] = ["ROLLWAY_LOG", "RUST_LOG"];

/// Levels in a line of text: `info,my::mod=debug,noisy=off`.
///
/// Directives are separated by commas. `LEVEL` alone is the level of the root, `CATEGORY=LEVEL` that of
/// a category and all below it, and `CATEGORY` alone takes all events of it. A level is a name, `all`
/// or `off`, in any case. Of several directives for one category the last counts. What is wrong is left
/// out, and told by [`Directives::errors`]; the others hold.
///
/// # Examples
/// ```
/// use rollway::{Directives, Level};
///
/// let directives = Directives::parse("info, shop::db=debug, noisy=lound");
/// assert_eq!(directives.root(), Some(Level::INFO.into()));
/// assert_eq!(directives.categories().collect::<Vec<_>>(), [("shop::db", Level::DEBUG.into())]);
/// assert!(directives.errors()[0].to_string().starts_with("`noisy=lound` at character 23: "));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    root: Option<LevelFilter>,
    categories: Vec<(String, LevelFilter)>,
    errors: Vec<DirectiveError>,
}

impl Directives {
    /// Reads directives. Blanks around them and empty ones do not count.
    pub fn parse(text: &str) -> Directives {
        let mut directives = Directives::default();
        let mut column = 1;
        for (number, raw) in text.split(',').enumerate() {
            let directive = raw.trim();
            let indent = raw.len() - raw.trim_start().len();
            let at = column + raw[..indent].chars().count();
            column += raw.chars().count() + 1;
            if number == DIRECTIVES_MAX {
                let problem = Problem::TooMany;
                directives.errors.push(DirectiveError::new(directive, at, problem));
                break;
            }
            if directive.is_empty() {
                continue;
            }
            if let Err(problem) = directives.take(directive) {
                directives.errors.push(DirectiveError::new(directive, at, problem));
            }
        }
        directives
    }

    /// The directives in the environment variable `ROLLWAY_LOG`, else in `RUST_LOG`, with the name of
    /// the variable; `None` where both are missing or empty.
    pub fn from_env() -> Option<(&'static str, Directives)> {
        VARIABLES.into_iter().find_map(|name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some((name, Directives::parse(&value.to_string_lossy())))
        })
    }

    fn take(&mut self, directive: &str) -> Result<(), Problem> {
        let Some((category, level)) = directive.split_once('=') else {
            return self.take_word(directive);
        };
        let (category, level) = (category.trim(), level.trim());
        let category = check_category(category)?;
        let level = match level {
            // As others read it.
            "" => LevelFilter::ALL,
            level => level.parse().map_err(|_| Problem::Level {
                nearest: nearly(level),
                is_filter: level.contains('/'),
            })?,
        };
        self.set(category, level);
        Ok(())
    }

    /// A level, or a category of which everything is wanted.
    fn take_word(&mut self, word: &str) -> Result<(), Problem> {
        if let Ok(level) = word.parse() {
            self.root = Some(level);
            return Ok(());
        }
        if let Some(nearest) = nearly(word) {
            return Err(Problem::NearlyLevel { nearest });
        }
        let category = check_category(word)?;
        self.set(category, LevelFilter::ALL);
        Ok(())
    }

    fn set(&mut self, category: &str, level: LevelFilter) {
        self.categories.retain(|(known, _)| known != category);
        self.categories.push((category.to_owned(), level));
    }

    /// The level of the root, if a directive has it.
    pub fn root(&self) -> Option<LevelFilter> {
        self.root
    }

    /// The categories with their levels, in the order of their directives.
    pub fn categories(&self) -> impl Iterator<Item = (&str, LevelFilter)> {
        self.categories.iter().map(|(category, level)| (&**category, *level))
    }

    /// What was left out, and why.
    pub fn errors(&self) -> &[DirectiveError] {
        &self.errors
    }

    /// Whether no directive holds.
    pub fn is_empty(&self) -> bool {
        self.root.is_none() && self.categories.is_empty()
    }

    /// Changes the levels that the directives name, and no others.
    ///
    /// # Errors
    /// [`TooManyCategories`] at the first that has no room; those before it are set.
    pub fn apply_to(&self, levels: &mut Levels) -> Result<(), TooManyCategories> {
        if let Some(root) = self.root {
            levels.set_root(root);
        }
        self.categories().try_for_each(|(category, level)| levels.set(category, Some(level)))
    }
}

/// A category as it is written in programs and configurations.
fn check_category(category: &str) -> Result<&str, Problem> {
    if category.is_empty() {
        return Err(Problem::NoCategory);
    }
    match category.chars().find(|c| "[]{}/\"'=".contains(*c) || c.is_whitespace()) {
        Some(character) => Err(Problem::Character { character }),
        None => Ok(category),
    }
}

/// A directive that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectiveError {
    directive: String,
    character: usize,
    problem: Problem,
}

impl DirectiveError {
    fn new(directive: &str, character: usize, problem: Problem) -> DirectiveError {
        DirectiveError { directive: directive.to_owned(), character, problem }
    }

    /// The directive as it was given.
    pub fn directive(&self) -> &str {
        &self.directive
    }

    /// Where it begins in the text, in characters from 1 up.
    pub fn character(&self) -> usize {
        self.character
    }
}

/// What is wrong with a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Level { nearest: Option<&'static str>, is_filter: bool },
    NearlyLevel { nearest: &'static str },
    NoCategory,
    Character { character: char },
    TooMany,
}

impl fmt::Display for DirectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directive = self.directive.escape_debug();
        write!(f, "`{directive}` at character {}: ", self.character)?;
        match &self.problem {
            Problem::Level { is_filter: true, .. } => {
                write!(f, "a filter behind `/` is not for a level; use a filter of an appender")
            }
            Problem::Level { nearest: Some(nearest), .. } => {
                write!(f, "unknown level; did you mean `{nearest}`?")
            }
            Problem::Level { .. } => {
                write!(f, "unknown level; use trace, debug, info, warn, error, fatal, all or off")
            }
            Problem::NearlyLevel { nearest } => write!(
                f,
                "did you mean the level `{nearest}`? Write `{directive}=all` for a category of that name"
            ),
            Problem::NoCategory => {
                write!(
                    f,
                    "the category is missing in front of `=`; write a level alone for the root"
                )
            }
            Problem::Character { character } => write!(
                f,
                "`{}` is in no category; write `category=level`",
                character.escape_debug()
            ),
            Problem::TooMany => {
                write!(f, "it and all behind it are left out: {DIRECTIVES_MAX} directives are read")
            }
        }
    }
}

impl std::error::Error for DirectiveError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    fn errors(text: &str) -> Vec<String> {
        Directives::parse(text).errors().iter().map(DirectiveError::to_string).collect()
    }

    #[test]
    fn a_level_alone_is_the_roots_and_others_are_their_categories() {
        let directives = Directives::parse(" info,my::mod=debug , noisy=OFF,everything,half=,");
        assert!(directives.errors().is_empty());
        assert_eq!(directives.root(), Some(Level::INFO.into()));
        let categories: Vec<_> = directives.categories().collect();
        let all = LevelFilter::ALL;
        let expected = [
            ("my::mod", Level::DEBUG.into()),
            ("noisy", LevelFilter::OFF),
            ("everything", all),
            ("half", all),
        ];
        assert_eq!(categories, expected);
        assert!(Directives::parse(" , ").is_empty());
    }

    #[test]
    fn the_longest_prefix_of_whole_parts_counts_in_any_order() {
        for text in ["a=warn,a::b=trace,error", "error,a.b=trace,a=warn"] {
            let mut levels = Levels::new(Level::INFO);
            Directives::parse(text).apply_to(&mut levels).unwrap();
            assert_eq!(levels.of("a::b::c"), Level::TRACE.into(), "{text}");
            assert_eq!(levels.of("a::bc"), Level::WARN.into(), "{text}");
            assert_eq!(levels.of("ab"), Level::ERROR.into(), "{text}");
        }
    }

    #[test]
    fn the_last_of_two_directives_for_one_category_counts() {
        let directives = Directives::parse("a=warn,debug,a=trace,error");
        assert_eq!(directives.root(), Some(Level::ERROR.into()));
        assert_eq!(directives.categories().collect::<Vec<_>>(), [("a", Level::TRACE.into())]);
    }

    #[test]
    fn what_no_directive_names_keeps_its_level() {
        let mut levels = Levels::new(Level::WARN);
        levels.set("kept", Some(Level::ERROR.into())).unwrap();
        Directives::parse("a=debug").apply_to(&mut levels).unwrap();
        assert_eq!([levels.of("x"), levels.of("kept")], [Level::WARN.into(), Level::ERROR.into()]);
    }

    #[test]
    fn a_bad_directive_is_named_with_its_place_and_remedy_and_the_others_hold() {
        let text = "a=debug,größe=laut, wran,=info,b[span]=info,c=debug/x,d=info";
        let expected = [
            "`größe=laut` at character 9: unknown level; use trace, debug, info, warn, error, fatal, all or off",
            "`wran` at character 21: did you mean the level `warn`? Write `wran=all` for a category of that name",
            "`=info` at character 26: the category is missing in front of `=`; write a level alone for the root",
            "`b[span]=info` at character 32: `[` is in no category; write `category=level`",
            "`c=debug/x` at character 45: a filter behind `/` is not for a level; use a filter of an appender",
        ];
        assert_eq!(errors(text), expected);
        let held: Vec<_> =
            Directives::parse(text).categories().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(held, ["a", "d"]);
        assert_eq!(
            errors("a=dbug"),
            ["`a=dbug` at character 1: unknown level; did you mean `debug`?"]
        );
        assert!(errors("a\u{1b}[31m=info")[0].starts_with("`a\\u{1b}[31m=info` at"));
    }

    #[test]
    fn a_flood_of_directives_is_cut() {
        let text = vec!["a=info"; DIRECTIVES_MAX + 5].join(",");
        let errors = errors(&text);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("1024 directives"), "{errors:?}");
    }
}
