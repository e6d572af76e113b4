//! A file for each value, one open at a time, so that every other event has another one opened.
//!
//! Covers: `PerValue`.
//!
//! Skips nothing.

use std::fs;
use std::path::Path;

use rollway::appender::{File, Key, Open, PerValue};
use rollway::layout::Pattern;

use crate::suite::{SHARDS, Subject, case};

struct ByShard;

impl Subject for ByShard {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("per_value.rs");

    fn open(dir: &Path) -> Box<dyn Open> {
        let layout = Pattern::parse("%k{number} %m%n").unwrap();
        let per_value = PerValue::new(dir.join("values"), Key::pair("shard")).open_files_max(1);
        // Each rotation is synced: only where it is what the case is about.
        let limit_bytes = if case() == "killed_between_two_steps" { 60 } else { 1 << 30 };
        Box::new(
            per_value.files(move |path| {
                File::new(path).layout(layout.clone()).rotate_at_bytes(limit_bytes)
            }),
        )
    }

    /// The lines of all files by the number of their event. Within a file they are in its order.
    fn arrived(dir: &Path) -> Option<String> {
        let mut lines = Vec::new();
        for file in fs::read_dir(dir.join("values")).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            let shard: u64 = name.split('.').next()?.parse().unwrap();
            let mut last = None;
            for line in fs::read_to_string(file.path()).unwrap().lines() {
                let number: u64 = line.split_once(' ').unwrap().0.parse().unwrap();
                assert_eq!(number % SHARDS, shard, "{line}");
                // The next program begins with the first number again.
                assert!(last.is_none_or(|last| number > last) || number == shard, "{line}");
                last = Some(number);
                lines.push((number, format!("{line}\n")));
            }
        }
        lines.sort_by_key(|(number, _)| *number);
        Some(lines.into_iter().map(|(_, line)| line).collect())
    }
}

conformance!(ByShard);
