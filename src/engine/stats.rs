//! What an engine counts.

use super::drops::Dropped;
use super::group::ClusterStats;
use super::outlet::OutletStats;
use super::reload::ReloadStats;
use super::{Durability, Shared, fork};
use crate::journal::{Losses, Position};

/// Counters and positions of an engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// What an event survives when its log call returns, in the ring that survives least.
    pub durability: Durability,
    /// Threads that have a ring.
    pub rings: usize,
    /// Of these, the rings whose events are L0: on the heap, or in files that were removed or cut.
    /// The others' are L1.
    pub heap_rings: usize,
    /// Rings that were lost so far because somebody cut their files.
    pub lost_rings: u64,
    /// Bytes of records that were unread in them. They are lost, and the log says so.
    pub lost_ring_bytes: u64,
    /// Blocks written to the journal.
    pub blocks: u64,
    /// Bytes of records written to the journal.
    pub record_bytes: u64,
    /// Where the journal ends.
    pub end: Position,
    /// Up to where the last successful sync came: what this run appended before it survives a power
    /// failure (L2), but for what syncs that failed should have covered. The start of everything
    /// before the first sync, and with a journal in memory.
    pub synced: Position,
    /// Syncs of the journal that failed.
    pub sync_errors: u64,
    /// What others took from the journal while it was written.
    pub losses: Losses,
    /// Dropped and cut events.
    pub dropped: Dropped,
    /// The error that keeps the writer from the journal right now.
    pub journal_error: Option<String>,
    /// The appenders.
    pub appenders: Vec<OutletStats>,
    /// Changes of the configuration while the program runs.
    pub reloads: ReloadStats,
    /// The cluster, if the process is in one and does not stand alone.
    pub cluster: Option<ClusterStats>,
}

impl Shared {
    pub(super) fn stats(&self) -> Stats {
        if self.is_forked()
            && let Some(heir) = fork::started_heir_of(self)
        {
            return heir.stats();
        }
        let progress = self.progress().clone();
        let of_rings = if progress.heap_rings > 0 { Durability::L0 } else { Durability::L1 };
        Stats {
            durability: self.home.durability().min(of_rings),
            rings: progress.rings,
            heap_rings: progress.heap_rings,
            lost_rings: progress.lost_rings,
            lost_ring_bytes: progress.lost_ring_bytes,
            blocks: progress.blocks,
            record_bytes: progress.record_bytes,
            end: self.journal.end(),
            synced: self.journal.synced(),
            sync_errors: self.journal.sync_errors(),
            losses: self.journal.losses(),
            dropped: self.drops.counts(),
            journal_error: progress.error,
            appenders: self.outlets.stats(),
            reloads: self.plan.stats(),
            cluster: self.member.as_ref().map(|member| member.stats()),
        }
    }
}
