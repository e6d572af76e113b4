//! `rollway demo`, the first command of the README.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn the_demo_loses_nothing_and_doubles_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["demo", "--events", "60000", "--json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("worker 0 was killed"), "{err}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["emitted"], 60_000);
    assert_eq!(result["delivered"], 60_000);
    assert_eq!((&result["lost"], &result["duplicated"]), (&0.into(), &0.into()));
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&result["events_per_second"]) > 0.0);
    let call_ns = ["p50", "p99", "p999"].map(|name| number(&result["call_ns"][name]));
    assert!(call_ns[0] > 0.0 && call_ns.is_sorted(), "{call_ns:?}");
}

#[test]
fn the_demo_tells_its_result_to_people_too() {
    // Fewer events than threads: some have nothing to do.
    let output = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["demo", "--events", "5"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    for word in ["emitted", "delivered", "lost", "duplicated", "events/s", "ns per call", "p99.9"] {
        assert!(out.contains(word), "{word} is missing in {out}");
    }
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let places = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["demo", "--events", "1000000000"])
        .env("TMPDIR", places.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(demo.stderr.take().unwrap());
    let pid = demo.id();
    for line in said.lines().map_while(Result::ok) {
        if line.contains("at full speed") {
            let demo = rustix::process::Pid::from_child(&demo);
            rustix::process::kill_process(demo, rustix::process::Signal::INT).unwrap();
        }
    }
    assert_eq!(demo.wait().unwrap().code(), Some(74));
    let name = format!("rollway-demo-{pid}-");
    for place in [places.path(), Path::new("/dev/shm")] {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let found = entry.file_name().to_string_lossy().into_owned();
            assert!(!found.starts_with(&name), "{found} is left in {}", place.display());
        }
    }
}
