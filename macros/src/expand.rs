//! The code of a log call.
//!
//! A plain call becomes
//!
//! ```text
//! match { static __ROLLWAY_SITE: Site = …; &SITE } {
//!     site => if site.is_enabled() {
//!         match (&first, &second) {
//!             (a0, a1) => emit(site, (display(a0).capture(), (debug(a1).capture(), ()))),
//!         }
//!     }
//! }
//! ```
//!
//! so the arguments see none of our names, are evaluated once, and live until the call is over. A
//! call with a logger, a level or a target of its own asks that logger and hands it a `Call`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Path, Result};

use crate::arguments::{Resolved, Shown, Slot, resolve};
use crate::call::{EnabledCall, EventCall, Level, Options, Pair, PairCapture};

/// Expands `trace!` to `fatal!` and `log!`.
pub(crate) fn event(call: EventCall) -> Result<TokenStream> {
    let EventCall { krate, level, options, pairs, format, arguments } = call;
    let mixed = Span::mixed_site();
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
    let site = quote_spanned! {mixed=> {
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
    let (evaluated, captures) = captures(&private, &pairs, &resolved);
    let bound = (0..evaluated.len()).map(argument_name);
    if is_lean {
        return Ok(quote_spanned! {mixed=>
            match #site {
                site => if site.is_enabled() {
                    match (#(&#evaluated,)*) {
                        (#(#bound,)*) => #private::emit(site, #captures),
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
    let target = match target {
        Some(target) => {
            let span = target.span();
            quote_spanned!(span=> #private::Some(#private::text(&#target)))
        }
        None => quote!(#private::None),
    };
    Ok(quote_spanned! {mixed=>
        match (#site, &#logger, #level) {
            (site, logger, level) => if logger.is_enabled(level) {
                match (#target, #(&#evaluated,)*) {
                    (target, #(#bound,)*) =>
                        logger.emit(#private::Call { site, level, target }, #captures),
                }
            }
        }
    })
}

/// Expands `enabled!`.
pub(crate) fn enabled(call: EnabledCall) -> TokenStream {
    let EnabledCall { krate, options: Options { target, logger: given }, level } = call;
    let private = quote!(#krate::__private);
    let logger = logger(&private, given);
    match target {
        None => quote!((&#logger).is_enabled(#level)),
        Some(target) => quote_spanned! {Span::mixed_site()=>
            match (&#logger, #private::text(&#target)) { (logger, _) => logger.is_enabled(#level) }
        },
    }
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
fn captures(
    private: &TokenStream,
    pairs: &[Pair],
    resolved: &Resolved,
) -> (Vec<Expr>, TokenStream) {
    let evaluated: Vec<Expr> =
        pairs.iter().map(|pair| &pair.value).chain(&resolved.arguments).cloned().collect();
    let argument = |index: usize| {
        let name = argument_name(index);
        Ident::new(&name.to_string(), name.span().located_at(evaluated[index].span()))
    };
    let slots = resolved
        .slots
        .iter()
        .map(|slot| capture(private, slot, |index| argument(pairs.len() + index)));
    let pairs = pairs.iter().enumerate().map(|(index, pair)| {
        let value = argument(index);
        let function = match pair.capture {
            PairCapture::Raw => {
                return quote_spanned!(value.span()=> #private::pair(#value).capture());
            }
            PairCapture::Debug => quote_spanned!(value.span()=> debug_text),
            PairCapture::Display => quote_spanned!(value.span()=> display_text),
            PairCapture::Error => {
                return quote_spanned! {value.span()=> {
                    use #private::AsDynError as _;
                    #private::error_text((*#value).as_dyn_error())
                }};
            }
        };
        quote_spanned!(value.span()=> #private::#function(#value))
    });
    let values: Vec<TokenStream> = slots.chain(pairs).collect();
    let list = values.into_iter().rfold(quote!(()), |rest, value| quote!((#value, #rest)));
    (evaluated, list)
}

/// The value of one slot. `argument` names the variable that refers to an argument.
fn capture(private: &TokenStream, slot: &Slot, argument: impl Fn(usize) -> Ident) -> TokenStream {
    let value = argument(slot.argument);
    let span = value.span();
    match &slot.shown {
        Shown::Count => quote_spanned!(span=> #private::count(#value)),
        Shown::Display => quote_spanned!(span=> #private::display(#value).capture()),
        Shown::Debug => quote_spanned!(span=> #private::debug(#value).capture()),
        Shown::Formatted { format, counts, is_pointer } => {
            let counts = counts.iter().map(|&count| argument(count));
            let render = quote_spanned! {span=>
                move |f| f.write_fmt(#private::format_args!(#format, *#value #(, *#counts)*))
            };
            if *is_pointer {
                quote_spanned!(span=> #private::formatted_text(#render))
            } else {
                quote_spanned!(span=> #private::formatted(#value, #render).capture())
            }
        }
    }
}

fn argument_name(index: usize) -> Ident {
    format_ident!("a{}", index, span = Span::mixed_site())
}
