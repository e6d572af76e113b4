//! Whether bytes go out by system calls or through io_uring changes nothing of what arrives. Where
//! io_uring is not to be had, both are the system calls.

mod support;

use std::path::Path;

use rollway::{Builder, Guard, IoMethod};
use support::{PATIENCE, lines, message_file, watchdog};

const METHODS: [IoMethod; 2] = [IoMethod::Write, IoMethod::IoUring];
const EVENTS: usize = 20_000;

fn builder(dir: &Path, method: IoMethod) -> Builder {
    rollway::builder()
        .io_method(method)
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
}

fn log(guard: &Guard) -> Vec<String> {
    // Texts of all lengths, so that writes begin and end anywhere.
    let text = "x".repeat(300);
    (0..EVENTS)
        .map(|n| {
            rollway::info!(logger: guard.logger(), "{} {}", n, text[..n % 300]);
            format!("{n} {}", &text[..n % 300])
        })
        .collect()
}

#[test]
fn the_journal_and_the_text_file_hold_every_event_in_order() {
    let _watchdog = watchdog();
    for method in METHODS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let guard =
            builder(dir.path(), method).appender("file", message_file(&path)).start().unwrap();
        let logged = log(&guard);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        assert!(support::journal::messages(&dir.path().join("journal")) == logged, "{method:?}");
        assert!(lines(&path) == logged, "{method:?}");
    }
}

#[test]
fn a_run_goes_on_where_one_with_the_other_method_ended() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let mut logged = Vec::new();
    for method in METHODS.into_iter().chain(METHODS) {
        let guard =
            builder(dir.path(), method).appender("file", message_file(&path)).start().unwrap();
        logged.extend(log(&guard));
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    }
    assert!(support::journal::messages(&dir.path().join("journal")) == logged);
    assert!(lines(&path) == logged);
}

#[cfg(feature = "master")]
#[test]
fn a_master_gets_and_writes_every_event_in_order() {
    use rollway::appender::Forwarder;
    use rollway::journal::JournalOptions;
    use rollway::master::Master;

    let _watchdog = watchdog();
    for method in METHODS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.log");
        let master = Master::builder()
            .listen("127.0.0.1:0")
            .journal(JournalOptions::directory(dir.path().join("master")))
            .io_method(method)
            .appender("file", message_file(&path))
            .start()
            .unwrap();
        let forwarder = Forwarder::new(master.local_addr().to_string());
        let guard = builder(dir.path(), method).appender("master", forwarder).start().unwrap();
        let logged = log(&guard);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        assert_eq!(master.shutdown(PATIENCE).left(), 0);
        assert!(support::journal::messages(&dir.path().join("master")) == logged, "{method:?}");
        assert!(lines(&path) == logged, "{method:?}");
    }
}
