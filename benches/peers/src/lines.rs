//! What arrived.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use rollway::block::{BlockKind, EventsBlock};
use rollway::journal::{ScannedBlocks, segment_paths};

use crate::Failure;

/// How often growing files are looked at.
const POLL: Duration = Duration::from_millis(2);

/// The lines with `marker` in the files of a directory, without those of directories in it.
pub fn count(dir: &Path, marker: &str) -> io::Result<u64> {
    let finder = Finder::new(marker);
    let mut lines = 0;
    for file in files(dir)? {
        let (mut reader, mut line) = (BufReader::with_capacity(1 << 20, file), Vec::new());
        while reader.read_until(b'\n', &mut line)? > 0 {
            // Without its end a line is not whole.
            lines += u64::from(line.ends_with(b"\n") && finder.find(&line).is_some());
            line.clear();
        }
    }
    Ok(lines)
}

/// The events in a journal directory.
pub fn count_journal(dir: &Path) -> Result<u64, Failure> {
    let mut events = 0;
    for (_, path) in segment_paths(dir)? {
        let mut blocks = ScannedBlocks::open(&path)?;
        while let Some(block) = blocks.next() {
            let block = block.map_err(|damage| damage.to_string())?;
            if block.header.kind == BlockKind::Events {
                events += EventsBlock::open(block.header, block.bytes)?.count();
            }
        }
    }
    Ok(events)
}

/// Waits until the files of a directory have not grown for `quiet`, and says since when.
pub fn complete(dir: &Path, quiet: Duration) -> io::Result<Instant> {
    let (mut since, mut bytes) = (Instant::now(), bytes_in(dir)?);
    while since.elapsed() < quiet {
        thread::sleep(POLL);
        let now = bytes_in(dir)?;
        if now != bytes {
            (since, bytes) = (Instant::now(), now);
        }
    }
    Ok(since)
}

fn bytes_in(dir: &Path) -> io::Result<u64> {
    files(dir)?.into_iter().map(|file| Ok(file.metadata()?.len())).sum()
}

/// The regular files: a link to one does not count twice.
fn files(dir: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(File::open(entry.path())?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_events_count() {
        let dir = std::env::temp_dir().join(format!("rollway-peers-{}", std::process::id()));
        fs::create_dir_all(dir.join("not looked at")).unwrap();
        fs::write(dir.join("a"), "1 order 7\n\n2 dropped 4 events\n3 order 8\n4 order").unwrap();
        fs::write(dir.join("b"), "5 order 9\n").unwrap();
        std::os::unix::fs::symlink(dir.join("b"), dir.join("link")).unwrap();
        fs::write(dir.join("not looked at/c"), "6 order 10\n").unwrap();
        assert_eq!(count(&dir, " order").unwrap(), 3);
        fs::remove_dir_all(&dir).unwrap();
    }
}
