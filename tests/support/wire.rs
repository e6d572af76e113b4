//! Both ends of a connection made by hand, and a proxy between them that misbehaves.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rkyv::util::AlignedVec;
use rollway::block::{build, header};
use rollway::clock::{Anchor, Timeline};
use rollway::master::{AckLevel, Master};
use rollway::net::handshake::decode_ack;
use rollway::net::{Farewell, Frame, FrameKind, FrameReader, Hello, Reason, Welcome, frame};

use super::PATIENCE as AMPLE;

/// Stands between a worker and its master.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<ProxyShared>,
}

struct ProxyShared {
    master: Mutex<SocketAddr>,
    open: Mutex<Vec<TcpStream>>,
    swallows_acks: AtomicBool,
    holds_welcomes: AtomicBool,
    refuses: AtomicBool,
    /// Connections that came before this one are silent for ever.
    frozen_below: AtomicUsize,
}

impl Proxy {
    pub fn to(master: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(ProxyShared {
            master: Mutex::new(master),
            open: Mutex::default(),
            swallows_acks: AtomicBool::new(false),
            holds_welcomes: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            frozen_below: AtomicUsize::new(0),
        });
        let proxy = Proxy { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for (number, down) in listener.incoming().flatten().enumerate() {
                if shared.refuses.load(Ordering::Relaxed) {
                    refuse(down);
                    continue;
                }
                let Ok(up) = TcpStream::connect(*shared.master.lock().unwrap()) else { continue };
                let streams = [down.try_clone().unwrap(), up.try_clone().unwrap()];
                shared.open.lock().unwrap().extend(streams);
                let (to_up, to_down) = (up.try_clone().unwrap(), down.try_clone().unwrap());
                let (upwards, downwards) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || copy(number, down, to_up, &upwards));
                std::thread::spawn(move || copy_frames(number, up, to_down, &downwards));
            }
        });
        proxy
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets nothing through on the present connections, without closing them.
    pub fn freeze(&self) {
        let open = self.shared.open.lock().unwrap().len() / 2;
        self.shared.frozen_below.store(open, Ordering::Relaxed);
    }

    pub fn swallow_acks(&self, swallows: bool) {
        self.shared.swallows_acks.store(swallows, Ordering::Relaxed);
    }

    /// Keeps the welcomes of the master to itself until it is told otherwise.
    pub fn hold_welcomes(&self, holds: bool) {
        self.shared.holds_welcomes.store(holds, Ordering::Relaxed);
    }

    /// Answers whoever comes as a master of another version does: a worker leaves it at once then.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Whether somebody has come.
    pub fn is_used(&self) -> bool {
        !self.shared.open.lock().unwrap().is_empty()
    }

    pub fn lead_to(&self, master: SocketAddr) {
        *self.shared.master.lock().unwrap() = master;
    }
}

fn refuse(mut stream: TcpStream) {
    let words = Farewell::new(Reason::Version, "by the test").encode();
    if receive(&mut FrameReader::new(), &stream).is_some() {
        let _ = stream.write_all(&frame::encode(FrameKind::Refuse, &words));
    }
}

fn copy(number: usize, mut from: TcpStream, mut to: TcpStream, shared: &ProxyShared) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if number < shared.frozen_below.load(Ordering::Relaxed) && count > 0 {
            continue;
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn copy_frames(number: usize, from: TcpStream, mut to: TcpStream, shared: &ProxyShared) {
    let mut frames = FrameReader::new();
    while let Some(Frame { kind, body, .. }) = receive(&mut frames, &from) {
        if number < shared.frozen_below.load(Ordering::Relaxed) {
            continue;
        }
        while kind == FrameKind::Welcome && shared.holds_welcomes.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if kind == FrameKind::Ack && shared.swallows_acks.load(Ordering::Relaxed) {
            continue;
        }
        if to.write_all(&frame::encode(kind, &body)).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

pub fn receive(frames: &mut FrameReader, mut stream: &TcpStream) -> Option<Frame> {
    loop {
        let count = stream.read(frames.space()).ok().filter(|count| *count > 0)?;
        if let Some(frame) = frames.advance(count).unwrap() {
            return Some(frame);
        }
    }
}

/// A worker made by hand, which can misbehave.
pub struct Raw {
    pub stream: TcpStream,
    frames: FrameReader,
}

impl Raw {
    pub fn connect(master: &Master) -> Raw {
        let stream = TcpStream::connect(master.local_addr()).unwrap();
        stream.set_read_timeout(Some(AMPLE)).unwrap();
        Raw { stream, frames: FrameReader::new() }
    }

    pub fn hello(master: &Master, source: u128, epoch: u64, term: u64) -> Raw {
        let mut raw = Raw::connect(master);
        let hello = Hello {
            source,
            epoch,
            oldest_epoch: 1,
            term,
            window_bytes: 1 << 20,
            pid: 1,
            service: "by-hand".to_owned(),
            host: "here".to_owned(),
        };
        raw.send(&frame::encode(FrameKind::Hello, &hello.encode()));
        raw
    }

    pub fn welcomed(master: &Master, source: u128, epoch: u64, term: u64) -> (Raw, Welcome) {
        let mut raw = Raw::hello(master, source, epoch, term);
        let frame = raw.receive().expect("a welcome");
        assert_eq!(frame.kind, FrameKind::Welcome);
        (raw, Welcome::decode(&frame.body).unwrap())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame but for pings; `None` when the master has closed.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            let frame = receive(&mut self.frames, &self.stream)?;
            if frame.kind != FrameKind::Ping {
                return Some(frame);
            }
        }
    }

    pub fn ack(&mut self) -> (AckLevel, Vec<(u64, u64)>) {
        let frame = self.receive().expect("an acknowledgement");
        assert_eq!(frame.kind, FrameKind::Ack, "{}", Farewell::decode(&frame.body));
        let (level, pairs) = decode_ack(&frame.body).unwrap();
        (level, pairs.collect())
    }

    /// Why the master ends the connection; acknowledgements before it are passed over.
    pub fn farewell(&mut self) -> (FrameKind, Farewell) {
        loop {
            let frame = self.receive().expect("a reason");
            if matches!(frame.kind, FrameKind::Refuse | FrameKind::Bye) {
                assert!(self.receive().is_none(), "nothing comes after the reason");
                return (frame.kind, Farewell::decode(&frame.body));
            }
        }
    }
}

/// An events block without events.
pub fn block(source: u128, epoch: u64, sequence: u64) -> Vec<u8> {
    block_of(source, epoch, sequence, &[])
}

/// An events block of these records.
pub fn block_of(source: u128, epoch: u64, sequence: u64, records: &[u8]) -> Vec<u8> {
    let anchor = Anchor { ticks: 0, utc_ns: 0 };
    let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
    let to = records.len() as u64;
    let runs = [records, &[]];
    let chunk = build::ChunkSource { ring: 1, thread: 1, context: 0, from: 0, to, runs };
    let mut buffer = AlignedVec::new();
    let head = build::EventsHead { source, epoch, sequence, timeline };
    build::events(
        &mut buffer,
        &head,
        if records.is_empty() { &[] } else { std::slice::from_ref(&chunk) },
    );
    header::seal(&mut buffer);
    buffer.to_vec()
}

pub fn blocks(blocks: &[Vec<u8>]) -> Vec<u8> {
    frame::encode(FrameKind::Blocks, &blocks.concat())
}
