//! One line of text per event, laid out by a pattern of conversions such as `%-5p`.
//!
//! The pattern is read once into parts; writing an event walks them. A part that shows data is
//! rendered at the end of the line, then cut to its maximum, escaped, and filled to its minimum.
//! What neighbours show of the call site alone is remembered as one text. On a page most lines are
//! written by a [`Program`], which leaves those to the parts that need more than copying.

use std::fmt;
use std::num::NonZeroUsize;

use jiff::tz::TimeZone;

use super::Layout;
use super::escape::escape_tail;
use super::page::Page;
use super::program::{Builder, Program, Show};
use super::repeats::Repeats;
use super::scalar::{push_pair, push_value, push_word};
use super::time::DateFormat;
use crate::event::Event;
use crate::level::Level;

/// No width is greater, in characters.
const WIDTH_MAX: usize = 1000;
/// The conversions, for error texts.
const LETTERS: &str = "%d %p %c %m %k %X %F %L %M %t %P %H %n %% %{";
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
        let mut parser = Parser {
            characters: pattern.chars().collect(),
            at: 0,
            parts: Vec::new(),
            text: String::new(),
            zones: String::new(),
        };
        parser.parse()?;
        Ok(Pattern::new(parser.parts, pattern, &parser.zones))
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
        let (kinds, mut values) = event.values.raw()?;
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

/// A pattern on its way to parts.
struct Parser {
    characters: Vec<char>,
    at: usize,
    parts: Vec<Part>,
    /// Text that is not yet a part.
    text: String,
    /// What the pattern's time zones turned out to be.
    zones: String,
}

impl Parser {
    fn parse(&mut self) -> Result<(), PatternError> {
        while let Some(character) = self.take() {
            match character {
                '%' => self.conversion()?,
                plain => self.text.push(plain),
            }
        }
        self.end_text();
        Ok(())
    }

    /// Reads what follows a percent sign.
    fn conversion(&mut self) -> Result<(), PatternError> {
        let start = self.at;
        let width = self.width()?;
        let letter_at = self.at;
        let Some(letter) = self.take() else {
            let problem = "the pattern ends inside a conversion: write a letter, or `%%` for `%`";
            return Err(error(start - 1, problem));
        };
        let field = match letter {
            '%' | '{' | 'n' => {
                if width.is_some() {
                    return Err(error(start, format!("`%{letter}` takes no width: remove it")));
                }
                self.text.push(if letter == 'n' { '\n' } else { letter });
                return Ok(());
            }
            'd' => self.date()?,
            'p' => Field::Level,
            'c' => Field::Category(self.count()?),
            'm' => Field::Message,
            'k' => Field::Pairs(self.key()?),
            'X' => Field::Context(self.key()?),
            'F' => Field::File,
            'L' => Field::Line,
            'M' => Field::Module,
            't' => Field::Thread,
            'P' => Field::Process,
            'H' => Field::Host,
            unknown => return Err(unknown_letter(letter_at, unknown)),
        };
        if self.characters.get(self.at) == Some(&'{') {
            let problem = format!("`%{letter}` takes no more braces: write `%{{` for a `{{`");
            return Err(error(self.at, problem));
        }
        self.end_text();
        self.parts.push(Part::Field(field, width));
        Ok(())
    }

    /// Reads `[-][0][min][.[-]max]`.
    fn width(&mut self) -> Result<Option<Width>, PatternError> {
        let start = self.at;
        let right = self.take_if('-');
        let zeros = self.take_if('0');
        let min = self.number()?.unwrap_or(0);
        let mut keeps_end = false;
        let mut max = None;
        if self.take_if('.') {
            keeps_end = self.take_if('-');
            let max_at = self.at;
            max = self.number()?;
            if max.is_none() {
                return Err(error(max_at, "a number must follow the `.`, as in `%.30c`"));
            }
        }
        let fill = match (right, zeros) {
            (true, _) => Fill::SpacesRight,
            (false, true) => Fill::ZerosLeft,
            (false, false) => Fill::SpacesLeft,
        };
        Ok((self.at > start).then_some(Width { min, max, fill, keeps_end }))
    }

    fn number(&mut self) -> Result<Option<usize>, PatternError> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit) = self.characters.get(self.at).and_then(|c| c.to_digit(10)) {
            number = number * 10 + digit as usize;
            if number > WIDTH_MAX {
                let problem = format!("this width is too great: use at most {WIDTH_MAX}");
                return Err(error(start, problem));
            }
            self.at += 1;
        }
        Ok((self.at > start).then_some(number))
    }

    /// Reads `{format}{zone}`, both optional; an empty format is the default one.
    fn date(&mut self) -> Result<Field, PatternError> {
        let Some((format_at, format)) = self.braces()? else {
            return Ok(Field::Date(Box::new(DateFormat::rfc3339())));
        };
        let zone = match self.braces()? {
            Some((zone_at, name)) => self.zone(zone_at, &name)?,
            None => TimeZone::UTC,
        };
        let format = if format.is_empty() { "RFC3339" } else { &*format };
        let format = DateFormat::parse(format, zone)
            .map_err(|misformed| error(format_at + misformed.at, misformed.problem))?;
        Ok(Field::Date(Box::new(format)))
    }

    fn zone(&mut self, at: usize, name: &str) -> Result<TimeZone, PatternError> {
        let found = match name.to_ascii_lowercase().as_str() {
            "utc" => Ok(TimeZone::UTC),
            "local" => TimeZone::try_system(),
            _ => TimeZone::get(name),
        };
        let zone = found.map_err(|cause| {
            let name = name.escape_debug();
            let problem = format!(
                "unknown time zone `{name}`: use `UTC`, `local`, or a name of the time zone \
                 database such as `Europe/Berlin` ({cause})"
            );
            error(at, problem)
        })?;
        match zone.iana_name() {
            Some(name) => self.zones.push_str(name),
            None => self.zones.push_str(&format!("{zone:?}")),
        }
        self.zones.push('\n');
        Ok(zone)
    }

    /// Reads `{n}`, optional.
    fn count(&mut self) -> Result<Option<NonZeroUsize>, PatternError> {
        let Some((at, digits)) = self.braces()? else { return Ok(None) };
        let count = digits.parse().map_err(|_| {
            let digits = digits.escape_debug();
            error(at, format!("`{digits}` is no number of parts: use 1 or more, as in `%c{{2}}`"))
        })?;
        Ok(Some(count))
    }

    /// Reads `{key}`, optional.
    fn key(&mut self) -> Result<Option<Box<str>>, PatternError> {
        match self.braces()? {
            Some((at, key)) if key.is_empty() => {
                Err(error(at, "the key is empty: name one, or leave out the braces for all"))
            }
            found => Ok(found.map(|(_, key)| key.into())),
        }
    }

    /// Reads `{text}` and tells where the text begins; `None` where no brace is open.
    fn braces(&mut self) -> Result<Option<(usize, String)>, PatternError> {
        let open = self.at;
        if !self.take_if('{') {
            return Ok(None);
        }
        let Some(len) = self.characters[self.at..].iter().position(|&c| c == '}') else {
            return Err(error(open, "this brace is not closed: end the argument with `}`"));
        };
        let text = self.characters[self.at..self.at + len].iter().collect();
        self.at += len + 1;
        Ok(Some((open + 1, text)))
    }

    fn take(&mut self) -> Option<char> {
        let character = self.characters.get(self.at).copied()?;
        self.at += 1;
        Some(character)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.characters.get(self.at) == Some(&wanted);
        self.at += usize::from(found);
        found
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }
}

/// An error at the character `at`, counted from 0.
fn error(at: usize, problem: impl Into<String>) -> PatternError {
    PatternError { column: at + 1, problem: problem.into() }
}

fn unknown_letter(at: usize, letter: char) -> PatternError {
    let other_case = if letter.is_lowercase() {
        letter.to_ascii_uppercase()
    } else {
        letter.to_ascii_lowercase()
    };
    let nearest = format!("%{other_case}");
    let hint = if LETTERS.split(' ').any(|known| known == nearest) {
        format!("; did you mean `{nearest}`?")
    } else {
        String::new()
    };
    let letter = letter.escape_debug();
    error(at, format!("unknown conversion `%{letter}`: use one of {LETTERS}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::super::escape::{escape, unescape};
    use super::super::fixture::Fixture;
    use super::*;
    use crate::template::Template;
    use crate::value::Kind;
    use proptest::prelude::*;

    fn line(pattern: &str, fixture: &mut Fixture) -> String {
        let mut out = String::new();
        Pattern::parse(pattern).unwrap().write(&fixture.event(), &mut out);
        out
    }

    fn sold(pattern: &str) -> String {
        let fixture = Fixture::saying("sold 3 apples").with("cashier", Kind::STR, b"Ada L.");
        line(pattern, &mut fixture.with("till", Kind::U8, &[7]).inside("request", "r 1"))
    }

    fn problem(pattern: &str) -> (usize, String) {
        let error = Pattern::parse(pattern).unwrap_err();
        (error.column, error.problem)
    }

    #[test]
    fn each_conversion_shows_its_part_of_the_event() {
        for (pattern, expected) in [
            ("%d", "2026-11-21T10:00:00.123456789Z"),
            ("%d{ISO8601}", "2026-11-21T10:00:00.123"),
            ("%d{HH:mm XXX}{Europe/Berlin}", "11:00 +01:00"),
            ("%d{HH:mm}{UTC}", "10:00"),
            ("%d{}{Asia/Kolkata}", "2026-11-21T15:30:00.123456789+05:30"),
            ("%p", "INFO"),
            ("%c", "shop::till"),
            ("%m", "sold 3 apples"),
            ("%k", r#" cashier="Ada L." till=7"#),
            ("%k{cashier}", "Ada L."),
            ("%k{nobody}", ""),
            ("%X", r#"request="r 1""#),
            ("%X{request}", "r 1"),
            ("%X{nobody}", ""),
            ("%F:%L", "src/till.rs:42"),
            ("%M", "shop::till::drawer"),
            ("%t", "worker-1"),
            ("%P@%H", "815@box"),
            ("%n", "\n"),
            ("100%% %{x}", "100% {x}"),
            ("", ""),
            ("näher\t|", "näher\t|"),
        ] {
            assert_eq!(sold(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn the_page_on_layouts_names_every_conversion() {
        let page = include_str!("../../docs/layouts.md");
        for conversion in LETTERS.split(' ') {
            let row = page
                .lines()
                .find(|line| line.starts_with("| `%") && line.contains(&format!("`{conversion}`")));
            assert!(row.is_some(), "{conversion}");
            // What the page lists is what the parser takes.
            assert!(Pattern::parse(conversion).is_ok(), "{conversion}");
        }
    }

    #[test]
    fn local_time_is_that_of_the_system() {
        let expected = jiff::Timestamp::from_nanosecond(1_795_255_200_123_456_789)
            .unwrap()
            .to_zoned(TimeZone::system())
            .strftime("%H:%M:%S")
            .to_string();
        assert_eq!(sold("%d{HH:mm:ss}{local}"), expected);
    }

    #[test]
    fn a_category_is_cut_to_its_last_parts() {
        let mut fixture = Fixture::saying("");
        fixture.site.category = "a::b.c::d".into();
        for (pattern, expected) in [
            ("%c{1}", "d"),
            ("%c{2}", "c::d"),
            ("%c{3}", "b.c::d"),
            ("%c{4}", "a::b.c::d"),
            ("%c{99}", "a::b.c::d"),
        ] {
            assert_eq!(line(pattern, &mut fixture), expected, "{pattern}");
        }
        fixture.site.category = "a.b:c:::d.".into();
        for (pattern, expected) in [("%c{1}", ""), ("%c{2}", "d."), ("%c{3}", "b:c:::d.")] {
            assert_eq!(line(pattern, &mut fixture), expected, "{pattern}");
        }
    }

    #[test]
    fn a_thread_without_a_name_shows_its_number() {
        let mut fixture = Fixture::saying("");
        fixture.thread.name = "".into();
        assert_eq!(line("%t", &mut fixture), "4711");
    }

    #[test]
    fn widths_fill_and_cut_as_in_log4perl() {
        for (pattern, expected) in [
            ("%12c|", "  shop::till|"),
            ("%-12c|", "shop::till  |"),
            ("%.4c|", "shop|"),
            ("%.-4c|", "till|"),
            ("%6.2p|", "    IN|"),
            ("%-6.2p|", "IN    |"),
            ("%-5p|", "INFO |"),
            ("%2p|", "INFO|"),
            ("%05L|", "00042|"),
            ("%.0m|", "|"),
            ("%-20.20m|", "sold 3 apples       |"),
            ("%40t|", "                                worker-1|"),
        ] {
            assert_eq!(sold(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn widths_count_characters() {
        let mut fixture = Fixture::saying("äöü日本");
        assert_eq!(line("%7m|%-7m|", &mut fixture), "  äöü日本|äöü日本  |");
        assert_eq!(line("%.2m|%.-2m|%.5m|%.-5m", &mut fixture), "äö|日本|äöü日本|äöü日本");
    }

    #[test]
    fn a_value_is_cut_before_it_is_escaped_and_filled_after() {
        let mut fixture = Fixture::saying("a\nb");
        assert_eq!(line("%.2m|%9m|", &mut fixture), r"a\u{a}|  a\u{a}b|");
    }

    #[test]
    fn hostile_data_stays_on_one_line() {
        let hostile = "x\r\n2026-11-21 FATAL - forged\x1b[2J\u{202e}\u{2028}";
        let mut fixture = Fixture::saying(hostile)
            .with(hostile, Kind::STR, hostile.as_bytes())
            .with("c", Kind::CHAR, &u32::from('\n').to_le_bytes())
            .inside(hostile, hostile);
        for text in [
            &mut fixture.site.category,
            &mut fixture.site.file,
            &mut fixture.site.module,
            &mut fixture.thread.name,
            &mut fixture.source.host,
        ] {
            *text = hostile.into();
        }
        let pattern = "%p%c%m%k%k{c}%X%F%L%M%t%P%H%c{1}%n";
        let line = line(pattern, &mut fixture);
        let (line, rest) = line.split_once('\n').unwrap();
        assert_eq!(rest, "");
        assert!(!line.chars().any(super::super::escape::is_hidden), "{line:?}");
        assert_eq!(line.matches("FATAL").count(), 11);
    }

    #[test]
    fn raw_output_is_there_for_who_asks_for_it() {
        let mut layout = Pattern::parse("%m%n").unwrap().escape(false);
        let mut out = String::new();
        layout.write(&Fixture::saying("a\nb\x1b").event(), &mut out);
        assert_eq!(out, "a\nb\x1b\n");
    }

    #[test]
    fn of_equal_keys_in_the_context_the_innermost_shows() {
        let mut fixture =
            Fixture::saying("").inside("k", "outer").inside("a", "1").inside("k", "inner");
        assert_eq!(line("%X|%X{k}", &mut fixture), "a=1 k=inner|inner");
    }

    #[test]
    fn all_kinds_of_values_have_a_text() {
        let mut fixture = Fixture::saying("")
            .with("i", Kind::I64, &(-1i64).to_le_bytes())
            .with("f", Kind::F64, &0.5f64.to_le_bytes())
            .with("b", Kind::BOOL, &[1])
            .with("c", Kind::CHAR.optional(), &u32::from('=').to_le_bytes())
            .with("bytes", Kind::BYTES, &[0, 255])
            .with("text", Kind::TEXT, b"Some(3)")
            .with_none("none");
        let expected = r#" i=-1 f=0.5 b=true c="=" bytes=[0,255] text=Some(3) none=None"#;
        assert_eq!(line("%k", &mut fixture), expected);
    }

    #[test]
    fn the_simple_pattern_is_the_one_it_documents() {
        let mut parsed = Pattern::parse(Pattern::SIMPLE).unwrap();
        let mut simple = Pattern::simple();
        let mut fixture = Fixture::saying("sold 3 apples").with("cashier", Kind::STR, b"Ada");
        let (mut from_parsed, mut from_simple) = (String::new(), String::new());
        parsed.write(&fixture.event(), &mut from_parsed);
        simple.write(&fixture.event(), &mut from_simple);
        let expected =
            "2026-11-21T10:00:00.123456789Z INFO  shop::till - sold 3 apples cashier=Ada\n";
        assert_eq!(from_simple, expected);
        assert_eq!(from_parsed, expected);
        assert_eq!(parsed.hash(), simple.hash());
    }

    #[test]
    fn a_line_is_added_behind_what_is_there() {
        let mut out = String::from("before\n");
        let mut layout = Pattern::parse("%10p|%.2m%n").unwrap();
        let mut fixture = Fixture::saying("message");
        fixture.level = Level::FATAL;
        layout.write(&fixture.event(), &mut out);
        assert_eq!(out, "before\n     FATAL|me\n");
    }

    #[test]
    fn a_different_output_has_a_different_number() {
        let hash = |pattern| Pattern::parse(pattern).unwrap().hash();
        assert_eq!(hash("%m%n"), hash("%m%n"));
        assert_ne!(hash("%m%n"), hash("%m"));
        assert_ne!(hash("%d{HH}{UTC}"), hash("%d{HH}{Europe/Berlin}"));
        let escaped = Pattern::parse("%m%n").unwrap();
        let number = escaped.hash();
        let raw = escaped.escape(false);
        assert_ne!(raw.hash(), number);
        assert_eq!(raw.escape(false).escape(true).hash(), number);
    }

    #[test]
    fn an_error_names_the_column_and_the_remedy() {
        for (pattern, column, remedy) in [
            ("%d %q", 5, "unknown conversion `%q`: use one of %d %p"),
            ("%l", 2, "did you mean `%L`?"),
            ("é%C", 3, "did you mean `%c`?"),
            ("50%", 3, "`%%`"),
            ("%-5", 1, "write a letter"),
            ("%c{0}", 4, "use 1 or more"),
            ("%c{x", 3, "end the argument with `}`"),
            ("%p{1}", 3, "write `%{`"),
            ("%X{}", 4, "name one"),
            ("%5000m", 2, "at most 1000"),
            ("%.m", 3, "a number must follow"),
            ("%5n", 2, "takes no width"),
            ("%d{yyyy-QQ}", 9, "unknown date letter `Q`"),
            ("%d{HH 'h}", 7, "this quote is not closed"),
            ("%d{HH}{Europe/Berlen}", 8, "unknown time zone `Europe/Berlen`: use `UTC`"),
        ] {
            let (found, problem) = problem(pattern);
            assert_eq!(found, column, "{pattern}: {problem}");
            assert!(problem.contains(remedy), "{pattern}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "(%|[-0-9.{}dpcmnkXFLMtPHq' é]){0,16}") {
            if let Ok(mut layout) = Pattern::parse(&pattern) {
                layout.write(&Fixture::saying("é\n").inside("k", "v").event(), &mut String::new());
            }
        }

        #[test]
        fn any_message_is_one_line_from_which_it_comes_back(message in any::<String>()) {
            let mut fixture = Fixture::saying(&message);
            let line = line("%m%n", &mut fixture);
            let mut expected = String::new();
            fixture.event().message(&mut expected);
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(unescape(line.trim_end_matches('\n')), expected);
        }

        #[test]
        fn any_key_value_comes_back_from_its_line(value in any::<String>()) {
            let mut fixture = Fixture::saying("").with("k", Kind::STR, value.as_bytes());
            let all = line("%k%n", &mut fixture);
            prop_assert_eq!(unquote(all.strip_prefix(" k=").unwrap().trim_end_matches('\n')), &*value);
            let one = line("%k{k}", &mut fixture);
            prop_assert_eq!(unescape(&one), &*value);
        }
    }

    /// Text around the syntax of escapes, most of it plain.
    fn hostile() -> impl Strategy<Value = String> {
        r#"([ -~]|[a-z]{1,20}|\\|u|\{|\}|5c|[0-9a-f]|"|\n|\t|\x1b|\u{202e}|é|日){0,6}"#
    }

    fn conversions() -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let known = [
            "d", "p", "-5p", "7p", "c", "12c", "-12.3c", "m", "30m", ".9m", ".-9m", "F", "L",
            "05L", "M", "t", ".2t",
        ];
        prop::collection::vec((prop::sample::select(known.to_vec()), hostile()), 0..8)
    }

    /// What a conversion shows: its raw text cut, escaped, filled.
    fn shown(conversion: &str, escaped: bool, raw: &str) -> String {
        let (width, _) = conversion.split_at(conversion.len() - 1);
        let (min, max) = width.split_once('.').unwrap_or((width, "1000"));
        let excess = |max: &str| raw.chars().count().saturating_sub(max.parse().unwrap());
        let cut: String = match max.strip_prefix('-') {
            Some(max) => raw.chars().skip(excess(max)).collect(),
            None => raw.chars().take(max.parse().unwrap()).collect(),
        };
        let mut text = String::new();
        match escaped {
            true => escape(&cut, &mut text),
            false => text = cut,
        }
        let blanks = |min: &str| min.parse::<usize>().unwrap_or(0);
        match (min.strip_prefix('-'), min.strip_prefix('0')) {
            (Some(min), _) => format!("{text:<0$}", blanks(min)),
            (None, Some(min)) => format!("{text:0>0$}", blanks(min)),
            (None, None) => format!("{text:>0$}", blanks(min)),
        }
    }

    proptest! {
        #[test]
        fn a_line_is_what_its_parts_show_one_by_one(
            conversions in conversions(),
            escaped: bool,
            literals in [hostile(), hostile(), hostile(), hostile()],
            (text, number, float, character) in (hostile(), any::<i64>(), any::<f64>(), any::<char>()),
            names in [hostile(), hostile(), hostile(), hostile()],
            time_ns in any::<i64>(),
        ) {
            let braces = |text: &str| text.replace('{', "{{").replace('}', "}}");
            let pattern = conversions
                .iter()
                .map(|(conversion, text)| format!("%{conversion}{}", text.replace('%', "%%").replace('{', "%{")));
            let mut layout = Pattern::parse(&pattern.collect::<String>()).unwrap().escape(escaped);
            let timestamp = jiff::Timestamp::from_nanosecond(time_ns.into()).unwrap();
            let date = timestamp.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();

            let [a, b, c, d] = &literals;
            let template = [braces(a), braces(b), braces(c), braces(d)].join("{}");
            let mut fixtures = [0, 1].map(|index: u32| {
                let mut fixture = Fixture::saying("")
                    .with("0", Kind::STR, text.as_bytes())
                    .with("1", Kind::I64, &number.to_le_bytes())
                    .with("2", Kind::F64, &float.to_le_bytes())
                    .with("3", Kind::CHAR, &u32::from(character).to_le_bytes());
                fixture.time_ns = time_ns;
                fixture.site.line = index;
                fixture.site.category = names[index as usize].as_str().into();
                fixture.site.module = names[2].as_str().into();
                fixture.thread.name = format!("t{}", names[3]).into();
                fixture.site.template = Template::parse(&format!("{template}{{:>9}}"));
                fixture
            });
            let message = format!("{a}{text}{b}{number}{c}{float}{d}{character:>9}");
            for (index, level) in [(0, Level::INFO), (1, Level::INFO), (0, Level::WARN), (0, Level::INFO)] {
                let fixture = &mut fixtures[index];
                fixture.level = level;
                let mut expected = String::new();
                for (conversion, text) in &conversions {
                    let raw = match conversion.chars().last().unwrap() {
                        'd' => &*date,
                        'p' => level.name(),
                        'c' => &names[index],
                        'm' => &message,
                        'F' => "src/till.rs",
                        'L' => ["0", "1"][index],
                        'M' => &names[2],
                        _ => &*fixture.thread.name,
                    };
                    expected += &shown(conversion, escaped, raw);
                    expected += text;
                }
                let (mut line, mut page) = (String::new(), Page::new());
                layout.write(&fixture.event(), &mut line);
                layout.write_page(&fixture.event(), &mut page);
                prop_assert_eq!(page.as_bytes(), line.as_bytes());
                prop_assert_eq!(line, expected);
            }
        }
    }

    /// A kind, whether the value may be absent, and the bytes of one, damaged ones among them.
    fn values() -> impl Strategy<Value = (Kind, Vec<u8>)> {
        let bytes = |kind: Kind| move |bytes: Vec<u8>| (kind, bytes);
        let decimal = (any::<i32>(), 0..9)
            .prop_map(|(units, decimals)| f64::from(units) / 10f64.powi(decimals));
        let fixed =
            (1..=14u8, any::<[u8; 16]>(), any::<bool>()).prop_map(|(number, bytes, is_small)| {
                let widths = [1, 2, 4, 8, 16, 1, 2, 4, 8, 16, 4, 8, 1, 4];
                let width = if is_small { 1 } else { 16 };
                let mut small = [0; 16];
                small[..width].copy_from_slice(&bytes[..width]);
                let kind = Kind::from_number(number).unwrap();
                (kind, small[..widths[usize::from(number) - 1]].to_vec())
            });
        let plain = prop_oneof![
            4 => hostile().prop_map(String::into_bytes).prop_map(bytes(Kind::STR)),
            4 => "[ -~]{0,40}".prop_map(String::into_bytes).prop_map(bytes(Kind::STR)),
            2 => "[a-z0-9.:]{0,40}".prop_map(String::into_bytes).prop_map(bytes(Kind::TEXT)),
            1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(bytes(Kind::STR)),
            1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(bytes(Kind::BYTES)),
            4 => decimal.prop_map(|float| (Kind::F64, float.to_le_bytes().to_vec())),
            2 => any::<f64>().prop_map(|float| (Kind::F64, float.to_le_bytes().to_vec())),
            1 => any::<f32>().prop_map(|float| (Kind::F32, float.to_le_bytes().to_vec())),
            1 => any::<bool>().prop_map(|truth| (Kind::BOOL, vec![truth.into()])),
            1 => any::<char>().prop_map(|c| (Kind::CHAR, u32::from(c).to_le_bytes().to_vec())),
            8 => fixed,
        ];
        (plain, prop::bool::weighted(0.05)).prop_map(|((kind, bytes), is_optional)| {
            (if is_optional { kind.optional() } else { kind }, bytes)
        })
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        let known = [
            "%d",
            "%d",
            "%d{ABSOLUTE}",
            "%d{EPOCH_MS}",
            "%d{S' 'SSSSSS EEEE}{Europe/Berlin}",
            "%-40d",
            "%p",
            "%-5p",
            "%c",
            "%.3c",
            "%m",
            "%m",
            "%m",
            "%m%k",
            "%40m",
            "%.-9m",
            "%k",
            "%k{0}",
            "%9k",
            "%X",
            "%X{0}",
            "%F",
            "%L",
            "%M",
            "%t",
            "%P",
            "%H",
            "%05P",
            "%n",
        ];
        let conversion = (prop::sample::select(known.to_vec()), hostile());
        prop::collection::vec(conversion, 0..8).prop_map(|conversions| {
            let text = |text: String| text.replace('%', "%%").replace('{', "%{");
            conversions
                .into_iter()
                .map(|(known, literal)| known.to_owned() + &text(literal))
                .collect()
        })
    }

    /// A template that shows `count` values, with any texts between them.
    fn template(texts: &[String], count: usize, shows: &str) -> String {
        let braces = |text: &str| text.replace('{', "{{").replace('}', "}}");
        let texts = texts.iter().cycle().take(count + 1).map(|text| braces(text));
        Vec::from_iter(texts).join(shows)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_page_has_the_lines_that_a_string_has(
            pattern in any_pattern(),
            escaped: bool,
            texts in prop::collection::vec(hostile(), 1..6),
            is_simple in prop::bool::weighted(0.8),
            events in prop::collection::vec(
                (0..2_usize, any::<i64>(), prop::collection::vec(values(), 0..12)), 1..4,
            ),
            slots in 0..8_usize,
            names in prop::collection::vec(prop_oneof![hostile(), "[a-z]{0,8}"], 12),
            long in "[a-z]{0,300}",
        ) {
            let mut layout = Pattern::parse(&pattern).unwrap().escape(escaped);
            let shows = if is_simple { "{}" } else { "{:>3}" };
            let site = |index: usize| {
                let mut site = Fixture::saying("").site;
                site.category = names[index].as_str().into();
                site.file = names[index + 2].as_str().into();
                site.template = Template::parse(&template(&texts, slots, shows));
                site.names = names.iter().map(|name| name.as_str().into()).collect();
                site
            };
            let sites = [site(0), site(1)];
            let (mut text, mut page) = (String::new(), Page::new());
            for (site, time_ns, values) in events {
                let mut fixture = Fixture::saying("").inside(&names[4], &names[5]).inside("0", &long);
                fixture.time_ns = time_ns;
                fixture.thread.name = texts[0].as_str().into();
                fixture.source.host = texts[0].as_str().into();
                for (kind, bytes) in &values {
                    fixture = fixture.with("", *kind, bytes);
                }
                // A site that has more names than this event has values, and keeps its number.
                let few = Event { site: &sites[site], ..fixture.event() };
                for _ in 0..2 {
                    layout.write(&few, &mut text);
                    layout.write_page(&few, &mut page);
                }
                let mut own = sites[site].clone();
                own.names = own.names.iter().take(values.len()).cloned().collect();
                let all = Event { site: &own, ..few };
                layout.write(&all, &mut text);
                layout.write_page(&all, &mut page);
                prop_assert_eq!(String::from_utf8_lossy(page.as_bytes()), &*text);
            }
        }
    }

    /// The value that `%k` wrote: a bare one is itself.
    fn unquote(word: &str) -> String {
        let Some(inner) = word.strip_prefix('"') else { return word.to_owned() };
        let mut plain = String::new();
        let mut characters = inner.strip_suffix('"').unwrap().chars();
        while let Some(character) = characters.next() {
            plain.push(match character {
                '\\' => match characters.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits = characters.by_ref().skip(1).take_while(|&c| c != '}');
                        let code = u32::from_str_radix(&digits.collect::<String>(), 16).unwrap();
                        char::from_u32(code).unwrap()
                    }
                    itself => itself,
                },
                plain => plain,
            });
        }
        plain
    }
}
