//! What one conversion shows of an event.

use std::num::NonZeroUsize;

use super::Pen;
use super::letters::Own;
use super::shape::Shape;
use super::width::Width;
use crate::event::Event;
use crate::layout::escape::escape_tail;
use crate::layout::repeats::Repeats;
use crate::layout::scalar::{push_pair, push_value, push_word};
use crate::layout::time::DateFormat;

const NS_PER_MS: i64 = 1_000_000;
/// Sets the foreground of a terminal back to its own.
const COLOUR_END: &str = "\x1b[39m";

#[derive(Clone, Debug)]
pub(super) enum Field {
    Date(Box<DateFormat>),
    /// The first so many letters of the level's name, or all.
    Level(Option<NonZeroUsize>),
    /// The last so many parts of the category, or all.
    Category(Option<NonZeroUsize>),
    Message,
    /// The message where it is not shown as it is.
    Shaped(Shape),
    /// One key-value, or all of them.
    Pairs(Option<Box<str>>),
    /// One value of the context, or all pairs.
    Context(Option<Box<str>>),
    /// The texts of the nested context, blanks between them.
    Nested,
    /// The last so many parts of the path, or all.
    File(Option<NonZeroUsize>),
    Line,
    Column,
    /// The last so many parts of the module path, or all.
    Module(Option<NonZeroUsize>),
    /// Module, file and line.
    Location,
    Thread,
    Process,
    Host,
    /// Milliseconds since the run of the event's process began.
    SinceStart,
    /// Milliseconds since the event before, whose time it keeps.
    SincePrevious(Option<i64>),
    /// The colour of the level from here on.
    Colour,
    /// No colour from here on.
    ColourEnd,
    Own(Own),
}

impl Field {
    #[inline(never)]
    pub(super) fn write(
        &mut self,
        width: Option<&Width>,
        event: &Event<'_>,
        pen: &mut Pen,
        out: &mut String,
    ) {
        let start = out.len();
        let is_done = self.push(event, pen, out);
        if let Some(width) = width {
            width.cut(start, out);
        }
        if pen.escapes && !is_done {
            escape_tail(out, start, &mut pen.scratch);
        }
        if let Some(width) = width {
            width.fill(start, out);
        }
    }

    /// Appends what the field shows. Returns whether nothing of it is to be escaped any more.
    fn push(&mut self, event: &Event<'_>, pen: &mut Pen, out: &mut String) -> bool {
        let push_integer = |number: u64, out: &mut String| {
            out.push_str(itoa::Buffer::new().format(number));
        };
        match self {
            Field::Date(format) => format.write(event.time_ns, out),
            Field::Level(None) => out.push_str(event.level.name()),
            Field::Level(Some(count)) => {
                out.extend(event.level.name().chars().take(count.get()));
            }
            Field::Category(count) => out.push_str(last_parts(&event.site.category, *count)),
            Field::Message => return event.message(out),
            Field::Shaped(shape) => return shape.push(event, pen, out),
            Field::Pairs(None) => {
                for (key, value) in event.pairs() {
                    out.push(' ');
                    push_pair(key, value, out);
                }
            }
            Field::Pairs(Some(key)) => match event.pairs().find(|(name, _)| *name == &**key) {
                Some((_, value)) => push_value(value, out),
                None => out.push_str(&pen.missing),
            },
            Field::Context(None) => push_context(event, &mut pen.repeats, out),
            Field::Context(Some(key)) => {
                out.push_str(event.context.get(key).unwrap_or(&pen.missing));
            }
            Field::Nested if event.context.stack.is_empty() => out.push_str(&pen.missing),
            Field::Nested => {
                for (index, text) in event.context.stack.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    out.push_str(text);
                }
            }
            Field::File(None) => out.push_str(&event.site.file),
            Field::File(Some(count)) => out.push_str(last_of_path(&event.site.file, *count)),
            Field::Line => push_integer(event.site.line.into(), out),
            Field::Column => push_integer(event.site.column.into(), out),
            Field::Module(count) => out.push_str(last_parts(&event.site.module, *count)),
            Field::Location => {
                for text in [&*event.site.module, " ", &*event.site.file, " ("] {
                    out.push_str(text);
                }
                push_integer(event.site.line.into(), out);
                out.push(')');
            }
            Field::Thread if event.thread.name.is_empty() => {
                push_integer(event.thread.os_id, out);
            }
            Field::Thread => out.push_str(&event.thread.name),
            Field::Process => push_integer(event.source.pid.into(), out),
            Field::Host => out.push_str(&event.source.host),
            Field::SinceStart => {
                let begin_ns = i64::try_from(event.source.epoch).unwrap_or(i64::MAX);
                push_integer(ms_between(begin_ns, event.time_ns), out);
            }
            Field::SincePrevious(previous_ns) => {
                let before_ns = previous_ns.replace(event.time_ns).unwrap_or(event.time_ns);
                push_integer(ms_between(before_ns, event.time_ns), out);
            }
            Field::Colour if pen.colours => {
                out.push_str("\x1b[");
                push_integer(event.level.colour().sgr().into(), out);
                out.push('m');
            }
            Field::ColourEnd if pen.colours => out.push_str(COLOUR_END),
            Field::Colour | Field::ColourEnd => {}
            Field::Own(own) => own.push(event, out),
        }
        !self.is_raw()
    }

    /// Whether the field shows data that is still to be escaped.
    fn is_raw(&self) -> bool {
        match self {
            Field::Category(_) | Field::Message | Field::File(_) | Field::Module(_) => true,
            Field::Shaped(_) | Field::Location | Field::Own(_) | Field::Nested => true,
            Field::Thread | Field::Host => true,
            Field::Pairs(key) | Field::Context(key) => key.is_some(),
            Field::Date(_) | Field::Level(_) | Field::Line | Field::Column => false,
            Field::Process | Field::SinceStart | Field::SincePrevious(_) => false,
            Field::Colour | Field::ColourEnd => false,
        }
    }

    /// Whether every event of a level and site shows the same here.
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Field::Level(_) | Field::Category(_) | Field::File(_) | Field::Line => true,
            Field::Column | Field::Module(_) | Field::Location => true,
            Field::Colour | Field::ColourEnd => true,
            Field::Date(_) | Field::Message | Field::Shaped(_) | Field::Pairs(_) => false,
            Field::Context(_) | Field::Nested | Field::Thread | Field::Process => false,
            Field::Host => false,
            Field::SinceStart | Field::SincePrevious(_) | Field::Own(_) => false,
        }
    }

    /// The message as it is, where its shape changes nothing.
    pub(super) fn simplify(&mut self) {
        if matches!(self, Field::Shaped(shape) if *shape == Shape::default()) {
            *self = Field::Message;
        }
    }

    /// Whether what it shows depends on earlier events, or on a function of somebody's own.
    pub(super) fn is_stateful(&self) -> bool {
        matches!(self, Field::SincePrevious(_) | Field::Own(_))
    }

    /// Whether what it shows depends on what stands before it, or must not be rendered twice.
    pub(super) fn is_once(&self) -> bool {
        matches!(self, Field::Shaped(_) | Field::SincePrevious(_) | Field::Own(_))
    }
}

/// From the first to the second, 0 where the clock was set back.
fn ms_between(from_ns: i64, to_ns: i64) -> u64 {
    (to_ns.saturating_sub(from_ns) / NS_PER_MS).max(0).unsigned_abs()
}

/// Appends the pairs of the context, outermost first; of equal keys the innermost.
fn push_context(event: &Event<'_>, repeats: &mut Repeats, out: &mut String) {
    let pairs = &event.context.pairs;
    let last = pairs.len().wrapping_sub(1);
    let covered = repeats.find(pairs.len(), |index| &pairs[last - index].0);
    let mut first = true;
    for ((key, value), &covered) in pairs.iter().zip(covered.iter().rev()) {
        if covered {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        push_word(key, out);
        out.push('=');
        push_word(value, out);
    }
}

/// The last `count` parts of a path.
fn last_of_path(path: &str, count: NonZeroUsize) -> &str {
    let mut separators = path.rmatch_indices(['/', '\\']);
    separators.nth(count.get() - 1).map_or(path, |(at, _)| &path[at + 1..])
}

/// The last `count` parts of a category or module; `::` and `.` separate them.
fn last_parts(category: &str, count: Option<NonZeroUsize>) -> &str {
    let Some(count) = count else { return category };
    let mut unread = category;
    let mut missing = count.get();
    while let Some(at) = unread.rfind(['.', ':']) {
        let separator = if unread[..=at].ends_with("::") { at - 1 } else { at };
        unread = &category[..separator];
        if separator == at && category.as_bytes()[at] == b':' {
            continue;
        }
        missing -= 1;
        if missing == 0 {
            return &category[at + 1..];
        }
    }
    category
}
