//! Bytes on their way out of the process, into a file or a socket: by a system call for each piece,
//! or through a ring of the kernel's (io_uring).
//!
//! Both ways keep the same promises. A short write is continued, an interrupted one is repeated, an
//! error has the value that the system call would have returned, and when a method returns the
//! kernel is done with the bytes. A ring that cannot be opened, or that takes nothing more, is
//! replaced by the system calls; that is told once.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::crash::{self, CrashPoint, is_swapped};
use super::uring::Ring;

/// A peer that has closed is an error and no signal. Apple's sockets are told so for good.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// How files are written and frames are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[non_exhaustive]
pub enum IoMethod {
    /// By write(2), pwrite(2) and send(2).
    #[default]
    Write,
    /// Through io_uring, each thread that writes with a ring of its own. Needs the feature
    /// `io-uring` and Linux 5.6. Where the system refuses, as many containers do,
    /// [`IoMethod::Write`] is used, and a line on standard error says so.
    IoUring,
}

/// Takes bytes out; made by [`Outputs::open`]. One thread at a time uses it.
pub(crate) struct Output {
    ring: Option<Ring>,
    notice: Arc<Notice>,
}

/// Opens the outputs of an engine or a master.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    method: IoMethod,
    open_ring: fn() -> io::Result<Ring>,
    notice: Arc<Notice>,
}

/// Tells once why there is no ring.
#[derive(Debug)]
struct Notice {
    tell: fn(&str),
    is_told: AtomicBool,
}

impl Outputs {
    /// `tell` gets one line if io_uring is wanted and not to be had.
    pub(crate) fn new(method: IoMethod, tell: fn(&str)) -> Outputs {
        Outputs::with_rings(method, Ring::open, tell)
    }

    fn with_rings(
        method: IoMethod,
        open_ring: fn() -> io::Result<Ring>,
        tell: fn(&str),
    ) -> Outputs {
        let notice = Arc::new(Notice { tell, is_told: AtomicBool::new(false) });
        Outputs { method, open_ring, notice }
    }

    /// An output for one thread. Opening a ring proves that it works.
    pub(crate) fn open(&self) -> Output {
        let ring = match self.method {
            IoMethod::Write => None,
            IoMethod::IoUring => {
                (self.open_ring)().inspect_err(|error| self.notice.tell_once(error)).ok()
            }
        };
        Output { ring, notice: Arc::clone(&self.notice) }
    }
}

impl Output {
    /// The system calls.
    pub(crate) fn by_calls() -> Output {
        Outputs::new(IoMethod::Write, |_| {}).open()
    }

    /// Writes all of `bytes` at `offset` of a regular file.
    ///
    /// # Errors
    /// The system's; then any part may be written.
    pub(crate) fn write_all_at(
        &mut self,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        whole(bytes, |rest, done| {
            let offset = offset + done as u64;
            let by_ring = |ring: &mut Ring| ring.write_at(file.as_fd(), rest, offset);
            self.either(by_ring, || file.write_at(rest, offset))
        })
    }

    /// Writes `first`, then `second`, each at its own offset of a regular file. No byte of the
    /// second is written before all of the first are, whenever the process is killed.
    ///
    /// # Errors
    /// The system's; then any part of the first may be written and, if all of it is, of the second.
    pub(crate) fn write_in_order(
        &mut self,
        file: &File,
        first: (&[u8], u64),
        second: (&[u8], u64),
    ) -> io::Result<()> {
        let (first, second) =
            if is_swapped(CrashPoint::JournalBody) { (second, first) } else { (first, second) };
        // What the ring leaves undone is done below, or fails there with the error to report.
        let linked = self.ring.as_mut().map(|ring| ring.write_linked(file.as_fd(), first, second));
        let (of_first, of_second) = linked.unwrap_or_default();
        self.write_all_at(file, &first.0[of_first..], first.1 + of_first as u64)?;
        crash::reached(CrashPoint::JournalBody);
        self.write_all_at(file, &second.0[of_second..], second.1 + of_second as u64)
    }

    /// Writes all of `bytes` at the end of a file that was opened for appending, or to a pipe, a
    /// terminal or a device.
    ///
    /// # Errors
    /// The system's; then any part may be written.
    pub(crate) fn append(&mut self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        whole(bytes, |rest, _| {
            self.either(|ring| ring.append(file.as_fd(), rest), || file.write(rest))
        })
    }

    /// Sends some bytes of the front of two pieces, at least one, and returns how many. Blocks while
    /// the peer does not read, at most for the stream's write timeout.
    ///
    /// # Errors
    /// The system's; then nothing was sent.
    pub(crate) fn send(&mut self, stream: &TcpStream, pieces: [&[u8]; 2]) -> io::Result<usize> {
        let next = pieces.into_iter().find(|piece| !piece.is_empty()).unwrap_or_default();
        let at_once = self.ring.as_mut().map(|ring| ring.send_at_once(stream.as_fd(), next));
        match at_once {
            Some(Some(Err(error))) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(Some(sent)) => return sent,
            Some(None) => self.give_up(),
            None => {}
        }
        // Waiting is left to the system call, which knows the timeout.
        let pieces = pieces.map(IoSlice::new);
        Ok(sendmsg(stream, &pieces, &mut SendAncillaryBuffer::default(), SEND_FLAGS)?)
    }

    fn either(
        &mut self,
        by_ring: impl FnOnce(&mut Ring) -> Option<io::Result<usize>>,
        by_call: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        if let Some(ring) = &mut self.ring {
            if let Some(result) = by_ring(ring) {
                return result;
            }
            self.give_up();
        }
        by_call()
    }

    fn give_up(&mut self) {
        self.ring = None;
        self.notice.tell_once(&"it takes no more operations");
    }
}

impl Notice {
    fn tell_once(&self, why: &dyn std::fmt::Display) {
        // Relaxed: nothing hangs on it but who tells.
        if !self.is_told.swap(true, Ordering::Relaxed) {
            (self.tell)(&format!("io_uring cannot be used: {why}; write(2) is used instead"));
        }
    }
}

/// Calls `step` with what is left of `bytes`, and with how much is done, until all is done.
fn whole(bytes: &[u8], mut step: impl FnMut(&[u8], usize) -> io::Result<usize>) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match step(&bytes[done..], done) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io::Read;
    use std::net::{Shutdown, TcpListener};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, SealFlags};

    /// The outputs that this build and this machine have.
    fn both_ways() -> Vec<Output> {
        let mut ways = vec![Output::by_calls()];
        match Ring::open() {
            Ok(ring) => ways.push(Output { ring: Some(ring), ..Output::by_calls() }),
            Err(error) => println!("without io_uring: {error}"),
        }
        ways
    }

    fn temporary() -> File {
        tempfile::tempfile().unwrap()
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// A file of `bytes` zeroes that cannot grow: a write across its end is short.
    fn file_with_room_for(bytes: u64) -> File {
        let fd = rustix::fs::memfd_create("room", MemfdFlags::ALLOW_SEALING).unwrap();
        let file = File::from(fd);
        file.set_len(bytes).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        file
    }

    fn some_bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n % 251) as u8).collect()
    }

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn writes_put_the_bytes_where_they_belong(
            writes in prop::collection::vec((0_usize..20_000, 0_usize..70_000), 1..8),
        ) {
            for mut output in both_ways() {
                let (file, mut model) = (temporary(), Vec::new());
                for (number, (offset, count)) in writes.iter().enumerate() {
                    let bytes = vec![number as u8 + 1; *count];
                    output.write_all_at(&file, &bytes, *offset as u64).unwrap();
                    if *count > 0 {
                        model.resize(model.len().max(offset + count), 0);
                        model[*offset..offset + count].copy_from_slice(&bytes);
                    }
                }
                prop_assert_eq!(content(&file), model);
            }
        }

        #[test]
        fn appends_follow_each_other(
            writes in prop::collection::vec(0_usize..70_000, 1..8),
        ) {
            for mut output in both_ways() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("text");
                let file = File::options().append(true).create(true).open(&path).unwrap();
                let mut model = Vec::new();
                for (number, count) in writes.iter().enumerate() {
                    let bytes = vec![number as u8 + 1; *count];
                    output.append(&file, &bytes).unwrap();
                    model.extend(bytes);
                }
                prop_assert_eq!(std::fs::read(&path).unwrap(), model);
            }
        }

        #[test]
        fn two_writes_in_order_are_both_there(first in 0_usize..300_000, second in 0_usize..300) {
            for mut output in both_ways() {
                let file = temporary();
                let bytes = some_bytes(first);
                output.write_in_order(&file, (&bytes, 64), (&vec![7; second], 0)).unwrap();
                let mut model = vec![0; if first > 0 { 64 + first } else { second }];
                model.resize(model.len().max(second), 0);
                model.iter_mut().skip(64).zip(&bytes).for_each(|(to, from)| *to = *from);
                model[..second].fill(7);
                prop_assert_eq!(content(&file), model);
            }
        }
    }

    #[test]
    fn a_pipe_whose_reader_is_slow_gets_every_byte() {
        for mut output in both_ways() {
            let (mut reader, writer) = io::pipe().unwrap();
            let writer = File::from(OwnedFd::from(writer));
            let reading = std::thread::spawn(move || {
                let (mut bytes, mut piece): (Vec<u8>, _) = (Vec::new(), [0; 10_000]);
                loop {
                    match reader.read(&mut piece).unwrap() {
                        0 => return bytes,
                        count => bytes.extend(&piece[..count]),
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            let bytes = some_bytes(1 << 20);
            output.append(&writer, &bytes).unwrap();
            drop(writer);
            assert!(reading.join().unwrap() == bytes);
        }
    }

    #[test]
    fn a_full_device_is_reported_with_the_same_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        for mut output in both_ways() {
            let no_space = Some(rustix::io::Errno::NOSPC.raw_os_error());
            let code = |result: io::Result<()>| result.unwrap_err().raw_os_error();
            assert_eq!(code(output.append(&full, b"line\n")), no_space);
            assert_eq!(code(output.write_all_at(&full, b"block", 64)), no_space);
            assert_eq!(code(output.write_in_order(&full, (b"block", 64), (b"head", 0))), no_space);
            // It can be used all the same.
            let file = temporary();
            output.write_all_at(&file, b"there is room here", 0).unwrap();
            assert_eq!(content(&file), b"there is room here");
        }
    }

    #[test]
    fn what_did_not_fit_is_an_error_and_what_fitted_is_there() {
        for mut output in both_ways() {
            let file = file_with_room_for(8192);
            let bytes = some_bytes(16_384);
            let error = output.write_all_at(&file, &bytes, 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::PERM.raw_os_error()));
            assert!(content(&file) == bytes[..8192]);
        }
    }

    #[test]
    fn nothing_of_the_second_is_written_when_the_first_was_not_whole() {
        for mut output in both_ways() {
            for first_bytes in [8192 - 63, 16_384] {
                let file = file_with_room_for(8192);
                let first = some_bytes(first_bytes);
                output.write_in_order(&file, (&first, 64), (&[9; 64], 0)).unwrap_err();
                assert_eq!(content(&file)[..64], [0; 64]);
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_with_the_same_error() {
        for mut output in both_ways() {
            let file = File::open("/dev/null").unwrap();
            let error = output.append(&file, b"line\n").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
        }
    }

    #[test]
    fn a_peer_gets_what_was_sent() {
        for mut output in both_ways() {
            let (near, mut far) = connected();
            let reading = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                far.read_to_end(&mut bytes).unwrap();
                bytes
            });
            let bytes = some_bytes(8 << 20);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                rest = &rest[output.send(&near, [rest, b""]).unwrap()..];
            }
            near.shutdown(Shutdown::Write).unwrap();
            assert!(reading.join().unwrap() == bytes);
        }
    }

    #[test]
    fn a_send_waits_for_a_peer_that_does_not_read_and_no_longer_than_the_timeout() {
        for mut output in both_ways() {
            let (near, _far) = connected();
            near.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            let bytes = some_bytes(1 << 20);
            let refused = (0..1000).find_map(|_| output.send(&near, [&bytes, b""]).err());
            assert_eq!(refused.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        for mut output in both_ways() {
            let (near, far) = connected();
            drop(far);
            let refused = (0..1000).find_map(|_| output.send(&near, [b"fr", b"ame"]).err());
            let kind = refused.map(|error| error.kind()).unwrap();
            use io::ErrorKind::{BrokenPipe, ConnectionReset};
            assert!([BrokenPipe, ConnectionReset].contains(&kind), "{kind:?}");
            near.shutdown(Shutdown::Both).ok();
            let error = output.send(&near, [b"fr", b"ame"]).unwrap_err();
            assert_eq!(error.kind(), BrokenPipe);
        }
    }

    thread_local! {
        static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn tell(line: &str) {
        TOLD.with_borrow_mut(|told| told.push(line.to_owned()));
    }

    #[test]
    fn where_rings_are_forbidden_system_calls_write_and_one_line_says_so() {
        let forbidden = || Err(io::Error::from_raw_os_error(1));
        let outputs = Outputs::with_rings(IoMethod::IoUring, forbidden, tell);
        for _ in 0..3 {
            let (mut output, file) = (outputs.open(), temporary());
            output.write_in_order(&file, (b"archive", 4), (b"head", 0)).unwrap();
            assert_eq!(content(&file), b"headarchive");
        }
        let told = TOLD.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("Operation not permitted") && told[0].contains("write(2)"));
    }

    #[test]
    fn without_a_wish_for_rings_none_is_opened() {
        let unwanted = || panic!("a ring was opened");
        let outputs = Outputs::with_rings(IoMethod::Write, unwanted, tell);
        outputs.open().append(&temporary(), b"line\n").unwrap();
        assert!(TOLD.take().is_empty());
    }

    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    #[test]
    fn a_ring_that_takes_nothing_more_is_replaced_and_one_line_says_so() {
        let Ok(mut ring) = Ring::open() else { return println!("without io_uring") };
        ring.refuse();
        let mut output = Output { ring: Some(ring), ..Outputs::new(IoMethod::Write, tell).open() };
        let (file, (near, mut far)) = (temporary(), connected());
        output.write_in_order(&file, (b"archive", 4), (b"head", 0)).unwrap();
        output.write_all_at(&file, b"tail", 11).unwrap();
        assert_eq!(content(&file), b"headarchivetail");
        output.send(&near, [b"fr", b"ame"]).unwrap();
        far.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(TOLD.take().len(), 1);
    }
}
