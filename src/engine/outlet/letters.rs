//! Events that a destination refuses for their content, in a journal of their own.
//!
//! `<journal>/dead-letters/<appender>/` is a journal directory like any other. Each block has two
//! events: what rollway says about the refusal, and the event itself as it was logged, with the
//! names, thread, context and process that it had. What rollway says names the event's place, so that
//! a letter which was written just before a kill is found again and not written twice. With a journal
//! in memory there is no directory, and the self-log gets the event's text.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rkyv::util::AlignedVec;

use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::define::Definitions;
use crate::block::events::LoneRecord;
use crate::capture;
use crate::engine::past::random_source;
use crate::engine::selflog;
use crate::event::{Event, SourceInfo};
use crate::journal::{
    Block, Journal, JournalError, JournalOptions, JournalWriter, Position, ReadError, Scan,
    file_name,
};
use crate::level::Level;
use crate::record;
use crate::site::{Definition, Names};
use crate::sys;

/// Bytes of the dead letters of one appender. The oldest make room when more are needed.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes of one segment: room for the longest event and for what is said about it.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Places of letters that are remembered: those that may come again.
const PLACES_MAX: usize = 4096;
/// Processes whose definitions are kept. Beyond it they are said anew.
const PROCESSES_MAX: usize = 64;
/// Bytes of what is said about a letter.
const SAID_BYTES_MAX: usize = 16 << 10;
/// The category of what is said.
const CATEGORY: &str = "rollway.dead_letter";
/// The names of its values.
const NAMES: Names<'static> = Names::Listed(&["appender", "reason", "place"]);

const SAID: Definition<'static> = Definition {
    level: Level::WARN,
    line: line!(),
    column: 0,
    target: CATEGORY,
    module: module_path!(),
    file: file!(),
    template: "appender `{}` was refused the next event: {}",
    names: NAMES,
};

/// The dead letters of one appender.
pub(super) struct DeadLetters {
    appender: String,
    /// `None` for a journal in memory.
    dir: Option<PathBuf>,
    /// Opened with the first letter.
    book: Option<Book>,
    /// The places of the last letters.
    places: VecDeque<String>,
}

/// The open journal.
struct Book {
    writer: JournalWriter,
    source: u128,
    processes: HashMap<(u128, u64), Process>,
    last_epoch: u64,
    buffer: AlignedVec,
}

/// A process whose events are among the letters.
struct Process {
    definitions: Definitions,
    sequence: u64,
}

impl DeadLetters {
    /// Nothing is opened yet.
    pub(super) fn new(journal: &Journal, appender: &str) -> DeadLetters {
        let dir = journal.dir().map(|dir| dir.join("dead-letters").join(file_name(appender)));
        DeadLetters { appender: appender.to_owned(), dir, book: None, places: VecDeque::new() }
    }

    /// Keeps the event at `index` of the block, unless it is kept already. It outlives the process
    /// when this returns.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be kept; then it may be tried again.
    pub(super) fn put(
        &mut self,
        block: &Block<'_>,
        index: u32,
        reason: &str,
    ) -> Result<(), JournalError> {
        if let Some(dir) = self.dir.as_ref().filter(|_| self.book.is_none()) {
            let (book, places) = Book::open(dir.clone())?;
            (self.book, self.places) = (Some(book), places);
        }
        let header = block.events.header();
        let (source, epoch, sequence) = (header.source, header.epoch, header.sequence);
        let place = format!("{source:032x}/{epoch}/{sequence}/{index}");
        if self.places.contains(&place) {
            return Ok(());
        }
        let mut events = block.events.events(block.dictionary);
        for _ in 0..index {
            events.next();
        }
        if let Some(Ok(event)) = events.next() {
            match (&mut self.book, block.events.record(block.dictionary, index)) {
                (Some(book), Some(record)) => {
                    let values = (&*self.appender, (reason, (&*place, ())));
                    let said = capture::encode_record(
                        &SAID,
                        None,
                        Level::WARN,
                        None,
                        record.ticks,
                        SAID_BYTES_MAX,
                        values,
                    );
                    book.append(block, &event, &record, &said.unwrap_or_default())?;
                }
                (_, _) => {
                    let mut text = String::new();
                    event.message(&mut text);
                    selflog::warn(&format!(
                        "appender `{}` was refused an event: {reason}: {text}",
                        self.appender
                    ));
                }
            }
        }
        if self.places.len() == PLACES_MAX {
            self.places.pop_front();
        }
        self.places.push_back(place);
        Ok(())
    }
}

impl DeadLetters {
    /// Returns once every letter survives a power failure.
    ///
    /// # Errors
    /// [`JournalError::Io`]; then none may be taken for synced.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.book.as_ref().map_or(Ok(()), |book| book.writer.journal().sync())
    }
}

impl Book {
    /// Continues the journal in `dir`, or begins it, and reads which letters it has.
    fn open(dir: PathBuf) -> Result<(Book, VecDeque<String>), JournalError> {
        sys::file::create_private_dir(&dir).map_err(|source| JournalError::Io {
            doing: "make",
            path: dir.clone(),
            source,
        })?;
        let scan = Scan::of_directory(&dir)?;
        let (max_bytes, segment_bytes) = (MAX_BYTES, SEGMENT_BYTES);
        let options = JournalOptions { max_bytes, segment_bytes, ..JournalOptions::directory(dir) };
        let (journal, writer) = Journal::in_directory(options, scan)?;
        let places = places(&journal);
        journal.keep_to_bound();
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let book = Book {
            writer,
            source: random_source(),
            processes: HashMap::new(),
            last_epoch: now_ns as u64,
            buffer: AlignedVec::new(),
        };
        Ok((book, places))
    }

    /// Appends a block of two: what is said, and behind it the event.
    fn append(
        &mut self,
        block: &Block<'_>,
        event: &Event<'_>,
        record: &LoneRecord<'_>,
        said: &[u8],
    ) -> Result<(), JournalError> {
        let key = (event.source.source, event.source.epoch);
        if self.processes.len() == PROCESSES_MAX && !self.processes.contains_key(&key) {
            self.processes.clear();
        }
        let process = self.processes.entry(key).or_insert_with(|| {
            self.last_epoch += 1;
            // A run of its own: (source, epoch, sequence) names one block for ever.
            let (source, epoch) = (self.source, self.last_epoch);
            let info = SourceInfo { source, epoch, ..event.source.clone() };
            Process { definitions: Definitions::new(info), sequence: 0 }
        });
        let definitions = &mut process.definitions;
        if record.site != record::INLINE {
            let names: Vec<_> = event.site.names.iter().map(|name| &**name).collect();
            let site = Definition {
                level: event.site.level,
                line: event.site.line,
                column: event.site.column,
                target: &event.site.category,
                module: &event.site.module,
                file: &event.site.file,
                template: event.site.template.text(),
                names: Names::Listed(&names),
            };
            definitions.set_site(record.site, &site.to_bytes());
        }
        definitions.set_thread(record.thread, event.thread.clone());
        if record.context != 0 {
            definitions.set_context(record.context, event.context.clone());
        }
        let (source, epoch) = (definitions.info().source, definitions.info().epoch);
        let (sequence, timeline) = (process.sequence + 1, block.events.timeline());
        let head = EventsHead { source, epoch, sequence, timeline };
        let from = record.from;
        let chunks = [
            // Of equal ticks the first chunk comes first.
            ChunkSource {
                ring: 0,
                thread: 0,
                context: 0,
                from: 0,
                to: said.len() as u64,
                runs: [said, &[]],
            },
            ChunkSource {
                ring: record.ring,
                thread: record.thread,
                context: record.context,
                from,
                to: from + record.bytes.len() as u64,
                runs: [record.bytes, &[]],
            },
        ];
        build::events(&mut self.buffer, &head, &chunks);
        self.writer.append_events(&mut self.buffer, definitions)?;
        process.sequence = sequence;
        Ok(())
    }
}

/// The places of the last letters in the journal. Damage hides some: those may be kept twice.
fn places(journal: &Journal) -> VecDeque<String> {
    let mut places = VecDeque::new();
    let mut reader = journal.reader(Position::default());
    loop {
        let block = match reader.next() {
            Ok(Some(block)) => block,
            Err(ReadError::Damaged { .. }) => continue,
            Ok(None) | Err(ReadError::Io { .. }) => return places,
        };
        let mut events = block.events.events(block.dictionary);
        while let Some(event) = events.next() {
            let Ok(event) = event else { continue };
            if &*event.site.category != CATEGORY {
                continue;
            }
            let mut pairs = event.pairs();
            let Some((_, place)) = pairs.find(|(name, _)| *name == "place") else { continue };
            let mut text = String::new();
            crate::template::push_value(place, &mut text);
            if places.len() == PLACES_MAX {
                places.pop_front();
            }
            places.push_back(text);
        }
    }
}
