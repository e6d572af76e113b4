//! Rolled files are compressed beside the delivery, one at a time, by a thread of low priority.
//!
//! The thread is told that there may be something to do, and looks into the directory itself: what a
//! killed process left undone is done again by the same way. The steps for one file: write the
//! compressed one under a name of its own → sync → rename → sync of the directory → remove the plain
//! one. A kill between any two leaves the plain file or the whole compressed one, or both; then the
//! plain one goes once it was compared. A file that somebody writes is locked, and left alone.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::names::{Form, Name, Names};
use super::told;
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::{rename_new, sync_dir};
use crate::sys::lock::is_held;
use crate::sys::priority;

/// Bytes compared at a time.
const COMPARE_BYTES: usize = 64 << 10;
/// Failures that wait to be told.
const NOTICES_MAX: usize = 1;
/// The pause before what failed is tried again, doubled up to the longest.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How rolled files are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Compression {
    /// `.gz`; needs the feature `gzip`.
    Gzip,
    /// `.zst`; needs the feature `zstd`.
    Zstd,
}

/// The thread that compresses the rolled files of one text file. Dropped, it leaves what it does
/// undone: the next start does it again.
pub(super) struct Packer {
    /// `None` once it is to end.
    kicks: Option<SyncSender<()>>,
    is_stopping: Arc<AtomicBool>,
    notices: Receiver<io::Error>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has.
struct Work {
    how: Compression,
    names: Names,
    is_stopping: Arc<AtomicBool>,
}

impl Compression {
    /// Why this build cannot do it, if it cannot.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match self {
            Compression::Gzip if cfg!(not(feature = "gzip")) => {
                Some("rolled files cannot be compressed as gzip; build with the feature `gzip`")
            }
            Compression::Zstd if cfg!(not(feature = "zstd")) => {
                Some("rolled files cannot be compressed as zstd; build with the feature `zstd`")
            }
            _ => None,
        }
    }

    fn form(self) -> Form {
        match self {
            Compression::Gzip => Form::Gzip,
            Compression::Zstd => Form::Zstd,
        }
    }

    fn compress(self, from: &mut dyn Read, to: &fs::File) -> io::Result<()> {
        match self {
            #[cfg(feature = "gzip")]
            Compression::Gzip => {
                let mut to = flate2::write::GzEncoder::new(to, flate2::Compression::default());
                io::copy(from, &mut to)?;
                to.finish().map(drop)
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let mut to = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                to.include_checksum(true)?;
                io::copy(from, &mut to)?;
                to.finish().map(drop)
            }
            #[allow(unreachable_patterns, reason = "reached where a feature is missing")]
            _ => unsupported(from, to).map(drop),
        }
    }

    /// The text of a compressed file.
    fn open(self, path: &Path) -> io::Result<Box<dyn Read>> {
        let file = BufReader::new(fs::File::open(path)?);
        match self {
            #[cfg(feature = "gzip")]
            Compression::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Ok(Box::new(zstd::Decoder::with_buffer(file)?)),
            #[allow(unreachable_patterns, reason = "reached where a feature is missing")]
            _ => unsupported(file, ()).map(|()| Box::new(io::empty()) as Box<dyn Read>),
        }
    }
}

#[allow(dead_code, reason = "called where a feature is missing")]
fn unsupported<A, B>(_from: A, _to: B) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Packer {
    /// Starts the thread. It looks what there is to do when it is kicked.
    pub(super) fn start(how: Compression, names: Names) -> io::Result<Packer> {
        // One kick that waits is enough: the thread looks at everything then.
        let (kicks, kicked) = sync_channel(1);
        let (notify, notices) = sync_channel(NOTICES_MAX);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let work = Work { how, names, is_stopping: Arc::clone(&is_stopping) };
        let named = std::thread::Builder::new().name("rollway-pack".to_owned());
        let thread = named.spawn(move || {
            priority::lower();
            work.whenever(&kicked, &notify);
        })?;
        Ok(Packer { kicks: Some(kicks), is_stopping, notices, thread: Some(thread) })
    }

    /// Says that there may be something to do. Does not wait.
    pub(super) fn kick(&self) {
        if let Some(kicks) = &self.kicks {
            // A full channel has a kick already.
            let _ = kicks.try_send(());
        }
    }

    /// What went wrong.
    pub(super) fn take_notice(&mut self) -> Option<io::Error> {
        self.notices.try_recv().ok()
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        // Relaxed: a flag; nothing else is shared.
        self.is_stopping.store(true, Ordering::Relaxed);
        self.kicks = None;
        if let Some(thread) = self.thread.take() {
            // It ends with the bytes that it has in its hands.
            let _ = thread.join();
        }
    }
}

impl Work {
    /// Looks what there is to do at each kick, and again after a failure.
    fn whenever(&self, kicked: &Receiver<()>, notify: &SyncSender<io::Error>) {
        let (mut pause, mut told) = (None::<Duration>, None);
        loop {
            let wait = pause.unwrap_or(Duration::MAX);
            if kicked.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let Err(error) = self.all() else {
                (pause, told) = (None, None);
                continue;
            };
            // What has the name stays there until somebody takes it away.
            let may_pass = error.kind() != io::ErrorKind::AlreadyExists;
            pause = may_pass.then(|| pause.map_or(RETRY_MIN, |pause| (2 * pause).min(RETRY_MAX)));
            let what = Some(error.to_string());
            if told != what {
                told = what;
                // One that waits to be told says as much.
                let _ = notify.try_send(error);
            }
        }
    }

    /// Compresses what is not compressed yet, the oldest first.
    fn all(&self) -> io::Result<()> {
        let mut found = self.names.look()?;
        found.sort_unstable_by_key(|(name, _)| *name);
        let mut first_failure = Ok(());
        // Of a process that is dead: nobody else writes beside this text file.
        for (name, _) in found.iter().filter(|(_, form)| *form == Form::Partial) {
            first_failure = first_failure.and(self.remove_partial(*name));
        }
        for (name, _) in found.iter().filter(|(_, form)| *form == Form::Plain) {
            if self.is_stopping() {
                break;
            }
            first_failure = first_failure.and(self.pack(*name));
        }
        first_failure
    }

    fn pack(&self, name: Name) -> io::Result<()> {
        let (plain, packed) = (self.names.path(name), self.names.path_as(name, self.how.form()));
        // One that was just made is locked before the first byte: until then it is empty.
        let is_empty = fs::metadata(&plain).map_or(true, |found| found.len() == 0);
        if is_empty || is_held(&plain).unwrap_or(true) {
            return Ok(());
        }
        if packed.exists() {
            // The last steps were not done, or somebody has the name: the bytes tell.
            return match self.is_whole(&plain, &packed) {
                true => self.replace_plain(&plain, &packed),
                false => Err(told("compress", &plain, io::ErrorKind::AlreadyExists.into())),
            };
        }
        let partial = partial_of(&packed);
        let written = self.write(&plain, &partial, &packed);
        if written.is_err() {
            // Best effort: the next try removes it as well.
            let _ = fs::remove_file(&partial);
        }
        match written {
            Err(_) if self.is_stopping() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !plain.exists() => Ok(()),
            Err(error) => Err(told("compress", &plain, error)),
            Ok(()) => self.remove_plain(&plain, &packed),
        }
    }

    /// Makes the compressed file, up to its name.
    fn write(&self, plain: &Path, partial: &Path, packed: &Path) -> io::Result<()> {
        let from = fs::File::open(plain)?;
        let found = from.metadata()?;
        let mut options = fs::OpenOptions::new();
        let to = options.write(true).create_new(true).mode(0o600).open(partial)?;
        self.how.compress(&mut Stoppable { file: &from, is_stopping: &self.is_stopping }, &to)?;
        // Only the superuser gives a file to another owner; who may not has made it himself.
        let _ = fchown(&to, Some(found.uid()), Some(found.gid()));
        to.set_permissions(found.permissions())?;
        to.set_modified(found.modified()?)?;
        crash::reached(CrashPoint::PackWritten);
        to.sync_all()?;
        crash::reached(CrashPoint::PackSynced);
        rename_new(partial, packed)?;
        crash::reached(CrashPoint::PackRenamed);
        sync_dir(self.names.dir())?;
        crash::reached(CrashPoint::PackDirectory);
        Ok(())
    }

    /// Removes the plain file once the compressed one would be found after a power failure: nobody
    /// knows how far another try had come.
    fn replace_plain(&self, plain: &Path, packed: &Path) -> io::Result<()> {
        let synced = fs::File::open(packed).and_then(|packed| packed.sync_all());
        let synced = synced.and_then(|()| sync_dir(self.names.dir()));
        synced.map_err(|error| told("sync", packed, error))?;
        match fs::remove_file(plain) {
            // Whoever did that had both before him.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| told("remove", plain, error)),
        }
    }

    fn remove_plain(&self, plain: &Path, packed: &Path) -> io::Result<()> {
        match fs::remove_file(plain) {
            // It was one too many meanwhile: so is what became of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(packed),
            removed => removed.map_err(|error| told("remove", plain, error)),
        }
    }

    /// Whether the compressed file has all of the plain one.
    fn is_whole(&self, plain: &Path, packed: &Path) -> bool {
        let (Ok(mut plain), Ok(mut packed)) = (fs::File::open(plain), self.how.open(packed)) else {
            return false;
        };
        have_the_same_bytes(&mut plain, &mut *packed).unwrap_or(false)
    }

    fn remove_partial(&self, name: Name) -> io::Result<()> {
        for form in [Form::Gzip, Form::Zstd] {
            let partial = partial_of(&self.names.path_as(name, form));
            match fs::remove_file(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(told("remove", &partial, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        // Relaxed: a flag; nothing else is shared.
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// A file that ends with an error when nobody waits for it any more.
struct Stoppable<'a> {
    file: &'a fs::File,
    is_stopping: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the logger ends"));
        }
        self.file.read(buffer)
    }
}

fn partial_of(packed: &Path) -> PathBuf {
    let mut name = packed.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

fn have_the_same_bytes(one: &mut dyn Read, other: &mut dyn Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
        match other.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(all(test, feature = "gzip", feature = "zstd"))]
mod tests {
    use super::*;

    fn work(dir: &Path, how: Compression) -> Work {
        let names = Names::new(&dir.join("app.log"), false).with_packed();
        Work { how, names, is_stopping: Arc::default() }
    }

    fn left(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().flatten();
        let mut left: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        left.sort();
        left
    }

    #[test]
    fn what_could_not_be_compressed_is_tried_again_and_told_once() {
        let base = tempfile::tempdir().unwrap();
        let (dir, elsewhere) = (base.path().join("logs"), base.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("app.log.1"), "one\n").unwrap();
        let names = Names::new(&dir.join("app.log"), false).with_packed();
        let mut packer = Packer::start(Compression::Gzip, names).unwrap();
        packer.kick();
        let until = |reached: &mut dyn FnMut() -> bool| {
            for _ in 0..6_000 {
                if reached() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("not within a minute");
        };
        let mut notice = None;
        until(&mut || {
            notice = packer.take_notice();
            notice.is_some()
        });
        assert!(notice.is_some_and(|why| why.to_string().contains("cannot list")));
        // Long enough for another try.
        std::thread::sleep(RETRY_MIN + RETRY_MIN / 2);
        assert!(packer.take_notice().is_none());
        fs::rename(elsewhere, &dir).unwrap();
        until(&mut || left(&dir) == ["app.log.1.gz"]);
    }

    fn text_of(how: Compression, path: &Path) -> String {
        let mut text = String::new();
        how.open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_compressed_has_every_byte_the_age_and_the_permissions_of_the_file() {
        use std::os::unix::fs::PermissionsExt;
        for how in [Compression::Gzip, Compression::Zstd] {
            let dir = tempfile::tempdir().unwrap();
            let (plain, text) = (dir.path().join("app.log.1"), "a line\n".repeat(100_000));
            fs::write(&plain, &text).unwrap();
            fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).unwrap();
            let before = fs::metadata(&plain).unwrap();
            work(dir.path(), how).all().unwrap();
            let packed = dir.path().join(format!("app.log.1{}", how.form().suffix()));
            assert_eq!(left(dir.path()), [packed.file_name().unwrap().to_str().unwrap()]);
            assert_eq!(text_of(how, &packed), text);
            let after = fs::metadata(&packed).unwrap();
            assert_eq!(after.modified().unwrap(), before.modified().unwrap());
            assert_eq!(after.mode(), before.mode());
            assert!(after.len() < before.len() / 10);
        }
    }

    #[test]
    fn what_a_killed_process_left_is_finished_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let work = work(dir.path(), Compression::Gzip);
        for name in ["app.log", "app.log.1", "app.log.2", "app.log.old", "app.log.9.gz.tmp"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        // The compressed file of the first is whole, that of the second is somebody else's.
        let source = fs::File::open(dir.path().join("app.log.1")).unwrap();
        let target = fs::File::create(dir.path().join("app.log.1.gz")).unwrap();
        work.how.compress(&mut &source, &target).unwrap();
        fs::write(dir.path().join("app.log.2.gz"), "theirs").unwrap();
        fs::write(dir.path().join("app.log.2.gz.tmp"), "torn").unwrap();
        let error = work.all().unwrap_err().to_string();
        assert!(error.contains("app.log.2"), "{error}");
        fs::remove_file(dir.path().join("app.log.2.gz")).unwrap();
        work.all().unwrap();
        assert_eq!(left(dir.path()), ["app.log", "app.log.1.gz", "app.log.2.gz", "app.log.old"]);
        assert_eq!(text_of(Compression::Gzip, &dir.path().join("app.log.2.gz")), "app.log.2");
    }

    #[test]
    fn a_file_that_somebody_writes_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log.1");
        fs::write(&path, "a line\n").unwrap();
        let lock = crate::sys::lock::FileLock::try_acquire(&path).unwrap().unwrap();
        work(dir.path(), Compression::Gzip).all().unwrap();
        assert_eq!(left(dir.path()), ["app.log.1"]);
        drop(lock);
        work(dir.path(), Compression::Gzip).all().unwrap();
        assert_eq!(left(dir.path()), ["app.log.1.gz"]);
    }

    #[test]
    fn a_file_that_was_just_made_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("app.log.1"), "a line\n").unwrap();
        fs::write(dir.path().join("app.log.2"), "").unwrap();
        work(dir.path(), Compression::Gzip).all().unwrap();
        assert_eq!(left(dir.path()), ["app.log.1.gz", "app.log.2"]);
    }
}
