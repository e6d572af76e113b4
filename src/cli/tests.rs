//! What the commands show of journals that were written by hand.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Exit;
use crate::block::BlockKind;
use crate::block::dictionary::CONTEXTS_MAX;
use crate::event::ContextInfo;
use crate::journal::tests::{Source, open};
use crate::journal::{Sift, segment_paths};

/// What a command says of a journal.
fn ran(command: &[&str], journal: &Path) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["rollway"].iter().chain(command).copied().chain(journal.to_str());
    let exit = super::run(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(out), text(err))
}

/// A context of a recovered event. A second recovery gives its number again.
const RECOVERED: u32 = CONTEXTS_MAX + 7;

fn context(value: &str) -> ContextInfo {
    ContextInfo::from_entries([("k", value)])
}

#[test]
fn an_event_has_the_context_that_its_own_segment_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    // The text of the first block does not fit into a piece of the merge.
    let (old, new) = ("o".repeat(60_000), "n".repeat(60_000));
    for (numbers, value) in [(1..60, &old), (2..3, &new)] {
        source.definitions.set_context(RECOVERED, context(value));
        let (_journal, mut writer) = open(dir.path());
        source.append_events(&mut writer, numbers, RECOVERED, 0).unwrap();
    }
    let (exit, out, err) = ran(&["cat", "--pattern", "%X{k}%n"], dir.path());
    assert_eq!((exit, &*err), (Exit::Ok, ""));
    let shown = |value: &str| out.lines().filter(|line| *line == value).count();
    assert_eq!((shown(&old), shown(&new)), (59, 1));
}

#[test]
fn an_event_whose_context_is_damaged_does_not_get_that_of_an_earlier_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    for (number, value) in [(1, "old"), (2, "new")] {
        source.definitions.set_context(RECOVERED, context(value));
        let (_journal, mut writer) = open(dir.path());
        source.append_events(&mut writer, number..number + 1, RECOVERED, 0).unwrap();
    }
    let (_, newest) = segment_paths(dir.path()).unwrap().pop().unwrap();
    let mut sift = Sift::segment(&newest).unwrap();
    while let Some(Ok(block)) = sift.next() {
        if block.header.kind == BlockKind::Define {
            let file = std::fs::File::options().write(true).open(&newest).unwrap();
            file.write_all_at(b"?", block.offset + 70).unwrap();
        }
    }
    let (exit, out, err) = ran(&["cat", "--pattern", "%m %X{k}%n"], dir.path());
    assert_eq!((exit, &*out), (Exit::Loss, "event 1 old\n"));
    assert!(err.contains("1 events of the"), "{err}");
}

#[test]
fn blocks_that_came_late_are_missing_for_no_command_and_those_that_did_not_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    for sequences in [1..9, 11..13, 9..10] {
        let (_journal, mut writer) = open(dir.path());
        for sequence in sequences {
            source.sequence = sequence - 1;
            source.append_events(&mut writer, sequence..sequence + 1, 0, 10).unwrap();
        }
    }
    for command in [&["verify"][..], &["cat"], &["stats"], &["recover"]] {
        let (exit, _, err) = ran(command, dir.path());
        assert!(exit == Exit::Loss && err.lines().count() == 1, "{command:?}: {err}");
        assert!(err.contains(": 1 blocks") && err.contains("missing"), "{command:?}: {err}");
    }
    let (_, verified, _) = ran(&["verify", "--json"], dir.path());
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    let of_segments = [0, 1, 2].map(|at| verified["segments"][at]["faults"].as_u64());
    assert_eq!((verified["faults"].as_u64(), of_segments), (Some(1), [Some(0), Some(1), Some(0)]));

    let (_journal, mut writer) = open(dir.path());
    source.sequence = 9;
    source.append_events(&mut writer, 10..11, 0, 10).unwrap();
    for command in [&["verify"][..], &["cat"], &["stats"], &["recover"]] {
        let (exit, _, err) = ran(command, dir.path());
        assert_eq!((exit, &*err), (Exit::Ok, ""), "{command:?}");
    }
}
