//! Processes that share a directory: what each of them logs is delivered once, whoever is killed.
//!
//! Programs log numbered events and keep a ledger of the calls that returned, in a mapping that
//! outlives them. The test kills and restarts them, and at last compares the text file with the
//! ledgers. Each start of a program has a number of its own, its *run*.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rollway::ClusterRole;
use rollway::appender::Forwarder;
use rollway::cluster::Cluster;
use support::destination::{Collector, Gate};
use support::ledger::Ledger;
use support::{PATIENCE, Random, child, lines, message_file, wait_until, watchdog};

/// The text file is full with so many bytes.
const ROTATE_BYTES: u64 = 20_000;
/// Between two events of one program.
const PACE: Duration = Duration::from_micros(100);
/// Words of a ledger: calls that returned, whether the program is elected.
const CALLS: usize = 0;
const ELECTED: usize = 1;

/// Programs that share a directory.
struct Fleet {
    test: &'static str,
    dir: tempfile::TempDir,
    running: Vec<(usize, Child)>,
    runs: usize,
}

impl Fleet {
    fn new(test: &'static str) -> Fleet {
        Fleet { test, dir: tempfile::tempdir().unwrap(), running: Vec::new(), runs: 0 }
    }

    /// Starts a program that plays `part`.
    fn start(&mut self, part: &str) -> usize {
        self.start_with(part, &[])
    }

    fn start_with(&mut self, part: &str, variables: &[(&str, &str)]) -> usize {
        let run = self.runs;
        self.runs += 1;
        let mut command = child::command(self.test, part);
        command.env("CLUSTER_DIR", self.dir.path()).env("CLUSTER_RUN", run.to_string());
        command.envs(variables.iter().copied());
        self.running.push((run, command.spawn().unwrap()));
        run
    }

    fn ledger(&self, run: usize) -> Ledger {
        Ledger::open(&ledger_path(self.dir.path(), run))
    }

    fn calls(&self, run: usize) -> u64 {
        self.ledger(run).slot(CALLS).load(Ordering::Acquire)
    }

    fn wait_for_calls(&self, run: usize, calls: u64) {
        wait_until("a program logs", || self.calls(run) >= calls);
    }

    /// The run that says it is elected, among those that run.
    fn elected(&self) -> usize {
        let mut found = None;
        wait_until("a program is elected", || {
            let is_elected =
                |run: &usize| self.ledger(*run).slot(ELECTED).load(Ordering::Acquire) == 1;
            found = self.running.iter().map(|(run, _)| *run).find(is_elected);
            found.is_some()
        });
        found.unwrap()
    }

    fn position(&self, run: usize) -> usize {
        self.running.iter().position(|(of, _)| *of == run).unwrap()
    }

    /// Whether it has ended by itself.
    fn has_ended(&mut self, run: usize) -> bool {
        let at = self.position(run);
        self.running[at].1.try_wait().unwrap().is_some()
    }

    fn kill(&mut self, run: usize) {
        let (_, mut program) = self.running.swap_remove(self.position(run));
        program.kill().unwrap();
        program.wait().unwrap();
    }

    fn kill_all(&mut self) {
        while let Some((run, _)) = self.running.first() {
            self.kill(*run);
        }
    }

    /// Waits until all programs have ended by themselves.
    fn join(&mut self) {
        for (run, mut program) in std::mem::take(&mut self.running) {
            let status = program.wait().unwrap();
            assert!(status.success(), "run {run} ended with {status}");
        }
    }

    /// Lets one more program deliver everything that is left, and checks that each event is in the
    /// file once and those of each run are in their order.
    fn settle(&mut self) {
        self.start("settle");
        self.join();
        self.check(&self.delivered());
        let members = self.dir.path().join("cluster/members");
        assert_eq!(std::fs::read_dir(members).unwrap().count(), 1, "but for the last one's own");
    }

    /// The lines of the text file and of those that were full, the oldest first.
    fn delivered(&self) -> Vec<String> {
        let file = self.dir.path().join("app.log");
        let mut delivered = Vec::new();
        for number in 1.. {
            let full = file.with_extension(format!("log.{number}"));
            if !full.exists() {
                break;
            }
            delivered.extend(lines(&full));
        }
        delivered.extend(lines(&file));
        delivered
    }

    fn check(&self, delivered: &[String]) {
        let mut seen: HashMap<usize, u64> = HashMap::new();
        for line in delivered {
            let (run, number) = line.split_once('/').unwrap_or_else(|| panic!("{line:?}"));
            let next = seen.entry(run.parse().unwrap()).or_default();
            assert_eq!(number.parse::<u64>().unwrap(), *next, "of run {run}");
            *next += 1;
        }
        for run in 0..self.runs {
            let (calls, seen) = (self.calls(run), seen.remove(&run).unwrap_or(0));
            // The call that was under way at a kill may or may not be among them.
            assert!(seen == calls || seen == calls + 1, "run {run}: {seen} of {calls}");
        }
        assert!(seen.is_empty(), "{seen:?}");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, program) in &mut self.running {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn ledger_path(dir: &Path, run: usize) -> PathBuf {
    dir.join(format!("ledger-{run}"))
}

/// The part of a program in the fleet of a test; `true` if this process is one.
fn plays() -> bool {
    match child::part().as_deref() {
        Some("log") => log(5_000),
        Some("log for ever") => log(u64::MAX),
        Some("settle") => settle(),
        Some("stay") => drop((start(), std::thread::sleep(PATIENCE))),
        _ => return false,
    }
    true
}

fn cluster(dir: &Path) -> Cluster {
    let cluster = Cluster::new(dir.join("cluster")).adopt_after(Duration::from_millis(100));
    match std::env::var("CLUSTER_INSTANCE_VAR") {
        Ok(name) => cluster.instance_var(name),
        Err(_) => cluster,
    }
}

fn start() -> rollway::Guard {
    let dir = child::variable("CLUSTER_DIR");
    let dir = Path::new(&dir);
    let builder = rollway::builder()
        .cluster(cluster(dir))
        .rings_dir(dir.join("rings"))
        .require(rollway::Durability::L1)
        .flush_timeout(PATIENCE)
        .appender("file", message_file(&dir.join("app.log")).rotate_at_bytes(ROTATE_BYTES));
    let builder = match std::env::var("CLUSTER_MASTER") {
        Ok(address) => builder.appender("master", Forwarder::new(address)),
        Err(_) => builder,
    };
    builder.init().unwrap()
}

/// A program that logs so many events at its pace and ends in order.
fn log(events: u64) {
    let run: usize = child::variable("CLUSTER_RUN").parse().unwrap();
    let ledger = Ledger::open(&ledger_path(Path::new(&child::variable("CLUSTER_DIR")), run));
    let guard = start();
    let logger = guard.logger();
    let began = Instant::now();
    for number in 0..events {
        while began.elapsed() < PACE * u32::try_from(number).unwrap() {
            std::thread::sleep(PACE);
        }
        rollway::info!("{run}/{number}");
        ledger.slot(CALLS).store(number + 1, Ordering::Release);
        if number % 100 == 0 {
            let role = logger.stats().cluster.unwrap().role;
            let is_elected = u64::from(role == ClusterRole::Elected);
            ledger.slot(ELECTED).store(is_elected, Ordering::Release);
        }
    }
    // It need not live to see them delivered.
    drop(guard);
}

/// A program that stays until everything of the others is delivered.
fn settle() {
    let guard = start();
    wait_until("all others are adopted", || {
        guard.stats().cluster.is_some_and(|cluster| cluster.members == 1)
    });
    guard.flush().unwrap();
    let report = guard.shutdown(PATIENCE);
    assert_eq!(report.left(), 0, "{report:?}");
}

#[test]
fn what_four_processes_log_is_in_one_file_once() {
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet = Fleet::new("what_four_processes_log_is_in_one_file_once");
    for _ in 0..4 {
        fleet.start("log");
    }
    fleet.join();
    fleet.settle();
}

#[test]
fn another_process_takes_over_from_an_elected_one_that_is_killed() {
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet = Fleet::new("another_process_takes_over_from_an_elected_one_that_is_killed");
    for _ in 0..4 {
        fleet.start("log for ever");
    }
    let mut random = Random(7);
    let kills = if support::is_long_run() { 60 } else { 6 };
    for _ in 0..kills {
        let elected = fleet.elected();
        std::thread::sleep(Duration::from_millis(random.below(300)));
        fleet.kill(elected);
        let restarted = fleet.start("log for ever");
        fleet.wait_for_calls(restarted, 1);
    }
    fleet.kill_all();
    fleet.settle();
}

#[test]
fn a_member_that_is_killed_loses_nothing_whether_it_is_restarted_or_not() {
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet =
        Fleet::new("a_member_that_is_killed_loses_nothing_whether_it_is_restarted_or_not");
    fleet.start("stay");
    for _ in 0..5 {
        let (first, second) = (fleet.start("log for ever"), fleet.start("log for ever"));
        fleet.wait_for_calls(first, 300);
        fleet.wait_for_calls(second, 300);
        fleet.kill(second);
        fleet.kill(first);
    }
    let members = fleet.dir.path().join("cluster/members");
    wait_until("the dead are adopted", || std::fs::read_dir(&members).unwrap().count() == 1);
    fleet.kill(0);
    fleet.settle();
}

#[test]
fn when_all_are_killed_at_once_one_that_is_restarted_delivers_for_all() {
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet =
        Fleet::new("when_all_are_killed_at_once_one_that_is_restarted_delivers_for_all");
    for round in 0..2 {
        for _ in 0..3 {
            fleet.start("log for ever");
        }
        (0..3).for_each(|of| fleet.wait_for_calls(3 * round + of, 500));
        for (_, program) in &mut fleet.running {
            program.kill().unwrap();
        }
        fleet.kill_all();
    }
    fleet.settle();
}

#[test]
fn an_instance_variable_chooses_who_runs_the_appenders() {
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet = Fleet::new("an_instance_variable_chooses_who_runs_the_appenders");
    let variable = ("CLUSTER_INSTANCE_VAR", "CLUSTER_INSTANCE");
    let others = [
        fleet.start_with("log for ever", &[variable, ("CLUSTER_INSTANCE", "1")]),
        fleet.start_with("log for ever", &[variable, ("CLUSTER_INSTANCE", "2")]),
    ];
    others.iter().for_each(|run| fleet.wait_for_calls(*run, 500));
    assert!(!fleet.dir.path().join("app.log").exists(), "nobody is the one");
    let chosen = fleet.start_with("log for ever", &[variable, ("CLUSTER_INSTANCE", "0")]);
    assert_eq!(fleet.elected(), chosen);
    fleet.kill_all();
    fleet.settle();
}

#[test]
fn a_process_that_stands_alone_runs_its_own_appenders() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let cluster = Cluster::new(dir.path().join("cluster")).standalone(true);
        let file = message_file(&dir.path().join(name));
        let rings = dir.path().join("rings");
        rollway::builder().cluster(cluster).rings_dir(rings).appender("file", file).start().unwrap()
    };
    let (first, second) = (start("first.log"), start("second.log"));
    rollway::info!(logger: first.logger(), "one");
    rollway::info!(logger: second.logger(), "two");
    assert_eq!(first.stats().cluster, None);
    first.flush().unwrap();
    second.flush().unwrap();
    assert_eq!(lines(&dir.path().join("first.log")), ["one"]);
    assert_eq!(lines(&dir.path().join("second.log")), ["two"]);
}

#[test]
fn two_engines_of_one_process_may_be_members_of_one_cluster() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let start = || {
        let cluster = Cluster::new(dir.path().join("cluster"));
        rollway::builder()
            .cluster(cluster)
            .rings_dir(dir.path().join("rings"))
            .flush_timeout(PATIENCE)
            .appender("file", message_file(&path))
            .start()
            .unwrap()
    };
    let (first, second) = (start(), start());
    for number in 0..100 {
        rollway::info!(logger: first.logger(), "first {number}");
        rollway::info!(logger: second.logger(), "second {number}");
    }
    first.flush().unwrap();
    second.flush().unwrap();
    assert_eq!(lines(&path).len(), 200, "a flush returns when they are in the file");
    let elected = |guard: &rollway::Guard| guard.stats().cluster.unwrap().role;
    assert_ne!(elected(&first), elected(&second));
    let (out, stays) = match elected(&first) {
        ClusterRole::Elected => (first, second),
        _ => (second, first),
    };
    assert_eq!(out.logger().rotate(None).unwrap(), ["file"]);
    for appender in [None, Some("file")] {
        let refused = stays.logger().reopen(appender).unwrap_err().to_string();
        assert!(refused.contains("ask the elected one"), "{refused}");
    }
    assert_eq!(out.shutdown(PATIENCE).left(), 0);
    rollway::info!(logger: stays.logger(), "after the hand-over");
    stays.flush().unwrap();
    assert_eq!(stays.stats().cluster.unwrap().term, 2);
    assert_eq!(stays.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&path).len(), 201);
}

#[test]
fn a_reload_cannot_move_a_process_to_another_cluster() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let of = |cluster: Cluster| {
        let rings = dir.path().join("rings");
        rollway::builder().cluster(cluster).rings_dir(rings).appender("file", message_file(&path))
    };
    let here = || Cluster::new(dir.path().join("cluster"));
    let guard = of(here()).start().unwrap();
    for other in [Cluster::new(dir.path().join("other")), here().standalone(true)] {
        let refused = guard.logger().reload(of(other)).unwrap_err().to_string();
        assert_eq!(refused, "cluster cannot change while the process runs; restart it for that");
    }
    guard.logger().reload(of(here())).unwrap();
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_member_ends_in_time_when_nobody_is_elected_and_says_what_it_leaves() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let start = |id: &str| {
        let cluster = Cluster::new(dir.path().join("cluster"));
        // The variable is set wherever a test runs, and no id of its.
        let cluster = cluster.instance_var("CARGO_PKG_NAME").instance_id(id);
        rollway::builder()
            .cluster(cluster)
            .rings_dir(dir.path().join("rings"))
            .appender("file", message_file(&path))
            .start()
            .unwrap()
    };
    let guard = start("no such instance");
    rollway::info!(logger: guard.logger(), "left behind");
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.left(), path.exists()), (1, false), "{report:?}");
    let guard = start("rollway");
    assert_eq!(guard.shutdown(PATIENCE).left(), 0);
    assert_eq!(lines(&path), ["left behind"]);
}

/// The elected process dies at each point of its protocol, and so does the next one; what all of them
/// had logged is in the file once.
#[cfg(feature = "crash-points")]
fn die_at(test: &'static str, points: &[&str]) {
    for point in points {
        let name = point.split(':').next();
        assert!(rollway::CRASH_POINTS.iter().any(|known| Some(*known) == name), "{point}");
        let mut fleet = Fleet::new(test);
        for _ in 0..2 {
            let dying = fleet.start_with("log for ever", &[("ROLLWAY_CRASH_AT", point)]);
            wait_until("the dying program logs, or is dead", || {
                fleet.calls(dying) > 0 || fleet.has_ended(dying)
            });
            let other = fleet.start("log for ever");
            fleet.wait_for_calls(other, 200);
            fleet.kill(other);
            wait_until(point, || fleet.has_ended(dying));
            fleet.kill(dying);
        }
        fleet.settle();
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn an_election_that_is_broken_off_at_any_point_is_won_by_another_process() {
    const POINTS: [&str; 4] =
        ["election.locked", "election.term", "election.journal", "election.outlets"];
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    die_at("an_election_that_is_broken_off_at_any_point_is_won_by_another_process", &POINTS);
}

#[cfg(feature = "crash-points")]
#[test]
fn an_elected_process_that_dies_at_any_point_has_delivered_nothing_twice() {
    const POINTS: [&str; 3] = ["cluster.block", "cluster.delivered", "cluster.cursor"];
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    die_at("an_elected_process_that_dies_at_any_point_has_delivered_nothing_twice", &POINTS);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_segment_that_is_begun_and_never_written_keeps_nobody_from_what_stands_behind_it() {
    // The first one is that of the process itself, the second one that of the cluster.
    const POINTS: [&str; 6] = [
        "segment.created",
        "segment.reserved",
        "segment.begun",
        "segment.created:2",
        "segment.reserved:2",
        "segment.begun:2",
    ];
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    die_at(
        "a_segment_that_is_begun_and_never_written_keeps_nobody_from_what_stands_behind_it",
        &POINTS,
    );
}

#[cfg(feature = "crash-points")]
#[test]
fn an_adoption_that_is_broken_off_at_any_point_is_completed_by_another_process() {
    const POINTS: [&str; 4] =
        ["adopt.drained", "adopt.delivered", "adopt.removing", "adopt.removed"];
    if plays() {
        return;
    }
    let _watchdog = watchdog();
    die_at("an_adoption_that_is_broken_off_at_any_point_is_completed_by_another_process", &POINTS);
}

#[test]
fn whoever_removes_the_file_of_the_election_deposes_the_elected_process() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let guard = rollway::builder()
        .cluster(Cluster::new(dir.path().join("cluster")))
        .rings_dir(dir.path().join("rings"))
        .flush_timeout(PATIENCE)
        .appender("file", message_file(&path))
        .start()
        .unwrap();
    rollway::info!(logger: guard.logger(), "before");
    std::fs::remove_file(dir.path().join("cluster/election")).unwrap();
    // It is the only one, and elected anew.
    wait_until("a second term", || guard.stats().cluster.unwrap().term == 2);
    rollway::info!(logger: guard.logger(), "after");
    guard.flush().unwrap();
    assert_eq!(lines(&path), ["before", "after"]);
}

#[test]
fn a_start_says_what_keeps_the_elected_process_from_its_appenders() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "no directory").unwrap();
    let error = rollway::builder()
        .cluster(Cluster::new(dir.path().join("cluster")))
        .rings_dir(dir.path().join("rings"))
        .appender("text", message_file(&dir.path().join("file/app.log")))
        .start()
        .unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("`text`"), "{error}: {cause}");
}

#[cfg(feature = "master")]
#[test]
fn what_a_dead_member_has_not_shipped_is_shipped_by_the_elected_process() {
    use rollway::journal::JournalOptions;
    use rollway::master::Master;

    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet =
        Fleet::new("what_a_dead_member_has_not_shipped_is_shipped_by_the_elected_process");
    // Nobody listens there yet: nothing is shipped before the kill.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let master = ("CLUSTER_MASTER", &*address.to_string());
    fleet.start_with("stay", &[master]);
    let member = fleet.start_with("log for ever", &[master]);
    fleet.wait_for_calls(member, 500);
    fleet.kill(member);
    let all = fleet.dir.path().join("all.log");
    let master = Master::builder()
        .listen(address.to_string())
        .journal(JournalOptions::directory(fleet.dir.path().join("master")))
        .appender("file", message_file(&all))
        .start()
        .unwrap();
    let members = fleet.dir.path().join("cluster/members");
    wait_until("the dead one is adopted", || std::fs::read_dir(&members).unwrap().count() == 1);
    assert_eq!(master.shutdown(PATIENCE).left(), 0);
    fleet.check(&lines(&all));
}

#[test]
fn a_stopped_elected_process_is_told_of_and_goes_on_where_it_was() {
    use rustix::process::{Pid, Signal, kill_process};

    if plays() {
        return;
    }
    let _watchdog = watchdog();
    let mut fleet = Fleet::new("a_stopped_elected_process_is_told_of_and_goes_on_where_it_was");
    fleet.start("stay");
    wait_until("it is elected", || fleet.dir.path().join("app.log").exists());
    let elected = Pid::from_child(&fleet.running[0].1);
    let path = fleet.dir.path();
    let guard = rollway::builder()
        .cluster(cluster(path))
        .rings_dir(path.join("rings"))
        .flush_timeout(PATIENCE)
        .appender("file", message_file(&path.join("app.log")))
        .start()
        .unwrap();
    kill_process(elected, Signal::STOP).unwrap();
    rollway::info!(logger: guard.logger(), "meanwhile");
    wait_until("the member says so", || {
        let failing = guard.stats().appenders[0].failing.clone();
        failing.is_some_and(|why| why.contains("no process has delivered anything"))
    });
    // It keeps its lock: there is no second one.
    assert_eq!(guard.stats().cluster.unwrap().role, ClusterRole::Member);
    kill_process(elected, Signal::CONT).unwrap();
    guard.flush().unwrap();
    assert_eq!(lines(&path.join("app.log")), ["meanwhile"]);
}

#[test]
fn a_flush_waits_for_the_appenders_of_the_elected_process() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let (collector, collected) = Collector::new();
    let gate = Gate::default();
    let collector = collector.behind(&gate);
    let start = |timeout: Duration| {
        rollway::builder()
            .cluster(Cluster::new(dir.path().join("cluster")))
            .rings_dir(dir.path().join("rings"))
            .flush_timeout(timeout)
            .appender("memory", collector.clone())
            .start()
            .unwrap()
    };
    let elected = start(PATIENCE);
    let member = start(Duration::from_secs(1));
    rollway::info!(logger: member.logger(), "on its way");
    let error = member.flush().unwrap_err();
    assert!(error.to_string().contains("`the cluster`"), "{error}");
    gate.open();
    wait_until("it is delivered", || member.flush().is_ok());
    assert_eq!(collected.messages(), ["on its way"]);
    assert_eq!(elected.stats().cluster.unwrap().appenders[0].name, "memory");
}
