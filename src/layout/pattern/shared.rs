//! What patterns share with those of log4js and Log4perl, case by case.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::layout::fixture::Fixture;
use crate::template::Template;
use crate::value::Kind;

/// A DEBUG event of 2010-12-05T14:18:30.045Z.
fn old() -> Fixture {
    let mut fixture = Fixture::saying("this is a test").inside("known", "here");
    fixture.level = Level::DEBUG;
    fixture.time_ns = 1_291_558_710_045_000_000;
    fixture.site.category = "multiple.levels.of.tests".into();
    fixture.site.file = "/path/to/file.rs".into();
    fixture.site.module = "multiple::levels".into();
    fixture.source.epoch = 1_291_558_709_000_000_000;
    fixture
}

fn written(mut layout: Pattern, fixture: &mut Fixture) -> String {
    let mut out = String::new();
    layout.write(&fixture.event(), &mut out);
    out
}

fn line(pattern: &str, fixture: &mut Fixture) -> String {
    written(Pattern::parse(pattern).unwrap(), fixture)
}

#[test]
fn every_conversion_of_both_systems_has_its_text() {
    for (pattern, expected) in [
        ("%d{HH:mm:ss}{UTC}", "14:18:30"),
        ("%p", "DEBUG"),
        ("%p{1}", "D"),
        ("%p{3}", "DEB"),
        ("%p{9}", "DEBUG"),
        ("%c", "multiple.levels.of.tests"),
        ("%c{1}", "tests"),
        ("%c{2}", "of.tests"),
        ("%c{3}", "levels.of.tests"),
        ("%c{4}", "multiple.levels.of.tests"),
        ("%c{5}", "multiple.levels.of.tests"),
        ("%h|%H", "box|box"),
        ("%m", "this is a test"),
        ("%n", "\n"),
        ("%d", "2010-12-05T14:18:30.045000000Z"),
        ("%d{ISO8601}", "2010-12-05T14:18:30.045"),
        ("%d{ISO8601_WITH_TZ_OFFSET}", "2010-12-05T14:18:30.045Z"),
        ("%d{ABSOLUTETIME}", "14:18:30.045"),
        ("%d{ABSOLUTE}", "14:18:30,045"),
        ("%d{DATETIME}", "05 12 2010 14:18:30.045"),
        ("%d{DATE}", "05 Dec 2010 14:18:30,045"),
        ("%d{APACHE}", "[Sun Dec 05 14:18:30 2010]"),
        ("%d{yy MM dd HH mm ss}", "10 12 05 14 18 30"),
        ("%d{yyyy MM dd}", "2010 12 05"),
        ("%d{yyyy MM dd HH mm ss SSS}", "2010 12 05 14 18 30 045"),
        ("%%", "%"),
        ("100%% %m", "100% this is a test"),
        ("%z|%P", "815|815"),
        ("%f|%F", "/path/to/file.rs|/path/to/file.rs"),
        ("%f{1}", "file.rs"),
        ("%F{2}", "to/file.rs"),
        ("%f{3}", "path/to/file.rs"),
        ("%F{4}", "/path/to/file.rs"),
        ("%F{5}", "/path/to/file.rs"),
        ("%L", "42"),
        ("%o", "9"),
        ("%C|%M", "multiple::levels|multiple::levels"),
        ("%M{1}|%C{1}", "levels|levels"),
        ("%l", "multiple::levels /path/to/file.rs (42)"),
        ("%r", "1045"),
        ("%R", "0"),
        ("%X{known}|%X{none}|%X", "here||known=here"),
        ("%[%p%]", "\x1b[36mDEBUG\x1b[39m"),
        ("%[%d{HH:mm:ss}%]", "\x1b[36m14:18:30\x1b[39m"),
        (r"\n literal", r"\n literal"),
        ("plain", "plain"),
    ] {
        assert_eq!(line(pattern, &mut old()), expected, "{pattern}");
    }
}

#[test]
fn widths_of_both_systems_fill_and_cut() {
    for (pattern, expected) in [
        ("%10p|", "     DEBUG|"),
        ("%8p|", "   DEBUG|"),
        ("%6p|", " DEBUG|"),
        ("%4p|", "DEBUG|"),
        ("%-4p|", "DEBUG|"),
        ("%-6p|", "DEBUG |"),
        ("%-10p|", "DEBUG     |"),
        ("%.4m", "this"),
        ("%.7m", "this is"),
        ("%.9m", "this is a"),
        ("%.14m", "this is a test"),
        ("%.-4m", "test"),
        ("%.-9m", "is a test"),
        ("%30.30f{2}|", "                    to/file.rs|"),
        ("%10.-5f{1}|", "     le.rs|"),
        ("%5.5m|", "this |"),
        ("%-5.5m|", "this |"),
        ("%20c|", "multiple.levels.of.tests|"),
        ("%6.2p|", "    DE|"),
        ("%05L|", "00042|"),
    ] {
        assert_eq!(line(pattern, &mut old()), expected, "{pattern}");
    }
}

#[test]
fn text_newlines_and_messages_stand_in_the_order_of_the_pattern() {
    assert_eq!(line("a%nb%n%m%n", &mut old()), "a\nb\nthis is a test\n");
}

#[test]
fn the_last_newline_of_a_message_is_taken_off_on_request() {
    for (message, pattern, expected) in [
        ("blah\n", "%m%n", "blah\\u{a}\n"),
        ("blah\n", "%m foo %n", "blah\\u{a} foo \n"),
        ("blah\n", "%m{chomp}%n", "blah\n"),
        ("blah\n", "%m{chomp} foo %n", "blah foo \n"),
        ("blah\r\n", "%m{chomp}%n", "blah\n"),
        ("blah\n\n", "%m{chomp}%n", "blah\\u{a}\n"),
        ("blah", "%m{chomp}%n", "blah\n"),
        ("blah\n", "%.3m{chomp}|%7m{chomp}|%n", "bla|   blah|\n"),
    ] {
        assert_eq!(line(pattern, &mut Fixture::saying(message)), expected, "{pattern}");
    }
    let raw = |pattern: &str| Pattern::parse(pattern).unwrap().escape(false);
    assert_eq!(written(raw("%m%n"), &mut Fixture::saying("blah\n")), "blah\n\n");
    assert_eq!(written(raw("%m{chomp}%n"), &mut Fixture::saying("blah\n")), "blah\n");
}

#[test]
fn further_lines_of_a_message_are_indented_on_request() {
    let lines = "l1\nl2\nl3";
    for (message, pattern, expected) in [
        (lines, "%d{HH:mm:ss}> %m{indent}%n", "10:00:00> l1\n          l2\n          l3\n"),
        (lines, "123%m{indent}", "123l1\n   l2\n   l3"),
        ("l1\nl2\n", "%p> %m{indent=2}%n", "INFO> l1\n  l2\n  \n"),
        ("l1\nl2\n", "%p> %m{indent=2,chomp}%n", "INFO> l1\n  l2\n"),
        ("l1\nl2\n", "%p> %m{chomp,indent}%n", "INFO> l1\n      l2\n"),
        (lines, "%p%n%L %m{indent}", "INFO\n42 l1\n   l2\n   l3"),
        (lines, "%[%p%] %m{indent}", "\x1b[32mINFO\x1b[39m l1\n     l2\n     l3"),
        ("one\r\n\x1b[2J\rtwo", "%p %m{indent}%n", "INFO one\n     \\u{1b}[2J\\u{d}two\n"),
        (lines, "%m{indent}%n", "l1\n l2\n l3\n"),
        ("", "%p %m{indent}%n", "INFO \n"),
    ] {
        assert_eq!(line(pattern, &mut Fixture::saying(message)), expected, "{pattern}");
    }
}

#[test]
fn an_indented_line_cannot_look_like_an_event() {
    let forged = "x\n2026-11-21T10:00:00.123456789Z FATAL forged\r\n\n2026 forged\u{2028}2026";
    let mut fixture = Fixture::saying(forged);
    let text =
        line("%d %p %m{indent}%n", &mut fixture) + &line("%d %p %m{indent=1}%n", &mut fixture);
    assert_eq!(text.lines().count(), 8, "{text}");
    assert_eq!(text.lines().filter(|line| !line.starts_with(' ')).count(), 2, "{text}");
}

#[test]
fn a_hostile_message_makes_no_more_text_than_its_lines_and_bounded_blanks() {
    let mut fixture = Fixture::saying(&"\n".repeat(1 << 20));
    fixture.site.category = "c".repeat(1 << 16).into();
    let text = line("%c %m{indent}%n", &mut fixture);
    assert_eq!(text.lines().count(), shape::LINES_MAX);
    let escapes = (1 << 20) * r"\u{a}".len();
    assert!(text.len() < (1 << 16) + escapes + shape::LINES_MAX * (shape::INDENT_MAX + 1) + 2);
}

#[test]
fn each_line_of_a_message_can_have_a_prefix() {
    let layout = || Pattern::parse("%p %c> %m%n").unwrap().multiline(true);
    for (message, expected) in [
        ("waah!", "INFO shop::till> waah!\n"),
        (
            "one\ntwo\r\nthree",
            "INFO shop::till> one\nINFO shop::till> two\nINFO shop::till> three\n",
        ),
        ("one\n\ntwo\n\n", "INFO shop::till> one\nINFO shop::till> \nINFO shop::till> two\n"),
        ("a\x1b\nb", "INFO shop::till> a\\u{1b}\nINFO shop::till> b\n"),
        ("", ""),
        ("\n", ""),
        ("\n\r\n\n", ""),
    ] {
        assert_eq!(written(layout(), &mut Fixture::saying(message)), expected, "{message:?}");
    }
    let twice = layout().multiline(false);
    assert_eq!(written(twice, &mut Fixture::saying("a\nb")), "INFO shop::till> a\\u{a}b\n");
    let widths = Pattern::parse("%-4m|%.1m{chomp}%n").unwrap().multiline(true);
    assert_eq!(written(widths, &mut Fixture::saying("ab\ncd")), "ab  |a\ncd  |c\n");
}

#[test]
fn every_way_to_write_lines_gives_a_page_the_same_bytes() {
    for pattern in ["%d> %m{indent}%n", "%R %m%k%n", "%p %m{chomp}%n", "%[%d %p%] %l %r %m%n"] {
        for is_multiline in [false, true] {
            let layout = Pattern::parse(pattern).unwrap().multiline(is_multiline);
            let (mut to_text, mut to_page) = (layout.clone(), layout);
            let (mut text, mut page) = (String::new(), Page::new());
            for step in 0..4 {
                let mut fixture = Fixture::saying("a\nb").with("k", Kind::U8, &[7]);
                fixture.time_ns += step * 1_500_000;
                to_text.write(&fixture.event(), &mut text);
                to_page.write_page(&fixture.event(), &mut page);
            }
            assert_eq!(str::from_utf8(page.as_bytes()).unwrap(), text, "{pattern}");
        }
    }
}

#[test]
fn times_are_told_from_the_start_and_from_the_event_before() {
    let mut layout = Pattern::parse("%r %R|").unwrap();
    let (mut text, mut fixture) = (String::new(), old());
    for ms in [0, 5, 5, 1205, 3] {
        fixture.time_ns = 1_291_558_709_000_000_000 + ms * 1_000_000 + 999_999;
        layout.write(&fixture.event(), &mut text);
    }
    assert_eq!(text, "0 0|5 5|5 0|1205 1200|3 0|");
    fixture.time_ns = 0;
    assert_eq!(line("%r", &mut fixture), "0");
}

#[test]
fn the_name_of_a_function_is_that_of_its_module() {
    // Neither a closure nor a function within one has a name of its own.
    let mut fixture = Fixture::saying("");
    fixture.site.module = module_path!().into();
    let module = line("%M", &mut fixture);
    assert!(module.ends_with("layout::pattern::shared"), "{module}");
    assert_eq!(line("%M{1} %C{2}", &mut fixture), "shared pattern::shared");
}

#[test]
fn a_key_that_is_not_there_shows_what_was_asked_for() {
    for (missing, expected) in [("", "|here|||"), ("[undef]", "[undef]|here|[undef]||")] {
        let layout = Pattern::parse("%X{none}|%X{known}|%k{none}|%k|").unwrap().missing(missing);
        assert_eq!(written(layout, &mut old()), expected);
    }
}

#[test]
fn own_letters_show_what_their_function_appends() {
    let letters = Letters::new()
        .letter('U', |event, argument, out| {
            out.push_str(argument.unwrap_or("none"));
            out.push_str(&event.site.category);
        })
        .unwrap()
        .letter('T', |_, _, out| out.push_str("text\n"))
        .unwrap();
    for (pattern, expected) in [
        ("%U", "noneshop::till"),
        ("%U{a }", "a shop::till"),
        ("%U{}", "shop::till"),
        ("%.4U{user}%7T|%m", r"usertext\u{a}|m"),
    ] {
        let layout = Pattern::parse_with(pattern, &letters).unwrap();
        assert_eq!(written(layout, &mut Fixture::saying("m")), expected, "{pattern}");
    }
    let error = Pattern::parse_with("%U %V", &letters).unwrap_err();
    assert_eq!(error.column, 5);
}

#[test]
fn an_own_letter_is_asked_once_for_each_event() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let count = |_: &Event<'_>, _: Option<&str>, out: &mut String| {
        out.push_str(&(ASKED.fetch_add(1, Ordering::Relaxed) + 1).to_string());
    };
    let letters = Letters::new().letter('N', count).unwrap();
    let mut layout = Pattern::parse_with("%N %R %m%n", &letters).unwrap();
    let mut page = Page::new();
    // A line of this site could be begun the short way, and the second one would be given up.
    let mut site = Fixture::saying("").with("0", Kind::STR, b"").site;
    site.template = Template::parse("{}");
    for (ms, text) in [(0, "plain"), (5, "not\x1bplain"), (7, "plain")] {
        let mut fixture = Fixture::saying("").with("0", Kind::STR, text.as_bytes());
        fixture.time_ns += ms * 1_000_000;
        layout.write_page(&Event { site: &site, ..fixture.event() }, &mut page);
    }
    assert_eq!(page.as_bytes(), b"1 0 plain\n2 5 not\\u{1b}plain\n3 2 plain\n");
}

#[test]
fn the_number_of_a_pattern_follows_everything_that_changes_its_lines() {
    let letters = Letters::new().letter('U', |_, _, out| out.push('u')).unwrap();
    let with = |letters: &Letters| Pattern::parse_with("%U%m%n", letters).unwrap().hash();
    assert_ne!(with(&letters), with(&letters.clone().version(1)));
    // A pattern without own letters does not care for them.
    let plain = Pattern::parse("%m%n").unwrap();
    let beside = Pattern::parse_with("%m%n", &letters.version(1)).unwrap();
    assert_eq!(beside.hash(), plain.hash());
    let numbers = [
        plain.hash(),
        plain.clone().multiline(true).hash(),
        plain.clone().colours(false).hash(),
        plain.clone().missing("-").hash(),
        plain.clone().escape(false).hash(),
        plain.clone().escape(false).multiline(true).hash(),
    ];
    for (index, number) in numbers.iter().enumerate() {
        assert!(!numbers[..index].contains(number), "{index}");
    }
    assert_eq!(plain.clone().multiline(true).multiline(false).missing("").hash(), plain.hash());
}

/// Where ours shows something else than Log4perl, and why.
const DIFFERENCES: [(&str, &str); 13] = [
    ("%d", "RFC 3339 with nanoseconds"),
    ("%d{ISO8601}", "a `T` between date and time"),
    ("%l", "the module path: functions have no name"),
    ("%M", "the module path: functions have no name"),
    ("%M{1}", "the module path: functions have no name"),
    ("%M{2}", "the module path: functions have no name"),
    ("%t", "the thread, which is known"),
    ("%X", "all pairs"),
    ("%x", "nothing where no NDC is"),
    ("%q", "an error that names the column"),
    ("%T", "an error that names the column"),
    ("%m %n", "a newline in the message is escaped"),
    ("%d> %m{indent}%n", "RFC 3339 with nanoseconds"),
];

#[test]
fn lines_are_those_of_log4perl_where_no_difference_is_named() {
    let Some(golden) = crate::layout::fixture::golden("02-patternlayout.out") else { return };
    let mut compared = 0;
    for row in golden.lines() {
        let (pattern, shown) = row.split_once(" => [").unwrap();
        let (pattern, expected) = (pattern.trim_end(), shown.strip_suffix(']').unwrap());
        // The golden shows a newline as these two characters.
        let expected = expected.replace("\\n", "\n");
        let message = match (pattern, expected.as_str()) {
            ("%m%n" | "%m %n", shown) if shown.starts_with("has newline") => "has newline\n",
            ("%m{chomp}%n", _) => "x\n",
            ("%d> %m{indent}%n", _) => "l1\nl2\nl3",
            ("%p> %m{indent=2}%n" | "%p> %m{indent=2,chomp}%n", _) => "l1\nl2\n",
            ("%m%n", "abc\n") => "abc",
            _ => "msg",
        };
        let mut fixture = Fixture::saying(message).inside("user", "charlie");
        fixture.level = Level::WARN;
        fixture.time_ns = 1_325_473_445_678_901_000;
        fixture.source.epoch = 1_325_473_445_678_901_000;
        fixture.site.category = "Foo.Bar.Baz".into();
        fixture.site.module = "My::Deep::Pkg".into();
        fixture.site.file = "02-patternlayout.pl".into();
        fixture.site.line = 13;
        fixture.source.host = "<HOST>".into();
        // What Log4perl does by itself is to be asked for.
        let asked = if pattern == "%m%n" { "%m{chomp}%n" } else { pattern };
        let asked = asked.replace("%P", "<PID>").replace("\\n literal", "%n literal");
        let shown = Pattern::parse(&asked)
            .map(|layout| written(layout.missing("[undef]"), &mut fixture))
            .unwrap_or_default();
        let is_named = DIFFERENCES.iter().any(|(different, _)| *different == pattern);
        assert_eq!(shown != expected, is_named, "{pattern}: {shown:?} instead of {expected:?}");
        compared += 1;
    }
    assert_eq!(compared, 56);
}

#[test]
fn the_brief_pattern_writes_the_lines_of_the_simple_layout() {
    let Some(golden) = crate::layout::fixture::golden("01-simplelayout.out") else { return };
    let mut text = String::from("--- SimpleLayout, every level\n");
    let mut layout = Pattern::brief().escape(false);
    let messages = ["t", "d", "i", "w", "e", "f", "with newline\n", "twochunks", "", "a\nb"];
    for (index, message) in messages.into_iter().enumerate() {
        let mut fixture = Fixture::saying(message);
        fixture.level = Level::ALL.get(index).copied().unwrap_or(Level::INFO);
        layout.write(&fixture.event(), &mut text);
    }
    assert_eq!(text, golden);
}
