//! What connections hand to the ingest thread.
//!
//! The messages of one source stay in the order of arrival. The sources take turns, so that a worker
//! with a long backlog delays the others by one turn and not by all that it has sent.
//!
//! Its bound lies with the senders: each frame of blocks holds its [`Room`] until it is dealt with,
//! and each connection sends at most three other messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rkyv::util::AlignedVec;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use crate::event::Receipt;
use crate::net::frame::BLOCKS_BYTES;
use crate::net::{Hello, Reason};

/// Messages that are dealt with between two acknowledgements.
const BATCH: usize = 64;
/// The turn of a source is over when its frames pass this many bytes.
const TURN_BYTES: usize = BLOCKS_BYTES;

/// From a connection to the ingest thread.
pub(super) enum Message {
    /// A worker has introduced itself and waits for its welcome.
    Hello { connection: Arc<Connection>, version: u8, hello: Hello },
    /// A frame of blocks, and how it came.
    Blocks {
        connection: Arc<Connection>,
        source: u128,
        body: AlignedVec,
        receipt: Receipt,
        room: Room,
    },
    /// Nothing more comes: acknowledge, then say bye for this reason.
    Leave { connection: Arc<Connection>, source: Option<u128>, reason: Reason },
    /// The connection has ended.
    Gone { connection: Arc<Connection>, source: u128 },
}

impl Message {
    /// Whose turn it is; all who have not said who they are share one.
    fn source(&self) -> Option<u128> {
        match self {
            Message::Hello { hello, .. } => Some(hello.source),
            Message::Blocks { source, .. } | Message::Gone { source, .. } => Some(*source),
            Message::Leave { source, .. } => *source,
        }
    }

    /// Bytes of blocks.
    fn bytes(&self) -> usize {
        match self {
            Message::Blocks { body, .. } => body.len(),
            _ => 0,
        }
    }
}

/// The right to keep a frame in memory; given back when it is dropped.
pub(super) struct Room {
    pub(super) _of_connection: OwnedSemaphorePermit,
    pub(super) _of_master: OwnedSemaphorePermit,
}

/// The queues of all sources.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// None is empty.
    queues: HashMap<Option<u128>, VecDeque<Message>>,
    /// The sources that have a queue, in the order of their turns.
    turns: VecDeque<Option<u128>>,
    is_closed: bool,
}

impl Inbox {
    /// Appends a message. Never waits.
    pub(super) fn push(&self, message: Message) {
        self.state().push(message);
        self.changed.notify_one();
    }

    /// Says that no message will come any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// The next messages, after waiting for the first one until `until` if there is one. `None`
    /// when the inbox is closed and empty.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<Vec<Message>> {
        let mut state = self.state();
        loop {
            if !state.turns.is_empty() {
                return Some(state.next_batch());
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
        let is_hello = |message: &Message| matches!(message, Message::Hello { .. });
        let mut hellos = Vec::new();
        for queue in state.queues.values_mut().filter(|queue| queue.iter().any(is_hello)) {
            let (found, others): (Vec<_>, Vec<_>) = queue.drain(..).partition(is_hello);
            hellos.extend(found);
            queue.extend(others);
        }
        state.forget_empty();
        hellos
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, message: Message) {
        let source = message.source();
        let queue = self.queues.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back(message);
    }

    /// One turn of each source after the other, until there are enough messages.
    fn next_batch(&mut self) -> Vec<Message> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(source) = self.turns.pop_front()
        {
            let Some(queue) = self.queues.get_mut(&source) else { continue };
            let mut bytes = 0;
            while bytes < TURN_BYTES
                && batch.len() < BATCH
                && let Some(message) = queue.pop_front()
            {
                bytes += message.bytes();
                batch.push(message);
            }
            if queue.is_empty() {
                self.queues.remove(&source);
            } else {
                self.turns.push_back(source);
            }
        }
        batch
    }

    fn forget_empty(&mut self) {
        self.queues.retain(|_, queue| !queue.is_empty());
        let queues = &self.queues;
        self.turns.retain(|source| queues.contains_key(source));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::sync::Semaphore;

    use super::*;

    fn connection() -> Arc<Connection> {
        Connection::new(1, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
    }

    fn hello(source: u128) -> Message {
        let name = String::new;
        let hello = Hello {
            source,
            epoch: 1,
            oldest_epoch: 1,
            term: 0,
            window_bytes: 1,
            pid: 1,
            service: name(),
            host: name(),
        };
        Message::Hello { connection: connection(), version: 1, hello }
    }

    fn blocks(source: u128, bytes: usize) -> Message {
        let mut body = AlignedVec::new();
        body.resize(bytes, 0);
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let room = Room { _of_connection: permit(), _of_master: permit() };
        let connection = connection();
        let receipt = Receipt { received_ns: 0, peer: connection.peer, is_elsewhere: false };
        Message::Blocks { connection, source, body, receipt, room }
    }

    /// The sources of the next batch, in its order.
    fn next(inbox: &Inbox) -> Vec<u128> {
        inbox.take(None).unwrap().iter().filter_map(Message::source).collect()
    }

    #[test]
    fn a_backlog_delays_others_by_one_turn() {
        let inbox = Inbox::default();
        for _ in 0..3 {
            inbox.push(blocks(1, TURN_BYTES));
        }
        inbox.push(blocks(2, 64));
        inbox.push(blocks(2, 64));
        assert_eq!(next(&inbox), [1, 2, 2, 1, 1]);
    }

    #[test]
    fn a_batch_ends_and_the_next_one_goes_on_where_it_did() {
        let inbox = Inbox::default();
        for _ in 0..BATCH {
            inbox.push(blocks(1, 64));
        }
        inbox.push(blocks(2, 64));
        inbox.push(blocks(1, 64));
        assert_eq!(next(&inbox), [1; BATCH]);
        assert_eq!(next(&inbox), [2, 1]);
        inbox.close();
        assert!(inbox.take(None).is_none());
    }

    #[test]
    fn introductions_can_be_taken_out_and_the_rest_stays_in_order() {
        let inbox = Inbox::default();
        for message in [blocks(1, 64), hello(1), blocks(1, 65), hello(2)] {
            inbox.push(message);
        }
        assert_eq!(inbox.take_hellos().len(), 2);
        let left = inbox.take(None).unwrap();
        assert_eq!(left.iter().map(Message::bytes).collect::<Vec<_>>(), [64, 65]);
        // A queue that was emptied on the way gets its turn again.
        inbox.push(blocks(2, 64));
        assert_eq!(next(&inbox), [2]);
    }
}
