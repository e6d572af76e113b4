//! A pattern from a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollway::layout::Pattern;

fuzz_target!(|text: &str| {
    if let Err(error) = Pattern::parse(text) {
        assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
    }
});
