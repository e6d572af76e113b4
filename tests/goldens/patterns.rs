//! Layouts, patterns and dates.

use std::collections::HashMap;

use rollway::event::{ContextInfo, Event, SiteInfo, SourceInfo, ThreadInfo};
use rollway::layout::{Layout, Pattern};
use rollway::record::Values;
use rollway::site::{Definition, Names};
use rollway::{Level, log};

use crate::golden::{Golden, shown};
use crate::running::{BEGIN_S, Dir, SECOND_NS, file, say};
use crate::support::watchdog;

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
