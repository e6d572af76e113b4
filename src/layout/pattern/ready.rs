//! Patterns that have a name.

use super::Pattern;

impl Pattern {
    /// The pattern of [`Pattern::basic`].
    pub const BASIC: &'static str = "[%d{ISO8601_WITH_TZ_OFFSET}] [%p] %c - %m%k%n";
    /// The pattern of [`Pattern::coloured`].
    pub const COLOURED: &'static str = "%[[%d{ISO8601_WITH_TZ_OFFSET}] [%p] %c - %]%m%k%n";
    /// The pattern of [`Pattern::brief`].
    pub const BRIEF: &'static str = "%p - %m%k%n";
    /// The pattern of [`Pattern::message_only`].
    pub const MESSAGE_ONLY: &'static str = "%m%n";

    /// Time to the millisecond, level, category, message and key-values.
    ///
    /// ```text
    /// [2026-11-21T10:00:00.123Z] [INFO] shop::till - sold 3 apples cashier=Ada
    /// ```
    pub fn basic() -> Pattern {
        ready(Pattern::BASIC)
    }

    /// As [`Pattern::basic`], everything before the message in the colour of its level: for
    /// terminals.
    pub fn coloured() -> Pattern {
        ready(Pattern::COLOURED)
    }

    /// Level, message and key-values.
    ///
    /// ```text
    /// INFO - sold 3 apples cashier=Ada
    /// ```
    pub fn brief() -> Pattern {
        ready(Pattern::BRIEF)
    }

    /// The message and nothing else, one line for each.
    pub fn message_only() -> Pattern {
        ready(Pattern::MESSAGE_ONLY)
    }
}

fn ready(pattern: &'static str) -> Pattern {
    // The patterns above name no zone, so that nothing outside of them decides.
    Pattern::parse(pattern).expect("a pattern of this module")
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::level::Level;
    use crate::value::Kind;

    fn line(mut layout: Pattern, level: Level) -> String {
        let mut fixture = Fixture::saying("sold 3 apples").with("till", Kind::U8, &[7]);
        fixture.level = level;
        let mut out = String::new();
        layout.write(&fixture.event(), &mut out);
        out
    }

    #[test]
    fn each_pattern_with_a_name_writes_its_line() {
        let info = |layout| line(layout, Level::INFO);
        let basic = "[2026-11-21T10:00:00.123Z] [INFO] shop::till - sold 3 apples till=7\n";
        assert_eq!(info(Pattern::basic()), basic);
        assert_eq!(info(Pattern::brief()), "INFO - sold 3 apples till=7\n");
        assert_eq!(info(Pattern::message_only()), "sold 3 apples\n");
    }

    #[test]
    fn what_stands_before_a_coloured_message_has_the_colour_of_its_level() {
        for (level, code) in [
            (Level::TRACE, 34),
            (Level::DEBUG, 36),
            (Level::INFO, 32),
            (Level::WARN, 33),
            (Level::ERROR, 91),
            (Level::FATAL, 35),
        ] {
            let expected = format!(
                "\x1b[{code}m[2026-11-21T10:00:00.123Z] [{level}] shop::till - \x1b[39msold 3 apples till=7\n"
            );
            assert_eq!(line(Pattern::coloured(), level), expected);
        }
    }

    #[test]
    fn colours_can_be_left_out() {
        let basic = line(Pattern::basic(), Level::WARN);
        assert_eq!(line(Pattern::coloured().colours(false), Level::WARN), basic);
        let mut layout: Box<dyn Layout> = Box::new(Pattern::coloured());
        let mut out = String::new();
        let mut fixture = Fixture::saying("m");
        layout.write(&fixture.event(), &mut out);
        assert!(out.contains('\x1b'));
        out.clear();
        layout.show_colours(false);
        layout.write(&fixture.event(), &mut out);
        assert_eq!(out, "[2026-11-21T10:00:00.123Z] [INFO] shop::till - m\n");
        assert_ne!(layout.hash(), Pattern::coloured().hash());
    }
}
