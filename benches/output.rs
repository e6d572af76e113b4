//! write(2) or io_uring for file writes and sends, on a quiet and on a busy disk?
//!
//! `write` fills a file with reserved space, `block` does the same as the journal does, the archive
//! before the header, and `send` goes over TCP on this machine to a thread that reads. Both ways
//! take turns, a file or a stretch of sends each, until the time of a case is over. On the busy disk
//! another thread writes 32 MiB and syncs them, over and over. Read the ratios: what a call takes
//! depends on the machine and on whoever else is on it. Takes about half a minute.

#[allow(dead_code, unreachable_pub, unused_imports, reason = "takes its part of it")]
mod support;
#[allow(dead_code, unreachable_pub, unused_imports, reason = "takes its part of it")]
#[path = "../src/sys"]
mod sys {
    pub(crate) mod crash;
    pub(crate) mod output;
    #[cfg(target_os = "linux")]
    mod uring;
    #[cfg(not(target_os = "linux"))]
    #[path = "no_uring.rs"]
    mod uring;
}

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::Figure;
use sys::output::{IoMethod, Output, Outputs};

/// How long a case takes, both ways together.
const CASE: Duration = Duration::from_secs(2);
/// The space that is reserved for a file, and the bytes that go out before the ways change.
const TURN_BYTES: usize = 64 << 20;
const HEADER_BYTES: usize = 64;
const SIZES_KIB: [usize; 2] = [64, 256];
/// What the thread that keeps the disk busy writes between two syncs.
const BUSY_BYTES: usize = 32 << 20;

/// A way out, and how long each call took.
struct Way {
    subject: &'static str,
    output: Output,
    nanos: Vec<u64>,
    bytes: u64,
}

impl Way {
    fn new(subject: &'static str, method: IoMethod) -> Way {
        let complain = |why: &str| panic!("there is nothing to compare: {why}");
        let output = Outputs::new(method, complain).open();
        Way { subject, output, nanos: Vec::new(), bytes: 0 }
    }

    /// Times one call, which yields how many bytes went out.
    fn time(&mut self, call: impl FnOnce(&mut Output) -> io::Result<usize>) {
        let start = Instant::now();
        let bytes = call(&mut self.output).expect("the disk has room and the peer reads");
        self.nanos.push(start.elapsed().as_nanos() as u64);
        self.bytes += bytes as u64;
    }

    fn report(mut self, case: &str) {
        self.nanos.sort_unstable();
        let at = |share: f64| self.nanos[(share * (self.nanos.len() - 1) as f64) as usize];
        let total: u64 = self.nanos.iter().sum();
        let figures = [
            ("p50", "us", at(0.5) as f64 / 1e3),
            ("p99", "us", at(0.99) as f64 / 1e3),
            ("max", "us", at(1.0) as f64 / 1e3),
            ("rate", "GB/s", self.bytes as f64 / total as f64),
        ];
        for (metric, unit, value) in figures {
            let (bench, subject, config) = ("output", self.subject, "");
            Figure { bench, subject, case, metric, unit, value, config }.report();
        }
    }
}

/// Lets the ways take turns until the time is over, and reports them.
fn compare(case: &str, mut turn: impl FnMut(&mut Way)) {
    let mut ways = [Way::new("write", IoMethod::Write), Way::new("io_uring", IoMethod::IoUring)];
    let begun = Instant::now();
    while begun.elapsed() < CASE {
        ways.iter_mut().for_each(&mut turn);
    }
    ways.into_iter().for_each(|way| way.report(case));
}

/// Fills a file with reserved space, a call of `write` for each piece.
fn fill(
    dir: &Path,
    piece_bytes: usize,
    way: &mut Way,
    write: impl Fn(&mut Output, &File, u64) -> io::Result<()>,
) {
    let path = dir.join("filled");
    let file = File::create(&path).expect("a file");
    let reserve = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&file, reserve, 0, TURN_BYTES as u64).expect("room on the disk");
    for offset in (0..TURN_BYTES).step_by(piece_bytes) {
        way.time(|output| write(output, &file, offset as u64).map(|()| piece_bytes));
    }
    std::fs::remove_file(path).expect("the file");
}

fn files(dir: &Path, disk: &str) {
    for kib in SIZES_KIB {
        let piece = vec![b'x'; kib << 10];
        compare(&format!("write {kib} KiB, {disk} disk"), |way| {
            fill(dir, piece.len(), way, |output, file, at| output.write_all_at(file, &piece, at));
        });
        let (header, archive) = piece.split_at(HEADER_BYTES);
        compare(&format!("block {kib} KiB, {disk} disk"), |way| {
            fill(dir, piece.len(), way, |output, file, at| {
                output.write_in_order(file, (archive, at + HEADER_BYTES as u64), (header, at))
            });
        });
    }
}

fn sends(disk: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let near = TcpStream::connect(address).expect("a connection");
    near.set_nodelay(true).expect("an option of TCP");
    near.set_write_timeout(Some(Duration::from_millis(100))).expect("an option of a socket");
    let (mut far, _) = listener.accept().expect("the connection");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while far.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        for kib in SIZES_KIB {
            let frame = vec![b'x'; kib << 10];
            compare(&format!("send {kib} KiB, {disk} disk"), |way| {
                for _ in (0..TURN_BYTES).step_by(frame.len()) {
                    way.time(|output| send_all(output, &near, &frame));
                }
            });
        }
        near.shutdown(std::net::Shutdown::Write).expect("the end of the stream");
    });
}

fn send_all(output: &mut Output, stream: &TcpStream, frame: &[u8]) -> io::Result<usize> {
    let mut rest = frame;
    while !rest.is_empty() {
        match output.send(stream, [rest, &[]]) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(frame.len())
}

/// Keeps the disk busy until it is told to stop.
fn busy(dir: &Path, stop: &AtomicBool) {
    let bytes = vec![b'y'; BUSY_BYTES];
    while !stop.load(Ordering::Relaxed) {
        let path = dir.join("busy");
        let mut file = File::create(&path).expect("a file");
        file.write_all(&bytes).and_then(|()| file.sync_all()).expect("room on the disk");
    }
}

fn main() {
    // On the disk of the build, where a memory file system is unlikely.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    support::report_probe("output", "before");
    files(dir.path(), "quiet");
    sends("quiet");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| busy(dir.path(), &stop));
        files(dir.path(), "busy");
        sends("busy");
        stop.store(true, Ordering::Relaxed);
    });
    support::report_probe("output", "after");
}
