//! Composites: what is held, and what is handed on.

use std::time::Duration;

use rollway::appender::{self, Memory};
use rollway::route::composite::Limit;
use rollway::{Guard, Level, Timestamp, log};

use crate::golden::{Golden, shown};
use crate::running::{Frozen, raw};
use crate::support::{PATIENCE, watchdog};

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

/// Logs at one place, so that the place of the golden can be put in place of it.
fn logit(guard: &Guard, message: &str) {
    log!(logger: guard.logger(), Level::WARN, "{message}");
    guard.flush().unwrap();
}
