//! What somebody asks of a running appender. Its outlet does it between two batches.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use crate::appender::{AppendError, Appender};
use crate::engine::selflog;

/// Commands that may wait for one outlet.
const WAITING_MAX: usize = 16;

/// Something that an appender can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// See [`Appender::reopen`].
    Reopen,
    /// See [`Appender::rotate`].
    Rotate,
}

impl Command {
    pub(super) fn carry_out(self, appender: &mut dyn Appender) -> Result<(), AppendError> {
        match self {
            Command::Reopen => appender.reopen(),
            Command::Rotate => appender.rotate(),
        }
    }
}

/// The commands that wait for one outlet.
#[derive(Default)]
pub(super) struct Commands {
    waiting: VecDeque<Pending>,
}

/// A command, and who waits for its answer.
pub(super) struct Pending {
    pub(super) command: Command,
    answer: SyncSender<Result<(), String>>,
}

/// The answer to a command.
pub(super) struct Answer(Receiver<Result<(), String>>);

impl Commands {
    /// Puts a command behind the others.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn push(&mut self, command: Command) -> Result<Answer, String> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(format!("{WAITING_MAX} commands wait for it already; try again later"));
        }
        let (answer, asked) = sync_channel(1);
        self.waiting.push_back(Pending { command, answer });
        Ok(Answer(asked))
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        self.waiting.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nobody carries them out any more: who waits is told so.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl Pending {
    /// Carries the command out, and tells who waits.
    pub(super) fn carry_out(self, appender: &mut dyn Appender) {
        let done = self.command.carry_out(appender).map_err(|error| selflog::chain(&error));
        // Who waited may have gone: it has room for one answer, so this never waits.
        let _ = self.answer.try_send(done);
    }
}

impl Answer {
    /// Waits for it, until `deadline`. A command that is late is carried out all the same.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) fn wait(self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.0.recv_timeout(left).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => {
                Err("it was not done in time, and will be later".to_owned())
            }
            RecvTimeoutError::Disconnected => Err("the appender has ended".to_owned()),
        })
    }
}
