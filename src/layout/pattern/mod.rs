//! One line of text per event, laid out by a pattern of conversions such as `%-5p`.
//!
//! The pattern is read once into parts; writing an event walks them. A part that shows data is
//! rendered at the end of the line, then cut to its maximum, escaped, and filled to its minimum.
//! What neighbours show of the call site alone is remembered as one text. On a page most lines are
//! written by a [`Program`], which leaves those to the parts that need more than copying.

mod parse;

use std::fmt;
use std::num::NonZeroUsize;

use super::Layout;
use super::escape::escape_tail;
use super::page::Page;
use super::program::{Builder, Program, Show};
use super::repeats::Repeats;
use super::scalar::{push_pair, push_value, push_word};
use super::time::DateFormat;
use crate::event::Event;
use crate::level::Level;

/// What fills a field, a piece at a time.
const BLANKS: &str = "                                ";
/// As long as [`BLANKS`].
const ZEROS: &str = "00000000000000000000000000000000";
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

#[derive(Clone, Debug)]
enum Field {
    Date(Box<DateFormat>),
    Level,
    /// The last so many parts of the category, or all.
    Category(Option<NonZeroUsize>),
    Message,
    /// One key-value, or all of them.
    Pairs(Option<Box<str>>),
    /// One value of the context, or all pairs.
    Context(Option<Box<str>>),
    File,
    Line,
    Module,
    Thread,
    Process,
    Host,
}

/// How wide a field is, in characters.
#[derive(Clone, Copy, Debug)]
struct Width {
    min: usize,
    max: Option<usize>,
    fill: Fill,
    /// Whether a value that is too long keeps its end.
    keeps_end: bool,
}

/// Where and with what a short value is filled.
#[derive(Clone, Copy, Debug)]
enum Fill {
    SpacesLeft,
    SpacesRight,
    ZerosLeft,
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
            Part::Field(Field::Level, Some(level)),
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
    /// of a brace that is not closed, or of a width above 1,000.
    pub fn parse(pattern: &str) -> Result<Pattern, PatternError> {
        let (parts, zones) = parse::parse(pattern)?;
        Ok(Pattern::new(parts, pattern, &zones))
    }

    /// Whether data is escaped; it is unless told otherwise. Without, a message with newlines takes
    /// several lines, and its control characters reach whoever reads the text. Values in `%k` and
    /// `%X` are quoted all the same.
    pub fn escape(mut self, escaped: bool) -> Pattern {
        if self.pen.escapes != escaped {
            self.pen.escapes = escaped;
            self.hash = !self.hash;
            self.parts.iter_mut().for_each(Part::forget);
            self.known.clear();
        }
        self
    }

    fn new(parts: Vec<Part>, pattern: &str, zones: &str) -> Pattern {
        let hash = super::hash_of(HASH_KIND, &[pattern, zones]);
        let pen = Pen {
            escapes: true,
            scratch: String::new(),
            text: String::new(),
            repeats: Repeats::default(),
        };
        Pattern { parts: Part::joined(parts), hash, pen, known: Vec::new() }
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
        self.known.resize_with(REMEMBERED_SITES, Known::default);
        let program = builder.finish();
        let of = Some((event.level, number, kinds));
        self.known[number as usize % REMEMBERED_SITES] = Known { of, program };
    }
}

impl Layout for Pattern {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        for part in &mut self.parts {
            part.write(event, &mut self.pen, out);
        }
    }

    fn write_page(&mut self, event: &Event<'_>, page: &mut Page) {
        if self.run(event, page).is_none() {
            page.push_with(|text| self.write(event, text));
        }
    }

    fn hash(&self) -> u64 {
        self.hash
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
            Part::Field(field, _) => match field {
                Field::Level | Field::Category(_) | Field::File | Field::Line | Field::Module => {
                    true
                }
                Field::Date(_) | Field::Message | Field::Pairs(_) | Field::Context(_) => false,
                Field::Thread | Field::Process | Field::Host => false,
            },
        }
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
            Part::Field(Field::Pairs(_), None) if !event.has_pairs() => {}
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

impl Field {
    #[inline(never)]
    fn write(&mut self, width: Option<&Width>, event: &Event<'_>, pen: &mut Pen, out: &mut String) {
        let start = out.len();
        let is_done = self.push(event, &mut pen.repeats, out);
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
    fn push(&mut self, event: &Event<'_>, repeats: &mut Repeats, out: &mut String) -> bool {
        let push_integer = |number: u64, out: &mut String| {
            out.push_str(itoa::Buffer::new().format(number));
        };
        match self {
            Field::Date(format) => format.write(event.time_ns, out),
            Field::Level => out.push_str(event.level.name()),
            Field::Category(None) => out.push_str(&event.site.category),
            Field::Category(Some(count)) => out.push_str(last_parts(&event.site.category, *count)),
            Field::Message => return event.message(out),
            Field::Pairs(None) => {
                for (key, value) in event.pairs() {
                    out.push(' ');
                    push_pair(key, value, out);
                }
            }
            Field::Pairs(Some(key)) => {
                if let Some((_, value)) = event.pairs().find(|(name, _)| *name == &**key) {
                    push_value(value, out);
                }
            }
            Field::Context(None) => push_context(event, repeats, out),
            Field::Context(Some(key)) => out.push_str(event.context.get(key).unwrap_or_default()),
            Field::File => out.push_str(&event.site.file),
            Field::Line => push_integer(event.site.line.into(), out),
            Field::Module => out.push_str(&event.site.module),
            Field::Thread if event.thread.name.is_empty() => {
                push_integer(event.thread.os_id, out);
            }
            Field::Thread => out.push_str(&event.thread.name),
            Field::Process => push_integer(event.source.pid.into(), out),
            Field::Host => out.push_str(&event.source.host),
        }
        !self.is_raw()
    }

    /// Whether the field shows data that is still to be escaped.
    fn is_raw(&self) -> bool {
        match self {
            Field::Category(_) | Field::Message | Field::File | Field::Module => true,
            Field::Thread | Field::Host => true,
            Field::Pairs(key) | Field::Context(key) => key.is_some(),
            Field::Date(_) | Field::Level | Field::Line | Field::Process => false,
        }
    }
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

/// The last `count` parts of a category; `::` and `.` separate them.
fn last_parts(category: &str, count: NonZeroUsize) -> &str {
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

impl Width {
    /// Cuts what stands in `out` from `start` on.
    fn cut(&self, start: usize, out: &mut String) {
        let Some(max) = self.max else { return };
        let value = &out[start..];
        if value.len() <= max {
            return;
        }
        if self.keeps_end {
            let excess = value.chars().count().saturating_sub(max);
            let bytes = value.chars().take(excess).map(char::len_utf8).sum::<usize>();
            out.drain(start..start + bytes);
        } else if let Some((at, _)) = value.char_indices().nth(max) {
            out.truncate(start + at);
        }
    }

    /// Fills what stands in `out` from `start` on.
    fn fill(&self, start: usize, out: &mut String) {
        if out.len() - start >= self.min * 4 {
            return; // no character takes more than 4 bytes
        }
        let mut missing = self.min.saturating_sub(out[start..].chars().count());
        while missing > 0 {
            let count = missing.min(BLANKS.len());
            match self.fill {
                Fill::SpacesRight => out.push_str(&BLANKS[..count]),
                Fill::SpacesLeft => out.insert_str(start, &BLANKS[..count]),
                Fill::ZerosLeft => out.insert_str(start, &ZEROS[..count]),
            }
            missing -= count;
        }
    }
}

#[cfg(test)]
mod tests;
