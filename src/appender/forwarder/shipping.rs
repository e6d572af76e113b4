//! A forwarder at work: from one connection to the next.
//!
//! Invariants:
//! 1. What is in flight was sent on the present connection, in the order of the journal.
//! 2. Settled is the position of the oldest block in flight; with none, that of the next block to
//!    send. Everything before it is acknowledged.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::connection::{Broken, is_late, is_timeout, time_left};
use super::feed::{Feed, Parcel};
use super::link::{Link, LinkState};
use super::masters::{Masters, Record};
use super::{Forwarder, ForwarderMonitor, ForwarderState, lock};
use crate::appender::{BlockAppender, OutletSide};
use crate::event::SourceInfo;
use crate::journal::{CursorFile, Position, Reader};
use crate::net::{AckLevel, Farewell, FrameKind, HEARTBEAT, Reason, frame};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::output::Output;

/// The first pause after a failure, doubled with each further one.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often a thread that reads looks whether it should end.
const LOOK: Duration = Duration::from_secs(1);
/// The cursor's file is written at most this often, and at the end.
const STORE_EVERY: Duration = Duration::from_millis(250);
/// How long the master's answer to a bye, or its reason for closing, is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// An open forwarder, on its outlet's thread.
pub(super) struct Shipping {
    pub(super) forwarder: Forwarder,
    pub(super) masters: Masters,
    /// Which of them gets the blocks, and from where on.
    pub(super) record: Record,
    /// What lies before it may have been sent to a master.
    pub(super) sent: Position,
    pub(super) output: Output,
    pub(super) sender: SourceInfo,
    pub(super) monitor: ForwarderMonitor,
    pub(super) file: Option<CursorFile>,
    /// When the cursor's file was last written.
    pub(super) stored: Instant,
    pub(super) settled: Position,
    /// Everything before it was acknowledged by a master that has not said otherwise since. A new
    /// connection begins at the start of a segment, and takes settled back, but not this.
    pub(super) acknowledged: Position,
    /// A former master has acknowledged what it did not sync.
    pub(super) is_unproven: bool,
    pub(super) retry: Duration,
    /// When the present master may have worked for the last time.
    pub(super) doubtful_since: Instant,
    pub(super) last_sent: Instant,
}

impl BlockAppender for Shipping {
    fn settled(&self) -> Position {
        self.settled
    }

    fn run(&mut self, outlet: &mut dyn OutletSide) {
        let journal = outlet.journal().clone();
        let mut reader = journal.reader(journal.start_position());
        while !outlet.is_stopping() || !is_late(outlet) && self.left(&mut reader) > 0 {
            self.doubtful_since = Instant::now();
            {
                let mut stats = self.monitor.lock();
                stats.state = ForwarderState::Connecting;
                stats.master = self.masters.present().to_string();
            }
            match self.connection(outlet, &mut reader) {
                Ok(()) => break,
                Err(broken) => self.failed(outlet, &broken),
            }
        }
        self.store();
        let left = self.left(&mut reader);
        let mut stats = self.monitor.lock();
        (stats.left_blocks, stats.state) = (left, ForwarderState::Ended);
    }
}

impl Shipping {
    /// One connection from its beginning to its end; `Ok` after a mutual bye.
    fn connection(
        &mut self,
        outlet: &mut dyn OutletSide,
        reader: &mut Reader,
    ) -> Result<(), Broken> {
        let journal = outlet.journal().clone();
        let outline = self.outline(&journal, reader)?;
        let stream = self.connect(outlet)?;
        let welcome = self.greet(outlet, &stream, &outline)?;
        let former = self.monitor.lock().level;
        if self.record.take_over(&self.masters, self.acknowledged, self.sent) {
            self.is_unproven |= former.is_some_and(|level| level < AckLevel::Synced);
            // Before this master gets anything: the next start has to know.
            self.store();
            crash::reached(CrashPoint::ForwarderTakeOver);
        }
        let marks: HashMap<u64, u64> = welcome.marks.iter().copied().collect();
        let link = Arc::new(Link {
            stream,
            journal,
            version: welcome.version,
            level: welcome.level,
            monitor: self.monitor.clone(),
            state: Mutex::new(LinkState {
                acknowledged: marks.clone(),
                is_level_told: marks.is_empty(),
                ..LinkState::default()
            }),
        });
        let listener = Arc::clone(&link);
        let listener = std::thread::Builder::new()
            .name("rollway-acks".to_owned())
            .spawn(move || listener.listen())
            .map_err(|error| Broken::ours(format_args!("cannot start a thread: {error}")))?;
        {
            let mut stats = self.monitor.lock();
            stats.connections += 1;
            (stats.level, stats.state) = (Some(welcome.level), ForwarderState::Sending);
        }
        outlet.recovered();
        outlet.set_syncs(welcome.level == AckLevel::Synced);
        let (begun, before) = (Instant::now(), self.monitor.lock().delivered_blocks);
        let Record { from, elsewhere, .. } = self.record;
        let taken_over = Position { generation: from.generation, ..Position::default() };
        reader.seek(outline.resume(&marks).max(taken_over));
        let window_bytes = self.forwarder.window_bytes.min(welcome.window_bytes);
        let mut feed = Feed {
            reader,
            marks: &marks,
            source: self.sender.source,
            version: link.version,
            from,
            elsewhere,
            window_bytes,
            next: Position::default(),
            front: Vec::new(),
            sent: Vec::new(),
        };
        feed.next = feed.reader.position().max(from);
        let shipped = self.ship(outlet, &link, &mut feed);
        link.break_off(Broken::new("it was left"));
        // It ends with the connection; a panic was reported by the panic hook.
        let _ = listener.join();
        self.doubtful_since = Instant::now();
        self.publish(outlet, &link, feed.next);
        if self.monitor.lock().delivered_blocks > before || begun.elapsed() > RETRY_MAX {
            self.retry = RETRY_MIN;
            self.masters.worked();
        }
        shipped
    }

    /// Sends blocks until the connection ends or everything is said.
    fn ship(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        feed: &mut Feed<'_>,
    ) -> Result<(), Broken> {
        loop {
            let (window_bytes, next) = (feed.window_bytes, feed.next);
            let is_sent = feed.ship(outlet, &link.monitor, |outlet, parcel| {
                self.send_blocks(outlet, link, &parcel, next, window_bytes)
            })?;
            if is_sent {
                self.publish(outlet, link, feed.next);
                continue;
            }
            let next = feed.next;
            self.publish(outlet, link, next);
            if outlet.is_stopping() {
                return self.part(outlet, link, next);
            }
            let limit = HEARTBEAT.saturating_sub(self.last_sent.elapsed());
            link.journal.wait_until(limit, |end, _| {
                end > next || outlet.is_stopping() || lock(&link.state).is_changed()
            });
            link.check()?;
            self.ping(outlet, link)?;
        }
    }

    /// Writes a frame of blocks once the window has room for them. `next` is the first block in it.
    fn send_blocks(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        parcel: &Parcel<'_>,
        next: Position,
        window_bytes: u64,
    ) -> Result<(), Broken> {
        let bytes: u64 = parcel.sent.iter().map(|sent| sent.bytes).sum();
        self.wait_for_acks(outlet, link, next, |state| {
            state.in_flight.is_empty() || state.in_flight_bytes + bytes <= window_bytes
        })?;
        {
            let mut state = lock(&link.state);
            state.in_flight_bytes += bytes;
            state.in_flight.extend(parcel.sent);
        }
        if let Some(last) = parcel.sent.last() {
            self.sent =
                self.sent.max(Position { offset: last.position.offset + 1, ..last.position });
        }
        if parcel.is_elsewhere {
            self.monitor.lock().elsewhere_blocks += parcel.sent.len() as u64;
        }
        self.send(outlet, link, parcel.pieces)?;
        crash::reached(CrashPoint::ForwarderSent);
        Ok(())
    }

    /// Waits for what acknowledgements bring about; keeps the connection alive and the outlet
    /// informed meanwhile.
    fn wait_for_acks(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        next: Position,
        reached: impl Fn(&LinkState) -> bool,
    ) -> Result<(), Broken> {
        loop {
            self.publish(outlet, link, next);
            link.check()?;
            if reached(&lock(&link.state)) {
                self.monitor.lock().state = ForwarderState::Sending;
                return Ok(());
            }
            self.monitor.lock().state = ForwarderState::AwaitingAcks;
            self.ping(outlet, link)?;
            let limit = HEARTBEAT.saturating_sub(self.last_sent.elapsed());
            let limit = time_left(outlet, limit)?;
            let was_stopping = outlet.is_stopping();
            link.journal.wait_until(limit, |_, _| {
                lock(&link.state).is_changed() || outlet.is_stopping() != was_stopping
            });
        }
    }

    /// Brings the settled position up to date (invariant 2). `next` is the next block to send.
    fn publish(&mut self, outlet: &mut dyn OutletSide, link: &Link, next: Position) {
        let (oldest, news, is_level_told) = {
            let mut state = lock(&link.state);
            let oldest = state.in_flight.front().map(|sent| sent.position);
            (oldest, state.news.take(), state.is_level_told)
        };
        let settled = oldest.unwrap_or(next);
        if settled == self.settled && news.is_none() {
            return;
        }
        self.settled = settled;
        self.acknowledged = acknowledged(self.acknowledged, oldest, next);
        outlet.settle(settled, news.unwrap_or(0));
        let weak_acks = {
            let mut stats = self.monitor.lock();
            stats.settled = self.acknowledged;
            stats.weak_acks
        };
        // After a weak acknowledgement nobody can prove it of what lies before.
        let is_proved = is_level_told && weak_acks == 0 && !self.is_unproven;
        if link.level == AckLevel::Synced && is_proved {
            outlet.synced(settled);
        }
        if self.stored.elapsed() >= STORE_EVERY {
            crash::reached(CrashPoint::ForwarderSettled);
            self.store();
            crash::reached(CrashPoint::ForwarderStored);
        }
    }

    /// Writes the cursor's file.
    fn store(&mut self) {
        self.stored = Instant::now();
        if let Some(file) = &self.file
            && file.store_written(self.acknowledged, self.record.into()).is_err()
        {
            // The file only informs: the marks of the masters decide.
            self.monitor.lock().errors += 1;
        }
    }

    fn ping(&mut self, outlet: &dyn OutletSide, link: &Link) -> Result<(), Broken> {
        if self.last_sent.elapsed() < HEARTBEAT {
            return Ok(());
        }
        self.send(outlet, link, [&frame::header(link.version, FrameKind::Ping, &[]), &[]])
    }

    /// Writes a frame. Blocks while the master does not read, until the connection or the outlet
    /// ends.
    fn send(
        &mut self,
        outlet: &dyn OutletSide,
        link: &Link,
        mut pieces: [&[u8]; 2],
    ) -> Result<(), Broken> {
        while pieces.iter().any(|piece| !piece.is_empty()) {
            match self.output.send(&link.stream, pieces) {
                Ok(count) => {
                    self.monitor.lock().sent_bytes += count as u64;
                    let [front, rest] = pieces;
                    let of_front = count.min(front.len());
                    pieces = [&front[of_front..], &rest[count - of_front..]];
                }
                Err(error) if is_timeout(&error) => {
                    link.check()?;
                    time_left(outlet, LOOK)?;
                }
                Err(error) => {
                    // A master that closed has said why before.
                    let is_told = |_, _| lock(&link.state).broken.is_some();
                    link.journal.wait_until(LAST_WORDS, is_told);
                    link.check()?;
                    return Err(Broken::new(format_args!("cannot send: {error}")));
                }
            }
        }
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Waits for the last acknowledgements and takes leave.
    fn part(
        &mut self,
        outlet: &mut dyn OutletSide,
        link: &Link,
        next: Position,
    ) -> Result<(), Broken> {
        self.wait_for_acks(outlet, link, next, |state| state.in_flight.is_empty())?;
        let bye = Farewell::new(Reason::Done, "the worker has nothing more to send");
        self.send(
            outlet,
            link,
            [&frame::encode_in(link.version, FrameKind::Bye, &bye.encode()), &[]],
        )?;
        // Everything is acknowledged: whether and how the master answers changes nothing.
        let limit = time_left(outlet, LAST_WORDS)?;
        link.journal.wait_until(limit, |_, _| lock(&link.state).broken.is_some());
        Ok(())
    }

    /// Counts the failure, tells of it, chooses the master to try next, and pauses.
    fn failed(&mut self, outlet: &mut dyn OutletSide, broken: &Broken) {
        let why = broken.why.clone();
        let (mut message, state) = match broken.reason {
            Some(_) => (format!("the master refuses: {why}"), ForwarderState::Refused { why }),
            None => (why.clone(), ForwarderState::Failing { why }),
        };
        let moves = !broken.is_ours
            && self.masters.failed(self.doubtful_since, Instant::now(), broken.reason);
        if moves {
            message.push_str(&format!("; it goes on with {}", self.masters.present()));
        }
        {
            let mut stats = self.monitor.lock();
            stats.errors += 1;
            stats.fail_overs += u64::from(moves);
            stats.state = state;
        }
        outlet.failed(&message);
        if moves && !self.masters.were_all_left() {
            // One that was not tried yet need not wait for those that were.
            self.retry = RETRY_MIN;
        }
        let lasting = !moves && broken.reason.is_some_and(Reason::is_lasting);
        outlet.pause(jittered(if lasting { RETRY_MAX } else { self.retry }));
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }
}

/// Up to where everything is acknowledged. What was so stays so, unless the master lacks a block before
/// and gets it again: the oldest in flight.
fn acknowledged(before: Position, oldest: Option<Position>, next: Position) -> Position {
    oldest.unwrap_or(next.max(before))
}

/// Between half and the whole of `pause`, so that many workers do not come back at once.
fn jittered(pause: Duration) -> Duration {
    // A fresh hasher is seeded at random.
    let random = std::hash::RandomState::new().build_hasher().finish();
    pause / 2 + (pause / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_takes_no_acknowledgement_back_unless_the_master_lacks_a_block() {
        let at = |offset| Position { generation: 3, offset, index: 0 };
        // It begins at the start of the segment, and may end before it came further.
        assert_eq!(acknowledged(at(640), None, at(0)), at(640));
        assert_eq!(acknowledged(at(640), None, at(704)), at(704));
        assert_eq!(acknowledged(at(640), Some(at(704)), at(768)), at(704));
        assert_eq!(acknowledged(at(640), Some(at(64)), at(128)), at(64));
    }

    #[test]
    fn pauses_differ_and_stay_within_their_bounds() {
        let pauses: Vec<_> = (0..100).map(|_| jittered(RETRY_MAX)).collect();
        assert!(pauses.iter().all(|pause| (RETRY_MAX / 2..=RETRY_MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
