//! The directory of a cluster: who may do what with its parts.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::engine::InitError;
use crate::sys::file::{create_private_dir, replace};
use crate::sys::lock::FileLock;

/// Members that a cluster may have.
const MEMBERS_MAX: u32 = 1024;

/// The paths of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    dir: PathBuf,
}

impl Directory {
    /// Makes what is missing.
    ///
    /// # Errors
    /// [`InitError::Cluster`].
    pub(super) fn open(dir: &Path) -> Result<Directory, InitError> {
        let directory = Directory { dir: dir.to_owned() };
        for path in [dir.to_owned(), directory.members(), directory.standalone()] {
            create_private_dir(&path).map_err(|source| {
                let what = "it cannot be used; check the path and its permissions";
                InitError::Cluster { path, what, source: Some(source) }
            })?;
        }
        Ok(directory)
    }

    pub(super) fn members(&self) -> PathBuf {
        self.dir.join("members")
    }

    pub(super) fn standalone(&self) -> PathBuf {
        self.dir.join("standalone")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// Takes the first directory below `parent` that no living process has: that of a dead one, which
    /// is then continued, or a new one.
    ///
    /// # Errors
    /// [`InitError::Cluster`].
    pub(super) fn claim(&self, parent: &Path) -> Result<(PathBuf, FileLock), InitError> {
        for number in 1..=MEMBERS_MAX {
            let dir = parent.join(number.to_string());
            match create_private_dir(&dir).and_then(|()| try_claim(&dir)) {
                Ok(Some(lock)) => return Ok((dir, lock)),
                Ok(None) => {}
                // Whoever had it has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let what = "it cannot be locked; check its permissions and its file system";
                    return Err(InitError::Cluster { path: dir, what, source: Some(source) });
                }
            }
        }
        let what = "1,024 processes use it; take another one for the others";
        Err(InitError::Cluster { path: parent.to_owned(), what, source: None })
    }

    /// The directories of all members, living and dead.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut members = Vec::new();
        for entry in std::fs::read_dir(self.members())?.take(MEMBERS_MAX as usize) {
            let path = entry?.path();
            if path.is_dir() {
                members.push(path);
            }
        }
        members.sort();
        Ok(members)
    }

    /// When a member came or went last. One system call.
    pub(super) fn members_changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.members()).and_then(|found| found.modified()).ok()
    }

    /// Takes the lock of the election; `None` while somebody is elected.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn elect(&self) -> io::Result<Option<FileLock>> {
        try_lock(&self.election())
    }

    /// Whether the file of the election is still the one that is locked.
    pub(super) fn is_elected_by(&self, lock: &FileLock) -> bool {
        is_at(lock, &self.election()).unwrap_or(false)
    }

    fn election(&self) -> PathBuf {
        self.dir.join("election")
    }

    /// The last term; 0 before the first one.
    ///
    /// # Errors
    /// The system's, and when the file holds something else.
    pub(super) fn term(&self) -> io::Result<u64> {
        let path = self.dir.join("term");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        text.trim_end().parse().map_err(|_| {
            let path = path.display();
            let what = format!("{path}: `{text}` is no term; put a number there, or remove it");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// Stores a term, synced.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn set_term(&self, term: u64) -> io::Result<()> {
        replace(&self.dir.join("term"), format!("{term}\n").as_bytes())
    }
}

/// Takes a member's directory; `None` while somebody has it.
///
/// # Errors
/// The system's, and when there is no such directory.
pub(super) fn try_claim(dir: &Path) -> io::Result<Option<FileLock>> {
    try_lock(&dir.join("lock"))
}

/// A lock counts only while it is on the file of that name: another one may have been removed
/// between its opening and its locking.
fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    let Some(lock) = FileLock::try_acquire(path)? else { return Ok(None) };
    Ok(is_at(&lock, path)?.then_some(lock))
}

fn is_at(lock: &FileLock, path: &Path) -> io::Result<bool> {
    let (locked, found) = (lock.file().metadata()?, std::fs::metadata(path));
    Ok(found.is_ok_and(|found| (found.dev(), found.ino()) == (locked.dev(), locked.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_directory_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let claim = || directory.claim(&directory.members()).unwrap();
        let (first, second) = (claim(), claim());
        assert_eq!((first.0.ends_with("1"), second.0.ends_with("2")), (true, true));
        drop(first);
        assert!(claim().0.ends_with("1"));
    }

    #[test]
    fn a_term_is_found_again_and_nothing_else_is_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        assert_eq!(directory.term().unwrap(), 0);
        directory.set_term(41).unwrap();
        assert_eq!(directory.term().unwrap(), 41);
        std::fs::write(dir.path().join("term"), "x").unwrap();
        assert!(directory.term().unwrap_err().to_string().contains("`x` is no term"));
    }

    #[test]
    fn whoever_holds_a_removed_file_is_not_elected() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let lock = directory.elect().unwrap().unwrap();
        assert!(directory.is_elected_by(&lock));
        std::fs::remove_file(dir.path().join("election")).unwrap();
        assert!(!directory.is_elected_by(&lock));
        std::fs::write(dir.path().join("election"), "").unwrap();
        assert!(!directory.is_elected_by(&lock));
    }
}
