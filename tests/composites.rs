//! Filters, buffers, limits and locks between categories and appenders, in a running engine.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rollway::appender::{self, Callback, Console, Forwarder};
use rollway::route::composite::{Buffer, Filtered, Limit, Synchronized};
use rollway::route::filter::{
    Boolean, Category, Filter, KeyValue, LevelMatch, LevelRange, Mdc, Regex, Text, Verdict, from_fn,
};
use rollway::warp::Warp;
use rollway::{Builder, Guard, Level, Logger, Mask, OutletStats};

use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

const HOUR: Duration = Duration::from_secs(3600);

fn builder() -> Builder {
    rollway::builder().level(Level::TRACE).flush_timeout(PATIENCE)
}

fn log(guard: &Guard, level: Level, message: &str) {
    rollway::log!(logger: guard.logger(), level, "{message}");
}

fn stats(guard: &Guard, appender: &str) -> OutletStats {
    let stats = guard.stats();
    stats.appenders.into_iter().find(|outlet| outlet.name == appender).unwrap()
}

#[test]
fn an_appender_gets_what_its_threshold_and_filters_let_pass() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let appender = appender::with(message_file(&path))
        .threshold(Level::INFO)
        .filter(Text::new(["HEARTBEAT"]).ignore_case().reject());
    let guard = builder().appender("file", appender).start().unwrap();
    log(&guard, Level::DEBUG, "too low");
    log(&guard, Level::INFO, "kept");
    log(&guard, Level::INFO, "a heartbeat");
    log(&guard, Level::ERROR, "kept, too");
    guard.flush().unwrap();
    assert_eq!(lines(&path), ["kept", "kept, too"]);
    let stats = stats(&guard, "file");
    assert_eq!((stats.delivered, stats.filtered), (2, 2));
}

#[test]
fn masks_and_warps_change_what_their_own_appender_shows() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let guard = builder()
        .mask(Mask::new().key("password"))
        .appender("plain", message_file(&path("plain")))
        .appender(
            "own",
            appender::with(message_file(&path("own")))
                .mask(Mask::new().key("user"))
                .warp(Warp::join("|")),
        )
        .composite("buffer", Buffer::new(["own"]))
        .start()
        .unwrap();
    let (user, password) = ("joe", "secret");
    rollway::info!(logger: guard.logger(), "in {user} {password}");
    guard.shutdown(PATIENCE);
    assert_eq!(lines(&path("plain")), ["in joe [masked]"]);
    assert_eq!(lines(&path("own")), ["in |[masked]| |[masked]"]);
    let passed = appender::with(message_file(&path("passed"))).warp(Warp::pass());
    let error = builder().appender("passed", passed).start().unwrap_err().to_string();
    assert!(error.contains("appender `passed` takes text only"), "{error}");
}

#[test]
fn filter_composites_share_events_out_by_level_category_and_text() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let guard = builder()
        // The composites name relays that come behind them.
        .composite(
            "debugging",
            Filtered::new(["low"]).filter(LevelRange::new(Level::TRACE, Level::DEBUG)),
        )
        .composite("grave", Filtered::new(["high", "both"]).threshold(Level::ERROR))
        .composite("shop", Filtered::new(["both"]).filter(Category::below(["shop"])))
        .appender("low", message_file(&path("low")))
        .appender("high", message_file(&path("high")))
        .appender("both", message_file(&path("both")))
        .appender("all", message_file(&path("all")))
        .start()
        .unwrap();
    let logger = guard.logger();
    rollway::trace!(logger: logger, target: "shop::till", "t");
    rollway::debug!(logger: logger, target: "other", "d");
    rollway::error!(logger: logger, target: "shop", "e");
    rollway::error!(logger: logger, target: "other", "f");
    guard.flush().unwrap();
    assert_eq!(lines(&path("low")), ["t", "d"]);
    assert_eq!(lines(&path("high")), ["e", "f"]);
    assert_eq!(lines(&path("both")), ["t", "e", "f"]);
    assert_eq!(lines(&path("all")), ["t", "d", "e", "f"]);
}

#[test]
fn each_filter_passes_what_it_is_made_for() {
    let _watchdog = watchdog();
    let named = |name: &str| -> Option<Arc<dyn Filter>> {
        Some(match name {
            "m1" => Arc::new(Text::new(["bread"])),
            "m2" => Arc::new(Text::new(["roll"])),
            "m3" => Arc::new(Mdc::equal("user", "test")),
            _ => return None,
        })
    };
    let loud = from_fn(|event| {
        let mut message = String::new();
        event.message(&mut message);
        match event.level >= Level::ERROR && !message.contains("bread") {
            true => Verdict::Accept,
            false => Verdict::Reject,
        }
    });
    let cases: Vec<(Arc<dyn Filter>, &[u8])> = vec![
        (Arc::new(LevelMatch::new(Level::WARN)), &[3]),
        (Arc::new(LevelMatch::new(Level::WARN).reject()), &[1, 2, 4, 5]),
        (Arc::new(LevelRange::new(Level::INFO, Level::ERROR)), &[2, 3, 4]),
        (Arc::new(LevelRange::new(Level::INFO, Level::ERROR).reject()), &[1, 5]),
        (Arc::new(Category::exactly(["shop", "bank"]).reject()), &[1, 4]),
        (Arc::new(Category::below(["shop"])), &[1, 2, 4]),
        (Arc::new(Text::new(["BREAD", "99", ""]).ignore_case().reject()), &[2, 4]),
        (Arc::new(Regex::new("^bread|42").unwrap()), &[1, 4]),
        (Arc::new(Mdc::equal("user", "test")), &[3, 4]),
        (Arc::new(Mdc::matching("user", "^te").unwrap().reject()), &[1, 2, 5]),
        (Arc::new(KeyValue::equal("number", "5")), &[5]),
        (Arc::new(Boolean::parse("!m3 && (m1 || m2)", named).unwrap()), &[1, 2, 5]),
        (Arc::new(loud), &[4]),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = |index: usize| dir.path().join(index.to_string());
    let mut builder = builder();
    for (index, (filter, _)) in cases.iter().enumerate() {
        let gated = appender::with(message_file(&path(index))).filter(Arc::clone(filter));
        builder = builder.appender(index.to_string(), gated);
    }
    let guard = builder.start().unwrap();
    let events = [
        (Level::DEBUG, "shop::till", "joe", "bread 42"),
        (Level::INFO, "shop", "joe", "a roll"),
        (Level::WARN, "bank", "test", "Bread"),
        (Level::ERROR, "shop::till::drawer", "test", "roll 42"),
        (Level::FATAL, "bank", "joe", "roll, no bread, 1999"),
    ];
    for (number, (level, target, user, what)) in (1..).zip(events) {
        let _user = rollway::mdc("user", user);
        rollway::log!(logger: guard.logger(), target: target, level, number; "{what}");
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    for (index, (_, expected)) in cases.iter().enumerate() {
        let expected: Vec<_> = expected.iter().map(|n| events[usize::from(n - 1)].3).collect();
        assert_eq!(lines(&path(index)), expected, "case {index}");
    }
}

#[test]
fn a_buffer_hands_on_what_led_to_an_error() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .appender("file", message_file(&path))
        .composite("buffer", Buffer::new(["file"]).max_events(2).trigger_level(Level::ERROR))
        .start()
        .unwrap();
    log(&guard, Level::DEBUG, "1");
    log(&guard, Level::INFO, "2");
    log(&guard, Level::INFO, "3");
    // A flush does not wait for what is held on purpose, and does not hand it on.
    guard.flush().unwrap();
    assert!(lines(&path).is_empty());
    let held = stats(&guard, "file");
    assert_eq!((held.held, held.suppressed, held.delivered), (2, 1, 0));
    log(&guard, Level::ERROR, "4");
    log(&guard, Level::INFO, "5");
    guard.flush().unwrap();
    assert_eq!(lines(&path), ["2", "3", "4"]);
    // The end hands on the rest.
    let report = guard.shutdown(PATIENCE);
    assert_eq!(lines(&path), ["2", "3", "4", "5"]);
    assert_eq!(report.left(), 0);
}

#[test]
fn a_closure_can_trigger_a_buffer() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let buffer = Buffer::new(["file"]).trigger(|event| &*event.site.category == "alarm");
    let guard = builder()
        .appender("file", message_file(&path))
        .composite("buffer", buffer.flush_at_shutdown(false))
        .start()
        .unwrap();
    let logger = guard.logger();
    rollway::info!(logger: logger, target: "a", "1");
    rollway::info!(logger: logger, target: "alarm", "2");
    rollway::info!(logger: logger, target: "a", "3");
    let report = guard.shutdown(PATIENCE);
    assert_eq!(lines(&path), ["1", "2"]);
    assert_eq!(report.left(), 1);
}

#[test]
fn what_a_relay_would_refuse_never_waits() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .appender("file", appender::with(message_file(&path)).threshold(Level::ERROR))
        .composite("limit", Limit::new(["file"]).period(HOUR))
        .start()
        .unwrap();
    log(&guard, Level::ERROR, "e1");
    log(&guard, Level::INFO, "refused by the relay");
    log(&guard, Level::ERROR, "e2");
    guard.flush().unwrap();
    assert_eq!(lines(&path), ["e1"]);
    let counts = stats(&guard, "file");
    assert_eq!((counts.held, counts.filtered, counts.delivered), (1, 1, 1));
    guard.logger().release("limit").unwrap();
    assert_eq!(lines(&path), ["e1", "e2"]);
    // A second time there is nothing.
    guard.logger().release("limit").unwrap();
    assert_eq!(lines(&path), ["e1", "e2"]);
    let error = guard.logger().release("file").unwrap_err();
    assert!(error.to_string().contains("no composite `file`"), "{error}");
}

// AP-29.
#[test]
fn what_is_held_is_written_whatever_its_level_has_become() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .appender("file", message_file(&path))
        .composite("limit", Limit::new(["file"]).period(HOUR))
        .start()
        .unwrap();
    ["1", "2", "3"].iter().for_each(|message| log(&guard, Level::INFO, message));
    guard.flush().unwrap();
    guard.logger().set_level(Level::FATAL);
    log(&guard, Level::INFO, "switched off");
    guard.logger().release("limit").unwrap();
    assert_eq!(lines(&path), ["1", "2", "3"]);
}

#[test]
fn an_event_that_waited_has_the_time_and_place_of_its_log_call() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let layout = || rollway::layout::Pattern::parse("%d{EPOCH_NS} %F:%L %t %X{user} %m%n").unwrap();
    let file = |name: &str| rollway::appender::File::new(path(name)).layout(layout());
    let guard = builder()
        .appender("direct", file("direct"))
        .appender("late", file("late"))
        .composite("buffer", Buffer::new(["late"]))
        .composite("twice", Filtered::new(["buffer"]))
        .route("", ["direct", "twice"])
        .start()
        .unwrap();
    for number in 0..20 {
        let _user = rollway::mdc("user", number);
        rollway::info!(logger: guard.logger(), "event {number}");
    }
    let release = std::thread::spawn({
        let logger = guard.logger().clone();
        move || logger.release("buffer")
    });
    release.join().unwrap().unwrap();
    assert_eq!(lines(&path("late")).len(), 20);
    // A release waits for its relays alone.
    guard.flush().unwrap();
    assert_eq!(lines(&path("late")), lines(&path("direct")));
}

#[test]
fn an_event_that_waited_keeps_its_time_and_place_behind_rejected_ones_and_a_reload() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let layout = || rollway::layout::Pattern::parse("%d{EPOCH_NS} %F:%L %m%n").unwrap();
    let file = |name: &str| rollway::appender::File::new(path(name)).layout(layout());
    let not = |word: &str| Text::new([word]).reject();
    let described = builder()
        .appender("direct", file("direct"))
        .appender("late", appender::with(file("late")).filter(not("the appender")))
        .route("", ["direct", "buffer"]);
    let buffer = || Buffer::new(["late"]).filter(not("the buffer"));
    let buffered = described.clone().composite("buffer", buffer());
    let guard = buffered.clone().start().unwrap();
    let logger = guard.logger();

    rollway::info!(logger: logger, "refused by the buffer");
    rollway::info!(logger: logger, "one");
    rollway::info!(logger: logger, "refused by the appender");
    guard.flush().unwrap();
    // The same description: what is held stays held.
    let reloaded = logger.reload(buffered.level(Level::DEBUG)).unwrap();
    assert_eq!((reloaded.unchanged.len(), stats(&guard, "late").held), (2, 1));
    rollway::info!(logger: logger, "two");
    rollway::info!(logger: logger, "refused by the buffer");
    guard.logger().release("buffer").unwrap();
    // It waits for the relays alone.
    let late = lines(&path("late"));
    guard.flush().unwrap();
    let passed = || {
        let mut direct = lines(&path("direct"));
        direct.retain(|line| !line.contains("refused"));
        direct
    };
    assert_eq!((late, passed().len()), (passed(), 2));

    let line = line!() + 1;
    rollway::info!(logger: logger, "three");
    guard.flush().unwrap();
    assert_eq!(stats(&guard, "late").held, 1);
    // Another description: what is held is handed on.
    let changed = described.composite("buffer", buffer().max_events(7));
    assert_eq!(logger.reload(changed).unwrap().changed, ["late"]);
    assert_eq!((lines(&path("late")), passed().len()), (passed(), 3));
    assert!(passed()[2].ends_with(&format!(" {}:{line} three", file!())));
}

#[test]
fn a_limit_without_accumulation_drops_and_counts() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .appender("file", message_file(&path))
        .composite("limit", Limit::new(["file"]).period(HOUR).accumulate(false))
        .start()
        .unwrap();
    (0..5).for_each(|number| log(&guard, Level::INFO, &number.to_string()));
    guard.flush().unwrap();
    assert_eq!(stats(&guard, "file").suppressed, 4);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&path), ["0"]);
}

#[test]
fn many_held_events_come_out_whole_and_in_order() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .journal_dir(dir.path().join("journal"))
        .appender("file", message_file(&path))
        .composite("buffer", Buffer::new(["file"]).max_events(20_000).trigger_level(Level::ERROR))
        .start()
        .unwrap();
    for number in 0..30_000 {
        log(&guard, Level::INFO, &number.to_string());
    }
    log(&guard, Level::ERROR, "30000");
    guard.flush().unwrap();
    let expected: Vec<_> = (10_000..=30_000).map(|number| number.to_string()).collect();
    assert_eq!(lines(&path), expected);
}

#[test]
fn a_journal_that_needs_the_room_gets_what_is_held_out_early() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let guard = builder()
        .journal_max_bytes(16 << 20)
        .appender("file", message_file(&path))
        .composite("buffer", Buffer::new(["file"]).flush_at_shutdown(false))
        .start()
        .unwrap();
    let filler = "x".repeat(10_000);
    for number in 0..5000 {
        log(&guard, Level::INFO, &format!("{number} {filler}"));
    }
    guard.flush().unwrap();
    assert!(stats(&guard, "file").released_early > 0);
    guard.logger().release("buffer").unwrap();
    let numbers: Vec<i32> =
        lines(&path).iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..5000).collect::<Vec<i32>>());
}

#[test]
fn composites_that_cannot_be_resolved_are_refused_at_the_start() {
    let refused = |builder: Builder| builder.start().unwrap_err().to_string();
    let error = refused(
        builder().composite("a", Filtered::new(["fiel"])).appender("file", Console::stdout()),
    );
    assert!(error.contains("did you mean `file`?"), "{error}");
    let error = refused(builder().composite("a", Filtered::new(["a"])));
    assert!(error.contains("`a` → `a`"), "{error}");
    let buffered =
        builder().appender("file", Console::stdout()).composite("b", Buffer::new(["file"]));
    let error = refused(buffered.route("", ["file", "b"]));
    assert!(error.contains("holds them back"), "{error}");
    let master = appender::with(Forwarder::new("localhost:1")).threshold(Level::WARN);
    let error = refused(builder().appender("master", master));
    assert!(error.contains("ships whole blocks"), "{error}");
}

/// What the child logs before it is killed, or at its next start.
fn run(dir: &Path, path: &Path, composite: &str) -> Guard {
    let builder = builder().journal_dir(dir).appender("file", message_file(path));
    let builder = match composite {
        "buffer" => builder.composite(
            "hold",
            Buffer::new(["file"])
                .max_events(3)
                .trigger_level(Level::ERROR)
                .flush_at_shutdown(false),
        ),
        _ => builder.composite("hold", Limit::new(["file"]).period(HOUR).max_until_flushed(4)),
    };
    builder.start().unwrap()
}

/// Kills a child once it has logged `events`, each a level's first letter and a text.
fn killed_after(test: &str, dir: &Path, composite: &str, events: &[&str], released: bool) {
    let mut child = child::command(test, "log")
        .env("DIR", dir)
        .env("COMPOSITE", composite)
        .env("EVENTS", events.join(","))
        .env("RELEASED", released.to_string())
        .spawn()
        .unwrap();
    wait_until("the child has logged", || dir.join("logged").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(dir.join("logged")).unwrap();
}

fn play_log() {
    let dir = child::variable("DIR");
    let dir = Path::new(&dir);
    let guard = run(&dir.join("journal"), &dir.join("log"), &child::variable("COMPOSITE"));
    for event in child::variable("EVENTS").split(',').filter(|event| !event.is_empty()) {
        let level = if event.starts_with('E') { Level::ERROR } else { Level::INFO };
        log(&guard, level, event);
    }
    guard.flush().unwrap();
    if child::variable("RELEASED") == "true" {
        guard.logger().release("hold").unwrap();
    }
    std::fs::write(dir.join("logged"), "").unwrap();
    loop {
        std::thread::sleep(HOUR);
    }
}

#[test]
fn what_a_buffer_held_at_a_kill_is_held_at_the_next_start() {
    if child::part().is_some() {
        return play_log();
    }
    let _watchdog = watchdog();
    let test = "what_a_buffer_held_at_a_kill_is_held_at_the_next_start";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let killed =
        |events: &[&str], released| killed_after(test, dir.path(), "buffer", events, released);
    killed(&["I1", "I2", "I3", "I4"], false);
    assert!(lines(&path).is_empty());
    killed(&["E5", "I6"], false);
    assert_eq!(lines(&path), ["I2", "I3", "I4", "E5"]);
    killed(&["I7"], true);
    assert_eq!(lines(&path)[4..], ["I6", "I7"]);
    killed(&[], false);
    let guard = run(&dir.path().join("journal"), &path, "buffer");
    (8..12).for_each(|number| log(&guard, Level::INFO, &format!("I{number}")));
    log(&guard, Level::ERROR, "E12");
    guard.shutdown(PATIENCE);
    assert_eq!(lines(&path), ["I2", "I3", "I4", "E5", "I6", "I7", "I9", "I10", "I11", "E12"]);
}

#[test]
fn a_limit_goes_on_with_its_period_after_a_kill() {
    if child::part().is_some() {
        return play_log();
    }
    let _watchdog = watchdog();
    let test = "a_limit_goes_on_with_its_period_after_a_kill";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let killed =
        |events: &[&str], released| killed_after(test, dir.path(), "limit", events, released);
    killed(&["1", "2"], false);
    assert_eq!(lines(&path), ["1"]);
    killed(&["3"], false);
    // A start in which nothing comes decides nothing.
    killed(&[], false);
    assert_eq!(lines(&path), ["1"]);
    killed(&["4"], true);
    assert_eq!(lines(&path), ["1", "2", "3", "4"]);
    let guard = run(&dir.path().join("journal"), &path, "limit");
    ["5", "6", "7", "8", "9"].iter().for_each(|event| log(&guard, Level::INFO, event));
    guard.flush().unwrap();
    assert_eq!(stats(&guard, "file").held, 1);
    // Held for the next start.
    assert_eq!(guard.shutdown(PATIENCE).left(), 1);
    assert_eq!(lines(&path), ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

/// Writes its lines one byte at a time.
struct Creeping(std::fs::File);

impl appender::Open for Creeping {
    fn open(&self, place: &appender::Place<'_>) -> Result<appender::Opened, appender::OpenError> {
        let file = self.0.try_clone().unwrap();
        Ok(appender::Opened::Events(Box::new(Creeper { file, settled: place.begin })))
    }
}

struct Creeper {
    file: std::fs::File,
    settled: rollway::journal::Position,
}

impl appender::Appender for Creeper {
    fn append(&mut self, batch: &appender::Batch<'_>) -> Result<(), appender::AppendError> {
        batch.for_each(|event| {
            let mut line = String::new();
            event.message(&mut line);
            for byte in line.bytes().chain([b'\n']) {
                std::io::Write::write_all(&mut self.file, &[byte]).unwrap();
            }
        });
        self.settled = batch.next();
        Ok(())
    }

    fn settled(&self) -> rollway::journal::Position {
        self.settled
    }

    fn flush(&mut self, _: std::time::Instant) -> Result<(), appender::AppendError> {
        Ok(())
    }
}

fn creep(dir: &Path, letter: &str) {
    let file = std::fs::File::options().append(true).create(true).open(dir.join("log")).unwrap();
    let guard = builder()
        .appender("creeping", Creeping(file))
        .composite(
            "sync",
            Synchronized::new(["creeping"]).lock_file(dir.join("lock")).wait(PATIENCE),
        )
        .start()
        .unwrap();
    for _ in 0..10 {
        log(&guard, Level::INFO, &letter.repeat(4097));
        guard.flush().unwrap();
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn processes_that_share_a_lock_do_not_cut_each_other_s_lines() {
    let _watchdog = watchdog();
    if child::part().is_some() {
        return creep(Path::new(&child::variable("DIR")), "b");
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "processes_that_share_a_lock_do_not_cut_each_other_s_lines";
    let mut other: Command = child::command(test, "creep");
    let mut other = other.env("DIR", dir.path()).spawn().unwrap();
    creep(dir.path(), "a");
    assert!(other.wait().unwrap().success());
    let lines = lines(&dir.path().join("log"));
    assert_eq!(lines.len(), 20);
    for line in lines {
        assert!(line == "a".repeat(4097) || line == "b".repeat(4097), "{line}");
    }
}

// AP-25.
#[test]
fn a_file_behind_a_lock_has_its_prefix_on_each_line_of_a_message() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let layout = rollway::layout::Pattern::parse("[%c] %p> %m%n").unwrap().multiline(true);
    let guard = builder()
        .appender("my_file", appender::File::new(&path).layout(layout))
        .composite("sync", Synchronized::new(["my_file"]).lock_file(dir.path().join("lock")))
        .route("", ["sync"])
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), target: "shop", "first\nsecond");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&path), ["[shop] INFO> first", "[shop] INFO> second"]);
}

// AP-31: the lock is given back, and nobody waits for himself.
#[test]
fn a_write_that_panics_or_logs_under_a_lock_keeps_nobody_waiting() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let lock = |relay| Synchronized::new([relay]).lock_file(dir.path().join("lock")).wait(PATIENCE);
    let (inner, messages) = (Arc::new(OnceLock::<Logger>::new()), Arc::default());
    let (logging, seen) = (Arc::clone(&inner), Arc::<Mutex<Vec<String>>>::clone(&messages));
    let callback = Callback::each(move |event| {
        let mut message = String::new();
        event.message(&mut message);
        assert_ne!(message, "poison", "not this one");
        if message == "outer" {
            rollway::info!(logger: logging.get().unwrap(), "inner");
        }
        seen.lock().unwrap().push(message);
    });
    let one = builder().appender("one", callback).composite("sync", lock("one")).start().unwrap();
    let file = message_file(&path);
    let two = builder().appender("two", file).composite("sync", lock("two")).start().unwrap();
    inner.set(one.logger().clone()).unwrap();
    ["outer", "poison", "last"].iter().for_each(|message| log(&one, Level::INFO, message));
    one.flush().unwrap();
    wait_until("the inner one has come", || messages.lock().unwrap().len() == 3);
    assert_eq!(stats(&one, "one").dead_letters, 1);
    // The lock is free for others.
    log(&two, Level::INFO, "theirs");
    two.flush().unwrap();
    assert_eq!(lines(&path), ["theirs"]);
    one.shutdown(PATIENCE);
    let mut messages = messages.lock().unwrap().clone();
    messages.sort();
    assert_eq!(messages, ["inner", "last", "outer"]);
}
