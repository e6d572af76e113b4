//! Composites: what is held, what is handed on, and under which lock.

#[path = "lines/07-limit.rs"]
#[rustfmt::skip]
mod limit;
#[path = "lines/09-own-composite.rs"]
#[rustfmt::skip]
mod own_composite;
#[path = "lines/06-synchronized.rs"]
#[rustfmt::skip]
mod synchronized;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollway::appender::{self, File, Memory};
use rollway::route::composite::{Buffer, Limit, Synchronized};
use rollway::{Level, Timestamp, log};

use crate::golden::{Golden, placed, refused, shown};
use crate::running::{Dir, Frozen, raw};
use crate::support::{PATIENCE, watchdog};
use limit::logit;

#[test]
fn a_limit_holds_what_comes_within_its_period() {
    let _watchdog = watchdog();
    let Some(golden) = Golden::read("07-limit") else { return };
    let clock = Frozen::new();
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
    // The sub is the script's, which a log call here does not know.
    let memory = || Memory::new().layout(raw("%d{HH:mm:ss} %L main::logit %m%n"));
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

#[test]
fn a_lock_between_processes_leaves_events_as_they_are() {
    let _watchdog = watchdog();
    let title = "Synchronized by configuration: caller is the logging line";
    let Some(golden) = Golden::read("06-synchronized") else { return };
    let golden = golden.without_sub(title, 2);
    let dir = Dir::new();
    let config = r#"
        [categories."Bar::Twix"]
        level = "warn"
        appenders = ["Syncer"]

        [appenders.Logfile]
        type = "file"
        path = "DIR/Logfile"
        layout = { type = "pattern", pattern = "%F{1} %L %M %p> %m%n" }

        [appenders.Syncer]
        type = "synchronized"
        relays = ["Logfile"]
        lock_file = "DIR/lock"
    "#;
    dir.run(config, synchronized::by_configuration);
    let by_configuration = placed(title, &dir.text("Logfile"), 2);

    let pattern = raw("%d{yyyy-MM-dd HH:mm:ss} %p [%c] #%L> %m%n").multiline(true);
    let guard = rollway::builder()
        .clock(Frozen::new())
        .timestamp(Timestamp::Drain)
        .level(Level::DEBUG)
        .appender("MyFileApp", File::new(dir.path("mylog")).layout(pattern))
        .composite("MySyncApp", Synchronized::new(["MyFileApp"]).lock_file(dir.path("lock")))
        .start()
        .unwrap();
    synchronized::in_code(guard.logger());
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let in_code = shown("Synchronized by API", &dir.text("mylog"));
    golden.compare(by_configuration.into_iter().chain([in_code]));
}

#[test]
fn a_buffer_with_a_trigger_of_ones_own_hands_on_every_third_with_its_place() {
    let _watchdog = watchdog();
    let flushed = "flushed at the third";
    let Some(golden) = Golden::read("09-own-composite") else { return };
    let golden = golden.without_sub(flushed, 1);
    let memory = Memory::new().layout(raw("%F{1}:%L %M %m%n"));
    let count = AtomicUsize::new(0);
    let every_third =
        Buffer::new(["Out"]).trigger(move |_| count.fetch_add(1, Ordering::Relaxed) % 3 == 2);
    let guard = rollway::builder()
        .level(Level::DEBUG)
        .appender("Out", memory.clone())
        .composite("T", every_third)
        .start()
        .unwrap();
    let mut outcomes = Vec::new();
    own_composite::emit(&guard, "a");
    own_composite::emit(&guard, "b");
    outcomes.push(shown("two cached", &memory.text()));
    own_composite::from_main(&guard);
    outcomes.extend(placed(flushed, &memory.text(), 1));

    memory.reset();
    for message in ["1", "2", "3"] {
        own_composite::emit(&guard, message);
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    outcomes.push(shown("without the depth correction the location is wrong", &memory.text()));

    let of_none = rollway::builder().composite("T", Buffer::new(["Nope"])).start();
    outcomes.push(refused("relay never defined", of_none));
    let of_none = rollway::builder().composite("L", Limit::new(["Missing"])).start();
    outcomes.push(refused("API: post_init before relay is known", of_none));
    golden.compare(outcomes);
}
