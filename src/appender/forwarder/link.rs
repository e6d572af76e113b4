//! An open connection, and the thread that takes its acknowledgements.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::connection::{Broken, receive};
use super::{ForwarderMonitor, lock};
use crate::journal::{Journal, Position};
use crate::net::handshake::decode_ack;
use crate::net::{AckLevel, DEAD_AFTER, FRAME_LIMIT, Farewell, Frame, FrameKind, FrameReader};
use crate::sys::crash::{self, CrashPoint};

/// How often a thread that reads looks whether it should end.
const LOOK: Duration = Duration::from_secs(1);

/// A connection, for the thread that sends and the one that takes acknowledgements.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    pub(super) journal: Journal,
    /// The protocol version that was chosen.
    pub(super) version: u8,
    pub(super) level: AckLevel,
    pub(super) monitor: ForwarderMonitor,
    pub(super) state: Mutex<LinkState>,
}

#[derive(Default)]
pub(super) struct LinkState {
    pub(super) in_flight: VecDeque<Sent>,
    pub(super) in_flight_bytes: u64,
    /// The greatest acknowledged sequence of each epoch.
    pub(super) acknowledged: HashMap<u64, u64>,
    /// The master has named nothing in its welcome, or has said since at which level it has that.
    pub(super) is_level_told: bool,
    /// Events that were acknowledged and not yet published.
    pub(super) news: Option<u64>,
    /// Why the connection is of no use any more.
    pub(super) broken: Option<Broken>,
}

/// An events block in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) position: Position,
    pub(super) bytes: u64,
    pub(super) events: u64,
}

impl LinkState {
    /// Whether the thread that sends should look.
    pub(super) fn is_changed(&self) -> bool {
        self.news.is_some() || self.broken.is_some()
    }
}

impl Link {
    /// The end of the connection, if it has ended.
    pub(super) fn check(&self) -> Result<(), Broken> {
        lock(&self.state).broken.clone().map_or(Ok(()), Err)
    }

    /// Ends the connection, whichever thread is inside it. The first reason stands.
    pub(super) fn break_off(&self, broken: Broken) {
        lock(&self.state).broken.get_or_insert(broken);
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.journal.wake();
    }

    /// Takes acknowledgements until the connection ends.
    pub(super) fn listen(&self) {
        // Only a timeout of zero is refused.
        let _ = self.stream.set_read_timeout(Some(LOOK));
        let mut reader = FrameReader::new();
        reader.expect(self.version);
        let mut heard = Instant::now();
        // When the last frame was complete.
        let mut whole = heard;
        let broken = loop {
            let received = receive(&mut reader, &self.stream);
            let taken = received.and_then(|(bytes, frame)| match frame {
                Some(frame) => self.take(&frame).map(|()| (bytes, true)),
                None => Ok((bytes, false)),
            });
            match taken {
                Ok((0, _)) if heard.elapsed() >= DEAD_AFTER => {
                    let silence = DEAD_AFTER.as_secs();
                    break Broken::new(format_args!("nothing was heard for {silence} s"));
                }
                // Drops that keep a connection alive and bring nothing.
                Ok((_, false)) if whole.elapsed() >= DEAD_AFTER + FRAME_LIMIT => {
                    let limit = FRAME_LIMIT.as_secs();
                    break Broken::new(format_args!("a frame did not end within {limit} s"));
                }
                Ok((0, _)) => {}
                Ok((_, is_whole)) => {
                    heard = Instant::now();
                    if is_whole {
                        whole = heard;
                    }
                }
                Err(broken) => break broken,
            }
        };
        self.break_off(broken);
    }

    fn take(&self, frame: &Frame) -> Result<(), Broken> {
        match frame.kind {
            FrameKind::Ack => {
                let damaged = || Broken::new("an acknowledgement is damaged");
                let (level, pairs) = decode_ack(&frame.body).ok_or_else(damaged)?;
                crash::reached(CrashPoint::ForwarderAck);
                self.acknowledge(level, pairs);
                self.journal.wake();
                Ok(())
            }
            FrameKind::Ping => {
                self.level_told();
                Ok(())
            }
            FrameKind::Refuse | FrameKind::Bye => {
                Err(Broken::refused(&Farewell::decode(&frame.body)))
            }
            other => Err(Broken::new(format_args!("an unexpected {other:?} came from the master"))),
        }
    }

    /// Takes out of flight what the master has.
    fn acknowledge(&self, level: AckLevel, pairs: impl Iterator<Item = (u64, u64)>) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        for (epoch, sequence) in pairs {
            let mark = state.acknowledged.entry(epoch).or_default();
            *mark = sequence.max(*mark);
        }
        let mut stats = self.monitor.lock();
        stats.weak_acks += u64::from(level < self.level);
        let mut events = state.news.unwrap_or(0);
        while let Some(sent) = state.in_flight.front()
            && state.acknowledged.get(&sent.epoch).is_some_and(|mark| sent.sequence <= *mark)
        {
            events += sent.events;
            stats.delivered += sent.events;
            stats.delivered_blocks += 1;
            state.in_flight_bytes -= sent.bytes;
            state.in_flight.pop_front();
        }
        (state.news, state.is_level_told) = (Some(events), true);
    }

    /// A master that says something else first has nothing to say of the level.
    fn level_told(&self) {
        {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.is_level_told, true) {
                return;
            }
            state.news.get_or_insert(0);
        }
        self.journal.wake();
    }
}
