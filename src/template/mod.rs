//! A format string parsed once; values rendered as `std::fmt` would.
//!
//! Text and values may come from another process and be damaged: nothing here panics, and what a
//! template asks for and a record has not is shown as `{?}`.

mod number;
mod pad;
mod parse;
mod render;

use crate::record::Values;
use crate::value::Value;
use parse::{Count, Piece, Pieces, Placeholder, Spec};
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
        Template { text: text.into(), parts, slots }
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

    /// Appends the message to `out`, taking its values from the front of `values`.
    ///
    /// The message is byte for byte what [`std::format!`] makes of the same format string and
    /// arguments. A value that is missing is shown as `{?}`, a width or precision above 65535 is
    /// taken as 65535, and a message ends with `…` at [`Template::MESSAGE_BYTES_MAX`].
    pub fn render(&self, values: &mut Values<'_>, out: &mut String) {
        let mut renderer = Renderer::new(out, Self::MESSAGE_BYTES_MAX);
        let Some(parts) = &self.parts else {
            renderer.out.push_str(&self.text);
            for value in values {
                renderer.out.push(' ');
                renderer.display(value);
            }
            return;
        };
        for step in &parts.steps {
            renderer.out.push_str(&step.literal);
            if renderer.is_full() {
                renderer.out.push('…');
                return;
            }
            step.show.render(values, &mut renderer);
        }
        renderer.out.push_str(&parts.tail);
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
