//! Frames and handshake: the protocol, apart from who speaks it.
//!
//! See `docs/protocol.md`. Nothing here opens a socket or reads a clock, so that the forwarder (with
//! blocking reads) and the master (with asynchronous ones) run the same code, and so do its tests.

pub mod frame;
pub mod handshake;
pub mod reason;
mod schema;
mod versions;

use std::net::Ipv6Addr;
use std::time::Duration;

pub use frame::{Frame, FrameError, FrameKind, FrameReader};
pub use handshake::{AckLevel, Hello, Welcome};
pub use reason::{Farewell, Reason};
pub use versions::Versions;

/// Where a master listens when nothing else is said.
pub const DEFAULT_PORT: u16 = 5000;
/// Whom a forwarder connects to, and what a master listens on, when nothing else is said.
pub const DEFAULT_HOST: &str = "localhost";
/// Bytes that may be sent and not acknowledged, when nothing else is said: 4 MiB.
pub const DEFAULT_WINDOW_BYTES: u64 = 4 << 20;

/// From accepting or connecting to the welcome.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// From the welcome to the first frame of the worker.
pub const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(10);
/// From the first to the last byte of a frame.
pub const FRAME_LIMIT: Duration = Duration::from_secs(30);
/// Who has sent nothing for this time sends a ping.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Who has heard nothing for this time takes the other side for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Splits an address into host and port, with the defaults for what is left out: `host:port`, `host`,
/// `:port`, `[::1]:port`, `::1` or nothing.
///
/// # Errors
/// What is wrong with it, with the remedy.
///
/// # Examples
/// ```
/// use rollway::net::host_and_port;
/// assert_eq!(host_and_port(""), Ok(("localhost".to_owned(), 5000)));
/// assert_eq!(host_and_port("logs.example:6000"), Ok(("logs.example".to_owned(), 6000)));
/// assert_eq!(host_and_port("[::1]:6000"), Ok(("::1".to_owned(), 6000)));
/// assert!(host_and_port("logs:http").is_err());
/// ```
pub fn host_and_port(address: &str) -> Result<(String, u16), &'static str> {
    let parse = |port: &str| {
        port.parse::<u16>()
            .map_err(|_| "the port is no number from 0 to 65535; write it as host:port")
    };
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        match rest.split_once(']') {
            Some((host, "")) => (host, DEFAULT_PORT),
            Some((host, port)) => {
                let port =
                    port.strip_prefix(':').ok_or("write an IPv6 address as [address]:port")?;
                (host, parse(port)?)
            }
            None => return Err("a bracket is not closed; write an IPv6 address as [address]:port"),
        }
    } else {
        match address.split_once(':') {
            None => (address, DEFAULT_PORT),
            Some((_, rest)) if rest.contains(':') => {
                // With a zone, as in `fe80::1%eth0`, or without.
                let bare = address.split_once('%').map_or(address, |(bare, _)| bare);
                match bare.parse::<Ipv6Addr>() {
                    Ok(_) => (address, DEFAULT_PORT),
                    Err(_) => {
                        return Err(
                            "it has two colons and is no IPv6 address; write it as host:port",
                        );
                    }
                }
            }
            Some((host, port)) => (host, parse(port)?),
        }
    };
    let host = if host.is_empty() { DEFAULT_HOST } else { host };
    Ok((host.to_owned(), port))
}

/// `N` bytes at `at`, which callers keep inside.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// `text` without the characters behind the first `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_an_address_has_a_default() {
        let split = |address| host_and_port(address).unwrap();
        assert_eq!(split(":7"), ("localhost".to_owned(), 7));
        assert_eq!(split("logs"), ("logs".to_owned(), 5000));
        assert_eq!(split("[::1]"), ("::1".to_owned(), 5000));
        assert_eq!(split("::1"), ("::1".to_owned(), 5000));
        assert_eq!(split("fe80::1%eth0"), ("fe80::1%eth0".to_owned(), 5000));
        for wrong in ["logs:", "logs:65536", "logs:-1", "[::1", "[::1]6000", "[::1]:", "a:b:7"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(cut("häuser", 2), "h");
        assert_eq!(cut("häuser", 3), "hä");
        assert_eq!(cut("häuser", 99), "häuser");
    }
}
