//! What connections hand to the ingest thread: one queue, in the order of arrival.
//!
//! Its bound lies with the senders: each frame of blocks holds its [`Room`] until it is dealt with,
//! and each connection sends at most three other messages.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use crate::net::{Hello, Reason};

/// Messages that are dealt with between two acknowledgements.
const BATCH: usize = 64;

/// From a connection to the ingest thread.
pub(super) enum Message {
    /// A worker has introduced itself and waits for its welcome.
    Hello { connection: Arc<Connection>, version: u8, hello: Hello },
    /// A frame of blocks.
    Blocks { connection: Arc<Connection>, source: u128, body: AlignedVec, room: Room },
    /// Nothing more comes: acknowledge, then say bye for this reason.
    Leave { connection: Arc<Connection>, reason: Reason },
    /// The connection has ended.
    Gone { connection: Arc<Connection>, source: u128 },
}

/// The right to keep a frame in memory; given back when it is dropped.
pub(super) struct Room {
    pub(super) _of_connection: OwnedSemaphorePermit,
    pub(super) _of_master: OwnedSemaphorePermit,
}

/// The queue.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    is_closed: bool,
}

impl Inbox {
    /// Appends a message. Never waits.
    pub(super) fn push(&self, message: Message) {
        self.state().messages.push_back(message);
        self.changed.notify_one();
    }

    /// Says that no message will come any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// The oldest messages, after waiting for the first one until `until` if there is one. `None`
    /// when the queue is closed and empty.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<Vec<Message>> {
        let mut state = self.state();
        loop {
            if !state.messages.is_empty() {
                let count = state.messages.len().min(BATCH);
                return Some(state.messages.drain(..count).collect());
            }
            if state.is_closed {
                return None;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return Some(Vec::new()),
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The introductions among the messages, ahead of what stands before them.
    pub(super) fn take_hellos(&self) -> Vec<Message> {
        let mut state = self.state();
        let messages = std::mem::take(&mut state.messages);
        let is_hello = |message: &Message| matches!(message, Message::Hello { .. });
        let (hellos, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_hello);
        state.messages = others.into();
        hellos
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
