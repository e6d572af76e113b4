//! How fast each source may send.
//!
//! A frame that comes too early is not refused: it is read later. TCP then slows the worker down, and
//! its own journal keeps what it cannot send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::stats::Throttled;

/// Who was silent may send as much at once as in this time.
const BURST: Duration = Duration::from_secs(1);
/// Sources that are remembered.
const MAX_SOURCES: usize = 65_536;

/// The accounts of all sources.
pub(super) struct Quota {
    /// `None` without a limit; then there are no accounts.
    bytes_per_second: Option<u64>,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    of_sources: HashMap<u128, Account>,
    /// When those that are paid were last taken out, for want of room.
    swept_at: Option<Instant>,
}

/// What one source has sent.
struct Account {
    /// When it would have sent all of it at the speed that it may have.
    paid_at: Instant,
    frames: u64,
    waited: Duration,
}

impl Quota {
    pub(super) fn of(bytes_per_second: Option<u64>) -> Quota {
        Quota { bytes_per_second, accounts: Mutex::default() }
    }

    /// Puts a frame of so many bytes on the account of `source`; yields how long it has to wait.
    pub(super) fn take(&self, source: u128, bytes: usize, now: Instant) -> Duration {
        let Some(bytes_per_second) = self.bytes_per_second else { return Duration::ZERO };
        let cost = Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.has_room_for(source, now) {
            return BURST;
        }
        let fresh = Account { paid_at: now, frames: 0, waited: Duration::ZERO };
        let account = accounts.of_sources.entry(source).or_insert(fresh);
        account.paid_at = account.paid_at.max(now) + cost;
        let wait = account.paid_at.saturating_duration_since(now).saturating_sub(BURST);
        account.frames += u64::from(!wait.is_zero());
        account.waited += wait;
        wait
    }

    /// The sources that had to wait, in ascending order.
    pub(super) fn throttled(&self) -> Vec<Throttled> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = accounts.of_sources.iter().filter(|(_, account)| account.frames > 0);
        let mut throttled: Vec<_> = waited
            .map(|(source, account)| Throttled {
                source: *source,
                frames: account.frames,
                waited: account.waited,
            })
            .collect();
        throttled.sort_unstable_by_key(|throttled| throttled.source);
        throttled
    }
}

impl Accounts {
    /// Whether there is an account of `source` or room for one, if need be after a sweep.
    fn has_room_for(&mut self, source: u128, now: Instant) -> bool {
        if self.of_sources.len() < MAX_SOURCES || self.of_sources.contains_key(&source) {
            return true;
        }
        if self.swept_at.is_none_or(|swept_at| now >= swept_at + BURST) {
            self.of_sources.retain(|_, account| account.paid_at > now);
            self.swept_at = Some(now);
        }
        self.of_sources.len() < MAX_SOURCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_the_speed_that_it_may_have_and_no_other_one_pays_for_it() {
        let quota = Quota::of(Some(1000));
        let begun = Instant::now();
        assert_eq!(quota.take(1, 1000, begun), Duration::ZERO, "the burst");
        assert_eq!(quota.take(1, 500, begun), Duration::from_millis(500));
        assert_eq!(quota.take(1, 500, begun), Duration::from_millis(1000));
        assert_eq!(quota.take(2, 1000, begun), Duration::ZERO);
        let later = begun + Duration::from_secs(1);
        assert_eq!(quota.take(1, 0, later), Duration::ZERO, "paid but for the burst");
        let told = Throttled { source: 1, frames: 2, waited: Duration::from_millis(1500) };
        assert_eq!(quota.throttled(), [told]);
    }

    #[test]
    fn silence_earns_no_more_than_the_burst() {
        let quota = Quota::of(Some(1000));
        let begun = Instant::now();
        quota.take(1, 1, begun);
        let later = begun + Duration::from_secs(3600);
        assert_eq!(quota.take(1, 1500, later), Duration::from_millis(500));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let quota = Quota::of(None);
        assert_eq!(quota.take(1, usize::MAX, Instant::now()), Duration::ZERO);
        assert!(quota.throttled().is_empty());
    }

    #[test]
    fn the_accounts_have_a_bound() {
        let quota = Quota::of(Some(1000));
        let begun = Instant::now();
        for source in 0..2 * MAX_SOURCES as u128 {
            quota.take(source, 10, begun);
        }
        assert_eq!(quota.accounts.lock().unwrap().of_sources.len(), MAX_SOURCES);
        let later = begun + BURST;
        assert_eq!(quota.take(u128::MAX, 10, later), Duration::ZERO, "the paid ones made room");
    }
}
