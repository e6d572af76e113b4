//! The context of an event is that of its call, whatever happens on the way.

mod support;

use std::time::Duration;

use rollway::appender::File;
use rollway::event::Event;
use rollway::layout::{Layout, Pattern};
use rollway::{Mdc, Ndc};
use support::{child, lines, watchdog};

#[test]
fn a_context_for_each_event_fits_into_blocks_whatever_has_piled_up() {
    const EVENTS: u64 = 20_000;

    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let file = File::new(&path).layout(Pattern::parse("%m %X{request}%n").unwrap());
    let mut guard = rollway::builder()
        .wait(rollway::WaitStrategy::Manual)
        .ring_bytes(8 << 20)
        .appender("file", file)
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let logger = guard.logger();
            scope.spawn(move || {
                for n in 0..EVENTS {
                    let _request = rollway::mdc("request", n);
                    rollway::info!(logger: logger, "{thread} {n}");
                }
            });
        }
    });
    // Nothing has moved to the journal so far: more than one block takes.
    while guard.poll() {}
    assert!(guard.stats().journal_error.is_none(), "{:?}", guard.stats());
    let report = guard.shutdown(Duration::from_secs(20));
    assert_eq!((report.delivered(), report.left()), (3 * EVENTS, 0));
    for line in lines(&path) {
        let mut words = line.split(' ');
        let (_, n, request) = (words.next(), words.next(), words.next());
        assert_eq!(n, request, "{line}");
    }
}

const KILLED: &str = "a_killed_program_keeps_the_context_of_each_event";
const DIR: &str = "ROLLWAY_TEST_DIR";

/// Logs events whose context changes every few events, until it is killed.
fn log_until_killed(dir: &std::path::Path) -> ! {
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .appender("file", context_file(dir))
        .start()
        .unwrap();
    let mut n = 0_u64;
    loop {
        let _tens = rollway::mdc("tens", n / 10);
        for _ in 0..10 {
            rollway::info!(logger: guard.logger(), "{n}");
            n += 1;
        }
        // Some changes share a block, some do not.
        if n.is_multiple_of(700) {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

fn context_file(dir: &std::path::Path) -> File {
    File::new(dir.join("app.log")).layout(Pattern::parse("%m %X{tens}%n").unwrap())
}

#[test]
fn a_killed_program_keeps_the_context_of_each_event() {
    if child::part().is_some() {
        log_until_killed(std::path::Path::new(&child::variable(DIR)));
    }
    let _watchdog = watchdog();
    for round in 0..8_u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut program = child::command(KILLED, "program").env(DIR, dir.path()).spawn().unwrap();
        support::wait_until("the program has logged", || dir.path().join("app.log").exists());
        std::thread::sleep(Duration::from_micros(7_300 * (round + 1)));
        program.kill().unwrap();
        program.wait().unwrap();

        let guard = rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .rings_dir(dir.path().join("rings"))
            .appender("file", context_file(dir.path()))
            .start()
            .unwrap();
        assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);
        for (n, line) in lines(&dir.path().join("app.log")).iter().enumerate() {
            assert_eq!(*line, format!("{n} {}", n / 10));
        }
    }
}

/// The message, the pairs of the MDC and the texts of the NDC.
#[derive(Clone)]
struct Carried;

impl Layout for Carried {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        event.message(out);
        for (key, value) in &event.context.pairs {
            *out += &format!(" {key}={value}");
        }
        for text in &event.context.stack {
            *out += &format!(" /{text}");
        }
        out.push('\n');
    }

    fn hash(&self) -> u64 {
        1
    }
}

/// What a file shows of the events that `log` logs to the logger it gets.
fn carried(log: impl FnOnce(&rollway::Logger)) -> Vec<String> {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let guard =
        rollway::builder().appender("file", File::new(&path).layout(Carried)).start().unwrap();
    log(guard.logger());
    assert_eq!(guard.shutdown(Duration::from_secs(20)).left(), 0);
    lines(&path)
}

#[test]
fn an_event_carries_the_stack_and_the_values_of_its_call() {
    let lines = carried(|logger| {
        rollway::info!(logger: logger, "1");
        {
            let _import = rollway::ndc("import");
            let _user = rollway::mdc("user", "ada");
            rollway::info!(logger: logger, "2");
            Ndc::push("a.csv");
            Mdc::put("line", 7);
            rollway::info!(logger: logger, "3");
            assert_eq!(Ndc::pop().as_deref(), Some("a.csv"));
            rollway::info!(logger: logger, "4");
        }
        rollway::info!(logger: logger, "5");
        Mdc::clear();
        rollway::info!(logger: logger, "6");
    });
    let expected = [
        "1",
        "2 user=ada /import",
        "3 user=ada line=7 /import /a.csv",
        "4 user=ada line=7 /import",
        "5 line=7",
        "6",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_was_put_is_there_until_it_is_removed_or_cleared() {
    let lines = carried(|logger| {
        let say = |message: &str| rollway::info!(logger: logger, "{message}");
        say("none");
        Mdc::put("user", "ada");
        say("one");
        Mdc::put("till", 7);
        say("two");
        Mdc::remove("user");
        say("removed");
        Mdc::put("till", 8);
        say("replaced");
        Mdc::clear();
        say("cleared");
    });
    let expected = ["none", "one user=ada", "two user=ada till=7", "removed till=7"];
    assert_eq!(lines, [&expected[..], &["replaced till=8", "cleared"]].concat());
}

#[test]
fn a_thread_and_a_pool_go_on_with_the_context_they_are_given() {
    let lines = carried(|logger| {
        let _request = rollway::mdc("request", 1);
        let _step = rollway::ndc("step");
        let own = logger.clone();
        let child = rollway::spawn_inheriting(std::thread::Builder::new(), move || {
            rollway::info!(logger: own, "child");
            Mdc::put("request", 2);
            rollway::info!(logger: own, "child");
        });
        child.unwrap().join().unwrap();
        rollway::info!(logger: logger, "parent");

        let (jobs, queue) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let own = logger.clone();
        let pool = std::thread::spawn(move || {
            let _worker = rollway::mdc("worker", 0);
            for job in queue {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                rollway::info!(logger: own, "between, {}", done.is_ok());
            }
        });
        for failing in [false, true] {
            let own = logger.clone();
            let job = rollway::inherited(move || {
                rollway::info!(logger: own, "job");
                assert!(!failing, "a job that fails");
            });
            jobs.send(Box::new(job)).unwrap();
        }
        drop(jobs);
        pool.join().unwrap();
    });
    let expected = [
        "child request=1 /step",
        "child request=2 /step",
        "parent request=1 /step",
        "job request=1 /step",
        "between, true worker=0",
        "job request=1 /step",
        "between, false worker=0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_value_of_a_mebibyte_and_keys_with_control_characters_are_carried_cut_and_whole() {
    let lines = carried(|logger| {
        let _large = rollway::mdc("large", "x".repeat(1 << 20));
        let _small = rollway::mdc("\u{1b}[2J", "y");
        rollway::info!(logger: logger, "m");
    });
    assert_eq!(lines, [format!("m large={} \u{1b}[2J=y", "x".repeat(1024))]);
}
