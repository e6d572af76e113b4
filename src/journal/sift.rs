//! Every valid block of a file, however little of the file is left in order.
//!
//! For the commands that look at journals from outside. Blocks are looked for at each multiple of 64
//! bytes wherever they do not follow each other, also behind a stretch of zeroes: a page that was
//! zeroed looks like the end of a segment. A block counts when its checksum does; it proves every
//! byte of it, so nothing smaller than a block is taken out of damage.
//!
//! The file may be written meanwhile. What cannot be read is looked at once more before it is called
//! damage, because its writer may have been in the middle of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;
use rustix::fs::SeekFrom;

use super::scan::{Damage, generation_of};
use crate::block::header::{self, BlockError, BlockHeader, HEADER_BYTES};

/// Bytes read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// Zeroes are passed over in pieces of this size.
const ZEROES_BYTES: usize = 4 << 10;
/// What is passed over where the system refuses to read: a page.
const UNREADABLE_BYTES: u64 = 4096;
/// Blocks begin at multiples of this.
const STEP: u64 = HEADER_BYTES as u64;

/// The valid blocks of one file.
pub struct Sift {
    file: File,
    path: PathBuf,
    /// Blocks of other segments are damage; `None` takes them all.
    generation: Option<u64>,
    offset: u64,
    window: AlignedVec,
    window_at: u64,
    /// The beginning of what is being passed over.
    passing: Option<(u64, BlockError)>,
    /// Behind the last byte that is not zero, as far as it was passed over.
    written_to: u64,
    /// The system refused to read at the offset.
    is_refused: bool,
}

/// A checked block of a file.
pub struct SiftedBlock<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Its header.
    pub header: BlockHeader,
    /// Header and archive, aligned as archives must be.
    pub bytes: &'a [u8],
}

impl Sift {
    /// The blocks that belong to the segment that the file is by its name, or by its first block.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn segment(path: &Path) -> io::Result<Sift> {
        let mut sift = Sift::everything(path)?;
        sift.generation = generation_of(path);
        if sift.generation.is_none() {
            sift.fill(HEADER_BYTES);
            sift.generation =
                BlockHeader::decode(sift.front()).ok().map(|header| header.generation);
        }
        Ok(sift)
    }

    /// All blocks of a file, whichever segment they were written to.
    ///
    /// # Errors
    /// When the file cannot be opened, or is none.
    pub fn everything(path: &Path) -> io::Result<Sift> {
        let file = crate::sys::file::open_read(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(Sift {
            file,
            path: path.to_owned(),
            generation: None,
            offset: 0,
            window: AlignedVec::new(),
            window_at: 0,
            passing: None,
            written_to: 0,
            is_refused: false,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next block is looked for: behind the last one that was found.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether something stands at the offset. Reads 64 bytes.
    pub(super) fn is_written(&self) -> bool {
        let mut front = [0; HEADER_BYTES];
        let read = self.file.read_exact_at(&mut front, self.offset);
        read.is_ok() && front != [0; HEADER_BYTES]
    }

    /// Whether the file has no name any more.
    pub(super) fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }

    /// Goes on at `offset`, a multiple of 64.
    pub fn seek(&mut self, offset: u64) {
        (self.offset, self.passing) = (offset, None);
        self.window.clear();
    }

    /// Forgets what was read ahead: it may have been written since.
    pub(super) fn look_anew(&mut self) {
        self.window.clear();
    }

    /// The next block, or a stretch of damage in front of it. `None` at the end of what was written.
    #[allow(clippy::should_implement_trait, reason = "a block borrows from the iterator")]
    pub fn next(&mut self) -> Option<Result<SiftedBlock<'_>, Damage>> {
        loop {
            match self.look() {
                Ok(header) => {
                    if let Some(damage) = self.end_of_passing(self.offset) {
                        return Some(Err(damage));
                    }
                    if self.passing.is_some() {
                        // Its writer has closed the gap meanwhile.
                        self.passing = None;
                        continue;
                    }
                    let offset = self.offset;
                    self.offset += header.padded_bytes() as u64;
                    let at = (offset - self.window_at) as usize;
                    // `look` has just read and checked these bytes.
                    let bytes = self.window.get(at..at + header.bytes()).unwrap_or(&[]);
                    return Some(Ok(SiftedBlock { offset, header, bytes }));
                }
                Err(error) => {
                    let rest = self.front().len() as u64;
                    if rest == 0 && self.is_refused {
                        let error = BlockError::Malformed { what: "it cannot be read" };
                        self.passing.get_or_insert((self.offset, error));
                        self.offset += UNREADABLE_BYTES;
                        self.written_to = self.offset;
                    } else if rest >= STEP {
                        self.passing.get_or_insert((self.offset, error));
                        self.pass();
                    } else if self.front().iter().all(|byte| *byte == 0) {
                        return self.end();
                    } else {
                        self.passing.get_or_insert((self.offset, error));
                        self.written_to = self.offset + rest;
                        self.offset += STEP;
                    }
                }
            }
        }
    }

    /// What stands in front of the end of the file.
    fn end(&mut self) -> Option<Result<SiftedBlock<'_>, Damage>> {
        let end = self.written_to.next_multiple_of(STEP);
        let (begin, error) = self.passing.clone()?;
        if error == BlockError::Empty {
            // Room that was reserved, or a block whose header was never written.
            self.seek(begin);
            return None;
        }
        let damage = self.end_of_passing(end.max(begin + 1));
        match damage {
            Some(damage) => Some(Err(damage)),
            None => {
                self.passing = None;
                self.next()
            }
        }
    }

    /// The stretch that was passed over, up to `end`. `None` where there is none, and where there is a
    /// block by now: then the offset is that of the block.
    fn end_of_passing(&mut self, end: u64) -> Option<Damage> {
        let (offset, error) = self.passing.clone()?;
        let behind = self.offset;
        self.window.clear();
        self.offset = offset;
        if self.look().is_ok() {
            return None;
        }
        (self.offset, self.passing) = (behind, None);
        Some(Damage { path: self.path.clone(), offset, bytes: end.saturating_sub(offset), error })
    }

    /// Reads and checks the block at the offset.
    fn look(&mut self) -> Result<BlockHeader, BlockError> {
        self.fill(HEADER_BYTES);
        let header = BlockHeader::decode(self.front())?;
        if self.generation.is_some_and(|generation| generation != header.generation) {
            return Err(BlockError::Malformed { what: "it belongs to another segment" });
        }
        self.fill(header.bytes());
        let front = self.front();
        header::verify(&front[..front.len().min(header.bytes())])
    }

    /// Passes over what is no block, up to the next place that might be one.
    fn pass(&mut self) {
        let front = self.front();
        // What was reserved and never written is most of what there is to pass.
        let is_zero = |piece: &&[u8]| piece.iter().fold(0, |all, byte| all | byte) == 0;
        let zeroes = front.chunks(ZEROES_BYTES).take_while(is_zero).map(<[u8]>::len).sum::<usize>();
        let mut passed = zeroes as u64;
        let mut written = None;
        for piece in front[zeroes..].chunks(HEADER_BYTES) {
            if passed > 0 && piece.starts_with(&header::MAGIC) {
                break;
            }
            passed += piece.len() as u64;
            if piece.iter().any(|byte| *byte != 0) {
                written = Some(self.offset + passed);
            }
        }
        self.written_to = written.unwrap_or(self.written_to);
        self.offset = (self.offset + passed).next_multiple_of(STEP);
        // What was only reserved need not be read.
        if written.is_none()
            && let Ok(data) = rustix::fs::seek(&self.file, SeekFrom::Data(self.offset))
        {
            self.offset = self.offset.max(data / STEP * STEP);
        }
    }

    /// The bytes from the offset on that are in the window.
    fn front(&self) -> &[u8] {
        let at = self.offset.checked_sub(self.window_at).unwrap_or(u64::MAX);
        self.window.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or(&[])
    }

    /// Sees to it that `len` bytes from the offset on are in the window, or all that there are.
    fn fill(&mut self, len: usize) {
        if self.front().len() >= len {
            return;
        }
        self.window_at = self.offset;
        self.window.resize(len.max(WINDOW_BYTES), 0);
        let mut read = 0;
        self.is_refused = false;
        while read < self.window.len() {
            match self.file.read_at(&mut self.window[read..], self.offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What could be read is looked at; the rest is passed over when it is reached.
                Err(_) => {
                    let len = self.file.metadata().map_or(0, |found| found.len());
                    self.is_refused = self.offset < len;
                    break;
                }
            }
        }
        self.window.resize(read, 0);
    }
}
