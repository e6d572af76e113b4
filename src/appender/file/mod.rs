//! Text into a file: every event once, even when the process was killed between any two steps.
//!
//! The appender keeps a slot {device, inode, length, hash of the last bytes, position, hash of the
//! layout} in its cursor file, stored after each batch; a second one after each sync. Whatever the
//! file has beyond the stored length was written from that position on: it is rendered again and
//! compared, equal bytes are skipped, a torn line is completed, and the file is cut only where the
//! bytes differ. The same way leads on after a write that failed half-way. Nothing is cut from a
//! file whose bytes before the stored length are others than ours, nor what was added to it when
//! everything had been settled. See `docs/delivery.md`.
//!
//! With a journal in memory nothing is stored: there is no past to go on from.
//!
//! A file that is full, or whose time is over, gets another name between two events: slot → sync →
//! rename → sync of the directory → create → slot. The slot at the beginning says that the file has
//! everything before an event, the one at the end that the new file has nothing yet; in between nothing
//! is written. Whose time is over is decided by the times of events and the slot, so that a start comes
//! to the same files. Every option is told in `docs/files.md`.

mod colourless;
mod making;
mod names;
mod packing;
mod past;
mod period;
mod rotation;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Open, OpenError, Opened, Place};
use crate::journal::CursorFile;
use crate::layout::{Layout, Pattern};
use crate::sys::file::parent;
use colourless::Colourless;
use making::Making;
pub use packing::Compression;
pub use period::{RollBy, RollByError};
use rotation::{Rotation, Rules};
use text::{Parts, Target};
pub(super) use text::{TextFile, an_earlier_sync_failed};

/// Between two looks whether the path leads to another file, unless it is set, in milliseconds.
const CHECK_MOVED_EVERY_MS: u64 = 1_000;

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
    removes_colour: bool,
    truncate: bool,
    making: Making,
    header: Box<str>,
    header_at_every_open: bool,
    check_moved_every: Option<Duration>,
    is_shared: bool,
    rules: Rules,
    roll_at_start: bool,
    is_mandatory: bool,
}

impl File {
    /// Appends to the file at `path`, which is made with mode 0600 if it is missing. Missing
    /// directories are made, too. `~/` at the beginning is the home directory.
    pub fn new(path: impl Into<PathBuf>) -> File {
        File {
            path: path.into(),
            layout: Box::new(Pattern::simple()),
            removes_colour: false,
            truncate: false,
            making: Making {
                mode: 0o600,
                dir_mode: None,
                owner: None,
                group: None,
                is_confined: false,
            },
            header: "".into(),
            header_at_every_open: false,
            check_moved_every: Some(Duration::from_millis(CHECK_MOVED_EVERY_MS)),
            is_shared: false,
            rules: Rules::default(),
            roll_at_start: false,
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

    /// Takes the colours out of what the layout writes; by default they stay. What comes from data
    /// colours nothing in any case: layouts escape it.
    #[must_use]
    pub fn remove_colour(mut self, wanted: bool) -> File {
        self.removes_colour = wanted;
        self
    }

    /// Empties the file when it is opened.
    #[must_use]
    pub fn truncate(self) -> File {
        self.append(false)
    }

    /// Whether the file keeps what is in it when it is opened; by default it does.
    #[must_use]
    pub fn append(mut self, append: bool) -> File {
        self.truncate = !append;
        self
    }

    /// The permissions of a file that is made, whatever the mask of the process; by default 0600.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> File {
        self.making.mode = mode;
        self
    }

    /// The permissions of directories that are made, less the mask of the process; by default 0777.
    #[must_use]
    pub fn dir_mode(mut self, mode: u32) -> File {
        self.making.dir_mode = Some(mode);
        self
    }

    /// The owner of a file that is made: a name in `/etc/passwd`, or a number. By default the user of
    /// the process; only the superuser may give a file to another one.
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>) -> File {
        self.making.owner = Some(user.into());
        self
    }

    /// The group of a file that is made: a name in `/etc/group`, or a number.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> File {
        self.making.group = Some(group.into());
        self
    }

    /// Text that every new file begins with. A missing end of line is added. It comes with the first
    /// event, and counts among the file's bytes. Pipes and devices get none.
    #[must_use]
    pub fn header(mut self, header: impl Into<String>) -> File {
        let mut header = header.into();
        if !header.is_empty() && !header.ends_with('\n') {
            header.push('\n');
        }
        self.header = header.into();
        self
    }

    /// The header comes again whenever a file is opened that has something in it, at a start or
    /// because it was moved. By default it stands at the beginning of files only.
    #[must_use]
    pub fn header_at_every_open(mut self, wanted: bool) -> File {
        self.header_at_every_open = wanted;
        self
    }

    /// How often it is looked, before a batch is written, whether somebody has moved or removed the
    /// file: then the path is opened anew. By default every 1,000 ms; 0 looks before each batch.
    #[must_use]
    pub fn check_moved_every_ms(mut self, ms: u64) -> File {
        self.check_moved_every = Some(Duration::from_millis(ms));
        self
    }

    /// Whether it is looked at all; by default it is. A file that is moved is written on otherwise
    /// until [`Appender::reopen`](super::Appender::reopen).
    #[must_use]
    pub fn check_moved(mut self, wanted: bool) -> File {
        let every = self.check_moved_every.unwrap_or(Duration::from_millis(CHECK_MOVED_EVERY_MS));
        self.check_moved_every = wanted.then_some(every);
        self
    }

    /// Other processes append to the file as well: whole lines, up to 64 KiB at once, and no lock. By
    /// default a file belongs to one appender alone.
    ///
    /// After a kill, or a write that failed, lines may come twice. Such a file has no header and is not
    /// rolled: each process would do it.
    #[must_use]
    pub fn shared(mut self, shared: bool) -> File {
        self.is_shared = shared;
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
        self.rules.limit_bytes = Some(bytes);
        self
    }

    /// The least time between the first events of two files that [`File::rotate_at_bytes`] begins
    /// one after the other: a file that is full before that has passed grows on until it has. By
    /// default none. It keeps a small limit from rolling hundreds of times a second, and says
    /// nothing about other reasons to roll.
    ///
    /// The times are those of the events, so that a restart comes to the same files. An event that is
    /// older than the file's first one by the time or more ends the wait: after a clock was set back,
    /// and where the events of several sources come one after the other.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use rollway::appender::File;
    ///
    /// let file = File::new("app.log").rotate_at_bytes(1 << 20).min_roll_interval(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn min_roll_interval(mut self, interval: Duration) -> File {
        self.rules.min_roll_interval = interval;
        self
    }

    /// Begins a new file before the first event of another period. What the time is, the events say:
    /// one that is older than the file's period stays in it. The file is renamed: `app.log.2026-11-21`,
    /// and `app.log.2026-11-21.2` where there is one of the name. A file with the text of an earlier
    /// period is renamed at the first event. Goes together with [`File::rotate_at_bytes`].
    ///
    /// # Examples
    /// ```
    /// use rollway::appender::File;
    /// use rollway::appender::file::RollBy;
    ///
    /// let file = File::new("app.log").roll_by(RollBy::parse("daily")?).keep_days(30);
    /// # Ok::<(), rollway::appender::file::RollByError>(())
    /// ```
    #[must_use]
    pub fn roll_by(mut self, roll_by: RollBy) -> File {
        self.rules.roll_by = Some(roll_by);
        self
    }

    /// The file that is written has the date in its name from the beginning; needs
    /// [`File::roll_by`]. It is not renamed when its time is over.
    #[must_use]
    pub fn always_include_pattern(mut self, wanted: bool) -> File {
        self.rules.is_dated = wanted;
        self
    }

    /// Dates and numbers stand before the extension: `app.1.log`, `app.2026-11-21.log`.
    #[must_use]
    pub fn keep_extension(mut self, wanted: bool) -> File {
        self.rules.keep_extension = wanted;
        self
    }

    /// Begins with a new file at each start, if there is something in the old one.
    #[must_use]
    pub fn roll_at_start(mut self, wanted: bool) -> File {
        self.roll_at_start = wanted;
        self
    }

    /// How many rolled files stay beside the one that is written; by default all. The oldest are
    /// removed after a rotation and at the start. Nothing but files with a name that is given here is
    /// ever removed.
    #[must_use]
    pub fn keep(mut self, files: usize) -> File {
        self.rules.keep = Some(files);
        self
    }

    /// Removes rolled files, as [`File::keep`] does, that were last written so many days ago.
    #[must_use]
    pub fn keep_days(mut self, days: u32) -> File {
        self.rules.keep_days = Some(days);
        self
    }

    /// Removes the oldest rolled files, as [`File::keep`] does, until the others have no more bytes
    /// together. The file that is written is not among them.
    #[must_use]
    pub fn keep_total_bytes(mut self, bytes: u64) -> File {
        self.rules.keep_total_bytes = Some(bytes);
        self
    }

    /// Compresses rolled files beside the delivery; by default they stay as they are. Compressed
    /// files count for [`File::keep`] and its kind as long as this is set.
    #[must_use]
    pub fn compress(mut self, how: Compression) -> File {
        self.rules.compression = Some(how);
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
        Ok(Opened::Events(Box::new(self.open_text(place)?)))
    }

    fn is_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn takes_chunks(&self) -> bool {
        self.layout.takes_chunks()
    }
}

impl File {
    /// Opens the file, and finds out where the last run stopped.
    pub(super) fn open_text(&self, place: &Place<'_>) -> Result<TextFile, OpenError> {
        let failed = |what, source| OpenError {
            name: place.name.to_owned(),
            path: Some(self.path.clone()),
            what,
            source,
        };
        if let Some(what) = self.contradiction() {
            return Err(failed(what, None));
        }
        let unowned = "its owner or group is unknown; write a name of this system or a number";
        self.making.check().map_err(|source| failed(unowned, Some(source)))?;
        let configured = with_home(&self.path);
        self.making.directories(&configured).map_err(|source| {
            let what = "its directory cannot be made; check the path and its permissions";
            failed(what, Some(source))
        })?;
        let uncontinued =
            "it cannot be continued; check the file, its directory and the cursor's directory";
        let configured = match self.making.is_confined {
            true => configured,
            false => {
                path_to_rename(configured).map_err(|source| failed(uncontinued, Some(source)))?
            }
        };
        let cursor = place.cursor()?;
        let names = self.rules.names(&configured);
        let path = self.path_to_write(&configured, cursor.as_ref());
        let is_special = fs::metadata(&path).is_ok_and(|found| !found.is_file());
        let unusable = "it cannot be opened for writing; check the path and its permissions";
        let unusable = |source| failed(unusable, Some(source));
        let target = if is_special {
            let file = fs::OpenOptions::new().write(true).open(&path);
            Target::Special(file.map_err(unusable)?)
        } else if self.is_shared {
            Target::Shared(self.making.open(&path).map_err(unusable)?)
        } else {
            match self.making.open_locked(&path).map_err(unusable)? {
                Some(lock) => Target::Locked(lock),
                None => return Err(failed(IN_USE, None)),
            }
        };
        let uncontinued = |source| failed(uncontinued, Some(source));
        let is_rolled = self.is_rolled() && !is_special;
        let rotation = is_rolled.then(|| Rotation::new(self.rules.clone(), names, &path));
        let mut file = TextFile::new(Parts {
            path: path.clone(),
            making: self.making.clone(),
            target,
            rotation: rotation.transpose().map_err(uncontinued)?,
            header: self.header.clone(),
            header_at_every_open: self.header_at_every_open,
            check_every: self.check_moved_every,
            rolls_at_start: self.roll_at_start,
            output: place.outputs.open(),
            layout: match self.removes_colour {
                true => Box::new(Colourless(self.layout.clone())),
                false => place.layout(&*self.layout),
            },
            cursor,
            begin: place.begin,
        });
        let resumed = place.segments().and_then(|kept| file.resume(self.truncate, kept));
        resumed.map_err(uncontinued)?;
        Ok(file)
    }

    /// For one of many files in a directory: a symbolic link in its place is not followed.
    pub(crate) fn confined(mut self) -> File {
        self.making.is_confined = true;
        self
    }

    /// For a file that was closed for others and is opened again: it is neither emptied nor rolled for
    /// that.
    pub(crate) fn again(self) -> File {
        File { truncate: false, roll_at_start: false, ..self }
    }

    /// What was asked for and cannot be, with the remedy.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let name = self.path.as_os_str().as_encoded_bytes();
        if name.is_empty() {
            return Some("it has no path; write the name of a file");
        }
        if name.ends_with(b"/") {
            return Some("its path ends in `/`; write the name of a file behind it");
        }
        if self.is_shared && (self.is_rolled() || !self.header.is_empty() || self.truncate) {
            return Some(
                "a file that is shared is not rolled, has no header and is not truncated; leave these \
                 options out, or `shared`",
            );
        }
        if !self.rules.min_roll_interval.is_zero() && self.rules.limit_bytes.is_none() {
            return Some(
                "`min_roll_interval` spaces rolls by size; add `rotate_at_bytes`, or leave it out",
            );
        }
        if self.rules.is_dated && self.rules.roll_by.is_none() {
            return Some("its name can only have a date with `roll_by`; add it");
        }
        if self.making.is_confined && self.rules.is_dated {
            return Some(
                "files per value have no date in their own names, only in those of rolled ones; leave \
                 `always_include_pattern` out",
            );
        }
        let roll_by = self.rules.roll_by.as_ref();
        if self.making.is_confined && roll_by.is_some_and(|by| !by.begins_with_number()) {
            return Some(
                "a rolled file could have the name of another value's; begin the pattern of `roll_by` \
                 with a number, such as `yyyy`",
            );
        }
        self.rules.compression.and_then(Compression::lacks)
    }

    /// Whether the file is ever rolled.
    fn is_rolled(&self) -> bool {
        let Rules { limit_bytes, roll_by, .. } = &self.rules;
        limit_bytes.is_some() || roll_by.is_some() || self.roll_at_start
    }

    /// The path of the file that is written first: with the date of the slot, or of today, where the
    /// name has one.
    fn path_to_write(&self, configured: &Path, cursor: Option<&CursorFile>) -> PathBuf {
        let roll_by = self.rules.roll_by.as_ref().filter(|_| self.rules.is_dated);
        let Some(roll_by) = roll_by else { return configured.to_owned() };
        let slot = cursor.and_then(CursorFile::resume).map_or(0, |slot| slot.file.period_ns);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let period = roll_by.period_of(if slot != 0 { slot } else { now_ns });
        self.rules.names(configured).dated(roll_by.stamp_of(period))
    }
}

/// A path with the home directory in the place of `~`.
fn with_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(behind), Some(home)) => home.join(behind),
        _ => path.to_owned(),
    }
}

/// The path, or the one that it links to: a full file is renamed, and not the link to it.
fn path_to_rename(path: PathBuf) -> io::Result<PathBuf> {
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() && path.exists() => fs::canonicalize(&path),
        // Its file is yet to be made.
        Ok(found) if found.is_symlink() => Ok(parent(&path).join(fs::read_link(&path)?)),
        _ => Ok(path),
    }
}

/// What an open file is to be held by.
const IN_USE: &str = "another appender or process writes to it; give each its own file";

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

/// Compiles the examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/files.md")]
struct Documentation;
