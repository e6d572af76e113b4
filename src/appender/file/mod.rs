//! Text into a file: every event once, even when the process was killed between any two steps.
//!
//! The appender keeps a slot {device, inode, length, hash of the last bytes, position, hash of the
//! layout} in its cursor file, stored after each batch; a second one after each sync. Whatever the file has beyond the stored length was written from
//! that position on: it is rendered again and compared, equal bytes are skipped, a torn line is
//! completed, and the file is cut only where the bytes differ. The same way leads on after a write
//! that failed half-way. Nothing is cut from a file whose bytes before the stored length are others
//! than ours, nor what was added to it when everything had been settled. See `docs/delivery.md`.
//!
//! With a journal in memory nothing is stored: there is no past to go on from.
//!
//! A full file gets a number, between two events: slot → sync → rename → sync of the directory →
//! create → slot. The slot at the beginning says that the full file has everything before an event, the
//! one at the end that the new file has nothing yet; in between nothing is written.

mod past;
mod rotation;
mod text;

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Open, OpenError, Opened, Place};
use crate::layout::{Layout, Pattern};
use crate::sys::file::parent;
use crate::sys::lock::FileLock;
use rotation::Rotation;
use text::{Parts, Target, TextFile};

/// A text file, before it is opened.
///
/// # Examples
/// ```
/// use rollway::appender::File;
/// use rollway::layout::Pattern;
///
/// let file = File::new("app.log").layout(Pattern::parse("%d %p %m%n")?).truncate();
/// # Ok::<(), rollway::layout::PatternError>(())
/// ```
pub struct File {
    path: PathBuf,
    layout: Box<dyn Layout>,
    truncate: bool,
    mode: u32,
    rotate_at_bytes: Option<u64>,
    keep: Option<usize>,
    is_mandatory: bool,
}

impl File {
    /// Appends to the file at `path`, which is made with mode 0600 if it is missing. Missing
    /// directories are made, too.
    pub fn new(path: impl Into<PathBuf>) -> File {
        File {
            path: path.into(),
            layout: Box::new(Pattern::simple()),
            truncate: false,
            mode: 0o600,
            rotate_at_bytes: None,
            keep: None,
            is_mandatory: true,
        }
    }

    /// How events become text; by default [`Pattern::simple`].
    #[must_use]
    pub fn layout(mut self, layout: impl Layout + 'static) -> File {
        self.layout = Box::new(layout);
        self
    }

    /// How events become text, chosen at run time.
    #[must_use]
    pub fn boxed_layout(mut self, layout: Box<dyn Layout>) -> File {
        self.layout = layout;
        self
    }

    /// Empties the file when it is opened.
    #[must_use]
    pub fn truncate(mut self) -> File {
        self.truncate = true;
        self
    }

    /// The permissions of a file that is made.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> File {
        self.mode = mode;
        self
    }

    /// Begins a new file before the event with which this one would have more than `bytes` bytes;
    /// an event that is longer by itself has a file alone. The full file is renamed: `app.log.1`,
    /// `app.log.2`, …, the greatest number is the newest. By default a file grows for ever.
    ///
    /// With a journal directory the full file is synced first, which takes the disk's time on the
    /// appender's thread.
    ///
    /// # Examples
    /// ```
    /// use rollway::appender::File;
    ///
    /// let file = File::new("app.log").rotate_at_bytes(100 << 20).keep(10);
    /// ```
    #[must_use]
    pub fn rotate_at_bytes(mut self, bytes: u64) -> File {
        self.rotate_at_bytes = Some(bytes);
        self
    }

    /// How many full files stay beside the one that is written; by default all. The oldest are
    /// removed after a rotation and at the start. Nothing but files that have the name and a number
    /// is ever removed.
    #[must_use]
    pub fn keep(mut self, files: usize) -> File {
        self.keep = Some(files);
        self
    }

    /// Whether the journal keeps what the file does not have yet; by default it does. An optional
    /// file that cannot be written is overtaken at the journal's bound, and says so when it goes on.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> File {
        self.is_mandatory = mandatory;
        self
    }
}

impl Open for File {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let failed = |what, source| OpenError {
            name: place.name.to_owned(),
            path: Some(self.path.clone()),
            what,
            source,
        };
        fs::create_dir_all(parent(&self.path)).map_err(|source| {
            let what = "its directory cannot be made; check the path and its permissions";
            failed(what, Some(source))
        })?;
        let unusable = "it cannot be opened for writing; check the path and its permissions";
        let is_special = fs::metadata(&self.path).is_ok_and(|found| !found.is_file());
        let target = if is_special {
            let file = fs::OpenOptions::new().write(true).open(&self.path);
            Target::Special(file.map_err(|source| failed(unusable, Some(source)))?)
        } else {
            match open_locked(&self.path, self.mode) {
                Ok(Some(lock)) => Target::Locked(lock),
                Ok(None) => return Err(failed(IN_USE, None)),
                Err(source) => return Err(failed(unusable, Some(source))),
            }
        };
        let uncontinued = |source| {
            let what =
                "it cannot be continued; check the file, its directory and the cursor's directory";
            failed(what, Some(source))
        };
        let path = self.path_to_rename().map_err(uncontinued)?;
        let limit = self.rotate_at_bytes.filter(|_| !is_special);
        let rotation = limit.map(|limit| Rotation::new(&path, limit, self.keep)).transpose();
        let mut file = TextFile::new(Parts {
            path,
            mode: self.mode,
            target,
            rotation: rotation.map_err(uncontinued)?,
            output: place.outputs.open(),
            layout: self.layout.clone(),
            cursor: place.cursor()?,
            begin: place.begin,
        });
        let resumed = place.segments().and_then(|kept| file.resume(self.truncate, kept));
        resumed.map_err(uncontinued)?;
        Ok(Opened::Events(Box::new(file)))
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }
}

impl File {
    /// The path, or the one that it links to: a full file is renamed, and not the link to it.
    fn path_to_rename(&self) -> io::Result<PathBuf> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_symlink() => fs::canonicalize(&self.path),
            _ => Ok(self.path.clone()),
        }
    }
}

/// What an open file is to be held by.
const IN_USE: &str = "another appender or process writes to it; give each its own file";

/// Opens the file at `path`, or makes it, and locks it; `None` when somebody has the lock.
fn open_locked(path: &Path, mode: u32) -> io::Result<Option<FileLock>> {
    FileLock::try_open(path, |path| {
        let mut options = fs::OpenOptions::new();
        options.read(true).append(true).create(true).mode(mode).open(path)
    })
}

/// The error with what failed, where, and what helps.
fn told(doing: &str, path: &Path, error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its disk",
        io::ErrorKind::FileTooLarge => "raise the limit of file sizes, or rotate it earlier",
        io::ErrorKind::PermissionDenied => "check its permissions and those of its directory",
        io::ErrorKind::ReadOnlyFilesystem => "mount its file system for writing",
        io::ErrorKind::NotFound => "check its directory",
        io::ErrorKind::NotADirectory => {
            "what stands on the way to it is no directory: move it away"
        }
        io::ErrorKind::IsADirectory => "a directory stands in its place: move it away",
        io::ErrorKind::AlreadyExists => "move away what has the name",
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "raise the process's limit of open files"
        }
        _ => "check the path and its disk",
    };
    let path = path.display();
    io::Error::new(error.kind(), format!("cannot {doing} {path}: {error}; {remedy}"))
}
