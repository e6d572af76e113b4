//! `rollway tail`: the last events, and those that come.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::args::TailArgs;
use super::cat::{Teller, no_journal};
use super::exit::{Exit, Failure};
use super::filter::Filter;
use super::index::JournalIndex;
use super::merge::Merge;
use super::signals::Signals;
use crate::block::{Dictionary, EventsBlock};
use crate::journal::{JournalTail, Tailed, whole};
use crate::layout::{Layout, Page};

/// The shortest and the longest pause between two looks at the journals.
const LOOK_MIN: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(25);
/// Lines that came together are written when they are so long, whatever else has come.
const OUTPUT_BYTES: usize = 1 << 20;
/// Segments that are looked into at first; where that is not enough, eight times as many.
const FIRST_SEGMENTS: usize = 1;
const GROWTH: usize = 8;

pub(super) fn run(
    args: &TailArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let follows = args.follow || args.retry;
    // Before anything is shown, so that an interrupt is never an error.
    let signals = follows
        .then(Signals::listen)
        .transpose()
        .map_err(|error| Failure::caused(Exit::Io, "cannot wait for signals", &error))?;
    let filter = args.shown.filter();
    let mut teller = Teller { err, told: 0 };
    let tails = show_last(args, &filter, out, &mut teller)?;
    if let Some(signals) = signals {
        let mut lines = Lines {
            filter: &filter,
            layout: args.shown.layout(),
            page: Page::new(),
            ends: Vec::new(),
        };
        follow(args, tails, &signals, &mut lines, out, &mut teller)?;
        return Ok(Exit::Ok);
    }
    Ok(if teller.end() == 0 { Exit::Ok } else { Exit::Loss })
}

/// Shows the last events, and yields what comes behind them in each journal.
fn show_last(
    args: &TailArgs,
    filter: &Filter,
    out: &mut dyn Write,
    teller: &mut Teller<'_>,
) -> Result<Vec<JournalTail>, Failure> {
    let (mut segments, mut events) = (FIRST_SEGMENTS, args.events);
    loop {
        let mut journals = Vec::new();
        let mut in_part = Vec::new();
        for (at, path) in args.paths.iter().enumerate() {
            let (index, is_whole) = newest(path, segments, events, args.retry)?;
            in_part.extend((!is_whole).then_some(at));
            journals.push(index);
        }
        // Before anything is shown: whoever reads that may begin the journal anew.
        let tails = args.paths.iter().zip(&journals);
        let tails = tails.map(|(path, index)| JournalTail::new(path, index.end, index.sequences()));
        let tails: Vec<_> = tails.collect();
        let mut text = Page::new();
        let mut losses = Vec::new();
        let mut count = |journals: &[JournalIndex]| {
            let mut counted = Merge::new(journals, filter, args.shown.layout(), &mut losses);
            counted.skip = u64::MAX;
            while counted.next(&mut text, &mut losses) {
                losses.clear();
            }
            counted.totals.shown
        };
        let shown = count(&journals);
        // What was not read of a journal is older than what was, and may be newer than another's.
        let mut has_enough = |at: &usize| {
            let shown = if journals.len() == 1 { shown } else { count(&journals[*at..=*at]) };
            shown >= args.events
        };
        if !in_part.iter().all(&mut has_enough) {
            (segments, events) = (segments * GROWTH, events.saturating_mul(GROWTH as u64));
            continue;
        }
        losses.clear();
        let mut merge = Merge::new(&journals, filter, args.shown.layout(), &mut losses);
        merge.skip = shown.saturating_sub(args.events);
        loop {
            let more = merge.next(&mut text, &mut losses);
            if text.len() >= OUTPUT_BYTES || !more {
                out.write_all(text.as_bytes()).map_err(Failure::of_output)?;
                text.clear();
            }
            teller.tell(&mut losses);
            if !more {
                break;
            }
        }
        out.flush().map_err(Failure::of_output)?;
        return Ok(tails);
    }
}

/// The end of a journal. One that is not there is empty when it may come later.
fn newest(
    path: &Path,
    segments: usize,
    events: u64,
    may_come: bool,
) -> Result<(JournalIndex, bool), Failure> {
    let shown = path.display();
    match JournalIndex::newest(path, segments, events) {
        Ok((index, _)) if index.segments.is_empty() && !may_come => Err(no_journal(path)),
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_come => {
            Ok((JournalIndex::default(), true))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("{shown}: no such directory; -F waits for one");
            Err(Failure::new(Exit::NoInput, message))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Failure::new(Exit::NoInput, format!("{shown}: name a journal directory")))
        }
        Err(error) => Err(Failure::caused(Exit::Io, format!("{shown}: it cannot be read"), &error)),
    }
}

/// Shows what comes, until somebody says stop or nobody reads any more.
fn follow(
    args: &TailArgs,
    mut tails: Vec<JournalTail>,
    signals: &Signals,
    lines: &mut Lines<'_>,
    out: &mut dyn Write,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    let mut pause = LOOK_MIN;
    while !signals.came() {
        let mut has_news = false;
        for follower in &mut tails {
            let dir = follower.dir().to_owned();
            let mut failed = Ok(());
            let polled = follower.poll(&mut |followed| {
                has_news = true;
                match followed {
                    Tailed::Block(block, dictionary, after_damage) => {
                        lines.add(&block, dictionary, after_damage);
                        if lines.page.len() >= OUTPUT_BYTES && failed.is_ok() {
                            failed = lines.write(out);
                        }
                    }
                    Tailed::Damage(damage) => teller.note(&damage.to_string()),
                    Tailed::Missed(blocks) => teller.note(&format!(
                        "{}: {blocks} blocks went before they could be read",
                        dir.display()
                    )),
                }
            });
            failed.map_err(Failure::of_output)?;
            match polled {
                Err(error) if error.kind() == io::ErrorKind::NotFound && args.retry => {}
                result => result.map_err(|error| {
                    let what = format!("{}: it cannot be read", dir.display());
                    Failure::caused(Exit::Io, what, &error)
                })?,
            }
        }
        lines.write(out).map_err(Failure::of_output)?;
        if has_news {
            pause = LOOK_MIN;
        } else if is_unread() {
            return Err(Failure::Closed);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOK_MAX);
    }
    Ok(())
}

/// Lines that wait to be written, in the order of their times.
struct Lines<'a> {
    filter: &'a Filter,
    layout: Box<dyn Layout>,
    page: Page,
    /// Time and end of each line.
    ends: Vec<(i64, usize)>,
}

impl Lines<'_> {
    fn add<'b>(&mut self, block: &EventsBlock<'b>, dictionary: &'b Dictionary, after_damage: bool) {
        if after_damage && !block.has_contexts(dictionary) {
            return;
        }
        let mut events = block.events(dictionary);
        while let Some(event) = events.next() {
            let event = event.map_err(|damaged| damaged.what);
            if let Ok(event) = event.and_then(|event| whole(event, after_damage))
                && self.filter.takes(&event)
            {
                self.layout.write_page(&event, &mut self.page);
                self.ends.push((event.time_ns, self.page.len()));
            }
        }
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.ends.is_empty() {
            return Ok(());
        }
        if self.ends.is_sorted_by_key(|(time, _)| *time) {
            out.write_all(self.page.as_bytes())?;
        } else {
            let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
            let mut lines: Vec<_> = self
                .ends
                .iter()
                .zip(begins)
                .map(|((time, end), begin)| (*time, begin..*end))
                .collect();
            lines.sort_by_key(|(time, _)| *time);
            let bytes = self.page.as_bytes();
            lines.into_iter().try_for_each(|(_, line)| out.write_all(&bytes[line]))?;
        }
        self.page.clear();
        self.ends.clear();
        out.flush()
    }
}

/// Whether the other end of standard output is closed.
fn is_unread() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // The standard streams of a command are open; one that is not is nobody's.
    rustix::event::poll(&mut watched, Some(&at_once)).is_ok()
        && watched[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL)
}
