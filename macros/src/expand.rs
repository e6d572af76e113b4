//! The code of a log call.
//!
//! A plain call becomes
//!
//! ```text
//! match { static __ROLLWAY_SITE: Site = …; &__ROLLWAY_SITE } {
//!     site => if site.is_enabled() {
//!         match (&first, &second) {
//!             (a0, a1) => emit(site, (display(a0).capture(), (debug(a1).capture(), ()))),
//!         }
//!     }
//! }
//! ```
//!
//! so the arguments see none of our names, are evaluated once, and live until the call is over. A
//! call with a logger, a level or a target of its own asks that logger and hands it a `Call`. A target
//! that is chosen at run time is evaluated only where some target passes.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Path, Result};

use crate::arguments::{Resolved, Shown, Slot, resolve};
use crate::call::{EnabledCall, EventCall, Level, Options, Pair, PairCapture};

/// Expands `trace!` to `fatal!` and `log!`.
pub(crate) fn event(call: EventCall) -> Result<TokenStream> {
    let EventCall { krate, level, options, pairs, format, arguments } = call;
    let own = own_span(&krate);
    let private = quote!(#krate::__private);
    let resolved = resolve(&format, arguments)?;

    let (static_target, target) = match options.target {
        Some(target) if is_static(&target) => (quote!(#target), None),
        target => (quote!(#private::module_path!()), target),
    };
    let named_level = match &level {
        Level::Named(name) => quote!(#krate::Level::#name),
        // Nothing asks for the level of a site whose calls bring their own.
        Level::Computed(_) => quote!(#krate::Level::TRACE),
    };
    let names = resolved.slots.iter().map(|slot| slot.name.clone());
    let names = names.chain(pairs.iter().map(|pair| pair.key.value()));
    let site = quote_spanned! {own=> {
        static __ROLLWAY_SITE: #private::Site = #private::Site::new(#private::Definition {
            level: #named_level,
            line: #private::line!(),
            column: #private::column!(),
            target: #static_target,
            module: #private::module_path!(),
            file: #private::file!(),
            template: #format,
            names: #private::Names::Listed(&[#(#names),*]),
        });
        &__ROLLWAY_SITE
    }};

    let is_lean = matches!(level, Level::Named(_)) && options.logger.is_none() && target.is_none();
    let (evaluated, captures) = captures(&krate, &pairs, &resolved);
    let bound = (0..evaluated.len()).map(|index| argument_name(index, own));
    if is_lean {
        return Ok(quote_spanned! {own=>
            match #site {
                site => if let #private::Some(id) = site.pass() {
                    match (#(&(#evaluated),)*) {
                        (#(#bound,)*) => #private::emit(site, id, #named_level, #captures),
                    }
                }
            }
        });
    }
    let logger = logger(&private, options.logger);
    let level = match level {
        Level::Named(_) => named_level,
        Level::Computed(level) => quote!(#level),
    };
    let Some(target) = target else {
        return Ok(quote_spanned! {own=>
            match (#site, &(#logger), #level) {
                (site, logger, level) => if logger.takes_call(level, site.category()) {
                    match (#(&(#evaluated),)*) {
                        (#(#bound,)*) => logger.emit(
                            #private::Call { site, level, target: #private::None },
                            #captures,
                        ),
                    }
                }
            }
        });
    };
    let target = text_of(&private, &target);
    Ok(quote_spanned! {own=>
        match (#site, &(#logger), #level) {
            // The target is evaluated where it can make a difference.
            (site, logger, level) => if logger.might_take(level) {
                match #target {
                    target => if logger.takes(level, target) {
                        match (#(&(#evaluated),)*) {
                            (#(#bound,)*) => logger.emit(
                                #private::Call { site, level, target: #private::Some(target) },
                                #captures,
                            ),
                        }
                    }
                }
            }
        }
    })
}

/// Expands `enabled!`.
pub(crate) fn enabled(call: EnabledCall) -> TokenStream {
    let EnabledCall { krate, options: Options { target, logger: given }, level } = call;
    let own = own_span(&krate);
    let private = quote!(#krate::__private);
    let logger = logger(&private, given);
    let target = match target {
        Some(target) if !is_static(&target) => {
            let target = text_of(&private, &target);
            return quote_spanned! {own=>
                match (&(#logger), #level) {
                    (logger, level) => logger.might_take(level) && logger.takes(level, #target),
                }
            };
        }
        Some(target) => quote!(#target),
        None => quote!(#private::module_path!()),
    };
    quote_spanned! {own=>
        match (&(#logger), #level) {
            (logger, level) => logger.takes_call(level, {
                static __ROLLWAY_CALL: #private::CallCategory = #private::CallCategory::new(#target);
                &__ROLLWAY_CALL
            }),
        }
    }
}

/// A target as text, with errors at its place.
fn text_of(private: &TokenStream, target: &Expr) -> TokenStream {
    let span = target.span();
    quote_spanned!(span=> #private::text(&(#target)))
}

fn logger(private: &TokenStream, given: Option<Expr>) -> TokenStream {
    given.map_or_else(|| quote!(#private::Process), |logger| quote!(#logger))
}

/// Whether the target may stand in the `static` of its site: a literal, `module_path!()`, or a path
/// that looks like a constant of a module.
fn is_static(target: &Expr) -> bool {
    match target {
        Expr::Lit(_) => true,
        Expr::Group(group) => is_static(&group.expr),
        Expr::Macro(call) => {
            call.mac.tokens.is_empty()
                && call.mac.path.segments.last().is_some_and(|last| last.ident == "module_path")
        }
        Expr::Path(target) if target.qself.is_none() => is_constant(&target.path),
        _ => false,
    }
}

fn is_constant(path: &Path) -> bool {
    let mut segments = path.segments.iter().rev().map(|segment| segment.ident.to_string());
    segments
        .next()
        .is_some_and(|last| last.contains(char::is_uppercase) && !last.contains(char::is_lowercase))
        && segments.all(|segment| !segment.contains(char::is_uppercase))
}

/// The expressions to evaluate, in the order of the call, and the values made of them: a list of
/// pairs, `(first, (second, ()))`.
fn captures(krate: &Path, pairs: &[Pair], resolved: &Resolved) -> (Vec<Expr>, TokenStream) {
    let values = pairs.iter().map(|pair| &pair.value);
    let evaluated: Vec<Expr> = values.chain(&resolved.arguments).cloned().collect();
    let own = own_span(krate);
    // What is said of an argument has its place and our names.
    let argument = |index: usize| argument_name(index, own.located_at(evaluated[index].span()));

    let slots = resolved
        .slots
        .iter()
        .map(|slot| slot_value(krate, slot, |index| argument(pairs.len() + index)));
    let pairs =
        pairs.iter().enumerate().map(|(index, pair)| pair_value(krate, pair, &argument(index)));
    let values: Vec<TokenStream> = slots.chain(pairs).collect();
    let list = values.into_iter().rfold(quote!(()), |rest, value| quote!((#value, #rest)));
    (evaluated, list)
}

/// The value of one slot. `argument` names the variable that refers to an argument.
fn slot_value(krate: &Path, slot: &Slot, argument: impl Fn(usize) -> Ident) -> TokenStream {
    let value = argument(slot.argument);
    let span = value.span();
    let private = private_at(krate, span);
    match &slot.shown {
        Shown::Count => quote_spanned!(span=> #private::count(#value)),
        Shown::Display => quote_spanned!(span=> #private::display(#value).capture()),
        Shown::Debug => quote_spanned!(span=> #private::debug(#value).capture()),
        Shown::Formatted { format, counts, is_pointer } => {
            let indices = 0..counts.len();
            let parameter = match counts.len() {
                0 => quote_spanned!(span=> _),
                _ => quote_spanned!(span=> counts),
            };
            let counts = counts.iter().map(|&count| {
                let count = argument(count);
                quote_spanned!(count.span()=> *#count)
            });
            let counts = counts.chain((indices.len()..2).map(|_| quote!(0)));
            let rendering = quote_spanned! {span=> #value, [#(#counts),*], |value, #parameter, f| {
                f.write_fmt(#private::format_args!(#format, *value #(, counts[#indices])*))
            }};
            if *is_pointer {
                quote_spanned!(span=> #private::formatted_text(#rendering))
            } else {
                quote_spanned!(span=> #private::formatted(#rendering).capture())
            }
        }
    }
}

/// The value of one pair, to which the variable `value` refers.
fn pair_value(krate: &Path, pair: &Pair, value: &Ident) -> TokenStream {
    let span = value.span();
    let private = private_at(krate, span);
    match pair.capture {
        PairCapture::Raw => quote_spanned!(span=> #private::pair(#value).capture()),
        PairCapture::Debug => quote_spanned!(span=> #private::debug_text(#value)),
        PairCapture::Display => quote_spanned!(span=> #private::display_text(#value)),
        PairCapture::Error => quote_spanned! {span=> {
            use #private::AsDynError as _;
            #private::error_text((*#value).as_dyn_error())
        }},
    }
}

fn argument_name(index: usize, span: Span) -> Ident {
    format_ident!("a{}", index, span = span)
}

/// The names of the front that called us: seen by nobody else, not even by another call of it.
fn own_span(krate: &Path) -> Span {
    krate.segments.first().map_or_else(Span::mixed_site, |segment| segment.ident.span())
}

/// The path of what expansions call, as if written at `span`: errors of one place name that place.
fn private_at(krate: &Path, span: Span) -> TokenStream {
    let mut krate = krate.clone();
    for segment in &mut krate.segments {
        segment.ident.set_span(segment.ident.span().located_at(span));
    }
    quote_spanned!(span=> #krate::__private)
}
