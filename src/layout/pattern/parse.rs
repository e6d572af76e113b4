//! A pattern as text → its parts, or the column that is wrong.

use std::num::NonZeroUsize;

use jiff::tz::TimeZone;

use super::{Field, Fill, Part, PatternError, Width};
use crate::layout::time::DateFormat;

/// No width is greater, in characters.
const WIDTH_MAX: usize = 1000;
/// The conversions, for error texts.
pub(super) const LETTERS: &str = "%d %p %c %m %k %X %F %L %M %t %P %H %n %% %{";

/// The parts of a pattern, and what its time zones turned out to be.
pub(super) fn parse(pattern: &str) -> Result<(Vec<Part>, String), PatternError> {
    let mut parser = Parser {
        characters: pattern.chars().collect(),
        at: 0,
        parts: Vec::new(),
        text: String::new(),
        zones: String::new(),
    };
    parser.parse()?;
    Ok((parser.parts, parser.zones))
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
