//! When a text file is full or its time is over, what it is called then, and how many such files stay.
//!
//! Among files without a date the greatest number is the newest, and no number is used again: the next
//! one follows the greatest in the directory and in the slot. The same is true of the numbers of one
//! date. Nothing that has a name already is written over. See [`Names`] for what they look like.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::names::{Form, Name, Names};
use super::packing::{Compression, Packer};
use super::period::{Period, RollBy};
use super::told;
use crate::sys::file::rename_new;

/// Numbers that are tried one after the other when somebody takes them away.
const TRIES: usize = 100;
const DAY: Duration = Duration::from_secs(86_400);

/// What a rolled text file is to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Bytes of a file; one event alone may have more.
    pub(super) limit_bytes: Option<u64>,
    /// Between the first events of two files, where the first is rolled for its bytes.
    pub(super) min_roll_interval: Duration,
    pub(super) roll_by: Option<RollBy>,
    /// The file that is written has the date in its name.
    pub(super) is_dated: bool,
    pub(super) keep_extension: bool,
    /// How many rolled files stay; `None` for all.
    pub(super) keep: Option<usize>,
    pub(super) keep_days: Option<u32>,
    pub(super) keep_total_bytes: Option<u64>,
    pub(super) compression: Option<Compression>,
}

/// The rolled files of one text file.
pub(super) struct Rotation {
    rules: Rules,
    names: Names,
    /// The rolled files, the oldest first.
    full: VecDeque<Name>,
    /// The newest name that was ever given.
    last: Option<Name>,
    packer: Option<Packer>,
}

impl Rules {
    /// How the rolled files of the text file at `path` are called.
    pub(super) fn names(&self, path: &Path) -> Names {
        let mut names = Names::new(path, self.keep_extension);
        if let Some(roll_by) = &self.roll_by {
            names = names.by_time(roll_by.clone());
        }
        if self.is_dated {
            names = names.with_dated_file();
        }
        if self.compression.is_some() { names.with_packed() } else { names }
    }
}

impl Rotation {
    /// Looks what rolled files there are. `names` are those for the configured path, `path` is the
    /// file that is written.
    pub(super) fn new(rules: Rules, names: Names, path: &Path) -> io::Result<Rotation> {
        let packer = rules.compression.map(|how| Packer::start(how, names.clone())).transpose()?;
        let mut rotation = Rotation { rules, names, full: VecDeque::new(), last: None, packer };
        rotation.look(path)?;
        rotation.last = rotation.full.back().copied();
        Ok(rotation)
    }

    /// Bytes of a file.
    pub(super) fn limit_bytes(&self) -> u64 {
        self.rules.limit_bytes.unwrap_or(u64::MAX)
    }

    /// Whether a full file is to be of some age.
    pub(super) fn is_spaced(&self) -> bool {
        !self.rules.min_roll_interval.is_zero()
    }

    /// Whether a file that was begun at `begun_ns` may be rolled for its bytes before an event of
    /// `time_ns`. After a clock was set back the age counts the other way.
    pub(super) fn is_old_enough(&self, begun_ns: Option<i64>, time_ns: i64) -> bool {
        let age_ns = begun_ns.map_or(u64::MAX, |begun_ns| time_ns.abs_diff(begun_ns));
        u128::from(age_ns) >= self.rules.min_roll_interval.as_nanos()
    }

    /// The period that an event belongs to, if files are rolled by time.
    pub(super) fn period_of(&self, time_ns: i64) -> Option<Period> {
        self.rules.roll_by.as_ref().map(|roll_by| roll_by.period_of(time_ns))
    }

    /// Whether files are rolled by time.
    pub(super) fn is_by_time(&self) -> bool {
        self.rules.roll_by.is_some()
    }

    /// Where events of this period are written, if the name of the file says it.
    pub(super) fn dated_path(&self, period: Period) -> Option<PathBuf> {
        let roll_by = self.rules.roll_by.as_ref().filter(|_| self.rules.is_dated)?;
        Some(self.names.dated(roll_by.stamp_of(period)))
    }

    /// The period that the name of the file that is written says.
    pub(super) fn period_in(&self, path: &Path) -> Option<Period> {
        let roll_by = self.rules.roll_by.as_ref().filter(|_| self.rules.is_dated)?;
        roll_by.period_at(self.names.parse(path)?.0.stamp?)
    }

    /// The greatest number that was given in this period, or ever where there are none; 0 for none.
    pub(super) fn last(&self, period: Option<Period>) -> u64 {
        self.greatest(self.nameless(period)).max(self.remembered(self.nameless(period)))
    }

    /// A number that was given, if the directory does not show it any more.
    pub(super) fn remember(&mut self, period: Option<Period>, number: u64) {
        let name = Name { number, ..self.nameless(period) };
        if number > 0 {
            self.last = self.last.max(Some(name));
        }
    }

    /// The name that the next number goes into.
    fn nameless(&self, period: Option<Period>) -> Name {
        let roll_by = self.rules.roll_by.as_ref();
        let stamp = roll_by.zip(period).map(|(roll_by, period)| roll_by.stamp_of(period));
        Name { stamp, number: 0 }
    }

    fn remembered(&self, name: Name) -> u64 {
        let same = self.last.filter(|last| last.stamp == name.stamp && !self.names.is_plain(*last));
        same.map_or(0, |last| last.number)
    }

    /// The greatest number that the directory had of a date.
    fn greatest(&self, name: Name) -> u64 {
        let mut same = self.full.iter().rev().filter(|full| full.stamp == name.stamp);
        same.find(|full| !self.names.is_plain(**full)).map_or(0, |full| full.number)
    }

    /// Whether a path is that of the newest rolled file.
    pub(super) fn is_newest(&self, path: &Path) -> bool {
        let name = self.names.parse(path).filter(|(_, form)| *form == Form::Plain);
        name.is_some_and(|(name, _)| self.full.back() == Some(&name))
    }

    /// Gives the file at `path` its number, and its date if it has one.
    pub(super) fn rename(&mut self, path: &Path, period: Option<Period>) -> io::Result<()> {
        let mut name = self.nameless(period);
        name.number = self.last(period);
        for _ in 0..TRIES {
            name.number = name.number.saturating_add(1);
            match rename_new(path, &self.names.path(name)) {
                Ok(()) => {
                    self.add(name);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.look(path)?;
                    name.number = name.number.max(self.greatest(name));
                }
                Err(error) => return Err(told("rename", path, error)),
            }
        }
        let taken = io::ErrorKind::AlreadyExists.into();
        Err(told("rename", path, taken))
    }

    /// The file at `path`, whose name has the date, is written no more.
    pub(super) fn leave(&mut self, path: &Path) {
        if let Some((name, _)) = self.names.parse(path) {
            self.add(name);
        }
    }

    /// A rolled file that there was not before.
    fn add(&mut self, name: Name) {
        // Behind all others, unless the clock was set back between two starts.
        let at = self.full.partition_point(|full| *full < name);
        self.full.insert(at, name);
        self.last = Some(name);
    }

    /// Removes the oldest rolled files beyond those that stay, and lets the others be compressed.
    pub(super) fn retain(&mut self) -> io::Result<()> {
        let retained = self.remove_oldest();
        if let Some(packer) = &self.packer {
            packer.kick();
        }
        retained
    }

    /// What went wrong with compressing.
    pub(super) fn take_notice(&mut self) -> Option<io::Error> {
        self.packer.as_mut().and_then(Packer::take_notice)
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let Rules { keep, keep_days, keep_total_bytes, .. } = self.rules;
        let mut too_many = keep.map_or(0, |keep| self.full.len().saturating_sub(keep));
        if keep_days.is_some() || keep_total_bytes.is_some() {
            too_many = too_many.max(self.too_old_or_big(keep_days, keep_total_bytes));
        }
        for _ in 0..too_many {
            let Some(oldest) = self.full.front().copied() else { break };
            for form in Form::WHOLE {
                if form == Form::Plain || self.rules.compression.is_some() {
                    remove(&self.names.path_as(oldest, form))?;
                }
            }
            self.full.pop_front();
        }
        Ok(())
    }

    /// How many of the oldest files are beyond their age, or beyond the bytes of all.
    fn too_old_or_big(&self, days: Option<u32>, total_bytes: Option<u64>) -> usize {
        let oldest = days.and_then(|days| SystemTime::now().checked_sub(DAY * days));
        let most_bytes = total_bytes.unwrap_or(u64::MAX);
        let mut bytes = 0_u64;
        let stay = self.full.iter().rev().take_while(|name| {
            let forms = Form::WHOLE.map(|form| fs::metadata(self.names.path_as(**name, form)).ok());
            let found: Vec<_> = forms.into_iter().flatten().collect();
            // While one form takes the place of the other the file counts once.
            bytes = bytes.saturating_add(found.iter().map(fs::Metadata::len).max().unwrap_or(0));
            let written = found.iter().filter_map(|found| found.modified().ok()).max();
            let is_old = written.zip(oldest).is_some_and(|(written, oldest)| written < oldest);
            bytes <= most_bytes && !is_old
        });
        self.full.len() - stay.count()
    }

    /// Looks into the directory. The file that is written is none of those that are full.
    fn look(&mut self, path: &Path) -> io::Result<()> {
        let found = self.names.look()?.into_iter().filter(|(_, form)| *form != Form::Partial);
        let mut full: Vec<_> = found.map(|(name, _)| name).collect();
        full.retain(|name| self.names.path(*name) != path);
        full.sort_unstable();
        full.dedup();
        self.full = full.into();
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(path: &Path, rules: Rules) -> Rotation {
        let names = rules.names(path);
        Rotation::new(rules, names, path).unwrap()
    }

    fn numbered(path: &Path, number: u64) -> PathBuf {
        Names::new(path, false).path(Name { stamp: None, number })
    }

    fn left(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().flatten();
        let mut left: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        left.sort();
        left
    }

    #[test]
    fn a_number_that_somebody_took_is_left_to_him() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut rotation = rotation(&path, Rules::default());
        fs::write(&path, "full").unwrap();
        fs::write(numbered(&path, 1), "theirs").unwrap();
        rotation.rename(&path, None).unwrap();
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(numbered(&path, 2)).unwrap(), "full");
    }

    #[test]
    fn retention_removes_the_oldest_full_files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        for name in ["app.log", "app.log.old", "app.log.3.gz", "other.log.1"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for number in [2, 9, 10, 11] {
            fs::write(numbered(&path, number), "").unwrap();
        }
        fs::create_dir(numbered(&path, 1)).unwrap();
        let mut rotation = rotation(&path, Rules { keep: Some(2), ..Rules::default() });
        rotation.retain().unwrap();
        let expected = [
            "app.log",
            "app.log.1",
            "app.log.10",
            "app.log.11",
            "app.log.3.gz",
            "app.log.old",
            "other.log.1",
        ];
        assert_eq!(left(dir.path()), expected);
    }

    #[test]
    fn files_beyond_their_age_or_the_bytes_of_all_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        for number in 1..=6 {
            fs::write(numbered(&path, number), "0123456789").unwrap();
        }
        let old = fs::File::options().write(true).open(numbered(&path, 2)).unwrap();
        old.set_modified(SystemTime::now() - DAY * 8).unwrap();
        let by_age = Rules { keep_days: Some(7), ..Rules::default() };
        rotation(&path, by_age).retain().unwrap();
        assert_eq!(left(dir.path()), ["app.log.3", "app.log.4", "app.log.5", "app.log.6"]);
        let by_bytes = Rules { keep_total_bytes: Some(25), ..Rules::default() };
        rotation(&path, by_bytes).retain().unwrap();
        assert_eq!(left(dir.path()), ["app.log.5", "app.log.6"]);
    }

    #[test]
    fn the_numbers_of_a_date_begin_anew_and_none_is_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let roll_by = RollBy::parse("daily").unwrap().zone("UTC").unwrap();
        let rules = Rules { roll_by: Some(roll_by.clone()), ..Rules::default() };
        let mut rotation = rotation(&path, rules);
        let days = [0, 1].map(|day| Some(roll_by.period_of(day * 86_400_000_000_000)));
        for day in [days[0], days[0], days[1]] {
            fs::write(&path, "").unwrap();
            rotation.rename(&path, day).unwrap();
        }
        let expected = ["app.log.1970-01-01", "app.log.1970-01-01.2", "app.log.1970-01-02"];
        assert_eq!(left(dir.path()), expected);
        // Even where it was taken away.
        fs::remove_file(dir.path().join(expected[2])).unwrap();
        fs::write(&path, "").unwrap();
        rotation.rename(&path, days[1]).unwrap();
        assert_eq!(left(dir.path())[2], "app.log.1970-01-02.2");
    }
}
