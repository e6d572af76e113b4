//! The file of a dead process, read back with suspicion.
//!
//! Such a file was a [`Mapping`](super::mapping::Mapping) of its owner. Here it is read with
//! ordinary reads: a file that is cut short meanwhile gives an error, where touching a mapping of
//! it would raise a signal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// A file left by a dead process.
#[derive(Debug)]
pub(crate) struct DeadFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl DeadFile {
    /// Opens a regular file for reading. No link is followed, and a pipe does not block.
    ///
    /// # Errors
    /// The system's, and when `path` is no regular file.
    pub(crate) fn open(path: &Path) -> io::Result<DeadFile> {
        DeadFile::open_with(path, OpenOptions::new().read(true))
    }

    fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<DeadFile> {
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt as _;
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        }
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        let file = DeadFile { file, path: path.to_owned(), len: metadata.len() };
        if metadata.is_file() { Ok(file) } else { Err(file.damaged("it is no regular file")) }
    }

    /// Bytes in the file when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Copies `len` bytes from `offset` on.
    ///
    /// # Errors
    /// The system's, and when the range leaves the file; nothing is allocated for it then.
    pub(crate) fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            let what = format!("{len} bytes at {offset} leave its {} bytes", self.len);
            return Err(self.damaged(&what));
        }
        let mut bytes = vec![0; len];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// An error that names this file and what is wrong with it.
    pub(crate) fn damaged(&self, what: &str) -> io::Error {
        let message = format!("{}: {what}", self.path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

/// The little-endian `u64` at `offset` of a header whose length was checked.
pub(crate) fn word_at(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

/// The little-endian `u32` at `offset` of a header whose length was checked.
pub(crate) fn half_word_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_leaves_the_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [1, 2, 3]).unwrap();
        let mut file = DeadFile::open(&path).unwrap();
        assert_eq!(file.read(1, 2).unwrap(), [2, 3]);
        assert!(file.read(1, 3).unwrap_err().to_string().contains("3 bytes at 1"));
        assert!(file.read(u64::MAX, 1).is_err());
        assert!(file.read(0, usize::MAX).is_err());
    }

    #[test]
    fn links_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&path, []).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(DeadFile::open(&link).is_err());
        assert!(DeadFile::open(dir.path()).is_err());
    }
}
