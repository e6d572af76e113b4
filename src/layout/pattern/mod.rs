//! One line of text per event, laid out by a pattern of conversions such as `%-5p`.
//!
//! The pattern is read once into parts; writing an event walks them. A part that shows data is
//! rendered at the end of the line, then cut to its maximum, escaped, and filled to its minimum.
//! What neighbours show of the call site alone is remembered as one text. On a page most lines are
//! written by a [`Program`], which leaves those to the parts that need more than copying.

mod field;
mod letters;
mod parse;
mod ready;
mod shape;
mod width;

pub use letters::{LetterError, Letters};

use std::fmt;

use field::Field;
use shape::{Shape, lines};
use width::{Fill, Width};

use super::Layout;
use super::escape::escape_tail;
use super::page::Page;
use super::program::{Builder, Program, Show};
use super::repeats::Repeats;
use super::time::DateFormat;
use crate::event::Event;
use crate::level::Level;

/// [`Layout::hash`] of patterns begins with this.
const HASH_KIND: u8 = b'P';
/// Sites whose text is remembered, for each run of parts about the site.
const REMEMBERED_SITES: usize = 64;
/// No longer text is remembered.
const REMEMBERED_BYTES_MAX: usize = 1 << 10;

/// Events as lines of text.
///
/// `docs/layouts.md` has the table of conversions. Data is escaped (see [`escape`](super::escape));
/// the pattern's own text is written as it is.
///
/// # Examples
/// ```
/// use rollway::layout::Pattern;
///
/// let layout = Pattern::parse("%d{HH:mm:ss}{Europe/Berlin} %-5p %c{2} - %m%n")?;
/// let error = Pattern::parse("%d %q%n").unwrap_err();
/// assert_eq!(error.column, 5); // the letter
/// # Ok::<(), rollway::layout::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
    hash: u64,
    pen: Pen,
    /// How to write the lines of some sites; the place is decided by the site's number.
    known: Vec<Known>,
}

/// What all events of a level, a site and a list of kinds have in common.
#[derive(Clone, Debug, Default)]
struct Known {
    of: Option<(Level, u64, u64)>,
    /// `None` where there is no short way.
    program: Option<Program>,
}

/// How the parts are written, and the buffers they share.
#[derive(Clone, Debug)]
struct Pen {
    escapes: bool,
    colours: bool,
    /// What is shown of a key that is not there.
    missing: Box<str>,
    /// Each line of a message is a line of its own, and this is the one being written.
    is_one_line: bool,
    line: String,
    /// Where the event's text begins.
    begin: usize,
    /// A message on its way to its lines.
    shaped: String,
    scratch: String,
    /// A part on its way to a page.
    text: String,
    repeats: Repeats,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Field(Field, Option<Width>),
    /// Neighbours that show nothing but text and what level and site decide.
    Site(SiteParts),
}

/// Parts that make the same text of every event of a level and site.
#[derive(Clone, Debug, Default)]
struct SiteParts {
    parts: Vec<Part>,
    /// What they made of some sites; the place is decided by the site's number.
    remembered: Vec<Remembered>,
}

#[derive(Clone, Debug, Default)]
struct Remembered {
    of: Option<(Level, u64)>,
    text: String,
}

/// What is wrong with a pattern, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatternError {
    /// The character at fault, counted from 1.
    pub column: usize,
    /// What is wrong with it and what to write instead.
    pub problem: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} of the pattern: {}", self.column, self.problem)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// The pattern of [`Pattern::simple`].
    pub const SIMPLE: &'static str = "%d %-5p %c - %m%k%n";

    /// Time, level, category, message and key-values: a good default for files.
    ///
    /// ```text
    /// 2026-11-21T10:00:00.123456789Z INFO  shop::till - sold 3 apples cashier=Ada
    /// ```
    pub fn simple() -> Pattern {
        let field = |field| Part::Field(field, None);
        let text = |text: &str| Part::Text(text.into());
        let level = Width { min: 5, max: None, fill: Fill::SpacesRight, keeps_end: false };
        let parts = vec![
            field(Field::Date(Box::new(DateFormat::rfc3339()))),
            text(" "),
            Part::Field(Field::Level(None), Some(level)),
            text(" "),
            field(Field::Category(None)),
            text(" - "),
            field(Field::Message),
            field(Field::Pairs(None)),
            text("\n"),
        ];
        Pattern::new(parts, Pattern::SIMPLE, "")
    }

    /// Reads a pattern.
    ///
    /// Looks up the time zones it names, which may read files.
    ///
    /// # Errors
    /// [`PatternError`] names the column of an unknown letter, of an argument a letter cannot take,
    /// of a brace or colour that is not closed, or of a width above 1,000.
    pub fn parse(pattern: &str) -> Result<Pattern, PatternError> {
        Pattern::parse_with(pattern, &Letters::new())
    }

    /// Reads a pattern that may use `letters`, too.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_with(pattern: &str, letters: &Letters) -> Result<Pattern, PatternError> {
        let (parts, marks) = parse::parse(pattern, letters)?;
        Ok(Pattern::new(parts, pattern, &marks))
    }

    /// Whether data is escaped; it is unless told otherwise. Without, a message with newlines takes
    /// several lines, and its control characters reach whoever reads the text. Values in `%k` and
    /// `%X` are quoted all the same.
    pub fn escape(mut self, escaped: bool) -> Pattern {
        self.pen.escapes = escaped;
        self.changed()
    }

    /// Whether each line of a message is written as if it were an event of its own, with all that
    /// the pattern shows beside it; not unless told otherwise. Newlines at the end of a message
    /// begin no line, and an empty message writes nothing. A message has at most 4,096 lines: what
    /// is behind them stays on the last.
    pub fn multiline(mut self, is_multiline: bool) -> Pattern {
        for part in &mut self.parts {
            match part {
                Part::Field(field @ Field::Message, _) if is_multiline => {
                    *field = Field::Shaped(Shape::default());
                }
                Part::Field(field @ Field::Shaped(_), _) if !is_multiline => field.simplify(),
                _ => {}
            }
        }
        self.pen.is_one_line = is_multiline;
        self.changed()
    }

    /// Whether `%[` and `%]` write colours; they do unless told otherwise.
    pub fn colours(mut self, shown: bool) -> Pattern {
        self.show_colours(shown);
        self
    }

    /// What `%k{key}` and `%X{key}` show where the event has no such key: nothing, unless told
    /// otherwise.
    pub fn missing(mut self, text: impl Into<Box<str>>) -> Pattern {
        self.pen.missing = text.into();
        self.changed()
    }

    fn new(parts: Vec<Part>, pattern: &str, marks: &str) -> Pattern {
        let hash = super::hash_of(HASH_KIND, &[pattern, marks]);
        let (parts, pen) = (Part::joined(parts), Pen::new());
        Pattern { parts, hash, pen, known: Vec::new() }
    }

    /// What was remembered may be written differently from now on.
    fn changed(mut self) -> Pattern {
        self.parts.iter_mut().for_each(Part::forget);
        self.known.clear();
        self
    }

    /// Writes the line the short way, if there is one.
    #[inline(always)]
    fn run(&mut self, event: &Event<'_>, page: &mut Page) -> Option<()> {
        let (kinds, mut values) = event.raw()?;
        let number = event.site.number();
        let place = number as usize % REMEMBERED_SITES;
        let of = Some((event.level, number, kinds));
        if self.known.get(place).is_none_or(|known| known.of != of) {
            self.learn(event, kinds);
        }
        let (steps, bytes_max) = self.known[place].program.as_ref()?.steps(values.len());
        let (parts, pen) = (&mut self.parts, &mut self.pen);
        page.push_line(bytes_max, |line| {
            for step in steps {
                step.text(line)?;
                match step.show {
                    Show::Value(value) => value.write(&mut values, line)?,
                    Show::Date(part) => match &mut parts[part] {
                        Part::Field(Field::Date(format), _) => {
                            format.write_line(event.time_ns, line)?
                        }
                        _ => return None,
                    },
                    Show::Part(part) => line.bytes(parts[part].text(event, pen).as_bytes())?,
                    Show::Nothing => {}
                }
            }
            Some(())
        })
    }

    /// Decides how events like this one are written.
    #[cold]
    fn learn(&mut self, event: &Event<'_>, kinds: u64) {
        let number = event.site.number();
        self.known.resize_with(REMEMBERED_SITES, Known::default);
        let known = &mut self.known[number as usize % REMEMBERED_SITES];
        *known = Known { of: Some((event.level, number, kinds)), program: None };
        if self.parts.iter().any(Part::is_once) {
            return;
        }
        let mut builder = Builder::new(kinds);
        for (index, part) in self.parts.iter_mut().enumerate() {
            match part {
                part if part.is_fixed() => {
                    let mut text = String::new();
                    part.write(event, &mut self.pen, &mut text);
                    builder.push_text(&text);
                }
                Part::Field(Field::Date(format), None) if format.is_fractional() => {
                    builder.push(Show::Date(index));
                }
                Part::Field(Field::Message, None) if builder.push_message(event) => {}
                Part::Field(Field::Pairs(None), None) if builder.push_pairs(event) => {}
                _ => builder.push(Show::Part(index)),
            }
        }
        known.program = builder.finish();
    }

    fn write_parts(&mut self, event: &Event<'_>, out: &mut String) {
        for part in &mut self.parts {
            part.write(event, &mut self.pen, out);
        }
    }

    /// Writes each line of the message as an event of its own.
    #[cold]
    fn write_lines(&mut self, event: &Event<'_>, out: &mut String) {
        let mut message = std::mem::take(&mut self.pen.text);
        message.clear();
        event.message(&mut message);
        let text = message.trim_end_matches(['\n', '\r']);
        for line in lines(text).filter(|_| !text.is_empty()) {
            self.pen.begin = out.len();
            self.pen.line.clear();
            self.pen.line.push_str(line);
            self.write_parts(event, out);
        }
        self.pen.text = message;
    }
}

impl Layout for Pattern {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        self.pen.begin = out.len();
        match self.pen.is_one_line {
            true => self.write_lines(event, out),
            false => self.write_parts(event, out),
        }
    }

    fn write_page(&mut self, event: &Event<'_>, page: &mut Page) {
        if self.run(event, page).is_none() {
            page.push_with(|text| self.write(event, text));
        }
    }

    fn show_colours(&mut self, shown: bool) {
        self.pen.colours = shown;
        self.parts.iter_mut().for_each(Part::forget);
        self.known.clear();
    }

    fn hash(&self) -> u64 {
        let pen = &self.pen;
        let hash = match (pen.is_one_line, pen.colours, &*pen.missing) {
            (false, true, "") => self.hash,
            (is_one_line, colours, missing) => {
                let options = format!("{:x} {is_one_line} {colours}", self.hash);
                super::hash_of(HASH_KIND, &[&options, missing])
            }
        };
        if pen.escapes { hash } else { !hash }
    }

    fn is_shareable(&self) -> bool {
        // Colours that are left out do not count in the number.
        let is_stateful =
            |part: &Part| matches!(part, Part::Field(field, _) if field.is_stateful());
        self.pen.colours && !self.parts.iter().any(is_stateful)
    }
}

impl Pen {
    fn new() -> Pen {
        Pen {
            escapes: true,
            colours: true,
            missing: Box::default(),
            is_one_line: false,
            line: String::new(),
            begin: 0,
            shaped: String::new(),
            scratch: String::new(),
            text: String::new(),
            repeats: Repeats::default(),
        }
    }
}

impl Part {
    /// The same parts, neighbours made one where only the site decides what they show.
    fn joined(parts: Vec<Part>) -> Vec<Part> {
        let mut joined = Vec::new();
        for run in parts.chunk_by(|a, b| a.is_fixed() && b.is_fixed()) {
            match run {
                [Part::Text(_)] | [Part::Field(..)] => joined.push(run[0].clone()),
                run => {
                    joined.push(Part::Site(SiteParts { parts: run.to_vec(), ..Default::default() }))
                }
            }
        }
        joined
    }

    /// Whether every event of a level and site shows the same here.
    fn is_fixed(&self) -> bool {
        match self {
            Part::Text(_) | Part::Site(_) => true,
            Part::Field(field, _) => field.is_fixed(),
        }
    }

    /// Whether a line must not be begun a short way and then be written again.
    fn is_once(&self) -> bool {
        matches!(self, Part::Field(field, _) if field.is_once())
    }

    fn forget(&mut self) {
        if let Part::Site(site) = self {
            site.remembered.clear();
        }
    }

    #[inline(always)]
    fn write(&mut self, event: &Event<'_>, pen: &mut Pen, out: &mut String) {
        match self {
            Part::Text(text) => out.push_str(text),
            Part::Site(site) => site.write(event, pen, out),
            // What stands in every line, without a call between.
            Part::Field(Field::Date(format), None) => format.write(event.time_ns, out),
            Part::Field(Field::Message, None) => {
                let start = out.len();
                if !event.message(out) && pen.escapes {
                    escape_tail(out, start, &mut pen.scratch);
                }
            }
            Part::Field(Field::Pairs(None), None) if !event.has_pairs() => {}
            Part::Field(field, width) => field.write(width.as_ref(), event, pen, out),
        }
    }
}

impl Part {
    /// What the part shows, in a buffer of `pen`.
    #[inline(never)]
    fn text<'p>(&mut self, event: &Event<'_>, pen: &'p mut Pen) -> &'p str {
        let mut text = std::mem::take(&mut pen.text);
        text.clear();
        self.write(event, pen, &mut text);
        pen.text = text;
        &pen.text
    }
}

impl SiteParts {
    #[inline(always)]
    fn write(&mut self, event: &Event<'_>, pen: &mut Pen, out: &mut String) {
        let number = event.site.number();
        match self.remembered.get(number as usize % REMEMBERED_SITES) {
            Some(known) if known.of == Some((event.level, number)) => out.push_str(&known.text),
            _ => self.render(event, pen, out),
        }
    }

    #[cold]
    fn render(&mut self, event: &Event<'_>, pen: &mut Pen, out: &mut String) {
        let start = out.len();
        for part in &mut self.parts {
            match part {
                Part::Field(field, width) => field.write(width.as_ref(), event, pen, out),
                Part::Text(text) => out.push_str(text),
                // Parts are joined once.
                Part::Site(_) => {}
            }
        }
        let text = &out[start..];
        if text.len() <= REMEMBERED_BYTES_MAX {
            self.remembered.resize_with(REMEMBERED_SITES, Remembered::default);
            let number = event.site.number();
            let place = &mut self.remembered[number as usize % REMEMBERED_SITES];
            place.of = Some((event.level, number));
            place.text.clear();
            place.text.push_str(text);
        }
    }
}

#[cfg(test)]
mod shared;
#[cfg(test)]
mod tests;
