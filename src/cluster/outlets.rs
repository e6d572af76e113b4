//! Opening what a description names: the appenders of all, or what ships a dead member's blocks.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::engine::group::Description;
use crate::engine::outlets::{AddError, Described, Origin, Outlets, Runs};
use crate::engine::selflog;
use crate::journal::Journal;
use crate::sys::output::Outputs;

/// The kernel releases the locks of a dead process one after the other: those behind the first one
/// are tried for so long, with these pauses.
pub(super) const RELEASE_WAIT: Duration = Duration::from_secs(2);
pub(super) const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// Which appenders of a description are opened, and for whom.
pub(super) struct Opening<'a> {
    pub(super) description: &'a Description,
    /// What it says by now.
    pub(super) described: &'a Described,
    pub(super) journal: &'a Journal,
    pub(super) runs: Runs,
    /// Whose events they get: a source and an epoch; zeroes for those of all.
    pub(super) run: (u128, u64),
    pub(super) term: u64,
}

impl Opening<'_> {
    /// Opens them and starts their threads.
    ///
    /// # Errors
    /// The first that fails; then none runs.
    pub(super) fn outlets(&self) -> Result<Outlets, Box<dyn Error>> {
        let Described { appenders, router } = self.described;
        let origin = Origin {
            source: self.run.0,
            epoch: self.run.1,
            service: self.description.service.clone(),
            term: self.term,
            outputs: Outputs::new(self.description.io_method, selflog::warn),
            runs: self.runs,
        };
        let outlets = Outlets::new(self.journal, origin);
        let begin = self.journal.start_position();
        for at in 0..appenders.len() {
            let until = Instant::now() + RELEASE_WAIT;
            loop {
                // A dying process may still have it. The descriptions are free in between.
                match appenders.with(at, |name, open| outlets.add(name, open, begin, router)) {
                    Some(Err(AddError::Open(_))) if Instant::now() < until => {
                        std::thread::sleep(RELEASE_PAUSE);
                    }
                    Some(Err(AddError::Open(error))) => return Err(error.into()),
                    Some(Err(AddError::Thread(error))) => return Err(error.into()),
                    Some(Ok(())) | None => break,
                }
            }
        }
        Ok(outlets)
    }
}
