//! A format string that nobody checked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollway::record::Values;
use rollway::template::Template;

fuzz_target!(|text: &str| {
    let template = Template::parse(text);
    let mut out = String::new();
    template.render(&mut Values::NONE.clone(), &mut out);
});
