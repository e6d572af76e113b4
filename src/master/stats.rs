//! What a master counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::status::Fields;
use crate::engine::{OutletStats, ReloadStats};
use crate::journal::{Losses, Position};
use crate::net::{AckLevel, Reason};

/// What a master has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MasterStats {
    /// What its acknowledgements mean.
    pub level: AckLevel,
    /// Connections that are open now.
    pub connections: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused or ended by the master, by reason.
    pub refused: Vec<(Reason, u64)>,
    /// Connections above the limits that were closed without a word.
    pub dropped_connections: u64,
    /// Attempts to accept a connection that failed, for want of file descriptors for instance.
    pub accept_errors: u64,
    /// Events that were stored.
    pub events: u64,
    /// Blocks of events that were stored.
    pub blocks: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Blocks that came again and were dropped.
    pub duplicates: u64,
    /// Blocks that this master never saw, see *gap* in `docs/protocol.md`.
    pub missing_blocks: u64,
    /// Runs whose marks were forgotten because there were too many, the oldest first. Their blocks
    /// would be stored again.
    pub forgotten_runs: u64,
    /// Frames of a connection that a newer one had replaced. Their blocks come again on that one.
    pub superseded_frames: u64,
    /// Tries to store a block that failed because the journal was full.
    pub journal_full: u64,
    /// Tries to store a block that failed for another reason.
    pub journal_errors: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// What others took from the journal while it was written.
    pub losses: Losses,
    /// The appender that keeps the journal from making room for another segment, when it is at its
    /// bound.
    pub held_by: Option<String>,
    /// The sources that had to wait because they sent more than [`Limits`](super::Limits) allows.
    pub throttled: Vec<Throttled>,
    /// Changes of the configuration while it runs.
    pub reloads: ReloadStats,
    /// One for each appender.
    pub appenders: Vec<OutletStats>,
}

impl MasterStats {
    /// What the status file says of it.
    pub(super) fn status_fields(&self, end: Position) -> String {
        let mut fields = Fields::default();
        fields.text("role", "master");
        fields.text("acknowledges", &format!("{:?}", self.level));
        fields.text("end", &end.to_string());
        for (name, count) in [
            ("connections", self.connections),
            ("accepted", self.accepted),
            ("dropped_connections", self.dropped_connections),
            ("accept_errors", self.accept_errors),
            ("events", self.events),
            ("blocks", self.blocks),
            ("bytes", self.bytes),
            ("duplicates", self.duplicates),
            ("missing_blocks", self.missing_blocks),
            ("forgotten_runs", self.forgotten_runs),
            ("superseded_frames", self.superseded_frames),
            ("journal_full", self.journal_full),
            ("journal_errors", self.journal_errors),
            ("sync_errors", self.sync_errors),
        ] {
            fields.plain(name, count);
        }
        let names: Vec<(String, u64)> =
            self.refused.iter().map(|(reason, count)| (format!("{reason:?}"), *count)).collect();
        fields.counts("refused", names.iter().map(|(name, count)| (&**name, *count)));
        fields.maybe("held_by", self.held_by.as_deref());
        fields.reloads(&self.reloads);
        fields.objects("throttled", self.throttled.iter().map(Throttled::status));
        fields.appenders(&self.appenders);
        fields.into_text()
    }
}

/// A source that sent more than it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttled {
    /// Whose blocks they are.
    pub source: u128,
    /// Frames that had to wait.
    pub frames: u64,
    /// How long they waited together.
    pub waited: Duration,
}

impl Throttled {
    fn status(&self) -> Fields {
        let mut fields = Fields::default();
        fields.text("source", &format!("{:032x}", self.source));
        fields.plain("frames", self.frames);
        fields.plain("waited_ms", self.waited.as_millis());
        fields
    }
}

/// The counters behind it. Each is only ever added to; they are read one by one.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) accepted: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
    pub(super) dropped_connections: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) missing_blocks: AtomicU64,
    pub(super) forgotten_runs: AtomicU64,
    pub(super) superseded_frames: AtomicU64,
    pub(super) journal_full: AtomicU64,
    pub(super) journal_errors: AtomicU64,
    pub(super) sync_errors: AtomicU64,
}

/// The reasons for which a master ends a connection against its worker's will.
const REASONS: [Reason; 8] = [
    Reason::NotAClient,
    Reason::Version,
    Reason::Format,
    Reason::Limits,
    Reason::Fenced,
    Reason::Damaged,
    Reason::Late,
    Reason::Superseded,
];

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn refused(&self, reason: Reason) {
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            count(&self.refused[at], 1);
        }
    }

    /// What the counters say; the rest is left to the caller.
    pub(super) fn snapshot(&self, level: AckLevel, appenders: Vec<OutletStats>) -> MasterStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused =
            REASONS.iter().zip(&self.refused).map(|(reason, count)| (*reason, get(count)));
        MasterStats {
            level,
            connections: get(&self.connections),
            accepted: get(&self.accepted),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            dropped_connections: get(&self.dropped_connections),
            accept_errors: get(&self.accept_errors),
            events: get(&self.events),
            blocks: get(&self.blocks),
            bytes: get(&self.bytes),
            duplicates: get(&self.duplicates),
            missing_blocks: get(&self.missing_blocks),
            forgotten_runs: get(&self.forgotten_runs),
            superseded_frames: get(&self.superseded_frames),
            journal_full: get(&self.journal_full),
            journal_errors: get(&self.journal_errors),
            sync_errors: get(&self.sync_errors),
            appenders,
            ..MasterStats::default()
        }
    }
}
