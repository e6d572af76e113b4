//! The examples run, and print what their readers expect.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs an example that cargo has built beside this test.
fn run(name: &str, arguments: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let example: PathBuf = target.join("examples").join(name);
    let output = Command::new(&example).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    assert!(output.status.success(), "{output:?}");
    output
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_minimal_program_prints_its_two_events_on_stderr() {
    let stderr = text(run("minimal", &[]).stderr);
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines[0].ends_with("minimal - hello from rollway"), "{stderr}");
    assert!(lines[1].ends_with("connection lost, trying again attempt=3 delay_ms=250"), "{stderr}");
}

#[test]
fn the_service_has_each_event_once_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let output = run("service", &[dir.path().to_str().unwrap()]);
    assert!(text(output.stdout).starts_with("delivered 8000, left 0"));
    let log = std::fs::read_to_string(dir.path().join("shop.log")).unwrap();
    assert_eq!(log.lines().count(), 8000);
    for worker in 0..4 {
        let filled = format!("order 999 filled by worker {worker}");
        assert_eq!(log.matches(&filled).count(), 1);
    }
    assert_eq!(log.matches(" 999 order taken worker=").count(), 4);
}

#[cfg(feature = "config")]
#[test]
fn the_configured_program_does_what_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/service.toml");
    let output = run("configured", &[file, dir.path().to_str().unwrap()]);
    assert_eq!(text(output.stdout), "");
    let log = std::fs::read_to_string(dir.path().join("shop.log")).unwrap();
    assert!(log.contains("WARN  shop::till - the drawer is open till=2\n"), "{log}");
    let audit = std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.lines().count(), log.lines().count());
    assert!(audit.contains("\"file\":\""), "{audit}");
}

#[cfg(feature = "config")]
#[test]
fn every_example_of_a_file_is_a_right_configuration() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "toml" || end == "json") {
            let sources = rollway::config::Sources::new().file(&path);
            rollway::config::Config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen}");
}

#[cfg(feature = "master")]
#[test]
fn the_worker_and_its_master_agree() {
    let output = run("worker_and_master", &[]);
    assert_eq!(text(output.stdout).lines().count(), 3);
    let report = "the worker sent 3, the master delivered 3";
    assert!(text(output.stderr).contains(report));
}
