//! The plain way: format on the caller, then a mutex and a buffered file.

use std::cell::RefCell;
use std::fmt::Arguments;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Peer;
use crate::Failure;

const BUFFER_BYTES: usize = 64 << 10;

pub struct MutexBufWriter {
    file: Mutex<BufWriter<File>>,
}

impl MutexBufWriter {
    #[inline(always)]
    fn line(&self, message: Arguments<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (now.as_secs(), now.subsec_nanos());
        LINE.with_borrow_mut(|line| {
            line.clear();
            writeln!(line, "{seconds}.{nanos:09} INFO  {} - {message}", module_path!())
                .expect("memory takes everything");
            let mut file = self.file.lock().expect("no writer panics");
            file.write_all(line).expect("the disk takes everything");
        });
    }
}

impl Peer for MutexBufWriter {
    const NAME: &'static str = "mutex-bufwriter";
    const CRATES: &'static str = "std";
    const SETTINGS: &'static str = "formats on the caller, Mutex<BufWriter> of 64 KiB; ns";

    fn start(dir: &Path) -> Result<MutexBufWriter, Failure> {
        let file = File::create(dir.join("peer.log"))?;
        Ok(MutexBufWriter { file: Mutex::new(BufWriter::with_capacity(BUFFER_BYTES, file)) })
    }

    #[inline(always)]
    fn mixed4(&self, order: u64, qty: i32, px: f64, sym: &str) {
        self.line(format_args!("order {order} filled qty {qty} px {px} sym {sym}"));
    }

    #[inline(always)]
    fn int2(&self, order: i32, qty: i32) {
        self.line(format_args!("order {order} qty {qty}"));
    }

    #[inline(always)]
    fn text(&self, text: &str) {
        self.line(format_args!("{text}"));
    }

    fn finish(self) -> Result<(), Failure> {
        let mut file = self.file.into_inner().map_err(|_| "a writer panicked")?;
        Ok(file.flush()?)
    }
}
