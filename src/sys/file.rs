//! Files and directories that belong to rollway: private, reserved ahead, replaced atomically.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Makes a directory and its missing parents with mode 0700.
///
/// # Errors
/// When it cannot be made, or when what stands there is no directory or belongs to another user.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
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
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        let what = "it is a symlink, no directory, or belongs to another user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
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
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    Ok(file)
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
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// The identity of this boot of the machine; zeroes where the system does not tell.
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
