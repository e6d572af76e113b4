//! Which argument each placeholder takes, as `std::fmt` decides it.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Expr, LitStr, Result, parse_quote};

use crate::call::PassedArgument;
use crate::format::{Align, Argument, Count, Form, Piece, Pieces, Placeholder, Spec};

/// The arguments of a call, each once, and the values of its record in their order.
pub(crate) struct Resolved {
    /// The passed arguments, then the variables that the format string names.
    pub(crate) arguments: Vec<Expr>,
    pub(crate) slots: Vec<Slot>,
}

/// One value of the record.
pub(crate) struct Slot {
    /// The name or, of an argument without one, the position.
    pub(crate) name: String,
    /// An index of [`Resolved::arguments`].
    pub(crate) argument: usize,
    pub(crate) shown: Shown,
}

/// What a slot is for.
pub(crate) enum Shown {
    /// A width or precision.
    Count,
    /// `{}`.
    Display,
    /// `{:?}`.
    Debug,
    /// Anything else: a format string for the value, and the arguments of its counts.
    Formatted { format: String, counts: Vec<usize>, is_pointer: bool },
}

/// Brings the placeholders of `format` and the arguments behind it together.
pub(crate) fn resolve(format: &LitStr, passed: Vec<PassedArgument>) -> Result<Resolved> {
    let text = format.value();
    let mut resolver = Resolver {
        format,
        names: passed.iter().map(|argument| argument.name.as_ref().map(Ident::to_string)).collect(),
        used: vec![false; passed.len()],
        passed: passed.len(),
        next: 0,
        captured: Vec::new(),
        slots: Vec::new(),
    };
    for piece in Pieces::new(&text) {
        let piece = piece.map_err(|malformed| {
            let place = text[..malformed.at].chars().count() + 1;
            let what = format!("bad format string, character {place}: {}", malformed.what);
            syn::Error::new(format.span(), what)
        })?;
        if let Piece::Placeholder(placeholder) = piece {
            resolver.placeholder(placeholder)?;
        }
    }
    resolver.check_used(&passed)?;

    let Resolver { captured, slots, .. } = resolver;
    let captured = captured.into_iter().map(|name| -> Expr { parse_quote!(#name) });
    let arguments = passed.into_iter().map(|argument| argument.value).chain(captured).collect();
    Ok(Resolved { arguments, slots })
}

struct Resolver<'a> {
    format: &'a LitStr,
    /// By argument: passed ones, then captured ones.
    names: Vec<Option<String>>,
    used: Vec<bool>,
    /// How many arguments stand behind the format string.
    passed: usize,
    /// The position that the next placeholder without a name takes.
    next: usize,
    captured: Vec<Ident>,
    slots: Vec<Slot>,
}

impl Resolver<'_> {
    fn placeholder(&mut self, placeholder: Placeholder<'_>) -> Result<()> {
        let spec = placeholder.spec;
        // A `*` takes its argument before the value does, and a width has no `*`.
        let width = self.count(spec.width)?;
        let precision = self.count(spec.precision)?;
        let argument = self.argument(placeholder.argument)?;

        let is_plain = spec == Spec { form: spec.form, ..Spec::NONE };
        let shown = match spec.form {
            Form::Display if is_plain => Shown::Display,
            Form::Debug if is_plain => Shown::Debug,
            form => {
                let counts = width.into_iter().chain(precision).collect();
                let format = format_of_one(spec);
                Shown::Formatted { format, counts, is_pointer: form == Form::Pointer }
            }
        };
        self.slot(argument, shown);
        Ok(())
    }

    /// The slot of a width or precision that an argument gives, and the argument.
    fn count(&mut self, count: Count<'_>) -> Result<Option<usize>> {
        let Count::Argument(argument) = count else { return Ok(None) };
        let argument = self.argument(argument)?;
        self.slot(argument, Shown::Count);
        Ok(Some(argument))
    }

    fn slot(&mut self, argument: usize, shown: Shown) {
        let name = self.names[argument].clone().unwrap_or_else(|| argument.to_string());
        self.slots.push(Slot { name, argument, shown });
    }

    fn argument(&mut self, argument: Argument<'_>) -> Result<usize> {
        let index = match argument {
            Argument::Next => {
                self.next += 1;
                self.passed(self.next - 1)?
            }
            Argument::Index(index) => self.passed(usize::from(index))?,
            Argument::Name(name) => match self.named(name) {
                Some(index) => index,
                None => self.capture(name)?,
            },
        };
        self.used[index] = true;
        Ok(index)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known.as_deref() == Some(name))
    }

    fn passed(&self, index: usize) -> Result<usize> {
        if index < self.passed {
            return Ok(index);
        }
        Err(syn::Error::new(
            self.format.span(),
            format!(
                "the format string asks for argument {index}, counted from 0, but {} follow{}; add \
                 the argument or remove the placeholder",
                match self.passed {
                    0 => "none".to_owned(),
                    passed => passed.to_string(),
                },
                if self.passed == 1 { "s" } else { "" },
            ),
        ))
    }

    /// A variable from around the call. That it exists is for the compiler to check.
    fn capture(&mut self, name: &str) -> Result<usize> {
        let span: Span = self.format.span();
        let ident = match name {
            "self" => Ident::new(name, span),
            "Self" | "super" | "crate" => {
                let message = format!("`{name}` is no value that a format string could name");
                return Err(syn::Error::new(span, message));
            }
            _ if syn::parse_str::<Ident>(name).is_ok() => Ident::new(name, span),
            _ => match Ident::parse_any.parse_str(name) {
                Ok(_) => Ident::new_raw(name, span),
                Err(_) => {
                    let message = format!("`{name}` is no name of a variable");
                    return Err(syn::Error::new(span, message));
                }
            },
        };
        self.captured.push(ident);
        self.names.push(Some(name.to_owned()));
        self.used.push(true);
        Ok(self.names.len() - 1)
    }

    fn check_used(&self, passed: &[PassedArgument]) -> Result<()> {
        let Some(unused) = self.used.iter().position(|used| !used) else { return Ok(()) };
        let argument = &passed[unused];
        Err(match &argument.name {
            Some(name) => syn::Error::new(
                name.span(),
                format!(
                    "named argument never used: add `{{{name}}}` to the format string or remove it"
                ),
            ),
            None => syn::Error::new_spanned(
                &argument.value,
                "argument never used: add `{}` to the format string or remove it",
            ),
        })
    }
}

/// The format string that shows one value, argument 0, by `spec`; its counts are arguments 1 and 2.
fn format_of_one(spec: Spec<'_>) -> String {
    let mut counts = 0;
    let mut count = |count: Count<'_>| match count {
        Count::None => String::new(),
        Count::Fixed(number) => number.to_string(),
        Count::Argument(_) => {
            counts += 1;
            format!("{counts}$")
        }
    };
    let align = match spec.align {
        None => String::new(),
        Some(Align::Left) => format!("{}<", spec.fill),
        Some(Align::Center) => format!("{}^", spec.fill),
        Some(Align::Right) => format!("{}>", spec.fill),
    };
    let plus = if spec.plus { "+" } else { "" };
    let alternate = if spec.alternate { "#" } else { "" };
    let zero = if spec.zero { "0" } else { "" };
    let width = count(spec.width);
    let precision = match spec.precision {
        Count::None => String::new(),
        given => format!(".{}", count(given)),
    };
    let form = match spec.form {
        Form::Display => "",
        Form::Debug => "?",
        Form::DebugLowerHex => "x?",
        Form::DebugUpperHex => "X?",
        Form::LowerHex => "x",
        Form::UpperHex => "X",
        Form::Octal => "o",
        Form::Binary => "b",
        Form::LowerExp => "e",
        Form::UpperExp => "E",
        Form::Pointer => "p",
    };
    format!("{{0:{align}{plus}{alternate}{zero}{width}{precision}{form}}}")
}
