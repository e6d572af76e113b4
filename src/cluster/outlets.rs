//! Opening what a description names: the appenders of all, or what ships a dead member's blocks.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::appender::{Open, OpenError, Opened, Place};
use crate::engine::group::Description;
use crate::engine::outlet::Outlet;
use crate::engine::selflog;
use crate::journal::Journal;
use crate::route::Gate;
use crate::sys::output::Outputs;

/// The kernel releases the locks of a dead process one after the other: those behind the first one
/// are tried for so long, with these pauses.
pub(super) const RELEASE_WAIT: Duration = Duration::from_secs(2);
pub(super) const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// Which appenders of a description are opened, and for whom.
pub(super) struct Opening<'a> {
    pub(super) description: &'a Description,
    pub(super) journal: &'a Journal,
    /// Those that ship blocks, or all others.
    pub(super) ships_blocks: bool,
    /// Whose events they get: a source and an epoch; zeroes for those of all.
    pub(super) run: (u128, u64),
    pub(super) term: u64,
}

impl Opening<'_> {
    /// Opens them and starts their threads.
    ///
    /// # Errors
    /// The first that fails; then none runs.
    pub(super) fn outlets(&self) -> Result<Vec<Arc<Outlet>>, Box<dyn Error>> {
        let Description { io_method, appenders, router, .. } = self.description;
        let outputs = Outputs::new(*io_method, selflog::warn);
        let mut outlets = Vec::new();
        for at in 0..appenders.len() {
            let until = Instant::now() + RELEASE_WAIT;
            let opened = loop {
                // A dying process may still have it. The descriptions are free in between.
                match appenders.with(at, |name, appender| self.open(name, appender, &outputs)) {
                    Some(Err(_)) if Instant::now() < until => std::thread::sleep(RELEASE_PAUSE),
                    opened => break opened.transpose()?.flatten(),
                }
            };
            if let Some((name, is_mandatory, gate, opened)) = opened {
                let outlet =
                    Outlet::spawn(self.journal, &name, is_mandatory, opened, &gate, router)?;
                outlets.push(Arc::new(outlet));
            }
        }
        Ok(outlets)
    }

    /// Opens one, if it is of those that are wanted: with its name, whether it is mandatory, and what
    /// stands before it.
    fn open(
        &self,
        name: &str,
        appender: &dyn Open,
        outputs: &Outputs,
    ) -> Result<Option<(String, bool, Gate, Opened)>, OpenError> {
        if appender.ships_blocks() != self.ships_blocks {
            return Ok(None);
        }
        let (source, epoch) = self.run;
        let place = Place {
            source,
            epoch,
            service: &self.description.service,
            name,
            journal_dir: self.journal.dir(),
            begin: self.journal.start_position(),
            term: self.term,
            outputs,
        };
        let (is_mandatory, gate) = (appender.is_mandatory(), appender.gate());
        Ok(Some((name.to_owned(), is_mandatory, gate, appender.open(&place)?)))
    }
}
