//! `rollway stats`: what journals hold, and where their appenders are.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rollway::OverflowPolicy;
use rollway::cli::Exit;
use serde_json::Value;
use support::command::ran;
use support::destination::{Collector, Gate};
use support::{PATIENCE, child};

const JOURNAL: &str = "ROLLWAY_TEST_JOURNAL";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The object about one journal that is in order.
fn stats(journal: &Path) -> Value {
    let ran = ran(["stats", "--json", text(journal)]);
    assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""));
    serde_json::from_str::<Value>(&ran.out).unwrap()["journals"][0].clone()
}

#[test]
fn events_are_counted_by_level_category_and_call_site() {
    let dir = tempfile::tempdir().unwrap();
    let guard =
        rollway::builder().level(rollway::Level::TRACE).journal_dir(dir.path()).start().unwrap();
    for n in 0..60 {
        if n % 3 == 0 {
            rollway::error!(logger: guard.logger(), target: "shop::till", "till {n}");
        } else {
            rollway::debug!(logger: guard.logger(), target: "shop", "shop {n}");
        }
    }
    guard.shutdown(PATIENCE);
    let stats = stats(dir.path());
    assert_eq!(stats["events"], 60);
    assert_eq!((&stats["levels"]["DEBUG"], &stats["levels"]["ERROR"]), (&40.into(), &20.into()));
    assert_eq!(stats["last_minute"]["events"], 60);
    assert_eq!(stats["owner"], "ended");
    let categories: Vec<_> = stats["categories"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&categories[0]["category"], &categories[0]["events"]),
        (&"shop".into(), &40.into())
    );
    assert_eq!(
        (&categories[1]["category"], &categories[1]["events"]),
        (&"shop::till".into(), &20.into())
    );
    let sites = stats["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 2);
    assert_eq!(sites[0]["template"], "shop {n}");
    assert!(sites[0]["file"].as_str().unwrap().ends_with("cli_stats.rs"));
    assert_eq!(sites[0]["events"], 40);
    assert!((sites[1]["share"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);

    let top = ran(["stats", "--top", "1", text(dir.path())]);
    assert_eq!((top.exit, &*top.err), (Exit::Ok, ""));
    assert!(
        top.out.contains("60 events") && top.out.contains("`shop {n}`: 40 (66.7 %)"),
        "{}",
        top.out
    );
    assert!(!top.out.contains("till {n}"), "{}", top.out);
}

#[test]
fn dropped_events_are_counted_by_reason_as_the_log_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut guard = rollway::builder()
        .wait(rollway::WaitStrategy::Manual)
        .overflow(OverflowPolicy::Drop)
        .ring_bytes(64 << 10)
        .journal_dir(dir.path())
        .start()
        .unwrap();
    let filler = "x".repeat(1000);
    for _ in 0..100 {
        rollway::info!(logger: guard.logger(), "{filler}");
    }
    while guard.poll() {}
    let dropped = guard.stats().dropped.total();
    assert!(dropped > 0);
    guard.shutdown(PATIENCE);
    let stats = stats(dir.path());
    assert_eq!(stats["dropped"]["total"], dropped);
    assert_eq!(stats["dropped"]["reasons"]["ring full"], dropped);
}

#[test]
fn what_a_killed_process_dropped_and_left_is_counted() {
    if child::part().is_some() {
        let journal = Path::new(&child::variable(JOURNAL)).to_owned();
        let guard = rollway::builder()
            .wait(rollway::WaitStrategy::Manual)
            .overflow(OverflowPolicy::Drop)
            .ring_bytes(64 << 10)
            // Nobody else's start shall sweep them.
            .rings_dir(journal.join("rings"))
            .journal_dir(journal)
            .start()
            .unwrap();
        let filler = "x".repeat(1000);
        for _ in 0..100 {
            rollway::info!(logger: guard.logger(), "{filler}");
        }
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut killed = child::command("what_a_killed_process_dropped_and_left_is_counted", "killed");
    killed.env(JOURNAL, dir.path()).stderr(Stdio::null()).status().unwrap();
    let killed = stats(dir.path());
    assert_eq!(killed["owner"], "killed");
    let waiting = killed["rings"]["waiting_events"].as_u64().unwrap();
    assert_eq!(killed["rings"]["untold_drops"]["total"], 100 - waiting);
    assert!((1..100).contains(&waiting));

    // The counts outlive a repair: the next start tells them.
    assert_eq!(ran(["recover", "--repair", text(dir.path())]).exit, Exit::Ok);
    let repaired = stats(dir.path());
    assert_eq!(
        (&repaired["events"], &repaired["rings"]["waiting_events"]),
        (&waiting.into(), &0.into())
    );
    assert_eq!(repaired["rings"]["untold_drops"]["total"], 100 - waiting);
    drop(rollway::builder().journal_dir(dir.path()).start().unwrap());
    let told = stats(dir.path());
    assert_eq!(told["dropped"]["total"], 100 - waiting);
    assert_eq!(told["rings"]["untold_drops"]["total"], 0);
}

#[test]
fn an_appender_that_is_behind_is_shown_with_its_distance_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.log");
    let start = || {
        rollway::builder()
            .journal_dir(dir.path())
            .appender("file", support::message_file(&file))
            .start()
            .unwrap()
    };
    let guard = start();
    for n in 0..10 {
        rollway::info!(logger: guard.logger(), "event {n}");
    }
    guard.shutdown(PATIENCE);
    let behind = stats(dir.path())["appenders"][0].clone();
    assert_eq!((&behind["appender"], &behind["behind"]["events"]), (&"file".into(), &0.into()));
    // Without the appender.
    let guard = rollway::builder().journal_dir(dir.path()).start().unwrap();
    for n in 0..7 {
        rollway::info!(logger: guard.logger(), "event {n}");
    }
    guard.shutdown(PATIENCE);
    let behind = stats(dir.path())["appenders"][0].clone();
    assert_eq!(behind["behind"]["events"], 7);
    assert!(behind["behind"]["bytes"].as_u64().unwrap() > 7 * 24);
    let shown = ran(["stats", text(dir.path())]);
    assert!(
        shown.out.contains("appender `file` at") && shown.out.contains("7 events in"),
        "{}",
        shown.out
    );
}

/// The status of a running process, once it shows what is `wanted`.
fn status_when(journal: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut status = Value::Null;
    support::wait_until("the status", || {
        // What is written meanwhile is no concern of this test.
        let ran = ran(["stats", "--json", text(journal)]);
        let object: Value = serde_json::from_str(&ran.out).unwrap();
        status = object["journals"][0]["status"].clone();
        wanted(&status)
    });
    status
}

#[test]
fn a_running_process_says_what_it_is_doing_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (collector, _) = Collector::new();
    let guard = rollway::builder()
        .service("shop \"7\"")
        .journal_dir(dir.path())
        .appender("slow", collector.behind(&gate))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "one");
    let status = status_when(dir.path(), |status| status["blocks"] == 1);
    assert_eq!((&status["role"], &status["service"]), (&"worker".into(), &"shop \"7\"".into()));
    assert_eq!(status["pid"], std::process::id());
    let slow = &status["appenders"][0];
    assert_eq!(
        (&slow["name"], &slow["delivered"], &slow["failing"]),
        (&"slow".into(), &0.into(), &Value::Null)
    );
    assert_eq!((&slow["state"], &slow["dead_letters"]), (&"running".into(), &0.into()));
    assert_eq!((&status["sync_errors"], &status["cluster"]), (&0.into(), &Value::Null));
    gate.open();
    status_when(dir.path(), |status| status["appenders"][0]["delivered"] == 1);
    let shown = ran(["stats", text(dir.path())]);
    assert!(shown.out.contains("live appender `slow`: 1 delivered"), "{}", shown.out);
    guard.shutdown(PATIENCE);
    assert_eq!(stats(dir.path())["status"], Value::Null);
    assert!(!dir.path().join("status").exists());
}

#[test]
fn an_appender_that_is_tried_again_says_how_often_and_when() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let guard = rollway::builder()
        .journal_dir(dir.path())
        .appender("master", rollway::appender::Forwarder::new(nobody.to_string()))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "one");
    let status =
        status_when(dir.path(), |status| status["appenders"][0]["attempts"].as_u64() >= Some(2));
    let master = &status["appenders"][0];
    assert_eq!(master["state"], "retrying");
    assert!(master["since_ns"].as_u64() <= master["next_ns"].as_u64(), "{master}");
    let shown = ran(["stats", text(dir.path())]).out;
    assert!(shown.contains(", retrying after ") && shown.contains(" tries, next at "), "{shown}");
    guard.shutdown(Duration::ZERO);
}

#[test]
fn a_running_master_says_who_is_connected() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("master");
    let master = rollway::master::Master::builder()
        .listen("127.0.0.1:0")
        .journal(rollway::journal::JournalOptions::directory(&journal))
        .start()
        .unwrap();
    let address = master.local_addr().to_string();
    let guard = rollway::builder()
        .appender("master", rollway::appender::Forwarder::new(address))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "one");
    let status = status_when(&journal, |status| status["events"] == 1);
    assert_eq!((&status["role"], &status["connections"]), (&"master".into(), &1.into()));
    guard.shutdown(PATIENCE);
    status_when(&journal, |status| status["connections"] == 0);
    master.shutdown(PATIENCE);
    assert!(!journal.join("status").exists());
}
