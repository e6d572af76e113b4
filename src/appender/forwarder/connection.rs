//! How a connection to the master comes about, and why it does not.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::resume::Outline;
use super::shipping::Shipping;
use crate::appender::OutletSide;
use crate::journal::ReadError;
use crate::net::{
    DEAD_AFTER, Farewell, Frame, FrameKind, FrameReader, HANDSHAKE_LIMIT, HEARTBEAT, Hello, Reason,
    Welcome, frame,
};

/// How often a write that hangs, or a handshake, looks whether it should end.
const LOOK_OFTEN: Duration = Duration::from_millis(100);
/// What is asked of the kernel for either direction of the socket.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Why a connection did not come about or has ended.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) why: String,
    /// What the master gave as its reason.
    pub(super) reason: Option<Reason>,
    /// It lies on this side: another master would not help.
    pub(super) is_ours: bool,
}

impl Broken {
    pub(super) fn new(why: impl fmt::Display) -> Broken {
        Broken { why: why.to_string(), reason: None, is_ours: false }
    }

    pub(super) fn refused(farewell: &Farewell) -> Broken {
        Broken { reason: Some(farewell.reason), ..Broken::new(farewell) }
    }

    /// This process, not the master: it is tried again all the same.
    pub(super) fn ours(why: impl fmt::Display) -> Broken {
        Broken { is_ours: true, ..Broken::new(why) }
    }

    pub(super) fn unreadable(error: &ReadError) -> Broken {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Broken::ours(format_args!("the journal: {error}{cause}"))
    }

    pub(super) fn deadline() -> Broken {
        Broken::ours("the deadline has passed")
    }
}

impl Shipping {
    pub(super) fn connect(&self, outlet: &dyn OutletSide) -> Result<TcpStream, Broken> {
        let name = self.masters.present();
        let found = (name.host.as_str(), name.port).to_socket_addrs().map_err(|error| {
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
    pub(super) fn greet(
        &mut self,
        outlet: &dyn OutletSide,
        mut stream: &TcpStream,
        outline: &Outline,
    ) -> Result<Welcome, Broken> {
        let epoch = self.sender.epoch;
        let oldest_epoch = match self.forwarder.is_part {
            true => 0,
            false => outline.oldest_epoch().unwrap_or(epoch).min(epoch),
        };
        let hello = Hello {
            source: self.sender.source,
            epoch,
            oldest_epoch,
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
            if let Some(Frame { kind, body, .. }) = frame {
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
}

/// Whether the outlet's deadline has passed.
pub(super) fn is_late(outlet: &dyn OutletSide) -> bool {
    outlet.is_stopping() && outlet.deadline().is_some_and(|deadline| Instant::now() >= deadline)
}

/// `limit`, or what is left until the outlet's deadline. Never zero.
pub(super) fn time_left(outlet: &dyn OutletSide, limit: Duration) -> Result<Duration, Broken> {
    if is_late(outlet) {
        return Err(Broken::deadline());
    }
    let deadline = outlet.deadline().filter(|_| outlet.is_stopping());
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    Ok(left.map_or(limit, |left| limit.min(left)).max(Duration::from_millis(1)))
}

/// Reads once; yields how much came, nothing after the timeout, and the frame that it completes.
pub(super) fn receive(
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

pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
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
