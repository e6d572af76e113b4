//! The names of the files that a text file leaves behind.
//!
//! `app.log.1`, `app.log.2` … where it is rolled by size alone, the greatest number is the newest;
//! `app.log.2026-11-21`, `app.log.2026-11-21.2` … where it is rolled by time. With the extension kept
//! `app.1.log` and `app.2026-11-21.2.log`. Compressed ones have `.gz` or `.zst` behind that, and
//! `.tmp` behind it while they come into being. Any other name is somebody else's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;

use super::period::RollBy;
use super::told;
use crate::sys::file::parent;

/// How the files behind one text file are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dir: PathBuf,
    /// What stands before the stamp or the number, and what behind it.
    front: Vec<u8>,
    back: Vec<u8>,
    roll_by: Option<RollBy>,
    /// The number that is not written: 1, or the greatest where the file that is written has the date
    /// in its name.
    plain: u64,
    /// Whether compressed files are among them.
    has_packed: bool,
}

/// One rolled file, whatever its form. Names are in the order of the files' ages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    pub(super) stamp: Option<DateTime>,
    pub(super) number: u64,
}

/// How a rolled file lies in the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Plain,
    Gzip,
    Zstd,
    /// It is being compressed, or was when the process ended.
    Partial,
}

impl Form {
    /// What a rolled file may be found as.
    pub(super) const WHOLE: [Form; 3] = [Form::Plain, Form::Gzip, Form::Zstd];

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Form::Plain | Form::Partial => "",
            Form::Gzip => ".gz",
            Form::Zstd => ".zst",
        }
    }
}

impl Names {
    /// The names for the text file at `path`.
    pub(super) fn new(path: &Path, keep_extension: bool) -> Names {
        let name = path.file_name().unwrap_or_default();
        let extension = path.extension().filter(|_| keep_extension);
        let back = extension.map(|end| [b".", end.as_bytes()].concat()).unwrap_or_default();
        let front = [&name.as_bytes()[..name.len() - back.len()], b"."].concat();
        let dir = parent(path).to_owned();
        Names { dir, front, back, roll_by: None, plain: 1, has_packed: false }
    }

    /// Files are rolled by time.
    pub(super) fn by_time(mut self, roll_by: RollBy) -> Names {
        self.roll_by = Some(roll_by);
        self
    }

    /// The file that is written has a date, and no number.
    pub(super) fn with_dated_file(mut self) -> Names {
        self.plain = u64::MAX;
        self
    }

    /// Compressed files count.
    pub(super) fn with_packed(mut self) -> Names {
        self.has_packed = true;
        self
    }

    /// The file that is written in the time of `stamp`, where its name has the date.
    pub(super) fn dated(&self, stamp: DateTime) -> PathBuf {
        self.path(Name { stamp: Some(stamp), number: u64::MAX })
    }

    /// Whether it is a dated file that never got a number, as opposed to the first of its date.
    pub(super) fn is_plain(&self, name: Name) -> bool {
        self.plain == u64::MAX && name.number == self.plain
    }

    /// Where a rolled file lies while it is not compressed.
    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.path_as(name, Form::Plain)
    }

    /// Where a rolled file lies in some form.
    pub(super) fn path_as(&self, name: Name, form: Form) -> PathBuf {
        let mut out = self.front.clone();
        let stamp = self.roll_by.as_ref().zip(name.stamp);
        if let Some((roll_by, stamp)) = stamp {
            out.extend(roll_by.text_of(stamp).bytes());
        }
        if stamp.is_none() || name.number != self.plain {
            let dot = if stamp.is_some() { "." } else { "" };
            out.extend(format!("{dot}{}", name.number).bytes());
        }
        out.extend(&self.back);
        out.extend(form.suffix().bytes());
        self.dir.join(OsString::from_vec(out))
    }

    /// The rolled file that a path names, and its form; `None` for any other file.
    pub(super) fn parse(&self, path: &Path) -> Option<(Name, Form)> {
        let file = path.file_name()?.as_bytes();
        let ends: &[(&[u8], Form)] = &[
            (b".gz.tmp", Form::Partial),
            (b".zst.tmp", Form::Partial),
            (b".gz", Form::Gzip),
            (b".zst", Form::Zstd),
        ];
        let ends = if self.has_packed { ends } else { &[] };
        let (file, form) = ends
            .iter()
            .find_map(|(end, form)| Some((file.strip_suffix(*end)?, *form)))
            .unwrap_or((file, Form::Plain));
        let middle = file.strip_prefix(&*self.front)?.strip_suffix(&*self.back)?;
        let mut middle = std::str::from_utf8(middle).ok()?;
        let mut stamp = None;
        if let Some(roll_by) = &self.roll_by {
            let (found, rest) = roll_by.stamp_in(middle)?;
            stamp = Some(found);
            if rest.is_empty() {
                return Some((Name { stamp, number: self.plain }, form));
            }
            middle = rest.strip_prefix('.')?;
        }
        let number = middle.parse().ok()?;
        // Not `app.log.+1`, nor `app.log.007`: no such name was given here.
        let is_given = number > 0 && format!("{number}") == middle;
        let is_given = is_given && (stamp.is_none() || number != self.plain);
        is_given.then_some((Name { stamp, number }, form))
    }

    /// The rolled files that there are, each form for itself, in no order.
    pub(super) fn look(&self) -> io::Result<Vec<(Name, Form)>> {
        let entries = fs::read_dir(&self.dir).map_err(|error| told("list", &self.dir, error))?;
        let files =
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_file()));
        Ok(files.filter_map(|entry| self.parse(&entry.path())).collect())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily() -> RollBy {
        RollBy::parse("daily").unwrap().zone("UTC").unwrap()
    }

    fn name_of(names: &Names, file: &str) -> Option<(Name, Form)> {
        names.parse(Path::new(file))
    }

    #[test]
    fn only_names_that_were_given_here_have_a_number() {
        let names = Names::new(Path::new("/var/app.log"), false);
        let number = |file: &str| name_of(&names, file).map(|(name, _)| name.number);
        assert_eq!(number("/var/app.log.12"), Some(12));
        for other in [
            "app.log",
            "app.log.",
            "app.log.0",
            "app.log.07",
            "app.log.+1",
            "app.log.1.gz",
            "bapp.log.1",
            "app.log.-1",
            "app.log.2026-11-21",
            "app.log.1.gz.tmp",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn every_name_that_is_given_is_read_again() {
        let stamp = daily().stamp_in("2026-11-21").unwrap().0;
        for (keep_extension, expected) in [
            (false, ["app.log.7", "app.log.2026-11-21", "app.log.2026-11-21.2"]),
            (true, ["app.7.log", "app.2026-11-21.log", "app.2026-11-21.2.log"]),
        ] {
            let numbered = Names::new(Path::new("app.log"), keep_extension).with_packed();
            let dated = numbered.clone().by_time(daily());
            let given = [
                (&numbered, Name { stamp: None, number: 7 }),
                (&dated, Name { stamp: Some(stamp), number: 1 }),
                (&dated, Name { stamp: Some(stamp), number: 2 }),
            ];
            for ((names, name), expected) in given.into_iter().zip(expected) {
                for form in Form::WHOLE {
                    let path = names.path_as(name, form);
                    let text = format!("{expected}{}", form.suffix());
                    assert_eq!(path.file_name().unwrap().to_str(), Some(&*text));
                    assert_eq!(names.parse(&path), Some((name, form)));
                }
            }
            for other in ["app.log", "app.log.2026-11-21.1", "app.2026-11-21.1.log", "app..log"] {
                assert_eq!(name_of(&dated, other), None, "{other}");
            }
        }
    }

    #[test]
    fn the_dated_file_that_is_written_is_newer_than_the_numbered_ones_of_its_day() {
        let names = Names::new(Path::new("app.log"), false).by_time(daily()).with_dated_file();
        let file = |name| name_of(&names, name).unwrap().0;
        assert!(file("app.log.2026-11-21.9") < file("app.log.2026-11-21"));
        assert!(file("app.log.2026-11-20") < file("app.log.2026-11-21.1"));
    }
}
