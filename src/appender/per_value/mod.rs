//! A text file for each value: of the category, of a context key, of a key-value, of the host.
//!
//! Each file is a [`File`] like any other, with a cursor of its own, so that each has its events once
//! even when the process was killed between any two steps. The appender in front of them has a cursor,
//! too: it settles a batch when every file has settled its part. After a kill, or when one of the files
//! fails, the batch comes again; a file that had settled it passes its events over, and the others
//! compare what stands in them.
//!
//! Values come from data. The name of a file is made from the value by [`name`], stays in the one
//! directory, and is no other value's. What stands there under the name and is no regular file, a
//! symbolic link for instance, is not written through: it is an error that names it.
//!
//! Invariants:
//! 1. Every file has all of its events before the settled position.
//! 2. A file that is closed has settled and synced what it was given.
//! 3. The journal is kept from the earliest position that a file has synced: an open one, or one that
//!    an earlier run left without a sync, which the next sync sees to. Once a sync has failed, it is
//!    kept for none of them, and nothing counts as synced any more.

mod digest;
mod files;
mod home;
mod key;
mod name;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bookmark::Bookmark;
use super::{File, Open, OpenError, Opened, Place};
use crate::sys::file::create_private_dir;
use files::Files;
use home::Home;

pub use key::Key;
use name::own;

/// The default of [`PerValue::open_files_max`].
const OPEN_FILES_MAX: usize = 64;
/// The default of [`PerValue::files_max`].
const FILES_MAX: usize = 10_000;
/// The default of [`PerValue::close_idle_after`].
const CLOSE_IDLE_AFTER: Duration = Duration::from_secs(60);
/// The longest extension.
const EXTENSION_BYTES_MAX: usize = 32;

/// A file for each value of a [`Key`], in one directory.
///
/// The file of a value is `<directory>/<value>.log`. ASCII letters, digits, `-`, `_` and `.` of the
/// value stay, everything else is written as `%` and two hexadecimal digits: `shop::till` has the file
/// `shop%3A%3Atill.log`. A long value is cut and marked with its SHA-256. No value leads out of the
/// directory, and no two share a file.
///
/// # Examples
/// ```
/// use rollway::appender::{File, Key, Missing, PerValue};
/// use rollway::layout::Json;
///
/// let per_tenant = PerValue::new("/var/log/shop/tenants", Key::context("tenant"))
///     .missing(Missing::Drop)
///     .files(|path| File::new(path).layout(Json::new()).rotate_at_bytes(100 << 20).keep(3));
/// ```
pub struct PerValue {
    directory: PathBuf,
    key: Key,
    extension: String,
    missing: Missing,
    open_files_max: usize,
    files_max: usize,
    close_idle_after: Duration,
    template: Template,
    is_mandatory: bool,
}

/// Makes the file at a path, before it is opened. Shared, because a destination may be opened more
/// than once.
#[derive(Clone)]
struct Template(Arc<Mutex<dyn FnMut(PathBuf) -> File + Send>>);

/// What becomes of events that do not have the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// They go to a file of this name, with a `+` before it, which no value's file has.
    File(String),
    /// They go nowhere. How many there were is told on the self-log, at the first one and whenever
    /// their number has doubled.
    Drop,
}

impl PerValue {
    /// Files below `directory`, which is made with mode 0700 if it is missing. It is for these files
    /// alone. Events without the value go to the file `+none.log`.
    pub fn new(directory: impl Into<PathBuf>, key: Key) -> PerValue {
        PerValue {
            directory: directory.into(),
            key,
            extension: "log".to_owned(),
            missing: Missing::File("none".to_owned()),
            open_files_max: OPEN_FILES_MAX,
            files_max: FILES_MAX,
            close_idle_after: CLOSE_IDLE_AFTER,
            template: Template(Arc::new(Mutex::new(File::new))),
            is_mandatory: true,
        }
    }

    /// What stands behind the value and a dot, by default `log`; nothing where it is empty. At most
    /// 32 letters, digits, `-` and `_`, a letter first.
    #[must_use]
    pub fn extension(mut self, extension: impl Into<String>) -> PerValue {
        self.extension = extension.into();
        self
    }

    /// What becomes of events that do not have the value, or an empty one.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> PerValue {
        self.missing = missing;
        self
    }

    /// How many files are open at once, by default 64, 1 at least. The one that was not written for
    /// the longest time is synced and closed for another.
    #[must_use]
    pub fn open_files_max(mut self, files: usize) -> PerValue {
        self.open_files_max = files.max(1);
        self
    }

    /// How many values have a file of their own, by default 10,000. The events of further ones go to
    /// the file `+more.log`, and the self-log says so. Files that an earlier run made count.
    #[must_use]
    pub fn files_max(mut self, files: usize) -> PerValue {
        self.files_max = files;
        self
    }

    /// Closes a file that was not written for so long, by default a minute. Looked at before each
    /// batch, and while nothing comes. A file whose last write failed stays open.
    #[must_use]
    pub fn close_idle_after(mut self, time: Duration) -> PerValue {
        self.close_idle_after = time;
        self
    }

    /// How each file is made, by default [`File::new`]: the layout, the permissions, the rotation.
    /// Called whenever one is opened, and once before, to check what it says; it is to return a
    /// [`File`] at the path that it gets. Names of rolled files begin with a number behind the value,
    /// and the file that is written has no date: so no value's file is another one's rolled file.
    ///
    /// What a [`File`] does when it is opened, as [`File::truncate`] and [`File::roll_at_start`], it
    /// does the first time in a run, and not when it was closed for others in between. A header that
    /// comes at every opening comes then, too.
    #[must_use]
    pub fn files(mut self, make: impl FnMut(PathBuf) -> File + Send + 'static) -> PerValue {
        self.template = Template(Arc::new(Mutex::new(make)));
        self
    }

    /// Whether the journal keeps what the files do not have yet; by default it does.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> PerValue {
        self.is_mandatory = mandatory;
        self
    }

    fn open_files(&self, place: &Place<'_>) -> Result<Files, OpenError> {
        let failed = |what, source| OpenError {
            name: place.name.to_owned(),
            path: Some(self.directory.clone()),
            what,
            source,
        };
        if !is_extension(&self.extension) {
            let what = "the extension of its files is not one: use at most 32 letters, digits, `-` \
                        and `_`, a letter first";
            return Err(failed(what, None));
        }
        create_private_dir(&self.directory).map_err(|source| {
            let what = "its directory cannot be made; check the path and its permissions";
            failed(what, Some(source))
        })?;
        let home = Home::of(place, &self.directory, &self.extension);
        let probe = self.template.file(&home.path(&own("none"))).confined();
        if let Some(what) = probe.contradiction() {
            return Err(failed(what, None));
        }
        let found = home.find().map_err(|source| {
            let what = "its directory, or the journal's `cursors`, cannot be read; check their permissions";
            failed(what, Some(source))
        })?;
        Ok(Files::new(files::Parts {
            home,
            key: self.key.clone(),
            missing: self.missing.clone(),
            open_files_max: self.open_files_max,
            files_max: self.files_max,
            close_idle_after: self.close_idle_after,
            template: self.template.clone(),
            bookmark: Bookmark::open(place)?,
            found,
        }))
    }
}

impl fmt::Debug for PerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (directory, key) = (&self.directory, &self.key);
        f.debug_struct("PerValue")
            .field("directory", directory)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl Template {
    fn file(&self, path: &Path) -> File {
        let mut make = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make(path.to_owned())
    }
}

impl Open for PerValue {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(Opened::Events(Box::new(self.open_files(place)?)))
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }
}

pub(crate) fn is_extension(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let begins = text.bytes().next().is_none_or(|byte| byte.is_ascii_alphabetic());
    begins && text.len() <= EXTENSION_BYTES_MAX && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
