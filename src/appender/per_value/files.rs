//! The open files, and who of them gets what of a batch.

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::name::{digest, encoded, is_suspicious, own};
use super::{Key, Missing, Template};
use crate::appender::bookmark::Bookmark;
use crate::appender::{AppendError, Appender, Batch, Counts, Open, Opened, OwnedPlace, Place};
use crate::journal::{Position, file_name};
use crate::sys::output::{IoMethod, Outputs};

/// Where events of values go that have no file of their own.
const MORE: &str = "more";
/// How long the sync of a file may take that is closed.
const SYNC_WAIT: Duration = Duration::from_secs(5);
/// Messages that wait for the outlet to ask for them. Beyond it they are not told.
const NOTICES_MAX: usize = 32;
/// The longest name of a cursor, encoded: a file system takes 255 bytes.
const CURSOR_NAME_BYTES_MAX: usize = 200;

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
    pub(super) known: usize,
}

/// Where the files are, and the journal.
pub(super) struct Home {
    directory: PathBuf,
    extension: String,
    /// The name of the appender.
    name: String,
    place: OwnedPlace,
}

/// One open file.
struct OpenFile {
    appender: Box<dyn Appender>,
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
    /// Numbers of names.
    files: HashMap<Position, usize>,
    missed: u64,
}

impl Home {
    pub(super) fn of(place: &Place<'_>, directory: &Path, extension: &str) -> Home {
        Home {
            directory: directory.to_owned(),
            extension: match extension {
                "" => String::new(),
                extension => format!(".{extension}"),
            },
            name: place.name.to_owned(),
            place: OwnedPlace {
                // Many files are open at once: by system calls, which need nothing for each.
                outputs: Outputs::new(IoMethod::Write, |_| {}),
                ..OwnedPlace::from(place)
            },
        }
    }

    /// How many files there are with the extension.
    pub(super) fn count(&self) -> io::Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            count += usize::from(name.as_encoded_bytes().ends_with(self.extension.as_bytes()));
        }
        Ok(count)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{}", self.extension))
    }

    /// Whether there is a file of the name, or something in its place.
    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// The name of a file's cursor.
    fn cursor_name(&self, name: &str) -> String {
        let whole = format!("{}/{name}{}", self.name, self.extension);
        match file_name(&whole).len() <= CURSOR_NAME_BYTES_MAX {
            true => whole,
            false => format!("{}/~{}", self.name, digest(&whole)),
        }
    }

    /// Opens the file of a name, once more if it `was_open` before. It has everything before its own
    /// position, or before `begin` if it is a new one.
    fn open(
        &self,
        name: &str,
        template: &Template,
        was_open: bool,
        begin: Position,
    ) -> io::Result<Box<dyn Appender>> {
        let path = self.path(name);
        let refuse = |what: &str| {
            let path = path.display();
            Err(io::Error::other(format!("{path} is {what}, and is not written: move it away")))
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => return refuse("a symbolic link"),
            Ok(found) if !found.is_file() => return refuse("no regular file"),
            _ => {}
        }
        let cursor_name = self.cursor_name(name);
        let file = template.file(&path).confined();
        let file = if was_open { file.again() } else { file };
        // An event is in one file: there is no line to share.
        match file.open(&self.place.of(&cursor_name, begin)) {
            Ok(Opened::Events(appender)) => Ok(appender),
            Ok(Opened::Blocks(_)) => refuse("for whole blocks"),
            Err(error) => Err(io::Error::other(error)),
        }
    }
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
            known: parts.known,
            opened: HashSet::new(),
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
                        true => Some(self.name_of(&value)),
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

    fn name_of(&mut self, value: &str) -> String {
        let name = encoded(value);
        if self.opened.contains(&name) || self.home.has(&name) {
            return name;
        }
        if self.known >= self.files_max {
            if !self.is_full {
                self.is_full = true;
                self.tell(io::Error::other(format!(
                    "{} values have a file: the events of others go to `{}`; raise files_max, or \
                     choose a key with fewer values",
                    self.known,
                    own(MORE)
                )));
            }
            return own(MORE);
        }
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
        let from = ahead.max(file.appender.settled());
        if from >= batch.next() {
            return Ok(());
        }
        let counts = Cell::new(Counts::default());
        let is_wanted = |at: Position| at >= from && is_its(at);
        file.is_unsynced = true;
        let written = file.appender.append(&batch.chosen(&counts, &is_wanted));
        file.is_failing = written.is_err();
        if let Some(notice) = file.appender.take_notice() {
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
            let appender = opened.map_err(|source| AppendError::Unavailable { source })?;
            self.known += usize::from(is_new);
            self.opened.insert(name.to_owned());
            let (turn, at) = (self.turn, Instant::now());
            let file = OpenFile { appender, turn, at, is_failing: false, is_unsynced: false };
            self.open.insert(name.to_owned(), file);
        }
        match self.open.get_mut(name) {
            Some(file) if file.appender.settled() < begin => file.appender.pass(begin),
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
            self.close(&oldest);
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        let is_idle =
            |file: &OpenFile| !file.is_failing && file.at.elapsed() >= self.close_idle_after;
        let idle = self.open.iter().filter(|(_, file)| is_idle(file));
        let idle: Vec<_> = idle.map(|(name, _)| name.clone()).collect();
        idle.iter().for_each(|name| self.close(name));
    }

    /// Syncs and closes a file that did not fail.
    fn close(&mut self, name: &str) {
        let Some(mut file) = self.open.remove(name) else { return };
        let settled = self.bookmark.settled();
        let mut closed = Ok(());
        if file.appender.settled() < settled {
            closed = file.appender.pass(settled);
        }
        if self.home.place.journal_dir.is_some() {
            closed = closed.and_then(|()| file.appender.sync(Instant::now() + SYNC_WAIT));
        }
        if let Err(error) = closed {
            // It holds nothing up: a sync that failed once fails for good.
            self.tell(told(error));
        }
        if file.appender.settled() > settled {
            self.ahead.insert(name.to_owned(), file.appender.settled());
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
        let at = self.names.iter().position(|known| *known == name);
        at.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
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
        self.each(|file| file.appender.flush(deadline))
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.each(|file| file.appender.pass(position))?;
        self.settle(position)
    }

    fn keeps_from(&self) -> Position {
        if self.home.place.journal_dir.is_none() {
            // Nothing is stored that could be older.
            return self.settled();
        }
        let files = self.open.values().map(|file| file.appender.keeps_from());
        files.fold(self.bookmark.keeps_from(), Position::min)
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        let settled = self.bookmark.settled();
        self.each(|file| {
            // A file that nobody writes must not hold the journal.
            let is_behind = file.appender.keeps_from().generation < settled.generation;
            if !file.is_unsynced && !is_behind {
                return Ok(());
            }
            if !file.is_failing && file.appender.settled() < settled {
                file.appender.pass(settled)?;
            }
            file.appender.sync(deadline)?;
            file.is_unsynced = false;
            Ok(())
        })?;
        self.bookmark.sync()
    }

    fn reopen(&mut self) -> Result<(), AppendError> {
        self.each(|file| file.appender.reopen())
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.each(|file| file.appender.rotate())
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
