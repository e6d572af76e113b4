//! What a process left beside its journal, looked at without touching it.

use std::io;
use std::path::{Path, PathBuf};

use super::manifest::{ProcessFacts, is_other_boot};
use super::rings::read_rings;
use super::{Manifest, ProcessFile};
use crate::record::{self, Records};
use crate::ring;
use crate::sys::{self, lock, words};

/// What has become of whoever wrote a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Owner {
    /// It lives: its lock is held.
    Alive,
    /// It ended in order, and left nothing in rings.
    #[default]
    Ended,
    /// It was killed, and its rings are there.
    Killed,
    /// It was killed, and the machine was restarted since, which took its rings.
    Rebooted,
    /// It was killed, or this is a copy, and its rings are not here.
    Gone,
}

/// What one ring holds beyond the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LeftRing {
    pub id: u32,
    pub os_thread_id: u32,
    pub thread_name: String,
    /// Bytes of records that the journal does not have.
    pub bytes: u64,
    /// Events in them, up to the first damaged record.
    pub events: u64,
    /// What is wrong with the first damaged record.
    pub damage: Option<String>,
}

/// What lies beside a journal.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    /// Who wrote the journal last; `None` for that of a master, or where the file is not there.
    pub manifest: Option<Manifest>,
    /// What has become of it.
    pub owner: Owner,
    /// What the process said of itself, if that is still there.
    pub process: Option<ProcessFacts>,
    /// The rings of a killed process that hold something beyond the journal.
    pub rings: Vec<LeftRing>,
    /// Rings, or what lies beside them, that cannot be read.
    pub unreadable: Vec<String>,
    /// The counters of dropped events of a killed process, and then how many of each it had told.
    pub drops: Vec<u64>,
}

impl Leftovers {
    /// Looks at what lies beside a journal directory. `ring_end` says up to which position the
    /// journal has a ring of the run that the manifest names. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// When the manifest or the rings' directory cannot be read.
    pub fn beside(journal_dir: &Path, ring_end: impl Fn(u32) -> u64) -> io::Result<Leftovers> {
        let manifest = Manifest::read(journal_dir)?;
        if is_held(&journal_dir.join("lock"))? {
            return Ok(Leftovers { manifest, owner: Owner::Alive, ..Leftovers::default() });
        }
        match manifest {
            Some(manifest) => Leftovers::of_rings(manifest, ring_end),
            None => Ok(Leftovers::default()),
        }
    }

    /// The same for what a manifest names, whoever holds the lock of the journal.
    pub(super) fn of_rings(
        manifest: Manifest,
        ring_end: impl Fn(u32) -> u64,
    ) -> io::Result<Leftovers> {
        let (rings_dir, boot_id) = (manifest.rings.clone(), manifest.boot_id);
        let mut left = Leftovers { manifest: Some(manifest), ..Leftovers::default() };
        let Some(rings_dir) = rings_dir else { return Ok(left) };
        left.owner = owner_of(&rings_dir, boot_id)?;
        if left.owner == Owner::Killed {
            left.look_into(&rings_dir, ring_end)?;
        }
        Ok(left)
    }

    /// Bytes of records beyond the journal, in all rings.
    pub fn bytes(&self) -> u64 {
        self.rings.iter().map(|ring| ring.bytes).sum()
    }

    /// Events beyond the journal, in all rings.
    pub fn events(&self) -> u64 {
        self.rings.iter().map(|ring| ring.events).sum()
    }

    /// Where the rings are, or were.
    pub fn rings_dir(&self) -> Option<&PathBuf> {
        self.manifest.as_ref()?.rings.as_ref()
    }

    fn look_into(&mut self, rings_dir: &Path, ring_end: impl Fn(u32) -> u64) -> io::Result<()> {
        match ProcessFile::read_dead(rings_dir) {
            Ok(facts) => self.process = Some(facts),
            Err(error) => self.unreadable.push(format!("{}/process: {error}", rings_dir.display())),
        }
        self.drops = words::read_dead(&rings_dir.join("drops")).unwrap_or_default();
        for dead in read_rings(rings_dir, &mut self.unreadable)?.values() {
            let bytes = ring::bytes_from(dead, ring_end(dead.id));
            let mut left = LeftRing {
                id: dead.id,
                os_thread_id: dead.os_thread_id,
                thread_name: dead.thread_name.clone(),
                bytes: bytes.len() as u64,
                events: 0,
                damage: None,
            };
            for record in Records::new(bytes) {
                match record {
                    Ok(record) => left.events += u64::from(record.site != record::CONTEXT),
                    Err(damaged) => left.damage = Some(damaged.to_string()),
                }
            }
            if left.bytes > 0 {
                self.rings.push(left);
            }
        }
        Ok(())
    }
}

/// Whether the process behind a lock lives. A lock that is not there is held by nobody.
fn is_held(lock_path: &Path) -> io::Result<bool> {
    match lock::is_held(lock_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        held => held,
    }
}

fn owner_of(rings_dir: &Path, boot_id: u128) -> io::Result<Owner> {
    if is_other_boot(boot_id, u128::from_be_bytes(sys::file::boot_id())) {
        return Ok(Owner::Rebooted);
    }
    if !rings_dir.exists() {
        return Ok(Owner::Gone);
    }
    Ok(if is_held(&rings_dir.join("lock"))? { Owner::Alive } else { Owner::Killed })
}
