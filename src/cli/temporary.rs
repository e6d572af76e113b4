//! A directory of a command's own that goes when the command goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Removed with all that is in it when it is dropped.
pub(super) struct TemporaryDir {
    pub(super) path: PathBuf,
}

impl TemporaryDir {
    /// Makes `rollway-COMMAND-PID-TIME` in `parent`, for this user alone.
    pub(super) fn new(parent: &Path, command: &str) -> io::Result<TemporaryDir> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let path = parent.join(format!("rollway-{command}-{}-{now}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(TemporaryDir { path })
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        // What stays is a temporary directory's business.
        let _ = fs::remove_dir_all(&self.path);
    }
}
