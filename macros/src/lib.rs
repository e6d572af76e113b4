//! The procedural half of rollway's macros. Use them through the `rollway` crate.
//!
//! A front in `rollway` hands over the path to itself, the level, and the tokens of the call:
//! `event!($crate [INFO] "{} items", n)`. `call` reads the tokens, `format` the format string,
//! `arguments` brings the two together, `expand` writes the code.

mod arguments;
mod call;
mod expand;
mod format;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Behind `trace!` to `fatal!` and `log!`: `event!(CRATE [LEVEL] …)`, `event!(CRATE [] LEVEL, …)`.
#[proc_macro]
pub fn event(tokens: TokenStream) -> TokenStream {
    let call = parse_macro_input!(tokens as call::EventCall);
    expand::event(call).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Behind `enabled!`: `enabled!(CRATE …)`.
#[proc_macro]
pub fn enabled(tokens: TokenStream) -> TokenStream {
    let call = parse_macro_input!(tokens as call::EnabledCall);
    expand::enabled(call).into()
}
