//! Debian's logrotate and coreutils' `tail -F` beside a program that logs: what is promised, and what
//! cannot be. Where they are missing, the test says so and is over.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rollway::Guard;
use rollway::appender::File;
use support::{PATIENCE, lines, message_file, wait_until, watchdog};

/// Rotations of one test.
const ROTATIONS: u64 = 5;
/// Between two events of one thread.
const PACE: Duration = Duration::from_micros(200);
/// As many as logrotate keeps, and more than there are.
const KEEP: u64 = 1_000;

/// The path of a program of the system, or `None` with a word on standard error.
fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: this system has no {name}");
    }
    found
}

fn start(dir: &Path, file: File) -> Guard {
    let builder = rollway::builder().journal_dir(dir.join("journal")).rings_dir(dir.join("rings"));
    builder.appender("file", file).start().unwrap()
}

/// Logs numbers until it is told to stop, while `beside` runs; returns how many.
fn log_beside(guard: &Guard, beside: impl FnOnce(&AtomicU64)) -> u64 {
    let (is_over, logged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let number = logged.load(Ordering::Relaxed);
                rollway::info!(logger: guard.logger(), "{number}");
                logged.store(number + 1, Ordering::Release);
                std::thread::sleep(PACE);
            }
        });
        // A panic in it must not leave the thread running.
        let end = End(&is_over);
        beside(&logged);
        drop(end);
    });
    logged.into_inner()
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Logrotate's configuration for one file, and a state file of its own.
struct Logrotate {
    program: PathBuf,
    dir: PathBuf,
}

impl Logrotate {
    fn new(dir: &Path, text: &Path, how: &str) -> Option<Logrotate> {
        let program = program("logrotate")?;
        let words = format!("rotate {KEEP}\nsize 1\nmissingok\nnodateext\n{how}\n");
        fs::write(dir.join("rotate.conf"), format!("{} {{\n{words}}}\n", text.display())).unwrap();
        // It reads no configuration that others may write.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.join("rotate.conf"), fs::Permissions::from_mode(0o644)).unwrap();
        Some(Logrotate { program, dir: dir.to_owned() })
    }

    fn rotate(&self) {
        let state = self.dir.join("rotate.state");
        let mut command = Command::new(&self.program);
        command.arg("--force").arg("--state").arg(state).arg(self.dir.join("rotate.conf"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The numbers of all lines: logrotate's oldest file has the greatest number.
fn numbers(text: &Path) -> Vec<u64> {
    let mut files = Vec::new();
    for number in (1..=KEEP).rev() {
        let file = text.with_file_name(format!("app.log.{number}"));
        if file.exists() {
            files.push(file);
        }
    }
    files.push(text.to_owned());
    files.iter().flat_map(|file| lines(file)).map(|line| line.parse().unwrap()).collect()
}

#[test]
fn logrotate_with_create_takes_files_away_and_no_line_is_lost_or_doubled() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let Some(logrotate) = Logrotate::new(dir.path(), &text, "create 0600") else { return };
    let guard = start(dir.path(), message_file(&text).check_moved_every_ms(10));
    let logged = log_beside(&guard, |_| {
        for _ in 0..ROTATIONS {
            wait_until("a line in the new file", || {
                fs::metadata(&text).is_ok_and(|found| found.len() > 0)
            });
            logrotate.rotate();
        }
    });
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert!(numbers(&text).into_iter().eq(0..logged));
    assert!(text.with_file_name(format!("app.log.{ROTATIONS}")).exists());
}

/// Between two lines of a program that is killed and started again, too.
#[test]
fn logrotate_between_two_runs_is_noticed_by_the_next_one() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let Some(logrotate) = Logrotate::new(dir.path(), &text, "nocreate") else { return };
    for run in 0..ROTATIONS {
        let guard = start(dir.path(), message_file(&text));
        rollway::info!(logger: guard.logger(), "{run}");
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        logrotate.rotate();
    }
    drop(start(dir.path(), message_file(&text)));
    assert!(numbers(&text).into_iter().eq(0..ROTATIONS));
}

/// What is written between logrotate's copy and its cut is gone, and nobody can know of it. The rest is
/// there once, in its order, and nothing is written behind a hole.
#[test]
fn logrotate_with_copytruncate_loses_only_what_was_written_between_its_two_steps() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let Some(logrotate) = Logrotate::new(dir.path(), &text, "copytruncate") else { return };
    let guard = start(dir.path(), message_file(&text).check_moved_every_ms(10));
    let logged = log_beside(&guard, |_| {
        for _ in 0..ROTATIONS {
            wait_until("a line in the cut file", || fs::metadata(&text).unwrap().len() > 0);
            logrotate.rotate();
        }
    });
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let found = numbers(&text);
    assert!(found.is_sorted_by(|one, next| one < next), "a line is doubled or out of order");
    let gaps = found.windows(2).filter(|pair| pair[1] != pair[0] + 1).count() as u64;
    assert!(gaps <= ROTATIONS, "{gaps} gaps");
    assert_eq!((found[0], found[found.len() - 1]), (0, logged - 1));
}

/// A reader that follows the name of a file. Killed when it is dropped.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn follow(text: &Path) -> Option<Tail> {
        let mut command = Command::new(program("tail")?);
        command.args(["-F", "-n", "+1", "--sleep-interval=0.05"]).arg(text);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Some(Tail { child, lines })
    }

    /// The numbers until the last one that is expected.
    fn until(&self, last: u64) -> Vec<u64> {
        let mut found = Vec::new();
        while found.last() != Some(&last) {
            let line = self.lines.recv_timeout(PATIENCE).expect("tail -F shows no more");
            found.push(line.parse().unwrap());
        }
        found
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Followed by name, a file is read to its end before the next one is opened. A reader misses a file
/// that comes and goes between two of its looks, hence the pauses.
#[test]
fn tail_by_name_sees_each_line_once_over_rotations() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("app.log");
    let guard = start(dir.path(), message_file(&text).rotate_at_bytes(20_000));
    guard.flush().unwrap();
    let Some(tail) = Tail::follow(&text) else { return };
    let rotated = |number: u64| text.with_file_name(format!("app.log.{number}"));
    let mut found = Vec::new();
    let logged = log_beside(&guard, |logged| {
        for number in 1..=ROTATIONS {
            wait_until("a rotation", || rotated(number).exists());
            // It has come as far as the file behind the rotation before that ends.
            found.extend(tail.until(logged.load(Ordering::Acquire)));
        }
    });
    guard.flush().unwrap();
    if found.last() != Some(&(logged - 1)) {
        found.extend(tail.until(logged - 1));
    }
    assert!(found.into_iter().eq(0..logged));
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}
