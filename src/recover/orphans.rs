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
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::manifest::is_other_boot;
use super::rings::{self, read_rings, remove_rings};
use super::{Manifest, ProcessFacts, ProcessFile};
use crate::journal::{Journal, JournalError, JournalOptions, Scan};
use crate::sys;
use crate::sys::lock::FileLock;

/// Directories of rings that one sweep looks into.
const DIRS_MAX: usize = 64;
/// A sweep begins with no further directory after this time.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Sweeps the directories of rings below `base`, all but `kept`, for the owner of the journal `own`,
/// which is locked. `boot_id` is that of this boot. Returns what there is to tell, a line each.
///
/// Only directories that are this user's are looked into, and only what rollway made there is
/// removed. What has no unread records goes. Rings of a journal that nobody uses are drained into
/// it. Rings of another boot are lost: they go, and that is told. What cannot be read, or has its
/// journal directory where this process does not see it, stays, and that is told, too. At most 64
/// directories, and none is begun after a second: the rest is the next start's.
pub fn sweep(base: &Path, kept: Option<&Path>, own: u128, boot_id: u128) -> Vec<String> {
    if let Err(error) = sys::file::check_owned_dir(base) {
        return vec![format!("rings below {}: nobody sweeps them: {error}", base.display())];
    }
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
    match sys::file::check_owned_dir(dir) {
        // Another sweep was first.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    }
    let facts = ProcessFile::read_dead(dir);
    let mut journal_lock = None;
    let mut is_journal_missing = false;
    if let Ok(facts) = &facts
        && facts.source != own
    {
        if !facts.journal_dir.is_absolute() {
            let what = format!("`{}` is no journal directory", facts.journal_dir.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        match std::fs::metadata(&facts.journal_dir) {
            Ok(_) => journal_lock = FileLock::try_acquire(&facts.journal_dir.join("lock"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => is_journal_missing = true,
            Err(error) => return Err(error),
        }
        if journal_lock.is_none() && !is_journal_missing {
            // A process lives with it, or starts, and sees to these rings itself.
            return Ok(None);
        }
    }
    let Some(lock) = FileLock::try_acquire(&dir.join("lock"))? else { return Ok(None) };
    if lock.file().metadata()?.nlink() == 0 {
        // It was another sweep's, which has removed it.
        return Ok(None);
    }

    let mut unreadable = Vec::new();
    let rings = read_rings(dir, &mut unreadable)?;
    if let Some(reason) = unreadable.first() {
        return Err(io::Error::other(format!("{} cannot be read: {reason}", unreadable.len())));
    }
    let untold = rings::untold_drops(dir);
    let untold = match untold {
        0 => String::new(),
        _ => format!("; {untold} drops that the log does not tell are lost with them"),
    };
    let unread_bytes: u64 = rings.values().map(|ring| ring.tail - ring.head).sum();
    if unread_bytes == 0 {
        // The journal has what they held: its next owner is not to miss them.
        if let (Ok(facts), Some(_)) = (&facts, &journal_lock)
            && let Some(manifest) = Manifest::naming(dir, facts)?
        {
            Manifest { rings: None, ..manifest }.write(&facts.journal_dir)?;
        }
        remove_rings(dir)?;
        let whose = facts.map_or_else(|_| "somebody".to_owned(), |facts| facts.service);
        return Ok((!untold.is_empty()).then(|| format!("`{whose}` left nothing unread{untold}")));
    }
    let facts = facts?;
    let (service, journal) = (&facts.service, facts.journal_dir.display());
    if is_other_boot(facts.boot_id, boot_id) {
        remove_rings(dir)?;
        return Ok(Some(format!(
            "`{service}` left them before the machine was restarted; {unread_bytes} bytes of events \
             are lost{untold}"
        )));
    }
    if is_journal_missing {
        // Somebody else may see it: not every process has the same file systems.
        return Err(io::Error::other(format!(
            "the journal {journal} of `{service}` is not here; {unread_bytes} bytes of events wait \
             for it"
        )));
    }
    if facts.boot_id != boot_id {
        let what = format!("{unread_bytes} bytes of events of `{service}` wait for its next start");
        return Err(io::Error::other(format!("the boot is not known; {what}")));
    }
    if journal_lock.is_none() {
        return Err(io::Error::other(format!("{unread_bytes} bytes of events are damaged")));
    }
    let drained_bytes = drain_orphan(dir, &facts)?;
    Ok(Some(format!(
        "{drained_bytes} bytes of events of `{service}` went to its journal {journal}{untold}"
    )))
}

/// Drains rings into the journal that they belong to. Both locks are held. Bytes of records.
fn drain_orphan(dir: &Path, facts: &ProcessFacts) -> io::Result<u64> {
    let Some(manifest) = Manifest::naming(dir, facts)? else {
        let journal = facts.journal_dir.display();
        return Err(io::Error::other(format!("the journal {journal} does not name them")));
    };
    let failed = |error: JournalError| io::Error::other(error);
    let scan = Scan::of_run(&facts.journal_dir, manifest.source, manifest.epoch);
    let (scan, ring_ends) = scan.map_err(failed)?;
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::Anchor;
    use crate::ring::{self, Refresh, RingOptions};
    use crate::sys::words::SharedWords;
    use std::path::PathBuf;
    use std::sync::atomic::Ordering;

    const BOOT: u128 = 5;

    /// Rings with one record, as the process of `source` left them for `journal_dir`.
    fn leave(base: &Path, source: u128, boot_id: u128, journal_dir: PathBuf) -> PathBuf {
        let dir = base.join(format!("{source:032x}-1"));
        std::fs::create_dir(&dir).unwrap();
        let path = Some(dir.join("ring-1"));
        let ring = ring::create(RingOptions { capacity_bytes: 16 << 10, id: 1, path }).unwrap();
        let (mut producer, _consumer) = ring.split();
        assert_eq!(producer.refresh(24), Refresh::Ready);
        producer.reserve(24).unwrap().fill(1);
        producer.commit();
        let facts = ProcessFacts {
            anchor: Anchor { ticks: 1, utc_ns: 1 },
            nanos_per_tick: 1.0,
            source,
            epoch: 1,
            boot_id,
            pid: 1,
            service: "shop".to_owned(),
            host: "host".to_owned(),
            journal_dir,
        };
        let anchor = facts.anchor;
        ProcessFile::create(&dir, facts).unwrap().store(anchor, 1.0).unwrap();
        dir
    }

    #[test]
    fn nothing_foreign_is_removed_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (base, elsewhere) = (dir.path().join("rings"), dir.path().join("elsewhere"));
        let journal = dir.path().join("journal");
        for path in [&base, &elsewhere, &journal] {
            std::fs::create_dir(path).unwrap();
        }
        let aside = leave(&elsewhere, 7, BOOT - 1, journal.clone());
        let link = base.join(aside.file_name().unwrap());
        std::os::unix::fs::symlink(&aside, &link).unwrap();
        let rings = leave(&base, 8, BOOT - 1, journal);
        std::fs::write(rings.join("notes"), "mine").unwrap();

        let told = sweep(&base, None, 1, BOOT);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(link.is_symlink() && aside.join("ring-1").exists());
        let left = std::fs::read_dir(&rings).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["notes"]);

        let base_link = dir.path().join("link");
        std::os::unix::fs::symlink(&elsewhere, &base_link).unwrap();
        let told = sweep(&base_link, None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("symlink")), "{told:?}");
        assert!(aside.join("ring-1").exists());
    }

    #[test]
    fn rings_from_before_a_restart_go_and_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let rings = leave(dir.path(), 7, BOOT - 1, journal);
        let told = sweep(dir.path(), None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("24 bytes") && line.contains("shop")));
        assert!(!rings.exists());
        assert_eq!(sweep(dir.path(), None, 1, BOOT), [""; 0]);
    }

    #[test]
    fn what_the_dead_dropped_and_did_not_tell_is_told_when_their_rings_go() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let rings = leave(dir.path(), 7, BOOT - 1, journal);
        let words = SharedWords::create(Some(&rings.join("drops")), 4).unwrap();
        for (at, count) in [5, 2, 1, 2].into_iter().enumerate() {
            words.word(at).store(count, Ordering::Relaxed);
        }
        drop(words);
        let told = sweep(dir.path(), None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("4 drops")), "{told:?}");
    }

    #[test]
    fn pipes_and_rings_under_another_name_hold_nobody_up_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let rings = leave(dir.path(), 7, BOOT, journal);
        std::fs::copy(rings.join("ring-1"), rings.join("ring-2")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(rings.join("ring-3")).status();
        assert!(pipe.unwrap().success());
        let told = sweep(dir.path(), None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("2 cannot be read")), "{told:?}");
        assert!(rings.join("ring-1").exists());
    }

    #[test]
    fn rings_of_a_boot_that_is_not_known_stay_and_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        for (stored, this) in [(0, BOOT), (BOOT, 0)] {
            let rings = leave(dir.path(), 7, stored, journal.clone());
            let told = sweep(dir.path(), None, 1, this);
            assert!(matches!(&*told, [line] if line.contains("24 bytes")), "{told:?}");
            assert!(rings.join("ring-1").exists());
            remove_rings(&rings).unwrap();
        }
    }

    #[test]
    fn rings_with_an_owner_or_of_a_journal_in_use_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let _journal_lock = FileLock::try_acquire(&journal.join("lock")).unwrap().unwrap();
        let of_used_journal = leave(dir.path(), 7, BOOT, journal);
        let owned = leave(dir.path(), 8, BOOT, dir.path().join("gone"));
        let _rings_lock = FileLock::try_acquire(&owned.join("lock")).unwrap().unwrap();
        let kept = leave(dir.path(), 9, BOOT, dir.path().join("gone"));
        assert_eq!(sweep(dir.path(), Some(&kept), 1, BOOT), [""; 0]);
        assert!(of_used_journal.exists() && owned.exists() && kept.exists());
    }

    #[test]
    fn rings_that_do_not_say_where_their_journal_is_stay() {
        let dir = tempfile::tempdir().unwrap();
        for (source, journal_dir) in [(7, ""), (8, "journal")] {
            let rings = leave(dir.path(), source, BOOT, journal_dir.into());
            let told = sweep(dir.path(), None, 1, BOOT);
            assert!(told.iter().any(|line| line.contains("no journal directory")), "{told:?}");
            assert!(rings.join("ring-1").exists());
        }
    }

    #[test]
    fn rings_that_their_journal_does_not_name_stay_and_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        Manifest { source: 7, epoch: 2, boot_id: BOOT, rings: None }.write(&journal).unwrap();
        let rings = leave(dir.path(), 7, BOOT, journal);
        let told = sweep(dir.path(), None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("they stay")), "{told:?}");
        assert!(rings.join("ring-1").exists());
    }

    #[test]
    fn a_sweep_has_a_bound_and_says_that_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        for source in 0..DIRS_MAX + 3 {
            std::fs::create_dir(dir.path().join(format!("{source:032x}-1"))).unwrap();
        }
        std::fs::create_dir(dir.path().join("foreign")).unwrap();
        let told = sweep(dir.path(), None, 1, BOOT);
        assert!(matches!(&*told, [line] if line.contains("the rest")), "{told:?}");
        // On a slow machine the time was over before.
        while !sweep(dir.path(), None, 1, BOOT).is_empty() {}
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
