//! Which blocks survive a power failure (L2), and which cannot be proved to.
//!
//! A sync covers every segment with blocks that no sync has covered, then the directory if a segment
//! got its name since. After a sync that failed, the kernel may call pages clean that never reached
//! the disk: what the sync should have covered is *unproved* for ever. Its segment is given up, the
//! writer begins another one, and blocks in that one can be synced again.

use std::collections::VecDeque;
use std::error::Error;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Journal, JournalError, Position, Segment, State, lock};
use crate::sys;
use crate::sys::crash::{self, CrashPoint};

/// Closed segments that wait for a sync, each with an open file; with more of them one is due,
/// whatever the policy says.
pub(super) const UNSYNCED_SEGMENTS_MAX: usize = 16;
/// With more of them than this, nobody syncs, or a disk hangs: the oldest one is given up.
const UNSYNCED_SEGMENTS_HELD: usize = 32;
/// The pause after a sync that failed, doubled with each further one.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest pause between two syncs that fail.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What is synced, and what waits for it.
#[derive(Default)]
pub(super) struct Syncs {
    /// Segments that the next sync has to cover, the oldest first. The newest one stays among them.
    unsynced: VecDeque<Arc<Segment>>,
    /// A segment got its name since the directory was synced.
    has_new_name: bool,
    /// Since when there are blocks that no sync covers.
    since: Option<Instant>,
    /// Up to where the last sync came.
    synced: Position,
    /// Up to where a sync came that has ended, whether it succeeded or not.
    tried: Position,
    /// Somebody wants a sync that covers everything before it.
    wanted: Position,
    /// What syncs that failed should have covered, as far as the journal still has it.
    unproved: Vec<Range<Position>>,
    errors: u64,
    /// Why the last one failed that did.
    error: Option<String>,
    /// After a failure: the next try.
    retry_at: Option<Instant>,
    retry: Duration,
}

/// How a wait for a sync ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyncWait {
    /// Everything before the position survives a power failure.
    Synced,
    /// Some of it can never be proved to.
    Unproved,
    /// The time was over.
    Late,
}

impl Syncs {
    /// A segment was begun, or taken over.
    pub(super) fn written(&mut self, segment: Arc<Segment>) {
        self.unsynced.push_back(segment);
        if self.unsynced.len() > UNSYNCED_SEGMENTS_HELD
            && let Some(oldest) = self.unsynced.pop_front()
        {
            self.give_up(oldest.generation());
        }
        self.has_new_name = true;
        self.since.get_or_insert_with(Instant::now);
    }

    /// A block was appended. `true` if it is the first that waits for a sync.
    pub(super) fn appended(&mut self) -> bool {
        let is_first = self.since.is_none() && !self.unsynced.is_empty();
        if is_first {
            self.since = Some(Instant::now());
        }
        is_first
    }

    /// The position up to which all is synced that ever will be.
    pub(super) fn tried(&self) -> Position {
        self.tried
    }

    /// No sync can prove any more what this segment has beyond what is synced.
    fn give_up(&mut self, generation: u64) {
        let start = Position { generation, ..Position::default() };
        let behind = Position { generation: generation + 1, ..Position::default() };
        // The front of the segment that an earlier sync covered stays synced.
        self.unproved.push(start.max(self.synced)..behind);
    }

    /// A segment was recycled.
    pub(super) fn forget(&mut self, generation: u64) {
        self.unsynced.retain(|segment| segment.generation() != generation);
        self.unproved.retain(|range| range.start.generation != generation);
    }

    /// When a sync is due by this policy.
    fn due(&self, every: Option<Duration>) -> Option<Instant> {
        let since = self.since?;
        let is_wanted = self.wanted > self.synced || self.unsynced.len() > UNSYNCED_SEGMENTS_MAX;
        let due = if is_wanted { since } else { since.checked_add(every?)? };
        Some(self.retry_at.map_or(due, |retry_at| due.max(retry_at)))
    }
}

impl Journal {
    /// Up to where the last successful sync came: every block that this run appended before it
    /// survives a power failure (L2), but for those in [`Journal::unproved`]. The start of everything
    /// before the first sync, and in memory.
    pub fn synced(&self) -> Position {
        self.state().syncs.synced
    }

    /// What syncs that failed should have covered: it may or may not survive a power failure, and no
    /// later sync makes that certain. So are segments that nobody synced before 32 later ones were
    /// begun. What was recycled since is left out.
    pub fn unproved(&self) -> Vec<Range<Position>> {
        self.state().syncs.unproved.clone()
    }

    /// Syncs that failed.
    pub fn sync_errors(&self) -> u64 {
        self.state().syncs.errors
    }

    /// Why the last sync failed that did.
    pub(crate) fn sync_error(&self) -> Option<String> {
        self.state().syncs.error.clone()
    }

    /// Returns once every block appended before the call survives a power failure (L2), but for what
    /// an earlier call failed to sync. Blocks for the time of the syncs; costs nothing where nothing
    /// is new. Nothing to do for a journal in memory.
    ///
    /// # Errors
    /// [`JournalError::Io`]: what this call should have covered is [unproved](Journal::unproved).
    /// The writer goes on in a new segment, and what it appends there can be synced.
    pub fn sync(&self) -> Result<(), JournalError> {
        let _one_at_a_time = lock(&self.shared.syncing);
        let (segments, end, has_new_name) = {
            let syncs = &mut self.state();
            if syncs.syncs.since.is_none() {
                return Ok(());
            }
            let has_new_name = std::mem::take(&mut syncs.syncs.has_new_name);
            (syncs.syncs.unsynced.clone(), syncs.end, has_new_name)
        };
        let mut result = Ok(());
        let mut failed = Vec::new();
        for segment in &segments {
            if let Err(error) = segment.sync() {
                failed.push(segment.generation());
                result = result.and(Err(error));
            }
        }
        crash::reached(CrashPoint::JournalSynced);
        if has_new_name && let Err(error) = self.sync_names() {
            // Nobody knows which of the segments would be found again.
            failed = segments.iter().map(|segment| segment.generation()).collect();
            result = result.and(Err(error));
        }
        crash::reached(CrashPoint::DirectorySynced);
        {
            let mut state = self.state();
            // What was recycled meanwhile need not be covered, and has no name any more.
            failed.retain(|generation| state.entry(*generation).is_some());
            if failed.is_empty() {
                result = Ok(());
            }
            if let Some(newest) = failed.iter().max() {
                self.shared.given_up.fetch_max(*newest, Ordering::Relaxed);
            }
            state.end_sync(end, &failed, result.as_ref().err());
        }
        self.shared.changed.notify_all();
        self.shared.sync_changed.notify_all();
        result
    }

    fn sync_names(&self) -> Result<(), JournalError> {
        let Some(dir) = self.dir() else { return Ok(()) };
        sys::file::sync_dir(dir).map_err(|source| JournalError::Io {
            doing: "sync the directory",
            path: dir.to_owned(),
            source,
        })
    }

    /// Whether there are blocks that a sync is still to cover.
    #[cfg(feature = "master")]
    pub(crate) fn owes_sync(&self) -> bool {
        self.state().syncs.since.is_some()
    }

    /// Asks for a sync of everything that is appended so far. Returns at once.
    pub(crate) fn request_sync(&self) {
        let mut state = self.state();
        state.syncs.wanted = state.end;
        self.shared.sync_changed.notify_all();
    }

    /// Asks for a sync of everything before `position` and waits for it, until `deadline`. Somebody
    /// else syncs.
    pub(crate) fn wait_synced(&self, position: Position, deadline: Instant) -> SyncWait {
        let mut state = self.state();
        loop {
            let syncs = &mut state.syncs;
            if syncs.unproved.iter().any(|range| range.start < position) {
                return SyncWait::Unproved;
            }
            if syncs.synced >= position || syncs.since.is_none() {
                return SyncWait::Synced;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return SyncWait::Late;
            }
            if syncs.wanted < position {
                syncs.wanted = position;
                self.shared.sync_changed.notify_all();
            }
            let waited = self.shared.sync_changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks until a sync is due: when somebody wants it, when blocks have waited for it for
    /// `every`, or when too many segments wait. Sleeps while nothing is new. `false` once the journal
    /// is closed.
    pub(crate) fn wait_sync_due(&self, every: Option<Duration>) -> bool {
        let mut state = self.state();
        while !state.closed {
            state = match state.syncs.due(every) {
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    let waited = self.shared.sync_changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.shared.sync_changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        false
    }
}

impl State {
    /// Takes down how the sync of everything before `end` went: the segments of `failed` failed.
    fn end_sync(&mut self, end: Position, failed: &[u64], error: Option<&JournalError>) {
        let has_more = self.end > end;
        let syncs = &mut self.syncs;
        for generation in failed {
            syncs.give_up(*generation);
        }
        // Blocks may have come since, into what was the newest segment.
        syncs.unsynced.retain(|segment| {
            segment.generation() >= end.generation && !failed.contains(&segment.generation())
        });
        if failed.is_empty() {
            (syncs.retry_at, syncs.retry) = (None, RETRY_MIN);
        } else {
            syncs.errors += 1;
            syncs.error = error.map(|error| match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            });
            syncs.retry_at = Some(Instant::now() + syncs.retry.max(RETRY_MIN));
            syncs.retry = (syncs.retry.max(RETRY_MIN) * 2).min(RETRY_MAX);
            syncs.wanted = Position::default();
        }
        if !failed.contains(&end.generation) {
            syncs.synced = end.max(syncs.synced);
        }
        syncs.tried = end;
        syncs.since = has_more.then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::super::tests::{FILLER, Source, numbers, open};
    use super::super::{JournalOptions, JournalWriter, Scan};
    use super::*;

    impl Journal {
        /// Lets the next sync of what was appended fail, as that of a dying disk.
        pub(crate) fn break_unsynced(&self) {
            for segment in &mut self.state().syncs.unsynced {
                // It can be opened, and not be synced.
                let null = File::options().write(true).open("/dev/null").unwrap();
                let path = Path::new("/dev/null");
                *segment = Arc::new(Segment::of_file(null, path, segment.generation()));
            }
        }
    }

    fn small(dir: &Path) -> (Journal, JournalWriter) {
        let options = JournalOptions::directory(dir).max_bytes(32 << 20);
        let (journal, writer) = Journal::in_directory(options, Scan::default()).unwrap();
        journal.keep_to_bound();
        (journal, writer)
    }

    #[test]
    fn what_was_appended_before_a_sync_is_synced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        assert_eq!(journal.synced(), Position::default());
        for number in 0..3 {
            source.append(&mut writer, number, 10).unwrap();
            assert!(journal.synced() < journal.end());
            journal.sync().unwrap();
            assert_eq!(journal.synced(), journal.end());
        }
        let late = Instant::now();
        assert_eq!(journal.wait_synced(journal.end(), late), SyncWait::Synced);
        source.append(&mut writer, 3, 10).unwrap();
        assert_eq!(journal.wait_synced(journal.end(), late), SyncWait::Late);
    }

    #[test]
    fn a_sync_is_due_only_when_something_is_new_and_the_policy_or_somebody_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        let mut source = Source::new();
        journal.sync().unwrap();
        let (never, hour) = (None, Some(Duration::from_secs(3600)));
        let due = |every| journal.state().syncs.due(every);
        assert_eq!((due(never), due(hour), due(Some(Duration::MAX))), (None, None, None));
        journal.request_sync();
        assert_eq!((due(never), due(hour)), (None, None), "nothing is new");

        source.append(&mut writer, 0, 10).unwrap();
        let since = journal.state().syncs.since.unwrap();
        assert_eq!((due(never), due(hour)), (None, Some(since + hour.unwrap())));
        assert_eq!(due(Some(Duration::MAX)), None);
        journal.request_sync();
        assert_eq!((due(never), due(hour)), (Some(since), Some(since)));
        journal.sync().unwrap();
        assert_eq!((due(never), due(hour)), (None, None));
    }

    #[test]
    fn many_finished_segments_are_synced_whatever_the_policy_says() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        for _ in 0..UNSYNCED_SEGMENTS_MAX {
            assert_eq!(journal.state().syncs.due(None), None);
            writer.begin_segment().unwrap();
        }
        assert!(journal.state().syncs.due(None).is_some());
        journal.sync().unwrap();
        assert_eq!(journal.state().syncs.unsynced.len(), 1, "the newest one");
    }

    #[test]
    fn what_the_last_run_did_not_sync_is_covered_by_the_first_sync() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        for number in 0..3 {
            source.append(&mut writer, number, 10).unwrap();
            writer.begin_segment().unwrap();
        }
        // It is killed.
        drop((journal, writer));
        let (journal, _writer) = open(dir.path());
        let held = |journal: &Journal| {
            let state = journal.state();
            state.syncs.unsynced.iter().map(|segment| segment.generation()).collect::<Vec<_>>()
        };
        assert_eq!(held(&journal), [1, 2, 3, 4, 5]);
        journal.sync().unwrap();
        assert_eq!(held(&journal), [5]);
    }

    #[test]
    fn a_journal_that_nobody_syncs_holds_few_files_open() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        for _ in 0..100 {
            writer.begin_segment().unwrap();
        }
        let held = journal.state().syncs.unsynced.len();
        assert_eq!(held, UNSYNCED_SEGMENTS_HELD);
        assert!(journal.unproved().len() <= 100 - held + 1, "one for each that was let go");
        assert_eq!(journal.wait_synced(journal.end(), Instant::now()), SyncWait::Unproved);
    }

    #[test]
    fn a_sync_that_failed_is_never_made_good_and_later_blocks_are_synced_again() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        let mut source = Source::new();
        source.append(&mut writer, 0, 10).unwrap();
        journal.sync().unwrap();
        let proved = journal.end();

        source.append(&mut writer, 1, 10).unwrap();
        let unproved = journal.end();
        journal.break_unsynced();
        assert!(matches!(journal.sync(), Err(JournalError::Io { .. })));
        assert_eq!((journal.synced(), journal.sync_errors()), (proved, 1));
        assert!(journal.sync_error().unwrap().contains("/dev/null"));

        // The next block goes to another segment, and there a sync means something again.
        let next = source.append(&mut writer, 2, 10).unwrap();
        assert_eq!(next.generation, unproved.generation + 1);
        journal.sync().unwrap();
        assert_eq!((journal.synced(), journal.sync_errors()), (journal.end(), 1));
        let behind = Position { generation: next.generation, ..Position::default() };
        assert_eq!(journal.unproved(), [proved..behind]);
        // What is certain is said at once, however much time there is.
        let late = Instant::now() + Duration::from_secs(3600);
        assert_eq!(journal.wait_synced(proved, late), SyncWait::Synced);
        for position in [unproved, journal.end()] {
            assert_eq!(journal.wait_synced(position, late), SyncWait::Unproved);
        }
        assert_eq!(numbers(&journal, Position::default()), [0, 1, 2]);

        // What is recycled need not be covered.
        while journal.start_position().generation <= proved.generation {
            source.append(&mut writer, source.sequence, FILLER).unwrap();
        }
        journal.sync().unwrap();
        assert_eq!(journal.unproved(), []);
        assert_eq!(journal.wait_synced(journal.end(), late), SyncWait::Synced);
    }

    #[test]
    fn a_segment_that_is_recycled_during_a_sync_makes_nothing_unproved() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        let mut source = Source::new();
        source.append(&mut writer, 0, 10).unwrap();
        let oldest = journal.state().syncs.unsynced[0].clone();
        while journal.start_position().generation <= oldest.generation() {
            source.append(&mut writer, source.sequence, FILLER).unwrap();
        }
        // A sync that began before has it in its list and finds its name gone.
        assert!(oldest.sync().is_err());
        journal.state().syncs.unsynced.push_front(oldest);
        journal.sync().unwrap();
        assert_eq!((journal.synced(), journal.sync_errors()), (journal.end(), 0));
        assert_eq!(journal.unproved(), []);
        let end = journal.end();
        let next = source.append(&mut writer, source.sequence, 10).unwrap();
        assert_eq!(next.generation, end.generation, "the newest segment is not given up");
    }

    #[test]
    fn tries_that_fail_come_with_growing_pauses() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = small(dir.path());
        let mut source = Source::new();
        let mut pauses = Vec::new();
        for number in 0..9 {
            source.append(&mut writer, number, 10).unwrap();
            journal.break_unsynced();
            let before = Instant::now();
            journal.sync().unwrap_err();
            source.append(&mut writer, number, 10).unwrap();
            journal.request_sync();
            let due = journal.state().syncs.due(None).unwrap();
            assert!(due >= before + RETRY_MIN, "somebody wants it, and yet it waits");
            pauses.push(journal.state().syncs.retry);
        }
        assert!(pauses.is_sorted() && pauses.last() == Some(&RETRY_MAX), "{pauses:?}");
        source.append(&mut writer, 9, 10).unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.state().syncs.retry_at, None);
    }
}
