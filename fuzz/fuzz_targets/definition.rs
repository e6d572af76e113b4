//! The bytes of a call site's definition.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollway::site::Definition;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    if let Some(definition) = Definition::take(&mut rest) {
        assert_eq!(definition.to_bytes(), data[..data.len() - rest.len()]);
    }
});
