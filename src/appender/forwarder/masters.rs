//! Which of several masters gets the blocks, and from where in the journal on.

use std::fmt;
use std::time::{Duration, Instant};

use crate::journal::{Position, TextFileMark};
use crate::net::{Reason, host_and_port};

/// A master that has not worked for this time is left for the next one.
const FAIL_OVER_AFTER: Duration = Duration::from_secs(5);

/// The masters of a forwarder, in the order in which they are tried.
pub(super) struct Masters {
    list: Vec<Address>,
    at: usize,
    /// Since when the present one does not work.
    failing_since: Option<Instant>,
    /// How many were left since one worked.
    left: usize,
}

/// Where a master listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Its number in a cursor; never 0, which stands for none.
    fn number(&self) -> u32 {
        crc32c::crc32c(self.to_string().as_bytes()).max(1)
    }
}

impl Masters {
    /// Begins with the first of `addresses`.
    ///
    /// # Errors
    /// What is wrong with one of them, with the remedy.
    pub(super) fn new(addresses: &[String]) -> Result<Masters, &'static str> {
        let split =
            |address: &String| host_and_port(address).map(|(host, port)| Address { host, port });
        let list = addresses.iter().map(split).collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err("it has no master; name at least one");
        }
        Ok(Masters { list, at: 0, failing_since: None, left: 0 })
    }

    pub(super) fn present(&self) -> &Address {
        &self.list[self.at]
    }

    /// Whether another master than the present one can have been sent something.
    fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// The present one does what it should.
    pub(super) fn worked(&mut self) {
        (self.failing_since, self.left) = (None, 0);
    }

    /// The present one has not worked since `since`. Says whether another one takes its place: at
    /// once when only another release could help, never when somebody newer owns the source, else
    /// after [`FAIL_OVER_AFTER`].
    pub(super) fn failed(&mut self, since: Instant, now: Instant, reason: Option<Reason>) -> bool {
        let since = *self.failing_since.get_or_insert(since);
        let is_left = match reason {
            Some(Reason::Fenced | Reason::Superseded) => false,
            Some(Reason::Version | Reason::Format) => true,
            _ => now.saturating_duration_since(since) >= FAIL_OVER_AFTER,
        };
        let moves = is_left && self.are_several();
        if moves {
            self.at = (self.at + 1) % self.list.len();
            self.failing_since = None;
            self.left += 1;
        }
        moves
    }

    /// Whether every master was left since one worked.
    pub(super) fn were_all_left(&self) -> bool {
        self.left >= self.list.len()
    }
}

/// What a cursor remembers of the masters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Record {
    /// The number of the one that gets the blocks; 0 for none yet.
    master: u32,
    /// Where it took over: what lies before, another one has.
    pub(super) from: Position,
    /// Blocks before this place may have been sent to another one.
    pub(super) elsewhere: Position,
}

impl Record {
    /// What a cursor says, if one can be trusted. Without it, whatever lies before `sent` may be
    /// with any of several masters.
    pub(super) fn of(stored: Option<TextFileMark>, masters: &Masters, sent: Position) -> Record {
        match stored {
            Some(mark) => Record::from(mark),
            None if masters.are_several() => Record { elsewhere: sent, ..Record::default() },
            None => Record::default(),
        }
    }

    /// Makes the present master the one that gets the blocks. `settled` is the place up to which
    /// everything is acknowledged, `sent` the one up to which something was sent. Says whether
    /// that changes the record.
    pub(super) fn take_over(
        &mut self,
        masters: &Masters,
        settled: Position,
        sent: Position,
    ) -> bool {
        let number = masters.present().number();
        if self.master == number {
            return false;
        }
        // One that is not in the list is the same one under its former name.
        if masters.list.iter().any(|master| master.number() == self.master) {
            self.from = Position { index: 0, ..settled };
            self.elsewhere = self.elsewhere.max(sent);
        }
        self.master = number;
        true
    }
}

/// In the fields of a cursor that other destinations need: see `docs/format.md`.
impl From<Record> for TextFileMark {
    fn from(record: Record) -> TextFileMark {
        TextFileMark {
            device: record.from.generation,
            inode: record.from.offset,
            length: record.elsewhere.generation,
            layout: record.elsewhere.offset,
            tail: record.master,
            ..TextFileMark::default()
        }
    }
}

impl From<TextFileMark> for Record {
    fn from(mark: TextFileMark) -> Record {
        let position = |generation, offset| Position { generation, offset, index: 0 };
        Record {
            master: mark.tail,
            from: position(mark.device, mark.inode),
            elsewhere: position(mark.length, mark.layout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(names: &[&str]) -> Masters {
        Masters::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn at(offset: u64) -> Position {
        Position { generation: 3, offset, index: 0 }
    }

    #[test]
    fn a_master_that_does_not_work_for_a_while_is_left_and_the_first_follows_the_last() {
        let mut masters = masters(&["a", "b"]);
        let begun = Instant::now();
        assert!(!masters.failed(begun, begun, None));
        assert!(!masters.failed(begun + FAIL_OVER_AFTER / 2, begun + FAIL_OVER_AFTER / 2, None));
        let later = begun + FAIL_OVER_AFTER;
        assert!(masters.failed(later, later, None));
        assert_eq!((masters.present().host.as_str(), masters.were_all_left()), ("b", false));
        assert!(masters.failed(later, later + FAIL_OVER_AFTER, Some(Reason::Stopping)));
        assert_eq!((masters.present().host.as_str(), masters.were_all_left()), ("a", true));
        masters.worked();
        assert!(!masters.were_all_left());
    }

    #[test]
    fn a_success_gives_a_master_its_time_again() {
        let mut masters = masters(&["a", "b"]);
        let begun = Instant::now();
        assert!(!masters.failed(begun, begun, None));
        masters.worked();
        let later = begun + 2 * FAIL_OVER_AFTER;
        assert!(!masters.failed(later, later, None));
    }

    #[test]
    fn only_another_release_moves_a_worker_at_once_and_a_newer_owner_never_does() {
        let now = Instant::now();
        for reason in [Reason::Version, Reason::Format] {
            assert!(masters(&["a", "b"]).failed(now, now, Some(reason)));
            assert!(!masters(&["a"]).failed(now, now, Some(reason)), "there is no other one");
        }
        for reason in [Reason::Fenced, Reason::Superseded] {
            let later = now + 100 * FAIL_OVER_AFTER;
            assert!(!masters(&["a", "b"]).failed(now, later, Some(reason)));
        }
    }

    #[test]
    fn the_next_master_takes_over_where_the_first_has_acknowledged() {
        let mut masters = masters(&["a", "b"]);
        let mut record = Record::default();
        assert!(record.take_over(&masters, at(64), at(640)));
        assert_eq!((record.from, record.elsewhere), (Position::default(), Position::default()));
        assert!(!record.take_over(&masters, at(128), at(640)), "it is the same one");

        masters.at = 1;
        assert!(record.take_over(&masters, at(128), at(640)));
        assert_eq!((record.from, record.elsewhere), (at(128), at(640)));

        // Back before anything more was sent: what the first had stays elsewhere.
        masters.at = 0;
        assert!(record.take_over(&masters, at(256), at(512)));
        assert_eq!((record.from, record.elsewhere), (at(256), at(640)));
        assert_eq!(Record::from(TextFileMark::from(record)), record);
    }

    #[test]
    fn a_master_that_is_not_in_the_list_any_more_was_the_same_one() {
        let mut record = Record::default();
        record.take_over(&masters(&["old"]), at(64), at(64));
        assert!(record.take_over(&masters(&["new", "other"]), at(128), at(640)));
        assert_eq!((record.from, record.elsewhere), (Position::default(), Position::default()));
    }
}
