//! The thread behind the control socket, and its clients.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Weak;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::commands::{self, Controlled};
use crate::engine::selflog;

/// Clients at a time.
const CLIENTS_MAX: usize = 8;
/// Bytes of a line that a client sends.
const LINE_BYTES_MAX: usize = 4096;
/// How long a client may say nothing, or not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the thread leaves a listener alone that fails.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The version of the protocol.
const VERSION: u32 = 1;

/// The socket, its clients, and what they control.
pub(super) struct Server {
    listener: UnixListener,
    /// Readable when the other end is closed: this one shall end.
    ended: UnixStream,
    greeting: String,
    controlled: Weak<dyn Controlled>,
    clients: Vec<Client>,
    /// Nobody is accepted before.
    accepts_at: Instant,
}

/// Who is connected.
struct Client {
    stream: UnixStream,
    /// What came and is not answered yet.
    input: Vec<u8>,
    /// What is not sent yet.
    output: Vec<u8>,
    /// When it last said or read something.
    last: Instant,
    /// It is cut off when it has read everything.
    ends: bool,
}

impl Server {
    pub(super) fn new(
        listener: UnixListener,
        ended: UnixStream,
        service: &str,
        controlled: Weak<dyn Controlled>,
    ) -> Server {
        let service: String =
            service.chars().map(|c| if c.is_control() || c == ' ' { '_' } else { c }).collect();
        let greeting = format!("rollway {VERSION} {service} {}\n", std::process::id());
        let (clients, accepts_at) = (Vec::new(), Instant::now());
        Server { listener, ended, greeting, controlled, clients, accepts_at }
    }

    /// Serves until it is told to end, or what it controls is gone.
    pub(super) fn run(mut self) {
        while let Some(ready) = self.wait() {
            for at in ready {
                match at.checked_sub(1) {
                    None => self.accept(),
                    Some(client) => self.clients[client].come_and_go(),
                }
            }
            for client in &mut self.clients {
                let Some(line) = client.next_line() else { continue };
                let Some(controlled) = self.controlled.upgrade() else { return };
                let answer = commands::answer(&*controlled, &line);
                client.send(answer.as_bytes());
                // What it took is not the client's silence.
                client.last = Instant::now();
            }
            self.clients.retain(|client| !client.is_over());
        }
    }

    /// Waits for something to do: 0 is somebody new, others are clients counted from 1. `None` when it
    /// shall end.
    fn wait(&self) -> Option<Vec<usize>> {
        let now = Instant::now();
        let is_accepting = now >= self.accepts_at;
        let mut polled = vec![
            PollFd::new(&self.ended, PollFlags::IN),
            PollFd::new(
                &self.listener,
                if is_accepting { PollFlags::IN } else { PollFlags::empty() },
            ),
        ];
        let mut until = (!is_accepting).then_some(self.accepts_at);
        for client in &self.clients {
            // Who does not read his answers is not heard.
            let wanted = if client.output.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            polled.push(PollFd::new(&client.stream, wanted));
            let end = match client.has_line() {
                true => now,
                false => client.last + PATIENCE,
            };
            until = Some(until.map_or(end, |until| until.min(end)));
        }
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                selflog::warn(&format!("the control socket ends: {error}"));
                return None;
            }
        }
        if !polled[0].revents().is_empty() {
            return None;
        }
        let ready =
            |(at, polled): (usize, &PollFd<'_>)| (!polled.revents().is_empty()).then_some(at);
        Some(polled[1..].iter().enumerate().filter_map(ready).collect())
    }

    fn accept(&mut self) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Without a descriptor it stays in the queue, and would be there at once again.
            Err(_) => {
                self.accepts_at = Instant::now() + ACCEPT_PAUSE;
                return;
            }
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let (input, output, last) = (Vec::new(), Vec::new(), Instant::now());
        let mut client = Client { stream, input, output, last, ends: false };
        let refusal = if !is_allowed(&client.stream) {
            Some(commands::error("denied", "only the process's own user and root may ask it"))
        } else if self.clients.len() >= CLIENTS_MAX {
            let why = format!("{CLIENTS_MAX} clients are connected; try again later");
            Some(commands::error("busy", &why))
        } else {
            None
        };
        match refusal {
            // It is not kept: what does not fit its socket at once is lost.
            Some(refusal) => client.send(refusal.as_bytes()),
            None => {
                client.send(self.greeting.as_bytes());
                self.clients.push(client);
            }
        }
    }
}

impl Client {
    /// Takes what came, and sends what waits.
    fn come_and_go(&mut self) {
        self.flush();
        if !self.output.is_empty() || self.has_line() {
            return;
        }
        let mut chunk = [0; LINE_BYTES_MAX];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ends = true,
            Ok(read) => {
                self.input.extend_from_slice(&chunk[..read]);
                self.last = Instant::now();
                if self.input.len() > LINE_BYTES_MAX && !self.has_line() {
                    let why = format!("a line has at most {LINE_BYTES_MAX} bytes");
                    self.send(commands::error("unknown", &why).as_bytes());
                    (self.ends, self.input) = (true, Vec::new());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.ends = true,
        }
    }

    fn has_line(&self) -> bool {
        self.output.is_empty() && self.input.contains(&b'\n')
    }

    /// The next line, once everything before is read by the client.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        let at = self.input.iter().position(|byte| *byte == b'\n')?;
        if !self.output.is_empty() {
            return None;
        }
        let mut line: Vec<u8> = self.input.drain(..=at).collect();
        line.pop();
        Some(line)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) if written > 0 => {
                    self.output.drain(..written);
                    self.last = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => (self.ends, self.output) = (true, Vec::new()),
            }
        }
    }

    fn is_over(&self) -> bool {
        let has_all = self.output.is_empty() && !self.has_line();
        self.ends && has_all || self.last.elapsed() >= PATIENCE
    }
}

/// Whether the process on the other end is of this user or of root.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_an_own_socket_is_allowed() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(is_allowed(&one));
    }
}
