//! A client of a master that shakes hands and sends no events: light enough for a thousand.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rollway::net::{FrameKind, FrameReader, Hello, frame};

/// What an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects to `address` and introduces itself as `number`. The answer is not waited for.
pub(crate) fn greet(address: &str, number: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&greeting(number))?;
    Ok(stream)
}

/// The bytes with which client `number` introduces itself.
pub(crate) fn greeting(number: u64) -> Vec<u8> {
    let hello = Hello {
        source: u128::from(number) << 32 | 1,
        epoch: 1,
        oldest_epoch: 1,
        term: 0,
        window_bytes: 1 << 20,
        pid: 1,
        service: format!("client-{number}"),
        host: "bench".to_owned(),
    };
    frame::encode(FrameKind::Hello, &hello.encode())
}

/// Waits for the master's welcome.
///
/// # Errors
/// When the connection ends, or it says something else.
pub(crate) fn welcomed(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = FrameReader::new();
    loop {
        let count = stream.read(reader.space())?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match reader.advance(count).map_err(io::Error::other)? {
            Some(frame) if frame.kind == FrameKind::Welcome => return Ok(()),
            Some(frame) => return Err(io::Error::other(format!("{:?} for a welcome", frame.kind))),
            None => {}
        }
    }
}
