//! Workers and masters of different age: they speak the greatest version that both know, or say why
//! they cannot.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Narrows what a process speaks.
const SPOKEN: &str = "ROLLWAY_FAULT_PROTOCOL";

fn rollway(spoken: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollway"));
    command.env(SPOKEN, spoken);
    command
}

/// A master that is killed at the end.
struct Master(Child);

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn master(dir: &Path, spoken: &str) -> (Master, String) {
    let mut child = rollway(spoken)
        .args(["master", "--json", "--pattern", "%m%n", "--listen", "127.0.0.1:0", "--appender"])
        .arg(format!("file:{}", dir.join("all.log").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    (Master(child), listening["listening"].as_str().unwrap().to_owned())
}

fn send(spoken: &str, address: &str, timeout: &str) -> Output {
    let mut child = rollway(spoken)
        .args(["send", "--to", address, "--timeout", timeout])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn every_worker_is_understood_by_every_master_or_told_which_versions_would_be() {
    for of_master in ["1", "1-2", "2"] {
        let dir = tempfile::tempdir().unwrap();
        let (_master, address) = master(dir.path(), of_master);
        for of_worker in ["1", "1-2", "2"] {
            let case = format!("worker {of_worker}, master {of_master}");
            let meet = of_worker.contains('-') || of_master.contains('-') || of_worker == of_master;
            let output = send(of_worker, &address, if meet { "60" } else { "1" });
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), meet, "{case}: {said}");
            if !meet {
                let words = format!(
                    "protocol versions {of_worker} to {of_worker} offered; this side speaks \
                     {of_master} to {of_master}"
                );
                assert!(said.contains(&words), "{case}: {said}");
            }
        }
    }
}
