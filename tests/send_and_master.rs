//! Lines piped through `rollway send` to `rollway master`, and what its file holds of them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(120);

fn rollway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rollway"))
}

/// A child that is killed when the test fails.
struct Running(Child);

impl Running {
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running master that appends lines of `%c|%m%n` to a file.
struct Master {
    child: Running,
    said: BufReader<ChildStdout>,
    address: String,
}

impl Master {
    fn start(listen: &str, dir: &Path) -> Master {
        Master::of(rollway(), listen, dir, None)
    }

    /// One that `command` starts, with its standard error in a file if one is named.
    fn of(mut command: Command, listen: &str, dir: &Path, stderr: Option<&Path>) -> Master {
        if let Some(stderr) = stderr {
            command.stderr(File::create(stderr).unwrap());
        }
        let mut child = command
            .args(["master", "--json", "--pattern", "%c|%m%n", "--listen", listen, "--appender"])
            .arg(format!("file:{}", dir.join("all.log").display()))
            .arg("--journal")
            .arg(dir.join("master"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        let address = listening["listening"].as_str().unwrap().to_owned();
        Master { child: Running(child), said, address }
    }

    /// Ends it with SIGTERM and returns its report.
    fn stop(mut self) -> Value {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().code(), Some(0));
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// Starts a `send` of a file.
fn send(input: &Path, address: &str, category: &str) -> Running {
    let child = rollway()
        .args(["send", "--to", address, "--category", category, "--timeout", "60", "--json"])
        .stdin(File::open(input).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Running(child.unwrap())
}

/// Sends all inputs at the same time to one master. Returns the lines of each in its file.
fn through_a_master(dir: &Path, inputs: &[PathBuf]) -> Vec<Vec<String>> {
    let master = Master::start("localhost:0", dir);
    let category = |at: usize| format!("input{at}");
    let mut senders: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(at, input)| send(input, &master.address, &category(at)))
        .collect();
    for sender in &mut senders {
        assert_eq!(sender.wait().code(), Some(0));
    }
    let report = master.stop();
    assert_eq!(report["left"], 0, "{report}");
    let all = fs::read_to_string(dir.join("all.log")).unwrap();
    assert_eq!(report["delivered"], all.lines().count(), "{report}");
    let lines_of = |at| {
        let prefix = category(at) + "|";
        // Not `lines`: a line may end in a return.
        all.split_terminator('\n')
            .filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned()))
            .collect()
    };
    (0..inputs.len()).map(lines_of).collect()
}

/// The lines of an input as the documentation counts them.
fn lines(input: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    if lines.last() == Some(&&b""[..]) {
        lines.pop();
    }
    let ended = input.iter().filter(|byte| **byte == b'\n').count();
    for line in &mut lines[..ended] {
        *line = line.strip_suffix(b"\r").unwrap_or(line);
    }
    lines
}

#[test]
fn every_line_of_four_inputs_arrives_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let repeated: String = (0..20_000).map(|n| format!("line {}\n", n / 7 % 100)).collect();
    let with_returns: String = (0..5000)
        .map(|n| format!("{n}\tdone {{}} \\n \\u{{zz}}{}", ["\r\n", "\n"][n % 2]))
        .collect();
    let unicode =
        "naïve — 日本語 🦀\n\n\n  leading\ntrailing  \n\u{feff}bom\nlast without end".repeat(50);
    let long: String = (0..40).map(|n| "x".repeat(n * 5000) + "\n").collect();
    let texts = [repeated, with_returns, unicode, long];
    let inputs: Vec<PathBuf> = (0..texts.len()).map(|at| dir.path().join(at.to_string())).collect();
    for (input, text) in inputs.iter().zip(&texts) {
        fs::write(input, text).unwrap();
    }
    let arrived = through_a_master(dir.path(), &inputs);
    for (arrived, text) in arrived.iter().zip(&texts) {
        let sent = lines(text.as_bytes());
        assert_eq!(arrived.len(), sent.len());
        for (arrived, sent) in arrived.iter().zip(sent) {
            assert_eq!(arrived.as_bytes(), sent);
        }
    }
}

#[test]
fn real_logs_arrive_whole() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/loghub");
    let mut inputs: Vec<PathBuf> = fs::read_dir(&data)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    if inputs.is_empty() {
        println!("skipped: {} has no .log files", data.display());
        return;
    }
    inputs.sort();
    let dir = tempfile::tempdir().unwrap();
    let arrived = through_a_master(dir.path(), &inputs);
    for (arrived, input) in arrived.iter().zip(&inputs) {
        let text = fs::read(input).unwrap();
        let sent = lines(&text);
        assert_eq!(arrived.len(), sent.len(), "{}", input.display());
        for (arrived, sent) in arrived.iter().zip(sent) {
            assert_eq!(arrived.as_bytes(), sent, "{}", input.display());
        }
    }
}

#[test]
fn a_line_of_1_mib_survives_and_a_longer_one_is_cut_marked_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    let (whole, longer) = ("x".repeat(1 << 20), "y".repeat((1 << 20) + 1));
    fs::write(&input, format!("{whole}\n{longer}\nshort\n")).unwrap();
    let master = Master::start("localhost:0", dir.path());
    let mut sender = send(&input, &master.address, "c");
    assert_eq!(sender.wait().code(), Some(0));
    let mut err = String::new();
    sender.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("1 lines are longer than 1048576 bytes and were cut"), "{err}");
    let report: Value = serde_json::from_reader(sender.0.stdout.take().unwrap()).unwrap();
    assert_eq!((&report["cut"], &report["delivered"]), (&1.into(), &3.into()));
    master.stop();

    let all = fs::read_to_string(dir.path().join("all.log")).unwrap();
    let all: Vec<_> = all.lines().map(|line| line.strip_prefix("c|").unwrap()).collect();
    assert!(all[0] == whole && all[2] == "short" && all.len() == 3);
    let (kept, marker) = all[1].split_once('…').unwrap();
    assert!(longer.starts_with(kept) && kept.len() > 1_000_000);
    assert_eq!(marker, format!("[{} bytes cut]", longer.len() - kept.len()));
}

#[test]
fn bytes_that_are_not_utf_8_are_shown_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    fs::write(&input, b"caf\xe9\n\\xe9\nplain\n").unwrap();
    let master = Master::start("localhost:0", dir.path());
    let mut sender = send(&input, &master.address, "c");
    assert_eq!(sender.wait().code(), Some(0));
    let report: Value = serde_json::from_reader(sender.0.stdout.take().unwrap()).unwrap();
    assert_eq!(report["escaped"], 1);
    master.stop();
    let all = fs::read_to_string(dir.path().join("all.log")).unwrap();
    assert_eq!(all, "c|caf\\xe9\nc|\\x5cxe9\nc|plain\n");
}

#[test]
fn a_send_without_a_master_keeps_its_events_in_its_journal_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    fs::write(&input, "first\nsecond\n").unwrap();
    let journal = dir.path().join("journal");
    let send = |address: &str, journal: Option<&Path>, input: &Path| {
        let mut command = rollway();
        command.args(["send", "--to", address, "--timeout", "0.3"]);
        command.args(journal.iter().flat_map(|dir| ["--journal".as_ref(), dir.as_os_str()]));
        command.stdin(File::open(input).unwrap()).output().unwrap()
    };
    // Port 1 of this machine: nobody listens there.
    let lost = send("localhost:1", None, &input);
    assert_eq!(lost.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&lost.stderr).contains("2 events"));
    let kept = send("localhost:1", Some(&journal), &input);
    assert_eq!(kept.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("they wait in"));

    let master = Master::start("localhost:0", dir.path());
    fs::write(&input, "third\n").unwrap();
    let address = master.address.clone();
    let sent = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["send", "--to", &address, "--journal"])
        .arg(&journal)
        .stdin(File::open(&input).unwrap())
        .output()
        .unwrap();
    assert_eq!(sent.status.code(), Some(0));
    master.stop();
    let all = fs::read_to_string(dir.path().join("all.log")).unwrap();
    assert_eq!(all, "stdin|first\nstdin|second\nstdin|third\n");
}

#[test]
fn a_master_that_is_killed_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start("localhost:0", dir.path());
    let address = master.address.clone();
    let mut sender = rollway()
        .args(["send", "--to", &address, "--category", "c", "--timeout", "60"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = sender.stdin.take().unwrap();
    let mut sender = Running(sender);
    for part in 0..3 {
        for n in 0..2000 {
            writeln!(input, "part {part} line {n}").unwrap();
        }
        if part < 2 {
            // At whatever it is doing.
            std::thread::sleep(Duration::from_millis(50));
            drop(master);
            master = Master::start(&address, dir.path());
        }
    }
    drop(input);
    assert_eq!(sender.wait().code(), Some(0));
    master.stop();
    let all = fs::read_to_string(dir.path().join("all.log")).unwrap();
    let expected: String = (0..3)
        .flat_map(|part| (0..2000).map(move |n| format!("c|part {part} line {n}\n")))
        .collect();
    assert!(all == expected, "{} of 6000 lines", all.lines().count());
}

#[test]
fn a_configuration_file_does_what_flags_do() {
    let dir = tempfile::tempdir().unwrap();
    let (config, out) = (dir.path().join("master.toml"), dir.path().join("out.log"));
    let text = format!(
        "[master]\nlisten = 'localhost:0'\nappender = 'all'\njournal = '{}'\nacknowledge = 'L2'\njournal_max_bytes = 33_554_432\njournal_keep_free = 0\nsource_bytes_per_second = 1_000_000\ndrain_seconds = 60\n[appenders.all]\ntype = 'file'\npath = '{}'\nlayout = {{ type = 'pattern', pattern = '%p %m%n' }}\n",
        dir.path().join("journal").display(),
        out.display()
    );
    fs::write(&config, text).unwrap();
    let mut child = rollway()
        .args(["master", "--json", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    let address = listening["listening"].as_str().unwrap().to_owned();
    let master = Master { child: Running(child), said, address };
    let mut sender = rollway()
        .args(["send", "--to", &master.address, "--level", "error"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    sender.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    assert_eq!(Running(sender).wait().code(), Some(0));
    master.stop();
    assert_eq!(fs::read_to_string(out).unwrap(), "ERROR hello\n");
}

#[test]
fn a_master_does_not_start_with_a_promise_that_needs_a_journal_directory() {
    let said = |arguments: &[&str]| {
        let mut command = rollway();
        let output = command.args(["master", "--listen", "localhost:0"]).args(arguments).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = said(&["--ack", "L2"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("need a journal directory"), "{error}");
    let (code, error) = said(&["--ack", "L3"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("use L1 or L2"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("master.toml");
    fs::write(&config, "[master]\njournal_keep_free = 5_000_000_000\n").unwrap();
    let (code, error) = said(&["--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert!(error.contains("`journal_keep_free` is about a directory"), "{error}");
}

#[test]
fn a_master_without_file_descriptors_says_so_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_rollway")]);
    let master = Master::of(command, "localhost:0", dir.path(), Some(&said));
    let crowd: Vec<_> =
        (0..60).map(|_| std::net::TcpStream::connect(&master.address).unwrap()).collect();
    let deadline = Instant::now() + LIMIT;
    while !fs::read_to_string(&said).unwrap().contains("raise the limit of open files") {
        assert!(Instant::now() < deadline, "it does not say so");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(crowd);
    let input = dir.path().join("input");
    fs::write(&input, "hello\n").unwrap();
    assert_eq!(send(&input, &master.address, "c").wait().code(), Some(0));
    master.stop();
    assert_eq!(fs::read_to_string(dir.path().join("all.log")).unwrap(), "c|hello\n");
}

#[test]
fn a_send_goes_on_with_the_next_master_that_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let master = Master::start("localhost:0", dir.path());
    let mut sender = rollway()
        // Port 1 of this machine: nobody listens there.
        .args(["send", "--to", "localhost:1", "--to", &master.address, "--category", "c"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    sender.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    assert_eq!(Running(sender).wait().code(), Some(0));
    master.stop();
    assert_eq!(fs::read_to_string(dir.path().join("all.log")).unwrap(), "c|hello\n");
}

#[test]
fn the_journal_of_a_master_shows_when_and_from_where_events_came() {
    let dir = tempfile::tempdir().unwrap();
    let master = Master::start("localhost:0", dir.path());
    let input = dir.path().join("input");
    fs::write(&input, "hello\n").unwrap();
    assert_eq!(send(&input, &master.address, "c").wait().code(), Some(0));
    master.stop();
    let shown = rollway().args(["cat", "--json"]).arg(dir.path().join("master")).output().unwrap();
    let event: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(event["message"], "hello");
    assert!(event["peer"].as_str().unwrap().contains(':'), "{event}");
    assert!(event["received"].is_string(), "{event}");
    assert!(event.get("elsewhere").is_none());
}
