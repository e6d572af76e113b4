//! What a pattern makes of one kind of event, decided once: texts to copy and values to show.
//!
//! All events of a call site with the same level and the same kinds of values take the same steps.
//! A step that meets what is not as simple as it should be gives up: the line is then written the
//! general way, which is also what every program is measured against.

use super::digits::millionths;
use super::escape::is_hidden;
use super::page::Line;
use super::scalar::push_word;
use crate::event::Event;
use crate::template::{is_plain_but_for_quotes, is_plain_word, plain_float};
use crate::value::{Kind, take_array, take_run};

/// Longest text of one step.
const TEXT_BYTES: usize = 32;
/// No other value, shown without its text, is longer, nor is a date.
const VALUE_BYTES_MAX: usize = 64;
/// A line with a longer part is written the general way, unless other values are shorter.
const PART_BYTES_MAX: usize = 256;
/// Longer texts are not worth a program.
const PROGRAM_TEXT_BYTES_MAX: usize = 1 << 10;

/// The steps of a line.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Box<[Step]>,
    /// The line without the record's strings takes no more.
    bytes_max: usize,
}

/// A program that is being made for one event and all like it.
pub(super) struct Builder {
    steps: Vec<Step>,
    /// Text that is not yet a step.
    text: String,
    /// Length of the text in all steps.
    text_bytes: usize,
    /// The kinds of values that no step shows yet, as in a record's header.
    kinds: u64,
    /// How many values the steps show.
    shown: usize,
}

/// A text, and what comes behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    text: [u8; TEXT_BYTES],
    text_bytes: usize,
    pub(super) show: Show,
}

/// What comes behind a text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Show {
    /// The part of the pattern with this index.
    Part(usize),
    /// The date that is the part with this index.
    Date(usize),
    /// The record's next value.
    Value(Plain),
    Nothing,
}

/// A kind of value that is shown as `{}`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Plain {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Bool,
    Char,
    Str,
    /// A string that is quoted where it is not bare.
    Word,
}

impl Program {
    /// The steps, and how long the line may be when the record's values have this length.
    #[inline(always)]
    pub(super) fn steps(&self, values_bytes: usize) -> (&[Step], usize) {
        (&self.steps, self.bytes_max + values_bytes)
    }
}

impl Builder {
    /// No steps, for events whose values are of these kinds.
    pub(super) fn new(kinds: u64) -> Builder {
        Builder { steps: Vec::new(), text: String::new(), text_bytes: 0, kinds, shown: 0 }
    }

    /// Adds text.
    pub(super) fn push_text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds what is not the same for all lines.
    pub(super) fn push(&mut self, show: Show) {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_bytes();
        while rest.len() > TEXT_BYTES {
            let (piece, behind) = rest.split_at(TEXT_BYTES);
            self.push_step(piece, Show::Nothing);
            rest = behind;
        }
        self.push_step(rest, show);
    }

    /// Adds the message, value by value. Returns whether that is possible.
    pub(super) fn push_message(&mut self, event: &Event<'_>) -> bool {
        let Some((texts, tail)) = event.site.template.texts() else { return false };
        let texts = Vec::from_iter(texts);
        let is_copied = |text: &&str| !text.contains(|c| c == '\\' || is_hidden(c));
        if self.shown > 0 || !texts.iter().chain([&tail]).all(is_copied) {
            return false;
        }
        let Some(values) = self.take(texts.len(), Plain::of) else { return false };
        for (text, value) in texts.iter().zip(values) {
            self.push_text(text);
            self.push(Show::Value(value));
        }
        self.push_text(tail);
        true
    }

    /// Adds the key-values as ` key=value`. Returns whether that is possible.
    pub(super) fn push_pairs(&mut self, event: &Event<'_>) -> bool {
        let (names, slots) = (&event.site.names, event.site.template.slots());
        if !event.has_pairs() {
            return true;
        }
        if self.shown != slots {
            return false;
        }
        let names = &names[slots..];
        let Some(values) = self.take(names.len(), Plain::in_pair) else { return false };
        for (name, value) in names.iter().zip(values) {
            self.text.push(' ');
            push_word(name, &mut self.text);
            self.text.push('=');
            self.push(Show::Value(value));
        }
        true
    }

    /// The program, unless it is too long to be kept.
    pub(super) fn finish(mut self) -> Option<Program> {
        self.push(Show::Nothing);
        let bytes_max = self.steps.iter().map(Step::bytes_max).sum();
        let is_short = self.text_bytes <= PROGRAM_TEXT_BYTES_MAX;
        is_short.then(|| Program { steps: self.steps.into(), bytes_max })
    }

    fn push_step(&mut self, piece: &[u8], show: Show) {
        let mut text = [b' '; TEXT_BYTES];
        text[..piece.len()].copy_from_slice(piece);
        self.steps.push(Step { text, text_bytes: piece.len(), show });
        self.text_bytes += piece.len();
    }

    /// Takes the next `count` values, if `plain` has a way for the kinds of all.
    fn take(&mut self, count: usize, plain: impl Fn(Kind) -> Option<Plain>) -> Option<Vec<Plain>> {
        let mut kinds = self.kinds;
        let values = (0..count).map(|_| {
            let kind = Kind::from_number((kinds & ((1 << Kind::BITS) - 1)) as u8)?;
            kinds >>= Kind::BITS;
            plain(kind)
        });
        let values = values.collect::<Option<Vec<Plain>>>()?;
        self.kinds = kinds;
        self.shown += count;
        Some(values)
    }
}

impl Step {
    fn bytes_max(&self) -> usize {
        TEXT_BYTES + if let Show::Part(_) = self.show { PART_BYTES_MAX } else { VALUE_BYTES_MAX }
    }

    /// Writes the text.
    #[inline(always)]
    pub(super) fn text(&self, line: &mut Line<'_>) -> Option<()> {
        line.array(&self.text, self.text_bytes)
    }
}

impl Plain {
    /// How a value of `kind` is shown; `None` where a program has no short way for it.
    fn of(kind: Kind) -> Option<Plain> {
        Some(match kind {
            Kind::U8 => Plain::U8,
            Kind::U16 => Plain::U16,
            Kind::U32 => Plain::U32,
            Kind::U64 => Plain::U64,
            Kind::I8 => Plain::I8,
            Kind::I16 => Plain::I16,
            Kind::I32 => Plain::I32,
            Kind::I64 => Plain::I64,
            Kind::F32 => Plain::F32,
            Kind::F64 => Plain::F64,
            Kind::BOOL => Plain::Bool,
            Kind::CHAR => Plain::Char,
            Kind::STR | Kind::TEXT => Plain::Str,
            _ => return None,
        })
    }

    /// The same for the value of a key.
    fn in_pair(kind: Kind) -> Option<Plain> {
        match Plain::of(kind)? {
            Plain::Str => Some(Plain::Word),
            Plain::Char => None,
            plain => Some(plain),
        }
    }

    /// Takes the value from the front of `values` and writes it.
    #[inline(always)]
    pub(super) fn write(self, values: &mut &[u8], line: &mut Line<'_>) -> Option<()> {
        let integer = match self {
            Plain::U8 => u8::from_le_bytes(take_array(values)?).into(),
            Plain::U16 => u16::from_le_bytes(take_array(values)?).into(),
            Plain::U32 => u32::from_le_bytes(take_array(values)?).into(),
            Plain::I8 => i8::from_le_bytes(take_array(values)?).into(),
            Plain::I16 => i16::from_le_bytes(take_array(values)?).into(),
            Plain::I32 => i32::from_le_bytes(take_array(values)?).into(),
            Plain::I64 => i64::from_le_bytes(take_array(values)?),
            Plain::U64 => return line.unsigned(u64::from_le_bytes(take_array(values)?)),
            Plain::F32 => {
                let float = f32::from_le_bytes(take_array(values)?);
                return line.bytes(plain_float(float, &mut zmij::Buffer::new())?.as_bytes());
            }
            Plain::F64 => return push_float(f64::from_le_bytes(take_array(values)?), line),
            Plain::Bool => {
                return match take_array(values)? {
                    [0] => line.array(b"false   ", 5),
                    [1] => line.array(b"true    ", 4),
                    _ => None,
                };
            }
            Plain::Char => {
                let byte = u8::try_from(u32::from_le_bytes(take_array(values)?)).ok()?;
                return is_plain_but_for_quotes(&[byte]).then(|| line.array(&[byte], 1))?;
            }
            Plain::Str => {
                let text = take_run(values)?;
                return is_plain_but_for_quotes(text).then(|| line.bytes(text))?;
            }
            Plain::Word => {
                let text = take_run(values)?;
                let is_bare = !text.is_empty() && is_plain_word(text);
                return is_bare.then(|| line.bytes(text))?;
            }
        };
        line.signed(integer)
    }
}

#[inline(always)]
fn push_float(float: f64, line: &mut Line<'_>) -> Option<()> {
    if let Some(millionths) = millionths(float) {
        line.array(b"-", usize::from(float.is_sign_negative()))?;
        return line.millionths(millionths);
    }
    line.bytes(plain_float(float, &mut zmij::Buffer::new())?.as_bytes())
}
