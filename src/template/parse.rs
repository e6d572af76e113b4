//! The grammar of `std::fmt`: a format string becomes literal text and placeholders.
//!
//! The macros crate reads format strings with this file, too, through a symbolic link: a crate of
//! macros can export nothing else, and packaging follows links. The grammar is the one the compiler
//! accepts, blanks before `:` and `}` included.

/// A part of a format string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece<'a> {
    /// Text to take as it is. Never empty; one run of text may come in several pieces.
    Literal(&'a str),
    /// What stands between two braces.
    Placeholder(Placeholder<'a>),
}

/// One `{…}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placeholder<'a> {
    pub(crate) argument: Argument<'a>,
    pub(crate) spec: Spec<'a>,
}

/// Which argument a placeholder or a count takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "a record's values come in order: its reader asks for no argument")]
pub(crate) enum Argument<'a> {
    /// The next one that no other placeholder without a name has taken.
    Next,
    Index(u16),
    Name(&'a str),
}

/// Everything behind the colon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) fill: char,
    pub(crate) align: Option<Align>,
    pub(crate) plus: bool,
    pub(crate) alternate: bool,
    pub(crate) zero: bool,
    pub(crate) width: Count<'a>,
    pub(crate) precision: Count<'a>,
    pub(crate) form: Form,
}

/// On which side a value shorter than its width stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

/// A width or a precision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count<'a> {
    None,
    Fixed(u16),
    /// `name$`, `0$`, or `*` for the next argument.
    Argument(Argument<'a>),
}

/// The trait that renders the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Display,
    Debug,
    /// `x?`: Debug with lower-case hexadecimal integers.
    DebugLowerHex,
    /// `X?`: Debug with upper-case hexadecimal integers.
    DebugUpperHex,
    LowerHex,
    UpperHex,
    Octal,
    Binary,
    LowerExp,
    UpperExp,
    Pointer,
}

/// Why a text is no format string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Malformed {
    /// Where, in bytes from its start.
    #[allow(dead_code, reason = "errors of the macros say it; the reader of records does not")]
    pub(crate) at: usize,
    /// What is wrong there and what would be right.
    #[allow(dead_code, reason = "errors of the macros say it; the reader of records does not")]
    pub(crate) what: String,
}

/// Walks a format string from front to back. Ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'a> {
    text: &'a str,
    at: usize,
}

impl Spec<'_> {
    /// The spec of `{}`.
    pub(crate) const NONE: Spec<'static> = Spec {
        fill: ' ',
        align: None,
        plus: false,
        alternate: false,
        zero: false,
        width: Count::None,
        precision: Count::None,
        form: Form::Display,
    };
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest();
        let literal_len = rest.find(['{', '}']).unwrap_or(rest.len());
        let brace = rest[literal_len..].chars().next();
        let doubled = rest[literal_len..].chars().nth(1) == brace;

        match brace {
            None if rest.is_empty() => None,
            None => Some(Ok(Piece::Literal(self.take(literal_len)))),
            // Of two braces one is text.
            Some(_) if doubled => {
                let literal = self.take(literal_len + 1);
                self.at += 1;
                Some(Ok(Piece::Literal(literal)))
            }
            Some(_) if literal_len > 0 => Some(Ok(Piece::Literal(self.take(literal_len)))),
            Some('{') => {
                self.at += 1;
                let placeholder = self.placeholder();
                if placeholder.is_err() {
                    self.at = self.text.len();
                }
                Some(placeholder.map(Piece::Placeholder))
            }
            Some(_) => {
                let error = self.malformed("this `}` closes nothing; write `}}` for the character");
                self.at = self.text.len();
                Some(Err(error))
            }
        }
    }
}

impl<'a> Pieces<'a> {
    /// Starts at the front of `text`.
    pub(crate) fn new(text: &'a str) -> Pieces<'a> {
        Pieces { text, at: 0 }
    }

    /// What stands between `{` and `}`, and the `}`.
    fn placeholder(&mut self) -> Result<Placeholder<'a>, Malformed> {
        let argument = self.argument()?.unwrap_or(Argument::Next);
        self.blanks();
        let has_spec = self.takes(":");
        let spec = if has_spec { self.spec()? } else { Spec::NONE };
        self.blanks();
        if self.takes("}") {
            return Ok(Placeholder { argument, spec });
        }
        Err(match self.peek() {
            None => self.malformed("a `}` is missing; write `{{` for the character `{`"),
            Some('.') if !has_spec => self.malformed(
                "only a name can stand in braces; pass the expression as an argument of its own",
            ),
            Some(found) => self.malformed(&format!(
                "expected `}}`, found `{}`; a format is \
                 `{{argument:[[fill]align][sign]['#']['0'][width]['.' precision][type]}}`",
                found.escape_debug()
            )),
        })
    }

    fn spec(&mut self) -> Result<Spec<'a>, Malformed> {
        let mut spec = Spec::NONE;
        let mut chars = self.rest().chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(Align::from_char)) {
            (spec.fill, spec.align) = (fill, Some(align));
            self.at += fill.len_utf8() + 1;
        } else if let Some(align) = first.and_then(Align::from_char) {
            spec.align = Some(align);
            self.at += 1;
        }
        spec.plus = self.takes("+");
        if !spec.plus {
            // A minus is accepted and means nothing, as for the compiler.
            self.takes("-");
        }
        spec.alternate = self.takes("#");
        // `0$` is a width, not a flag.
        spec.zero = !self.rest().starts_with("0$") && self.takes("0");
        spec.width = self.count()?;
        if self.takes(".") {
            spec.precision =
                if self.takes("*") { Count::Argument(Argument::Next) } else { self.count()? };
        }
        spec.form = self.form()?;
        Ok(spec)
    }

    fn form(&mut self) -> Result<Form, Malformed> {
        let start = self.at;
        if self.takes("?") {
            return Ok(Form::Debug);
        }
        if self.takes("x?") {
            return Ok(Form::DebugLowerHex);
        }
        if self.takes("X?") {
            return Ok(Form::DebugUpperHex);
        }
        Ok(match self.name() {
            "" => Form::Display,
            "x" => Form::LowerHex,
            "X" => Form::UpperHex,
            "o" => Form::Octal,
            "b" => Form::Binary,
            "e" => Form::LowerExp,
            "E" => Form::UpperExp,
            "p" => Form::Pointer,
            unknown => {
                self.at = start;
                return Err(self.malformed(&format!(
                    "unknown format `{unknown}`; known are nothing, `?`, `x`, `X`, `o`, `b`, `e`, \
                     `E`, `p`, `x?` and `X?`"
                )));
            }
        })
    }

    /// A number, or an argument and its `$`.
    fn count(&mut self) -> Result<Count<'a>, Malformed> {
        let start = self.at;
        match self.argument()? {
            Some(argument) if self.takes("$") => Ok(Count::Argument(argument)),
            Some(Argument::Index(number)) => Ok(Count::Fixed(number)),
            // A name without `$` is the format's type.
            _ => {
                self.at = start;
                Ok(Count::None)
            }
        }
    }

    /// A position or a name.
    fn argument(&mut self) -> Result<Option<Argument<'a>>, Malformed> {
        let digits_len = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits_len > 0 {
            let number = self.rest()[..digits_len].parse::<u16>();
            let number = number.map_err(|_| self.malformed("this number is above 65535"))?;
            self.at += digits_len;
            return Ok(Some(Argument::Index(number)));
        }
        if self.rest().starts_with("r#") {
            return Err(self.malformed("leave out `r#`: a name in braces may be a keyword"));
        }
        let start = self.at;
        match self.name() {
            "" => Ok(None),
            "_" => {
                self.at = start;
                Err(self.malformed("`_` is no name of an argument"))
            }
            name => Ok(Some(Argument::Name(name))),
        }
    }

    /// The identifier here; empty where none is.
    fn name(&mut self) -> &'a str {
        let is_part = |c: char| c == '_' || c.is_alphanumeric();
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_numeric()) {
            return "";
        }
        self.take(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes `len` bytes, which end on a character border.
    fn take(&mut self, len: usize) -> &'a str {
        let taken = &self.rest()[..len];
        self.at += len;
        taken
    }

    fn takes(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    fn malformed(&self, what: &str) -> Malformed {
        Malformed { at: self.at, what: what.to_owned() }
    }
}

impl Align {
    fn from_char(c: char) -> Option<Align> {
        match c {
            '<' => Some(Align::Left),
            '^' => Some(Align::Center),
            '>' => Some(Align::Right),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compiler_accepts_is_accepted() {
        let accepted = [
            "",
            "text",
            "{{}}",
            "{{{}}}",
            "{}",
            "{0}",
            "{name}",
            "{ünder_3}",
            "{ }",
            "{0 :?}",
            "{ :? }",
            "{: }",
            "{:>}",
            "{:{<5}",
            "{:}>5}",
            "{:\u{301}^5}",
            "{:.}",
            "{:00}",
            "{:005}",
            "{:0$}",
            "{:-5}",
            "{:+#012.5e}",
            "{:a$.b$}",
            "{:.*}",
            "{:w$x?}",
            "{:#X?}",
            "{:# }",
            "{:\n}",
            "{:p}",
        ];
        for text in accepted {
            assert!(Pieces::new(text).all(|piece| piece.is_ok()), "{text}");
        }
    }

    #[test]
    fn what_the_compiler_refuses_is_refused_once() {
        let refused = [
            "{", "}", "{:5", "{ 0}", "{:y}", "{:??}", "{:? x}", "{:#?x}", "{a.b}", "{:+-}",
            "{:-+}", "{:0#}", "{:.*.}", "{:.-1}", "{:70000}", "{70000}", "{r#type}", "{_}",
            "{:>5>}", "a } b",
        ];
        for text in refused {
            let pieces: Vec<_> = Pieces::new(text).collect();
            let errors = pieces.iter().filter(|piece| piece.is_err()).count();
            assert!(errors == 1 && pieces[pieces.len() - 1].is_err(), "{text}: {pieces:?}");
        }
    }

    #[test]
    fn a_zero_before_a_dollar_is_an_argument_and_not_a_flag() {
        let spec = |text| match Pieces::new(text).next() {
            Some(Ok(Piece::Placeholder(placeholder))) => placeholder.spec,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(spec("{:0$}").width, Count::Argument(Argument::Index(0)));
        assert!(!spec("{:0$}").zero);
        assert_eq!(spec("{:00$}").width, Count::Argument(Argument::Index(0)));
        assert!(spec("{:00$}").zero);
    }
}
