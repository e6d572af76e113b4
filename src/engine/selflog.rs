//! What rollway says about itself when it cannot say it in the log: one line on stderr.
//!
//! Bounded: at most ten lines at once and then one a second; what was held back is counted in the
//! next line.

use std::error::Error;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once.
const BURST: u32 = 10;
/// One more line may come after this time.
const REFILL: Duration = Duration::from_secs(1);

struct Bucket {
    lines: u32,
    refilled: Option<Instant>,
    held_back: u64,
}

static BUCKET: Mutex<Bucket> = Mutex::new(Bucket { lines: BURST, refilled: None, held_back: 0 });

/// Writes one line, unless there were too many. Never called from a log call.
pub(crate) fn warn(message: &str) {
    let Some(held_back) = admit(Instant::now()) else { return };
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to tell when stderr fails.
    let _ = match held_back {
        0 => writeln!(stderr, "rollway: {message}"),
        lines => writeln!(stderr, "rollway: {message} ({lines} lines were held back)"),
    };
}

/// Whether a line may come now, and how many were held back before it.
fn admit(now: Instant) -> Option<u64> {
    let mut bucket = BUCKET.lock().unwrap_or_else(PoisonError::into_inner);
    let since = *bucket.refilled.get_or_insert(now);
    let earned = now.saturating_duration_since(since).as_secs() / REFILL.as_secs();
    if earned > 0 {
        bucket.lines = BURST.min(bucket.lines + earned.min(u64::from(BURST)) as u32);
        bucket.refilled = Some(now);
    }
    if bucket.lines == 0 {
        bucket.held_back += 1;
        return None;
    }
    bucket.lines -= 1;
    Some(std::mem::take(&mut bucket.held_back))
}

/// An error with its causes, each behind a colon.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_held_back_and_counted() {
        let start = Instant::now() + Duration::from_secs(3600);
        let admitted = (0..100).filter(|_| admit(start).is_some()).count();
        assert!(admitted <= BURST as usize, "{admitted}");
        assert!(admit(start + REFILL).is_some_and(|held_back| held_back >= 90));
    }
}
