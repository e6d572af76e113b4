//! A TCP proxy on loopback that does to a connection what networks do.
//!
//! It stands between workers and a master: *up* is towards the master, *down* towards the worker. One
//! thread moves all bytes of all connections with non-blocking sockets. What happens to them is set for
//! each direction and may change at any time; whatever is random comes from the seed and the number of
//! the connection, so a run can be repeated.
//!
//! A fault that takes bytes out of the stream leaves a hole in it. A connection with a hole never
//! carries bytes again: when its fault is lifted it is reset, as it would be after a time-out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

use crate::random::Random;

/// Connections at a time; more are reset.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes of one direction that were read and not yet written.
const HELD_BYTES_MAX: usize = 256 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// How long a connection to the master may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long an order may take to be taken: a few connections to the master.
const ORDER_LIMIT: Duration = Duration::from_secs(10);
/// The longest sleep of the thread.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Fault {
    /// They pass.
    #[default]
    None,
    /// Nothing is read: the sender's buffers fill up, and everything passes when that is over.
    Hold,
    /// They are read and are gone.
    Swallow,
    /// Acknowledgements are gone, all other frames pass.
    SwallowAcks,
    /// They pass so much later.
    Delay(Duration),
    /// So many pass in a second.
    Throttle(u64),
    /// They are written one by one.
    ByteWise,
    /// The connection is reset in front of this byte of its direction.
    ResetAt(u64),
    /// One bit of this byte of its direction is another one.
    GarbleAt(u64),
}

/// How connections are ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// In order: what is held is written first.
    Fin,
    /// At once, with a reset.
    Reset,
}

/// A running proxy. Dropping it resets all connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    /// Orders were taken.
    taken: Condvar,
    accepted: AtomicU64,
    /// Bytes written, towards the master and towards the workers.
    passed: [AtomicU64; 2],
    /// Bytes read and not written.
    swallowed: AtomicU64,
}

/// What the bench wants of the thread.
#[derive(Default)]
struct Wanted {
    target: Option<SocketAddr>,
    up: Fault,
    down: Fault,
    ending: Option<Ending>,
    is_ended: bool,
    /// Orders given and orders taken.
    orders: [u64; 2],
}

impl Proxy {
    /// Listens on a port of its own and passes everything on to `target`.
    pub(crate) fn start(target: SocketAddr, seed: u64) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        shared.lock().target = Some(target);
        let mut pump = Pump {
            listener,
            woken,
            shared: Arc::clone(&shared),
            seed,
            connections: Vec::new(),
            faults: [Fault::None; 2],
        };
        let thread =
            std::thread::Builder::new().name("proxy".to_owned()).spawn(move || pump.run())?;
        Ok(Proxy { address, shared, wake, thread: Some(thread) })
    }

    /// Where workers connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to bytes towards the master and towards the worker, from its return on.
    pub(crate) fn set(&self, up: Fault, down: Fault) {
        self.order(|wanted| (wanted.up, wanted.down) = (up, down));
    }

    /// Lets everything pass again.
    pub(crate) fn heal(&self) {
        self.set(Fault::None, Fault::None);
    }

    /// Ends all connections. New ones come about.
    pub(crate) fn cut(&self, ending: Ending) {
        self.order(|wanted| wanted.ending = Some(ending));
    }

    /// Connections that were taken so far, whatever became of them.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes that were written towards the master and towards the workers.
    pub(crate) fn passed_bytes(&self) -> [u64; 2] {
        self.shared.passed.each_ref().map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// Bytes that were taken out of the stream, acknowledgements among them.
    pub(crate) fn swallowed_bytes(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }

    /// Gives an order, and waits until the thread has taken it.
    fn order(&self, order: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.shared.lock();
        order(&mut wanted);
        wanted.orders[0] += 1;
        // A full pipe wakes as well.
        let _ = (&self.wake).write(&[0]);
        let given = wanted.orders[0];
        let is_open = |wanted: &mut Wanted| wanted.orders[1] < given;
        let waited = self.shared.taken.wait_timeout_while(wanted, ORDER_LIMIT, is_open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.order(|wanted| wanted.is_ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own side.
struct Pump {
    listener: TcpListener,
    woken: UnixStream,
    shared: Arc<Shared>,
    seed: u64,
    connections: Vec<Connection>,
    /// What happens upwards and downwards.
    faults: [Fault; 2],
}

impl Pump {
    fn run(&mut self) {
        while self.take_orders() {
            self.accept();
            let now = Instant::now();
            let (faults, shared) = (self.faults, &self.shared);
            self.connections.retain_mut(|connection| {
                let is_open = connection.step(faults, now, shared);
                if is_open == Step::Reset {
                    connection.reset();
                }
                is_open == Step::Goes
            });
            self.sleep();
        }
        self.connections.iter().for_each(Connection::reset);
    }

    /// Takes over what is wanted; false at the end.
    fn take_orders(&mut self) -> bool {
        let mut pieces = [0; 64];
        while matches!((&self.woken).read(&mut pieces), Ok(1..)) {}
        let mut wanted = self.shared.lock();
        let faults = [wanted.up, wanted.down];
        let ending = wanted.ending.take();
        let goes_on = !wanted.is_ended;
        wanted.orders[1] = wanted.orders[0];
        drop(wanted);
        self.shared.taken.notify_all();
        self.faults = faults;
        for connection in &mut self.connections {
            match ending {
                Some(Ending::Reset) => connection.is_cut = true,
                Some(Ending::Fin) => {
                    connection.lanes.iter_mut().for_each(|lane| lane.is_ended = true)
                }
                None => {}
            }
        }
        goes_on
    }

    fn accept(&mut self) {
        while let Ok((worker, _)) = self.listener.accept() {
            let number = self.shared.accepted.fetch_add(1, Ordering::Relaxed);
            let target = self.shared.lock().target;
            let master = target.ok_or(ErrorKind::NotConnected.into());
            let master =
                master.and_then(|target| TcpStream::connect_timeout(&target, CONNECT_LIMIT));
            let connection = master
                .and_then(|master| Connection::new(worker.try_clone()?, master, self.seed, number));
            match connection {
                Ok(connection) if self.connections.len() < CONNECTIONS_MAX => {
                    self.connections.push(connection);
                }
                _ => reset(&worker),
            }
        }
    }

    /// Until a socket can go on, a held byte is due, or the bench wants something.
    fn sleep(&self) {
        let now = Instant::now();
        let mut until = now + SLEEP_MAX;
        let mut watched = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        for connection in &self.connections {
            for (lane, fault) in connection.lanes.iter().zip(self.faults) {
                let (from, to) = connection.ends(lane.direction);
                if lane.wants_bytes(fault) {
                    watched.push(PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN));
                }
                match lane.due() {
                    Some(due) if due <= now => {
                        watched.push(PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT));
                    }
                    Some(due) => until = until.min(due),
                    None => {}
                }
            }
        }
        let pause = until.saturating_duration_since(now);
        let pause =
            Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) };
        // Interrupted or not: everything is looked at again.
        let _ = poll(&mut watched, Some(&pause));
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Goes,
    Ends,
    Reset,
}

/// A worker, and its connection to the master.
struct Connection {
    worker: TcpStream,
    master: TcpStream,
    lanes: [Lane; 2],
    is_cut: bool,
}

impl Connection {
    fn new(worker: TcpStream, master: TcpStream, seed: u64, number: u64) -> io::Result<Connection> {
        for stream in [&worker, &master] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        let lane = |direction| Lane::new(direction, seed ^ number << 1 ^ direction as u64);
        Ok(Connection { worker, master, lanes: [lane(UP), lane(DOWN)], is_cut: false })
    }

    /// Where the bytes of a direction come from and go to.
    fn ends(&self, direction: usize) -> (&TcpStream, &TcpStream) {
        if direction == UP { (&self.worker, &self.master) } else { (&self.master, &self.worker) }
    }

    fn step(&mut self, faults: [Fault; 2], now: Instant, shared: &Shared) -> Step {
        if self.is_cut {
            return Step::Reset;
        }
        let Connection { worker, master, lanes, .. } = self;
        for (lane, fault) in lanes.iter_mut().zip(faults) {
            let (from, to) =
                if lane.direction == UP { (&*worker, &*master) } else { (&*master, &*worker) };
            if lane.has_hole && fault != Fault::Swallow {
                return Step::Reset;
            }
            let written = lane.read(from, fault, now).and_then(|()| lane.write(to, fault, now));
            match written {
                Ok(bytes) => shared.passed[lane.direction].fetch_add(bytes, Ordering::Relaxed),
                Err(_) => return Step::Reset,
            };
            let swallowed = std::mem::take(&mut lane.frames.swallowed_bytes);
            shared.swallowed.fetch_add(swallowed, Ordering::Relaxed);
            if lane.ends_with_reset && lane.held.is_empty() {
                return Step::Reset;
            }
            if lane.is_ended && lane.held.is_empty() && !lane.has_said_end {
                lane.has_said_end = true;
                // The other side may be gone already.
                let _ = to.shutdown(std::net::Shutdown::Write);
            }
        }
        if self.lanes.iter().all(|lane| lane.has_said_end) { Step::Ends } else { Step::Goes }
    }

    fn reset(&self) {
        reset(&self.worker);
        reset(&self.master);
    }
}

/// Makes the close of this socket a reset.
fn reset(stream: &TcpStream) {
    // Where that is refused, the connection ends in order.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

const UP: usize = 0;
const DOWN: usize = 1;

/// One direction of a connection.
struct Lane {
    direction: usize,
    /// Bytes on their way, each piece with the time from which it may be written.
    held: VecDeque<(Instant, Vec<u8>)>,
    held_bytes: usize,
    /// Bytes held so far, those included that were written since.
    taken_bytes: u64,
    /// Nothing is written before.
    paused_until: Option<Instant>,
    frames: Frames,
    has_hole: bool,
    /// What is held is the last; then the connection is reset.
    ends_with_reset: bool,
    /// The sender has ended, or is made to.
    is_ended: bool,
    has_said_end: bool,
    random: Random,
}

impl Lane {
    fn new(direction: usize, seed: u64) -> Lane {
        Lane {
            direction,
            held: VecDeque::new(),
            held_bytes: 0,
            taken_bytes: 0,
            paused_until: None,
            frames: Frames::default(),
            has_hole: false,
            ends_with_reset: false,
            is_ended: false,
            has_said_end: false,
            random: Random::new(seed),
        }
    }

    fn wants_bytes(&self, fault: Fault) -> bool {
        !self.is_ended
            && !self.ends_with_reset
            && fault != Fault::Hold
            && self.held_bytes < HELD_BYTES_MAX
    }

    /// When the next byte may be written.
    fn due(&self) -> Option<Instant> {
        let (due, _) = self.held.front()?;
        Some(self.paused_until.map_or(*due, |until| until.max(*due)))
    }

    fn read(&mut self, mut from: &TcpStream, fault: Fault, now: Instant) -> io::Result<()> {
        let mut room = vec![0; READ_BYTES];
        while self.wants_bytes(fault) {
            let count = match from.read(&mut room) {
                Ok(0) => {
                    self.is_ended = true;
                    return Ok(());
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = self.frames.sieve(&room[..count], fault != Fault::SwallowAcks);
            self.take(piece, fault, now);
        }
        Ok(())
    }

    /// Does to a piece what is done when it arrives.
    fn take(&mut self, mut piece: Vec<u8>, fault: Fault, now: Instant) {
        let mut due = now;
        let byte_of_piece = |at: u64| Some(at.checked_sub(self.taken_bytes)? as usize);
        match fault {
            Fault::Swallow => {
                self.has_hole |= !piece.is_empty();
                self.frames.swallowed_bytes += piece.len() as u64;
                piece.clear();
            }
            Fault::Delay(delay) => due = now + delay,
            Fault::GarbleAt(at) => {
                if let Some(byte) = byte_of_piece(at).and_then(|at| piece.get_mut(at)) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
            Fault::ResetAt(at) if at < self.taken_bytes + piece.len() as u64 => {
                piece.truncate(byte_of_piece(at).unwrap_or(0));
                self.ends_with_reset = true;
            }
            _ => {}
        }
        self.taken_bytes += piece.len() as u64;
        if !piece.is_empty() {
            self.held_bytes += piece.len();
            self.held.push_back((due, piece));
        }
    }

    fn write(&mut self, mut to: &TcpStream, fault: Fault, now: Instant) -> io::Result<u64> {
        let at_once = match fault {
            Fault::ByteWise => 1,
            Fault::Throttle(per_second) => (per_second / 100).max(1) as usize,
            _ => usize::MAX,
        };
        let mut written = 0;
        while self.due().is_some_and(|due| due <= now)
            && let Some((_, piece)) = self.held.front_mut()
        {
            let count = piece.len().min(at_once);
            let count = match to.write(&piece[..count]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            written += count as u64;
            self.held_bytes -= count;
            if count == piece.len() {
                self.held.pop_front();
            } else {
                piece.drain(..count);
            }
            if let Fault::Throttle(per_second) = fault {
                let pause = Duration::from_secs_f64(count as f64 / per_second.max(1) as f64);
                self.paused_until = Some(now + pause);
            }
            if at_once != usize::MAX {
                break;
            }
        }
        Ok(written)
    }
}

/// Follows the frames of a direction, to tell acknowledgements from the rest.
///
/// The header of a frame passes when it is complete, so an acknowledgement is taken out whole or not
/// at all, and nothing is missing from the stream behind it. What is no frame passes as it comes.
#[derive(Default)]
struct Frames {
    /// The header of the next frame, as far as it has come.
    header: Vec<u8>,
    /// Bytes of the body that are to come.
    body_left: usize,
    /// Whether the frame that is under way passes.
    passes: bool,
    swallowed_bytes: u64,
}

/// Bytes in front of each body: see the description of the protocol.
const FRAME_HEADER_BYTES: usize = rollway::net::frame::HEADER_BYTES;

impl Frames {
    /// What passes now.
    fn sieve(&mut self, mut piece: &[u8], acks_pass: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len());
        while !piece.is_empty() {
            if self.body_left > 0 {
                let (body, rest) = piece.split_at(self.body_left.min(piece.len()));
                if self.passes {
                    out.extend_from_slice(body);
                } else {
                    self.swallowed_bytes += body.len() as u64;
                }
                self.body_left -= body.len();
                piece = rest;
                continue;
            }
            let missing = FRAME_HEADER_BYTES - self.header.len();
            let (front, rest) = piece.split_at(missing.min(piece.len()));
            self.header.extend_from_slice(front);
            piece = rest;
            if !begins_a_frame(&self.header) {
                (self.body_left, self.passes) = (usize::MAX, true);
                out.append(&mut self.header);
            } else if let Some(header) = self.header.first_chunk::<FRAME_HEADER_BYTES>() {
                let [.., kind, _, _, a, b, c, d, _, _, _, _] = *header;
                self.body_left = u32::from_le_bytes([a, b, c, d]) as usize;
                self.passes = acks_pass || kind != rollway::net::FrameKind::Ack.number();
                if self.passes {
                    out.append(&mut self.header);
                }
                self.header.clear();
            }
        }
        out
    }
}

/// Whether a frame may begin so.
fn begins_a_frame(bytes: &[u8]) -> bool {
    let magic = &rollway::net::frame::encode(rollway::net::FrameKind::Ping, &[])[..4];
    let compared = bytes.len().min(magic.len());
    bytes[..compared] == magic[..compared]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollway::net::{FrameKind, frame};

    /// The longest wait for what must come.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A worker's and a master's end, with a proxy between them.
    fn connected() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap(), 1).unwrap();
        let worker = TcpStream::connect(proxy.address()).unwrap();
        let (master, _) = listener.accept().unwrap();
        for stream in [&worker, &master] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        (proxy, worker, master)
    }

    fn receive(mut stream: &TcpStream, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        stream.read_exact(&mut got).unwrap();
        got
    }

    #[test]
    fn bytes_pass_both_ways_until_one_side_ends() {
        let (_proxy, mut worker, mut master) = connected();
        worker.write_all(b"hello, master").unwrap();
        assert_eq!(receive(&master, 13), b"hello, master");
        master.write_all(b"hello, worker").unwrap();
        assert_eq!(receive(&worker, 13), b"hello, worker");
        drop(worker);
        assert_eq!(master.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_held_passes_when_that_is_over() {
        let (proxy, mut worker, master) = connected();
        proxy.set(Fault::Hold, Fault::Hold);
        worker.write_all(b"later").unwrap();
        proxy.heal();
        assert_eq!(receive(&master, 5), b"later");
    }

    #[test]
    fn a_connection_that_lost_bytes_is_reset_when_it_is_healed() {
        let (proxy, mut worker, mut master) = connected();
        proxy.set(Fault::Swallow, Fault::None);
        worker.write_all(b"gone").unwrap();
        // When the second one is here, the other direction was looked at since.
        for _ in 0..2 {
            master.write_all(b"seen").unwrap();
            assert_eq!(receive(&worker, 4), b"seen");
        }
        proxy.heal();
        assert_eq!(master.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(worker.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn acknowledgements_alone_are_swallowed_and_whatever_comes_later_passes() {
        let (proxy, worker, mut master) = connected();
        proxy.set(Fault::None, Fault::SwallowAcks);
        let ack = frame::encode(FrameKind::Ack, &[7; 24]);
        let ping = frame::encode(FrameKind::Ping, &[]);
        let bye = frame::encode(FrameKind::Bye, &[0; 8]);
        for piece in [&ack, &ping, &ack, &bye].into_iter().flat_map(|frame| frame.chunks(5)) {
            master.write_all(piece).unwrap();
        }
        let passed = receive(&worker, ping.len() + bye.len());
        assert_eq!(passed, [&ping[..], &bye].concat());
        proxy.heal();
        master.write_all(&ack).unwrap();
        assert_eq!(receive(&worker, ack.len()), ack);
    }

    #[test]
    fn single_bytes_and_a_trickle_are_the_same_stream() {
        for fault in
            [Fault::ByteWise, Fault::Throttle(20_000), Fault::Delay(Duration::from_millis(5))]
        {
            let (proxy, mut worker, master) = connected();
            proxy.set(fault, Fault::None);
            let sent: Vec<u8> = (0..2_000u32).flat_map(u32::to_le_bytes).collect();
            worker.write_all(&sent).unwrap();
            assert_eq!(receive(&master, sent.len()), sent, "{fault:?}");
        }
    }

    #[test]
    fn a_reset_comes_in_front_of_its_byte() {
        let (proxy, mut worker, mut master) = connected();
        proxy.set(Fault::ResetAt(3), Fault::None);
        worker.write_all(b"abcdef").unwrap();
        assert_eq!(receive(&master, 3), b"abc");
        assert_eq!(master.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn one_bit_of_one_byte_is_garbled() {
        let (proxy, mut worker, master) = connected();
        proxy.set(Fault::GarbleAt(4), Fault::None);
        worker.write_all(&[0; 8]).unwrap();
        let got = receive(&master, 8);
        assert_eq!(got[4].count_ones(), 1);
        assert!(got.iter().enumerate().all(|(at, byte)| at == 4 || *byte == 0), "{got:?}");
    }

    #[test]
    fn connections_that_were_cut_come_about_again() {
        for ending in [Ending::Fin, Ending::Reset] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let proxy = Proxy::start(listener.local_addr().unwrap(), 1).unwrap();
            for number in 1..=2 {
                let mut worker = TcpStream::connect(proxy.address()).unwrap();
                let (mut master, _) = listener.accept().unwrap();
                worker.write_all(b"?").unwrap();
                assert_eq!(receive(&master, 1), b"?");
                proxy.cut(ending);
                let ended = master.read(&mut [0]).map_err(|error| error.kind());
                match ending {
                    Ending::Fin => assert_eq!(ended, Ok(0)),
                    Ending::Reset => assert_eq!(ended, Err(ErrorKind::ConnectionReset)),
                }
                assert_eq!(proxy.accepted(), number);
            }
        }
    }
}
