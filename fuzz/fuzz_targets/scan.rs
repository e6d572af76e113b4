//! A journal directory in which somebody has been: its segments, mutated.
//!
//! Nothing panics or hangs, and no event is read that was not logged. With the first byte odd the
//! checksums are made to match again, so that the fuzzer reaches what lies behind them; then events
//! may differ.
#![no_main]

mod support;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rollway::block::header::{self, BlockHeader, BlockKind, HEADER_BYTES};
use rollway::block::{Dictionary, EventsBlock};
use rollway::event::Event;
use rollway::journal::{
    Finding, Journal, JournalOptions, JournalTail, Position, Reads, Scan, ScannedBlocks, Survey,
    segment_paths,
};
use rollway::layout::{Json, Layout};

/// Two segments with their names, and every event in them as a line.
struct Journaled {
    segments: Vec<(String, Vec<u8>)>,
    lines: HashSet<String>,
}

static JOURNALED: LazyLock<Journaled> = LazyLock::new(|| {
    let dir = support::scratch("base");
    for run in 0..2 {
        let builder = rollway::builder().service("fuzz").level(rollway::Level::TRACE);
        let guard = builder
            .journal_dir(dir.join("journal"))
            .rings_dir(dir.join("rings"))
            .start()
            .expect("an engine");
        let logger = guard.logger();
        for number in 0..20_u64 {
            let _scope = (number % 3 == 0).then(|| rollway::mdc("request", number));
            rollway::info!(logger: logger, half = number as f64 / 2.0, name = "fuzz"; "run {run} number {number}");
            if number % 5 == 0 {
                guard.flush().expect("a flush");
            }
        }
        drop(guard);
    }
    let paths = segment_paths(&dir.join("journal")).expect("segments");
    let mut lines = HashSet::new();
    for (_, path) in &paths {
        read(path, |line| {
            lines.insert(line);
        });
    }
    assert_eq!(lines.len(), 40);
    let named = |path: PathBuf| {
        (path.file_name().expect("a name").to_string_lossy().into_owned(), support::content(&path))
    };
    let segments = paths.into_iter().map(|(_, path)| named(path)).collect();
    fs::remove_dir_all(dir).expect("the scratch directory goes");
    Journaled { segments, lines }
});

static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| support::scratch("scan"));

fuzz_target!(|data: &[u8]| {
    let Some((&how, plan)) = data.split_first() else { return };
    let reseals = how % 2 == 1;
    let which = usize::from(how / 2) % (JOURNALED.segments.len() + 1);
    for (at, (name, bytes)) in JOURNALED.segments.iter().enumerate() {
        let mut bytes = bytes.clone();
        if which == at || which == JOURNALED.segments.len() {
            support::mutate(&mut bytes, plan);
        }
        if reseals {
            reseal(&mut bytes);
        }
        fs::write(SCRATCH.join(name), bytes).expect("the scratch directory takes it");
    }
    for (_, path) in segment_paths(&SCRATCH).expect("the scratch directory") {
        read(&path, |line| assert!(reseals || JOURNALED.lines.contains(&line), "{line}"));
    }
    let mut known = Known { reseals };
    let mut survey = Survey::new();
    for (_, path) in segment_paths(&SCRATCH).expect("the scratch directory") {
        survey.segment(&path, &mut known).expect("a file that is there");
    }
    survey.end(&mut [], &mut known);
    let mut tail = JournalTail::new(&SCRATCH, Position::default(), HashMap::new());
    for _ in 0..2 {
        let _ = tail.poll(&mut |_| {});
    }
    let scan = Scan::of_directory(&SCRATCH).expect("a scan");
    let options = JournalOptions::directory(&*SCRATCH).max_bytes(64 << 20);
    let (journal, writer) = Journal::in_directory(options, scan).expect("a journal");
    let mut reader = journal.reader(journal.start_position());
    let mut blocks = 0;
    while !matches!(reader.next(), Ok(None)) {
        blocks += 1;
        assert!(blocks < 10_000, "the reader does not come to an end");
    }
    drop(writer);
    for (_, path) in segment_paths(&SCRATCH).expect("the scratch directory") {
        fs::remove_file(path).expect("it was listed");
    }
});

/// Knows which events there are.
struct Known {
    reseals: bool,
}

impl Reads for Known {
    fn event(&mut self, event: &Event<'_>) {
        let mut line = String::new();
        Json::full().write(event, &mut line);
        assert!(self.reseals || JOURNALED.lines.contains(&line), "{line}");
    }

    fn finding(&mut self, finding: Finding) {
        assert!(!finding.to_string().is_empty());
    }
}

/// Gives each block whose header still makes sense the checksum of its present bytes.
fn reseal(bytes: &mut [u8]) {
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        let found = BlockHeader::decode(&bytes[at..])
            .ok()
            .map(|header| (header.bytes(), header.padded_bytes()));
        match found {
            Some((len, padded)) if at + len <= bytes.len() => {
                bytes[at + 6] = 0;
                header::seal(&mut bytes[at..at + len]);
                at += padded.max(HEADER_BYTES);
            }
            _ => at += HEADER_BYTES,
        }
    }
}

/// Shows `each` every event of a segment file as a line of JSON.
fn read(path: &std::path::Path, mut each: impl FnMut(String)) {
    let mut blocks = ScannedBlocks::open(path).expect("a file");
    let mut dictionary = Dictionary::new();
    let mut json = Json::full();
    while let Some(block) = blocks.next() {
        let Ok(block) = block else { continue };
        match block.header.kind {
            BlockKind::Define => {
                drop(dictionary.define(&block.header, &block.bytes[HEADER_BYTES..]))
            }
            BlockKind::Events => {
                let Ok(events) = EventsBlock::open(block.header, block.bytes) else { continue };
                // What refers to a definition that was lost would read as another event.
                if dictionary.source(block.header.source, block.header.epoch).is_none()
                    || !events.has_contexts(&dictionary)
                {
                    continue;
                }
                let mut events = events.events(&dictionary);
                while let Some(event) = events.next() {
                    let Ok(event) = event else { continue };
                    let mut line = String::new();
                    json.write(&event, &mut line);
                    each(line);
                }
            }
            BlockKind::Segment | BlockKind::Other(_) => {}
        }
    }
}
