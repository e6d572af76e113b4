//! Hostile events in every layout: one event is one line, machines read it back, people's terminals
//! are safe, and nothing in it is evaluated.

mod support;

use proptest::prelude::*;
use rollway::Level;
use rollway::event::{ContextInfo, Event, Receipt, SiteInfo, SourceInfo, ThreadInfo};
use rollway::layout::escape::{escape, unescape};
use rollway::layout::{
    Ecs, Group, Json, Layout, Letters, Logfmt, OpenTelemetry, Page, Pattern, from_fn,
};
use rollway::record::{INLINE, Kinds, Records, padded_len, put_header};
use rollway::site::{Definition, Names};
use rollway::value::{Encoder, Kind};
use support::{Random, is_long_run};

/// How the lines of a layout are read.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Text,
    Json,
    Logfmt,
    /// Text whose further lines begin with a blank.
    Indented,
    /// Text with colours of the pattern's own.
    Coloured,
}

fn layouts() -> Vec<(&'static str, Form, Box<dyn Layout>)> {
    let pattern = |text| Box::new(Pattern::parse(text).unwrap());
    let letters = Letters::new().letter('U', |event, _, out| {
        event.message(out);
    });
    let own = Pattern::parse_with("%U{x} %20.-40U%n", &letters.unwrap()).unwrap();
    let function = from_fn(1, |event, out| {
        let mut message = String::new();
        event.message(&mut message);
        escape(&message, out);
        out.push('\n');
    });
    let every = "%d %p %p{1} %c %c{1} %m %m{chomp} %m{0,-1} %.9m %k %k{k} %X %X{k} %x %F %F{1} %L %o %M %M{1} %l \
                 %t %P %H %r %R%n";
    vec![
        ("simple", Form::Text, Box::new(Pattern::simple())),
        ("basic", Form::Text, Box::new(Pattern::basic())),
        ("coloured", Form::Coloured, Box::new(Pattern::coloured())),
        ("brief", Form::Text, Box::new(Pattern::brief())),
        ("message only", Form::Text, Box::new(Pattern::message_only())),
        ("every letter", Form::Text, pattern(every)),
        ("own letter", Form::Text, Box::new(own)),
        ("indented", Form::Indented, pattern("%d %p %m{indent}%n")),
        ("function", Form::Text, Box::new(function)),
        ("json", Form::Json, Box::new(Json::new())),
        ("full json", Form::Json, Box::new(Json::full())),
        ("ecs", Form::Json, Box::new(Ecs::new().with(Group::Args).with(Group::Template))),
        (
            "opentelemetry",
            Form::Json,
            Box::new(OpenTelemetry::new().with(Group::Args).with(Group::Template)),
        ),
        ("logfmt", Form::Logfmt, Box::new(Logfmt::new())),
        ("full logfmt", Form::Logfmt, Box::new(Logfmt::full())),
    ]
}

/// Everything an event refers to.
struct Hostile {
    site: SiteInfo,
    thread: ThreadInfo,
    context: ContextInfo,
    source: SourceInfo,
    receipt: Receipt,
    record: Vec<u8>,
    time_ns: i64,
}

impl Hostile {
    /// An event that says `text` in its message, in a key-value of each of `keys`, in its context
    /// and everywhere else.
    fn event(text: &str, keys: &[&str], time_ns: i64) -> Hostile {
        let template = format!("{} {{}}", text.replace('{', "{{").replace('}', "}}"));
        let names = Vec::from_iter(["0"].into_iter().chain(keys.iter().copied()));
        let definition = Definition {
            level: Level::INFO,
            line: u32::MAX,
            column: 0,
            target: text,
            module: text,
            file: text,
            template: &template,
            names: Names::Listed(&names),
        };
        let pairs = keys.iter().map(|key| (Box::from(*key), Box::from(text)));
        Hostile {
            site: SiteInfo::from(definition),
            thread: ThreadInfo { os_id: u64::MAX, name: text.into() },
            context: ContextInfo { pairs: pairs.collect(), stack: [text.into()].into() },
            source: SourceInfo {
                source: u128::MAX,
                epoch: u64::MAX,
                pid: u32::MAX,
                service: text.into(),
                host: text.into(),
            },
            receipt: Receipt {
                received_ns: time_ns,
                peer: "[::1]:9".parse().unwrap(),
                is_elsewhere: true,
            },
            record: record(text, names.len()),
            time_ns,
        }
    }

    /// What its message is.
    fn message(text: &str) -> String {
        format!("{text} {text}")
    }

    fn show(&self, level: Level, see: impl FnOnce(&Event<'_>)) {
        let record = Records::new(&self.record).next().unwrap().unwrap();
        let (_, values) = record.open().unwrap();
        let mut event = Event::new(&self.site, &self.thread, &self.context, &self.source, values);
        (event.level, event.time_ns) = (level, self.time_ns);
        event.receipt = Some(&self.receipt);
        see(&event);
    }
}

/// A record of `count` strings, each of them `text`.
fn record(text: &str, count: usize) -> Vec<u8> {
    let definition = Definition {
        level: Level::INFO,
        line: 0,
        column: 0,
        target: "",
        module: "",
        file: "",
        template: "",
        names: Names::Listed(&[]),
    };
    let kinds = (0..count).fold(Kinds::NONE, |kinds, _| kinds.prepend(Kind::STR));
    let values = count * (4 + text.len());
    let len = padded_len(kinds.listed_bytes() + definition.encoded_len() + values);
    let mut record = vec![0; len];
    let mut encoder = Encoder::new(&mut record);
    put_header(&mut encoder, len, Level::INFO, INLINE, 0, kinds.word());
    for _ in 0..kinds.listed_bytes() {
        encoder.array([Kind::STR.number()]);
    }
    definition.encode(&mut encoder);
    for _ in 0..count {
        encoder.run(text.as_bytes());
    }
    record
}

/// What no line may hold: what ends it, steers a terminal, or turns the reading direction.
fn is_dangerous(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The pairs of a line of logfmt, as the usual parsers take them apart.
fn logfmt(line: &str) -> Vec<(String, Option<String>)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').expect("a key and its sign");
        assert!(!key.is_empty() && !key.contains([' ', '"']), "{key:?} in {line:?}");
        let value_bytes = match behind.strip_prefix('"') {
            None => behind.find(' ').unwrap_or(behind.len()),
            Some(inner) => {
                let mut is_escaped = false;
                let end = inner.find(|c| {
                    let ends = c == '"' && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    ends
                });
                end.expect("a quote that ends") + 2
            }
        };
        let (value, behind) = behind.split_at(value_bytes);
        let value = match value.starts_with('"') {
            true => Some(serde_json::from_str(value).expect("a string")),
            false => (value != "null").then(|| value.to_owned()),
        };
        pairs.push((key.to_owned(), value));
        rest = match behind.strip_prefix(' ') {
            Some(next) => next,
            None => {
                assert_eq!(behind, "", "{line:?}");
                behind
            }
        };
    }
    pairs
}

/// All strings of a JSON value, names included.
fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(name.clone());
            strings(value, found);
        }),
        _ => {}
    }
}

/// Writes the event twice, on a page and in a string, and reads what stands there.
fn check(name: &str, form: Form, layout: &mut dyn Layout, hostile: &Hostile, text: &str) {
    let mut page = Page::new();
    let mut lines = String::new();
    for level in (0..=u8::MAX).filter_map(Level::from_number).step_by(5) {
        hostile.show(level, |event| layout.clone_layout().write_page(event, &mut page));
        hostile.show(level, |event| layout.clone_layout().write(event, &mut lines));
    }
    assert_eq!(page.as_bytes(), lines.as_bytes(), "{name}");
    lines.clear();
    hostile.show(Level::WARN, |event| layout.write(event, &mut lines));
    check_line(name, form, &lines, text);
}

/// Reads what a layout has written of an event of [`Level::WARN`].
fn check_line(name: &str, form: Form, lines: &str, text: &str) {
    let line = lines.strip_suffix('\n').unwrap_or_else(|| panic!("{name}: {lines:?}"));

    match form {
        Form::Indented => {
            let mut lines = line.split('\n');
            assert!(lines.next().is_some_and(|first| !first.starts_with(' ')), "{name}");
            assert!(lines.all(|line| line.starts_with(' ')), "{name}: {line:?}");
        }
        _ => assert!(!line.contains('\n'), "{name}: {line:?}"),
    }
    let is_own = |c: char| match form {
        Form::Indented => c == '\n',
        Form::Coloured => c == '\x1b',
        _ => false,
    };
    let dangerous = line.chars().find(|&c| is_dangerous(c) && !is_own(c));
    assert_eq!(dangerous, None, "{name}: {line:?}");

    let message = Hostile::message(text);
    match form {
        Form::Json => {
            let value: serde_json::Value = serde_json::from_str(line).expect(name);
            let mut found = Vec::new();
            strings(&value, &mut found);
            assert!(found.contains(&message), "{name}: {line:?}");
            // Whatever was given comes back as it was: nothing was evaluated.
            assert!(found.iter().any(|found| found == text), "{name}: {line:?}");
        }
        Form::Logfmt => {
            let pairs = logfmt(line);
            let of = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).cloned();
            assert_eq!(of("message").unwrap().1.as_deref(), Some(&*message), "{name}");
            assert_eq!(of("category").unwrap().1.as_deref(), Some(text), "{name}");
            assert_eq!(of("level").unwrap().1.as_deref(), Some("WARN"), "{name}");
            for (index, (key, _)) in pairs.iter().enumerate() {
                assert!(!pairs[..index].iter().any(|(other, _)| other == key), "{name}: {key}");
            }
        }
        Form::Coloured => assert_eq!(line.matches('\x1b').count(), 2, "{name}: {line:?}"),
        Form::Text if name.starts_with("message only") => {
            assert_eq!(unescape(line), message, "{name}");
        }
        Form::Text | Form::Indented => {}
    }
}

fn check_all(text: &str, keys: &[&str], time_ns: i64) {
    let hostile = Hostile::event(text, keys, time_ns);
    for (name, form, mut layout) in layouts() {
        check(name, form, &mut *layout, &hostile, text);
    }
}

#[test]
fn hostile_text_stays_on_its_line_and_means_nothing() {
    let every_control = String::from_iter(('\0'..'\u{a0}').chain('\u{2027}'..='\u{206a}'));
    for text in [
        "",
        " ",
        "\n",
        "\r\n\r\n",
        "a\n2026-11-21T10:00:00.123456789Z FATAL shop::till - forged\n",
        "a\r2026-11-21 FATAL forged",
        "a\u{2028}2026\u{2029}2026\u{85}2026\x0b2026\x0c2026\0",
        "\x1b[2J\x1b[31mred\x1b]0;title\x07\u{9b}31m",
        "\u{202e}desrever\u{202c} \u{2066}isolated\u{2069}",
        "${jndi:ldap://example.invalid/x} ${env:SECRET} {{7*7}} {} {0} %n%s%d%x $(id) `id` <%= 1 %>",
        r#"","level":"FATAL","x":""#,
        r#"\" level=FATAL \"#,
        "level=FATAL time=0",
        "\\",
        "\\u{a}\\n\\u000a",
        "null",
        "%",
        "日本語 🦀 e\u{301} \u{feff}\u{a0}",
        &every_control,
    ] {
        let keys = [text, "time", "level", "message", "labels", "template", "a b", "a.b", ""];
        check_all(text, &keys, 0);
        check_all(text, &[], i64::MIN);
        check_all(text, &[text, text], i64::MAX);
    }
}

/// Hostile pieces that texts are drawn from, beside characters by chance.
const PIECES: &[&str] = &[
    "\n",
    "\r\n",
    "\0",
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\u{9b}2J",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "${jndi:ldap://127.0.0.1/x}",
    "${env:HOME}",
    "{}",
    "{{7*7}}",
    "%n%X{}",
    "$(id)",
    "\\",
    "\\n",
    "\\u{a}",
    "\"",
    "\",\"level\":\"FATAL",
    " level=FATAL ",
    "=",
    " ",
    "null",
    "2026-11-21T10:00:00Z FATAL shop - forged",
];
/// So many drawn texts have one of a mebibyte among them.
const LONG_EVERY: u64 = 100_000;

/// A text of a few pieces, now and then of a mebibyte.
fn drawn(random: &mut Random) -> String {
    let is_long = random.below(LONG_EVERY) == 0;
    let pieces = if is_long { 1 << 20 } else { random.below(12) };
    let mut text = String::new();
    for _ in 0..pieces {
        match random.below(3) {
            0 => text.push_str(PIECES[random.below(PIECES.len() as u64) as usize]),
            1 => text.extend(char::from_u32(random.below(0x11_0000) as u32)),
            _ => text.extend(char::from_u32(random.below(0x100) as u32)),
        }
        if text.len() >= 1 << 20 {
            break;
        }
    }
    text
}

#[test]
fn drawn_events_are_a_line_each_and_come_back_as_they_were() {
    let all = if is_long_run() { 1_000_000 } else { 4_000 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let read_back =
                    ["basic", "message only", "every letter", "full json", "full logfmt"];
                let mut layouts = layouts();
                layouts.retain(|(name, ..)| read_back.contains(name));
                assert_eq!(layouts.len(), read_back.len());
                let mut line = String::new();
                for number in (thread..all).step_by(threads as usize) {
                    let random = &mut Random(number);
                    let (text, key, time_ns) =
                        (drawn(random), drawn(random), random.below(u64::MAX));
                    let hostile = Hostile::event(&text, &[&key, "user"], time_ns as i64);
                    for (name, form, layout) in &mut layouts {
                        line.clear();
                        hostile.show(Level::WARN, |event| layout.write(event, &mut line));
                        check_line(&format!("{name}, number {number}"), *form, &line, &text);
                        check_pair(name, *form, &line, &key, &text);
                    }
                }
            });
        }
    });
}

/// Whether a line has a key-value of the call.
fn check_pair(name: &str, form: Form, line: &str, key: &str, text: &str) {
    match form {
        Form::Json => {
            let value: serde_json::Value = serde_json::from_str(line).expect(name);
            let of = |key: &str| value["fields"][key].as_str();
            assert_eq!((of("user"), of(key)), (Some(text), Some(text)), "{name}: {line:?}");
        }
        Form::Logfmt => {
            let pairs = logfmt(line);
            let user = pairs.iter().find(|(key, _)| key == "user");
            assert_eq!(
                user.and_then(|(_, value)| value.as_deref()),
                Some(text),
                "{name}: {line:?}"
            );
        }
        _ => {}
    }
}

#[test]
fn fields_of_a_mebibyte_stay_on_their_line() {
    let long = "x".repeat(1 << 20);
    let lines = "\n".repeat(1 << 17);
    for text in [&long, &lines] {
        // In the message, in a key-value and in one field of the call.
        let mut hostile = Hostile { record: record(text, 2), ..Hostile::event("y", &["k"], 0) };
        hostile.site.category = text.as_str().into();
        for (name, form, mut layout) in layouts() {
            let mut line = String::new();
            hostile.show(Level::INFO, |event| layout.write(event, &mut line));
            let count = line.matches('\n').count();
            assert!(line.ends_with('\n') && (count == 1 || form == Form::Indented), "{name}");
            // The longest shows it seven times.
            assert!(line.len() < 7 * (1 << 20) + (1 << 16), "{name}: {} bytes", line.len());
            if form == Form::Json {
                serde_json::from_str::<serde_json::Value>(&line).expect(name);
            }
        }
    }
}

#[test]
fn a_damaged_record_is_a_line_like_any_other() {
    let hostile = Hostile { record: record("y", 1), ..Hostile::event("x", &["k", "l"], 0) };
    for (name, form, mut layout) in layouts() {
        let mut line = String::new();
        hostile.show(Level::INFO, |event| layout.write(event, &mut line));
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{name}: {line:?}");
        match form {
            Form::Json => drop(serde_json::from_str::<serde_json::Value>(&line).expect(name)),
            Form::Logfmt => drop(logfmt(line.trim_end())),
            _ => {}
        }
    }
}

#[test]
fn a_number_that_is_no_level_makes_no_event() {
    for number in [0, 25, u8::MAX] {
        assert_eq!(Level::from_number(number), None);
    }
    // A record that says one is no event of that level, whatever the layout.
    let mut record = record("y", 1);
    let with_level = |level: u8| rollway::record::prefix(record.len(), level, INLINE);
    let prefix = with_level(25);
    record[..prefix.len()].copy_from_slice(&prefix);
    let level = Records::new(&record).next().unwrap().ok().and_then(|record| record.level());
    assert_eq!(level, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_one_line_in_every_layout(
        text in prop_oneof![
            any::<String>(),
            r#"([\x00-\x1f"\\\{\}\x7f-\u{a0}\u{2020}-\u{2070}=% .]|u\{a\}|n|é){0,40}"#,
        ],
        keys in prop::collection::vec(any::<String>(), 0..4),
        time_ns in any::<i64>(),
    ) {
        check_all(&text, &Vec::from_iter(keys.iter().map(String::as_str)), time_ns);
    }
}
