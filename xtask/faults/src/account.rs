//! What became of each event: the identity that ends every case.
//!
//! `emitted = delivered once + dropped, by counted reason + quarantined + still in a journal`, where
//! *emitted* is what the ledgers say. A program's events are messages `NAME/RUN/THREAD/NUMBER`, with
//! whatever padding behind a space. The one call of a thread that was under way when it was killed may
//! have left an event without an entry in the ledger.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::ledger::{Ledger, THREADS_MAX};
use crate::rotation;

/// Examples kept of each kind of fault.
const EXAMPLES_MAX: usize = 3;
/// The name of a thread that panics with the message of an event.
pub(crate) const PANICKING: &str = "panicking";
/// Set for an event that is in a journal or in quarantine; the bits below count its deliveries.
const KEPT: u8 = 0x80;

/// One thread of one run of one program.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Producer {
    name: String,
    run: usize,
    thread: usize,
}

/// Events as they are found, to be compared with the ledgers.
#[derive(Default)]
pub(crate) struct Account {
    seen: HashMap<Producer, Vec<u8>>,
    verdict: Verdict,
}

/// What the comparison says.
#[derive(Default, Clone, Debug)]
pub(crate) struct Verdict {
    /// Calls that returned.
    pub(crate) emitted: u64,
    /// Events that were delivered, each counted once.
    pub(crate) delivered: u64,
    /// Events that were not delivered and wait in a journal or in quarantine.
    pub(crate) kept: u64,
    /// Neither delivered nor kept. Dropped ones are among them.
    pub(crate) lost: Examples,
    pub(crate) doubled: Examples,
    /// No call stands behind it, or it is no event of ours at all.
    pub(crate) invented: Examples,
    /// Not in the order of its thread.
    pub(crate) disordered: Examples,
    /// The sum of the drops that the log itself told of.
    pub(crate) told_dropped: u64,
    /// Lines in which the log told of events that were lost with a file.
    pub(crate) told_lost: u64,
}

/// How often something happened, and the first few times.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Examples {
    pub(crate) count: u64,
    first: Vec<String>,
}

impl Examples {
    fn add(&mut self, example: impl FnOnce() -> String) {
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(example());
        }
        self.count += 1;
    }
}

impl Account {
    /// Takes what was delivered to `place`, in the order of its lines.
    pub(crate) fn deliver<T: AsRef<str>>(
        &mut self,
        place: &str,
        lines: impl IntoIterator<Item = T>,
    ) {
        let mut next = HashMap::new();
        for line in lines {
            let line = line.as_ref();
            let Some((producer, number)) = event_of(line) else {
                self.take_other(place, line);
                continue;
            };
            let next = next.entry(producer.clone()).or_insert(0);
            let seen = slot(self.seen.entry(producer).or_default(), number);
            if *seen & !KEPT > 0 {
                self.verdict.doubled.add(|| format!("{line:.40} in {place}"));
            } else {
                self.verdict.delivered += 1;
                if number < *next {
                    self.verdict.disordered.add(|| format!("{line:.40} in {place}"));
                }
            }
            // Not beyond the flag.
            *seen = (*seen & KEPT) | ((*seen & !KEPT) + 1).min(KEPT - 1);
            *next = (*next).max(number + 1);
        }
    }

    /// Takes the lines of a text file as [`Account::deliver`]. A missing file has none.
    pub(crate) fn deliver_file(&mut self, path: &Path) -> io::Result<()> {
        self.deliver_files(&[path])
    }

    /// Takes the lines of several text files that were written one after the other.
    pub(crate) fn deliver_files<P: AsRef<Path>>(&mut self, paths: &[P]) -> io::Result<()> {
        let mut failed = None;
        let lines = paths.iter().flat_map(|path| {
            let file = match rotation::open(path.as_ref()) {
                Ok(file) => Some(file),
                Err(error) => {
                    failed = (error.kind() != io::ErrorKind::NotFound).then_some(error);
                    None
                }
            };
            file.into_iter().flat_map(|file| BufReader::new(file).split(b'\n'))
        });
        let mut torn = None;
        let lines = lines.map_while(|line| match line {
            Ok(line) => Some(String::from_utf8_lossy(&line).into_owned()),
            Err(error) => {
                torn = Some(error);
                None
            }
        });
        let place = paths.last().and_then(|path| path.as_ref().file_name()).unwrap_or_default();
        self.deliver(&place.to_string_lossy(), lines);
        failed.or(torn).map_or(Ok(()), Err)
    }

    /// Takes what lies in a journal or in quarantine, delivered or not.
    pub(crate) fn keep<T: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = T>) {
        for line in lines {
            if let Some((producer, number)) = event_of(line.as_ref()) {
                *slot(self.seen.entry(producer).or_default(), number) |= KEPT;
            }
        }
    }

    /// How many of the first `events` of a thread were neither delivered nor kept.
    pub(crate) fn missing(&self, name: &str, run: usize, thread: usize, events: u64) -> u64 {
        let producer = Producer { name: name.to_owned(), run, thread };
        let found = self.seen.get(&producer).map(Vec::as_slice).unwrap_or_default();
        let is_missing = |number: &u64| found.get(*number as usize).is_none_or(|seen| *seen == 0);
        (0..events).filter(is_missing).count() as u64
    }

    /// Compares with the ledgers of all programs, by their names.
    pub(crate) fn settle(self, ledgers: &[(&str, &Ledger)]) -> io::Result<Verdict> {
        let Account { mut seen, mut verdict } = self;
        for (name, ledger) in ledgers {
            for run in 0..ledger.runs()? {
                for thread in 0..THREADS_MAX {
                    let returned = ledger.returned(run, thread)?;
                    let producer = Producer { name: (*name).to_owned(), run, thread };
                    let found = seen.remove(&producer).unwrap_or_default();
                    verdict.settle(&producer, returned, &found);
                }
            }
        }
        for (producer, found) in seen {
            verdict.settle(&producer, 0, &found);
            // No run of the ledgers: not even a call under way stands behind it.
            verdict.invented.add(|| format!("a run {producer:?} that no ledger has"));
        }
        Ok(verdict)
    }

    /// What is no event of a program: the log may tell of drops, everything else is invented.
    fn take_other(&mut self, place: &str, line: &str) {
        let told =
            line.split_once(" events were dropped").and_then(|(count, _)| count.parse().ok());
        match told {
            Some(count) => {
                self.verdict.told_dropped += {
                    let count: u64 = count;
                    count
                }
            }
            None if line.contains(" bytes of events are lost: ") => self.verdict.told_lost += 1,
            None => self.verdict.invented.add(|| {
                let front: String = line.chars().take(40).collect();
                format!("{front:?} in {place}")
            }),
        }
    }
}

impl Verdict {
    /// Whether each event was delivered once or is kept, but for `dropped` ones, in order.
    pub(crate) fn holds(&self, dropped: u64) -> bool {
        self.lost.count == dropped
            && self.doubled.count + self.invented.count + self.disordered.count == 0
    }

    /// [`Verdict::holds`] without drops, or what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_with_dropped(0)
    }

    /// [`Verdict::holds`], or what is wrong.
    pub(crate) fn check_with_dropped(&self, dropped: u64) -> Result<(), String> {
        if self.holds(dropped) { Ok(()) } else { Err(format!("{self}, {dropped} dropped")) }
    }

    fn settle(&mut self, producer: &Producer, returned: u64, found: &[u8]) {
        self.emitted += returned;
        let Producer { name, run, thread } = producer;
        for number in 0..returned.max(found.len() as u64) {
            let seen = found.get(number as usize).copied().unwrap_or(0);
            if seen == KEPT {
                self.kept += 1;
            }
            if seen == 0 && number < returned {
                self.lost.add(|| format!("{name}/{run}/{thread}/{number}"));
            } else if seen != 0 && number > returned {
                self.invented.add(|| format!("{name}/{run}/{thread}/{number} of {returned}"));
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (emitted, delivered, kept) = (self.emitted, self.delivered, self.kept);
        write!(f, "{emitted} emitted, {delivered} delivered, {kept} kept")?;
        for (what, examples) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("invented", &self.invented),
            ("out of order", &self.disordered),
        ] {
            write!(f, ", {} {what}", examples.count)?;
            if !examples.first.is_empty() {
                write!(f, " ({})", examples.first.join(", "))?;
            }
        }
        Ok(())
    }
}

/// The message of one event.
pub(crate) fn message(name: &str, run: usize, thread: usize, number: u64, padding: &str) -> String {
    let space = if padding.is_empty() { "" } else { " " };
    format!("{name}/{run}/{thread}/{number}{space}{padding}")
}

/// The number in a message, if it is one of an event.
pub(crate) fn number_of(message: &str) -> Option<u64> {
    event_of(message).map(|(_, number)| number)
}

fn event_of(line: &str) -> Option<(Producer, u64)> {
    // An event that a thread panicked with is logged with these words in front.
    let panicked = line.strip_prefix("thread `").and_then(|rest| rest.strip_prefix(PANICKING));
    let panicked = panicked.and_then(|rest| rest.strip_prefix("` panicked: "));
    let id = panicked.unwrap_or(line).split(' ').next()?;
    let mut parts = id.split('/');
    let name = parts.next()?.to_owned();
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (run, thread, number) = (number()? as usize, number()? as usize, number()?);
    // A damaged number must not ask for all the memory there is.
    let is_sane = parts.next().is_none() && thread < THREADS_MAX && number < 1 << 32;
    is_sane.then_some((Producer { name, run, thread }, number))
}

fn slot(seen: &mut Vec<u8>, number: u64) -> &mut u8 {
    let at = number as usize;
    if seen.len() <= at {
        seen.resize(at + 1, 0);
    }
    &mut seen[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on some lines, for a program `a` whose only thread has had 3 calls return.
    fn verdict(delivered: &[&str], kept: &[&str]) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
        let run = ledger.begin_run().unwrap();
        ledger.set_returned(run, 0, 3).unwrap();
        let mut account = Account::default();
        account.deliver("app.log", delivered);
        account.keep(kept);
        account.settle(&[("a", &ledger)]).unwrap()
    }

    #[test]
    fn every_event_once_and_in_order_holds() {
        let all = ["a/0/0/0", "a/0/0/1 padding", "a/0/0/2"];
        assert!(verdict(&all, &[]).holds(0));
        assert!(verdict(&all, &all).holds(0));
        // The call that was under way.
        assert!(verdict(&["a/0/0/0", "a/0/0/1", "a/0/0/2", "a/0/0/3"], &[]).holds(0));
    }

    #[test]
    fn an_event_that_a_thread_panicked_with_counts_as_one() {
        let with = |last| verdict(&["a/0/0/0", "a/0/0/1", last], &[]);
        assert!(with("thread `panicking` panicked: a/0/0/2").holds(0));
        assert!(!with("thread `other` panicked: a/0/0/2").holds(0));
    }

    #[test]
    fn an_event_that_waits_in_a_journal_is_not_lost() {
        let verdict = verdict(&["a/0/0/0"], &["a/0/0/0", "a/0/0/1", "a/0/0/2"]);
        assert!(verdict.holds(0), "{verdict}");
        assert_eq!((verdict.delivered, verdict.kept), (1, 2));
    }

    #[test]
    fn losses_hold_only_if_as_many_were_counted() {
        let verdict = verdict(&["a/0/0/0", "2 events were dropped: ring full 2"], &[]);
        assert!(!verdict.holds(0) && !verdict.holds(1) && verdict.holds(2), "{verdict}");
        assert_eq!(verdict.told_dropped, 2);
        assert!(verdict.check_with_dropped(1).unwrap_err().contains("a/0/0/1"));
    }

    #[test]
    fn a_loss_that_the_log_tells_of_is_no_event_and_stays_a_loss() {
        let told = "512 bytes of events are lost: the file of a ring was cut";
        let verdict = verdict(&["a/0/0/0", told, "a/0/0/2"], &[]);
        assert_eq!((verdict.told_lost, verdict.lost.count, verdict.invented.count), (1, 1, 0));
        assert!(!verdict.holds(0));
    }

    #[test]
    fn what_comes_twice_out_of_order_or_from_nowhere_is_found() {
        let all = ["a/0/0/0", "a/0/0/1", "a/0/0/2"];
        for (wrong, count) in [
            ("a/0/0/1", |verdict: &Verdict| verdict.doubled.count),
            ("a/0/0/4", |verdict: &Verdict| verdict.invented.count),
            ("a/0/1/2", |verdict: &Verdict| verdict.invented.count),
            ("b/0/0/0", |verdict: &Verdict| verdict.invented.count),
            ("a/0/0/", |verdict: &Verdict| verdict.invented.count),
        ] as [(&str, fn(&Verdict) -> u64); 5]
        {
            let verdict = verdict(&[&all[..], &[wrong]].concat(), &[]);
            assert_eq!(count(&verdict), 1, "{wrong}: {verdict}");
            assert!(!verdict.holds(0));
        }
        let verdict = verdict(&["a/0/0/1", "a/0/0/0", "a/0/0/2"], &[]);
        assert_eq!(verdict.disordered.count, 1);
        assert!(!verdict.holds(0));
    }
}
