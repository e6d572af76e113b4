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
/// What stays free for others by default: this part of the file system …
const KEEP_FREE_PART: u64 = 20;
/// … and at most these bytes.
const KEEP_FREE_BYTES_MAX: u64 = 1 << 30;
/// A journal far above its bound loses at most so many segments at once: their removal takes time.
const RECYCLED_AT_ONCE: usize = 16;
/// The least that a file takes.
const FILE_BYTES: u64 = 4096;

impl Journal {
    /// Makes room for a segment and says how many bytes it may have. `disk_bytes` is what the disk is
    /// known to have at the most, beside what is said to be free.
    ///
    /// Before all cursors are registered nothing is removed, and neither bound is kept: what a dead
    /// process left must find its place.
    pub(super) fn make_room(&self, disk_bytes: &mut u64) -> Result<u64, JournalError> {
        let options = &self.shared.options;
        let wanted = options.segment_bytes;
        let least = SHORT_SEGMENT_BYTES.min(wanted);
        let whole = |bytes: u64| wanted.min(bytes - bytes % (1 << 20)).max(least);
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
                false => Ok(whole(self.disk().0.min(*disk_bytes))),
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
            if !is_at_bound && free_bytes >= wanted {
                return Ok(wanted);
            }
            let is_last = state.segments.len() <= 1;
            let may_be_small = !is_over && free_bytes >= least;
            if may_be_small && (is_last || state.holder(|_| true).is_some()) {
                return Ok(whole(free_bytes));
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
                    true => Ok(whole(free_bytes)),
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
    fn holder(&self, is_asked: impl Fn(&CursorState) -> bool) -> Option<&CursorState> {
        let oldest = self.segments.front()?.generation;
        let behind = Position { generation: oldest + 1, ..Position::default() };
        let cursors = self.cursors.iter().map(|cursor| &**cursor);
        cursors.filter(|cursor| is_asked(cursor)).find(|cursor| *lock(&cursor.settled) < behind)
    }
}
