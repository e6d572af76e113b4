//! How a text file and its directories are made: permissions, owner, and who may write it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

use super::told;
use crate::sys::file::{create_dirs, parent};
use crate::sys::lock::FileLock;

/// Between two looks a file may come and go: so often is it looked for again.
const TRIES: usize = 10;

/// What a file is to be like that is made.
#[derive(Clone, Debug)]
pub(super) struct Making {
    /// Permissions of a new file, and of a new directory where they are not the system's.
    pub(super) mode: u32,
    pub(super) dir_mode: Option<u32>,
    /// A user and a group, by name or number.
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    /// A symbolic link in its place is not followed.
    pub(super) is_confined: bool,
}

impl Making {
    /// Makes the directory of the file at `path` and those that it lies in.
    pub(super) fn directories(&self, path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        if let Some(mode) = self.dir_mode {
            builder.mode(mode);
        }
        create_dirs(&builder, parent(path))
    }

    /// Opens the file at `path`, or makes it, and locks it; `None` when somebody has the lock.
    pub(super) fn open_locked(&self, path: &Path) -> io::Result<Option<FileLock>> {
        FileLock::try_open(path, |path| self.open(path))
    }

    /// Opens the file at `path` to append to it, or makes it.
    pub(super) fn open(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).append(true).mode(self.mode);
        if self.is_confined {
            options.custom_flags(OFlags::NOFOLLOW.bits() as i32);
        }
        for _ in 0..TRIES {
            match options.open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match options.clone().create_new(true).open(path) {
                Ok(file) => {
                    let made = self.give(&file);
                    if made.is_err() {
                        // Nobody shall find a file that is not as it was asked for.
                        let _ = fs::remove_file(path);
                    }
                    return made.map(|()| file);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        // A link that leads nowhere: its file is made.
        let file = options.create(true).open(path)?;
        self.give(&file)?;
        Ok(file)
    }

    /// Gives a new file its permissions, whatever the process's mask says, and its owner.
    fn give(&self, file: &fs::File) -> io::Result<()> {
        let owner = self.owner.as_deref().map(|name| id_of("user", "/etc/passwd", name));
        let group = self.group.as_deref().map(|name| id_of("group", "/etc/group", name));
        let (owner, group) = (owner.transpose()?, group.transpose()?);
        if owner.is_some() || group.is_some() {
            fchown(file, owner, group)?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.mode))
    }

    /// Whether the names of owner and group are known.
    pub(super) fn check(&self) -> io::Result<()> {
        if let Some(name) = &self.owner {
            id_of("user", "/etc/passwd", name)?;
        }
        if let Some(name) = &self.group {
            id_of("group", "/etc/group", name)?;
        }
        Ok(())
    }
}

/// The number of a user or a group: the third field of its line in a list of the system.
fn id_of(what: &str, list: &str, name: &str) -> io::Result<u32> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text = fs::read_to_string(list).map_err(|error| told("read", Path::new(list), error))?;
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    id.ok_or_else(|| {
        let told = format!("{list} has no {what} `{name}`; write a name that it has, or a number");
        io::Error::new(io::ErrorKind::InvalidInput, told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_file_is_never_opened_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let making = |is_confined| Making {
            mode: 0o600,
            dir_mode: None,
            owner: None,
            group: None,
            is_confined,
        };
        for target in ["there", "not yet"] {
            let (link, target) = (dir.path().join(format!("to {target}")), dir.path().join(target));
            if target.ends_with("there") {
                fs::write(&target, "").unwrap();
            }
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let was_there = target.exists();
            assert!(making(true).open(&link).is_err());
            assert_eq!(target.exists(), was_there);
            assert!(making(false).open(&link).is_ok());
        }
    }

    #[test]
    fn a_name_is_looked_up_and_a_number_taken_as_it_is() {
        let id = |name| id_of("user", "/etc/passwd", name);
        assert_eq!((id("root").unwrap(), id("4711").unwrap()), (0, 4711));
        let error = id("nobody-has-this-name").unwrap_err().to_string();
        assert!(error.contains("`nobody-has-this-name`") && error.contains("number"), "{error}");
    }

    #[test]
    fn a_link_that_leads_nowhere_has_its_file_made() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let making =
            Making { mode: 0o640, dir_mode: None, owner: None, group: None, is_confined: false };
        drop(making.open(&link).unwrap());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
