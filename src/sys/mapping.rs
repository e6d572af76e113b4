//! A region of readable and writable memory: private to the process, or a file that outlives it.
//!
//! Invariants, relied on by every `unsafe` block that uses a mapping's pointer:
//! 1. `start .. start + len` is mapped for reading and writing until the [`Mapping`] is dropped.
//!    `start` is page-aligned, and every byte was 0 when the mapping was made.
//! 2. The memory has no other owner. A mapped file is new, only its owner can open it, and its
//!    other readers copy it after this process's death ([`DeadFile`](super::dead::DeadFile)). A
//!    process of the same user that writes into it is out of scope, as is one with a debugger.
//! 3. Touching a byte inside a populated range raises no signal: its page exists. Bytes outside
//!    populated ranges of a file must not be touched: the file system may be full. Whoever cuts the
//!    file takes its pages away all the same; a [guarded](Mapping::guard) mapping becomes private
//!    memory of zeros then, and goes on.
#![allow(unsafe_code, reason = "memory from the operating system")]

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use memmap2::{MmapOptions, MmapRaw};

use super::crash::{self, CrashPoint};
use super::guard::{self, Watch};

/// Pages are at least this long; touching one byte in each step of this touches every page.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Readable and writable memory, unmapped when dropped. A mapped file stays.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Ends before the memory does.
    watch: Option<Watch>,
    memory: MmapRaw,
    /// The file behind the memory, while more of it may have to be reserved.
    file: Option<File>,
    place: Option<FilePlace>,
}

/// Where a mapped file lies.
#[derive(Debug)]
struct FilePlace {
    path: PathBuf,
    identity: (u64, u64),
}

impl FilePlace {
    /// The file, if it is still found there.
    fn find(&self) -> Option<Metadata> {
        let found = std::fs::symlink_metadata(&self.path).ok()?;
        ((found.dev(), found.ino()) == self.identity).then_some(found)
    }
}

impl Mapping {
    /// Maps `len` bytes of private memory, all 0. No page is touched: see [`Mapping::populate`].
    ///
    /// # Errors
    /// The system's, when it has no address space left or `len` is 0.
    pub(crate) fn anonymous(len: usize) -> io::Result<Mapping> {
        let memory = MmapOptions::new().len(len).map_anon()?.into();
        Ok(Mapping { watch: None, memory, file: None, place: None })
    }

    /// Makes a new file of `len` bytes, reserves its space, maps it shared and populates it.
    ///
    /// Only the owner can open the file. Its name must be free: neither a file nor a link there
    /// is followed. May block on the file system; costs about 0.6 ms per MiB.
    ///
    /// # Errors
    /// The system's; among them no space left, where a later touch would raise `SIGBUS`. No file
    /// is left behind then.
    pub(crate) fn create(path: &Path, len: usize) -> io::Result<Mapping> {
        let mut mapping = Mapping::create_sparse(path, len)?;
        if let Err(error) = mapping.populate(0..len) {
            return Err(abandon(path, error));
        }
        mapping.file = None;
        Ok(mapping)
    }

    /// Makes and maps a new file as [`Mapping::create`] does, without any space behind it yet:
    /// invariant 3 asks for [`Mapping::populate`] before the first touch.
    ///
    /// # Errors
    /// As [`Mapping::create`].
    pub(crate) fn create_sparse(path: &Path, len: usize) -> io::Result<Mapping> {
        let file = create_private(path)?;
        crash::reached(CrashPoint::RingFile);
        let mapped = file.set_len(len as u64).and_then(|()| {
            let found = file.metadata()?;
            let place = FilePlace { path: path.to_owned(), identity: (found.dev(), found.ino()) };
            Ok((MmapOptions::new().len(len).map_raw(&file)?, place))
        });
        match mapped {
            Ok((memory, place)) => {
                Ok(Mapping { watch: None, memory, file: Some(file), place: Some(place) })
            }
            Err(error) => Err(abandon(path, error)),
        }
    }

    /// From now on the process survives that somebody cuts the file: see [`guard`](super::guard).
    /// For a mapped file; private memory needs no guard.
    ///
    /// # Errors
    /// When too many mappings are guarded, or the system refuses the handler.
    pub(crate) fn guard(&mut self) -> io::Result<()> {
        if self.place.is_some() && self.watch.is_none() {
            self.watch = Some(guard::watch(self.start(), self.len())?);
        }
        Ok(())
    }

    /// The guard, if there is one.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Whether what was in the memory is lost: the file was cut, and the guard has put zeros there.
    pub(crate) fn is_lost(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::is_hit)
    }

    /// Whether the file is still found at its path, as long as it was made. Always for private
    /// memory. One system call.
    pub(crate) fn is_in_place(&self) -> bool {
        let Some(place) = &self.place else { return true };
        place.find().is_some_and(|found| found.len() >= self.len() as u64)
    }

    /// Whether the memory is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.place.is_some()
    }

    /// Removes the file, cut or not, if it is still the one that was mapped. The memory stays.
    pub(crate) fn remove_file(&self) {
        if let Some(place) = &self.place
            && place.find().is_some()
        {
            // Whoever removes the directory finds it there.
            let _ = std::fs::remove_file(&place.path);
        }
    }

    /// Reserves space for `range`, in bytes from the start, and makes its pages present.
    ///
    /// # Errors
    /// The system's, and when `range` leaves the mapping. Some pages may be present then.
    pub(crate) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        if range.start > range.end || range.end > self.len() {
            let message = format!("bytes {range:?} leave a mapping of {} bytes", self.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if range.is_empty() {
            return Ok(());
        }
        if let Some(file) = &self.file {
            reserve(file, &range)?;
        }
        let start = range.start / PAGE_BYTES * PAGE_BYTES;
        match populate_pages(&self.memory, start..range.end) {
            // Kernels before 5.14. The space is reserved, so that touching cannot fail.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.touch(start..range.end);
                Ok(())
            }
            other => other,
        }
    }

    /// Writes one byte of each page back to itself. `range` is reserved and inside the mapping.
    fn touch(&self, range: Range<usize>) {
        for offset in range.step_by(PAGE_BYTES) {
            // SAFETY: `offset` is inside the mapping (invariant 1).
            let byte = unsafe { self.memory.as_mut_ptr().add(offset) };
            // SAFETY: the byte is mapped (1). Populating comes before any use of the range, so
            // nothing else accesses the byte (2).
            let value = unsafe { byte.read_volatile() };
            // SAFETY: as above.
            unsafe { byte.write_volatile(value) };
        }
    }

    /// Lets a forked child see 0 in the first `len` bytes, whatever the parent wrote there.
    ///
    /// For private memory only. Where the system knows nothing like it, does nothing.
    ///
    /// # Errors
    /// The system's; Linux knows it since 4.14, some sandboxes never.
    pub(crate) fn wipe_on_fork(&self, len: usize) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            let start = self.memory.as_mut_ptr().cast();
            let len = len.min(self.len());
            // SAFETY: the range is mapped by this mapping alone (1, 2); the advice changes
            // nothing in this process.
            let wiping = unsafe { madvise(start, len, Advice::LinuxWipeOnFork) };
            wiping.map_err(|error| {
                let message = format!("memory cannot be wiped on fork: {error}; Linux 4.14 can");
                io::Error::new(io::Error::from(error).kind(), message)
            })?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = len;
        Ok(())
    }

    /// Where the memory begins.
    pub(crate) fn start(&self) -> NonNull<u8> {
        // SAFETY: a successful mapping never lies at address 0.
        unsafe { NonNull::new_unchecked(self.memory.as_mut_ptr()) }
    }

    /// Bytes in the mapping.
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
    }
}

/// A new file that only its owner can open.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    options.open(path)
}

/// Removes a file that was made but cannot be used, and passes the reason on.
fn abandon(path: &Path, error: io::Error) -> io::Error {
    // If it cannot be removed either, the reason is still the one to tell.
    let _ = std::fs::remove_file(path);
    error
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, range: &Range<usize>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let (offset, len) = (range.start as u64, (range.end - range.start) as u64);
    let reserve = || fallocate(file, FallocateFlags::empty(), offset, len);
    Ok(rustix::io::retry_on_intr(reserve)?)
}

/// Without a call that reserves space a full disk would kill the process.
#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: &Range<usize>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn populate_pages(memory: &MmapRaw, range: Range<usize>) -> io::Result<()> {
    memory.advise_range(memmap2::Advice::PopulateWrite, range.start, range.end - range.start)
}

#[cfg(not(target_os = "linux"))]
fn populate_pages(_: &MmapRaw, _: Range<usize>) -> io::Result<()> {
    Err(io::ErrorKind::InvalidInput.into())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn private_memory_begins_as_zeros_and_can_be_populated_twice() {
        let mapping = Mapping::anonymous(3 * PAGE_BYTES).unwrap();
        mapping.populate(0..3 * PAGE_BYTES).unwrap();
        mapping.populate(5000..5001).unwrap();
        // SAFETY: the mapping has three pages and no other user.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.start().as_ptr(), mapping.len()) };
        assert!(bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn touching_changes_nothing() {
        let mapping = Mapping::anonymous(2 * PAGE_BYTES).unwrap();
        // SAFETY: the first byte is mapped and has no other user.
        unsafe { mapping.start().write(7) };
        mapping.touch(0..2 * PAGE_BYTES);
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.start().read() }, 7);
    }

    #[test]
    fn a_mapped_file_keeps_what_was_written_and_is_private_to_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let mapping = Mapping::create(&path, 2 * PAGE_BYTES).unwrap();
        // SAFETY: the byte is mapped and has no other user.
        unsafe { mapping.start().write(42) };
        drop(mapping);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len(), bytes[0]), (2 * PAGE_BYTES, 42));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_cut_or_removed_is_not_in_its_place_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let mapping = Mapping::create(&path, 2 * PAGE_BYTES).unwrap();
        assert!(mapping.is_in_place());
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(PAGE_BYTES as u64).unwrap();
        assert!(!mapping.is_in_place());
        file.set_len(2 * PAGE_BYTES as u64).unwrap();
        assert!(mapping.is_in_place());
        std::fs::remove_file(&path).unwrap();
        assert!(!mapping.is_in_place());
        std::fs::write(&path, [0; 2 * PAGE_BYTES]).unwrap();
        assert!(!mapping.is_in_place(), "another file took the name");
        assert!(Mapping::anonymous(PAGE_BYTES).unwrap().is_in_place());
    }

    #[test]
    fn a_file_that_was_cut_is_removed_and_one_that_took_its_name_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let mapping = Mapping::create(&path, PAGE_BYTES).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::fs::write(&path, "another").unwrap();
        mapping.remove_file();
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        std::fs::rename(&aside, &path).unwrap();
        mapping.remove_file();
        assert!(!path.exists());
    }

    #[test]
    fn a_name_that_is_taken_is_refused_even_if_it_is_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = Mapping::create(&link, PAGE_BYTES).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!target.exists());
    }

    #[test]
    fn space_that_cannot_be_had_is_an_error_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        assert!(Mapping::create(&path, 1 << 46).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_range_outside_the_mapping_is_refused() {
        let mapping = Mapping::anonymous(PAGE_BYTES).unwrap();
        assert!(mapping.populate(0..PAGE_BYTES + 1).is_err());
    }
}
