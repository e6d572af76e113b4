//! A configuration as text: what counts, what there is, what it sets up.

use std::fmt::Write;

use serde_json::json;

use super::key::{Key, Kind};
use super::keys::ROOT;
use super::node::bare;
use super::plan::{Plan, ROOT_CATEGORY};
use super::reader::Effective;
use super::registry::Registry;
use crate::route::Category;

/// The column at which origins stand, if the value leaves room.
const ORIGIN_COLUMN: usize = 44;

/// The values that count, as TOML with their origins.
pub(super) fn toml(effective: &[Effective]) -> String {
    let mut out = String::new();
    let mut sections: Vec<&str> = Vec::new();
    for value in effective {
        if !sections.contains(&&*value.section) {
            sections.push(&value.section);
        }
    }
    for section in sections {
        if !section.is_empty() {
            let _ = writeln!(out, "\n[{section}]");
        }
        for value in effective.iter().filter(|value| value.section == section) {
            let line = format!("{} = {}", bare(&value.key), value.node.to_toml());
            let _ = writeln!(out, "{line:ORIGIN_COLUMN$} # {}", value.node.place);
        }
    }
    out
}

/// The same as a JSON document.
pub(super) fn json(effective: &[Effective]) -> String {
    let one = |value: &Effective| {
        let key = match value.section.is_empty() {
            true => value.key.clone(),
            false => format!("{}.{}", value.section, value.key),
        };
        let (shown, origin) = (value.node.to_json(), value.node.place.to_string());
        json!({ "key": key, "value": shown, "origin": origin })
    };
    let values: Vec<_> = effective.iter().map(one).collect();
    format!("{:#}", serde_json::Value::Array(values))
}

/// What a plan sets up.
pub(super) fn summary(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match plan.appenders.is_empty() {
        true => "no appenders".to_owned(),
        false => format!("appenders: {}", names(&plan.appenders)),
    });
    if !plan.composites.is_empty() {
        lines.push(format!("composites: {}", names(&plan.composites)));
    }
    if !plan.categories.is_empty() {
        let name = |category: &Category| match category.name() {
            "" => ROOT_CATEGORY.to_owned(),
            name => name.to_owned(),
        };
        let names: Vec<_> = plan.categories.iter().map(name).collect();
        lines.push(format!("categories: {}", names.join(", ")));
    }
    if let Some((name, _)) = &plan.forward {
        lines.push(format!("forwards to a master as `{name}`"));
    }
    #[cfg(feature = "master")]
    if plan.master.is_written {
        let to = match plan.master.appenders.is_empty() {
            true if plan.appenders.is_empty() => "the console".to_owned(),
            true => names(&plan.appenders),
            false => plan.master.appenders.join(", "),
        };
        lines.push(format!("as a master listens on {}, and writes to {to}", plan.master.listen));
    }
    lines
}

fn names<T>(named: &[(String, T)]) -> String {
    let names: Vec<&str> = named.iter().map(|(name, _)| &**name).collect();
    names.join(", ")
}

/// Every key with its meaning and default, commented out.
pub(super) fn default_file(registry: &Registry) -> String {
    let mut out = String::from(
        "# Every key of rollway's configuration, each with its default.\n\
         # A key without a default shows an example. docs/configuration.md tells more.\n\n",
    );
    for key in ROOT {
        if !matches!(key.kind, Kind::Section(_) | Kind::Sections(_) | Kind::Typed(_)) {
            entry(&mut out, key);
        }
    }
    for key in ROOT {
        match key.kind {
            Kind::Section(keys) => {
                head(&mut out, key.about, key.name);
                keys.iter().for_each(|key| entry(&mut out, key));
            }
            Kind::Sections(keys) => {
                head(&mut out, key.about, &format!("{}.my_own", key.name));
                keys.iter().for_each(|key| entry(&mut out, key));
            }
            Kind::Typed(family) => {
                for known in registry.types(family) {
                    head(&mut out, known.about, &format!("{}.my_{}", key.name, known.name));
                    let _ = writeln!(out, "#type = \"{}\"", known.name);
                    let common = known.common.iter();
                    let common = common.filter(|key| !["type", "name"].contains(&key.name));
                    common.chain(known.keys).for_each(|key| entry(&mut out, key));
                }
            }
            _ => {}
        }
    }
    out
}

fn head(out: &mut String, about: &str, section: &str) {
    let _ = writeln!(out, "\n# {about}\n#[{section}]");
}

fn entry(out: &mut String, key: &Key) {
    let needed = match (key.is_required, key.otherwise) {
        (true, _) => "; must be given".to_owned(),
        (false, "") => String::new(),
        (false, otherwise) => format!("; without it: {otherwise}"),
    };
    let value = key.default.or(key.example).unwrap_or("\"\"");
    let _ = writeln!(out, "# {}{needed}\n#{} = {value}", key.about, key.name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::default_node;
    use crate::config::{Config, Family};

    /// Everything between these two lines of the page is written by this test.
    const BEGIN: &str = "<!-- The tables of keys: see src/config/show.rs. -->\n";
    const END: &str = "<!-- The end of the tables. -->\n";

    /// A cell of a table.
    fn cell(text: &str) -> String {
        text.replace('|', "\\|")
    }

    fn table(out: &mut String, title: &str, about: &str, keys: &[&Key]) {
        let _ = writeln!(out, "### {title}\n\n{about}\n\n| key | value | default |\n|---|---|---|");
        for key in keys {
            let default = match (key.default, key.is_required) {
                (Some(default), _) => format!("`{}`", cell(default)),
                (None, true) => "must be given".to_owned(),
                (None, false) => cell(key.otherwise),
            };
            let _ = writeln!(out, "| `{}` | {} | {default} |", key.name, cell(key.about));
        }
        out.push('\n');
    }

    fn sentence(words: &str) -> String {
        let mut characters = words.chars();
        let first = characters.next().unwrap().to_uppercase();
        format!("{first}{}.", characters.as_str().trim_end_matches('.'))
    }

    /// The tables of all keys.
    fn tables() -> String {
        let registry = Registry::new();
        let mut out = String::from("\n");
        let is_section =
            |key: &&Key| matches!(key.kind, Kind::Section(_) | Kind::Sections(_) | Kind::Typed(_));
        let plain: Vec<_> = ROOT.iter().filter(|key| !is_section(key)).collect();
        table(&mut out, "Outside of any section", "What concerns the whole process.", &plain);
        for key in ROOT.iter().filter(is_section) {
            match key.kind {
                Kind::Section(keys) => {
                    let keys: Vec<_> = keys.iter().collect();
                    table(&mut out, &format!("`[{}]`", key.name), &sentence(key.about), &keys);
                }
                Kind::Sections(keys) => {
                    let keys: Vec<_> = keys.iter().collect();
                    table(&mut out, &format!("`[{}.NAME]`", key.name), &sentence(key.about), &keys);
                }
                Kind::Typed(family) => {
                    let types = registry.types(family);
                    let common: Vec<_> = types.iter().flat_map(|known| known.common).collect();
                    let common = &common[..common.len() / types.len()];
                    table(
                        &mut out,
                        &format!("`[{}.NAME]`", key.name),
                        &sentence(key.about),
                        common,
                    );
                    for known in types {
                        let keys: Vec<_> = known.keys.iter().collect();
                        let title =
                            format!("`[{}.NAME]` with `type = \"{}\"`", key.name, known.name);
                        table(&mut out, &title, known.about, &keys);
                    }
                }
                _ => {}
            }
        }
        out
    }

    #[test]
    fn the_page_has_a_row_for_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (found, tail) = rest.split_once(END).unwrap();
        let expected = tables();
        if std::env::var_os("ROLLWAY_WRITE_EXPECTED").is_some() {
            std::fs::write(path, format!("{head}{BEGIN}{expected}{END}{tail}")).unwrap();
            return;
        }
        assert!(found == expected, "write it anew with ROLLWAY_WRITE_EXPECTED=1:\n{expected}");
    }

    fn every_key(each: &mut dyn FnMut(&Key)) {
        fn below(keys: &[Key], each: &mut dyn FnMut(&Key)) {
            for key in keys {
                each(key);
                if let Kind::Section(keys) | Kind::Sections(keys) = key.kind {
                    below(keys, each);
                }
            }
        }
        let registry = Registry::new();
        below(ROOT, each);
        for family in [Family::Appender, Family::Layout, Family::Filter] {
            for known in registry.types(family) {
                below(known.common, each);
                below(known.keys, each);
            }
        }
    }

    #[test]
    fn every_default_and_example_is_what_its_key_takes() {
        let mut seen = 0;
        every_key(&mut |key| {
            for value in [key.default, key.example].into_iter().flatten() {
                seen += 1;
                let node = default_node(value).unwrap_or_else(|| panic!("{}: {value}", key.name));
                // Such a table is read as a section.
                if !matches!(key.kind, Kind::Layout | Kind::Filters | Kind::Section(_)) {
                    key.kind.read(&node).unwrap_or_else(|what| panic!("{}: {what}", key.name));
                }
            }
        });
        assert!(seen > 50, "only {seen}");
    }

    #[test]
    fn the_default_file_can_be_taken_as_it_is_and_line_by_line() {
        let text = default_file(&Registry::new());
        Config::parse_toml(&text).unwrap();
        let without_marks: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(code) if !code.starts_with(' ') => format!("{code}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let error = Config::parse_toml(&without_marks).unwrap_err().to_string();
        // Nothing is unknown, only more than goes together.
        for line in error.lines() {
            assert!(!line.contains("unknown") && !line.contains("TOML"), "{line}");
        }
        every_key(&mut |key| {
            let is_typed =
                matches!(key.kind, Kind::Typed(_)) || ["type", "name"].contains(&key.name);
            let is_told = text.contains(&format!("\n# {}", key.about));
            assert!(is_typed || is_told, "without `{}`", key.name);
        });
    }
}
