//! Who may ship a source: workers come, are welcomed or refused, and go.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::super::connection::Connection;
use super::super::stats::count;
use super::Ingest;
use crate::engine::selflog;
use crate::event::SourceInfo;
use crate::net::{AckLevel, Farewell, Hello, Reason, Welcome};
use crate::store::Run;

/// Runs that a master has marks of.
const MAX_RUNS: usize = 65_536;
/// Runs that are forgotten together when there is no room for another one.
const FORGOTTEN_RUNS: usize = MAX_RUNS / 8;
/// Sources whose owners a master remembers.
const MAX_SOURCES: usize = 65_536;

/// Who may ship a source.
pub(in crate::master) struct Owner {
    pub(super) epoch: u64,
    term: u64,
    /// `None` when it has gone; nobody older may come for all that.
    connection: Option<Arc<Connection>>,
    pub(super) info: SourceInfo,
    pub(super) runs: BTreeMap<u64, Run>,
}

impl Ingest {
    /// Welcomes or refuses a worker.
    pub(super) fn hello(&mut self, connection: Arc<Connection>, version: u8, hello: Hello) {
        if let Err(farewell) = self.admit(&connection, &hello) {
            return self.refuse(&connection, farewell);
        }
        // What a welcome names counts as acknowledged: it is synced first (invariant 2).
        let promises_sync = self.level == AckLevel::Synced;
        let is_proved = promises_sync
            && self.sync()
            && !self.sync_failed
            && self.writer.journal().unproved().is_empty();
        let mut marks = self.writer.marks().of_source(hello.source);
        for (epoch, mark) in &mut marks {
            *mark = self.writer.stored_to(hello.source, *epoch);
        }
        let welcome = Welcome {
            version,
            level: self.level,
            window_bytes: self.window_bytes.min(hello.window_bytes),
            marks: marks.clone(),
        };
        connection.welcome(welcome);
        if promises_sync && !marks.is_empty() {
            let level = if is_proved { AckLevel::Synced } else { AckLevel::Committed };
            connection.acknowledge(level, marks.into_iter());
        }
    }

    /// Makes the connection the owner of its source.
    fn admit(&mut self, connection: &Arc<Connection>, hello: &Hello) -> Result<(), Farewell> {
        let source = hello.source;
        if let Some(owner) = self.owners.get(&source)
            && (hello.epoch, hello.term) < (owner.epoch, owner.term)
        {
            let words = format!(
                "epoch {}, term {} came after epoch {}, term {} of the same source",
                hello.epoch, hello.term, owner.epoch, owner.term
            );
            return Err(Farewell::new(Reason::Fenced, words));
        }
        let newer = |owner: &Owner| {
            let is_same = (hello.epoch, hello.term) == (owner.epoch, owner.term);
            is_same && owner.connection.as_ref().is_some_and(|newer| newer.id > connection.id)
        };
        if self.owners.get(&source).is_some_and(newer) {
            // Its hello waited while the newer one was welcomed.
            let words = "a newer connection of the same source took over";
            return Err(Farewell::new(Reason::Superseded, words));
        }
        self.writer.forget_marks(|of, epoch| of == source && epoch < hello.oldest_epoch);
        self.make_room_for_run(source, hello.epoch)?;
        if self.owners.len() >= MAX_SOURCES && !self.owners.contains_key(&source) {
            self.owners.retain(|_, owner| owner.connection.is_some());
        }
        self.leave(source);
        let info = SourceInfo {
            source,
            epoch: hello.epoch,
            pid: hello.pid,
            service: hello.service.as_str().into(),
            host: hello.host.as_str().into(),
        };
        let owner = Owner {
            epoch: hello.epoch,
            term: hello.term,
            connection: Some(Arc::clone(connection)),
            info,
            runs: BTreeMap::new(),
        };
        let before = self.owners.insert(source, owner).and_then(|owner| owner.connection);
        if let Some(before) = before {
            self.counters.refused(Reason::Superseded);
            let words = "a newer connection of the same source took over";
            before.bye(Farewell::new(Reason::Superseded, words));
        }
        Ok(())
    }

    /// Sees to it that a run can have a mark, if need be by forgetting the oldest runs whose workers
    /// are not connected.
    pub(super) fn make_room_for_run(&mut self, source: u128, epoch: u64) -> Result<(), Farewell> {
        let marks = self.writer.marks();
        if marks.len() < MAX_RUNS || marks.get(source, epoch) > 0 {
            return Ok(());
        }
        let owners = &self.owners;
        let is_gone =
            |source: &u128| owners.get(source).is_none_or(|owner| owner.connection.is_none());
        let runs = marks.iter().map(|(source, epoch, _)| (epoch, source));
        let mut gone: Vec<_> = runs.filter(|(_, source)| is_gone(source)).collect();
        gone.sort_unstable();
        gone.truncate(FORGOTTEN_RUNS);
        count(&self.counters.forgotten_runs, gone.len() as u64);
        let gone: HashSet<_> = gone.into_iter().collect();
        self.writer.forget_marks(|source, epoch| gone.contains(&(epoch, source)));
        if gone.is_empty() {
            let words = format!("this master knows {MAX_RUNS} runs and takes no further one");
            return Err(Farewell::new(Reason::Limits, words));
        }
        Ok(())
    }

    /// Forgets the definitions that the owner of a source has sent.
    fn leave(&mut self, source: u128) {
        let Some(owner) = self.owners.get_mut(&source) else { return };
        for (epoch, run) in std::mem::take(&mut owner.runs) {
            self.definitions_bytes -= run.bytes();
            self.writer.forget_definitions(source, epoch);
        }
    }

    pub(super) fn gone(&mut self, connection: &Connection, source: u128) {
        self.unacknowledged.remove(&connection.id);
        if self.is_owner(connection, source) {
            self.leave(source);
            self.owners.entry(source).and_modify(|owner| owner.connection = None);
        }
    }

    pub(super) fn is_owner(&self, connection: &Connection, source: u128) -> bool {
        let owner = self.owners.get(&source).and_then(|owner| owner.connection.as_ref());
        owner.is_some_and(|owner| owner.id == connection.id)
    }

    pub(super) fn refuse(&mut self, connection: &Connection, farewell: Farewell) {
        selflog::warn(&format!("connection from {}: {farewell}", connection.peer));
        self.counters.refused(farewell.reason);
        connection.refuse(farewell);
    }
}
