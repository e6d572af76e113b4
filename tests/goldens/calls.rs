//! Log calls: what becomes of their values, and where they are.

#[path = "lines/17-caller-location.rs"]
#[rustfmt::skip]
mod main;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rollway::appender::{self, Callback, Memory};
use rollway::template::Chunk;
use rollway::warp::{Warp, Warps};
use rollway::{Guard, Level, LevelFilter, log};

use crate::golden::{Golden, placed, shown};
use crate::running::raw;
use crate::support::{PATIENCE, watchdog};

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

#[test]
fn a_log_call_is_where_it_is_written_and_a_macro_where_it_is_called() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("17-caller-location") else { return };
    let golden = golden.without_sub("locations", 1);
    let memory = Memory::new().layout(raw("%F{1}:%L %M %C{2} %m%n"));
    let builder = rollway::builder().level(LevelFilter::ALL);
    let guard = builder.appender("A", memory.clone()).start().unwrap();
    main::run(guard.logger());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    // The module of the script is one of this module.
    let text = memory.text().replace(" calls::main ", " main ");
    golden.compare(placed("locations", &text, 1));
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
