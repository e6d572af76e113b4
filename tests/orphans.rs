//! Rings of programs that were killed and not started again: the next start of any program of the user
//! sees to them.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rollway::{Durability, Guard, info};
use support::{PATIENCE, child, wait_until, watchdog};

const EVENTS: usize = 1000;

fn start(dir: &Path, journal: &str) -> Guard {
    rollway::builder()
        .journal_dir(dir.join(journal))
        .rings_dir(dir.join("rings"))
        .require(Durability::L1)
        // What was logged last is still in the rings when the end comes.
        .linger(PATIENCE)
        .start()
        .unwrap()
}

/// The child: `end a` starts with the journal `a` and ends in order; `log a` logs into it, says so,
/// and ends without a word when it may.
fn take_part(part: &str) {
    let dir = PathBuf::from(child::variable("ORPHAN_DIR"));
    let (what, journal) = part.split_once(' ').unwrap();
    let guard = start(&dir, journal);
    if what == "end" {
        assert_eq!(guard.shutdown(PATIENCE).left(), 0);
        return;
    }
    for number in 0..EVENTS {
        info!(logger: guard.logger(), "{journal}/{number}");
    }
    std::fs::write(dir.join(format!("{journal}.ready")), "").unwrap();
    wait_until("the end may come", || dir.join("end").exists());
    std::process::abort()
}

/// Leaves the rings of one program for each journal; they live at the same time, and none sweeps the
/// others'.
fn leave_orphans(test: &str, dir: &Path, journals: &[&str]) {
    let spawn = |journal: &&str| {
        let mut command = child::command(test, &format!("log {journal}"));
        command.env("ORPHAN_DIR", dir).stderr(Stdio::null()).spawn().unwrap()
    };
    let programs: Vec<_> = journals.iter().map(spawn).collect();
    for journal in journals {
        wait_until("it logs", || dir.join(format!("{journal}.ready")).exists());
    }
    std::fs::write(dir.join("end"), "").unwrap();
    for mut program in programs {
        assert!(!program.wait().unwrap().success());
    }
}

/// Starts a program for each journal, all at once, as after a crash of a whole machine's services.
fn start_and_end(test: &str, dir: &Path, journals: &[&str]) {
    let spawn = |journal: &&str| {
        let mut command = child::command(test, &format!("end {journal}"));
        command.env("ORPHAN_DIR", dir).stderr(Stdio::null()).spawn().unwrap()
    };
    let programs: Vec<_> = journals.iter().map(spawn).collect();
    for (mut program, journal) in programs.into_iter().zip(journals) {
        assert!(program.wait().unwrap().success(), "{journal}");
    }
}

fn expected(journal: &str) -> Vec<String> {
    (0..EVENTS).map(|number| format!("{journal}/{number}")).collect()
}

fn ring_dirs(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("rings")).unwrap().count()
}

#[test]
fn a_start_drains_the_rings_of_other_journals_into_them_once() {
    const TEST: &str = "a_start_drains_the_rings_of_other_journals_into_them_once";
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    leave_orphans(TEST, dir.path(), &["a", "b"]);
    assert_eq!(ring_dirs(dir.path()), 2);
    start_and_end(TEST, dir.path(), &["c", "d", "e"]);
    assert_eq!(ring_dirs(dir.path()), 0);
    for journal in ["a", "b"] {
        let read = || support::journal::messages(&dir.path().join(journal));
        assert_eq!(read(), expected(journal));
        drop(start(dir.path(), journal));
        assert_eq!(read(), expected(journal), "its own start finds nothing more");
    }
}

#[test]
fn a_start_waits_for_a_sweep_that_has_its_journal() {
    const TEST: &str = "a_start_waits_for_a_sweep_that_has_its_journal";
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    let _watchdog = watchdog();
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        leave_orphans(TEST, dir.path(), &["a"]);
        start_and_end(TEST, dir.path(), &["b", "a", "c"]);
        assert_eq!(support::journal::messages(&dir.path().join("a")), expected("a"));
        assert_eq!(ring_dirs(dir.path()), 0);
    }
}

#[test]
fn rings_whose_journal_is_not_found_and_what_cannot_be_read_stay() {
    const TEST: &str = "rings_whose_journal_is_not_found_and_what_cannot_be_read_stay";
    if let Some(part) = child::part() {
        return take_part(&part);
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    leave_orphans(TEST, dir.path(), &["gone", "unreadable"]);
    let (journal, aside) = (dir.path().join("gone"), dir.path().join("aside"));
    std::fs::rename(&journal, &aside).unwrap();
    let source = std::fs::read_to_string(dir.path().join("unreadable/manifest")).unwrap();
    let kept = source.lines().find_map(|line| line.strip_prefix("rings = ")).unwrap();
    std::fs::write(Path::new(kept).join("process"), "nothing").unwrap();
    let foreign = dir.path().join("rings/somebody-elses");
    std::fs::create_dir(&foreign).unwrap();
    for _ in 0..2 {
        drop(start(dir.path(), "b"));
        assert!(Path::new(kept).join("sites").exists() && foreign.exists());
        assert_eq!(ring_dirs(dir.path()), 3);
    }
    std::fs::rename(&aside, &journal).unwrap();
    drop(start(dir.path(), "b"));
    assert_eq!(support::journal::messages(&journal), expected("gone"));
    assert_eq!(ring_dirs(dir.path()), 2);
}
