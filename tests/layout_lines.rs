//! Lines as they come out of the engine: the place of a call, and one event in many layouts.

mod support;

use std::path::Path;
use std::time::Duration;

use rollway::appender::File;
use rollway::layout::{Ecs, Json, Layout, Letters, Logfmt, OpenTelemetry, Pattern, from_fn};
use rollway::{Guard, Logger};
use support::{lines, watchdog};

/// An engine that writes a file for each layout; `poll` and shutdown see to the rest.
fn start(dir: &Path, layouts: Vec<(&str, Box<dyn Layout>)>) -> Guard {
    let mut builder = rollway::builder().wait(rollway::WaitStrategy::Manual);
    for (name, layout) in layouts {
        builder = builder.appender(name, File::new(dir.join(name)).boxed_layout(layout));
    }
    builder.start().unwrap()
}

fn stop(guard: Guard) {
    let report = guard.shutdown(Duration::from_secs(20));
    assert_eq!(report.left(), 0);
}

mod inner {
    pub(super) fn method(logger: &rollway::Logger) -> u32 {
        rollway::info!(logger: logger, "method");
        line!() - 1
    }
}

macro_rules! wrapped {
    ($logger:expr) => {
        rollway::info!(logger: $logger, "through a macro")
    };
}

fn plain(logger: &Logger) -> u32 {
    rollway::info!(logger: logger, "plain function");
    line!() - 1
}

#[test]
fn the_place_of_a_call_is_where_it_stands_in_the_source() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let layout = Pattern::parse("%F{1}:%L %M %m%n").unwrap();
    let guard = start(dir.path(), vec![("log", Box::new(layout))]);
    let logger = guard.logger();
    let mut expected = Vec::new();
    let mut expect = |line: u32, module: &str, message: &str| {
        expected.push(format!("layout_lines.rs:{line} layout_lines{module} {message}"));
    };

    expect(plain(logger), "", "plain function");
    let closure = || {
        rollway::info!(logger: logger, "closure");
        line!() - 1
    };
    expect(closure(), "", "closure");
    expect(inner::method(logger), "::inner", "method");
    rollway::info!(
        logger: logger,
        "spread over {} lines",
        4,
    );
    expect(line!() - 5, "", "spread over 4 lines");
    for turn in 0..2 {
        rollway::warn!(logger: logger, "turn {turn}");
        expect(line!() - 1, "", &format!("turn {turn}"));
    }
    // A macro of one's own shows where it is used, as its code is put there.
    wrapped!(logger);
    expect(line!() - 1, "", "through a macro");

    stop(guard);
    assert_eq!(lines(&dir.path().join("log")), expected);
}

#[test]
fn the_place_of_a_call_is_right_while_and_after_another_configuration_comes() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let layout = Pattern::parse("%F{1}:%L %m%n").unwrap();
    let described = rollway::builder().appender("log", File::new(&path).layout(layout));
    let guard = described.clone().start().unwrap();
    let say = || {
        rollway::debug!(logger: guard.logger(), "refused, then taken");
        rollway::info!(logger: guard.logger(), "taken");
        line!()
    };
    let line = say();
    guard.logger().reload(described.level(rollway::Level::DEBUG)).unwrap();
    say();
    stop(guard);
    let taken = format!("layout_lines.rs:{} taken", line - 1);
    let refused = format!("layout_lines.rs:{} refused, then taken", line - 2);
    assert_eq!(lines(&path), [taken.clone(), refused, taken]);
}

#[test]
fn an_event_is_written_in_as_many_layouts_as_there_are() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let letters = Letters::new().letter('K', |event, argument, out| {
        let found = event.pairs().find(|(key, _)| Some(*key) == argument);
        out.push_str(if found.is_some() { "yes" } else { "no" });
    });
    let own = Pattern::parse_with("%K{till} %K{door} %x %m%n", &letters.unwrap()).unwrap();
    let count = from_fn(1, |event, out| {
        out.push_str(&format!("{} {}\n", event.level, event.pairs().count()));
    });
    let lines_of_a_message = Pattern::parse("%p> %m%n").unwrap().multiline(true);
    let guard = start(
        dir.path(),
        vec![
            ("brief", Box::new(Pattern::brief())),
            ("coloured", Box::new(Pattern::parse("%[%p%] %m%n").unwrap())),
            ("own", Box::new(own)),
            ("multiline", Box::new(lines_of_a_message)),
            ("logfmt", Box::new(Logfmt::new())),
            ("json", Box::new(Json::new().hide("time").unwrap().hide("category").unwrap())),
            ("ecs", Box::new(Ecs::new())),
            ("otel", Box::new(OpenTelemetry::new())),
            ("count", Box::new(count)),
        ],
    );
    {
        let _text = rollway::ndc("order 7");
        rollway::error!(logger: guard.logger(), till = 7; "sold\n{} apples", 3);
    }
    stop(guard);

    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(text("brief"), "ERROR - sold\\u{a}3 apples till=7\n");
    assert_eq!(text("coloured"), "\x1b[91mERROR\x1b[39m sold\\u{a}3 apples\n");
    assert_eq!(text("own"), "yes no order 7 sold\\u{a}3 apples\n");
    assert_eq!(text("multiline"), "ERROR> sold\nERROR> 3 apples\n");
    assert_eq!(text("count"), "ERROR 1\n");
    let logfmt = text("logfmt");
    let end = " category=layout_lines message=\"sold\\n3 apples\" till=7 ndc=\"order 7\"\n";
    assert!(logfmt.ends_with(end), "{logfmt}");
    let json =
        r#"{"level":"ERROR","message":"sold\n3 apples","fields":{"till":7},"ndc":["order 7"]}"#;
    assert_eq!(text("json"), format!("{json}\n"));
    let parsed = |name| serde_json::from_str::<serde_json::Value>(&text(name)).unwrap();
    assert_eq!(parsed("ecs")["labels"]["till"], "7");
    assert_eq!(parsed("ecs")["message"], "sold\n3 apples");
    assert_eq!(parsed("otel")["attributes"]["till"], 7);
    assert_eq!(parsed("otel")["severityNumber"], 17);
}
