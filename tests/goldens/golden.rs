//! One golden: its blocks, and how they are compared.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::differences::DIFFERENCES;

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
        let name = format!("shared/reference/log4perl-goldens/{script}.out");
        // They lie beside the repository, or further up.
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
        let text = above.map(|dir| dir.join(&name)).find_map(|path| fs::read_to_string(path).ok());
        if text.is_none() {
            println!("skipped: there is no ../{name}");
        }
        text
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
