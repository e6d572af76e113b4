//! Writes while no other process does.
//!
//! What [`Synchronized`](crate::route::composite::Synchronized) puts around the appenders behind it. A
//! lock is taken for one batch: the kernel gives it back when its holder dies, the guard when the
//! write ends or panics.

use std::io;
use std::time::{Duration, Instant};

use super::{AppendError, Appender, Batch, Opened};
use crate::journal::Position;
use crate::route::composite::Lock;
use crate::sys::file::create_owned_dir;
use crate::sys::lock::FileLock;

/// Between two tries to get the lock.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// An appender that writes under locks.
struct Synchronized {
    appender: Box<dyn Appender>,
    /// In the order in which they are taken, the same for all.
    locks: Vec<Lock>,
}

/// Puts the locks around the appender. One that ships blocks writes nothing that others could cut.
pub(crate) fn under_locks(appender: Opened, locks: Vec<Lock>) -> Opened {
    match appender {
        Opened::Events(appender) if !locks.is_empty() => {
            Opened::Events(Box::new(Synchronized { appender, locks }))
        }
        appender => appender,
    }
}

impl Synchronized {
    /// Does `work` under the locks.
    fn locked<R>(
        &mut self,
        work: impl FnOnce(&mut dyn Appender) -> Result<R, AppendError>,
    ) -> Result<R, AppendError> {
        let acquired: io::Result<Vec<_>> = self.locks.iter().map(acquire).collect();
        let _held = acquired.map_err(|source| AppendError::Unavailable { source })?;
        work(&mut *self.appender)
    }
}

/// Waits for a lock.
fn acquire(lock: &Lock) -> io::Result<FileLock> {
    let path = lock.path.display();
    let told = |error: io::Error| {
        io::Error::new(error.kind(), format!("lock file {path}: {error}; check its directory"))
    };
    if let Some(dir) = lock.path.parent().filter(|_| lock.is_in_own_dir) {
        create_owned_dir(dir).map_err(told)?;
    }
    let deadline = Instant::now() + lock.wait;
    let mut pause = PAUSE_MIN;
    loop {
        if let Some(lock) = FileLock::try_acquire(&lock.path).map_err(told)? {
            return Ok(lock);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let wait = lock.wait;
            let what = format!("lock file {path}: somebody holds the lock for more than {wait:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

impl Appender for Synchronized {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        self.locked(|appender| appender.append(batch))
    }

    fn settled(&self) -> Position {
        self.appender.settled()
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.locked(|appender| appender.flush(deadline))
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.appender.pass(position)
    }

    fn keeps_from(&self) -> Position {
        self.appender.keeps_from()
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.locked(|appender| appender.sync(deadline))
    }

    fn retry_pause_max(&self) -> Duration {
        self.appender.retry_pause_max()
    }

    fn reopen(&mut self) -> Result<(), AppendError> {
        self.locked(|appender| appender.reopen())
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.locked(|appender| appender.rotate())
    }

    /// Not under the locks: nothing is written that others could cut.
    fn tend(&mut self) -> Option<Duration> {
        self.appender.tend()
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        self.appender.take_notice()
    }
}
