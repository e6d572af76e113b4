//! One process, its appenders, its journal: what a program that embeds rollway may rely on.

use std::path::Path;
use std::time::Duration;

use rollway::appender::File;
use rollway::layout::Pattern;

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn message_file(path: &Path) -> File {
    File::new(path).layout(Pattern::parse("%m%n").unwrap())
}

#[test]
fn everything_logged_before_a_flush_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let guard = rollway::builder().appender("file", message_file(&path)).start().unwrap();
    let logger = guard.logger();
    for n in 0..1000 {
        rollway::info!(logger: logger, "event {} of {:>5}", n, "many");
    }
    guard.flush().unwrap();
    let expected: Vec<_> = (0..1000).map(|n| format!("event {n} of {:>5}", "many")).collect();
    assert_eq!(lines(&path), expected);
    let report = guard.shutdown(Duration::from_secs(5));
    assert_eq!((report.delivered(), report.left(), report.dropped.total()), (1000, 0, 0));
}

#[test]
fn a_journal_directory_goes_on_where_the_last_run_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    for run in 0..3 {
        let guard = rollway::builder()
            .journal_dir(dir.path().join("journal"))
            .appender("file", message_file(&path))
            .start()
            .unwrap();
        for n in 0..100 {
            rollway::info!(logger: guard.logger(), "run {run} event {n}");
        }
        let report = guard.shutdown(Duration::from_secs(5));
        assert_eq!((report.delivered(), report.left()), (100, 0), "{report:?}");
    }
    let expected: Vec<_> =
        (0..3).flat_map(|run| (0..100).map(move |n| format!("run {run} event {n}"))).collect();
    assert_eq!(lines(&path), expected);
}

#[test]
fn events_carry_the_context_of_their_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let file = File::new(&path).layout(Pattern::parse("%m %X{user}/%X{request}%n").unwrap());
    let guard = rollway::builder().appender("file", file).start().unwrap();
    let logger = guard.logger();
    rollway::info!(logger: logger, "before");
    let user = rollway::mdc("user", "ada");
    rollway::info!(logger: logger, "hello");
    for request in 0..3 {
        let _request = rollway::mdc("request", request);
        rollway::info!(logger: logger, "asked");
        rollway::info!(logger: logger, "answered");
    }
    drop(user);
    rollway::info!(logger: logger, "after");
    std::thread::scope(|scope| {
        scope.spawn(|| rollway::info!(logger: logger, "elsewhere"));
    });
    guard.flush().unwrap();
    let expected = [
        "before /",
        "hello ada/",
        "asked ada/0",
        "answered ada/0",
        "asked ada/1",
        "answered ada/1",
        "asked ada/2",
        "answered ada/2",
        "after /",
        "elsewhere /",
    ];
    assert_eq!(lines(&path), expected);
}
