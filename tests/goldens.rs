//! What Log4perl writes, written by an equivalent configuration, byte for byte.
//!
//! The goldens are outputs of Log4perl beside scripts that say how they came about. Each script is
//! one test here. Where the bytes differ, [`DIFFERENCES`] says why, and so does `docs/goldens.md`.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollway::appender::{self, Callback, Memory};
use rollway::config::Config;
use rollway::event::{ContextInfo, Event, SiteInfo, SourceInfo, ThreadInfo};
use rollway::layout::{Layout, Pattern};
use rollway::level::Colour;
use rollway::record::Values;
use rollway::route::composite::Limit;
use rollway::site::{Definition, Names};
use rollway::template::Chunk;
use rollway::warp::{Warp, Warps};
use rollway::{Builder, Guard, Level, LevelFilter, Logger, Timestamp, enabled, log};

use support::{PATIENCE, watchdog};

/// Where the goldens differ: script, block, reason. A block of which nothing is written here is one
/// for which there is nothing to compare.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "02-patternlayout",
        "%l",
        "the module stands for the sub: a log call does not know the function that it is in",
    ),
    ("02-patternlayout", "%M", "the module path, without the sub"),
    ("02-patternlayout", "%M{1}", "the last part of the module path, not the sub"),
    ("02-patternlayout", "%M{2}", "the last parts of the module path, with `::` between them"),
    ("02-patternlayout", "%t", "the name or the number of the thread, which is always known"),
    ("02-patternlayout", "%X", "all pairs of the context"),
    ("02-patternlayout", "%q", "a letter without a meaning is refused when the pattern is read"),
    ("02-patternlayout", "%T", "refused: a log call records no call stack"),
    (
        "03-append-vs-write",
        "Appender::File, mode=nonsense (treated as truncate)",
        "refused: a misspelt value must not empty a file",
    ),
    (
        "07-limit",
        "appender_method_on_flush",
        "an appender has no methods that a configuration could name; it is flushed by the engine",
    ),
    (
        "07-limit",
        "relay threshold inside Limit",
        "no failure: what the relay's threshold refuses is never held",
    ),
    ("07-limit", "buffer", "the event at which Log4perl fails is written"),
    (
        "10-thresholds-additivity",
        "additivity=0 of the earlier case survives a new init: x.y has no appender left",
        "nothing of an earlier configuration is left in a new one",
    ),
    (
        "10-thresholds-additivity",
        "appender_thresholds_adjust",
        "thresholds of appenders change with a reload",
    ),
    (
        "10-thresholds-additivity",
        "lower-case threshold key",
        "`threshold` is how the key is written",
    ),
    (
        "10-thresholds-additivity",
        "rv",
        "a log call returns nothing: appenders run behind the journal",
    ),
    ("10-thresholds-additivity", "eradicate_appender", "appenders come and go with a reload"),
    ("10-thresholds-additivity", "level", "levels have the numbers of OpenTelemetry"),
    (
        "10-thresholds-additivity",
        "remove_appender and level changes at run time",
        "appenders come and go with a reload",
    ),
    ("13-dateformat", "y", "the whole year, as in Java"),
    ("13-dateformat", "yyy", "the whole year, as in Java"),
    ("13-dateformat", "yyyyy", "filled to as many digits as there are letters"),
    ("13-dateformat", "SSSSSSS", "times have nanoseconds, and so nine digits"),
    ("13-dateformat", "F", "implemented: which of its weekdays in the month"),
    ("13-dateformat", "w", "implemented: week of the year"),
    ("13-dateformat", "W", "implemented: week of the month"),
    ("13-dateformat", "k", "implemented: hour 1 to 24"),
    ("13-dateformat", "K", "implemented: hour 0 to 11"),
    ("13-dateformat", "z", "implemented: short name of the zone"),
    ("13-dateformat", "''", "one quote, as in Java"),
    ("13-dateformat", "100% H", "a percent sign stands for itself; Log4perl hands it to `sprintf`"),
    ("13-dateformat", "unmatched quote", "refused as well, with the column and the remedy"),
    (
        "14-levels",
        "built-in levels: name value log-dispatch syslog",
        "levels have the numbers of OpenTelemetry",
    ),
    (
        "14-levels",
        "after create_custom_level(NOTIFY, WARN) and (CONFIG, INFO, 5, 2)",
        "the number of a level of one's own is chosen, not worked out",
    ),
    ("14-levels", "custom level after init", "allowed at any time"),
    ("14-levels", "log with a name", "a level is a type: a name does not compile"),
    ("14-levels", "invalid level in logger line", "refused as well, in other words"),
];

/// 2012-01-02 03:04:05 UTC, when the scripts run.
const BEGIN_S: i64 = 1_325_473_445;
const SECOND_NS: i64 = 1_000_000_000;

/// The blocks of one golden, in their order: title and text.
struct Golden {
    script: &'static str,
    blocks: Vec<(String, String)>,
}

impl Golden {
    /// Reads `--- title` and the lines below it; says so and gives `None` where there are no goldens.
    fn read(script: &'static str) -> Option<Golden> {
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
    fn read_lines(script: &'static str) -> Option<Golden> {
        let text = Golden::text(script)?;
        let blocks = text.lines().filter_map(|line| {
            let (title, text) = line.split_once(" => [")?;
            Some((title.trim_end().to_owned(), text.strip_suffix(']').unwrap().to_owned()))
        });
        Some(Golden { script, blocks: numbered(blocks.collect()) })
    }

    fn text(script: &str) -> Option<String> {
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
    fn compare(&self, outcomes: impl IntoIterator<Item = (String, String)>) {
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
fn shown(title: &str, text: &str) -> (String, String) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    (title.to_owned(), format!("{text}{end}"))
}

/// A directory with what the appenders of a configuration write.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    /// Logs what `calls` does to an engine that `toml` describes, and ends it. `DIR` in the text is
    /// this directory.
    fn run(&self, toml: &str, calls: impl FnOnce(&Logger)) {
        let guard = self.builder(toml).start().unwrap();
        calls(guard.logger());
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    }

    fn builder(&self, toml: &str) -> Builder {
        let toml = toml.replace("DIR", self.0.path().to_str().unwrap());
        Config::parse_toml(&toml)
            .unwrap_or_else(|error| panic!("{error}\n{toml}"))
            .builder()
            .unwrap()
    }

    /// What a file has; nothing where there is none.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }
}

/// Log4perl's SimpleLayout, which lets newlines through.
const SIMPLE: &str = r#"layout = { type = "pattern", pattern = "%p - %m%n", escape = false }"#;

/// A file appender with [`SIMPLE`].
fn file(name: &str, keys: &str) -> String {
    format!("[appenders.{name}]\ntype = \"file\"\npath = \"DIR/{name}\"\n{SIMPLE}\n{keys}\n")
}

fn say(logger: &Logger, category: &str, level: Level, message: &str) {
    log!(logger: logger, target: category, level, "{message}");
}

#[test]
fn the_simple_layout_writes_level_and_message() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("01-simplelayout") else { return };
    let dir = Dir::new();
    let config = format!("level = \"all\"\n{}", file("B", ""));
    dir.run(&config, |logger| {
        let levels = ["t", "d", "i", "w", "e", "f"];
        for (level, text) in Level::ALL.into_iter().zip(levels) {
            say(logger, "a.b", level, text);
        }
        say(logger, "a.b", Level::INFO, "with newline\n");
        log!(logger: logger, target: "a.b", Level::INFO, "{}{}", "two", "chunks");
        say(logger, "a.b", Level::INFO, "");
        say(logger, "a.b", Level::INFO, "a\nb");
    });
    golden.compare([shown("SimpleLayout, every level", &dir.text("B"))]);
}

/// What a pattern makes of one event of `My::Deep::Pkg`, or why it is refused.
fn formatted(pattern: &str, time_ns: i64, message: &str) -> String {
    let site = SiteInfo::from(Definition {
        level: Level::WARN,
        line: 13,
        column: 9,
        target: "Foo.Bar.Baz",
        module: "My::Deep::Pkg",
        file: "02-patternlayout.pl",
        template: message,
        names: Names::Listed(&[]),
    });
    let thread = ThreadInfo { os_id: 7, name: "".into() };
    let context = ContextInfo {
        pairs: [("user".into(), "charlie".into())].into(),
        stack: ["outer".into(), "inner".into()].into(),
    };
    let source = SourceInfo {
        epoch: time_ns as u64,
        pid: 815,
        host: "<HOST>".into(),
        ..SourceInfo::default()
    };
    let mut event = Event::new(&site, &thread, &context, &source, Values::NONE);
    event.time_ns = time_ns;
    match Pattern::parse(pattern) {
        Ok(pattern) => {
            let mut line = String::new();
            pattern.escape(false).missing("[undef]").write(&event, &mut line);
            line.replace("815", "<PID>")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_pattern_layout_shows_what_log4perls_shows() {
    let Some(golden) = Golden::read_lines("02-patternlayout") else { return };
    let time_ns = BEGIN_S * SECOND_NS + 678_901_000;
    let mut messages = HashMap::from([
        ("%m%n #2", "has newline\n"),
        ("%m %n", "has newline\n"),
        ("%m{chomp}%n", "x\n"),
        ("%d> %m{indent}%n", "l1\nl2\nl3"),
        ("%p> %m{indent=2}%n", "l1\nl2\n"),
        ("%p> %m{indent=2,chomp}%n", "l1\nl2\n"),
        ("%m%n #3", "abc"),
    ]);
    let outcomes: Vec<_> = golden
        .blocks
        .iter()
        .map(|(title, _)| {
            let pattern = title.split(" #").next().unwrap();
            let pattern = match title.as_str() {
                "%m%n #2" => "%m{chomp}%n",
                "%d{ISO8601}" => "%d{yyyy-MM-dd HH:mm:ss,SSS}",
                "%C" => "%M",
                "%C{1}" => "%M{1}",
                _ => pattern,
            };
            let pattern = match pattern.strip_prefix("%d") {
                Some(rest) if !rest.starts_with('{') => {
                    format!("%d{{yyyy/MM/dd HH:mm:ss}}{rest}")
                }
                _ => pattern.to_owned(),
            };
            let message = messages.remove(title.as_str()).unwrap_or("msg");
            let text = formatted(&pattern, time_ns, message).replace('\n', "\\n");
            (title.split(" #").next().unwrap().to_owned(), text)
        })
        .collect();
    assert!(messages.is_empty(), "{messages:?}");
    golden.compare(outcomes);
}

#[test]
fn a_file_is_appended_to_or_begun_anew_as_configured() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("03-append-vs-write") else { return };
    let titles = [
        ("Log::Dispatch::File, no mode -> append", ""),
        ("Log::Dispatch::File, mode=write", "append = false"),
        ("Log::Dispatch::File, mode=append", "append = true"),
        ("Appender::File, no mode -> append", ""),
        ("Appender::File, mode=append", "append = true"),
        ("Appender::File, mode=write", "append = false"),
        ("Appender::File, mode=clobber", "truncate = true"),
    ];
    let mut outcomes = Vec::new();
    for (title, keys) in titles {
        let dir = Dir::new();
        fs::write(dir.0.path().join("F"), "existing line\n").unwrap();
        dir.run(&format!("level = \"info\"\n{}", file("F", keys)), |logger| {
            say(logger, "x.y", Level::INFO, "new message");
            say(logger, "x.y", Level::DEBUG, "below level");
        });
        outcomes.push(shown(title, &dir.text("F")));
    }
    let nonsense = file("F", "append = \"nonsense\"");
    let refused = Config::parse_toml(&nonsense).unwrap_err().to_string();
    outcomes.push(shown("Appender::File, mode=nonsense (treated as truncate)", &refused));
    golden.compare(outcomes);
}

/// A layout that writes `pattern` with newlines as they are.
fn raw(pattern: &str) -> Pattern {
    Pattern::parse(pattern).unwrap().escape(false)
}

/// What an appender that takes chunks got: `[a,b]` for each event.
fn chunks(of: &Arc<Mutex<String>>) -> Callback {
    let taken = Arc::clone(of);
    Callback::each(move |event| {
        let chunks: Vec<_> = event.chunks().map(|chunk| chunk.to_string()).collect();
        taken.lock().unwrap().push_str(&format!("[{}]", chunks.join(",")));
    })
}

fn three_calls(guard: Guard) {
    let logger = guard.logger();
    log!(logger: logger, Level::DEBUG, "{}{}{}", "10.0.0.1", "joe", "signed in");
    log!(logger: logger, Level::DEBUG, "{}", "one");
    log!(logger: logger, Level::DEBUG, "{}{}{}{}{}", 1, 2, 3, 4, 5);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn a_warp_decides_what_becomes_of_the_chunks() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("05-warp-message") else { return };
    let builder = || rollway::builder().level(Level::DEBUG);
    let mut outcomes = Vec::new();

    let joined = [
        ("not defined: joined with the empty string", ""),
        ("not defined, JOIN char is a comma", ","),
    ];
    for (title, separator) in joined {
        let memory = Memory::new().layout(raw("%m%n"));
        let warped = appender::with(memory.clone()).warp(Warp::join(separator));
        three_calls(builder().appender("A", warped).start().unwrap());
        outcomes.push(shown(title, &memory.text()));
    }

    let count = Arc::new(AtomicUsize::new(0));
    let counter = Warp::function("counter", move |chunks| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        chunks.insert(0, Chunk::from(number.to_string()));
    });
    let warps = [
        ("warp_message=0 and NoopLayout: array reaches the appender", Warp::pass()),
        ("sub: at most three chunks", Warps::new().get("limit:3").unwrap()),
        ("named function: counter first", counter.clone()),
    ];
    for (title, warp) in warps {
        let taken = Arc::default();
        let warped = appender::with(chunks(&taken)).warp(warp);
        three_calls(builder().appender("A", warped).start().unwrap());
        outcomes.push(shown(title, &taken.lock().unwrap()));
    }

    let (taken, memory) = (Arc::default(), Memory::new().layout(raw("%p - %m%n")));
    let guard = builder()
        .appender("A", appender::with(chunks(&taken)).warp(counter))
        .appender("B", memory.clone())
        .start()
        .unwrap();
    log!(logger: guard.logger(), Level::DEBUG, "{}{}", "x", "y");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    outcomes.push(shown("A (warped)", &taken.lock().unwrap()));
    outcomes.push(shown("B (not warped)", &memory.text()));
    golden.compare(outcomes);
}

/// The time that the script sets, in seconds since 1970.
#[derive(Clone)]
struct Frozen(Arc<AtomicI64>);

impl Frozen {
    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl rollway::clock::UtcClock for Frozen {
    fn utc_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed) * SECOND_NS
    }
}

/// Logs at one place, so that the place of the golden can be put in place of it.
fn logit(guard: &Guard, message: &str) {
    log!(logger: guard.logger(), Level::WARN, "{message}");
    guard.flush().unwrap();
}

#[test]
fn a_limit_holds_what_comes_within_its_period() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("07-limit") else { return };
    let clock = Frozen(Arc::new(AtomicI64::new(BEGIN_S)));
    let dir = tempfile::tempdir().unwrap();
    let start = |limit: Limit, memory: &Memory, has_journal: bool| {
        let mut builder = rollway::builder()
            .clock(clock.clone())
            .timestamp(Timestamp::Drain)
            .level(Level::WARN)
            .appender("Buf", memory.clone())
            .composite("L", limit);
        if has_journal {
            let path = |name: &str| dir.path().join(name);
            builder = builder.journal_dir(path("journal")).rings_dir(path("rings"));
        }
        builder.start().unwrap()
    };
    // Line and sub are the script's, which this file cannot have; time and message are compared.
    let memory = || Memory::new().layout(raw("%d{HH:mm:ss} 8 main::logit %m%n"));
    let hour = || Limit::new(["Buf"]).period(Duration::from_secs(3600));
    let mut outcomes = Vec::new();

    let buffer = memory();
    let guard = start(hour(), &buffer, false);
    for message in ["1", "2", "3"] {
        logit(&guard, message);
        clock.advance(if message == "3" { 0 } else { 10 });
    }
    outcomes.push(shown("block_period 3600: first passes, 2 and 3 held", &buffer.text()));
    clock.advance(3600);
    logit(&guard, "4");
    outcomes.push(shown("period over: 2 and 3 (own times) then 4", &buffer.text()));
    guard.shutdown(PATIENCE);

    let buffer = memory();
    let guard = start(hour().accumulate(false), &buffer, false);
    logit(&guard, "1");
    logit(&guard, "2");
    clock.advance(3601);
    logit(&guard, "3");
    outcomes.push(shown("accumulate=0: 2 is dropped", &buffer.text()));
    guard.shutdown(PATIENCE);

    let buffer = memory();
    let guard = start(hour().max_until_flushed(2), &buffer, false);
    for message in 1..=6 {
        logit(&guard, &message.to_string());
    }
    outcomes.push(shown("max_until_flushed=2", &buffer.text()));
    guard.shutdown(PATIENCE);

    let buffer = memory();
    let guard = start(hour().max_until_discarded(3), &buffer, false);
    for message in 1..=6 {
        logit(&guard, &message.to_string());
    }
    outcomes.push(shown("max_until_discarded=3 before period", &buffer.text()));
    clock.advance(3601);
    logit(&guard, "7");
    outcomes.push(shown("... after period", &buffer.text()));
    guard.shutdown(PATIENCE);

    let guard = start(hour(), &memory(), true);
    logit(&guard, "1");
    logit(&guard, "2");
    guard.shutdown(PATIENCE);
    let buffer = memory();
    let guard = start(hour(), &buffer, true);
    logit(&guard, "3");
    outcomes.push(shown("persistent: new process still blocked", &buffer.text()));
    clock.advance(3601);
    logit(&guard, "4");
    outcomes.push(shown("... delivered later", &buffer.text()));
    guard.shutdown(PATIENCE);

    let buffer = Memory::new().layout(raw("%p - %m%n"));
    let guard = rollway::builder()
        .clock(clock.clone())
        .timestamp(Timestamp::Drain)
        .level(Level::DEBUG)
        .appender("Buf", appender::with(buffer.clone()).threshold(Level::ERROR))
        .composite("L", Limit::new(["Buf"]).period(Duration::from_secs(60)))
        .start()
        .unwrap();
    log!(logger: guard.logger(), Level::ERROR, "e1");
    log!(logger: guard.logger(), Level::INFO, "refused by the threshold");
    guard.flush().unwrap();
    clock.advance(61);
    log!(logger: guard.logger(), Level::ERROR, "e2");
    guard.flush().unwrap();
    outcomes.push(shown("relay threshold inside Limit", "ok"));
    outcomes.push(shown("buffer", &buffer.text()));
    guard.shutdown(PATIENCE);
    golden.compare(outcomes);
}

/// What the appenders A and B wrote, as the script prints it.
fn ab(title: &str, names: &[&str], dir: &Dir) -> (String, String) {
    let line = |name: &&str| {
        let text = dir.text(name);
        format!("{name}: {}\n", text.lines().collect::<Vec<_>>().join("|"))
    };
    shown(title, &names.iter().map(line).collect::<String>())
}

#[test]
fn thresholds_and_additivity_decide_which_appenders_get_an_event() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("10-thresholds-additivity") else { return };
    let root = |level: &str, appenders: &str| {
        format!("[categories.root]\nlevel = \"{level}\"\nappenders = [{appenders}]\n")
    };
    let both = || file("A", "") + &file("B", "");
    let category = |name: &str, appenders: &str, keys: &str| {
        format!("[categories.\"{name}\"]\nlevel = \"debug\"\nappenders = [{appenders}]\n{keys}\n")
    };
    let mut outcomes = Vec::new();
    let mut go = |title: &str, names: &[&str], config: String, calls: &dyn Fn(&Logger)| {
        let dir = Dir::new();
        dir.run(&config, calls);
        outcomes.push(ab(title, names, &dir));
    };

    go(
        "additive: child and root appender both fire",
        &["A", "B"],
        root("debug", "\"A\"") + &category("x.y", "\"B\"", "") + &both(),
        &|logger| say(logger, "x.y", Level::INFO, "m"),
    );
    go(
        "child level decides, parents appenders ignore their loggers level",
        &["A", "B"],
        root("error", "\"A\"") + &category("x.y", "\"B\"", "") + &both(),
        &|logger| {
            say(logger, "x.y", Level::DEBUG, "m");
            say(logger, "q", Level::DEBUG, "n");
        },
    );
    go(
        "additivity=0",
        &["A", "B"],
        root("debug", "\"A\"") + &category("x.y", "\"B\"", "additive = false") + &both(),
        &|logger| {
            say(logger, "x.y", Level::INFO, "m");
            say(logger, "x", Level::INFO, "n");
        },
    );
    let twice = || root("debug", "\"A\"") + &category("p", "\"A\"", "") + &file("A", "");
    go(
        "same appender at two levels: message twice",
        &["A"],
        format!("one_message_per_appender = false\n{}", twice()),
        &|logger| say(logger, "p.q", Level::INFO, "m"),
    );
    go(
        "additivity=0 of the earlier case survives a new init: x.y has no appender left",
        &["A"],
        root("debug", "\"A\"") + &file("A", ""),
        &|logger| say(logger, "x.y", Level::INFO, "m"),
    );
    go("oneMessagePerAppender=1: once", &["A"], twice(), &|logger| {
        say(logger, "p.q", Level::INFO, "m");
    });
    let thresholds = |a: &str, b: &str| file("A", a) + &file("B", b);
    go(
        "appender Threshold",
        &["A", "B"],
        root("debug", "\"A\", \"B\"") + &thresholds("threshold = \"error\"", ""),
        &|logger| {
            say(logger, "", Level::INFO, "i");
            say(logger, "", Level::ERROR, "e");
        },
    );
    go(
        "system-wide threshold",
        &["A", "B"],
        "threshold = \"warn\"\n".to_owned()
            + &root("debug", "\"A\", \"B\"")
            + &thresholds("threshold = \"debug\"", "threshold = \"error\""),
        &|logger| {
            for level in [Level::INFO, Level::WARN, Level::ERROR] {
                say(logger, "", level, "m");
            }
        },
    );
    go(
        "return value: number of appenders that took it",
        &["A", "B"],
        root("debug", "\"A\", \"B\"") + &thresholds("threshold = \"error\"", ""),
        &|logger| {
            for level in [Level::TRACE, Level::INFO, Level::ERROR] {
                say(logger, "", level, "z");
            }
        },
    );
    go("lower-case threshold key", &["A"], file("A", "threshold = \"error\""), &|logger| {
        say(logger, "", Level::ERROR, "m");
    });
    golden.compare(outcomes);
}

#[test]
fn dates_have_the_formats_of_log4perl() {
    let Some(text) = Golden::text("13-dateformat") else { return };
    let times = [
        (1_325_473_445, 678_901),
        (1_341_169_985, 4_000),
        (1_325_376_000, 0),
        (951_782_400, 999_999),
    ];
    // One block for each format: what it shows at the four times.
    let Some(lines) = Golden::read_lines("13-dateformat") else { return };
    let formats: Vec<_> = {
        let first = lines.blocks.iter().map(|(title, _)| title.clone());
        first.filter(|title| !title.contains(" #")).collect()
    };
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut outcomes = Vec::new();
    for format in &formats {
        let (mut theirs, mut ours) = (String::new(), String::new());
        for (number, (seconds, micros)) in times.into_iter().enumerate() {
            let title =
                if number == 0 { format.clone() } else { format!("{format} #{}", number + 1) };
            let golden = lines.blocks.iter().find(|(block, _)| *block == title).unwrap();
            theirs.push_str(&golden.1);
            theirs.push('\n');
            let time_ns = seconds * SECOND_NS + micros * 1_000;
            let written = match format.as_str() {
                "ISO8601" => "yyyy-MM-dd HH:mm:ss,SSS",
                other => other,
            };
            ours.push_str(&formatted(&format!("%d{{{written}}}"), time_ns, ""));
            ours.push('\n');
        }
        blocks.push((format.clone(), theirs));
        outcomes.push((format.clone(), ours));
    }
    let begin = BEGIN_S * SECOND_NS;
    let zone = "zone America/New_York (five hours behind UTC in January)";
    for (title, rest) in text.split("\n--- ").filter_map(|block| block.split_once('\n')) {
        if !title.contains("time ") {
            blocks.push((title.to_owned(), format!("{}\n", rest.trim_end())));
        }
    }
    let stamp = "%d{yyyy-MM-dd HH:mm:ss}";
    let ours = format!(
        "{}\nutcDateTimes: {}",
        formatted(&format!("{stamp}{{America/New_York}}"), begin, ""),
        formatted(stamp, begin, ""),
    );
    outcomes.push(shown(zone, &ours));
    outcomes.push(shown("unmatched quote", &formatted("%d{HH 'oops}", begin, "")));
    Golden { script: "13-dateformat", blocks }.compare(outcomes);
}

#[test]
fn levels_of_ones_own_stand_between_the_built_in_ones() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("14-levels") else { return };
    let built_in = Level::ALL.map(|level| format!("{} {}", level.name(), level.number()));
    let dir = Dir::new();
    let config = format!(
        "level = \"config\"\n[levels.notify]\nvalue = 10\n[levels.config]\nvalue = 7\n{}",
        file("A", "")
    );
    let (mut enabled_at, mut is_warn) = (Vec::new(), false);
    let mut before = String::new();
    let mut own = Vec::new();
    dir.run(&config, |logger| {
        let level = |name: &str| name.parse::<Level>().unwrap();
        own.extend(
            ["notify", "config"]
                .map(|name| format!("{} {}", level(name).name(), level(name).number())),
        );
        for name in ["debug", "config", "info", "notify", "warn", "error"] {
            say(logger, "", level(name), name);
        }
        for name in ["trace", "debug", "config", "info", "notify", "warn", "error", "fatal"] {
            let taken = enabled!(logger: logger, level(name));
            enabled_at.push(format!("{name}={}", u8::from(taken)));
        }
        is_warn = enabled!(logger: logger, Level::WARN);
        logger.flush().unwrap();
        before = dir.text("A");
        say(logger, "", Level::INFO, "via log()");
    });
    let late = Level::register("late", 11, Colour::Blue).unwrap();
    golden.compare([
        shown("built-in levels: name value log-dispatch syslog", &built_in.join("\n")),
        shown("after create_custom_level(NOTIFY, WARN) and (CONFIG, INFO, 5, 2)", &own.join("\n")),
        shown("threshold CONFIG", &before),
        shown("is_*", &enabled_at.join(" ")),
        shown("isWarnEnabled", &u8::from(is_warn).to_string()),
        shown("custom level after init", late.name()),
        shown("log()", &dir.text("A")),
        shown(
            "invalid level in logger line",
            &"LOUD".parse::<LevelFilter>().unwrap_err().to_string(),
        ),
    ]);
}

#[test]
fn every_difference_is_told_in_the_document() {
    let document = include_str!("../docs/goldens.md");
    for (script, block, reason) in DIFFERENCES {
        let block = block.replace('|', "\\|");
        let row = format!("| {script} | `{block}` | {reason} |");
        assert!(document.contains(&row), "docs/goldens.md lacks\n{row}");
    }
    let rows = document.lines().filter(|line| line.contains(" | `")).count();
    assert_eq!(rows, DIFFERENCES.len(), "docs/goldens.md tells of more differences than there are");
}
