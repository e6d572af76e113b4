//! A master, which the test runs, and whose file tells what has arrived.
//!
//! Covers: `Forwarder`.
//!
//! Skips, because it takes whole blocks and runs its own loop, into which the suite puts no faults:
//! - `slow`: `tests/master.rs` has masters that are slow to acknowledge
//! - `failing_and_recovering`: `tests/failover.rs` and `tests/half_open.rs` cut its connections
//! - `killed_before_settling`: `killed_at_any_instant` kills it there, too
//! - `killed_after_settling`: `killed_at_any_instant` kills it there, too
//! - `killed_between_two_steps`: it has no files of its own
//! - `poison_event`: a master refuses no event; what its own appenders refuse is a case of theirs
//! - `shutdown_deadline`: `tests/half_open.rs` has masters that never answer

use std::fs;
use std::path::Path;

use rollway::appender::{Forwarder, Open};
use rollway::journal::JournalOptions;
use rollway::master::Master;

use crate::suite::Subject;
use crate::support::message_file;

struct ToMaster;

impl Subject for ToMaster {
    const MAY_DOUBLE: bool = false;
    const SOURCE: &'static str = include_str!("forwarder.rs");

    fn beside(dir: &Path) -> Box<dyn std::any::Any> {
        let master = Master::builder()
            .listen("127.0.0.1:0")
            .journal(JournalOptions::directory(dir.join("master")))
            .appender("file", message_file(&dir.join("master.log")))
            .start()
            .unwrap();
        fs::write(dir.join("address"), master.local_addr().to_string()).unwrap();
        Box::new(master)
    }

    fn open(dir: &Path) -> Box<dyn Open> {
        Box::new(Forwarder::new(fs::read_to_string(dir.join("address")).unwrap()))
    }

    fn arrived(dir: &Path) -> Option<String> {
        fs::read_to_string(dir.join("master.log")).ok()
    }
}

conformance!(ToMaster);
