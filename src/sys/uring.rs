//! A ring of the kernel's (io_uring) for one thread that writes and waits.
//!
//! Nothing is left under way: a method hands its operations over and returns when they are done.
//!
//! Invariants, relied on by the `unsafe` block in this module:
//! 1. Whenever no method runs, the kernel has nothing of ours: every operation that it took is
//!    completed, and its completion was reaped. So the bytes that a method borrows outlive every
//!    operation on them.
//! 2. Entries are handed over by one system call, all at once. Those that it did not take are never
//!    handed over later: nothing enters the ring any more.
//!
//! When the process is killed, the kernel ends what it took before it closes the process's files:
//! whoever gets the lock of a dead process finds no write of it under way.
#![allow(unsafe_code, reason = "the kernel reads bytes behind the compiler's back")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, Probe, opcode};

/// Operations that are handed over at once, at most.
const ENTRIES: u32 = 2;
/// Stands for the end of a file opened for appending, and for where a stream is.
const AT_THE_END: u64 = u64::MAX;
/// The kernel takes no more at once.
const OPERATION_BYTES_MAX: usize = 0x7fff_f000;
/// MSG_DONTWAIT and MSG_NOSIGNAL: the same on every architecture of Linux.
const AT_ONCE_WITHOUT_SIGNAL: i32 = 0x40 | 0x4000;
/// How often the completions are looked at where waiting for them is refused.
const LOOK: Duration = Duration::from_millis(1);

/// A ring; each method returns `None` when the ring does not take the operation, nor any other.
pub(crate) struct Ring {
    ring: IoUring,
    /// Entries were not taken (invariant 2).
    is_broken: bool,
}

impl Ring {
    /// Opens a ring, sees whether it knows the operations, and tries it.
    ///
    /// # Errors
    /// The system's: it may be too old for io_uring, or forbid it.
    pub(crate) fn open() -> io::Result<Ring> {
        let ring = IoUring::new(ENTRIES)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let knows_all = [opcode::Write::CODE, opcode::Send::CODE]
            .into_iter()
            .all(|code| probe.is_supported(code));
        if !knows_all || !ring.params().is_feature_rw_cur_pos() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is too old for it"));
        }
        let mut ring = Ring { ring, is_broken: false };
        match ring.run([opcode::Nop::new().build()]) {
            [Some(result)] => result.map(|_| ring),
            [None] => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it takes no operation")),
        }
    }

    /// Writes some of `bytes` at `offset`.
    pub(crate) fn write_at(
        &mut self,
        file: BorrowedFd<'_>,
        bytes: &[u8],
        offset: u64,
    ) -> Option<io::Result<usize>> {
        let [result] = self.run([write(file, bytes, offset)]);
        result
    }

    /// Writes `first` and, if all of it was written, `second`; returns how much of each was.
    pub(crate) fn write_linked(
        &mut self,
        file: BorrowedFd<'_>,
        first: (&[u8], u64),
        second: (&[u8], u64),
    ) -> (usize, usize) {
        // A write that fails or is short severs the link, and what follows it is cancelled.
        let link = write(file, first.0, first.1).flags(Flags::IO_LINK);
        let results = self.run([link, write(file, second.0, second.1)]);
        let [of_first, of_second] = results.map(|result| result.and_then(Result::ok).unwrap_or(0));
        (of_first, of_second)
    }

    /// Writes some of `bytes` at the end.
    pub(crate) fn append(
        &mut self,
        file: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        self.write_at(file, bytes, AT_THE_END)
    }

    /// Sends what the socket's buffer has room for; [`io::ErrorKind::WouldBlock`] if it has none.
    pub(crate) fn send_at_once(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length(bytes))
            .flags(AT_ONCE_WITHOUT_SIGNAL)
            .build();
        let [result] = self.run([send]);
        result
    }

    /// Runs operations, on bytes that the calling method borrows, to their end.
    fn run<const N: usize>(&mut self, operations: [Entry; N]) -> [Option<io::Result<usize>>; N] {
        let mut results = [const { None }; N];
        if self.is_broken {
            return results;
        }
        let mut number = 0..;
        let entries = operations.map(|entry| entry.user_data(number.next().unwrap_or(u64::MAX)));
        // SAFETY: the bytes are borrowed until this method returns, and then the kernel is done with
        // them (invariant 1), or has never seen the entries and never will (invariant 2).
        let pushed = unsafe { self.ring.submission().push_multiple(&entries) };
        let taken = if pushed.is_ok() { self.submit::<N>() } else { 0 };
        // Before anything waits: a wait hands over what is left in the queue.
        self.is_broken = taken < N;
        let mut reaped = 0;
        loop {
            for completion in self.ring.completion() {
                reaped += 1;
                if let Some(result) = results.get_mut(completion.user_data() as usize) {
                    *result = Some(outcome(completion.result()));
                }
            }
            if reaped >= taken {
                return results;
            }
            self.wait_for(taken - reaped);
        }
    }

    /// Hands over the `N` entries of the queue, waits, and returns how many were taken.
    fn submit<const N: usize>(&mut self) -> usize {
        loop {
            let submitted = self.ring.submit_and_wait(N);
            let taken = N - self.ring.submission().len();
            match submitted {
                // A signal came first.
                Err(error) if error.kind() == io::ErrorKind::Interrupted && taken == 0 => {}
                _ => return taken,
            }
        }
    }

    /// Waits for completions; it may return early.
    fn wait_for(&self, completions: usize) {
        let is_waiting_allowed = !self.is_broken
            && match self.ring.submit_and_wait(completions) {
                Ok(_) => true,
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            };
        if !is_waiting_allowed {
            std::thread::sleep(LOOK);
        }
    }
}

fn write(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Entry {
    opcode::Write::new(Fd(file.as_raw_fd()), bytes.as_ptr(), length(bytes)).offset(offset).build()
}

fn length(bytes: &[u8]) -> u32 {
    bytes.len().min(OPERATION_BYTES_MAX) as u32
}

/// A completion's result: a count, or an error's number below zero.
fn outcome(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

#[cfg(test)]
impl Ring {
    /// Lets it take nothing from now on.
    pub(crate) fn refuse(&mut self) {
        self.is_broken = true;
    }
}
