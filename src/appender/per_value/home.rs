//! Where the files are, and what an earlier run left there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Template;
use super::name::{digest, is_name};
use crate::appender::file::TextFile;
use crate::appender::{OwnedPlace, Place};
use crate::journal::{Position, file_name, stored_cursors};
use crate::sys::output::{IoMethod, Outputs};

/// The longest name of a cursor, encoded: a file system takes 255 bytes.
const CURSOR_NAME_BYTES_MAX: usize = 200;

/// The directory of the files, and the journal.
pub(super) struct Home {
    directory: PathBuf,
    extension: String,
    /// The name of the appender.
    name: String,
    place: OwnedPlace,
}

/// What an earlier run left.
pub(super) struct Found {
    /// How many names have a file.
    pub(super) known: usize,
    /// Those whose file got something after its last sync.
    pub(super) unsynced: Vec<String>,
}

impl Home {
    pub(super) fn of(place: &Place<'_>, directory: &Path, extension: &str) -> Home {
        Home {
            directory: directory.to_owned(),
            extension: match extension {
                "" => String::new(),
                extension => format!(".{extension}"),
            },
            name: place.name.to_owned(),
            place: OwnedPlace {
                // Many files are open at once: by system calls, which need nothing for each.
                outputs: Outputs::new(IoMethod::Write, |_| {}),
                ..OwnedPlace::from(place)
            },
        }
    }

    /// Whether positions are stored.
    pub(super) fn is_stored(&self) -> bool {
        self.place.journal_dir.is_some()
    }

    /// Looks through the directory. Rolled files are none of these: [`is_name`] knows them.
    pub(super) fn find(&self) -> io::Result<Found> {
        let cursors = match &self.place.journal_dir {
            Some(journal_dir) => stored_cursors(journal_dir)?,
            None => Vec::new(),
        };
        let unsynced = cursors.into_iter().filter(|cursor| {
            let at = cursor.resume().map(|slot| slot.position);
            at > cursor.synced.map(|slot| slot.position)
        });
        let unsynced: HashSet<_> = unsynced.map(|cursor| cursor.name).collect();
        let mut found = Found { known: 0, unsynced: Vec::new() };
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(&self.extension));
            let Some(name) = name.filter(|name| is_name(name)) else { continue };
            found.known += 1;
            // In the place of a file that is not there any more nothing is to be synced.
            if entry.file_type()?.is_file() && unsynced.contains(&self.cursor_name(name)) {
                found.unsynced.push(name.to_owned());
            }
        }
        Ok(found)
    }

    /// Where the file of a name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{}", self.extension))
    }

    /// Whether there is a file of the name, or something in its place.
    pub(super) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// The name of a file's cursor.
    fn cursor_name(&self, name: &str) -> String {
        let whole = format!("{}/{name}{}", self.name, self.extension);
        match file_name(&whole).len() <= CURSOR_NAME_BYTES_MAX {
            true => whole,
            false => format!("{}/~{}", self.name, digest(&whole)),
        }
    }

    /// Opens the file of a name, once more if it `was_open` before. It has everything before its own
    /// position, or before `begin` if it is a new one.
    pub(super) fn open(
        &self,
        name: &str,
        template: &Template,
        was_open: bool,
        begin: Position,
    ) -> io::Result<TextFile> {
        let path = self.path(name);
        let refuse = |what: &str| {
            let path = path.display();
            Err(io::Error::other(format!("{path} is {what}, and is not written: move it away")))
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => return refuse("a symbolic link"),
            Ok(found) if !found.is_file() => return refuse("no regular file"),
            _ => {}
        }
        let cursor_name = self.cursor_name(name);
        let file = template.file(&path).confined();
        let file = if was_open { file.again() } else { file };
        // An event is in one file: there is no line to share.
        file.open_text(&self.place.of(&cursor_name, begin)).map_err(io::Error::other)
    }
}
