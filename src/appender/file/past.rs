//! Bytes that an earlier run, or a write that failed, left behind the settled position.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes before the stored length that tell our file from another one with its number.
const TAIL_BYTES: u64 = 256;
/// Bytes compared at once with what a file already has.
const COMPARE_BYTES: usize = 64 << 10;

/// Bytes of an earlier run, or of a write that failed, still to be compared; none are left once
/// `from` is `to`. It lasts to the end of a batch.
pub(super) struct Past {
    /// The renamed file they stand in; `None` for the file itself.
    pub(super) renamed: Option<fs::File>,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Batches of this segment and later ones cannot stand there.
    pub(super) until: u64,
    /// The bytes before `from` tell that the file is ours, or it is the one that we had open.
    pub(super) is_certain: bool,
}

impl Past {
    /// Whether it is another file than ours: under the inode of a renamed one, or under our name.
    /// The hash before the mark tells it where there is one; an empty mark leaves the bytes
    /// behind it.
    pub(super) fn is_foreign(&self, own: &fs::File, text: &[u8]) -> io::Result<bool> {
        if self.is_proved() {
            return Ok(false);
        }
        let file = self.renamed.as_ref().unwrap_or(own);
        let both = text.len().min(self.to as usize);
        Ok(equal_bytes(file, 0, self.to, text)? < both)
    }

    /// Whether the bytes begin with a text.
    pub(super) fn begins_with(&self, own: &fs::File, text: &str) -> bool {
        let file = self.renamed.as_ref().unwrap_or(own);
        equal_bytes(file, self.from, self.to, text.as_bytes()).is_ok_and(|same| same == text.len())
    }

    /// Compares the text with the bytes and writes what is not there. A batch that was begun in a
    /// renamed file is finished there: a kill before the slot is stored finds all of it in one file,
    /// and the new one without any of it.
    pub(super) fn write(&mut self, own: &fs::File, text: &[u8]) -> io::Result<()> {
        let mut file = self.renamed.as_ref().unwrap_or(own);
        let equal = equal_bytes(file, self.from, self.to, text)?;
        self.from += equal as u64;
        let rest = &text[equal..];
        if rest.is_empty() {
            return Ok(());
        }
        if self.from < self.to {
            // The bytes differ: everything from here on is rendered anew.
            file.set_len(self.from)?;
        }
        io::Write::write_all(&mut file, rest)?;
        self.from += rest.len() as u64;
        self.to = self.from;
        Ok(())
    }

    /// After a power failure: cuts what the disk never got, from the first NUL on, which no layout
    /// writes, and the torn line before it. Returns how many bytes went; none of a file that is not
    /// proved to be ours.
    pub(super) fn cut_unwritten(&mut self, own: &fs::File) -> io::Result<u64> {
        if !self.is_proved() {
            return Ok(0);
        }
        let file = self.renamed.as_ref().unwrap_or(own);
        let mut buffer = [0; COMPARE_BYTES];
        let (mut at, mut whole) = (self.from, self.from);
        while at < self.to {
            let len = COMPARE_BYTES.min((self.to - at) as usize);
            let read = file.read_at(&mut buffer[..len], at)?;
            let text = buffer[..read].split(|byte| *byte == 0).next().unwrap_or_default();
            if let Some(last) = text.iter().rposition(|byte| *byte == b'\n') {
                whole = at + last as u64 + 1;
            }
            if text.len() < read || read == 0 {
                break;
            }
            at += read as u64;
        }
        let cut = self.to - whole;
        if cut > 0 {
            file.set_len(whole)?;
            self.to = whole;
        }
        Ok(cut)
    }

    /// Whether the bytes before it tell that the file is ours, or it is the one that we had open.
    fn is_proved(&self) -> bool {
        self.is_certain || self.from > 0
    }

    /// Whether bytes are left to compare.
    pub(super) fn is_open(&self) -> bool {
        self.from < self.to
    }
}

/// A hash of the last bytes before `end`.
pub(super) fn tail(file: &fs::File, end: u64) -> io::Result<u32> {
    let mut buffer = [0; TAIL_BYTES as usize];
    let bytes = &mut buffer[..end.min(TAIL_BYTES) as usize];
    // Somebody may cut the file meanwhile: then it hashes what is there.
    let read = file.read_at(bytes, end - bytes.len() as u64)?;
    Ok(crc32c::crc32c(&bytes[..read]))
}

/// How many bytes of `text` stand in the file from `from` on, before `to`.
fn equal_bytes(file: &fs::File, from: u64, to: u64, text: &[u8]) -> io::Result<usize> {
    let mut buffer = [0; COMPARE_BYTES];
    let len = text.len().min((to - from) as usize);
    let mut equal = 0;
    while equal < len {
        let chunk = &mut buffer[..COMPARE_BYTES.min(len - equal)];
        let read = file.read_at(chunk, from + equal as u64)?;
        let same = chunk[..read].iter().zip(&text[equal..]).take_while(|(a, b)| a == b).count();
        equal += same;
        if same < read || read == 0 {
            break;
        }
    }
    Ok(equal)
}
