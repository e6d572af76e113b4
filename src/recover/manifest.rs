//! Two small files that tell a successor what it needs to know.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::clock::Anchor;
use crate::sys;

/// The `manifest` of a journal directory: whose it is, and where the rings are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// The identity of the journal.
    pub source: u128,
    /// The run that wrote the manifest.
    pub epoch: u64,
    /// The boot during which it ran.
    pub boot_id: u128,
    /// The directory of its rings; `None` when they lie on the heap, or when they were drained.
    pub rings: Option<PathBuf>,
}

impl Manifest {
    /// Reads the manifest of a journal directory; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is not `key = value` with a known key.
    pub fn read(journal_dir: &Path) -> io::Result<Option<Manifest>> {
        let text = match std::fs::read_to_string(journal_dir.join("manifest")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut manifest = Manifest::default();
        for (at, line) in text.lines().enumerate() {
            let value = line.split_once(" = ");
            let known = value.and_then(|(key, value)| manifest.set(key, value));
            if known.is_none() {
                let what = format!("line {} of the manifest is not understood: `{line}`", at + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(Some(manifest))
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "source" => self.source = u128::from_str_radix(value, 16).ok()?,
            "epoch" => self.epoch = value.parse().ok()?,
            "boot_id" => self.boot_id = u128::from_str_radix(value, 16).ok()?,
            "rings" => self.rings = (!value.is_empty()).then(|| PathBuf::from(value)),
            _ => return None,
        }
        Some(())
    }

    /// Replaces the manifest of a journal directory atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, journal_dir: &Path) -> io::Result<()> {
        let rings = self.rings.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let text = format!(
            "source = {:032x}\nepoch = {}\nboot_id = {:032x}\nrings = {rings}\n",
            self.source, self.epoch, self.boot_id
        );
        sys::file::replace(&journal_dir.join("manifest"), text.as_bytes())
    }
}

/// The `process` file beside the rings: who logs here, and the newest clock anchor.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `RWP1` |
/// | 4 | 4 | CRC-32C of the rest |
/// | 8 | 8 + 8 + 8 | anchor: ticks, UTC ns; nanoseconds per tick (`f64`) |
/// | 32 | 4 | process id |
/// | 36 | 2 + 2 | lengths of service and host |
/// | 40 | … | service, host |
#[derive(Debug)]
pub struct ProcessFile {
    file: File,
    pid: u32,
    service: String,
    host: String,
}

/// What a process file says.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the fields are those of the table above")]
pub struct ProcessFacts {
    pub anchor: Anchor,
    pub nanos_per_tick: f64,
    pub pid: u32,
    pub service: String,
    pub host: String,
}

const MAGIC: [u8; 4] = *b"RWP1";
const NAME_BYTES_MAX: usize = 1024;

impl ProcessFile {
    /// Makes the file. [`ProcessFile::store`] fills it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(rings_dir: &Path, service: &str, host: &str) -> io::Result<ProcessFile> {
        let file = sys::file::create_reserved(&rings_dir.join("process"), 4096)?;
        let cut = |text: &str| text[..text.floor_char_boundary(NAME_BYTES_MAX)].to_owned();
        let (pid, service, host) = (std::process::id(), cut(service), cut(host));
        Ok(ProcessFile { file, pid, service, host })
    }

    /// Stores the newest anchor. One system call.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, anchor: Anchor, nanos_per_tick: f64) -> io::Result<()> {
        let mut out = vec![0; 8];
        out.extend_from_slice(&anchor.ticks.to_le_bytes());
        out.extend_from_slice(&anchor.utc_ns.to_le_bytes());
        out.extend_from_slice(&nanos_per_tick.to_le_bytes());
        out.extend_from_slice(&self.pid.to_le_bytes());
        out.extend_from_slice(&(self.service.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.host.len() as u16).to_le_bytes());
        out.extend_from_slice(self.service.as_bytes());
        out.extend_from_slice(self.host.as_bytes());
        let checksum = crc32c::crc32c(&out[8..]);
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&out, 0)
    }

    /// Reads what a dead process left.
    ///
    /// # Errors
    /// When it cannot be read or is not a process file.
    pub fn read_dead(rings_dir: &Path) -> io::Result<ProcessFacts> {
        let bytes = std::fs::read(rings_dir.join("process"))?;
        ProcessFacts::decode(&bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a process file"))
    }
}

impl ProcessFacts {
    fn decode(bytes: &[u8]) -> Option<ProcessFacts> {
        use crate::value::take_array;
        let mut rest = bytes;
        let (magic, checksum) = (take_array::<4>(&mut rest)?, take_array::<4>(&mut rest)?);
        let checked = rest;
        let ticks = u64::from_le_bytes(take_array(&mut rest)?);
        let utc_ns = i64::from_le_bytes(take_array(&mut rest)?);
        let nanos_per_tick = f64::from_le_bytes(take_array(&mut rest)?);
        let pid = u32::from_le_bytes(take_array(&mut rest)?);
        let service_len = usize::from(u16::from_le_bytes(take_array(&mut rest)?));
        let host_len = usize::from(u16::from_le_bytes(take_array(&mut rest)?));
        let (service, rest) = rest.split_at_checked(service_len)?;
        let (host, rest) = rest.split_at_checked(host_len)?;
        let checked = &checked[..checked.len() - rest.len()];
        if magic != MAGIC || u32::from_le_bytes(checksum) != crc32c::crc32c(checked) {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (service, host) = (text(service), text(host));
        Some(ProcessFacts { anchor: Anchor { ticks, utc_ns }, nanos_per_tick, pid, service, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), None);
        let mut manifest = Manifest { source: 7, epoch: 8, boot_id: 9, rings: Some("/x/y".into()) };
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest.clone()));
        manifest.rings = None;
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest));
    }

    #[test]
    fn a_manifest_with_a_foreign_line_is_refused_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("manifest"), "source = 01\nepoch: 3\n").unwrap();
        let error = Manifest::read(dir.path()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn a_process_file_with_a_flipped_bit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let anchor = Anchor { ticks: 5, utc_ns: 6 };
        let file = ProcessFile::create(dir.path(), "shop", "host-1").unwrap();
        file.store(anchor, 0.5).unwrap();
        let facts = ProcessFile::read_dead(dir.path()).unwrap();
        assert_eq!((facts.anchor, &*facts.service, &*facts.host), (anchor, "shop", "host-1"));

        let bytes = std::fs::read(dir.path().join("process")).unwrap();
        for at in 0..50 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(ProcessFacts::decode(&flipped), None, "byte {at}");
        }
    }
}
