//! The tokens of a log call, in the grammar of the `log` crate's macros.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, LitStr, Path, Result, Token, bracketed, parse_quote};

/// `CRATE [LEVEL] target: …, logger: …, key = value; "format", arguments`.
pub(crate) struct EventCall {
    pub(crate) krate: Path,
    pub(crate) level: Level,
    pub(crate) options: Options,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) format: LitStr,
    pub(crate) arguments: Vec<PassedArgument>,
}

/// `CRATE target: …, logger: …, LEVEL`.
pub(crate) struct EnabledCall {
    pub(crate) krate: Path,
    pub(crate) options: Options,
    pub(crate) level: Expr,
}

/// Known by the macro's name, or an expression.
pub(crate) enum Level {
    Named(Ident),
    Computed(Expr),
}

/// What may stand before everything else, in any order.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) target: Option<Expr>,
    pub(crate) logger: Option<Expr>,
}

/// One key-value.
pub(crate) struct Pair {
    pub(crate) key: LitStr,
    pub(crate) capture: PairCapture,
    pub(crate) value: Expr,
}

/// How the value of a pair is captured.
#[derive(Clone, Copy)]
pub(crate) enum PairCapture {
    Raw,
    Debug,
    Display,
    Error,
}

/// An argument behind the format string.
pub(crate) struct PassedArgument {
    pub(crate) name: Option<Ident>,
    pub(crate) value: Expr,
}

impl Parse for EventCall {
    fn parse(input: ParseStream<'_>) -> Result<EventCall> {
        let krate = input.call(Path::parse_mod_style)?;
        let level;
        bracketed!(level in input);
        let mut options = Options::default();
        options.parse(input)?;
        let level = if level.is_empty() {
            let computed = input.parse()?;
            comma_before_message(input)?;
            options.parse(input)?;
            Level::Computed(computed)
        } else {
            Level::Named(level.parse()?)
        };

        let pairs = pairs(input)?;
        let format = format(input)?;
        let arguments = arguments(input)?;
        Ok(EventCall { krate, level, options, pairs, format, arguments })
    }
}

impl Parse for EnabledCall {
    fn parse(input: ParseStream<'_>) -> Result<EnabledCall> {
        let krate = input.call(Path::parse_mod_style)?;
        let mut options = Options::default();
        options.parse(input)?;
        let level = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok(EnabledCall { krate, options, level })
    }
}

impl Options {
    fn parse(&mut self, input: ParseStream<'_>) -> Result<()> {
        // `target::LEVEL` is a path and `target:? = x` a key-value.
        while input.peek(syn::Ident)
            && input.peek2(Token![:])
            && !input.peek2(Token![::])
            && !input.peek3(Token![?])
            && !input.peek3(Token![%])
        {
            let fork = input.fork();
            let name = fork.call(Ident::parse_any)?;
            let slot = match name.to_string().as_str() {
                "target" => &mut self.target,
                "logger" => &mut self.logger,
                _ => break,
            };
            input.call(Ident::parse_any)?;
            input.parse::<Token![:]>()?;
            let value = input.parse()?;
            if slot.replace(value).is_some() {
                return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
            }
            comma_before_message(input)?;
        }
        Ok(())
    }
}

/// A comma, without which the message is missing.
fn comma_before_message(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() {
        return Err(input.error("the message is missing: add `, \"…\"`"));
    }
    input.parse::<Token![,]>().map(drop)
}

/// Key-values and their `;`, when there are any.
fn pairs(input: ParseStream<'_>) -> Result<Vec<Pair>> {
    let fork = input.fork();
    let format_first = fork.parse::<LitStr>().is_ok() && (fork.is_empty() || fork.peek(Token![,]));
    if format_first || !has_semicolon(input)? {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    loop {
        pairs.push(input.parse()?);
        let comma: Option<Token![,]> = input.parse()?;
        if let Some(_end) = input.parse::<Option<Token![;]>>()? {
            return Ok(pairs);
        }
        if comma.is_none() {
            return Err(input.error("expected `,` and a key-value, or `;` and the format string"));
        }
    }
}

fn has_semicolon(input: ParseStream<'_>) -> Result<bool> {
    let rest: TokenStream = input.fork().parse()?;
    Ok(rest
        .into_iter()
        .any(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';')))
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> Result<Pair> {
        let (key, ident) = if input.peek(LitStr) {
            (input.parse::<LitStr>()?, None)
        } else if input.peek(Ident::peek_any) {
            let ident = input.call(Ident::parse_any)?;
            (LitStr::new(&ident.unraw().to_string(), ident.span()), Some(ident))
        } else {
            return Err(input.error("a key is an identifier or a string literal"));
        };
        let capture = match input.parse::<Option<Token![:]>>()? {
            Some(_) => input.parse()?,
            None => PairCapture::Raw,
        };
        let value = match (input.parse::<Option<Token![=]>>()?, ident) {
            (Some(_), _) => input.parse()?,
            (None, Some(ident)) => parse_quote!(#ident),
            (None, None) => {
                let message = "a key in quotes needs a value: add `= …`";
                return Err(syn::Error::new(key.span(), message));
            }
        };
        Ok(Pair { key, capture, value })
    }
}

impl Parse for PairCapture {
    fn parse(input: ParseStream<'_>) -> Result<PairCapture> {
        const SUPPORTED: &str = "supported are `:?` (Debug), `:%` (Display) and `:err` (an error \
                                 with its causes); without any a value keeps its type";
        if input.parse::<Option<Token![?]>>()?.is_some() {
            return Ok(PairCapture::Debug);
        }
        if input.parse::<Option<Token![%]>>()?.is_some() {
            return Ok(PairCapture::Display);
        }
        if !input.peek(Ident::peek_any) {
            return Err(input.error(format!("a modifier is missing: {SUPPORTED}")));
        }
        let word = input.call(Ident::parse_any)?;
        match word.to_string().as_str() {
            "debug" => Ok(PairCapture::Debug),
            "display" => Ok(PairCapture::Display),
            "err" | "error" => Ok(PairCapture::Error),
            unknown => {
                let message = format!("`:{unknown}` is no modifier of rollway: {SUPPORTED}");
                Err(syn::Error::new(word.span(), message))
            }
        }
    }
}

fn format(input: ParseStream<'_>) -> Result<LitStr> {
    if input.is_empty() {
        return Err(input.error("the message is missing: add a format string"));
    }
    if input.peek(LitStr) {
        return input.parse();
    }
    let found: TokenStream = match input.parse::<Expr>() {
        Ok(found) => found.to_token_stream(),
        Err(_) => input.parse()?,
    };
    let message = "the format string must be a string literal; to log a value, put `\"{}\", ` \
                   before it";
    Err(syn::Error::new_spanned(found, message))
}

fn arguments(input: ParseStream<'_>) -> Result<Vec<PassedArgument>> {
    let mut arguments: Vec<PassedArgument> = Vec::new();
    while !input.is_empty() {
        if !input.peek(Token![,]) {
            return Err(input.error("expected `,` between the arguments"));
        }
        input.parse::<Token![,]>()?;
        if input.is_empty() {
            break;
        }
        let named = input.peek(Ident::peek_any)
            && input.peek2(Token![=])
            && !input.peek2(Token![==])
            && !input.peek2(Token![=>]);
        let name = if named {
            let name = input.call(Ident::parse_any)?.unraw();
            input.parse::<Token![=]>()?;
            if arguments.iter().any(|other| other.name.as_ref() == Some(&name)) {
                let message = format!("an argument named `{name}` is already there");
                return Err(syn::Error::new(name.span(), message));
            }
            Some(name)
        } else {
            None
        };
        let value: Expr = input.parse()?;
        if name.is_none() && arguments.last().is_some_and(|last| last.name.is_some()) {
            let message = "arguments without a name stand before those with one";
            return Err(syn::Error::new_spanned(value, message));
        }
        arguments.push(PassedArgument { name, value });
    }
    Ok(arguments)
}
