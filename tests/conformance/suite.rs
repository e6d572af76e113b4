//! The cases, and how one is run: the test starts itself again as a program that logs, and looks at
//! what has arrived.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollway::appender::Open;
use rollway::layout::escape::unescape;
use rollway::layout::{Layout, Pattern};
use rollway::{Builder, Guard, Logger};

use crate::faulty::{Fault, Faulty, stuck_path};
use crate::support::ledger::Ledger;
use crate::support::{self, PATIENCE, Random, child, wait_until, watchdog};

/// What an appender or composite under test is.
pub trait Subject {
    /// Whether what was written after the last stored position may come again after a kill.
    const MAY_DOUBLE: bool;
    /// The header of its module: `include_str!` of the source.
    const SOURCE: &'static str;

    /// What lives beside the program and outlives it, such as a master.
    fn beside(_dir: &Path) -> Box<dyn std::any::Any> {
        Box::new(())
    }

    /// Describes it: it delivers to somewhere below `dir`, a line for each event with [`layout`].
    fn open(dir: &Path) -> Box<dyn Open>;

    /// Adds it to the engine, under the name `subject`.
    fn add(builder: Builder, dir: &Path, fault: Fault) -> Builder {
        add_alone::<Self>(builder, dir, fault)
    }

    /// Called in the program behind its shutdown.
    fn finish(_dir: &Path) {}

    /// What has arrived, as text; `None` where nobody can tell.
    fn arrived(dir: &Path) -> Option<String>;
}

/// Adds the appender of a subject, without anything in front of it.
pub fn add_alone<S: Subject + ?Sized>(builder: Builder, dir: &Path, fault: Fault) -> Builder {
    let (appender, dir) = (S::open(dir), dir.to_owned());
    builder.appender("subject", Faulty { appender, fault, dir })
}

/// A line for each event: the message, escaped.
pub fn layout() -> impl Layout + Clone + 'static {
    Pattern::parse("%m%n").unwrap()
}

/// The names of the cases.
pub const CASES: &[&str] = &[
    "slow",
    "failing_and_recovering",
    "reloaded_under_load",
    "killed_before_settling",
    "killed_after_settling",
    "killed_at_any_instant",
    "killed_between_two_steps",
    "killed_and_rebooted",
    "poison_event",
    "event_of_a_mebibyte",
    "hostile_text",
    "shutdown_deadline",
];

/// Makes the tests of a subject.
macro_rules! conformance {
    ($subject:ty: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::suite::run::<$subject>(concat!(module_path!(), "::", stringify!($case)));
            }
        )*
    };
    ($subject:ty) => {
        conformance!($subject:
            slow failing_and_recovering reloaded_under_load killed_before_settling
            killed_after_settling killed_at_any_instant killed_between_two_steps
            killed_and_rebooted poison_event event_of_a_mebibyte hostile_text
            shutdown_deadline
        );

        #[test]
        fn every_case_is_here() {
            let cases = stringify!(
                slow failing_and_recovering reloaded_under_load killed_before_settling
                killed_after_settling killed_at_any_instant killed_between_two_steps
                killed_and_rebooted poison_event event_of_a_mebibyte hostile_text
                shutdown_deadline
            );
            let cases: Vec<_> = cases.split_whitespace().collect();
            assert_eq!(cases, $crate::suite::CASES);
        }
    };
}

/// What the header of a module says.
pub struct Header {
    pub path: PathBuf,
    pub covers: Vec<String>,
    /// Cases with the reason.
    pub skips: Vec<(String, String)>,
}

/// The headers of all modules with subjects, whatever features they need.
pub fn headers(dir: &Path) -> Vec<Header> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let paths = entries.filter(|path| {
        let name = path.file_stem().unwrap_or_default();
        !["main", "suite", "faulty"].iter().any(|other| name == *other)
    });
    let header = |path: PathBuf| {
        let source = fs::read_to_string(&path).unwrap();
        Header { covers: covers(&source), skips: skips(&source), path }
    };
    paths.map(header).collect()
}

fn covers(source: &str) -> Vec<String> {
    let line = source.lines().find_map(|line| line.strip_prefix("//! Covers: "));
    let names = line.unwrap_or_default().split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

fn skips(source: &str) -> Vec<(String, String)> {
    let mut skips: Vec<(String, String)> = Vec::new();
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        match line.strip_prefix(" - `").and_then(|line| line.split_once("`: ")) {
            Some((case, reason)) => skips.push((case.to_owned(), reason.to_owned())),
            None => {
                // The reason goes on.
                if let (Some((_, reason)), true) = (skips.last_mut(), line.starts_with("   ")) {
                    reason.push_str(&line[2..]);
                }
            }
        }
    }
    skips
}

/// Events of a run that is not about their size.
const EVENTS: u64 = 60;
/// So many come at a time, a block each as far as can be.
const GROUP: u64 = 5;
/// Values of the key `shard`, which the events have by turns.
pub const SHARDS: u64 = 3;
/// Bytes of the long event, which is as long as a record can be.
const LONG_BYTES: usize = (1 << 20) - 1024;
/// Kills of one program after the other.
const KILLS: u64 = 3;
/// Events of a program that is reloaded while it logs.
const EVENTS_WHILE_RELOADED: u64 = 500;
/// Events of a program that is killed while it logs.
const EVENTS_UNTIL_KILLED: u64 = 5_000;

/// Runs the case of a test, or plays its part.
pub fn run<S: Subject>(test: &str) {
    let (_, test) = test.split_once("::").unwrap();
    let (_, case) = test.rsplit_once("::").unwrap();
    if let Some(part) = child::part() {
        return program::<S>(case, &part, Path::new(&child::variable("CONFORMANCE_DIR")));
    }
    if let Some((_, reason)) = skips(S::SOURCE).iter().find(|(skipped, _)| skipped == case) {
        println!("skipped: {reason}");
        return;
    }
    if case == "killed_between_two_steps" {
        return run_steps::<S>(test);
    }
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let beside = S::beside(dir.path());
    let scene = Scene { test, case, dir: dir.path(), point: None, boot: None };
    let mut expected = messages(case);
    match case {
        "killed_before_settling" | "killed_after_settling" => {
            let program = scene.spawn("log");
            wait_until("it is stuck", || {
                stuck_path(scene.dir).exists() && logged_path(scene.dir).exists()
            });
            scene.kill(program);
            scene.play("recover");
        }
        "killed_and_rebooted" => {
            // What lay in the rings is gone with the memory: everything is in the journal before.
            let program = scene.spawn("log");
            wait_until("all is delivered", || logged_path(scene.dir).exists());
            scene.kill(program);
            let boot = Some("00000000-0000-4000-8000-000000000000");
            Scene { boot, ..scene }.play("recover");
        }
        "killed_at_any_instant" => {
            let mut random = Random(7);
            for kill in 0..KILLS {
                let program = scene.spawn(&format!("log {kill}"));
                let ledger = Ledger::open(&ledger_path(scene.dir));
                wait_until("it logs", || ledger.slot(kill as usize).load(Ordering::Acquire) > 0);
                std::thread::sleep(Duration::from_micros(random.below(40_000)));
                scene.kill(program);
            }
            scene.play("recover");
            expected = Vec::new();
        }
        "shutdown_deadline" => {
            let report = scene.play("log");
            assert!(report.delivered < EVENTS, "{report:?}");
            scene.play("recover");
        }
        _ => {
            let report = scene.play("log");
            let letters = expected.iter().filter(|message| message.contains("poison")).count();
            expected.retain(|message| !message.contains("poison"));
            assert_eq!((report.left, dead_letters(scene.dir)), (0, letters), "{report:?}");
            // What is settled by a batch that fails all the same is not counted as delivered.
            if case != "failing_and_recovering" {
                assert_eq!(report.delivered, expected.len() as u64, "{report:?}");
            }
        }
    }
    drop(beside);
    let Some(text) = S::arrived(dir.path()) else { return };
    let lines = lines_of(&text);
    match case {
        "killed_at_any_instant" => check_killed::<S>(scene.dir, &lines),
        // What was killed behind its last stored position may come twice.
        _ if case.starts_with("killed") && S::MAY_DOUBLE => {
            let mut seen = std::collections::HashSet::new();
            let first: Vec<_> =
                lines.into_iter().filter(|line| seen.insert(line.clone())).collect();
            assert_eq!(first, expected);
        }
        _ => assert!(lines == expected, "{}", difference(&lines, &expected)),
    }
}

/// Kills the program at each step of a file's protocol, at the first, second and fourth time that it
/// comes there: a batch has several files where there is one for each value.
#[cfg(feature = "crash-points")]
fn run_steps<S: Subject>(test: &str) {
    use std::os::unix::process::ExitStatusExt;

    let (mut reached, case) = (0, "killed_between_two_steps");
    for point in rollway::CRASH_POINTS.iter().filter(|point| point.starts_with("file.")) {
        for times in [1, 2, 4] {
            let _watchdog = watchdog();
            let dir = tempfile::tempdir().unwrap();
            let beside = S::beside(dir.path());
            let at = format!("{point}:{times}");
            let scene = Scene { test, case, dir: dir.path(), point: Some(&at), boot: None };
            let ended = scene.spawn("log to the end").wait().unwrap();
            if ended.signal().is_none() {
                break;
            }
            reached += 1;
            Scene { point: None, ..scene }.play("recover");
            drop(beside);
            let lines = lines_of(&S::arrived(dir.path()).unwrap());
            // The kill may have come before all was logged; nothing that was is missing or doubled.
            let expected = &messages(case)[..lines.len().min(EVENTS as usize)];
            assert!(lines == expected, "{at}: {}", difference(&lines, expected));
            let logged = Ledger::open(&ledger_path(scene.dir)).slot(0).load(Ordering::Acquire);
            assert!(lines.len() as u64 >= logged, "{at}: {} of {logged}", lines.len());
        }
    }
    assert!(reached > 0, "no step was come to");
}

#[cfg(not(feature = "crash-points"))]
fn run_steps<S: Subject>(_test: &str) {
    println!("skipped: needs the feature crash-points");
}

/// The messages of the lines, each from its `~` on: what the test harness prints stands before it.
/// No character of an event has cut or coloured a line.
fn lines_of(text: &str) -> Vec<String> {
    let of_events = text.lines().filter_map(|line| line.find('~').map(|at| &line[at..]));
    let lines = of_events.map(|line| {
        assert!(!line.contains(char::is_control), "a control character in {line:?}");
        unescape(line).into_owned()
    });
    lines.collect()
}

/// Where two lists part, without a mebibyte of it.
fn difference(found: &[String], expected: &[String]) -> String {
    let at = found.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let show = |list: &[String]| -> Option<String> {
        list.get(at).map(|line| line.chars().take(100).collect())
    };
    format!(
        "{} lines and {} expected; number {at} is {:?} and not {:?}",
        found.len(),
        expected.len(),
        show(found),
        show(expected)
    )
}

/// Each of the killed programs: everything whose call returned, in its order, and no more than the
/// call that was under way.
fn check_killed<S: Subject>(dir: &Path, lines: &[String]) {
    let ledger = Ledger::open(&ledger_path(dir));
    for kill in 0..KILLS {
        let returned = ledger.slot(kill as usize).load(Ordering::Acquire);
        let prefix = format!("~{kill}/");
        let numbers =
            lines.iter().filter_map(|line| line.strip_prefix(&prefix)?.parse::<u64>().ok());
        let mut next = 0;
        for number in numbers {
            match number == next {
                true => next += 1,
                false => assert!(S::MAY_DOUBLE && number < next, "{number} comes behind {next}"),
            }
        }
        assert!((returned..=returned + 1).contains(&next), "{next} of {returned}, kill {kill}");
    }
}

/// The case that this program plays a part of.
pub fn case() -> String {
    child::variable("CONFORMANCE_CASE")
}

#[derive(Clone, Copy)]
struct Scene<'a> {
    test: &'a str,
    case: &'a str,
    dir: &'a Path,
    /// Where the program kills itself.
    point: Option<&'a str>,
    /// The boot that it believes to be in.
    boot: Option<&'a str>,
}

/// What a program said at its end.
#[derive(Debug)]
struct Report {
    delivered: u64,
    left: u64,
}

impl Scene<'_> {
    /// Starts a part. What it prints goes behind what others printed.
    fn spawn(&self, part: &str) -> Child {
        let out = fs::File::options().append(true).create(true).open(self.dir.join("stdout"));
        let mut command = child::command(self.test, part);
        command.env("CONFORMANCE_DIR", self.dir).env("CONFORMANCE_CASE", self.case);
        command.envs(self.point.map(|point| ("ROLLWAY_CRASH_AT", point)));
        command.envs(self.boot.map(|boot| ("ROLLWAY_BOOT_ID", boot)));
        command.stdout(Stdio::from(out.unwrap()));
        command.spawn().unwrap()
    }

    fn kill(&self, mut program: Child) {
        program.kill().unwrap();
        program.wait().unwrap();
        let _ = fs::remove_file(stuck_path(self.dir));
    }

    /// Plays a part to its end.
    fn play(&self, part: &str) -> Report {
        let ended = self.spawn(part).wait().unwrap();
        assert!(ended.success(), "{part} ended with {ended}");
        let text = fs::read_to_string(self.dir.join("report")).unwrap();
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        Report { delivered: numbers[0], left: numbers[1] }
    }
}

/// How many events the subject has refused. Beside each stands what is said about it.
fn dead_letters(dir: &Path) -> usize {
    let dir = dir.join("journal/dead-letters/subject");
    if dir.exists() { support::journal::messages(&dir).len() / 2 } else { 0 }
}

fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("ledger")
}

/// The file that says that everything was logged.
fn logged_path(dir: &Path) -> PathBuf {
    dir.join("logged")
}

/// What the program logs in a case.
fn messages(case: &str) -> Vec<String> {
    let plain = |number| format!("~{number}");
    match case {
        "poison_event" => {
            let poison = |number| number % 7 == 3 || number == EVENTS - 1;
            let message = |number| match poison(number) {
                true => format!("~{number} poison"),
                false => plain(number),
            };
            (0..EVENTS).map(message).collect()
        }
        "event_of_a_mebibyte" => {
            let long = format!("~1 {}", "Ä🪵x\n".repeat(LONG_BYTES / 8));
            vec![plain(0), long, plain(2)]
        }
        "reloaded_under_load" => (0..EVENTS_WHILE_RELOADED).map(plain).collect(),
        "hostile_text" => HOSTILE.iter().map(|text| format!("~{text}")).collect(),
        _ => (0..EVENTS).map(plain).collect(),
    }
}

/// Texts that would be more than a line of text to somebody.
const HOSTILE: &[&str] = &[
    "two\nlines",
    "a line\r\nand another\r",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\0nul \x08back \x7fdel",
    "\u{85}\u{9b}31m\u{2028}\u{2029}",
    "\u{202e}backwards\u{2066}",
    "${jndi:ldap://127.0.0.1/a} {} {0} %s %n %m $(id) `id`",
    "back\\slash \\n \\u{1b}",
    "\"quoted\" 'twice', key=value; {\"json\":1}",
    "",
    "🪵 木 ß \u{feff}",
];

/// The program of a case.
fn program<S: Subject>(case: &str, part: &str, dir: &Path) {
    let fault = match (part, case) {
        ("recover", _) => Fault::Nothing,
        (_, "slow") => Fault::Slow(Duration::from_millis(20)),
        (_, "failing_and_recovering") => Fault::Failing,
        (_, "poison_event") => Fault::Picky,
        (_, "killed_before_settling") => Fault::StuckBefore(3),
        (_, "killed_after_settling") => Fault::StuckBehind(3),
        (_, "shutdown_deadline") => Fault::StuckBefore(2),
        _ => Fault::Nothing,
    };
    let described = || {
        let builder = rollway::builder()
            .journal_dir(dir.join("journal"))
            .rings_dir(dir.join("rings"))
            .ring_bytes(4 << 20)
            .record_bytes_max(1 << 20)
            .flush_timeout(PATIENCE);
        S::add(builder, dir, fault)
    };
    let guard = described().start().unwrap();
    let logger = guard.logger();
    if let Some(Ok(kill)) = part.strip_prefix("log ").map(str::parse::<usize>) {
        let ledger = Ledger::open(&ledger_path(dir));
        for number in 0..EVENTS_UNTIL_KILLED {
            rollway::info!(logger: logger, number, shard = number % SHARDS; "~{kill}/{number}");
            ledger.slot(kill).store(number + 1, Ordering::Release);
            if number % 50 == 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        loop {
            std::thread::park();
        }
    }
    if part.starts_with("log") {
        let is_logged = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if case == "reloaded_under_load" {
                scope.spawn(|| reload_until(&is_logged, logger, described));
            }
            log(&guard, case, dir);
            is_logged.store(true, Ordering::Relaxed);
        });
        if case == "killed_and_rebooted" {
            guard.flush().unwrap();
        }
        fs::write(logged_path(dir), "").unwrap();
        if case.starts_with("killed") && part == "log" {
            loop {
                std::thread::park();
            }
        }
    }
    let patience = match (part, case) {
        ("log", "shutdown_deadline") => Duration::from_millis(300),
        _ => {
            guard.flush().unwrap();
            PATIENCE
        }
    };
    let report = guard.shutdown(patience);
    S::finish(dir);
    let report = Report { delivered: report.delivered(), left: report.left() };
    if part == "recover" {
        assert_eq!(report.left, 0, "{report:?}");
    }
    let text = format!("{} {}", report.delivered, report.left);
    fs::write(dir.join("report"), text).unwrap();
}

/// Logs the messages of a case.
fn log(guard: &Guard, case: &str, dir: &Path) {
    let (logger, ledger) = (guard.logger(), Ledger::open(&ledger_path(dir)));
    let mut end = guard.stats().end;
    for (number, message) in messages(case).iter().enumerate() {
        let number = number as u64;
        rollway::info!(logger: logger, number, shard = number % SHARDS; "{message}");
        ledger.slot(0).store(number + 1, Ordering::Release);
        if number % GROUP == GROUP - 1 {
            // The next group has a block of its own, however slowly the writer gets to run.
            let before = end;
            wait_until("a block is there", || {
                end = guard.stats().end;
                end != before
            });
        }
    }
}

/// Takes another description again and again: what was there delivers the rest of its events, and
/// what comes goes on behind them.
fn reload_until(is_logged: &AtomicBool, logger: &Logger, described: impl Fn() -> Builder) {
    loop {
        let reloaded = logger.reload(described()).unwrap();
        assert_eq!(reloaded.changed, ["subject"]);
        assert!(reloaded.undrained.is_empty(), "{reloaded:?}");
        if is_logged.load(Ordering::Relaxed) {
            return;
        }
    }
}
