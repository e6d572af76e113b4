//! Files and directories that belong to rollway: private, reserved ahead, replaced atomically.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::fs::{CWD, RenameFlags};
use rustix::fs::{OFlags, SeekFrom};

use super::crash::{self, CrashPoint};

/// Makes a directory and its missing parents with mode 0700.
///
/// # Errors
/// When it cannot be made, or when what stands there is no directory or belongs to another user.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    create_dirs(DirBuilder::new().recursive(true).mode(0o700), path)?;
    let found = std::fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"));
    }
    Ok(())
}

/// Makes a directory below a shared one such as the shm mount: mode 0700, not through a symlink,
/// and ours.
///
/// # Errors
/// When it cannot be made, is a symlink, or belongs to another user.
pub(crate) fn create_owned_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    check_owned_dir(path)
}

/// Whether a directory is a real one, no symlink, and ours.
///
/// # Errors
/// When it is not, or cannot be looked at.
pub(crate) fn check_owned_dir(path: &Path) -> io::Result<()> {
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != user_id() {
        let what = "it is a symlink, no directory, or belongs to another user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

/// The number of the user that the process acts for.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens a file for reading. Symlinks in the last place are not followed.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::CLOEXEC.bits() as i32).open(path)
}

/// Opens a file of mode 0600 for reading and writing, making it if it is missing.
///
/// # Errors
/// When it cannot be opened or made, or is a symlink.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let flags = (OFlags::CLOEXEC | OFlags::NOFOLLOW).bits() as i32;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}

/// Makes a new file of `bytes` zeroes whose space is reserved.
///
/// # Errors
/// When it exists, or when the disk has no room: nothing can go wrong later on its account.
pub(crate) fn create_reserved(path: &Path, bytes: u64) -> io::Result<File> {
    let flags = (OFlags::CLOEXEC | OFlags::NOFOLLOW).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    crash::reached(CrashPoint::SegmentCreated);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    Ok(file)
}

/// Makes the names that were given and taken in a directory survive a power failure.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    sync_names(&File::open(dir)?)
}

/// The same for an open directory. Some file systems of a network cannot do it; that is no error.
///
/// # Errors
/// When it cannot be synced.
pub(crate) fn sync_names(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Makes a directory and those that it lies in, and has the names survive a power failure, as far as
/// that is possible.
///
/// # Errors
/// When one cannot be made.
pub(crate) fn create_dirs(builder: &DirBuilder, path: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    builder.create(path)?;
    for made in missing {
        let _ = sync_dir(parent(made));
    }
    Ok(())
}

/// The room on a file system, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Space {
    /// All of it.
    pub(crate) total_bytes: u64,
    /// What this user may still take.
    pub(crate) free_bytes: u64,
}

/// The room on the file system of `path`.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { total_bytes: bytes(found.f_blocks), free_bytes: bytes(found.f_bavail) })
}

/// Whether the error says that a disk, or the user's share of it, is full.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Gives back what was reserved in a file behind `end` and never written. What was written stays.
///
/// # Errors
/// When the file cannot be opened or cut.
pub(crate) fn give_back_behind(path: &Path, end: u64) -> io::Result<()> {
    let flags = (OFlags::CLOEXEC | OFlags::NOFOLLOW).bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let length = file.metadata()?.len();
    let mut end = end.min(length);
    // Stretches of data alternate with stretches that were reserved only.
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(end)) {
        end = rustix::fs::seek(&file, SeekFrom::Hole(data))?;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

/// Reserves space behind the end of a file without changing its length; a file system that cannot
/// is no error.
pub(crate) fn reserve_ahead(file: &File, from: u64, bytes: u64) {
    let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, from, bytes);
}

/// Replaces a file's content so that a crash leaves the old or the new one, whole.
///
/// # Errors
/// When the new file cannot be written, synced or renamed.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = open_private(&fresh)?;
    file.set_len(0)?;
    file.write_all(content)?;
    crash::reached(CrashPoint::ReplaceWrite);
    file.sync_all()?;
    crash::reached(CrashPoint::ReplaceSync);
    std::fs::rename(&fresh, path)?;
    crash::reached(CrashPoint::ReplaceRename);
    path.parent().map_or(Ok(()), sync_dir)
}

/// Gives a file another name, unless something has that name already.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] then, and nothing was renamed; else the system's.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
        renamed => return Ok(renamed?),
    }
    match std::fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// The directory that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file's content so that readers see the old or the new one, whole. Nothing is synced:
/// after a power failure neither may be there.
///
/// # Errors
/// When the new file cannot be written or renamed.
pub(crate) fn exchange(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = open_private(&fresh)?;
    file.set_len(0)?;
    file.write_all(content)?;
    std::fs::rename(&fresh, path)
}

/// The identity of this boot of the machine; zeroes where the system does not tell:
/// they are no boot, and whoever compares looks for them first.
pub(crate) fn boot_id() -> [u8; 16] {
    let of_system = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let text = super::crash::boot_id().or_else(of_system).unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
}

/// The machine's host name, `localhost` where the system does not tell.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
