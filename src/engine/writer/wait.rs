//! How the writer waits for the next records.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Writer;
use crate::engine::WaitStrategy;

/// The first and the longest sleep of an adaptive wait.
pub(super) const SLEEP_MIN: Duration = Duration::from_micros(50);
const SLEEP_MAX: Duration = Duration::from_millis(10);
/// The first sleep of an adaptive wait while events come slowly.
const QUIET_SLEEP: Duration = Duration::from_micros(1500);
/// How long an adaptive wait looks again at once before it sleeps.
const SPIN: Duration = Duration::from_micros(20);
/// A pause between two looks at the rings, so that producers keep their cache lines.
const LOOK_PAUSE_SPINS: u32 = 20;

impl Writer {
    /// Runs until the engine is closed, then drains the rings until `deadline` says stop.
    pub(in crate::engine) fn run(&mut self, deadline: impl Fn() -> Option<Instant>) {
        let mut sleep = SLEEP_MIN;
        let mut idle_since = None;
        while !self.shared.is_closed() {
            if self.step() {
                (sleep, idle_since) = (if self.is_quiet { QUIET_SLEEP } else { SLEEP_MIN }, None);
                continue;
            }
            match self.shared.limits.wait {
                WaitStrategy::Spin | WaitStrategy::Manual => look_pause(),
                WaitStrategy::Sleep(pause) => self.sleep(pause),
                WaitStrategy::Adaptive => {
                    let since = *idle_since.get_or_insert_with(Instant::now);
                    if !self.is_quiet && since.elapsed() < SPIN {
                        look_pause();
                    } else {
                        let linger = self.shared.limits.linger;
                        let pause = match self.waiting_since {
                            Some(since) if self.is_quiet => linger.saturating_sub(since.elapsed()),
                            Some(_) => sleep.min(linger),
                            None => sleep,
                        };
                        self.sleep(pause.clamp(SLEEP_MIN, SLEEP_MAX));
                        sleep = (sleep * 2).min(SLEEP_MAX);
                    }
                }
            }
        }
        self.finish(&deadline);
    }

    /// Sleeps until somebody wakes the writer, `pause` at the most.
    fn sleep(&self, pause: Duration) {
        self.shared.writer_sleeps.store(true, Ordering::Relaxed);
        std::thread::park_timeout(pause);
        self.shared.writer_sleeps.store(false, Ordering::Relaxed);
    }
}

/// Leaves the rings alone for a moment: some 200 ns at least.
fn look_pause() {
    for _ in 0..LOOK_PAUSE_SPINS {
        std::hint::spin_loop();
    }
}
