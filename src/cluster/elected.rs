//! What the elected process does for all: a master without sockets.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::adopt::{Adopted, Orphans};
use super::outlets::{Opening, RELEASE_PAUSE, RELEASE_WAIT};
use super::process::Shared;
use super::source::{Held, Source};
use crate::engine::outlets::{Outlets, Runs};
use crate::engine::syncing::Syncing;
use crate::engine::{AppenderReport, events_behind, selflog};
use crate::journal::{Journal, JournalOptions, JournalWriter, Position, Scan};
use crate::sys::crash::{self, CrashPoint};
use crate::sys::file::create_private_dir;
use crate::sys::lock::FileLock;
use crate::sys::output::Outputs;

/// The first pause after a look at all journals that found nothing, doubled up to the longest.
const LOOK_MIN: Duration = Duration::from_millis(2);
const LOOK_MAX: Duration = Duration::from_millis(250);
/// The longest one while appenders are at work.
const LOOK_PENDING_MAX: Duration = Duration::from_millis(8);
/// After the cluster's journal or a member's refused.
const RETRY: Duration = Duration::from_millis(20);
/// How often it looks for dead members and at the lock of its election: as often as they are to be
/// adopted, within these bounds. New members are seen at once.
const LOOK_AROUND_MIN: Duration = Duration::from_millis(100);
const LOOK_AROUND_MAX: Duration = Duration::from_secs(1);

/// A term of office.
pub(super) struct Elected<'a> {
    process: &'a Shared,
    term: u64,
    journal: Journal,
    writer: JournalWriter,
    outlets: Arc<Outlets>,
    sources: BTreeMap<PathBuf, Source>,
    orphans: Orphans,
    adopted: Vec<Adopted>,
    syncing: Syncing,
    // Last, in this order: they are released when everything else has ended.
    _journal_lock: FileLock,
    lock: FileLock,
}

impl<'a> Elected<'a> {
    /// Takes office: stores the term, opens the cluster's journal, starts the appenders.
    ///
    /// # Errors
    /// What could not be opened. Nothing runs then, and nothing is locked.
    pub(super) fn begin(process: &'a Shared, lock: FileLock) -> Result<Self, Box<dyn Error>> {
        crash::reached(CrashPoint::ElectionLocked);
        let term = process.directory.term()? + 1;
        process.directory.set_term(term)?;
        crash::reached(CrashPoint::ElectionTerm);
        let (journal, mut writer, journal_lock) = open_journal(process)?;
        let outputs = Outputs::new(process.description.io_method, selflog::warn);
        let described = process.described();
        writer.set_output(outputs.open());
        crash::reached(CrashPoint::ElectionJournal);
        let opening = Opening {
            description: &process.description,
            described: &described,
            journal: &journal,
            runs: Runs::Others,
            // A cluster has no events of its own.
            run: (0, 0),
            term,
        };
        let outlets = Arc::new(opening.outlets()?);
        journal.keep_to_bound();
        let syncing = Syncing::start(&journal, process.description.sync)?;
        crash::reached(CrashPoint::ElectionOutlets);
        Ok(Elected {
            process,
            term,
            journal,
            writer,
            outlets,
            sources: BTreeMap::new(),
            orphans: Orphans::default(),
            adopted: Vec::new(),
            syncing,
            _journal_lock: journal_lock,
            lock,
        })
    }

    /// The appenders.
    pub(super) fn outlets(&self) -> &Arc<Outlets> {
        &self.outlets
    }

    /// Runs until the process ends, or somebody has removed the file of the election.
    pub(super) fn run(&mut self) {
        let (mut pause, mut looked_around) = (LOOK_MIN, None::<Instant>);
        let mut changed = None;
        let look_around = self.process.cluster.adopt_after.clamp(LOOK_AROUND_MIN, LOOK_AROUND_MAX);
        while self.process.deadline().is_none() {
            // Before the look: what comes meanwhile is seen by the next one.
            let now_changed = self.process.directory.members_changed();
            if now_changed != changed || looked_around.is_none_or(|at| at.elapsed() >= look_around)
            {
                (looked_around, changed) = (Some(Instant::now()), now_changed);
                if !self.process.directory.is_elected_by(&self.lock) {
                    selflog::warn("cluster: the file `election` was removed; this process resigns");
                    return;
                }
                self.look_around();
            }
            let found = self.turns();
            if let Some(lost) = self.writer.take_losses() {
                selflog::warn(&format!("journal of the cluster: {lost}"));
            }
            let is_pending = self.deliver();
            match found {
                Ok(0) => {
                    let longest = if is_pending { LOOK_PENDING_MAX } else { LOOK_MAX };
                    self.process.pause(pause.min(longest));
                    pause = (pause * 2).min(LOOK_MAX);
                }
                Ok(_) => {
                    pause = LOOK_MIN;
                    self.process.set_failing(None);
                }
                Err(why) => {
                    selflog::warn(&format!("cluster: the elected process waits: {why}"));
                    self.process.set_failing(Some(why));
                    self.process.pause(RETRY);
                }
            }
        }
    }

    /// Lets the appenders finish, by `deadline` at the latest, and gives the office back.
    pub(super) fn end(mut self, deadline: Instant) -> Vec<AppenderReport> {
        self.journal.close();
        self.adopted.iter().for_each(|adopted| adopted.stop(deadline));
        let outlets = self.outlets.close(deadline);
        outlets.iter().for_each(|outlet| outlet.stop(deadline));
        let reports = outlets.iter().map(|outlet| {
            let stats = outlet.join(deadline);
            let backlog = events_behind(&self.journal, stats.settled);
            AppenderReport {
                name: stats.name,
                delivered: stats.delivered,
                left: backlog.events,
                left_is_bound: backlog.is_bound,
                failing: stats.failing,
            }
        });
        let reports = reports.collect();
        self.adopted.iter().for_each(|adopted| adopted.join(deadline));
        self.deliver();
        self.syncing.join(deadline);
        reports
    }

    /// Takes some blocks of each member. How many it looked at, or what holds it up.
    fn turns(&mut self) -> Result<usize, String> {
        let (mut found, mut held) = (0, None);
        for source in self.sources.values_mut() {
            match source.turn(&mut self.writer) {
                Ok(looked) => found += looked,
                Err(Held::Journal(error)) => return Err(selflog::chain(&error)),
                Err(Held::Io(error)) => {
                    held = Some(format!("{}: {error}", source.dir().display()));
                }
            }
        }
        // One journal that cannot be read does not keep the others waiting.
        held.filter(|_| found == 0).map_or(Ok(found), Err)
    }

    /// Tells the members what was delivered. Whether something waits for that.
    fn deliver(&mut self) -> bool {
        let (delivered, synced) = (self.delivered(), self.synced());
        let (mut is_pending, mut wants_sync) = (false, false);
        for source in self.sources.values_mut() {
            if let Err(error) = source.delivered(delivered, synced) {
                selflog::warn(&format!("{}: its cursor: {error}", source.dir().display()));
            }
            is_pending |= source.has_pending();
            let is_dead = self.adopted.iter().any(|adopted| adopted.dir() == source.dir());
            wants_sync |= source.wants_sync(is_dead);
        }
        if wants_sync {
            self.journal.request_sync();
        }
        is_pending
    }

    /// Up to where the members need keep nothing for the case of a power failure. What a failed sync
    /// has left unproved is not waited for: no later one would prove it.
    fn synced(&self) -> Position {
        let mut synced = self.journal.synced();
        for range in self.journal.unproved() {
            if range.start <= synced {
                synced = synced.max(range.end);
            }
        }
        synced
    }

    /// What all mandatory appenders have settled.
    fn delivered(&self) -> Position {
        let running = self.outlets.running();
        let mandatory = running.iter().filter(|outlet| outlet.is_mandatory());
        let settled = mandatory.map(|outlet| outlet.reached());
        settled.min().unwrap_or_else(|| self.journal.end())
    }

    /// Finds members that came, and sees to those that are dead.
    fn look_around(&mut self) {
        self.bury();
        let members = match self.process.directory.list() {
            Ok(members) => members,
            Err(error) => return selflog::warn(&format!("cluster: no member is found: {error}")),
        };
        self.sources.retain(|dir, _| members.contains(dir));
        for dir in &members {
            if !self.sources.contains_key(dir) {
                match Source::open(dir, &mut self.writer) {
                    Ok(source) => drop(self.sources.insert(dir.clone(), source)),
                    Err(error) => selflog::warn(&format!("{}: {error}", dir.display())),
                }
            }
        }
        let after = self.process.cluster.adopt_after;
        let adopted = &self.adopted;
        let orphans = self
            .orphans
            .find(&members, after, |dir| adopted.iter().any(|known| known.dir() == dir));
        for (dir, lock) in orphans {
            let bytes = self.process.cluster.member_bytes;
            let (description, described) = (&self.process.description, self.process.described());
            match Adopted::open(&dir, lock, description, &described, bytes, self.term) {
                Ok(adopted) => self.adopted.push(adopted),
                Err(error) => {
                    let why = selflog::chain(&*error);
                    selflog::warn(&format!("{}: it cannot be adopted: {why}", dir.display()));
                }
            }
        }
    }

    /// Removes the directories of dead members from which everything is delivered.
    fn bury(&mut self) {
        let sources = &self.sources;
        let is_done = |adopted: &Adopted| {
            let source = sources.get(adopted.dir());
            source.is_some_and(|source| source.is_done(adopted.end())) && adopted.is_shipped()
        };
        let (done, left) = std::mem::take(&mut self.adopted).into_iter().partition(is_done);
        self.adopted = left;
        for adopted in done {
            let dir = adopted.dir().to_owned();
            self.sources.remove(&dir);
            match adopted.remove() {
                Ok(source) => self.writer.forget_marks(|of, _| Some(of) == source),
                Err(error) => selflog::warn(&format!("{}: {error}", dir.display())),
            }
        }
    }
}

/// Opens the cluster's journal, whose last owner may still be dying.
fn open_journal(process: &Shared) -> Result<(Journal, JournalWriter, FileLock), Box<dyn Error>> {
    let dir = process.directory.journal();
    create_private_dir(&dir)?;
    let until = Instant::now() + RELEASE_WAIT;
    let lock = loop {
        match FileLock::try_acquire(&dir.join("lock"))? {
            Some(lock) => break lock,
            None if Instant::now() >= until => {
                let what = format!("{}: another process has it", dir.display());
                return Err(io::Error::other(what).into());
            }
            None => std::thread::sleep(RELEASE_PAUSE),
        }
    };
    let scan = Scan::of_received(&dir)?;
    for complaint in scan.complaints() {
        selflog::warn(&complaint);
    }
    let options = JournalOptions {
        keep_free_bytes: process.description.keep_free_bytes,
        ..JournalOptions::directory(&dir).max_bytes(process.cluster.journal_bytes)
    };
    let (journal, writer) = Journal::in_directory(options, scan)?;
    Ok((journal, writer, lock))
}
