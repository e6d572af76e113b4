//! The network edge: one task for each connection, all on one thread.
//!
//! A connection reads frames and hands them to the ingest thread; what that thread wants to say goes
//! through the connection's outbox. While there is no room for another frame nothing is read, and
//! TCP slows the worker down; the outbox goes on, so that the worker still hears that the master lives.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::Limits;
use super::buffers::Buffers;
use super::inbox::{Inbox, Message, Room};
use super::quota::Quota;
use super::stats::{Counters, count};
use crate::clock::Anchor;
use crate::engine::selflog;
use crate::event::Receipt;
use crate::net::frame::{self, BLOCKS_BYTES, MAX_BODY_BYTES, MAX_PAIRS};
use crate::net::handshake::encode_ack;
use crate::net::{
    AckLevel, DEAD_AFTER, FIRST_FRAME_LIMIT, FRAME_LIMIT, Farewell, Frame, FrameError, FrameKind,
    FrameReader, HANDSHAKE_LIMIT, HEARTBEAT, Hello, Reason, Versions, Welcome,
};
use crate::sys::crash::{self, CrashPoint};

/// Bytes of frames that one connection may have read and not yet stored.
const CONNECTION_BYTES: usize = 8 << 20;
/// Room that a frame takes at least, so that tiny frames are bounded, too.
const MIN_ROOM_BYTES: usize = 4 << 10;
/// Bytes of an ordinary frame: what closes one, and then a block of that size.
const ORDINARY_BYTES: usize = 2 * BLOCKS_BYTES;
/// Connections above the limits that are told so at the same time. More are closed without a word.
const MAX_REFUSALS: usize = 64;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// At the master's end, a connection on which nothing came for this time has said everything.
const QUIET: Duration = Duration::from_millis(100);
/// After a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What is asked of the kernel for what arrives.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

const _: () = assert!(CONNECTION_BYTES >= MAX_BODY_BYTES, "a frame of any size must fit");

/// What the tasks of a master share.
pub(super) struct Edge {
    pub(super) inbox: Arc<Inbox>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) counters: Arc<Counters>,
    pub(super) limits: Limits,
    pub(super) room: FrameRoom,
    pub(super) quota: Quota,
    /// When the master has to end, once it should.
    pub(super) stopping: watch::Receiver<Option<Instant>>,
}

/// Room for frames that are read and not yet stored. It is taken when a frame is announced, before its
/// bytes come: those that announce the most have a room of their own, so that a few slow ones hold up
/// each other and nobody else.
pub(super) struct FrameRoom {
    ordinary: Arc<Semaphore>,
    great: Arc<Semaphore>,
}

impl FrameRoom {
    /// A quarter of `bytes` is for great frames; either side has enough for one.
    pub(super) fn of(bytes: usize) -> FrameRoom {
        let great = (bytes / 4).max(MAX_BODY_BYTES);
        let ordinary = bytes.saturating_sub(great).max(ORDINARY_BYTES);
        let room = |bytes| Arc::new(Semaphore::new(bytes));
        FrameRoom { ordinary: room(ordinary), great: room(great) }
    }

    fn for_frame(&self, body_bytes: usize) -> Arc<Semaphore> {
        let is_great = body_bytes > ORDINARY_BYTES;
        Arc::clone(if is_great { &self.great } else { &self.ordinary })
    }
}

/// A connection, as the ingest thread sees it.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    outbox: Mutex<Outbox>,
    filled: Notify,
}

/// What is to be said. Acknowledgements are cumulative, so it never holds more than one of each.
#[derive(Default)]
struct Outbox {
    /// The protocol version that was chosen; `None` before the welcome.
    version: Option<u8>,
    welcome: Option<Welcome>,
    acks: BTreeMap<u64, u64>,
    level: AckLevel,
    farewell: Option<(FrameKind, Farewell)>,
}

impl Connection {
    pub(super) fn new(id: u64, peer: SocketAddr) -> Arc<Connection> {
        let (outbox, filled) = (Mutex::default(), Notify::new());
        // An IPv4 address is shown as one, however the master listens.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Arc::new(Connection { id, peer, outbox, filled })
    }

    pub(super) fn welcome(&self, welcome: Welcome) {
        {
            let mut outbox = self.outbox();
            (outbox.version, outbox.welcome) = (Some(welcome.version), Some(welcome));
        }
        self.filled.notify_one();
    }

    /// Everything of these epochs up to these sequences is stored.
    pub(super) fn acknowledge(&self, level: AckLevel, marks: impl Iterator<Item = (u64, u64)>) {
        let mut outbox = self.outbox();
        // What was not written yet goes with it, and must not gain by that.
        outbox.level = if outbox.acks.is_empty() { level } else { outbox.level.min(level) };
        outbox.acks.extend(marks);
        drop(outbox);
        self.filled.notify_one();
    }

    /// Ends the connection. The first reason stands.
    pub(super) fn refuse(&self, farewell: Farewell) {
        self.end(FrameKind::Refuse, farewell);
    }

    /// Ends the connection after everything that was read from it was answered.
    pub(super) fn bye(&self, farewell: Farewell) {
        self.end(FrameKind::Bye, farewell);
    }

    fn end(&self, kind: FrameKind, farewell: Farewell) {
        self.outbox().farewell.get_or_insert((kind, farewell));
        self.filled.notify_one();
    }

    /// The marks of the welcome, and what is acknowledged at which level, as far as nothing is written.
    #[cfg(test)]
    pub(super) fn said(&self) -> (Option<Marks>, AckLevel, Marks) {
        let outbox = self.outbox();
        let welcomed = outbox.welcome.as_ref().map(|welcome| welcome.marks.clone());
        (welcomed, outbox.level, outbox.acks.iter().map(|(epoch, mark)| (*epoch, *mark)).collect())
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs with what is stored of them: epoch and sequence.
#[cfg(test)]
type Marks = Vec<(u64, u64)>;

/// Why a connection is not read any more.
enum End {
    /// The worker closed it, or it failed.
    Closed,
    /// It must not go on.
    Refused(Farewell),
    /// Everything was read: from a worker that ended, or because the master ends.
    Leave(Reason),
}

/// Accepts connections until the master ends, then waits for them to end.
pub(super) async fn serve(listener: TcpListener, edge: Arc<Edge>) {
    let mut tasks = JoinSet::new();
    let seats = Arc::new(Seats::default());
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut stopping = edge.stopping.clone();
    let mut id = 0;
    // That nothing can be accepted was said since the last connection.
    let mut is_told = false;
    loop {
        let accepted = tokio::select! {
            () = ending(&mut stopping) => break,
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                count(&edge.counters.accept_errors, 1);
                if !std::mem::replace(&mut is_told, true) {
                    selflog::warn(&format!(
                        "cannot accept connections: {error}; they wait meanwhile{}",
                        remedy(&error)
                    ));
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_told = false;
        id += 1;
        match seats.take(peer.ip().to_canonical(), &edge.limits) {
            Ok(seat) => {
                count(&edge.counters.accepted, 1);
                let edge = Arc::clone(&edge);
                tasks.spawn(async move {
                    edge.counters.connections.fetch_add(1, Ordering::Relaxed);
                    attend(stream, Connection::new(id, peer), &edge).await;
                    edge.counters.connections.fetch_sub(1, Ordering::Relaxed);
                    drop(seat);
                });
            }
            Err(farewell) => {
                edge.counters.refused(farewell.reason);
                match Arc::clone(&refusals).try_acquire_owned() {
                    Ok(permit) => {
                        tasks.spawn(async move {
                            turn_away(stream, &farewell).await;
                            drop(permit);
                        });
                    }
                    Err(_) => count(&edge.counters.dropped_connections, 1),
                }
            }
        }
    }
    drop(listener);
    let deadline = stopping.borrow().unwrap_or_else(Instant::now);
    let all = async { while tasks.join_next().await.is_some() {} };
    // Who has not ended by then is cut off; what was not acknowledged comes again.
    let _ = timeout_at(deadline, all).await;
}

/// What to do about a failure to accept, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::MFILE) => {
            "; raise the limit of open files (ulimit -n) above `Limits::connections`"
        }
        Some(rustix::io::Errno::NFILE) => "; the machine has too many open files",
        _ => "",
    }
}

/// Returns when the master should end.
async fn ending(stopping: &mut watch::Receiver<Option<Instant>>) {
    // A master that is gone without a word has ended, too.
    let _ = stopping.wait_for(Option::is_some).await;
}

/// How many connections there are, in all and for each address.
#[derive(Default)]
struct Seats {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them, given back when it is dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn take(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Seat, Farewell> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= limits.connections {
            let words = format!("{} connections are open; try again later", limits.connections);
            return Err(Farewell::new(Reason::Limits, words));
        }
        let of_address = taken.entry(address).or_default();
        if *of_address >= limits.connections_per_address {
            let limit = limits.connections_per_address;
            let words = format!("{limit} connections from {address} are open; try again later");
            return Err(Farewell::new(Reason::Limits, words));
        }
        *of_address += 1;
        Ok(Seat { seats: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_address) = taken.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Tells a connection above the limits why it is closed.
async fn turn_away(mut stream: TcpStream, farewell: &Farewell) {
    let frame = frame::encode(FrameKind::Refuse, &farewell.encode());
    let (mut read, mut write) = stream.split();
    if let Ok(Ok(())) = timeout(LAST_WORDS, write.write_all(&frame)).await {
        linger(&mut read, &mut write).await;
    }
}

/// Lets the other side read what was said: a socket closed with unread bytes in it would take the
/// words back.
async fn linger(read: &mut ReadHalf<'_>, write: &mut WriteHalf<'_>) {
    // On the heap: every connection would keep room for it, in all the time before.
    let mut sink = vec![0; 4096];
    let drain = async {
        // Neither a failure nor what comes matters any more.
        if write.shutdown().await.is_ok() {
            while read.read(&mut sink).await.is_ok_and(|count| count > 0) {}
        }
    };
    let _ = timeout(LAST_WORDS, drain).await;
}

/// Serves one connection from its beginning to its end.
async fn attend(mut stream: TcpStream, connection: Arc<Connection>, edge: &Edge) {
    let socket = socket2::SockRef::from(&stream);
    // The kernel gives what it has: less is slower and no error.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_tcp_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(DEAD_AFTER).with_interval(HEARTBEAT);
    let _ = socket.set_tcp_keepalive(&keepalive);

    let (mut read, mut write) = stream.split();
    let mut incoming = Incoming {
        edge,
        connection: &connection,
        read: &mut read,
        frames: FrameReader::new(),
        room: Arc::new(Semaphore::new(CONNECTION_BYTES)),
        stopping: edge.stopping.clone(),
        drain_until: None,
        source: None,
    };
    {
        let mut writing = pin!(say(&connection, &mut write));
        let end = tokio::select! {
            end = incoming.attend() => Some(end),
            () = &mut writing => None,
        };
        let limit = match end {
            // What ended it is said, or nobody is left to hear it.
            None | Some(End::Closed) => None,
            Some(End::Refused(farewell)) => {
                selflog::warn(&format!("connection from {}: {farewell}", connection.peer));
                edge.counters.refused(farewell.reason);
                connection.refuse(farewell);
                Some(LAST_WORDS)
            }
            Some(End::Leave(reason)) => {
                let connection = Arc::clone(&connection);
                let source = incoming.source;
                edge.inbox.push(Message::Leave { connection, source, reason });
                Some(DEAD_AFTER)
            }
        };
        if let Some(limit) = limit {
            // At the master's end the deadline of `serve` cuts this short.
            let _ = timeout(limit, &mut writing).await;
        }
    }
    let source = incoming.source;
    linger(&mut read, &mut write).await;
    if let Some(source) = source {
        edge.inbox.push(Message::Gone { connection, source });
    }
}

/// Writes what comes into the outbox, and a ping when nothing does, until the farewell is written or
/// the worker does not read any more.
async fn say(connection: &Connection, write: &mut WriteHalf<'_>) {
    loop {
        // A timeout means that it is time for a ping.
        let _ = timeout(HEARTBEAT, connection.filled.notified()).await;
        let (bytes, is_last, has_acks) = {
            let mut outbox = connection.outbox();
            let mut bytes = Vec::new();
            let version = outbox.version.unwrap_or(Versions::spoken().max);
            if let Some(welcome) = outbox.welcome.take() {
                bytes.extend(frame::encode(FrameKind::Welcome, &welcome.encode()));
            }
            let acks: Vec<_> = std::mem::take(&mut outbox.acks).into_iter().collect();
            for pairs in acks.chunks(MAX_PAIRS) {
                bytes.extend(frame::encode_in(
                    version,
                    FrameKind::Ack,
                    &encode_ack(outbox.level, pairs),
                ));
            }
            let farewell = outbox.farewell.take();
            if let Some((kind, farewell)) = &farewell {
                bytes.extend(frame::encode_in(version, *kind, &farewell.encode()));
            }
            // Before the welcome nothing may be said.
            if bytes.is_empty() && outbox.version.is_some() {
                bytes = frame::encode_in(version, FrameKind::Ping, &[]);
            }
            (bytes, farewell.is_some(), !acks.is_empty())
        };
        let written = timeout(DEAD_AFTER, write.write_all(&bytes)).await;
        if has_acks {
            crash::reached(CrashPoint::MasterAckSent);
        }
        if is_last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// The reading side of a connection.
struct Incoming<'a, 'b> {
    edge: &'a Edge,
    connection: &'a Arc<Connection>,
    read: &'a mut ReadHalf<'b>,
    frames: FrameReader,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<Option<Instant>>,
    /// Set when the master ends: how long what is on its way is still read.
    drain_until: Option<Instant>,
    /// Whose blocks these are, once the worker has said so.
    source: Option<u128>,
}

impl Incoming<'_, '_> {
    /// Reads until the connection has to end.
    async fn attend(&mut self) -> End {
        match self.frames().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn frames(&mut self) -> Result<std::convert::Infallible, End> {
        let (frame, _) = match timeout(HANDSHAKE_LIMIT, self.frame(HANDSHAKE_LIMIT)).await {
            Ok(frame) => frame?,
            Err(_) => return Err(late("no hello came", HANDSHAKE_LIMIT)),
        };
        if frame.kind != FrameKind::Hello {
            return Err(unexpected(&frame));
        }
        let (version, hello) = Hello::decode(&frame.body).map_err(End::Refused)?;
        let source = hello.source;
        self.source = Some(source);
        self.frames.expect(version);
        let connection = Arc::clone(self.connection);
        self.edge.inbox.push(Message::Hello { connection, version, hello });

        let mut limit = FIRST_FRAME_LIMIT;
        loop {
            let (frame, room) = self.frame(limit).await?;
            limit = DEAD_AFTER;
            match (frame.kind, room) {
                (FrameKind::Blocks, Some(room)) => {
                    let (connection, body) = (Arc::clone(self.connection), frame.body);
                    let receipt = Receipt {
                        received_ns: Anchor::now().utc_ns,
                        peer: connection.peer,
                        is_elsewhere: frame.is_elsewhere,
                    };
                    let blocks = Message::Blocks { connection, source, body, receipt, room };
                    self.edge.inbox.push(blocks);
                }
                (FrameKind::Ping, _) => {}
                (FrameKind::Bye, _) => return Err(End::Leave(Reason::Done)),
                _ => return Err(unexpected(&frame)),
            }
        }
    }

    /// The next frame; blocks come with the room that was waited for. `limit` is the time to its
    /// first byte.
    async fn frame(&mut self, limit: Duration) -> Result<(Frame, Option<Room>), End> {
        let mut until = Instant::now() + limit;
        let mut room = None;
        let mut is_inside = false;
        loop {
            if let Some((FrameKind::Blocks, bytes)) = self.frames.announced()
                && room.is_none()
            {
                let Some(source) = self.source else {
                    let words = "blocks came before the hello";
                    return Err(End::Refused(Farewell::new(Reason::Damaged, words)));
                };
                self.quota(source, bytes).await?;
                room = Some(self.room(bytes).await?);
                self.frames.lend(self.edge.buffers.take(bytes));
                // While there was no room nothing was read: the worker is not to blame.
                until = Instant::now() + FRAME_LIMIT;
            }
            if !is_inside && self.frames.is_inside() {
                is_inside = true;
                until = Instant::now() + FRAME_LIMIT;
            }
            // A frame may take its time, but not stop.
            let silent = Instant::now() + DEAD_AFTER;
            let heard_until = if is_inside { until.min(silent) } else { until };
            let heard_until = self.drain_until.map_or(heard_until, |drain_until| {
                let quiet = Instant::now() + QUIET;
                if is_inside { drain_until } else { drain_until.min(quiet) }
            });
            let read = tokio::select! {
                read = timeout_at(heard_until, self.read.read(self.frames.space())) => read,
                () = ending(&mut self.stopping), if self.drain_until.is_none() => {
                    self.begin_drain();
                    continue;
                }
            };
            let count = match read {
                Ok(Ok(count)) if count > 0 => count,
                Ok(_) => return Err(End::Closed),
                Err(_) if self.drain_until.is_some() => {
                    return Err(End::Leave(Reason::Stopping));
                }
                Err(_) if is_inside && heard_until == until => {
                    return Err(late("a frame did not end", FRAME_LIMIT));
                }
                Err(_) if is_inside => return Err(late("no more of a frame came", DEAD_AFTER)),
                Err(_) => return Err(late("nothing came", limit)),
            };
            if let Some(frame) = self.frames.advance(count).map_err(invalid)? {
                return Ok((frame, room));
            }
        }
    }

    /// Waits as long as the source has sent too much. Ends with the master.
    async fn quota(&mut self, source: u128, body_bytes: usize) -> Result<(), End> {
        let now = Instant::now();
        let wait = self.edge.quota.take(source, body_bytes, now.into_std());
        if wait.is_zero() {
            return Ok(());
        }
        let over = now + wait;
        while self.drain_until.is_none() {
            tokio::select! {
                () = sleep_until(over) => return Ok(()),
                () = ending(&mut self.stopping) => self.begin_drain(),
            }
        }
        let until = self.drain_until.map_or(over, |until| until.min(over));
        sleep_until(until).await;
        if until == over { Ok(()) } else { Err(End::Leave(Reason::Stopping)) }
    }

    /// Waits until the frame may be read. Ends with the master.
    async fn room(&mut self, body_bytes: usize) -> Result<Room, End> {
        let bytes = body_bytes.max(MIN_ROOM_BYTES) as u32;
        let of_connection = Arc::clone(&self.room);
        let of_master = self.edge.room.for_frame(body_bytes);
        let mut room = pin!(async {
            let of_connection = of_connection.acquire_many_owned(bytes).await;
            let of_master = of_master.acquire_many_owned(bytes).await;
            Some(Room { _of_connection: of_connection.ok()?, _of_master: of_master.ok()? })
        });
        let room = loop {
            if let Some(until) = self.drain_until {
                break timeout_at(until, room).await.ok().flatten();
            }
            tokio::select! {
                room = &mut room => break room,
                () = ending(&mut self.stopping) => self.begin_drain(),
            }
        };
        room.ok_or(End::Leave(Reason::Stopping))
    }

    /// Half of the time that is left is for reading, the other half for storing and acknowledging.
    fn begin_drain(&mut self) {
        let now = Instant::now();
        let deadline = self.stopping.borrow().unwrap_or(now);
        self.drain_until = Some(now + deadline.saturating_duration_since(now) / 2);
    }
}

fn late(what: &str, limit: Duration) -> End {
    End::Refused(Farewell::new(Reason::Late, format_args!("{what} within {} s", limit.as_secs())))
}

fn unexpected(frame: &Frame) -> End {
    let words = format!("a {:?} frame is not for a worker to send at this time", frame.kind);
    End::Refused(Farewell::new(Reason::Damaged, words))
}

fn invalid(error: FrameError) -> End {
    let reason = match error {
        FrameError::Foreign { .. } => Reason::NotAClient,
        FrameError::Version { .. } => Reason::Version,
        _ => Reason::Damaged,
    };
    End::Refused(Farewell::new(reason, error))
}
