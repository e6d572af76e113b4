//! Waits of the bench for what the programs under test do.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::case::Failure;
use crate::program::PATIENCE;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Waits until `reached`, at most [`PATIENCE`], and says how long it took.
pub(crate) fn until(
    what: &str,
    reached: impl FnMut() -> io::Result<bool>,
) -> Result<Duration, Failure> {
    until_within(PATIENCE, what, reached)
}

/// Waits until `reached`, at most `limit`, and says how long it took.
pub(crate) fn until_within(
    limit: Duration,
    what: &str,
    mut reached: impl FnMut() -> io::Result<bool>,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    while !reached()? {
        if began.elapsed() > limit {
            return Err(format!("{what}: not within {limit:?}").into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(began.elapsed())
}

/// Bytes of a file; a missing one has none.
pub(crate) fn file_bytes(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
