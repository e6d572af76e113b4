//! A warp changes what one appender sees of a message, and nothing else. Expected texts are those of
//! Log4perl where it does the same.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollway::appender::{self, Callback, Console, Memory, Open, Writer};
use rollway::layout::{Json, Layout, Pattern};
use rollway::route::composite::CompositeError;
use rollway::value::{Scalar, Value};
use rollway::warp::{Warp, Warps};
use rollway::{InitError, Logger, info};
use support::watchdog;

/// An appender of chunks, and what it got: `[first,second]` for each event.
fn chunks() -> (Callback, Arc<Mutex<String>>) {
    let taken = Arc::new(Mutex::new(String::new()));
    let taking = Arc::clone(&taken);
    let callback = Callback::each(move |event| {
        let chunks: Vec<_> = event.chunks().map(|chunk| chunk.to_string()).collect();
        *taking.lock().unwrap() += &format!("[{}]", chunks.join(","));
    });
    (callback, taken)
}

fn log_all(logger: &Logger) {
    info!(logger: logger, "{}{}{}", "10.0.0.1", "joe", "signed in");
    info!(logger: logger, "{}", "one");
    info!(logger: logger, "{}{}{}{}{}", 1, 2, 3, 4, 5);
}

/// Runs an engine with these appenders until all that `log` logs has arrived.
fn run(appenders: Vec<(&str, Box<dyn Open>)>, log: impl FnOnce(&Logger)) {
    let _watchdog = watchdog();
    let mut builder = rollway::builder();
    for (name, appender) in appenders {
        builder = builder.boxed_appender(name, appender);
    }
    let guard = builder.start().unwrap();
    log(guard.logger());
    assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);
}

/// What an appender of chunks gets behind a warp.
fn taken(warp: Warp) -> String {
    let (callback, taken) = chunks();
    run(vec![("a", Box::new(appender::with(callback).warp(warp)))], log_all);
    let taken = taken.lock().unwrap();
    taken.clone()
}

/// What an appender of text gets with and without a warp.
fn messages(warp: Option<Warp>) -> Vec<String> {
    let memory = Memory::new();
    let appender: Box<dyn Open> = match warp {
        Some(warp) => Box::new(appender::with(memory.clone()).warp(warp)),
        None => Box::new(memory.clone()),
    };
    run(vec![("a", appender)], log_all);
    memory.messages()
}

#[test]
fn without_a_warp_chunks_are_joined_with_nothing_between() {
    assert_eq!(messages(None), ["10.0.0.1joesigned in", "one", "12345"]);
    assert_eq!(messages(Some(Warp::join(""))), messages(None));
}

#[test]
fn a_separator_stands_between_any_two_chunks() {
    let expected = ["10.0.0.1,joe,signed in", "one", "1,2,3,4,5"];
    assert_eq!(messages(Some(Warp::join(","))), expected);
}

#[test]
fn passed_chunks_reach_an_appender_that_takes_them() {
    assert_eq!(taken(Warp::pass()), "[10.0.0.1,joe,signed in][one][1,2,3,4,5]");
}

#[test]
fn an_event_in_memory_has_its_chunks_with_their_types() {
    let memory = Memory::new();
    run(vec![("a", Box::new(appender::with(memory.clone()).warp(Warp::pass())))], |logger| {
        let (user, none) = ("ada", None::<u8>);
        info!(logger: logger, "{:>4}|{user} {:?} {}{:?}", -3_i16, 1.5_f32, 'c', none);
    });
    let event = memory.replay().remove(0);
    assert_eq!(event.message, "  -3|ada 1.5 cNone");
    let shown: Vec<_> = event.chunks.iter().map(|chunk| chunk.text()).collect();
    assert_eq!(shown, ["  -3", "|", "ada", " ", "1.5", " ", "c", "None"]);
    let values: Vec<_> = event.chunks.iter().map(|chunk| chunk.value()).collect();
    let plain = |scalar| Some(Value::Plain(scalar));
    let expected = [
        plain(Scalar::I16(-3)),
        None,
        plain(Scalar::Str("ada")),
        None,
        plain(Scalar::F32(1.5)),
        None,
        plain(Scalar::Char('c')),
        Some(Value::None),
    ];
    assert_eq!(values, expected);
}

#[test]
fn a_json_layout_may_be_passed_chunks_and_writes_them_as_an_array() {
    let memory = Memory::new().layout(Json::new().message_chunks(true));
    run(vec![("a", Box::new(appender::with(memory.clone()).warp(Warp::pass())))], |logger| {
        info!(logger: logger, "{} by {user}", 3, user = "ada");
    });
    assert!(memory.text().contains(r#""message":[3," by ","ada"]"#), "{}", memory.text());
    // Where the layout decides, it is asked.
    let passed = |layout: Json| {
        let writer = Writer::new(std::io::sink()).layout(layout);
        rollway::builder().appender("w", appender::with(writer).warp(Warp::pass())).start()
    };
    assert!(passed(Json::new().message_chunks(true)).is_ok());
    assert!(passed(Json::new()).is_err());
}

#[test]
fn chunks_fill_the_columns_of_a_table_beside_what_patterns_show() {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let (filling, mut level, mut category) =
        (Arc::clone(&rows), Pattern::parse("%p").unwrap(), Pattern::parse("%c{1}").unwrap());
    let table = Callback::each(move |event| {
        let mut row = [(); 4].map(|()| String::new());
        level.write(event, &mut row[0]);
        category.write(event, &mut row[2]);
        // What is missing stays empty.
        for (column, chunk) in [1, 3].into_iter().zip(event.chunks()) {
            row[column] = chunk.to_string();
        }
        filling.lock().unwrap().push(row);
    });
    run(vec![("table", Box::new(appender::with(table).warp(Warp::pass())))], |logger| {
        info!(logger: logger, target: "shop::till", "{}{}", "ada", 7);
        rollway::error!(logger: logger, target: "shop", "{}", "joe");
    });
    let expected = [["INFO", "ada", "till", "7"], ["ERROR", "joe", "shop", ""]];
    assert_eq!(*rows.lock().unwrap(), expected);
}

#[test]
fn a_function_by_name_makes_other_chunks() {
    let warps = Warps::new();
    let limited = taken(warps.get("limit:3").unwrap());
    assert_eq!(limited, "[10.0.0.1,joe,signed in][one][1,2,3]");
    let counted = taken(warps.get("prepend_counter").unwrap());
    assert_eq!(counted, "[1,10.0.0.1,joe,signed in][2,one][3,1,2,3,4,5]");
}

#[test]
fn a_warp_of_one_appender_is_none_of_another() {
    let (callback, taken) = chunks();
    let counter = Warps::new().get("prepend_counter").unwrap();
    let plain = Memory::new().layout(Pattern::parse("%p - %m%n").unwrap());
    run(
        vec![
            ("a", Box::new(appender::with(callback).warp(counter))),
            ("b", Box::new(plain.clone())),
        ],
        |logger| info!(logger: logger, "{}{}", "x", "y"),
    );
    assert_eq!(*taken.lock().unwrap(), "[1,x,y]");
    assert_eq!(plain.text(), "INFO - xy\n");
}

#[test]
fn a_layout_writes_what_the_warp_has_made() {
    let memory = Memory::new().layout(Pattern::parse("%m%n").unwrap());
    let warp = Warp::function("shout", |chunks| {
        let loud = chunks.iter().map(|chunk| chunk.to_string().to_uppercase().into());
        *chunks = loud.collect();
    });
    run(vec![("a", Box::new(appender::with(memory.clone()).warp(warp)))], log_all);
    assert_eq!(memory.text(), "10.0.0.1JOESIGNED IN\nONE\n12345\n");
}

#[test]
fn chunks_for_what_takes_text_only_are_refused_at_the_start() {
    let gated = appender::with(Console::stdout()).warp(Warp::pass());
    let error = rollway::builder().appender("file", gated).start().unwrap_err();
    assert!(matches!(error, InitError::Composite(CompositeError::Warp(_))), "{error:?}");
    let expected =
        "appender `file` takes text only and cannot be passed chunks; use the warp `join`";
    assert_eq!(error.to_string(), expected);
}
