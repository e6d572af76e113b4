//! `rollway recover`: what a killed process, a lost machine or a broken disk leaves behind.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rollway::appender::File;
use rollway::cli::Exit;
use rollway::journal::{JournalOptions, ScannedBlocks, segment_paths};
use rollway::layout::Pattern;
use rollway::master::Master;
use support::command::{messages, ran};
use support::{PATIENCE, Random, child};

const JOURNAL: &str = "ROLLWAY_TEST_JOURNAL";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The service in a child that is to be killed. Nothing leaves its rings by itself.
fn start_in_child() -> rollway::Guard {
    let journal = PathBuf::from(child::variable(JOURNAL));
    rollway::builder()
        .service("shop")
        .wait(rollway::WaitStrategy::Manual)
        // Nobody else's start shall sweep them.
        .rings_dir(journal.join("rings"))
        .journal_dir(journal)
        .start()
        .unwrap()
}

/// What a child does that is to be killed: half of the events in the journal, then as many in its ring.
fn log_and_die(events: u32) -> ! {
    let mut guard = start_in_child();
    for n in 0..events {
        let _context = rollway::mdc("request", n / 4);
        rollway::info!(logger: guard.logger(), "event {n}");
        if n == events / 2 - 1 {
            while guard.poll() {}
            guard.flush().unwrap();
        }
    }
    std::process::abort()
}

/// A journal whose process was killed: half of its 10 events wait in the ring.
fn killed(test: &str, journal: &Path) {
    let mut command = child::command(test, "killed");
    command.env(JOURNAL, journal).stderr(Stdio::null()).status().unwrap();
}

fn all() -> Vec<String> {
    (0..10).map(|n| format!("event {n}")).collect()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every file of a directory with its bytes.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.append(&mut content(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn a_report_tells_what_a_killed_process_left_and_changes_nothing() {
    if child::part().is_some() {
        log_and_die(10);
    }
    let dir = tempfile::tempdir().unwrap();
    killed("a_report_tells_what_a_killed_process_left_and_changes_nothing", dir.path());
    let before = content(dir.path());
    let report = ran(["recover", "--json", text(dir.path())]);
    assert_eq!((report.exit, &*report.err), (Exit::Ok, ""));
    let report = json(&report.out);
    assert_eq!(report["owner"], "killed");
    assert_eq!(report["process"]["service"], "shop");
    assert_eq!(report["waiting"]["events"], 5);
    assert_eq!(report["rings"].as_array().unwrap().len(), 1);
    assert_eq!(report["journal"]["events"], 5);
    let rings = PathBuf::from(report["manifest"]["rings"].as_str().unwrap());
    let in_rings = content(&rings);

    let plain = ran(["recover", text(dir.path())]);
    assert!(plain.out.contains("5 events wait in"), "{}", plain.out);
    assert!(content(dir.path()) == before && content(&rings) == in_rings);
    assert_eq!(messages(&start_again(dir.path())), all());
}

/// A start and an end of the service.
fn start_again(journal: &Path) -> PathBuf {
    drop(rollway::builder().journal_dir(journal).start().unwrap());
    journal.to_owned()
}

#[test]
fn a_repair_moves_what_waits_to_the_journal_once() {
    if child::part().is_some() {
        log_and_die(10);
    }
    let dir = tempfile::tempdir().unwrap();
    killed("a_repair_moves_what_waits_to_the_journal_once", dir.path());
    let repaired = ran(["recover", "--repair", "--json", text(dir.path())]);
    assert_eq!(repaired.exit, Exit::Ok, "{}", repaired.err);
    assert!(repaired.err.contains("bytes of events were moved to the journal"), "{}", repaired.err);
    assert_eq!(json(&repaired.out)["waiting"]["events"], 0);
    assert_eq!(messages(dir.path()), all());
    let again = ran(["recover", "--repair", text(dir.path())]);
    assert_eq!((again.exit, &*again.err), (Exit::Ok, ""));
    assert_eq!(messages(&start_again(dir.path())), all());
}

#[test]
fn the_rings_of_a_copied_directory_stay_with_the_original() {
    if child::part().is_some() {
        log_and_die(10);
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, copy) = (dir.path().join("journal"), dir.path().join("copy"));
    killed("the_rings_of_a_copied_directory_stay_with_the_original", &journal);
    fs::create_dir(&copy).unwrap();
    for name in ["manifest", segment(&journal).file_name().unwrap().to_str().unwrap()] {
        fs::copy(journal.join(name), copy.join(name)).unwrap();
    }
    let before = content(&journal);
    let refused = ran(["recover", "--repair", text(&copy)]);
    assert_eq!(refused.exit, Exit::Usage, "{}", refused.err);
    let named = format!("belong to {}: repair that one", journal.display());
    assert!(refused.err.contains(&named), "{}", refused.err);
    assert!(content(&journal) == before);

    // By another name it is the same directory.
    let (link, moved) = (dir.path().join("link"), dir.path().join("moved"));
    std::os::unix::fs::symlink(&journal, &link).unwrap();
    assert_eq!(ran(["recover", "--repair", text(&link)]).exit, Exit::Ok);
    assert_eq!(messages(&journal), all());

    // One that was moved is no copy: nobody else waits for its rings.
    fs::remove_dir_all(&journal).unwrap();
    killed("the_rings_of_a_copied_directory_stay_with_the_original", &journal);
    fs::rename(&journal, &moved).unwrap();
    fs::create_dir(&journal).unwrap();
    fs::rename(moved.join("rings"), journal.join("rings")).unwrap();
    assert_eq!(ran(["recover", "--repair", text(&moved)]).exit, Exit::Ok);
    assert_eq!(messages(&moved), all());
}

#[test]
fn a_running_process_needs_no_repair_and_delivers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let guard = rollway::builder().journal_dir(dir.path()).start().unwrap();
    let report = ran(["recover", "--json", text(dir.path())]);
    assert_eq!((report.exit, &json(&report.out)["owner"]), (Exit::Ok, &"running".into()));
    for flags in [&["--repair"][..], &["--send", "localhost:1"]] {
        let refused = ran(["recover"].iter().chain(flags).copied().chain([text(dir.path())]));
        assert_eq!(refused.exit, Exit::Io);
        assert!(refused.err.contains("running process"), "{}", refused.err);
    }
    // The lock was looked at and not taken from us.
    assert!(rollway::builder().journal_dir(dir.path()).start().is_err());
    drop(guard);
}

#[test]
fn a_copy_has_the_journal_and_the_rings_and_leaves_both_as_they_are() {
    if child::part().is_some() {
        log_and_die(10);
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, copy) = (dir.path().join("journal"), dir.path().join("copy"));
    killed("a_copy_has_the_journal_and_the_rings_and_leaves_both_as_they_are", &journal);
    let before = content(&journal);
    for flags in [&[][..], &["--salvage"]] {
        let args = ["recover", "--out", text(&copy)];
        let copied = ran(args.iter().chain(flags).copied().chain([text(&journal)]));
        assert_eq!(copied.exit, Exit::Ok, "{}", copied.err);
        assert_eq!(messages(&copy), all());
        assert!(content(&journal) == before);
        let occupied = ran(["recover", "--out", text(&copy), text(&journal)]);
        assert_eq!(occupied.exit, Exit::Usage, "{}", occupied.err);
        fs::remove_dir_all(&copy).unwrap();
    }
    let verified = ran(["verify", text(&start_again(&journal))]);
    assert_eq!(verified.exit, Exit::Ok, "{}", verified.err);
    assert_eq!(messages(&journal), all());
}

/// An event of one thread in the journal, then one of another thread in its ring.
fn log_from_two_threads_and_die() -> ! {
    let mut guard = start_in_child();
    rollway::info!(logger: guard.logger(), "in the journal");
    while guard.poll() {}
    guard.flush().unwrap();
    let logger = guard.logger().clone();
    let late = std::thread::Builder::new().name("late".to_owned()).spawn(move || {
        let _context = rollway::mdc("request", 7);
        rollway::info!(logger: &logger, "in a ring");
    });
    late.unwrap().join().unwrap();
    std::process::abort()
}

#[test]
fn a_copy_shows_threads_contexts_and_call_sites_that_only_the_rings_know() {
    if child::part().is_some() {
        log_from_two_threads_and_die();
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, copy) = (dir.path().join("journal"), dir.path().join("copy"));
    killed("a_copy_shows_threads_contexts_and_call_sites_that_only_the_rings_know", &journal);
    let shown = |journal| ran(["cat", "--pattern", "%m %t %X{request}%n", text(journal)]);
    let copied = ran(["recover", "--out", text(&copy), text(&journal)]);
    assert_eq!(copied.exit, Exit::Ok, "{}", copied.err);
    let of_copy = shown(&copy);
    assert_eq!((of_copy.exit, &*of_copy.err), (Exit::Ok, ""));
    assert!(of_copy.out.ends_with("in a ring late 7\n"), "{}", of_copy.out);
    assert_eq!(of_copy.out, shown(&start_again(&journal)).out);
}

/// A master that writes messages with their times and processes to a file.
fn master(dir: &Path) -> (Master, PathBuf) {
    let file = dir.join("all.log");
    let layout = Pattern::parse("%d{ISO8601} %P %m%n").unwrap();
    let master = Master::builder()
        .listen("127.0.0.1:0")
        .journal(JournalOptions::directory(dir.join("master")))
        .appender("file", File::new(&file).layout(layout))
        .start()
        .unwrap();
    (master, file)
}

fn end(master: Master) {
    assert_eq!(master.shutdown(PATIENCE).left(), 0);
}

#[test]
fn what_was_rescued_arrives_at_the_master_once_however_often_it_is_sent() {
    if child::part().is_some() {
        log_and_die(10);
    }
    let dir = tempfile::tempdir().unwrap();
    let (journal, copy) = (dir.path().join("journal"), dir.path().join("rescued"));
    killed("what_was_rescued_arrives_at_the_master_once_however_often_it_is_sent", &journal);
    let (first, file) = master(dir.path());
    let to = first.local_addr().to_string();
    let sent = ran(["recover", "--send", &to, "--json", text(&journal)]);
    assert_eq!(sent.exit, Exit::Ok, "{}", sent.err);
    assert_eq!(json(&sent.out)["delivered"], 10);
    let again = ran(["recover", "--send", &to, "--json", text(&journal)]);
    assert_eq!((again.exit, &json(&again.out)["delivered"]), (Exit::Ok, &0.into()));
    // The copy of a copy, on what might be another machine.
    let copied = ran(["recover", "--out", text(&copy), "--send", &to, text(&journal)]);
    assert_eq!(copied.exit, Exit::Ok, "{}", copied.err);
    assert!(copied.out.contains("0 events in 0 blocks delivered"), "{}", copied.out);
    end(first);

    // The service starts again: what it recovers the master has already.
    let (second, _) = master(dir.path());
    let guard = rollway::builder()
        .journal_dir(&journal)
        .appender("master", rollway::appender::Forwarder::new(second.local_addr().to_string()))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "event 10");
    guard.shutdown(PATIENCE);
    end(second);
    let arrived = fs::read_to_string(&file).unwrap();
    let arrived: Vec<_> =
        arrived.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or(line)).collect();
    let expected: Vec<_> = (0..=10).map(|n| format!("event {n}")).collect();
    assert_eq!(arrived, expected);
    // Identity and times are those of the calls.
    let pattern = "%d{ISO8601} %P %m%n";
    let shown = ran(["cat", "--pattern", pattern, text(&journal)]);
    assert_eq!(shown.out, fs::read_to_string(&file).unwrap());
}

#[test]
fn a_part_of_a_journal_may_be_sent_before_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, part) = (dir.path().join("journal"), dir.path().join("part"));
    (0..3).for_each(|_| log(&journal, 2, 1));
    let segments = segment_paths(&journal).unwrap();
    assert_eq!(segments.len(), 3, "one of each run");
    let copied = ran(["recover", "--salvage", "--out", text(&part), text(&segments[2].1)]);
    assert_eq!(copied.exit, Exit::Ok, "{}", copied.err);
    let (master, file) = master(dir.path());
    let to = master.local_addr().to_string();
    for (journal, delivered) in [(&journal, 6), (&part, 0), (&journal, 0)] {
        let sent = ran(["recover", "--send", &to, "--json", text(journal)]);
        assert_eq!(sent.exit, Exit::Ok, "{}", sent.err);
        assert_eq!(json(&sent.out)["delivered"], delivered);
    }
    end(master);
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 6);
}

#[test]
fn a_master_that_is_not_there_leaves_everything_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 10, 1);
    let args = ["recover", "--timeout", "0.3", "--send", "127.0.0.1:9", text(dir.path())];
    let refused = ran(args);
    assert_eq!(refused.exit, Exit::Io);
    assert!(refused.err.contains("has not taken"), "{}", refused.err);
    assert_eq!(messages(dir.path()), all());
}

/// Logs events, a block for each `per_block` of them.
fn log(journal: &Path, events: u32, per_block: u32) {
    let guard = rollway::builder()
        .service("shop")
        .wait(rollway::WaitStrategy::Manual)
        .journal_dir(journal)
        .journal_max_bytes(32 << 20)
        .start();
    let mut guard = guard.unwrap();
    for n in 0..events {
        rollway::info!(logger: guard.logger(), "event {n}");
        if (n + 1) % per_block == 0 {
            while guard.poll() {}
            guard.flush().unwrap();
        }
    }
    guard.shutdown(Duration::from_secs(60));
}

fn segment(journal: &Path) -> PathBuf {
    segment_paths(journal).unwrap().remove(0).1
}

/// Cuts a segment behind what was written to it.
fn cut_reserve(segment: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used.next_multiple_of(64));
    fs::write(segment, &bytes).unwrap();
    bytes
}

/// Offset and length of each events block with the number of its first event.
fn blocks(segment: &Path) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let mut scanned = ScannedBlocks::open(segment).unwrap();
    while let Some(block) = scanned.next() {
        let block = block.unwrap();
        if block.header.kind == rollway::block::BlockKind::Events {
            let from = block.position.offset as usize;
            blocks.push(from..from + block.header.padded_bytes());
        }
    }
    blocks
}

/// Salvages into a new directory. Yields the exit code and what the copy shows.
fn salvaged(from: &Path) -> (Exit, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ran = ran(["recover", "--salvage", "--out", text(&out), text(from)]);
    let shown = if ran.exit == Exit::Damaged { Vec::new() } else { lenient(&out) };
    (ran.exit, shown)
}

/// The messages of a journal that may have gaps, but no damage.
fn lenient(journal: &Path) -> Vec<String> {
    let shown = ran(["cat", "--pattern", "%m%n", text(journal)]);
    let only_gaps = |line: &str| line.contains("blocks are missing in front of");
    assert!(shown.err.lines().all(only_gaps), "{}", shown.err);
    shown.out.lines().map(str::to_owned).collect()
}

#[test]
fn a_delivery_says_what_of_the_journal_it_could_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    log(&journal, 10, 1);
    let segment = segment(&journal);
    let bytes = cut_reserve(&segment);
    let (master, file) = master(dir.path());
    let to = master.local_addr().to_string();
    let places = blocks(&segment);
    for (damaged, exit) in [(&places[3..4], Exit::Loss), (&places[..], Exit::Damaged)] {
        let mut broken = bytes.clone();
        damaged.iter().for_each(|place| broken[place.start + 70] ^= 1);
        fs::write(&segment, &broken).unwrap();
        let sent = ran(["recover", "--send", &to, "--json", text(&journal)]);
        assert_eq!(sent.exit, exit, "{}", sent.err);
        assert_eq!(json(&sent.out)["complete"], false);
        assert!(sent.err.contains("were passed over: checksum"), "{}", sent.err);
        assert!(sent.err.contains("--salvage --out"), "{}", sent.err);
    }
    end(master);
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 9);
}

#[test]
fn a_salvage_finds_every_block_that_no_damage_touches() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 60, 2);
    let segment = segment(dir.path());
    let bytes = cut_reserve(&segment);
    let places = blocks(&segment);
    assert_eq!(places.len(), 30);
    let event = |n: usize| format!("event {n}");
    let front = places[0].start;
    let mut random = Random(7);
    for round in 0..150 {
        let mut broken = bytes.clone();
        let at = front + random.below((bytes.len() - front) as u64) as usize;
        let len = 1 + random.below(1500) as usize;
        let touched = at..(at + len).min(broken.len());
        match round % 3 {
            0 => broken[at] ^= 1 + random.below(255) as u8,
            1 => broken[touched.clone()].fill(0),
            _ => broken[touched.clone()].fill_with(|| random.below(256) as u8),
        }
        let touched = if round % 3 == 0 { at..at + 1 } else { touched };
        fs::write(&segment, &broken).unwrap();
        let (_, shown) = salvaged(dir.path());
        let expected: Vec<String> = places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.end <= touched.start || place.start >= touched.end)
            .flat_map(|(block, _)| [event(2 * block), event(2 * block + 1)])
            .collect();
        // A change of padding, or of a byte to itself, is none.
        let missing: Vec<_> = expected.iter().filter(|event| !shown.contains(event)).collect();
        assert!(missing.is_empty(), "round {round}, bytes {touched:?}: {missing:?}");
        let numbers: Vec<usize> =
            shown.iter().map(|line| line[6..].parse().unwrap_or(usize::MAX)).collect();
        assert!(numbers.is_sorted() && numbers.iter().all(|n| *n < 60), "{shown:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
    }
}

#[test]
fn a_salvage_puts_blocks_in_order_that_were_moved_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 60, 2);
    let segment = segment(dir.path());
    let bytes = cut_reserve(&segment);
    let places = blocks(&segment);
    let all: Vec<_> = (0..60).map(|n| format!("event {n}")).collect();
    // The second half in front of the first one, and a part of it once more at the end.
    let (front, half) = (places[0].start, places[15].start);
    let mut moved = bytes[..front].to_vec();
    moved.extend_from_slice(&bytes[half..]);
    moved.extend_from_slice(&bytes[front..half]);
    moved.extend_from_slice(&bytes[places[3].start..places[9].end]);
    fs::write(&segment, &moved).unwrap();
    assert_eq!(salvaged(dir.path()), (Exit::Ok, all.clone()));

    // In a file of another name, behind garbage, with another one's number.
    let foreign = dir.path().join("disk.img");
    let mut image = b"not a journal at all".repeat(16 * 20);
    image.truncate(image.len() / 64 * 64);
    image.extend_from_slice(&bytes);
    fs::write(&foreign, &image).unwrap();
    fs::remove_file(&segment).unwrap();
    let (exit, shown) = salvaged(&foreign);
    assert_eq!((exit, shown), (Exit::Loss, all.clone()));

    // Cut short.
    fs::write(&foreign, &bytes[..places[20].start + 70]).unwrap();
    let (exit, shown) = salvaged(&foreign);
    assert_eq!((exit, &shown[..]), (Exit::Loss, &all[..40]));
}

/// Logs an event, then others with a context, in blocks of 10 KiB. They are shown with that context.
fn log_with_context(journal: &Path) -> Vec<String> {
    let builder = rollway::builder().wait(rollway::WaitStrategy::Manual).journal_dir(journal);
    let mut guard = builder.start().unwrap();
    let padding = "x".repeat(1000);
    let mut context = None;
    for n in 0..151 {
        rollway::info!(logger: guard.logger(), "event {n} {padding}");
        if n % 10 == 0 {
            while guard.poll() {}
            guard.flush().unwrap();
            context.get_or_insert_with(|| rollway::mdc("request", 7));
        }
    }
    drop(context);
    guard.shutdown(PATIENCE);
    (0..151).map(|n| format!("{} event {n} {padding}", if n == 0 { "" } else { "7" })).collect()
}

#[test]
fn a_context_whose_definition_was_damaged_is_taken_from_the_rest_of_the_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, out) = (dir.path().join("journal"), dir.path().join("out"));
    let expected = log_with_context(&journal);
    let segment = segment(&journal);
    let mut bytes = cut_reserve(&segment);
    // The context is defined in front of the second block.
    let at = blocks(&segment)[1].start - 30;
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let salvaged = ran(["recover", "--salvage", "--out", text(&out), text(&journal)]);
    assert_eq!(salvaged.exit, Exit::Loss, "the damage is told");
    for journal in [&journal, &out] {
        let shown = ran(["cat", "--pattern", "%X{request} %m%n", text(journal)]);
        assert!(shown.out.lines().eq(&expected), "{}: {}", text(journal), shown.err);
    }
}

#[test]
fn what_a_statement_said_before_hides_nothing_when_it_stands_there_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, out) = (dir.path().join("journal"), dir.path().join("out"));
    let expected = log_with_context(&journal);
    let segment = segment(&journal);
    let mut bytes = cut_reserve(&segment);
    // The first blocks define the process and its thread, and not yet the context.
    let places = blocks(&segment);
    let first = ScannedBlocks::open(&segment).unwrap().next().unwrap().unwrap().position.offset;
    let statement = bytes[first as usize..places[0].start].to_vec();
    assert!(!statement.is_empty());
    bytes.splice(places[2].start..places[2].start, statement);
    fs::write(&segment, &bytes).unwrap();
    let salvaged = ran(["recover", "--salvage", "--out", text(&out), text(&journal)]);
    assert_eq!(salvaged.exit, Exit::Ok, "{}", salvaged.err);
    let shown = ran(["cat", "--pattern", "%X{request} %m%n", text(&out)]);
    assert!(shown.out.lines().eq(&expected), "{}", shown.err);
}

#[test]
fn events_whose_thread_was_lost_are_left_out_and_not_shown_without_one() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 10, 1);
    let segment = segment(dir.path());
    let mut bytes = cut_reserve(&segment);
    // The definitions lie in front of the first events.
    let front = blocks(&segment)[0].start;
    bytes[front - 100] ^= 0x55;
    fs::write(&segment, &bytes).unwrap();
    let (exit, shown) = salvaged(dir.path());
    assert!(exit == Exit::Loss || exit == Exit::Damaged, "{exit:?}");
    assert_eq!(shown, [""; 0]);
}

#[test]
fn a_journal_of_another_format_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 10, 1);
    let segment = segment(dir.path());
    let mut bytes = cut_reserve(&segment);
    for place in blocks(&segment) {
        bytes[place.start + 4] = 9;
    }
    fs::write(&segment, &bytes).unwrap();
    let report = ran(["recover", text(dir.path())]);
    assert_eq!(report.exit, Exit::Damaged);
    assert!(report.err.contains("format version 9 found, this build supports 1"), "{}", report.err);
}

#[test]
fn flags_that_contradict_each_other_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 1, 1);
    let (journal, segment) = (text(dir.path()).to_owned(), segment(dir.path()));
    for (args, word) in [
        (&["--salvage", &*journal][..], "--out"),
        (&["--repair", "--out", "/tmp/x", &journal], "one of them"),
        (&["--out", "/tmp/x", &journal, &journal], "--salvage"),
        (&[text(&segment)], "journal directory"),
    ] {
        let refused = ran(["recover"].iter().chain(args).copied());
        assert_eq!(refused.exit, Exit::Usage, "{args:?}");
        assert!(refused.err.contains(word), "{args:?}: {}", refused.err);
    }
    assert_eq!(ran(["recover", "/no/such/journal"]).exit, Exit::NoInput);
}
