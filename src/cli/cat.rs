//! `rollway cat`: journals as text.

use std::io::Write;
use std::path::Path;

use super::args::{CatArgs, ShownArgs};
use super::exit::{Exit, Failure};
use super::filter::Filter;
use super::index::JournalIndex;
use super::merge::{Loss, Merge};
use super::waiting;
use crate::layout::{Json, Layout, Page, Pattern};

/// Text is written in pieces of about this size.
const OUTPUT_BYTES: usize = 256 << 10;
/// What was lost is told one by one up to this number, then counted.
const LOSSES_TOLD_MAX: u64 = 100;

pub(super) fn run(
    args: &CatArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (layout, filter) = (args.shown.layout(), args.shown.filter());
    let mut journals = args.paths.iter().map(|path| index(path)).collect::<Result<Vec<_>, _>>()?;
    for (path, journal) in args.paths.iter().zip(&mut journals) {
        let kept = journal.keep_between(filter.since_ns, filter.until_ns);
        kept.map_err(|error| {
            Failure::caused(Exit::Io, format!("{}: it cannot be read", path.display()), &error)
        })?;
    }
    let mut teller = Teller { err, told: 0 };
    let mut losses = Vec::new();
    let mut merge = Merge::new(&journals, &filter, layout, &mut losses);
    let mut text = Page::new();
    let mut is_first = true;
    loop {
        let more = merge.next(&mut text, &mut losses);
        // The first lines at once: somebody may be waiting for them.
        if text.len() >= OUTPUT_BYTES || (is_first && !text.is_empty()) || !more {
            out.write_all(text.as_bytes()).map_err(Failure::of_output)?;
            is_first &= text.is_empty();
            text.clear();
        }
        teller.tell(&mut losses);
        if !more {
            break;
        }
    }
    out.flush().map_err(Failure::of_output)?;
    for waiting in args.paths.iter().filter_map(|path| waiting::beside(path)) {
        let (events, rings) = (waiting.events, waiting.rings.display());
        teller.note(&format!(
            "{events} events of a killed process wait in {rings}; they are shown once its service has started again, or after `rollway recover --repair`"
        ));
    }
    match teller.end() {
        0 => Ok(Exit::Ok),
        _ if merge.totals.readable == 0 => Ok(Exit::Damaged),
        _ => Ok(Exit::Loss),
    }
}

impl ShownArgs {
    pub(super) fn layout(&self) -> Box<dyn Layout> {
        if self.json {
            Box::new(Json::full())
        } else {
            Box::new(self.pattern.clone().unwrap_or_else(Pattern::simple))
        }
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            since_ns: self.since.map(|moment| moment.utc_ns),
            until_ns: self.until.map(|moment| moment.utc_ns),
            level: self.level,
            categories: self.category.clone(),
        }
    }
}

/// What lies where in the journal at `path`.
pub(super) fn index(path: &Path) -> Result<JournalIndex, Failure> {
    let shown = path.display();
    if !path.exists() {
        return Err(Failure::new(Exit::NoInput, format!("{shown}: no such file or directory")));
    }
    let index = JournalIndex::of(path).map_err(|error| {
        Failure::caused(Exit::Io, format!("{shown}: it cannot be read"), &error)
    })?;
    if index.segments.is_empty() {
        return Err(no_journal(path));
    }
    Ok(index)
}

pub(super) fn no_journal(path: &Path) -> Failure {
    let message = format!(
        "{}: it holds no journal: name a journal directory, with files such as segment-0000000000000001.rwj in it",
        path.display()
    );
    Failure::new(Exit::NoInput, message)
}

/// Writes what was lost on standard error.
pub(super) struct Teller<'a> {
    pub(super) err: &'a mut dyn Write,
    pub(super) told: u64,
}

impl Teller<'_> {
    pub(super) fn tell(&mut self, losses: &mut Vec<Loss>) {
        for loss in losses.drain(..) {
            self.told += 1;
            if self.told <= LOSSES_TOLD_MAX {
                // Without a standard error there is nobody to tell; the exit code still does.
                let _ = writeln!(self.err, "rollway: {loss}");
            }
        }
    }

    /// Says what is no loss.
    pub(super) fn note(&mut self, what: &str) {
        let _ = writeln!(self.err, "rollway: {what}");
    }

    /// How many losses there were.
    pub(super) fn end(self) -> u64 {
        if let Some(more) = self.told.checked_sub(LOSSES_TOLD_MAX).filter(|more| *more > 0) {
            let _ = writeln!(self.err, "rollway: and {more} more places like these");
        }
        self.told
    }
}
