//! Waits of the bench for what the programs under test do.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::case::Failure;
use crate::program::PATIENCE;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Waits until `reached`, at most [`PATIENCE`], and says how long it took.
pub(crate) fn until(
    what: &str,
    reached: impl FnMut() -> io::Result<bool>,
) -> Result<Duration, Failure> {
    until_within(PATIENCE, what, reached)
}

/// Waits until `reached`, at most `limit`, and says how long it took.
pub(crate) fn until_within(
    limit: Duration,
    what: &str,
    mut reached: impl FnMut() -> io::Result<bool>,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    while !reached()? {
        if began.elapsed() > limit {
            return Err(format!("{what}: not within {limit:?}").into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(began.elapsed())
}

/// Bytes of a file; a missing one has none.
pub(crate) fn file_bytes(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Counts the lines of a text file while it grows.
pub(crate) struct Lines {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// What a line begins with to be counted.
    prefix: String,
    /// A line that is not complete.
    partial: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Of the file at `path`, which need not be there yet.
    pub(crate) fn of(path: &Path) -> Lines {
        Lines::starting(path, "")
    }

    /// The same, of lines that begin with `prefix`.
    pub(crate) fn starting(path: &Path, prefix: &str) -> Lines {
        let (path, prefix) = (path.to_owned(), prefix.to_owned());
        Lines { path, file: None, prefix, partial: Vec::new(), count: 0 }
    }

    /// How many it has now. What was counted is not read again.
    pub(crate) fn count(&mut self) -> io::Result<u64> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        if let Some(file) = &mut self.file {
            while file.read_until(b'\n', &mut self.partial)? > 0 && self.partial.ends_with(b"\n") {
                self.count += u64::from(self.partial.starts_with(self.prefix.as_bytes()));
                self.partial.clear();
            }
        }
        Ok(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_counted_as_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut lines = Lines::of(&path);
        assert_eq!(lines.count().unwrap(), 0);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"a\nb\nc").unwrap();
        assert_eq!(lines.count().unwrap(), 2);
        file.write_all(b"\n").unwrap();
        assert_eq!(lines.count().unwrap(), 3);
        assert_eq!(Lines::starting(&path, "b").count().unwrap(), 1);
    }
}
