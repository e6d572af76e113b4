//! Two small files that tell a successor what it needs to know.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::clock::Anchor;
use crate::sys;
use crate::sys::dead::DeadFile;

/// The `manifest` of a journal directory: whose it is, and where the rings are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// The identity of the journal.
    pub source: u128,
    /// The run that wrote the manifest.
    pub epoch: u64,
    /// The boot during which it ran; 0 where the system did not tell.
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

    /// The manifest of the journal that rings belong to, if it names them.
    pub(super) fn naming(rings_dir: &Path, facts: &ProcessFacts) -> io::Result<Option<Manifest>> {
        let manifest = Manifest::read(&facts.journal_dir)?;
        Ok(manifest.filter(|manifest| {
            (manifest.source, manifest.epoch) == (facts.source, facts.epoch)
                && manifest.rings.as_deref() == Some(rings_dir)
        }))
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

/// Whether a boot is known to be another one than this. One that is not known, on either side, may be
/// the same.
pub(super) fn is_other_boot(stored: u128, this: u128) -> bool {
    stored != 0 && this != 0 && stored != this
}

/// The `process` file beside the rings: who logs here, into which journal, and the newest clock
/// anchor.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `RWP2` |
/// | 4 | 4 | CRC-32C of the rest |
/// | 8 | 8 + 8 + 8 | anchor: ticks, UTC ns; nanoseconds per tick (`f64`) |
/// | 32 | 16 + 8 | source, epoch |
/// | 56 | 16 | boot id |
/// | 72 | 4 | process id |
/// | 76 | 2 + 2 + 2 | lengths of service, host and journal directory |
/// | 82 | … | service, host, journal directory |
#[derive(Debug)]
pub struct ProcessFile {
    file: File,
    facts: ProcessFacts,
}

/// What a process file says.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the fields are those of the table above")]
pub struct ProcessFacts {
    pub anchor: Anchor,
    pub nanos_per_tick: f64,
    pub source: u128,
    pub epoch: u64,
    pub boot_id: u128,
    pub pid: u32,
    pub service: String,
    pub host: String,
    pub journal_dir: PathBuf,
}

const MAGIC: [u8; 4] = *b"RWP2";
const NAME_BYTES_MAX: usize = 1024;
/// Room for the longest names and the longest path.
const FILE_BYTES: u64 = 8192;

impl ProcessFile {
    /// Makes the file. [`ProcessFile::store`] fills it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(rings_dir: &Path, facts: ProcessFacts) -> io::Result<ProcessFile> {
        let file = sys::file::create_reserved(&rings_dir.join("process"), FILE_BYTES)?;
        let cut = |text: &str| text[..text.floor_char_boundary(NAME_BYTES_MAX)].to_owned();
        let (service, host) = (cut(&facts.service), cut(&facts.host));
        Ok(ProcessFile { file, facts: ProcessFacts { service, host, ..facts } })
    }

    /// Stores the newest anchor. One system call.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&mut self, anchor: Anchor, nanos_per_tick: f64) -> io::Result<()> {
        (self.facts.anchor, self.facts.nanos_per_tick) = (anchor, nanos_per_tick);
        self.file.write_all_at(&self.facts.encode(), 0)
    }

    /// Whether the file still has its name. One system call.
    pub(crate) fn is_in_place(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() > 0)
    }

    /// Reads what a dead process left.
    ///
    /// # Errors
    /// When it cannot be read or is not a process file.
    pub fn read_dead(rings_dir: &Path) -> io::Result<ProcessFacts> {
        let path = rings_dir.join("process");
        let mut file = DeadFile::open(&path)?;
        let bytes = file.read(0, file.len().min(FILE_BYTES) as usize)?;
        ProcessFacts::decode(&bytes).ok_or_else(|| file.damaged("it is no process file"))
    }
}

impl ProcessFacts {
    fn encode(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let journal_dir = self.journal_dir.as_os_str().as_bytes();
        let texts = [self.service.as_bytes(), self.host.as_bytes(), journal_dir];
        let mut out = vec![0; 8];
        out.extend_from_slice(&self.anchor.ticks.to_le_bytes());
        out.extend_from_slice(&self.anchor.utc_ns.to_le_bytes());
        out.extend_from_slice(&self.nanos_per_tick.to_le_bytes());
        out.extend_from_slice(&self.source.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.boot_id.to_le_bytes());
        out.extend_from_slice(&self.pid.to_le_bytes());
        for text in texts {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        }
        out.extend(texts.concat());
        let checksum = crc32c::crc32c(&out[8..]);
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<ProcessFacts> {
        use crate::value::take_array;
        use std::os::unix::ffi::OsStrExt as _;
        let mut rest = bytes;
        let (magic, checksum) = (take_array::<4>(&mut rest)?, take_array::<4>(&mut rest)?);
        let checked = rest;
        let ticks = u64::from_le_bytes(take_array(&mut rest)?);
        let utc_ns = i64::from_le_bytes(take_array(&mut rest)?);
        let nanos_per_tick = f64::from_le_bytes(take_array(&mut rest)?);
        let source = u128::from_le_bytes(take_array(&mut rest)?);
        let epoch = u64::from_le_bytes(take_array(&mut rest)?);
        let boot_id = u128::from_le_bytes(take_array(&mut rest)?);
        let pid = u32::from_le_bytes(take_array(&mut rest)?);
        let mut len = || take_array(&mut rest).map(|len| usize::from(u16::from_le_bytes(len)));
        let (service_len, host_len, dir_len) = (len()?, len()?, len()?);
        let (service, rest) = rest.split_at_checked(service_len)?;
        let (host, rest) = rest.split_at_checked(host_len)?;
        let (journal_dir, rest) = rest.split_at_checked(dir_len)?;
        let checked = &checked[..checked.len() - rest.len()];
        if magic != MAGIC || u32::from_le_bytes(checksum) != crc32c::crc32c(checked) {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(ProcessFacts {
            anchor: Anchor { ticks, utc_ns },
            nanos_per_tick,
            source,
            epoch,
            boot_id,
            pid,
            service: text(service),
            host: text(host),
            journal_dir: std::ffi::OsStr::from_bytes(journal_dir).into(),
        })
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
        let facts = ProcessFacts {
            anchor: Anchor { ticks: 0, utc_ns: 0 },
            nanos_per_tick: 1.0,
            source: 7,
            epoch: 8,
            boot_id: 9,
            pid: 10,
            service: "shop".to_owned(),
            host: "host-1".to_owned(),
            journal_dir: "/var/lib/shop".into(),
        };
        let mut file = ProcessFile::create(dir.path(), facts.clone()).unwrap();
        file.store(anchor, 0.5).unwrap();
        let stored = ProcessFile::read_dead(dir.path()).unwrap();
        assert_eq!(stored, ProcessFacts { anchor, nanos_per_tick: 0.5, ..facts });

        let bytes = std::fs::read(dir.path().join("process")).unwrap();
        for at in 0..105 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(ProcessFacts::decode(&flipped), None, "byte {at}");
        }
    }
}
