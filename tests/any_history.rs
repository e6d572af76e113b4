//! Whatever happens to a service, its files hold every event once and in order: random histories
//! against a plain list of what was logged.
//!
//! A kill is made by hand, between runs: the cursor file is put back to an earlier state of the same
//! run, and the end of the text file is cut or spoiled.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rollway::Guard;
use support::{PATIENCE, journal, lines, message_file, watchdog};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// So many events of so many bytes are logged.
    Log { events: usize, bytes: usize },
    /// Everything is flushed; a kill does not fall behind this.
    Flush,
    /// The service ends and starts.
    Restart,
    /// The service is killed; so many of the bytes written since the last flush are missing in the
    /// file, or are others.
    Kill { missing: u64, spoiled: u64 },
    /// The service ends, its file is renamed, and it starts. Or is killed first.
    Rotate { killed: bool, missing: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..40, 0_usize..300).prop_map(|(events, bytes)| Step::Log { events, bytes }),
        1 => (1_usize..4, 3000_usize..9000).prop_map(|(events, bytes)| Step::Log { events, bytes }),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        2 => (0_u64..2000, 0_u64..2000).prop_map(|(missing, spoiled)| Step::Kill { missing, spoiled }),
        1 => (any::<bool>(), 0_u64..2000).prop_map(|(killed, missing)| Step::Rotate { killed, missing }),
    ]
}

/// A service over several runs.
struct Service {
    dir: tempfile::TempDir,
    guard: Option<Guard>,
    logged: Vec<String>,
    rotated: Vec<PathBuf>,
    /// The cursor file and the length of the text file at the last flush of this run.
    flushed: (Vec<u8>, u64),
}

impl Service {
    fn new() -> Service {
        let dir = tempfile::tempdir().unwrap();
        let (logged, rotated, flushed) = (Vec::new(), Vec::new(), (Vec::new(), 0));
        let mut service = Service { dir, guard: None, logged, rotated, flushed };
        service.start();
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        let builder = rollway::builder()
            .journal_dir(self.path("journal"))
            .journal_max_bytes(64 << 20)
            .rings_dir(self.path("rings"))
            .ring_bytes(64 << 10)
            .appender("file", message_file(&self.path("app.log")));
        self.guard = Some(builder.start().unwrap());
        self.flush();
    }

    fn flush(&mut self) {
        self.guard.as_ref().unwrap().flush().unwrap();
        let slots = fs::read(self.path("journal/cursors/file.cursor")).unwrap();
        self.flushed = (slots, fs::metadata(self.path("app.log")).unwrap().len());
    }

    fn end(&mut self) {
        let report = self.guard.take().unwrap().shutdown(PATIENCE);
        assert_eq!((report.left(), report.dropped.total()), (0, 0), "{report:?}");
    }

    /// As if it had been killed, with the last bytes missing or others.
    fn kill(&mut self, missing: u64, spoiled: u64) {
        self.end();
        fs::write(self.path("journal/cursors/file.cursor"), &self.flushed.0).unwrap();
        let text = self.path("app.log");
        let mut bytes = fs::read(&text).unwrap();
        let unsettled = bytes.len() as u64 - self.flushed.1;
        bytes.truncate(bytes.len() - missing.min(unsettled) as usize);
        if let Some(last) = bytes[self.flushed.1 as usize..].iter_mut().rev().nth(spoiled as usize)
        {
            *last = last.wrapping_add(1);
        }
        write_in_place(&text, &bytes);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Log { events, bytes } => {
                let logger = self.guard.as_ref().unwrap().logger();
                for _ in 0..events {
                    let number = self.logged.len();
                    let ballast = "x".repeat(bytes);
                    rollway::info!(logger: logger, "{number} {ballast}");
                    self.logged.push(format!("{number} {ballast}"));
                }
            }
            Step::Flush => self.flush(),
            Step::Restart => {
                self.end();
                self.start();
            }
            Step::Kill { missing, spoiled } => {
                self.kill(missing, spoiled);
                self.start();
            }
            Step::Rotate { killed, missing } => {
                match killed {
                    true => self.kill(missing, u64::MAX),
                    false => self.end(),
                }
                let renamed = self.path(&format!("app.log.{}", self.rotated.len()));
                fs::rename(self.path("app.log"), &renamed).unwrap();
                self.rotated.push(renamed);
                self.start();
            }
        }
    }
}

/// Writes `bytes` into the file at `path`, which stays the same file.
fn write_in_place(path: &Path, bytes: &[u8]) {
    let file = fs::File::options().write(true).truncate(true).open(path).unwrap();
    std::io::Write::write_all(&mut &file, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_with_every_event_once_and_in_order(
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let _watchdog = watchdog();
        let mut service = Service::new();
        steps.into_iter().for_each(|step| service.take(step));
        service.end();
        let mut delivered: Vec<String> = service.rotated.iter().flat_map(|path| lines(path)).collect();
        delivered.extend(lines(&service.path("app.log")));
        prop_assert_eq!(&delivered, &service.logged);
        // What has been delivered may have made room: each start begins a segment.
        prop_assert!(service.logged.ends_with(&journal::messages(&service.path("journal"))));
    }
}
