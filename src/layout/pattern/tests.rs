use super::super::escape::{escape, unescape};
use super::super::fixture::Fixture;
use super::parse::LETTERS;
use super::*;
use crate::template::Template;
use crate::value::Kind;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn line(pattern: &str, fixture: &mut Fixture) -> String {
    let mut out = String::new();
    Pattern::parse(pattern).unwrap().write(&fixture.event(), &mut out);
    out
}

fn sold(pattern: &str) -> String {
    let fixture = Fixture::saying("sold 3 apples").with("cashier", Kind::STR, b"Ada L.");
    line(pattern, &mut fixture.with("till", Kind::U8, &[7]).inside("request", "r 1"))
}

fn problem(pattern: &str) -> (usize, String) {
    let error = Pattern::parse(pattern).unwrap_err();
    (error.column, error.problem)
}

#[test]
fn each_conversion_shows_its_part_of_the_event() {
    for (pattern, expected) in [
        ("%d", "2026-11-21T10:00:00.123456789Z"),
        ("%d{ISO8601}", "2026-11-21T10:00:00.123"),
        ("%d{HH:mm XXX}{Europe/Berlin}", "11:00 +01:00"),
        ("%d{HH:mm}{UTC}", "10:00"),
        ("%d{}{Asia/Kolkata}", "2026-11-21T15:30:00.123456789+05:30"),
        ("%p", "INFO"),
        ("%c", "shop::till"),
        ("%m", "sold 3 apples"),
        ("%k", r#" cashier="Ada L." till=7"#),
        ("%k{cashier}", "Ada L."),
        ("%k{nobody}", ""),
        ("%X", r#"request="r 1""#),
        ("%X{request}", "r 1"),
        ("%X{nobody}", ""),
        ("%F:%L", "src/till.rs:42"),
        ("%M", "shop::till::drawer"),
        ("%t", "worker-1"),
        ("%P@%H", "815@box"),
        ("%n", "\n"),
        ("100%% %{x}", "100% {x}"),
        ("", ""),
        ("näher\t|", "näher\t|"),
    ] {
        assert_eq!(sold(pattern), expected, "{pattern}");
    }
}

#[test]
fn the_page_on_layouts_names_every_conversion() {
    let page = include_str!("../../../docs/layouts.md");
    for conversion in LETTERS.split(' ') {
        let row = page
            .lines()
            .find(|line| line.starts_with("| `%") && line.contains(&format!("`{conversion}`")));
        assert!(row.is_some(), "{conversion}");
        // What the page lists is what the parser takes.
        assert!(Pattern::parse(conversion).is_ok(), "{conversion}");
    }
}

#[test]
fn local_time_is_that_of_the_system() {
    let expected = jiff::Timestamp::from_nanosecond(1_795_255_200_123_456_789)
        .unwrap()
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string();
    assert_eq!(sold("%d{HH:mm:ss}{local}"), expected);
}

#[test]
fn a_category_is_cut_to_its_last_parts() {
    let mut fixture = Fixture::saying("");
    fixture.site.category = "a::b.c::d".into();
    for (pattern, expected) in [
        ("%c{1}", "d"),
        ("%c{2}", "c::d"),
        ("%c{3}", "b.c::d"),
        ("%c{4}", "a::b.c::d"),
        ("%c{99}", "a::b.c::d"),
    ] {
        assert_eq!(line(pattern, &mut fixture), expected, "{pattern}");
    }
    fixture.site.category = "a.b:c:::d.".into();
    for (pattern, expected) in [("%c{1}", ""), ("%c{2}", "d."), ("%c{3}", "b:c:::d.")] {
        assert_eq!(line(pattern, &mut fixture), expected, "{pattern}");
    }
}

#[test]
fn a_thread_without_a_name_shows_its_number() {
    let mut fixture = Fixture::saying("");
    fixture.thread.name = "".into();
    assert_eq!(line("%t", &mut fixture), "4711");
}

#[test]
fn widths_fill_and_cut_as_in_log4perl() {
    for (pattern, expected) in [
        ("%12c|", "  shop::till|"),
        ("%-12c|", "shop::till  |"),
        ("%.4c|", "shop|"),
        ("%.-4c|", "till|"),
        ("%6.2p|", "    IN|"),
        ("%-6.2p|", "IN    |"),
        ("%-5p|", "INFO |"),
        ("%2p|", "INFO|"),
        ("%05L|", "00042|"),
        ("%.0m|", "|"),
        ("%-20.20m|", "sold 3 apples       |"),
        ("%40t|", "                                worker-1|"),
    ] {
        assert_eq!(sold(pattern), expected, "{pattern}");
    }
}

#[test]
fn widths_count_characters() {
    let mut fixture = Fixture::saying("äöü日本");
    assert_eq!(line("%7m|%-7m|", &mut fixture), "  äöü日本|äöü日本  |");
    assert_eq!(line("%.2m|%.-2m|%.5m|%.-5m", &mut fixture), "äö|日本|äöü日本|äöü日本");
}

#[test]
fn a_value_is_cut_before_it_is_escaped_and_filled_after() {
    let mut fixture = Fixture::saying("a\nb");
    assert_eq!(line("%.2m|%9m|", &mut fixture), r"a\u{a}|  a\u{a}b|");
}

#[test]
fn hostile_data_stays_on_one_line() {
    let hostile = "x\r\n2026-11-21 FATAL - forged\x1b[2J\u{202e}\u{2028}";
    let mut fixture = Fixture::saying(hostile)
        .with(hostile, Kind::STR, hostile.as_bytes())
        .with("c", Kind::CHAR, &u32::from('\n').to_le_bytes())
        .inside(hostile, hostile);
    for text in [
        &mut fixture.site.category,
        &mut fixture.site.file,
        &mut fixture.site.module,
        &mut fixture.thread.name,
        &mut fixture.source.host,
    ] {
        *text = hostile.into();
    }
    let pattern = "%p%c%m%k%k{c}%X%F%L%M%t%P%H%c{1}%n";
    let line = line(pattern, &mut fixture);
    let (line, rest) = line.split_once('\n').unwrap();
    assert_eq!(rest, "");
    assert!(!line.chars().any(super::super::escape::is_hidden), "{line:?}");
    assert_eq!(line.matches("FATAL").count(), 11);
}

#[test]
fn raw_output_is_there_for_who_asks_for_it() {
    let mut layout = Pattern::parse("%m%n").unwrap().escape(false);
    let mut out = String::new();
    layout.write(&Fixture::saying("a\nb\x1b").event(), &mut out);
    assert_eq!(out, "a\nb\x1b\n");
}

#[test]
fn of_equal_keys_in_the_context_the_innermost_shows() {
    let mut fixture =
        Fixture::saying("").inside("k", "outer").inside("a", "1").inside("k", "inner");
    assert_eq!(line("%X|%X{k}", &mut fixture), "a=1 k=inner|inner");
}

#[test]
fn all_kinds_of_values_have_a_text() {
    let mut fixture = Fixture::saying("")
        .with("i", Kind::I64, &(-1i64).to_le_bytes())
        .with("f", Kind::F64, &0.5f64.to_le_bytes())
        .with("b", Kind::BOOL, &[1])
        .with("c", Kind::CHAR.optional(), &u32::from('=').to_le_bytes())
        .with("bytes", Kind::BYTES, &[0, 255])
        .with("text", Kind::TEXT, b"Some(3)")
        .with_none("none");
    let expected = r#" i=-1 f=0.5 b=true c="=" bytes=[0,255] text=Some(3) none=None"#;
    assert_eq!(line("%k", &mut fixture), expected);
}

#[test]
fn the_simple_pattern_is_the_one_it_documents() {
    let mut parsed = Pattern::parse(Pattern::SIMPLE).unwrap();
    let mut simple = Pattern::simple();
    let mut fixture = Fixture::saying("sold 3 apples").with("cashier", Kind::STR, b"Ada");
    let (mut from_parsed, mut from_simple) = (String::new(), String::new());
    parsed.write(&fixture.event(), &mut from_parsed);
    simple.write(&fixture.event(), &mut from_simple);
    let expected = "2026-11-21T10:00:00.123456789Z INFO  shop::till - sold 3 apples cashier=Ada\n";
    assert_eq!(from_simple, expected);
    assert_eq!(from_parsed, expected);
    assert_eq!(parsed.hash(), simple.hash());
}

#[test]
fn a_line_is_added_behind_what_is_there() {
    let mut out = String::from("before\n");
    let mut layout = Pattern::parse("%10p|%.2m%n").unwrap();
    let mut fixture = Fixture::saying("message");
    fixture.level = Level::FATAL;
    layout.write(&fixture.event(), &mut out);
    assert_eq!(out, "before\n     FATAL|me\n");
}

#[test]
fn a_different_output_has_a_different_number() {
    let hash = |pattern| Pattern::parse(pattern).unwrap().hash();
    assert_eq!(hash("%m%n"), hash("%m%n"));
    assert_ne!(hash("%m%n"), hash("%m"));
    assert_ne!(hash("%d{HH}{UTC}"), hash("%d{HH}{Europe/Berlin}"));
    let escaped = Pattern::parse("%m%n").unwrap();
    let number = escaped.hash();
    let raw = escaped.escape(false);
    assert_ne!(raw.hash(), number);
    assert_eq!(raw.escape(false).escape(true).hash(), number);
}

#[test]
fn an_error_names_the_column_and_the_remedy() {
    for (pattern, column, remedy) in [
        ("%d %q", 5, "unknown conversion `%q`: use one of %d %p"),
        ("%D", 2, "did you mean `%d`?"),
        ("é%N", 3, "did you mean `%n`?"),
        ("%m%T", 4, "no call stack: use `%l`"),
        ("%s", 2, "no call stack: use `%l`"),
        ("%A", 2, "use `%M`"),
        ("%y", 2, "use `%P`"),
        ("50%", 3, "`%%`"),
        ("%-5", 1, "write a letter"),
        ("%c{0}", 4, "use 1 or more"),
        ("%c{x", 3, "end the argument with `}`"),
        ("%L{1}", 3, "write `%{`"),
        ("%p{x}", 4, "`x` is no number of letters: use 1 or more"),
        ("%F{0}", 4, "use 1 or more"),
        ("%M{-1}", 4, "use 1 or more"),
        ("%m{}", 4, "use `chomp`, `indent` or `indent=2`"),
        ("%m{chomp,wrap}", 10, "`wrap` is nothing a message can be told"),
        ("%m{indent=0}", 4, "use 1 to 200"),
        ("%m{indent=x}", 4, "`x` is no number of blanks"),
        ("%9m{indent}", 2, "takes no width"),
        ("%[%m", 1, "write `%]`"),
        ("%m%]", 3, "begin one with `%[`"),
        ("%[%m%[", 5, "write `%]` before"),
        ("%5[%m%]", 2, "takes no width"),
        ("%X{}", 4, "name one"),
        ("%5000m", 2, "at most 1000"),
        ("%.m", 3, "a number must follow"),
        ("%5n", 2, "takes no width"),
        ("%d{yyyy-QQ}", 9, "unknown date letter `Q`"),
        ("%d{HH 'h}", 7, "this quote is not closed"),
        ("%d{HH}{Europe/Berlen}", 8, "unknown time zone `Europe/Berlen`: use `UTC`"),
    ] {
        let (found, problem) = problem(pattern);
        assert_eq!(found, column, "{pattern}: {problem}");
        assert!(problem.contains(remedy), "{pattern}: {problem}");
    }
}

proptest! {
    #[test]
    fn no_pattern_panics(pattern in "(%|[-0-9.{}\\[\\]dpcmnkXFfLlMCtPzHhrRoq' é]){0,16}") {
        if let Ok(mut layout) = Pattern::parse(&pattern) {
            layout.write(&Fixture::saying("é\n").inside("k", "v").event(), &mut String::new());
        }
    }

    #[test]
    fn any_message_is_one_line_from_which_it_comes_back(message in any::<String>()) {
        let mut fixture = Fixture::saying(&message);
        let line = line("%m%n", &mut fixture);
        let mut expected = String::new();
        fixture.event().message(&mut expected);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert_eq!(unescape(line.trim_end_matches('\n')), expected);
    }

    #[test]
    fn any_key_value_comes_back_from_its_line(value in any::<String>()) {
        let mut fixture = Fixture::saying("").with("k", Kind::STR, value.as_bytes());
        let all = line("%k%n", &mut fixture);
        prop_assert_eq!(unquote(all.strip_prefix(" k=").unwrap().trim_end_matches('\n')), &*value);
        let one = line("%k{k}", &mut fixture);
        prop_assert_eq!(unescape(&one), &*value);
    }
}

/// Text around the syntax of escapes, most of it plain.
fn hostile() -> impl Strategy<Value = String> {
    r#"([ -~]|[a-z]{1,20}|\\|u|\{|\}|5c|[0-9a-f]|"|\n|\t|\x1b|\u{202e}|é|日){0,6}"#
}

fn conversions() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let known = [
        "d", "p", "-5p", "7p", "c", "12c", "-12.3c", "m", "30m", ".9m", ".-9m", "F", "L", "05L",
        "M", "t", ".2t",
    ];
    prop::collection::vec((prop::sample::select(known.to_vec()), hostile()), 0..8)
}

/// What a conversion shows: its raw text cut, escaped, filled.
fn shown(conversion: &str, escaped: bool, raw: &str) -> String {
    let (width, _) = conversion.split_at(conversion.len() - 1);
    let (min, max) = width.split_once('.').unwrap_or((width, "1000"));
    let excess = |max: &str| raw.chars().count().saturating_sub(max.parse().unwrap());
    let cut: String = match max.strip_prefix('-') {
        Some(max) => raw.chars().skip(excess(max)).collect(),
        None => raw.chars().take(max.parse().unwrap()).collect(),
    };
    let mut text = String::new();
    match escaped {
        true => escape(&cut, &mut text),
        false => text = cut,
    }
    let blanks = |min: &str| min.parse::<usize>().unwrap_or(0);
    match (min.strip_prefix('-'), min.strip_prefix('0')) {
        (Some(min), _) => format!("{text:<0$}", blanks(min)),
        (None, Some(min)) => format!("{text:0>0$}", blanks(min)),
        (None, None) => format!("{text:>0$}", blanks(min)),
    }
}

proptest! {
    #[test]
    fn a_line_is_what_its_parts_show_one_by_one(
        conversions in conversions(),
        escaped: bool,
        literals in [hostile(), hostile(), hostile(), hostile()],
        (text, number, float, character) in (hostile(), any::<i64>(), any::<f64>(), any::<char>()),
        names in [hostile(), hostile(), hostile(), hostile()],
        time_ns in any::<i64>(),
    ) {
        let braces = |text: &str| text.replace('{', "{{").replace('}', "}}");
        let pattern = conversions
            .iter()
            .map(|(conversion, text)| format!("%{conversion}{}", text.replace('%', "%%").replace('{', "%{")));
        let mut layout = Pattern::parse(&pattern.collect::<String>()).unwrap().escape(escaped);
        let timestamp = jiff::Timestamp::from_nanosecond(time_ns.into()).unwrap();
        let date = timestamp.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();

        let [a, b, c, d] = &literals;
        let template = [braces(a), braces(b), braces(c), braces(d)].join("{}");
        let mut fixtures = [0, 1].map(|index: u32| {
            let mut fixture = Fixture::saying("")
                .with("0", Kind::STR, text.as_bytes())
                .with("1", Kind::I64, &number.to_le_bytes())
                .with("2", Kind::F64, &float.to_le_bytes())
                .with("3", Kind::CHAR, &u32::from(character).to_le_bytes());
            fixture.time_ns = time_ns;
            fixture.site.line = index;
            fixture.site.category = names[index as usize].as_str().into();
            fixture.site.module = names[2].as_str().into();
            fixture.thread.name = format!("t{}", names[3]).into();
            fixture.site.template = Template::parse(&format!("{template}{{:>9}}"));
            fixture
        });
        let message = format!("{a}{text}{b}{number}{c}{float}{d}{character:>9}");
        for (index, level) in [(0, Level::INFO), (1, Level::INFO), (0, Level::WARN), (0, Level::INFO)] {
            let fixture = &mut fixtures[index];
            fixture.level = level;
            let mut expected = String::new();
            for (conversion, text) in &conversions {
                let raw = match conversion.chars().last().unwrap() {
                    'd' => &*date,
                    'p' => level.name(),
                    'c' => &names[index],
                    'm' => &message,
                    'F' => "src/till.rs",
                    'L' => ["0", "1"][index],
                    'M' => &names[2],
                    _ => &*fixture.thread.name,
                };
                expected += &shown(conversion, escaped, raw);
                expected += text;
            }
            let (mut line, mut page) = (String::new(), Page::new());
            layout.write(&fixture.event(), &mut line);
            layout.write_page(&fixture.event(), &mut page);
            prop_assert_eq!(page.as_bytes(), line.as_bytes());
            prop_assert_eq!(line, expected);
        }
    }
}

/// A kind, whether the value may be absent, and the bytes of one, damaged ones among them.
fn values() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let bytes = |kind: Kind| move |bytes: Vec<u8>| (kind, bytes);
    let decimal =
        (any::<i32>(), 0..9).prop_map(|(units, decimals)| f64::from(units) / 10f64.powi(decimals));
    let fixed =
        (1..=14u8, any::<[u8; 16]>(), any::<bool>()).prop_map(|(number, bytes, is_small)| {
            let widths = [1, 2, 4, 8, 16, 1, 2, 4, 8, 16, 4, 8, 1, 4];
            let width = if is_small { 1 } else { 16 };
            let mut small = [0; 16];
            small[..width].copy_from_slice(&bytes[..width]);
            let kind = Kind::from_number(number).unwrap();
            (kind, small[..widths[usize::from(number) - 1]].to_vec())
        });
    let plain = prop_oneof![
        4 => hostile().prop_map(String::into_bytes).prop_map(bytes(Kind::STR)),
        4 => "[ -~]{0,40}".prop_map(String::into_bytes).prop_map(bytes(Kind::STR)),
        2 => "[a-z0-9.:]{0,40}".prop_map(String::into_bytes).prop_map(bytes(Kind::TEXT)),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(bytes(Kind::STR)),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(bytes(Kind::BYTES)),
        4 => decimal.prop_map(|float| (Kind::F64, float.to_le_bytes().to_vec())),
        2 => any::<f64>().prop_map(|float| (Kind::F64, float.to_le_bytes().to_vec())),
        1 => any::<f32>().prop_map(|float| (Kind::F32, float.to_le_bytes().to_vec())),
        1 => any::<bool>().prop_map(|truth| (Kind::BOOL, vec![truth.into()])),
        1 => any::<char>().prop_map(|c| (Kind::CHAR, u32::from(c).to_le_bytes().to_vec())),
        8 => fixed,
    ];
    (plain, prop::bool::weighted(0.05)).prop_map(|((kind, bytes), is_optional)| {
        (if is_optional { kind.optional() } else { kind }, bytes)
    })
}

fn any_pattern() -> impl Strategy<Value = String> {
    let known = [
        "%d",
        "%d",
        "%d{ABSOLUTE}",
        "%d{EPOCH_MS}",
        "%d{S' 'SSSSSS EEEE}{Europe/Berlin}",
        "%-40d",
        "%p",
        "%-5p",
        "%c",
        "%.3c",
        "%m",
        "%m",
        "%m",
        "%m%k",
        "%40m",
        "%.-9m",
        "%k",
        "%k{0}",
        "%9k",
        "%X",
        "%X{0}",
        "%F",
        "%L",
        "%M",
        "%t",
        "%P",
        "%H",
        "%05P",
        "%n",
        "%[%-5p%]",
        "%p{1}",
        "%F{1}:%o",
        "%M{1}",
        "%l",
        "%r",
        "%m{chomp}",
        "%m{indent}",
    ];
    let conversion = (prop::sample::select(known.to_vec()), hostile());
    prop::collection::vec(conversion, 0..8).prop_map(|conversions| {
        let text = |text: String| text.replace('%', "%%").replace('{', "%{");
        conversions.into_iter().map(|(known, literal)| known.to_owned() + &text(literal)).collect()
    })
}

/// A template that shows `count` values, with any texts between them.
fn template(texts: &[String], count: usize, shows: &str) -> String {
    let braces = |text: &str| text.replace('{', "{{").replace('}', "}}");
    let texts = texts.iter().cycle().take(count + 1).map(|text| braces(text));
    Vec::from_iter(texts).join(shows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_page_has_the_lines_that_a_string_has(
        pattern in any_pattern(),
        escaped: bool,
        texts in prop::collection::vec(hostile(), 1..6),
        is_simple in prop::bool::weighted(0.8),
        events in prop::collection::vec(
            (0..2_usize, any::<i64>(), prop::collection::vec(values(), 0..12)), 1..4,
        ),
        slots in 0..8_usize,
        names in prop::collection::vec(prop_oneof![hostile(), "[a-z]{0,8}"], 12),
        long in "[a-z]{0,300}",
    ) {
        let mut layout = Pattern::parse(&pattern).unwrap().escape(escaped);
        let shows = if is_simple { "{}" } else { "{:>3}" };
        let site = |index: usize| {
            let mut site = Fixture::saying("").site;
            site.category = names[index].as_str().into();
            site.file = names[index + 2].as_str().into();
            site.template = Template::parse(&template(&texts, slots, shows));
            site.names = names.iter().map(|name| name.as_str().into()).collect();
            site
        };
        let sites = [site(0), site(1)];
        let (mut text, mut page) = (String::new(), Page::new());
        for (site, time_ns, values) in events {
            let mut fixture = Fixture::saying("").inside(&names[4], &names[5]).inside("0", &long);
            fixture.time_ns = time_ns;
            fixture.thread.name = texts[0].as_str().into();
            fixture.source.host = texts[0].as_str().into();
            for (kind, bytes) in &values {
                fixture = fixture.with("", *kind, bytes);
            }
            // A site that has more names than this event has values, and keeps its number.
            let few = Event { site: &sites[site], ..fixture.event() };
            for _ in 0..2 {
                layout.write(&few, &mut text);
                layout.write_page(&few, &mut page);
            }
            let mut own = sites[site].clone();
            own.names = own.names.iter().take(values.len()).cloned().collect();
            let all = Event { site: &own, ..few };
            layout.write(&all, &mut text);
            layout.write_page(&all, &mut page);
            prop_assert_eq!(String::from_utf8_lossy(page.as_bytes()), &*text);
        }
    }
}

/// The value that `%k` wrote: a bare one is itself.
fn unquote(word: &str) -> String {
    let Some(inner) = word.strip_prefix('"') else { return word.to_owned() };
    let mut plain = String::new();
    let mut characters = inner.strip_suffix('"').unwrap().chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits = characters.by_ref().skip(1).take_while(|&c| c != '}');
                    let code = u32::from_str_radix(&digits.collect::<String>(), 16).unwrap();
                    char::from_u32(code).unwrap()
                }
                itself => itself,
            },
            plain => plain,
        });
    }
    plain
}
