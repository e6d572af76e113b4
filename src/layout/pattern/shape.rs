//! Messages of several lines: the last newline taken off, further lines indented.
//!
//! An event stays recognisable: each further line begins with at least one blank, and no line ends
//! where the message did not have a newline. What else is hidden is escaped as everywhere.

use super::Pen;
use super::width::BLANKS;
use crate::event::Event;
use crate::layout::escape::escape;

/// The lines behind this one are not told apart: their newlines are escaped.
pub(super) const LINES_MAX: usize = 4096;
/// Lines are indented by no more blanks.
pub(super) const INDENT_MAX: usize = 200;

/// What becomes of a message before it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Shape {
    /// Its last newline is taken off.
    pub(super) chomps: bool,
    pub(super) indent: Option<Indent>,
}

/// Where the lines behind the first begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Indent {
    /// Below the first one, or at [`INDENT_MAX`].
    Below,
    /// So many blanks from the left, 1 to [`INDENT_MAX`].
    By(usize),
}

impl Shape {
    /// Appends the message in its shape. Returns whether nothing of it is to be escaped any more.
    pub(super) fn push(self, event: &Event<'_>, pen: &mut Pen, out: &mut String) -> bool {
        let start = out.len();
        let is_plain = if pen.is_one_line {
            out.push_str(&pen.line);
            false
        } else {
            event.message(out)
        };
        if is_plain {
            return true; // and so without newlines
        }
        if self.chomps {
            out.truncate(start + chomp(&out[start..]).len());
        }
        let Some(indent) = self.indent else { return false };
        let blanks = match indent {
            Indent::By(count) => count,
            Indent::Below => column(&out[pen.begin..start]).clamp(1, INDENT_MAX),
        };
        let mut message = std::mem::take(&mut pen.shaped);
        message.clear();
        message.push_str(&out[start..]);
        out.truncate(start);
        for (index, line) in lines(&message).enumerate() {
            if index > 0 {
                out.push('\n');
                push_blanks(blanks, out);
            }
            match pen.escapes {
                true => escape(line, out),
                false => out.push_str(line),
            }
        }
        pen.shaped = message;
        true
    }
}

/// The text without its last newline.
fn chomp(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(rest) => rest.strip_suffix('\r').unwrap_or(rest),
        None => text,
    }
}

/// The lines of a message, at most [`LINES_MAX`]; a return before a newline belongs to it.
pub(super) fn lines(message: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(message);
    let mut count = 0;
    std::iter::from_fn(move || {
        let text = rest.take()?;
        count += 1;
        match text.split_once('\n').filter(|_| count < LINES_MAX) {
            Some((line, behind)) => {
                rest = Some(behind);
                Some(line.strip_suffix('\r').unwrap_or(line))
            }
            None => Some(text),
        }
    })
}

/// How many characters stand in the last line of a text; colours take no room.
fn column(text: &str) -> usize {
    let line = text.rfind('\n').map_or(text, |at| &text[at + 1..]);
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().map_or(0, |piece| piece.chars().count());
    let behind_colour =
        |piece: &str| piece.split_once('m').map_or(0, |(_, text)| text.chars().count());
    first + pieces.map(behind_colour).sum::<usize>()
}

fn push_blanks(count: usize, out: &mut String) {
    let mut missing = count;
    while missing > 0 {
        let piece = missing.min(BLANKS.len());
        out.push_str(&BLANKS[..piece]);
        missing -= piece;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_bounded_number_of_lines() {
        let message = "x\n".repeat(2 * LINES_MAX);
        assert_eq!(lines(&message).count(), LINES_MAX);
        assert_eq!(lines(&message).last().unwrap().len(), 2 * (LINES_MAX + 1));
        assert_eq!(Vec::from_iter(lines("a\r\nb\n\nc\r")), ["a", "b", "", "c\r"]);
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(column("two\n\x1b[91mERROR\x1b[39m: "), 7);
        assert_eq!(column("\x1b[91m"), 0);
    }
}
