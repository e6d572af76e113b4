//! What Log4perl writes, written by an equivalent configuration, byte for byte.
//!
//! The goldens are outputs of Log4perl beside scripts that say how they came about. Each script is
//! one test here, in the module of its theme. Where the bytes differ, [`differences`] says why, and so
//! does `docs/goldens.md`.

#[path = "../support/mod.rs"]
mod support;

mod differences;
mod golden;
mod running;

mod calls;
mod composites;
mod files;
mod levels;
mod patterns;
mod reload;
mod set_up;

use differences::DIFFERENCES;
use golden::Golden;

const DOCUMENT: &str = include_str!("../../docs/goldens.md");

#[test]
fn every_script_is_told_in_the_document() {
    for script in Golden::scripts() {
        let row = format!("\n| {script} | ");
        assert!(DOCUMENT.contains(&row), "docs/goldens.md lacks {script}");
    }
}

#[test]
fn every_difference_is_told_in_the_document() {
    for (script, block, reason) in DIFFERENCES {
        let block = block.replace('|', "\\|");
        let row = format!("| {script} | `{block}` | {reason} |");
        assert!(DOCUMENT.contains(&row), "docs/goldens.md lacks\n{row}");
    }
    let rows = DOCUMENT.lines().filter(|line| line.contains(" | `")).count();
    assert_eq!(rows, DIFFERENCES.len(), "docs/goldens.md tells of more differences than there are");
}
