//! The one tree of values that files, variables and flags become.

use super::place::Place;

/// What JSON has for nothing.
pub(super) const NULL: &str = "null";

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string. `is_verbatim`: its characters are those of the file, one column behind its place.
    Text {
        text: String,
        is_verbatim: bool,
    },
    /// What a variable or flag says: text, number or truth as its reader needs it.
    Word(String),
    /// A whole number, as far as 64 bits go.
    Integer(i64),
    /// Any other number, as it was written.
    Number(String),
    Truth(bool),
    List(Vec<Node>),
    Table(Table),
    /// What only one of the formats has, by its name: a date, `null`.
    Other(&'static str),
}

/// A table, in the order of its file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Lays `over` on top: a table is merged key by key, any other value replaces what was there.
    pub(super) fn merge(&mut self, over: Table) {
        for entry in over.entries {
            let Some(under) = self.entries.iter_mut().find(|under| under.key == entry.key) else {
                self.entries.push(entry);
                continue;
            };
            match (&mut under.node.value, entry.node.value) {
                (Value::Table(under), Value::Table(over)) => under.merge(over),
                (_, value) => {
                    under.key_place = entry.key_place;
                    under.node = Node { value, place: entry.node.place };
                }
            }
        }
    }

    /// Puts a value at the end of a path of keys, in place of what was there.
    ///
    /// A key that is there in another case is taken as it is: variables are written large.
    pub(super) fn put(&mut self, path: &[&str], ignores_case: bool, node: Node) {
        let Some((first, rest)) = path.split_first() else { return };
        let is_same = |entry: &Entry| match ignores_case {
            true => entry.key.eq_ignore_ascii_case(first),
            false => entry.key == **first,
        };
        let at = match self.entries.iter().position(is_same) {
            Some(at) => at,
            None => {
                let key =
                    if ignores_case { first.to_ascii_lowercase() } else { (*first).to_owned() };
                let (key_place, value) = (node.place.clone(), Value::Table(Table::default()));
                let node = Node { value, place: key_place.clone() };
                self.entries.push(Entry { key, key_place, node });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[at];
        if rest.is_empty() {
            entry.key_place = node.place.clone();
            entry.node = node;
            return;
        }
        if entry.node.table().is_none() {
            let value = Value::Table(Table::default());
            entry.node = Node { value, place: node.place.clone() };
        }
        if let Value::Table(table) = &mut entry.node.value {
            table.put(rest, ignores_case, node);
        }
    }
}

impl Node {
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// A string, or what a variable says.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } | Value::Word(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a message shows it: as in TOML, in one line, and not too long.
    pub(super) fn shown(&self) -> String {
        /// Characters of a value in a message.
        const SHOWN_MAX: usize = 60;
        let whole = self.to_toml();
        match whole.char_indices().nth(SHOWN_MAX) {
            Some((cut, _)) => format!("{}…", &whole[..cut]),
            None => whole,
        }
    }

    /// The value in TOML, in one line.
    pub(super) fn to_toml(&self) -> String {
        match &self.value {
            Value::Text { text, .. } | Value::Word(text) => quoted(text),
            Value::Integer(number) => number.to_string(),
            Value::Number(digits) => digits.clone(),
            Value::Truth(truth) => truth.to_string(),
            Value::List(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(Node::to_toml).collect();
                format!("[{}]", nodes.join(", "))
            }
            Value::Table(table) => {
                let entry =
                    |entry: &Entry| format!("{} = {}", bare(&entry.key), entry.node.to_toml());
                let entries: Vec<_> = table.entries.iter().map(entry).collect();
                match entries.is_empty() {
                    true => "{}".to_owned(),
                    false => format!("{{ {} }}", entries.join(", ")),
                }
            }
            Value::Other(name) => (*name).to_owned(),
        }
    }

    /// The value in JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text { text, .. } | Value::Word(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Number(digits) => {
                digits.parse().map_or_else(|_| digits.as_str().into(), serde_json::Value::Number)
            }
            Value::Truth(truth) => (*truth).into(),
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Table(table) => {
                let entries = table.entries.iter();
                entries.map(|entry| (entry.key.clone(), entry.node.to_json())).collect()
            }
            Value::Other(_) => serde_json::Value::Null,
        }
    }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A key of TOML, quoted where it must be.
pub(super) fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}
