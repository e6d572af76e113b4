//! What a configuration is read from, and how the layers become one tree.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::node::{Node, Table, Value};
use super::place::{Origin, Place};
use super::{from_json, from_toml};
use crate::engine::selflog;
use crate::level::LevelFilter;
use crate::route::Directives;

/// The file that `rollway master` reads if it is there and no other is named.
pub(super) const STANDARD_FILE: &str = "/etc/rollway/rollway.toml";
/// The directory beside a file whose files are laid on top of it.
const CONF_D: &str = "conf.d";
/// What a variable that is laid on top begins with.
const PREFIX: &str = "ROLLWAY__";
/// The variable that names levels.
const LEVEL: &str = "ROLLWAY_LOG";
/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files of a directory `conf.d`.
const CONF_D_FILES_MAX: usize = 1024;

/// What a configuration is read from.
///
/// The layers lie on each other in this order, whatever order they are named in: files, and the files
/// of the directory `conf.d` beside each, in the order of their names; texts; the environment; flags.
/// Tables are merged key by key, any other value replaces what was there.
///
/// # Examples
/// ```
/// use rollway::config::{Config, Sources};
///
/// let sources = Sources::new()
///     .toml("level = 'warn'\nservice = 'shop'")
///     .variables([("ROLLWAY__LEVEL", "debug")])
///     .set("service=till");
/// let config = Config::load(&sources)?;
/// let shown = config.show();
/// assert!(shown.contains("level = \"debug\"") && shown.contains("service = \"till\""), "{shown}");
/// # Ok::<(), rollway::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it is given to `Config::load`"]
pub struct Sources {
    files: Vec<PathBuf>,
    texts: Vec<(Format, String)>,
    variables: Vec<(OsString, OsString)>,
    /// The flag as it was written, the path of keys, the value.
    flags: Vec<(String, String, Given)>,
}

/// What a flag says.
#[derive(Clone, Debug)]
enum Given {
    /// A word, or a value of TOML.
    Setting(String),
    /// A text, whatever it looks like.
    Text(String),
    /// A table without keys.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Toml,
    Json,
}

impl Sources {
    /// No layers.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// The file `/etc/rollway/rollway.toml`, if it is there, and the environment.
    pub fn standard() -> Sources {
        let sources = Sources::new().environment();
        match Path::new(STANDARD_FILE).exists() {
            true => sources.file(STANDARD_FILE),
            false => sources,
        }
    }

    /// Adds a file, JSON where its name ends in `.json`, else TOML, and the files of the directory
    /// `conf.d` beside it.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.files.push(path.into());
        self
    }

    /// Adds a text of TOML.
    pub fn toml(mut self, text: impl Into<String>) -> Sources {
        self.texts.push((Format::Toml, text.into()));
        self
    }

    /// Adds a text of JSON.
    pub fn json(mut self, text: impl Into<String>) -> Sources {
        self.texts.push((Format::Json, text.into()));
        self
    }

    /// Adds this process's environment: `ROLLWAY_LOG`, whose [`Directives`] are levels of the root
    /// and of categories, and variables such as `ROLLWAY__JOURNAL__DIR` for `dir` in `[journal]`.
    pub fn environment(self) -> Sources {
        self.variables(std::env::vars_os())
    }

    /// Adds variables as if they were the environment's.
    pub fn variables<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Sources
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.variables.extend(variables);
        self
    }

    /// Adds what `--set` says: `section.key=value`.
    pub fn set(mut self, setting: impl Into<String>) -> Sources {
        let setting = setting.into();
        let (path, value) = setting.split_once('=').unwrap_or((&setting, ""));
        let (path, value) = (path.trim().to_owned(), Given::Setting(value.trim().to_owned()));
        self.flags.push((format!("--set {setting}"), path, value));
        self
    }

    /// Adds what another flag says: `flag` as it was written, the key that it stands for, and a text
    /// that is taken as it is.
    pub fn flag(
        mut self,
        flag: impl Into<String>,
        key: impl Into<String>,
        text: impl Into<String>,
    ) -> Sources {
        self.flags.push((flag.into(), key.into(), Given::Text(text.into())));
        self
    }

    /// Has a table begin anew with a flag: what files say of it does not count.
    pub fn clear(mut self, flag: impl Into<String>, key: impl Into<String>) -> Sources {
        self.flags.push((flag.into(), key.into(), Given::Nothing));
        self
    }

    /// The files, and the directories beside them.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        self.files.iter().flat_map(|path| [path.clone(), conf_d_of(path)]).collect()
    }

    /// All layers as one tree. Reads the files.
    pub(super) fn read(&self) -> Result<Table, ConfigError> {
        let mut tree = Table::default();
        let mut problems = Vec::new();
        let mut lay = |layer: Result<Table, Vec<Problem>>| match layer {
            Ok(layer) => tree.merge(layer),
            Err(wrong) => problems.extend(wrong),
        };
        for path in &self.files {
            lay(read_file(path));
            match conf_d(path) {
                Ok(paths) => paths.iter().for_each(|path| lay(read_file(path))),
                Err(problem) => lay(Err(vec![problem])),
            }
        }
        for (format, text) in &self.texts {
            lay(parse(*format, text, Origin::Text));
        }
        let mut variables: Vec<_> = self.variables.iter().collect();
        // A longer path after the shorter one, and before both `ROLLWAY_LOG`.
        variables.sort();
        for (_, value) in variables.iter().filter(|(name, _)| name == LEVEL) {
            put_directives(&mut tree, &value.to_string_lossy());
        }
        let set = variables.into_iter().filter_map(|(name, value)| variable(name, value));
        let flags = self.flags.iter().map(|(flag, path, value)| {
            let place = Place::whole(Origin::Flag(flag.clone()));
            let value = match value {
                Given::Setting(value) => word(value, &place),
                Given::Text(text) => Ok(Value::Word(text.clone())),
                Given::Nothing => Ok(Value::Table(Table::default())),
            };
            setting(path.split('.'), value, place).map(|(path, node)| (path, false, node))
        });
        for setting in set.map(|set| set.map(|(path, node)| (path, true, node))).chain(flags) {
            match setting {
                Ok((path, ignores_case, node)) => tree.put(&path, ignores_case, node),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(tree) } else { Err(ConfigError::new(problems)) }
    }
}

fn parse(format: Format, text: &str, origin: Origin) -> Result<Table, Vec<Problem>> {
    match format {
        Format::Toml => from_toml::parse(text, origin),
        Format::Json => from_json::parse(text, origin),
    }
}

fn read_file(path: &Path) -> Result<Table, Vec<Problem>> {
    let origin = Origin::File(path.to_owned());
    let text = text_of(path).map_err(|error| {
        let place = Place::whole(origin.clone());
        let what = format!("the configuration cannot be read: {error}");
        vec![Problem { unread: Some(error.kind()), ..Problem::at(&place, what) }]
    })?;
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    parse(if is_json { Format::Json } else { Format::Toml }, &text, origin)
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        let what = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(text)
}

/// The directory whose files lie on top of `path`.
fn conf_d_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(CONF_D)
}

/// The files that lie on top of `path`, by name.
fn conf_d(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let dir = conf_d_of(path);
    let unread = |error: io::Error| {
        let what = format!("the directory cannot be read: {error}");
        let place = Place::whole(Origin::File(dir.clone()));
        Problem { unread: Some(error.kind()), ..Problem::at(&place, what) }
    };
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|end| end == "toml" || end == "json") {
            paths.push(path);
        }
        if paths.len() > CONF_D_FILES_MAX {
            let what = format!("there are more than {CONF_D_FILES_MAX} files; join some");
            return Err(Problem::at(&Place::whole(Origin::File(dir)), what));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Puts the levels there that directives name. A wrong directive is a warning on the self-log.
fn put_directives(tree: &mut Table, text: &str) {
    let directives = Directives::parse(text);
    for error in directives.errors() {
        selflog::warn(&format!("{LEVEL}: {error}"));
    }
    let place = Place::whole(Origin::Variable(LEVEL.to_owned()));
    let mut put = |path: &[&str], level: LevelFilter| {
        let value = Value::Word(level.to_string().to_lowercase());
        tree.put(path, false, Node { value, place: place.clone() });
    };
    if let Some(level) = directives.root() {
        put(&["level"], level);
    }
    for (category, level) in directives.categories() {
        put(&["categories", category, "level"], level);
    }
}

/// A path of keys, and the value to put there.
type Setting<'a> = Result<(Vec<&'a str>, Node), Problem>;

/// What a variable says; `None` for one that is not ours.
fn variable<'a>(name: &'a OsString, value: &OsString) -> Option<Setting<'a>> {
    let name = name.to_str()?;
    let place = Place::whole(Origin::Variable(name.to_owned()));
    let text = || {
        let what = "its value is no UTF-8; write it as text";
        value.to_str().ok_or_else(|| Problem::at(&place, what))
    };
    match name.strip_prefix(PREFIX) {
        Some(path) => {
            let value = text().and_then(|text| word(text, &place));
            Some(setting(path.split("__"), value, place))
        }
        None => None,
    }
}

fn setting<'a>(
    path: impl Iterator<Item = &'a str>,
    value: Result<Value, Problem>,
    place: Place,
) -> Setting<'a> {
    let path: Vec<&str> = path.collect();
    if path.iter().any(|key| key.is_empty()) {
        return Err(Problem::at(&place, "a key is missing; write it as section.key=value"));
    }
    Ok((path, Node { value: value?, place }))
}

/// A value outside of a file: TOML where it begins as a list, a table or a quoted text, else a word.
fn word(value: &str, place: &Place) -> Result<Value, Problem> {
    if !value.starts_with(['[', '{', '"', '\'']) {
        return Ok(Value::Word(value.to_owned()));
    }
    let table = from_toml::parse(&format!("x = {value}"), Origin::Text).map_err(|wrong| {
        let what = wrong.into_iter().next().map_or_else(String::new, |problem| problem.what);
        Problem::at(place, format!("{what}; write a value of TOML, or a word without quotes"))
    })?;
    let node = table.entries.into_iter().next().map(|entry| entry.node);
    Ok(node.map_or_else(|| Value::Word(value.to_owned()), |node| placed(node, place).value))
}

/// The node and all below it at one place.
fn placed(node: Node, place: &Place) -> Node {
    let value = match node.value {
        Value::List(nodes) => {
            Value::List(nodes.into_iter().map(|node| placed(node, place)).collect())
        }
        Value::Table(mut table) => {
            for entry in &mut table.entries {
                entry.key_place = place.clone();
                entry.node = placed(entry.node.clone(), place);
            }
            Value::Table(table)
        }
        Value::Text { text, .. } => Value::Text { text, is_verbatim: false },
        other => other,
    };
    Node { value, place: place.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::{Family, Key, Kind};
    use crate::config::keys::ROOT;
    use crate::config::registry::Registry;
    use crate::config::section::default_node;
    use crate::config::{Config, ConfigError};

    /// A key with what a variable says of it, beside the variables that its section needs.
    struct Case {
        variable: String,
        kind: Kind,
        value: String,
        beside: Vec<(String, String)>,
    }

    /// What a variable says: a word, or a value of TOML where that is no scalar.
    fn word_of(key: &Key) -> Option<String> {
        let value = key.default.or(key.example).unwrap_or("\"x\"");
        let node = default_node(value)?;
        Some(node.text().map_or_else(|| value.replace('_', ""), str::to_owned))
    }

    fn add(cases: &mut Vec<Case>, section: &str, keys: &[&Key], beside: &[(String, String)]) {
        let name = |key: &Key| format!("{section}{}", key.name.to_uppercase());
        for key in keys.iter().filter(|key| !["type", "name"].contains(&key.name)) {
            let is_scalar = !matches!(
                key.kind,
                Kind::Section(_)
                    | Kind::Sections(_)
                    | Kind::Typed(_)
                    | Kind::Layout
                    | Kind::Filters
            );
            if let Some(value) = word_of(key).filter(|_| is_scalar) {
                let required =
                    keys.iter().filter(|other| other.is_required && other.name != key.name);
                let required = required.filter(|other| other.name != "type");
                let required = required.filter_map(|other| Some((name(other), word_of(other)?)));
                let beside = beside.iter().cloned().chain(required).collect();
                cases.push(Case { variable: name(key), kind: key.kind, value, beside });
            }
        }
    }

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        add(&mut cases, "ROLLWAY__", &ROOT.iter().collect::<Vec<_>>(), &[]);
        for key in ROOT {
            let section = format!("ROLLWAY__{}__", key.name.to_uppercase());
            match key.kind {
                Kind::Section(keys) => {
                    add(&mut cases, &section, &keys.iter().collect::<Vec<_>>(), &[]);
                }
                Kind::Sections(keys) => {
                    let section = format!("{section}MINE__");
                    add(&mut cases, &section, &keys.iter().collect::<Vec<_>>(), &[]);
                }
                _ => {}
            }
        }
        let registry = Registry::new();
        for (family, section) in [
            (Family::Appender, "ROLLWAY__APPENDERS__MINE__"),
            (Family::Layout, "ROLLWAY__LAYOUTS__MINE__"),
            (Family::Filter, "ROLLWAY__FILTERS__MINE__"),
        ] {
            for known in registry.types(family) {
                let keys: Vec<_> = known.common.iter().chain(known.keys).collect();
                let beside = [(format!("{section}TYPE"), known.name.to_owned())];
                add(&mut cases, section, &keys, &beside);
            }
        }
        cases
    }

    fn load(case: &Case, value: &str) -> Result<Config, ConfigError> {
        let variables = case.beside.iter().cloned();
        let variables = variables.chain([(case.variable.clone(), value.to_owned())]);
        Config::load(&Sources::new().variables(variables))
    }

    /// Problems that come from the variable.
    fn told(case: &Case, result: &Result<Config, ConfigError>) -> Vec<String> {
        let problems = result.as_ref().err().map(ConfigError::problems).unwrap_or_default();
        let of = |problem: &&Problem| {
            let place = problem.place.as_ref();
            place.is_some_and(|place| *place.origin == Origin::Variable(case.variable.clone()))
        };
        problems.iter().filter(of).map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn every_scalar_key_can_be_said_in_the_environment() {
        let cases = cases();
        assert!(cases.len() > 100, "only {}", cases.len());
        for case in &cases {
            let result = load(case, &case.value);
            for problem in told(case, &result) {
                // It may need others beside it, but is known and of the right kind.
                let is_misread = problem.contains("unknown key") || problem.contains("; use ");
                assert!(!is_misread, "{}={}: {problem}", case.variable, case.value);
            }
            let Ok(config) = result else { continue };
            let place = Origin::Variable(case.variable.clone());
            let is_read = config.effective.iter().any(|read| *read.node.place.origin == place);
            assert!(is_read, "{}={} is not read", case.variable, case.value);
        }
    }

    #[test]
    fn a_bad_value_in_the_environment_is_told_with_its_variable() {
        let mut seen = 0;
        for case in cases() {
            if matches!(
                case.kind,
                Kind::Text | Kind::Path | Kind::Texts | Kind::Appender | Kind::Appenders
            ) {
                continue;
            }
            seen += 1;
            let problems = told(&case, &load(&case, "no such value:99999"));
            let begin = format!("{} in the environment: ", case.variable);
            let is_told = |told: &String| {
                let is_shown = told.contains("no such value");
                told.starts_with(&begin) && (is_shown || told.contains("is for appenders"))
            };
            assert!(problems.iter().any(is_told), "{begin}{problems:?}");
        }
        assert!(seen > 60, "only {seen}");
    }
}
