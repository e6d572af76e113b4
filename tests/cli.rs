//! `rollway cat` and the messages of the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rollway::cli::{Exit, run};

/// What a command printed, and how it ended.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn ran<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(["rollway"].into_iter().chain(args), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit, out: text(out), err: text(err) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn binary(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollway"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// A journal with events `from..to` of a service.
fn log(journal: &Path, events: std::ops::Range<u32>) {
    let guard = rollway::builder()
        .service("shop")
        .level(rollway::Level::TRACE)
        .journal_dir(journal)
        .journal_max_bytes(32 << 20)
        .start()
        .unwrap();
    for n in events {
        rollway::info!(logger: guard.logger(), target: "shop::till", n, name = "Ada"; "event {n}");
    }
    guard.shutdown(Duration::from_secs(5));
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    rollway::journal::segment_paths(journal).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn a_journal_is_printed_in_order_run_after_run() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..500);
    log(dir.path(), 500..1000);
    let ran = ran(["cat", "--pattern", "%m%n", text(dir.path())]);
    let expected: String = (0..1000).map(|n| format!("event {n}\n")).collect();
    assert_eq!((ran.exit, ran.out, ran.err), (Exit::Ok, expected, String::new()));
}
