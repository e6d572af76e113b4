//! Rings of dead processes of other journals: each start sweeps its user's orphans.
//!
//! A process that is killed and not started again leaves its rings on a memory file system, where
//! they take room and end with the machine. Whoever starts next drains them into the journal that
//! they belong to, as its own next start would.
//!
//! For each directory the journal's lock comes first and the rings' lock second, in the order of a
//! start; neither is waited for. So two sweeps at once, and a sweep and a start, leave each other
//! alone. Each step may be the last: see [`drain`](super::drain).

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::rings::{self, read_rings, remove_rings};
use super::{Manifest, ProcessFacts, ProcessFile};
use crate::journal::{Journal, JournalError, JournalOptions, Scan};
use crate::sys::lock::FileLock;

/// Directories of rings that one sweep looks into.
const DIRS_MAX: usize = 64;
/// A sweep begins with no further directory after this time.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Sweeps the directories of rings below `base`, all but `kept`, for the owner of the journal `own`,
/// which is locked. `boot_id` is that of this boot. Returns what there is to tell, a line each.
///
/// What has no unread records goes. Rings of a journal that nobody uses are drained into it. Rings
/// whose journal directory is gone, and those of another boot, are lost: they go, and that is told.
/// What cannot be read stays, and that is told, too. At most 64 directories, and none is begun after
/// a second: the rest is the next start's.
pub fn sweep(base: &Path, kept: Option<&Path>, own: u128, boot_id: u128) -> Vec<String> {
    let mut told = Vec::new();
    let began = Instant::now();
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| is_rings_name(&entry.file_name())).map(|entry| entry.path());
    for (at, dir) in dirs.filter(|dir| Some(&**dir) != kept).enumerate() {
        if at >= DIRS_MAX || began.elapsed() >= TIME_MAX {
            told.push(format!("{}: the next start sweeps the rest of the rings", base.display()));
            break;
        }
        match sweep_dir(&dir, own, boot_id) {
            Ok(None) => {}
            Ok(Some(line)) => told.push(format!("rings {}: {line}", dir.display())),
            Err(error) => told.push(format!("rings {}: they stay: {error}", dir.display())),
        }
    }
    told
}

/// Whether a directory is named as rings are: source and epoch.
fn is_rings_name(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.split_once('-'));
    parts.is_some_and(|(source, epoch)| {
        source.len() == 32
            && source.bytes().all(|byte| byte.is_ascii_hexdigit())
            && epoch.parse::<u64>().is_ok()
    })
}

/// Sweeps one directory; the line is what there is to tell.
fn sweep_dir(dir: &Path, own: u128, boot_id: u128) -> io::Result<Option<String>> {
    let facts = ProcessFile::read_dead(dir);
    let mut journal_lock = None;
    let mut is_journal_gone = false;
    if let Ok(facts) = &facts
        && facts.source != own
    {
        match std::fs::symlink_metadata(facts.journal_dir.join("manifest")) {
            Ok(_) => journal_lock = FileLock::try_acquire(&facts.journal_dir.join("lock"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => is_journal_gone = true,
            Err(error) => return Err(error),
        }
        if journal_lock.is_none() && !is_journal_gone {
            // A process lives with it, or starts, and sees to these rings itself.
            return Ok(None);
        }
    }
    let Some(_lock) = FileLock::try_acquire(&dir.join("lock"))? else { return Ok(None) };

    let mut unreadable = Vec::new();
    let rings = read_rings(dir, &mut unreadable)?;
    if let Some(reason) = unreadable.first() {
        return Err(io::Error::other(format!("{} cannot be read: {reason}", unreadable.len())));
    }
    let unread_bytes: u64 = rings.values().map(|ring| ring.tail - ring.head).sum();
    if unread_bytes == 0 {
        remove_rings(dir)?;
        return Ok(None);
    }
    let facts = facts?;
    let (service, journal) = (&facts.service, facts.journal_dir.display());
    if facts.boot_id != boot_id {
        remove_rings(dir)?;
        return Ok(Some(format!(
            "`{service}` left them before the machine was restarted; {unread_bytes} bytes of events \
             are lost"
        )));
    }
    if is_journal_gone {
        remove_rings(dir)?;
        return Ok(Some(format!(
            "the journal {journal} of `{service}` is gone; {unread_bytes} bytes of events are lost"
        )));
    }
    if journal_lock.is_none() {
        return Err(io::Error::other(format!("{unread_bytes} bytes of events are damaged")));
    }
    let drained_bytes = drain_orphan(dir, &facts)?;
    Ok(Some(format!(
        "{drained_bytes} bytes of events of `{service}` went to its journal {journal}"
    )))
}

/// Drains rings into the journal that they belong to. Both locks are held. Bytes of records.
fn drain_orphan(dir: &Path, facts: &ProcessFacts) -> io::Result<u64> {
    let manifest = Manifest::read(&facts.journal_dir)?.filter(|manifest| {
        (manifest.source, manifest.epoch) == (facts.source, facts.epoch)
            && manifest.rings.as_deref() == Some(dir)
    });
    let Some(manifest) = manifest else {
        let journal = facts.journal_dir.display();
        return Err(io::Error::other(format!("the journal {journal} does not name them")));
    };
    let failed = |error: JournalError| io::Error::other(error);
    let scan = Scan::of_directory(&facts.journal_dir).map_err(failed)?;
    let ring_ends = scan.ring_ends(manifest.source, manifest.epoch);
    let ring_end = |ring| ring_ends.get(&ring).copied().unwrap_or(0);
    let options = JournalOptions::directory(&facts.journal_dir);
    let (_journal, mut writer) = Journal::in_directory(options, scan).map_err(failed)?;
    let drained = rings::drain_locked(&mut writer, &manifest, dir, ring_end);
    let drained = drained.map_err(io::Error::other)?;
    match drained.unreadable.first() {
        None => Ok(drained.record_bytes),
        Some(reason) => {
            let count = drained.unreadable.len();
            Err(io::Error::other(format!("{count} cannot be read: {reason}")))
        }
    }
}
