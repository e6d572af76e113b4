//! The sources keep to the order of the design: a module imports what lies below it, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of `src/`, bottom to top. A module imports from the rows below its own. The front
/// door is not here: `lib.rs`, `macros.rs` and `main.rs` import what they like.
const ROWS: &[&[&str]] = &[
    &["sync", "nearest", "category", "secret"],
    &["level"],
    &["value", "clock", "sys"],
    &["site", "ring"],
    &["record"],
    &["template", "capture", "mask"],
    &["event"],
    &["context", "layout", "block", "warp"],
    &["journal"],
    &["recover", "net", "route", "store"],
    &["appender"],
    &["engine"],
    &["master", "cluster", "compat", "bridge"],
    &["config"],
    &["cli"],
];
const FRONT: &[&str] = &["lib", "macros", "main"];
/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["sys", "ring", "clock"];
/// Packages in the default tree, this one included.
const PACKAGES_MAX: usize = 40;
/// Packages that build C, or that need a C library.
const WITH_C: &[&str] = &["cc", "cmake", "pkg-config", "bindgen", "openssl-sys"];

/// One source file.
struct Source {
    path: PathBuf,
    /// The module directly below `src/` that it belongs to.
    module: String,
    /// Its lines without comments, strings and what only tests see.
    code: Vec<(usize, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut open = vec![root().join("src")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let below = path.strip_prefix(root().join("src")).unwrap();
                let first = below.components().next().unwrap().as_os_str().to_string_lossy();
                let module = first.trim_end_matches(".rs").to_owned();
                let code = code_of(&std::fs::read_to_string(&path).unwrap());
                sources.push(Source { path, module, code });
            }
        }
    }
    assert!(sources.len() > 40, "only {} sources were found", sources.len());
    sources
}

/// The code of a source, by line: without comments and text, and without its tests, which stand last.
fn code_of(source: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut in_string = false;
    for (at, line) in source.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            let rest = source.lines().skip(at + 1);
            // `mod tests;` in the middle of the imports hides one line, `mod tests {` the rest.
            if rest.take(1).any(|line| line.starts_with("mod ") && line.ends_with('{')) {
                break;
            }
        }
        let mut code = String::new();
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if in_string => drop(characters.next()),
                '"' => in_string = !in_string,
                _ if in_string => {}
                // A character that is a quote.
                '\'' if characters.peek() == Some(&'"') => drop(characters.next()),
                '/' if characters.peek() == Some(&'/') => break,
                _ => code.push(character),
            }
        }
        lines.push((at + 1, code));
    }
    lines
}

/// The modules that a line names behind `crate::`, also in a group over several lines.
fn imports(code: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut starts = Vec::new();
    for (number, line) in code {
        starts.push((text.len(), *number));
        text.push_str(line);
        text.push('\n');
    }
    let line_of = |at: usize| starts[starts.partition_point(|(start, _)| *start <= at) - 1].1;
    let identifier = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push((line_of(at), identifier(rest)));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (offset, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && c.is_alphabetic() => {
                    found.push((line_of(at), identifier(&group[offset..])));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The module that a name at the crate's root comes from: what is no module is re-exported there,
/// types from a level's own module, functions from the engine; the macros end in it.
fn home_of(name: String) -> String {
    let is_module = row_of(&name).is_some();
    match name.starts_with(char::is_uppercase) {
        true => "level".to_owned(),
        false if is_module => name,
        false => "engine".to_owned(),
    }
}

fn is_test_file(source: &Source) -> bool {
    let name = source.path.file_stem().unwrap().to_string_lossy();
    ["tests", "fixture", "loom_models"].contains(&&*name)
}

#[test]
fn a_module_imports_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        if FRONT.contains(&&*source.module) || is_test_file(&source) {
            continue;
        }
        let place = source.path.strip_prefix(root()).unwrap().display().to_string();
        let Some(row) = row_of(&source.module) else {
            wrong.push(format!("{place}: `{}` has no row in this test's table", source.module));
            continue;
        };
        for (line, imported) in imports(&source.code) {
            let imported = home_of(imported);
            seen += 1;
            if imported != source.module && row_of(&imported).is_none_or(|below| below >= row) {
                wrong.push(format!("{place}:{line}: `{}` imports `{imported}`", source.module));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
    assert!(wrong.is_empty(), "against the order of the table:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_sys_ring_and_clock_alone() {
    let mut wrong = Vec::new();
    for source in sources() {
        if UNSAFE.contains(&&*source.module) {
            continue;
        }
        for (line, code) in &source.code {
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            // rkyv's derive writes it for the schema; the schema's own code does not.
            if words.into_iter().any(|word| word == "unsafe") {
                wrong.push(format!("{}:{line}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe code outside of its modules:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    const LEFT: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    let mut wrong = Vec::new();
    for source in sources() {
        for (line, code) in &source.code {
            if LEFT.iter().any(|left| code.contains(left)) {
                wrong.push(format!("{}:{line}: {}", source.path.display(), code.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_exception_from_a_lint_has_a_reason() {
    let mut wrong = Vec::new();
    for source in sources() {
        let text = std::fs::read_to_string(&source.path).unwrap();
        for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
            for (at, _) in text.match_indices(attribute) {
                let end = text[at..].find(']').map_or(text.len(), |end| at + end);
                if !text[at..end].contains("reason") {
                    let line = text[..at].lines().count() + 1;
                    wrong.push(format!("{}:{line}", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "exceptions without a reason:\n{}", wrong.join("\n"));
}

#[test]
fn the_default_tree_is_small_and_free_of_c() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = |edges: &str| -> Option<BTreeSet<String>> {
        let arguments = ["tree", "--package", "rollway", "--edges", edges, "--prefix", "none"];
        let output = Command::new(&cargo)
            .args(arguments)
            .args(["--offline", "--locked", "--format", "{p}"])
            .current_dir(root())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect())
    };
    let (Some(normal), Some(building)) = (tree("normal"), tree("normal,build")) else {
        println!("skipped: cargo cannot list the tree here");
        return;
    };
    let count = normal.len();
    assert!((1..=PACKAGES_MAX).contains(&count), "{count} packages: {normal:?}");
    let with_c: Vec<_> = building.iter().filter(|name| WITH_C.contains(&name.as_str())).collect();
    assert!(with_c.is_empty(), "{with_c:?} in the default tree");
    assert!(!normal.contains("tokio"), "an asynchronous runtime in the default tree");
}
