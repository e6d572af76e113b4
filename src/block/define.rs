//! What the events of one run of a source refer to, on the writing side.
//!
//! Whoever appends events to a journal keeps one [`Definitions`] for each (source, epoch): the
//! engine for its own process, recovery for a dead one, a master for each worker. Every addition
//! gets the next revision, so "what this segment does not have yet" is everything above the
//! revision that was last written to it.
//!
//! A master hears more than its own blocks refer to. What it absorbs is known and not written: the
//! threads and contexts that a block names are asked for, and then they get their revision.

use std::collections::{HashMap, HashSet};

use rkyv::util::AlignedVec;

use super::events::Origin;
use super::{build, schema};
use crate::event::{ContextInfo, SourceInfo, ThreadInfo};

/// A define block is closed when its content passes this many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// Sites, threads, and contexts kept of one run, each. Beyond it those not defined for longest are
/// forgotten.
const MAX_KEPT: usize = 65_536;
/// How many are forgotten together: looking for them visits all.
const FORGOTTEN: usize = MAX_KEPT / 8;

/// The revision of what is known and not written.
const UNASKED: u64 = 0;
/// Threads and contexts, each, that stay asked for although the block at hand does not name them.
const ASKED: usize = 64;

/// What an entry takes beside its content.
const ENTRY_BYTES: usize = 64;

/// The definitions of one (source, epoch).
#[derive(Debug, Default)]
pub struct Definitions {
    info: SourceInfo,
    revision: u64,
    info_revision: u64,
    sites: HashMap<u32, Item<Box<[u8]>>>,
    threads: HashMap<u32, Item<ThreadInfo>>,
    contexts: HashMap<u32, Item<ContextInfo>>,
    heard: Heard,
}

#[derive(Debug)]
struct Item<T> {
    /// When it took this value, or was asked for; [`UNASKED`] keeps it from being written.
    revision: u64,
    /// When it was last defined, with whatever value.
    seen: u64,
    value: T,
}

/// How a master keeps up with what a worker has and has no more.
#[derive(Debug, Default)]
struct Heard {
    /// The revision at which the worker began to state everything anew, until its next block.
    stating_since: Option<u64>,
    /// The context of each ring: a worker has no use for one that its ring has left.
    present: HashMap<u32, u32>,
    /// Contexts that the last block has left.
    left: Vec<u32>,
    asked_threads: Vec<u32>,
    asked_contexts: Vec<u32>,
}

impl Definitions {
    /// Nothing but the source itself.
    pub fn new(info: SourceInfo) -> Definitions {
        Definitions { info, revision: 1, info_revision: 1, ..Definitions::default() }
    }

    /// The process that these definitions belong to.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// Grows with each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Bytes of all definitions, roughly: what each takes as content and as an entry. Visits them all.
    pub fn bytes(&self) -> usize {
        let pairs = |context: &ContextInfo| {
            context
                .entries()
                .map(|(key, value)| 2 * ENTRY_BYTES + key.len() + value.len())
                .sum::<usize>()
        };
        self.sites.values().map(|item| ENTRY_BYTES + item.value.len()).sum::<usize>()
            + self.threads.values().map(|item| ENTRY_BYTES + item.value.name.len()).sum::<usize>()
            + self.contexts.values().map(|item| ENTRY_BYTES + pairs(&item.value)).sum::<usize>()
    }

    /// Describes the process.
    pub fn set_info(&mut self, info: SourceInfo) {
        if self.info != info {
            self.revision += 1;
            (self.info, self.info_revision) = (info, self.revision);
        }
    }

    /// Defines a call site by the bytes of its [`Definition`](crate::site::Definition).
    pub fn set_site(&mut self, id: u32, definition: &[u8]) {
        if self.sites.get(&id).is_none_or(|known| *known.value != *definition) {
            set(&mut self.sites, &mut self.revision, id, definition.into());
        }
    }

    /// Defines a thread.
    pub fn set_thread(&mut self, id: u32, thread: ThreadInfo) {
        set(&mut self.threads, &mut self.revision, id, thread);
    }

    /// Forgets a thread whose last events are written.
    pub fn remove_thread(&mut self, id: u32) {
        self.threads.remove(&id);
    }

    /// Defines a context.
    pub fn set_context(&mut self, id: u32, context: ContextInfo) {
        set(&mut self.contexts, &mut self.revision, id, context);
    }

    /// Forgets a context that no thread has any more.
    pub fn remove_context(&mut self, id: u32) {
        self.contexts.remove(&id);
    }

    /// Knows a thread that a define block elsewhere describes. It is written when
    /// [`Definitions::ask`] wants it.
    #[cfg(feature = "cli")]
    pub(crate) fn hear_thread(&mut self, id: u32, thread: ThreadInfo) {
        hear(&mut self.threads, &mut self.revision, id, thread);
    }

    /// Knows a context that a define block further on describes. It is written when
    /// [`Definitions::ask`] wants it.
    #[cfg(feature = "cli")]
    pub(crate) fn hear_context(&mut self, id: u32, context: ContextInfo) {
        hear(&mut self.contexts, &mut self.revision, id, context);
    }

    /// Takes over everything a checked define block says. Threads and contexts are written when
    /// [`Definitions::ask`] wants them.
    ///
    /// A block that describes the process begins a full statement: what is not in it and not said
    /// before the next events block does not exist any more.
    pub(crate) fn absorb(&mut self, body: &schema::ArchivedDefineBody) {
        for source in body.sources.iter() {
            self.heard.stating_since = Some(self.revision + 1);
            self.set_info(SourceInfo {
                pid: source.pid.to_native(),
                service: source.service.as_str().into(),
                host: source.host.as_str().into(),
                ..self.info.clone()
            });
        }
        for site in body.sites.iter() {
            self.set_site(site.id.to_native(), &site.definition);
        }
        for thread in body.threads.iter() {
            hear(&mut self.threads, &mut self.revision, thread.id.to_native(), thread.into());
        }
        for context in body.contexts.iter() {
            hear(&mut self.contexts, &mut self.revision, context.id.to_native(), context.into());
        }
    }

    /// The same of a block that may stand where it was not written: all that was said before holds.
    #[cfg(feature = "cli")]
    pub(crate) fn absorb_in_disorder(&mut self, body: &schema::ArchivedDefineBody) {
        self.absorb(body);
        self.heard.stating_since = None;
    }

    /// Sees to it that what the next block's chunks name is written, and forgets what the worker has
    /// no more.
    pub(crate) fn ask(&mut self, origins: &[Origin]) {
        let heard = &mut self.heard;
        if let Some(since) = heard.stating_since.take() {
            self.threads.retain(|_, item| item.seen >= since);
            self.contexts.retain(|_, item| item.seen >= since);
            heard.present.clear();
        }
        for context in heard.left.drain(..) {
            self.contexts.remove(&context);
        }
        if heard.present.len() > MAX_KEPT {
            heard.present.clear();
        }
        for origin in origins {
            let before = heard.present.insert(origin.ring, origin.context);
            heard.left.extend(before.filter(|before| *before != origin.context));
        }
        let threads: Vec<_> = origins.iter().map(|origin| origin.thread).collect();
        ask(&mut self.threads, &mut self.revision, &mut heard.asked_threads, &threads);
        let contexts: Vec<_> = origins.iter().map(|origin| origin.context).collect();
        ask(&mut self.contexts, &mut self.revision, &mut heard.asked_contexts, &contexts);
    }

    /// Whether every thread and context that `origins` name is known.
    #[cfg(feature = "cli")]
    pub(crate) fn knows(&self, origins: &[Origin]) -> bool {
        origins.iter().all(|origin| {
            let is_plain = origin.context == 0 || self.contexts.contains_key(&origin.context);
            is_plain && self.threads.contains_key(&origin.thread)
        })
    }

    /// Builds the define blocks that say what changed after `revision` (0: everything), and hands
    /// each to `write`.
    ///
    /// # Errors
    /// The first error of `write`.
    pub fn write_since<E>(
        &self,
        revision: u64,
        buffer: &mut AlignedVec,
        mut write: impl FnMut(&mut AlignedVec) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut body = schema::DefineBody::default();
        let mut bytes = 0;
        let mut close = |body: &mut schema::DefineBody, bytes: &mut usize| {
            build::define(buffer, self.info.source, self.info.epoch, &std::mem::take(body));
            *bytes = 0;
            write(buffer)
        };
        if self.info_revision > revision {
            body.sources.push(schema::Source {
                pid: self.info.pid,
                service: self.info.service.to_string(),
                host: self.info.host.to_string(),
            });
            bytes += 1;
        }
        for (id, definition) in newer(&self.sites, revision) {
            bytes += definition.len() + 16;
            body.sites.push(schema::Site { id, definition: definition.to_vec() });
            if bytes > BLOCK_BYTES {
                close(&mut body, &mut bytes)?;
            }
        }
        for (id, thread) in newer(&self.threads, revision) {
            bytes += thread.name.len() + 32;
            let (os_id, name) = (thread.os_id, thread.name.to_string());
            body.threads.push(schema::Thread { os_id, id, name });
            if bytes > BLOCK_BYTES {
                close(&mut body, &mut bytes)?;
            }
        }
        for (id, context) in newer(&self.contexts, revision) {
            let pair = |(key, value): (&str, &str)| schema::Pair {
                key: key.to_owned(),
                value: value.to_owned(),
            };
            let pairs: Vec<_> = context.entries().map(pair).collect();
            bytes +=
                pairs.iter().map(|pair| pair.key.len() + pair.value.len() + 16).sum::<usize>() + 16;
            body.contexts.push(schema::Context { id, pairs });
            if bytes > BLOCK_BYTES {
                close(&mut body, &mut bytes)?;
            }
        }
        if bytes > 0 {
            close(&mut body, &mut bytes)?;
        }
        Ok(())
    }
}

/// Gives `id` a value, unless it has it already, and forgets the longest unseen beyond the bound.
fn set<T: PartialEq>(items: &mut HashMap<u32, Item<T>>, revision: &mut u64, id: u32, value: T) {
    *revision += 1;
    insert(items, *revision, *revision, id, value);
}

/// The same for what is known and not written.
fn hear<T: PartialEq>(items: &mut HashMap<u32, Item<T>>, revision: &mut u64, id: u32, value: T) {
    *revision += 1;
    insert(items, UNASKED, *revision, id, value);
}

fn insert<T: PartialEq>(
    items: &mut HashMap<u32, Item<T>>,
    revision: u64,
    seen: u64,
    id: u32,
    value: T,
) {
    match items.get_mut(&id) {
        Some(item) if item.value == value => item.seen = seen,
        _ => {
            items.insert(id, Item { revision, seen, value });
            if items.len() > MAX_KEPT + FORGOTTEN {
                let mut seen: Vec<u64> = items.values().map(|item| item.seen).collect();
                let (_, oldest_kept, _) = seen.select_nth_unstable(FORGOTTEN + 1);
                items.retain(|_, item| item.seen >= *oldest_kept);
            }
        }
    }
}

/// Asks for `named`. When more than [`ASKED`] are asked for, only they stay so.
fn ask<T>(
    items: &mut HashMap<u32, Item<T>>,
    revision: &mut u64,
    asked: &mut Vec<u32>,
    named: &[u32],
) {
    if asked.len() > ASKED {
        let named: HashSet<_> = named.iter().collect();
        asked.retain(|id| {
            let stays = named.contains(id);
            if let Some(item) = items.get_mut(id).filter(|_| !stays) {
                item.revision = UNASKED;
            }
            stays
        });
    }
    for id in named {
        if let Some(item) = items.get_mut(id)
            && item.revision == UNASKED
        {
            *revision += 1;
            item.revision = *revision;
            asked.push(*id);
        }
    }
}

/// What took its value after `revision`, in the order of the ids.
fn newer<T>(items: &HashMap<u32, Item<T>>, revision: u64) -> impl Iterator<Item = (u32, &T)> {
    let mut newer: Vec<_> = items
        .iter()
        .filter(|(_, item)| item.revision > revision)
        .map(|(id, item)| (*id, &item.value))
        .collect();
    newer.sort_unstable_by_key(|(id, _)| *id);
    newer.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_threads_those_not_defined_for_longest_are_forgotten() {
        let mut definitions = Definitions::new(SourceInfo::default());
        let thread = |id: u32| ThreadInfo { os_id: u64::from(id), name: "worker".into() };
        let last = (MAX_KEPT + FORGOTTEN) as u32;
        for id in 0..last {
            definitions.set_thread(id, thread(id));
        }
        assert_eq!(definitions.threads.len(), MAX_KEPT + FORGOTTEN);
        // Said again: not one of the oldest any more.
        definitions.set_thread(0, thread(0));
        definitions.set_thread(last, thread(last));
        assert_eq!(definitions.threads.len(), MAX_KEPT);
        assert!(definitions.threads.contains_key(&0) && definitions.threads.contains_key(&last));
        assert!(!definitions.threads.contains_key(&1));
    }

    mod heard {
        use super::super::super::dictionary;
        use super::super::super::header::HEADER_BYTES;
        use super::*;

        fn pairs(value: u32) -> ContextInfo {
            ContextInfo::from_entries([("key", &*value.to_string())])
        }

        /// What a block of `from` since `revision` says, as `to` hears it.
        fn tell(from: &Definitions, revision: u64, to: &mut Definitions) {
            let told = from.write_since(revision, &mut AlignedVec::new(), |block| {
                to.absorb(dictionary::open(&block[HEADER_BYTES..])?);
                Ok::<(), super::super::super::BlockError>(())
            });
            assert_eq!(told, Ok(()));
        }

        /// The contexts that are written in front of a block of `origins`, given as ring and context.
        fn written(master: &mut Definitions, origins: &[(u32, u32)]) -> Vec<u32> {
            let before = master.revision();
            let origin = |(ring, context): &(u32, u32)| Origin {
                ring: *ring,
                thread: *ring,
                context: *context,
            };
            master.ask(&origins.iter().map(origin).collect::<Vec<_>>());
            newer(&master.contexts, before).map(|(id, _)| id).collect()
        }

        fn known(master: &Definitions) -> Vec<u32> {
            let mut known: Vec<_> = master.contexts.keys().copied().collect();
            known.sort_unstable();
            known
        }

        #[test]
        fn a_block_is_preceded_by_the_contexts_that_it_names_and_by_no_others() {
            let (mut worker, mut master) = (Definitions::default(), Definitions::default());
            (1..=3).for_each(|id| worker.set_context(id, pairs(id)));
            tell(&worker, 0, &mut master);
            assert_eq!(written(&mut master, &[(7, 2)]), [2]);
            assert_eq!(written(&mut master, &[(7, 2), (8, 3)]), [3], "2 is written already");
            worker.set_context(3, pairs(30));
            tell(&worker, 3, &mut master);
            assert_eq!(written(&mut master, &[(8, 3)]), [3], "it has changed");
        }

        #[test]
        fn a_context_is_forgotten_once_its_thread_has_another() {
            let (mut worker, mut master) = (Definitions::default(), Definitions::default());
            (1..=4).for_each(|id| worker.set_context(id, pairs(id)));
            tell(&worker, 0, &mut master);
            assert_eq!(written(&mut master, &[(7, 1), (7, 2), (8, 3)]), [1, 2, 3]);
            written(&mut master, &[(7, 4)]);
            written(&mut master, &[(7, 4)]);
            assert_eq!(known(&master), [3, 4]);
        }

        #[test]
        fn what_a_worker_states_no_more_is_forgotten() {
            let mut worker = Definitions::new(SourceInfo::default());
            let mut master = Definitions::new(SourceInfo::default());
            (1..=3).for_each(|id| worker.set_context(id, pairs(id)));
            tell(&worker, 0, &mut master);
            worker.remove_context(1);
            tell(&worker, 0, &mut master);
            worker.set_context(4, pairs(4));
            tell(&worker, worker.revision() - 1, &mut master);
            assert_eq!(known(&master), [1, 2, 3, 4], "the statement may not be complete");
            written(&mut master, &[(7, 2)]);
            assert_eq!(known(&master), [2, 3, 4]);
        }
    }
}
