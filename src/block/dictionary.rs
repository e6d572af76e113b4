//! What define blocks said, on the reading side.

use std::collections::HashMap;

use rkyv::rancor::Failure;

use super::header::{BlockError, BlockHeader};
use super::schema;
use crate::event::{ContextInfo, SiteInfo, SourceInfo, ThreadInfo};
use crate::site::Definition;

/// A process gives its contexts numbers up to this one, each once in as many; recovery gives the
/// rings that it drains greater ones, and may give a number more than once.
pub(crate) const CONTEXTS_MAX: u32 = (1 << 31) - 1;

/// Everything a reader knows of the sources it met.
#[derive(Debug, Default)]
pub struct Dictionary {
    sources: HashMap<(u128, u64), SourceDictionary>,
}

/// What is known of one run of a source.
#[derive(Debug, Default)]
pub struct SourceDictionary {
    pub(super) info: SourceInfo,
    pub(super) sites: HashMap<u32, SiteInfo>,
    pub(super) threads: HashMap<u32, ThreadInfo>,
    pub(super) contexts: HashMap<u32, ContextInfo>,
    /// Whether the present segment has said something about it.
    is_current: bool,
}

impl Dictionary {
    /// Knows nothing.
    pub fn new() -> Dictionary {
        Dictionary::default()
    }

    /// Takes in the archive of a define block, which need not be trusted.
    ///
    /// # Errors
    /// [`BlockError::Malformed`]; then nothing was taken in.
    pub fn define(&mut self, header: &BlockHeader, body: &[u8]) -> Result<(), BlockError> {
        let body = open(body)?;
        let known = self.sources.entry((header.source, header.epoch)).or_default();
        (known.info.source, known.info.epoch) = (header.source, header.epoch);
        known.is_current = true;
        for source in body.sources.iter() {
            known.info.pid = source.pid.to_native();
            known.info.service = source.service.as_str().into();
            known.info.host = source.host.as_str().into();
        }
        for site in body.sites.iter() {
            let id = site.id.to_native();
            let Some(definition) = Definition::take(&mut &site.definition[..]) else {
                return Err(BlockError::Malformed { what: "a call site is not readable" });
            };
            known.sites.entry(id).or_insert_with(|| definition.into());
        }
        for thread in body.threads.iter() {
            known.threads.insert(thread.id.to_native(), thread.into());
        }
        for context in body.contexts.iter() {
            known.contexts.insert(context.id.to_native(), context.into());
        }
        Ok(())
    }

    /// Takes in a define block that stands further on in the segment, for events whose definitions are
    /// damaged: what is not known yet, and nothing else. Sites and threads never change within a
    /// run, and no segment is long enough for a process to give the number of a context twice. Those
    /// of recovered events are left out: a second recovery gives their numbers again.
    ///
    /// # Errors
    /// As [`Dictionary::define`].
    pub fn define_ahead(&mut self, header: &BlockHeader, body: &[u8]) -> Result<(), BlockError> {
        let mut ahead = Dictionary::new();
        ahead.define(header, body)?;
        for (run, ahead) in ahead.sources {
            let known = self.sources.entry(run).or_default();
            if known.info.pid == 0 {
                known.info = ahead.info;
            }
            known.is_current = true;
            for (id, site) in ahead.sites {
                known.sites.entry(id).or_insert(site);
            }
            for (id, thread) in ahead.threads {
                known.threads.entry(id).or_insert(thread);
            }
            for (id, context) in ahead.contexts {
                if id <= CONTEXTS_MAX {
                    known.contexts.entry(id).or_insert(context);
                }
            }
        }
        Ok(())
    }

    /// Forgets what every segment says anew: threads and contexts. Sites, which never change
    /// within a run, are kept for the next segment, unless the last one did not mention the run.
    pub fn begin_segment(&mut self) {
        self.sources.retain(|_, known| std::mem::take(&mut known.is_current));
        for known in self.sources.values_mut() {
            known.threads.clear();
            known.contexts.clear();
        }
    }

    /// What is known of one run of a source.
    pub fn source(&self, source: u128, epoch: u64) -> Option<&SourceDictionary> {
        self.sources.get(&(source, epoch))
    }
}

impl SourceDictionary {
    /// The process.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }
}

/// Checks the archive of a define block.
pub(crate) fn open(body: &[u8]) -> Result<&schema::ArchivedDefineBody, BlockError> {
    rkyv::access::<schema::ArchivedDefineBody, Failure>(body)
        .map_err(|Failure| BlockError::Malformed { what: "its archive does not validate" })
}

impl From<&schema::ArchivedThread> for ThreadInfo {
    fn from(thread: &schema::ArchivedThread) -> ThreadInfo {
        ThreadInfo { os_id: thread.os_id.to_native(), name: thread.name.as_str().into() }
    }
}

impl From<&schema::ArchivedContext> for ContextInfo {
    fn from(context: &schema::ArchivedContext) -> ContextInfo {
        let pairs = context.pairs.iter();
        ContextInfo::from_entries(pairs.map(|pair| (pair.key.as_str(), pair.value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use rkyv::util::AlignedVec;

    use super::*;
    use crate::block::define::Definitions;
    use crate::block::header::HEADER_BYTES;

    #[test]
    fn what_is_said_further_on_serves_for_what_is_lost_and_changes_nothing_that_is_known() {
        let thread = |name: &str| ThreadInfo { os_id: 1, name: name.into() };
        let context = |value: &str| ContextInfo::from_entries([("k", value)]);
        let mut definitions = Definitions::new(SourceInfo { pid: 9, ..SourceInfo::default() });
        for id in [1, 2] {
            definitions.set_thread(id, thread("later"));
            definitions.set_context(id, context("later"));
        }
        definitions.set_context(CONTEXTS_MAX + 2, context("recovered"));
        let mut dictionary = Dictionary::new();
        let known = dictionary.sources.entry((0, 0)).or_default();
        known.threads.insert(1, thread("known"));
        known.contexts.insert(1, context("known"));
        let written = definitions.write_since(0, &mut AlignedVec::new(), |block| {
            let header = BlockHeader::decode(block)?;
            dictionary.define_ahead(&header, &block[HEADER_BYTES..])
        });
        assert_eq!(written, Ok(()));
        let known = dictionary.source(0, 0).unwrap();
        assert_eq!((&known.threads[&1], &known.threads[&2]), (&thread("known"), &thread("later")));
        assert_eq!(known.contexts.len(), 2, "a recovered one may be another");
        assert_eq!(known.contexts[&1], context("known"));
        assert_eq!((&known.contexts[&2], known.info.pid), (&context("later"), 9));
    }

    #[test]
    fn a_run_that_ended_is_forgotten() {
        let mut dictionary = Dictionary::new();
        let define = |dictionary: &mut Dictionary, epoch| {
            let definitions = Definitions::new(SourceInfo { epoch, ..SourceInfo::default() });
            let written = definitions.write_since(0, &mut AlignedVec::new(), |block| {
                let header = BlockHeader::decode(block)?;
                dictionary.define(&header, &block[HEADER_BYTES..])
            });
            assert_eq!(written, Ok(()));
        };
        define(&mut dictionary, 1);
        define(&mut dictionary, 2);
        dictionary.begin_segment();
        define(&mut dictionary, 2);
        assert!(dictionary.source(0, 1).is_some(), "the last segment spoke of it");
        dictionary.begin_segment();
        assert!(dictionary.source(0, 1).is_none());
        assert!(dictionary.source(0, 2).is_some());
    }
}
