//! A pattern as text → its parts, or the column that is wrong.

use std::num::NonZeroUsize;

use jiff::tz::TimeZone;

use super::field::Field;
use super::letters::Letters;
use super::shape::{INDENT_MAX, Indent, Shape};
use super::width::{Fill, Width};
use super::{Part, PatternError};
use crate::layout::time::DateFormat;

/// No width is greater, in characters.
const WIDTH_MAX: usize = 1000;
/// The conversions, for error texts; each of them is a pattern.
pub(super) const LETTERS: &str =
    "%d %p %c %m %k %X %F %f %L %o %M %C %l %t %P %z %H %h %r %R %n %% %{";
/// The letters among them.
pub(super) const BUILT_IN: &str = "dpcmkxXFfLoMCltPzHhrRn";
/// Letters of other systems that show what an event does not have, and what to do instead.
const REFUSED: [(char, &str); 4] = [
    ('A', "a function has no second name: use `%M`, the module path"),
    ('s', "an event has no call stack: use `%l`, the place of the call"),
    ('T', "an event has no call stack: use `%l`, the place of the call"),
    ('y', "who writes a line is no part of the event: use `%P`, the process of the log call"),
];

/// The parts of a pattern, and what its time zones and own letters turned out to be.
pub(super) fn parse(pattern: &str, letters: &Letters) -> Result<(Vec<Part>, String), PatternError> {
    let mut parser = Parser {
        characters: pattern.chars().collect(),
        letters,
        at: 0,
        parts: Vec::new(),
        text: String::new(),
        marks: String::new(),
        uses_letters: false,
        colour_at: None,
    };
    parser.parse()?;
    if parser.uses_letters {
        parser.marks.push_str(&letters.mark());
    }
    Ok((parser.parts, parser.marks))
}

/// A pattern on its way to parts.
struct Parser<'p> {
    characters: Vec<char>,
    letters: &'p Letters,
    at: usize,
    parts: Vec<Part>,
    /// Text that is not yet a part.
    text: String,
    /// What the pattern's time zones turned out to be.
    marks: String,
    uses_letters: bool,
    /// Where a colour was begun that is not ended yet.
    colour_at: Option<usize>,
}

impl Parser<'_> {
    fn parse(&mut self) -> Result<(), PatternError> {
        while let Some(character) = self.take() {
            match character {
                '%' => self.conversion()?,
                plain => self.text.push(plain),
            }
        }
        self.end_text();
        match self.colour_at {
            Some(at) => {
                Err(error(at, "this colour is not ended: write `%]` behind the coloured text"))
            }
            None => Ok(()),
        }
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
            '%' | '{' | 'n' | '[' | ']' => {
                if width.is_some() {
                    return Err(error(start, format!("`%{letter}` takes no width: remove it")));
                }
                return self.sign(letter, start - 1);
            }
            'd' => self.date()?,
            'p' => Field::Level(self.count("letters")?),
            'c' => Field::Category(self.count("parts")?),
            'm' => self.message(width.map(|_| start))?,
            'k' => Field::Pairs(self.key()?),
            'X' => Field::Context(self.key()?),
            'F' | 'f' => Field::File(self.count("parts")?),
            'L' => Field::Line,
            'o' => Field::Column,
            'M' | 'C' => Field::Module(self.count("parts")?),
            'l' => Field::Location,
            't' => Field::Thread,
            'P' | 'z' => Field::Process,
            'H' | 'h' => Field::Host,
            'r' => Field::SinceStart,
            'R' => Field::SincePrevious(None),
            other => self.own(letter_at, other)?,
        };
        if self.characters.get(self.at) == Some(&'{') {
            let problem = format!("`%{letter}` takes no more braces: write `%{{` for a `{{`");
            return Err(error(self.at, problem));
        }
        self.end_text();
        self.parts.push(Part::Field(field, width));
        Ok(())
    }

    /// Takes a sign that begins at `at` and is text or the border of a colour.
    fn sign(&mut self, sign: char, at: usize) -> Result<(), PatternError> {
        let field = match (sign, self.colour_at) {
            ('[', Some(_)) => {
                return Err(error(
                    at,
                    "the colour before is not ended: write `%]` before this one",
                ));
            }
            ('[', None) => {
                self.colour_at = Some(at);
                Field::Colour
            }
            (']', None) => {
                return Err(error(at, "no colour is to be ended here: begin one with `%[`"));
            }
            (']', Some(_)) => {
                self.colour_at = None;
                Field::ColourEnd
            }
            _ => {
                self.text.push(if sign == 'n' { '\n' } else { sign });
                return Ok(());
            }
        };
        self.end_text();
        self.parts.push(Part::Field(field, None));
        Ok(())
    }

    /// Reads what follows a letter that not every pattern has.
    fn own(&mut self, at: usize, letter: char) -> Result<Field, PatternError> {
        if !self.letters.has(letter) {
            return Err(unknown_letter(at, letter));
        }
        let argument = self.braces()?.map(|(_, text)| text.into());
        let own = self.letters.get(letter, argument).ok_or_else(|| unknown_letter(at, letter))?;
        self.uses_letters = true;
        Ok(Field::Own(own))
    }

    /// Reads `{chomp,indent=n}`, all of it optional.
    fn message(&mut self, width_at: Option<usize>) -> Result<Field, PatternError> {
        let Some((mut at, options)) = self.braces()? else { return Ok(Field::Message) };
        let mut shape = Shape::default();
        for option in options.split(',') {
            match option.split_once('=').unwrap_or((option, "")) {
                ("chomp", "") if option == "chomp" => shape.chomps = true,
                ("indent", "") if option == "indent" => shape.indent = Some(Indent::Below),
                ("indent", count) => shape.indent = Some(Indent::By(indent(at, count)?)),
                _ => {
                    let option = option.escape_debug();
                    let problem = format!(
                        "`{option}` is nothing a message can be told: use `chomp`, `indent` or \
                         `indent=2`, with commas between"
                    );
                    return Err(error(at, problem));
                }
            }
            at += option.chars().count() + 1;
        }
        match (shape.indent, width_at) {
            (Some(_), Some(at)) => Err(error(at, "an indented message takes no width: remove it")),
            _ => Ok(Field::Shaped(shape)),
        }
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
            Some(name) => self.marks.push_str(name),
            None => self.marks.push_str(&format!("{zone:?}")),
        }
        self.marks.push('\n');
        Ok(zone)
    }

    /// Reads `{n}`, a number of `what`, optional.
    fn count(&mut self, what: &str) -> Result<Option<NonZeroUsize>, PatternError> {
        let Some((at, digits)) = self.braces()? else { return Ok(None) };
        let count = digits.parse().map_err(|_| {
            let digits = digits.escape_debug();
            error(at, format!("`{digits}` is no number of {what}: use 1 or more, as in `{{2}}`"))
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

/// A number of blanks.
fn indent(at: usize, count: &str) -> Result<usize, PatternError> {
    let count_of = count.parse().ok().filter(|count| (1..=INDENT_MAX).contains(count));
    count_of.ok_or_else(|| {
        let count = count.escape_debug();
        error(at, format!("`{count}` is no number of blanks: use 1 to {INDENT_MAX}"))
    })
}

fn unknown_letter(at: usize, letter: char) -> PatternError {
    if let Some((_, remedy)) = REFUSED.iter().find(|(refused, _)| *refused == letter) {
        return error(at, format!("`%{letter}` cannot be shown: {remedy}"));
    }
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
    error(at, format!("unknown conversion `%{letter}`: use one of {LETTERS} %[ %]{hint}"))
}
