//! Watches the files of a configuration, and asks for a reload when they have changed.
//!
//! It looks at them now and then; a file counts by its device, inode, length and time, through
//! symbolic links, so that a link that points elsewhere is a change. What has changed is taken once
//! it has stayed as it is between two looks: until then somebody may be writing it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::call;

/// Files of a directory that are looked at.
const FILES_MAX: usize = 4096;
/// Between two looks whether the thread has ended.
const LOOK: Duration = Duration::from_millis(1);
/// The least time between two looks at the files.
pub(super) const EVERY_MIN: Duration = Duration::from_millis(10);

/// The thread that watches.
pub(crate) struct Watch {
    /// Closed to end the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What tells one state of the files from another: of each that is there, where and how it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Seen(BTreeMap<PathBuf, (u64, u64, u64, i64, i64)>);

impl Watch {
    /// Looks at `paths`, which are files or directories, so often, and calls `changed` when they have
    /// changed and stay so. Ends by itself when that says `false`.
    ///
    /// # Errors
    /// When there is no thread.
    pub(crate) fn start(
        paths: Vec<PathBuf>,
        every: Duration,
        changed: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Watch> {
        let (stop, stopped) = mpsc::channel::<()>();
        // Before anybody can change them and expect that it is seen.
        let mut taken = Seen::of(&paths);
        let thread = std::thread::Builder::new().name("rollway-watch".to_owned());
        let thread = thread.spawn(move || {
            call::enter_own_thread();
            let mut last = taken.clone();
            while stopped.recv_timeout(every.max(EVERY_MIN)) == Err(RecvTimeoutError::Timeout) {
                let now = Seen::of(&paths);
                let is_settled = now == last;
                if is_settled && now != taken {
                    taken = now.clone();
                    if !changed() {
                        return;
                    }
                }
                last = now;
            }
        })?;
        Ok(Watch { stop, thread })
    }

    /// Ends the thread. A reload under way is waited for until `deadline`.
    pub(crate) fn end(self, deadline: Instant) {
        drop(self.stop);
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        if self.thread.is_finished() {
            // A panic was reported by the panic hook.
            let _ = self.thread.join();
        }
    }
}

impl Seen {
    fn of(paths: &[PathBuf]) -> Seen {
        let mut seen = Seen::default();
        for path in paths {
            seen.add(path);
            let Ok(entries) = fs::read_dir(path) else { continue };
            entries.flatten().take(FILES_MAX).for_each(|entry| seen.add(&entry.path()));
        }
        seen
    }

    /// A file that is not there is no entry.
    fn add(&mut self, path: &Path) {
        if let Ok(found) = fs::metadata(path) {
            let state = (found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec());
            self.0.insert(path.to_owned(), state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_points_elsewhere_is_another_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("one"), "same").unwrap();
        fs::write(path("two"), "same").unwrap();
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        let before = Seen::of(&[path("link")]);
        assert_eq!(before, Seen::of(&[path("link")]));
        std::os::unix::fs::symlink(path("two"), path("new")).unwrap();
        fs::rename(path("new"), path("link")).unwrap();
        let after = Seen::of(&[path("link")]);
        assert_ne!(before, after);
        fs::remove_file(path("two")).unwrap();
        assert_eq!(Seen::of(&[path("link")]), Seen::default());
    }

    #[test]
    fn a_file_that_comes_into_a_directory_is_another_state() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().to_owned()];
        let before = Seen::of(&paths);
        fs::write(dir.path().join("10-new.toml"), "").unwrap();
        let after = Seen::of(&paths);
        assert_ne!(before, after);
        fs::write(dir.path().join("10-new.toml"), "more").unwrap();
        assert_ne!(after, Seen::of(&paths));
    }
}
