//! Journals in memory and in directories, written and read by hand.

use std::os::unix::fs::FileExt;
use std::path::Path;

use rkyv::util::AlignedVec;

use super::*;
use crate::block::BlockKind;
use crate::block::build::{self, ChunkSource, EventsHead};
use crate::block::define::Definitions;
use crate::capture;
use crate::clock::{Anchor, Timeline};
use crate::event::{SourceInfo, ThreadInfo};
use crate::level::Level;
use crate::site::{Definition, Names};
use crate::sys::output::{IoMethod, Outputs};

const SITE: Definition<'static> = Definition {
    level: Level::INFO,
    line: 1,
    column: 1,
    target: "test",
    module: "test",
    file: "test.rs",
    template: "event {}",
    names: Names::Listed(&["0"]),
};
const SITE_ID: u32 = 20;

pub(crate) struct Source {
    pub(crate) definitions: Definitions,
    pub(crate) sequence: u64,
    buffer: AlignedVec,
}

impl Source {
    pub(crate) fn new() -> Source {
        let info = SourceInfo { source: 7, epoch: 1, pid: 9, ..SourceInfo::default() };
        let mut definitions = Definitions::new(info);
        definitions.set_site(SITE_ID, &SITE.to_bytes());
        definitions.set_thread(1, ThreadInfo { os_id: 1, name: "main".into() });
        Source { definitions, sequence: 0, buffer: AlignedVec::new() }
    }

    /// Appends a block with one event, `number`, and `filler` bytes.
    pub(super) fn append(
        &mut self,
        writer: &mut JournalWriter,
        number: u64,
        filler: usize,
    ) -> Result<Position, JournalError> {
        self.append_events(writer, number..number + 1, 0, filler)
    }

    /// Appends a block with the events `numbers`, each with `filler` bytes, in a context.
    pub(crate) fn append_events(
        &mut self,
        writer: &mut JournalWriter,
        numbers: std::ops::Range<u64>,
        context: u32,
        filler: usize,
    ) -> Result<Position, JournalError> {
        let filler = "x".repeat(filler);
        let record = |number| {
            let (id, level, values) = (Some(SITE_ID), Level::INFO, (number, (&*filler, ())));
            capture::encode_record(&SITE, id, level, None, number, 1 << 20, values).unwrap()
        };
        let records: Vec<u8> = numbers.flat_map(|number| record(number).to_vec()).collect();
        let anchor = |ticks| Anchor { ticks, utc_ns: ticks as i64 };
        let timeline = Timeline { before: anchor(0), after: anchor(1 << 40), nanos_per_tick: 1.0 };
        let head = EventsHead { source: 7, epoch: 1, sequence: self.sequence + 1, timeline };
        let to = records.len() as u64;
        let runs = [&records[..], &[]];
        let chunk = ChunkSource { ring: 3, thread: 1, context, from: 0, to, runs };
        build::events(&mut self.buffer, &head, &[chunk]);
        let position = writer.append_events(&mut self.buffer, &self.definitions)?;
        self.sequence += 1;
        Ok(position)
    }
}

/// The numbers of all events from `position` on; panics at damage.
pub(super) fn numbers(journal: &Journal, position: Position) -> Vec<u64> {
    let mut reader = journal.reader(position);
    let mut numbers = Vec::new();
    while let Some(block) = reader.next().unwrap() {
        let mut events = block.events.events(block.dictionary);
        while let Some(event) = events.next() {
            let mut text = String::new();
            event.unwrap().message(&mut text);
            numbers.push(text.strip_prefix("event ").unwrap().parse().unwrap());
        }
    }
    numbers
}

pub(crate) fn open(dir: &Path) -> (Journal, JournalWriter) {
    let scan = Scan::of_directory(dir).unwrap();
    assert_eq!(scan.damage, []);
    Journal::in_directory(JournalOptions::directory(dir), scan).unwrap()
}

pub(super) const FILLER: usize = 60_000;

impl Journal {
    /// A journal in `dir` with the events 0 to 2.
    pub(crate) fn with_three_events(dir: &Path) -> Journal {
        let (journal, mut writer) = open(dir);
        let mut source = Source::new();
        for number in 0..3 {
            source.append(&mut writer, number, 10).unwrap();
        }
        journal
    }

    /// The journal in `dir` as the next run has it: what comes goes to another segment.
    pub(crate) fn of_next_run(dir: &Path) -> Journal {
        open(dir).0
    }

    /// Lets reads of all segments fail, or succeed again.
    pub(crate) fn set_readable(&self, readable: bool) {
        for entry in &mut self.state().segments {
            let path = self.path(entry.generation).unwrap();
            // A file that is open for writing refuses reads.
            let file = std::fs::File::options().read(readable).write(!readable).open(&path);
            entry.held = Some(Arc::new(Segment::of_file(file.unwrap(), &path, entry.generation)));
        }
    }
}

#[test]
fn a_read_that_fails_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_three_events(dir.path());
    let start = journal.start_position();
    let mut first = journal.reader(start);
    let second = first.next().unwrap().unwrap().next;
    for from in [start, second] {
        journal.set_readable(false);
        let mut reader = journal.reader(from);
        for _ in 0..3 {
            assert!(matches!(reader.next(), Err(ReadError::Io { .. })));
            assert!(matches!(reader.next_raw(|_, _| true), Err(ReadError::Io { .. })));
            assert_eq!(reader.position(), from);
        }
        journal.set_readable(true);
        reader.seek(from);
        assert_eq!(reader.next().unwrap().unwrap().position.max(second), second);
    }
    assert_eq!(numbers(&journal, second), [1, 2]);
}

#[test]
fn what_was_appended_is_read_in_order_across_segments() {
    let (journal, mut writer) = Journal::in_memory(JournalOptions::memory()).unwrap();
    let mut source = Source::new();
    let mut middle = Position::default();
    for number in 0..400 {
        let position = source.append(&mut writer, number, FILLER).unwrap();
        if number == 200 {
            middle = position;
        }
    }
    assert!(journal.end().generation > 2, "{}", journal.end());
    assert_eq!(numbers(&journal, Position::default()), (0..400).collect::<Vec<_>>());
    assert_eq!(numbers(&journal, middle), (200..400).collect::<Vec<_>>());
}

#[test]
fn a_mandatory_cursor_holds_its_segment_and_the_journal_gets_full() {
    let options = JournalOptions::memory().max_bytes(32 << 20);
    let (journal, mut writer) = Journal::in_memory(options).unwrap();
    let cursor = journal.register("slow", true, journal.start_position());
    let mut source = Source::new();
    let refused = (0..10_000).find_map(|number| source.append(&mut writer, number, FILLER).err());
    let Some(JournalError::Full { held_by, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(held_by, "slow");
    let stored = source.sequence;
    assert_eq!(numbers(&journal, Position::default()).len() as u64, stored);

    cursor.settle(journal.end());
    source.append(&mut writer, stored, FILLER).unwrap();
    assert_eq!(numbers(&journal, Position::default()).last(), Some(&stored));
}

#[test]
fn a_start_removes_nothing_before_the_appenders_are_registered() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions::directory(dir.path()).max_bytes(32 << 20);
    let reopen = || {
        let scan = Scan::of_directory(dir.path()).unwrap();
        Journal::in_directory(options.clone(), scan).unwrap()
    };
    let mut source = Source::new();
    let full = |result| matches!(result, Err(JournalError::Full { .. }));
    for _ in 0..3 {
        let (journal, mut writer) = reopen();
        assert_eq!(journal.start_position().generation, 1);
        let _cursor = journal.register("slow", true, journal.start_position());
        journal.keep_to_bound();
        while !full(source.append(&mut writer, source.sequence, FILLER).map(|_| ())) {}
    }
    let (journal, mut writer) = reopen();
    assert_eq!(numbers(&journal, Position::default()), (0..source.sequence).collect::<Vec<_>>());
    // Once nobody holds them, the bound is kept again.
    journal.keep_to_bound();
    for _ in 0..200 {
        source.append(&mut writer, source.sequence, FILLER).unwrap();
    }
    assert!(journal.bytes() <= 32 << 20, "{}", journal.bytes());
}

#[test]
fn an_optional_reader_is_overtaken_and_the_loss_is_counted() {
    let options = JournalOptions::memory().max_bytes(32 << 20);
    let (journal, mut writer) = Journal::in_memory(options).unwrap();
    let _cursor = journal.register("optional", false, journal.start_position());
    let mut source = Source::new();
    let mut reader = journal.reader(Position::default());
    source.append(&mut writer, 0, FILLER).unwrap();
    assert!(reader.next().unwrap().is_some());
    for number in 1..2000 {
        source.append(&mut writer, number, FILLER).unwrap();
    }
    while reader.next().unwrap().is_some() {}
    assert!(reader.overtaken_segments() > 0);
    assert_eq!(reader.position(), journal.end());
}

#[test]
fn a_directory_keeps_its_events_and_marks_for_the_next_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    for round in 0..3u64 {
        let (_, mut writer) = open(dir.path());
        assert_eq!(writer.marks().get(7, 1), round * 100);
        for number in 0..100 {
            source.append(&mut writer, round * 100 + number, 10).unwrap();
        }
    }
    let (journal, writer) = open(dir.path());
    assert_eq!(numbers(&journal, Position::default()), (0..300).collect::<Vec<_>>());
    assert_eq!(writer.marks().get(7, 1), 300);
}

#[test]
fn the_way_of_writing_leaves_no_trace_in_the_segments() {
    let [by_calls, by_ring] = [IoMethod::Write, IoMethod::IoUring].map(|method| {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::directory(dir.path()).max_bytes(32 << 20);
        let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
        writer.set_output(Outputs::new(method, |why| println!("{why}")).open());
        let mut source = Source::new();
        for number in 0..400 {
            source.append(&mut writer, number, number as usize * 7919 % FILLER).unwrap();
        }
        assert!(journal.end().generation > 1);
        assert_eq!(numbers(&journal, Position::default()), (0..400).collect::<Vec<_>>());
        drop((journal, writer));
        let (journal, _) = open(dir.path());
        assert_eq!(numbers(&journal, Position::default()), (0..400).collect::<Vec<_>>());
        let name = writer::segment_name(1);
        std::fs::read(dir.path().join(name)).unwrap()
    });
    assert!(by_calls == by_ring);
}

#[test]
fn each_segment_alone_says_everything_about_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions::directory(dir.path()).max_bytes(64 << 20);
    let (journal, mut writer) = Journal::in_directory(options, Scan::default()).unwrap();
    journal.keep_to_bound();
    let mut source = Source::new();
    for number in 0..600 {
        source.append(&mut writer, number, FILLER).unwrap();
    }
    let paths = segment_paths(dir.path()).unwrap();
    assert!(paths.len() > 2);
    for (generation, _) in &paths[1..] {
        let alone = Position { generation: *generation, ..Position::default() };
        let found = numbers(&journal, alone);
        assert_eq!(found.last(), Some(&599));
    }
}

#[test]
fn a_block_without_its_header_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, mut writer) = open(dir.path());
    let mut source = Source::new();
    for number in 0..3 {
        source.append(&mut writer, number, 100).unwrap();
    }
    let last = source.append(&mut writer, 3, 100).unwrap();
    drop((journal, writer));
    let (_, path) = segment_paths(dir.path()).unwrap().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[last.offset as usize..][..64].fill(0);
    std::fs::write(&path, bytes).unwrap();

    let (journal, writer) = open(dir.path());
    assert_eq!(numbers(&journal, Position::default()), [0, 1, 2]);
    assert_eq!(writer.marks().get(7, 1), 3);
}

#[test]
fn damage_costs_its_block_and_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut writer) = open(dir.path());
    let mut source = Source::new();
    let positions: Vec<_> =
        (0..10).map(|number| source.append(&mut writer, number, 100).unwrap()).collect();
    drop(writer);
    let (generation, path) = segment_paths(dir.path()).unwrap().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[positions[4].offset as usize + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let scan = Scan::of_directory(dir.path()).unwrap();
    let [damage] = &scan.damage[..] else { panic!("{:?}", scan.damage) };
    assert_eq!(
        (damage.offset, damage.bytes),
        (positions[4].offset, positions[5].offset - positions[4].offset)
    );
    let (journal, _) = Journal::in_directory(JournalOptions::directory(dir.path()), scan).unwrap();
    let mut reader = journal.reader(Position { generation, ..Position::default() });
    let (mut read, mut damaged) = (0, 0);
    loop {
        match reader.next() {
            Ok(Some(_)) => read += 1,
            Ok(None) => break,
            Err(_) => damaged += 1,
        }
    }
    assert_eq!((read, damaged > 0), (9, true));
}

#[test]
fn raw_blocks_come_with_their_definitions_and_what_is_not_wanted_is_passed_over() {
    for dir in [None, Some(tempfile::tempdir().unwrap())] {
        let (journal, mut writer) = match &dir {
            None => Journal::in_memory(JournalOptions::memory()).unwrap(),
            Some(dir) => open(dir.path()),
        };
        let mut source = Source::new();
        let positions: Vec<_> =
            (0..5).map(|n| source.append(&mut writer, n, 10).unwrap()).collect();
        let mut reader = journal.reader(journal.start_position());
        let mut kinds = Vec::new();
        while let Some(block) = reader.next_raw(|_, header| header.sequence != 2).unwrap() {
            assert_eq!(block.bytes.len(), block.header.bytes());
            assert_eq!(crate::block::BlockHeader::decode(block.bytes), Ok(block.header));
            kinds.push((block.header.kind, block.header.sequence));
            if let Some(at) = block.header.sequence.checked_sub(1) {
                assert_eq!(block.position, positions[at as usize]);
            }
        }
        let expected = [
            (BlockKind::Segment, 0),
            (BlockKind::Define, 0),
            (BlockKind::Events, 1),
            (BlockKind::Events, 3),
            (BlockKind::Events, 4),
            (BlockKind::Events, 5),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(reader.position(), journal.end());
    }
}

#[test]
fn a_wait_ends_when_what_it_waits_for_was_changed_before_the_wake() {
    let (journal, _writer) = Journal::in_memory(JournalOptions::memory()).unwrap();
    let changed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (waker, change) = (journal.clone(), std::sync::Arc::clone(&changed));
    let thread = std::thread::spawn(move || {
        change.store(true, std::sync::atomic::Ordering::Relaxed);
        waker.wake();
    });
    let changed = || changed.load(std::sync::atomic::Ordering::Relaxed);
    journal.wait_until(Duration::from_secs(3600), |_, _| changed());
    assert!(changed());
    thread.join().unwrap();
}

#[test]
fn the_definitions_of_many_sources_stay_a_small_part() {
    let options = JournalOptions {
        segment_bytes: 64 << 20,
        max_bytes: 128 << 20,
        ..JournalOptions::memory()
    };
    let (journal, mut writer) = Journal::in_memory(options).unwrap();
    let site = Definition { template: &"x".repeat(50_000), ..SITE }.to_bytes();
    let definitions: Vec<_> = (0..200)
        .map(|epoch| {
            let mut definitions =
                Definitions::new(SourceInfo { source: 7, epoch, ..SourceInfo::default() });
            definitions.set_site(SITE_ID, &site);
            definitions
        })
        .collect();
    let anchor = Anchor { ticks: 0, utc_ns: 0 };
    let timeline = Timeline { before: anchor, after: anchor, nanos_per_tick: 1.0 };
    let mut buffer = AlignedVec::new();
    for sequence in 1..=10 {
        for epoch in 0..200 {
            let head = EventsHead { source: 7, epoch, sequence, timeline };
            build::events(&mut buffer, &head, &[]);
            writer.append_events(&mut buffer, &definitions[epoch as usize]).unwrap();
        }
    }
    let mut reader = journal.reader(journal.start_position());
    let mut defined = 0;
    while let Some(block) = reader.next_raw(|_, header| header.kind == BlockKind::Define).unwrap() {
        defined += block.bytes.len();
    }
    let once: usize = definitions.iter().map(Definitions::bytes).sum();
    assert!((once..2 * once).contains(&defined), "{defined} bytes, once is {once}");
}

#[test]
fn definitions_are_said_again_early_and_then_ever_more_rarely() {
    let options =
        JournalOptions { segment_bytes: 32 << 20, max_bytes: 64 << 20, ..JournalOptions::memory() };
    let (journal, mut writer) = Journal::in_memory(options).unwrap();
    let mut source = Source::new();
    let mut block_bytes = 0;
    while journal.end().offset + 100_000 < 32 << 20 {
        let begin = source.append(&mut writer, source.sequence, 30_000).unwrap();
        block_bytes = block_bytes.max(journal.end().offset - begin.offset);
    }
    let mut reader = journal.reader(journal.start_position());
    let mut places = Vec::new();
    while let Some(block) = reader.next_raw(|_, header| header.kind == BlockKind::Define).unwrap() {
        places.push(block.position.offset);
    }
    let mut distance = 64 << 10;
    for pair in places.windows(2) {
        assert!((distance..=distance + block_bytes).contains(&(pair[1] - pair[0])), "{places:?}");
        distance = (2 * distance).min(4 << 20);
    }
    assert!(distance == 4 << 20 && places.len() > 10, "{places:?}");
}

#[test]
fn events_whose_definitions_are_damaged_are_read_by_those_said_again() {
    struct Counted(u64, Vec<Finding>);
    impl Reads for Counted {
        fn event(&mut self, event: &crate::event::Event<'_>) {
            assert_eq!(&*event.thread.name, "main");
            self.0 += 1;
        }
        fn finding(&mut self, finding: Finding) {
            self.1.push(finding);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, mut writer) = open(dir.path());
    let mut source = Source::new();
    let first = source.append(&mut writer, 0, 10_000).unwrap();
    for number in 1..20 {
        source.append(&mut writer, number, 10_000).unwrap();
    }
    drop(writer);
    // Within the define block, which stands in front of the first events.
    let path = journal.path(first.generation).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, first.offset - 64).unwrap();
    file.write_all_at(&[byte[0] ^ 1], first.offset - 64).unwrap();

    let mut reader = journal.reader(Position::default());
    let (mut numbers, mut damaged) = (Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(block)) => {
                let mut events = block.events.events(block.dictionary);
                while let Some(event) = events.next() {
                    let event = event.unwrap();
                    assert_eq!(&*event.thread.name, "main");
                    let mut text = String::new();
                    event.message(&mut text);
                    numbers.push(text.strip_prefix("event ").unwrap().parse::<u64>().unwrap());
                }
            }
            Ok(None) => break,
            Err(ReadError::Damaged { .. }) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((numbers, damaged), ((0..20).collect(), 1));
    let mut counted = Counted(0, Vec::new());
    Survey::new().segment(&path, &mut counted).unwrap();
    assert!(matches!(&*counted.1, [Finding::Damage(_)]), "{:?}", counted.1);
    assert_eq!(counted.0, 20);
}

/// The segment of a journal with the events 0 to 2, each in a block of its own, and where each begins.
fn three_blocks(dir: &Path) -> (std::path::PathBuf, [usize; 3], usize) {
    let journal = Journal::with_three_events(dir);
    let mut reader = journal.reader(Position::default());
    let mut begins = [0; 3];
    for begin in &mut begins {
        *begin = reader.next().unwrap().unwrap().position.offset as usize;
    }
    let end = reader.position().offset as usize;
    let (_, path) = segment_paths(dir).unwrap().remove(0);
    (path, begins, end)
}

/// The numbers of all events of a directory, and how often damage was told of.
fn numbers_and_damage(dir: &Path) -> (Vec<u64>, usize) {
    let scan = Scan::of_directory(dir).unwrap();
    let (journal, _writer) = Journal::in_directory(JournalOptions::directory(dir), scan).unwrap();
    let mut reader = journal.reader(Position::default());
    let (mut numbers, mut damage) = (Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(block)) => {
                let mut text = String::new();
                let mut events = block.events.events(block.dictionary);
                events.next().unwrap().unwrap().message(&mut text);
                numbers.push(text.strip_prefix("event ").unwrap().parse().unwrap());
            }
            Ok(None) => return (numbers, damage),
            Err(ReadError::Damaged { .. }) => damage += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn blocks_that_changed_places_are_each_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (path, [first, second, third], end) = three_blocks(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let block = &bytes[third..end];
    let (mut swapped, mut doubled) = (bytes.clone(), bytes.clone());
    swapped[first..second].copy_from_slice(block);
    swapped[third..end].copy_from_slice(&bytes[first..second]);
    std::fs::write(&path, swapped).unwrap();
    assert_eq!(numbers_and_damage(dir.path()), (vec![2, 1, 0], 0));

    doubled[first..second].copy_from_slice(block);
    std::fs::write(&path, doubled).unwrap();
    assert_eq!(numbers_and_damage(dir.path()), (vec![2, 1], 1), "the double is told of");
}

#[test]
fn a_segment_that_was_cut_inside_a_header_says_so() {
    for left in [1, 9, 63] {
        let dir = tempfile::tempdir().unwrap();
        let (path, [_, _, third], _) = three_blocks(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..third + left]).unwrap();
        assert_eq!(numbers_and_damage(dir.path()), (vec![0, 1], 1), "{left} bytes of it");
        std::fs::write(&path, &bytes[..third]).unwrap();
        assert_eq!(numbers_and_damage(dir.path()), (vec![0, 1], 0), "as it was a moment before");
    }
}

#[test]
fn a_header_in_the_place_of_another_hides_no_block_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, [first, second, third], end) = {
        let (journal, mut writer) = open(dir.path());
        let mut source = Source::new();
        for (number, filler) in [(0, 10), (1, 10), (2, 5000)] {
            source.append(&mut writer, number, filler).unwrap();
        }
        let mut reader = journal.reader(Position::default());
        let begins = [(); 3].map(|()| reader.next().unwrap().unwrap().position.offset as usize);
        let (_, path) = segment_paths(dir.path()).unwrap().remove(0);
        (path, begins, reader.position().offset as usize)
    };
    let mut bytes = std::fs::read(&path).unwrap();
    // That of the long block in front of the first one: by its word all lies within.
    let (from, to) = (third..third + 64, first);
    assert!(end - third > third - first && second > first);
    bytes.copy_within(from, to);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(numbers_and_damage(dir.path()), (vec![1, 2], 1));
}
