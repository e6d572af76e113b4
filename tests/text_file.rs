//! A text file gets every event once, whatever state a crash, a rotation or a full disk left it in.
//!
//! The crash states are made by hand: the cursor file is put back to what it was before a batch, as
//! if the process had been killed between the write and the stored slot, and the text file is cut,
//! lengthened, moved or changed as the case demands.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rollway::appender::File;
use rollway::event::Event;
use rollway::journal::{CursorFile, TextFileMark, segment_paths};
use rollway::layout::{Layout, Pattern};
use rollway::{Builder, Guard, InitError, WaitStrategy};
use support::{PATIENCE, child, lines, message_file, wait_until, watchdog};

/// Bytes of a slot in a cursor file.
const SLOT_BYTES: usize = 128;

/// A directory with a journal and a text file, over several runs of a program.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { dir: tempfile::tempdir().unwrap() }
    }

    fn text(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    fn slots(&self) -> PathBuf {
        self.dir.path().join("journal/cursors/file.cursor")
    }

    fn builder(&self) -> Builder {
        rollway::builder()
            .journal_dir(self.dir.path().join("journal"))
            .rings_dir(self.dir.path().join("rings"))
    }

    fn start(&self, file: File) -> Guard {
        self.builder().appender("file", file).start().unwrap()
    }

    /// Starts with a small journal.
    fn start_small(&self) -> Guard {
        let file = message_file(&self.text());
        self.builder().journal_max_bytes(32 << 20).appender("file", file).start().unwrap()
    }

    /// Puts slots back as they are after a reboot: `written` is of another boot.
    fn reboot_with(&self, mut slots: Vec<u8>) {
        slots[..SLOT_BYTES].fill(0);
        fs::write(self.slots(), slots).unwrap();
    }

    /// Lets the slots be of another boot, as after a power failure: only `synced` counts then.
    fn fail_the_power(&self) {
        let mut slots = fs::read(self.slots()).unwrap();
        let (_, synced) = slots.split_at_mut(SLOT_BYTES);
        synced[64..80].fill(7);
        let checksum = crc32c::crc32c(&synced[8..]);
        synced[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.reboot_with(slots);
    }

    /// Logs `first` and waits until it is in the file, keeps the slots, logs `second`, and ends.
    /// Then puts the slots back: `second` is in the file, and nobody knows.
    fn killed_after_writing(&self, first: &[&str], second: &[&str]) -> u64 {
        let guard = self.start(message_file(&self.text()));
        log(&guard, first);
        guard.flush().unwrap();
        let slots = fs::read(self.slots()).unwrap();
        let length = fs::metadata(self.text()).unwrap().len();
        log(&guard, second);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        fs::write(self.slots(), slots).unwrap();
        length
    }

    /// Starts again, logs `more`, and ends.
    fn goes_on(&self, file: File, more: &[&str]) {
        let guard = self.start(file);
        log(&guard, more);
        let report = guard.shutdown(PATIENCE);
        assert_eq!(report.left(), 0, "{report:?}");
    }
}

fn log(guard: &Guard, messages: &[&str]) {
    messages.iter().for_each(|message| rollway::info!(logger: guard.logger(), "{message}"));
}

#[test]
fn bytes_that_stand_there_already_are_not_written_again() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.killed_after_writing(&["a", "b"], &["c", "d", "e"]);
    let inode = fs::metadata(scene.text()).unwrap().ino();
    scene.goes_on(message_file(&scene.text()), &["f"]);
    assert_eq!(lines(&scene.text()), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(fs::metadata(scene.text()).unwrap().ino(), inode);
}

#[test]
fn a_torn_line_is_completed_wherever_it_was_torn() {
    let _watchdog = watchdog();
    // `second` is 10 bytes long, its ends of line included.
    for torn in 0..=10 {
        let scene = Scene::new();
        let length = scene.killed_after_writing(&["first"], &["abc", "defgh"]);
        let text = fs::File::options().write(true).open(scene.text()).unwrap();
        text.set_len(length + torn).unwrap();
        scene.goes_on(message_file(&scene.text()), &["last"]);
        assert_eq!(lines(&scene.text()), ["first", "abc", "defgh", "last"], "torn at {torn}");
    }
}

#[test]
fn what_differs_is_cut_and_written_anew() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    let length = scene.killed_after_writing(&["first"], &["abc", "defgh"]);
    let mut bytes = fs::read(scene.text()).unwrap();
    bytes[length as usize + 5] ^= 1;
    bytes.extend_from_slice(b"garbage");
    fs::write(scene.text(), bytes).unwrap();
    scene.goes_on(message_file(&scene.text()), &["last"]);
    assert_eq!(lines(&scene.text()), ["first", "abc", "defgh", "last"]);
}

#[test]
fn another_layout_writes_the_unsettled_events_anew() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.killed_after_writing(&["first"], &["abc"]);
    let other = File::new(scene.text()).layout(Pattern::parse("[%m]%n").unwrap());
    scene.goes_on(other, &["last"]);
    assert_eq!(lines(&scene.text()), ["first", "[abc]", "[last]"]);
}

#[test]
fn a_file_that_somebody_cut_gets_nothing_again() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.goes_on(message_file(&scene.text()), &["a", "b", "c"]);
    fs::write(scene.text(), "").unwrap();
    scene.goes_on(message_file(&scene.text()), &["d"]);
    assert_eq!(lines(&scene.text()), ["d"]);
}

#[test]
fn a_file_that_somebody_renamed_is_settled_first() {
    let _watchdog = watchdog();
    for torn in 0..=6 {
        let scene = Scene::new();
        let length = scene.killed_after_writing(&["first"], &["ab", "cd"]);
        let renamed = scene.dir.path().join("app.log.1");
        fs::rename(scene.text(), &renamed).unwrap();
        let text = fs::File::options().write(true).open(&renamed).unwrap();
        text.set_len(length + torn).unwrap();
        scene.goes_on(message_file(&scene.text()), &["last"]);
        let mut all = lines(&renamed);
        all.extend(lines(&scene.text()));
        assert_eq!(all, ["first", "ab", "cd", "last"], "torn at {torn}");
        assert_eq!(all.last(), lines(&scene.text()).last());
    }
}

#[test]
fn a_kill_while_a_renamed_file_is_settled_doubles_nothing() {
    let _watchdog = watchdog();
    for torn in 1..=6 {
        let scene = Scene::new();
        let length = scene.killed_after_writing(&["first"], &["ab", "cd"]);
        let renamed = scene.dir.path().join("app.log.1");
        fs::rename(scene.text(), &renamed).unwrap();
        let text = fs::File::options().write(true).open(&renamed).unwrap();
        text.set_len(length + torn).unwrap();
        // The next run settles it, and is killed before it stores the slot.
        let slots = fs::read(scene.slots()).unwrap();
        scene.goes_on(message_file(&scene.text()), &[]);
        fs::write(scene.slots(), slots).unwrap();
        scene.goes_on(message_file(&scene.text()), &["last"]);
        let mut all = lines(&renamed);
        all.extend(lines(&scene.text()));
        assert_eq!(all, ["first", "ab", "cd", "last"], "torn at {torn}");
    }
}

#[test]
fn lines_that_somebody_added_stay() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    let add = |line: &str| {
        let mut text = fs::File::options().append(true).open(scene.text()).unwrap();
        text.write_all(line.as_bytes()).unwrap();
    };
    scene.goes_on(message_file(&scene.text()), &["a"]);
    add("theirs\n");
    scene.goes_on(message_file(&scene.text()), &["b"]);
    // After a kill what is ours is found, and what is theirs stays behind it.
    scene.killed_after_writing(&["c"], &["d"]);
    add("theirs, too\n");
    scene.goes_on(message_file(&scene.text()), &["e"]);
    assert_eq!(lines(&scene.text()), ["a", "theirs", "b", "c", "d", "theirs, too", "e"]);
}

#[test]
fn another_file_that_got_our_number_is_left_alone() {
    let _watchdog = watchdog();
    for in_our_place in [false, true] {
        let scene = Scene::new();
        scene.killed_after_writing(&["gone"], &["unsettled"]);
        fs::remove_file(scene.text()).unwrap();
        let other = if in_our_place { scene.text() } else { scene.dir.path().join("another.log") };
        let foreign = "somebody else's line\n".repeat(100);
        fs::write(&other, &foreign).unwrap();
        let cursor = CursorFile::open(&scene.dir.path().join("journal"), "file").unwrap();
        let slot = cursor.resume().unwrap();
        let inode = fs::metadata(&other).unwrap().ino();
        cursor.store_written(slot.position, TextFileMark { inode, ..slot.file }).unwrap();
        scene.goes_on(message_file(&scene.text()), &["last"]);
        let now = fs::read_to_string(&other).unwrap();
        let ours = lines(&scene.text());
        assert!(now.starts_with(&foreign), "{now}");
        assert!(ours.ends_with(&["unsettled".to_owned(), "last".to_owned()]), "{ours:?}");
        assert_eq!(ours.len(), if in_our_place { 102 } else { 2 });
    }
}

/// Events that fill a small journal twice.
const MANY: usize = 1100;

fn log_many(guard: &Guard) {
    let filler = "x".repeat(60_000);
    for number in 0..MANY {
        rollway::info!(logger: guard.logger(), "{number} {filler}");
    }
    guard.flush().unwrap();
}

/// The numbers at the beginnings of the lines.
fn numbers(text: &Path) -> Vec<usize> {
    lines(text).iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_reboot_cuts_and_doubles_nothing_however_old_the_journal_is() {
    let _watchdog = watchdog();
    for orderly in [false, true] {
        let scene = Scene::new();
        let guard = scene.start_small();
        log_many(&guard);
        let under_way = fs::read(scene.slots()).unwrap();
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let at_end = fs::read(scene.slots()).unwrap();
        scene.reboot_with(if orderly { at_end } else { under_way });
        let guard = scene.start_small();
        log(&guard, &[&MANY.to_string()]);
        let report = guard.shutdown(PATIENCE);
        assert_eq!(report.left(), 0);
        assert!(numbers(&scene.text()).into_iter().eq(0..=MANY), "orderly: {orderly}");
    }
}

/// What stands behind the synced part, and what may be kept of it.
const AFTER_A_POWER_FAILURE: [(&[u8], &[&str]); 6] = [
    (b"\0\0\0\0", &[]),
    (b"whole\nto\0\0rn\n", &["whole"]),
    (b"whole\ntorn", &["whole"]),
    (b"torn", &[]),
    (b"one\ntwo\n\0\0\0\0three\n", &["one", "two"]),
    (b"one\ntwo\n", &["one", "two"]),
];

#[test]
fn a_power_failure_leaves_whole_lines_and_what_is_cut_is_counted() {
    let _watchdog = watchdog();
    for (behind, kept) in AFTER_A_POWER_FAILURE {
        let scene = Scene::new();
        scene.goes_on(message_file(&scene.text()), &["first"]);
        let mut text = fs::File::options().append(true).open(scene.text()).unwrap();
        text.write_all(behind).unwrap();
        scene.fail_the_power();
        let guard = scene.start(message_file(&scene.text()));
        let is_cut = kept.concat().len() + kept.len() < behind.len();
        wait_until("the cut is counted", || guard.stats().appenders[0].errors == u64::from(is_cut));
        log(&guard, &["last"]);
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        let expected = [&["first"], kept, &["last"]].concat();
        assert_eq!(lines(&scene.text()), expected, "{:?}", behind.escape_ascii());
    }
}

#[test]
fn zeros_in_the_file_are_left_alone_unless_the_power_failed_and_the_file_is_ours() {
    let _watchdog = watchdog();
    let theirs = b"theirs\n\0\0torn";
    for is_ours in [true, false] {
        let scene = Scene::new();
        scene.goes_on(message_file(&scene.text()), &["first"]);
        let mut text = fs::read(scene.text()).unwrap();
        text.extend_from_slice(theirs);
        if !is_ours {
            text[0] ^= 1;
            scene.fail_the_power();
        }
        fs::write(scene.text(), &text).unwrap();
        scene.goes_on(message_file(&scene.text()), &["last"]);
        let found = fs::read(scene.text()).unwrap();
        assert_eq!(found, [&text[..], b"last\n"].concat(), "ours: {is_ours}");
    }
}

#[test]
fn a_file_whose_place_the_journal_has_lost_is_kept_and_the_gap_is_counted() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    let guard = scene.start_small();
    let at_first = fs::read(scene.slots()).unwrap();
    log_many(&guard);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    scene.reboot_with(at_first);
    let guard = scene.start_small();
    wait_until("the gap is seen", || guard.stats().appenders[0].overtaken_segments > 0);
    log(&guard, &[&MANY.to_string()]);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    let found = numbers(&scene.text());
    assert!(found[..MANY].iter().copied().eq(0..MANY), "something was cut");
    // What the journal still has comes once more, in order, and only once.
    let again = &found[MANY..];
    assert!(again.iter().copied().eq(again[0]..=MANY) && again[0] > 0);
    // The next start knows its place again.
    let guard = scene.start_small();
    guard.flush().unwrap();
    assert_eq!(guard.stats().appenders[0].overtaken_segments, 0);
    drop(guard);
    assert_eq!(numbers(&scene.text()), found);
}

#[test]
fn a_run_is_delivered_though_the_segments_before_it_are_gone() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.goes_on(message_file(&scene.text()), &["a", "b", "c", "d", "e", "f"]);
    // Somebody removed them, or their names were lost with the power: the slot is behind the next ones.
    for (_, path) in segment_paths(&scene.dir.path().join("journal")).unwrap() {
        fs::remove_file(path).unwrap();
    }
    scene.goes_on(message_file(&scene.text()), &["g"]);
    assert_eq!(lines(&scene.text()), ["a", "b", "c", "d", "e", "f", "g"]);
}

#[test]
fn a_start_finds_its_place_when_segments_without_events_are_gone() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.goes_on(message_file(&scene.text()), &["first"]);
    // This run begins a segment and logs nothing: its outlet stands behind the events before.
    let guard = scene.start(message_file(&scene.text()));
    guard.flush().unwrap();
    let slots = fs::read(scene.slots()).unwrap();
    let settled = guard.stats().appenders[0].settled;
    guard.shutdown(PATIENCE);
    // It is killed, and the journal has let go of what everybody has settled.
    fs::write(scene.slots(), slots).unwrap();
    for (generation, path) in segment_paths(&scene.dir.path().join("journal")).unwrap() {
        if generation < settled.generation {
            fs::remove_file(path).unwrap();
        }
    }
    let guard = scene.start(message_file(&scene.text()));
    log(&guard, &["last"]);
    guard.flush().unwrap();
    assert_eq!(guard.stats().appenders[0].overtaken_segments, 0);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&scene.text()), ["first", "last"]);
}

#[test]
fn a_file_that_was_removed_is_made_again() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.killed_after_writing(&["gone"], &["unsettled"]);
    fs::remove_file(scene.text()).unwrap();
    scene.goes_on(message_file(&scene.text()), &["last"]);
    assert_eq!(lines(&scene.text()), ["unsettled", "last"]);
}

#[test]
fn truncate_empties_the_file_at_each_start() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.goes_on(message_file(&scene.text()), &["old"]);
    scene.goes_on(message_file(&scene.text()).truncate(), &["new"]);
    assert_eq!(lines(&scene.text()), ["new"]);
    scene.goes_on(message_file(&scene.text()), &["newer"]);
    assert_eq!(lines(&scene.text()), ["new", "newer"]);
}

#[test]
fn without_a_slot_the_file_is_gone_on_with_and_nothing_old_is_repeated() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    scene.goes_on(message_file(&scene.text()), &["a", "b"]);
    fs::remove_file(scene.slots()).unwrap();
    scene.goes_on(message_file(&scene.text()), &["c"]);
    assert_eq!(lines(&scene.text()), ["a", "b", "c"]);
}

#[test]
fn a_file_from_elsewhere_is_appended_to() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    fs::write(scene.text(), "theirs\n").unwrap();
    scene.goes_on(message_file(&scene.text()), &["ours"]);
    assert_eq!(lines(&scene.text()), ["theirs", "ours"]);
}

/// Lines of 100 kB, whatever the event. Knows how much text waited in front of one at most.
#[derive(Clone)]
struct Wide(Arc<AtomicUsize>);

impl Layout for Wide {
    fn write(&mut self, _event: &Event<'_>, out: &mut String) {
        self.0.fetch_max(out.len(), Ordering::Relaxed);
        out.push_str(&"x".repeat(99_999));
        out.push('\n');
    }

    fn hash(&self) -> u64 {
        0
    }
}

#[test]
fn short_events_with_long_lines_need_little_memory() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    let most = Arc::new(AtomicUsize::new(0));
    let file = File::new(scene.text()).layout(Wide(Arc::clone(&most)));
    let builder = scene.builder().wait(WaitStrategy::Manual);
    let guard = builder.appender("file", file).start().unwrap();
    log(&guard, &["short"; 100]);
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(fs::metadata(scene.text()).unwrap().len(), 100 * 100_000);
    let most = most.load(Ordering::Relaxed);
    assert!((100_000..256 << 10).contains(&most), "{most} bytes waited");
}

#[test]
fn two_appenders_on_one_file_are_refused() {
    const TEST: &str = "two_appenders_on_one_file_are_refused";
    let refused = |text: &Path| {
        let second = rollway::builder().appender("second", message_file(text)).start();
        let error = second.expect_err("it started");
        assert!(matches!(error, InitError::Appender(_)), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("another appender or process writes to it"), "{said}");
        assert!(said.contains("`second`") && said.contains(text.to_str().unwrap()), "{said}");
    };
    if child::part().is_some() {
        return refused(Path::new(&child::variable("TEXT")));
    }
    let _watchdog = watchdog();
    let scene = Scene::new();
    let guard = rollway::builder().appender("first", message_file(&scene.text())).start().unwrap();
    refused(&scene.text());
    let link = scene.dir.path().join("link.log");
    std::os::unix::fs::symlink(scene.text(), &link).unwrap();
    refused(&link);
    let status = child::command(TEST, "second").env("TEXT", scene.text()).status().unwrap();
    assert!(status.success(), "in another process: {status}");
    log(&guard, &["first"]);
    drop(guard);
    assert_eq!(lines(&scene.text()), ["first"]);
}

#[test]
fn a_device_takes_events() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    for _ in 0..2 {
        let guard = scene.start(message_file(Path::new("/dev/null")));
        log(&guard, &["a", "b"]);
        let report = guard.shutdown(PATIENCE);
        assert_eq!((report.delivered(), report.left()), (2, 0));
    }
}

#[test]
fn a_pipe_takes_events() {
    let _watchdog = watchdog();
    let scene = Scene::new();
    let made = Command::new("mkfifo").arg(scene.text()).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: mkfifo is not here");
        return;
    }
    let path = scene.text();
    let reader = std::thread::spawn(move || lines(&path));
    scene.goes_on(message_file(&scene.text()), &["a", "b"]);
    assert_eq!(reader.join().unwrap(), ["a", "b"]);
}

/// Needs a mount namespace of its own, so it runs in a child of `unshare`.
#[test]
fn a_full_disk_holds_events_back_and_loses_none() {
    const TEST: &str = "a_full_disk_holds_events_back_and_loses_none";
    if child::part().is_some() {
        return fill_the_disk();
    }
    let _watchdog = watchdog();
    let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: no mount namespace may be made here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let child = child::command(TEST, "fill");
    let mut unshare = Command::new("unshare");
    unshare.args([
        "-rm",
        "sh",
        "-c",
        "mount -t tmpfs -o size=1m none \"$SMALL\" && exec \"$@\"",
        "sh",
    ]);
    unshare.arg(child.get_program()).args(child.get_args()).env("SMALL", dir.path());
    unshare.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = unshare.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("mount:") {
        println!("skipped: nothing may be mounted here: {said}");
        return;
    }
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn fill_the_disk() {
    const EVENTS: usize = 300;

    for rotate_at in [None, Some(50_000)] {
        let small = PathBuf::from(child::variable("SMALL"));
        let ballast = small.join("ballast");
        fs::File::create(&ballast).unwrap().write_all(&vec![1; 700 << 10]).unwrap();
        let scene = Scene::new();
        let text = small.join("app.log");
        let file = message_file(&text);
        let guard = scene.start(match rotate_at {
            Some(bytes) => file.rotate_at_bytes(bytes),
            None => file,
        });
        let long = "x".repeat(2000);
        for number in 0..EVENTS {
            rollway::info!(logger: guard.logger(), "{number} {long}");
        }
        let failing = || guard.stats().appenders[0].failing.clone();
        wait_until("the disk is full", || failing().is_some());
        let said = failing().unwrap();
        let words = [text.to_str().unwrap(), "No space left on device", "make room on its disk"];
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
        assert!(guard.stats().appenders[0].errors > 0);
        fs::remove_file(ballast).unwrap();
        let report = guard.shutdown(PATIENCE);
        assert_eq!((report.delivered(), report.left()), (EVENTS as u64, 0), "{report:?}");
        let expected: Vec<_> = (0..EVENTS).map(|number| format!("{number} {long}")).collect();
        let full = (1..).map(|number| small.join(format!("app.log.{number}")));
        let files: Vec<_> = full.take_while(|file| file.exists()).chain([text]).collect();
        assert_eq!(files.len() > 1, rotate_at.is_some());
        let found: Vec<_> = files.iter().flat_map(|file| lines(file)).collect();
        assert!(found == expected, "lines are lost, doubled or torn");
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}
