//! What the workers of the demo say they have logged, against what the master's file holds.

use std::collections::HashMap;
use std::io::{self, BufRead};

/// Which thread of which run of which worker, in which phase.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Author {
    pub(super) worker: usize,
    pub(super) run: usize,
    pub(super) thread: usize,
    pub(super) is_paced: bool,
}

/// The events of one author.
#[derive(Default)]
struct Account {
    /// The first event and the one behind the last whose call returned.
    from: u64,
    until: u64,
    /// Whether it was killed: then one event more may have come.
    was_killed: bool,
    /// One bit for each event from `from` to `until`, and one more.
    seen: Vec<u64>,
}

/// All accounts.
#[derive(Default)]
pub(super) struct Books {
    accounts: HashMap<Author, Account>,
}

/// What the comparison found.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Balance {
    /// Calls that returned, in the full-speed phase.
    pub(super) emitted: u64,
    /// Of these, how many are in the file.
    pub(super) delivered: u64,
    /// The same of the paced phase.
    pub(super) paced: u64,
    pub(super) paced_delivered: u64,
    /// Events of calls that had not returned when their process was killed.
    pub(super) under_way: u64,
    /// Events of either phase that the file lacks.
    pub(super) lost: u64,
    /// Lines that the file has again.
    pub(super) duplicated: u64,
    /// Lines that nobody logged.
    pub(super) foreign: u64,
}

impl Books {
    /// Enters what a ledger says: the calls for events `from..until` have returned.
    pub(super) fn enter(&mut self, author: Author, from: u64, until: u64, was_killed: bool) {
        let words = (until.saturating_sub(from) / 64 + 1) as usize;
        let account = Account { from, until, was_killed, seen: vec![0; words] };
        self.accounts.insert(author, account);
    }

    /// Compares the books with the lines of the master's file.
    pub(super) fn balance(mut self, mut file: impl BufRead) -> io::Result<Balance> {
        let mut balance = Balance::default();
        let mut line = String::new();
        loop {
            line.clear();
            if file.read_line(&mut line)? == 0 {
                break;
            }
            match self.tick_off(line.trim_end_matches('\n')) {
                Some(true) => {}
                Some(false) => balance.duplicated += 1,
                None => balance.foreign += 1,
            }
        }
        for (author, account) in &self.accounts {
            let emitted = account.until.saturating_sub(account.from);
            let under_way = u64::from(account.has(emitted));
            let seen: u64 = account.seen.iter().map(|word| u64::from(word.count_ones())).sum();
            let delivered = seen - under_way;
            let (all, arrived) = if author.is_paced {
                (&mut balance.paced, &mut balance.paced_delivered)
            } else {
                (&mut balance.emitted, &mut balance.delivered)
            };
            *all += emitted;
            *arrived += delivered;
            balance.under_way += under_way;
            balance.lost += emitted - delivered;
        }
        Ok(balance)
    }

    /// Marks the event of a line as delivered. `Some(false)` when it was before, `None` when nobody
    /// logged it.
    fn tick_off(&mut self, line: &str) -> Option<bool> {
        let (author, event) = parse(line)?;
        let account = self.accounts.get_mut(&author)?;
        let place = event.checked_sub(account.from)?;
        let limit = account.until + u64::from(account.was_killed);
        if event >= limit {
            return None;
        }
        let is_new = !account.has(place);
        account.seen[(place / 64) as usize] |= 1 << (place % 64);
        Some(is_new)
    }
}

impl Account {
    fn has(&self, place: u64) -> bool {
        self.seen.get((place / 64) as usize).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }
}

/// Reads `worker 0 run 1 thread 0 event 17`.
fn parse(line: &str) -> Option<(Author, u64)> {
    let mut words = line.split(' ');
    let mut number = |name: &str| -> Option<usize> {
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    };
    let (worker, run, thread) = (number("worker")?, number("run")?, number("thread")?);
    let is_paced = match words.next()? {
        "paced" => true,
        "event" => false,
        _ => return None,
    };
    let event = words.next()?.parse().ok()?;
    words.next().is_none().then_some((Author { worker, run, thread, is_paced }, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: Author = Author { worker: 0, run: 0, thread: 0, is_paced: false };

    /// The balance of one author that has logged events 100 to 102.
    fn balance(was_killed: bool, events: &[u64]) -> Balance {
        let mut books = Books::default();
        books.enter(AUTHOR, 100, 103, was_killed);
        let line = |event| format!("worker 0 run 0 thread 0 event {event}\n");
        let file: String = events.iter().map(line).collect();
        books.balance(file.as_bytes()).unwrap()
    }

    #[test]
    fn what_arrived_once_is_delivered() {
        let expected = Balance { emitted: 3, delivered: 3, ..Balance::default() };
        assert_eq!(balance(false, &[100, 101, 102]), expected);
    }

    #[test]
    fn what_is_missing_is_lost_and_what_came_again_is_doubled() {
        let expected =
            Balance { emitted: 3, delivered: 2, lost: 1, duplicated: 1, ..Balance::default() };
        assert_eq!(balance(false, &[100, 102, 102]), expected);
    }

    #[test]
    fn a_killed_thread_may_have_one_event_more_and_nobody_else() {
        let expected = Balance { emitted: 3, delivered: 3, under_way: 1, ..Balance::default() };
        assert_eq!(balance(true, &[100, 101, 102, 103]), expected);
        assert_eq!(balance(true, &[100, 101, 102, 103, 104]).foreign, 1);
        assert_eq!(balance(false, &[100, 101, 102, 103]).foreign, 1);
    }

    #[test]
    fn a_word_boundary_is_no_border() {
        let mut books = Books::default();
        books.enter(AUTHOR, 0, 128, true);
        let line = |event| format!("worker 0 run 0 thread 0 event {event}\n");
        let file: String = (0..129).map(line).collect();
        let balance = books.balance(file.as_bytes()).unwrap();
        assert_eq!((balance.delivered, balance.under_way, balance.foreign), (128, 1, 0));
    }

    #[test]
    fn a_line_that_nobody_logged_is_foreign() {
        for line in ["", "worker 0 run 0 thread 0", "worker 1 run 0 thread 0 event 100", "x"] {
            let mut books = Books::default();
            books.enter(AUTHOR, 100, 103, false);
            assert_eq!(books.balance(format!("{line}\n").as_bytes()).unwrap().foreign, 1, "{line}");
        }
    }
}
