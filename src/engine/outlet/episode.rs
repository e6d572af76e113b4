//! One time of failure: from the first try that failed to the first that did not.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime};

use super::OutletState;

/// The first pause after a failure, doubled with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longer pauses are cut by up to a quarter at random, so that many processes do not come back
/// to one destination at once.
const PAUSE_EXACT: Duration = Duration::from_secs(1);

/// A time of failure.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// Why the last try failed.
    pub(super) reason: String,
    attempts: u64,
    since: SystemTime,
    began: Instant,
    next: SystemTime,
}

impl Episode {
    /// Counts a failed try. Returns whether it begins an episode, or has another reason than the last.
    pub(super) fn failed(episode: &mut Option<Episode>, reason: &str) -> bool {
        let now = SystemTime::now();
        let reason = reason.to_owned();
        match episode {
            Some(episode) => {
                let is_new = episode.reason != reason;
                (episode.reason, episode.attempts) = (reason, episode.attempts + 1);
                episode.next = now;
                is_new
            }
            None => {
                let (attempts, since, began, next) = (1, now, Instant::now(), now);
                *episode = Some(Episode { reason, attempts, since, began, next });
                true
            }
        }
    }

    /// The next try comes after this pause.
    pub(super) fn wait(&mut self, pause: Duration) {
        self.next = SystemTime::now() + pause;
    }

    pub(super) fn state(&self) -> OutletState {
        OutletState::Retrying { attempts: self.attempts, since: self.since, next: self.next }
    }

    /// How long it took and how many tries.
    pub(super) fn summary(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        format!("after {seconds:.1} s and {} tries that failed", self.attempts)
    }
}

/// The pauses between tries.
pub(super) struct Backoff {
    pause: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses up to `max`.
    pub(super) fn new(max: Duration) -> Backoff {
        Backoff { pause: PAUSE_MIN.min(max), max }
    }

    /// The pause before the next try.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.max);
        // A fresh hasher has random keys.
        let quarters = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
        let cut = pause.mul_f64(1.0 - quarters / 4.0);
        cut.max(pause.min(PAUSE_EXACT))
    }

    /// A try succeeded.
    pub(super) fn reset(&mut self) {
        self.pause = PAUSE_MIN.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_destination_is_tried_after_a_second_and_not_more_often() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let pauses: Vec<_> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(), PAUSE_MIN);
    }

    #[test]
    fn many_processes_do_not_come_back_at_once() {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        let pauses: Vec<_> = (0..100).map(|_| backoff.next()).skip(10).collect();
        let (least, most) = (Duration::from_millis(3750), Duration::from_secs(5));
        assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{pauses:?}");
        assert!(pauses.windows(2).any(|two| two[0] != two[1]));
    }

    #[test]
    fn an_episode_is_told_once_for_each_reason() {
        let mut episode = None;
        assert!(Episode::failed(&mut episode, "full"));
        assert!(!Episode::failed(&mut episode, "full"));
        assert!(Episode::failed(&mut episode, "ill"));
        let attempts = match episode.unwrap().state() {
            OutletState::Retrying { attempts, .. } => attempts,
            _ => 0,
        };
        assert_eq!(attempts, 3);
    }
}
