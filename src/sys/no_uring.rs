//! Stands where `uring` stands in a build for Linux with the feature `io-uring`: a ring that cannot
//! be opened.

use std::io;
use std::os::fd::BorrowedFd;

/// There is none.
pub(crate) enum Ring {}

impl Ring {
    /// # Errors
    /// Always.
    pub(crate) fn open() -> io::Result<Ring> {
        let why = "it needs Linux, and a build with the feature `io-uring`";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    pub(crate) fn write_at(
        &mut self,
        _file: BorrowedFd<'_>,
        _bytes: &[u8],
        _offset: u64,
    ) -> Option<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn write_linked(
        &mut self,
        _file: BorrowedFd<'_>,
        _first: (&[u8], u64),
        _second: (&[u8], u64),
    ) -> (usize, usize) {
        match *self {}
    }

    pub(crate) fn append(
        &mut self,
        _file: BorrowedFd<'_>,
        _bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn send_at_once(
        &mut self,
        _socket: BorrowedFd<'_>,
        _bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        match *self {}
    }
}
