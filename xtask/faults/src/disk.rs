//! Disks that can be filled, and system calls that fail.
//!
//! A [`Disk`] is a file system of a fixed size in a mount namespace of its own, held by a child process
//! and gone with it, however the bench ends: the child ends when its standard input does. A program
//! enters it by the words that [`Disk::enter`] puts in front of its command line; the bench itself sees
//! it below `/proc/…/root`. [`injecting`] puts `strace` in front of a program in the same way.
//!
//! Where the machine does not allow one of these, they say why, and the case is skipped.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What fills a disk.
const FILLER: &str = "filler";
/// The image of an ext4 file system, beside its mount point.
const IMAGE: &str = "ext4.img";

/// A small file system.
pub(crate) struct Disk {
    /// The process that lives in its namespace.
    holder: Child,
    mount: PathBuf,
    /// Whether the namespace has users of its own.
    own_users: bool,
}

impl Disk {
    /// A memory file system of `bytes`, mounted below `dir`.
    ///
    /// # Errors
    /// Why this machine does not give one.
    pub(crate) fn tmpfs(dir: &Path, bytes: u64) -> Result<Disk, String> {
        let script = format!(
            "mount -t tmpfs -o size={bytes},mode=0700 none \"$0\" && echo ready && exec cat"
        );
        Disk::hold(dir, &["-rm"], &script, true)
    }

    /// An ext4 file system in an image of `bytes`, mounted below `dir`. Only root may mount it.
    ///
    /// # Errors
    /// Why this machine does not give one.
    pub(crate) fn ext4(dir: &Path, bytes: u64) -> Result<Disk, String> {
        let image = dir.join(IMAGE);
        let failed = |error: io::Error| format!("{}: {error}", image.display());
        fs::write(&image, []).map_err(failed)?;
        fs::OpenOptions::new()
            .write(true)
            .open(&image)
            .and_then(|file| file.set_len(bytes))
            .map_err(failed)?;
        // No blocks for root alone: the disk is full for everybody at the same byte.
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).output();
        let made = made.map_err(|error| format!("mkfs.ext4 cannot be run: {error}"))?;
        if !made.status.success() {
            return Err(format!("mkfs.ext4: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let script = format!("mount -o loop \"$0\"/../{IMAGE} \"$0\" && echo ready && exec cat");
        Disk::hold(dir, &["-m"], &script, false)
    }

    fn hold(dir: &Path, flags: &[&str], script: &str, own_users: bool) -> Result<Disk, String> {
        let mount = dir.join("disk");
        fs::create_dir_all(&mount).map_err(|error| format!("{}: {error}", mount.display()))?;
        let holder = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", script])
            .arg(&mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut holder = holder.map_err(|error| format!("unshare cannot be run: {error}"))?;
        let mut ready = String::new();
        if let Some(stdout) = holder.stdout.take() {
            // What it says instead is read below.
            let _ = BufReader::new(stdout).read_line(&mut ready);
        }
        if ready.trim() == "ready" {
            return Ok(Disk { holder, mount, own_users });
        }
        let said = holder.wait_with_output().map_err(|error| format!("unshare: {error}"))?;
        Err(format!("no mount here: {}", String::from_utf8_lossy(&said.stderr).trim()))
    }

    /// The words in front of a program that make it see the disk.
    pub(crate) fn enter(&self) -> Vec<OsString> {
        let mut words = vec!["nsenter".to_owned(), format!("--target={}", self.holder.id())];
        if self.own_users {
            words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        words.extend(["--mount".to_owned(), "--".to_owned()]);
        words.into_iter().map(OsString::from).collect()
    }

    /// Where a program inside sees it.
    pub(crate) fn inside(&self) -> &Path {
        &self.mount
    }

    /// Where the bench sees it.
    pub(crate) fn outside(&self) -> PathBuf {
        let mount = self.mount.strip_prefix("/").unwrap_or(&self.mount);
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(mount)
    }

    /// Takes every free byte.
    ///
    /// # Errors
    /// Anything but a full disk.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut filler = options.create(true).append(true).open(self.outside().join(FILLER))?;
        for piece in [64 << 10, 4 << 10, 1] {
            let zeros = vec![0; piece];
            loop {
                match filler.write(&zeros) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        match filler.sync_all() {
            Err(error) if error.kind() != ErrorKind::StorageFull => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives back what [`Disk::fill`] took.
    ///
    /// # Errors
    /// From the file system. A disk that is not filled is none.
    pub(crate) fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.outside().join(FILLER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets nobody write any more. Refused while a file is open for writing.
    ///
    /// # Errors
    /// What `mount` says.
    pub(crate) fn make_read_only(&self) -> Result<(), String> {
        let words = self.enter();
        let mut mount = Command::new(&words[0]);
        let ran =
            mount.args(&words[1..]).args(["mount", "-o", "remount,ro"]).arg(&self.mount).output();
        let ran = ran.map_err(|error| format!("nsenter cannot be run: {error}"))?;
        if ran.status.success() {
            return Ok(());
        }
        Err(format!("mount: {}", String::from_utf8_lossy(&ran.stderr).trim()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_file(self.mount.with_file_name(IMAGE));
    }
}

/// The words in front of a program that make some of its system calls fail or wait, as
/// `fdatasync:error=EIO:when=1`; on files of `only` alone, where it is given.
///
/// # Errors
/// Why this machine cannot do that.
pub(crate) fn injecting(
    rules: &[&str],
    only: Option<&Path>,
    log: &Path,
) -> Result<Vec<OsString>, String> {
    let tried = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    match tried {
        Err(error) => return Err(format!("strace cannot be run: {error}")),
        Ok(tried) if !tried.status.success() => {
            return Err(format!("strace: {}", String::from_utf8_lossy(&tried.stderr).trim()));
        }
        Ok(_) => {}
    }
    let calls: Vec<&str> = rules.iter().filter_map(|rule| rule.split(':').next()).collect();
    let mut words: Vec<OsString> =
        ["strace", "-f", "-qq", "--seccomp-bpf", "-o"].map(OsString::from).into();
    words.push(log.into());
    words.extend(["-e".into(), format!("trace={}", calls.join(",")).into()]);
    for rule in rules {
        words.extend(["-e".into(), format!("inject={rule}").into()]);
    }
    if let Some(only) = only {
        words.extend(["-P".into(), only.into()]);
    }
    words.push("--".into());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell inside a disk; what it printed, and whether it succeeded.
    fn inside(disk: &Disk, script: &str) -> (String, bool) {
        let words = disk.enter();
        let mut command = Command::new(&words[0]);
        let ran = command.args(&words[1..]).args(["sh", "-c", script]).arg(disk.inside()).output();
        let ran = ran.unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), ran.status.success())
    }

    fn is_filled_and_freed(disk: Result<Disk, String>) {
        let disk = match disk {
            Ok(disk) => disk,
            Err(reason) => return println!("skipped: {reason}"),
        };
        assert!(inside(&disk, "echo first > \"$0\"/a").1);
        assert_eq!(fs::read(disk.outside().join("a")).unwrap(), b"first\n");
        disk.fill().unwrap();
        let (said, succeeded) = inside(&disk, "head -c 8192 /dev/zero > \"$0\"/b");
        assert!(!succeeded && said.contains("No space left"), "{said}");
        disk.free().unwrap();
        assert!(inside(&disk, "head -c 8192 /dev/zero > \"$0\"/b").1);
        let (outside, mount) = (disk.outside(), disk.inside().to_owned());
        drop(disk);
        assert!(!outside.exists());
        assert_eq!(fs::read_dir(mount).unwrap().count(), 0);
    }

    #[test]
    fn a_memory_disk_is_full_until_it_is_freed_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        is_filled_and_freed(Disk::tmpfs(dir.path(), 1 << 20));
    }

    #[test]
    fn an_ext4_disk_is_full_until_it_is_freed_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        is_filled_and_freed(Disk::ext4(dir.path(), 8 << 20));
    }

    #[test]
    fn a_system_call_fails_where_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let words = match injecting(
            &["openat:error=EIO"],
            Some(&dir.path().join("a")),
            Path::new("/dev/null"),
        ) {
            Ok(words) => words,
            Err(reason) => return println!("skipped: {reason}"),
        };
        for (name, succeeds) in [("a", false), ("b", true)] {
            fs::write(dir.path().join(name), "text").unwrap();
            let mut command = Command::new(&words[0]);
            let ran = command.args(&words[1..]).arg("cat").arg(dir.path().join(name)).output();
            assert_eq!(ran.unwrap().status.success(), succeeds, "{name}");
        }
    }
}
