//! The test binary, run again as a child that plays a part.
//!
//! The test asks [`part`] first: in a child it says which part to play, and the test plays it
//! instead of testing.

use std::process::{Command, Stdio};

const PART: &str = "ROLLWAY_TEST_PART";

/// The part that this process plays, if it is a child.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// A variable that the parent set with [`Command::env`].
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set for the child"))
}

/// A child that runs the calling test in `part`.
pub fn command(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(PART, part);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
