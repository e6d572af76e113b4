//! The open files, and who of them gets what of a batch.

use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::home::{Found, Home};
use super::name::{encoded, is_suspicious, own};
use super::{Key, Missing, Template};
use crate::appender::bookmark::Bookmark;
use crate::appender::file::{TextFile, an_earlier_sync_failed};
use crate::appender::{AppendError, Appender, Batch, Counts};
use crate::journal::Position;

/// Where events of values go that have no file of their own.
const MORE: &str = "more";
/// How long the sync of a file may take that is closed.
const SYNC_WAIT: Duration = Duration::from_secs(5);
/// Messages that wait for the outlet to ask for them. Beyond it they are not told.
const NOTICES_MAX: usize = 32;
/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 80;

/// The appender behind [`PerValue`](super::PerValue).
pub(super) struct Files {
    home: Home,
    key: Key,
    missing: Missing,
    open_files_max: usize,
    files_max: usize,
    close_idle_after: Duration,
    template: Template,
    bookmark: Bookmark,
    /// By the name of the file.
    open: HashMap<String, OpenFile>,
    /// Files that were closed while others did not have their part of the batch yet: where they are.
    ahead: HashMap<String, Position>,
    /// Files of values in the directory.
    known: usize,
    /// Files that were opened so far: no more than there are.
    opened: HashSet<String>,
    /// Files that an earlier run wrote and did not sync.
    unsynced: Vec<String>,
    /// What a file got may be lost with the power, whatever a later sync says.
    has_sync_failed: bool,
    /// It was told that there are too many values.
    is_full: bool,
    /// Counts the parts of batches that were handed over.
    turn: u64,
    missed: Missed,
    notices: VecDeque<io::Error>,
    value: String,
}

/// What the appender begins with.
pub(super) struct Parts {
    pub(super) home: Home,
    pub(super) key: Key,
    pub(super) missing: Missing,
    pub(super) open_files_max: usize,
    pub(super) files_max: usize,
    pub(super) close_idle_after: Duration,
    pub(super) template: Template,
    pub(super) bookmark: Bookmark,
    pub(super) found: Found,
}

/// One open file.
struct OpenFile {
    text: TextFile,
    /// When it was written last.
    turn: u64,
    at: Instant,
    /// What was written of its last batch is to be found out: it stays open.
    is_failing: bool,
    /// Something was written since the last sync.
    is_unsynced: bool,
}

/// Events without the value.
#[derive(Default)]
struct Missed {
    events: u64,
    told: u64,
}

/// Which file each event of a batch goes to.
#[derive(Default)]
struct Sorted {
    /// In the order of their first event.
    names: Vec<String>,
    /// The number of each name.
    numbers: HashMap<String, usize>,
    /// Numbers of names.
    files: HashMap<Position, usize>,
    /// How many of the names have no file yet.
    new: usize,
    missed: u64,
}

impl Files {
    pub(super) fn new(parts: Parts) -> Files {
        Files {
            home: parts.home,
            key: parts.key,
            missing: parts.missing,
            open_files_max: parts.open_files_max,
            files_max: parts.files_max,
            close_idle_after: parts.close_idle_after,
            template: parts.template,
            bookmark: parts.bookmark,
            open: HashMap::new(),
            ahead: HashMap::new(),
            known: parts.found.known,
            opened: HashSet::new(),
            unsynced: parts.found.unsynced,
            has_sync_failed: false,
            is_full: false,
            turn: 0,
            missed: Missed::default(),
            notices: VecDeque::new(),
            value: String::new(),
        }
    }

    /// Finds the file of each event.
    fn sort(&mut self, batch: &Batch<'_>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut numbers = HashMap::new();
        let mut value = std::mem::take(&mut self.value);
        batch.for_each_at(|at, event| {
            let has_value = self.key.find(event, &mut value);
            // The empty value is nobody's: it stands for those that have none.
            let number = match numbers.get(&value) {
                Some(number) => *number,
                None => {
                    let name = match has_value {
                        true => Some(self.name_of(&value, &mut sorted.new)),
                        false => self.name_of_missing(),
                    };
                    let number = name.map(|name| sorted.number(name));
                    numbers.insert(value.clone(), number);
                    number
                }
            };
            match number {
                Some(number) => drop(sorted.files.insert(at, number)),
                None => sorted.missed += 1,
            }
        });
        self.value = value;
        sorted
    }

    /// The name of a value's file. `new` counts the files that the batch at hand makes.
    fn name_of(&mut self, value: &str, new: &mut usize) -> String {
        let name = encoded(value);
        if self.opened.contains(&name) || self.home.has(&name) {
            return name;
        }
        if self.known + *new >= self.files_max {
            if !self.is_full {
                self.is_full = true;
                self.tell(io::Error::other(format!(
                    "{} values have a file: the events of others go to `{}`; raise files_max, or \
                     choose a key with fewer values",
                    self.files_max,
                    own(MORE)
                )));
            }
            return own(MORE);
        }
        *new += 1;
        if is_suspicious(value) {
            let shown: String = value.chars().take(SHOWN_MAX).collect();
            self.tell(io::Error::other(format!(
                "the value {shown:?} looks like a path: its events go to `{name}`"
            )));
        }
        name
    }

    fn name_of_missing(&self) -> Option<String> {
        match &self.missing {
            Missing::File(name) => Some(own(name)),
            Missing::Drop => None,
        }
    }

    /// Hands a file its part of the batch, unless it has it.
    fn write(
        &mut self,
        batch: &Batch<'_>,
        name: &str,
        is_its: &dyn Fn(Position) -> bool,
    ) -> Result<(), AppendError> {
        let ahead = self.ahead.get(name).copied().unwrap_or_default();
        if ahead >= batch.next() {
            return Ok(());
        }
        self.reach(name, batch.position())?;
        let Some(file) = self.open.get_mut(name) else { return Ok(()) };
        self.turn += 1;
        (file.turn, file.at) = (self.turn, Instant::now());
        let from = ahead.max(file.text.settled());
        if from >= batch.next() {
            return Ok(());
        }
        let counts = Cell::new(Counts::default());
        let is_wanted = |at: Position| at >= from && is_its(at);
        file.is_unsynced = true;
        let written = file.text.append(&batch.chosen(&counts, &is_wanted));
        file.is_failing = written.is_err();
        if let Some(notice) = file.text.take_notice() {
            self.tell(notice);
        }
        written
    }

    /// Opens the file unless it is open, and moves its position on to `begin`: before that it has no
    /// events that it does not have.
    fn reach(&mut self, name: &str, begin: Position) -> Result<(), AppendError> {
        if !self.open.contains_key(name) {
            self.make_room()?;
            let was_open = self.opened.contains(name);
            let is_new = !was_open && !self.home.has(name);
            let opened = self.home.open(name, &self.template, was_open, begin);
            let text = opened.map_err(|source| AppendError::Unavailable { source })?;
            self.known += usize::from(is_new);
            self.opened.insert(name.to_owned());
            let (turn, at) = (self.turn, Instant::now());
            let file = OpenFile { text, turn, at, is_failing: false, is_unsynced: false };
            self.open.insert(name.to_owned(), file);
        }
        match self.open.get_mut(name) {
            Some(file) if file.text.settled() < begin => file.text.pass(begin),
            _ => Ok(()),
        }
    }

    /// Closes the file that was not written for the longest time, if there are too many.
    fn make_room(&mut self) -> Result<(), AppendError> {
        while self.open.len() >= self.open_files_max {
            let whole = self.open.iter().filter(|(_, file)| !file.is_failing);
            let oldest = whole.min_by_key(|(_, file)| file.turn).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else {
                let source = io::Error::other(format!(
                    "all of its {} open files fail; see to their disk, or raise open_files_max",
                    self.open.len()
                ));
                return Err(AppendError::Unavailable { source });
            };
            self.close(&oldest)?;
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        let is_idle =
            |file: &OpenFile| !file.is_failing && file.at.elapsed() >= self.close_idle_after;
        let idle = self.open.iter().filter(|(_, file)| is_idle(file));
        let idle: Vec<_> = idle.map(|(name, _)| name.clone()).collect();
        for name in idle {
            if let Err(error) = self.close(&name) {
                self.tell(told(error));
            }
        }
    }

    /// Syncs and closes a file that did not fail. When its position cannot be stored it stays open, and
    /// is the last to be tried again.
    fn close(&mut self, name: &str) -> Result<(), AppendError> {
        let Some(file) = self.open.get_mut(name) else { return Ok(()) };
        let settled = self.bookmark.settled();
        let mut synced = Ok(());
        if file.text.settled() < settled {
            synced = file.text.pass(settled);
        }
        if self.home.is_stored() {
            synced = synced.and_then(|()| file.text.sync(Instant::now() + SYNC_WAIT));
        }
        if let Err(error) = synced {
            if !file.text.has_sync_failed() {
                self.turn += 1;
                (file.turn, file.at) = (self.turn, Instant::now());
                return Err(error);
            }
            // It holds nothing up: a sync that failed once fails for good.
            self.has_sync_failed = true;
            self.tell(told(error));
        }
        if let Some(file) = self.open.remove(name)
            && file.text.settled() > settled
        {
            self.ahead.insert(name.to_owned(), file.text.settled());
        }
        Ok(())
    }

    /// Syncs what an earlier run wrote and did not sync. What cannot be synced now is as a sync that
    /// failed.
    fn sync_earlier(&mut self, deadline: Instant) {
        for name in std::mem::take(&mut self.unsynced) {
            if let Some(file) = self.open.get_mut(&name) {
                file.is_unsynced = true;
                continue;
            }
            let file = self.home.open(&name, &self.template, true, self.bookmark.settled());
            let synced = file.and_then(|mut file| file.sync(deadline).map_err(told));
            if let Err(error) = synced {
                self.has_sync_failed = true;
                self.tell(error);
            }
        }
    }

    /// Everything before `position` is settled in all files.
    fn settle(&mut self, position: Position) -> Result<(), AppendError> {
        self.bookmark.settle(position)?;
        self.ahead.clear();
        Ok(())
    }

    /// Does something with all open files, and returns the first error.
    fn each(
        &mut self,
        mut work: impl FnMut(&mut OpenFile) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        let mut outcome = Ok(());
        for file in self.open.values_mut() {
            outcome = outcome.and(work(file));
        }
        outcome
    }

    fn count_missed(&mut self, events: u64) {
        if let Some(total) = self.missed.add(events) {
            self.tell(io::Error::other(format!(
                "{total} events so far do not have what its files are named after, and were left out"
            )));
        }
    }

    fn tell(&mut self, notice: io::Error) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push_back(notice);
        }
    }
}

impl Sorted {
    /// The number of a file.
    fn number(&mut self, name: String) -> usize {
        match self.numbers.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.names.push(new.key().clone());
                *new.insert(self.names.len() - 1)
            }
        }
    }
}

impl Missed {
    /// Adds events. Their number, when it is to be told.
    fn add(&mut self, events: u64) -> Option<u64> {
        self.events += events;
        let is_due = self.events > 0 && self.events >= 2 * self.told;
        is_due.then(|| {
            self.told = self.events;
            self.events
        })
    }
}

impl Appender for Files {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.close_idle();
        let sorted = self.sort(batch);
        let mut written = Ok(());
        for (number, name) in sorted.names.iter().enumerate() {
            // One that fails keeps none of the others from its part.
            let is_its = |at: Position| sorted.files.get(&at) == Some(&number);
            written = written.and(self.write(batch, name, &is_its));
        }
        written?;
        self.settle(batch.next())?;
        self.count_missed(sorted.missed);
        Ok(())
    }

    fn settled(&self) -> Position {
        self.bookmark.settled()
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.each(|file| file.text.flush(deadline))
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.each(|file| file.text.pass(position))?;
        self.settle(position)
    }

    fn keeps_from(&self) -> Position {
        if !self.home.is_stored() || self.has_sync_failed {
            // Nothing is stored that could be older; or it is of no use any more.
            return self.settled();
        }
        let files = self.open.values().map(|file| file.text.keeps_from());
        files.fold(self.bookmark.keeps_from(), Position::min)
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.sync_earlier(deadline);
        let settled = self.bookmark.settled();
        let synced = self.each(|file| {
            // A file that nobody writes must not hold the journal.
            let is_behind = file.text.keeps_from().generation < settled.generation;
            if !file.is_unsynced && !is_behind {
                return Ok(());
            }
            if !file.is_failing && file.text.settled() < settled {
                file.text.pass(settled)?;
            }
            file.text.sync(deadline)?;
            file.is_unsynced = false;
            Ok(())
        });
        self.has_sync_failed |= self.open.values().any(|file| file.text.has_sync_failed());
        synced?;
        if self.has_sync_failed {
            return Err(AppendError::Unavailable { source: an_earlier_sync_failed() });
        }
        self.bookmark.sync()
    }

    fn reopen(&mut self) -> Result<(), AppendError> {
        self.each(|file| file.text.reopen())
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.each(|file| file.text.rotate())
    }

    fn tend(&mut self) -> Option<Duration> {
        self.close_idle();
        let whole = self.open.values().filter(|file| !file.is_failing);
        whole.map(|file| self.close_idle_after.saturating_sub(file.at.elapsed())).min()
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        self.notices.pop_front()
    }
}

fn told(error: AppendError) -> io::Error {
    match error {
        AppendError::Unavailable { source } => source,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
impl Files {
    /// The open files.
    pub(super) fn open_texts(&mut self) -> impl Iterator<Item = &mut TextFile> {
        self.open.values_mut().map(|file| &mut file.text)
    }

    /// Closes all files, as if they were idle.
    pub(super) fn close_all(&mut self) {
        self.close_idle_after = Duration::ZERO;
        self.close_idle();
    }
}
