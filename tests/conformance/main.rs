//! What every appender and composite keeps to, whatever its destination is.
//!
//! Each has a module here that says in its header what it covers and which cases it skips, with the
//! reason: a line `//! Covers: ` with names, and lines ``//! - `case`: reason``. The rest of the header
//! is free. The cases are those of [`suite::CASES`]. Every one runs in a process of its own with a
//! journal directory, is killed where the case says so, and started again.
#![allow(unreachable_pub, reason = "the modules of one test")]

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod suite;
mod faulty;

mod buffer;
mod callback;
mod console;
mod fail_over;
mod file;
mod filtered;
#[cfg(feature = "master")]
mod forwarder;
mod limit;
mod memory;
mod null;
mod per_value;
mod synchronized;
mod writer;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What opens and is no destination of its own: it passes on all calls to the one that it holds.
const NO_APPENDERS: &[&str] = &["Held", "Gated", "Fingerprinted"];
/// Where appenders and composites are.
const PLACES: &[&str] = &["src/appender", "src/route/composite"];
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust sources below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => {
                Vec::from_iter(path.extension().is_some_and(|end| end == "rs").then_some(path))
            }
        })
        .collect()
}

/// The types of a source that open as appenders, or are composites.
fn types_of(source: &str) -> impl Iterator<Item = &str> {
    // Tests stand last, and what opens there is theirs.
    let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter_map(|line| {
        let rest = line.strip_prefix("impl ")?;
        let (of, name) = rest.split_once(" for ")?;
        let name = name.split(['<', ' ', '{']).next()?;
        match of.strip_prefix("From<") {
            Some(from) if name == "Composite" => from.strip_suffix('>'),
            _ => (of.rsplit("::").next()? == "Open").then_some(name),
        }
    })
}

#[test]
fn every_appender_and_composite_is_in_the_suite() {
    let sources: Vec<_> = PLACES.iter().flat_map(|place| sources(&root().join(place))).collect();
    let texts: Vec<_> = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let public =
        |name: &&str| texts.iter().any(|text| text.contains(&format!("pub struct {name}")));
    let found: BTreeSet<_> = texts.iter().flat_map(|text| types_of(text)).filter(public).collect();
    assert!(["File", "Buffer"].iter().all(|name| found.contains(name)), "{found:?}");
    let headers: Vec<_> = suite::headers(&root().join("tests/conformance"));
    let covered: BTreeSet<_> = headers.iter().flat_map(|header| header.covers.iter()).collect();
    for name in found {
        let is_known = covered.contains(&name.to_owned()) || NO_APPENDERS.contains(&name);
        assert!(is_known, "`{name}` has no module in tests/conformance that covers it");
    }
}

#[test]
fn every_skipped_case_is_one_and_has_a_reason() {
    for header in suite::headers(&root().join("tests/conformance")) {
        assert!(!header.covers.is_empty(), "{} covers nothing", header.path.display());
        for (case, reason) in &header.skips {
            let place = header.path.display();
            assert!(suite::CASES.contains(&&**case), "{place}: there is no case `{case}`");
            assert!(reason.len() > 10, "{place}: `{case}` is skipped without a reason");
        }
    }
}
