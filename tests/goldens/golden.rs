//! One golden: its blocks, and how they are compared.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use crate::differences::DIFFERENCES;

/// Where the goldens are.
const GOLDENS: &str = "shared/reference/log4perl-goldens";

/// The blocks of one golden, in their order: title and text.
pub(crate) struct Golden {
    pub(crate) script: &'static str,
    pub(crate) blocks: Vec<(String, String)>,
}

impl Golden {
    /// Reads `--- title` and the lines below it; says so and gives `None` where there are no goldens.
    pub(crate) fn read(script: &'static str) -> Option<Golden> {
        let text = Golden::text(script)?;
        let mut blocks: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("--- ") {
                Some(title) => blocks.push((title.trim_end().to_owned(), String::new())),
                None => blocks.last_mut().unwrap().1.push_str(line),
            }
        }
        Some(Golden { script, blocks: numbered(blocks) })
    }

    /// The same of lines `title => [text]`.
    pub(crate) fn read_lines(script: &'static str) -> Option<Golden> {
        let text = Golden::text(script)?;
        let blocks = text.lines().filter_map(|line| {
            let (title, text) = line.split_once(" => [")?;
            Some((title.trim_end().to_owned(), text.strip_suffix(']').unwrap().to_owned()))
        });
        Some(Golden { script, blocks: numbered(blocks.collect()) })
    }

    pub(crate) fn text(script: &str) -> Option<String> {
        Some(fs::read_to_string(Golden::dir()?.join(format!("{script}.out"))).unwrap())
    }

    /// The names of all scripts.
    pub(crate) fn scripts() -> Vec<String> {
        let Some(dir) = Golden::dir() else { return Vec::new() };
        let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let scripts = paths.filter(|path| path.extension().is_some_and(|end| end == "out"));
        scripts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Where they are: beside the repository, or further up. Says so where they are not.
    fn dir() -> Option<PathBuf> {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
        let dir = above.map(|dir| dir.join(GOLDENS)).find(|dir| dir.is_dir());
        if dir.is_none() {
            println!("skipped: there is no ../{GOLDENS}");
        }
        dir
    }

    /// Adds the block `title` without the sub, the word of this number in each of its lines.
    pub(crate) fn without_sub(mut self, title: &str, word: usize) -> Golden {
        let (_, text) = self.blocks.iter().find(|(block, _)| block == title).unwrap();
        self.blocks.push(without_sub(title, text, word));
        self
    }

    /// Compares each block with what came out here, and the differences with their table.
    pub(crate) fn compare(&self, outcomes: impl IntoIterator<Item = (String, String)>) {
        let outcomes: HashMap<String, String> =
            numbered(outcomes.into_iter().collect()).into_iter().collect();
        let listed = |title: &str| {
            DIFFERENCES.iter().any(|(script, block, _)| *script == self.script && *block == title)
        };
        let mut wrong = String::new();
        let mut note = |what: String| {
            wrong.push_str(&what);
            wrong.push('\n');
        };
        for (title, text) in &self.blocks {
            match (outcomes.get(title), listed(title)) {
                (Some(ours), true) if ours == text => {
                    note(format!("`{title}` is equal, yet listed"))
                }
                (Some(ours), false) if ours != text => {
                    note(format!("`{title}`\n  golden {text:?}\n  ours   {ours:?}"));
                }
                (None, false) => note(format!("`{title}` is not compared")),
                _ => {}
            }
        }
        let known = |title: &str| self.blocks.iter().any(|(block, _)| block == title);
        for title in outcomes.keys().filter(|title| !known(title)) {
            note(format!("the golden has no `{title}`"));
        }
        for (script, title, _) in DIFFERENCES {
            if *script == self.script && !known(title) {
                note(format!("`{title}` is listed and not in the golden"));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{wrong}", self.script);
    }
}

/// A title that comes again has its number behind it.
fn numbered(blocks: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let number = |(title, text): (String, String)| {
        let count = seen.entry(title.clone()).or_insert(0);
        *count += 1;
        (if *count == 1 { title } else { format!("{title} #{count}") }, text)
    };
    blocks.into_iter().map(number).collect()
}

/// A text as the scripts print it.
pub(crate) fn shown(title: &str, text: &str) -> (String, String) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    (title.to_owned(), format!("{text}{end}"))
}

/// What the scripts print of something that may fail.
pub(crate) fn trapped<T, E: Display>(title: &str, done: Result<T, E>) -> (String, String) {
    match done {
        Ok(_) => shown(title, "ok"),
        Err(error) => shown(title, &format!("DIED: {error}")),
    }
}

/// The same of what has to fail.
pub(crate) fn refused<T, E: Display>(title: &str, done: Result<T, E>) -> (String, String) {
    assert!(done.is_err(), "{title}: it is taken");
    trapped(title, done)
}

/// A text with the places of log calls: as it is, and without the sub. Files end in `.rs` here.
pub(crate) fn placed(title: &str, text: &str, word: usize) -> [(String, String); 2] {
    let text = text.replace(".rs", ".pl");
    [shown(title, &text), without_sub(title, &text, word)]
}

fn without_sub(title: &str, text: &str, word: usize) -> (String, String) {
    let line = |line: &str| {
        let words = line.split(' ').enumerate().filter(|(number, _)| *number != word);
        words.map(|(_, word)| word).collect::<Vec<_>>().join(" ") + "\n"
    };
    (format!("{title}, without the sub"), text.lines().map(line).collect())
}
