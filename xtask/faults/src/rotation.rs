//! The files of a text file that is rolled, compressed or not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::programs::worker::Plan;
use crate::waiting::file_bytes;

/// What stands in a file of an earlier time.
const OLD_TEXT: &str = "of an earlier time\n";

/// How the text file of a worker is rolled and compressed, with so many files of an earlier time that
/// some of them have to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rolling {
    pub(crate) rotate_bytes: u64,
    /// How many rolled files stay.
    pub(crate) keep: u64,
    /// How many there are before the worker begins.
    pub(crate) old: u64,
}

impl Rolling {
    /// Each file that the worker rolls is one for an old one, as long as there are any.
    pub(crate) fn new(rotate_bytes: u64, keep: u64) -> Rolling {
        Rolling { rotate_bytes, keep, old: keep }
    }

    /// A plan with such a file.
    pub(crate) fn of(self, plan: Plan) -> Plan {
        Plan {
            rotate_bytes: Some(self.rotate_bytes),
            compress: true,
            keep: usize::try_from(self.keep).ok(),
            ..plan
        }
    }

    /// Makes the files of an earlier time beside `text`.
    pub(crate) fn lay_old(self, text: &Path) -> io::Result<()> {
        fs::create_dir_all(text.parent().unwrap_or(Path::new(".")))?;
        (1..=self.old).try_for_each(|number| {
            let mut name = text.as_os_str().to_owned();
            name.push(format!(".{number}"));
            fs::write(name, OLD_TEXT)
        })
    }

    /// The worker's files, the oldest first.
    ///
    /// # Errors
    /// From the file system; where another number of rolled files stays than should, and not the
    /// newest ones; where none had to go.
    pub(crate) fn files_of(self, text: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = numbered(text)?;
        let newest = files.keys().next_back().copied().unwrap_or(0);
        let stays = newest.saturating_sub(self.keep) + 1..=newest;
        if newest <= self.keep || !files.keys().copied().eq(stays.clone()) {
            let found: Vec<_> = files.keys().collect();
            let told = format!("files {found:?} of {}, not {stays:?}", text.display());
            return Err(io::Error::other(told));
        }
        files.split_off(&(self.old + 1));
        for path in files.values() {
            let mut found = String::new();
            open(path)?.read_to_string(&mut found)?;
            if found != OLD_TEXT {
                return Err(io::Error::other(format!("{} is another one", path.display())));
            }
        }
        files_beyond(self.old, text)
    }
}

/// Those of the files of `path` whose numbers are greater than `old`, and `path` itself.
pub(crate) fn files_beyond(old: u64, path: &Path) -> io::Result<Vec<PathBuf>> {
    let rolled = numbered(path)?.split_off(&(old + 1));
    Ok(rolled.into_values().chain([path.to_owned()]).collect())
}

/// How far a text file has come, rolled or not: the newest number and the bytes of the file that is
/// written. It grows with each line, but for an instant while a file is begun.
pub(crate) fn reached(text: &Path) -> io::Result<(u64, u64)> {
    let newest = match numbered(text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        found => found?.keys().next_back().copied().unwrap_or(0),
    };
    Ok((newest, file_bytes(text)?))
}

/// The files of `path` in the order in which they were written: `path.1`, `path.2` and so on, then
/// `path` itself.
///
/// # Errors
/// From the file system, and where a number is missing or a name is no number.
pub(crate) fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let numbers = numbered(path)?;
    if let Some((at, number)) = (1..).zip(numbers.keys()).find(|(at, number)| at != *number) {
        let name = path.display();
        return Err(io::Error::other(format!("file {number} of {name} where {at} is expected")));
    }
    Ok(numbers.into_values().chain([path.to_owned()]).collect())
}

/// The same where files are rolled by time: `path.2026-11-21-09`, `path.2026-11-21-09.2` and so on.
pub(crate) fn files_by_time(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    for (rest, file) in rolled(path)? {
        let (stamp, number) = rest.split_once('.').unwrap_or((&rest, "1"));
        let number = number.parse::<u64>().map_err(|_| io::Error::other(rest.clone()))?;
        files.insert((stamp.to_owned(), number), file);
    }
    Ok(files.into_values().chain([path.to_owned()]).collect())
}

/// The rolled files by their numbers.
fn numbered(path: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let number = |(rest, file): (String, PathBuf)| match rest.parse() {
        Ok(number) => Ok((number, file)),
        Err(_) => Err(io::Error::other(format!("a file `{}`", file.display()))),
    };
    rolled(path)?.into_iter().map(number).collect()
}

/// What follows the name in those of the rolled files, and each file once: where the plain one is
/// there, too, the compressed one may be another's.
fn rolled(path: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let file = entry?.path();
        let own = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(rest) = own.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        if rest.ends_with(".gz.tmp") {
            continue;
        }
        match rest.strip_suffix(".gz") {
            Some(rest) => drop(found.entry(rest.to_owned()).or_insert(file)),
            None => drop(found.insert(rest.to_owned(), file)),
        }
    }
    Ok(found)
}

/// The text of a file, compressed or not.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    let is_packed = path.extension().is_some_and(|end| end == "gz");
    Ok(if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// Checks that no file but one with a single line is longer than `limit_bytes`, and that each but the
/// last is nearly full: less than `line_bytes_max` are missing.
pub(crate) fn check_sizes(
    files: &[PathBuf],
    limit_bytes: u64,
    line_bytes_max: u64,
) -> io::Result<()> {
    for (at, path) in files.iter().enumerate() {
        let bytes = io::copy(&mut open(path)?, &mut io::sink())?;
        let is_last = at + 1 == files.len();
        if bytes > limit_bytes || !is_last && bytes + line_bytes_max < limit_bytes {
            let path = path.display();
            return Err(io::Error::other(format!("{path} has {bytes} of {limit_bytes} bytes")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_numbers_and_none_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        for number in 1..=11 {
            fs::write(dir.path().join(format!("app.log.{number}")), "0123456789").unwrap();
        }
        fs::write(&path, "").unwrap();
        let files = files_of(&path).unwrap();
        assert_eq!(
            (files.len(), &files[1], &files[11]),
            (12, &dir.path().join("app.log.2"), &path)
        );
        check_sizes(&files, 12, 3).unwrap();
        check_sizes(&files, 9, 3).unwrap_err();
        check_sizes(&files, 20, 3).unwrap_err();
        fs::remove_file(&files[4]).unwrap();
        assert!(files_of(&path).unwrap_err().to_string().contains("file 6"));
        fs::write(&files[4], "").unwrap();
        // One that is being compressed, and one that is.
        fs::write(dir.path().join("app.log.6.gz.tmp"), "").unwrap();
        fs::write(dir.path().join("app.log.6.gz"), "").unwrap();
        assert_eq!(files_of(&path).unwrap()[5], dir.path().join("app.log.6"));
        fs::write(dir.path().join("app.log.tmp"), "").unwrap();
        assert!(files_of(&path).unwrap_err().to_string().contains("tmp"));
    }

    #[test]
    fn files_that_stay_are_the_newest_ones_and_those_of_an_earlier_time_are_none_of_the_workers() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("logs/app.log");
        let name = |number: u64| dir.path().join(format!("logs/app.log.{number}"));
        assert_eq!(reached(&text).unwrap(), (0, 0));
        let rolling = Rolling::new(16, 3);
        rolling.lay_old(&text).unwrap();
        fs::write(&text, "a line\n").unwrap();
        assert_eq!(reached(&text).unwrap(), (3, 7));
        // Nothing was rolled, and nothing had to go.
        rolling.files_of(&text).unwrap_err();
        for number in [4, 5] {
            fs::write(name(number), "a line\n").unwrap();
            rolling.files_of(&text).unwrap_err();
            fs::remove_file(name(number - 3)).unwrap();
            let mut own: Vec<_> = (4..=number).map(name).collect();
            own.push(text.clone());
            assert_eq!(rolling.files_of(&text).unwrap(), own);
        }
        assert_eq!(reached(&text).unwrap(), (5, 7));
        fs::write(name(3), "another").unwrap();
        assert!(rolling.files_of(&text).unwrap_err().to_string().contains("app.log.3"));
        fs::remove_file(name(3)).unwrap();
        assert!(rolling.files_of(&text).unwrap_err().to_string().contains("[4, 5]"));
    }

    #[test]
    fn files_of_a_time_come_in_the_order_of_their_dates_and_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let names = ["app.log.2026-11-20.gz", "app.log.2026-11-21", "app.log.2026-11-21.10"];
        names.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        fs::write(dir.path().join("app.log.2026-11-21.9.gz"), "").unwrap();
        let found = files_by_time(&path).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(found, [names[0], names[1], "app.log.2026-11-21.9.gz", names[2], "app.log"]);
    }
}
