//! A format string parsed once; values rendered as `std::fmt` would.
//!
//! Text and values may come from another process and be damaged: nothing here panics, and what a
//! template asks for and a record has not is shown as `{?}`.

mod chunk;
mod number;
mod pad;
mod parse;
mod plain;
mod render;

use crate::record::Values;
use crate::value::Value;
pub use chunk::Chunk;
pub(crate) use chunk::Chunks;
pub(crate) use number::plain_float;
use parse::{Count, Piece, Pieces, Placeholder, Spec};
pub(crate) use plain::{is_plain, is_plain_but_for_quotes, is_plain_word};
use render::{Flags, Renderer};

/// A parsed format string.
///
/// # Examples
/// ```
/// use rollway::record::Values;
/// use rollway::template::Template;
///
/// let template = Template::parse("{{ready}} {user} paid {:>1$}");
/// assert_eq!(template.slots(), 3);
///
/// let mut message = String::new();
/// template.render(&mut Values::NONE.clone(), &mut message);
/// assert_eq!(message, "{ready} {?} paid {?}");
/// ```
#[derive(Clone, Debug)]
pub struct Template {
    text: Box<str>,
    /// `None` for a text that is no format string.
    parts: Option<Parts>,
    slots: usize,
    /// Whether its literal text is plain.
    is_plain: bool,
}

/// A format string as literal text, value, literal text, value, … and literal text.
#[derive(Clone, Debug, Default)]
struct Parts {
    steps: Box<[Step]>,
    tail: Box<str>,
}

#[derive(Clone, Debug)]
struct Step {
    literal: Box<str>,
    show: Show,
}

/// How a value is shown.
#[derive(Clone, Debug)]
enum Show {
    /// `{}`.
    Display,
    /// Anything else.
    Formatted {
        flags: Flags,
        /// Whether the width is the next value.
        takes_width: bool,
        /// Whether the precision is the next value, behind the width.
        takes_precision: bool,
    },
}

/// Stands for a value that the record does not have.
const MISSING: &str = "{?}";

impl Template {
    /// Bytes after which rendering stops at the next value or element, with `…`: 16 MiB.
    ///
    /// The longest record makes less, unless its widths or precisions are out of all proportion.
    pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

    /// Parses `text`. A text that is no format string renders as itself and all values behind it.
    pub fn parse(text: &str) -> Template {
        let parts = Parts::parse(text);
        let slots =
            parts.as_ref().map_or(usize::MAX, |parts| parts.steps.iter().map(Step::slots).sum());
        let is_plain = parts.as_ref().map_or(is_plain(text), Parts::is_plain);
        Template { text: text.into(), parts, slots, is_plain }
    }

    /// The format string as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many values of a record the template takes; key-values follow them. A text that is no
    /// format string takes all there are: [`usize::MAX`].
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The message of these values as its parts.
    pub(crate) fn chunks<'a>(&'a self, values: Values<'a>) -> Chunks<'a> {
        Chunks::new(self, values)
    }

    /// The texts in front of each value and the one behind the last, where all values are shown as
    /// `{}`.
    pub(crate) fn texts(&self) -> Option<(impl Iterator<Item = &str>, &str)> {
        let parts = self.parts.as_ref()?;
        let is_display = |step: &Step| matches!(step.show, Show::Display);
        let texts = parts.steps.iter().map(|step| &*step.literal);
        parts.steps.iter().all(is_display).then_some((texts, &*parts.tail))
    }

    /// Appends the message to `out`, taking its values from the front of `values`.
    ///
    /// The message is byte for byte what [`std::format!`] makes of the same format string and
    /// arguments. A value that is missing is shown as `{?}`, a width or precision above 65535 is
    /// taken as 65535, and a message ends with `…` at [`Template::MESSAGE_BYTES_MAX`].
    ///
    /// Returns whether the message is *plain*: certainly nothing but printable ASCII without
    /// quotes and backslashes, so that no layout has to escape any of it.
    pub fn render(&self, values: &mut Values<'_>, out: &mut String) -> bool {
        let mut renderer = Renderer::new(out, Self::MESSAGE_BYTES_MAX);
        renderer.is_plain = self.is_plain;
        let Some(parts) = &self.parts else {
            renderer.out.push_str(&self.text);
            for value in values {
                renderer.out.push(' ');
                renderer.display(value);
            }
            return renderer.is_plain;
        };
        for step in &parts.steps {
            renderer.out.push_str(&step.literal);
            if renderer.is_full() {
                renderer.out.push('…');
                return false;
            }
            step.show.render(values, &mut renderer);
        }
        renderer.out.push_str(&parts.tail);
        renderer.is_plain
    }
}

/// Appends one value as `{}` shows it: an `Option` and bytes, which have no such form, as `{:?}`.
///
/// # Examples
/// ```
/// use rollway::template::push_value;
/// use rollway::value::{Scalar, Value};
///
/// let mut text = String::from("tries=");
/// push_value(Value::Plain(Scalar::U8(3)), &mut text);
/// assert_eq!(text, "tries=3");
/// ```
pub fn push_value(value: Value<'_>, out: &mut String) {
    Renderer::new(out, Template::MESSAGE_BYTES_MAX).display(value);
}

impl Parts {
    fn parse(text: &str) -> Option<Parts> {
        let mut steps = Vec::new();
        let mut literal = String::new();
        for piece in Pieces::new(text) {
            match piece.ok()? {
                Piece::Literal(part) => literal.push_str(part),
                Piece::Placeholder(placeholder) => {
                    let literal = std::mem::take(&mut literal).into();
                    steps.push(Step { literal, show: Show::from(placeholder) });
                }
            }
        }
        Some(Parts { steps: steps.into(), tail: literal.into() })
    }

    fn is_plain(&self) -> bool {
        self.steps.iter().all(|step| is_plain(&step.literal)) && is_plain(&self.tail)
    }
}

impl Step {
    /// How many values the step takes.
    fn slots(&self) -> usize {
        match self.show {
            Show::Display => 1,
            Show::Formatted { takes_width, takes_precision, .. } => {
                1 + usize::from(takes_width) + usize::from(takes_precision)
            }
        }
    }
}

impl From<Placeholder<'_>> for Show {
    fn from(placeholder: Placeholder<'_>) -> Show {
        let spec = placeholder.spec;
        if spec == Spec::NONE {
            return Show::Display;
        }
        Show::Formatted {
            flags: Flags::from(spec),
            takes_width: matches!(spec.width, Count::Argument(_)),
            takes_precision: matches!(spec.precision, Count::Argument(_)),
        }
    }
}

impl Show {
    fn render(&self, values: &mut Values<'_>, renderer: &mut Renderer<'_>) {
        match self {
            Show::Display => match values.next() {
                Some(value) => renderer.display(value),
                None => renderer.out.push_str(MISSING),
            },
            Show::Formatted { flags, takes_width, takes_precision } => {
                let mut flags = *flags;
                if *takes_width {
                    flags.width = values.next().and_then(count).unwrap_or(0);
                }
                if *takes_precision {
                    flags.precision = values.next().and_then(count);
                }
                match values.next() {
                    Some(value) => renderer.formatted(&flags, value),
                    None => renderer.out.push_str(MISSING),
                }
            }
        }
    }
}

/// A width or precision that came as a value.
fn count(value: Value<'_>) -> Option<u16> {
    let number = number::Integer::of(value.scalar()?)?;
    number.is_negative.eq(&false).then(|| u16::try_from(number.magnitude).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::{self, encode_record};
    use crate::level::Level;
    use crate::record::{MAX_BYTES, Records};
    use crate::site::{Definition, Names};

    pub(super) fn render(text: &str, values: impl capture::Values) -> String {
        with_values(values, |values| {
            let mut out = String::new();
            Template::parse(text).render(&mut { values }, &mut out);
            out
        })
    }

    /// Calls `f` with the values as a record has them.
    pub(super) fn with_values<R>(
        values: impl capture::Values,
        f: impl FnOnce(Values<'_>) -> R,
    ) -> R {
        let site = Definition {
            level: Level::INFO,
            line: 0,
            column: 0,
            target: "",
            module: "",
            file: "",
            template: "",
            names: Names::Listed(&[]),
        };
        let record = encode_record(&site, None, Level::INFO, None, 0, MAX_BYTES, values).unwrap();
        let (_, values) = Records::new(&record).next().unwrap().unwrap().open().unwrap();
        f(values)
    }

    #[test]
    fn a_value_that_is_missing_is_shown_as_a_question() {
        assert_eq!(render("{} {:>5} {x}", (1u8, ())), "1 {?} {?}");
        assert_eq!(render("{:w$}", (1u64, ())), "{?}");
    }

    #[test]
    fn values_behind_those_of_the_template_are_left() {
        assert_eq!(render("{}", (1u8, ("key", ()))), "1");
    }

    #[test]
    fn a_text_that_is_no_format_string_loses_no_value() {
        assert_eq!(render("a {} b {", (1u8, ("x", (Some(2.5f64), ())))), "a {} b { 1 x Some(2.5)");
        assert_eq!(Template::parse("{").slots(), usize::MAX);
    }

    #[test]
    fn a_width_that_is_none_or_too_great_does_no_harm() {
        assert_eq!(render("{:w$}", ("x", ("y", ()))), "y");
        assert_eq!(render("{:w$}", (-1i64, ("y", ()))), "y");
        assert_eq!(render("{:w$}", (u128::MAX, ("y", ()))).len(), 65_535);
        assert_eq!(render("{:.p$}", (u64::MAX, ("y", ()))), "y");
    }

    #[test]
    fn a_form_that_a_value_does_not_have_is_another_of_its_forms() {
        assert_eq!(render("{:x} {:e} {:o}", ("s", (true, ('c', ())))), "s true c");
        assert_eq!(render("{:x} {:p}", (1.5f64, (7u8, ()))), "1.5 7");
        assert_eq!(render("{} {:>3}", (Some(1u8), (None::<u8>, ()))), "Some(1) None");
        assert_eq!(render("{}", (&[1u8, 2][..], ())), "[1, 2]");
    }

    #[test]
    fn a_message_out_of_all_proportion_is_ended() {
        let text = "{:65535}".repeat(1_000);
        let out = render(&text, ());
        assert!(out.starts_with("{?}{?}"));
        let bytes = &[0u8; 100_000][..];
        let out = render("{:65535?}{} end", (bytes, (1u8, ())));
        assert!(out.len() < Template::MESSAGE_BYTES_MAX + (1 << 20));
        assert!(out.ends_with("…]…"), "{}", &out[out.len() - 20..]);
        let out = render("{:#65535?}", (Some(bytes), ()));
        assert!(out.len() < 2 * Template::MESSAGE_BYTES_MAX + (1 << 20));
    }

    proptest! {
        #[test]
        fn no_text_and_no_values_make_it_panic(
            text in "(\\{[a-z0-9]{0,2}(:[ .*^<>+#0-9$a-zX?-]{0,6})?\\}|[{}]|.){0,8}",
            number in any::<i32>(), float in any::<f32>(), string in ".{0,4}", c in any::<char>(),
        ) {
            render(&text, (number, (float, (&*string, (Some(c), (string.as_bytes(), ()))))));
            render(&text, (&*string, (number, (Some(float), (Some(&*string), ())))));
        }
    }
}
