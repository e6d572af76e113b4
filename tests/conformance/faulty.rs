//! An appender around another that is slow, fails, refuses, hangs, or waits to be killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rollway::appender::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use rollway::journal::Position;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Nothing,
    /// Every batch takes this long.
    Slow(Duration),
    /// Every other batch fails: by turns before the appender has it, and behind.
    Failing,
    /// What has the word `poison` in it is refused.
    Picky,
    /// The batch of this number, from 1 on, is never handed on: the process waits to be killed.
    StuckBefore(u32),
    /// The same behind that batch.
    StuckBehind(u32),
}

/// An appender with a fault.
pub struct Faulty {
    pub appender: Box<dyn Open>,
    pub fault: Fault,
    pub dir: PathBuf,
}

/// The file that says that the process may be killed.
pub fn stuck_path(dir: &Path) -> PathBuf {
    dir.join("stuck")
}

impl Open for Faulty {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        Ok(match self.appender.open(place)? {
            Opened::Events(appender) if self.fault != Fault::Nothing => {
                let (fault, dir) = (self.fault, self.dir.clone());
                Opened::Events(Box::new(OpenFaulty { appender, fault, dir, batches: 0 }))
            }
            opened => opened,
        })
    }

    fn is_mandatory(&self) -> bool {
        true
    }

    fn ships_blocks(&self) -> bool {
        self.appender.ships_blocks()
    }
}

struct OpenFaulty {
    appender: Box<dyn Appender>,
    fault: Fault,
    dir: PathBuf,
    /// Those that had events.
    batches: u32,
}

impl OpenFaulty {
    fn stick(&self) -> ! {
        fs::write(stuck_path(&self.dir), "").unwrap();
        loop {
            std::thread::park();
        }
    }
}

fn ill() -> AppendError {
    AppendError::Unavailable { source: io::Error::other("the test lets it fail") }
}

impl Appender for OpenFaulty {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        let mut is_poisoned = false;
        batch.for_each(|event| {
            let mut message = String::new();
            event.message(&mut message);
            is_poisoned |= message.contains("poison");
        });
        self.batches += u32::from(batch.count() > 0);
        match self.fault {
            Fault::Slow(pause) => std::thread::sleep(pause),
            Fault::Failing if self.batches % 4 == 1 => return Err(ill()),
            Fault::Picky if is_poisoned => {
                return Err(AppendError::Rejected { source: "poison".into() });
            }
            Fault::StuckBefore(number) if self.batches == number => self.stick(),
            _ => {}
        }
        self.appender.append(batch)?;
        match self.fault {
            Fault::Failing if self.batches % 4 == 3 => Err(ill()),
            Fault::StuckBehind(number) if self.batches == number => self.stick(),
            _ => Ok(()),
        }
    }

    fn settled(&self) -> Position {
        self.appender.settled()
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.appender.flush(deadline)
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.appender.pass(position)
    }

    fn keeps_from(&self) -> Position {
        self.appender.keeps_from()
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.appender.sync(deadline)
    }

    fn retry_pause_max(&self) -> Duration {
        Duration::from_millis(5)
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        self.appender.take_notice()
    }
}
