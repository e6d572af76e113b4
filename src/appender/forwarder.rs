//! Ships the blocks of a journal to a master, see `docs/protocol.md`.
//!
//! After each connection it resumes where the master says, even below its own record, so it moves
//! through the journal by itself. A second thread, which lives as long as a connection, takes the
//! acknowledgements and watches over the silence of the other side.
//!
//! Invariants:
//! 1. What is in flight was sent on the present connection, in the order of the journal.
//! 2. Settled is the position of the oldest block in flight; with none, that of the next block to
//!    send. Everything before it is acknowledged.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::{BlockAppender, Open, OpenError, Opened, OutletSide, Place};
use crate::block::{BlockHeader, BlockKind, EventsBlock, header};
use crate::event::SourceInfo;
use crate::journal::{CursorFile, Journal, Position, Reader, TextFileMark};
use crate::net::frame::{self, BLOCKS_BYTES, HEADER_BYTES};
use crate::net::handshake::decode_ack;
use crate::net::{
    AckLevel, DEAD_AFTER, DEFAULT_WINDOW_BYTES, Farewell, Frame, FrameKind, FrameReader,
    HANDSHAKE_LIMIT, HEARTBEAT, Hello, Reason, Welcome, host_and_port,
};

/// The first pause after a failure, doubled with each further one.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often a thread that reads looks whether it should end.
const LOOK: Duration = Duration::from_secs(1);
/// How often a write that hangs, or a handshake, looks whether it should end.
const LOOK_OFTEN: Duration = Duration::from_millis(100);
/// The cursor's file is written at most this often, and at the end.
const STORE_EVERY: Duration = Duration::from_millis(250);
/// How long the master's answer to a bye, or its reason for closing, is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is asked of the kernel for either direction of the socket.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// A destination for whole blocks: a master, reached over TCP.
///
/// The journal keeps what is not acknowledged. A master that is not there is tried again for ever.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use rollway::appender::Forwarder;
/// let forwarder = Forwarder::new("logs.example:5000").connect_timeout(Duration::from_secs(2));
/// let monitor = forwarder.monitor();
/// // … builder.appender("master", forwarder) …
/// assert_eq!(monitor.stats().delivered, 0);
/// ```
#[derive(Debug)]
pub struct Forwarder {
    address: String,
    connect_timeout: Duration,
    window_bytes: u64,
    term: u64,
    monitor: ForwarderMonitor,
}

impl Forwarder {
    /// Ships to the master at `address`: `host:port`, where `localhost` and 5000 stand for what is
    /// left out.
    pub fn new(address: impl Into<String>) -> Forwarder {
        Forwarder {
            address: address.into(),
            connect_timeout: HANDSHAKE_LIMIT,
            window_bytes: DEFAULT_WINDOW_BYTES,
            term: 0,
            monitor: ForwarderMonitor::default(),
        }
    }

    /// How long a connection may take to come about: 5 s by default.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Forwarder {
        Forwarder { connect_timeout, ..self }
    }

    /// Bytes that may be sent and not acknowledged: 4 MiB by default. One frame may always be under
    /// way, whatever its size.
    #[must_use]
    pub fn window_bytes(self, window_bytes: u64) -> Forwarder {
        Forwarder { window_bytes, ..self }
    }

    /// The term of the election that made this process the one to ship: 0 by default. Between two
    /// that ship the same run, the greater one wins.
    #[must_use]
    pub fn term(self, term: u64) -> Forwarder {
        Forwarder { term, ..self }
    }

    /// Shows what this forwarder does, once it runs and after its end.
    pub fn monitor(&self) -> ForwarderMonitor {
        self.monitor.clone()
    }
}

impl Open for Forwarder {
    fn open(self: Box<Self>, place: &Place<'_>) -> Result<Opened, OpenError> {
        let master = host_and_port(&self.address).map_err(|what| OpenError {
            name: place.name.to_owned(),
            path: None,
            what,
            source: None,
        })?;
        let file = place.cursor()?;
        let stored = file.as_ref().and_then(CursorFile::resume).map(|slot| slot.position);
        let settled = stored.unwrap_or(place.begin);
        let sender = SourceInfo {
            source: place.source,
            epoch: place.epoch,
            pid: std::process::id(),
            service: place.service.into(),
            host: crate::sys::file::host_name().into(),
        };
        Ok(Opened::Blocks(Box::new(Shipping {
            monitor: self.monitor.clone(),
            forwarder: *self,
            master,
            sender,
            file,
            stored: Instant::now(),
            settled,
            retry: RETRY_MIN,
            last_sent: Instant::now(),
        })))
    }
}

/// Shows what a [`Forwarder`] does.
#[derive(Clone, Debug, Default)]
pub struct ForwarderMonitor {
    stats: Arc<Mutex<ForwarderStats>>,
}

impl ForwarderMonitor {
    /// What the forwarder has done so far.
    pub fn stats(&self) -> ForwarderStats {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ForwarderStats> {
        lock(&self.stats)
    }
}

/// What a forwarder is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "field names say it")]
pub enum ForwarderState {
    /// It looks for the master.
    #[default]
    Connecting,
    /// It sends, or waits for something to send.
    Sending,
    /// It has sent all it may, and waits for acknowledgements.
    AwaitingAcks,
    /// The master refused it. It tries again.
    Refused { why: String },
    /// The master cannot be reached, or the connection failed. It tries again.
    Failing { why: String },
    /// It was stopped.
    Ended,
}

impl fmt::Display for ForwarderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwarderState::Connecting => write!(f, "connecting"),
            ForwarderState::Sending => write!(f, "sending"),
            ForwarderState::AwaitingAcks => write!(f, "waiting for acknowledgements"),
            ForwarderState::Refused { why } => write!(f, "refused: {why}"),
            ForwarderState::Failing { why } => write!(f, "failing: {why}"),
            ForwarderState::Ended => write!(f, "ended"),
        }
    }
}

/// What a forwarder has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwarderStats {
    /// What it is doing.
    pub state: ForwarderState,
    /// Events that the master acknowledged.
    pub delivered: u64,
    /// Blocks that the master acknowledged.
    pub delivered_blocks: u64,
    /// Blocks in the journal that the master did not acknowledge. Known at the end only.
    pub left_blocks: u64,
    /// Blocks that could not be read from the journal.
    pub damaged: u64,
    /// Connections that came as far as a welcome.
    pub connections: u64,
    /// Attempts and connections that failed.
    pub errors: u64,
    /// What the master promised with its acknowledgements.
    pub level: Option<AckLevel>,
    /// Acknowledgements of a lower level than promised.
    pub weak_acks: u64,
    /// Everything before it is acknowledged.
    pub settled: Position,
}

/// An open forwarder, on its outlet's thread.
struct Shipping {
    forwarder: Forwarder,
    master: (String, u16),
    sender: SourceInfo,
    monitor: ForwarderMonitor,
    file: Option<CursorFile>,
    /// When the cursor's file was last written.
    stored: Instant,
    settled: Position,
    retry: Duration,
    last_sent: Instant,
}

/// A connection, for the thread that sends and the one that takes acknowledgements.
struct Link {
    stream: TcpStream,
    journal: Journal,
    level: AckLevel,
    monitor: ForwarderMonitor,
    state: Mutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    in_flight: VecDeque<Sent>,
    in_flight_bytes: u64,
    /// The greatest acknowledged sequence of each epoch.
    acknowledged: HashMap<u64, u64>,
    /// Events that were acknowledged and not yet published.
    news: Option<u64>,
    /// Why the connection is of no use any more.
    broken: Option<Broken>,
}

/// An events block in flight.
#[derive(Clone, Copy, Debug)]
struct Sent {
    epoch: u64,
    sequence: u64,
    position: Position,
    bytes: u64,
    events: u64,
}

/// Why a connection did not come about or has ended.
#[derive(Clone, Debug)]
struct Broken {
    why: String,
    /// What the master gave as its reason.
    reason: Option<Reason>,
}

impl Broken {
    fn new(why: impl fmt::Display) -> Broken {
        Broken { why: why.to_string(), reason: None }
    }

    fn refused(farewell: &Farewell) -> Broken {
        Broken { why: farewell.to_string(), reason: Some(farewell.reason) }
    }

    fn deadline() -> Broken {
        Broken::new("the deadline has passed")
    }
}

/// The runs in a journal: (segment, epoch, greatest sequence there), in order.
type Outline = Vec<(u64, u64, u64)>;

impl BlockAppender for Shipping {
    fn settled(&self) -> Position {
        self.settled
    }

    fn run(&mut self, outlet: &mut dyn OutletSide) {
        let journal = outlet.journal().clone();
        let mut reader = journal.reader(journal.start_position());
        while !outlet.is_stopping() || !is_late(outlet) && self.left(&mut reader) > 0 {
            self.monitor.lock().state = ForwarderState::Connecting;
            match self.connection(outlet, &mut reader) {
                Ok(()) => break,
                Err(broken) => self.failed(outlet, &broken),
            }
        }
        self.store();
        let left = self.left(&mut reader);
        let mut stats = self.monitor.lock();
        (stats.left_blocks, stats.state) = (left, ForwarderState::Ended);
    }
}

impl Shipping {
    /// One connection from its beginning to its end; `Ok` after a mutual bye.
    fn connection(
        &mut self,
        outlet: &mut dyn OutletSide,
        reader: &mut Reader,
    ) -> Result<(), Broken> {
        let journal = outlet.journal().clone();
        let outline = self.outline(&journal, reader);
        let stream = self.connect(outlet)?;
        let welcome = self.greet(outlet, &stream, &outline)?;
        let marks: HashMap<u64, u64> = welcome.marks.iter().copied().collect();
        let link = Arc::new(Link {
            stream,
            journal,
            level: welcome.level,
            monitor: self.monitor.clone(),
            state: Mutex::new(LinkState { acknowledged: marks.clone(), ..LinkState::default() }),
        });
        let listener = Arc::clone(&link);
        let listener = std::thread::Builder::new()
            .name("rollway-acks".to_owned())
            .spawn(move || listener.listen())
            .map_err(|error| Broken::new(format_args!("cannot start a thread: {error}")))?;
        {
            let mut stats = self.monitor.lock();
            stats.connections += 1;
            (stats.level, stats.state) = (Some(welcome.level), ForwarderState::Sending);
        }
        outlet.recovered();
        let (begun, before) = (Instant::now(), self.monitor.lock().delivered_blocks);
        resume(reader, &link.journal, &outline, &marks);
        let window_bytes = self.forwarder.window_bytes.min(welcome.window_bytes);
        let mut feed = Feed {
            reader,
            marks: &marks,
            source: self.sender.source,
            window_bytes,
            next: Position::default(),
            frame: Vec::new(),
            sent: Vec::new(),
        };
        feed.next = feed.reader.position();
        let shipped = self.ship(outlet, &link, &mut feed);
        link.break_off(Broken::new("it was left"));
        // It ends with the connection; a panic was reported by the panic hook.
        let _ = listener.join();
        self.publish(outlet, &link, feed.next);
        if self.monitor.lock().delivered_blocks > before || begun.elapsed() > RETRY_MAX {
            self.retry = RETRY_MIN;
        }
        shipped
    }

    /// Reads all headers of the journal. Cheap: 64 bytes for each block.
    fn outline(&self, journal: &Journal, reader: &mut Reader) -> Outline {
        let source = self.sender.source;
        let mut outline = Outline::new();
        reader.seek(journal.start_position());
        let mut note = |position: Position, header: &BlockHeader| {
            if header.kind == BlockKind::Events && header.source == source {
                match outline.last_mut() {
                    Some((generation, epoch, sequence))
                        if (*generation, *epoch) == (position.generation, header.epoch) =>
                    {
                        *sequence = header.sequence.max(*sequence);
                    }
                    _ => outline.push((position.generation, header.epoch, header.sequence)),
                }
            }
            false
        };
        // Damage is counted where it is passed over for good.
        while reader.next_raw(&mut note).is_err() {}
        outline
    }

    fn connect(&self, outlet: &dyn OutletSide) -> Result<TcpStream, Broken> {
        let (host, port) = (self.master.0.as_str(), self.master.1);
        let name = format!("{host}:{port}");
        let found = (host, port).to_socket_addrs().map_err(|error| {
            Broken::new(format_args!("cannot find the host of {name}: {error}"))
        })?;
        let mut failure = format!("cannot find an address of {name}");
        for candidate in found {
            let left = time_left(outlet, self.forwarder.connect_timeout)?;
            match dial(&candidate.into(), left) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = format!("cannot connect to {name} ({candidate}): {error}"),
            }
        }
        Err(Broken::new(failure))
    }

    /// Says hello and waits for the welcome.
    fn greet(
        &mut self,
        outlet: &dyn OutletSide,
        mut stream: &TcpStream,
        outline: &Outline,
    ) -> Result<Welcome, Broken> {
        let epoch = self.sender.epoch;
        let oldest = outline.iter().map(|(_, epoch, _)| *epoch).min();
        let hello = Hello {
            source: self.sender.source,
            epoch,
            oldest_epoch: oldest.unwrap_or(epoch).min(epoch),
            term: self.forwarder.term,
            window_bytes: self.forwarder.window_bytes,
            pid: self.sender.pid,
            service: self.sender.service.to_string(),
            host: self.sender.host.to_string(),
        };
        stream
            .write_all(&frame::encode(FrameKind::Hello, &hello.encode()))
            .map_err(|error| Broken::new(format_args!("cannot send the hello: {error}")))?;
        self.last_sent = Instant::now();
        let mut reader = FrameReader::new();
        let begun = Instant::now();
        while begun.elapsed() < HANDSHAKE_LIMIT {
            let (_, frame) = receive(&mut reader, stream)?;
            if let Some(Frame { kind, body }) = frame {
                return match kind {
                    FrameKind::Welcome => {
                        Welcome::decode(&body).map_err(|why| Broken::refused(&why))
                    }
                    FrameKind::Refuse | FrameKind::Bye => {
                        Err(Broken::refused(&Farewell::decode(&body)))
                    }
                    other => Err(Broken::new(format_args!("{other:?} came instead of a welcome"))),
                };
            }
            time_left(outlet, HANDSHAKE_LIMIT)?;
        }
        let limit = HANDSHAKE_LIMIT.as_secs();
        Err(Broken::new(format_args!("no welcome came within {limit} s")))
    }

    /// Sends blocks until the connection ends or everything is said.
    fn ship(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        feed: &mut Feed<'_>,
    ) -> Result<(), Broken> {
        loop {
            if feed.fill(outlet, &self.monitor) {
                let (bytes, window_bytes) = (feed.sent_bytes(), feed.window_bytes);
                self.wait_for_acks(outlet, link, feed.next, |state| {
                    state.in_flight.is_empty() || state.in_flight_bytes + bytes <= window_bytes
                })?;
                {
                    let mut state = lock(&link.state);
                    state.in_flight_bytes += bytes;
                    state.in_flight.extend(&feed.sent);
                }
                feed.next = feed.reader.position();
                self.send(outlet, link, &feed.frame)?;
                self.publish(outlet, link, feed.next);
                continue;
            }
            feed.next = feed.reader.position();
            let next = feed.next;
            self.publish(outlet, link, next);
            if outlet.is_stopping() {
                return self.part(outlet, link, next);
            }
            let limit = HEARTBEAT.saturating_sub(self.last_sent.elapsed());
            link.journal.wait_until(limit, |end, _| {
                end > next || outlet.is_stopping() || lock(&link.state).is_changed()
            });
            link.check()?;
            self.ping(outlet, link)?;
        }
    }

    /// Waits for what acknowledgements bring about; keeps the connection alive and the outlet
    /// informed meanwhile.
    fn wait_for_acks(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        next: Position,
        reached: impl Fn(&LinkState) -> bool,
    ) -> Result<(), Broken> {
        loop {
            self.publish(outlet, link, next);
            link.check()?;
            if reached(&lock(&link.state)) {
                self.monitor.lock().state = ForwarderState::Sending;
                return Ok(());
            }
            self.monitor.lock().state = ForwarderState::AwaitingAcks;
            self.ping(outlet, link)?;
            let limit = HEARTBEAT.saturating_sub(self.last_sent.elapsed());
            let limit = time_left(outlet, limit)?;
            let was_stopping = outlet.is_stopping();
            link.journal.wait_until(limit, |_, _| {
                lock(&link.state).is_changed() || outlet.is_stopping() != was_stopping
            });
        }
    }

    /// Brings the settled position up to date (invariant 2). `next` is the next block to send.
    fn publish(&mut self, outlet: &mut dyn OutletSide, link: &Link, next: Position) {
        let (settled, news) = {
            let mut state = lock(&link.state);
            let oldest = state.in_flight.front().map(|sent| sent.position);
            (oldest.unwrap_or(next), state.news.take())
        };
        if settled == self.settled && news.is_none() {
            return;
        }
        self.settled = settled;
        outlet.settle(settled, news.unwrap_or(0));
        let weak_acks = {
            let mut stats = self.monitor.lock();
            stats.settled = settled;
            stats.weak_acks
        };
        // After a weak acknowledgement nobody can prove it of what lies before.
        if link.level == AckLevel::Synced && weak_acks == 0 {
            outlet.synced(settled);
        }
        if self.stored.elapsed() >= STORE_EVERY {
            self.store();
        }
    }

    /// Writes the cursor's file.
    fn store(&mut self) {
        self.stored = Instant::now();
        if let Some(file) = &self.file
            && file.store_written(self.settled, TextFileMark::default()).is_err()
        {
            // The file only informs: the master's mark decides.
            self.monitor.lock().errors += 1;
        }
    }

    fn ping(&mut self, outlet: &dyn OutletSide, link: &Link) -> Result<(), Broken> {
        if self.last_sent.elapsed() < HEARTBEAT {
            return Ok(());
        }
        self.send(outlet, link, &frame::header(FrameKind::Ping, &[]))
    }

    /// Writes a frame. Blocks while the master does not read, until the connection or the outlet
    /// ends.
    fn send(&mut self, outlet: &dyn OutletSide, link: &Link, frame: &[u8]) -> Result<(), Broken> {
        let mut rest = frame;
        while !rest.is_empty() {
            match (&link.stream).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_timeout(&error) => {
                    link.check()?;
                    time_left(outlet, LOOK)?;
                }
                Err(error) => {
                    // A master that closed has said why before.
                    let is_told = |_, _| lock(&link.state).broken.is_some();
                    link.journal.wait_until(LAST_WORDS, is_told);
                    link.check()?;
                    return Err(Broken::new(format_args!("cannot send: {error}")));
                }
            }
        }
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Waits for the last acknowledgements and takes leave.
    fn part(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        next: Position,
    ) -> Result<(), Broken> {
        self.wait_for_acks(outlet, link, next, |state| state.in_flight.is_empty())?;
        let bye = Farewell::new(Reason::Done, "the worker has nothing more to send");
        self.send(outlet, link, &frame::encode(FrameKind::Bye, &bye.encode()))?;
        // Everything is acknowledged: whether and how the master answers changes nothing.
        let limit = time_left(outlet, LAST_WORDS)?;
        link.journal.wait_until(limit, |_, _| lock(&link.state).broken.is_some());
        Ok(())
    }

    /// Counts the failure, tells of it, and pauses.
    fn failed(&mut self, outlet: &mut dyn OutletSide, broken: &Broken) {
        let why = broken.why.clone();
        let (message, state) = match broken.reason {
            Some(_) => (format!("the master refuses: {why}"), ForwarderState::Refused { why }),
            None => (why.clone(), ForwarderState::Failing { why }),
        };
        {
            let mut stats = self.monitor.lock();
            stats.errors += 1;
            stats.state = state;
        }
        outlet.failed(&message);
        let lasting = broken.reason.is_some_and(Reason::is_lasting);
        outlet.pause(jittered(if lasting { RETRY_MAX } else { self.retry }));
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// Blocks behind what is settled.
    fn left(&self, reader: &mut Reader) -> u64 {
        let source = self.sender.source;
        let mut left = 0;
        reader.seek(self.settled);
        let mut count = |_: Position, header: &BlockHeader| {
            left += u64::from(header.kind == BlockKind::Events && header.source == source);
            false
        };
        while reader.next_raw(&mut count).is_err() {}
        left
    }
}

/// Goes to the beginning of the first segment that has a block above its mark; without one, of the
/// newest segment, whose definitions the next block will need.
fn resume(reader: &mut Reader, journal: &Journal, outline: &Outline, marks: &HashMap<u64, u64>) {
    let above = |(_, epoch, sequence): &&(u64, u64, u64)| {
        *sequence > marks.get(epoch).copied().unwrap_or(0)
    };
    let newest = journal.end().generation;
    let generation = outline.iter().find(above).map_or(newest, |(generation, _, _)| *generation);
    reader.seek(Position { generation, ..Position::default() });
}

/// What a connection has yet to send.
struct Feed<'a> {
    reader: &'a mut Reader,
    /// What the master had at the beginning.
    marks: &'a HashMap<u64, u64>,
    source: u128,
    window_bytes: u64,
    /// The first block that was not sent.
    next: Position,
    /// A frame header, then blocks.
    frame: Vec<u8>,
    /// The events blocks in it.
    sent: Vec<Sent>,
}

impl Feed<'_> {
    /// Fills the frame with blocks that the master does not have. `false` when there are none.
    fn fill(&mut self, outlet: &mut dyn OutletSide, monitor: &ForwarderMonitor) -> bool {
        let wanted = |_: Position, header: &BlockHeader| {
            header.source == self.source
                && match header.kind {
                    BlockKind::Define => true,
                    BlockKind::Events => {
                        header.sequence > self.marks.get(&header.epoch).copied().unwrap_or(0)
                    }
                    BlockKind::Segment | BlockKind::Other(_) => false,
                }
        };
        self.sent.clear();
        self.frame.clear();
        self.frame.extend_from_slice(&[0; HEADER_BYTES]);
        while self.frame.len() < BLOCKS_BYTES {
            match self.reader.next_raw(wanted) {
                Ok(Some(block)) => {
                    if block.header.kind == BlockKind::Events {
                        let opened = EventsBlock::open(block.header, block.bytes);
                        self.sent.push(Sent {
                            epoch: block.header.epoch,
                            sequence: block.header.sequence,
                            position: block.position,
                            bytes: block.bytes.len() as u64,
                            events: opened.map_or(0, |events| events.count()),
                        });
                    }
                    let at = self.frame.len();
                    self.frame.extend_from_slice(block.bytes);
                    // A block in memory gets its checksum on its way to the socket.
                    header::seal(&mut self.frame[at..]);
                }
                Ok(None) => break,
                Err(error) => {
                    monitor.lock().damaged += 1;
                    outlet.failed(&format!("it passes over {error}"));
                }
            }
        }
        let (front, blocks) = self.frame.split_at_mut(HEADER_BYTES);
        front.copy_from_slice(&frame::header(FrameKind::Blocks, blocks));
        !blocks.is_empty()
    }

    fn sent_bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }
}

impl LinkState {
    /// Whether the thread that sends should look.
    fn is_changed(&self) -> bool {
        self.news.is_some() || self.broken.is_some()
    }
}

impl Link {
    /// The end of the connection, if it has ended.
    fn check(&self) -> Result<(), Broken> {
        lock(&self.state).broken.clone().map_or(Ok(()), Err)
    }

    /// Ends the connection, whichever thread is inside it. The first reason stands.
    fn break_off(&self, broken: Broken) {
        lock(&self.state).broken.get_or_insert(broken);
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.journal.wake();
    }

    /// Takes acknowledgements until the connection ends.
    fn listen(&self) {
        // Only a timeout of zero is refused.
        let _ = self.stream.set_read_timeout(Some(LOOK));
        let mut reader = FrameReader::new();
        let mut heard = Instant::now();
        let broken = loop {
            let received = receive(&mut reader, &self.stream);
            let taken = received.and_then(|(bytes, frame)| match frame {
                Some(frame) => self.take(&frame).map(|()| true),
                None => Ok(bytes > 0),
            });
            match taken {
                Ok(true) => heard = Instant::now(),
                Ok(false) if heard.elapsed() >= DEAD_AFTER => {
                    let silence = DEAD_AFTER.as_secs();
                    break Broken::new(format_args!("nothing was heard for {silence} s"));
                }
                Ok(false) => {}
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
                self.acknowledge(level, pairs);
                self.journal.wake();
                Ok(())
            }
            FrameKind::Ping => Ok(()),
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
        state.news = Some(events);
    }
}

/// Whether the outlet's deadline has passed.
fn is_late(outlet: &dyn OutletSide) -> bool {
    outlet.is_stopping() && outlet.deadline().is_some_and(|deadline| Instant::now() >= deadline)
}

/// `limit`, or what is left until the outlet's deadline. Never zero.
fn time_left(outlet: &dyn OutletSide, limit: Duration) -> Result<Duration, Broken> {
    if is_late(outlet) {
        return Err(Broken::deadline());
    }
    let deadline = outlet.deadline().filter(|_| outlet.is_stopping());
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    Ok(left.map_or(limit, |left| limit.min(left)).max(Duration::from_millis(1)))
}

/// Reads once; yields how much came, nothing after the timeout, and the frame that it completes.
fn receive(
    reader: &mut FrameReader,
    mut stream: &TcpStream,
) -> Result<(usize, Option<Frame>), Broken> {
    match stream.read(reader.space()) {
        Ok(0) => Err(Broken::new("the master closed the connection")),
        Ok(count) => Ok((count, reader.advance(count).map_err(Broken::new)?)),
        Err(error) if is_timeout(&error) => Ok((0, None)),
        Err(error) => Err(Broken::new(format_args!("cannot receive: {error}"))),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// Locks, whoever panicked meanwhile: the data of this module is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dial(address: &SockAddr, timeout: Duration) -> io::Result<TcpStream> {
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // The kernel gives what it has: less is slower and no error.
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(DEAD_AFTER).with_interval(HEARTBEAT);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.connect_timeout(address, timeout)?;
    socket.set_read_timeout(Some(LOOK_OFTEN))?;
    socket.set_write_timeout(Some(LOOK_OFTEN))?;
    Ok(socket.into())
}

/// Between half and the whole of `pause`, so that many workers do not come back at once.
fn jittered(pause: Duration) -> Duration {
    // A fresh hasher is seeded at random.
    let random = std::hash::RandomState::new().build_hasher().finish();
    pause / 2 + (pause / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_stay_within_their_bounds() {
        let pauses: Vec<_> = (0..100).map(|_| jittered(RETRY_MAX)).collect();
        assert!(pauses.iter().all(|pause| (RETRY_MAX / 2..=RETRY_MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused_by_name() {
        let place = Place {
            source: 1,
            epoch: 1,
            service: "billing",
            name: "master",
            journal_dir: None,
            begin: Position::default(),
        };
        let opened = Box::new(Forwarder::new("logs:http")).open(&place);
        let error = opened.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("`master`") && error.contains("host:port"), "{error}");
    }
}
