//! `docs/coming-from.md`: what other systems can be told, and what it is called here.
//!
//! `tests/coming_from/options.txt` has the options of the other systems, by the headings of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rollway::config::Config;

const PAGE: &str = include_str!("../docs/coming-from.md");
const README: &str = include_str!("../README.md");
const OPTIONS: &str = include_str!("coming_from/options.txt");

/// Words in the columns of ours that are no keys of a configuration: those of other systems, levels,
/// values, features, commands, and what is of Rust.
const NO_KEYS: &[&str] = &[
    "a", "all", "clobber", "config", "default", "fields", "file", "hh", "info", "log", "logdie",
    "mb", "off", "pipe", "rotate", "tracing", "w", "write",
];

/// A row of a table: the heading above it, the option of theirs, what is said of ours.
struct Row {
    heading: &'static str,
    theirs: BTreeSet<&'static str>,
    ours: &'static str,
}

/// The texts between backticks; of a text without any, the text.
fn spans(text: &'static str) -> BTreeSet<&'static str> {
    let spans: BTreeSet<_> = text.split('`').skip(1).step_by(2).collect();
    if spans.is_empty() { BTreeSet::from([text.trim()]) } else { spans }
}

fn rows() -> Vec<Row> {
    let mut heading = "";
    let mut rows = Vec::new();
    for line in PAGE.lines() {
        if let Some(of) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            heading = of;
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|'))
        {
            let (theirs, ours) = cells.split_once(" | ").unwrap_or((cells, ""));
            if theirs != "theirs" {
                rows.push(Row { heading, theirs: spans(theirs), ours: ours.trim() });
            }
        }
    }
    rows
}

/// The fenced blocks of a language in a page, each with the line at which it begins.
fn blocks(page: &str, language: &str) -> Vec<(usize, String)> {
    let fence = format!("```{language}");
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        match (inside, line) {
            (false, line) if line == fence => {
                found.push((index + 1, String::new()));
                inside = true;
            }
            (true, "```") => inside = false,
            (true, line) => {
                let (_, text) = found.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    found
}

fn source_texts(dir: &Path, texts: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            source_texts(&path, texts)?;
        } else {
            texts.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// A configuration from a page, which is right.
fn assert_right((line, text): &(usize, String)) {
    if let Err(error) = Config::parse_toml(text).and_then(|config| config.builder()) {
        panic!("the configuration at line {line} of the page: {error}");
    }
}

#[test]
fn each_configuration_of_the_page_is_right() {
    let blocks = blocks(PAGE, "toml");
    assert_eq!(blocks.len(), 4, "one for each system");
    blocks.iter().for_each(assert_right);
}

#[test]
fn the_configuration_of_the_readme_is_right() {
    let blocks = blocks(README, "toml");
    let ours: Vec<_> = blocks.iter().filter(|(_, text)| text.contains("[appenders.")).collect();
    assert_eq!(ours.len(), 1);
    ours.into_iter().for_each(assert_right);
}

#[test]
fn each_option_of_the_other_systems_has_an_answer() {
    let mut answered: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows() {
        let reason = row.ours.strip_prefix("none").map(|reason| reason.trim_matches([':', ' ']));
        assert!(!row.ours.is_empty(), "{}: no answer to {:?}", row.heading, row.theirs);
        assert!(reason != Some(""), "{}: no reason for {:?}", row.heading, row.theirs);
        answered.entry(row.heading).or_default().extend(row.theirs);
    }

    let mut asked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut heading = "";
    for line in OPTIONS.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("## ") {
            Some(of) => heading = of,
            None => assert!(asked.entry(heading).or_default().insert(line), "twice: {line}"),
        }
    }
    assert!(asked.values().map(BTreeSet::len).sum::<usize>() > 350);
    for (heading, options) in &asked {
        let of_page = answered.remove(heading).unwrap_or_default();
        let missing: Vec<_> = options.difference(&of_page).collect();
        let unlisted: Vec<_> = of_page.difference(options).collect();
        assert!(missing.is_empty(), "{heading}: the page has no {missing:?}");
        assert!(unlisted.is_empty(), "{heading}: options.txt has no {unlisted:?}");
    }
    assert!(answered.is_empty(), "options.txt has nothing of {:?}", answered.keys());
}

#[test]
fn what_the_page_calls_ours_is_there() {
    let schema = Config::schema();
    let is_word = |word: &str| schema.contains(&format!("\"{word}\""));
    let mut sources = String::new();
    source_texts(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources).unwrap();
    let is_named = |name: &str| {
        let followed = |kind: &str| {
            sources.match_indices(&format!("{kind} {name}")).any(|(at, found)| {
                let next = sources[at + found.len()..].chars().next();
                next.is_some_and(|next| !next.is_alphanumeric() && next != '_')
            })
        };
        ["pub fn", "pub struct", "pub enum", "pub trait", "pub(crate) fn", "fn"]
            .into_iter()
            .any(followed)
    };

    let (mut seen, mut wrong) = (0, Vec::new());
    for row in rows().iter().filter(|row| row.ours.contains('`')) {
        for span in spans(row.ours) {
            let right = if let Some((_, name)) = span.rsplit_once("::") {
                is_named(name)
            } else if let Some(section) = span.strip_prefix('[') {
                is_word(section.trim_end_matches(']').split('.').next().unwrap())
            } else if let Some((key, value)) = span.split_once(" = ") {
                is_word(key) && (!value.starts_with('"') || is_word(value.trim_matches('"')))
            } else if span.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                NO_KEYS.contains(&span) || is_word(span)
            } else {
                continue;
            };
            seen += 1;
            if !right {
                wrong.push(format!("{}: `{span}` in: {}", row.heading, row.ours));
            }
        }
    }
    assert!(wrong.is_empty(), "not ours:\n{}", wrong.join("\n"));
    assert!(seen > 250, "only {seen} names were looked at");
}
