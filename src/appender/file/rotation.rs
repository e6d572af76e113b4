//! The numbered files that a text file leaves behind when it is full: `app.log.1`, `app.log.2`, …
//!
//! The greatest number is the newest file. A number is never used again: the next one follows the
//! greatest in the directory and in the slot. Nothing that has a number already is written over.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::told;
use crate::sys::file::{parent, rename_new};

/// Numbers that are tried one after the other when somebody takes them away.
const TRIES: usize = 100;

/// When a text file is full, and what becomes of it then.
pub(super) struct Rotation {
    /// Bytes of a file; one event alone may have more.
    pub(super) limit: u64,
    /// How many full files stay; `None` for all.
    keep: Option<usize>,
    path: PathBuf,
    /// The numbers of the full files, ascending.
    numbers: VecDeque<u64>,
    /// The greatest number that was ever given.
    last: u64,
}

impl Rotation {
    /// Looks what full files there are of the text file at `path`.
    pub(super) fn new(path: &Path, limit: u64, keep: Option<usize>) -> io::Result<Rotation> {
        let (path, numbers) = (path.to_owned(), VecDeque::new());
        let mut rotation = Rotation { limit, keep, path, numbers, last: 0 };
        rotation.look()?;
        Ok(rotation)
    }

    /// The greatest number that was ever given.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A number that was given, if the directory does not show it any more.
    pub(super) fn remember(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Gives the full file its number.
    pub(super) fn rename(&mut self) -> io::Result<()> {
        for _ in 0..TRIES {
            let number = self.last + 1;
            let to = numbered(&self.path, number);
            match rename_new(&self.path, &to) {
                Ok(()) => {
                    self.last = number;
                    self.numbers.push_back(number);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.last = number;
                    self.look()?;
                }
                Err(error) => return Err(told("rename", &self.path, error)),
            }
        }
        let taken = io::ErrorKind::AlreadyExists.into();
        Err(told("rename", &self.path, taken))
    }

    /// Removes the oldest full files beyond those that stay.
    pub(super) fn retain(&mut self) -> io::Result<()> {
        let Some(keep) = self.keep else { return Ok(()) };
        while self.numbers.len() > keep
            && let Some(oldest) = self.numbers.front()
        {
            let path = numbered(&self.path, *oldest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(told("remove", &path, error));
                }
                _ => self.numbers.pop_front(),
            };
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        let dir = parent(&self.path);
        let entries = fs::read_dir(dir).map_err(|error| told("list", dir, error))?;
        let found =
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_file()));
        let mut numbers: Vec<_> =
            found.filter_map(|entry| number_of(&self.path, &entry.path())).collect();
        numbers.sort_unstable();
        self.remember(numbers.last().copied().unwrap_or(0));
        self.numbers = numbers.into();
        Ok(())
    }
}

/// The name of a full file.
pub(super) fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The number of a full file of the text file at `path`; `None` for any other file.
pub(super) fn number_of(path: &Path, file: &Path) -> Option<u64> {
    let (ours, name) = (path.file_name()?.to_str()?, file.file_name()?.to_str()?);
    let digits = name.strip_prefix(ours)?.strip_prefix('.')?;
    let number = digits.parse().ok()?;
    // Not `app.log.+1`, nor `app.log.007`: no such name was given here.
    (number > 0 && format!("{number}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_given_here_have_a_number() {
        let number = |name: &str| number_of(Path::new("/var/app.log"), Path::new(name));
        assert_eq!(number("/var/app.log.12"), Some(12));
        for other in
            ["app.log", "app.log.", "app.log.0", "app.log.07", "app.log.+1", "app.log.1.gz"]
        {
            assert_eq!(number(other), None, "{other}");
        }
        assert_eq!((number("bapp.log.1"), number("app.log.-1")), (None, None));
    }

    #[test]
    fn a_number_that_somebody_took_is_left_to_him() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut rotation = Rotation::new(&path, 1, None).unwrap();
        fs::write(&path, "full").unwrap();
        fs::write(numbered(&path, 1), "theirs").unwrap();
        rotation.rename().unwrap();
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
        let mut rotation = Rotation::new(&path, 1, Some(2)).unwrap();
        rotation.retain().unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        left.sort_by_key(fs::DirEntry::file_name);
        let left: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
        let expected =
            ["app.log", "app.log.1", "app.log.10", "app.log.11", "app.log.3.gz", "app.log.old"];
        assert_eq!(left[..6], expected);
        assert_eq!(left.len(), 7);
    }
}
