//! `rollway bench`. What it measures is the machine's business; here it is asked whether it tells.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Runs the command below a directory of its own: exit code, standard output, standard error.
fn bench(args: &[&str], dir: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollway"));
    command.arg("bench").args(args).arg("--dir").arg(dir).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// Asserts that there is a number at each place.
fn assert_numbers(figures: &Value, places: &[&str]) {
    for place in places {
        let number = figures.pointer(place).and_then(Value::as_f64);
        assert!(number.is_some_and(|number| number >= 0.0), "{place} is {number:?} in {figures}");
    }
}

#[test]
fn the_call_phase_alone_prints_its_figures_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = bench(&["--seconds", "1", "--only", "call", "--json"], dir.path());
    assert_eq!(code, 0, "{err}");
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_numbers(
        &figures,
        &["/machine/cores", "/machine/clock/read_ns", "/machine/clock/step_ns"],
    );
    for call in ["disabled", "int2", "mixed4", "str100", "after_pause"] {
        let quantile = |name| figures["call"][call][name].as_f64().unwrap();
        let quantiles = ["p50_ns", "p99_ns", "p999_ns"].map(quantile);
        assert!(quantiles.is_sorted(), "{call}: {quantiles:?}");
        assert!(quantile("timings") >= 1.0, "{call}");
    }
    for text in ["/machine/cpu", "/machine/kernel", "/machine/clock/source", "/call/durability"] {
        assert!(figures.pointer(text).is_some_and(Value::is_string), "{text}");
    }
    assert_eq!(figures["call"]["lost"], 0);
    assert!(figures["advice"].is_array(), "{figures}");
    assert!(figures.get("file").is_none() && figures.get("tcp").is_none(), "{figures}");
    assert!(err.contains("bench: log calls"), "{err}");
    assert!(is_empty(dir.path()));
}

#[test]
fn files_and_a_master_are_measured_without_losses_and_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = bench(&["--seconds", "1.5", "--only", "file,tcp", "--json"], dir.path());
    assert_eq!(code, 0, "{err}");
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_numbers(
        &figures,
        &[
            "/file/disk/free_bytes",
            "/file/journal/events_per_second",
            "/file/journal/synced_events_per_second",
            "/file/journal/record_bytes_per_event",
            "/file/text/lines_per_second",
            "/file/text/bytes_per_line",
            "/tcp/events_per_second",
        ],
    );
    for part in ["/file/journal", "/file/text", "/tcp"] {
        assert_eq!(figures.pointer(part).unwrap()["lost"], 0, "{part}");
    }
    assert!(figures.get("call").is_none(), "{figures}");
    assert!(is_empty(dir.path()));
}

#[test]
fn people_get_tables_and_advice() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = bench(&["--seconds", "0.5"], dir.path());
    assert_eq!(code, 0, "{err}");
    let place = dir.path().to_str().unwrap();
    for words in ["machine", "p99.9", "mixed4", place, "lines/s", "acknowledged", "advice"] {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = bench(&["--only", "call"], &dir.path().join("missing"));
    assert_eq!((code, &*out), (66, ""));
    assert!(err.contains("missing") && err.contains("--dir"), "{err}");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, _, err) = bench(&["--only", "call"], &file);
    assert_eq!(code, 74);
    assert!(err.contains("file") && err.contains("--dir"), "{err}");
}

#[test]
fn an_interrupted_bench_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["bench", "--seconds", "600", "--only", "call", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its part has begun when it has a journal.
    while !has_journal(dir.path()) {
        assert!(bench.try_wait().unwrap().is_none(), "it ended by itself");
        thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&bench);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(bench.wait().unwrap().code(), Some(74));
    assert!(is_empty(dir.path()));
    let name = format!("rollway-bench-{}-", bench.id());
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        assert!(!found.starts_with(&name), "{found} is left in /dev/shm");
    }
}

fn has_journal(dir: &Path) -> bool {
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().collect::<Vec<_>>();
    below(dir).iter().any(|own| own.path().join("part-0/journal").is_dir())
}
