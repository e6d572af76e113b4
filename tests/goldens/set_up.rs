//! How a logger is set up: in code, and by a configuration.

#[path = "lines/04-api-synopsis.rs"]
#[rustfmt::skip]
mod calls;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rollway::appender::{self, Console, Memory, Open, OpenError, Opened, Place};
use rollway::config::{Config, ConfigError, Registry, Sources};
use rollway::layout::Letters;
use rollway::{Category, Guard, Level, LevelFilter, Timestamp};

use crate::golden::{Golden, refused, shown, trapped};
use crate::running::{Dir, Frozen, SIMPLE, file, raw, say};
use crate::support::{PATIENCE, child, watchdog};

#[test]
fn a_logger_is_set_up_in_code() {
    const NAME: &str = "set_up::a_logger_is_set_up_in_code";
    let _watchdog = watchdog();
    if child::part().is_some() {
        return print_to_the_screen();
    }
    let Some(golden) = Golden::read("04-api-synopsis") else { return };
    let mut outcomes = Vec::new();
    let child = child::command(NAME, "screen").stdout(Stdio::piped()).output().unwrap();
    let printed = String::from_utf8(child.stdout).unwrap();
    let (_, screen) = printed.split_once(SCREEN).unwrap();
    outcomes.push(shown("Screen via API, pattern without newline", &screen.replace(".rs", ".pl")));

    let told = Told::default();
    let guard = rollway::builder()
        .appender("dumpy", Memory::new())
        .add(Memory::new())
        .add(Memory::new())
        .add(Memory::new())
        .add(told.clone())
        .start()
        .unwrap();
    let names: Vec<_> = guard.stats().appenders.into_iter().map(|stats| stats.name).collect();
    drop(guard);
    outcomes.push(shown("name given", &names[0]));
    outcomes.push(shown("generated names", &names[1..4].join(",")));
    let name = format!("{} / {}", names[4], told.0.lock().unwrap());
    outcomes.push(shown("generated name for a Log::Dispatch class", &name));

    let wrong = [
        ("unknown class", "type = \"No::Such::Appender\""),
        ("illegal class name", "type = \"Foo;Bar\""),
        ("File without filename", "type = \"file\""),
    ];
    for (title, key) in wrong {
        outcomes.push(refused(title, Config::parse_toml(&format!("[appenders.A]\n{key}\n"))));
    }

    let memory = Memory::new().layout(raw("%p - %m%n"));
    let category = Category::new("t").level(LevelFilter::ALL).appenders(["S"]).additive(false);
    let guard = rollway::builder()
        .appender("S", appender::with(memory.clone()).threshold(Level::WARN))
        .category(category)
        .start()
        .unwrap();
    say(guard.logger(), "t", Level::INFO, "no");
    say(guard.logger(), "t", Level::WARN, "yes");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    outcomes.push(shown("threshold WARN set by API", &memory.text()));
    outcomes.push(shown("threshold()", &Level::WARN.number().to_string()));
    outcomes.push(refused("bad threshold", "LOUD".parse::<LevelFilter>()));
    golden.compare(outcomes);
}

/// Comes before what the console prints.
const SCREEN: &str = "--- screen\n";

/// Plays the child: logs to standard output and ends.
fn print_to_the_screen() {
    print!("{SCREEN}");
    let console = Console::stdout().layout(raw("%d{yyyy/MM/dd HH:mm:ss} (%F{1}:%L)> %m"));
    let guard = rollway::builder()
        .clock(Frozen::new())
        .timestamp(Timestamp::Drain)
        .appender("dumpy", console)
        .category(Category::new("abc.def.ghi").level(Level::DEBUG).appenders(["dumpy"]))
        .start()
        .unwrap();
    calls::twice(guard.logger());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    std::process::exit(0);
}

/// A destination that keeps the name that it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<String>>);

impl Open for Told {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        place.name.clone_into(&mut self.0.lock().unwrap());
        Memory::new().open(place)
    }
}

#[test]
fn a_configuration_is_taken_or_refused() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("15-config-grammar") else { return };
    let dir = Dir::new();
    let root = |appender: &str| {
        format!("[categories.root]\nlevel = \"info\"\nappenders = [\"{appender}\"]\n")
    };
    let no_layout = file("A", "").replace(SIMPLE, "");
    let code = "level = \"sub { 'DEBUG, A' }\"\n".to_owned();
    let twice = "[categories.x]\nlevel = \"info\"\n[categories.x]\nlevel = \"warn\"".to_owned();
    let taken = [
        ("layout missing", root("A") + &no_layout),
        ("empty configuration", String::new()),
        ("loggers but no appenders", "[categories.root]\nlevel = \"info\"".to_owned()),
        ("category alias", root("A").replace("root", "x") + &file("A", "")),
        ("missing file", String::new()),
        ("init_and_watch of a string", "reload_every = \"1s\"".to_owned()),
    ];
    let wrong = [
        ("redefined key", "level = \"info\"\nlevel = \"warn\"".to_owned()),
        ("unknown layout", root("A") + &no_layout + "layout = \"Nope\""),
        ("appender not defined", root("Q")),
        ("duplicate logger", twice),
        ("rootlogger typo is accepted", "rootlevel = \"info\"\n".to_owned() + &file("A", "")),
        ("code value", code.clone() + &file("A", "")),
        ("code refused", code),
    ];
    let started_with = |toml: String| {
        let toml = toml.replace("DIR", dir.path("").to_str().unwrap());
        started(&Sources::new().toml(toml), Registry::new())
    };
    let mut outcomes = Vec::new();
    outcomes.extend(taken.map(|(title, toml)| trapped(title, started_with(toml))));
    outcomes.extend(wrong.map(|(title, toml)| refused(title, started_with(toml))));
    let missing = Sources::new().file(dir.path("no-such-file.toml"));
    outcomes.push(refused("init of a missing file", Config::load(&missing)));

    let letters = Letters::new()
        .letter('U', |_, argument, out| *out += &format!("U:{}", argument.unwrap_or_default()))
        .unwrap()
        .letter('K', |event, _, out| *out += &format!("K:{}:{}", event.site.category, event.level))
        .unwrap();
    let mut registry = Registry::new();
    registry.letters(letters.clone());
    let pattern = file("A", "").replace("%p - %m%n", "%U{x} %-8K| %m%n");
    let toml = (root("A") + &pattern).replace("DIR", dir.path("").to_str().unwrap());
    let guard = started(&Sources::new().toml(toml), registry);
    guard.iter().for_each(|guard| say(guard.logger(), "cat", Level::INFO, "hi"));
    outcomes.push(trapped("cspec", guard));
    outcomes.push(shown("cspec output", &dir.text("A")));
    outcomes.push(refused("redefining a built-in cspec", letters.letter('m', |_, _, _| ())));
    golden.compare(outcomes);
}

/// An engine as the layers describe it, or why there is none.
fn started(sources: &Sources, registry: Registry) -> Result<Guard, String> {
    let told = |error: ConfigError| error.to_string();
    let builder = Config::load_with(sources, registry).map_err(told)?.builder().map_err(told)?;
    builder.start().map_err(|error| error.to_string())
}
