//! A program dies between any two steps of the journal's protocols, twice in a row, and what its log
//! calls took is delivered once.

mod support;

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollway::SyncPolicy;
use support::ledger::Ledger;
use support::{PATIENCE, child, lines, message_file, watchdog};

const TEST: &str = "a_crash_between_any_two_steps_of_the_journal_costs_nothing";
const DIR: &str = "ROLLWAY_TEST_DIR";
const RUN: &str = "ROLLWAY_TEST_RUN";
const CRASH_AT: &str = "ROLLWAY_CRASH_AT";
/// More than the journal holds, so that segments are recycled.
const EVENTS: u64 = 6000;
const FILLER_BYTES: usize = 4000;
/// The runs of one case and where they crash; `{}` is the point under test.
const RUNS: [Option<&str>; 5] =
    [Some("journal.commit:3"), Some("{}"), Some("{}"), Some("{}:2"), None];

fn log_until_the_crash() {
    let (dir, run) = (child::variable(DIR), child::variable(RUN));
    let dir = Path::new(&dir);
    let ledger = Ledger::open(&dir.join("ledger"));
    let guard = rollway::builder()
        .journal_dir(dir.join("journal"))
        .journal_max_bytes(16 << 20)
        .rings_dir(dir.join("rings"))
        .sync(SyncPolicy::Every(Duration::from_millis(1)))
        .appender("file", message_file(&dir.join("app.log")))
        .start()
        .unwrap();
    let filler = "x".repeat(FILLER_BYTES);
    let events = if std::env::var_os(CRASH_AT).is_some() { EVENTS } else { 10 };
    for number in 0..events {
        rollway::info!(logger: guard.logger(), "{run} {number} {filler}");
        ledger.slot(run.parse().unwrap()).store(number + 1, Ordering::Release);
    }
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
}

#[test]
fn a_crash_between_any_two_steps_of_the_journal_costs_nothing() {
    if child::part().is_some() {
        return log_until_the_crash();
    }
    let _watchdog = watchdog();
    let of_journal = |name: &&&str| name.starts_with("journal.") || name.starts_with("segment.");
    for point in rollway::CRASH_POINTS.iter().filter(of_journal) {
        let dir = tempfile::tempdir().unwrap();
        let mut crashes = 0;
        for (run, crash_at) in RUNS.iter().enumerate() {
            let mut program = child::command(TEST, "log");
            program.env(DIR, dir.path()).env(RUN, run.to_string()).env_remove(CRASH_AT);
            program.envs(crash_at.map(|at| (CRASH_AT, at.replace("{}", point))));
            let ended = program.status().unwrap();
            let crashed = ended.signal() == Some(9);
            assert!(crashed || ended.success(), "{point}, run {run}: {ended}");
            crashes += usize::from(crashed);
        }
        // The first one, and the two in a row.
        assert!(crashes >= 3, "{point} was reached by {crashes} runs");
        check(point, dir.path());
    }
}

/// Each run's events are there once and in order, as far as its calls came.
fn check(point: &str, dir: &Path) {
    let mut delivered: HashMap<usize, u64> = HashMap::new();
    for line in lines(&dir.join("app.log")) {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (run, number) = (number() as usize, number());
        let expected = delivered.entry(run).or_default();
        assert_eq!(number, *expected, "{point}: lost, doubled or out of order in run {run}");
        *expected += 1;
    }
    let logged = Ledger::open(&dir.join("ledger")).counts(RUNS.len());
    for (run, logged) in logged.into_iter().enumerate() {
        let found = delivered.get(&run).copied().unwrap_or(0);
        // The call that was under way may have come through.
        assert!((logged..=logged + 1).contains(&found), "{point}, run {run}: {found} of {logged}");
    }
}
