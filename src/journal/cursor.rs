//! Where an appender is, kept in a small file.
//!
//! Two slots of 128 bytes: `written` is trusted as long as the machine runs, `synced` was stored
//! after an fdatasync and is used after a reboot. Each has a checksum; a slot that does not match
//! does not exist.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Position;
use crate::sys;

const SLOT_BYTES: usize = 128;
const MAGIC: [u8; 4] = *b"RWC1";

/// What a slot says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CursorSlot {
    /// Everything before it has reached the destination.
    pub position: Position,
    /// The state of a text file at that position; zeroes for other destinations.
    pub file: TextFileMark,
    /// The boot during which the slot was stored.
    pub boot_id: [u8; 16],
}

/// A text file, as it was when everything up to a position stood in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TextFileMark {
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its length in bytes.
    pub length: u64,
    /// A hash of its last bytes.
    pub tail: u32,
    /// The hash of the layout that wrote it.
    pub layout: u64,
    /// The greatest number that a full file of this name has got, or one of its period; 0 for none.
    pub rotated: u64,
    /// When the period began that it belongs to, in nanoseconds since 1970-01-01 UTC; 0 where it is
    /// not rolled by time, or has no event yet.
    pub period_ns: i64,
    /// When its first event was logged, in nanoseconds since 1970-01-01 UTC; 0 where rolls by size need
    /// not know it, or there is none yet.
    pub begun_ns: i64,
}

/// The file with the two slots of one appender.
#[derive(Debug)]
pub struct CursorFile {
    file: File,
    path: PathBuf,
    boot_id: [u8; 16],
    /// What the slots said when the file was opened, valid or not.
    stored: [Option<CursorSlot>; 2],
}

impl CursorFile {
    /// Opens the cursor of appender `name` below a journal directory, or makes it.
    ///
    /// # Errors
    /// When the file cannot be opened, created or read.
    pub fn open(journal_dir: &Path, name: &str) -> io::Result<CursorFile> {
        let dir = journal_dir.join("cursors");
        sys::file::create_private_dir(&dir)?;
        let path = cursor_path(journal_dir, name);
        let file = sys::file::open_private(&path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes)?;
        if bytes.is_empty() {
            sys::file::sync_dir(&dir)?;
            sys::file::sync_dir(journal_dir)?;
        }
        let slot = |at: usize| CursorSlot::decode(bytes.get(at..at + SLOT_BYTES)?);
        let stored = [slot(0), slot(SLOT_BYTES)];
        Ok(CursorFile { file, path, boot_id: sys::file::boot_id(), stored })
    }

    /// The slot to go on from: `written` if it was stored since the machine started, else
    /// `synced`; `None` if neither can be trusted.
    pub fn resume(&self) -> Option<CursorSlot> {
        let [written, synced] = self.stored;
        written.filter(|slot| slot.boot_id == self.boot_id).or(synced)
    }

    /// Reads the slots again: another process may have stored them.
    ///
    /// # Errors
    /// When the file cannot be read. A slot that is being stored may be gone until the next call.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        let mut bytes = [0; 2 * SLOT_BYTES];
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                count => read += count,
            }
        }
        let (written, synced) = bytes.split_at(SLOT_BYTES);
        self.stored = [CursorSlot::decode(written), CursorSlot::decode(synced)];
        Ok(())
    }

    /// The slot that a reboot falls back to.
    pub fn synced(&self) -> Option<CursorSlot> {
        self.stored[1]
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores what has been written. One system call.
    ///
    /// # Errors
    /// When the slot cannot be written.
    pub fn store_written(&self, position: Position, file: TextFileMark) -> io::Result<()> {
        self.store(0, position, file)
    }

    /// Stores what has been synced. One system call.
    ///
    /// # Errors
    /// When the slot cannot be written.
    pub fn store_synced(&self, position: Position, file: TextFileMark) -> io::Result<()> {
        self.store(1, position, file)
    }

    /// Brings the slots to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn store(&self, slot: u64, position: Position, file: TextFileMark) -> io::Result<()> {
        let bytes = CursorSlot { position, file, boot_id: self.boot_id }.encode();
        self.file.write_all_at(&bytes, slot * SLOT_BYTES as u64)
    }
}

/// What the cursor file of one appender says, for whoever only looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredCursor {
    /// The appender's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The slot `written`, if it is valid.
    pub written: Option<CursorSlot>,
    /// The slot `synced`, if it is valid.
    pub synced: Option<CursorSlot>,
}

impl StoredCursor {
    /// The slot that a start on this machine would go on from.
    pub fn resume(&self) -> Option<CursorSlot> {
        let boot_id = sys::file::boot_id();
        self.written.filter(|slot| slot.boot_id == boot_id).or(self.synced)
    }
}

/// The cursor file of an appender below a journal directory.
pub(crate) fn cursor_path(journal_dir: &Path, name: &str) -> PathBuf {
    journal_dir.join("cursors").join(format!("{}.cursor", file_name(name)))
}

/// The cursors below a journal directory, by name. Makes and changes nothing.
///
/// # Errors
/// When they cannot be read; a directory without cursors is no error.
pub fn stored_cursors(journal_dir: &Path) -> io::Result<Vec<StoredCursor>> {
    let entries = match std::fs::read_dir(journal_dir.join("cursors")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut cursors = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = file_name.strip_suffix(".cursor") else { continue };
        let bytes = std::fs::read(&path)?;
        let slot = |at: usize| CursorSlot::decode(bytes.get(at..at + SLOT_BYTES)?);
        let (written, synced, name) = (slot(0), slot(SLOT_BYTES), name_of(name));
        cursors.push(StoredCursor { name, path, written, synced });
    }
    cursors.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cursors)
}

impl CursorSlot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0; SLOT_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.position.generation.to_le_bytes());
        out[16..24].copy_from_slice(&self.position.offset.to_le_bytes());
        out[24..28].copy_from_slice(&self.position.index.to_le_bytes());
        let file = [self.file.device, self.file.inode, self.file.length, self.file.layout];
        for (field, value) in out[32..64].chunks_exact_mut(8).zip(file) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        out[64..80].copy_from_slice(&self.boot_id);
        out[80..84].copy_from_slice(&self.file.tail.to_le_bytes());
        out[88..96].copy_from_slice(&self.file.rotated.to_le_bytes());
        out[96..104].copy_from_slice(&self.file.period_ns.to_le_bytes());
        out[104..112].copy_from_slice(&self.file.begun_ns.to_le_bytes());
        let checksum = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<CursorSlot> {
        let bytes: &[u8; SLOT_BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let checksum = (word(0) >> 32) as u32;
        if bytes[0..4] != MAGIC || checksum != crc32c::crc32c(&bytes[8..]) {
            return None;
        }
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&bytes[64..80]);
        Some(CursorSlot {
            position: Position { generation: word(8), offset: word(16), index: word(24) as u32 },
            file: TextFileMark {
                device: word(32),
                inode: word(40),
                length: word(48),
                layout: word(56),
                tail: word(80) as u32,
                rotated: word(88),
                period_ns: word(96) as i64,
                begun_ns: word(104) as i64,
            },
            boot_id,
        })
    }
}

/// An appender's name as the name of a file: anything but letters, digits, `-` and `_` becomes `%xx`.
pub(crate) fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// The name behind a file name.
fn name_of(file_name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = file_name.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl CursorFile {
        /// Lets stores fail, or succeed again.
        pub(crate) fn set_writable(&mut self, writable: bool) {
            self.file = File::options().read(true).write(writable).open(&self.path).unwrap();
        }
    }

    #[test]
    fn a_torn_slot_does_not_exist() {
        let position = Position { generation: 3, offset: 128, index: 7 };
        let slot = CursorSlot { position, ..CursorSlot::default() };
        let bytes = slot.encode();
        assert_eq!(CursorSlot::decode(&bytes), Some(slot));
        for at in 0..SLOT_BYTES {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert_eq!(CursorSlot::decode(&flipped), None, "byte {at}");
        }
    }

    #[test]
    fn a_stored_cursor_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let position = Position { generation: 1, offset: 64, index: 2 };
        let file = TextFileMark {
            device: 1,
            inode: 2,
            length: 3,
            tail: 5,
            layout: 4,
            rotated: 6,
            period_ns: -7,
            begun_ns: -8,
        };
        let cursor = CursorFile::open(dir.path(), "file: a/b").unwrap();
        assert_eq!(cursor.resume(), None);
        cursor.store_written(position, file).unwrap();
        drop(cursor);
        let found = CursorFile::open(dir.path(), "file: a/b").unwrap().resume().unwrap();
        assert_eq!((found.position, found.file), (position, file));

        let all = stored_cursors(dir.path()).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(
            (&*all[0].name, all[0].resume(), all[0].synced),
            ("file: a/b", Some(found), None)
        );
    }
}
