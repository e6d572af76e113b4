//! The files of a text file that rotates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of `path` in the order in which they were written: `path.1`, `path.2` and so on, then
/// `path` itself.
///
/// # Errors
/// From the file system, and where a number is missing or a name is no number.
pub(crate) fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent)? {
        let found = entry?.file_name().to_string_lossy().into_owned();
        let Some(number) = found.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let number = number.parse::<u64>();
        numbers.push(number.map_err(|_| io::Error::other(format!("a file `{found}`")))?);
    }
    numbers.sort_unstable();
    if let Some((at, number)) = (1..).zip(&numbers).find(|(at, number)| at != *number) {
        return Err(io::Error::other(format!("file {number} of {name} where {at} is expected")));
    }
    let mut files: Vec<_> =
        numbers.iter().map(|number| parent.join(format!("{name}.{number}"))).collect();
    files.push(path.to_owned());
    Ok(files)
}

/// Checks that no file but one with a single line is longer than `limit_bytes`, and that each but the
/// last is nearly full: less than `line_bytes_max` are missing.
pub(crate) fn check_sizes(
    files: &[PathBuf],
    limit_bytes: u64,
    line_bytes_max: u64,
) -> io::Result<()> {
    for (at, path) in files.iter().enumerate() {
        let bytes = fs::metadata(path)?.len();
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
        fs::write(dir.path().join("app.log.tmp"), "").unwrap();
        assert!(files_of(&path).unwrap_err().to_string().contains("tmp"));
    }
}
