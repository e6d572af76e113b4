//! What a command that reads whole journals shows meanwhile: how far it is, and what it found wrong.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::cat::no_journal;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use crate::journal::{Finding, Reads, Survey, segment_paths};

const BAR: &str = "{wide_bar} {bytes} of {total_bytes} {bytes_per_sec} {eta}";
/// What is wrong is told one by one up to this number, then counted.
const FINDINGS_TOLD_MAX: u64 = 100;

/// Counts what is wrong, and tells it.
pub(super) struct Watch<'a> {
    progress: Progress<'a>,
    bytes: u64,
    pub(super) findings: u64,
    /// Bytes of damage, and blocks that are missing.
    pub(super) damaged_bytes: u64,
    pub(super) missing_blocks: u64,
    pub(super) missing_segments: u64,
    /// Events of valid blocks that cannot be shown.
    pub(super) left_out: u64,
    told: u64,
}

impl<'a> Watch<'a> {
    /// The bar is full at `bytes`.
    pub(super) fn new(bytes: u64, err: &'a mut dyn Write) -> Watch<'a> {
        Watch {
            progress: Progress::new("rollway", BAR, bytes, err),
            bytes: 0,
            findings: 0,
            damaged_bytes: 0,
            missing_blocks: 0,
            missing_segments: 0,
            left_out: 0,
            told: 0,
        }
    }

    /// Shows that so many more bytes are done, for now.
    pub(super) fn show(&self, bytes: u64) {
        self.progress.show(self.bytes + bytes);
    }

    /// Says what is no fault.
    pub(super) fn note(&self, what: &str) {
        self.progress.say(what);
    }

    /// Tells of something that is wrong.
    pub(super) fn tell(&mut self, what: &str) {
        self.findings += 1;
        if self.told < FINDINGS_TOLD_MAX {
            self.told += 1;
            self.progress.say(what);
        }
    }

    /// Says how much was not told one by one.
    pub(super) fn end(&self) {
        let more = self.findings - self.told;
        if more > 0 {
            self.progress.say(&format!("and {more} more places like these"));
        }
    }
}

impl Reads for Watch<'_> {
    fn finding(&mut self, finding: Finding) {
        match &finding {
            Finding::Damage(damage) => self.damaged_bytes += damage.bytes,
            Finding::Gap { blocks, .. } => self.missing_blocks += blocks,
            Finding::Segments { segments, .. } => self.missing_segments += segments,
            Finding::Events { events, .. } => self.left_out += events,
            Finding::Repeated { .. } | Finding::Head { .. } => {}
        }
        self.tell(&finding.to_string());
    }

    fn progress(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.progress.show(self.bytes);
    }
}

/// The segment files of a journal directory, or the one file that is named.
pub(super) fn segments_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| unreadable(path, &error);
    if !path.exists() {
        let message = format!("{}: no such file or directory", path.display());
        return Err(Failure::new(Exit::NoInput, message));
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let paths: Vec<_> =
        segment_paths(path).map_err(unreadable)?.into_iter().map(|(_, path)| path).collect();
    if paths.is_empty() { Err(no_journal(path)) } else { Ok(paths) }
}

/// Bytes of all these files.
pub(super) fn bytes_of(paths: &[PathBuf]) -> u64 {
    paths.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}

/// Reads the segments of a journal. Yields its readable events, and the blocks of them.
pub(super) fn read_all(
    path: &Path,
    segments: &[PathBuf],
    reads: &mut dyn Reads,
) -> Result<(u64, u64), Failure> {
    let mut survey = Survey::new();
    let (mut events, mut blocks) = (0, 0);
    for segment in segments {
        match survey.segment(segment, reads) {
            Ok(summary) => {
                events += summary.events;
                blocks += summary.events_blocks;
            }
            // Its owner has just recycled it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    survey.end(&mut [], reads);
    Ok((events, blocks))
}

pub(super) fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::caused(Exit::Io, format!("{}: it cannot be read", path.display()), error)
}
