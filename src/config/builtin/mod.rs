//! The types of this crate.

mod appenders;
mod composites;
mod files;
mod filters;
mod layouts;

use super::registry::Registry;

pub(super) use appenders::forwarder;

/// How events become text where nothing is said.
const SIMPLE: &str = r#"{ type = "pattern", pattern = "%d %-5p %c - %m%k%n" }"#;

/// Adds all of them.
pub(super) fn register(registry: &mut Registry) {
    appenders::register(registry);
    files::register(registry);
    composites::register(registry);
    layouts::register(registry);
    filters::register(registry);
}
