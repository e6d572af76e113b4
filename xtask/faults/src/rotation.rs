//! The files of a text file that is rolled, compressed or not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// The files of `path` in the order in which they were written: `path.1`, `path.2` and so on, then
/// `path` itself.
///
/// # Errors
/// From the file system, and where a number is missing or a name is no number.
pub(crate) fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut numbers = BTreeMap::new();
    for (rest, file) in rolled(path)? {
        let number = rest.parse::<u64>();
        let number = number.map_err(|_| io::Error::other(format!("a file `{}`", file.display())));
        numbers.insert(number?, file);
    }
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
