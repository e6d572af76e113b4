//! A message as the typed parts that it is made of.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::render::{Flags, Renderer};
use super::{MISSING, Show, Step, Template, count};
use crate::record::Values;
use crate::value::Value;

/// A part of a message: text of its template, or a value of the call with the form that its
/// placeholder gives it.
///
/// # Examples
/// ```
/// use rollway::template::Chunk;
/// use rollway::value::{Scalar, Value};
///
/// let chunks = [Chunk::from("tries: "), Chunk::from(Value::Plain(Scalar::U8(3)))];
/// assert_eq!(chunks[0].value(), None);
/// assert_eq!(chunks[1].value(), Some(Value::Plain(Scalar::U8(3))));
/// assert_eq!(chunks.map(|chunk| chunk.to_string()).concat(), "tries: 3");
/// ```
#[derive(Clone, Debug)]
pub struct Chunk<'a>(Part<'a>);

#[derive(Clone, Debug)]
enum Part<'a> {
    Text(Cow<'a, str>),
    /// A value, shown as `{}` without flags.
    Value(Value<'a>, Option<Flags>),
}

impl<'a> Chunk<'a> {
    /// The value with its type; `None` for text of the template, or that a warp has made.
    pub fn value(&self) -> Option<Value<'a>> {
        match self.0 {
            Part::Text(_) => None,
            Part::Value(value, _) => Some(value),
        }
    }

    /// Appends what the chunk shows in a message.
    pub fn push_to(&self, out: &mut String) {
        let mut renderer = Renderer::new(out, Template::MESSAGE_BYTES_MAX);
        match &self.0 {
            Part::Text(text) => renderer.out.push_str(text),
            Part::Value(value, None) => renderer.display(*value),
            Part::Value(value, Some(flags)) => renderer.formatted(flags, *value),
        }
    }
}

/// Shows what stands in the message.
impl fmt::Display for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.pad(&text)
    }
}

impl<'a> From<&'a str> for Chunk<'a> {
    fn from(text: &'a str) -> Chunk<'a> {
        Chunk(Part::Text(Cow::Borrowed(text)))
    }
}

impl From<String> for Chunk<'_> {
    fn from(text: String) -> Self {
        Chunk(Part::Text(Cow::Owned(text)))
    }
}

impl<'a> From<Value<'a>> for Chunk<'a> {
    fn from(value: Value<'a>) -> Chunk<'a> {
        Chunk(Part::Value(value, None))
    }
}

/// The chunks of a template with its values, each with the places of the values that it shows: width
/// and precision count.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<'a> {
    steps: std::slice::Iter<'a, Step>,
    /// What stands behind the text of a step.
    show: Option<&'a Show>,
    tail: &'a str,
    /// Whether all values follow the tail, each behind a blank.
    takes_rest: bool,
    /// The value that comes behind the blank.
    behind_blank: Option<Value<'a>>,
    values: Values<'a>,
    /// How many values were taken.
    taken: usize,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(template: &'a Template, values: Values<'a>) -> Chunks<'a> {
        let (steps, tail) = match &template.parts {
            Some(parts) => (&*parts.steps, &*parts.tail),
            None => (&[][..], &*template.text),
        };
        Chunks {
            steps: steps.iter(),
            show: None,
            tail,
            takes_rest: template.parts.is_none(),
            behind_blank: None,
            values,
            taken: 0,
        }
    }

    fn take(&mut self) -> Option<Value<'a>> {
        self.taken += 1;
        self.values.next()
    }

    fn shown(&mut self, show: &Show) -> Chunk<'a> {
        let flags = match show {
            Show::Display => None,
            Show::Formatted { flags, takes_width, takes_precision } => {
                let mut flags = *flags;
                if *takes_width {
                    flags.width = self.take().and_then(count).unwrap_or(0);
                }
                if *takes_precision {
                    flags.precision = self.take().and_then(count);
                }
                Some(flags)
            }
        };
        self.take().map_or(Chunk::from(MISSING), |value| Chunk(Part::Value(value, flags)))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (Chunk<'a>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = |text: &'a str| Some((Chunk::from(text), 0..0));
        let before = self.taken;
        if self.show.is_none()
            && let Some(step) = self.steps.next()
        {
            self.show = Some(&step.show);
            if !step.literal.is_empty() {
                return text(&step.literal);
            }
        }
        if let Some(show) = self.show.take() {
            let chunk = self.shown(show);
            return Some((chunk, before..self.taken));
        }
        if !self.tail.is_empty() {
            return text(std::mem::take(&mut self.tail));
        }
        if !self.takes_rest {
            return None;
        }
        if let Some(value) = self.behind_blank.take() {
            return Some((Chunk::from(value), before - 1..before));
        }
        self.behind_blank = Some(self.take()?);
        text(" ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{render, with_values};
    use super::*;
    use crate::capture;
    use crate::value::Scalar;

    /// What each chunk shows.
    fn parts(text: &str, values: impl capture::Values) -> Vec<String> {
        let template = Template::parse(text);
        with_values(values, |values| {
            template.chunks(values).map(|(chunk, _)| chunk.to_string()).collect()
        })
    }

    #[test]
    fn a_message_is_its_texts_and_its_values_in_order() {
        let values = (3u8, ("ada", (2.5f64, (7u64, ()))));
        assert_eq!(
            parts("{} by {user}{:.2} {{{}}}", values),
            ["3", " by ", "ada", "2.50", " {", "7", "}"]
        );
        assert_eq!(parts("", ()), [""; 0]);
        assert_eq!(parts("text", ()), ["text"]);
    }

    #[test]
    fn a_chunk_knows_its_value_and_its_places() {
        let template = Template::parse("a {:>w$.p$} {}");
        with_values((5u64, (1u64, (2.25f64, (Some("x"), ())))), |values| {
            let chunks: Vec<_> = template.chunks(values).collect();
            let values: Vec<_> = chunks.iter().map(|(chunk, _)| chunk.value()).collect();
            let (float, text) = (Scalar::F64(2.25), Scalar::Str("x"));
            let expected = [None, Some(Value::Plain(float)), None, Some(Value::Some(text))];
            assert_eq!(values, expected);
            let places: Vec<_> = chunks.iter().map(|(_, places)| places.clone()).collect();
            assert_eq!(places, [0..0, 0..3, 0..0, 3..4]);
        });
    }

    proptest! {
        #[test]
        fn chunks_make_the_message(
            number in any::<i64>(), float in any::<f64>(), text in ".{0,6}", c in any::<char>(),
            flag in any::<bool>(), width in 0..40usize, precision in 0..20usize,
        ) {
            let optional = flag.then_some(number);
            let made = parts(
                "{} – {:>w$.p$}{:?}{:#x} {{ {:+} {:?}",
                (&*text, (width as u64, (precision as u64, (float, (&*text, (number, (number, (optional, ())))))))),
            );
            let expected = format!(
                "{text} – {float:>width$.precision$}{text:?}{number:#x} {{ {number:+} {optional:?}"
            );
            prop_assert_eq!(made.concat(), expected);
            prop_assert_eq!(parts("{}{}", (c, (flag, ()))).concat(), format!("{c}{flag}"));
        }

        #[test]
        fn chunks_make_the_message_of_any_template(
            text in "(\\{[a-z0-9]{0,2}(:[ .*^<>+#0-9$a-zX?-]{0,6})?\\}|[{}]|.){0,8}",
            number in any::<i32>(), float in any::<f32>(), string in ".{0,4}", c in any::<char>(),
        ) {
            let values = || (number, (float, (&*string, (Some(c), (string.as_bytes(), ())))));
            prop_assert_eq!(parts(&text, values()).concat(), render(&text, values()));
        }
    }
}
