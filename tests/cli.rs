//! `rollway cat`, and what the command says when it is used wrongly.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rollway::cli::{Exit, run};
use support::child;

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

/// Runs a command in this process.
fn ran<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(["rollway"].into_iter().chain(args), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit, out: text(out), err: text(err) }
}

/// Runs the binary: exit code, standard output, standard error.
fn binary(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollway"));
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Logs events `from..to` of a service to a journal; each event its own block, or all in a few.
fn log(journal: &Path, events: std::ops::Range<u32>, one_by_one: bool) {
    let guard = rollway::builder()
        .service("shop")
        .level(rollway::Level::TRACE)
        .journal_dir(journal)
        .journal_max_bytes(32 << 20)
        .start()
        .unwrap();
    for n in events {
        let logger = guard.logger();
        let _context = rollway::mdc("request", n / 4);
        match n % 3 {
            0 => rollway::info!(logger: logger, target: "shop::till", n, name = "Ada"; "event {n}"),
            1 => rollway::debug!(logger: logger, target: "shop::tiller", "event {n}"),
            _ => rollway::error!(logger: logger, target: "shop", "event {n}"),
        }
        if one_by_one {
            guard.flush().unwrap();
        }
    }
    guard.shutdown(Duration::from_secs(60));
}

fn segments(journal: &Path) -> Vec<PathBuf> {
    rollway::journal::segment_paths(journal).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Cuts a segment behind what was written to it, so that nobody searches what was only reserved.
fn cut_reserve(segment: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used.next_multiple_of(64) + 640);
    fs::write(segment, &bytes).unwrap();
    bytes
}

#[test]
fn a_journal_is_printed_in_order_run_after_run() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..5000, false);
    log(dir.path(), 5000..10_000, false);
    let ran = ran(["cat", "--pattern", "%m%n", text(dir.path())]);
    let expected: String = (0..10_000).map(|n| format!("event {n}\n")).collect();
    assert_eq!((ran.exit, ran.out == expected, &*ran.err), (Exit::Ok, true, ""));
}

#[test]
fn several_journals_are_merged_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let journals = [dir.path().join("a"), dir.path().join("b")];
    for n in 0..6 {
        log(&journals[n as usize % 2], n..n + 1, false);
    }
    let ran = ran(["cat", "--pattern", "%m%n", text(&journals[0]), text(&journals[1])]);
    let expected: String = (0..6).map(|n| format!("event {n}\n")).collect();
    assert_eq!((ran.exit, ran.out), (Exit::Ok, expected));
}

#[test]
fn the_journal_of_a_running_process_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let guard = rollway::builder().journal_dir(dir.path()).start().unwrap();
    for n in 0..100 {
        rollway::info!(logger: guard.logger(), "event {n}");
    }
    guard.flush().unwrap();
    let ran = ran(["cat", "--pattern", "%m%n", text(dir.path())]);
    assert_eq!((ran.exit, ran.out.lines().count(), &*ran.err), (Exit::Ok, 100, ""));
    drop(guard);
}

#[test]
fn what_waits_in_the_rings_of_a_killed_process_is_told_and_shown_after_the_next_start() {
    const JOURNAL: &str = "ROLLWAY_TEST_JOURNAL";
    if child::part().is_some() {
        let guard = rollway::builder()
            .wait(rollway::WaitStrategy::Manual)
            .journal_dir(child::variable(JOURNAL))
            .start()
            .unwrap();
        for n in 0..3 {
            rollway::info!(logger: guard.logger(), "event {n}");
        }
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "what_waits_in_the_rings_of_a_killed_process_is_told_and_shown_after_the_next_start";
    let mut killed = child::command(test, "killed");
    killed.env(JOURNAL, dir.path()).stderr(Stdio::null()).status().unwrap();
    let cat = || ran(["cat", "--pattern", "%m%n", text(dir.path())]);
    let before = cat();
    assert_eq!((before.exit, &*before.out), (Exit::Ok, ""));
    assert!(before.err.contains("of a killed process wait in"), "{}", before.err);

    drop(rollway::builder().journal_dir(dir.path()).start().unwrap());
    let after = cat();
    let all = "event 0\nevent 1\nevent 2\n";
    assert_eq!((after.exit, &*after.out, &*after.err), (Exit::Ok, all, ""));
}

#[test]
fn events_are_chosen_by_level_category_and_time() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..9, false);
    let shown = |args: &[&str]| -> Vec<u32> {
        let ran =
            ran(["cat", "--pattern", "%m%n"].iter().chain(args).copied().chain([text(dir.path())]));
        assert_eq!((ran.exit, &*ran.err), (Exit::Ok, ""), "{args:?}");
        ran.out.lines().map(|line| line.strip_prefix("event ").unwrap().parse().unwrap()).collect()
    };
    let all: Vec<u32> = (0..9).collect();
    assert_eq!(shown(&["--level", "warn"]), [2, 5, 8]);
    assert_eq!(shown(&["--level", "INFO"]), [0, 2, 3, 5, 6, 8]);
    assert_eq!(shown(&["--category", "shop::till"]), [0, 3, 6]);
    assert_eq!(
        shown(&["--category", "shop::till", "--category", "shop::tiller"]),
        [0, 1, 3, 4, 6, 7]
    );
    assert_eq!(shown(&["--category", "shop"]), all);
    assert_eq!(shown(&["--since", "-1h"]), all);
    assert_eq!(shown(&["--since=-1h", "--until", "2100-01-01T00:00:00Z"]), all);
    assert_eq!(shown(&["--until", "1h"]), [0; 0]);
}

#[test]
fn json_has_one_object_a_line() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..3, false);
    let ran = ran(["cat", "--json", text(dir.path())]);
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Ok, 3));
    let first: serde_json::Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "event 0");
    assert_eq!(first["fields"]["name"], "Ada");
    assert_eq!(first["context"]["request"], "0");
    assert_eq!(first["process"]["service"], "shop");
}

/// What is not damaged is printed as it was; what is, is left out and reported.
fn check_flipped(flipped: &Ran, whole: &str, at: usize) {
    let mut rest = whole.lines();
    for line in flipped.out.lines() {
        assert!(rest.any(|known| known == line), "byte {at}: a wrong line: {line}");
    }
    let is_whole = flipped.out == whole;
    match flipped.exit {
        Exit::Ok => assert!(is_whole && flipped.err.is_empty(), "byte {at}: {flipped:?}"),
        Exit::Loss => assert!(!flipped.err.is_empty(), "byte {at}: {flipped:?}"),
        Exit::Damaged => {
            assert!(flipped.out.is_empty() && !flipped.err.is_empty(), "byte {at}: {flipped:?}");
        }
        other => panic!("byte {at}: {other:?}"),
    }
}

#[test]
fn a_flipped_byte_anywhere_in_the_first_4_kib_never_makes_a_wrong_line() {
    for one_by_one in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 0..12, one_by_one);
        let segment = &segments(dir.path())[0];
        let bytes = cut_reserve(segment);
        let whole = ran(["cat", "--json", text(dir.path())]);
        assert_eq!((whole.exit, whole.out.lines().count()), (Exit::Ok, 12));

        let mut lossy = 0;
        for at in 0..bytes.len().min(4096) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            fs::write(segment, &flipped).unwrap();
            let ran = ran(["cat", "--json", text(dir.path())]);
            check_flipped(&ran, &whole.out, at);
            lossy += usize::from(ran.exit != Exit::Ok);
        }
        assert!(lossy > 1000, "only {lossy} flips were noticed");
    }
}

#[test]
fn the_binary_reports_damage_with_its_place_and_the_documented_code() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..12, true);
    let segment = &segments(dir.path())[0];
    let bytes = cut_reserve(segment);
    let (code, whole, _) = binary(&["cat", text(dir.path())]);
    assert_eq!(code, 0);
    for at in [4, 70, 700, 1500, 2500] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x01;
        fs::write(segment, &flipped).unwrap();
        let (code, out, err) = binary(&["cat", text(dir.path())]);
        assert!(out.lines().all(|line| whole.contains(line)), "byte {at}");
        assert!(code == 1 || code == 65 || (code == 0 && out == whole), "byte {at}: code {code}");
        assert_eq!(code == 0, err.is_empty(), "byte {at}: {err}");
        if code != 0 {
            assert!(err.contains("segment-") && err.contains("byte "), "byte {at}: {err}");
        }
    }
}

#[test]
fn a_truncated_segment_shows_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..12, true);
    let segment = &segments(dir.path())[0];
    let bytes = cut_reserve(segment);
    let whole = ran(["cat", "--json", text(dir.path())]);
    for len in (0..bytes.len()).step_by(37) {
        fs::write(segment, &bytes[..len]).unwrap();
        let cut = ran(["cat", "--json", text(dir.path())]);
        assert!(whole.out.starts_with(&cut.out), "cut to {len} bytes");
    }
}

#[test]
fn a_segment_that_is_missing_between_others_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let guard =
        rollway::builder().journal_dir(dir.path()).journal_max_bytes(64 << 20).start().unwrap();
    let filler = "x".repeat(60_000);
    for n in 0..750 {
        rollway::info!(logger: guard.logger(), "event {n} {filler}");
    }
    guard.shutdown(Duration::from_secs(60));
    let all = segments(dir.path());
    assert!(all.len() >= 3, "{} segments", all.len());
    fs::remove_file(&all[1]).unwrap();
    let ran = ran(["cat", "--pattern", "%.9m%n", text(dir.path())]);
    assert_eq!(ran.exit, Exit::Loss);
    assert!(ran.err.contains("blocks are missing in front of the one at byte"), "{}", ran.err);
    assert!(ran.out.lines().count() < 750);
}

#[test]
fn what_is_no_journal_is_refused_with_the_path_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = binary(&["cat", "/no/such/journal"]);
    assert_eq!((code, &*out), (66, ""));
    assert!(err.contains("/no/such/journal"), "{err}");

    let (code, _, err) = binary(&["cat", text(dir.path())]);
    assert_eq!(code, 66);
    assert!(err.contains(text(dir.path())) && err.contains("journal directory"), "{err}");

    let garbage = dir.path().join("notes.txt");
    fs::write(&garbage, "this is not a journal\n".repeat(100)).unwrap();
    let (code, out, err) = binary(&["cat", text(&garbage)]);
    assert_eq!((code, &*out), (65, ""));
    assert!(
        err.contains("notes.txt: 2200 bytes from byte 0 on") || err.contains("notes.txt"),
        "{err}"
    );

    // A directory where a segment should be cannot be read, whoever asks.
    fs::create_dir(dir.path().join("segment-0000000000000001.rwj")).unwrap();
    let (code, _, err) = binary(&["cat", text(dir.path())]);
    assert_eq!(code, 74);
    assert!(err.contains("cannot be read"), "{err}");
}

#[test]
fn wrong_arguments_are_refused_with_the_argument_the_value_and_the_remedy() {
    for (args, words) in [
        (&["cat", "--colour", "x"][..], &["--colour", "--help"][..]),
        (&["cat"], &["<PATH>"]),
        (&["cat", "x", "--since", "yesterday"], &["--since", "yesterday", "-3h"]),
        (&["cat", "x", "--level", "loud"], &["--level", "loud", "warn"]),
        (&["cat", "x", "--pattern", "%d %q"], &["--pattern", "%q", "column 5"]),
        (&["send", "--to", "logs:http"], &["--to", "logs:http", "host:port"]),
        (&["send", "--level", "loud"], &["--level", "loud", "warn"]),
        (&["send", "--timeout", "soon"], &["--timeout", "soon", "seconds"]),
        (&["master", "--listen", "localhost:99999"], &["--listen", "localhost:99999", "65535"]),
        (&["master", "--appender", "flie:x"], &["--appender", "flie:x", "file:PATH"]),
        (&["demo", "--events", "0"], &["--events", "0"]),
        (&["bench", "--seconds", "soon"], &["--seconds", "soon", "seconds"]),
        (&["bench", "--only", "disk"], &["--only", "disk", "tcp"]),
        (&["kat"], &["kat"]),
    ] {
        let (code, out, err) = binary(args);
        assert_eq!((code, &*out), (2, ""), "{args:?}");
        for word in words {
            assert!(err.contains(word), "{args:?} does not say {word}: {err}");
        }
    }
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = binary(&["master", "--listen", &address]);
    assert_eq!(code, 74);
    assert!(err.contains(&address) && err.contains("another port"), "{err}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.toml");
    fs::write(&file, "[master]\nlisten = 'localhost:0'\njornal = 'x'\n").unwrap();
    let (code, out, err) = binary(&["master", "--config", text(&file)]);
    assert_eq!((code, &*out), (78, ""));
    assert!(
        err.contains(
            "master.toml: line 3, column 1: unknown key `jornal` (did you mean `journal`?)"
        ),
        "{err}"
    );

    let (code, _, err) = binary(&["master", "--config", "/no/such.toml"]);
    assert_eq!(code, 66);
    assert!(err.contains("/no/such.toml"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_ends_the_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..50_000, false);
    let mut cat = Command::new(env!("CARGO_BIN_EXE_rollway"))
        .args(["cat", text(dir.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(cat.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("event 0"), "{first}");
    let mut err = String::new();
    cat.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = cat.wait().unwrap();
    assert_eq!((status.code(), status.signal(), &*err), (Some(0), None, ""));
}

#[test]
fn every_command_explains_itself() {
    for command in ["cat", "tail", "stats", "verify", "recover", "send", "master", "demo", "bench"]
    {
        let (code, out, err) = binary(&[command, "--help"]);
        assert_eq!((code, &*err), (0, ""));
        assert!(out.contains("Examples:") && out.contains("Exit codes:"), "{command}: {out}");
    }
    for command in ["check", "show", "default", "schema"] {
        let (code, out, err) = binary(&["config", command, "--help"]);
        assert_eq!((code, &*err), (0, ""));
        assert!(out.contains("Examples:") && out.contains("Exit codes:"), "{command}: {out}");
    }
    let (code, out, _) = binary(&["--version"]);
    assert_eq!((code, out), (0, format!("rollway {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn events_behind_a_page_of_zeroes_are_shown_and_the_page_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), 0..40, true);
    let segment = &segments(dir.path())[0];
    let mut bytes = fs::read(segment).unwrap();
    let whole = ran(["cat", "--json", text(dir.path())]);
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(used > 12 << 10, "{used} bytes");
    bytes[4096..8192].fill(0);
    fs::write(segment, &bytes).unwrap();
    let cut = ran(["cat", "--json", text(dir.path())]);
    assert_eq!(cut.exit, Exit::Loss);
    assert!(cut.out.lines().all(|line| whole.out.contains(line)));
    assert!(cut.out.contains("event 39"), "{}", cut.out);
    assert!(cut.err.contains("from byte "), "{}", cut.err);
}
