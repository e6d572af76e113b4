//! What rollway says about itself when it cannot say it in the log: one line on stderr.
//!
//! Bounded: at most ten lines at once and then one a second; what was held back is counted in the
//! next line.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::sys::per_process::PerProcess;

/// A longer line is cut. What poll(2) calls writable takes this much without waiting.
const LINE_BYTES_MAX: usize = 3500;
/// Lines that may come at once.
const BURST: u32 = 10;
/// One more line may come after this time.
const REFILL: Duration = Duration::from_secs(1);

struct Bucket {
    lines: u32,
    refilled: Option<Instant>,
    held_back: u64,
}

static BUCKET: PerProcess<Mutex<Bucket>> =
    PerProcess::new(|| Mutex::new(Bucket { lines: BURST, refilled: None, held_back: 0 }));

/// Writes one line, unless there were too many. Never called from a log call.
pub(crate) fn warn(message: &str) {
    let Some(held_back) = admit(Instant::now()) else { return };
    let mut line = format!("rollway: {message}");
    line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
    if held_back > 0 {
        line.push_str(&format!(" ({held_back} lines were held back)"));
    }
    line.push('\n');
    write_now(line.as_bytes());
}

/// Writes to stderr if it takes a whole line right now. Past the standard library's lock, which a
/// console appender may hold while nobody reads the other end.
fn write_now(line: &[u8]) {
    let stderr = rustix::stdio::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if rustix::event::poll(&mut ready, Some(&at_once)).is_ok_and(|ready| ready > 0) {
        // Nobody is left to tell when stderr fails.
        let _ = rustix::io::write(stderr, line);
    }
}

/// Whether a line may come now, and how many were held back before it.
fn admit(now: Instant) -> Option<u64> {
    let mut bucket = BUCKET.get().lock().unwrap_or_else(PoisonError::into_inner);
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
