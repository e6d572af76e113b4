//! What several targets share: files to mutate, and how the fuzzer's bytes mutate them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// A directory of its own on a memory file system, emptied at each use.
pub fn scratch(name: &str) -> PathBuf {
    let base = if Path::new("/dev/shm").is_dir() {
        PathBuf::from("/dev/shm")
    } else {
        std::env::temp_dir()
    };
    let dir = base.join(format!("rollway-fuzz-{name}-{}", process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a scratch directory");
    dir
}

/// The content of a file without the zeroes at its end.
pub fn content(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("a file that was just written");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used.next_multiple_of(64));
    bytes
}

/// Changes `bytes` as `plan` says, five bytes a step: what to do, where, and with what.
pub fn mutate(bytes: &mut Vec<u8>, plan: &[u8]) {
    for step in plan.chunks_exact(5) {
        let (what, value) = (step[0] % 7, step[4]);
        let place =
            usize::from(u16::from_le_bytes([step[1], step[2]])) | usize::from(step[3]) << 16;
        if bytes.is_empty() {
            return;
        }
        let place = place % bytes.len();
        let len = usize::from(value).min(bytes.len() - place);
        match what {
            0 => bytes[place] ^= value,
            1 => bytes[place] = value,
            2 => bytes.truncate(place),
            3 => bytes[place..place + len].fill(0),
            4 => drop(bytes.drain(place..place + len)),
            5 => {
                let copy = bytes[place..place + len].to_vec();
                bytes.splice(place..place, copy);
            }
            _ => {
                let other = usize::from(value) * 64 % bytes.len();
                for at in 0..64.min(bytes.len() - place.max(other)) {
                    bytes.swap(place + at, other + at);
                }
            }
        }
    }
}
