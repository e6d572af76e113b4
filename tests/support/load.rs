//! Threads that log numbers while something else happens, and files that are known by their paths.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollway::Logger;
use rollway::appender::{Open, fingerprinted};

use super::message_file;

/// Logs numbers on a thread until it is told to stop, and returns how many.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<u64>>,
}

impl Load {
    pub fn start(logger: &Logger, threads: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |thread: usize| {
            let (logger, stop) = (logger.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    rollway::info!(logger: logger, "{thread} {number}");
                    number += 1;
                    std::thread::sleep(Duration::from_micros(100));
                }
                number
            })
        };
        let threads = (0..threads).map(spawn).collect();
        Load { stop, threads }
    }

    pub fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

/// Whether each number of each thread is there once. The order within `found` does not count.
pub fn assert_each_once(found: &[String], counts: &[u64]) {
    let mut found: Vec<(u64, u64)> = found
        .iter()
        .map(|line| {
            let (thread, number) = line.split_once(' ').unwrap();
            (thread.parse().unwrap(), number.parse().unwrap())
        })
        .collect();
    found.sort_unstable();
    let expected = (0_u64..).zip(counts);
    let expected: Vec<_> = expected
        .flat_map(|(thread, count)| (0..*count).map(move |number| (thread, number)))
        .collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "another event is there than was logged");
}

/// A file as a configuration would have it: known by its path.
pub fn described_file(path: &Path) -> impl Open + use<> {
    let print = path
        .to_string_lossy()
        .bytes()
        .fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    fingerprinted(Box::new(message_file(path)), print)
}
