//! What a dead process left beside its journal: rings, sites, contexts, counters, mutated.
//!
//! Draining never panics or hangs, takes nothing twice, and leaves what it could not read.
#![no_main]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rollway::journal::{Journal, JournalOptions};
use rollway::recover::{self, Manifest};
use rollway::{Level, WaitStrategy};

/// The files beside the rings of a process that was stopped in the middle.
static LEFT: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let dir = support::scratch("dead");
    let builder = rollway::builder().service("fuzz").level(Level::TRACE).wait(WaitStrategy::Manual);
    let guard = builder
        .ring_bytes(16 << 10)
        .journal_dir(dir.join("journal"))
        .rings_dir(dir.join("rings"))
        .start()
        .expect("an engine");
    let logger = guard.logger();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let logger = logger.clone();
            scope.spawn(move || {
                for number in 0..30_u64 {
                    let _scope = (number % 4 == 0).then(|| rollway::mdc("request", number));
                    let _text = (number % 6 == 0).then(|| rollway::ndc(number));
                    rollway::warn!(logger: logger, text = "some text", half = 0.5; "thread {thread} number {number}");
                }
            });
        }
    });
    let run = fs::read_dir(dir.join("rings"))
        .expect("the rings")
        .next()
        .expect("one run")
        .expect("its entry")
        .path();
    let mut files = Vec::new();
    for entry in fs::read_dir(&run).expect("the run's directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // The lock is left alone: closing another descriptor of it would release it.
        if name != "lock" {
            files.push((name, support::content(&path)));
        }
    }
    files.sort();
    drop(guard);
    fs::remove_dir_all(dir).expect("the scratch directory goes");
    files
});

static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| support::scratch("recover"));

fuzz_target!(|data: &[u8]| {
    let Some((&which, plan)) = data.split_first() else { return };
    let which = usize::from(which) % LEFT.len();
    let rings = SCRATCH.join("rings");
    fs::create_dir_all(&rings).expect("the scratch directory takes it");
    for (at, (name, bytes)) in LEFT.iter().enumerate() {
        let mut bytes = bytes.clone();
        if at == which {
            support::mutate(&mut bytes, plan);
        }
        fs::write(rings.join(name), bytes).expect("the scratch directory takes it");
    }
    let manifest = Manifest { source: 7, epoch: 9, boot_id: 1, rings: Some(rings.clone()) };
    let options = JournalOptions::memory().max_bytes(16 << 20);
    let (journal, mut writer) = Journal::in_memory(options).expect("a journal");
    let mut ends = HashMap::new();
    for again in [false, true] {
        let known = ends.clone();
        let ring_end = |ring: u32| known.get(&ring).copied().unwrap_or(0);
        let drained = recover::drain(&mut writer, &manifest, 1, ring_end);
        if let Ok(drained) = drained {
            assert!(
                !again || drained.record_bytes == 0,
                "the second draining took something again"
            );
        }
        let mut reader = journal.reader(journal.start_position());
        let mut last = 0;
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 10_000, "the reader does not come to an end");
            match reader.next() {
                Ok(None) => break,
                Ok(Some(block)) => {
                    assert_eq!(block.events.header().sequence, last + 1);
                    last += 1;
                    for span in block.events.spans() {
                        let end = ends.entry(span.ring).or_default();
                        assert!(again || span.from >= *end, "ring {} came twice", span.ring);
                        *end = span.to.max(*end);
                    }
                }
                Err(_) => {}
            }
        }
    }
    fs::remove_dir_all(&rings).ok();
});
