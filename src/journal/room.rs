//! Room for the next segment: the bounds of the journal, and what goes when they are reached.
//!
//! In this order: segments that everybody has passed are recycled; on a short disk a smaller segment
//! is begun; optional appenders are overtaken; the journal is full.

use super::{CursorState, Journal, JournalError, Position, Segment, State, lock};
use crate::sys;
use crate::sys::crash::{self, CrashPoint};

/// The least segment while the disk is short: a block of the greatest size, 4 MiB, beside the head
/// of the segment and some definitions.
const SHORT_SEGMENT_BYTES: u64 = 5 << 20;
/// A segment takes this part of a short disk.
const SHORT_PART: u64 = 3;
/// What stays free for others by default: this part of the file system …
const KEEP_FREE_PART: u64 = 20;
/// … and at most these bytes.
const KEEP_FREE_BYTES_MAX: u64 = 1 << 30;
/// A journal far above its bound loses at most so many segments at once: their removal takes time.
const RECYCLED_AT_ONCE: usize = 16;
/// The least that a file takes.
const FILE_BYTES: u64 = 4096;

impl Journal {
    /// Makes room for a segment and says how many bytes it may have: at least `needed_bytes`, as far as
    /// any segment may have so many. `disk_bytes` is what the disk is known to have at the most, beside
    /// what is said to be free.
    ///
    /// Before all cursors are registered nothing is removed, and neither bound is kept: what a dead
    /// process left must find its place.
    pub(super) fn make_room(
        &self,
        needed_bytes: u64,
        disk_bytes: &mut u64,
    ) -> Result<u64, JournalError> {
        let options = &self.shared.options;
        let wanted = options.segment_bytes;
        let least = SHORT_SEGMENT_BYTES.max(needed_bytes).min(wanted);
        // The next one must find room before this one can be recycled.
        let fitting = |free_bytes: u64| match free_bytes.saturating_sub(least) >= wanted {
            true => wanted,
            false => (free_bytes / SHORT_PART).clamp(least, wanted),
        };
        let no_space = |held_by: Option<String>| match &options.dir {
            Some(dir) => JournalError::NoSpace {
                dir: dir.clone(),
                segment_bytes: least,
                keep_free_bytes: self.disk().1,
                held_by,
            },
            None => JournalError::Full { max_bytes: options.max_bytes, held_by: String::new() },
        };
        if !self.state().is_bounded {
            return match *disk_bytes < least {
                true => Err(no_space(None)),
                false => Ok(fitting(self.disk().0.min(*disk_bytes))),
            };
        }
        self.count_bytes();
        let mut recycled = 0;
        loop {
            let free_bytes = self.disk().0.min(*disk_bytes);
            let mut state = self.state();
            state.cursors.retain(|cursor| lock(&cursor.settled).generation != u64::MAX);
            let is_over = state.bytes() + wanted > options.max_bytes;
            let is_at_bound = is_over && recycled < RECYCLED_AT_ONCE;
            if !is_at_bound && fitting(free_bytes) == wanted && free_bytes >= wanted {
                return Ok(wanted);
            }
            let is_last = state.segments.len() <= 1;
            let may_be_small = !is_over && free_bytes >= least;
            if may_be_small && (is_last || state.holder(|_| true).is_some()) {
                return Ok(fitting(free_bytes));
            }
            if let Some(holder) = state.holder(|cursor| cursor.mandatory) {
                let held_by = holder.name.clone();
                return Err(match is_over {
                    true => JournalError::Full { max_bytes: options.max_bytes, held_by },
                    false => no_space(Some(held_by)),
                });
            }
            if is_last {
                return match free_bytes >= least {
                    true => Ok(fitting(free_bytes)),
                    false => Err(no_space(None)),
                };
            }
            let Some(oldest) = state.segments.pop_front() else { continue };
            state.syncs.forget(oldest.generation);
            drop(state);
            crash::reached(CrashPoint::SegmentForgotten);
            if let Some(path) = self.path(oldest.generation) {
                // A segment that stays is found again, and removed, at a later start.
                let _ = std::fs::remove_file(path);
            }
            crash::reached(CrashPoint::SegmentRemoved);
            recycled += 1;
            *disk_bytes = disk_bytes.saturating_add(oldest.bytes.unwrap_or(0));
        }
    }

    /// Whether the room of the oldest segment is needed for the next one that is begun, and that
    /// segment is `generation`, or lies behind it.
    pub(crate) fn needs_room_of(&self, generation: u64) -> bool {
        let wanted = self.shared.options.segment_bytes;
        self.count_bytes();
        let (is_over, oldest) = {
            let state = self.state();
            let oldest = state.segments.front().map_or(u64::MAX, |oldest| oldest.generation);
            (state.bytes() + wanted > self.shared.options.max_bytes, oldest)
        };
        generation <= oldest && (is_over || self.disk().0 < wanted)
    }

    /// Free bytes of the disk above those that stay free, and how many those are.
    fn disk(&self) -> (u64, u64) {
        // A system that does not tell says so when the segment is made.
        let Some(Ok(space)) = self.dir().map(sys::file::space) else { return (u64::MAX, 0) };
        let part = (space.total_bytes / KEEP_FREE_PART).min(KEEP_FREE_BYTES_MAX);
        let keep_free = self.shared.options.keep_free_bytes.unwrap_or(part);
        (space.free_bytes.saturating_sub(keep_free), keep_free)
    }

    /// Asks for the sizes of the segments that earlier runs left.
    pub(super) fn count_bytes(&self) {
        let unknown: Vec<u64> = {
            let state = self.state();
            let unknown = state.segments.iter().filter(|entry| entry.bytes.is_none());
            unknown.map(|entry| entry.generation).collect()
        };
        for generation in unknown {
            let bytes = self.path(generation).map_or(0, |path| Segment::bytes_of(&path));
            if let Some(entry) = self.state().entry(generation) {
                entry.bytes = Some(bytes);
            }
        }
    }
}

impl State {
    /// Bytes of all segments whose size is known.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|entry| entry.bytes.unwrap_or(0).max(FILE_BYTES)).sum()
    }

    /// A cursor of this kind that still needs the oldest segment.
    pub(super) fn holder(&self, is_asked: impl Fn(&CursorState) -> bool) -> Option<&CursorState> {
        let oldest = self.segments.front()?.generation;
        let behind = Position { generation: oldest + 1, ..Position::default() };
        let cursors = self.cursors.iter().map(|cursor| &**cursor);
        cursors.filter(|cursor| is_asked(cursor)).find(|cursor| *lock(&cursor.settled) < behind)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FILLER, Source, numbers, open};
    use super::super::{JournalOptions, Scan, segment_paths};
    use super::*;

    /// Bytes of the segment files.
    fn file_bytes(dir: &std::path::Path) -> u64 {
        let paths = segment_paths(dir).unwrap();
        paths.iter().map(|(_, path)| std::fs::metadata(path).unwrap().len()).sum()
    }

    #[test]
    fn many_starts_take_the_room_of_what_was_logged() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Source::new();
        for start in 0..20 {
            let (_, mut writer) = open(dir.path());
            source.append(&mut writer, start, 1000).unwrap();
            // Every other owner is killed.
            if start % 2 == 0 {
                std::mem::forget(writer);
            }
        }
        let (journal, writer) = open(dir.path());
        assert_eq!(segment_paths(dir.path()).unwrap().len(), 21);
        assert_eq!(numbers(&journal, Position::default()), (0..20).collect::<Vec<_>>());
        drop(writer);
        assert!(file_bytes(dir.path()) < 1 << 20, "{}", file_bytes(dir.path()));
    }

    #[test]
    fn what_was_begun_and_not_committed_is_cut_off_without_harm() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        source.append(&mut writer, 0, 1000).unwrap();
        let (end, path) = (journal.end(), journal.path(journal.end().generation).unwrap());
        std::mem::forget(writer);
        // A body that never got its header.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 5000], end.offset + 64).unwrap();
        let (journal, mut writer) = open(dir.path());
        source.append(&mut writer, 1, 1000).unwrap();
        assert_eq!(numbers(&journal, Position::default()), [0, 1]);
        assert!(std::fs::metadata(&path).unwrap().len() < end.offset + (64 << 10));
    }

    #[test]
    fn a_disk_that_is_to_stay_free_fills_the_journal_and_the_error_says_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::directory(dir.path()).keep_free_bytes(u64::MAX);
        let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
        let _slow = journal.register("slow", true, journal.start_position());
        assert_eq!(journal.bytes(), SHORT_SEGMENT_BYTES, "a start takes the least it can");
        journal.keep_to_bound();
        let mut source = Source::new();
        let mut number = 0..;
        let error = loop {
            if let Err(error) = source.append(&mut writer, number.next().unwrap(), FILLER) {
                break error;
            }
        };
        assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("`slow` holds") && text.contains("journal_keep_free"), "{text}");
        assert_eq!(numbers(&journal, Position::default()).len() as u64, source.sequence);
    }

    #[test]
    fn a_short_disk_has_room_for_all_that_is_needed_or_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::directory(dir.path()).keep_free_bytes(0);
        let (journal, _writer) = Journal::in_directory(options, Scan::default()).unwrap();
        journal.keep_to_bound();
        let room = |needed: u64, mut disk_bytes: u64| journal.make_room(needed, &mut disk_bytes);
        assert_eq!(room(0, 6 << 20).unwrap(), SHORT_SEGMENT_BYTES);
        assert_eq!(room(6 << 20, 6 << 20).unwrap(), 6 << 20);
        let error = room((6 << 20) + 1, 6 << 20).unwrap_err();
        assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
    }

    #[test]
    fn optional_appenders_are_overtaken_only_when_nothing_else_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::directory(dir.path()).max_bytes(32 << 20);
        let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
        let settled = journal.register("settled", true, journal.start_position());
        let optional = journal.register("optional", false, journal.start_position());
        journal.keep_to_bound();
        let mut source = Source::new();
        let mut log_until = |generation: u64, settle: &dyn Fn(Position)| {
            while journal.end().generation < generation {
                let position = source.append(&mut writer, source.sequence, FILLER).unwrap();
                settle(position);
            }
        };
        // What everybody has passed goes; the reader of the optional one is not touched.
        log_until(8, &|position| {
            settled.settle(position);
            optional.settle(position);
        });
        assert_eq!(journal.start_position().generation, 5);
        // It stays behind, and is overtaken.
        log_until(16, &|position| settled.settle(position));
        assert_eq!(journal.start_position().generation, 13);
        assert!(optional.settled().generation < 13);
    }

    #[test]
    fn a_journal_far_above_its_bound_comes_down_to_it_step_by_step() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (_, mut writer) = open(dir.path());
            for _ in 0..100 {
                writer.begin_segment().unwrap();
            }
        }
        for (_, path) in segment_paths(dir.path()).unwrap() {
            std::fs::File::options().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
        }
        let options = JournalOptions::directory(dir.path()).max_bytes(32 << 20);
        let scan = Scan::of_directory(dir.path()).unwrap();
        let (journal, mut writer) = Journal::in_directory(options, scan).unwrap();
        assert!(journal.bytes() > 100 << 20);
        assert_eq!(journal.state().segments.iter().filter(|one| one.held.is_some()).count(), 1);
        journal.keep_to_bound();
        let mut oldest = vec![journal.start_position().generation];
        while journal.bytes() > 32 << 20 {
            writer.begin_segment().unwrap();
            oldest.push(journal.start_position().generation);
            assert!(oldest.len() < 100, "{oldest:?}");
        }
        assert!(oldest.windows(2).all(|pair| pair[1] - pair[0] <= RECYCLED_AT_ONCE as u64));
    }
}
