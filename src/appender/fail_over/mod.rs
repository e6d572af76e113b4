//! Destinations that stand in for one another.
//!
//! Events go to the first relay, and where that is not available to the next. The others are idle and
//! keep what they have. From time to time the ones in front are tried again with the next batch, and
//! the first that takes it goes on. The appender's own cursor says how far all of them together have
//! come: each event is in one destination, as far as a relay knows what it has written. One that took
//! part of a batch settles that part, and the next relay goes on behind it.

mod relay;

use std::io;
use std::time::{Duration, Instant};

use relay::{How, Relay, reason};

use super::bookmark::Bookmark;
use super::{AppendError, Appender, Batch, Open, OpenError, Opened, Place};
use crate::journal::Position;

/// Relays in the order in which they are wanted: the next one gets what those before it cannot take.
///
/// All relays are opened at the start. One that cannot be opened then counts as one that failed,
/// and is opened when it is its turn again; where none can be, or one is described wrongly, that is
/// an error at the start. A relay fails when its destination is not available; an event that a
/// destination refuses for its content goes among the dead letters. A relay has no threshold,
/// filter, mask or warp of its own, and one that has is an error at the start: put them before the
/// whole, with [`with`](crate::appender::with).
///
/// # Examples
/// ```no_run
/// use rollway::appender::{FailOver, File};
///
/// let _guard = rollway::builder()
///     .appender(
///         "log",
///         FailOver::new()
///             .relay("share", File::new("/mnt/share/app.log"))
///             .relay("local", File::new("/var/log/app.log")),
///     )
///     .init()?;
/// # Ok::<(), rollway::InitError>(())
/// ```
pub struct FailOver {
    relays: Vec<(String, How)>,
    retry_after: Duration,
}

impl FailOver {
    /// No relay yet; give it at least one.
    #[expect(clippy::new_without_default, reason = "without a relay it cannot be opened")]
    pub fn new() -> FailOver {
        FailOver { relays: Vec::new(), retry_after: Duration::from_secs(10) }
    }

    /// Adds a relay behind the others. Its position is kept under `<name of the appender>.<name>`.
    #[must_use]
    pub fn relay(self, name: impl Into<String>, relay: impl Open + 'static) -> FailOver {
        self.boxed_relay(name, Box::new(relay))
    }

    /// Adds a relay that was chosen at run time.
    #[must_use]
    pub fn boxed_relay(mut self, name: impl Into<String>, relay: Box<dyn Open>) -> FailOver {
        self.relays.push((name.into(), How::new(relay)));
        self
    }

    /// How long a relay that failed is left alone before a batch is tried there again: by default 10 s.
    /// Where no relay takes a batch, all are tried with each further try.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> FailOver {
        self.retry_after = pause;
        self
    }
}

impl Open for FailOver {
    fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
        let failed =
            |name: &str, what| OpenError { name: name.to_owned(), path: None, what, source: None };
        if self.relays.is_empty() {
            return Err(failed(place.name, "it has no relays; give it at least one"));
        }
        let mut bookmark = Bookmark::open(place)?;
        let begin = bookmark.settled();
        let (mut relays, mut failures) = (Vec::<Relay>::new(), Vec::new());
        for (name, relay) in &self.relays {
            let full_name = format!("{}.{name}", place.name);
            if relays.iter().any(|known| known.name == *name) {
                let what = "another relay of this appender has the name; give each its own";
                return Err(failed(&full_name, what));
            }
            let gate = relay.get().gate();
            if !gate.is_open() || !gate.shows_all() {
                let what = "a relay has no threshold, filter, mask or warp of its own; put it before \
                            the whole appender";
                return Err(failed(&full_name, what));
            }
            let at = Place { name: &full_name, begin, ..*place };
            let (relay, failure) = Relay::open(name, relay, &at)?;
            relays.push(relay);
            failures.extend(failure);
        }
        let Some(active) = relays.iter().position(Relay::is_open) else {
            // There is one for each, and one relay at least.
            return Err(failures.swap_remove(0));
        };
        let notice = (!failures.is_empty()).then(|| {
            let reasons: Vec<_> = failures.iter().map(reason).collect();
            let name = &relays[active].name;
            io::Error::other(format!("it begins with relay `{name}`: {}", reasons.join("; ")))
        });
        // A kill may have come between a relay's cursor and our own.
        let settled =
            relays.iter().map(|relay| relay.appender.settled()).fold(begin, Position::max);
        bookmark.advance(settled);
        Ok(Opened::Events(Box::new(FailOverWriter {
            relays,
            active,
            since: settled,
            retry_at: if active == 0 { Instant::now() } else { Instant::now() + self.retry_after },
            retry_after: self.retry_after,
            bookmark,
            failure: None,
            notice,
        })))
    }

    fn is_mandatory(&self) -> bool {
        self.relays.iter().any(|(_, relay)| relay.get().is_mandatory())
    }

    fn takes_chunks(&self) -> bool {
        self.relays.iter().all(|(_, relay)| relay.get().takes_chunks())
    }
}

/// The appender behind [`FailOver`].
struct FailOverWriter {
    relays: Vec<Relay>,
    /// The relay that takes what comes; it is open.
    active: usize,
    /// What it has taken lies behind this.
    since: Position,
    /// When those in front of it are tried again.
    retry_at: Instant,
    retry_after: Duration,
    /// Everything before it is in some relay.
    bookmark: Bookmark,
    /// Why the last relay that failed did so.
    failure: Option<String>,
    /// What the outlet has not told yet of the last switch.
    notice: Option<io::Error>,
}

impl FailOverWriter {
    fn active(&mut self) -> &mut dyn Appender {
        &mut *self.relays[self.active].appender
    }

    /// Takes over what the active relay has settled, and stores it.
    fn settle(&mut self) -> Result<(), AppendError> {
        self.bookmark.settle(self.settled())
    }

    /// Goes on with another relay.
    fn switch(&mut self, relay: usize) {
        if relay == self.active {
            return;
        }
        let settled = self.settled();
        self.bookmark.advance(settled);
        (self.active, self.since) = (relay, settled);
        let name = &self.relays[relay].name;
        self.notice = Some(io::Error::other(match self.failure.take() {
            Some(failure) => format!("it goes on with relay `{name}`: {failure}"),
            None => format!("it goes on with relay `{name}`, which is there again"),
        }));
    }

    /// The relays in the order in which a batch is tried: first those whose time has come again, then
    /// the active one and those behind it.
    fn candidates(&self) -> std::ops::Range<usize> {
        let first = if Instant::now() >= self.retry_at { 0 } else { self.active };
        first..self.relays.len()
    }

    /// The open relay behind this one, the first being behind the last; itself where it is the only
    /// one.
    fn next_open(&self, relay: usize) -> usize {
        let mut others = (relay + 1..self.relays.len()).chain(0..relay);
        others.find(|at| self.relays[*at].is_open()).unwrap_or(relay)
    }
}

impl Appender for FailOverWriter {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
        let mut last = None;
        for at in self.candidates() {
            let before = self.settled();
            let relay = &mut self.relays[at];
            let opened = relay.open_if_away(before);
            if opened.is_ok() && relay.appender.settled() > before {
                // It was opened just now, and before a kill it took what nobody else knows of.
                self.switch(at);
                return Err(AppendError::Unavailable {
                    source: io::Error::other(
                        "a relay has more than was known; it goes on behind that",
                    ),
                });
            }
            let taken = opened.and_then(|()| relay.appender.append(batch));
            let reached = relay.appender.settled();
            match taken {
                Err(error @ AppendError::Unavailable { .. }) => {
                    self.retry_at = Instant::now() + self.retry_after;
                    if at == self.active || reached > before {
                        let (name, reason) = (&self.relays[at].name, told(&error));
                        self.failure = Some(format!("`{name}` is not available: {reason}"));
                    }
                    if reached <= before {
                        last = Some(error);
                        continue;
                    }
                    // It took a part. The outlet comes again with what lies behind it.
                    self.bookmark.advance(reached);
                    self.active = at;
                    self.switch(self.next_open(at));
                    return Err(error);
                }
                // It is there, whatever it says of the batch.
                taken => {
                    self.switch(at);
                    taken?;
                    return self.settle();
                }
            }
        }
        // None takes it: all are tried next time.
        self.retry_at = Instant::now();
        Err(last.unwrap_or_else(|| AppendError::Unavailable {
            source: io::Error::other("no relay is available"),
        }))
    }

    fn settled(&self) -> Position {
        self.bookmark.settled().max(self.relays[self.active].appender.settled())
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), AppendError> {
        self.active().flush(deadline)
    }

    fn pass(&mut self, position: Position) -> Result<(), AppendError> {
        self.active().pass(position)?;
        self.settle()
    }

    /// What a relay has that is not there any more is not kept for it: it may be for ever.
    fn keeps_from(&self) -> Position {
        let active = &self.relays[self.active].appender;
        active.keeps_from().max(self.since).min(self.bookmark.keeps_from())
    }

    fn sync(&mut self, deadline: Instant) -> Result<(), AppendError> {
        for (at, relay) in self.relays.iter_mut().enumerate() {
            let owes = relay.appender.keeps_from() < relay.appender.settled();
            if at != self.active && owes {
                // What it took before another went on. Where it is not there, that is all one can do.
                let _ = relay.appender.sync(deadline);
            }
        }
        self.active().sync(deadline)?;
        self.settle()?;
        self.bookmark.sync()
    }

    fn reopen(&mut self) -> Result<(), AppendError> {
        self.relays.iter_mut().map(|relay| relay.appender.reopen()).fold(Ok(()), Result::and)
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.relays.iter_mut().map(|relay| relay.appender.rotate()).fold(Ok(()), Result::and)
    }

    fn tend(&mut self) -> Option<Duration> {
        self.relays.iter_mut().filter_map(|relay| relay.appender.tend()).min()
    }

    fn take_notice(&mut self) -> Option<io::Error> {
        self.notice
            .take()
            .or_else(|| self.relays.iter_mut().find_map(|relay| relay.appender.take_notice()))
    }
}

/// Why a relay did not take a batch, with what lies behind it.
fn told(error: &AppendError) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::appender::OwnedPlace;
    use crate::journal::Journal;

    fn open(
        both: &FailOver,
        dir: &Path,
        journal: &Journal,
    ) -> Result<Box<dyn Appender>, OpenError> {
        match both.open(&OwnedPlace::in_test(Some(dir)).of("both", journal.start_position()))? {
            Opened::Events(both) => Ok(both),
            Opened::Blocks(_) => panic!("it takes events"),
        }
    }

    /// Takes everything, and stores nothing.
    struct Plain(Position);

    impl Open for Plain {
        fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
            Ok(Opened::Events(Box::new(Plain(place.begin))))
        }
    }

    impl Appender for Plain {
        fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
            self.0 = batch.next();
            Ok(())
        }

        fn settled(&self) -> Position {
            self.0
        }

        fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
            Ok(())
        }
    }

    /// Stores what it has when it is synced.
    #[derive(Clone, Default)]
    struct Stored {
        settled: Position,
        stored: Position,
        is_there: Arc<AtomicBool>,
        syncs: Arc<AtomicUsize>,
    }

    impl Open for Stored {
        fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
            let (settled, stored) = (place.begin, place.begin);
            Ok(Opened::Events(Box::new(Stored { settled, stored, ..self.clone() })))
        }
    }

    impl Appender for Stored {
        fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
            if !self.is_there.load(Ordering::Relaxed) {
                return Err(AppendError::Unavailable { source: io::Error::other("full") });
            }
            self.settled = batch.next();
            Ok(())
        }

        fn settled(&self) -> Position {
            self.settled
        }

        fn keeps_from(&self) -> Position {
            self.stored
        }

        fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
            Ok(())
        }

        fn sync(&mut self, _: Instant) -> Result<(), AppendError> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.stored = self.settled;
            Ok(())
        }
    }

    #[test]
    fn what_a_relay_took_before_another_went_on_is_synced_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let (first, second) = (Stored::default(), Stored::default());
        first.is_there.store(true, Ordering::Relaxed);
        second.is_there.store(true, Ordering::Relaxed);
        let both = FailOver::new().relay("first", first.clone()).relay("second", second.clone());
        let mut both = open(&both, dir.path(), &journal).unwrap();
        let mut reader = journal.reader(both.settled());
        let block = reader.next().unwrap().unwrap();
        let gate = Cell::default();
        both.append(&Batch::new(&block, &gate, None)).unwrap();
        // It has no room for what comes behind that.
        first.is_there.store(false, Ordering::Relaxed);
        both.append(&Batch::new(&block, &gate, None)).unwrap();
        let syncs = || [&first, &second].map(|relay| relay.syncs.load(Ordering::Relaxed));
        both.sync(Instant::now()).unwrap();
        assert_eq!(syncs(), [1, 1]);
        both.sync(Instant::now()).unwrap();
        assert_eq!(syncs(), [1, 2], "it owes nothing any more");
    }

    #[test]
    fn the_journal_is_kept_from_where_a_start_after_a_power_failure_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let begin = journal.start_position();
        let both = FailOver::new().relay("only", Plain(begin));
        let mut both = open(&both, dir.path(), &journal).unwrap();
        let mut reader = journal.reader(both.settled());
        let block = reader.next().unwrap().unwrap();
        both.append(&Batch::new(&block, &Cell::default(), None)).unwrap();
        assert_eq!((both.settled(), both.keeps_from()), (block.next, begin));
        both.sync(Instant::now()).unwrap();
        assert_eq!(both.keeps_from(), block.next);
    }
    /// One that may be away when it is opened, that may have events of an earlier run, or take but a
    /// part.
    #[derive(Clone, Default)]
    struct Fickle {
        is_there: Arc<AtomicBool>,
        /// What it has of an earlier run.
        has: Position,
        /// How far it gets with each batch.
        part: Option<Position>,
        settled: Position,
    }

    impl Open for Fickle {
        fn open(&self, place: &Place<'_>) -> Result<Opened, OpenError> {
            if !self.is_there.load(Ordering::Relaxed) {
                return Err(OpenError {
                    name: place.name.to_owned(),
                    path: None,
                    what: "it is away",
                    source: Some(io::Error::other("no such share")),
                });
            }
            let settled = place.begin.max(self.has);
            Ok(Opened::Events(Box::new(Fickle { settled, ..self.clone() })))
        }
    }

    impl Appender for Fickle {
        fn append(&mut self, batch: &Batch<'_>) -> Result<(), AppendError> {
            self.settled = self.part.unwrap_or(batch.next());
            match self.part {
                Some(_) => Err(AppendError::Unavailable { source: io::Error::other("full") }),
                None => Ok(()),
            }
        }

        fn settled(&self) -> Position {
            self.settled
        }

        fn flush(&mut self, _: Instant) -> Result<(), AppendError> {
            Ok(())
        }
    }

    #[test]
    fn a_relay_that_opens_late_does_not_get_again_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let begin = journal.start_position();
        let mut reader = journal.reader(begin);
        let block = reader.next().unwrap().unwrap();
        let first = Fickle { has: Position { index: 2, ..begin }, ..Fickle::default() };
        let second = Stored::default();
        let both = FailOver::new().relay("first", first.clone()).relay("second", second);
        let mut both = open(&both.retry_after(Duration::ZERO), dir.path(), &journal).unwrap();
        both.take_notice().expect("it begins with the second");
        first.is_there.store(true, Ordering::Relaxed);
        let gate = Cell::default();
        let batch = Batch::new(&block, &gate, None);
        assert!(matches!(both.append(&batch), Err(AppendError::Unavailable { .. })));
        assert_eq!(both.settled(), first.has);
        assert!(both.take_notice().unwrap().to_string().contains("`first`"));
        both.append(&batch).unwrap();
        assert_eq!(both.settled(), block.next);
    }

    #[test]
    fn behind_a_part_an_open_relay_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_three_events(dir.path());
        let begin = journal.start_position();
        let mut reader = journal.reader(begin);
        let block = reader.next().unwrap().unwrap();
        let part = Some(Position { index: 1, ..begin });
        let there = Arc::new(AtomicBool::new(true));
        let first = Fickle { is_there: Arc::clone(&there), part, ..Fickle::default() };
        let (away, last) = (Fickle::default(), Fickle { is_there: there, ..Fickle::default() });
        let all = FailOver::new().relay("first", first).relay("away", away).relay("last", last);
        let mut all = open(&all, dir.path(), &journal).unwrap();
        all.take_notice();
        let gate = Cell::default();
        let batch = Batch::new(&block, &gate, None);
        assert!(all.append(&batch).is_err());
        assert_eq!(Some(all.settled()), part);
        assert!(all.take_notice().unwrap().to_string().contains("`last`"));
        all.append(&batch).unwrap();
        assert_eq!(all.settled(), block.next);
    }
}
